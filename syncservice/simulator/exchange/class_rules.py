"""What the server adds to items of each class, and what it refuses."""

import re
import uuid
from datetime import UTC, timedelta

from syncservice.simulator.exchange.contact_rules import complete_contact
from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.moments import now, read_moment, write_moment, zone
from syncservice.simulator.exchange.recurrence import series_of
from syncservice.simulator.exchange.task_rules import complete_task
from syncservice.simulator.exchange.values import Fragment, Values, text_in, zone_id

LONGEST_APPOINTMENT = timedelta(days=5 * 366)
#: Element -> the start of the class of the folders it may be created in, and the refusal.
FOLDER_RULES = {
    "CalendarItem": ("IPF.Appointment", "ErrorCannotCreateCalendarItemInNonCalendarFolder"),
    "Contact": ("IPF.Contact", "ErrorCannotCreateContactInNonContactFolder"),
    "Task": ("IPF.Task", "ErrorCannotCreateTaskInNonTaskFolder"),
}
DEFAULT_FOLDERS = {"CalendarItem": "calendar", "Contact": "contacts", "Task": "tasks"}


def complete_new(item: Item, mailbox: Mailbox) -> None:
    """Give a new item what its class always has, or refuse it."""
    values = item.values
    if item.element == "CalendarItem":
        start = now().replace(minute=0, second=0)
        values.setdefault("Start", write_moment(start))
        values.setdefault("End", write_moment(read_moment(text_in(values, "Start"))))
        values.setdefault("UID", uuid.uuid4().hex.upper())
        values["Organizer"] = (mailbox.owner,)
        check_times(values)
        align_all_day(values)
        settle_series(values, {})
    elif item.element == "Contact":
        complete_contact(values)
    elif item.element == "Task":
        values.setdefault("Owner", mailbox.name)
        complete_task(values)


def check_times(values: Values) -> None:
    """Refuse an appointment that ends before it starts, or never."""
    start, end = read_moment(text_in(values, "Start")), read_moment(text_in(values, "End"))
    if end < start:
        raise EwsError("ErrorCalendarEndDateIsEarlierThanStartDate")
    if end - start > LONGEST_APPOINTMENT:
        raise EwsError("ErrorCalendarDurationIsTooLong")


def align_all_day(values: Values) -> None:
    """Stretch an all-day event to midnights of its zone."""
    if text_in(values, "IsAllDayEvent") != "true":
        return
    local = zone(zone_id(values.get("StartTimeZone"))) or UTC
    start = read_moment(text_in(values, "Start")).astimezone(local)
    end = read_moment(text_in(values, "End")).astimezone(local)
    first = start.replace(hour=0, minute=0, second=0)
    last = end.replace(hour=0, minute=0, second=0)
    if last < end or last == first:
        last += timedelta(days=1)  # local midnight again, whatever the clocks do
    values["Start"], values["End"] = write_moment(first), write_moment(last)


def settle_series(values: Values, before: Values) -> None:
    """Let the master of a series stand at its first occurrence, or refuse its recurrence.

    `before` is what it was; empty for a new one. A master that is moved alone takes its series with
    it.
    """
    recurrence = values.get("Recurrence")
    if isinstance(recurrence, Fragment) and recurrence == before.get("Recurrence"):
        local = zone(zone_id(values.get("StartTimeZone"))) or UTC
        was, is_now = (
            read_moment(text_in(one, "Start")).astimezone(local).date() for one in (before, values)
        )
        if was != is_now:
            xml = re.sub("<t:StartDate>[^<]*", f"<t:StartDate>{is_now}", recurrence.xml)
            values["Recurrence"] = Fragment(xml)
    series = series_of(values)
    if series is None:
        return
    first = next(series.slots(), None)
    if first is None:
        raise EwsError("ErrorRecurrenceHasNoOccurrence")
    values |= {"Start": write_moment(first.start), "End": write_moment(first.end)}
