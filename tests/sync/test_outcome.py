"""What the end of a visit makes of faults, limits and stops: for its lane, and for its server."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from syncservice.domain.faults import Fault, Nature, Patience, Scope
from syncservice.domain.polling import Pace
from syncservice.mailboxes.models import (
    Direction,
    EmailServerProfile,
    Lane,
    Mailbox,
    Schedule,
    ServerHealth,
    VisitStatistics,
)
from syncservice.mailboxes.schedule import server_of
from syncservice.sync import outcome as outcomes
from syncservice.sync.visit import Outcome
from tests import factories
from tests.memory_gateway import fault

pytestmark = pytest.mark.django_db

HINT = timedelta(seconds=77)


def end(box: Mailbox, outcome: Outcome) -> Schedule:
    """Make a visit end so, and return its lane with `left`: the time until it is due again."""
    Schedule.objects.filter(mailbox=box, lane=Lane.INCOMING).update(due_at=Now())
    claim = factories.claim(box)
    profile = EmailServerProfile.objects.get(pk=box.profile_id)
    outcomes.record(claim, outcome, server_of(profile, claim.lane), Pace(), "here", Patience())
    return lane(box)


def lane(box: Mailbox, name: Lane = Lane.INCOMING) -> Schedule:
    return Schedule.objects.annotate(left=F("due_at") - Now()).get(mailbox=box, lane=name)


def health(box: Mailbox) -> ServerHealth:
    return ServerHealth.objects.annotate(left=F("not_before") - Now()).get(profile=box.profile_id)


def incoming(box: Mailbox) -> Direction:
    return box.directions.get(kind=Direction.Kind.INCOMING)


def busy(scope: Scope = Scope.MAILBOX) -> Fault:
    return fault(Nature.THROTTLED, scope, retry_after=HINT)


def close_to(found: timedelta, wanted: timedelta) -> bool:
    return timedelta(0) <= wanted - found < timedelta(seconds=2)


def test_an_unreachable_server_pauses_its_profile_and_blames_no_mailbox():
    box = factories.mailbox()
    row = end(box, Outcome(fault=fault(scope=Scope.PROFILE)))
    assert (row.failures, row.fault_code) == (0, "test.fault")
    assert (health(box).failures, health(box).fault_code) == (1, "test.fault")
    assert health(box).left > timedelta(minutes=3.9)


def test_a_mailboxs_own_fault_pauses_nobody_else():
    box = factories.mailbox()
    row = end(box, Outcome(fault=fault()))
    assert row.failures == 1
    assert health(box).left <= timedelta(0)


def test_a_busy_answer_to_an_impersonated_mailbox_holds_all_its_lanes_and_no_other_mailbox():
    box = factories.mailbox()
    act = Schedule.objects.create(mailbox=box, lane=Lane.ACT, profile=box.profile, due_at=None)
    Schedule.objects.filter(pk=act.pk).update(due_at=Now() + timedelta(seconds=1))
    row = end(box, Outcome(fault=busy()))
    assert close_to(row.left, HINT)
    assert close_to(lane(box, Lane.ACT).left, HINT)
    assert health(box).left <= timedelta(0)
    assert health(box).throttled_to == 5  # of ten


def test_a_busy_answer_to_an_account_that_mailboxes_share_pauses_them_all():
    box = factories.mailbox(profile=factories.profile(use_impersonation=False))
    end(box, Outcome(fault=busy()))
    assert close_to(health(box).left, HINT)


def test_a_good_visit_proves_a_servers_health_and_one_that_asked_nothing_does_not():
    box = factories.mailbox()
    end(box, Outcome(fault=fault(scope=Scope.PROFILE)))
    ServerHealth.objects.update(not_before=Now())
    end(box, Outcome(stopped=True, more_left=True))
    assert health(box).failures == 1
    end(box, Outcome(requests=1))
    assert (health(box).failures, health(box).fault_code) == (0, "")


def test_a_visit_that_asked_nothing_leaves_the_mailboxs_fault_to_the_one_that_does():
    box = factories.mailbox()
    end(box, Outcome(fault=fault(Nature.PERMANENT)))
    row = end(box, Outcome(stopped=True, more_left=True))
    assert (row.failures, row.fault_code) == (1, fault().code)
    assert not incoming(box).is_enabled
    row = end(box, Outcome(requests=1))
    assert (row.failures, row.fault_code) == (0, "")
    assert incoming(box).is_enabled


def test_a_limit_of_our_own_is_no_fault_and_says_when_to_go_on():
    box = factories.mailbox()
    limit = fault(Nature.LIMITED, retry_after=timedelta(seconds=3))
    row = end(box, Outcome(requests=4, stored=3, more_left=True, limit=limit))
    assert (row.failures, row.fault_code, row.empty_visits) == (0, "", 0)
    assert close_to(row.left, timedelta(seconds=3))


def test_a_visit_that_was_broken_off_empty_is_no_sign_of_quiet():
    box = factories.mailbox()
    row = end(box, Outcome(requests=1, stopped=True, more_left=True))
    assert row.empty_visits == 0
    assert row.left <= timedelta(0)


def test_the_rest_counts_from_the_start_of_the_visit():
    box = factories.mailbox()
    claim = factories.claim(box)
    Schedule.objects.update(started_at=Now() - timedelta(minutes=2))  # it took long
    profile = EmailServerProfile.objects.get(pk=box.profile_id)
    outcomes.record(
        claim,
        Outcome(requests=1, stored=1),
        server_of(profile, claim.lane),
        Pace(),
        "here",
        Patience(),
    )
    assert timedelta(minutes=1.9) < lane(box).left < timedelta(minutes=3)


def test_each_decision_is_kept_with_its_reason():
    box = factories.mailbox()
    end(box, Outcome(requests=1, stored=1))
    end(box, Outcome(requests=1))
    kept = VisitStatistics.objects.order_by("pk").values_list("rest", "reason")
    assert list(kept) == [
        (timedelta(minutes=5), "1 new message in the last visit"),
        (timedelta(minutes=6), "1 empty visit in a row"),
    ]


def test_a_mailbox_with_mail_in_every_visit_becomes_busy():
    box = factories.mailbox()
    reasons = [end(box, Outcome(requests=1, stored=6)).reason for _ in range(3)]
    assert "more before" in reasons[-1]
