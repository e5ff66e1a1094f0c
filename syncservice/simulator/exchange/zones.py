"""When a time zone's clocks change, as rules that hold every year.

Worked out from one year of the zone's data, which has moments and no rules.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the clocks; `before` and `after` are how far the zone is from UTC."""

    before: timedelta
    after: timedelta
    is_daylight: bool  # what it changes to
    month: int
    week: int  # of the month; -1: the last
    weekday: int  # Monday is 0
    clock: timedelta  # since midnight, by the clock before the change


@lru_cache
def changes(zone: ZoneInfo, year: int) -> tuple[Change, ...]:
    """The changes of a year, in their order; none where the clocks stay."""
    first = datetime(year, 1, 1, 12)  # noqa: DTZ001 - the clock on the wall
    noons = [first + number * DAY for number in range(365)]
    return tuple(
        change(zone, noon) for noon in noons if offset(zone, noon) != offset(zone, noon - DAY)
    )


def change(zone: ZoneInfo, noon: datetime) -> Change:
    """The change within the day that ends at `noon`."""
    before = offset(zone, noon - DAY)
    clock = (noon - DAY + number * timedelta(minutes=30) for number in range(49))
    at = next(
        one
        for one in clock
        if (one - before).replace(tzinfo=UTC).astimezone(zone).utcoffset() != before
    )
    return Change(
        before,
        offset(zone, noon),
        bool(noon.replace(tzinfo=zone).dst()),
        at.month,
        -1 if at.day > 21 else (at.day - 1) // 7 + 1,
        at.weekday(),
        timedelta(hours=at.hour, minutes=at.minute),
    )


def offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    """How far a zone is from UTC at a moment of its own clock."""
    return moment.replace(tzinfo=zone).utcoffset() or timedelta()


def offset_in(zone: ZoneInfo, year: int) -> timedelta:
    """How far the zone is from UTC when the year begins."""
    return offset(zone, datetime(year, 1, 1, 12))  # noqa: DTZ001 - the clock on the wall
