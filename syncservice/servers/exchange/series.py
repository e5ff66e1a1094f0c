"""The recurrence of a series, in EWS's elements and in the domain's words.

EWS has no interval between years: what recurs every two years recurs every 24 months.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

from exchangelib.util import create_element

from syncservice.domain.recurrence import Pattern, Recurrence
from syncservice.servers.exchange.properties import Element, named

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_ELEMENTS = {
    "DailyRecurrence": Pattern.DAILY,
    "WeeklyRecurrence": Pattern.WEEKLY,
    "AbsoluteMonthlyRecurrence": Pattern.MONTHLY,
    "RelativeMonthlyRecurrence": Pattern.MONTHLY_NTH,
    "AbsoluteYearlyRecurrence": Pattern.YEARLY,
    "RelativeYearlyRecurrence": Pattern.YEARLY_NTH,
}
_TAGS = {pattern: tag for tag, pattern in _ELEMENTS.items()}
_OF_MONTHS = {Pattern.YEARLY: Pattern.MONTHLY, Pattern.YEARLY_NTH: Pattern.MONTHLY_NTH}
_RANGES = ("NoEndRecurrence", "EndDateRecurrence", "NumberedRecurrence")


def recurrence_of(element: Element) -> Recurrence:
    """Read a Recurrence element; ValueError says that it is none of an appointment's."""
    tags = {child.tag: child for child in element}
    tag = next((tag for tag in _ELEMENTS if named(tag) in tags), None)
    ranges = [tags[named(tag)] for tag in _RANGES if named(tag) in tags]
    if tag is None or not ranges:
        raise ValueError("neither a pattern nor a range of an appointment")
    return Recurrence(pattern=_ELEMENTS[tag], **_said(tags[named(tag)]), **_range(ranges[0]))


def element_of(recurrence: Recurrence) -> Element:
    """Write a Recurrence element."""
    pattern, interval = recurrence.pattern, recurrence.interval
    if pattern in _OF_MONTHS and interval > 1:
        pattern, interval = _OF_MONTHS[pattern], interval * 12
    said = create_element(f"t:{_TAGS[pattern]}")
    for tag, text in _parts(recurrence, pattern, interval):
        _add(said, tag, text)
    element = create_element("t:Recurrence")
    element.extend((said, _range_element(recurrence)))
    return element


def _said(pattern: Element) -> dict[str, Any]:
    """Read what a pattern's element says besides its name."""
    said: dict[str, Any] = {}
    for child in pattern:
        text = (child.text or "").strip()
        if child.tag == named("Interval"):
            said["interval"] = int(text)
        elif child.tag == named("DayOfMonth"):
            said["day"] = int(text)
        elif child.tag == named("DaysOfWeek"):
            said["weekdays"] = tuple(map(_ours, text.split()))
        elif child.tag == named("DayOfWeekIndex"):
            said["nth"] = text.lower()
        elif child.tag == named("Month"):
            said["month"] = _MONTHS.index(text) + 1
        elif child.tag == named("FirstDayOfWeek"):
            said["first_day_of_week"] = text.lower()
    return said


def _range(element: Element) -> dict[str, Any]:
    said: dict[str, Any] = {"starts_on": _date(element.findtext(named("StartDate")))}
    if end := element.findtext(named("EndDate")):
        said["ends_on"] = _date(end)
    if number := element.findtext(named("NumberOfOccurrences")):
        said["count"] = int(number)
    return said


def _parts(recurrence: Recurrence, pattern: Pattern, interval: int) -> Iterator[tuple[str, str]]:
    """Return what a pattern's element holds, in the schema's order."""
    if pattern not in _OF_MONTHS:
        yield "Interval", str(interval)
    if recurrence.weekdays:
        yield "DaysOfWeek", " ".join(map(_theirs, recurrence.weekdays))
    if recurrence.nth:
        yield "DayOfWeekIndex", recurrence.nth.capitalize()
    if recurrence.day:
        yield "DayOfMonth", str(recurrence.day)
    if recurrence.month and pattern in _OF_MONTHS:
        yield "Month", _MONTHS[recurrence.month - 1]
    if pattern is Pattern.WEEKLY:
        yield "FirstDayOfWeek", _theirs(recurrence.first_day_of_week)


def _range_element(recurrence: Recurrence) -> Element:
    no_end, end_date, numbered = _RANGES
    tag = end_date if recurrence.ends_on else numbered if recurrence.count else no_end
    element = create_element(f"t:{tag}")
    _add(element, "StartDate", recurrence.starts_on.isoformat())
    if recurrence.ends_on:
        _add(element, "EndDate", recurrence.ends_on.isoformat())
    if recurrence.count:
        _add(element, "NumberOfOccurrences", str(recurrence.count))
    return element


def _date(text: str | None) -> date:
    """Read a date; servers put its zone behind it, which changes nothing."""
    return date.fromisoformat((text or "")[:10])


def _ours(weekday: str) -> str:
    return "weekend_day" if weekday == "WeekendDay" else weekday.lower()


def _theirs(weekday: str) -> str:
    return "".join(part.capitalize() for part in weekday.split("_"))


def _add(element: Element, tag: str, text: str) -> None:
    child = create_element(f"t:{tag}")
    child.text = text
    element.append(child)
