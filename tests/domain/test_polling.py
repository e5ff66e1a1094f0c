"""The rest between visits (F008): 5 minutes normally, 2 when busy, up to 12 when quiet."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncservice.domain.polling import Activity, Pace, Rest, next_rest, next_start, phase_of

BEGUN = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def rests(*found: int) -> list[float]:
    """Give the minutes of rest after visits that found so many messages each."""
    minutes, activity = [], Activity()
    for items in found:
        activity = activity.after(items)
        minutes.append(round(next_rest(items, False, activity, Pace()).length / MINUTE, 1))
    return minutes


@pytest.mark.parametrize(
    ("found", "minutes"),
    [
        pytest.param([3, 25], [5, 2], id="one busy visit is enough to come back after two"),
        pytest.param(
            [0] * 9, [6, 7, 8, 9, 10, 11, 12, 12, 12], id="a quiet mailbox drifts to twelve"
        ),
        pytest.param([0, 0, 1, 0], [6, 7, 5, 6], id="one message brings it back to five"),
        pytest.param([6, 6, 6], [5, 5, 2], id="mail in every visit makes it busy as well"),
        pytest.param(
            [25, 0, 0, 0, 0, 0, 0, 0],
            [2, 5.1, 5.3, 5.8, 7, 10, 11, 12],
            id="quiet is believed more slowly after much mail",
        ),
    ],
)
def test_rest_between_visits(found, minutes):
    assert rests(*found) == minutes


def test_mail_left_on_the_server_brings_the_next_visit_soon_whatever_else():
    assert next_rest(0, True, Activity(0, 9), Pace()).length == timedelta(minutes=2)


def test_the_profiles_minimum_beats_every_other_rule_and_says_so():
    rest = next_rest(99, True, Activity(), Pace(minimum=timedelta(hours=1)))
    assert rest.length == timedelta(hours=1)
    assert "minimum" in rest.reason


@pytest.mark.parametrize(
    ("items", "activity", "reason"),
    [
        (1, Activity(1, 0), "1 new message in the last visit"),
        (12, Activity(12, 0), "12 new messages in the last visit"),
        (10, Activity(15, 0), "10 new messages in the last visit"),
        (6, Activity(10, 0), "6 new messages in the last visit, and more before"),
        (0, Activity(0, 1), "1 empty visit in a row"),
        (0, Activity(0, 4), "4 empty visits in a row"),
        (0, Activity(3, 2), "2 empty visits in a row, with mail shortly before"),
    ],
)
def test_the_reason_is_a_sentence_for_the_owner(items, activity, reason):
    assert next_rest(items, False, activity, Pace()).reason == reason


counts = st.integers(0, 10**6)
phases = st.floats(0, 1, exclude_max=True)


@given(counts, st.booleans(), st.builds(Activity, counts, counts))
def test_an_enabled_mailbox_is_never_left_alone_for_less_than_two_or_more_than_twelve_minutes(
    items, more_left, activity
):
    rest = next_rest(items, more_left, activity, Pace())
    assert timedelta(minutes=2) <= rest.length <= timedelta(minutes=12)


@given(st.floats(2, 12), phases, st.integers(0, 10**6))
def test_the_next_start_keeps_the_promise_with_time_left_for_the_dispatch(minutes, phase, second):
    rest = Rest(timedelta(minutes=minutes), "")
    begun = BEGUN + timedelta(seconds=second)
    between = next_start(begun, rest, phase, Pace()) - begun
    assert max(0.75 * rest.length, timedelta(minutes=2)) <= between
    assert between <= max(rest.length * 59 / 60, timedelta(minutes=2.2))


def test_the_profiles_minimum_holds_between_starts_as_well():
    pace = Pace(minimum=timedelta(hours=1))
    rest = Rest(timedelta(hours=1), "")
    assert all(
        next_start(BEGUN, rest, phase / 20, pace) - BEGUN >= timedelta(hours=1)
        for phase in range(20)
    )


CYCLE = timedelta(minutes=6)  # of a rest of which a sixtieth is kept for the dispatch
SIX = Rest(CYCLE * 60 / 59, "")


def seconds_behind(start: datetime, phase: float) -> float:
    cycle = CYCLE.total_seconds()
    return (start.timestamp() - phase * cycle + 60) % cycle - 60


@given(phases, st.integers(0, 10**6))
def test_a_mailbox_comes_to_its_place_in_the_cycle_and_stays_there(phase, second):
    start = BEGUN + timedelta(seconds=second)
    for _ in range(7):
        start = next_start(start, SIX, phase, Pace())
    assert abs(seconds_behind(start, phase)) < 1.1


@pytest.mark.parametrize(
    ("late", "drawn"), [(0.0, 0.0), (-0.9, 0.0), (-1.5, 72.0), (0.9, 0.9), (1.5, 1.5)]
)
def test_a_start_just_before_its_place_counts_as_there(late, drawn):
    """Clocks are rounded: it would else be drawn to the place before, at every visit."""
    place = datetime.fromtimestamp(1000 * CYCLE.total_seconds() + 90, UTC)
    begun = place + timedelta(seconds=late)
    start = next_start(begun, SIX, 0.25, Pace())
    assert (begun + CYCLE - start).total_seconds() == pytest.approx(drawn, abs=1e-3)


def test_mailboxes_that_an_outage_brought_together_spread_evenly_within_an_hour():
    rest = Rest(timedelta(minutes=12), "")
    starts = [BEGUN] * 1200
    rounds = 0
    while max(starts) < BEGUN + timedelta(hours=1):
        rounds += 1
        starts = [
            next_start(begun, rest, phase_of(number, "incoming"), Pace())
            for number, begun in enumerate(starts)
        ]
    cycle = rest.length * 59 / 60
    minutes = [int((begun - BEGUN) % cycle / (cycle / 12)) for begun in starts]
    assert all(60 < minutes.count(minute) < 145 for minute in range(12)), minutes
