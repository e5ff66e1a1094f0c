"""How long a mailbox is left alone between two visits, and why (REFERENCE F008, 3A)."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Pace:
    """The administrator's limits. `minimum` is the profile's own floor and beats the others."""

    shortest: timedelta = timedelta(minutes=2)
    normal: timedelta = timedelta(minutes=5)
    longest: timedelta = timedelta(minutes=12)
    busy_from: int = 10  # new items in one visit
    minimum: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Rest:
    """How long a mailbox is left alone, and why, in words its owner can read."""

    length: timedelta
    reason: str


def next_rest(items_seen: int, more_left: bool, empty_visits: int, pace: Pace) -> Rest:
    """Choose the rest before the next visit from what the last visits found.

    Mail comes in bursts, so one busy visit drops straight to the shortest rest; quiet is only
    believed slowly, a fifth of the normal rest (a minute of five) for each empty visit in a row,
    up to the longest.
    """
    rest = _by_activity(items_seen, more_left, empty_visits, pace)
    if rest.length < pace.minimum:
        return Rest(pace.minimum, f"{rest.reason}; the server profile's minimum applies")
    return rest


def _by_activity(items_seen: int, more_left: bool, empty_visits: int, pace: Pace) -> Rest:
    if more_left:
        return Rest(pace.shortest, "more mail is waiting than one visit takes")
    if items_seen >= pace.busy_from:
        return Rest(pace.shortest, f"{items_seen} new messages in the last visit")
    if items_seen:
        noun = "message" if items_seen == 1 else "messages"
        return Rest(pace.normal, f"{items_seen} new {noun} in the last visit")
    drifted = pace.normal + empty_visits * (pace.normal / 5)
    noun = "visit" if empty_visits == 1 else "visits"
    return Rest(min(drifted, pace.longest), f"{empty_visits} empty {noun} in a row")
