"""Turns results into the Markdown table and the JSON file."""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Result = dict[str, Any]


def write(folder: Path, machine: Result, rows: Sequence[Result]) -> None:
    """Writes `results.json` and `results.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(
        json.dumps({"machine": machine, "rows": list(rows)}, indent=1) + "\n"
    )
    (folder / "results.md").write_text(markdown(machine, rows))


def markdown(machine: Result, rows: Sequence[Result]) -> str:
    """The whole report."""
    dirty = " with uncommitted changes" if machine["uncommitted_changes"] else ""
    quick = " QUICK RUN: too short to quote." if machine["quick"] else ""
    head = [
        "# Bench results",
        "",
        f"{machine['time']} · commit {machine['commit'][:12]}{dirty} · {machine['rounds']} rounds.{quick}",
        "",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB · "
        f"Linux {machine['kernel']} · Python {machine['python']} · "
        f"load average {machine['load_before'][0]} before, {machine['load_after'][0]} after.",
        "",
        "Times are of single calls. *times ours*: the median over rounds of peer ÷ ours within one round.",
        "",
    ]
    return "\n".join(head + [line for row in rows for line in _section(row)])


def _section(row: Result) -> list[str]:
    layout = {"contest": _contest, "scale": _scale, "load": _load, "threads": _threads}[row["kind"]]
    present = {result["engine"] for result in row["results"]}
    missing = [name for name in row["expected"] if name not in present]
    table = layout(row["results"], missing)
    return [f"## {row['title']}", "", f"Target: {row['target']}.", "", *table, ""]


def _contest(results: Sequence[Result], missing: Sequence[str]) -> list[str]:
    lines = _head("engine", "version", "what is timed", "min", "median", "p99", "times ours", "calls")
    lines += [_line(name, "not built yet", "", "", "", "", "", "") for name in missing]
    for one in results:
        what = f"{one['surface']} ({one['note']})" if one["note"] else one["surface"]
        times = [duration(one[f"{part}_ns"]) for part in ("min", "median", "p99")]
        lines.append(_line(one["engine"], one["version"], what, *times, _ratio(one), f"{one['calls']:,}"))
    return lines


def _scale(results: Sequence[Result], missing: Sequence[str]) -> list[str]:
    sizes = sorted({int(one["label"]) for one in results})
    lines = _head(
        "engine",
        "version",
        *(f"{size:,} rules" for size in sizes),
        "largest ÷ smallest",
        "times ours at largest",
    )
    lines += [_line(name, "not built yet", *("" for _ in sizes), "", "") for name in missing]
    for name, of_engine in _by_engine(results):
        by_size = {int(one["label"]): one for one in of_engine}
        largest, smallest = by_size[sizes[-1]], by_size[sizes[0]]
        pairs = zip(largest["round_medians_ns"], smallest["round_medians_ns"], strict=True)
        growth = sorted(big / small for big, small in pairs)[len(largest["round_medians_ns"]) // 2]
        cells = [f"{duration(by_size[s]['median_ns'])} (p99 {duration(by_size[s]['p99_ns'])})" for s in sizes]
        lines.append(_line(name, largest["version"], *cells, f"{growth:.2f}", _ratio(largest)))
    return lines


def _load(results: Sequence[Result], missing: Sequence[str]) -> list[str]:
    sizes = sorted({int(one["label"]) for one in results})
    columns = [f"{size:,} rules: {what}" for size in sizes for what in ("load", "memory")]
    lines = _head("engine", "version", *columns, "times ours at largest")
    lines += [_line(name, "not built yet", *("" for _ in columns), "") for name in missing]
    for name, of_engine in _by_engine(results):
        by_size = {int(one["label"]): one for one in of_engine}
        cells = [
            cell
            for size in sizes
            for cell in (duration(by_size[size]["load_ns"]), f"{by_size[size]['rss_delta'] / 2**20:.1f} MiB")
        ]
        lines.append(_line(name, by_size[sizes[-1]]["version"], *cells, _ratio(by_size[sizes[-1]])))
    return lines


def _threads(results: Sequence[Result], missing: Sequence[str]) -> list[str]:
    counts = list(results[0]["per_second"]) if results else []
    titles = [f"calls/s, {count} thread{'' if count == '1' else 's'}" for count in counts]
    growth = f"{counts[-1]} ÷ {counts[0]}" if counts else ""
    lines = _head("engine", "version", "what is timed", *titles, growth)
    lines += [_line(name, "not built yet", "", *("" for _ in counts), "") for name in missing]
    for one in results:
        rates = [f"{rate:,.0f}" for rate in one["per_second"].values()]
        lines.append(_line(one["engine"], one["version"], one["surface"], *rates, f"{one['scaling']:.2f}"))
    return lines


def duration(nanoseconds: float) -> str:
    """Three figures with the unit that fits."""
    for limit, divisor, unit in ((1e3, 1, "ns"), (1e6, 1e3, "µs"), (1e9, 1e6, "ms")):
        if nanoseconds < limit:
            return f"{nanoseconds / divisor:.3g} {unit}"
    return f"{nanoseconds / 1e9:.3g} s"


def _by_engine(results: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    names = list(dict.fromkeys(one["engine"] for one in results))
    return [(name, [one for one in results if one["engine"] == name]) for name in names]


def _ratio(result: Result) -> str:
    if result["ours"]:
        return "ours"
    return f"{result['ratio']:.3g}" if result["ratio"] else "–"


def _head(*cells: str) -> list[str]:
    return [_line(*cells), _line(*("---" for _ in cells))]


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"
