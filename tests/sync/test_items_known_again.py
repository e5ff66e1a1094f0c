"""Visits of items that are known again: by their subject and date, by the clock of their zone."""

from datetime import UTC, datetime

import pytest

from syncservice.crm.models import Appointment, AppointmentParty, Task
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes.models import ItemLink, JournalEntry
from tests import factories
from tests.memory_activities import MemoryExchange
from tests.sync.synced_items import TRACKED, person

pytestmark = pytest.mark.django_db
APPOINTMENT, TASK = ItemKind.APPOINTMENT, ItemKind.TASK
Party = AppointmentParty.Participation


@pytest.fixture
def ann():
    return person(MemoryExchange(), "ann@example.test")


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
    assert (link.key, link.item_id, link.state) == (task.pk, same, ItemLink.State.LINKED)
    assert TRACKED in ann.outlook.items[same].categories


def planned(owner, **fields) -> Appointment:
    """An appointment of its owner's own."""
    record = factories.appointment(
        owner=owner.user, starts_at=datetime(2026, 3, 9, 9, tzinfo=UTC), **fields
    )
    record.parties.create(participation=Party.ORGANIZER, address=owner.user.email, user=owner.user)
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
