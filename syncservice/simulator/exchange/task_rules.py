"""How the status, the progress and the dates of a task hang together, and when it recurs."""

from datetime import UTC, date, datetime, time, timedelta

from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.moments import now, read_moment, write_moment
from syncservice.simulator.exchange.recurrence import next_date
from syncservice.simulator.exchange.values import Fragment, Values, text_in

#: In the order of the schema, in which they are applied: the last one wins.
PROGRESS = ("CompleteDate", "PercentComplete", "Status")
DATES = ("StartDate", "DueDate", "ReminderDueBy")


def complete_task(values: Values) -> None:
    """Let the properties of a new task agree."""
    for name, value in [(name, values[name]) for name in PROGRESS if name in values]:
        values[name] = value  # also if one before it said otherwise
        follow_task(values, name)
    follow_dates(values)
    recurrence = values.get("Recurrence")
    if isinstance(recurrence, Fragment):
        next_date(recurrence.xml, date.min, date.min)  # refuses a wrong one


def follow_dates(values: Values) -> None:
    """A task that starts is due, on the day it starts if on no other."""
    if text_in(values, "StartDate"):
        values.setdefault("DueDate", text_in(values, "StartDate"))


def advance(values: Values) -> Values | None:
    """The values of a recurring task whose turn is done, for the next one; None: it was the last.

    The next turn of a task that regenerates is counted from the day it was done on.
    """
    recurrence = values.get("Recurrence")
    due = text_in(values, "DueDate") or text_in(values, "StartDate")
    if not isinstance(recurrence, Fragment):
        return None
    # Days are written as midnights of somewhere: the nearest one in UTC.
    noon = timedelta(hours=12)
    today = now().date()
    day = (read_moment(due) + noon).date() if due else today
    following = next_date(recurrence.xml, day, today)
    if following is None:
        return None
    found = dict(values)
    for key in DATES:
        if text_in(values, key):
            found[key] = write_moment(read_moment(text_in(values, key)) + (following - day))
    if not due:
        found["DueDate"] = write_moment(datetime.combine(following, time(), UTC))
    reopen(found, "NotStarted", "0")
    return found


def follow_task(values: Values, name: str) -> None:
    """Let Status, PercentComplete and CompleteDate agree, after `name` was set (or deleted)."""
    value = text_in(values, name)
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
    elif text_in(values, "Status") == "Completed":
        reopen(values, "NotStarted", "0")


def complete(values: Values) -> None:
    """Mark a task done."""
    if not text_in(values, "CompleteDate"):
        values["CompleteDate"] = write_moment(now().replace(hour=0, minute=0, second=0))
    values |= {"Status": "Completed", "PercentComplete": "100", "IsComplete": "true"}


def reopen(values: Values, status: str, percent: str) -> None:
    """Mark a task as not done; no percentage: keep it, unless it was all."""
    values.pop("CompleteDate", None)
    if not percent:
        percent = text_in(values, "PercentComplete")
        percent = "0" if percent == "100" else percent or "0"
    values |= {"Status": status, "PercentComplete": percent, "IsComplete": "false"}
