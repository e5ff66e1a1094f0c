"""What a visit did is undone, and nothing else."""

import pytest
from django.db.models.functions import Now

from syncservice.crm.models import (
    AppointmentParty,
    Contact,
    Task,
)
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes.models import (
    ItemLink,
    ItemProgress,
    JournalEntry,
)
from tests.sync.synced_items import TRACKED, Person, appointment, contact, task

#: Each change is committed: in one transaction, a visit would be told of all of them again.
pytestmark = pytest.mark.django_db(transaction=True)
State, First = ItemLink.State, ItemProgress.First
CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK
Party = AppointmentParty.Participation


def undo(one: Person, action: JournalEntry.Action, times: int = 3) -> None:
    """Have the entries of an action undone, and make as many visits as that takes to settle."""
    entries = JournalEntry.objects.filter(mailbox=one.mailbox, action=action, undone_at=None)
    assert entries.update(undo_asked_at=Now())
    for _ in range(times):
        one.visit()


def test_what_was_taken_back_is_not_made_again_when_its_item_changes(ann):
    item_id = ann.outlook.add(TASK, subject="Call Kim", categories=(TRACKED,))
    ann.visit()
    JournalEntry.objects.filter(action="created_record").update(undo_asked_at=Now())
    ann.visit()
    ann.visit()
    ann.outlook.edit(item_id, notes="at noon")
    ann.visit()
    assert not Task.objects.exists()


def test_undoing_deletes_no_record_that_was_changed_since_its_item_left(ann):
    name = {"first": "Kim", "middle": "", "last": "Karst"}
    item_id = ann.outlook.add(CONTACT, full_name=name, categories=(TRACKED,))
    ann.visit()
    ann.outlook.remove(item_id)
    ann.visit()
    Contact.objects.update(job_title="a week's work")
    undo(ann, JournalEntry.Action.CREATED_RECORD)
    assert Contact.objects.exists()


def test_undoing_does_not_wait_for_a_later_link_to_delete_its_item(ann, bob):
    call = task(ann)
    ann.visit()
    Task.objects.filter(pk=call.pk).update(owner=bob.user)
    ann.visit()
    undo(ann, JournalEntry.Action.CREATED_ITEM)
    Task.objects.filter(pk=call.pk).update(owner=ann.user)
    ann.visit()
    assert len(ann.items(TASK)) == 1


def test_an_appointment_whose_item_was_deleted_comes_back_when_that_is_undone(ann):
    appointment(ann)
    ann.visit()
    ann.outlook.edit(ann.items(APPOINTMENT)[0].item_id, location="Room 1")
    ann.visit()
    undo(ann, JournalEntry.Action.CREATED_ITEM)
    assert ann.items(APPOINTMENT) == []
    undo(ann, JournalEntry.Action.DELETED_ITEM)
    assert len(ann.items(APPOINTMENT)) == 1


def test_undoing_that_a_link_ended_changes_nothing_once_it_is_linked_again(ann, bob):
    kim = contact(ann, mobile_phone="06-1")
    ann.visit()
    for owner in (bob.user, ann.user):
        kim.owner = owner
        kim.save()
        ann.visit()
    kim.mobile_phone = ""
    kim.save()
    undo(ann, JournalEntry.Action.UNLINKED)
    kim.refresh_from_db()
    assert kim.mobile_phone == ""
