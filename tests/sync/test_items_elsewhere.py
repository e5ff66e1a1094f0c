"""Items that another organisation had in step are left alone, or taken over (F214)."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from syncservice.alerts import alerts, item_requests
from syncservice.alerts.models import Alert, Severity
from syncservice.crm.models import Appointment, AppointmentParty, Contact, Task
from syncservice.domain.item_values import ItemKind
from syncservice.domain.record_keys import record_key
from syncservice.mailboxes.item_questions import Question
from syncservice.mailboxes.models import ItemProgress, Organisation, SeenAppointment
from tests import factories
from tests.memory_activities import MemoryExchange, When
from tests.memory_gateway import Killed
from tests.sync.synced_items import TRACKED, Person, person

pytestmark = pytest.mark.django_db
CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK
ELSEWHERE = Question.LINKED_ELSEWHERE
First = ItemProgress.First
NAME = {"first": "Kim", "middle": "", "last": "Karst"}
TIME = {
    "start": "2031-03-02T08:00:00Z", "end": "2031-03-02T09:00:00Z",
    "all_day": False, "zone": "Europe/Berlin",
}  # fmt: skip


@pytest.fixture
def ann() -> Person:
    return person(MemoryExchange(), "ann@example.test")


def theirs(ann: Person, kind: ItemKind, *, is_tracked: bool = True, **values: Any) -> str:
    """An item that another organisation has in step: it bears its key."""
    item_id = ann.outlook.add(kind, categories=(TRACKED,) if is_tracked else (), **values)
    ann.outlook.items[item_id].record_key = record_key(uuid4(), uuid4())
    return item_id


def kim(ann: Person) -> Contact:
    return Contact.objects.create(
        first_name="Kim", last_name="Karst", email_address="kim@x.test", owner=ann.user
    )


def item_of(ann: Person, item_id: str) -> tuple[str, str]:
    item = ann.outlook.items[item_id]
    return item.change_key, item.record_key


def plan(ann: Person, kind: ItemKind = CONTACT) -> dict[str, Any]:
    return ItemProgress.objects.get(mailbox=ann.mailbox, kind=kind).plan


def answer(ann: Person, yes: bool) -> None:
    item_requests.answer(ann.mailbox, ELSEWHERE, yes, "ann")


def is_ours(ann: Person, item_id: str) -> bool:
    return item_of(ann, item_id)[1].startswith(f"{Organisation.current().identity}/")


@pytest.mark.parametrize("kind", ItemKind)
def test_they_are_counted_told_and_left_alone(ann, kind):
    values = {"full_name": NAME} if kind is CONTACT else {"subject": "Call Kim"}
    item_id = theirs(ann, kind, **values, **({"time": TIME} if kind is APPOINTMENT else {}))
    before = item_of(ann, item_id)
    ann.visit()
    assert ann.state_of(kind) == First.DONE
    assert (plan(ann, kind)["linked_elsewhere"], plan(ann, kind)["creates_in_crm"]) == (1, 0)
    alert = Alert.objects.get(code=alerts.LINKED_ELSEWHERE)
    assert (alert.severity, alert.is_question) == (Severity.INFORMATION, True)
    assert alert.text == f"{kind}: 1 items are another organisation's"
    assert item_requests.asked(ann.mailbox) == {ELSEWHERE: 1}
    ann.outlook.edit(item_id, **values)  # also when it changes, or another one comes
    theirs(ann, kind, **values)
    ann.visit()
    assert not ann.links.exists()
    assert not any(table.objects.exists() for table in (Contact, Task, Appointment))
    assert item_of(ann, item_id)[1] == before[1]


def test_a_mailbox_without_any_says_nothing(ann):
    ann.outlook.add(CONTACT, full_name=NAME, categories=(TRACKED,))
    ann.visit()
    assert plan(ann)["linked_elsewhere"] == 0
    assert not Alert.objects.exists()
    assert Contact.objects.count() == 1


def test_what_would_be_made_once_more_beside_them_is_asked_about(ann):
    kim(ann)
    item_id = theirs(ann, CONTACT, full_name=NAME, email1="kim@x.test")
    before = item_of(ann, item_id)
    ann.visit()
    assert ann.state_of(CONTACT) == First.ASKING
    assert "1 of them would be made once more" in plan(ann)["reason"]
    assert (item_of(ann, item_id), len(ann.items(CONTACT))) == (before, 1)


def test_begun_all_the_same_they_are_made_beside_them(ann):
    record = kim(ann)
    item_id = theirs(ann, CONTACT, full_name=NAME, email1="kim@x.test")
    ann.visit()
    item_requests.answer(ann.mailbox, Question.FIRST_SYNCHRONIZATION, True, "ann")
    ann.visit()
    assert len(ann.items(CONTACT)) == 2
    link = ann.links.get()
    assert (link.key, link.item_id == item_id) == (record.key, False)
    # Taken over, it is the second item of one record: it stays as it is.
    before = item_of(ann, item_id)
    answer(ann, True)
    ann.visit()
    ann.visit()
    assert (item_of(ann, item_id), Contact.objects.count()) == (before, 1)


def test_taken_over_before_it_begins_they_are_adopted(ann):
    record = kim(ann)
    item_id = theirs(ann, CONTACT, full_name=NAME, email1="kim@x.test")
    ann.visit()
    answer(ann, True)
    assert item_requests.asked(ann.mailbox) == {}
    assert not Alert.objects.filter(ended_at=None).exists()
    ann.visit()
    ann.visit()
    link = ann.links.get()
    assert (link.key, link.item_id, link.state) == (record.key, item_id, "linked")
    assert (len(ann.items(CONTACT)), Contact.objects.count()) == (1, 1)
    assert is_ours(ann, item_id)
    progress = ItemProgress.objects.get(mailbox=ann.mailbox, kind=CONTACT)
    assert (progress.first, progress.elsewhere) == ("done", "taken")


def test_taken_over_later_they_become_records_and_are_marked_as_ours(ann):
    tracked = theirs(ann, TASK, subject="Call Kim")
    other = theirs(ann, TASK, subject="Private", is_tracked=False)
    ann.visit()
    before = item_of(ann, other)
    answer(ann, True)
    for _ in range(2):
        ann.visit()
    assert Task.objects.get().subject == "Call Kim"
    assert is_ours(ann, tracked)
    assert item_of(ann, other) == before
    ann.outlook.edit(tracked, subject="Call Lee")
    ann.visit()
    assert Task.objects.get().subject == "Call Lee"
    later = theirs(ann, TASK, subject="Later")  # and so do those that come
    ann.visit()
    assert is_ours(ann, later)


def test_who_says_no_may_think_better_of_it(ann):
    item_id = theirs(ann, TASK, subject="Call Kim")
    ann.visit()
    alerts.answer(Alert.objects.get(code=alerts.LINKED_ELSEWHERE).pk, False, "ann")
    assert item_requests.asked(ann.mailbox) == {}
    assert item_requests.left_alone(ann.mailbox) == 1
    ann.visit()
    assert not ann.links.exists()
    assert Alert.objects.count() == 1
    answer(ann, True)
    ann.visit()
    assert is_ours(ann, item_id)
    assert item_requests.left_alone(ann.mailbox) == 0


def test_a_meeting_is_not_waited_for_in_their_copy_of_it(ann):
    item_id = theirs(ann, APPOINTMENT, subject="Plans", time=TIME)
    item = ann.outlook.items[item_id]
    record = factories.appointment(
        owner=ann.user, uid=item.uid, starts_at=datetime(2031, 3, 2, 8, tzinfo=UTC)
    )
    role = AppointmentParty.Participation
    record.parties.create(participation=role.ORGANIZER, address="kim@customer.test")
    record.parties.create(participation=role.REQUIRED, address=ann.user.email, user=ann.user)
    before = item_of(ann, item_id)
    ann.visit()
    assert ann.state_of(APPOINTMENT) == First.DONE  # it would not be made once more
    ann.outlook.touch(item)
    ann.visit()
    assert not SeenAppointment.objects.exists()
    assert ann.links.get().state == "waiting"
    assert item_of(ann, item_id)[1] == before[1]
    answer(ann, True)
    ann.visit()
    link = ann.links.get()
    assert (link.state, link.key, link.item_id) == ("linked", record.pk, item_id)
    assert Appointment.objects.count() == 1


def test_what_another_organisation_tracks_since_we_do_not_is_left_to_it(ann):
    item_id = ann.outlook.add(TASK, subject="Call Kim", categories=(TRACKED,))
    ann.visit()
    ann.visit()
    ann.outlook.categorise(item_id)
    ann.visit()
    ann.outlook.items[item_id].record_key = record_key(uuid4(), uuid4())
    ann.outlook.categorise(item_id, TRACKED)
    before = item_of(ann, item_id)
    ann.visit()
    assert ann.links.get().state == "unlinked"
    assert item_of(ann, item_id) == before


@pytest.mark.parametrize("when", When)
def test_they_are_taken_over_once_whatever_dies(ann, when):
    items = [theirs(ann, TASK, subject=f"Call {number}") for number in range(2)]
    ann.visit()
    answer(ann, True)
    server = ann.outlook.exchange
    server.killed_at = {(server.writes + 1, when)}
    with pytest.raises(Killed):
        ann.visit()
    for _ in range(3):
        ann.visit()
    assert Task.objects.count() == 2
    assert all(is_ours(ann, item_id) for item_id in items)
    assert ann.links.filter(state="linked", due_at=None).count() == 2
