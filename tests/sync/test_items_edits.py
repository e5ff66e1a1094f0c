"""No edit is lost, and none comes back: whatever filters, categories and people do meanwhile."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert
from syncservice.crm.models import (
    AppointmentParty,
    Contact,
    SyncFilter,
    Task,
)
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes.models import (
    ItemConflict,
    ItemLink,
    ItemProgress,
    Organisation,
)
from tests.contracts import activity_worlds
from tests.memory_activities import MemoryActivities
from tests.sync.synced_items import TRACKED, Person, appointment, contact, person, task

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


def test_an_edit_of_the_same_value_while_the_item_is_read_is_not_lost_unseen(ann, monkeypatch):
    kim = contact(ann)
    ann.visit()
    ann.outlook.edit(ann.items(CONTACT)[0].item_id, job_title="Butcher")

    def edit() -> None:
        Contact.objects.filter(pk=kim.pk).update(job_title="Baker")

    meanwhile(monkeypatch, "read", edit)
    ann.visit()
    ann.visit()
    kim.refresh_from_db()
    assert kim.job_title == "Baker" or ItemConflict.objects.filter(crm="Baker").exists()


def test_who_fell_out_of_the_filter_overwrites_nothing_when_the_item_is_touched(ann, bob):  # F206
    kim = contact(ann, job_title="Butcher")
    ann.visit()
    kim.owner = bob.user
    kim.save()
    ann.visit()
    kim.job_title = "Baker"
    kim.save()
    (item,) = ann.items(CONTACT)
    ann.outlook.exchange.now = datetime.now(UTC) + timedelta(minutes=5)
    ann.outlook.edit(item.item_id, mobile="06-1")
    ann.visit()
    kim.refresh_from_db()
    assert kim.job_title == "Baker"


def test_a_task_that_is_taken_up_again_in_outlook_stays_open(ann):
    task(ann)
    ann.visit()
    (item,) = ann.items(TASK)
    ann.outlook.edit(item.item_id, status="completed")
    ann.visit()
    ann.visit()
    ann.outlook.edit(item.item_id, status="not_started")
    ann.visit()
    ann.visit()
    assert ann.items(TASK)[0].values["status"] == "not_started"


def test_a_value_that_was_taken_away_while_unlinked_does_not_return(ann, bob):
    kim = contact(ann, mobile_phone="06-1")
    ann.visit()
    kim.owner = bob.user
    kim.save()
    ann.visit()
    kim.owner, kim.mobile_phone = ann.user, ""
    kim.save()
    ann.visit()
    kim.refresh_from_db()
    assert kim.mobile_phone == ""


def test_an_edit_counts_when_categories_were_brought_into_use_later(ann):
    Organisation.objects.update_or_create(pk=1, defaults={"uses_category_tracking": False})
    kim = contact(ann)
    ann.visit()
    Organisation.objects.update_or_create(pk=1, defaults={"uses_category_tracking": True})
    ann.outlook.edit(ann.items(CONTACT)[0].item_id, mobile="06-1")
    ann.visit()
    kim.refresh_from_db()
    assert kim.mobile_phone == "06-1"


def test_a_task_that_no_longer_recurs_is_kept_in_step_again(ann):
    item_id = ann.outlook.add(TASK, subject="Call Kim", categories=(TRACKED,))
    ann.visit()
    ann.outlook.items[item_id].unsupported = "recurring_task"
    ann.outlook.touch(ann.outlook.items[item_id])
    ann.visit()
    ann.outlook.items[item_id].unsupported = ""
    ann.outlook.edit(item_id, notes="at noon")
    ann.visit()
    assert Task.objects.get().description == "at noon"


def widened(one: Person, number: int = 15) -> None:
    """Let the filter of contacts select many more than those that it selected."""
    other = person(one.outlook.exchange, "cas@example.test")
    for place in range(number):
        contact(other, f"Other {place}")
    filters = SyncFilter.objects.filter(user=one.user, entity="contact")
    filters.update(criteria={"field": "last_name", "operator": "not_empty"})


def test_an_edit_in_outlook_is_not_lost_when_a_wider_filter_is_looked_at(ann):
    kim = contact(ann)
    ann.visit()
    widened(ann)
    ann.visit()
    ann.outlook.edit(ann.items(CONTACT)[0].item_id, mobile="06-1")
    for _ in range(3):
        ann.visit()
    kim.refresh_from_db()
    assert len(ann.items(CONTACT)) == 16
    assert kim.mobile_phone == "06-1"


def test_an_edit_in_the_crm_is_not_lost_when_a_wider_filter_is_looked_at(ann):
    kim = contact(ann)
    ann.visit()
    item_id = ann.items(CONTACT)[0].item_id
    widened(ann)
    kim.mobile_phone = "06-1"
    kim.save()
    for _ in range(4):
        ann.visit()
    assert ann.outlook.items[item_id].values["mobile"] == "06-1"


def test_what_was_deleted_is_not_lost_when_a_wider_filter_is_looked_at(ann, bob):
    kim = contact(bob)
    SyncFilter.objects.filter(user=ann.user, entity="contact").update(
        criteria={"field": "last_name", "operator": "eq", "value": "Karst"}
    )
    ann.visit()
    item_id = ann.items(CONTACT)[0].item_id
    widened(ann)
    ann.visit()
    kim.delete()
    for _ in range(3):
        ann.visit()
    assert item_id not in ann.outlook.items  # 3I


def test_who_falls_out_of_a_wider_filter_is_unlinked(ann):
    kim = contact(ann, "")
    ann.visit()
    widened(ann)
    for _ in range(3):
        ann.visit()
    assert ann.links.get(key=kim.key).state == State.UNLINKED


def test_what_is_linked_stays_in_step_while_somebody_is_asked_about_a_wider_filter(ann):
    Organisation.objects.update_or_create(pk=1, defaults={"asks_above_creations": 12})
    kim = contact(ann)
    ann.visit()
    widened(ann)
    for _ in range(2):
        ann.visit()
    assert ann.state_of(CONTACT) == First.ASKING
    ann.outlook.edit(ann.items(CONTACT)[0].item_id, mobile="06-1")
    ann.visit()
    kim.refresh_from_db()
    assert (kim.mobile_phone, len(ann.items(CONTACT))) == ("06-1", 1)


def test_an_organizer_who_is_asked_about_a_wider_filter_still_speaks_for_his_meetings(ann, bob):
    record = appointment(ann, bob)
    for one in (ann, bob, ann, bob):
        one.visit()
    ItemProgress.objects.filter(mailbox=ann.mailbox, kind=APPOINTMENT).update(first=First.ASKING)
    bob.outlook.edit(bob.items(APPOINTMENT)[0].item_id, subject="Boring")
    for one in (bob, ann, bob):
        one.visit()
    record.refresh_from_db()
    assert record.subject == "Plans"


def test_a_question_about_beginning_tells_of_every_kind_that_its_answer_begins(ann):
    Organisation.objects.update_or_create(pk=1, defaults={"asks_above_creations": 2})
    for number in range(3):
        task(ann, f"task {number}")
        contact(ann, f"Karst {number}")
    ann.visit()
    text = Alert.objects.get(code=alerts.FIRST_SYNCHRONIZATION).text
    assert "task: it would" in text
    assert "contact: it would" in text


def test_an_item_gets_a_category_when_it_is_changed():
    """What is adopted gets ours; without it, the next visit takes it for untracked."""
    with activity_worlds.exchange() as world, world.open() as gateway:
        item_id = world.add(TASK, subject="Call Kim")
        item = activity_worlds.read(gateway, TASK, item_id)
        change = activity_worlds.change(item)
        change = dataclasses.replace(change, record_key="key", categories=(TRACKED,))
        gateway.update(TASK, [change])
        after = activity_worlds.read(gateway, TASK, item_id)
    assert (after.record_key, after.categories) == ("key", (TRACKED,))
