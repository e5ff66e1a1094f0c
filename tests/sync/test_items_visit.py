"""Visits of appointments, contacts and tasks: what travels, and what does not."""

import pytest

from syncservice.crm.models import Contact, Task
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes.models import ItemLink
from tests.memory_activities import MemoryExchange
from tests.sync.synced_items import TRACKED, person

pytestmark = pytest.mark.django_db
State = ItemLink.State
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


def test_a_quiet_visit_costs_one_request_a_folder(ann):
    Contact.objects.create(first_name="Kim", last_name="Karst", owner=ann.user)
    ann.visit()
    ann.visit()
    outcome = ann.visit()
    assert outcome.requests == 3
    assert (outcome.stored, outcome.written, outcome.failed) == (0, 0, 0)
