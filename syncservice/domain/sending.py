"""An email on its way out: the states it goes through, and what a failed attempt makes of it.

Sent once is the first rule (DESIGN invariant 9): no way leads from sent back to sending, and what
nobody can tell is UNKNOWN until the server or a person does. The codes are the reference's (F161),
but for UNKNOWN, which it does not have.
"""

import enum
from dataclasses import dataclass
from datetime import timedelta

from syncservice.domain.faults import Fault, Nature, Scope
from syncservice.domain.polling import Rest


class State(enum.IntEnum):
    DRAFT = 1
    SENT = 3
    CANCELED = 5
    PENDING = 6  # it waits for its turn
    SENDING = 7  # an attempt is under way, or died
    FAILED = 8  # open again: it may be changed and sent anew
    UNKNOWN = 100  # the server may have taken it, or not


class Event(enum.Enum):
    """What can happen to an email on its way out."""

    SUBMIT = enum.auto()  # its writer sends it
    RECALL = enum.auto()  # its writer takes it back
    CANCEL = enum.auto()  # its writer gives it up
    BEGIN = enum.auto()  # an attempt begins
    ACCEPT = enum.auto()  # the server took it, or has it, or a person knows so
    PUT_OFF = enum.auto()  # surely not sent, and worth another attempt
    REFUSE = enum.auto()  # surely not sent, and no attempt will help
    LOSE = enum.auto()  # the attempt came to no clear end


_WAYS: dict[State, dict[Event, State]] = {
    State.DRAFT: {Event.SUBMIT: State.PENDING, Event.CANCEL: State.CANCELED},
    State.FAILED: {Event.SUBMIT: State.PENDING, Event.CANCEL: State.CANCELED},
    State.PENDING: {
        Event.BEGIN: State.SENDING,
        Event.RECALL: State.DRAFT,
    },
    State.SENDING: {
        Event.ACCEPT: State.SENT,
        Event.PUT_OFF: State.PENDING,
        Event.REFUSE: State.FAILED,
        Event.LOSE: State.UNKNOWN,
    },
    State.UNKNOWN: {
        Event.ACCEPT: State.SENT,
        Event.PUT_OFF: State.PENDING,
        Event.REFUSE: State.FAILED,
    },
    State.SENT: {},
    State.CANCELED: {},
}


class Impossible(ValueError):
    """The email is in no state in which this can happen."""

    def __init__(self, state: State, event: Event) -> None:
        super().__init__(f"an email that is {state.name.lower()} has no way to {event.name}")


def after(state: State, event: Event) -> State:
    """Return the state that an event leads to, or raise Impossible."""
    try:
        return _WAYS[state][event]
    except KeyError:
        raise Impossible(state, event) from None


class Priority(enum.IntEnum):
    """How urgent an email is (F164)."""

    LOW = 0
    NORMAL = 1
    HIGH = 2


#: How much longer than it has an email counts as having waited. So the urgent goes first, and what
#: is not urgent still gets its turn.
HEAD_START = {
    Priority.LOW: timedelta(0),
    Priority.NORMAL: timedelta(minutes=5),
    Priority.HIGH: timedelta(minutes=10),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failed attempt makes of an email."""

    event: Event
    rest: Rest | None = None  # before the next attempt; None: as soon as its mailbox has its turn
    counts: bool = True  # as one of the attempts that it has


def after_fault(fault: Fault, attempts: int, most: int, retry: timedelta) -> Verdict:
    """Decide about an email whose `attempts`-th attempt (from 1) surely did not send it.

    What concerns the mailbox or its server is not the email's: it stays pending, however long that
    lasts (F162, F170). `retry` is the pause after a first failure of its own; it doubles each time.
    """
    if fault.scope is not Scope.EMAIL:
        return Verdict(Event.PUT_OFF, counts=False)
    if fault.nature is Nature.PERMANENT or attempts >= most:
        return Verdict(Event.REFUSE)
    return Verdict(
        Event.PUT_OFF, Rest(pause(attempts, retry), f"attempt {attempts} ended with {fault.code}")
    )


def pause(attempts: int, retry: timedelta) -> timedelta:
    """Return how long to wait after so many attempts (from 1): twice as long after each."""
    longer: timedelta = retry * 2 ** min(attempts - 1, 6)
    return longer
