"""The compiled part of Placet. Private: import from `placet`."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from os import PathLike
from typing import Any, Self, final

from ._models import Action, Approval, GovernanceEvent, RiskLevel, RiskTier, SessionContext, ToolCallInput

__version__: str

__all__ = [
    "ApprovalQueue",
    "Asker",
    "Broker",
    "Call",
    "Clerk",
    "Context",
    "Diagnostic",
    "Engine",
    "FrozenEvent",
    "HolderKey",
    "Log",
    "Memories",
    "Opa",
    "PolicyDecision",
    "Receiver",
    "ResolutionStep",
    "RuleRef",
    "SanitizedResponse",
    "Signed",
    "Stop",
    "TextStream",
    "Tool",
    "__version__",
    "adopt",
    "after_fork",
    "before_fork",
    "capture",
    "clean",
    "clean_counted",
    "combine_tiers",
    "compile_yaml",
    "compile_yaml_string",
    "failure",
    "freeze_call",
    "freeze_event",
    "main",
    "metrics",
    "normal_form",
    "refusal_of_plan",
    "restore_decision",
    "sanitize_tool_output",
    "sanitize_tool_schema",
    "spans_dropped",
    "tagged_step",
]

@final
class PolicyDecision:
    """A decision with its reasons: one verdict, never two flags.

    Evaluators of one's own build it from flags: `deny` is a hard deny, nothing at all is a soft one, and
    where flags contradict each other the strictest counts.
    """

    def __new__(
        cls,
        *,
        allow: bool = False,
        deny: bool = False,
        requires_hitl: bool = False,
        risk_tier: str = "OPERATIONAL",
        reason: str = "",
        rule_matched: str | None = None,
        resolution_trace: Sequence[ResolutionStep] = ...,
        reviewers: Sequence[str] = ...,
        policy_version: str = "",
    ) -> Self: ...
    @property
    def decision_id(self) -> str: ...
    @property
    def verdict(self) -> str: ...
    @property
    def hard(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def risk_tier(self) -> RiskTier: ...
    @property
    def rule_matched(self) -> str | None: ...
    @property
    def rules(self) -> tuple[RuleRef, ...]: ...
    @property
    def reviewers(self) -> tuple[str, ...]: ...
    @property
    def approval_id(self) -> str | None: ...
    @property
    def policy_version(self) -> str: ...
    @property
    def identity(self) -> str: ...
    @property
    def trace(self) -> tuple[ResolutionStep, ...]: ...
    @property
    def resolution_trace(self) -> tuple[ResolutionStep, ...]: ...
    @property
    def inputs(self) -> dict[str, Any]: ...
    @property
    def allow(self) -> bool: ...
    @property
    def deny(self) -> bool: ...
    @property
    def requires_hitl(self) -> bool: ...
    @property
    def is_allowed(self) -> bool: ...
    @property
    def approval(self) -> Approval: ...
    @property
    def risk_level(self) -> RiskLevel: ...
    @property
    def matched_rule(self) -> str: ...
    @property
    def action(self) -> Action | None: ...
    def to_dict(self) -> dict[str, Any]: ...
    def to_json(self) -> str: ...

@final
class RuleRef:
    """Which rule: its name and where it stands."""

    @property
    def name(self) -> str: ...
    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class ResolutionStep:
    """What one tier contributed to a decision."""

    def __new__(
        cls,
        *,
        tier: str,
        allow: bool = False,
        deny: bool = False,
        requires_hitl: bool = False,
        risk_tier: str = "OPERATIONAL",
        reason: str = "",
        rule_matched: str | None = None,
    ) -> Self: ...
    @property
    def tier(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def hard(self) -> bool: ...
    @property
    def allow(self) -> bool: ...
    @property
    def deny(self) -> bool: ...
    @property
    def requires_hitl(self) -> bool: ...
    @property
    def risk_tier(self) -> RiskTier: ...
    @property
    def reason(self) -> str: ...
    @property
    def rule_matched(self) -> str | None: ...
    def __eq__(self, value: object, /) -> bool: ...

@final
class Diagnostic:
    """One finding in a policy file: where, what, and what to do."""

    @property
    def severity(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...
    @property
    def message(self) -> str: ...
    @property
    def help(self) -> str | None: ...

@final
class SanitizedResponse:
    """A text after cleaning."""

    @property
    def content(self) -> str: ...
    @property
    def was_modified(self) -> bool: ...
    @property
    def injection_patterns_found(self) -> list[str]: ...
    @property
    def findings(self) -> tuple[tuple[str, float, int, int], ...]: ...
    @property
    def score(self) -> float: ...

@final
class Context:
    """A validated `SessionContext`, as an event with nothing else in it."""

    def __new__(cls, fields: dict[str, Any]) -> Self: ...

@final
class FrozenEvent:
    """An event that nobody can change any more, with a copy of its arguments as Python objects."""

    @property
    def is_tool_call(self) -> bool: ...
    def fields(self) -> dict[str, Any]: ...
    def context_changes(self, context: SessionContext) -> dict[str, Any]: ...

@final
class Call:
    """A governed call on its way through the pipeline."""

    def begin(self) -> None: ...
    def begin_waiting(self, asker: Asker, stop: Stop) -> None: ...
    def start(self) -> tuple[tuple[Any, ...], dict[str, Any]]: ...
    def prepare(self) -> FrozenEvent | None: ...
    def conclude(self, decision: PolicyDecision | None) -> None: ...
    def conclude_waiting(self, decision: PolicyDecision | None, asker: Asker, stop: Stop) -> bool: ...
    def note_decision(self, decision: PolicyDecision | None) -> PolicyDecision: ...
    def succeed(self, result: object, injections: int) -> None: ...
    def fail(self, error: BaseException) -> None: ...
    def returned(self) -> None: ...
    @property
    def trace(self) -> Any: ...
    def abandon(self) -> None: ...

@final
class Log:
    """A ledger, or a mirror of one."""

    def __new__(cls, path: str | PathLike[str]) -> Self: ...
    @property
    def path(self) -> PathLike[str] | None: ...
    @property
    def name(self) -> str: ...
    def query(
        self,
        session: str | None,
        tool: str | None,
        agent: str | None,
        outcomes: list[str],
        verdicts: list[str],
        risks: list[str],
        statuses: list[str],
        since: int | None,
        until: int | None,
        limit: int | None,
    ) -> tuple[list[str], list[int]]: ...
    def verify(self, keys: list[str], checkpoint: str | None) -> str: ...
    def erase(
        self,
        by: str,
        basis: str,
        records: list[str],
        session: str | None,
        agent: str | None,
        tenant: str | None,
        user: str | None,
        containing: str | None,
        before: int | None,
        fields: list[str],
        keys: str | PathLike[str] | None,
        archive: str | PathLike[str] | None,
    ) -> tuple[list[int], list[int], str | None]: ...

@final
class HolderKey:
    """The key pair of a holder. The secret half is never shown; `save` writes it to a file of mode 0600."""

    def __new__(cls) -> Self: ...
    @staticmethod
    def load(path: str | PathLike[str]) -> HolderKey:
        """Reads what `save` wrote."""
    def save(self, path: str | PathLike[str]) -> None:
        """Writes the secret into a new file that only its owner may read."""
    @property
    def public(self) -> str:
        """The public half, as whoever issues or delegates to this holder takes it."""

@final
class Signed:
    """A chain of signed tokens, with the key of its holder where that is here."""

    def __new__(cls, chain: str, key: HolderKey | None, clock: Callable[[], datetime] | None) -> Self: ...
    @property
    def chain(self) -> str: ...
    @property
    def is_held(self) -> bool: ...
    @property
    def changes(self) -> list[str]: ...
    @property
    def hops(
        self,
    ) -> list[tuple[str, str, str | None, str | None, str | None, list[str], int, int, int, str]]: ...
    def delegate(
        self,
        scopes: list[str],
        session_id: str,
        holder: HolderKey | str,
        ttl_seconds: int | None,
        agent_id: str | None,
        max_depth: int | None,
        tools: dict[str, Any] | None,
        calls: dict[str, int],
        budgets: dict[str, int],
    ) -> Signed: ...
    def prove(self, tool: str, args: Mapping[str, Any], audience: str | None) -> str: ...

@final
class Broker:
    """Issues, shows, narrows and revokes the tokens of sessions."""

    def __new__(
        cls,
        ledger: str | PathLike[str] | None,
        keys: str | PathLike[str] | None,
        clock: Callable[[], datetime] | None,
        max_ttl_seconds: int | None,
        max_depth: int | None,
        audience: str | None,
    ) -> Self: ...
    def issue(
        self,
        session_id: str,
        scopes: list[str],
        ttl_seconds: int,
        tenant_id: str | None,
        agent_id: str | None,
        role: str | None,
        tools: dict[str, Any] | None,
        calls: dict[str, int],
        budgets: dict[str, int],
    ) -> tuple[str, str, list[str], int, int, str | None, int]: ...
    def delegate(
        self,
        parent_token_id: str,
        requested_scopes: list[str],
        session_id: str,
        ttl_seconds: int | None,
        agent_id: str | None,
        max_depth: int | None,
        tools: dict[str, Any] | None,
        calls: dict[str, int],
        budgets: dict[str, int],
    ) -> tuple[str, str, list[str], int, int, str | None, int]: ...
    def signed(self, token_id: str, holder: HolderKey | str) -> Signed: ...
    def hold(self, signed: Signed) -> tuple[str, str, list[str], int, int, str | None, int]: ...
    def verify(self, chain: str) -> None: ...
    def issuer_keys(self) -> str: ...
    def validate(self, token_id: str) -> tuple[str, str, list[str], int, int, str | None, int] | None: ...
    def revoke(self, token_id: str) -> bool: ...
    def revoke_session(self, session_id: str) -> int: ...

@final
class Engine:
    """The policies in force, embedded."""

    def __new__(
        cls,
        policies: Sequence[str | PathLike[str]],
        global_policies: Sequence[str | PathLike[str]],
        config: str | PathLike[str] | None,
        clock: Callable[[], datetime] | None,
        ledger: str | PathLike[str] | None,
        audit_log: str | PathLike[str] | None,
        audit_log_rotation: Mapping[str, int | None] | None,
        keys: str | PathLike[str] | None,
        broker: Broker | None,
        external: bool,
        tracing: Callable[[str, str | None], object],
    ) -> Self: ...
    @property
    def is_external(self) -> bool: ...
    @property
    def records(self) -> bool: ...
    @property
    def waits(self) -> bool: ...
    @property
    def log(self) -> Log | None: ...
    @property
    def traces(self) -> bool: ...
    def sanitize(self, text: str) -> SanitizedResponse: ...
    def question(self, event: FrozenEvent) -> Call: ...
    def note_invalid(
        self, decision: PolicyDecision, context: SessionContext, event_type: str, action: object
    ) -> PolicyDecision: ...
    def decide(self, event: FrozenEvent) -> PolicyDecision: ...
    def judge(self, event: FrozenEvent) -> PolicyDecision: ...
    def decide_document(self, document: str | bytes, /) -> PolicyDecision: ...
    @property
    def policy_version(self) -> str: ...
    @property
    def findings(self) -> tuple[Diagnostic, ...]: ...
    @property
    def reload_failure(self) -> str | None: ...

@final
class Tool:
    """A tool under governance: its signature, and everything of its events that is known beforehand."""

    def __new__(
        cls,
        *,
        name: str,
        action: str,
        parameters: list[tuple[str, int, bool, Any, bool]],
        bound: tuple[tuple[Any, ...], dict[str, Any]],
        context: SessionContext,
        engine: Engine,
        tags: Sequence[str] | None,
        target: str | None,
        transport: str | None,
        paths: Sequence[str] | None,
        classification: str | None,
        description: str | None,
    ) -> Self: ...
    def begin(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], Call | None]: ...
    def freeze(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call: ...
    def spread(self, args: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | Call: ...

@final
class Opa:
    """Asks one OPA server; the interpreter goes on while it waits."""

    def __new__(cls, base_url: str, package: str, timeout_seconds: float, token: str | None) -> Self: ...
    @property
    def url(self) -> str: ...
    def decide(self, event: FrozenEvent) -> PolicyDecision: ...
    def health(self) -> bool: ...
    def close(self) -> None: ...

@final
class TextStream:
    """A text that arrives in pieces; one window of it is held back, so that no match is cut in two."""

    def __new__(cls) -> Self: ...
    def push(self, piece: str) -> str: ...
    def finish(self) -> str: ...

def freeze_call(call: ToolCallInput, context: SessionContext) -> FrozenEvent | PolicyDecision: ...
def freeze_event(event: GovernanceEvent) -> FrozenEvent | PolicyDecision: ...
def failure(code: str, reason: str, event: FrozenEvent) -> PolicyDecision: ...
def adopt(answer: object, evaluator: str, event: FrozenEvent) -> PolicyDecision: ...
def combine_tiers(
    global_: PolicyDecision, project: PolicyDecision | None, event: FrozenEvent
) -> PolicyDecision: ...
def tagged_step(step: object, tools: Sequence[Tool]) -> object: ...
def refusal_of_plan(decision: PolicyDecision) -> str | None: ...
def restore_decision(text: str) -> PolicyDecision: ...
def normal_form(name: str) -> str: ...
def clean(value: Any, /) -> Any: ...
def clean_counted(value: Any, /) -> tuple[Any, int]: ...
def before_fork() -> None: ...
def after_fork(is_child: bool) -> None: ...
def sanitize_tool_output(text: str, /) -> SanitizedResponse:
    """Looks for prompt injection in a text and takes it out."""

def sanitize_tool_schema(schema: dict[str, Any], /) -> tuple[dict[str, Any], list[str]]:
    """Cleans a tool's schema; returns it with the labels found. The schema given stays as it is."""

def compile_yaml(path: str | PathLike[str], /) -> str:
    """Exports a YAML policy file to Rego."""

def compile_yaml_string(text: str, /) -> str:
    """Exports a YAML policy given as text to Rego."""

def main(arguments: Sequence[str]) -> int: ...
def capture(arguments: list[str]) -> tuple[int, str, str]: ...

@final
class ApprovalQueue:
    def __new__(
        cls, path: str | PathLike[str], keys: str | PathLike[str] | None, lifetime_seconds: int
    ) -> Self: ...
    def setup(self) -> None: ...
    def enqueue(
        self,
        id: str,
        session_id: str,
        tool_name: str,
        args: dict[str, Any],
        risk_tier: str,
        tenant_id: str | None,
    ) -> None: ...
    def approve(self, id: str, by: str) -> bool: ...
    def deny(self, id: str, by: str, reason: str | None) -> bool: ...
    def get(self, id: str) -> dict[str, Any] | None: ...
    def pending(self) -> list[dict[str, Any]]: ...
    def expire(self, older_than_seconds: float) -> int: ...
    def wait(self, id: str, timeout_seconds: float, stop: Stop) -> dict[str, Any] | None: ...

@final
class Memories:
    def __new__(cls, path: str | PathLike[str], keys: str | PathLike[str] | None) -> Self: ...
    def setup(self) -> None: ...
    def write(
        self,
        tenant: str | None,
        session: str | None,
        key: str,
        value: str,
        tier: str,
        source: str,
        agent: str | None,
        decision: str | None,
        ttl_seconds: int | None,
    ) -> dict[str, Any]: ...
    def read(self, tenant: str | None, session: str | None, key: str) -> dict[str, Any] | None: ...
    def latest(self, tenant: str | None, session: str | None) -> list[dict[str, Any]]: ...
    def history(self, tenant: str | None, session: str | None, key: str) -> list[dict[str, Any]]: ...
    def erase(self, tenant: str | None, session: str | None, key: str, by: str, basis: str) -> int: ...

@final
class Stop:
    def __new__(cls) -> Self: ...
    def stop(self) -> None: ...
    @property
    def is_stopped(self) -> bool: ...

@final
class Receiver:
    @staticmethod
    def webhook(
        timeout_seconds: float, url: str, headers: list[tuple[str, str]], key: bytes | None
    ) -> Receiver: ...
    @staticmethod
    def callback(channel: str, callable: Callable[[Mapping[str, Any]], None]) -> Receiver: ...

@final
class Clerk:
    @staticmethod
    def of(engine: Engine, receivers: list[Receiver]) -> Clerk | None: ...
    def turn(self) -> None: ...
    def rest(self, stop: Stop) -> None: ...

@final
class Asker:
    @staticmethod
    def elsewhere(timeout_seconds: float) -> Asker: ...
    @staticmethod
    def terminal(timeout_seconds: float, approver: str, path: str | PathLike[str] | None) -> Asker: ...
    @staticmethod
    def webhook(
        timeout_seconds: float, url: str, method: str, headers: list[tuple[str, str]], key: bytes | None
    ) -> Asker: ...
    @staticmethod
    def callback(
        timeout_seconds: float, approver: str, callable: Callable[[dict[str, Any]], object]
    ) -> Asker: ...

def metrics() -> str:
    """The metrics of this process as text, for Prometheus. Reads the ledgers in use: may wait for a disk."""

def spans_dropped(count: int, /) -> None: ...
