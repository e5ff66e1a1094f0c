"""Visits of appointments, contacts and tasks: what travels, and what does not."""

from datetime import UTC, datetime

import pytest

from syncservice.crm.models import Appointment, AppointmentParty, Contact, Task
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes.models import ItemLink, JournalEntry
from tests import factories
from tests.memory_activities import MemoryExchange
from tests.sync.synced_items import TRACKED, person

pytestmark = pytest.mark.django_db
State = ItemLink.State
Party = AppointmentParty.Participation
CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK


@pytest.fixture
def exchange() -> MemoryExchange:
    return MemoryExchange()


@pytest.fixture
def ann(exchange):
    return person(exchange, "ann@example.test")


def name(first: str, last: str) -> dict:
    return {"first": first, "middle": "", "last": last}


def test_a_contact_of_the_crm_becomes_an_item_and_both_stay_in_step(ann):
    contact = Contact.objects.create(first_name="Kim", last_name="Karst", owner=ann.user)
    assert ann.visit().written == 1
    (item,) = ann.items(CONTACT)
    assert item.values["full_name"] == name("Kim", "Karst")
    assert item.categories == (TRACKED,)

    ann.outlook.edit(item.item_id, mobile="06-1")
    ann.visit()
    contact.refresh_from_db()
    assert contact.mobile_phone == "06-1"

    contact.job_title = "Baker"
    contact.save()
    ann.visit()
    assert ann.outlook.items[item.item_id].values["job_title"] == "Baker"


def test_a_tracked_item_becomes_a_record_and_others_do_not(ann):
    tracked = ann.outlook.add(TASK, subject="Call Kim", due="2026-03-05", categories=(TRACKED,))
    ann.outlook.add(TASK, subject="Buy milk")
    ann.visit()
    task = Task.objects.get()
    assert (task.subject, task.owner) == ("Call Kim", ann.user)
    assert ann.outlook.items[tracked].record_key


def test_a_task_that_is_on_both_sides_already_is_adopted_and_not_made_again(ann):
    same = ann.outlook.add(TASK, subject="Call Kim", due="2026-03-05")
    ann.outlook.add(TASK, subject="Call Kim", due="2026-03-06")
    task = Task.objects.create(
        subject="Call  kim", due_at=datetime(2026, 3, 5, 9, tzinfo=UTC), status=2, owner=ann.user
    )
    ann.visit()
    assert len(ann.items(TASK)) == 2
    assert list(Task.objects.all()) == [task]
    link = ann.links.get(kind=TASK)
    assert (link.key, link.item_id, link.state) == (task.pk, same, State.LINKED)
    assert TRACKED in ann.outlook.items[same].categories


def planned(owner, **fields) -> Appointment:
    """An appointment of its owner's own."""
    record = factories.appointment(
        owner=owner.user, starts_at=datetime(2026, 3, 9, 9, tzinfo=UTC), **fields
    )
    record.parties.create(
        participation=Party.ORGANIZER, address=owner.user.email, user=owner.user
    )
    return record


def journal_of(record) -> list[tuple[str, list[str]]]:
    entries = JournalEntry.objects.filter(key=record.pk).order_by("pk")
    return [(one.action, sorted(one.after or ())) for one in entries]


def test_a_zone_that_comes_back_by_another_name_is_no_edit(ann):
    record = planned(ann, time_zone="Europe/Amsterdam")
    ann.visit()
    (item,) = ann.items(APPOINTMENT)
    JournalEntry.objects.all().delete()
    ann.outlook.edit(item.item_id, subject="Moved to the garden")
    ann.visit()
    record.refresh_from_db()
    assert (record.subject, record.time_zone) == ("Moved to the garden", "Europe/Amsterdam")
    assert journal_of(record) == [(JournalEntry.Action.CHANGED_RECORD, ["subject"])]
    ann.visit()
    assert len(journal_of(record)) == 1


def test_a_quiet_visit_costs_one_request_a_folder(ann):
    Contact.objects.create(first_name="Kim", last_name="Karst", owner=ann.user)
    ann.visit()
    ann.visit()
    outcome = ann.visit()
    assert outcome.requests == 3
    assert (outcome.stored, outcome.written, outcome.failed) == (0, 0, 0)
