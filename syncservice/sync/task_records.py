"""Tasks, phone calls, letters and faxes as values, and values as these (3F, 3J).

Exchange's tasks have days where the CRM has moments: the days are those of the user's clock, and a
moment keeps its time of day when its day changes.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, tzinfo
from typing import Any
from uuid import UUID

from django.db import models
from django.utils import timezone

from syncservice.crm.models import Task, User
from syncservice.domain.activity_states import (
    TASK_STATUSES,
    State,
    Status,
    completes_itself,
    due_or_start,
    end_after,
    percent_for_exchange,
    task_code,
    task_reminder,
)
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
_TASK = Task.Kind.TASK


class TaskRecords(KindRecords[Task]):
    kind = ItemKind.TASK

    def load(self, keys: Iterable[UUID]) -> dict[UUID, Task]:
        """Return these tasks; what has an actual end is completed by now, and the reverse (3J)."""
        found, now = super().load(keys), timezone.now()
        for task in found.values():
            columns = _completed(task, now)
            for column, value in columns.items():
                setattr(task, column, value)
            if columns:  # unless somebody was quicker: then it is loaded again
                Task.objects.filter(pk=task.pk, changed_at=task.changed_at).update(**columns)
        return found

    def record_type(self, record: Task) -> RecordType:
        return RecordType(record.kind)

    def values(self, record: Task, user: User) -> Values:
        clock = clock_of(user.time_zone)
        status = _status(record)
        return {
            "subject": text_of(record.subject),
            "notes": text_of(record.description),
            "start": _day(record.starts_at, clock),
            "due": _day(record.due_at, clock),
            # Exchange completes what has such a date.
            "completed": None if status.state.is_open else _day(record.actual_end, clock),
            "status": status.said,
            "percent_complete": percent_for_exchange(status.state, record.percent_complete),
            "importance": importance_of(record.priority),
            "regarding": regarding_of(record),
            "reminder": _reminder(record, status.state, clock),
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
            status = task_code(RecordType.TASK, "not_started", None)
            task = Task(pk=key, kind=_TASK, status=status, owner=user, actual_start=now)
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


def _status(record: Task) -> Status:
    return TASK_STATUSES[RecordType(record.kind)][record.status]


def _completed(record: Task, now: datetime) -> dict[str, Any]:
    state = _status(record).state
    if completes_itself(state, record.actual_end, now):
        return {"status": task_code(RecordType(record.kind), "completed", record.status)}
    if not state.is_open and record.actual_end is None:  # Exchange gives it one by itself
        return {"actual_end": end_after(state, None, record.changed_at)}
    return {}


def _reminder(record: Task, state: State, clock: tzinfo) -> str | None:
    """Remind when it is due; of a mere day, nobody is reminded at midnight (3F)."""
    moment = task_reminder(state, record.due_at, timezone.now())
    if moment is None or moment.astimezone(clock).time() == _MIDNIGHT:
        return None
    return moment_of(moment)


def _written(record: Task, values: Values, clock: tzinfo) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for name, value in values.items():
        if name in _DATES:
            column = _DATES[name]
            before = getattr(record, column)
            if value != _day(before, clock):
                written[column] = _moment(value, before, clock)
        elif name == "percent_complete":
            is_said = value == percent_for_exchange(_status(record).state, record.percent_complete)
            if record.kind == _TASK and not is_said:
                written["percent_complete"] = value
        elif name != "status":
            written |= _columns_of(name, value)
    if _DATES.keys() & values.keys():
        due_at = written.get("due_at", record.due_at)
        written["due_at"] = due_or_start(due_at, written.get("starts_at", record.starts_at))
    if "status" in values:
        written |= _status_columns(record, values["status"], written)
    return written


def _status_columns(record: Task, said: str, written: dict[str, Any]) -> dict[str, Any]:
    """Change the code only where it says something else, for Exchange has fewer."""
    record_type = RecordType(record.kind)
    code = task_code(record_type, said, record.status)
    if code == record.status:
        return {}
    actual_end = written.get("actual_end", record.actual_end)
    state = TASK_STATUSES[record_type][code].state
    return {"status": code, "actual_end": end_after(state, actual_end, timezone.now())}


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
