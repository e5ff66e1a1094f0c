"""Appointments and service activities as values, and values as appointments (3F-3H)."""

import mimetypes
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import prefetch_related_objects
from django.utils import timezone

from syncservice.crm.models import Appointment, AppointmentAttachment, AttachmentContent, User
from syncservice.domain import meeting
from syncservice.domain.activity_states import APPOINTMENT_STATUSES, appointment_code
from syncservice.domain.field_map import RecordType
from syncservice.domain.item_values import OCCURRENCE, ItemKind, Value, Values, text_of
from syncservice.domain.time_zones import canonical
from syncservice.sync import attendees
from syncservice.sync.attendees import Addresses
from syncservice.sync.kind_records import (
    KindRecords,
    fitting,
    importance_of,
    moment_of,
    priority_of,
    regarding_columns,
    regarding_of,
)

_PREFETCHED = (*attendees.PREFETCHED, "attachments")


class AppointmentRecords(KindRecords[Appointment]):
    kind = ItemKind.APPOINTMENT

    def __init__(self) -> None:
        self._addresses = Addresses()

    def record_type(self, record: Appointment) -> RecordType:
        if record.kind == Appointment.Kind.SERVICE_ACTIVITY:
            return RecordType.SERVICE_ACTIVITY
        is_series = record.recurrence is not None
        return RecordType.RECURRING_APPOINTMENT if is_series else RecordType.APPOINTMENT

    def values(self, record: Appointment, user: User) -> Values:
        people = attendees.values_of(record)
        if record.kind == Appointment.Kind.SERVICE_ACTIVITY:  # whoever has a copy (3F)
            address, name = user.email.lower(), user.get_full_name()
            people["organizer"] = {"address": address, "name": name} if address else None
        return {
            "subject": text_of(record.subject),
            "body": text_of(record.description),
            "location": text_of(record.location),
            "importance": importance_of(record.priority),
            "time": {
                "start": moment_of(record.starts_at),
                "end": moment_of(record.ends_at),
                "all_day": record.is_all_day,
                "zone": canonical(record.time_zone),
            },
            "show_as": APPOINTMENT_STATUSES[record.status].said,
            "regarding": regarding_of(record),
            "reminder": _reminder(record),
            "recurrence": record.recurrence,
            "attachments": _attachments(record),
            **people,
            **{f"{OCCURRENCE}{day}": value for day, value in sorted(record.occurrences.items())},
        }

    def apply(self, record: Appointment, values: Values, user: User) -> None:
        """Write some values; of an attachment whose content is not stored, nothing is."""
        columns = _written(record, values)
        for column, value in columns.items():
            setattr(record, column, value)
        if columns:
            record.save(update_fields=columns)
        if attendees.NAMES & values.keys():
            attendees.write(record, values, self._addresses)
            _load_parts([record])
        if "attachments" in values:
            _write_attachments(record, values["attachments"])
            _load_parts([record])

    def create_all(self, items: Sequence[tuple[Values, UUID]], user: User) -> list[Appointment]:
        self._addresses.prepare(address for values, _ in items for address in attendees.of(values))
        made = []
        for values, key in items:
            # Whoever made the item has set its reminder, or none.
            record = Appointment(pk=key, owner=user, reminder_minutes=values.get("reminder"))
            for column, value in _written(record, values).items():
                setattr(record, column, value)
            made.append(record)
        Appointment.objects.bulk_create(made)
        attendees.create(made, [values for values, _ in items], self._addresses)
        _attach(
            (record, one)
            for record, (values, _) in zip(made, items, strict=True)
            for one in values.get("attachments", ())
        )
        _load_parts(made)
        return made

    def prepare(self, values: Iterable[Values]) -> None:
        """Look up whose the addresses of many appointments are, all at once."""
        self._addresses.prepare(address for one in values for address in attendees.of(one))

    def learn_uids(self, learning: Sequence[tuple[Appointment, str]]) -> None:
        """Let appointments know how Exchange calls them in all calendars."""
        for record, uid in learning:
            record.uid = uid
        Appointment.objects.bulk_update([record for record, _ in learning], ["uid"])

    def organizer_id(self, record: Appointment) -> int | None:
        """Return the user who called it; None: it is none of ours."""
        organizer = attendees.organizer_of(record)
        return organizer.user_id if organizer is not None else None

    def cancel(self, record: Appointment) -> None:
        """Call an appointment off."""
        record.status = Appointment.Status.CANCELED
        record.save(update_fields=["status"])

    def _rows(self) -> "models.QuerySet[Appointment]":
        return Appointment.objects.prefetch_related(*_PREFETCHED)


def _load_parts(records: list[Appointment]) -> None:
    for record in records:
        vars(record).pop("_prefetched_objects_cache", None)
    prefetch_related_objects(records, *_PREFETCHED)


def _written(record: Appointment, values: Values) -> dict[str, Any]:
    written: dict[str, Any] = {}
    occurrences = dict(record.occurrences)
    for name, value in values.items():
        if not name.startswith(OCCURRENCE):
            written |= _columns_of(record, name, value)
        elif value is None:
            occurrences.pop(name.removeprefix(OCCURRENCE), None)
        else:
            occurrences[name.removeprefix(OCCURRENCE)] = value
    if occurrences != record.occurrences:
        written["occurrences"] = occurrences
    return written


def _columns_of(record: Appointment, name: str, value: Value) -> dict[str, Any]:
    match name:
        case "subject" | "location":
            return {name: fitting(Appointment, name, value)}
        case "body":
            return {"description": text_of(value)}
        case "importance":
            return {"priority": priority_of(value)}
        case "time" if value is not None:
            return {
                "starts_at": datetime.fromisoformat(value["start"]),
                "ends_at": datetime.fromisoformat(value["end"]),
                "is_all_day": value["all_day"],
                "time_zone": _zone_of(record, value["zone"]),
            }
        case "show_as":
            return {"status": appointment_code(value, record.status)}
        case "regarding":
            return regarding_columns(value)
        case "recurrence":
            return {"recurrence": value}
    return {}  # what people and attachments say is told elsewhere; a reminder is Exchange's own


def _zone_of(record: Appointment, name: str) -> str:
    """Return the zone that a record gets; its own name stays for what is the same to Windows."""
    return record.time_zone if canonical(record.time_zone) == canonical(name) else name


def _reminder(record: Appointment) -> int | None:
    """Return the reminder that it gets in Exchange (3G); a series goes on being reminded of."""
    now, status = timezone.now(), APPOINTMENT_STATUSES[record.status]
    return meeting.reminder(
        record.reminder_minutes,
        is_open=status.state.is_open,
        show_as=status.said,
        starts_at=record.starts_at if record.recurrence is None else now,
        now=now,
    )


def _attachments(record: Appointment) -> list[dict[str, Value]]:
    found = [
        {"name": one.filename, "size": one.size, "digest": one.body_id}
        for one in record.attachments.all()
    ]
    return sorted(found, key=lambda one: (one["name"], one["digest"]))


def _write_attachments(record: Appointment, wanted: list[dict[str, Value]]) -> None:
    new = {(one["name"], one["digest"]): one for one in wanted}
    gone = [
        one.pk
        for one in record.attachments.all()
        if new.pop((one.filename, one.body_id), None) is None
    ]
    record.attachments.filter(pk__in=gone).delete()
    _attach((record, one) for one in new.values())


def _attach(files: Iterable[tuple[Appointment, dict[str, Value]]]) -> None:
    """Attach files whose contents are there; of what is brought back, some may never have been."""
    wanted = list(files)
    if not wanted:
        return
    contents = AttachmentContent.objects.filter(digest__in={one["digest"] for _, one in wanted})
    there = set(contents.values_list("digest", flat=True))
    AppointmentAttachment.objects.bulk_create(
        _attachment(record, one) for record, one in wanted if one["digest"] in there
    )


def _attachment(record: Appointment, value: dict[str, Value]) -> AppointmentAttachment:
    return AppointmentAttachment(
        appointment=record,
        body_id=value["digest"],
        filename=value["name"],
        content_type=mimetypes.guess_type(value["name"])[0] or "application/octet-stream",
        size=value["size"],
    )
