"""Series against an independent implementation, dateutil's, and against dates written by hand."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil import rrule
from dateutil.tz import resolve_imaginary
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from syncservice.domain.recurrence import (
    NTHS,
    WEEKDAYS,
    Occurrence,
    Pattern,
    Recurrence,
    ends_at,
    next_after,
    occurrence_on,
    occurrences,
)

DAY = timedelta(days=1)
ZONES = [
    *("Europe/Amsterdam", "Europe/London", "America/New_York", "America/St_Johns"),
    *("America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Auckland", "Asia/Tehran"),
    *("Africa/Casablanca", "Asia/Kathmandu", "Africa/Cairo", "America/Santiago"),
]


@cache
def clock_changes(zone: str) -> list[date]:
    """Return the dates about which a zone's clocks change, and one if they never do."""
    days = [date(2015, 1, 1) + n * DAY for n in range(12 * 365)]
    noons = [datetime.combine(day, time(12), ZoneInfo(zone)).utcoffset() for day in days]
    return [day for day, one, next_one in zip(days, noons, noons[1:], strict=False)
            if one != next_one] or [date(2026, 3, 29)]  # fmt: skip


@dataclass(frozen=True)
class Series:
    """A series as it was said, before anything made sense of it, and its hours."""

    said: dict[str, Any]
    zone: str
    hour: time
    length: timedelta
    all_day: bool

    def dates(self) -> Iterable[date]:
        """Tell its dates, by dateutil."""
        return (moment.date() for moment in self._rule())

    def _rule(self) -> rrule.rrule:
        said = self.said
        pattern: str = said["pattern"]
        options: dict[str, Any] = {
            "dtstart": datetime.combine(date.fromisoformat(said["starts_on"]), time()),
            "interval": said["interval"],
            "wkst": WEEKDAYS.index(said.get("first_day_of_week", "sunday")),
            "count": said.get("count"),
        }
        if "ends_on" in said:
            options["until"] = datetime.combine(date.fromisoformat(said["ends_on"]), time())
        if "month" in said:
            options["bymonth"] = said["month"]
        if "weekdays" in said:
            groups = {"day": range(7), "weekday": range(5), "weekend_day": (5, 6)}
            days = (groups[d] if d in groups else (WEEKDAYS.index(d),) for d in said["weekdays"])
            options["byweekday"] = sorted({number for some in days for number in some})
        if "nth" in said:
            options["bysetpos"] = {"last": -1}.get(said["nth"], NTHS.index(said["nth"]) + 1)
        if "day" in said:  # the last that the month has, of those up to the one that is said
            options |= {"bymonthday": range(min(said["day"], 28), said["day"] + 1), "bysetpos": -1}
        frequency = getattr(rrule, pattern.removesuffix("_nth").upper())
        return rrule.rrule(frequency, **options)

    def expected(self, on: date) -> tuple[datetime, datetime]:
        """Tell the start and the end of its occurrence on a date, UTC."""
        begin = datetime.combine(on, time() if self.all_day else self.hour, ZoneInfo(self.zone))
        start = resolve_imaginary(begin)
        end = resolve_imaginary((begin if self.all_day else start) + self.length)
        return start.astimezone(UTC), end.astimezone(UTC)

    def times(self, first: date) -> dict[str, Any]:
        start, end = self.expected(first)
        return {
            "start": start.isoformat().replace("+00:00", "Z"),
            "end": end.isoformat().replace("+00:00", "Z"),
            "all_day": self.all_day,
            "zone": self.zone,
        }


GROUPS = ["day", "weekday", "weekend_day"]
SOME_WEEKDAYS = st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=5)
NAMED_DAYS = st.one_of(
    st.sampled_from(WEEKDAYS).map(lambda day: [day]),
    st.sampled_from(GROUPS).map(lambda group: [group]),
    SOME_WEEKDAYS,
)
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "weekdays": NAMED_DAYS,
    "first_day_of_week": st.sampled_from(WEEKDAYS),
    "day": st.integers(1, 28) | st.integers(28, 31),
    "nth": st.sampled_from(NTHS),
    "month": st.integers(1, 12) | st.just(2),
}
USED = {
    "daily": [],
    "weekly": ["weekdays", "first_day_of_week"],
    "monthly": ["day"],
    "monthly_nth": ["nth", "weekdays"],
    "yearly": ["month", "day"],
    "yearly_nth": ["month", "nth", "weekdays"],
}


@st.composite
def said_series(draw: st.DrawFn, near: date, patterns: Iterable[str] = USED) -> dict[str, Any]:
    pattern = draw(st.sampled_from(list(patterns)))
    starts_on = near - draw(st.integers(-2, 20)) * DAY
    said = {
        "pattern": pattern,
        "interval": draw(st.just(1) | st.integers(1, 14)),
        "starts_on": starts_on.isoformat(),
        **{name: draw(PARTS[name]) for name in USED[pattern]},
    }
    match draw(st.sampled_from(["endless", "ends_on", "count"])):
        case "ends_on":
            said["ends_on"] = (starts_on + draw(st.integers(0, 800)) * DAY).isoformat()
        case "count":
            said["count"] = draw(st.integers(1, 30))
    return said


@st.composite
def series(draw: st.DrawFn) -> Series:
    zone = draw(st.sampled_from(ZONES))
    said = draw(said_series(draw(st.sampled_from(clock_changes(zone)))))
    all_day = draw(st.booleans())
    minutes = draw(st.integers(0, 240) | st.integers(0, 1439) | st.sampled_from([60, 120, 150]))
    length = draw(st.integers(1, 5).map(lambda days: days * DAY)) if all_day else timedelta(
        minutes=draw(st.integers(0, 180) | st.integers(0, 4000))
    )  # fmt: skip
    return Series(said, zone, time(minutes // 60, minutes % 60), length, all_day)


def first_date_on_plain_clocks(one: Series) -> date | None:
    """Return the first date; None: there is none.

    Hours that the first date's clocks leave out are lost in its moments: not comparable.
    """
    first = next(iter(one.dates()), None)
    if first and not one.all_day:
        start, end = (m.astimezone(ZoneInfo(one.zone)) for m in one.expected(first))
        assume(start.time() == one.hour)
        assume(end.replace(tzinfo=None) - start.replace(tzinfo=None) == one.length)
    return first


@settings(max_examples=600, deadline=None)
@given(series())
def test_a_series_recurs_as_dateutil_says(one: Series) -> None:
    first = first_date_on_plain_clocks(one)
    if first is None:
        with pytest.raises(ValueError, match="ends before its first date"):
            Recurrence.of_value(one.said)
        return
    recurrence, times = Recurrence.of_value(one.said), one.times(first)
    dates = list(islice(one.dates(), 40))

    found = list(islice(occurrences(recurrence, times, one.zone), 40))

    assert found == [
        Occurrence(number, on, *one.expected(on)) for number, on in enumerate(dates, 1)
    ]
    assert (found[0].start, found[0].end) == tuple(
        datetime.fromisoformat(times[name]) for name in ("start", "end")
    )
    whole = len(dates) < 40
    last_end = ends_at(recurrence, times, one.zone)
    assert (last_end is None) == (one.said.keys().isdisjoint({"ends_on", "count"}))
    if whole:
        assert last_end == found[-1].end
    for occurrence in found:
        assert occurrence_on(recurrence, times, one.zone, occurrence.on) == occurrence
    for before, after in zip(found, [*found[1:], None], strict=True):
        if after or whole:
            assert next_after(recurrence, times, one.zone, before.start) == next(
                (later for later in found if later.start > before.start), None
            )
        day = before.on + DAY
        if day not in dates and (after or whole):
            assert occurrence_on(recurrence, times, one.zone, day) is None
    just_before = found[0].start - timedelta(seconds=1)
    assert next_after(recurrence, times, one.zone, just_before) == found[0]


@settings(max_examples=300, deadline=None)
@given(said_series(date(2026, 3, 1)), st.randoms(use_true_random=False))
def test_however_a_series_is_said_it_is_written_in_one_way(said: dict[str, Any], dice: Any) -> None:
    first = next(iter(Series(said, "", time(), DAY, True).dates()), None)
    assume(first)
    value = Recurrence.of_value(said).as_value()
    dice.shuffle(said.get("weekdays", []))
    unused = {"day": 7, "month": 7, "nth": "last", "weekdays": ["friday"], "ends_on": None}

    assert Recurrence.of_value({**unused, **said}).as_value() == value
    assert Recurrence.of_value({**said, "starts_on": str(first)}).as_value() == value
    assert Recurrence.of_value(json.loads(json.dumps(value))).as_value() == value


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_series_of_weeks_are_written_alike_when_their_dates_are(data: st.DataObject) -> None:
    said = data.draw(said_series(date(2026, 3, 1), ["weekly"]))
    for name in {"ends_on", "count"} & said.keys():
        del said[name]
    other = {**said, "first_day_of_week": data.draw(st.sampled_from(WEEKDAYS))}
    dates, others = (
        list(islice(Series(one, "", time(), DAY, True).dates(), 60)) for one in (said, other)
    )

    same = Recurrence.of_value(said).as_value() == Recurrence.of_value(other).as_value()

    assert same == (dates == others)


def dates_of(said: dict[str, Any]) -> list[str]:
    found = Recurrence.of_value(said)
    return [str(found.date_of(index)) for index in range(1, 5)]


TUESDAYS_AND_SUNDAYS = {"pattern": "weekly", "interval": 2, "weekdays": ["tuesday", "sunday"]}


@pytest.mark.parametrize(("said", "dates"), [
    ({"pattern": "daily", "interval": 3, "starts_on": "2026-02-26"},
     ["2026-02-26", "2026-03-01", "2026-03-04", "2026-03-07"]),
    ({"pattern": "daily", "starts_on": "2026-02-27", "ends_on": "2026-03-01"},
     ["2026-02-27", "2026-02-28", "2026-03-01", "None"]),
    ({"pattern": "daily", "starts_on": "2026-02-27", "count": 2},
     ["2026-02-27", "2026-02-28", "None", "None"]),
    # The first is the first that matches, on the start or after it.
    ({"pattern": "weekly", "weekdays": ["monday"], "starts_on": "2026-03-04"},
     ["2026-03-09", "2026-03-16", "2026-03-23", "2026-03-30"]),
    ({"pattern": "weekly", "weekdays": ["weekday"], "starts_on": "2026-03-05"},
     ["2026-03-05", "2026-03-06", "2026-03-09", "2026-03-10"]),
    # RFC 5545, 3.8.5.3: the same rule but for the first day of the week.
    ({**TUESDAYS_AND_SUNDAYS, "first_day_of_week": "monday", "starts_on": "1997-08-05"},
     ["1997-08-05", "1997-08-10", "1997-08-19", "1997-08-24"]),
    ({**TUESDAYS_AND_SUNDAYS, "first_day_of_week": "sunday", "starts_on": "1997-08-05"},
     ["1997-08-05", "1997-08-17", "1997-08-19", "1997-08-31"]),
    # Its weeks count from the one of the start, where nothing matches any more: two weeks on.
    ({"pattern": "weekly", "interval": 2, "weekdays": ["monday"], "starts_on": "2026-03-04"},
     ["2026-03-16", "2026-03-30", "2026-04-13", "2026-04-27"]),
    # "If this value is larger than the number of days in the month, the last day of the month is
    # assumed": EWS's DayOfMonth.
    ({"pattern": "monthly", "day": 31, "starts_on": "2026-01-31"},
     ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
    ({"pattern": "monthly", "day": 30, "starts_on": "2028-01-31"},
     ["2028-02-29", "2028-03-30", "2028-04-30", "2028-05-30"]),
    ({"pattern": "monthly", "day": 10, "interval": 2, "starts_on": "2026-01-15"},
     ["2026-03-10", "2026-05-10", "2026-07-10", "2026-09-10"]),
    ({"pattern": "monthly_nth", "nth": "third", "weekdays": ["tuesday"], "starts_on": "2026-01-01"},
     ["2026-01-20", "2026-02-17", "2026-03-17", "2026-04-21"]),
    ({"pattern": "monthly_nth", "nth": "last", "weekdays": ["weekday"], "starts_on": "2026-01-01"},
     ["2026-01-30", "2026-02-27", "2026-03-31", "2026-04-30"]),
    ({"pattern": "monthly_nth", "nth": "first", "weekdays": ["weekend_day"],
      "starts_on": "2026-01-01"}, ["2026-01-03", "2026-02-01", "2026-03-01", "2026-04-04"]),
    ({"pattern": "monthly_nth", "nth": "last", "weekdays": ["day"], "starts_on": "2026-01-01"},
     ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]),
    ({"pattern": "yearly", "month": 2, "day": 29, "starts_on": "2024-02-29"},
     ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28"]),
    ({"pattern": "yearly", "month": 3, "day": 5, "starts_on": "2026-03-06"},
     ["2027-03-05", "2028-03-05", "2029-03-05", "2030-03-05"]),
    ({"pattern": "yearly_nth", "nth": "fourth", "weekdays": ["thursday"], "month": 11,
      "starts_on": "2026-01-01"}, ["2026-11-26", "2027-11-25", "2028-11-23", "2029-11-22"]),
])  # fmt: skip
def test_dates_of_a_series(said: dict[str, Any], dates: list[str]) -> None:
    assert dates_of(said) == dates


@pytest.mark.parametrize(("said", "written"), [
    ({"pattern": "daily", "starts_on": "2026-03-01", "month": 4, "weekdays": ["monday"]},
     {"pattern": "daily", "interval": 1, "starts_on": "2026-03-01"}),
    ({"pattern": "weekly", "weekdays": ["sunday", "friday", "monday", "friday"],
      "starts_on": "2026-03-04", "ends_on": "2026-03-12", "first_day_of_week": "monday"},
     {"pattern": "weekly", "interval": 1, "weekdays": ["monday", "friday", "sunday"],
      "first_day_of_week": "sunday", "starts_on": "2026-03-06", "ends_on": "2026-03-09"}),
    ({"pattern": "weekly", "weekdays": ["day"], "interval": 2, "starts_on": "2026-03-04"},
     {"pattern": "weekly", "interval": 2, "weekdays": list(WEEKDAYS),
      "first_day_of_week": "sunday", "starts_on": "2026-03-04"}),
    ({"pattern": "monthly_nth", "nth": "last", "starts_on": "2026-03-01", "count": 3,
      "weekdays": ["sunday", "saturday"]},
     {"pattern": "monthly_nth", "interval": 1, "nth": "last", "weekdays": ["weekend_day"],
      "starts_on": "2026-03-29", "count": 3}),
    # EWS has no interval of years: what it says in months is read as years.
    ({"pattern": "monthly", "interval": 24, "day": 31, "starts_on": "2026-04-01"},
     {"pattern": "yearly", "interval": 2, "month": 4, "day": 30, "starts_on": "2026-04-30"}),
    ({"pattern": "monthly_nth", "interval": 12, "nth": "first", "weekdays": ["monday"],
      "starts_on": "2026-04-20"},
     {"pattern": "yearly_nth", "interval": 1, "month": 4, "nth": "first", "weekdays": ["monday"],
      "starts_on": "2027-04-05"}),
    # The end of Exchange's calendar is no end.
    ({"pattern": "daily", "starts_on": "2026-03-01", "ends_on": "4500-08-31"},
     {"pattern": "daily", "interval": 1, "starts_on": "2026-03-01"}),
])  # fmt: skip
def test_the_one_way_in_which_a_series_is_written(
    said: dict[str, Any], written: dict[str, Any]
) -> None:
    assert Recurrence.of_value(said).as_value() == written


MONTHLY = {"pattern": "monthly", "day": 1, "starts_on": "2026-03-01"}
NTH = {"pattern": "yearly_nth", "nth": "last", "month": 1, "starts_on": "2026-03-01"}


@pytest.mark.parametrize(("said", "complaint"), [
    (None, "is an object"),
    ([], "is an object"),
    ({}, "pattern .* is one of daily, weekly"),
    ({**MONTHLY, "pattern": "hourly"}, "pattern .* is one of daily, weekly"),
    ({**MONTHLY, "pattern": ["daily"]}, "pattern .* is one of daily, weekly"),
    ({**MONTHLY, "until": "2027-01-01"}, "has no “until”"),
    ({**MONTHLY, "interval": 0}, "an interval from 1 to 999"),
    ({**MONTHLY, "interval": 1000}, "an interval from 1 to 999"),
    ({**MONTHLY, "interval": True}, "an interval from 1 to 999"),
    ({**MONTHLY, "interval": "2"}, "an interval from 1 to 999"),
    ({**MONTHLY, "day": 32}, "monthly needs a day from 1 to 31"),
    ({**MONTHLY, "day": None}, "monthly needs a day from 1 to 31"),
    ({**MONTHLY, "pattern": "yearly", "month": 13}, "yearly needs a month from 1 to 12"),
    ({**NTH, "weekdays": []}, "yearly_nth needs weekdays"),
    ({**NTH, "weekdays": ["Montag"]}, "yearly_nth needs weekdays"),
    ({**NTH, "weekdays": [["monday"]]}, "yearly_nth needs weekdays"),
    ({**NTH, "weekdays": "monday"}, "weekdays of a recurrence are a list"),
    ({**NTH, "weekdays": ["monday"], "nth": "fifth"}, "yearly_nth needs an nth: first, second"),
    ({"pattern": "weekly", "weekdays": ["monday"], "first_day_of_week": "day",
      "starts_on": "2026-03-01"}, "weekly needs a first day"),
    ({"pattern": "daily"}, "starts_on is a date"),
    ({**MONTHLY, "starts_on": "first of May"}, "starts_on is a date"),
    ({**MONTHLY, "starts_on": 20260301}, "starts_on is a date"),
    ({**MONTHLY, "starts_on": "1600-12-31"}, "starts between 1601-01-01 and 4500-08-31"),
    ({**MONTHLY, "starts_on": "9999-12-31"}, "starts between 1601-01-01 and 4500-08-31"),
    ({**MONTHLY, "ends_on": "never"}, "ends_on is a date"),
    ({**MONTHLY, "ends_on": "2026-02-28"}, "ends before its first date"),
    ({**MONTHLY, "starts_on": "2026-03-02", "ends_on": "2026-03-31"}, "ends before its first date"),
    ({**MONTHLY, "count": 0}, "a number from 1"),
    ({**MONTHLY, "count": 1.5}, "a number from 1"),
    ({**MONTHLY, "count": 2, "ends_on": "2027-01-01"}, "not both"),
])  # fmt: skip
def test_what_is_no_series_is_refused_in_a_sentence(said: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=rf"^[^\n]*{complaint}[^\n]*\.$"):
        Recurrence.of_value(said)


def daily(starts_on: str, **range_: Any) -> Recurrence:
    starts = date.fromisoformat(starts_on)
    return Recurrence(pattern=Pattern.DAILY, starts_on=starts, **range_)


@pytest.mark.parametrize(("zone", "starts_on", "all_day", "first", "moments"), [
    # 02:30 is left out on the 29th: 03:30, and half past two again on the 30th.
    ("Europe/Amsterdam", "2026-03-28", False, "2026-03-28T01:30Z 2026-03-28T02:00Z", [
        "2026-03-28T01:30Z 2026-03-28T02:00Z",
        "2026-03-29T01:30Z 2026-03-29T02:00Z",
        "2026-03-30T00:30Z 2026-03-30T01:00Z",
    ]),
    # 02:30 is shown twice on the 25th: the first one counts.
    ("Europe/Amsterdam", "2026-10-24", False, "2026-10-24T00:30Z 2026-10-24T01:30Z", [
        "2026-10-24T00:30Z 2026-10-24T01:30Z",
        "2026-10-25T00:30Z 2026-10-25T02:30Z",  # to half past three, an hour later on the clocks
        "2026-10-26T01:30Z 2026-10-26T02:30Z",
    ]),
    # From the second 02:45 to 03:15: Exchange keeps what clocks show, so it is the first 02:45.
    ("Europe/Amsterdam", "2026-10-25", False, "2026-10-25T01:45Z 2026-10-25T02:15Z", [
        "2026-10-25T00:45Z 2026-10-25T02:15Z",
        "2026-10-26T01:45Z 2026-10-26T02:15Z",
    ]),
    # From the first 02:45 to the second 02:15: clocks that go back can't tell how long.
    ("Europe/Amsterdam", "2026-10-25", False, "2026-10-25T00:45Z 2026-10-25T01:15Z", [
        "2026-10-25T00:45Z 2026-10-25T02:15Z",
        "2026-10-26T01:45Z 2026-10-26T02:15Z",
    ]),
    # Half an hour is left out: 02:15 is 02:45.
    ("Australia/Lord_Howe", "2026-10-03", False, "2026-10-02T15:45Z 2026-10-02T15:50Z", [
        "2026-10-02T15:45Z 2026-10-02T15:50Z",
        "2026-10-03T15:45Z 2026-10-03T15:50Z",
        "2026-10-04T15:15Z 2026-10-04T15:20Z",
    ]),
    # A day of 23 hours.
    ("Europe/Amsterdam", "2026-03-28", True, "2026-03-27T23:00Z 2026-03-28T23:00Z", [
        "2026-03-27T23:00Z 2026-03-28T23:00Z",
        "2026-03-28T23:00Z 2026-03-29T22:00Z",
        "2026-03-29T22:00Z 2026-03-30T22:00Z",
    ]),
    # A day without a midnight, as the first of a series and as another.
    ("America/Sao_Paulo", "2018-11-04", True, "2018-11-04T03:00Z 2018-11-05T02:00Z", [
        "2018-11-04T03:00Z 2018-11-05T02:00Z",
        "2018-11-05T02:00Z 2018-11-06T02:00Z",
    ]),
    ("America/Sao_Paulo", "2018-11-03", True, "2018-11-03T03:00Z 2018-11-04T03:00Z", [
        "2018-11-03T03:00Z 2018-11-04T03:00Z",
        "2018-11-04T03:00Z 2018-11-05T02:00Z",
    ]),
    # Samoa had no 30th.
    ("Pacific/Apia", "2011-12-29", False, "2011-12-29T20:00Z 2011-12-29T21:00Z", [
        "2011-12-29T20:00Z 2011-12-29T21:00Z",
        "2011-12-30T20:00Z 2011-12-30T21:00Z",
        "2011-12-30T20:00Z 2011-12-30T21:00Z",
    ]),
    # Nobody knows the zone: the moments stay as they were, whatever date the series calls it.
    ("", "2026-03-28", True, "2026-03-27T23:00Z 2026-03-28T23:00Z", [
        "2026-03-27T23:00Z 2026-03-28T23:00Z",
        "2026-03-28T23:00Z 2026-03-29T23:00Z",
        "2026-03-29T23:00Z 2026-03-30T23:00Z",
    ]),
    # It is no other date of the same day, so the time is not the first one's: only its hours count.
    ("", "2026-04-28", False, "2026-03-27T23:00Z 2026-03-28T00:00Z", [
        "2026-04-28T23:00Z 2026-04-29T00:00Z",
        "2026-04-29T23:00Z 2026-04-30T00:00Z",
    ]),
    ("Mars/Olympus_Mons", "2026-03-28", False, "2026-03-28T09:00Z 2026-03-28T10:00Z", [
        "2026-03-28T09:00Z 2026-03-28T10:00Z",
        "2026-03-29T09:00Z 2026-03-29T10:00Z",
    ]),
])  # fmt: skip
def test_moments_of_daily_series(
    zone: str, starts_on: str, all_day: bool, first: str, moments: list[str]
) -> None:
    start, end = first.split()
    times = {"start": start, "end": end, "all_day": all_day}

    found = islice(occurrences(daily(starts_on), times, zone), len(moments))

    assert [f"{one.start:%Y-%m-%dT%H:%MZ} {one.end:%Y-%m-%dT%H:%MZ}" for one in found] == moments


MORNING = {"start": "2026-03-02T08:00:00Z", "end": "2026-03-02T09:30:00Z", "all_day": False}


@pytest.mark.parametrize(("range_", "end"), [
    ({"count": 1}, "2026-03-02T09:30:00+00:00"),
    ({"count": 30}, "2026-03-31T08:30:00+00:00"),  # behind the change of clocks
    ({"ends_on": date(2026, 3, 31)}, "2026-03-31T08:30:00+00:00"),
    ({"count": 10**9}, "4500-08-31T08:30:00+00:00"),  # Exchange's last day
])  # fmt: skip
def test_a_series_is_over_when_its_last_occurrence_is(range_: dict[str, Any], end: str) -> None:
    over = ends_at(daily("2026-03-02", **range_), MORNING, "Europe/Amsterdam")

    assert over == datetime.fromisoformat(end)


def test_an_endless_series_is_never_over_and_far_dates_are_near() -> None:
    endless = Recurrence(
        pattern=Pattern.MONTHLY_NTH,
        starts_on=date(2026, 3, 2),
        interval=7,
        nth="first",
        weekdays=("monday",),
    )

    assert ends_at(endless, MORNING, "Europe/Amsterdam") is None
    later = next_after(endless, MORNING, "Europe/Amsterdam", datetime(4000, 1, 1, tzinfo=UTC))
    assert later is not None
    assert later.on == date(4000, 3, 6)
    assert occurrence_on(endless, MORNING, "Europe/Amsterdam", date(4000, 3, 6)) == later
    assert occurrence_on(endless, MORNING, "Europe/Amsterdam", date(4000, 3, 13)) is None


@pytest.mark.parametrize("pattern", list(Pattern))
def test_dates_that_exchange_does_not_have_are_no_dates_of_a_series(pattern: Pattern) -> None:
    """Such as mark "always" and "never" elsewhere: the ends of Python's calendar."""
    series = Recurrence(
        pattern=pattern,
        starts_on=date(2026, 3, 2),
        weekdays=("day",),
        nth="last",
        day=31,
        month=12,
    )

    for impossible in (date.min, date(2026, 3, 1), date(4500, 9, 1), date.max):
        assert occurrence_on(series, MORNING, "Europe/Amsterdam", impossible) is None


@pytest.mark.parametrize(("moment", "index"), [
    ("2020-01-01T00:00:00Z", 1),
    ("2026-03-02T07:59:59Z", 1),
    ("2026-03-02T08:00:00Z", 2),  # after, not at
    ("2026-03-02T09:59:59+02:00", 1),
    ("2026-03-04T07:00:00Z", 3),
    ("2026-03-04T08:00:00Z", None),
    ("9999-12-31T00:00:00Z", None),
])  # fmt: skip
def test_the_next_occurrence_after_a_moment(moment: str, index: int | None) -> None:
    series = daily("2026-03-02", count=3)
    found = next_after(series, MORNING, "Europe/Amsterdam", datetime.fromisoformat(moment))

    assert (found.index if found else None) == index
