"""Appointments, contacts and tasks by real beats and workers: pushed, killed, taken over."""

import random
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from syncservice.crm import templates
from syncservice.crm.models import (
    Appointment,
    AppointmentParty,
    Contact,
    Queue,
    SyncFilter,
    Task,
    User,
)
from syncservice.domain.item_values import VALUES, ItemKind, Values
from syncservice.mailboxes import administration, directions, schedule
from syncservice.mailboxes.models import (
    ActMethod,
    ChangeRouting,
    Direction,
    ItemLink,
    ItemProgress,
    JournalEntry,
    Lane,
    Mailbox,
    Organisation,
    Schedule,
    SeenAppointment,
    VisitStatistics,
)
from syncservice.servers.exchange.activities import ExchangeActivities
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.gateway import ItemChange, NewItem, Written
from syncservice.simulator.exchange import ExchangeSimulator, Fault
from tests import factories
from tests.cluster.processes import WorkerProcess, wait_until

CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK
ADDRESS, GUEST = "user@example.test", "guest@elsewhere.test"
TRACKED = "Tracked to CRM"
LATER = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=40)
KILLS, EACH = 20, 20
#: Visits are made all the time, and work that was lost with a worker comes round soon.
BUSY = {
    "CLAIM_LEASE_SECONDS": "0.5",
    "SLOT_RETRY_SECONDS": "0.1",
    "POLL_SHORTEST_SECONDS": "0.1",
    "POLL_NORMAL_SECONDS": "0.1",
    "POLL_LONGEST_SECONDS": "0.2",
    "MAILBOXES_CONCURRENCY": "1",
    "OUTGOING_ACTIVITIES_CONCURRENCY": "1",
    "VISIT_CRASHES": "100",
}


@pytest.fixture
def simulator(transactional_db):
    ChangeRouting.objects.get_or_create(pk=ChangeRouting.ONLY)
    if not SyncFilter.objects.filter(kind=SyncFilter.Kind.TEMPLATE).exists():
        SyncFilter.objects.bulk_create(templates.defaults(SyncFilter))
    with ExchangeSimulator() as running:
        running.control.create_service_account("svc", "pw")
        running.control.create_mailbox(ADDRESS, "pw")
        yield running


@pytest.fixture
def user(simulator) -> User:
    """A user whose appointments, contacts and tasks are kept in step."""
    user = User.objects.create(username=ADDRESS, email=ADDRESS)
    profile = factories.profile(location=simulator.ews_url, username="svc", password="pw")
    box = factories.mailbox(
        owner=user, profile=profile, act_method=ActMethod.SERVER_SIDE, enabled=False
    )
    directions.enable([box.pk], [Direction.Kind.ACT], "tests")
    schedule.plan([box.pk])
    return user


@pytest.fixture
def box(user) -> Mailbox:
    return administration.mailbox_of(user)


class Outlook:
    """The mailbox, as its owner has it before him."""

    def __init__(self, simulator: ExchangeSimulator) -> None:
        self._server = ExchangeServer(simulator.ews_url, "svc", "pw", "basic", impersonate=True)

    def add(self, kind: ItemKind, **values) -> None:
        new = NewItem(record_key="", values=VALUES[kind] | values, categories=(TRACKED,))
        with ExchangeActivities(self._server, ADDRESS) as gateway:
            (written,) = gateway.create(kind, [new])
        assert isinstance(written, Written)

    def values(self, kind: ItemKind) -> list[Values]:
        with ExchangeActivities(self._server, ADDRESS) as gateway:
            ids = [one.item_id for one in gateway.changes(kind, "", 500).items]
            return [one.values for one in gateway.read(kind, ids)]

    def edit(self, kind: ItemKind, place: int, **values) -> bool:
        """Change an item; False: somebody else did at the same time."""
        with ExchangeActivities(self._server, ADDRESS) as gateway:
            listed = gateway.changes(kind, "", 500).items
            (item,) = gateway.read(kind, [listed[place % len(listed)].item_id])
            change = ItemChange(
                item_id=item.item_id,
                change_key=item.change_key,
                values=values,
                whole={**item.values, **values},
            )
            (written,) = gateway.update(kind, [change])
        return isinstance(written, Written)


@pytest.fixture
def outlook(simulator) -> Outlook:
    return Outlook(simulator)


def wait_for_first_synchronization(box: Mailbox) -> None:
    progress = ItemProgress.objects.filter(mailbox=box, first=ItemProgress.First.DONE)
    wait_until(lambda: progress.count() == len(ItemKind), what="the first synchronization")
    wait_until(lambda: lane(box).claimed_at is None, what="the first visit ends")


def lane(box: Mailbox) -> Schedule:
    return Schedule.objects.get(mailbox=box, lane=Lane.ACT)


def visits(box: Mailbox) -> int:
    return VisitStatistics.objects.filter(mailbox=box, lane=Lane.ACT).count()


def names(simulator: ExchangeSimulator) -> list[str]:
    return [one.subject for one in simulator.control.items(ADDRESS, "contacts")]


def test_a_contact_is_in_the_mailbox_soon_after_it_was_saved(
    simulator, user, box, start_worker, start_beat
):
    """No visit is due: another queue than theirs brings it."""
    start_worker()
    start_beat()
    wait_for_first_synchronization(box)
    before = visits(box)
    Contact.objects.create(first_name="Kim", last_name="Karst", owner=user)
    wait_until(lambda: names(simulator) == ["Kim Karst"], what="the contact is pushed")
    wait_until(lambda: lane(box).claimed_at is None, what="the push ends")
    made = VisitStatistics.objects.filter(mailbox=box, lane=Lane.ACT)
    assert lane(box).due_at > datetime.now(UTC)
    assert made.count() - before <= 1  # a push may be counted, a visit was not made
    Contact.objects.update(job_title="Baker")
    wait_until(
        lambda: Outlook(simulator).values(CONTACT)[0]["job_title"] == "Baker",
        what="the change is pushed",
    )


def test_what_redis_has_lost_the_next_visit_brings(
    simulator, user, box, start_worker, start_beat, redis_client
):
    """Nobody serves the queue of pushes, and it is flushed."""
    start_worker("mailboxes")
    start_beat()
    wait_for_first_synchronization(box)
    Contact.objects.create(first_name="Kim", last_name="Karst", owner=user)
    wait_until(lambda: redis_client.llen("outgoing_activities"), what="a push is called for")
    redis_client.flushdb()
    assert names(simulator) == []
    schedule.wake([box.pk], Lane.ACT, "tests")
    wait_until(lambda: names(simulator) == ["Kim Karst"], what="the visit brings it")


def kill_children(worker: WorkerProcess) -> None:
    """SIGKILL whoever makes visits and pushes; the parent forks others."""
    for child in worker.children():
        child.kill()


def test_workers_killed_20_times_keep_everything_in_step_once(
    simulator, user, box, outlook, start_worker, start_beat, redis_client
):
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    print(f"seed={seed}")
    Organisation.current()
    Organisation.objects.update(checks_scheduling_conflicts=False)
    worker = start_worker("mailboxes", "outgoing_activities", env=BUSY)
    start_beat(env=BUSY)
    work = [(what, number) for number in range(EACH) for what in ("contact", "task", "meeting")]
    done = 0
    for kill in range(1, KILLS + 1):
        for what, number in work[done : kill * len(work) // KILLS]:
            enter(what, number, user, outlook)
        done = kill * len(work) // KILLS
        edit(dice, outlook)
        threading.Event().wait(dice.random() * 0.3)  # any instruction of a visit or a push
        if kill % 7 == 0:
            worker.kill()
            worker = start_worker("mailboxes", "outgoing_activities", env=BUSY)
        else:
            kill_children(worker)
        if kill % 5 == 0:
            redis_client.flushdb()

    wait_until(lambda: ItemLink.objects.filter(state="linked").count() == len(work), what="links")
    wait_until(lambda: not ItemLink.objects.exclude(due_at=None).exists(), what="all is settled")
    quiet = lane(box).empty_visits
    wait_until(lambda: lane(box).empty_visits >= quiet + 2 or lane(box).empty_visits >= 3)

    expected = {f"{what} {number}" for what, number in work}
    records = [one.last_name for one in Contact.objects.all()]
    records += [one.subject for model in (Task, Appointment) for one in model.objects.all()]
    assert Counter(records) == Counter(expected)
    items = [one["full_name"]["last"] for one in outlook.values(CONTACT)]
    items += [one["subject"] for kind in (TASK, APPOINTMENT) for one in outlook.values(kind)]
    assert Counter(items) == Counter(expected)
    assert notes_of_records() == notes_of_items(outlook)
    asked = [one for one in simulator.control.meeting_messages() if one.kind == "request"]
    assert Counter(one.uid for one in asked) == Counter({one.uid for one in asked})
    assert len(asked) == EACH
    assert {one.recipient for one in asked} == {GUEST}


def enter(what: str, number: int, user: User, outlook: Outlook) -> None:
    """Enter a contact or a meeting in the CRM, a task in Outlook."""
    name = f"{what} {number}"
    if what == "contact":
        Contact.objects.create(first_name="C", last_name=name, owner=user)
    elif what == "task":
        outlook.add(TASK, subject=name)
    else:
        starts_at = LATER + timedelta(hours=number)
        with transaction.atomic():
            record = Appointment.objects.create(
                subject=name,
                owner=user,
                starts_at=starts_at,
                ends_at=starts_at + timedelta(minutes=30),
                time_zone="Europe/Berlin",
            )
            role = AppointmentParty.Participation
            record.parties.create(participation=role.ORGANIZER, address=ADDRESS, user=user)
            record.parties.create(participation=role.REQUIRED, address=GUEST)


def edit(dice: random.Random, outlook: Outlook) -> None:
    """Change something on each side; not what attendees are told of."""
    word = f"edit {dice.random()}"
    contact = Contact.objects.order_by("?").first()
    if contact is not None:
        Contact.objects.filter(pk=contact.pk).update(description=word)
    if outlook.values(TASK):
        outlook.edit(TASK, dice.randrange(EACH), notes=word)
    if outlook.values(CONTACT):
        outlook.edit(CONTACT, dice.randrange(EACH), nickname=word)


def notes_of_records() -> dict[str, object]:
    found = {one.last_name: (one.description, one.nickname) for one in Contact.objects.all()}
    return found | {one.subject: one.description for one in Task.objects.all()}


def notes_of_items(outlook: Outlook) -> dict[str, object]:
    contacts = outlook.values(CONTACT)
    found = {one["full_name"]["last"]: (one["notes"], one["nickname"]) for one in contacts}
    return found | {one["subject"]: one["notes"] for one in outlook.values(TASK)}


# --- Taken over -----------------------------------------------------------------------------------

OF_ITEMS = (ItemLink, ItemProgress, JournalEntry, SeenAppointment)


def test_nothing_of_the_former_owners_visit_lands_after_the_take_over(
    simulator, user, box, start_worker, start_beat
):
    """A visit makes items one after the other while the mailbox changes hands."""
    Contact.objects.bulk_create(
        Contact(first_name="C", last_name=f"Contact {number}", owner=user) for number in range(200)
    )
    simulator.control.add_fault(Fault(kind="slow", operation="CreateItem", seconds=0.1))
    worker = start_worker("mailboxes")
    start_beat()
    linked = ItemLink.objects.filter(mailbox=box, state="linked")
    wait_until(lambda: linked.count() >= 50, what="some contacts are there")
    heir = Queue.objects.create(name="Heir")
    with transaction.atomic():
        administration.map_mailbox(box, heir, take_over=True)
    wait_until(lambda: "visit.claim_lost" in worker.logs(), what="the visit notices")
    assert [table.objects.filter(mailbox=box).count() for table in OF_ITEMS] == [0, 0, 0, 0]
    there = names(simulator)
    assert len(there) < 200
    Contact.objects.update(job_title="Baker")
    schedule.route_changes()
    assert schedule.begin_push(factories.LEASE) is None
    assert names(simulator) == there
    assert Contact.objects.count() == 200
