"""Finds the appointments of a mailbox that overlap what their owner does in the CRM (3H)."""

from collections.abc import Iterable

from django.db import connection

from syncservice.crm.models import Appointment
from syncservice.domain.item_values import ItemKind
from syncservice.servers.gateway import Item
from syncservice.sync.items.book import Book

# The user's appointments are looked for once, however many are asked about.
_OVERLAPPING = """
SELECT asked.place
FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[])
  WITH ORDINALITY AS asked (starts_at, ends_at, place)
WHERE EXISTS (
  SELECT FROM crm_appointment AS taken
    JOIN crm_appointmentparty AS party ON party.appointment_id = taken.id
  WHERE party.user_id = %(user)s AND taken.recurrence IS NULL AND taken.status = ANY(%(busy)s)
    AND taken.starts_at < asked.ends_at AND taken.ends_at > asked.starts_at
)
"""
_BUSY = [Appointment.Status.BUSY, Appointment.Status.OUT_OF_OFFICE]


def overlapping(book: Book, items: Iterable[Item]) -> set[str]:
    """Return the ids of items that nobody should track unasked; a series is never compared."""
    if book.kind is not ItemKind.APPOINTMENT or not book.organisation.checks_scheduling_conflicts:
        return set()
    asked = [
        item
        for item in items
        if item.values["time"]
        and item.values["show_as"] != "free"
        and item.values["recurrence"] is None
    ]
    if not asked:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            _OVERLAPPING,
            {
                "starts": [item.values["time"]["start"] for item in asked],
                "ends": [item.values["time"]["end"] for item in asked],
                "user": book.user.pk,
                "busy": [int(status) for status in _BUSY],
            },
        )
        return {asked[place - 1].item_id for (place,) in cursor.fetchall()}
