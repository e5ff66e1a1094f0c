"""Claims, tests and changes of records stopped at every point.

What people and beats do is one transaction each: killed anywhere before its commit nothing has
happened, and one that stands still inside it holds nobody up for long.
"""

import json
from base64 import b64decode

import pytest
from django.db.models.functions import Now

from syncservice.alerts.models import Alert
from syncservice.crm.models import Queue, User
from syncservice.mailboxes import administration, directions, schedule
from syncservice.mailboxes.models import (
    ChangeRecord,
    Direction,
    Discovery,
    EmailServerProfile,
    FolderCursor,
    Lane,
    Mailbox,
    MailboxMapping,
    Organisation,
    OutgoingMethod,
    Schedule,
    ServerHealth,
)
from syncservice.simulator.exchange import ExchangeSimulator
from tests import factories
from tests.cluster.processes import wait_until
from tests.interleavings.conftest import LEASE
from tests.interleavings.stage import END

RECORDS = (
    User,
    Queue,
    EmailServerProfile,
    Mailbox,
    MailboxMapping,
    Direction,
    Schedule,
    ServerHealth,
    Discovery,
    FolderCursor,
    Organisation,
    ChangeRecord,
    Alert,
)


def records() -> dict[str, list[dict]]:
    return {table.__name__: list(table.objects.order_by("pk").values()) for table in RECORDS}


# --- Changes that people make --------------------------------------------------------------------

CHANGES = {
    "disable": [
        "update mailboxes_direction",
        "insert mailboxes_changerecord",
        "insert mailboxes_schedule",
        "commit",
        END,
    ],
    "request_tests": [
        "insert mailboxes_direction",
        "insert mailboxes_changerecord",
        "update mailboxes_direction",
        "commit",
        END,
    ],
    "approve": [
        "update mailboxes_mailbox",
        "insert mailboxes_changerecord",
        "insert mailboxes_schedule",
        "commit",
        END,
    ],
    "move_profile": [
        "update mailboxes_emailserverprofile",
        "delete mailboxes_discovery",
        "insert mailboxes_changerecord",
        "insert mailboxes_schedule",
        "commit",
        END,
    ],
    "change_address": [
        "update mailboxes_mailbox",
        "update crm_user",
        "update mailboxes_schedule",
        "delete mailboxes_foldercursor",
        "insert mailboxes_schedule",
        "insert mailboxes_changerecord",
        "commit",
        END,
    ],
    "ask_approval": [
        "update mailboxes_organisation",
        "insert mailboxes_schedule",
        "insert mailboxes_changerecord",
        "commit",
        END,
    ],
    "take_over": [
        "update mailboxes_mailboxmapping",
        "update mailboxes_outgoingemail",  # what waits leaves by no mailbox of another
        "update mailboxes_direction",
        "insert mailboxes_changerecord",
        "insert mailboxes_schedule",
        "update mailboxes_schedule",
        "update mailboxes_mailbox",
        *("delete mailboxes_declineditem", "delete mailboxes_trackrequest"),  # the former owner's
        *("delete mailboxes_itemprogress", "delete mailboxes_journalentry"),
        *("delete mailboxes_seenappointment", "delete mailboxes_foldercursor"),
        *(  # the heir's mailbox, which had no address
            "delete mailboxes_trackrequest",
            "delete mailboxes_direction",
            "delete mailboxes_mailboxfolders",
            "delete mailboxes_trackingcategory",
            "delete mailboxes_remoteitem",
            "delete mailboxes_trackrequest",
            "delete mailboxes_declineditem",
            "delete mailboxes_seenappointment",
            "delete mailboxes_itemprogress",
            "delete mailboxes_journalentry",
            "delete mailboxes_schedule",
            "delete mailboxes_foldercursor",
            "delete mailboxes_visitstatistics",
            "delete alerts_itemfailure",
            "delete alerts_alert",
            "update mailboxes_changerecord",
            "update mailboxes_outgoingemail",
            "delete mailboxes_mailboxmapping",
            "delete mailboxes_mailbox",
        ),
        "insert mailboxes_mailboxmapping",
        "update mailboxes_outgoingemail",
        "insert mailboxes_changerecord",
        "update alerts_alert",
        "insert alerts_alert",
        *(  # the former owner gets an empty one
            "insert mailboxes_mailbox",
            "insert mailboxes_direction",
            "insert mailboxes_mailboxmapping",
            "update mailboxes_outgoingemail",
            "insert mailboxes_schedule",
        ),
        "commit",
        END,
    ],
}
EACH_POINT = [
    pytest.param(change, number, id=f"{change}-{number}-{point}")
    for change, points in CHANGES.items()
    for number, point in enumerate(points)
]


@pytest.fixture
def box(stage) -> Mailbox:
    box = factories.mailbox()
    Queue.objects.create(name="Heir")
    return box


def arguments(change: str, box: Mailbox) -> list[object]:
    given = {
        "approve": [box.pk, False],
        "move_profile": [box.profile.name, "https://elsewhere.test/EWS/Exchange.asmx"],
        "change_address": [box.pk, "other@example.test"],
        "ask_approval": [False],
        "take_over": [box.pk, Queue.objects.get().pk],
    }
    return given.get(change, [box.pk])


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_one_transaction_with_these_points(stage, box, change):
    before = records()
    assert stage.points(change, *arguments(change, box)) == CHANGES[change]
    assert CHANGES[change].count("commit") == 1
    assert records() != before


@pytest.mark.parametrize(("change", "number"), EACH_POINT)
def test_a_change_killed_before_its_commit_has_not_happened(stage, box, change, number):
    before = records()
    point = stage.kill_at(number, change, *arguments(change, box))
    assert (records() == before) is (point != END)


@pytest.mark.parametrize(("change", "number"), EACH_POINT)
def test_a_change_that_stands_still_loses_its_turn_and_writes_nothing_later(
    stage, box, change, number
):
    before = records()
    point = stage.pause_at(number, change, *arguments(change, box))
    administration.change_mailbox(box, "another", name="changed meanwhile")  # it need not wait long
    rows = records()
    assert stage.resume() == ("exited 0" if point == END else "exited 1")
    assert records() == rows
    assert (before["Direction"] == rows["Direction"]) or point == END


# --- A beat's claim ------------------------------------------------------------------------------

DISPATCH = ["update mailboxes_schedule", "commit", "redis lpush mailboxes", END]


def waiting(redis_client) -> list[list]:
    """The arguments of the visits that wait in Redis, the oldest first."""
    messages = reversed(redis_client.lrange("mailboxes", 0, -1))
    return [json.loads(b64decode(json.loads(message)["body"]))[0] for message in messages]


def test_a_dispatch_has_these_points(stage, box):
    assert stage.points("dispatch") == DISPATCH


@pytest.mark.parametrize("number", range(len(DISPATCH)), ids=DISPATCH)
def test_a_killed_beat_delays_a_visit_by_a_lease_and_doubles_none(stage, box, redis_client, number):
    assert stage.kill_at(number, "dispatch") == DISPATCH[number]
    published = len(waiting(redis_client))
    wait_until(
        lambda: stage.points("dispatch") and len(waiting(redis_client)) > published,
        what="another beat claims the mailbox",
    )
    for message in waiting(redis_client) * 2:  # each is delivered twice
        stage.points("visit", *message)
    assert box.visits.count() == 1


@pytest.mark.parametrize("number", range(len(DISPATCH)), ids=DISPATCH)
def test_a_beat_that_stood_still_publishes_nothing_that_counts(stage, box, redis_client, number):
    stage.pause_at(number, "dispatch")
    (claim,) = wait_until(lambda: schedule.claim_due(1, LEASE).messages, what="the lease ends")
    stage.points("visit", *claim)
    assert stage.resume() == ("exited 1" if DISPATCH[number] == "commit" else "exited 0")
    rows = records()
    for message in waiting(redis_client):
        stage.points("visit", *message)
    assert records() == rows
    assert box.visits.count() == 1


# --- Test & enable -------------------------------------------------------------------------------

TEST = [
    "commit",  # no test of a profile's connection is due
    *("update mailboxes_direction", "commit"),  # that of a mailbox is claimed
    "redis evalsha slots",
    "request SyncFolderItems",
    "redis zrem slots",
    "update mailboxes_direction",
    "insert mailboxes_schedule",
    "update alerts_alert",
    "insert alerts_alert",
    "commit",
    *("commit", "commit"),  # no other is due
    END,
]


@pytest.fixture
def tested(stage) -> Mailbox:
    """A mailbox whose incoming email waits to be tested."""
    with ExchangeSimulator() as simulator:
        simulator.control.create_service_account("svc", "pw")
        profile = factories.profile(location=simulator.ews_url, username="svc", password="pw")
        box = factories.mailbox(enabled=False, profile=profile, outgoing_method=OutgoingMethod.NONE)
        simulator.control.create_mailbox(box.email_address, "pw")
        directions.request_tests([box.pk], "tests")
        yield box


def lease_ends(box: Mailbox) -> None:
    """Ten minutes pass for the test that is running; the slots of a dead process are free."""
    box.directions.exclude(test_due_at=None).update(test_due_at=Now())


def incoming(box: Mailbox) -> Direction:
    return box.directions.get(kind=Direction.Kind.INCOMING)


def test_a_test_has_these_points(stage, tested):
    assert stage.points("run_due_tests") == TEST
    assert incoming(tested).is_enabled


@pytest.mark.parametrize("number", range(len(TEST)), ids=[f"{n}-{p}" for n, p in enumerate(TEST)])
def test_a_killed_test_is_made_by_the_next(stage, tested, number):
    stage.kill_at(number, "run_due_tests")
    lease_ends(tested)
    wait_until(
        lambda: stage.points("run_due_tests") and incoming(tested).is_enabled,
        what="the direction is tested and switched on",
    )
    assert Schedule.objects.get(mailbox=tested, lane=Lane.INCOMING).due_at is not None
    assert Alert.objects.filter(ended_at=None).count() == 1


@pytest.mark.parametrize("number", range(len(TEST)), ids=[f"{n}-{p}" for n, p in enumerate(TEST)])
def test_a_test_that_stood_still_switches_nothing_on_that_a_person_switched_off(
    stage, tested, number
):
    stage.pause_at(number, "run_due_tests")
    directions.disable([tested.pk], Direction.Kind, "tests")
    rows = records()
    stage.resume()
    assert records() == rows
    assert not incoming(tested).is_enabled
