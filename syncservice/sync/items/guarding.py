"""Ask before many records or items are deleted at once (DESIGN invariant 8)."""

from datetime import timedelta

from django.db.models import Count, Q
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.domain import guard
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes.models import ItemLink, JournalEntry
from syncservice.mailboxes.schedule import fenced
from syncservice.sync.items.book import Book

Action = JournalEntry.Action
#: Deletions of the last while count too: many visits in a row may delete a few each.
WHILE = timedelta(hours=1)


def deletes(link: ItemLink) -> bool:
    """Whether something may be deleted when this link is settled: then the others are counted."""
    return link.is_removed or link.deleted_record is not None


def hold_mass_deletion(book: Book) -> bool:
    """Hold the deletions that are due, when they are many, until somebody answers; True: it did."""
    due = book.links.filter(state=ItemLink.State.LINKED, due_at__lte=Now(), question="")
    removed = Q(is_removed=True, is_leaving=False, is_marked=True)  # else no record goes with it
    if book.kind is ItemKind.CONTACT:
        removed = Q(pk=None)  # 3I
    deleting = due.filter(removed | Q(deleted_record__isnull=False))
    count = deleting.count()
    if not count:
        return False
    lately = JournalEntry.objects.filter(
        mailbox=book.mailbox.pk,
        kind=book.kind,
        action__in=(Action.DELETED_RECORD, Action.DELETED_ITEM),
        at__gt=Now() - WHILE,
    ).count()
    linked = book.links.filter(state=ItemLink.State.LINKED).count()
    reason = guard.mass_deletion(
        count + lately, linked + lately, most=book.organisation.asks_above_deletions
    )
    if not reason:
        return False
    with fenced(book.claim):
        deleting.update(question=ItemLink.Question.MASS_DELETION, answer=None, due_at=None)
        text = f"{book.kind}: {reason}; what waits for the answer: {_held(book)}"
        alerts.ask(book.mailbox.pk, alerts.MASS_DELETION, text, direction=alerts.ITEMS)
    return True


def _held(book: Book) -> str:
    """Say how many of each kind are held: there is one question, and one answer, for all."""
    held = ItemLink.objects.filter(
        mailbox=book.mailbox.pk, question=ItemLink.Question.MASS_DELETION, answer=None
    )
    counted = held.values_list("kind").annotate(Count("pk")).order_by("kind")
    return ", ".join(f"{kind}: {number}" for kind, number in counted)
