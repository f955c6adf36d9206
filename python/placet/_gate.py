"""The gate: everything that can decide, behind one way to ask."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NoReturn, TypeAlias

from . import _core, _tracing
from ._approvals import ApprovalHandler, asker
from ._audit import AuditLog
from ._bridge import off_loop
from ._core import Diagnostic, FrozenEvent, PolicyDecision, SanitizedResponse
from ._credentials import CredentialBroker
from ._errors import AuditError
from ._evaluators import decide_async, decide_sync
from ._models import GovernanceEvent, PolicyEvaluator, SessionContext, ToolCallInput
from ._notify import Notifier, attend

PolicyPath: TypeAlias = str | os.PathLike[str]
PolicyPaths: TypeAlias = PolicyPath | Sequence[PolicyPath]


def _paths(given: PolicyPaths | None) -> list[PolicyPath]:
    if given is None:
        return []
    return [given] if isinstance(given, (str, os.PathLike)) else list(given)


class PolicyGate:
    """Decides events: by its own policies (the embedded engine), or by asking `opa_client`.

    It never allows because something failed: whatever goes wrong is a deny with a reason.
    """

    def __init__(
        self,
        opa_client: PolicyEvaluator | None = None,
        *,
        policies: PolicyPaths | None = None,
        global_policies: PolicyPaths | None = None,
        config: PolicyPath | None = None,
        ledger: PolicyPath | None = None,
        audit_log: PolicyPath | None = None,
        audit_log_rotation: Mapping[str, int | None] | None = None,
        keys: PolicyPath | None = None,
        credential_broker: CredentialBroker | None = None,
        clock: Callable[[], datetime] | None = None,
        approvals: ApprovalHandler | None = None,
        on_escalate: Literal["raise", "wait"] | None = None,
        approval_timeout_seconds: float = 300,
        notify: Sequence[Notifier] = (),
    ) -> None:
        self._asker = asker(approvals, on_escalate, approval_timeout_seconds)
        if opa_client is not None and any(value is not None for value in (policies, global_policies)):
            raise ValueError("give either `opa_client` or `policies` and `global_policies`, not both")
        if credential_broker is not None and not isinstance(credential_broker, CredentialBroker):
            raise TypeError(f"`credential_broker` must be a CredentialBroker, got {credential_broker!r}")
        self._engine = _core.Engine(
            _paths(policies),
            _paths(global_policies),
            config,
            clock,
            ledger,
            audit_log,
            None if audit_log_rotation is None else dict(audit_log_rotation),
            keys,
            None if credential_broker is None else credential_broker._core,
            opa_client is not None,
            _tracing.for_gate,
        )
        self._evaluator = opa_client
        self._attendant = attend(self, self._engine, notify)

    async def evaluate_tool_call(self, call: ToolCallInput, context: SessionContext) -> PolicyDecision:
        """Decides a tool call, and records the decision."""
        return await self._answer_async(_core.freeze_call(call, context), context, "tool_call", call.action)

    async def evaluate(self, event: GovernanceEvent) -> PolicyDecision:
        """Decides any event, and records the decision."""
        return await self._answer_async(
            _core.freeze_event(event), event.context, event.event_type, event.action
        )

    async def evaluate_plan(
        self, steps: Sequence[Mapping[str, Any]], context: SessionContext
    ) -> PolicyDecision:
        """Decides a plan before any of its steps runs."""
        return await self.evaluate(_plan(steps, context))

    def decide_tool_call(self, call: ToolCallInput, context: SessionContext) -> PolicyDecision:
        """As `evaluate_tool_call`, without an event loop."""
        return self._answer(_core.freeze_call(call, context), context, "tool_call", call.action)

    def decide(self, event: GovernanceEvent) -> PolicyDecision:
        """As `evaluate`, without an event loop."""
        return self._answer(_core.freeze_event(event), event.context, event.event_type, event.action)

    def decide_plan(self, steps: Sequence[Mapping[str, Any]], context: SessionContext) -> PolicyDecision:
        """As `evaluate_plan`, without an event loop."""
        return self.decide(_plan(steps, context))

    def decide_document(self, document: str | bytes) -> PolicyDecision:
        """Decides a whole event document given as JSON, as `placet check` does.

        For tests, replays and recorded events: the document may carry any field, its `now` included, and
        whoever wrote it is believed. Only a gate with policies of its own can do so.
        """
        if self._evaluator is not None:
            raise ValueError("`decide_document` needs a gate with `policies`; another evaluator decides here")
        return self._engine.decide_document(document)

    def sanitize_response(self, text: str) -> SanitizedResponse:
        """Looks for prompt injection in a text and takes it out."""
        return self._engine.sanitize(text)

    def close(self) -> None:
        """Tells people what is still to be told, and ends the thread that does."""
        if self._attendant is not None:
            self._attendant.close()

    async def health(self) -> bool:
        """Whether it could decide now."""
        return True if self._evaluator is None else await self._evaluator.health()

    def _answer(
        self, event: FrozenEvent | PolicyDecision, context: SessionContext, kind: str, action: object
    ) -> PolicyDecision:
        engine = self._engine
        if isinstance(event, PolicyDecision):
            return engine.note_invalid(event, context, kind, action)
        if self._evaluator is None:
            return engine.decide(event)
        if not engine.records:
            return self._ask_sync(event, context)
        call = engine.question(event)
        prepared = call.prepare()
        return call.note_decision(None if prepared is None else self._ask_sync(prepared, context))

    async def _answer_async(
        self, event: FrozenEvent | PolicyDecision, context: SessionContext, kind: str, action: object
    ) -> PolicyDecision:
        engine = self._engine
        if isinstance(event, PolicyDecision):
            return await off_loop(engine.waits, engine.note_invalid, event, context, kind, action)
        if self._evaluator is None:
            return await off_loop(engine.waits, engine.decide, event)
        if not engine.records:
            return await self._ask_async(event, context)
        call = engine.question(event)
        prepared = await off_loop(engine.waits, call.prepare)
        decision = None if prepared is None else await self._ask_async(prepared, context)
        return await off_loop(engine.waits, call.note_decision, decision)

    def _decide(self, event: FrozenEvent, context: SessionContext) -> PolicyDecision:
        """As a tier of another gate, which records what comes of it."""
        return self._engine.judge(event) if self._evaluator is None else self._ask_sync(event, context)

    async def _decide_async(self, event: FrozenEvent, context: SessionContext) -> PolicyDecision:
        return self._engine.judge(event) if self._evaluator is None else await self._ask_async(event, context)

    def _ask_sync(self, event: FrozenEvent, context: SessionContext) -> PolicyDecision:
        assert self._evaluator is not None
        return decide_sync(self._evaluator, event, context)

    async def _ask_async(self, event: FrozenEvent, context: SessionContext) -> PolicyDecision:
        assert self._evaluator is not None
        return await decide_async(self._evaluator, event, context)

    def _refuse(self, call: _core.Call) -> NoReturn:
        """Records and raises the refusal of a call that could not be bound."""
        call.begin()
        raise AssertionError("a call that cannot be bound was not refused")

    async def _refuse_async(self, call: _core.Call) -> NoReturn:
        await off_loop(self._engine.waits, call.begin)
        raise AssertionError("a call that cannot be bound was not refused")

    @property
    def audit(self) -> AuditLog:
        """The log of this gate; raises `AuditError` when it keeps none that outlives the process."""
        log = self._engine.log
        if log is None:
            raise AuditError("this gate keeps no log; give `ledger` a path or a PostgreSQL address")
        return AuditLog._of(log)

    @property
    def policy_version(self) -> str | None:
        """The digest of exactly the policies in force; None when another evaluator decides."""
        return None if self._evaluator else self._engine.policy_version

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """Warnings and notes about the policies in force."""
        return () if self._evaluator else self._engine.findings

    @property
    def reload_failure(self) -> str | None:
        """Why the policy files as they stand now are not in force; None when they are."""
        return None if self._evaluator else self._engine.reload_failure

    def __repr__(self) -> str:
        by = repr(self._evaluator) if self._evaluator else self.policy_version
        return f"<PolicyGate {by}>"


def _plan(steps: Sequence[Mapping[str, Any]], context: SessionContext) -> GovernanceEvent:
    return GovernanceEvent(
        event_type="agent.plan",
        session_id=context.session_id,
        action="agent.plan",
        context=context,
        steps=steps,
    )
