"""The exceptions. Each carries a stable `code`; its text says what failed and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._core import Diagnostic, PolicyDecision


class PlacetError(Exception):
    """Base of everything that Placet raises itself."""

    code: str = "placet_error"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class GovernanceError(PlacetError):
    """A governed action that may not happen; its text says so, `decision` says why."""

    def __init__(self, message: str, decision: PolicyDecision) -> None:
        super().__init__(message, decision.code)
        self.decision = decision

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.decision)


class PolicyError(PlacetError, ValueError):
    """Policies that cannot be used; `diagnostics` holds every finding with file, line and column."""

    def __init__(
        self, message: str, code: str = "policy_invalid", diagnostics: Sequence[Diagnostic] = ()
    ) -> None:
        super().__init__(message, code)
        self.diagnostics = tuple(diagnostics)


class ConfigError(PlacetError, ValueError):
    """A configuration that cannot be used."""

    code = "config_invalid"


class AuditError(PlacetError):
    """A log that cannot be read or written."""

    code = "audit_unreadable"


class CredentialError(PlacetError, ValueError):
    """A credential that is not issued, delegated or accepted.

    Where more was asked for than there is, `exceeds` says in what, and `example` gives something that the
    child could do and the parent could not, if one was found.
    """

    code = "credential_validation"

    def __init__(
        self,
        message: str,
        code: str | None = None,
        exceeds: Sequence[str] = (),
        example: str | None = None,
    ) -> None:
        super().__init__(message, code)
        self.exceeds = tuple(exceeds)
        self.example = example


class EventError(PlacetError, ValueError):
    """An event that is no event document."""

    code = "event_invalid"


class OPAConnectionError(PlacetError, ConnectionError):
    """An OPA server that cannot be asked. An evaluator that raises it makes the gate deny."""

    code = "opa_connection_failure"


class ToolError(PlacetError):
    """Stands in for a tool's exception whose text held a prompt injection that cannot be cleaned."""

    code = "tool_error"


class NotAvailableError(PlacetError, NotImplementedError):
    """Something that this version does not have."""

    code = "not_available"
