"""Reads `conformance/cases`: policy sets, events, and what is expected. Decides nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[2] / "conformance"
NOW = "2026-11-21T12:00:00+00:00"  # of every event without a time of its own: a Saturday
MERGED = ("context", "session", "parent")
EXPECTATIONS = {"verdict", "hard", "rule", "rules", "code", "reason", "risk_tier", "reviewers", "trace"}


@dataclass
class Case:
    id: str
    event: dict[str, Any]
    expect: dict[str, Any]

    def differences(self, decision: dict[str, Any]) -> list[str]:
        """What a decision in its JSON form has that is not as expected."""
        rules = [rule["name"] for rule in decision["rules"]]
        trace = [step["outcome"] for step in decision["trace"]]
        got = {**decision, "rules": sorted(rules), "reviewers": sorted(decision["reviewers"]), "trace": trace}
        found = []
        for key, wanted in self.expect.items():
            if key == "rule":
                if wanted not in rules:
                    found.append(f"rule: expected {wanted}, got {rules}")
            elif (sorted(wanted) if key in ("rules", "reviewers") else wanted) != got[key]:
                found.append(f"{key}: expected {wanted}, got {got[key]}")
        return found


@dataclass
class CaseSet:
    policies: dict[str, dict[str, str]]
    config: dict[str, Any]
    cases: list[Case]

    def write(self, folder: Path) -> Path:
        """Writes the policies and a `placet.yaml` into an empty folder; returns the path of the latter."""
        folder.mkdir(exist_ok=True)
        config = dict(self.config)
        for tier, files in self.policies.items():
            (folder / tier).mkdir()
            for name, text in files.items():
                (folder / tier / name).write_text(text, encoding="utf-8", newline="")
            if tier == "project":
                config["policies"] = ["project"]
            else:
                assert tier == "global", tier
                config["global"] = {**config.get("global", {}), "policies": ["global"]}
        path = folder / "placet.yaml"
        path.write_text(json.dumps(config), encoding="utf-8")
        return path


def load(path: Path) -> Any:
    """A YAML 1.2 file: in YAML 1.1 words such as `on` would be booleans."""
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def known_failures(face: str) -> set[str]:
    return set(load(FOLDER / "known_failures.yaml")[face])


def sets() -> Iterator[CaseSet]:
    for path in sorted((FOLDER / "cases").glob("*.yaml")):
        for group in load(path)["groups"]:
            for truths in group.get("truths", []):
                yield truth_table(path.stem, group, truths, permits=True)
                yield truth_table(path.stem, group, truths, permits=False)
            if group.get("cases"):
                cases = [case(path.stem, group, row) for row in group["cases"]]
                yield CaseSet(group.get("policies", {}), group.get("config", {}), cases)


def case(file: str, group: dict[str, Any], row: dict[str, Any]) -> Case:
    event = dict(group.get("event", {}))
    for key, value in row.get("event", {}).items():
        merge = key in MERGED and isinstance(value, dict) and isinstance(event.get(key), dict)
        event[key] = {**event[key], **value} if merge else value
    assert row["expect"] and EXPECTATIONS.issuperset(row["expect"]), row
    return Case(f"{file}: {group['note']}: {row['note']}", event, row["expect"])


def truth_table(file: str, group: dict[str, Any], truths: dict[str, Any], *, permits: bool) -> CaseSet:
    """A set in which only the truth of one condition decides, and an event for each of its values."""
    # The columns `true` and `false` are booleans to a YAML reader, and so may `missing` be.
    truths = {text(key).strip('"'): value for key, value in truths.items()}
    at = truths.get("at", "args.x")
    rows = [(truth, value) for truth in ("true", "false", "unknown") for value in truths.get(truth, [])]
    nothing = object()
    if truths.get("missing", "unknown") != "skip":
        rows.append((text(truths.get("missing", "unknown")).strip('"'), nothing))
    subject = text(truths.get("when", truths.get("rule")))
    role = "permits" if permits else "restricts"
    cases = []
    for truth, value in rows:
        event = dict(group.get("event", {}))
        outer, _, key = at.partition(".")
        if value is not nothing:
            event[outer] = {**event.get(outer, {}), key: value} if key else value
        shown = "nothing" if value is nothing else text(value)
        allows = truth == ("true" if permits else "false")
        id = f"{file}: {group['note']}: {subject} {role} at {at} = {shown}"
        cases.append(Case(id, event, {"verdict": "allow" if allows else "deny"}))
    return CaseSet({"project": probe(truths, permits)}, {}, cases)


def probe(truths: dict[str, Any], permits: bool) -> dict[str, str]:
    if "when" in truths:
        rule = {"name": "probe", "when": truths["when"], "then": "allow" if permits else "deny"}
        files = {"probe.yaml": json.dumps({"version": 1, "rules": [rule]})}
        if not permits:
            files["open.yaml"] = json.dumps({"version": 1, "defaults": {"approval": "auto"}})
        return files
    says, default = ("auto", "block") if permits else ("block", "auto")
    rule = {**truths["rule"], "name": "probe", "approval": says}
    return {"probe.yaml": json.dumps({"version": 1, "defaults": {"approval": default}, "rules": [rule]})}


def text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
