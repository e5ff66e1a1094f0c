"""Names and values of `domain.item_values` in the words of people."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from syncservice.alerts.item_failures import MASK
from syncservice.domain.item_values import DELETED, OCCURRENCE, Value
from syncservice.domain.merge import ATTENDEE
from syncservice.domain.time_zones import clock_of

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

#: By a value's name; of the same words as the columns of the records have.
_NAMES: "dict[str, _StrPromise]" = {
    "anniversary": gettext_lazy("anniversary"),
    "assistant": gettext_lazy("assistant"),
    "assistant_phone": gettext_lazy("assistant's phone"),
    "attachments": gettext_lazy("attachments"),
    "birthday": gettext_lazy("birthday"),
    "body": gettext_lazy("description"),
    "business_address": gettext_lazy("business address"),
    "business_fax": gettext_lazy("fax"),
    "business_phone": gettext_lazy("business phone"),
    "business_phone2": gettext_lazy("second business phone"),
    "callback": gettext_lazy("callback number"),
    "children": gettext_lazy("children's names"),
    "company": gettext_lazy("company"),
    "company_phone": gettext_lazy("company's phone"),
    "completed": gettext_lazy("completed on"),
    "department": gettext_lazy("department"),
    "due": gettext_lazy("due"),
    "email1": gettext_lazy("email address"),
    "email2": gettext_lazy("second email address"),
    "email3": gettext_lazy("third email address"),
    "ftp_site": gettext_lazy("FTP site"),
    "full_name": gettext_lazy("full name"),
    "government_id": gettext_lazy("government id"),
    "home_address": gettext_lazy("home address"),
    "home_phone": gettext_lazy("home phone"),
    "home_phone2": gettext_lazy("second home phone"),
    "importance": gettext_lazy("priority"),
    "job_title": gettext_lazy("job title"),
    "location": gettext_lazy("location"),
    "manager": gettext_lazy("manager"),
    "mobile": gettext_lazy("mobile phone"),
    "nickname": gettext_lazy("nickname"),
    "notes": gettext_lazy("description"),
    "optional": gettext_lazy("optional attendees"),
    "organizer": gettext_lazy("organizer"),
    "other_address": gettext_lazy("other address"),
    "other_phone": gettext_lazy("other phone"),
    "pager": gettext_lazy("pager"),
    "percent_complete": gettext_lazy("percent complete"),
    "recurrence": gettext_lazy("recurrence"),
    "regarding": gettext_lazy("regarding"),
    "reminder": gettext_lazy("reminder"),
    "required": gettext_lazy("required attendees"),
    "responses": gettext_lazy("responses"),
    "show_as": gettext_lazy("show time as"),
    "spouse": gettext_lazy("spouse or partner"),
    "start": gettext_lazy("start"),
    "status": gettext_lazy("status"),
    "subject": gettext_lazy("subject"),
    "time": gettext_lazy("time"),
    "web_page": gettext_lazy("website"),
    "yomi_first": gettext_lazy("first name as it sounds"),
    "yomi_last": gettext_lazy("last name as it sounds"),
}

#: What stands for a word, in the values that have few of them; of an attendee: the role.
_WORDS: "dict[str, dict[str, _StrPromise]]" = {
    "importance": {
        "low": gettext_lazy("low"),
        "normal": gettext_lazy("normal"),
        "high": gettext_lazy("high"),
    },
    "show_as": {
        "free": gettext_lazy("free"),
        "tentative": gettext_lazy("tentative"),
        "busy": gettext_lazy("busy"),
        "out_of_office": gettext_lazy("out of office"),
        "elsewhere": gettext_lazy("working elsewhere"),
    },
    "status": {
        "not_started": gettext_lazy("not started"),
        "in_progress": gettext_lazy("in progress"),
        "completed": gettext_lazy("completed"),
        "waiting": gettext_lazy("waiting for someone else"),
        "deferred": gettext_lazy("deferred"),
    },
    ATTENDEE: {
        "required": gettext_lazy("required attendee"),
        "optional": gettext_lazy("optional attendee"),
    },
}


def name_of(name: str, *, is_masked: bool = False) -> str:
    """Say what a value is called; of a conflict, too, which may be about one attendee.

    `is_masked`: the reader is not to learn whose attendance it is.
    """
    if name.startswith(ATTENDEE):
        address = MASK if is_masked else name.removeprefix(ATTENDEE)
        return _("attendee %(address)s") % {"address": address}
    if name.startswith(OCCURRENCE):
        return _("occurrence of %(day)s") % {"day": name.removeprefix(OCCURRENCE)}
    return str(_NAMES.get(name, name))


def text_of(value: Value, name: str = "") -> str:
    """Say a value in one line or, as long texts have them, several; '' is nothing.

    Some values are codes, of which the words depend on the value's `name`.
    """
    words = _WORDS.get(ATTENDEE if name.startswith(ATTENDEE) else name, {})
    if isinstance(value, str) and value in words:
        return str(words[value])
    if value is None or value == DELETED:
        return ""
    if isinstance(value, list):
        return ", ".join(text_of(one) for one in value)
    if not isinstance(value, dict):
        return str(value)
    if {"time", "recurrence"} == value.keys():
        return "; ".join(filter(None, (text_of(value["time"]), text_of(value["recurrence"]))))
    if {"start", "end", "zone"} <= value.keys():
        return _time(value)
    if "address" in value:
        who, address = value.get("name"), value["address"]
        return f"{who} <{address}>" if who else str(address)
    if "pattern" in value:
        return _recurrence(value)
    return ", ".join(str(said) for said in value.values() if said)


def _time(value: dict[str, Any]) -> str:
    """Say when something is on the clock of its zone; without one, in UTC."""
    zone = value["zone"] or "UTC"
    starts, ends = (
        datetime.fromisoformat(value[name]).astimezone(clock_of(zone)) for name in ("start", "end")
    )
    if value.get("all_day"):
        return f"{starts:%Y-%m-%d} – {ends:%Y-%m-%d} ({zone})"
    last = f"{ends:%H:%M}" if starts.date() == ends.date() else f"{ends:%Y-%m-%d %H:%M}"
    return f"{starts:%Y-%m-%d %H:%M} – {last} ({zone})"


def _recurrence(value: dict[str, Any]) -> str:
    interval = value.get("interval", 1)
    pattern = value["pattern"] if interval == 1 else f"{value['pattern']} (1/{interval})"
    until = value.get("ends_on") or (f"{value['count']}×" if value.get("count") else "")
    days = ", ".join(value.get("weekdays") or ())
    return f"{' '.join(filter(None, (pattern, days)))}, {value['starts_on']} – {until}".rstrip()
