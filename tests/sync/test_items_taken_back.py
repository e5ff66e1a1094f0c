"""What people take back: a visit is undone, and a conflict reversed, by visits as they are made."""

import pytest

from syncservice.alerts import item_requests
from syncservice.console import items
from syncservice.crm.models import Contact, Task
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes.item_questions import Question
from syncservice.mailboxes.models import ItemConflict, ItemProgress, JournalEntry, Organisation
from syncservice.sync.items import reversal
from tests.memory_activities import MemoryExchange
from tests.sync.synced_items import TRACKED, person

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann():
    return person(MemoryExchange(), "ann@example.test")


def undo(ann) -> None:
    """Undo the last visit that did something, and make as many visits as that takes to settle."""
    item_requests.undo(ann.mailbox, items.visits(ann.mailbox, 1)[0].number, "ann")
    for _ in range(3):
        ann.visit()
    assert not JournalEntry.objects.exclude(undo_asked_at=None).filter(undone_at=None).exists()


def test_items_that_a_visit_made_are_gone_and_do_not_come_back(ann):
    for name in ("Ash", "Elm"):
        Contact.objects.create(last_name=name, owner=ann.user)
    ann.visit()
    assert len(ann.items(ItemKind.CONTACT)) == 2
    undo(ann)
    assert ann.items(ItemKind.CONTACT) == []
    assert Contact.objects.count() == 2
    visit = items.visits(ann.mailbox, 5)[-1]
    assert (visit.undone, visit.refused, visit.waits) == (2, 0, False)


def test_records_that_a_visit_made_are_gone_and_their_items_stay(ann):
    ann.outlook.add(ItemKind.TASK, subject="Call Kim", categories=(TRACKED,))
    ann.visit()
    assert Task.objects.count() == 1
    undo(ann)
    assert not Task.objects.exists()
    assert len(ann.items(ItemKind.TASK)) == 1


def test_a_value_that_a_visit_brought_is_as_before_on_both_sides(ann):
    contact = Contact.objects.create(last_name="Ash", mobile_phone="1", owner=ann.user)
    ann.visit()
    (item,) = ann.items(ItemKind.CONTACT)
    ann.outlook.edit(item.item_id, mobile="2")
    ann.visit()
    contact.refresh_from_db()
    assert contact.mobile_phone == "2"
    undo(ann)
    contact.refresh_from_db()
    assert contact.mobile_phone == "1"
    assert ann.outlook.items[item.item_id].values["mobile"] == "1"


def test_the_losing_value_of_a_conflict_comes_to_both_sides(ann):
    contact = Contact.objects.create(last_name="Ash", mobile_phone="1", owner=ann.user)
    ann.visit()
    (item,) = ann.items(ItemKind.CONTACT)
    contact.mobile_phone = "crm"
    contact.save()
    ann.outlook.edit(item.item_id, mobile="outlook")
    ann.visit()
    conflict = ItemConflict.objects.get()
    lost = {"crm": conflict.exchange, "exchange": conflict.crm}[conflict.winner]
    contact.refresh_from_db()
    assert {contact.mobile_phone, lost} == {"crm", "outlook"}
    reversal.reverse(conflict.pk, "ann")
    ann.visit()
    contact.refresh_from_db()
    assert contact.mobile_phone == lost
    assert ann.outlook.items[item.item_id].values["mobile"] == lost
    assert ItemConflict.objects.count() == 1


def test_a_declined_beginning_is_looked_at_anew(ann):
    Organisation.current()
    Organisation.objects.update(asks_above_creations=1)
    for name in ("Ash", "Elm"):
        Contact.objects.create(last_name=name, owner=ann.user)
    ann.visit()
    assert item_requests.asked(ann.mailbox) == {Question.FIRST_SYNCHRONIZATION: 1}
    item_requests.answer(ann.mailbox, Question.FIRST_SYNCHRONIZATION, False, "ann")
    ann.visit()
    assert ann.items(ItemKind.CONTACT) == []
    item_requests.look_anew(ann.mailbox, "ann")
    ann.visit()
    (kind,) = [one for one in items.kinds(ann.mailbox) if one.kind == ItemKind.CONTACT]
    assert kind.progress.first == ItemProgress.First.ASKING
    assert kind.progress.plan["creates_in_exchange"] == 2
    item_requests.answer(ann.mailbox, Question.FIRST_SYNCHRONIZATION, True, "ann")
    ann.visit()
    assert len(ann.items(ItemKind.CONTACT)) == 2
