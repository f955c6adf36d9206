"""The gate: fail closed (promise 1), one outcome (promise 3), evaluators of one's own (Kite R1, 20.11)."""

import asyncio
import dataclasses
import datetime
import itertools
import logging
import pickle
import time

import pytest

import placet
from conftest import POLICY, refusal


def call(action="pay", **args):
    return placet.ToolCallInput(action=action, args=args)


# opening


def test_promise_1_a_gate_without_policies_does_not_open(tmp_path):
    for options in ({}, {"policies": tmp_path}, {"policies": tmp_path / "nowhere"}, {"policies": []}):
        with pytest.raises(placet.PolicyError):
            placet.PolicyGate(**options)


def test_policy_errors_carry_every_finding(open_gate):
    text = """
        version: 1
        rules:
          - { name: one, wen: {}, then: deny }
          - { name: two, when: { rol: x }, then: deny }
    """
    with pytest.raises(placet.PolicyError) as caught:
        open_gate(text)
    error = caught.value
    assert isinstance(error, ValueError)
    assert error.code == "policy_invalid"
    assert {finding.line for finding in error.diagnostics} == {4, 5}
    assert all(f.severity == "error" and f.code and f.file.endswith("policy.yaml") for f in error.diagnostics)
    assert str(error.diagnostics[0]) in str(error)


def test_several_paths_and_a_configuration(tmp_path, context):
    for name, action in (("a", "one"), ("b", "two"), ("c", "three")):
        rule = f"version: 1\nrules:\n  - {{ name: r, when: {{ action: {action} }}, then: allow }}\n"
        (tmp_path / f"{name}.yaml").write_text(rule)
    (tmp_path / "placet.yaml").write_text("policies: c.yaml\n")
    gate = placet.PolicyGate(
        policies=[tmp_path / "a.yaml", str(tmp_path / "b.yaml")], config=tmp_path / "placet.yaml"
    )
    allowed = [
        gate.decide_tool_call(call(action), context).allow for action in ("one", "two", "three", "four")
    ]
    assert allowed == [True, True, True, False]
    (tmp_path / "placet.yaml").write_text("polices: c.yaml\n")
    with pytest.raises(placet.ConfigError, match="polices"):
        placet.PolicyGate(config=tmp_path / "placet.yaml")


@pytest.mark.parametrize(
    "setting", ["policies: [p.yaml]", "global: { policies: p.yaml }", "library: [read_only]"]
)
def test_a_gate_that_asks_elsewhere_refuses_policies_of_its_configuration(tmp_path, setting):
    (tmp_path / "placet.yaml").write_text(f"{setting}\nledger: off\n")
    with pytest.raises(ValueError, match="`opa_client` decides alone"):
        placet.PolicyGate(placet.OPAClient(), config=tmp_path / "placet.yaml")
    (tmp_path / "placet.yaml").write_text("ledger: off\n")
    placet.PolicyGate(placet.OPAClient(), config=tmp_path / "placet.yaml")


def test_variables_override_the_configuration_and_keywords_override_variables(tmp_path, monkeypatch, context):
    for action in ("one", "two", "three"):
        rule = f"version: 1\nrules:\n  - {{ name: r, when: {{ action: {action} }}, then: allow }}\n"
        (tmp_path / f"{action}.yaml").write_text(rule)
    (tmp_path / "placet.yaml").write_text("policies: one.yaml\nlibrary: [tool_allowlist]\n")

    def allowed(**options):
        gate = placet.PolicyGate(**options)
        actions = ("one", "two", "three")
        return [action for action in actions if gate.decide_tool_call(call(action), context).allow]

    config = tmp_path / "placet.yaml"
    assert allowed(config=config) == []
    monkeypatch.setenv("PLACET_LIBRARY", "")
    assert allowed(config=config) == ["one"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLACET_POLICIES", "two.yaml")
    assert allowed(config=config) == ["two"]
    assert allowed() == ["two"]
    assert allowed(policies="three.yaml") == ["three"]
    assert allowed(policies="three.yaml", config=config) == ["one", "three"]
    monkeypatch.setenv("PLACET_GLOBAL_POLICIES", "one.yaml")
    monkeypatch.setenv("PLACET_GLOBAL_MODE", "grant")
    assert allowed() == []
    assert allowed(global_policies="two.yaml") == ["two"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PLACET_LIFECYCLE", "off", "`PLACET_LIFECYCLE` is `off`; it accepts `true` or `false`"),
        ("PLACET_POLICIES", "nowhere", "`PLACET_POLICIES` is `nowhere`: there is no `.*nowhere`"),
        ("PLACET_LIBARY", "read_only", "`PLACET_LIBARY` is no setting; did you mean `PLACET_LIBRARY`"),
    ],
)
def test_promise_1_a_bad_variable_opens_no_gate(open_gate, monkeypatch, name, value, words):
    monkeypatch.setenv("PLACET_OPA", "x")
    open_gate()
    monkeypatch.setenv(name, value)
    with pytest.raises(placet.ConfigError, match=words) as caught:
        open_gate()
    assert caught.value.code == "config_invalid"


def test_a_whole_document_is_decided_as_the_command_does(open_gate):
    gate = open_gate(
        "version: 1\nrules:\n"
        "  - { name: early, match: { type: pay }, conditions: { time_before: '09:00' }, approval: auto }\n",
        clock=lambda: datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC),
    )
    context = '"context": {"session_id": "s", "delegation_depth": 0}'
    assert gate.decide_document(f'{{"action": "pay", {context}}}').verdict == "deny"
    early = f'{{"action": "pay", "now": "2026-11-21T08:00:00Z", {context}}}'
    assert [gate.decide_document(form).verdict for form in (early, early.encode())] == ["allow", "allow"]
    for broken in ("", "[]", "{", '{"acton": "pay"}', '{"action": "a", "action": "pay"}', "\ud800", b"\xff"):
        decision = gate.decide_document(broken)
        assert (decision.verdict, decision.code, decision.hard) == ("deny", "invalid_request", True), broken
    with pytest.raises(TypeError, match="must be JSON as str or bytes, got dict"):
        gate.decide_document({})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a gate with `policies`"):
        placet.PolicyGate(placet.OPAClient()).decide_document("{}")


def test_global_policies_restrict_and_do_not_grant(tmp_path, context):
    (tmp_path / "global.yaml").write_text(
        "version: 1\nrules:\n"
        "  - { name: never, when: { action: wipe }, then: block, reason: never }\n"
        "  - { name: yes, when: { action: other }, then: allow }\n"
    )
    (tmp_path / "project.yaml").write_text(
        "version: 1\nrules:\n  - { name: yes, when: { action: [wipe, pay] }, then: allow }\n"
    )
    gate = placet.PolicyGate(policies=tmp_path / "project.yaml", global_policies=tmp_path / "global.yaml")
    verdicts = [gate.decide_tool_call(call(action), context).verdict for action in ("wipe", "pay", "other")]
    assert verdicts == ["deny", "allow", "deny"]
    trace = gate.decide_tool_call(call("wipe"), context).resolution_trace
    assert [step.tier for step in trace] == ["core", "global", "project"]


def test_relative_paths_hold_when_the_process_goes_elsewhere(tmp_path, monkeypatch, context):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "p.yaml").write_text(POLICY)
    monkeypatch.chdir(tmp_path)
    gate = placet.PolicyGate(policies="policies")
    monkeypatch.chdir("/")
    time.sleep(1.1)  # the next look at the files finds them where they were
    assert gate.decide_tool_call(call(amount=5), context).allow
    assert gate.reload_failure is None


def within_two_seconds(holds):
    """Asks again until it holds: files are looked at once a second."""
    deadline = time.monotonic() + 2
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_f50_an_edit_counts_within_two_seconds_and_a_broken_one_alerts(tmp_path, context, caplog):
    caplog.set_level("INFO", logger="placet")
    path = tmp_path / "p.yaml"
    path.write_text(POLICY)
    gate = placet.PolicyGate(policies=path)

    def decide():
        return gate.decide_tool_call(call(amount=150), context)

    before = decide()
    assert (before.verdict, before.rule_matched) == ("deny", "soft_limit")
    path.write_text(POLICY.replace("gt: 100}", "gt: 200}"))
    within_two_seconds(lambda: decide().allow)
    version = gate.policy_version
    assert version != before.policy_version
    assert decide().policy_version == version
    (told,) = caplog.records
    assert (told.name, told.levelname) == ("placet.policy", "INFO")
    assert version in told.getMessage()

    caplog.clear()
    path.write_text("version: [")
    within_two_seconds(lambda: decide().allow and gate.reload_failure)
    assert (decide().allow, gate.policy_version) == (True, version)
    (alert,) = caplog.records
    assert (alert.name, alert.levelname) == ("placet.policy", "ERROR")
    assert "p.yaml:2:1: error[yaml/syntax]" in alert.getMessage()
    assert "p.yaml" in gate.reload_failure


def test_f50_who_listens_to_the_alert_may_ask_the_gate(tmp_path, context):
    path = tmp_path / "p.yaml"
    path.write_text(POLICY)
    gate = placet.PolicyGate(policies=path)
    heard = []

    class Ask(logging.Handler):
        def emit(self, record):
            heard.append((gate.reload_failure, gate.decide_tool_call(call(amount=5), context).verdict))

    handler = Ask()
    logging.getLogger("placet.policy").addHandler(handler)
    try:
        path.write_text("version: [")
        within_two_seconds(lambda: gate.decide_tool_call(call(amount=5), context).allow and heard)
    finally:
        logging.getLogger("placet.policy").removeHandler(handler)
    ((failure, verdict),) = heard
    assert ("p.yaml" in failure, verdict) == (True, "allow")


def test_what_cannot_go_together_is_refused(open_gate):
    with pytest.raises(TypeError, match="CredentialBroker"):
        open_gate(credential_broker="x")
    with pytest.raises(placet.ConfigError, match="is no ledger; write a file, `postgresql:"):
        open_gate(ledger="mysql://somewhere")
    with pytest.raises(ValueError, match="not both"):
        placet.PolicyGate(placet.OPAClient(), policies="policies")


# deciding


def test_sync_and_async_decide_alike(gate, context):
    event = placet.GovernanceEvent(
        event_type="tool_call", session_id="s1", context=context, action="pay", args={"amount": 500}
    )
    steps = [{"tool_name": "execute_shell"}]
    pairs = [
        (
            gate.decide_tool_call(call(amount=500), context),
            gate.evaluate_tool_call(call(amount=500), context),
        ),
        (gate.decide(event), gate.evaluate(event)),
        (gate.decide_plan(steps, context), gate.evaluate_plan(steps, context)),
    ]
    for decision, coroutine in pairs:
        other = asyncio.run(_await(coroutine))
        assert (decision.verdict, decision.reason, decision.rules) == (
            other.verdict,
            other.reason,
            other.rules,
        )
        assert decision.decision_id != other.decision_id


async def _await(coroutine):
    return await coroutine


def test_an_event_of_another_session_than_its_context_is_refused(gate, context):
    event = placet.GovernanceEvent(event_type="tool_call", session_id="s2", context=context, action="pay")
    decision = gate.decide(event)
    assert (decision.verdict, decision.code) == ("deny", "invalid_request")


def test_a_decision_carries_everything(gate, context):
    decision = gate.decide_tool_call(
        placet.ToolCallInput(action="pay", args={"amount": 500}, target="bank"), context
    )
    (rule,) = decision.rules
    assert (rule.name, rule.line) == ("soft_limit", 5)
    assert decision.inputs["args.amount"] == 500
    assert (decision.action.type, decision.action.target, decision.action.params) == (
        "pay",
        "bank",
        {"amount": 500},
    )
    assert (decision.risk_level, decision.approval, decision.matched_rule) == (2, "block", "soft_limit")
    assert (decision.identity, decision.policy_version) == ("asserted", gate.policy_version)
    document = decision.to_dict()
    assert list(document) == [
        "decision_id", "verdict", "hard", "reason", "code", "risk_tier", "rule_matched", "rules", "reviewers",
        "policy_version", "identity", "trace",
    ]  # fmt: skip
    assert "deny by soft_limit" in repr(decision)


def test_the_clock_is_injected_and_never_runs_backwards(open_gate, context):
    policy = """
        version: 1
        rules:
          - name: late
            match: { type: "pay" }
            conditions: { time_after: "18:00", timezone: UTC }
            approval: auto
        defaults: { approval: block }
    """
    hours = [19, 10, 19]
    told = [datetime.datetime(2026, 1, 1, hour, tzinfo=datetime.UTC) for hour in hours]
    times = iter(told)
    gate = open_gate(policy, clock=lambda: next(times))
    assert [gate.decide_tool_call(call(), context).allow for _ in hours] == [True, True, True]
    for clock in (lambda: datetime.datetime(2026, 1, 1), lambda: 5, lambda: 1 / 0):
        decision = open_gate(policy, clock=clock).decide_tool_call(call(), context)
        assert (decision.verdict, decision.code) == ("deny", "evaluator_failure")


def test_errors_and_contexts_can_be_pickled(gate, context):
    error = refusal(placet.governed(gate=gate, context=context, action="pay")(lambda amount: None), 500)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.decision.to_dict()) == (str(error), error.decision.to_dict())
    assert pickle.loads(pickle.dumps(context)) == context
    escalated = gate.decide_tool_call(call("buy"), context)
    assert pickle.loads(pickle.dumps(escalated)).reviewers == ("buyers",)


# contexts


def test_contexts_are_immutable_and_checked(context):
    with pytest.raises(dataclasses.FrozenInstanceError):
        context.user_role = "admin"
    scopes = ["a"]
    other = placet.SessionContext(session_id="s", user_role="r", session_scopes=scopes)
    scopes.append("root")
    assert other.session_scopes == ("a",)
    assert dataclasses.replace(other, user_role="x").user_role == "x"
    for field, value in (
        ("session_scopes", "admin"), ("session_scopes", [1]), ("user_role", 5), ("user_role", None),
        ("sandbox_verified", 1), ("delegation_depth", -1), ("delegation_depth", True),
        ("delegation_depth", "0"),
        ("budget_used_tokens", -1), ("budget_used_tokens", "5"), ("budget_total_cost_cents", float("nan")),
        ("attributes", [1]), ("tenant_id", 5),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=field):
            dataclasses.replace(context, **{field: value})


def test_attributes_are_a_copy_that_policies_see(open_gate):
    policy = """
        version: 1
        rules:
          - { name: r, when: { action: pay, context.attributes.team: { eq: red } }, then: allow }
    """
    attributes = {"team": "red"}
    context = placet.SessionContext(session_id="s", user_role="r", session_scopes=[], attributes=attributes)
    attributes["team"] = "blue"
    assert open_gate(policy).decide_tool_call(call(), context).allow


def test_f79_what_a_context_says_was_used_is_what_a_session_spent(tmp_path):
    (tmp_path / "budget.rego").write_text("""
package kitelogik.agent_resource

default decision := {"allow": true}

decision := {"allow": false, "reason": "session token budget exhausted"} {
    input.session.tokens_spent > 100000
}
""")
    gate = placet.PolicyGate(policies=tmp_path)

    def budget(used):
        context = placet.SessionContext(
            session_id="s1", user_role="r", session_scopes=[], budget_used_tokens=used
        )
        event = placet.GovernanceEvent(event_type="agent.budget", session_id="s1", context=context)
        return gate.decide(event)

    assert (budget(100_000).allow, budget(100_001).allow) == (True, False)


# promise 3


def test_promise_3_flags_make_one_outcome():
    for allow, deny, ask in itertools.product((True, False), repeat=3):
        decision = placet.PolicyDecision(allow=allow, deny=deny, requires_hitl=ask)
        expected = "deny" if deny else "escalate" if ask else "allow" if allow else "deny"
        assert decision.verdict == expected
        assert [decision.allow, decision.deny, decision.requires_hitl].count(True) == (
            expected != "deny" or deny
        )


def test_flags_are_strict():
    for flags in ({"allow": 1}, {"allow": "yes"}, {"deny": None}, {"risk_tier": "BOGUS"}, {"risk_tier": 3}):
        with pytest.raises((TypeError, ValueError)):
            placet.PolicyDecision(**flags)
    with pytest.raises(TypeError):
        placet.PolicyDecision(True)
    with pytest.raises(AttributeError):
        placet.PolicyDecision().allow = True


def test_risk_tiers_are_strings_ordered_by_severity():
    names = [
        "INFORMATIONAL",
        "OPERATIONAL",
        "TRANSACTIONAL_LOW",
        "TRANSACTIONAL_HIGH",
        "DESTRUCTIVE",
        "SECURITY_CRITICAL",
    ]
    assert [tier.value for tier in placet.RiskTier] == sorted(
        names, key=lambda name: placet.RiskTier(name).severity
    )
    assert placet.RiskTier.DESTRUCTIVE > placet.RiskTier.OPERATIONAL
    assert max(placet.RiskTier) == "SECURITY_CRITICAL"
    assert f"{placet.RiskTier.OPERATIONAL}" == "OPERATIONAL"


# evaluators of one's own


class Fixed:
    """The engine shim of Kite's reproducers."""

    def __init__(self, **flags):
        self.decision = placet.PolicyDecision(**{"allow": True, "reason": "r", **flags})

    async def health(self):
        return True

    async def evaluate(self, asked):
        self.asked = asked
        return self.decision

    evaluate_event = evaluate


def test_kite_r1_an_escalating_evaluator_never_lets_a_call_run(context):
    box = placet.GovernedToolbox(placet.PolicyGate(Fixed(requires_hitl=True)), context)
    box.register("pay", lambda: "PAID")
    assert refusal(box.call_sync, "pay", {}).decision.requires_hitl


def test_kite_r20_global_silence_is_not_overruled_by_the_project(context):
    gate = placet.PolicyGate(placet.HierarchicalEvaluator(Fixed(allow=False), Fixed()))
    decision = gate.decide_tool_call(call(), context)
    assert (decision.allow, decision.deny, decision.reason) == (False, False, "[global] r")


class Odd(Fixed):
    def __init__(self, behave):
        self.behave = behave

    async def evaluate(self, asked):
        return self.behave()

    evaluate_event = evaluate


def raise_(error):
    raise error


class Impostor:
    allow = True
    verdict = "allow"
    hard = deny = requires_hitl = False


@pytest.mark.parametrize(
    "behave",
    [
        lambda: None,
        lambda: True,
        lambda: {"allow": True},
        Impostor,
        lambda: placet.PolicyDecision(allow="yes"),
        lambda: raise_(ValueError("boom")),
        lambda: raise_(TypeError("boom")),
        lambda: raise_(StopIteration()),
        lambda: raise_(TimeoutError()),
        lambda: raise_(placet.GovernanceError("x", placet.PolicyDecision(allow=True))),
    ],
)
def test_kite_20_11_whatever_an_evaluator_does_wrong_is_a_deny(context, behave):
    event = placet.GovernanceEvent(event_type="agent.spawn", session_id="s1", context=context)
    ran = []
    for evaluator in (Odd(behave), placet.HierarchicalEvaluator(Odd(behave), Fixed())):
        gate = placet.PolicyGate(evaluator)
        decisions = [
            gate.decide_tool_call(call(), context),
            asyncio.run(gate.evaluate_tool_call(call(), context)),
            gate.decide(event),
            refusal(placet.governed(gate=gate, context=context)(lambda: ran.append(1))).decision,
        ]
        assert [(d.verdict, d.hard, d.code) for d in decisions] == [("deny", True, "evaluator_failure")] * 4
        assert all(d.risk_tier == "SECURITY_CRITICAL" for d in decisions)
    assert ran == []


def test_kite_r19_a_connection_error_has_its_own_code(context):
    gate = placet.PolicyGate(Odd(lambda: raise_(placet.OPAConnectionError("down"))))
    decision = gate.decide_tool_call(call(), context)
    assert (decision.deny, decision.code, decision.rule_matched) == (
        True,
        "opa_connection_failure",
        "opa_connection_failure",
    )


def test_an_evaluator_without_a_method_is_a_deny_and_a_sync_one_works(context):
    class Nothing:
        pass

    class Sync:
        def evaluate(self, asked):
            return placet.PolicyDecision(allow=True)

    assert placet.PolicyGate(Nothing()).decide_tool_call(call(), context).code == "evaluator_failure"
    assert placet.PolicyGate(Sync()).decide_tool_call(call(), context).allow


def test_an_evaluator_sees_the_whole_call_and_its_answer_gets_an_id(context):
    evaluator = Fixed()
    gate = placet.PolicyGate(evaluator)
    asked = placet.ToolCallInput(action="pay", args={"amount": 5}, target="bank", tool_tags=["finance.write"])
    first, second = (gate.decide_tool_call(asked, context) for _ in range(2))
    assert first.decision_id != second.decision_id
    assert first.policy_version == "evaluator:Fixed"
    seen = evaluator.asked
    assert isinstance(seen, placet.PolicyInput)
    assert (seen.action, seen.args, seen.target, seen.tool_tags, seen.context) == (
        "pay",
        {"amount": 5},
        "bank",
        ["finance.write"],
        context,
    )
    gate.decide_plan([{"tool_name": "a"}], context)
    assert isinstance(evaluator.asked, placet.GovernanceEvent)
    assert evaluator.asked.steps[0]["tool_name"] == "a"


def test_a_gate_can_be_a_tier(gate, context):
    both = placet.PolicyGate(placet.HierarchicalEvaluator(gate, Fixed()))
    assert both.decide_tool_call(call(amount=5), context).allow
    assert both.decide_tool_call(call(amount=500), context).reason == "[global] more than 100"
    assert asyncio.run(both.evaluate_tool_call(call(amount=5000), context)).deny
    assert asyncio.run(both.health())


def test_cancelling_the_call_cancels_the_question(context):
    class Never(Fixed):
        async def evaluate(self, asked):
            await asyncio.sleep(60)

    wrapped = placet.governed(gate=placet.PolicyGate(Never()), context=context)(_later)

    async def main():
        await asyncio.wait_for(wrapped(), 0.05)

    with pytest.raises(TimeoutError):
        asyncio.run(main())


async def _later():
    raise AssertionError("ran")


def test_a_sync_wrapper_asks_an_async_evaluator_inside_a_running_loop(context):
    class Waiting(Fixed):
        async def evaluate(self, asked):
            await asyncio.sleep(0.01)
            return self.decision

    wrapped = placet.governed(gate=placet.PolicyGate(Waiting()), context=context)(lambda: "ran")

    async def main():
        return wrapped()

    assert wrapped() == asyncio.run(main()) == "ran"
