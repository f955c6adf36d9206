"""The rows of the table: which engines stand beside each other, on which policies and inputs."""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import core10, scale, texts
from harness.cases import Case
from harness.contest import Bench, Entrant
from harness.engines import EXPORTED_QUERY, Engines
from harness.provision import BENCH
from harness.worker import Engine

CORE10 = BENCH / "policies" / "core10"
LOAD_SIZES = (10, 1_000, 10_000)


@dataclass(frozen=True)
class Row:
    """One section of the results. `kind` picks the table's layout."""

    key: str
    title: str
    kind: str
    target: str
    expected: Sequence[str]
    measure: Callable[[], list[dict[str, Any]]]


class Rows:
    """Builds all rows over one bench, one set of engines and one folder for generated policies."""

    def __init__(self, bench: Bench, engines: Engines, generated: Path, *, quick: bool) -> None:
        self.bench, self.engines, self.generated, self.quick = bench, engines, generated, quick

    def all(self) -> list[Row]:
        """In the order of the report."""
        return [
            self._json_exported(),
            self._json(),
            self._kite_bundle(),
            self._prebuilt(),
            self._gate(),
            *(self._scale(shape) for shape in scale.SHAPES),
            *(self._loading(shape) for shape in scale.SHAPES),
            self._threads(),
            self._governed("async"),
            self._governed("sync"),
            self._governed_aegis(),
            *(self._sanitise(language) for language in ("ascii", "cyrillic")),
        ]

    def _json_exported(self) -> Row:
        """The same work: what `placet compile` makes of the policies that our engine runs."""
        e = self.engines

        def measure() -> list[dict[str, Any]]:
            folder = e.exported(CORE10, "rules.yaml", self.generated / "core10-exported")
            documents = e.documents(core10.cases())
            ours = [
                Entrant(one, core10.cases(), CORE10) for one in e.ours_rust("json", "rules.yaml", core=True)
            ]
            # The virtual machine of regorus answers `allow` to the plan that wipes, so it is not here.
            makers = (e.opa_golib, e.regorus, e.opa_server)
            peers = [Entrant(make(EXPORTED_QUERY), documents, folder) for make in makers]
            return self.bench.contest([*ours, *peers])

        return Row(
            "json_exported",
            "JSON event in, decision JSON out, the same work: core bundle + 10 rules, exported for the peers",
            "contest",
            "< 5 µs, and 30 times faster than OPA in process and than regorus",
            ["placet-rust-json"],
            measure,
        )

    def _json(self) -> Row:
        e = self.engines
        peers = [e.opa_golib(), e.regorus(), e.regorus_rvm(), e.opa_server()]
        return Row(
            "json_core10",
            "JSON event in, decision JSON out: core bundle + 10 rules, for the peers lean Rego by hand",
            "contest",
            "< 5 µs; no ratio, as the peers do less work",
            ["placet-rust-json"],
            lambda: self._core10([*e.ours_rust("json", "rules.yaml", core=True), *peers]),
        )

    def _kite_bundle(self) -> Row:
        """A bundle that other people wrote, on the events that it answers as ours does."""
        e = self.engines

        def measure() -> list[dict[str, Any]]:
            folder = e.kite_bundle(CORE10, self.generated / "kite-bundle")
            cases = [_as_kite_sends_it(case) for case in core10.cases() if "kitelogik" not in case.skip]
            ours = [Entrant(one, cases, CORE10) for one in e.ours_rust("json", "rules.yaml", core=True)]
            peers = [e.opa_golib(), e.regorus(), e.opa_server()]
            return self.bench.contest([*ours, *(Entrant(peer, cases, folder) for peer in peers)])

        return Row(
            "json_kite_bundle",
            "JSON event in, decision JSON out: Kite Logik's shipped bundle + the same 10 rules",
            "contest",
            "none stated; Rego that others wrote, not the same work",
            ["placet-rust-json"],
            measure,
        )

    def _prebuilt(self) -> Row:
        e = self.engines
        return Row(
            "prebuilt_core10",
            "Decide, request already built: core bundle + 10 rules",
            "contest",
            "< 1 µs",
            ["placet-rust-prebuilt"],
            lambda: self._core10([*e.ours_rust("prebuilt", "rules.yaml", core=True), e.cedar()]),
        )

    def _gate(self) -> Row:
        e = self.engines
        peers = [e.kite("gate", "golib"), e.kite("gate", "http")]
        return Row(
            "gate_core10",
            "Python gate, objects in, decision object out: core bundle + 10 rules",
            "contest",
            "none stated",
            ["placet-python-gate"],
            lambda: self._core10([*e.ours_python("gate", "rules.yaml", core=True), *peers]),
        )

    def _core10(self, engines: Sequence[Engine]) -> list[dict[str, Any]]:
        return self.bench.contest([Entrant(engine, core10.cases(), CORE10) for engine in engines])

    def _scale_entrants(self, shape: scale.Shape, size: int) -> list[Entrant]:
        e = self.engines
        ours = "match.yaml" if shape.rules is None else "rules.yaml"
        engines = [
            *e.ours_rust("json", ours, core=False),
            *e.ours_rust("prebuilt", ours, core=False),
            e.opa_golib(),
            e.regorus(),
            e.cedar(),
            e.aegis("policy"),
        ]
        folder = scale.write(shape, size, self.generated)
        cases = scale.cases(shape, size)
        return [Entrant(engine, cases, folder, label=str(size), timed=cases) for engine in engines]

    def _scale(self, shape: scale.Shape) -> Row:
        sizes = scale.SIZES[:3] if self.quick else scale.SIZES
        targets = {
            "distinct": "10,000 rules at most 2 times of 10 rules",
            "globs": "10,000 rules at most 4 times of 10 rules",
            "same_action": "none stated",
        }
        return Row(
            f"scale_{shape.name}",
            f"Rule sets of growing size: {shape.name.replace('_', ' ')}",
            "scale",
            targets[shape.name],
            ["placet-rust-json", "placet-rust-prebuilt"],
            lambda: self.bench.contest(
                [entrant for size in sizes for entrant in self._scale_entrants(shape, size)]
            ),
        )

    def _loading(self, shape: scale.Shape) -> Row:
        sizes = LOAD_SIZES[:2] if self.quick else LOAD_SIZES

        def measure() -> list[dict[str, Any]]:
            results = []
            for size in sizes:
                entrants = [
                    entrant
                    for entrant in self._scale_entrants(shape, size)
                    if entrant.engine.key != "placet-rust-prebuilt"
                ]
                results += self.bench.loading(entrants, 1 if self.quick else 3)
            return results

        return Row(
            f"load_{shape.name}",
            f"Loading and memory: {shape.name.replace('_', ' ')}",
            "load",
            "10,000 rules < 200 ms, 10 times faster than agent-aegis, memory below OPA's",
            ["placet-rust-json"],
            measure,
        )

    def _threads(self) -> Row:
        e = self.engines
        ours = [
            *e.ours_rust("json", "rules.yaml", core=True),
            *e.ours_rust("prebuilt", "rules.yaml", core=True),
        ]
        peers = [e.opa_golib(), e.regorus(), e.cedar(), e.opa_server()]
        return Row(
            "threads_core10",
            "One thread and two: core bundle + 10 rules",
            "threads",
            "none stated",
            ["placet-rust-json", "placet-rust-prebuilt"],
            lambda: self.bench.threads(
                [Entrant(engine, core10.cases(), CORE10) for engine in [*ours, *peers]]
            ),
        )

    def _governed(self, surface: str) -> Row:
        e = self.engines
        kind = f"governed-{surface}"
        peers = [e.kite(kind, "golib"), e.kite(kind, "http"), e.bare(surface)]
        return Row(
            f"governed_{surface}",
            f"`@governed` in Python, {'async' if surface == 'async' else 'plain'} function, no ledger",
            "contest",
            "< 10 µs, and 10 times faster than kitelogik with OPA in process",
            [f"placet-python-{kind}"],
            lambda: self._governed_contest([*e.ours_python(kind, "rules.yaml", core=True), *peers]),
        )

    def _governed_aegis(self) -> Row:
        e = self.engines
        ours = e.ours_python("governed-async-raw", "match.yaml")
        return Row(
            "governed_aegis",
            "`@governed` beside aegis' `governed_tool` without its log: 10 Match rules, not sanitised",
            "contest",
            "3 times faster than agent-aegis",
            ["placet-python-governed-async-raw"],
            lambda: self._governed_contest([*ours, e.aegis("governed"), e.bare("async")]),
        )

    def _governed_contest(self, engines: Sequence[Engine]) -> list[dict[str, Any]]:
        """Allow, deny and escalate are checked; the allowed call is timed, as only there the body runs."""
        refunds = [case for case in core10.cases() if case.event["action"] == "refund"]
        allowed = [case for case in refunds if case.verdict == "allow"]
        entrants = [
            Entrant(one, allowed if one.family == "bare" else refunds, CORE10, timed=allowed)
            for one in engines
        ]
        return self.bench.contest(entrants)

    def _sanitise(self, language: str) -> Row:
        e = self.engines
        size = 100_000 if self.quick else 1_000_000
        aegis_size = 2_000 if self.quick else 10_000

        def measure() -> list[dict[str, Any]]:
            whole, part = texts.cases(language, size), texts.cases(language, aegis_size)
            factor = 1_000_000 / aegis_size
            note = f"measured on {aegis_size:,} bytes, times {factor:,.0f}"
            entrants = [self._reader(one, whole, 1_000_000 / size) for one in e.ours_python("sanitise")]
            entrants.append(self._reader(e.sanitiser("kitelogik"), whole, 1_000_000 / size))
            entrants.append(self._reader(e.sanitiser("aegis"), part, factor, note))
            return self.bench.contest(entrants)

        return Row(
            f"sanitise_{language}",
            f"Sanitise 1 MB of {'English ASCII' if language == 'ascii' else 'Russian Cyrillic'}",
            "contest",
            "< 20 ms",
            ["placet-python-sanitise"],
            measure,
        )

    @staticmethod
    def _reader(engine: Engine, cases: Sequence[Case], factor: float, note: str = "") -> Entrant:
        return Entrant(engine, cases, BENCH, timed=cases[:1], factor=factor, note=note)


def _as_kite_sends_it(case: Case) -> Case:
    """Kite Logik's tool-call document; given a null classification, its bundle allows everything."""
    if case.event["event_type"] != "tool_call":
        return case
    kept = ("action", "tool_name", "args", "resource_path", "context")
    return replace(case, event={field: case.event[field] for field in kept})
