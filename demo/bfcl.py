# SPDX-License-Identifier: MIT OR Apache-2.0
"""The calls of the Berkeley Function-Calling Leaderboard as events, from the wheel of `bfcl-eval`.

Counted are the possible answers (`bfcl_eval/data/possible_answer`) that are calls in Python: 12 files. Left
out are the files whose answers are words (memory, web_search) and those whose values are source code in Java
or JavaScript.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = "bfcl-eval==2026.3.23"
NOW = "2024-05-15T12:00:00Z"
ANSWERS = "bfcl_eval/data/possible_answer/BFCL_v4_"
DOCUMENTATION = "bfcl_eval/data/multi_turn_func_doc/"
FILES = (
    "simple_python",
    "multiple",
    "parallel",
    "parallel_multiple",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "multi_turn_base",
    "multi_turn_long_context",
    "multi_turn_miss_func",
    "multi_turn_miss_param",
)


def download(folder: Path) -> Path:
    """Fetches the wheel (no dependencies, nothing installed) unless it is there already."""
    name, version = PACKAGE.replace("-", "_").split("==")
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    if not wheel.exists():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--dest", str(folder), PACKAGE], check=True)
    return wheel


def events(wheel: Path) -> Iterator[dict[str, Any]]:
    """One event for each call, in the order of the files."""
    with zipfile.ZipFile(wheel) as archive:
        parameters = _parameters(archive)
        for name in FILES:
            for row in _rows(archive, f"{ANSWERS}{name}.json"):
                for function, args in _calls(row["ground_truth"], parameters):
                    yield _event(row["id"], function, args)


def _rows(archive: zipfile.ZipFile, name: str) -> Iterator[dict[str, Any]]:
    for line in archive.read(name).decode().splitlines():
        if line.strip():
            yield json.loads(line)


def _parameters(archive: zipfile.ZipFile) -> dict[str, list[str]]:
    """Parameter names of the multi-turn functions, to name positional arguments."""
    files = [name for name in archive.namelist() if name.startswith(DOCUMENTATION) and name.endswith(".json")]
    rows = [row for name in files for row in _rows(archive, name)]
    return {row["name"]: list(row["parameters"]["properties"]) for row in rows}


def _calls(answer: Any, parameters: dict[str, list[str]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A list holds turns or calls, a mapping is a call with its allowed values, a text a call in Python."""
    if isinstance(answer, list):
        for part in answer:
            yield from _calls(part, parameters)
    elif isinstance(answer, dict):
        for function, allowed in answer.items():
            yield function, _first_of_each(allowed)
    else:
        yield _python_call(answer, parameters)


def _first_of_each(allowed: dict[str, list[Any]]) -> dict[str, Any]:
    """Takes the first allowed value of every argument; `""` means that it may be left out."""
    return {name: _value(values[0]) for name, values in allowed.items() if values and values[0] != ""}


def _value(value: Any) -> Any:
    """Nested mappings list their allowed values too."""
    if isinstance(value, dict) and all(isinstance(inner, list) for inner in value.values()):
        return _first_of_each(value)
    if isinstance(value, list):
        return [_value(inner) for inner in value]
    return value


def _python_call(text: str, parameters: dict[str, list[str]]) -> tuple[str, dict[str, Any]]:
    call = ast.parse(text.strip(), mode="eval").body
    if not isinstance(call, ast.Call):
        raise SystemExit(f"`{text}` in the data of `{PACKAGE}` is no call")
    function = ast.unparse(call.func)
    names = parameters.get(function.split(".")[-1], [])
    positional = {
        (names[index] if index < len(names) else f"argument_{index}"): ast.literal_eval(value)
        for index, value in enumerate(call.args)
    }
    return function, positional | {str(key.arg): ast.literal_eval(key.value) for key in call.keywords}


def _event(row: str, function: str, args: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_type": "tool_call",
        "action": function,
        "tool_name": function,
        "args": args,
        "context": {
            "session_id": row,
            "user_role": "assistant",
            "session_scopes": [],
            "delegation_depth": 0,
            "sandbox_verified": False,
            "tenant_id": None,
        },
        "session": {"id": row, "tool_history": []},
        "now": NOW,
    }
