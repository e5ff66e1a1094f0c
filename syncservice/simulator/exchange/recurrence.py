"""The occurrences of a series, from its Recurrence (MS-OXOCAL, section 2.2.1.44).

A series recurs by the clock on the wall of its zone: 9 o'clock stays 9 o'clock when the clocks
change. Day 31 of a shorter month is its last day.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from dateutil import rrule  # type: ignore[import-untyped]
from lxml import etree

from syncservice.simulator.exchange import schema
from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.markup import TYPES, Element, T, child_text, children, local
from syncservice.simulator.exchange.moments import read_moment, zone
from syncservice.simulator.exchange.values import Fragment, Value, zone_id

#: As far as a series without an end is looked at: daily for more than fifty years.
MOST = 20_000
WEEKDAYS = {
    "Monday": rrule.MO,
    "Tuesday": rrule.TU,
    "Wednesday": rrule.WE,
    "Thursday": rrule.TH,
    "Friday": rrule.FR,
    "Saturday": rrule.SA,
    "Sunday": rrule.SU,
}
DAYS = {
    **{name: (day,) for name, day in WEEKDAYS.items()},
    "Day": tuple(WEEKDAYS.values()),
    "Weekday": tuple(WEEKDAYS.values())[:5],
    "WeekendDay": tuple(WEEKDAYS.values())[5:],
}
ORDINALS = {"First": 1, "Second": 2, "Third": 3, "Fourth": 4, "Last": -1}
MONTHS = schema.names("""
    January February March April May June July August September October November December
    """)
FREQUENCIES = {
    "DailyRecurrence": (rrule.DAILY, 999),
    "WeeklyRecurrence": (rrule.WEEKLY, 99),
    "AbsoluteMonthlyRecurrence": (rrule.MONTHLY, 99),
    "RelativeMonthlyRecurrence": (rrule.MONTHLY, 99),
    "AbsoluteYearlyRecurrence": (rrule.YEARLY, 1),
    "RelativeYearlyRecurrence": (rrule.YEARLY, 1),
}
REGENERATIONS = {
    "DailyRegeneration": rrule.DAILY,
    "WeeklyRegeneration": rrule.WEEKLY,
    "MonthlyRegeneration": rrule.MONTHLY,
    "YearlyRegeneration": rrule.YEARLY,
}


@dataclass(frozen=True, slots=True)
class Slot:
    """When an occurrence takes place unless it is changed; `index` counts from 1."""

    index: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Series:
    """All occurrences of a series, before any is changed or deleted."""

    rule: rrule.rrule  # of moments of the zone's clock
    zone: ZoneInfo
    length: timedelta  # by the clock too
    is_finite: bool

    def slots(self) -> Iterator[Slot]:
        """The occurrences in their order."""
        for number, start in enumerate(islice(self.rule, MOST)):
            yield Slot(number + 1, self._moment(start), self._moment(start + self.length))

    def slot(self, index: int) -> Slot:
        """One occurrence, or ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange."""
        found = next(islice(self.slots(), index - 1, index), None) if index > 0 else None
        if found is None:
            raise EwsError("ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange")
        return found

    def _moment(self, clock: datetime) -> datetime:
        return clock.replace(tzinfo=self.zone).astimezone(UTC)


def series_of(values: dict[str, Value]) -> Series | None:
    """The series of an appointment; None: it is none. Raises the errors of a wrong recurrence."""
    recurrence = values.get("Recurrence")
    if not isinstance(recurrence, Fragment):
        return None
    start, end = str(values.get("Start", "")), str(values.get("End", ""))
    return read_series(recurrence.xml, start, end, zone_id(values.get("StartTimeZone")))


@lru_cache(maxsize=1000)
def read_series(xml: str, start_text: str, end_text: str, windows_id: str) -> Series:
    """Read a series from its t:Recurrence and the times of one occurrence."""
    pattern, bounds = parts_of(xml)
    rules = zone(windows_id) or ZoneInfo("UTC")
    start = read_moment(start_text).astimezone(rules).replace(tzinfo=None)
    end = read_moment(end_text).astimezone(rules).replace(tzinfo=None)
    first, limits = read_bounds(bounds)
    rule = rrule.rrule(
        **rule_of(pattern), dtstart=datetime.combine(first, start.time()), **limits, cache=True
    )
    return Series(rule, rules, end - start, bool(limits))


def read_bounds(bounds: Element) -> tuple[date, dict[str, Any]]:
    """The range of a series: its first day, and its end as an argument of a rule."""
    first = read_date(child_text(bounds, T + "StartDate"))
    limits: dict[str, Any] = {}
    if local(bounds) == "NumberedRecurrence":
        limits["count"] = read_number(bounds, "NumberOfOccurrences", 999)
    elif local(bounds) == "EndDateRecurrence":
        last = read_date(child_text(bounds, T + "EndDate"))
        if last < first:
            raise EwsError("ErrorCalendarInvalidRecurrence")
        limits["until"] = datetime.combine(last, time.max)
    elif local(bounds) != "NoEndRecurrence":
        raise EwsError("ErrorCalendarInvalidRecurrence")
    return first, limits


def next_date(xml: str, day: date, today: date) -> date | None:
    """The first day after `day` on which a task's t:Recurrence puts it; None: there is none.

    A task that regenerates is put so many days, weeks, months or years after `today`.
    """
    pattern, bounds = parts_of(xml)
    name = local(pattern)
    if name in REGENERATIONS:
        interval = read_number(pattern, "Interval", 999)
        start = datetime.combine(today, time())
        _, following = rrule.rrule(REGENERATIONS[name], dtstart=start, interval=interval, count=2)
        return date(following.year, following.month, following.day)
    first, limits = read_bounds(bounds)
    rule = rrule.rrule(**rule_of(pattern), dtstart=datetime.combine(first, time()), **limits)
    found = rule.after(datetime.combine(day, time()))
    return date(found.year, found.month, found.day) if found else None


def parts_of(xml: str) -> tuple[Element, Element]:
    """The pattern and the range of a t:Recurrence."""
    parts = children(etree.fromstring(f'<x xmlns:t="{TYPES}">{xml}</x>')[0])
    if len(parts) != 2 or local(parts[0]) not in {*FREQUENCIES, *REGENERATIONS}:
        raise EwsError("ErrorCalendarInvalidRecurrence")
    return parts[0], parts[1]


def rule_of(pattern: Element) -> dict[str, Any]:
    """The pattern as arguments of a rule of RFC 5545."""
    name = local(pattern)
    if name not in FREQUENCIES:
        raise EwsError("ErrorCalendarInvalidRecurrence")
    frequency, longest = FREQUENCIES[name]
    rule: dict[str, Any] = {"freq": frequency, "interval": 1}
    if "Yearly" not in name:
        rule["interval"] = read_number(pattern, "Interval", longest)
    if "Yearly" in name:
        rule["bymonth"] = one_of(MONTHS, pattern, "Month") + 1
    if name == "WeeklyRecurrence":
        days = [DAYS.get(one, ()) for one in child_text(pattern, T + "DaysOfWeek").split()]
        rule["byweekday"] = [day for some in days for day in some]
        week = child_text(pattern, T + "FirstDayOfWeek") or "Sunday"
        rule["wkst"] = WEEKDAYS.get(week, rrule.SU)
    elif name.startswith("Absolute"):
        day = read_number(pattern, "DayOfMonth", 31)
        # The last of these that the month has.
        rule |= {"bymonthday": range(min(day, 28), day + 1), "bysetpos": -1}
    elif name.startswith("Relative"):
        ordinals = list(ORDINALS)
        position = ordinals[one_of(ordinals, pattern, "DayOfWeekIndex")]
        rule["byweekday"] = DAYS.get(child_text(pattern, T + "DaysOfWeek"), ())
        rule["bysetpos"] = ORDINALS[position]
    if not rule.get("byweekday", True):
        raise EwsError("ErrorCalendarInvalidRecurrence")
    return rule


def one_of(names: Sequence[str], element: Element, child: str) -> int:
    """The place of a child's word among `names`."""
    text = child_text(element, T + child)
    if text not in names:
        raise EwsError("ErrorCalendarInvalidRecurrence")
    return names.index(text)


def read_number(element: Element, child: str, most: int) -> int:
    """A child's number, from 1 to `most`."""
    text = child_text(element, T + child).strip()
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise EwsError("ErrorCalendarInvalidRecurrence")
    return int(text)


def read_date(text: str) -> date:
    """An xs:date; clients may write a zone, or a time, behind it, which say nothing."""
    try:
        return date.fromisoformat(text.strip()[:10])
    except ValueError as error:
        raise EwsError("ErrorCalendarInvalidRecurrence") from error
