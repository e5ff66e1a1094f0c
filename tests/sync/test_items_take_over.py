"""A mailbox that gets another owner, or another address, and what was kept in step in it."""

import pytest

from syncservice.crm.models import Contact, Task, User
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes import administration, directions, item_questions, schedule
from syncservice.mailboxes.item_questions import Question
from syncservice.mailboxes.models import (
    Direction,
    FolderCursor,
    ItemConflict,
    ItemLink,
    ItemProgress,
    JournalEntry,
    Mailbox,
    SeenAppointment,
)
from tests import factories
from tests.memory_activities import MemoryExchange
from tests.sync.synced_items import TRACKED, Person, person

pytestmark = pytest.mark.django_db
CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK
First = ItemProgress.First
OF_ITEMS = (ItemLink, ItemProgress, JournalEntry, SeenAppointment)


@pytest.fixture
def exchange() -> MemoryExchange:
    return MemoryExchange()


@pytest.fixture
def ann(exchange) -> Person:
    """She has a contact and a task in step; a conflict of theirs was kept."""
    ann = person(exchange, "ann@example.test")
    contact = Contact.objects.create(first_name="Kim", last_name="Karst", owner=ann.user)
    ann.outlook.add(TASK, subject="Call Kim", categories=(TRACKED,))
    ann.outlook.add(APPOINTMENT, subject="Lunch", time=TIME)
    ann.visit()
    Contact.objects.filter(pk=contact.pk).update(job_title="Baker")
    (item,) = ann.items(CONTACT)
    ann.outlook.edit(item.item_id, job_title="Cook")
    ann.visit()
    assert ItemConflict.objects.exists()
    return ann


TIME = {
    "start": "2027-03-02T08:00:00Z", "end": "2027-03-02T09:00:00Z",
    "all_day": False, "zone": "Europe/Berlin",
}  # fmt: skip


def taken_over(ann: Person) -> Person:
    """Give Ann's mailbox to Bob, who has nobody else's items in mind."""
    heir = User.objects.create(username="bob", email="")
    administration.map_mailbox(ann.mailbox, heir, take_over=True)
    return Person(heir, Mailbox.objects.get(pk=ann.mailbox.pk), ann.outlook)


def enable(owner: Person) -> None:
    directions.enable([owner.mailbox.pk], [Direction.Kind.ACT], "tests")


def held(mailbox: Mailbox) -> list[int]:
    return [table.objects.filter(mailbox=mailbox).count() for table in OF_ITEMS]


def items(owner: Person) -> list[tuple]:
    everything = sorted(owner.outlook.items.values(), key=lambda item: item.item_id)
    return [(item.item_id, item.change_key) for item in everything]


def firsts(owner: Person) -> dict[str, str]:
    found = ItemProgress.objects.filter(mailbox=owner.mailbox)
    return dict(found.values_list("kind", "first"))


def test_nothing_of_the_former_owners_is_kept_in_step_any_more(ann):
    assert all(held(ann.mailbox))
    bob = taken_over(ann)
    assert held(bob.mailbox) == [0, 0, 0, 0]
    assert not FolderCursor.objects.filter(mailbox=bob.mailbox, folder__in=list(ItemKind)).exists()
    before = items(bob)
    Contact.objects.update(job_title="Smith")
    Task.objects.all().delete()
    schedule.route_changes()
    assert schedule.begin_push(factories.LEASE) is None
    assert items(bob) == before


def test_the_new_owner_is_asked_before_the_former_ones_items_are_his(ann):
    bob = taken_over(ann)
    Contact.objects.create(first_name="Own", last_name="One", owner=bob.user)
    enable(bob)
    before = items(bob)
    bob.visit()
    asked = {CONTACT: First.ASKING, TASK: First.ASKING, APPOINTMENT: First.DONE}
    assert firsts(bob) == asked
    assert items(bob) == before
    progress = ItemProgress.objects.get(mailbox=bob.mailbox, kind=CONTACT)
    assert "1 items are records of the mailbox's former owner" in progress.plan["reason"]

    item_questions.answer(bob.mailbox.pk, Question.FIRST_SYNCHRONIZATION, True, "bob")
    bob.visit()
    bob.visit()
    assert (Contact.objects.count(), Task.objects.count()) == (2, 1)
    assert (len(bob.items(CONTACT)), len(bob.items(TASK))) == (2, 1)
    assert set(firsts(bob).values()) == {First.DONE}


def test_the_new_owner_who_says_no_gets_none_of_them(ann):
    bob = taken_over(ann)
    enable(bob)
    bob.visit()
    item_questions.answer(bob.mailbox.pk, Question.FIRST_SYNCHRONIZATION, False, "bob")
    before = items(bob)
    Contact.objects.update(job_title="Smith")
    bob.visit()
    bob.visit()
    assert items(bob) == before
    assert not bob.links.filter(kind__in=[CONTACT, TASK]).exists()


def test_who_got_the_records_as_well_adopts_their_items_unasked(ann):
    bob = taken_over(ann)
    Contact.objects.update(owner=bob.user)
    Task.objects.update(owner=bob.user)
    enable(bob)
    bob.visit()
    assert set(firsts(bob).values()) == {First.DONE}
    assert (len(bob.items(CONTACT)), len(bob.items(TASK))) == (1, 1)
    assert (Contact.objects.count(), Task.objects.count()) == (1, 1)
    Contact.objects.update(mobile_phone="06-1")
    bob.visit()
    (item,) = bob.items(CONTACT)
    assert item.values["mobile"] == "06-1"


def test_a_mailbox_that_comes_back_is_another_ones_in_between(ann):
    """The owner of before is asked as well: nobody knows what has become of the items."""
    bob = taken_over(ann)
    administration.map_mailbox(bob.mailbox, ann.user, take_over=True)
    enable(ann)
    ann.visit()
    assert firsts(ann)[TASK] in (First.ASKING, First.DONE)
    assert (Contact.objects.count(), Task.objects.count()) == (1, 1)
    assert (len(ann.items(CONTACT)), len(ann.items(TASK))) == (1, 1)


def test_another_address_is_another_mailbox_that_begins_anew(ann, exchange):
    assert all(held(ann.mailbox))
    administration.change_address(ann.mailbox, "new@example.test", "tests")
    assert held(ann.mailbox)[0::3] == [0, 0]
    administration.decide_approval([ann.mailbox.pk], "tests", approved=True)
    again = Person(ann.user, Mailbox.objects.get(pk=ann.mailbox.pk), exchange.mailbox("new@x.test"))
    again.user.refresh_from_db()
    again.visit()
    assert [item.values["full_name"]["last"] for item in again.items(CONTACT)] == ["Karst"]
    assert Contact.objects.count() == 1
    assert len(ann.items(CONTACT)) == 1  # the former address' mailbox is left as it is
