# SPDX-License-Identifier: MIT OR Apache-2.0
"""How calls are taken from possible answers."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import bfcl


def wheel(folder: Path, answers: dict[str, list[object]]) -> Path:
    """A wheel with these answers, one row a value, and one documented function."""
    path = folder / "x.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in bfcl.FILES:
            truths = enumerate(answers.get(name, []))
            rows = [json.dumps({"id": f"{name}_{index}", "ground_truth": truth}) for index, truth in truths]
            archive.writestr(f"{bfcl.ANSWERS}{name}.json", "\n".join(rows))
        documented = {"name": "sort", "parameters": {"properties": {"file_name": {}}}}
        archive.writestr(f"{bfcl.DOCUMENTATION}files.json", json.dumps(documented))
    return path


def test_every_call_of_every_turn_is_one_event(tmp_path: Path) -> None:
    turns = [["cd(folder='a')", "sort('b.txt')"], [], ["mkdir(dir_name='c')"]]
    events = list(bfcl.events(wheel(tmp_path, {"multi_turn_base": [turns]})))
    assert [event["action"] for event in events] == ["cd", "sort", "mkdir"]
    assert events[1]["args"] == {"file_name": "b.txt"}
    assert {event["context"]["session_id"] for event in events} == {"multi_turn_base_0"}


def test_the_first_allowed_value_is_taken_and_an_empty_one_left_out(tmp_path: Path) -> None:
    call = {"f.g": {"a": [1, 2], "b": ["", True], "c": [{"d": ["x", "y"], "e": ["", "z"]}], "h": [[3, 5]]}}
    [event] = bfcl.events(wheel(tmp_path, {"simple_python": [[call]]}))
    assert event["tool_name"] == "f.g"
    assert event["args"] == {"a": 1, "c": {"d": "x"}, "h": [3, 5]}
