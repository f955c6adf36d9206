"""Credentials of sessions: short-lived tokens whose children only narrow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from . import _core

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
    ) -> None:
        self._core = _core.Broker(ledger, keys, clock, max_ttl_seconds, max_depth)

    def issue(
        self,
        session_id: str,
        scopes: Iterable[str],
        ttl_seconds: int = 3600,
        *,
        tenant_id: str | None = None,
        agent_id: str | None = None,
        role: str | None = None,
    ) -> SessionToken:
        """Issues a token. A tenant, an agent or a role in it is what the session is, whatever it says."""
        scopes = _list(scopes)
        return self._token(self._core.issue(session_id, scopes, ttl_seconds, tenant_id, agent_id, role))

    def validate(self, token_id: str) -> SessionToken | None:
        """The token, if it is live; None when it is unknown, expired or revoked."""
        found = self._core.validate(token_id)
        return None if found is None else self._token(found)

    def get_scopes(self, token_id: str) -> list[str]:
        """The scopes of a live token; none when it is not live."""
        token = self.validate(token_id)
        return list(token.scopes) if token else []

    def revoke(self, token_id: str) -> bool:
        """Revokes a token with all that descend from it; says whether it is known."""
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
    ) -> SessionToken:
        """Issues a narrower token to another session; raises `CredentialError` for more."""
        scopes = _list(requested_scopes)
        return self._token(
            self._core.delegate(parent_token_id, scopes, session_id, ttl_seconds, agent_id, max_depth)
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
