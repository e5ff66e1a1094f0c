"""Settle due links: what one side lacks of the other is written there, the record first.

An answer that is lost, or a process that dies, between any two writes leaves the link due and its
base as it was; both sides then look changed in the same way, and what is left is written.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DataError, IntegrityError, transaction
from django.db.models.functions import Now

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.mailboxes.models import ItemLink, JournalEntry
from syncservice.mailboxes.schedule import ClaimLost, fenced, note_progress
from syncservice.servers.gateway import Activities, Gone, NotWritten, Written
from syncservice.sync.items import asking, files, keeping
from syncservice.sync.items.book import Book
from syncservice.sync.items.deciding import decide
from syncservice.sync.items.duplicates import free_keys
from syncservice.sync.items.link_writing import settle_links
from syncservice.sync.items.overtaken import take_back
from syncservice.sync.items.steps import Step

#: Attempts at one item before it waits for a change of either side (4B).
MOST_ATTEMPTS = 5
RETRY = timedelta(minutes=5)
#: Nobody else's change comes between so many times in a row.
MOST_CONFLICTS = 3


@dataclass(slots=True)
class Settled:
    """What came of settling; counts are of records and items."""

    records: int = 0
    items: int = 0
    failed: int = 0

    def add(self, other: "Settled") -> None:
        self.records += other.records
        self.items += other.items
        self.failed += other.failed


def due_ids(book: Book, limit: int, but: Collection[int] = ()) -> list[int]:
    """Return the ids of the links that wait longest, none of `but`."""
    due = book.links.filter(due_at__lte=Now()).exclude(pk__in=but)
    return list(due.order_by("due_at", "pk").values_list("pk", flat=True)[:limit])


def still_due(book: Book, ids: Collection[int]) -> list[ItemLink]:
    """Return those of some links that are due now."""
    return list(book.links.filter(pk__in=ids, due_at__lte=Now()).order_by("due_at", "pk"))


def settle(
    book: Book, gateway: Activities, links: Sequence[ItemLink], moment: Callable[[], datetime]
) -> Settled:
    """Bring both sides of these links in step, or raise FaultError; ClaimLost as ever."""
    steps = decide(book, gateway, links, moment())
    files.fetch(book, gateway, steps)
    done = _write_records(book, steps)
    done.add(_write_items(book, gateway, steps))
    return done


def _write_records(book: Book, steps: Sequence[Step]) -> Settled:
    """Write what the CRM gets; one record that can't be written keeps no other from it."""
    done = Settled()
    with fenced(book.claim) as row:
        _leave_outdated(book, steps)
        writing = []
        for step in steps:
            if step.fault is not None:
                done.failed += 1
                _put_off(book, step.link, step.fault)
            elif not step.is_outdated:
                writing.append(step)
        try:
            with transaction.atomic():
                done.records += _write_together(book, writing)
        except (IntegrityError, DataError):
            done.add(_write_one_by_one(book, writing))
        if done.records:
            note_progress(row)
    return done


def _leave_outdated(book: Book, steps: Sequence[Step]) -> None:
    """Lock the records that are to be written; where somebody was quicker, it is decided anew."""
    writing = [step for step in steps if step.writes_record and step.record is not None]
    unchanged = book.records.locked([step.record for step in writing])
    for step in writing:
        if step.link.key not in unchanged:
            step.is_outdated = True
            step.create_item = step.change_item = step.delete_item = None


def _write_one_by_one(book: Book, steps: Sequence[Step]) -> Settled:
    """Write the records of a batch that can't be written together: some of them can't at all."""
    done = Settled()
    # As they are without what was rolled back.
    records = book.records.load([step.link.key for step in steps])
    for step in steps:
        step.record = records.get(step.link.key, step.record)
        try:
            with transaction.atomic():
                done.records += _write_together(book, [step])
        except (IntegrityError, DataError) as error:
            done.failed += 1
            step.create_item = step.change_item = step.delete_item = None
            _put_off(book, step.link, _refused(error))
    return done


def _write_together(book: Book, steps: Sequence[Step]) -> int:
    """Write records and what is known of their links; return how many records were written.

    Each sort of writing is done for all of them at once: a statement each would be most of a visit.
    """
    records = book.records
    creating = [step for step in steps if step.create_record is not None]
    changing = [
        step for step in steps if step.delete_record or step.change_record or step.cancel_record
    ]
    before = {step.link.pk: dict(records.values(step.record, book.user)) for step in changing}
    if creating:
        made = records.create_all(
            [(step.create_record or {}, step.link.key) for step in creating], book.user
        )
        for step, record in zip(creating, made, strict=True):
            step.record = record
            step.then |= keeping.base_of(book, step)  # the item may be marked much later, or never
    records.prepare(step.change_record for step in changing)
    for step in changing:
        if step.delete_record:
            records.delete(step.record)
        elif step.change_record:
            records.apply(step.record, step.change_record, book.user)
    if learning := [(step.record, step.uid) for step in steps if step.uid]:
        records.learn_uids(learning)
    for step in changing:
        if step.cancel_record:
            records.cancel(step.record)
    JournalEntry.objects.bulk_create(
        entry
        for step in steps
        for entry in keeping.entries_of_record(book, step, before.get(step.link.pk, {}))
    )
    settled = [step for step in steps if not step.writes_item and not step.drops_link]
    keeping.keep_conflicts(settled)
    free_keys(book, settled)
    settle_links(book, [(step.link, keeping.agreed(book, step) | step.then) for step in settled])
    settle_links(book, [(step.link, step.then) for step in steps if step.writes_item])
    _drop(book, [step for step in steps if step.drops_link and not step.writes_item])
    asking.ask(book, steps)
    return len(creating) + len(changing)


def _drop(book: Book, steps: Sequence[Step]) -> None:
    if steps:
        book.links.filter(pk__in=[step.link.pk for step in steps]).delete()


def _write_items(book: Book, gateway: Activities, steps: Sequence[Step]) -> Settled:
    """Write what the mailbox gets, each kind of writing in one call, and keep what came of it."""
    done = Settled()
    creating = [(step, step.create_item) for step in steps if step.create_item]
    if creating:
        those = [step for step, _ in creating]
        created = gateway.create(book.kind, [item for _, item in creating])
        try:
            done.add(_keep(book, those, files.put(gateway, those, created)))
        except ClaimLost:
            take_back(book, gateway, those, created)
            raise
    changing = [(step, step.change_item) for step in steps if step.change_item]
    if changing:
        those = [step for step, _ in changing]
        changed = gateway.update(book.kind, [change for _, change in changing])
        done.add(_keep(book, those, files.put(gateway, those, changed)))
    deleting = [(step, step.delete_item) for step in steps if step.delete_item]
    if deleting:
        deleted = gateway.delete(book.kind, [deletion for _, deletion in deleting])
        done.add(_keep(book, [step for step, _ in deleting], deleted))
    return done


def _keep(
    book: Book, steps: Sequence[Step], answers: Sequence[Written | NotWritten | Gone]
) -> Settled:
    done = Settled()
    stops: Fault | None = None
    answered: list[tuple[Step, Written | Gone]] = []
    with fenced(book.claim) as row:
        for step, answer in zip(steps, answers, strict=True):
            if not isinstance(answer, NotWritten):
                answered.append((step, answer))
                continue
            done.failed += answer.fault.nature is not Nature.CONFLICT
            if answer.fault.scope is Scope.EMAIL:
                _put_off(book, step.link, answer.fault)
            else:
                stops = answer.fault
        done.items += _keep_together(book, answered)
        if done.items:
            note_progress(row)
    if stops is not None:
        raise FaultError(stops)
    return done


def _keep_together(book: Book, answered: Sequence[tuple[Step, Written | Gone]]) -> int:
    """Keep what was done to items, and what is known of their links; return how many there were."""
    written = [(step, answer) for step, answer in answered if isinstance(answer, Written)]
    deleted = [step for step, _ in answered if step.delete_item is not None]
    gone = [
        step for step, answer in answered if isinstance(answer, Gone) and step.delete_item is None
    ]
    for step, answer in written:
        step.link.item_id = answer.item_id
    JournalEntry.objects.bulk_create(
        entry for step, _ in answered for entry in keeping.entries_of_item(book, step)
    )
    keeping.keep_conflicts([step for step, _ in written])
    settle_links(
        book,
        [
            *((step.link, keeping.agreed_with(book, step, answer)) for step, answer in written),
            *((step.link, {"due_at": None} | step.finally_) for step in deleted),
            *((step.link, {"is_removed": True, "seen_key": "", "due_at": Now()}) for step in gone),
        ],
    )
    _drop(book, [step for step in deleted if step.drops_link])
    return len(written) + len(deleted)


def _put_off(book: Book, link: ItemLink, fault: Fault) -> None:
    """Let a link that failed wait: for time, or when nothing else helps, for a change of a side.

    A conflict is no failure: the item is read again and merged at once.
    """
    attempts = link.attempts + 1
    if fault.nature is Nature.CONFLICT and attempts <= MOST_CONFLICTS:
        book.links.filter(pk=link.pk).update(seen_key="", attempts=attempts, due_at=Now())
        return
    waits = fault.nature is not Nature.PERMANENT and attempts < MOST_ATTEMPTS
    book.links.filter(pk=link.pk).update(
        attempts=attempts,
        due_at=Now() + attempts * RETRY if waits else None,
        fault_code=fault.code,
        fault_text=fault.text,
    )


def _refused(error: Exception) -> Fault:
    return Fault(
        code="item.record_refused",
        nature=Nature.TRANSIENT,
        scope=Scope.EMAIL,
        provenance=Provenance.US,
        text="the record could not be written: " + str(error).strip().partition("\n")[0],
    )
