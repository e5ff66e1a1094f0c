"""One visit of a mailbox's appointments, contacts and tasks; or a push of the CRM's changes."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from syncservice.domain.faults import FaultError, Nature
from syncservice.mailboxes.models import ItemProgress
from syncservice.servers.gateway import Activities
from syncservice.sync.items import first, guarding, journal, taking_over
from syncservice.sync.items.book import Book
from syncservice.sync.items.noticing import (
    MOST_CHANGES,
    cursor_of,
    forget_cursor,
    notice_items,
)
from syncservice.sync.items.noticing_records import notice_records
from syncservice.sync.items.settling import due_ids, settle, still_due
from syncservice.sync.visit import Budget, Outcome

Elsewhere = ItemProgress.Elsewhere
#: Links of one batch: so many items are read, and written, at once.
SETTLED_AT_ONCE = 50
#: Due links that are looked for at once: after a first look all are due, and are put in order.
LOOKED_FOR = 1000
#: A link that is due again and again within one visit waits for the next.
MOST_TIMES = 5


def now() -> datetime:
    return datetime.now(UTC)


def visit_items(
    gateway: Activities,
    books: Sequence[Book],
    budget: Budget,
    clock: Callable[[], float],
    is_stopping: Callable[[], bool] = lambda: False,
    *,
    only_push: bool = False,
    moment: Callable[[], datetime] = now,
) -> Outcome:
    """Bring a mailbox's items in step; `clock` counts seconds. Raise ClaimLost as ever.

    A fault of the server ends the visit and is part of the outcome: what was committed stays. With
    `only_push`, the mailbox is not asked what changed in it: only the CRM's changes go there.
    """
    outcome = Outcome()
    began = clock()

    def is_spent() -> bool:
        outcome.stopped = outcome.stopped or is_stopping()
        return (
            outcome.stopped
            or clock() - began >= budget.duration.total_seconds()
            or outcome.handled + outcome.written >= budget.messages
        )

    try:
        for book in books:
            if is_spent():
                outcome.more_left = True
                break
            outcome.more_left |= _visit_kind(
                gateway, book, outcome, is_spent, moment, only_push=only_push
            )
    except FaultError as error:
        outcome.end_by(error.fault)
    outcome.requests = gateway.requests
    outcome.seconds = clock() - began
    return outcome


def _visit_kind(
    gateway: Activities,
    book: Book,
    outcome: Outcome,
    is_spent: Callable[[], bool],
    moment: Callable[[], datetime],
    *,
    only_push: bool,
) -> bool:
    """Bring one kind in step; True when some is left."""
    progress, _ = ItemProgress.objects.get_or_create(mailbox_id=book.mailbox.pk, kind=book.kind)
    book = replace(book, takes_over=progress.elsewhere in (Elsewhere.WANTED, Elsewhere.TAKEN))
    is_taking_over = progress.elsewhere == Elsewhere.WANTED and not only_push
    if is_taking_over and progress.first == ItemProgress.First.DONE:
        taking_over.take_over(book, gateway, progress)
    has_begun = False
    if progress.first != ItemProgress.First.DONE and not only_push:
        has_begun = first.begin(book, gateway, progress, moment())
        progress.refresh_from_db()
    if progress.first != ItemProgress.First.DONE and not progress.position:
        return False  # nothing is linked yet
    if not has_begun and not only_push and _pull(gateway, book, outcome, is_spent):
        return True
    while notice_records(book, progress):
        if is_spent():
            return True
    journal.note_undoing(book)
    return _settle_due(gateway, book, outcome, is_spent, moment)


def _pull(gateway: Activities, book: Book, outcome: Outcome, is_spent: Callable[[], bool]) -> bool:
    """Read what changed in the mailbox; True when some is left."""
    cursor = cursor_of(book)
    while True:
        try:
            page = gateway.changes(book.kind, cursor, MOST_CHANGES)
        except FaultError as error:
            if error.fault.nature is Nature.RESYNC:
                forget_cursor(book)
            raise
        outcome.pages += 1
        if page.items or page.removed or page.cursor != cursor:
            notice_items(book, gateway, page)
        cursor = page.cursor
        if page.is_last:
            return False
        if is_spent():
            return True


def _settle_due(
    gateway: Activities,
    book: Book,
    outcome: Outcome,
    is_spent: Callable[[], bool],
    moment: Callable[[], datetime],
) -> bool:
    times: Counter[int] = Counter()
    while ids := due_ids(book, LOOKED_FOR, [pk for pk, n in times.items() if n >= MOST_TIMES]):
        times.update(ids)
        for place in range(0, len(ids), SETTLED_AT_ONCE):
            some = ids[place : place + SETTLED_AT_ONCE]
            links = still_due(book, some)
            if any(map(guarding.deletes, links)) and guarding.hold_mass_deletion(book):
                links = still_due(book, some)
            settled = settle(book, gateway, links, moment)
            outcome.stored += settled.records
            outcome.written += settled.items
            outcome.failed += settled.failed
            if is_spent():
                return True
    return False
