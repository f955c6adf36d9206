"""The cases of `conformance/cases`, put to a gate of the Python package."""

import datetime
import json

import placet
from conformance_cases import NOW, known_failures, sets


def test_every_case_comes_out_as_stated(tmp_path):
    seen, failures = set(), {}
    for number, cases in enumerate(sets()):
        config = cases.write(tmp_path / str(number))
        gate = placet.PolicyGate(
            config=config, ledger="off", clock=lambda: datetime.datetime.fromisoformat(NOW)
        )
        for case in cases.cases:
            assert case.id not in seen, f"two cases are called {case.id}"
            seen.add(case.id)
            decision = gate.decide_document(json.dumps(case.event))
            if differences := case.differences(decision.to_dict()):
                failures[case.id] = differences
    known = known_failures("python")
    unlisted = {id: why for id, why in failures.items() if id not in known}
    assert not unlisted, f"{len(unlisted)} cases fail: {json.dumps(unlisted, indent=1)}"
    assert not known - failures.keys(), "these pass or are gone; take them off the list"
    assert len(seen) >= 2_000, f"only {len(seen)} cases were found"
