"""The rest between visits (F008): 5 minutes normally, 2 when busy, up to 12 when quiet."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncservice.domain.polling import Pace, next_rest


def rests(*found: int) -> list[float]:
    """Give the minutes of rest after visits that found so many messages each."""
    minutes, empty = [], 0
    for items in found:
        empty = 0 if items else empty + 1
        minutes.append(next_rest(items, False, empty, Pace()).length / timedelta(minutes=1))
    return minutes


@pytest.mark.parametrize(
    ("found", "minutes"),
    [
        pytest.param([3, 25], [5, 2], id="one busy visit is enough to come back after two"),
        pytest.param(
            [0] * 9, [6, 7, 8, 9, 10, 11, 12, 12, 12], id="a quiet mailbox drifts to twelve"
        ),
        pytest.param([0, 0, 1, 0], [6, 7, 5, 6], id="one message brings it back to five"),
    ],
)
def test_rest_between_visits(found, minutes):
    assert rests(*found) == minutes


def test_mail_left_on_the_server_brings_the_next_visit_soon_whatever_else():
    assert next_rest(0, True, 9, Pace()).length == timedelta(minutes=2)


def test_the_profiles_minimum_beats_every_other_rule_and_says_so():
    rest = next_rest(99, True, 0, Pace(minimum=timedelta(hours=1)))
    assert rest.length == timedelta(hours=1)
    assert "minimum" in rest.reason


@pytest.mark.parametrize(
    ("found", "empty", "reason"),
    [
        (1, 0, "1 new message in the last visit"),
        (12, 0, "12 new messages in the last visit"),
        (0, 1, "1 empty visit in a row"),
        (0, 4, "4 empty visits in a row"),
    ],
)
def test_the_reason_is_a_sentence_for_the_owner(found, empty, reason):
    assert next_rest(found, False, empty, Pace()).reason == reason


@given(st.integers(0, 10**6), st.booleans(), st.integers(0, 10**6))
def test_an_enabled_mailbox_is_never_left_alone_for_less_than_two_or_more_than_twelve_minutes(
    items, more_left, empty
):
    rest = next_rest(items, more_left, empty, Pace())
    assert timedelta(minutes=2) <= rest.length <= timedelta(minutes=12)
