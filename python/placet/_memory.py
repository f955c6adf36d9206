"""What agents remember: keys in tiers of trust, with where each value comes from."""

from __future__ import annotations

import enum
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from . import _core
from ._approvals import _in_thread
from ._errors import PlacetError
from ._models import SessionContext


class TrustTier(enum.StrEnum):
    """How far the origin of a memory is trusted, from the most to the least."""

    TRUSTED = "trusted"
    INTERNAL = "internal"
    DELEGATED = "delegated"
    EXTERNAL = "external"
    UNTRUSTED = "untrusted"


class MemoryStoreError(PlacetError):
    """A memory that is not written or cannot be read; `code` says why."""

    code = "memory_tier"


@dataclass(frozen=True)
class MemoryEntry:
    """A memory as it is shown: cleaned of injections, with its provenance.

    `value` and `source` are None for a version that was erased; `value` also for one that has expired.
    """

    key: str
    value: str | None
    trust_tier: TrustTier
    source: str | None
    session_id: str | None
    created_at: datetime
    updated_at: datetime
    sanitized: bool
    tenant_id: str | None = None
    agent_id: str | None = None
    decision_id: str | None = None
    expires_at: datetime | None = None
    record_id: str = ""


class MemoryStore:
    """Memories in a ledger's SQLite file, or in this process with `":memory:"`.

    A session sees its own keys only; what is written without `session_id` is shared within the tenant. A value
    of a lower tier never takes the place of one of a higher tier. Opens nothing before its first use.
    """

    def __init__(
        self, db_path: str | os.PathLike[str] = "memory.db", *, keys: str | os.PathLike[str] | None = None
    ) -> None:
        path = os.fspath(db_path)
        if path in ("", "off"):
            raise ValueError(f"MemoryStore needs a file or ':memory:', got {path!r}")
        self._store = _core.Memories("memory" if path == ":memory:" else path, keys)

    async def setup(self) -> None:
        """Opens the file, or makes it, and checks all of it. Other methods do so too."""
        await _in_thread(self._store.setup)

    async def write(
        self,
        key: str,
        value: str,
        trust_tier: TrustTier | str,
        source: str,
        session_id: str | None = None,
        *,
        tenant_id: str | None = None,
        agent_id: str | None = None,
        decision_id: str | None = None,
        ttl_seconds: int | None = None,
    ) -> MemoryEntry:
        """Remembers a value. The three lower tiers are cleaned of injections before anything is stored.

        `source` says in words where it comes from, `decision_id` which governed call returned it. Raises
        `MemoryStoreError` where the key holds a value of a higher tier.
        """
        row = await _in_thread(
            self._store.write,
            tenant_id,
            session_id,
            key,
            value,
            str(TrustTier(trust_tier)),
            source,
            agent_id,
            decision_id,
            ttl_seconds,
        )
        return _entry(row)

    async def read(
        self, key: str, session_id: str | None = None, *, tenant_id: str | None = None
    ) -> MemoryEntry | None:
        """The memory, whatever its tier cleaned of injections; None when there is none."""
        row = await _in_thread(self._store.read, tenant_id, session_id, key)
        return None if row is None else _entry(row)

    async def list_keys(self, session_id: str | None = None, *, tenant_id: str | None = None) -> list[str]:
        """The keys, the latest first."""
        return [row["key"] for row in await _in_thread(self._store.list, tenant_id, session_id)]

    async def history(
        self, key: str, session_id: str | None = None, *, tenant_id: str | None = None
    ) -> list[MemoryEntry]:
        """What the key held, oldest first."""
        rows = await _in_thread(self._store.history, tenant_id, session_id, key)
        return [_entry(row) for row in rows]

    async def erase(
        self,
        key: str,
        session_id: str | None = None,
        *,
        tenant_id: str | None = None,
        by: str,
        basis: str = "gdpr-17",
    ) -> int:
        """Erases every version of a key and records that it did; returns how many."""
        return await _in_thread(self._store.erase, tenant_id, session_id, key, by, basis)


def default_memory_write_policy(context: SessionContext) -> TrustTier:
    """The tier of what an agent writes itself: `DELEGATED` for a sub-agent, else `EXTERNAL`."""
    return TrustTier.DELEGATED if context.delegation_depth > 0 else TrustTier.EXTERNAL


def memory_tools(
    store: MemoryStore,
    context: SessionContext,
    *,
    write_tier: TrustTier | None = None,
) -> tuple[Callable[[str], Awaitable[dict[str, Any]]], Callable[[str, str], Awaitable[dict[str, Any]]]]:
    """The tools `query_memory` and `write_memory` of one session, to be registered where calls are governed.

    Session and tenant come from the context and the tier from `write_tier` or `default_memory_write_policy`:
    the model chooses neither.
    """
    tier = default_memory_write_policy(context) if write_tier is None else write_tier
    session, tenant = context.session_id, context.tenant_id

    async def query_memory(key: str) -> dict[str, Any]:
        """Looks up what was remembered under a key."""
        entry = await store.read(key, session, tenant_id=tenant)
        if entry is None:
            return {"error": f"Key '{key}' not found in memory"}
        names = ("key", "value", "trust_tier", "source", "sanitized")
        return {name: getattr(entry, name) for name in names} | {"trust_tier": str(entry.trust_tier)}

    async def write_memory(key: str, value: str) -> dict[str, Any]:
        """Remembers a value under a key."""
        try:
            entry = await store.write(key, value, tier, f"session:{session}", session, tenant_id=tenant)
        except (MemoryStoreError, ValueError) as error:
            if isinstance(error, MemoryStoreError) and error.code != "memory_tier":
                raise
            return {"error": str(error)}
        written = {"key": entry.key, "trust_tier": str(entry.trust_tier), "sanitized": entry.sanitized}
        return {"status": "written"} | written

    return query_memory, write_memory


def _entry(row: Mapping[str, Any]) -> MemoryEntry:
    def moment(at: float) -> datetime:
        return datetime.fromtimestamp(at, UTC)

    fields = dict(row)
    fields["trust_tier"] = TrustTier(row["trust_tier"])
    fields["created_at"], fields["updated_at"] = moment(row["created_at"]), moment(row["updated_at"])
    fields["expires_at"] = None if row["expires_at"] is None else moment(row["expires_at"])
    return MemoryEntry(**fields)
