"""Undo what a visit did, entry by entry: as changes of the CRM or the mailbox that are new ones.

Undoing travels like any other change, and is in the journal itself. What somebody has changed since
is left as it is, and said so.
"""

from typing import Any

from django.db.models.functions import Now

from syncservice.domain.item_values import Values
from syncservice.mailboxes.models import ItemLink, JournalEntry
from syncservice.mailboxes.schedule import fenced
from syncservice.sync.items.book import Book

Action = JournalEntry.Action
State = ItemLink.State
_CHANGED = "it was changed since; it is left as it is"
_GONE = "it is gone"
_UNLINKED = "it is no longer kept in step; it is left as it is"


def note_undoing(book: Book) -> None:
    """Undo the entries that somebody asked for, the latest first."""
    asked = JournalEntry.objects.filter(
        mailbox=book.mailbox.pk, kind=book.kind, undone_at=None
    ).exclude(undo_asked_at=None)
    for entry in asked.order_by("-pk"):
        with fenced(book.claim):
            problem = _undo(book, entry)
            JournalEntry.objects.filter(pk=entry.pk).update(undone_at=Now(), undo_text=problem)


def _undo(book: Book, entry: JournalEntry) -> str:
    """Undo one entry; return why it could not be, '' when it was. To be called `fenced`."""
    record = book.records.load([entry.key]).get(entry.key)
    link = book.links.filter(key=entry.key).first()
    if entry.action == Action.CREATED_RECORD:
        return _take_record_back(book, entry, record, link)
    if entry.action == Action.DELETED_RECORD:
        return _bring_record_back(book, entry, record)
    if entry.action in (Action.CHANGED_RECORD, Action.CHANGED_ITEM):
        return _change_back(book, entry, record, link)
    if entry.action == Action.CREATED_ITEM:
        return _take_item_back(book, link)
    if entry.action == Action.DELETED_ITEM:
        return _bring_item_back(book, entry, record, link)
    is_unlinking = entry.action == Action.UNLINKED
    if is_unlinking and link is not None and link.state in (State.UNLINKED, State.DELETED):
        book.links.filter(pk=link.pk).update(
            state=State.LINKED if link.item_id else State.CREATING, base=None, due_at=Now()
        )
    return ""


def _is_as(values: Values, said: Values) -> bool:
    return all(values.get(name) == value for name, value in said.items())


def _take_record_back(
    book: Book, entry: JournalEntry, record: object | None, link: ItemLink | None
) -> str:
    """Delete a record that was made of an item; the item stays, and is not tracked again by it."""
    if record is None:
        return _GONE
    agreed = link.base["crm"] if link and link.base else entry.after or {}
    if not _is_as(book.records.values(record, book.user), agreed):
        return _CHANGED
    if link is not None:
        book.links.filter(pk=link.pk).update(state=State.UNLINKED, due_at=None, by_filter=False)
    book.records.delete(record)
    return ""


def _bring_record_back(book: Book, entry: JournalEntry, record: object | None) -> str:
    """Make a deleted record again; where filters select it, it gets an item again, too."""
    if record is not None:
        return "it is there again"
    book.records.create(entry.before or {}, book.user, entry.key)
    return ""


def _change_back(
    book: Book, entry: JournalEntry, record: object | None, link: ItemLink | None
) -> str:
    """Give the record the values from before; they travel to the item as any change does."""
    if record is None:
        return _GONE
    values = book.records.values(record, book.user)
    if not _is_as(values, entry.after or {}):
        return _CHANGED
    book.records.apply(record, entry.before or {}, book.user)
    if link is not None:
        book.links.filter(pk=link.pk).update(due_at=Now())
    return ""


def _take_item_back(book: Book, link: ItemLink | None) -> str:
    """Have an item deleted that was made of a record, and not made again; no mail tells of it."""
    if link is None or not link.item_id:
        return _GONE
    if link.state != State.LINKED:
        return _UNLINKED
    book.links.filter(pk=link.pk).update(is_undone=True, due_at=Now())
    return ""


def _bring_item_back(
    book: Book, entry: JournalEntry, record: Any | None, link: ItemLink | None
) -> str:
    """Make a deleted item again: of its record, which is brought back when it is gone."""
    if record is None:
        book.records.create(entry.before or {}, book.user, entry.key)
    elif link is not None and link.is_organizers and link.uid and link.uid == record.uid:
        book.records.learn_uids([(record, "")])  # that meeting went with the item
    if link is None:
        ItemLink.objects.create(
            mailbox_id=book.mailbox.pk,
            kind=book.kind,
            key=entry.key,
            state=State.CREATING,
            due_at=Now(),
        )
    else:
        book.links.filter(pk=link.pk).update(state=State.CREATING, item_id="", due_at=Now())
    return ""
