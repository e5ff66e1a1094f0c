"""A visit stopped at every point: killed there, or standing still while the world goes on.

`VISIT` and `FAULTY_VISIT` are the points of a visit, in order; a test compares them with what the
visit does. What may happen meanwhile is in `MEANWHILE`. Right after one point is right before the
next: nothing but a request to the mail server, which reads, lies between.
"""

from collections.abc import Callable

import pytest
from django.db import transaction

from syncservice.alerts.models import Alert, ItemFailure
from syncservice.crm.models import ActivityParty, Attachment, Email, Queue, QueueItem
from syncservice.mailboxes import administration, directions, schedule
from syncservice.mailboxes.models import (
    Direction,
    FolderCursor,
    Lane,
    Mailbox,
    RemoteItem,
    Schedule,
    ServerHealth,
    VisitStatistics,
)
from syncservice.simulator.exchange import ExchangeSimulator, Fault
from tests import factories
from tests.interleavings.stage import END, Stage
from tests.interleavings.visits import claim, numbered, visit
from tests.memory_gateway import mime

#: A page of three messages in two batches, and one that ends with a message too large.
VISIT = [
    "update mailboxes_schedule",  # the claim begins
    "redis evalsha slots",
    "request SyncFolderItems",
    "request GetItem",
    *(  # a batch: two messages, one with an attachment
        "insert crm_email",
        "insert crm_activityparty",
        "insert crm_attachmentcontent",
        "insert crm_attachment",
        "insert crm_queueitem",
        "insert mailboxes_remoteitem",
        "update alerts_itemfailure",
        "delete mailboxes_declineditem",
        "commit",
    ),
    "request GetItem",
    *(  # the page's last batch, with the cursor
        "insert crm_email",
        "insert crm_activityparty",
        "insert crm_queueitem",
        "insert mailboxes_remoteitem",
        "update alerts_itemfailure",
        "delete mailboxes_declineditem",
        "insert mailboxes_foldercursor",
        "commit",
    ),
    "request SyncFolderItems",
    "request GetItem",
    *(  # two messages, one of them too large
        "insert crm_email",
        "insert crm_activityparty",
        "insert crm_queueitem",
        "insert mailboxes_remoteitem",
        "insert alerts_itemfailure",
        "insert alerts_alert",
        "update alerts_itemfailure",
        "delete mailboxes_declineditem",
        "update mailboxes_foldercursor",
        "commit",
    ),
    "redis zrem slots",
    *("update mailboxes_schedule", "insert mailboxes_visitstatistics", "commit"),  # the outcome
    END,
]


@pytest.fixture
def box(stage, simulator) -> Mailbox:
    """A queue's mailbox."""
    profile = factories.profile(location=simulator.ews_url, username="svc", password="pw")
    box = factories.mailbox(profile=profile, enabled=False)
    administration.map_mailbox(box, Queue.objects.create(name="Support"), take_over=True)
    Mailbox.objects.filter(pk=box.pk).update(process_email_from=None)
    directions.enable([box.pk], [Direction.Kind.INCOMING], "tests")
    Alert.objects.all().delete()  # of the taking over
    return box


@pytest.fixture
def mail(simulator, box) -> None:
    simulator.control.create_mailbox(box.email_address, "pw")
    letters = [mime("mail 0", attached=b"%PDF"), mime("mail 1"), mime("mail 2"), mime("mail 3")]
    large = mime("too large", attached=b"x" * 30_000)
    for letter in reversed([*letters, large]):  # the latest is listed first
        simulator.control.deliver(box.email_address, letter)


#: All that must be there in the end, however often visits were stopped on the way.
EVERYTHING = {
    "emails": [f"mail {number}" for number in range(4)],
    "parties": 8,
    "files": ["mail 0"],
    "links": 4,
    "queued": 4,
    "failures": [("too large", "email.too_large", "given_up")],
    "is read to the end": True,
}


def everything(box: Mailbox) -> dict[str, object]:
    emails = Email.objects.order_by("subject")
    failures = ItemFailure.objects.filter(mailbox=box)
    return {
        "emails": list(emails.values_list("subject", flat=True)),
        "parties": ActivityParty.objects.count(),
        "files": list(Attachment.objects.values_list("email__subject", flat=True)),
        "links": RemoteItem.objects.filter(mailbox=box).count(),
        "queued": QueueItem.objects.count(),
        "failures": list(failures.values_list("subject", "code", "state")),
        "is read to the end": FolderCursor.objects.filter(mailbox=box).exists(),
    }


def all_rows() -> dict[str, list[dict]]:
    """What visits write, to the last column."""
    tables = (Email, ActivityParty, Attachment, RemoteItem, QueueItem, ItemFailure, FolderCursor)
    watched = (*tables, Schedule, VisitStatistics, Alert, Direction, ServerHealth)
    return {table.__name__: list(table.objects.order_by("pk").values()) for table in watched}


def test_a_visit_has_these_points(stage, box, mail):
    assert stage.points("visit", *claim(box, Lane.INCOMING)) == VISIT
    assert everything(box) == EVERYTHING


@pytest.mark.parametrize("number", **numbered(VISIT))
def test_a_visit_killed_at_a_point_is_made_good_by_the_next(stage, box, mail, number):
    first = claim(box, Lane.INCOMING)
    assert stage.kill_at(number, "visit", *first) == VISIT[number]
    visit(stage, box, Lane.INCOMING)
    assert everything(box) == EVERYTHING
    row = Schedule.objects.get(mailbox=box)
    assert (row.claimed_at, row.crashes) == (None, 0)

    rows = all_rows()
    stage.points("visit", *first)  # its message is delivered once more
    assert all_rows() == rows


def another_visit(stage: Stage, box: Mailbox) -> None:
    visit(stage, box, Lane.INCOMING)
    assert everything(box) == EVERYTHING


def take_over(stage: Stage, box: Mailbox) -> None:
    administration.map_mailbox(box, Queue.objects.create(name="Sales"), take_over=True)


def switch_off(stage: Stage, box: Mailbox) -> None:
    directions.disable([box.pk], Direction.Kind, "tests")


def another_server(stage: Stage, box: Mailbox) -> None:
    administration.change_mailbox(box, "tests", profile=factories.profile())


MEANWHILE = [another_visit, take_over, switch_off, another_server]


#: Every event at every point is for the night; by day each point has one of them.
WHILE_IT_STANDS_STILL = [
    pytest.param(
        number,
        meanwhile,
        id=f"{number}-{point}-{meanwhile.__name__}",
        marks=() if number % len(MEANWHILE) == turn else pytest.mark.nightly,
    )
    for number, point in enumerate(VISIT)
    for turn, meanwhile in enumerate(MEANWHILE)
]


@pytest.mark.parametrize(("number", "meanwhile"), WHILE_IT_STANDS_STILL)
def test_a_visit_that_stood_still_writes_nothing_after_it_was_fenced_off(
    stage, box, mail, number, meanwhile: Callable[[Stage, Mailbox], None], redis_client
):
    stood_still = claim(box, Lane.INCOMING)
    assert stage.pause_at(number, "visit", *stood_still) == VISIT[number]
    meanwhile(stage, box)
    rows = all_rows()
    assert stage.resume() == "exited 0", stage.log()
    assert all_rows() == rows
    held = [redis_client.zrange(key, 0, -1) for key in redis_client.keys("slots:*")]
    holder = ":".join(map(str, stood_still)).encode()
    assert holder not in [name for names in held for name in names]


def test_a_visit_that_lost_its_transaction_lets_go_and_counts_as_no_crash(stage, box, mail):
    stage.pause_at(VISIT.index("commit"), "visit", *claim(box, Lane.INCOMING))
    with transaction.atomic():
        schedule.lock([box.pk])  # had as soon as PostgreSQL has ended the other's transaction
    assert stage.resume() == "exited 0", stage.log()
    row = Schedule.objects.get(mailbox=box)
    assert (row.claimed_at, row.started_at, row.crashes) == (None, None, 0)
    assert row.reason == "the database failed the visit"
    visit(stage, box, Lane.INCOMING)
    assert everything(box) == EVERYTHING


# --- Visits that end with a fault, and the one that ends well again ------------------------------

START = ["update mailboxes_schedule", "redis evalsha slots", "request SyncFolderItems"]
NO_MAILBOX = [  # permanent: the direction is switched off at once, and probed
    *START,
    "redis zrem slots",
    "update mailboxes_schedule",
    "update mailboxes_direction",
    "update alerts_alert",
    "insert alerts_alert",
    "insert mailboxes_visitstatistics",
    "commit",
    END,
]
OUTAGE = [  # of the server: it is left alone, and its owner is told
    *START,
    "redis zrem slots",
    "update mailboxes_serverhealth",
    "insert alerts_alert",
    "update mailboxes_schedule",
    "insert mailboxes_visitstatistics",
    "commit",
    END,
]
RECOVERY = [
    *START,
    "insert mailboxes_foldercursor",
    "commit",
    "redis zrem slots",
    "update mailboxes_direction",
    "insert alerts_alert",
    "update alerts_alert",
    "update mailboxes_schedule",
    "insert mailboxes_visitstatistics",
    "commit",
    END,
]


def no_mailbox(simulator: ExchangeSimulator, stage: Stage, box: Mailbox) -> None:
    """There is none on the server: nothing to prepare."""


def outage(simulator: ExchangeSimulator, stage: Stage, box: Mailbox) -> None:
    simulator.control.create_mailbox(box.email_address, "pw")
    simulator.control.add_fault(Fault(kind="http", status=502, mailbox=box.email_address))


def recovery(simulator: ExchangeSimulator, stage: Stage, box: Mailbox) -> None:
    visit(stage, box, Lane.INCOMING)
    simulator.control.create_mailbox(box.email_address, "pw")


def verdict(box: Mailbox) -> dict[str, object]:
    """What the service thinks of a mailbox and its server, without moments and counts."""
    row = Schedule.objects.get(mailbox=box)
    direction = box.directions.get(kind=Direction.Kind.INCOMING)
    return {
        "fault": row.fault_code,
        "runs": row.claimed_at is None and row.due_at is not None,
        "direction": (direction.is_enabled, direction.is_probed, direction.disabled_code),
        "server": ServerHealth.objects.get(profile=box.profile).fault_code,
        "alerts": [(alert.severity, alert.code) for alert in Alert.objects.filter(ended_at=None)],
    }


ON, OFF = (True, False, ""), (False, True, "exchange.non_existent_mailbox")
SCENES = [
    (
        no_mailbox,
        NO_MAILBOX,
        {
            "fault": "exchange.non_existent_mailbox",
            "runs": True,
            "direction": OFF,
            "server": "",
            "alerts": [(3, "exchange.non_existent_mailbox")],
        },
    ),
    (
        outage,
        OUTAGE,
        {
            "fault": "exchange.http_502",
            "runs": True,
            "direction": ON,
            "server": "exchange.http_502",
            "alerts": [(2, "exchange.http_502")],
        },
    ),
    (
        recovery,
        RECOVERY,
        {
            "fault": "",
            "runs": True,
            "direction": ON,
            "server": "",
            "alerts": [(1, "mailbox.recovered")],
        },
    ),
]
EACH_POINT = [
    pytest.param(prepare, number, after, id=f"{prepare.__name__}-{number}-{point}")
    for prepare, points, after in SCENES
    for number, point in enumerate(points)
]


@pytest.mark.parametrize(("prepare", "points", "after"), SCENES)
def test_an_end_has_these_points(stage, simulator, box, prepare, points, after):
    prepare(simulator, stage, box)
    assert stage.points("visit", *claim(box, Lane.INCOMING)) == points
    assert verdict(box) == after


@pytest.mark.parametrize(("prepare", "number", "after"), EACH_POINT)
def test_an_end_killed_at_a_point_is_reached_by_the_next_visit(
    stage, simulator, box, prepare, number, after
):
    prepare(simulator, stage, box)
    first = claim(box, Lane.INCOMING)
    stage.kill_at(number, "visit", *first)
    if not VisitStatistics.objects.filter(fence=first[2]).exists():
        visit(stage, box, Lane.INCOMING)
    assert verdict(box) == after


@pytest.mark.parametrize(("prepare", "number", "after"), EACH_POINT)
def test_an_end_that_stood_still_counts_nothing_after_another_visits(
    stage, simulator, box, prepare, number, after
):
    prepare(simulator, stage, box)
    stood_still = claim(box, Lane.INCOMING)
    stage.pause_at(number, "visit", *stood_still)
    if not VisitStatistics.objects.filter(fence=stood_still[2]).exists():
        visit(stage, box, Lane.INCOMING)
    rows = all_rows()
    assert stage.resume() == "exited 0", stage.log()
    assert all_rows() == rows
    assert verdict(box) == after
