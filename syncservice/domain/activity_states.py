"""States of activities: what a status of the CRM is in Exchange, and back (2K, 3G, 3H, 3J).

The CRM has more of them than Exchange, so the way back depends on what the record is now: it
changes only when Exchange says something that the record doesn't.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from syncservice.domain.field_map import RecordType

#: A task that was due longer ago than this reminds nobody any more (3J).
REMINDER_AGE = timedelta(days=1)
_COMPLETED = "completed"


class State(enum.Enum):
    """What all statuses of activities come down to."""

    OPEN = enum.auto()
    COMPLETED = enum.auto()
    CANCELED = enum.auto()
    SCHEDULED = enum.auto()  # of appointments only; open, too

    @property
    def is_open(self) -> bool:
        return self in (State.OPEN, State.SCHEDULED)


@dataclass(frozen=True, slots=True)
class Status:
    """What a code of the CRM means: its state, and how Exchange says it."""

    state: State
    said: str  # "show_as" of an appointment, "status" of a task


#: By code (2K). What is completed or canceled takes nobody's time (3G).
APPOINTMENT_STATUSES: Mapping[int, Status] = {
    1: Status(State.OPEN, "free"),
    2: Status(State.OPEN, "tentative"),
    3: Status(State.COMPLETED, "free"),
    4: Status(State.CANCELED, "free"),
    5: Status(State.SCHEDULED, "busy"),
    6: Status(State.SCHEDULED, "out_of_office"),
}
#: By what Exchange shows; who works elsewhere is free (3H).
_SHOWN = {"free": 1, "elsewhere": 1, "tentative": 2, "busy": 5, "out_of_office": 6}

#: By record type and code; the first code of a state is the one that Exchange's word stands for.
TASK_STATUSES: Mapping[RecordType, Mapping[int, Status]] = {
    RecordType.TASK: {
        2: Status(State.OPEN, "not_started"),
        3: Status(State.OPEN, "in_progress"),
        4: Status(State.OPEN, "waiting"),
        7: Status(State.OPEN, "deferred"),
        5: Status(State.COMPLETED, _COMPLETED),
        6: Status(State.CANCELED, _COMPLETED),
    },
    RecordType.PHONE_CALL: {
        1: Status(State.OPEN, "not_started"),
        2: Status(State.COMPLETED, _COMPLETED),  # made
        4: Status(State.COMPLETED, _COMPLETED),  # received
        3: Status(State.CANCELED, _COMPLETED),
    },
    RecordType.LETTER: {
        1: Status(State.OPEN, "not_started"),
        2: Status(State.OPEN, "not_started"),  # a draft
        4: Status(State.COMPLETED, _COMPLETED),  # sent
        3: Status(State.COMPLETED, _COMPLETED),  # received
        5: Status(State.CANCELED, _COMPLETED),
    },
    RecordType.FAX: {
        1: Status(State.OPEN, "not_started"),
        2: Status(State.COMPLETED, _COMPLETED),
        3: Status(State.COMPLETED, _COMPLETED),  # sent
        4: Status(State.COMPLETED, _COMPLETED),  # received
        5: Status(State.CANCELED, _COMPLETED),
    },
}


def appointment_code(show_as: str, current: int | None) -> int:
    """Return the code of an appointment that Exchange shows so; `current`: None, it is new.

    One that is completed or canceled stays so when it shows as free, as it does (3H). Anything else
    takes it up again.
    """
    code = _SHOWN[show_as]
    shows = None if current is None else APPOINTMENT_STATUSES[current].said
    return current if current is not None and shows == APPOINTMENT_STATUSES[code].said else code


def task_code(record_type: RecordType, status: str, current: int | None) -> int:
    """Return the code of a task of which Exchange says so; `current`: None, it is new.

    A code that Exchange has no word for stays as long as the state does: a canceled task is a
    completed one there, and a phone call is open whether or not it is in progress.
    """
    statuses = TASK_STATUSES[record_type]
    if current is not None and statuses[current].said == status:
        return current
    for code, one in statuses.items():
        if one.said == status:
            return code
    if current is not None and statuses[current].state.is_open:
        return current
    return next(code for code, one in statuses.items() if one.state is State.OPEN)


def percent_for_exchange(state: State, percent: int | None) -> int:
    """Return the percentage that goes with a task's state in Exchange; None: nobody said (3J).

    What is not open is completed there, and that is 100; 100 of an open task would complete it.
    """
    if not state.is_open:
        return 100
    return min(percent or 0, 99)


def completes_itself(state: State, actual_end: datetime | None, now: datetime) -> bool:
    """Say whether a task of the CRM is to be completed because it has ended (3J)."""
    return state.is_open and actual_end is not None and actual_end <= now


def end_after(state: State, actual_end: datetime | None, now: datetime) -> datetime | None:
    """Return the actual end of a task that was brought into `state` at some moment, `now`.

    What is open has none, else it would be completed again (3J); what is closed has one.
    """
    if state.is_open:
        return None
    return now if actual_end is None else actual_end


def due_or_start(due: datetime | None, start: datetime | None) -> datetime | None:
    """Return when a task is due: when it starts, if nobody said (3F)."""
    return start if due is None else due


def task_reminder(state: State, due: datetime | None, now: datetime) -> datetime | None:
    """Return when a task's owner is reminded in Exchange: when it is due (3F, 3J); None: never.

    Of an old one, or one that is done, nobody is.
    """
    if due is None or not state.is_open or now - due >= REMINDER_AGE:
        return None
    return due
