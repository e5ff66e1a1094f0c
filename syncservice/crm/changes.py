"""Reads what changed of records since a reader's last visit, and misses nothing.

A transaction that began earlier may commit later: its changes then have lower numbers than those
that were read already. So a reader only goes as far as the oldest transaction that still runs,
and asks from there the next time. What a transaction that stays open changed, and what others
changed after it began, waits for its end.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from syncservice.crm.models import RecordChange
from syncservice.domain.item_values import ItemKind


@dataclass(frozen=True, slots=True)
class Change:
    """The last that happened to a record, as far as it was read."""

    key: UUID
    is_deletion: bool
    owner_id: int | None
    #: Of a deleted task: "kind", "status", "is_recurring". Of a deleted appointment: these, "uid",
    #: "starts_at", "ends_at" (moments as in `item_values`), "organizer" (a user's id or None) and
    #: "users" (the ids of all who were its parties).
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Changes:
    """A page of changes."""

    records: dict[UUID, Change]
    position: str  # from where to go on
    is_last: bool
    #: False: there were changes that nobody remembers; all records are to be compared.
    is_complete: bool


@dataclass(frozen=True, slots=True, order=True)
class _Position:
    """Behind a change of a transaction; of `cluster`, for elsewhere its numbers mean nothing."""

    cluster: str
    xid: int
    id: int

    def __str__(self) -> str:
        return f"{self.cluster}:{self.xid}:{self.id}"

    @classmethod
    def read(cls, text: str) -> "_Position":
        cluster, xid, number = text.split(":")
        return cls(cluster, int(xid), int(number))


def current_position() -> str:
    """Return the position before which all has been seen by whoever reads the records now."""
    return str(_horizon())


def changes_since(kind: ItemKind, position: str | None, limit: int) -> Changes:
    """Return the changes of records of a kind after `position`, about `limit` at most.

    A change may be told twice. None is a position before all changes. The last page has what the
    transaction at hand changed as well.
    """
    horizon = _horizon()
    start = _Position.read(position) if position else None
    is_known = start is not None and start.cluster == horizon.cluster
    if start is None or not is_known:
        start = _Position(horizon.cluster, 0, 0)
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_SELECT} AND (xid, id) > (%(xid)s::text::xid8, %(id)s)"
            " AND xid < %(horizon)s::text::xid8"
            # Qualified, for the bare name is that of the text: "1004" would come before "988".
            " ORDER BY crm_recordchange.xid, id LIMIT %(limit)s",
            {
                "kind": kind,
                "xid": str(start.xid),
                "id": start.id,
                "horizon": str(horizon.xid),
                "limit": limit + 1,
            },
        )
        rows = cursor.fetchall()
        is_last = len(rows) <= limit
        if is_last:
            end = horizon
            cursor.execute(
                f"{_SELECT} AND xid = pg_current_xact_id_if_assigned() ORDER BY id", {"kind": kind}
            )
            rows += cursor.fetchall()
        else:
            rows = rows[:limit]
            end = _Position(horizon.cluster, int(rows[-1][0]), rows[-1][1])
        # Asked last: what was forgotten before the rows were read is missing among them.
        is_complete = is_known and not _forgot_since(start)
    records = {
        key: Change(key, is_deletion, owner_id, json.loads(facts))
        for _xid, _id, key, is_deletion, owner_id, facts in rows
    }
    return Changes(records, str(end), is_last, is_complete)


_SELECT = (
    "SELECT xid::text, id, key, is_deletion, owner_id, facts FROM crm_recordchange"
    " WHERE kind = %(kind)s"
)


def forget(before: datetime, limit: int = 10_000) -> int:
    """Forget changes from before a moment, `limit` at most; return how many.

    Whoever comes with an older position is told that it isn't complete.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM crm_recordchange WHERE id IN (
              SELECT id FROM (
                SELECT id, noted_at FROM crm_recordchange WHERE kind <> %(forgotten)s
                ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
              ) AS oldest WHERE noted_at < %(before)s
            ) RETURNING xid::text
            """,
            {"forgotten": RecordChange.Kind.FORGOTTEN, "limit": limit, "before": before},
        )
        gone = [int(xid) for (xid,) in cursor.fetchall()]
        if gone:
            horizon = _horizon()
            last = min(max(gone), horizon.xid)  # rows of another cluster came with a backup
            cursor.execute(
                "INSERT INTO crm_recordchange (kind, xid, facts) VALUES (%s, %s::text::xid8, %s)",
                [RecordChange.Kind.FORGOTTEN, str(last), json.dumps({"cluster": horizon.cluster})],
            )
            cursor.execute(
                "DELETE FROM crm_recordchange AS marker USING crm_recordchange AS later"
                " WHERE marker.kind = %(kind)s AND later.kind = %(kind)s"
                " AND marker.facts = later.facts"
                " AND (marker.xid, marker.id) < (later.xid, later.id)",
                {"kind": RecordChange.Kind.FORGOTTEN},
            )
    return len(gone)


def _forgot_since(position: _Position) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM crm_recordchange"
            " WHERE kind = %s AND xid >= %s::text::xid8 AND facts = %s)",
            [
                RecordChange.Kind.FORGOTTEN,
                str(position.xid),
                json.dumps({"cluster": position.cluster}),
            ],
        )
        (forgot,) = cursor.fetchone()
    return bool(forgot)


def _horizon() -> _Position:
    """Return the oldest transaction that still runs: all before it can be seen."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT system_identifier::text, pg_snapshot_xmin(pg_current_snapshot())::text"
            " FROM pg_control_system()"
        )
        cluster, xid = cursor.fetchone()
    return _Position(cluster, int(xid), 0)
