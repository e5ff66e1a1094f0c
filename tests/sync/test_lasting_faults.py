"""Faults that last: what is switched off, what heals by itself, and what a 401 proves."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert, Severity
from syncservice.domain.faults import Fault, FaultError, Nature, Patience, Provenance, Scope
from syncservice.domain.polling import Pace
from syncservice.mailboxes import directions
from syncservice.mailboxes.models import (
    Direction,
    EmailServerProfile,
    Lane,
    Mailbox,
    Schedule,
    ServerHealth,
)
from syncservice.mailboxes.schedule import server_of
from syncservice.servers import registry
from syncservice.sync import outcome as outcomes
from syncservice.sync.visit import Outcome
from tests import factories
from tests.memory_gateway import fault
from tests.simulator.answers import checked_simulator

pytestmark = pytest.mark.django_db

W, E, I = Severity.WARNING, Severity.ERROR, Severity.INFORMATION  # noqa: E741
STORE_AWAY = fault(scope=Scope.MAILBOX)
REFUSED = Fault(
    code="exchange.http_401", nature=Nature.PERMANENT, scope=Scope.MAILBOX,
    provenance=Provenance.HTTP, text="the server refused the password", of_login=True,
)  # fmt: skip
OWN_ACCOUNTS = {
    "credentials": EmailServerProfile.Credentials.MAILBOX,
    "use_impersonation": False,
}
WELL = Outcome(requests=1)


def end(box: Mailbox, outcome: Outcome, patience: Patience = Patience()) -> Direction:  # noqa: B008
    """Make a visit end so, however long the mailbox and its server were to be left alone."""
    others = Schedule.objects.exclude(mailbox=box).exclude(due_at=None)
    others.update(due_at=Now() + timedelta(hours=1))
    Schedule.objects.filter(mailbox=box, lane=Lane.INCOMING).update(due_at=Now())
    ServerHealth.objects.filter(profile=box.profile_id).update(not_before=Now())
    claim = factories.claim(box)
    profile = EmailServerProfile.objects.get(pk=box.profile_id)
    outcomes.record(claim, outcome, server_of(profile, claim.lane), Pace(), "here", patience)
    return Direction.objects.get(mailbox=box, kind="incoming")


def told(**of) -> list[tuple[str, int, int]]:
    """Code, severity and count of the alerts that hold."""
    rows = Alert.objects.filter(ended_at=None, **of).order_by("pk")
    return list(rows.values_list("code", "severity", "count"))


def test_the_tenth_attempt_makes_the_same_code_an_error_and_switches_the_direction_off():
    box = factories.mailbox()
    for _ in range(9):
        assert end(box, Outcome(fault=STORE_AWAY)).is_enabled
    assert told(mailbox=box) == [("test.fault", W, 9)]
    row = end(box, Outcome(fault=STORE_AWAY))
    assert (row.is_enabled, row.is_probed, row.disabled_code) == (False, True, "test.fault")
    assert told(mailbox=box) == [("test.fault", E, 1)]


def test_a_good_visit_in_between_begins_the_count_anew():
    box = factories.mailbox()
    for _ in range(9):
        end(box, Outcome(fault=STORE_AWAY))
    end(box, WELL)
    assert told(mailbox=box) == []
    assert end(box, Outcome(fault=STORE_AWAY)).is_enabled


def test_a_permanent_fault_switches_off_at_once():
    box = factories.mailbox()
    row = end(box, Outcome(fault=fault(Nature.PERMANENT)))
    assert (row.is_enabled, row.is_probed) == (False, True)
    assert told(mailbox=box) == [("test.fault", E, 1)]


def test_what_works_again_is_switched_on_again_and_said():
    box = factories.mailbox()
    end(box, Outcome(fault=fault(Nature.PERMANENT)))
    row = end(box, WELL)
    assert (row.is_enabled, row.is_probed, row.disabled_code) == (True, False, "")
    assert told(mailbox=box) == [(alerts.RECOVERED, I, 1)]


def test_without_self_healing_a_person_switches_it_on_again_by_reason():
    box, other = factories.mailbox(), factories.mailbox(enabled=False)
    stern = Patience(heals=False)
    row = end(box, Outcome(fault=fault(Nature.PERMANENT)), stern)
    assert (row.is_enabled, row.is_probed) == (False, False)
    assert Schedule.objects.get(mailbox=box).due_at is None
    reason = Direction.objects.filter(disabled_code="test.fault").values_list("mailbox", flat=True)
    assert directions.enable(reason, ["incoming"], "admin") == 1
    assert Schedule.objects.get(mailbox=box).due_at is not None
    assert Schedule.objects.get(mailbox=other).due_at is None


def test_throttling_never_counts_as_a_failure():
    box = factories.mailbox()
    for _ in range(12):
        row = end(box, Outcome(fault=fault(Nature.THROTTLED, retry_after=timedelta(seconds=5))))
    assert row.is_enabled
    assert told() == []


def test_busy_answers_between_attempts_dont_hide_what_lasts():
    box = factories.mailbox()
    for _ in range(9):
        end(box, Outcome(fault=STORE_AWAY))
        end(box, Outcome(fault=fault(Nature.THROTTLED)))
    assert not end(box, Outcome(fault=STORE_AWAY)).is_enabled


# --- a refused login ------------------------------------------------------------------------------


@pytest.fixture
def accounts() -> list[Mailbox]:
    """Three mailboxes of one server, each with an account of its own."""
    profile = factories.profile(**OWN_ACCOUNTS)
    own = {"username": "own", "password": "own", "allow_credentials": True}
    return [factories.mailbox(profile=profile, **own) for _ in range(3)]


def test_one_refusal_is_suspect_and_switches_nobody_off(accounts):
    ann, *_ = accounts
    assert end(ann, Outcome(fault=REFUSED)).is_enabled
    assert told(mailbox=ann) == [(REFUSED.code, W, 1)]
    assert ServerHealth.objects.get().not_before <= Schedule.objects.get(mailbox=ann).due_at


def test_a_refusal_is_proven_once_another_mailbox_was_let_in(accounts):
    ann, bob, _ = accounts
    end(ann, Outcome(fault=REFUSED))
    assert end(bob, WELL).is_enabled
    row = end(ann, Outcome(fault=REFUSED))
    assert (row.is_enabled, row.is_probed) == (False, False)  # a person has to act
    assert Schedule.objects.get(mailbox=ann).due_at is None
    assert told(mailbox=ann) == [(REFUSED.code, E, 1)]
    assert told(profile=ann.profile) == []


def test_refusals_of_several_are_the_servers_and_its_owner_is_told(accounts):
    ann, bob, cid = accounts
    for box in (ann, bob, cid, ann, bob, cid):
        assert end(box, Outcome(fault=REFUSED)).is_enabled
    ((code, severity, _),) = told(profile=ann.profile)
    assert (code, severity) == (alerts.LOGIN_REFUSED, E)
    for box in accounts:
        assert end(box, WELL).is_enabled
    assert told() == []


def test_after_a_storm_the_one_that_is_still_refused_is_switched_off(accounts):
    ann, bob, cid = accounts
    for box in accounts:
        end(box, Outcome(fault=REFUSED))
    end(bob, WELL)
    end(cid, WELL)
    assert not end(ann, Outcome(fault=REFUSED)).is_enabled
    assert end(bob, WELL).is_enabled


def test_a_mailbox_alone_at_its_server_is_believed_at_the_third_refusal():
    ann = factories.mailbox(
        profile=factories.profile(**OWN_ACCOUNTS),
        username="own", password="own", allow_credentials=True,
    )  # fmt: skip
    assert end(ann, Outcome(fault=REFUSED)).is_enabled
    assert end(ann, Outcome(fault=REFUSED)).is_enabled
    assert not end(ann, Outcome(fault=REFUSED)).is_enabled


def test_a_refused_account_that_all_share_rests_all_and_switches_nobody_off():
    profile = factories.profile()
    boxes = [factories.mailbox(profile=profile) for _ in range(3)]
    for round_ in range(4):
        for box in boxes:
            assert end(box, Outcome(fault=REFUSED)).is_enabled, round_
    assert {code for code, *_ in told(profile=profile)} == {alerts.LOGIN_REFUSED}
    assert ServerHealth.objects.get(profile=profile).attempts > 3


def test_a_visit_tries_a_refused_login_at_most_twice():
    with checked_simulator({"ann@example.test": "right"}) as simulator:
        profile = factories.profile(location=simulator.ews_url, **OWN_ACCOUNTS)
        box = factories.mailbox(
            email_address="ann@example.test", profile=profile,
            username="ann@example.test", password="wrong", allow_credentials=True,
        )  # fmt: skip
        with (
            pytest.raises(FaultError) as caught,
            registry.incoming(box, lambda: None) as gateway,
        ):
            gateway.page("", 10)
        assert caught.value.fault.code == "exchange.http_401"
        assert 1 <= simulator.control.statistics().authentication_failures <= 2
