"""Reading the log of what was decided."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

from . import _core
from ._errors import AuditError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Words: TypeAlias = str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased."""

    records: tuple[int, ...]
    """The records whose text is gone, by position."""
    said_by: tuple[int, ...]
    """The records that say so."""
    left: str | None
    """Why the text may still stand in a side file or a mirror for a while; None when it is gone."""


class AuditLog:
    """A ledger (a file, or `postgresql://…`), or a mirror of one (`.jsonl`)."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._core = _core.Log(path)

    @classmethod
    def _of(cls, core: _core.Log) -> AuditLog:
        log = cls.__new__(cls)
        log._core = core
        return log

    def query(
        self,
        *,
        session_id: str | None = None,
        tool: str | None = None,
        agent_id: str | None = None,
        outcome: Words = (),
        verdict: Words = (),
        risk: Words = (),
        status: Words = (),
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """The decisions, oldest first, in the columns of the view `audit_log`; `limit` takes the newest.

        Raises `AuditError` when a record cannot be read: `verify` tells more.
        """
        rows = self._rows(
            session_id, tool, agent_id, outcome, verdict, risk, status, since=since, until=until, limit=limit
        )
        return [json.loads(row) for row in rows]

    def count(
        self,
        *,
        session_id: str | None = None,
        tool: str | None = None,
        agent_id: str | None = None,
        outcome: Words = (),
        verdict: Words = (),
        risk: Words = (),
        status: Words = (),
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> int:
        """How many decisions `query` finds."""
        return len(
            self._rows(
                session_id,
                tool,
                agent_id,
                outcome,
                verdict,
                risk,
                status,
                since=since,
                until=until,
                limit=None,
            )
        )

    def _rows(
        self,
        session_id: str | None,
        tool: str | None,
        agent_id: str | None,
        *words: Words,
        since: datetime | None,
        until: datetime | None,
        limit: int | None,
    ) -> list[str]:
        outcomes, verdicts, risks, statuses = (_list(given) for given in words)
        rows, unreadable = self._core.query(
            session_id,
            tool,
            agent_id,
            outcomes,
            verdicts,
            risks,
            statuses,
            _micros(since),
            _micros(until),
            limit,
        )
        if unreadable:
            raise AuditError(f"the records {unreadable} of `{self.name}` cannot be read; verify the log")
        return rows

    def verify(self, key: Words, checkpoint: str | None = None) -> dict[str, Any]:
        """Whether anybody touched the log, by its public key and best by a checkpoint kept elsewhere.

        The key is its text. Keep it elsewhere: whoever can edit the log can put another beside it.
        """
        report: dict[str, Any] = json.loads(self._core.verify(_list(key), checkpoint))
        return report

    def replay(
        self,
        policies: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        *,
        config: str | os.PathLike[str] | None = None,
        session_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> dict[str, Any]:
        """What other policies would have said to what was recorded.

        Histories and budgets become what they would have been. `changes` lists the decisions that would be
        others, `undecidable` those of which nobody can tell. The budgets are those of `config`, by default
        `placet.yaml` where it exists, and so are the policies when none are given.
        """
        paths = [policies] if isinstance(policies, str | os.PathLike) else policies
        arguments = ["placet", "replay", "--ledger", str(self.path), "--format", "json"]
        for path in paths:
            arguments += ["--policies", os.fspath(path)]
        for name, value in [("--config", config), ("--session", session_id)]:
            if value is not None:
                arguments += [name, os.fspath(value)]
        for name, moment in [("--since", since), ("--until", until)]:
            if moment is not None:
                arguments += [name, moment.astimezone(UTC).isoformat()]
        code, out, talk = _core.capture(arguments)
        if code != 0:
            raise AuditError(talk.strip())
        report: dict[str, Any] = json.loads(out)
        return report

    def erase(
        self,
        *,
        by: str,
        basis: str,
        records: Sequence[int | str] = (),
        session_id: str | None = None,
        agent_id: str | None = None,
        tenant_id: str | None = None,
        user: str | None = None,
        containing: str | None = None,
        before: datetime | None = None,
        fields: Words = (),
        keys: str | os.PathLike[str] | None = None,
        archive: str | os.PathLike[str] | None = None,
    ) -> Erasure:
        """Erases what people wrote in the records that fit all that is given; records and proofs stay.

        Who asked (`by`) and on which ground (`basis`) goes on record. `fields` are personal fields; without
        them whole views go. `keys` is the key folder, unless this process has the ledger open already. The
        views in `archive`, a folder that `placet audit seal` wrote, are searched too.
        """
        wanted = [str(record) for record in records]
        gone, said_by, left = self._core.erase(
            by,
            basis,
            wanted,
            session_id,
            agent_id,
            tenant_id,
            user,
            containing,
            _micros(before),
            _list(fields),
            keys,
            archive,
        )
        return Erasure(tuple(gone), tuple(said_by), left)

    @property
    def path(self) -> Path:
        """Its file; raises `AuditError` when it is in a database."""
        path = self._core.path
        if path is None:
            raise AuditError(f"the log `{self.name}` is in a database, not in a file")
        return Path(path)

    @property
    def name(self) -> str:
        """Where it is, without a password."""
        return self._core.name

    def __repr__(self) -> str:
        return f"AuditLog({self.name!r})"


def _list(words: Words) -> list[str]:
    return [words] if isinstance(words, str) else list(words)


def _micros(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError("`since`, `until` and `before` need a time zone")
    return (moment - _EPOCH) // timedelta(microseconds=1)
