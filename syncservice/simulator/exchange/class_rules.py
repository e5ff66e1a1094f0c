"""What the server adds to items of each class, and what it refuses."""

import uuid
from datetime import timedelta

from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.moments import now, read_moment, write_moment, zone
from syncservice.simulator.exchange.values import Fragment, Value

LONGEST_APPOINTMENT = timedelta(days=5 * 366)
#: Element -> the start of the class of the folders it may be created in, and the refusal.
FOLDER_RULES = {
    "CalendarItem": ("IPF.Appointment", "ErrorCannotCreateCalendarItemInNonCalendarFolder"),
    "Contact": ("IPF.Contact", "ErrorCannotCreateContactInNonContactFolder"),
    "Task": ("IPF.Task", "ErrorCannotCreateTaskInNonTaskFolder"),
}
DEFAULT_FOLDERS = {"CalendarItem": "calendar", "Contact": "contacts", "Task": "tasks"}

#: FileAsMapping -> the properties it puts together, and what stands between them.
FILED_AS = {
    "LastCommaFirst": (("Surname", "GivenName"), ", "),
    "FirstSpaceLast": (("GivenName", "Surname"), " "),
    "LastSpaceFirst": (("Surname", "GivenName"), " "),
    "Company": (("CompanyName",), ""),
    "FirstName": (("GivenName",), ""),
    "LastName": (("Surname",), ""),
}

Values = dict[str, Value]


def complete_new(item: Item, mailbox: Mailbox) -> None:
    """Give a new item what its class always has, or refuse it."""
    values = item.values
    if item.element == "CalendarItem":
        start = now().replace(minute=0, second=0)
        values.setdefault("Start", write_moment(start))
        values.setdefault("End", write_moment(read_moment(text(values, "Start"))))
        values.setdefault("UID", uuid.uuid4().hex.upper())
        values["Organizer"] = (mailbox.owner,)
        check_times(values)
        align_all_day(values)
    elif item.element == "Contact":
        parts = filter(None, (text(values, "GivenName"), text(values, "Surname")))
        name = " ".join(parts) or text(values, "CompanyName")
        values.setdefault("DisplayName", text(values, "FileAs") or name)
        values.setdefault("FileAs", filed_as(values) or text(values, "DisplayName"))
        values.setdefault("Subject", text(values, "DisplayName"))
    elif item.element == "Task":
        values.setdefault("Owner", mailbox.name)
        status = text(values, "Status")
        for name in ("PercentComplete", "CompleteDate"):
            if name in values:
                follow_task(values, name)
        if status not in ("", "NotStarted"):  # said, not what a task has anyway
            values["Status"] = status
            follow_task(values, "Status")


def filed_as(values: Values) -> str:
    """What a new contact's FileAsMapping makes of its name; empty without one that we know."""
    parts, separator = FILED_AS.get(text(values, "FileAsMapping"), ((), ""))
    return separator.join(filter(None, (text(values, part) for part in parts)))


def text(values: Values, key: str) -> str:
    """A plain value; empty if it is not set."""
    value = values.get(key)
    return value if isinstance(value, str) else ""


def check_times(values: Values) -> None:
    """Refuse an appointment that ends before it starts, or never."""
    start, end = read_moment(text(values, "Start")), read_moment(text(values, "End"))
    if end < start:
        raise EwsError("ErrorCalendarEndDateIsEarlierThanStartDate")
    if end - start > LONGEST_APPOINTMENT:
        raise EwsError("ErrorCalendarDurationIsTooLong")


def align_all_day(values: Values) -> None:
    """Stretch an all-day event to midnights of its zone."""
    if text(values, "IsAllDayEvent") != "true":
        return
    definition = values.get("StartTimeZone")
    name = definition.xml.split('"')[1] if isinstance(definition, Fragment) else "UTC"
    local = zone(name) or zone("UTC")
    start = read_moment(text(values, "Start")).astimezone(local)
    end = read_moment(text(values, "End")).astimezone(local)
    first = start.replace(hour=0, minute=0, second=0)
    last = end.replace(hour=0, minute=0, second=0)
    if last < end or last == first:
        last += timedelta(days=1)  # local midnight again, whatever the clocks do
    values["Start"], values["End"] = write_moment(first), write_moment(last)


def follow_task(values: dict[str, Value], name: str) -> None:
    """Let Status, PercentComplete and CompleteDate agree, after `name` was set (or deleted)."""
    value = text(values, name)
    if name == "Status":
        if value == "Completed":
            complete(values)
        elif value:
            reopen(values, value, "0" if value == "NotStarted" else "")
    elif name == "PercentComplete":
        percent = float(value or 0)
        if not 0 <= percent <= 100:
            raise EwsError("ErrorInvalidPercentCompleteValue")
        if percent == 100:
            complete(values)
        else:
            reopen(values, "InProgress" if percent else "NotStarted", value or "0")
    elif value:
        if read_moment(value) > now() + timedelta(days=1):
            raise EwsError("ErrorInvalidCompleteDate")
        complete(values)
    elif text(values, "Status") == "Completed":
        reopen(values, "NotStarted", "0")


def complete(values: Values) -> None:
    """Mark a task done."""
    if not text(values, "CompleteDate"):
        values["CompleteDate"] = write_moment(now().replace(hour=0, minute=0, second=0))
    values |= {"Status": "Completed", "PercentComplete": "100", "IsComplete": "true"}


def reopen(values: Values, status: str, percent: str) -> None:
    """Mark a task as not done; no percentage: keep it, unless it was all."""
    values.pop("CompleteDate", None)
    if not percent:
        percent = text(values, "PercentComplete")
        percent = "0" if percent == "100" else percent or "0"
    values |= {"Status": status, "PercentComplete": percent, "IsComplete": "false"}
