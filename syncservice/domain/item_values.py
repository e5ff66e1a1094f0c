"""What an appointment, a contact or a task says, in the one form that both sides are put into.

Merging compares like with like: the CRM record and the Exchange item are each read into `Values`,
and what is to be written comes back as some of them. They are plain JSON, for the values that were
last synchronized are stored with the link.

Of a kind, every name of its table below is always there. Nothing is '' for text, [] for a list,
None for everything else. Text has "\\n" between its lines and no blanks at its end.
"""

import enum
from collections.abc import Mapping
from typing import Any

#: JSON only: str, int, bool, None, list, dict.
Value = Any
Values = Mapping[str, Value]


class ItemKind(enum.StrEnum):
    """What Exchange keeps apart: one folder and one class of items each."""

    APPOINTMENT = "appointment"
    CONTACT = "contact"
    TASK = "task"


#: The value of an occurrence that is left out of its series.
DELETED = "deleted"
#: Names of occurrences that differ from their series: "occurrence:2026-03-08", by the local date on
#: which the series has them. The value is DELETED, or a dict of what differs: "start", "end"
#: (moments, UTC, "2026-03-08T09:00:00Z"), "subject", "location".
OCCURRENCE = "occurrence:"

CONTACT_VALUES: Mapping[str, Value] = {
    #: {"first", "middle", "last"}: text; the reference's full name.
    "full_name": None,
    "nickname": "",
    "company": "",
    "job_title": "",
    "department": "",
    "email1": "",
    "email2": "",
    "email3": "",
    "business_phone": "",
    "business_phone2": "",
    "home_phone": "",
    "home_phone2": "",
    "mobile": "",
    "company_phone": "",
    "callback": "",
    "other_phone": "",
    "pager": "",
    "business_fax": "",
    "assistant": "",
    "assistant_phone": "",
    "manager": "",
    "spouse": "",
    "children": "",  # names, as people write them; Exchange's list joined by ", "
    "birthday": None,  # "1970-12-31"
    "anniversary": None,  # the same
    "government_id": "",
    "web_page": "",
    "ftp_site": "",
    "yomi_first": "",
    "yomi_last": "",
    "notes": "",
    #: {"street", "city", "state", "postal_code", "country"}: text; None when all are ''.
    "business_address": None,
    "home_address": None,
    "other_address": None,
}
TASK_VALUES: Mapping[str, Value] = {
    "subject": "",
    "notes": "",
    "start": None,  # a local date, "2026-03-01": Exchange's tasks have no time
    "due": None,  # the same
    "completed": None,  # the same
    "status": "not_started",  # in_progress, completed, waiting, deferred
    "percent_complete": 0,
    "importance": "normal",  # low, high
    "regarding": "",  # "contact:<key>": what it is about
    "reminder": None,  # a moment, "2026-03-01T09:00:00Z"
}
APPOINTMENT_VALUES: Mapping[str, Value] = {
    "subject": "",
    "body": "",
    "location": "",
    "importance": "normal",
    #: {"start", "end", "all_day", "zone"}: moments as "2026-03-01T09:00:00Z"; `zone` an IANA name,
    #: '' when nobody knows it. All-day: the midnights of its zone, the last one not included.
    #: Of a series: its first occurrence.
    "time": None,
    "show_as": "busy",  # free, tentative, busy, out_of_office, elsewhere
    #: {"address", "name"}; of whoever called the meeting.
    "organizer": None,
    "required": [],  # of {"address", "name"}, addresses in lower case, sorted by them, no doubles
    "optional": [],
    "responses": {},  # by address: none, tentative, accepted, declined
    "regarding": "",
    "reminder": None,  # minutes before the start
    #: As `domain.recurrence.Recurrence` is written; None: it happens once.
    "recurrence": None,
    "attachments": [],  # of {"name", "size", "digest"}: SHA-256, hexadecimal
}
VALUES: Mapping[ItemKind, Mapping[str, Value]] = {
    ItemKind.APPOINTMENT: APPOINTMENT_VALUES,
    ItemKind.CONTACT: CONTACT_VALUES,
    ItemKind.TASK: TASK_VALUES,
}


def text_of(text: str | None) -> str:
    """Give a text the form that it has in values."""
    lines = (text or "").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).rstrip()


def organizer_of(values: Values) -> str:
    """Return the address of who called a meeting, in lower case; '': nobody."""
    organizer = values.get("organizer")
    return str(organizer["address"]).lower() if organizer else ""


def subject_of(values: Values) -> str:
    """Return what people call it: the subject, or a contact's name."""
    name = values.get("full_name")
    if name:
        return " ".join(filter(None, (name["first"], name["middle"], name["last"])))
    return str(values.get("subject") or "")
