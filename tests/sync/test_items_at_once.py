"""Others write, delete and take over while a visit runs."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from syncservice.crm.models import (
    AppointmentParty,
    Contact,
    Task,
)
from syncservice.domain.faults import Patience
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes import administration, directions, schedule
from syncservice.mailboxes.models import (
    Direction,
    ItemLink,
    ItemProgress,
    JournalEntry,
    Lane,
    Schedule,
)
from syncservice.sync import outcome
from syncservice.sync.appointment_records import AppointmentRecords
from syncservice.sync.items import first
from syncservice.sync.visit import Outcome
from tests.memory_activities import MemoryActivities
from tests.sync.synced_items import SOON, TRACKED, Person, contact, time_of, who

#: Each change is committed: in one transaction, a visit would be told of all of them again.
pytestmark = pytest.mark.django_db(transaction=True)
State, First = ItemLink.State, ItemProgress.First
CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK
Party = AppointmentParty.Participation


def meanwhile(monkeypatch, name: str, happens: Callable[[], None]) -> None:
    """Let something happen once while a request is under way."""
    asked, done = getattr(MemoryActivities, name), []

    def asking(self, *arguments):
        if not done:
            done.append(True)
            happens()
        return asked(self, *arguments)

    monkeypatch.setattr(MemoryActivities, name, asking)


@pytest.mark.parametrize("is_tracked", [True, False])
def test_who_takes_a_mailbox_over_gets_no_later_changes_of_its_former_owners_records(
    ann, bob, is_tracked
):
    if is_tracked:
        full_name = {"first": "Kim", "middle": "", "last": "Karst"}
        ann.outlook.add(CONTACT, full_name=full_name, categories=(TRACKED,))
    else:
        contact(ann)
    ann.visit()
    administration.map_mailbox(ann.mailbox, bob.user, take_over=True)
    directions.enable([ann.mailbox.pk], [Direction.Kind.ACT], "tests")
    schedule.plan([ann.mailbox.pk])
    Contact.objects.update(job_title="of nobody's concern")
    ann.visit()
    assert ann.items(CONTACT)[0].values["job_title"] == ""


def test_the_journal_of_a_former_owner_is_not_the_new_ones(ann, bob):
    contact(ann, "Secret")
    ann.visit()
    administration.map_mailbox(ann.mailbox, bob.user, take_over=True)
    assert not JournalEntry.objects.filter(mailbox=ann.mailbox).exists()


def test_a_record_that_is_deleted_while_its_item_is_read_ends_no_visit(ann, monkeypatch):
    kim = contact(ann)
    ann.visit()
    ann.outlook.edit(ann.items(CONTACT)[0].item_id, mobile="06-1")
    meanwhile(monkeypatch, "read", Contact.objects.filter(pk=kim.pk).delete)
    assert ann.visit().fault is None


def test_an_item_that_is_listed_on_two_pages_at_the_beginning_is_one(ann, monkeypatch):
    item_id = ann.outlook.add(TASK, subject="Call Kim", categories=(TRACKED,))
    monkeypatch.setattr(first, "MOST_CHANGES", 1)
    asked, pages = MemoryActivities.changes, []

    def changes(self, kind, cursor, limit):
        page = asked(self, kind, cursor, limit)
        if kind is TASK:
            pages.append(page)
            if len(pages) == 1:
                ann.outlook.add(TASK, subject="Second")
                ann.outlook.edit(item_id, notes="at noon")
                page = dataclasses.replace(page, is_last=False)
        return page

    monkeypatch.setattr(MemoryActivities, "changes", changes)
    ann.visit()
    ann.visit()
    assert Task.objects.get().description == "at noon"


def test_two_lanes_that_write_the_same_meetings_do_not_wait_in_a_circle(ann, bob, monkeypatch):
    """Each has written one record, and then wants that of the other."""
    invited = [who("ann@example.test"), who("bob@example.test")]
    uids = {subject: uuid4().hex for subject in ("first", "second")}
    for one in (ann, bob):
        for subject, uid in uids.items():
            meeting = {"subject": subject, "organizer": who("cas@elsewhere.test")}
            one.outlook.store(
                APPOINTMENT,
                {**meeting, "required": invited, "time": time_of(SOON), "show_as": "free"},
                uid=uid,
                is_organizer=False,
                categories=(TRACKED,),
            )
    for one in (ann, bob, ann, bob, ann, bob):
        one.visit()
    for one, order in ((ann, ("first", "second")), (bob, ("second", "first"))):
        for subject in order:
            item = one.outlook.of_uid(uids[subject])
            one.outlook.change(item, {"location": f"said by {one.user}"})
    apply, barrier, faults = AppointmentRecords.apply, threading.Barrier(2, timeout=10), []
    met = threading.local()

    def applying(self, *arguments) -> None:
        apply(self, *arguments)
        if not getattr(met, "already", False):
            met.already = True
            with contextlib.suppress(threading.BrokenBarrierError):
                barrier.wait()

    def visit(one: Person) -> None:
        try:
            one.visit()
        except DatabaseError as error:
            faults.append(error)
            barrier.abort()
        finally:
            connection.close()

    monkeypatch.setattr(AppointmentRecords, "apply", applying)
    threads = [threading.Thread(target=visit, args=(one,)) for one in (ann, bob)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_push_puts_the_visit_off_by_nothing(ann):
    """The rest that is given back was counted before the push, and begins after it."""
    ann.visit()
    row = Schedule.objects.get(mailbox=ann.mailbox, lane=Lane.ACT)
    Schedule.objects.filter(pk=row.pk).update(push_due_at=Now())
    begun, rest = schedule.begin_push(timedelta(minutes=5))
    patience = Patience(
        attempts=10, retry=timedelta(minutes=5), longest=timedelta(hours=1), heals=True
    )
    outcome.record_push(begun.claim, Outcome(), begun.health, rest, "here", patience)
    assert Schedule.objects.get(pk=row.pk).due_at <= row.due_at
