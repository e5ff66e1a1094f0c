"""Appointments: which value is kept in which property (REFERENCE 3F).

Who called a meeting and what its attendees answered can be read only.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from exchangelib.util import create_element

from syncservice.domain.item_values import Value
from syncservice.domain.recurrence import Recurrence
from syncservice.domain.time_zones import iana_name, windows_id
from syncservice.servers.exchange.answers import sendable
from syncservice.servers.exchange.fields import (
    IMPORTANCE,
    REGARDING,
    SUBJECT,
    Field,
    body,
    choice,
    is_true,
    text,
    text_at,
    written_moment,
)
from syncservice.servers.exchange.properties import Element, Parts, Plain, Property, Setting, named
from syncservice.servers.exchange.series import element_of, recurrence_of

START, END = Plain("calendar:Start"), Plain("calendar:End")
LOCATION = Plain("calendar:Location")
UID, IS_MEETING = Plain("calendar:UID"), Plain("calendar:IsMeeting")
IS_CANCELLED, MY_RESPONSE = Plain("calendar:IsCancelled"), Plain("calendar:MyResponseType")
MODIFIED = Plain("calendar:ModifiedOccurrences")
DELETED_ONES = Plain("calendar:DeletedOccurrences")
_ALL_DAY = Plain("calendar:IsAllDayEvent")
_START_ZONE, _END_ZONE = Plain("calendar:StartTimeZone"), Plain("calendar:EndTimeZone")
_ORGANIZER, _RECURRENCE = Plain("calendar:Organizer"), Plain("calendar:Recurrence")
_REQUIRED = Plain("calendar:RequiredAttendees")
_OPTIONAL = Plain("calendar:OptionalAttendees")
_REMINDS = Plain("item:ReminderIsSet")
_MINUTES = Plain("item:ReminderMinutesBeforeStart")
_RESPONSES = {"Accept": "accepted", "Tentative": "tentative", "Decline": "declined"}
_HALF_DAY, _DAY = timedelta(hours=12), timedelta(days=1)


def _time() -> Field:
    def read(item: Parts) -> Value:
        start, end = (written_moment(text_at(item, at)) for at in (START, END))
        zone = item.get(_START_ZONE.place)
        return start and {
            "start": start,
            "end": end or start,
            "all_day": is_true(item, _ALL_DAY),
            "zone": iana_name(zone.get("Id") or "") if zone is not None else "",
        }

    def settings(value: Value) -> Iterator[Setting]:
        if value is None:
            return
        zone, start, end = windows_id(value["zone"]), value["start"], value["end"]
        if value["all_day"] and not zone:
            zone, start, end = "UTC", _midnight(start), _midnight(end)
        yield START, start
        yield END, end
        yield _ALL_DAY, "true" if value["all_day"] else "false"
        if zone:  # else a new item has UTC, and an old one keeps its own
            for at in (_START_ZONE, _END_ZONE):
                yield at, create_element(f"t:{at.top}", attrs={"Id": zone})

    return Field("time", (START, END, _ALL_DAY, _START_ZONE), read, settings)


def _midnight(text: str) -> str:
    """Return the midnight of UTC that is nearest to one of a zone that Exchange doesn't have."""
    later = datetime.fromisoformat(text) + _HALF_DAY
    return later.strftime("%Y-%m-%dT00:00:00Z")


def _organizer() -> Field:
    def read(item: Parts) -> Value:
        found = item.get(_ORGANIZER.place)
        return _person(found) if found is not None and _address(found) else None

    return Field("organizer", (_ORGANIZER,), read, lambda _: ())


def _attendees(name: str, at: Plain) -> Field:
    def read(item: Parts) -> Value:
        people = {_address(one): _person(one) for one in _listed(item, at)}
        return [people[address] for address in sorted(people) if address]

    def settings(value: Value) -> Iterator[Setting]:
        listed = create_element(f"t:{at.top}")
        for person in value:
            attendee, mailbox = create_element("t:Attendee"), create_element("t:Mailbox")
            for tag, said in (("Name", person["name"]), ("EmailAddress", person["address"])):
                if sendable(said):
                    child = create_element(f"t:{tag}")
                    child.text = sendable(said)
                    mailbox.append(child)
            attendee.append(mailbox)
            listed.append(attendee)
        yield at, listed if len(listed) else None

    return Field(name, (at,), read, settings)


def _responses() -> Field:
    def read(item: Parts) -> Value:
        return {
            _address(one): _RESPONSES.get(one.findtext(named("ResponseType")) or "", "none")
            for at in (_REQUIRED, _OPTIONAL)
            for one in _listed(item, at)
            if _address(one)
        }

    return Field("responses", (_REQUIRED, _OPTIONAL), read, lambda _: ())


def own_response(item: Parts) -> str:
    """Read what the mailbox's owner answered to somebody else's meeting."""
    return _RESPONSES.get(text_at(item, MY_RESPONSE), "none")


def is_organizer(item: Parts) -> bool:
    return not is_true(item, IS_MEETING) or text_at(item, MY_RESPONSE) == "Organizer"


def _listed(item: Parts, at: Plain) -> Iterator[Element]:
    yield from item.get(at.place, ())


def _address(holder: Element) -> str:
    """Read the address of the mailbox in an element."""
    found = holder.findtext(f"{named('Mailbox')}/{named('EmailAddress')}") or ""
    return str(found).strip().lower()


def _person(holder: Element) -> Mapping[str, Value]:
    name = holder.findtext(f"{named('Mailbox')}/{named('Name')}") or ""
    return {"address": _address(holder), "name": name.strip()}


def _reminder() -> Field:
    def read(item: Parts) -> Value:
        minutes = text_at(item, _MINUTES)
        return int(minutes) if is_true(item, _REMINDS) and minutes else None

    def settings(value: Value) -> Iterator[Setting]:
        yield _REMINDS, "false" if value is None else "true"
        if value is not None:
            yield _MINUTES, str(value)

    return Field("reminder", (_REMINDS, _MINUTES), read, settings)


def _recurrence() -> Field:
    def read(item: Parts) -> Value:
        found = item.get(_RECURRENCE.place)
        return recurrence_of(found).as_value() if found is not None else None

    def settings(value: Value) -> Iterator[Setting]:
        yield _RECURRENCE, element_of(Recurrence.of_value(value)) if value else None

    return Field("recurrence", (_RECURRENCE,), read, settings)


def _attachments() -> Field:
    """Known by their contents, which `item_files` fetches where that is wanted (F191)."""
    return Field("attachments", (), lambda _: [], lambda _: ())


CALENDAR_FIELDS: tuple[Field, ...] = (
    SUBJECT,
    body("body"),
    text("location", LOCATION),
    IMPORTANCE,
    _time(),
    _recurrence(),
    choice(
        "show_as",
        Plain("calendar:LegacyFreeBusyStatus"),
        {
            "Free": "free",
            "Tentative": "tentative",
            "Busy": "busy",
            "OOF": "out_of_office",
            "WorkingElsewhere": "elsewhere",
        },
        "busy",
    ),
    _organizer(),
    _attendees("required", _REQUIRED),
    _attendees("optional", _OPTIONAL),
    _responses(),
    REGARDING,
    _reminder(),
    _attachments(),
)
#: What is read besides the fields.
CALENDAR_FACTS: tuple[Property, ...] = (
    UID,
    IS_MEETING,
    IS_CANCELLED,
    MY_RESPONSE,
    MODIFIED,
    DELETED_ONES,
)
