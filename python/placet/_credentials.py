"""Credentials of sessions: short-lived tokens whose children only narrow.

Within a process a token is a handle. Between processes it is a chain of signed tokens, each bound to its
holder's key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from . import _core
from ._core import HolderKey

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionToken:
    """A token as its session gets it. It is a picture: what it allows is kept by the broker."""

    token_id: str = field(repr=False)
    session_id: str
    scopes: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime
    parent_token_id: str | None = None
    delegation_depth: int = 0
    _broker: _core.Broker = field(repr=False, compare=False)

    @property
    def revoked(self) -> bool:
        """Whether it ended before its time."""
        return not self.is_valid() and datetime.now(UTC) < self.expires_at

    def is_valid(self) -> bool:
        """Whether it is neither revoked nor expired, nor any that it descends from."""
        return self._broker.validate(self.token_id) is not None

    def has_scope(self, scope: str) -> bool:
        """Whether it was issued with this scope."""
        return scope in self.scopes

    def signed(self, holder: HolderKey | str | None = None) -> SignedToken:
        """The same credential as a signed token, for another process.

        It is bound to `holder`: a key pair, the text of a public key whose secret half is elsewhere, or, when
        none is given, a key pair made now that never leaves this process. Only the holder can use it.
        """
        holder = HolderKey() if holder is None else holder
        return SignedToken._of(self._broker.signed(self.token_id, holder))


class SignedToken:
    """A chain of signed tokens, from the issuer's to the holder's, with the holder's key where it is here.

    `chain` is its text, for any other process; it is no secret, since nobody can use it without the key. What
    is read from it here is what it claims: an enforcement point, or `CredentialBroker.verify`, verifies it.
    """

    __slots__ = ("_inner",)
    _inner: _core.Signed

    def __init__(
        self, chain: str, key: HolderKey | None = None, *, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._inner = _core.Signed(chain, key, clock)

    @classmethod
    def _of(cls, core: _core.Signed) -> SignedToken:
        made = cls.__new__(cls)
        made._inner = core
        return made

    @property
    def chain(self) -> str:
        """Its text."""
        return self._inner.chain

    @property
    def is_held(self) -> bool:
        """Whether the holder's key is here."""
        return self._inner.is_held

    @property
    def changes(self) -> tuple[str, ...]:
        """How it differs from its parent, where it was delegated here."""
        return tuple(self._inner.changes)

    @property
    def credential_id(self) -> str:
        """The public id, by which records and revocations name it."""
        return self._inner.hops[-1][0]

    @property
    def session_id(self) -> str:
        """The session it is for."""
        return self._inner.hops[-1][1]

    @property
    def tenant_id(self) -> str | None:
        """The tenant."""
        return self._inner.hops[-1][2]

    @property
    def agent_id(self) -> str | None:
        """The agent."""
        return self._inner.hops[-1][3]

    @property
    def role(self) -> str | None:
        """The role."""
        return self._inner.hops[-1][4]

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes it gives."""
        return tuple(self._inner.hops[-1][5])

    @property
    def depth(self) -> int:
        """How many delegations lie between it and the token that the issuer signed."""
        return self._inner.hops[-1][6]

    @property
    def issued_at(self) -> datetime:
        """When it was signed."""
        return _EPOCH + timedelta(microseconds=self._inner.hops[-1][7])

    @property
    def expires_at(self) -> datetime:
        """From when on it is dead."""
        return _EPOCH + timedelta(microseconds=self._inner.hops[-1][8])

    @property
    def holder(self) -> str:
        """The public key of its holder."""
        return self._inner.hops[-1][9]

    def delegate(
        self,
        requested_scopes: Iterable[str],
        session_id: str,
        holder: HolderKey | str,
        *,
        ttl_seconds: int | None = None,
        agent_id: str | None = None,
        max_depth: int | None = None,
        tools: Mapping[str, Any] | None = None,
        calls: Mapping[str, int] | None = None,
        budgets: Mapping[str, int] | None = None,
    ) -> SignedToken:
        """Signs a narrower token for another holder, asking nobody; raises `CredentialError` for more.

        `max_depth` counts from the token that the issuer signed.
        """
        scopes = _list(requested_scopes)
        limits = _limits(tools, calls, budgets)
        return self._of(
            self._inner.delegate(scopes, session_id, holder, ttl_seconds, agent_id, max_depth, *limits)
        )

    def prove(self, tool_name: str, args: Mapping[str, Any], *, audience: str | None = None) -> str:
        """What to show for one call, as the `token_id` of a context: the chain with a proof, signed now.

        The proof covers the tool and its arguments as the tool gets them, with its defaults; it is good for
        one call within a minute.
        """
        return self._inner.prove(tool_name, args, audience)

    def __repr__(self) -> str:
        return (
            f"SignedToken({self.credential_id}, session_id={self.session_id!r}, scopes={self.scopes!r}, "
            f"depth={self.depth}, expires_at={self.expires_at.isoformat()}, is_held={self.is_held})"
        )


class CredentialBroker:
    """Issues, validates, narrows and revokes tokens. They live in memory unless a file is named."""

    def __init__(
        self,
        ledger: str | os.PathLike[str] | None = None,
        *,
        keys: str | os.PathLike[str] | None = None,
        clock: Callable[[], datetime] | None = None,
        max_ttl_seconds: int | None = None,
        max_depth: int | None = None,
        audience: str | None = None,
    ) -> None:
        """`audience` is the name that proofs shown here must bear, so that none is used elsewhere."""
        self._core = _core.Broker(ledger, keys, clock, max_ttl_seconds, max_depth, audience)

    def issue(
        self,
        session_id: str,
        scopes: Iterable[str],
        ttl_seconds: int = 3600,
        *,
        tenant_id: str | None = None,
        agent_id: str | None = None,
        role: str | None = None,
        tools: Mapping[str, Any] | None = None,
        calls: Mapping[str, int] | None = None,
        budgets: Mapping[str, int] | None = None,
    ) -> SessionToken:
        """Issues a token. A tenant, an agent or a role in it is what the session is, whatever it says.

        `tools` names the tools it covers, each with the limits of its arguments; `calls` how often; `budgets`
        the most that it and all below it may spend together.
        """
        scopes = _list(scopes)
        limits = _limits(tools, calls, budgets)
        return self._token(
            self._core.issue(session_id, scopes, ttl_seconds, tenant_id, agent_id, role, *limits)
        )

    def signed(self, token_id: str, holder: HolderKey | str) -> SignedToken:
        """A live token as a signed one, bound to a holder's key; see `SessionToken.signed`."""
        return SignedToken._of(self._core.signed(token_id, holder))

    def hold(self, signed: SignedToken) -> SessionToken:
        """Takes over a signed token whose holder's key is here; the handle holds in this process only."""
        return self._token(self._core.hold(signed._inner))

    def verify(self, chain: str) -> SignedToken:
        """Verifies a chain: its signatures, its links, its time, and that nothing of it was revoked."""
        self._core.verify(chain)
        return SignedToken(chain)

    @property
    def issuer_keys(self) -> str:
        """The public keys of this ledger's issuer, one a line, for whoever verifies tokens elsewhere."""
        return self._core.issuer_keys()

    def validate(self, token_id: str) -> SessionToken | None:
        """The token, if it is live; None when it is unknown, expired or revoked."""
        found = self._core.validate(token_id)
        return None if found is None else self._token(found)

    def get_scopes(self, token_id: str) -> list[str]:
        """The scopes of a live token; none when it is not live."""
        token = self.validate(token_id)
        return list(token.scopes) if token else []

    def revoke(self, token_id: str) -> bool:
        """Revokes a token with all that descend from it; says whether it is known.

        A handle, a chain or a public id says which.
        """
        return self._core.revoke(token_id)

    def revoke_session(self, session_id: str) -> int:
        """Revokes every token that a session has now, with their descendants; says how many were live."""
        return self._core.revoke_session(session_id)

    def delegate(
        self,
        parent_token_id: str,
        requested_scopes: Iterable[str],
        session_id: str,
        *,
        ttl_seconds: int | None = None,
        agent_id: str | None = None,
        max_depth: int | None = None,
        tools: Mapping[str, Any] | None = None,
        calls: Mapping[str, int] | None = None,
        budgets: Mapping[str, int] | None = None,
    ) -> SessionToken:
        """Issues a narrower token to another session; raises `CredentialError` for more."""
        scopes = _list(requested_scopes)
        limits = _limits(tools, calls, budgets)
        return self._token(
            self._core.delegate(
                parent_token_id, scopes, session_id, ttl_seconds, agent_id, max_depth, *limits
            )
        )

    def _token(self, shown: tuple[str, str, list[str], int, int, str | None, int]) -> SessionToken:
        token_id, session_id, scopes, issued, expires, parent, depth = shown
        return SessionToken(
            token_id=token_id,
            session_id=session_id,
            scopes=tuple(scopes),
            issued_at=_EPOCH + timedelta(microseconds=issued),
            expires_at=_EPOCH + timedelta(microseconds=expires),
            parent_token_id=parent,
            delegation_depth=depth,
            _broker=self._core,
        )


class PersistentCredentialBroker(CredentialBroker):
    """A broker whose tokens outlive the process, and hold in every process on the same file."""

    def __init__(self, db_path: str | os.PathLike[str], **options: Any) -> None:
        super().__init__(db_path, **options)


def _list(scopes: Iterable[str]) -> list[str]:
    if isinstance(scopes, str):
        raise TypeError("scopes must be a list of strings, not one string")
    return list(scopes)


def _limits(
    tools: Mapping[str, Any] | None, calls: Mapping[str, int] | None, budgets: Mapping[str, int] | None
) -> tuple[dict[str, Any] | None, dict[str, int], dict[str, int]]:
    """What narrows a token, as the core takes it. No tools named is not the same as none allowed."""
    return (None if tools is None else dict(tools), dict(calls or {}), dict(budgets or {}))
