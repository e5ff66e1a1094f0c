"""Tasks, phone calls, letters and faxes as values, and values as these (3F, 3J).

Exchange's tasks have days where the CRM has moments: the days are those of the user's clock, and a
moment keeps its time of day when its day changes.
"""

from collections.abc import Sequence
from datetime import date, datetime, time, tzinfo
from typing import Any
from uuid import UUID

from django.db import models
from django.utils import timezone

from syncservice.crm.models import Task, User
from syncservice.domain.field_map import RecordType
from syncservice.domain.item_values import ItemKind, Value, Values, text_of
from syncservice.domain.time_zones import clock_of
from syncservice.sync.kind_records import (
    KindRecords,
    fitting,
    importance_of,
    moment_of,
    priority_of,
    regarding_columns,
    regarding_of,
)

_DATES = {"start": "starts_at", "due": "due_at", "completed": "actual_end"}
_MIDNIGHT = time()
_STATUSES = {2: "not_started", 3: "in_progress", 4: "waiting", 7: "deferred"}
_CODES = {status: code for code, status in _STATUSES.items()}
#: Which code stands for open and for completed; those of tasks that are open, see above.
_OPEN = {Task.Kind.TASK: 2, Task.Kind.PHONE_CALL: 1, Task.Kind.LETTER: 1, Task.Kind.FAX: 1}
_COMPLETED = {Task.Kind.TASK: 5, Task.Kind.PHONE_CALL: 2, Task.Kind.LETTER: 4, Task.Kind.FAX: 2}


class TaskRecords(KindRecords[Task]):
    kind = ItemKind.TASK

    def record_type(self, record: Task) -> RecordType:
        return RecordType(record.kind)

    def values(self, record: Task, user: User) -> Values:
        clock = clock_of(user.time_zone)
        is_open = record.state == Task.State.OPEN
        return {
            "subject": text_of(record.subject),
            "notes": text_of(record.description),
            "start": _day(record.starts_at, clock),
            "due": _day(record.due_at, clock),
            # Exchange completes what has such a date.
            "completed": None if is_open else _day(record.actual_end, clock),
            "status": _status_of(record),
            "percent_complete": _percent_of(record),
            "importance": importance_of(record.priority),
            "regarding": regarding_of(record),
            "reminder": _reminder(record, clock),
        }

    def apply(self, record: Task, values: Values, user: User) -> None:
        """Write some values."""
        columns = _written(record, values, clock_of(user.time_zone))
        for column, value in columns.items():
            setattr(record, column, value)
        if columns:
            record.save(update_fields=columns)

    def create_all(self, items: Sequence[tuple[Values, UUID]], user: User) -> list[Task]:
        clock, now = clock_of(user.time_zone), timezone.now()
        made = []
        for values, key in items:
            task = Task(
                pk=key, kind=Task.Kind.TASK, status=_CODES["not_started"], owner=user,
                actual_start=now,
            )  # fmt: skip
            for column, value in _written(task, values, clock).items():
                setattr(task, column, value)
            made.append(task)
        return Task.objects.bulk_create(made)

    def _rows(self) -> "models.QuerySet[Task]":
        return Task.objects.all()


def _day(moment: datetime | None, clock: tzinfo) -> str | None:
    return moment.astimezone(clock).date().isoformat() if moment else None


def _moment(day: Value, before: datetime | None, clock: tzinfo) -> datetime | None:
    if day is None:
        return None
    at = before.astimezone(clock).time() if before else _MIDNIGHT
    return datetime.combine(date.fromisoformat(day), at, clock)


def _status_of(record: Task) -> str:
    if record.state != Task.State.OPEN:
        return "completed"
    is_task = record.kind == Task.Kind.TASK
    return _STATUSES[record.status] if is_task else "not_started"


def _percent_of(record: Task) -> int:
    """Return what Exchange takes: 100 completes a task there, and completed is 100 (3J)."""
    if record.state != Task.State.OPEN:
        return 100
    return min(record.percent_complete or 0, 99)


def _reminder(record: Task, clock: tzinfo) -> str | None:
    """Remind when it is due; of a day only, nobody is reminded at midnight (3F)."""
    if record.due_at is None or record.state != Task.State.OPEN:
        return None
    if record.due_at.astimezone(clock).time() == _MIDNIGHT:
        return None
    return moment_of(record.due_at)


def _written(record: Task, values: Values, clock: tzinfo) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for name, value in values.items():
        if name in _DATES:
            column = _DATES[name]
            before = getattr(record, column)
            if value != _day(before, clock):
                written[column] = _moment(value, before, clock)
        elif name == "status":
            written |= _status_columns(record, value, values)
        elif name == "percent_complete" and record.kind == Task.Kind.TASK:
            if value != _percent_of(record):
                written["percent_complete"] = value
        else:
            written |= _columns_of(name, value)
    starts_at = written.get("starts_at", record.starts_at)
    if _DATES.keys() & values.keys() and written.get("due_at", record.due_at) is None:
        written["due_at"] = starts_at  # the CRM fills in a due date that is missing (3F)
    return written


def _status_columns(record: Task, status: str, values: Values) -> dict[str, Any]:
    """Change the code only where it says something else: Exchange has fewer."""
    if status == _status_of(record):
        return {}
    kind = Task.Kind(record.kind)
    if status == "completed":
        return {"status": _COMPLETED[kind]}
    code = _CODES[status] if kind == Task.Kind.TASK else _OPEN[kind]
    was_open = record.state == Task.State.OPEN
    # With its end, a task that is taken up again would be completed again (3J).
    return {"status": code} if was_open or "completed" in values else {
        "status": code, "actual_end": None,
    }  # fmt: skip


def _columns_of(name: str, value: Value) -> dict[str, Any]:
    match name:
        case "subject":
            return {"subject": fitting(Task, "subject", value)}
        case "notes":
            return {"description": text_of(value)}
        case "importance":
            return {"priority": priority_of(value)}
        case "regarding":
            return regarding_columns(value)
    return {}  # a reminder is Exchange's own
