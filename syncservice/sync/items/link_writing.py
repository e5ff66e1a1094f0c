"""Writes what becomes of many links at once: a statement for all that get the same columns.

A statement for each link would take more time than everything else that is done about it.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from syncservice.mailboxes.models import ItemLink
from syncservice.sync.items.book import Book

#: Links, and the columns that each gets.
Changes: TypeAlias = Iterable[tuple[ItemLink, Mapping[str, Any]]]

# PostgreSQL reads the columns from JSON as its table has them; null is NULL.
_UPDATE = """
UPDATE mailboxes_itemlink AS link SET {columns}
FROM jsonb_to_recordset(%(changes)s) AS change (id bigint, due_at timestamptz, columns jsonb),
  jsonb_populate_record(NULL::mailboxes_itemlink, change.columns) AS new
WHERE link.id = change.id AND link.mailbox_id = %(mailbox)s AND link.kind = %(kind)s
"""
#: Nobody made it due again since it was read: else it stays so.
_UNLESS_DUE_AGAIN = "due_at = coalesce(new.due_at, nullif(link.due_at, change.due_at))"


def write_links(book: Book, changes: Changes) -> None:
    """Write columns of links; those that are gone stay gone."""
    _write(book, changes, "due_at = new.due_at")


def settle_links(book: Book, changes: Changes) -> None:
    """Write columns of links that were due; who was made due again meanwhile stays due."""
    _write(book, changes, _UNLESS_DUE_AGAIN)


def _write(book: Book, changes: Changes, due_at: str) -> None:
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for link, columns in changes:
        if columns:
            change = {"id": link.pk, "due_at": link.due_at, "columns": columns}
            alike[tuple(sorted(columns))].append(change)
    for names, some in alike.items():
        assigned = [due_at if name == "due_at" else f"{name} = new.{name}" for name in names]
        with connection.cursor() as cursor:
            cursor.execute(
                _UPDATE.format(columns=", ".join(assigned)),
                {
                    "changes": json.dumps(some, default=_as_json),
                    "mailbox": book.mailbox.pk,
                    "kind": book.kind,
                },
            )


def _as_json(value: Any) -> str:
    match value:
        case Now():
            return "now"  # PostgreSQL's own word for the beginning of the transaction
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
    raise TypeError(f"{value!r} is in no column of a link")
