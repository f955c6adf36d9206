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
# The vocabulary of `scoping` was written with the prompts of the first two in view, and not for the others.
SUITES = ("banking", "slack")
HELD_OUT = ("travel", "workspace")
WAYS = ("ungoverned", "governed", "approved")


def main() -> None:
    """Prints the tables and writes everything behind them to the output folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--placet", type=Path, required=True, help="the `placet` binary")
    parser.add_argument("--out", type=Path, default=HERE / "out", help="folder for everything generated")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    install_missing()
    suites = [run_suite(name, arguments.placet, arguments.out) for name in (*SUITES, *HELD_OUT)]
    print_suites(suites)
    throughput = run_bfcl(arguments.placet, arguments.out)
    print_bfcl(throughput)
    results = {"agentdojo": suites, "bfcl": throughput}
    (arguments.out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(
        f"\nEvery event, verdict and replay is in {arguments.out}; what is counted and how, in demo/README.md"
    )


def install_missing() -> None:
    """Installs the pinned packages into the running virtual environment, never into the system's Python."""
    if all(_installed(line) for line in REQUIREMENTS.read_text().splitlines() if "==" in line):
        return
    if sys.prefix == sys.base_prefix:
        advice = "make one with `python3 -m venv demo/out/venv` and run its Python"
        raise SystemExit(f"`{sys.executable}` is not in a virtual environment; {advice}")
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
    """Judges every trace of a suite, replays what went through, counts."""
    suite = dojo.load_suite(name)
    tool_tags = dojo.registry(suite)
    every = list(dojo.traces(suite))
    path = out / f"{name}.events.jsonl"
    engine.write_events(path, (event for trace in every for event in dojo.events(trace, tool_tags)))
    run = engine.simulate(placet, path, HERE / "policies" / "agent")
    decisions = iter(run.decisions)
    rows = [_judge(suite, trace, [next(decisions) for _ in trace.calls]) for trace in every]
    (out / f"{name}.traces.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return {
        "suite": name,
        "held_out": name in HELD_OUT,
        "events": len(run.decisions),
        "seconds": round(run.seconds, 3),
    } | count(rows)


def _judge(suite: Any, trace: dojo.Trace, decisions: list[dict[str, Any]]) -> dict[str, Any]:
    """One trace three ways: ungoverned; with what was allowed; as if a person said yes to every question."""
    verdicts = [decision["verdict"] for decision in decisions]
    let_through = {"ungoverned": engine.VERDICTS, "governed": ("allow",), "approved": ("allow", "escalate")}
    through = {way: [verdict in let_through[way] for verdict in verdicts] for way in WAYS}
    alone = trace.injection_task is None
    utility = {
        way: dojo.user_goal_met(suite, trace, through[way]) for way in (WAYS if alone else ("governed",))
    }
    attack = {way: dojo.injection_succeeds(suite, trace, through[way]) for way in (() if alone else WAYS)}
    calls = [
        {"function": call.function, "args": call.args, "of_injection": call.of_injection}
        | {key: decision[key] for key in ("verdict", "rule_matched", "reason")}
        for call, decision in zip(trace.calls, decisions, strict=True)
    ]
    scoped = {"scopes": trace.session.scopes, **trace.session.attributes}
    head = {"user_task": trace.user_task, "injection_task": trace.injection_task, "strikes": trace.strikes}
    return head | {"session": scoped, "calls": calls, "utility": utility, "attack": attack}


def count(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of a suite. A pair counts as stopped only when the injection failed at both places."""
    alone = [row for row in rows if row["injection_task"] is None]
    verdicts = [[call["verdict"] for call in row["calls"]] for row in alone]
    calls = Counter(verdict for task in verdicts for verdict in task)
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["injection_task"] is not None:
            pairs.setdefault((row["user_task"], row["injection_task"]), []).append(row)
    fates = {pair: _fate(replays) for pair, replays in pairs.items()}
    undisturbed = [all(row["utility"]["governed"] for row in replays) for replays in pairs.values()]
    return {
        "user_tasks": len(alone),
        "user_calls": {verdict: calls[verdict] for verdict in engine.VERDICTS},
        "tasks_all_calls_allowed": sum(set(task) == {"allow"} for task in verdicts),
        "tasks_no_call_denied": sum("deny" not in task for task in verdicts),
        "utility": {way: sum(row["utility"][way] for row in alone) for way in WAYS},
        "pairs": len(pairs),
        "pairs_with_user_goal_met": sum(undisturbed),
        "injections": dict(Counter(fates.values())),
        "not_stopped": [" + ".join(pair) for pair, fate in fates.items() if fate == "not_stopped"],
    }


def _fate(replays: list[dict[str, Any]]) -> str:
    """How an injection ended: ineffective even ungoverned, not stopped, stopped by asking, or by a deny."""
    if not any(row["attack"]["ungoverned"] for row in replays):
        return "ineffective"
    if any(row["attack"]["governed"] for row in replays):
        return "not_stopped"
    return "asked" if any(row["attack"]["approved"] for row in replays) else "denied"


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
    print(f"\nAgentDojo 0.1.35, suites {dojo.BENCHMARK}; (*) held out: scoping was not written for it")
    print("\nThe user's own calls, and user tasks whose goal AgentDojo finds met")
    header = ["suite", "tasks", "calls", "allowed", "asked", "denied"]
    table(
        [*header, "tasks all allowed", "goal met", "goal met if asked = yes"],
        [
            [_label(s), s["user_tasks"], sum(s["user_calls"].values()), *s["user_calls"].values()]
            + [s["tasks_all_calls_allowed"], s["utility"]["governed"], s["utility"]["approved"]]
            for s in suites
        ],
    )
    print("\nInjections (every user task x every injection task), by AgentDojo's checkers")
    table(
        ["suite", "pairs", "succeed ungoverned", "stopped", "by deny", "by asking", "not stopped"],
        [[_label(s), s["pairs"], *_stopped(s["injections"], s["pairs"])] for s in suites],
    )
    for suite in suites:
        for pair in suite["not_stopped"]:
            print(f"  not stopped: {suite['suite']} {pair}")
    events, seconds = sum(s["events"] for s in suites), sum(s["seconds"] for s in suites)
    print(f"\n{events} events judged in {seconds:.2f} s, {len(suites)} starts of `placet simulate` included")


def _label(suite: dict[str, Any]) -> str:
    return f"{suite['suite']} (*)" if suite["held_out"] else str(suite["suite"])


def _stopped(fates: dict[str, int], pairs: int) -> list[Any]:
    denied, asked = fates.get("denied", 0), fates.get("asked", 0)
    effective = pairs - fates.get("ineffective", 0)
    return [effective, f"{denied + asked}/{effective}", denied, asked, fates.get("not_stopped", 0)]


def print_bfcl(result: dict[str, Any]) -> None:
    """The throughput lines."""
    verdicts = ", ".join(f"{verdict} {number}" for verdict, number in result["verdicts"].items())
    print(f"\nBFCL ({result['package']}): {result['events']} calls, core bundle and ten rules: {verdicts}")
    seconds, rate = result["seconds"], result["events_per_second"]
    print(f"{seconds:.2f} s, {rate} events/s, process start, reading and writing JSON included")


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
