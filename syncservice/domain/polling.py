"""How long a mailbox is left alone between two visits, and why (REFERENCE F008, 3A)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Pace:
    """The administrator's limits. `minimum` is the profile's own floor and beats the others."""

    shortest: timedelta = timedelta(minutes=2)
    normal: timedelta = timedelta(minutes=5)
    longest: timedelta = timedelta(minutes=12)
    busy_from: int = 10  # new items in the last visits
    minimum: timedelta = timedelta(0)

    @property
    def floor(self) -> timedelta:
        """The least between the starts of two visits."""
        return max(self.shortest, self.minimum)


@dataclass(frozen=True, slots=True)
class Activity:
    """A lane's own counters of what its visits found."""

    recent_items: int = 0  # of the last visits; each visit counts half as much as the next
    empty_visits: int = 0  # in a row

    def after(self, items: int) -> "Activity":
        """Count one more visit, which found so many items."""
        return Activity(self.recent_items // 2 + items, 0 if items else self.empty_visits + 1)


@dataclass(frozen=True, slots=True)
class Rest:
    """How long a mailbox is left alone, and why, in words its owner can read."""

    length: timedelta
    reason: str


def next_rest(items: int, more_left: bool, activity: Activity, pace: Pace) -> Rest:
    """Choose the rest after a visit that found `items`; `activity` counts that visit too.

    Mail comes in bursts, so much of it drops straight to the shortest rest; quiet is only believed
    slowly: a fifth of the normal rest (a minute of five) for each empty visit in a row, less while
    there was mail just before, up to the longest.
    """
    rest = _by_activity(items, more_left, activity, pace)
    if rest.length < pace.minimum:
        return Rest(pace.minimum, f"{rest.reason}; the server profile's minimum applies")
    return rest


def _by_activity(items: int, more_left: bool, activity: Activity, pace: Pace) -> Rest:
    if more_left:
        return Rest(pace.shortest, "more mail is waiting than one visit takes")
    if items:
        if items >= pace.busy_from:
            return Rest(pace.shortest, f"{_counted(items, 'new message')} in the last visit")
        if activity.recent_items >= pace.busy_from:
            return Rest(
                pace.shortest,
                f"{_counted(items, 'new message')} in the last visit, and more before",
            )
        return Rest(pace.normal, f"{_counted(items, 'new message')} in the last visit")
    drift = activity.empty_visits * (pace.normal / 5) / (1 + activity.recent_items)
    reason = f"{_counted(activity.empty_visits, 'empty visit')} in a row"
    if activity.recent_items:
        reason += ", with mail shortly before"
    return Rest(min(pace.normal + drift, pace.longest), reason)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def next_start(begun: datetime, rest: Rest, phase: float, pace: Pace) -> datetime:
    """Choose when the visit after the one that began at `begun` starts.

    Rests count from start to start, so a long visit breaks no promise; a sixtieth is kept for the
    dispatch. `phase` (0 to 1) is the mailbox's own place in the cycle: each rest is shortened by up
    to a fifth to draw it there, and near the floor begins a tenth longer, to have room for that.
    So mailboxes that an outage or an import brought together spread evenly within an hour and stay
    so, and nobody throws dice.
    """
    longest = max(rest.length * 59 / 60, pace.floor * 1.1)
    shortest = max(longest * 0.8, pace.floor)
    cycle = longest.total_seconds()
    # Seconds behind its place, up to a second before it counts as there: clocks are rounded.
    beyond = max(0.0, ((begun + longest).timestamp() + 1 - phase * cycle) % cycle - 1)
    return begun + max(longest - timedelta(seconds=beyond), shortest)


def phase_of(mailbox_id: int, lane: str) -> float:
    """Give a lane its own place in every cycle, from 0 up to 1; the same in every process."""
    digest = blake2b(f"{mailbox_id}/{lane}".encode(), digest_size=4).digest()
    return int.from_bytes(digest) / 2**32
