"""What a fault means for the next visit."""

from datetime import timedelta

import pytest

from syncservice.domain.faults import (
    Fault,
    Nature,
    Provenance,
    Scope,
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


def test_waits_double_with_each_fault_in_a_row_up_to_the_promise_of_twelve_minutes():
    waits = [rest_after(fault(Nature.TRANSIENT), n).length for n in range(1, 8)]
    assert [wait / timedelta(minutes=1) for wait in waits] == [1, 2, 4, 8, 12, 12, 12]


@pytest.mark.parametrize("seconds", [7.5, 3600])
def test_the_servers_own_hint_is_kept_to_the_second(seconds):
    hint = timedelta(seconds=seconds)
    assert rest_after(fault(Nature.THROTTLED, hint), 5).length == hint


def test_what_needs_a_person_is_not_hammered():
    assert rest_after(fault(Nature.PERMANENT), 1).length == timedelta(minutes=12)


def test_a_lost_cursor_is_read_again_at_once_but_not_in_a_hot_loop():
    assert rest_after(fault(Nature.RESYNC), 1).length == timedelta(0)
    assert rest_after(fault(Nature.RESYNC), 2).length > timedelta(0)


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
