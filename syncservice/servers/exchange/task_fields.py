"""Tasks: which value is kept in which property (REFERENCE 3F).

Status, percentage and the date of completion imply each other in Exchange: whichever comes last in
a request wins. So the status comes last, and a date of completion is never taken off by itself.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from syncservice.domain.item_values import Value
from syncservice.servers.exchange.fields import (
    IMPORTANCE,
    REGARDING,
    SUBJECT,
    Field,
    body,
    choice,
    date,
    date_at,
    is_true,
    moment_in,
    text_at,
    written_moment,
)
from syncservice.servers.exchange.properties import Parts, Plain, Property, Setting

DUE = Plain("task:DueDate")
_COMPLETED, _PERCENT = Plain("task:CompleteDate"), Plain("task:PercentComplete")
_REMINDS, _REMINDER = Plain("item:ReminderIsSet"), Plain("item:ReminderDueBy")
_RECURS, _OF_TEAM = Plain("task:IsRecurring"), Plain("task:IsTeamTask")
_DELEGATION = Plain("task:DelegationState")
#: Of a task that somebody has, or had, from somebody else (MS-OXOTASK section 2.2.2.2.12).
_DELEGATED = {"Owned", "Accepted", "Declined"}
_STATUS = choice(
    "status",
    Plain("task:Status"),
    {
        "NotStarted": "not_started",
        "InProgress": "in_progress",
        "Completed": "completed",
        "WaitingOnOthers": "waiting",
        "Deferred": "deferred",
    },
    "not_started",
)


def _percent() -> Field:
    def read(item: Parts) -> Value:
        try:
            return min(max(int(float(text_at(item, _PERCENT) or 0)), 0), 100)
        except (ValueError, OverflowError):
            return 0

    def settings(value: Value) -> Iterator[Setting]:
        yield _PERCENT, str(value)

    return Field("percent_complete", (_PERCENT,), read, settings)


def _completed() -> Field:
    def settings(value: Value) -> Iterator[Setting]:
        if value:
            # Exchange refuses one that is to come; in the east, today begins before it does in UTC.
            midnight = moment_in(f"{value}T00:00:00Z") or datetime.now(UTC)
            at = min(midnight, datetime.now(UTC))
            yield _COMPLETED, at.strftime("%Y-%m-%dT%H:%M:%SZ")

    return Field("completed", (_COMPLETED,), lambda item: date_at(item, _COMPLETED), settings)


def _reminder() -> Field:
    def read(item: Parts) -> Value:
        return written_moment(text_at(item, _REMINDER)) if is_true(item, _REMINDS) else None

    def settings(value: Value) -> Iterator[Setting]:
        if value:
            yield _REMINDER, value
        yield _REMINDS, "true" if value else "false"

    return Field("reminder", (_REMINDS, _REMINDER), read, settings)


TASK_FIELDS: tuple[Field, ...] = (
    SUBJECT,
    body("notes"),
    date("start", Plain("task:StartDate")),
    date("due", DUE),
    IMPORTANCE,
    REGARDING,
    _reminder(),
    _percent(),
    _completed(),
    _STATUS,
)
#: What `unsupported` looks at.
TASK_CONDITION: tuple[Property, ...] = (_RECURS, _OF_TEAM, _DELEGATION)


def unsupported(item: Parts) -> str:
    """Say why a task can't be kept in step; '': it can."""
    if is_true(item, _RECURS):
        return "recurring_task"
    if is_true(item, _OF_TEAM) or text_at(item, _DELEGATION) in _DELEGATED:
        return "assigned_task"
    return ""
