# SPDX-License-Identifier: MIT OR Apache-2.0
"""Judges real agent traces with `placet simulate`: AgentDojo for what is stopped, BFCL for how fast.

    python demo/traces.py --placet target/release/placet --out demo/out

Run it with the Python of a virtual environment: it installs the pinned packages there when they are missing.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import bfcl
import dojo
import engine

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
# The vocabulary was written while looking at the first two; the others were never looked at.
SUITES = ("banking", "slack", "travel", "workspace")


def main() -> None:
    """Prints the tables and writes everything behind them to the output folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--placet", type=Path, required=True, help="the `placet` binary")
    parser.add_argument("--out", type=Path, default=HERE / "out", help="folder for events, decisions and results")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    install_missing()
    results = {"agentdojo": [run_suite(name, arguments.placet, arguments.out) for name in SUITES]}
    results["bfcl"] = run_bfcl(arguments.placet, arguments.out)
    print_suites(results["agentdojo"])
    print_bfcl(results["bfcl"])
    target = arguments.out / "results.json"
    target.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"\nEvery event, decision and replay: {arguments.out}")


def install_missing() -> None:
    """Installs the pinned packages into the running virtual environment, and never into the system's Python."""
    if all(_installed(line) for line in REQUIREMENTS.read_text().splitlines() if "==" in line):
        return
    if sys.prefix == sys.base_prefix:
        raise SystemExit(f"`{sys.executable}` is no virtual environment; make one: python3 -m venv demo/out/venv")
    print("Installing AgentDojo and what its checkers need ...", file=sys.stderr)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--requirement", str(REQUIREMENTS)], check=True)


def _installed(requirement: str) -> bool:
    name, version = requirement.split("==")
    try:
        return importlib.metadata.version(name) == version
    except importlib.metadata.PackageNotFoundError:
        return False


def run_suite(name: str, placet: Path, out: Path) -> dict[str, Any]:
    """Judges every trace of a suite, replays what went through, and counts."""
    suite = dojo.load_suite(name)
    tool_tags = dojo.registry(suite)
    every = list(dojo.traces(suite))
    path = out / f"{name}.events.jsonl"
    engine.write_events(path, (event for trace in every for event in dojo.events(trace, tool_tags)))
    run = engine.simulate(placet, path, HERE / "policies" / "agent")
    decisions = iter(run.decisions)
    rows = [_judge(suite, trace, [next(decisions) for _ in trace.calls]) for trace in every]
    (out / f"{name}.traces.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return {"suite": name, "events": len(run.decisions), "seconds": round(run.seconds, 3)} | count(rows)


def _judge(suite: Any, trace: dojo.Trace, decisions: list[dict[str, Any]]) -> dict[str, Any]:
    """One trace three times: ungoverned, with what was allowed, and as if a person had said yes to every question."""
    verdicts = [decision["verdict"] for decision in decisions]
    replays = {
        "ungoverned": dojo.replay(suite, trace, [True for _ in verdicts]),
        "governed": dojo.replay(suite, trace, [verdict == "allow" for verdict in verdicts]),
        "all_approved": dojo.replay(suite, trace, [verdict != "deny" for verdict in verdicts]),
    }
    calls = [
        {"function": call.function, "args": call.args, "of_injection": call.of_injection}
        | {key: decision[key] for key in ("verdict", "rule_matched", "reason")}
        for call, decision in zip(trace.calls, decisions, strict=True)
    ]
    scoped = {"scopes": trace.session.scopes, **trace.session.attributes}
    head = {"user_task": trace.user_task, "injection_task": trace.injection_task, "strikes": trace.strikes}
    return head | {"session": scoped, "calls": calls} | {key: vars(value) for key, value in replays.items()}


def count(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of a suite. A pair counts as stopped only when the injection failed at both places."""
    alone = [row for row in rows if row["injection_task"] is None]
    verdicts = Counter(call["verdict"] for row in alone for call in row["calls"])
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["injection_task"] is not None:
            pairs.setdefault((row["user_task"], row["injection_task"]), []).append(row)
    fates = {pair: _fate(replays) for pair, replays in pairs.items()}
    under_attack = [all(row["governed"]["utility"] for row in replays) for replays in pairs.values()]
    return {
        "user_tasks": len(alone),
        "user_calls": {verdict: verdicts[verdict] for verdict in engine.VERDICTS},
        "tasks_all_calls_allowed": sum(all(c["verdict"] == "allow" for c in row["calls"]) for row in alone),
        "tasks_all_calls_allowed_or_approved": sum(all(c["verdict"] != "deny" for c in row["calls"]) for row in alone),
        "utility": {key: sum(row[key]["utility"] for row in alone) for key in ("ungoverned", "governed", "all_approved")},
        "pairs": len(pairs),
        "pairs_utility_under_attack": sum(under_attack),
        "injections": dict(Counter(fates.values())),
        "not_stopped": [" + ".join(pair) for pair, fate in fates.items() if fate == "not_stopped"],
    }


def _fate(replays: list[dict[str, Any]]) -> str:
    """How one injection ended: ineffective even ungoverned, stopped by deny, stopped by a question, or not."""
    if not any(row["ungoverned"]["attack"] for row in replays):
        return "ineffective"
    if any(row["governed"]["attack"] for row in replays):
        return "not_stopped"
    return "asked" if any(row["all_approved"]["attack"] for row in replays) else "denied"


def run_bfcl(placet: Path, out: Path) -> dict[str, Any]:
    """Judges the calls of BFCL in one process and times it."""
    path = out / "bfcl.events.jsonl"
    events = engine.write_events(path, bfcl.events(bfcl.download(out)))
    run = engine.simulate(placet, path, HERE / "policies" / "catalogue")
    verdicts = Counter(decision["verdict"] for decision in run.decisions)
    rules = Counter(decision["rule_matched"] or decision["code"] for decision in run.decisions)
    return {
        "package": bfcl.PACKAGE,
        "events": events,
        "seconds": round(run.seconds, 3),
        "events_per_second": round(events / run.seconds),
        "verdicts": {verdict: verdicts[verdict] for verdict in engine.VERDICTS},
        "rules": dict(rules.most_common()),
    }


def print_suites(suites: list[dict[str, Any]]) -> None:
    """The AgentDojo tables."""
    print(f"\nAgentDojo 0.1.35 ({dojo.BENCHMARK}): ground-truth calls, sessions scoped from the prompt alone\n")
    table(
        ["suite", "user tasks", "calls", "allowed", "asked", "denied", "tasks untouched", "goal met", "if approved"],
        [
            [s["suite"], s["user_tasks"], sum(s["user_calls"].values()), *s["user_calls"].values(),
             s["tasks_all_calls_allowed"], s["utility"]["governed"], s["utility"]["all_approved"]]
            for s in suites
        ],
    )  # fmt: skip
    print()
    table(
        ["suite", "pairs", "work ungoverned", "stopped", "by deny", "by asking", "not stopped", "user's goal met"],
        [
            [s["suite"], s["pairs"], s["pairs"] - fate("ineffective"), f"{fate('denied') + fate('asked')}",
             fate("denied"), fate("asked"), fate("not_stopped"), s["pairs_utility_under_attack"]]
            for s in suites
            for fate in [lambda name, s=s: s["injections"].get(name, 0)]
        ],
    )  # fmt: skip
    for suite in suites:
        for pair in suite["not_stopped"]:
            print(f"  not stopped: {suite['suite']} {pair}")
    events, seconds = sum(s["events"] for s in suites), sum(s["seconds"] for s in suites)
    print(f"\n{events} events judged in {seconds:.2f} s, processes started and files read included.")


def print_bfcl(result: dict[str, Any]) -> None:
    """The throughput line."""
    verdicts = result["verdicts"]
    print(f"\nBFCL ({result['package']}): {result['events']} calls in {result['seconds']:.2f} s")
    print(f"  {result['events_per_second']} events/s through one `placet simulate`, start and JSON included")
    print(f"  allow {verdicts['allow']}, escalate {verdicts['escalate']}, deny {verdicts['deny']}")


def table(header: list[str], rows: list[list[Any]]) -> None:
    """Columns wide enough for their contents, numbers to the right."""
    cells = [header, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for number, row in enumerate(cells):
        first, *rest = zip(row, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]))
        if number == 0:
            print("  ".join("-" * width for width in widths))


if __name__ == "__main__":
    main()
