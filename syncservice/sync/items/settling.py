"""Settle due links: what one side lacks of the other is written there, the record first.

An answer that is lost, or a process that dies, between any two writes leaves the link due and its
base as it was; both sides then look changed in the same way, and what is left is written.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import DataError, IntegrityError, transaction
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.domain.merge import Base
from syncservice.mailboxes.models import ItemConflict, ItemLink, JournalEntry
from syncservice.mailboxes.schedule import ClaimLost, fenced, note_progress
from syncservice.servers.gateway import Activities, Gone, NotWritten, Written
from syncservice.sync.items.book import Book
from syncservice.sync.items.deciding import Decider
from syncservice.sync.items.overtaken import take_back
from syncservice.sync.items.steps import Step

State = ItemLink.State
Action = JournalEntry.Action
_NO_BASE: dict[str, Any] = {"crm": {}, "exchange": {}}
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


def due_links(book: Book, limit: int, but: Collection[int] = ()) -> list[ItemLink]:
    """Return the links that wait longest, none of `but`."""
    due = book.links.filter(due_at__lte=Now()).exclude(pk__in=but)
    return list(due.order_by("due_at", "pk")[:limit])


def settle(
    book: Book, gateway: Activities, links: Sequence[ItemLink], moment: Callable[[], datetime]
) -> Settled:
    """Bring both sides of these links in step, or raise FaultError; ClaimLost as ever."""
    decider = Decider(book, gateway, moment())
    steps = decider.decide(links)
    done = _write_records(book, steps)
    done.add(_write_items(book, gateway, steps))
    return done


def _write_records(book: Book, steps: Sequence[Step]) -> Settled:
    """Write what the CRM gets; one record that can't be written keeps no other from it."""
    done = Settled()
    with fenced(book.claim) as row:
        writing = [step for step in steps if step.writes_record and step.record is not None]
        unchanged = book.records.locked([step.record for step in writing])
        for step in writing:
            if step.link.key not in unchanged:  # somebody was quicker: it is decided anew
                step.is_outdated = True
        for step in steps:
            if step.is_outdated:
                step.create_item = step.change_item = step.delete_item = None
                continue
            if step.fault is not None:
                done.failed += 1
                _put_off(book, step.link, step.fault)
                continue
            try:
                with transaction.atomic():
                    done.records += _write_record(book, step)
            except (IntegrityError, DataError) as error:
                done.failed += 1
                step.create_item = step.change_item = step.delete_item = None
                _put_off(book, step.link, _refused(error))
        if done.records:
            note_progress(row)
    return done


def _write_record(book: Book, step: Step) -> int:
    """Write one record and what is known of its link; return how many were written."""
    wrote = 0
    if step.create_record is not None:
        step.record = book.records.create(step.create_record, book.user, step.link.key)
        step.entries.append(
            _entry(book, step, Action.CREATED_RECORD, after=dict(step.create_record))
        )
        wrote = 1
    elif step.delete_record:
        before = dict(book.records.values(step.record, book.user))
        book.records.delete(step.record)
        step.entries.append(_entry(book, step, Action.DELETED_RECORD, before=before))
        wrote = 1
    elif step.change_record:
        before = dict(book.records.values(step.record, book.user))
        book.records.apply(step.record, step.change_record, book.user)
        changed = {name: before.get(name) for name in step.change_record}
        step.entries.append(
            _entry(book, step, Action.CHANGED_RECORD, before=changed, after=step.change_record)
        )
        wrote = 1
    if step.uid:
        book.records.learn_uid(step.record, step.uid)
    if step.cancel_record:
        before = dict(book.records.values(step.record, book.user))
        book.records.cancel(step.record)
        entry = _entry(book, step, Action.CHANGED_RECORD, before={"show_as": before["show_as"]})
        step.entries.append(entry)
        wrote = 1
    JournalEntry.objects.bulk_create(step.entries)
    if step.drops_link and not step.writes_item:
        step.link.delete()
    elif step.writes_item:
        _update(book, step, step.then)
    else:
        _update(book, step, _agreed(book, step) | step.then)
    if step.then.get("question"):
        alerts.ask(
            book.mailbox.pk, alerts.SCHEDULING_CONFLICT, step.link.subject, direction=alerts.ITEMS
        )
    return wrote


def _agreed(book: Book, step: Step) -> dict[str, Any]:
    """Say of the link that both sides agree: what the record keeps is read back from it."""
    fields: dict[str, Any] = {"due_at": None, "attempts": 0, "fault_code": "", "fault_text": ""}
    fields |= {"question": "", "answer": None}
    if step.base is not None and step.record is not None:
        says = book.records.values(step.record, book.user)
        fields["base"] = Base(says, step.base.exchange).stored()
        _keep_conflicts(step)
    return fields | step.finally_


def _update(book: Book, step: Step, fields: dict[str, Any]) -> None:
    """Write fields of a link, unless somebody made it due again since it was read."""
    rows = book.links.filter(pk=step.link.pk)
    if fields.get("due_at", step) is None:
        is_same = rows.filter(due_at=step.link.due_at).update(**fields)
        if is_same:
            return
        fields = {name: value for name, value in fields.items() if name != "due_at"}
    if fields:
        rows.update(**fields)


def _keep_conflicts(step: Step) -> None:
    ItemConflict.objects.bulk_create(
        ItemConflict(
            link=step.link,
            name=one.name,
            base=one.base,
            crm=one.crm,
            exchange=one.exchange,
            winner=one.winner,
        )
        for one in step.conflicts
    )


def _write_items(book: Book, gateway: Activities, steps: Sequence[Step]) -> Settled:
    """Write what the mailbox gets, each kind of writing in one call, and keep what came of it."""
    done = Settled()
    creating = [(step, step.create_item) for step in steps if step.create_item]
    if creating:
        created = gateway.create(book.kind, [item for _, item in creating])
        attempts = [step for step, _ in creating]
        try:
            done.add(_keep(book, attempts, created))
        except ClaimLost:
            take_back(book, gateway, attempts, created)
            raise
    changing = [(step, step.change_item) for step in steps if step.change_item]
    if changing:
        changed = gateway.update(book.kind, [change for _, change in changing])
        done.add(_keep(book, [step for step, _ in changing], changed))
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
    with fenced(book.claim) as row:
        for step, answer in zip(steps, answers, strict=True):
            if isinstance(answer, NotWritten):
                done.failed += answer.fault.nature is not Nature.CONFLICT
                if answer.fault.scope is Scope.EMAIL:
                    _put_off(book, step.link, answer.fault)
                else:
                    stops = answer.fault
            elif step.delete_item is not None:
                _keep_deletion(book, step)
                done.items += 1
            elif isinstance(answer, Gone):
                _update(book, step, {"is_removed": True, "seen_key": "", "due_at": Now()})
            else:
                _keep_written(book, step, answer)
                done.items += 1
        if done.items:
            note_progress(row)
    if stops is not None:
        raise FaultError(stops)
    return done


def _keep_deletion(book: Book, step: Step) -> None:
    before = (step.link.base or {}).get("crm")
    JournalEntry.objects.create(**_facts(book, step, Action.DELETED_ITEM), before=before)
    if step.drops_link:
        step.link.delete()
    else:
        _update(book, step, {"due_at": None} | step.finally_)


def _keep_written(book: Book, step: Step, answer: Written) -> None:
    step.link.item_id = answer.item_id
    if step.create_item is not None:
        _entry(book, step, Action.CREATED_ITEM, after=dict(step.create_item.values)).save()
    elif step.change_item is not None and step.change_item.values:
        before = step.item.values if step.item else Base.of(step.link.base or _NO_BASE).exchange
        after = dict(step.change_item.values)
        was = {name: before.get(name) for name in after}
        _entry(book, step, Action.CHANGED_ITEM, before=was, after=after).save()
    fields = _agreed(book, step) | {
        "item_id": answer.item_id,
        "change_key": answer.change_key,
        # Made and deleted between two listings, it would be in none.
        "is_unlisted": step.create_item is not None or step.link.is_unlisted,
        "seen_key": "" if step.learns_uid else answer.change_key,
    }
    if step.learns_uid:
        fields["due_at"] = Now()
    _update(book, step, fields)


def _entry(
    book: Book, step: Step, action: str, *, before: Any = None, after: Any = None
) -> JournalEntry:
    return JournalEntry(**_facts(book, step, action), before=before, after=after)


def _facts(book: Book, step: Step, action: str) -> dict[str, Any]:
    return {
        "mailbox_id": book.mailbox.pk,
        "fence": book.claim.fence,
        "kind": book.kind,
        "key": step.link.key,
        "item_id": step.link.item_id,
        "action": action,
        "subject": step.link.subject,
    }


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
