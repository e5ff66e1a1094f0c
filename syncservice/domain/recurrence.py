"""When a series recurs: Exchange's patterns, and the dates and moments that follow from them.

Dates are found by arithmetic, not by walking: an endless series costs no more than a short one.
Each of Exchange's patterns has a date in every period, so nothing is looked for in vain.

Exchange's rules are those of EWS's RecurrenceType and of [MS-OXOCAL] 2.2.1.44: a day that a month
does not have is the month's last, and intervals count from the week, month or year of the start.
"""

import enum
import sys
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from syncservice.domain.item_values import Value
from syncservice.domain.time_zones import clock_of, is_known

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
#: Exchange's names for several weekdays at once.
WEEKDAY_GROUPS = {"day": WEEKDAYS, "weekday": WEEKDAYS[:5], "weekend_day": WEEKDAYS[5:]}
NTHS = ("first", "second", "third", "fourth", "last")
#: Exchange's calendar. A series that ends on its last day is endless ([MS-OXOCAL] 2.2.1.44.1).
FIRST_DATE = date(1601, 1, 1)
LAST_DATE = date(4500, 8, 31)
#: EWS's, between days. Between weeks or months it takes 99; that is for whoever writes there.
LONGEST_INTERVAL = 999
_DAY = timedelta(days=1)


class Pattern(enum.StrEnum):
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"  # on a day of the month
    MONTHLY_NTH = "monthly_nth"  # on the nth of some weekdays
    YEARLY = "yearly"
    YEARLY_NTH = "yearly_nth"


#: What a pattern says besides its interval.
_USED: Mapping[Pattern, tuple[str, ...]] = {
    Pattern.DAILY: (),
    Pattern.WEEKLY: ("weekdays", "first_day_of_week"),
    Pattern.MONTHLY: ("day",),
    Pattern.MONTHLY_NTH: ("nth", "weekdays"),
    Pattern.YEARLY: ("month", "day"),
    Pattern.YEARLY_NTH: ("month", "nth", "weekdays"),
}
_NOT_SAID = {"weekdays": (), "first_day_of_week": "sunday", "day": None, "nth": None, "month": None}
_IN_YEARS = {Pattern.MONTHLY: Pattern.YEARLY, Pattern.MONTHLY_NTH: Pattern.YEARLY_NTH}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """A pattern and its range. One that has no date at all can't be made: ValueError.

    However a series was said, it is kept in one form, so that both sides can be compared:
    `starts_on` is its first date and `ends_on` its last; weekdays are in the week's order; what the
    pattern does not use is as if not said, and so is a first day of the week that changes no date.
    Every 12 months is every year: EWS has no interval between years, so it says 24 months for two.
    """

    pattern: Pattern
    starts_on: date
    interval: int = 1  # between its days, weeks, months or years
    weekdays: tuple[str, ...] = ()  # of WEEKDAYS and WEEKDAY_GROUPS
    first_day_of_week: str = "sunday"  # as Exchange has it where nobody says
    day: int | None = None  # of the month
    nth: str | None = None
    month: int | None = None
    ends_on: date | None = None  # neither this nor `count`: endless
    count: int | None = None  # of the original series: deleted ones too

    def __post_init__(self) -> None:
        _check(self)
        for name in _NOT_SAID.keys() - set(_USED[self.pattern]):
            self._become(name, _NOT_SAID[name])
        if self.ends_on and self.ends_on >= LAST_DATE:
            self._become("ends_on", None)
        self._become("weekdays", self._ordered_weekdays())
        candidates = self._period(0) + self._period(1)
        self._become("starts_on", next(day for day in candidates if day >= self.starts_on))
        if self.starts_on > (self.ends_on or LAST_DATE):
            raise ValueError("The series ends before its first date.")
        if self.pattern in _IN_YEARS and self.interval % 12 == 0:
            self._become("pattern", _IN_YEARS[self.pattern])
            self._become("interval", self.interval // 12)
            self._become("month", self.starts_on.month)
        if self.day and self.month:
            self._become("day", min(self.day, monthrange(2000, self.month)[1]))
        if self.pattern is Pattern.WEEKLY:
            self._become("first_day_of_week", self._telling_first_day())
        if self.ends_on:
            self._become("ends_on", self.date_of(self.last_index))

    @classmethod
    def of_value(cls, value: Value) -> "Recurrence":
        """Read what `as_value` wrote, or anybody else; ValueError says what is wrong with it."""
        if not isinstance(value, dict):
            raise ValueError("A recurrence is an object.")  # noqa: TRY004
        given = {name: said for name, said in value.items() if said is not None}
        for name in given.keys() - {field.name for field in fields(cls)}:
            raise ValueError(f"A recurrence has no “{name}”.")
        if given.get("pattern") not in list(Pattern):
            raise ValueError(f"The pattern of a recurrence is one of {', '.join(Pattern)}.")
        if not isinstance(given.get("weekdays", []), list):
            raise ValueError("The weekdays of a recurrence are a list.")  # noqa: TRY004
        given["pattern"] = Pattern(given["pattern"])
        given["weekdays"] = tuple(given.get("weekdays", []))
        given["starts_on"] = _date_said("starts_on", given.get("starts_on"))
        if "ends_on" in given:
            given["ends_on"] = _date_said("ends_on", given["ends_on"])
        return cls(**given)

    def as_value(self) -> dict[str, Value]:
        """Return it as plain JSON, with what its pattern uses and its range has."""
        value: dict[str, Value] = {"pattern": self.pattern.value, "interval": self.interval}
        value |= {name: getattr(self, name) for name in _USED[self.pattern]}
        if self.weekdays:
            value["weekdays"] = list(self.weekdays)
        value["starts_on"] = self.starts_on.isoformat()
        if self.ends_on:
            value["ends_on"] = self.ends_on.isoformat()
        if self.count:
            value["count"] = self.count
        return value

    @property
    def is_endless(self) -> bool:
        return not self.ends_on and not self.count

    @property
    def last_index(self) -> int:
        """The number of its last date; of an endless series, of the last one Exchange can have."""
        last = self.dates_until(self.ends_on or LAST_DATE)
        return min(last, self.count) if self.count else last

    def date_of(self, index: int) -> date | None:
        """Return its date with this number, from 1; None: it has none."""
        if not 1 <= index <= self.last_index:
            return None
        dates = self._period(0)
        before_start = sum(day < self.starts_on for day in dates)
        number, place = divmod(before_start + index - 1, len(dates))
        return self._period(number)[place]

    def dates_until(self, day: date) -> int:
        """Count its dates up to a day and on it, as if it was endless."""
        if day < self.starts_on:
            return 0
        day = min(day, LAST_DATE)
        first, number = self._period(0), self._period_with(day)
        here = sum(one <= day for one in self._period(number))
        return number * len(first) + here - sum(one < self.starts_on for one in first)

    # The calendar falls into periods of `interval` days, weeks, months or years, from the one that
    # holds `starts_on`, 0. Each has as many dates as the others.

    def _period(self, number: int) -> list[date]:
        if self.pattern is Pattern.DAILY:
            return [self.starts_on + timedelta(days=number * self.interval)]
        if self.pattern is Pattern.WEEKLY:
            week = self._week(self.starts_on) + timedelta(weeks=number * self.interval)
            return [week + timedelta(days=day) for day in self._days_of_week()]
        year, month = divmod(self._first_month() + number * self._months(), 12)
        return [date(year, month + 1, self._day_of_month(year, month + 1))]

    def _period_with(self, day: date) -> int:
        if self.pattern is Pattern.DAILY:
            return (day - self.starts_on).days // self.interval
        if self.pattern is Pattern.WEEKLY:
            return (self._week(day) - self._week(self.starts_on)).days // 7 // self.interval
        return (day.year * 12 + day.month - 1 - self._first_month()) // self._months()

    def _week(self, day: date) -> date:
        """Return the day on which a day's week begins."""
        return day - timedelta(days=(day.weekday() - self._opening()) % 7)

    def _days_of_week(self) -> list[int]:
        """Return how many days behind the week's begin its dates are."""
        return sorted((WEEKDAYS.index(day) - self._opening()) % 7 for day in self._all_weekdays())

    def _opening(self) -> int:
        return WEEKDAYS.index(self.first_day_of_week)

    def _months(self) -> int:
        return self.interval * (12 if self.month else 1)

    def _first_month(self) -> int:
        """Return the month that the series counts from, in months since the year 0."""
        return self.starts_on.year * 12 + (self.month or self.starts_on.month) - 1

    def _day_of_month(self, year: int, month: int) -> int:
        weekday, length = monthrange(year, month)
        if self.day:
            return min(self.day, length)
        named = {WEEKDAYS.index(day) for day in self._all_weekdays()}
        days = [day for day in range(1, length + 1) if (weekday + day - 1) % 7 in named]
        return days[-1 if self.nth == "last" else NTHS.index(self.nth or "first")]

    def _all_weekdays(self) -> set[str]:
        return {one for day in self.weekdays for one in WEEKDAY_GROUPS.get(day, (day,))}

    def _ordered_weekdays(self) -> tuple[str, ...]:
        days = tuple(day for day in WEEKDAYS if day in self._all_weekdays())
        if self.pattern is not Pattern.WEEKLY:
            for group in (group for group, all_days in WEEKDAY_GROUPS.items() if all_days == days):
                return (group,)
        return days

    def _telling_first_day(self) -> str:
        """Return which of its weekdays opens a week; "sunday" where it is as with Sunday.

        Nothing else about a week changes dates, and nothing at all when no weeks are left out.
        """
        said = WEEKDAYS[(self._opening() + self._days_of_week()[0]) % 7]
        usual = min(self.weekdays, key=lambda day: (WEEKDAYS.index(day) + 1) % 7)
        return "sunday" if self.interval == 1 or said == usual else said

    def _become(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One date of a series, as the series has it: exceptions are the reader's."""

    index: int  # from 1, in the original series
    on: date  # in the series' zone
    start: datetime  # UTC
    end: datetime


def occurrences(series: Recurrence, times: Mapping[str, Value], zone: str) -> Iterator[Occurrence]:
    """Go through a series, the first one first; of an endless one as far as is asked for.

    `times` is the value "time" of the first occurrence, `zone` the IANA name of the series' zone,
    or one that nobody knows: UTC. Each begins at the same time of that zone's clocks, for the same
    difference on them; all-day ones last from midnight to midnight. A time that a date's clocks
    leave out is later by what they leave out, and one that they show twice is the first.
    """
    hours = _Hours.of(series, times, zone)
    for index in range(1, series.last_index + 1):
        yield hours.occurrence(series, index)


def occurrence_on(
    series: Recurrence, times: Mapping[str, Value], zone: str, day: date
) -> Occurrence | None:
    """Return the one on a local date; None: the series has none then."""
    index = series.dates_until(day)
    if series.date_of(index) != day:
        return None
    return _Hours.of(series, times, zone).occurrence(series, index)


def next_after(
    series: Recurrence, times: Mapping[str, Value], zone: str, moment: datetime
) -> Occurrence | None:
    """Return the first one that starts after a moment; None: there is none any more."""
    hours = _Hours.of(series, times, zone)
    # On a date three days before, every clock has begun it, even with a day left out (Samoa, 2011).
    index = series.dates_until(moment.astimezone(UTC).date() - 3 * _DAY) + 1
    for later in range(index, series.last_index + 1):
        occurrence = hours.occurrence(series, later)
        if occurrence.start > moment:
            return occurrence
    return None


def ends_at(series: Recurrence, times: Mapping[str, Value], zone: str) -> datetime | None:
    """Return when its last occurrence is over, UTC; None: it is endless."""
    if series.is_endless:
        return None
    return _Hours.of(series, times, zone).occurrence(series, series.last_index).end


@dataclass(frozen=True, slots=True)
class _Hours:
    """When the occurrences of a series are, on the clocks of its zone."""

    clock: tzinfo
    begin: timedelta  # after the midnight with which an occurrence's date begins
    length: timedelta  # between what the clocks show
    whole_days: bool

    @classmethod
    def of(cls, series: Recurrence, times: Mapping[str, Value], zone: str) -> "_Hours":
        clock = clock_of(zone)
        start, end = (datetime.fromisoformat(times[name]) for name in ("start", "end"))
        lasts = end - start
        if times["all_day"] and is_known(zone):
            return cls(clock, timedelta(0), max(round(lasts / _DAY), 1) * _DAY, whole_days=True)
        shown, shown_at_end = (
            moment.astimezone(clock).replace(tzinfo=None) for moment in (start, end)
        )
        begin = shown - datetime.combine(shown, time.min)
        apart = shown.date() - series.starts_on
        if abs(apart) == _DAY and not is_known(zone):
            begin += apart  # where the series is it was still, or already, another day
        # From the second showing of an hour into the first: only the time itself is left to tell.
        length = shown_at_end - shown if shown_at_end >= shown else lasts
        return cls(clock, begin, length, whole_days=False)

    def occurrence(self, series: Recurrence, index: int) -> Occurrence:
        on = series.date_of(index)
        assert on is not None
        begin = datetime.combine(on, time.min) + self.begin
        start = self._moment(begin)
        if not self.whole_days:
            begin = start.astimezone(self.clock).replace(tzinfo=None)
        return Occurrence(index, on, start, self._moment(begin + self.length))

    def _moment(self, shown: datetime) -> datetime:
        """Return when the clocks show a time; PEP 495 has the rule for those that they don't."""
        return shown.replace(tzinfo=self.clock, fold=0).astimezone(UTC)


def _check(series: Recurrence) -> None:
    """Refuse what is no series, in a sentence for whoever wrote it."""
    known = all(day in (*WEEKDAYS, *WEEKDAY_GROUPS) for day in series.weekdays)
    needed = {
        "weekdays": (bool(series.weekdays) and known, "weekdays: monday, tuesday…"),
        "first_day_of_week": (series.first_day_of_week in WEEKDAYS, "a first day: sunday, monday…"),
        "day": (_within(series.day, 31), "a day from 1 to 31"),
        "month": (_within(series.month, 12), "a month from 1 to 12"),
        "nth": (series.nth in NTHS, f"an nth: {', '.join(NTHS)}"),
    }
    for right, what in (needed[name] for name in _USED[series.pattern]):
        if not right:
            raise ValueError(f"A recurrence that is {series.pattern} needs {what}.")
    if not _within(series.interval, LONGEST_INTERVAL):
        raise ValueError(f"A recurrence needs an interval from 1 to {LONGEST_INTERVAL}.")
    if not FIRST_DATE <= series.starts_on < LAST_DATE:
        raise ValueError(f"A series starts between {FIRST_DATE} and {LAST_DATE}.")
    if series.count is not None and not _within(series.count, sys.maxsize):
        raise ValueError("The count of a series is a number from 1.")
    if series.count is not None and series.ends_on is not None:
        raise ValueError("A series ends on a date or after a number of times, not both.")


def _within(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _date_said(name: str, said: Value) -> date:
    try:
        return date.fromisoformat(said)
    except (TypeError, ValueError) as error:
        raise ValueError(f"A recurrence's {name} is a date: 2026-03-01.") from error
