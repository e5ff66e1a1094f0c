"""The claim of due lanes: fair between profiles, bounded by what each server bears."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert
from syncservice.alerts.why_due import why_due
from syncservice.domain.faults import Nature, Patience, Scope
from syncservice.mailboxes import directions, schedule, server_health, tracking
from syncservice.mailboxes.models import (
    Direction,
    EmailServerProfile,
    Lane,
    Mailbox,
    MailboxMapping,
    Schedule,
    ServerHealth,
    TrackRequest,
)
from syncservice.mailboxes.schedule import Claim, ClaimLost, fenced
from tests import factories
from tests.memory_gateway import fault

LEASE = timedelta(minutes=1)
OF_MAILBOX = EmailServerProfile.Credentials.MAILBOX

pytestmark = pytest.mark.django_db


def mailboxes(count: int, profile: EmailServerProfile, overdue: int = 1) -> list[int]:
    """Make mailboxes of one profile, due `overdue` minutes ago and later, a second apart."""
    boxes = [factories.mailbox(profile=profile).pk for _ in range(count)]
    for second, box in enumerate(boxes):
        due = Now() - timedelta(minutes=overdue) + timedelta(seconds=second)
        Schedule.objects.filter(mailbox=box).update(due_at=due)
    return boxes


def claimed(limit: int = 1000, **options) -> list[int]:
    return [message[0] for message in schedule.claim_due(limit, LEASE, **options).messages]


def died(box: int) -> None:
    """The visit of a mailbox begins and its worker dies; the lease has ended."""
    (message,) = schedule.claim_due(1000, LEASE).messages
    schedule.begin(Claim(message[0], Lane(message[1]), message[2]), LEASE)
    assert message[0] == box
    Schedule.objects.filter(mailbox=box).update(due_at=Now())


def test_a_profile_gets_no_more_claims_than_it_has_free_connections():
    profile = factories.profile(maximum_concurrent_connections=3)
    boxes = mailboxes(10, profile)
    assert sorted(claimed()) == boxes[:3]
    assert claimed() == []
    with fenced(begun(boxes[0])) as row:
        schedule.release(row, factories.REST)
    assert claimed() == [boxes[3]]


def test_mailboxes_with_accounts_of_their_own_share_no_connections():
    boxes = mailboxes(
        5, factories.profile(maximum_concurrent_connections=1, credentials=OF_MAILBOX)
    )
    assert sorted(claimed()) == boxes


def test_the_profile_with_few_mailboxes_does_not_wait_behind_the_one_with_many():
    many = factories.profile(credentials=OF_MAILBOX)
    few = factories.profile(credentials=OF_MAILBOX)
    mailboxes(20, many, overdue=30)
    small = mailboxes(2, few, overdue=1)
    assert set(small) < set(claimed(limit=6))


def test_within_a_profile_the_longest_overdue_comes_first():
    boxes = mailboxes(6, factories.profile(credentials=OF_MAILBOX))
    assert sorted(claimed(limit=2)) == boxes[:2]
    assert sorted(claimed(limit=2)) == boxes[2:4]


def test_one_of_several_profiles_gets_its_share_of_the_processes_only():
    hanging = mailboxes(10, factories.profile(), overdue=30)
    other = mailboxes(1, factories.profile())
    assert sorted(claimed(share=2)) == hanging[:2] + other
    assert claimed(share=2) == []


def test_a_profile_that_is_alone_gets_all_processes():
    boxes = mailboxes(5, factories.profile())
    assert sorted(claimed(share=2)) == boxes


def test_a_server_that_asked_for_a_pause_gets_no_visit_and_the_others_go_on():
    paused, other = factories.profile(), factories.profile()
    mailboxes(3, paused)
    box = mailboxes(1, other)
    ServerHealth.objects.filter(profile=paused).update(not_before=Now() + timedelta(minutes=1))
    assert claimed() == box


def test_a_server_that_failed_is_asked_by_one_visit_first():
    profile = factories.profile()
    boxes = mailboxes(5, profile)
    ServerHealth.objects.filter(profile=profile).update(failures=1)
    assert claimed() == [boxes[0]]
    assert claimed() == []
    server_health.note_success(health(profile), now())
    assert sorted(claimed()) == boxes[1:]


def test_the_lanes_of_a_mailbox_have_schedules_and_counters_of_their_own():
    box = factories.mailbox()
    act = Schedule.objects.create(
        mailbox=box, lane=Lane.ACT, profile=box.profile, due_at=Now(), empty_visits=4
    )
    claims = schedule.claim_due(10, LEASE).messages
    (_, *incoming_fence) = [fence for _, _, fence in sorted(claims)]
    assert [lane for _, lane, _ in sorted(claims)] == ["act", "incoming"]
    incoming = Claim(box.pk, Lane.INCOMING, *incoming_fence)
    schedule.begin(incoming, LEASE)
    with fenced(incoming) as row:
        schedule.release(row, factories.REST, empty_visits=1)
    act.refresh_from_db()
    assert (act.empty_visits, act.claimed_at is None) == (4, False)


def asked_for(box: int, **changes) -> None:
    """Somebody wants a message of a mailbox; `changes` are of the schedule's row."""
    tracking.track_now(Mailbox.objects.get(pk=box), "tests", item_id="wanted")
    Schedule.objects.filter(mailbox=box).update(**changes)


def test_a_connection_is_left_for_what_people_ask_for_by_hand():
    profile = factories.profile(maximum_concurrent_connections=3)
    boxes = mailboxes(5, profile)
    asked_for(boxes[4])
    assert sorted(claimed()) == boxes[:2]


@pytest.mark.parametrize("health", [{}, {"failures": 1}], ids=["by setting", "sick"])
def test_what_is_asked_for_does_not_take_the_only_connection(health):
    """Nobody takes requests up just now, and the mailboxes are to be visited."""
    profile = factories.profile(maximum_concurrent_connections=3 if health else 1)
    boxes = mailboxes(3, profile)
    asked_for(boxes[2])
    ServerHealth.objects.filter(profile=profile).update(**health)
    assert claimed() == [boxes[0]]


@pytest.mark.parametrize(
    "way", ["switched off", "parked", "taken over", "never taken up", "tried in vain"]
)
def test_a_request_that_nobody_can_answer_now_takes_no_connection(way):
    profile = factories.profile(maximum_concurrent_connections=2)
    *others, box = mailboxes(3, profile)
    asked_for(box)
    match way:
        case "switched off":
            directions.disable([box], [Direction.Kind.INCOMING], "tests")
        case "parked":
            Schedule.objects.filter(mailbox=box).update(due_at=None, parked_at=Now())
        case "taken over":
            MailboxMapping.objects.filter(mailbox=box).update(ended_at=Now())
        case "never taken up":
            TrackRequest.objects.update(requested_at=Now() - timedelta(seconds=11))
        case "tried in vain":
            tracking.are_tried(box)
    assert sorted(claimed()) == others


# --- Leases ---------------------------------------------------------------------------------------


def begun(mailbox_id: int) -> Claim:
    row = Schedule.objects.get(mailbox=mailbox_id)
    return schedule.begin(Claim(mailbox_id, Lane(row.lane), row.fence), LEASE).claim


def test_a_visit_does_not_pay_for_the_wait_in_the_queue():
    box = factories.mailbox()
    claimed()
    Schedule.objects.update(due_at=Now() + timedelta(seconds=1))  # it waited long
    begun(box.pk)
    left = Schedule.objects.annotate(left=F("due_at") - Now()).get().left
    assert left > timedelta(seconds=59)


def test_a_claim_is_begun_once_however_often_its_message_comes():
    box = factories.mailbox()
    claimed()
    claim = begun(box.pk)
    with pytest.raises(ClaimLost):
        schedule.begin(claim, LEASE)


def test_a_message_whose_claim_ran_out_in_the_queue_begins_the_newer_one():
    box = factories.mailbox()
    ((_, lane, fence),) = schedule.claim_due(10, LEASE).messages
    Schedule.objects.update(due_at=Now())
    assert claimed() == [box.pk]  # once more; its message waits behind the first
    first = Claim(box.pk, Lane(lane), fence)
    begun = schedule.begin(first, LEASE)
    assert begun.claim.fence == fence + 1
    for message in (first, begun.claim):
        with pytest.raises(ClaimLost):
            schedule.begin(message, LEASE)


def test_a_renewed_claim_lives_on_and_a_lost_one_can_not_be_renewed():
    box = factories.mailbox()
    claimed()
    claim = begun(box.pk)
    Schedule.objects.update(due_at=Now() + timedelta(seconds=1))
    assert schedule.renew(claim, LEASE)
    assert claimed() == []
    Schedule.objects.update(due_at=Now())
    assert claimed() == [box.pk]
    assert not schedule.renew(claim, LEASE)


def test_claims_that_were_not_published_are_due_again_at_once():
    boxes = [factories.mailbox().pk for _ in range(3)]
    messages = schedule.claim_due(10, LEASE).messages
    running = begun(boxes[0])
    schedule.give_back(messages)
    assert sorted(claimed()) == boxes[1:]
    with fenced(running):
        pass  # the one that had begun all the same goes on


# --- Visits that end their worker -----------------------------------------------------------------


def test_a_visit_that_killed_its_worker_three_times_is_parked_with_an_alert(client):
    box = factories.mailbox()
    for _ in range(3):
        died(box.pk)
    found = schedule.claim_due(10, LEASE)
    assert (found.messages, found.parked) == ([], [(box.pk, "incoming")])
    assert Schedule.objects.get().due_at is None
    alerts.raise_parked([(box.pk, "incoming"), (box.pk, "incoming")])
    assert Alert.objects.filter(ended_at=None).count() == 1
    assert "parked" in why_due(box)[0].sentence

    assert alerts.resume_parked(box.pk) == 1
    assert claimed() == [box.pk]
    assert not Alert.objects.filter(ended_at=None).exists()


def test_a_visit_that_dies_but_comes_further_each_time_is_not_parked():
    box = factories.mailbox()
    for _ in range(5):
        died(box.pk)
        row = Schedule.objects.get()
        with fenced(Claim(box.pk, Lane.INCOMING, row.fence)) as locked:
            schedule.note_progress(locked)
    assert claimed() == [box.pk]


def test_messages_lost_on_the_way_park_nobody():
    box = factories.mailbox()
    for _ in range(5):
        assert claimed() == [box.pk]
        Schedule.objects.update(due_at=Now())
    assert Schedule.objects.get().crashes == 0


def test_a_parked_mailbox_stays_parked_when_its_profile_is_saved_but_not_when_switched_off_and_on():
    box = factories.mailbox()
    for _ in range(3):
        died(box.pk)
    schedule.claim_due(10, LEASE)
    schedule.plan([box.pk])
    assert claimed() == []
    for enabled in (False, True):
        switch = directions.enable if enabled else directions.disable
        switch([box.pk], [directions.Kind.INCOMING], "tests")
    assert claimed() == [box.pk]


def test_the_alert_ends_when_its_mailbox_is_parked_no_more():
    boxes = [factories.mailbox().pk for _ in range(2)]
    alerts.raise_parked([(box, "incoming") for box in boxes])
    Schedule.objects.filter(mailbox=boxes[0]).update(parked_at=Now(), due_at=None)
    alerts.end_outlived()
    assert list(Alert.objects.filter(ended_at=None).values_list("mailbox", flat=True)) == boxes[:1]


# --- The server's health --------------------------------------------------------------------------


def health(profile: EmailServerProfile) -> ServerHealth:
    return ServerHealth.objects.annotate(
        allowed=server_health.ALLOWED_CONNECTIONS, wait=F("not_before") - Now()
    ).get(profile=profile, server="incoming")


@pytest.fixture
def server() -> EmailServerProfile:
    return factories.mailbox(profile=factories.profile(maximum_concurrent_connections=8)).profile


def now():
    return ServerHealth.objects.annotate(now=Now()).values_list("now", flat=True).first()


def test_busy_answers_halve_the_connections_once_for_all_who_met_them(server):
    began = now()
    for _ in range(4):  # four visits that were under way together
        server_health.note_busy(health(server), began)
    assert health(server).allowed == 4
    server_health.note_busy(health(server), health(server).throttled_at + timedelta(microseconds=1))
    assert health(server).allowed == 2


def test_a_server_that_is_always_busy_keeps_one_connection(server):
    for _ in range(6):
        ServerHealth.objects.update(throttled_at=F("throttled_at") - timedelta(seconds=1))
        server_health.note_busy(health(server), now())
    assert health(server).allowed == 1


def test_each_quiet_minute_gives_a_connection_back_up_to_the_profiles_own_number(server):
    server_health.note_busy(health(server), now())
    for minutes, allowed in ((1, 5), (3, 7), (9, 8)):
        ServerHealth.objects.update(throttled_at=Now() - timedelta(minutes=minutes, seconds=1))
        assert health(server).allowed == allowed


def test_an_outage_counts_once_and_is_looked_at_ever_less_often_until_it_is_over(server):
    down = fault(scope=Scope.PROFILE)
    waits = []
    for _ in range(4):
        began = now()
        ServerHealth.objects.update(not_before=Now())
        for _ in range(5):
            server_health.note_fault(
                health(server), down, began, 0.0, timedelta(0), Patience(attempts=3)
            )
        waits.append(round(health(server).wait / timedelta(minutes=1)))
        ServerHealth.objects.update(failed_at=F("failed_at") - timedelta(seconds=1))
    assert waits == [5, 5, 10, 20]
    server_health.note_success(health(server), now())
    assert health(server).failures == 0


def test_a_servers_hint_is_kept_to_the_second_by_all(server):
    busy = fault(Nature.THROTTLED, Scope.PROFILE, retry_after=timedelta(seconds=77))
    rest, _ = server_health.note_fault(health(server), busy, now(), 0.5, timedelta(0), Patience())
    assert rest.length == timedelta(seconds=77)
    assert timedelta(seconds=76) < health(server).wait <= timedelta(seconds=77)
