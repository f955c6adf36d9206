"""Writes rule sets of N rules in three shapes and five languages, with the inputs that go with them."""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cases import Case, event

SIZES = (10, 100, 1_000, 10_000)
LIMIT = 100
EFFECTS = ("allow", "allow", "deny", "escalate")
_MATCH_WORD = {"allow": "auto", "deny": "block", "escalate": "approve"}
_RULES_WORD = {"allow": "allow", "deny": "deny", "escalate": "hitl"}


@dataclass(frozen=True)
class Shape:
    """How rule number `i` looks in each language; None where the language cannot say it."""

    name: str
    rules: Callable[[int], str] | None
    match: Callable[[int], str]
    rego: Callable[[int], str]
    cedar: Callable[[int], str]
    hit: Callable[[int], dict[str, Any]]
    miss: tuple[dict[str, Any], ...]


def _args(**extra: Any) -> dict[str, Any]:
    return {"amount": 42, "note": "monthly", **extra}


def _glob(i: int) -> str:
    return f"svc_{i}_*" if i % 2 == 0 else f"*_{i}_delete"


def _glob_rego(i: int) -> str:
    return f'startswith(input.action, "svc_{i}_")' if i % 2 == 0 else f'endswith(input.action, "_{i}_delete")'


DISTINCT = Shape(
    name="distinct",
    rules=lambda i: f"{{action: tool_{i}, args: {{amount: {{lte: {LIMIT}}}}}}}",
    match=lambda i: f"match: {{type: tool_{i}}}, conditions: {{param_lte: {{amount: {LIMIT}}}}}",
    rego=lambda i: f'input.action == "tool_{i}"; input.args.amount <= {LIMIT}',
    cedar=lambda i: (
        f'(principal, action == Action::"tool_{i}", resource) when {{ context.args.amount <= {LIMIT} }}'
    ),
    hit=lambda i: event(f"tool_{i}", _args()),
    miss=(event("tool_0", _args() | {"amount": 4200}), event("launch_rocket", _args())),
)
GLOBS = Shape(
    name="globs",
    rules=None,
    match=lambda i: f'match: {{type: "{_glob(i)}"}}',
    rego=_glob_rego,
    cedar=lambda i: f'(principal, action, resource) when {{ context.action like "{_glob(i)}" }}',
    hit=lambda i: event(f"svc_{i}_read" if i % 2 == 0 else f"db_{i}_delete", _args()),
    miss=(event("svc_x_read", _args()), event("db_x_delete", _args()), event("launch_rocket", _args())),
)
SAME = Shape(
    name="same_action",
    rules=lambda i: f"{{action: transfer, args: {{account: {{eq: acct_{i}}}, amount: {{lte: {LIMIT}}}}}}}",
    match=lambda i: (
        f"match: {{type: transfer}}, "
        f"conditions: {{param_eq: {{account: acct_{i}}}, param_lte: {{amount: {LIMIT}}}}}"
    ),
    rego=lambda i: (
        f'input.action == "transfer"; input.args.account == "acct_{i}"; input.args.amount <= {LIMIT}'
    ),
    cedar=lambda i: (
        f'(principal, action == Action::"transfer", resource) '
        f'when {{ context.args.account == "acct_{i}" && context.args.amount <= {LIMIT} }}'
    ),
    hit=lambda i: event("transfer", _args(account=f"acct_{i}")),
    miss=(
        event("transfer", _args(account="acct_0") | {"amount": 4200}),
        event("transfer", _args(account="acct_none")),
    ),
)
SHAPES = (DISTINCT, GLOBS, SAME)

_REGO_HEAD = """package bench

import rego.v1

decision := {"outcome": "deny", "rules": deny_by} if {
	count(deny_by) > 0
} else := {"outcome": "escalate", "rules": escalate_by} if {
	count(escalate_by) > 0
} else := {"outcome": "allow", "rules": allow_by} if {
	count(allow_by) > 0
} else := {"outcome": "deny", "rules": []}
"""


def cases(shape: Shape, size: int) -> list[Case]:
    """Twelve events that hit rules at the front, in the middle and at the end, and the misses."""
    middle = size // 2 - size // 2 % 4
    places = sorted({*range(4), *range(middle, middle + 4), *range(size - 4, size)} & set(range(size)))
    hits = [Case(f"rule {i}", EFFECTS[i % 4], shape.hit(i)) for i in places]
    return hits + [Case(f"miss {n}", "deny", missing) for n, missing in enumerate(shape.miss)]


def write(shape: Shape, size: int, folder: Path) -> Path:
    """Writes the set's files (skipping the languages that cannot express it) and returns their folder."""
    folder = folder / f"{shape.name}-{size}"
    folder.mkdir(parents=True, exist_ok=True)
    effects = [(i, EFFECTS[i % 4]) for i in range(size)]
    texts = {
        "match.yaml": 'version: "1"\ndefaults: {approval: block}\nrules:\n'
        + "".join(f"  - {{name: r{i}, {shape.match(i)}, approval: {_MATCH_WORD[e]}}}\n" for i, e in effects),
        "policy.rego": _REGO_HEAD
        + "".join(f'\n{e}_by contains "r{i}" if {{ {shape.rego(i)} }}\n' for i, e in effects),
        "policy.cedar": "".join(_cedar_rule(shape.cedar(i), e) for i, e in effects),
    }
    if shape.rules:
        texts["rules.yaml"] = "version: 1\nrules:\n" + "".join(
            f"  - {{name: r{i}, when: {shape.rules(i)}, then: {_RULES_WORD[e]}}}\n" for i, e in effects
        )
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _cedar_rule(body: str, effect: str) -> str:
    return f"permit {body};\n" if effect == "allow" else f'@verdict("{effect}") forbid {body};\n'
