"""What is settled together: what it costs, and that one that can't be written stops no other."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from syncservice.crm.models import Appointment, Contact
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes.models import ItemLink, JournalEntry
from tests.sync.synced_items import TRACKED, Person, person

pytestmark = pytest.mark.django_db
APPOINTMENT = ItemKind.APPOINTMENT
Action, State = JournalEntry.Action, ItemLink.State
FEW, MANY = 3, 40  # both less than a batch


def time_of(day: int, *, ends_first: bool = False) -> dict:
    times = [f"2031-03-{day:02}T08:00:00Z", f"2031-03-{day:02}T09:00:00Z"]
    start, end = times[::-1] if ends_first else times
    return {"start": start, "end": end, "all_day": False, "zone": "Europe/Berlin"}


def test_a_record_that_can_not_be_written_stops_none_of_its_batch(ann):
    for day in range(1, 6):
        ann.outlook.add(
            APPOINTMENT,
            subject=f"Plans {day}",
            time=time_of(day, ends_first=day == 3),
            categories=(TRACKED,),
        )
    outcome = ann.visit()
    assert (outcome.stored, outcome.failed, outcome.fault) == (4, 1, None)
    subjects = set(Appointment.objects.values_list("subject", flat=True))
    assert subjects == {"Plans 1", "Plans 2", "Plans 4", "Plans 5"}
    assert JournalEntry.objects.filter(action=Action.CREATED_RECORD).count() == 4
    refused = ann.links.get(state=State.WANTED)
    assert (refused.fault_code, refused.subject) == ("item.record_refused", "Plans 3")
    assert ann.links.filter(state=State.LINKED, due_at=None).exclude(base=None).count() == 4


def test_what_was_changed_before_a_batch_failed_is_told_rightly(ann):
    """The journal has what a record said before the batch, not before its second attempt."""
    for day in range(1, 4):
        ann.outlook.add(
            APPOINTMENT, subject=f"Plans {day}", time=time_of(day), categories=(TRACKED,)
        )
    ann.visit()
    ann.visit()
    for number, item in enumerate(ann.items(APPOINTMENT)):
        ann.outlook.edit(item.item_id, subject="Changed")
        if number == 1:
            ann.outlook.edit(item.item_id, time=time_of(9, ends_first=True))
    outcome = ann.visit()
    assert (outcome.stored, outcome.failed) == (2, 1)
    changes = JournalEntry.objects.filter(action=Action.CHANGED_RECORD).order_by("pk")
    assert [(one.before["subject"], one.after["subject"]) for one in changes] == [
        ("Plans 1", "Changed"),
        ("Plans 3", "Changed"),
    ]


def _make_contacts(ann: Person, count: int) -> None:
    Contact.objects.bulk_create(
        Contact(first_name="Kim", last_name=f"Karst {number}", owner=ann.user)
        for number in range(count)
    )


def _track_contacts(ann: Person, count: int) -> None:
    for number in range(count):  # like nobody else's: they would be asked about
        name = {"first": "Kim", "middle": ann.user.email, "last": f"Karst {number}"}
        ann.outlook.add(ItemKind.CONTACT, full_name=name, categories=(TRACKED,))


def _track_appointments(ann: Person, count: int) -> None:
    for number in range(count):
        ann.outlook.add(
            APPOINTMENT,
            subject=f"Plans {number}",
            time=time_of(number % 28 + 1),
            required=[{"address": f"kim{number}@contoso.test", "name": "Kim"}],
            categories=(TRACKED,),
        )


@pytest.mark.parametrize("work", [_make_contacts, _track_contacts, _track_appointments])
def test_a_batch_costs_the_same_statements_however_many_it_has(exchange, work):
    statements = []
    for count in (FEW, FEW, MANY):  # the second is the first to see another one's changes
        someone = person(exchange, f"user{len(statements)}@example.test")
        someone.visit()
        work(someone, count)
        with CaptureQueriesContext(connection) as asked:
            while (outcome := someone.visit()).stored or outcome.written:
                pass
        statements.append(len(asked))
    assert statements[1] == statements[2]
