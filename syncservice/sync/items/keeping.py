"""Keeps what a visit did: in the journal, among the conflicts, and as what both sides agree on.

All of it is written in the transaction that writes the record, or that keeps an item's answer.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.db.models.functions import Now

from syncservice.domain.item_values import Value, Values
from syncservice.domain.merge import Base
from syncservice.mailboxes.models import ItemConflict, JournalEntry
from syncservice.servers.gateway import Written
from syncservice.sync.items.book import Book
from syncservice.sync.items.steps import Step

Action = JournalEntry.Action
_NO_BASE: dict[str, Any] = {"crm": {}, "exchange": {}}


def entries_of_record(book: Book, step: Step, before: Values) -> Iterator[JournalEntry]:
    """Say what is done to a record, which said `before`."""
    yield from step.entries
    if step.create_record is not None:
        yield _entry(book, step, Action.CREATED_RECORD, after=step.create_record)
    elif step.delete_record:
        yield _entry(book, step, Action.DELETED_RECORD, before=before)
    elif step.change_record:
        yield _change(book, step, Action.CHANGED_RECORD, before, step.change_record)
    if step.cancel_record:
        shown = {"show_as": before["show_as"]}
        yield _entry(book, step, Action.CHANGED_RECORD, before=shown)


def entries_of_item(book: Book, step: Step) -> Iterator[JournalEntry]:
    """Say what was done to an item; that it is marked as ours is nothing to tell."""
    if step.delete_item is not None:
        before = (step.link.base or {}).get("crm")
        yield _entry(book, step, Action.DELETED_ITEM, before=before)
    elif step.create_item is not None:
        yield _entry(book, step, Action.CREATED_ITEM, after=step.create_item.values)
    elif step.change_item is not None and step.change_item.values:
        before = step.item.values if step.item else Base.of(step.link.base or _NO_BASE).exchange
        yield _change(book, step, Action.CHANGED_ITEM, before, step.change_item.values)


def _change(
    book: Book, step: Step, action: str, before: Values, after: Mapping[str, Value]
) -> JournalEntry:
    return _entry(
        book, step, action, before={name: before.get(name) for name in after}, after=after
    )


def _entry(
    book: Book,
    step: Step,
    action: str,
    *,
    before: Values | None = None,
    after: Values | None = None,
) -> JournalEntry:
    return JournalEntry(
        mailbox_id=book.mailbox.pk,
        fence=book.claim.fence,
        kind=book.kind,
        key=step.link.key,
        item_id=step.link.item_id,
        action=action,
        subject=step.link.subject,
        before=None if before is None else dict(before),
        after=None if after is None else dict(after),
    )


def keep_conflicts(steps: Iterable[Step]) -> None:
    """Keep what both sides had changed, once it is settled who won."""
    ItemConflict.objects.bulk_create(
        ItemConflict(
            link=step.link,
            name=one.name,
            base=one.base,
            crm=one.crm,
            exchange=one.exchange,
            winner=one.winner,
        )
        for step in steps
        for one in step.conflicts
    )


def agreed(book: Book, step: Step) -> dict[str, Any]:
    """Say of the link that both sides agree: what the record keeps is read back from it."""
    fields: dict[str, Any] = {"due_at": None, "attempts": 0, "fault_code": "", "fault_text": ""}
    fields |= {"question": "", "answer": None}
    return fields | base_of(book, step) | step.finally_


def base_of(book: Book, step: Step) -> dict[str, Any]:
    """Say of the link what both sides said, if they are compared."""
    if step.base is None or step.record is None:
        return {}
    says = book.records.values(step.record, book.user)
    return {"base": Base(says, step.base.exchange).stored()}


def agreed_with(book: Book, step: Step, answer: Written) -> dict[str, Any]:
    """Say of the link what holds once its item is written, too."""
    fields = agreed(book, step) | {
        "item_id": answer.item_id,
        "change_key": answer.change_key,
        # Made and deleted between two listings, it would be in none.
        "is_unlisted": step.create_item is not None or step.link.is_unlisted,
        "is_removed": False,
        "seen_key": "" if step.reads_back else answer.change_key,
    }
    return fields | ({"due_at": Now()} if step.reads_back else {})
