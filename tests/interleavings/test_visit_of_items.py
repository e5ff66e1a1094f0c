"""A visit of appointments, contacts and tasks stopped at every point, and a push of them too.

Killed anywhere, or overtaken by another visit, it leaves nothing that the next one does not make
good: each record and item is there once, and nobody is asked to a meeting twice.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from syncservice.alerts.models import Alert
from syncservice.crm.models import Appointment, AppointmentParty, Contact, Queue, Task
from syncservice.domain.item_values import VALUES, ItemKind
from syncservice.mailboxes import administration
from syncservice.mailboxes.models import (
    FolderCursor,
    ItemConflict,
    ItemLink,
    ItemProgress,
    JournalEntry,
    Lane,
    Schedule,
    SeenAppointment,
    VisitStatistics,
)
from syncservice.servers.gateway import Deletion, ItemChange, NewItem
from syncservice.simulator.exchange import ExchangeSimulator
from tests.interleavings.stage import END
from tests.interleavings.visits import claim, numbered, visit
from tests.sync.exchange_people import Colleague, world_of
from tests.sync.synced_items import TRACKED

CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK
GUEST = "guest@elsewhere.test"
SOON = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=3)


#: Contacts, then appointments, then tasks: what changed is noticed, records are written, items.
VISIT = [
    "update mailboxes_schedule",  # the claim begins
    "redis evalsha slots",
    "request SyncFolderItems",
    *("update mailboxes_itemlink",) * 2,  # one was just made, one was changed
    *("update mailboxes_foldercursor", "commit"),
    *("insert mailboxes_itemlink", "update mailboxes_itemprogress", "commit"),  # a new record
    "request GetItem",
    *("update crm_contact", "insert mailboxes_journalentry"),
    *("update mailboxes_itemlink",) * 2,  # one is settled, the other is being attempted
    "commit",
    "request CreateItem",
    *("insert mailboxes_journalentry", "update mailboxes_itemlink", "commit"),
    "request SyncFolderItems",
    "insert mailboxes_itemlink",
    "update mailboxes_itemlink",  # nobody waits in vain
    *("update mailboxes_itemprogress", "commit"),
    *("update mailboxes_itemlink", "commit"),
    "request CreateItem",  # the guest is asked
    *("insert mailboxes_journalentry", "update mailboxes_itemlink", "commit"),
    "request GetItem",  # its UID is learned
    *("update crm_appointment", "update mailboxes_itemlink", "commit"),
    "request SyncFolderItems",
    "insert mailboxes_itemlink",  # a tracked task is wanted
    *("update mailboxes_itemlink",) * 3,  # one was deleted
    *("update mailboxes_foldercursor", "commit"),
    *("update mailboxes_itemlink",) * 2,  # a record was changed, another deleted
    *("update mailboxes_itemprogress", "commit"),
    "request GetItem",
    *("insert crm_task", "delete crm_task", "insert mailboxes_journalentry"),
    *("update mailboxes_itemlink", "delete mailboxes_itemconflict", "delete mailboxes_itemlink"),
    "commit",
    "request UpdateItem",
    *("insert mailboxes_journalentry", *("update mailboxes_itemlink",) * 2, "commit"),
    *("request DeleteItem", "insert mailboxes_journalentry", "update mailboxes_itemlink"),
    *("delete mailboxes_itemconflict", "delete mailboxes_itemlink"),
    "commit",
    "redis zrem slots",
    *("update mailboxes_schedule", "insert mailboxes_visitstatistics", "commit"),  # the outcome
    END,
]


@pytest.fixture
def ann(stage, simulator) -> Colleague:
    """Some of her contacts and tasks are in step; of each, something has happened since."""
    world = world_of(simulator)
    world.kinds = tuple(ItemKind)
    ann = world.colleague("ann")
    ann.visit()
    contact = Contact.objects.create(first_name="C", last_name="edited", owner=ann.user)
    for name in ("edited", "deleted in the CRM", "deleted in Outlook"):
        Task.objects.create(subject=name, status=2, owner=ann.user)
    ann.visit()
    ann.visit()
    simulator.control.forget_meeting_messages()

    Contact.objects.create(first_name="C", last_name="new", owner=ann.user)
    Task.objects.filter(subject="edited").update(description="by the CRM")
    Task.objects.get(subject="deleted in the CRM").delete()
    meeting = Appointment.objects.create(
        subject="new", owner=ann.user, starts_at=SOON, ends_at=SOON, time_zone="Europe/Berlin"
    )
    role = AppointmentParty.Participation
    meeting.parties.create(participation=role.ORGANIZER, user=ann.user, address=ann.address)
    meeting.parties.create(participation=role.REQUIRED, address=GUEST)
    with ann.open() as gateway:
        new = NewItem(
            record_key="", values=VALUES[TASK] | {"subject": "tracked"}, categories=(TRACKED,)
        )
        gateway.create(TASK, [new])
        items = {link.key: link.item_id for link in ann.links}
        (item,) = gateway.read(CONTACT, [items[contact.key]])
        values = {"job_title": "Baker"}
        gateway.update(
            CONTACT,
            [
                ItemChange(
                    item_id=item.item_id,
                    change_key=item.change_key,
                    values=values,
                    whole=item.values | values,
                )
            ],
        )
        gone = Task.objects.get(subject="deleted in Outlook")
        gateway.delete(TASK, [Deletion(item_id=items[gone.pk])])
    return ann


#: What both sides have in the end, however often visits were stopped on the way.
EVERYTHING = {
    "contacts": [("edited", "Baker"), ("new", "")],
    "tasks": [("edited", "by the CRM"), ("tracked", "")],
    "appointments": [("new", 1)],
}


def records() -> dict[str, list]:
    contacts = Contact.objects.order_by("last_name").values_list("last_name", "job_title")
    tasks = Task.objects.order_by("subject").values_list("subject", "description")
    meetings = [(one.subject, 1) for one in Appointment.objects.all() if one.uid]
    return {"contacts": list(contacts), "tasks": list(tasks), "appointments": meetings}


def items(ann: Colleague) -> dict[str, list]:
    contacts, tasks, meetings = (
        [one.values for one in ann.items(kind)] for kind in (CONTACT, TASK, APPOINTMENT)
    )
    return {
        "contacts": sorted((one["full_name"]["last"], one["job_title"]) for one in contacts),
        "tasks": sorted((one["subject"], one["notes"]) for one in tasks),
        "appointments": [(one["subject"], len(one["required"])) for one in meetings],
    }


ASKED = ("request", GUEST)
#: What the guest gets when a visit stands still right before it asks, and another one does.
ASKED_TWICE = [ASKED, ASKED, ("cancellation", GUEST)]


def check(ann: Colleague, simulator: ExchangeSimulator, sent: list | None = None) -> None:
    """Both sides are right, every record is linked, and the guest was asked once."""
    assert records() == EVERYTHING
    assert items(ann) == EVERYTHING
    assert Counter(ann.links.values_list("state", flat=True)) == {"linked": 5}
    assert not ann.links.exclude(due_at=None).exists()
    messages = simulator.control.meeting_messages()
    assert [(one.kind, one.recipient) for one in messages] == (sent or [ASKED])


def count(ann: Colleague) -> int:
    return sum(len(ann.items(kind)) for kind in ItemKind)


def all_rows() -> dict[str, list[dict]]:
    """What visits write, to the last column."""
    tables = (Contact, Task, Appointment, AppointmentParty, ItemLink, ItemProgress, JournalEntry)
    more = (SeenAppointment, ItemConflict, FolderCursor, Schedule, VisitStatistics, Alert)
    return {table.__name__: list(table.objects.order_by("pk").values()) for table in tables + more}


#: The point at which the meeting is about to be made.
ASKING = [place for place, point in enumerate(VISIT) if point == "request CreateItem"][1]


def test_a_visit_has_these_points(stage, ann, simulator):
    assert stage.points("visit", *claim(ann.mailbox, Lane.ACT)) == VISIT
    visit(stage, ann.mailbox, Lane.ACT)
    check(ann, simulator)


@pytest.mark.parametrize("number", **numbered(VISIT))
def test_a_visit_killed_at_a_point_is_made_good_by_the_next(stage, ann, simulator, number):
    first = claim(ann.mailbox, Lane.ACT)
    assert stage.kill_at(number, "visit", *first) == VISIT[number]
    visit(stage, ann.mailbox, Lane.ACT)
    visit(stage, ann.mailbox, Lane.ACT)
    check(ann, simulator)
    lane = Schedule.objects.get(mailbox=ann.mailbox, lane=Lane.ACT)
    assert (lane.claimed_at, lane.crashes) == (None, 0)

    rows = all_rows()
    stage.points("visit", *first)  # its message is delivered once more
    assert all_rows() == rows


@pytest.mark.parametrize(("number", "crashes"), [(2, 2), (VISIT.index("commit") + 2, 0)])
def test_a_visit_that_dies_after_it_has_come_further_is_no_crash_too_many(
    stage, ann, number, crashes
):
    lane = Schedule.objects.filter(mailbox=ann.mailbox, lane=Lane.ACT)
    lane.update(crashes=2)
    stage.kill_at(number, "visit", *claim(ann.mailbox, Lane.ACT))
    assert lane.get().crashes == crashes


@pytest.mark.nightly
@pytest.mark.parametrize("number", **numbered(VISIT))
def test_a_visit_that_stood_still_while_another_was_made_writes_nothing(
    stage, ann, simulator, number
):
    """An item that it is about to make is made by the other, and it takes its own back."""
    stage.pause_at(number, "visit", *claim(ann.mailbox, Lane.ACT))
    visit(stage, ann.mailbox, Lane.ACT)
    visit(stage, ann.mailbox, Lane.ACT)
    rows = all_rows()
    assert stage.resume() in ("exited 0", "exited 1"), stage.log()
    assert all_rows() == rows
    visit(stage, ann.mailbox, Lane.ACT)
    check(ann, simulator, ASKED_TWICE if number == ASKING else None)


@pytest.mark.nightly
@pytest.mark.parametrize("number", **numbered(VISIT))
def test_a_visit_that_stood_still_at_a_take_over_writes_nothing_of_the_former_owners(
    stage, ann, number
):
    stage.pause_at(number, "visit", *claim(ann.mailbox, Lane.ACT))
    administration.map_mailbox(ann.mailbox, Queue.objects.create(name="Heir"), take_over=True)
    rows, there = all_rows(), count(ann)
    stage.resume()
    assert all_rows() == rows
    assert count(ann) <= there  # what it was about to make, it has taken back
    of_items = (ItemLink, ItemProgress, JournalEntry, SeenAppointment)
    assert not any(table.objects.filter(mailbox=ann.mailbox).exists() for table in of_items)
