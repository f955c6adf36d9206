"""Kite Logik's shipped Rego with a workload's YAML rules compiled by Kite Logik itself.

Usage (Kite Logik's interpreter): kite_bundle.py WORKLOAD_FOLDER TARGET_FOLDER
"""
# SPDX-License-Identifier: MIT OR Apache-2.0

from __future__ import annotations

import sys
from pathlib import Path

import kitelogik
from kitelogik import compile_yaml

# Reads the bundle's flags in the order in which Kite Logik's wrapper reads them.
_OUTCOME = """package bench

import rego.v1

outcome := "deny" if {
	data.kitelogik.main.deny
} else := "allow" if {
	data.kitelogik.main.allow
} else := "escalate" if {
	data.kitelogik.main.requires_hitl
} else := "deny"

decision := {
	"outcome": outcome,
	"risk_tier": data.kitelogik.main.risk_tier,
	"reasons": data.kitelogik.main.deny_reason,
}
"""


def bundle(folder: Path) -> dict[str, str]:
    """File name to Rego text."""
    shipped = (Path(kitelogik.__file__).parent / "policies").glob("*.rego")
    files = {
        f.name: f.read_text(encoding="utf-8") for f in sorted(shipped) if not f.name.endswith("_test.rego")
    }
    return files | {"compiled_rules.rego": compile_yaml(folder / "rules.yaml")}


def main() -> None:
    """Writes the bundle with one more module that gives the outcome in one word."""
    workload, target = Path(sys.argv[1]), Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    for name, text in (bundle(workload) | {"outcome.rego": _OUTCOME}).items():
        (target / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
