"""What a fault means for the next visit."""

from dataclasses import replace
from datetime import timedelta

import pytest

from syncservice.domain.faults import (
    Fault,
    Nature,
    Provenance,
    Scope,
    concerns_server,
    item_may_recover,
    rest_after,
)


def fault(nature: Nature, retry_after: timedelta | None = None) -> Fault:
    return Fault(
        code="exchange.test",
        nature=nature,
        scope=Scope.MAILBOX,
        provenance=Provenance.EWS,
        text="",
        retry_after=retry_after,
    )


def wait(
    fault: Fault, failures: int, phase: float = 0.0, minimum: timedelta = timedelta(0)
) -> timedelta:
    return rest_after(fault, failures, phase, minimum).length


def test_waits_double_with_each_fault_in_a_row_up_to_the_promise_of_twelve_minutes():
    waits = [wait(fault(Nature.TRANSIENT), n) for n in range(1, 8)]
    assert [wait / timedelta(minutes=1) for wait in waits] == [1, 2, 4, 8, 12, 12, 12]


@pytest.mark.parametrize("seconds", [7.5, 3600])
def test_the_servers_own_hint_is_kept_to_the_second(seconds):
    hint = timedelta(seconds=seconds)
    assert wait(fault(Nature.THROTTLED, hint), 5) == hint


def test_a_hint_of_milliseconds_is_no_hot_loop():
    assert wait(fault(Nature.THROTTLED, timedelta(milliseconds=5)), 1) == timedelta(seconds=1)


def test_those_who_failed_together_come_back_apart_but_never_later_than_promised():
    waits = [wait(fault(Nature.TRANSIENT), 9, phase / 10) for phase in range(10)]
    assert len(set(waits)) == 10
    assert timedelta(minutes=9.6) <= min(waits) < max(waits) == timedelta(minutes=12)


@pytest.mark.parametrize("nature", [Nature.TRANSIENT, Nature.THROTTLED, Nature.RESYNC])
def test_the_profiles_minimum_holds_after_faults_too(nature):
    rest = rest_after(fault(nature), 1, 0.0, timedelta(hours=1))
    assert rest.length == timedelta(hours=1)
    assert "minimum" in rest.reason


@pytest.mark.parametrize(
    ("scope", "nature", "account_is_shared", "concerns"),
    [
        (Scope.PROFILE, Nature.TRANSIENT, False, True),
        (Scope.MAILBOX, Nature.THROTTLED, True, True),
        pytest.param(
            Scope.MAILBOX, Nature.THROTTLED, False, False, id="impersonated: the mailbox's budget"
        ),
        (Scope.MAILBOX, Nature.TRANSIENT, True, False),
    ],
)
def test_whom_a_fault_concerns(scope, nature, account_is_shared, concerns):
    met = replace(fault(nature), scope=scope)
    assert concerns_server(met, account_is_shared=account_is_shared) is concerns


def test_what_needs_a_person_is_not_hammered():
    assert wait(fault(Nature.PERMANENT), 1) == timedelta(minutes=12)


def test_a_lost_cursor_is_read_again_at_once_but_not_in_a_hot_loop():
    assert wait(fault(Nature.RESYNC), 1) == timedelta(0)
    assert wait(fault(Nature.RESYNC), 2) > timedelta(0)


@pytest.mark.parametrize(
    ("nature", "attempts", "again"),
    [
        (Nature.TRANSIENT, 4, True),
        (Nature.TRANSIENT, 5, False),
        (Nature.PERMANENT, 1, False),
    ],
)
def test_an_item_is_tried_five_times_when_its_trouble_may_pass(nature, attempts, again):
    assert item_may_recover(fault(nature), attempts, 5) is again
