"""An appointment as iCalendar (RFC 5545) and back: what Exchange calls its MimeContent.

One event and the definition of its zone, without its attendees, as Exchange writes it for EWS.
A series is written with its rule and what was changed of it; a text that has one is refused rather
than cut down to its first day.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from syncservice.simulator.exchange.errors import EwsError, SoapFault
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.moments import (
    WINDOWS_NAMES,
    now,
    read_moment,
    write_moment,
    zone,
)
from syncservice.simulator.exchange.occurrences import occurrence
from syncservice.simulator.exchange.recurrence import Series, series_of
from syncservice.simulator.exchange.values import (
    Address,
    Attendee,
    Body,
    Value,
    plain_text,
    zone_definition,
    zone_id,
)
from syncservice.simulator.exchange.zones import changes, offset_in

HEAD = ("BEGIN:VCALENDAR", "METHOD:PUBLISH", "PRODID:Exchange simulator", "VERSION:2.0")
SENSITIVITIES = {
    "PUBLIC": "Normal",
    "X-PERSONAL": "Personal",
    "PRIVATE": "Private",
    "CONFIDENTIAL": "Confidential",
}
PRIORITIES = {"1": "High", "5": "Normal", "9": "Low"}
BUSY = {"FREE": "Free", "TENTATIVE": "Tentative", "BUSY": "Busy", "OOF": "OOF"}
NOT_SIMULATED = ("RRULE", "RDATE", "RECURRENCE-ID", "DURATION")
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
ESCAPES = {"\\": "\\\\", ";": "\\;", ",": "\\,", "\n": "\\n"}
#: name, parameters, value; a quoted parameter may hold a colon.
LINE = re.compile(r'([\w-]+)((?:;[\w-]+=(?:"[^"]*"|[^":;]*))*):(.*)')
LONGEST_LINE = 75  # octets
FIRST_YEAR = datetime(1601, 1, 1, tzinfo=UTC)  # from which Exchange lets rules hold


def write_icalendar(item: Item) -> bytes:
    """The appointment's text."""
    lines = [*HEAD, *zone_lines(item)]
    for event in (item, *changed_occurrences(item)):
        lines += ["BEGIN:VEVENT", *event_lines(event)]
        if event.is_set("ReminderIsSet"):
            minutes = event.text("ReminderMinutesBeforeStart", "15")
            lines += ["BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:REMINDER"]
            lines += [f"TRIGGER;RELATED=START:-PT{minutes}M", "END:VALARM"]
        lines += ["END:VEVENT"]
    lines += ["END:VCALENDAR", ""]
    return "\r\n".join(map(folded, lines)).encode("utf-8", "replace")


def event_lines(item: Item) -> Iterator[str]:
    """The event's properties."""
    body = item.get("Body")
    yield f"UID:{escaped(item.text('UID'))}"
    yield f"SUMMARY:{escaped(item.text('Subject'))}"
    yield f"DESCRIPTION:{escaped(plain_text(body) if isinstance(body, Body) else '')}"
    yield f"LOCATION:{escaped(item.text('Location'))}"
    for name in ("Start", "End"):
        yield f"DT{name.upper()}{local_moment(item, name)}"
    yield from series_lines(item)
    if item.text("RecurrenceId"):
        yield f"RECURRENCE-ID{local_moment(item, 'RecurrenceId')}"
    yield f"DTSTAMP:{basic(read_moment(item.text('LastModifiedTime') or write_moment(now())))}Z"
    yield f"CLASS:{key_of(SENSITIVITIES, item.text('Sensitivity', 'Normal'))}"
    yield f"PRIORITY:{key_of(PRIORITIES, item.text('Importance', 'Normal'))}"
    busy = key_of(BUSY, item.text("LegacyFreeBusyStatus", "Busy"), "BUSY")
    yield f"TRANSP:{'TRANSPARENT' if busy == 'FREE' else 'OPAQUE'}"
    yield f"X-MICROSOFT-CDO-BUSYSTATUS:{busy}"
    yield f"X-MICROSOFT-CDO-ALLDAYEVENT:{item.text('IsAllDayEvent', 'false').upper()}"
    categories = item.get("Categories")
    if isinstance(categories, tuple):
        yield f"CATEGORIES:{','.join(escaped(str(one)) for one in categories)}"


def series_lines(item: Item) -> Iterator[str]:
    """The rule of a series, and which of its occurrences were deleted."""
    series = series_of(item.values)
    if series is None:
        return
    for line in str(series.rule).splitlines():
        # RFC 5545 section 3.3.10: the end is in UTC where the start has a zone.
        if line.startswith("RRULE:"):
            yield re.sub(
                r"UNTIL=(\w+)", lambda found: f"UNTIL={last_moment(series, found[1])}", line
            )
    for slot in map(series.slot, sorted(item.dropped)):
        yield f"EXDATE{in_zone(item, slot.start)}"


def last_moment(series: Series, clock: str) -> str:
    """The moment of the clock of a series in UTC."""
    moment = datetime.fromisoformat(clock).replace(tzinfo=series.zone)
    return f"{basic(moment.astimezone(UTC))}Z"


def changed_occurrences(item: Item) -> list[Item]:
    """The occurrences of a series that differ from it."""
    return [occurrence(item, index) for index in sorted(item.exceptions)]


def key_of(words: dict[str, str], value: str, default: str = "") -> str:
    """The iCalendar word for a value of ours."""
    return next((word for word, ours in words.items() if ours == value), default)


def escaped(text: str) -> str:
    """Text as RFC 5545 section 3.3.11 has it."""
    return "".join(ESCAPES.get(one, one) for one in "\n".join(text.splitlines()))


def folded(line: str) -> str:
    """A line in pieces that are short enough, none of them within a character."""
    pieces, piece, size = [], "", 0
    for one in line:
        width = len(one.encode("utf-8", "replace"))
        if size + width > LONGEST_LINE:
            pieces.append(piece)
            piece, size = " ", 1
        piece, size = piece + one, size + width
    return "\r\n".join([*pieces, piece])


def basic(moment: datetime) -> str:
    """A moment without its zone."""
    return moment.strftime("%Y%m%dT%H%M%S")


# Zones


def local_moment(item: Item, name: str) -> str:
    """A moment in the appointment's zone, with the parameter that says so."""
    return in_zone(item, read_moment(item.text(name)))


def in_zone(item: Item, moment: datetime) -> str:
    """A moment in the appointment's zone, with the parameter that says so."""
    name = zone_id(item.get("StartTimeZone"))
    return f";TZID={name}:{basic(moment.astimezone(zone(name) or UTC))}"


def zone_lines(item: Item) -> Iterator[str]:
    """The definition of the appointment's zone, by its rules in the appointment's year."""
    name_of_zone = zone_id(item.get("StartTimeZone"))
    rules = zone(name_of_zone) or ZoneInfo("UTC")
    year = read_moment(item.text("Start")).year
    yield "BEGIN:VTIMEZONE"
    yield f"TZID:{name_of_zone}"
    for change in changes(rules, year):
        name = "DAYLIGHT" if change.is_daylight else "STANDARD"
        day = f"{change.week}{WEEKDAYS[change.weekday]}"
        yield f"BEGIN:{name}"
        yield f"DTSTART:{basic(FIRST_YEAR + change.clock)}"
        yield f"TZOFFSETFROM:{written_offset(change.before)}"
        yield f"TZOFFSETTO:{written_offset(change.after)}"
        yield f"RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY={day};BYMONTH={change.month}"
        yield f"END:{name}"
    if not changes(rules, year):
        offset = written_offset(offset_in(rules, year))
        yield "BEGIN:STANDARD"
        yield f"DTSTART:{basic(FIRST_YEAR)}"
        yield f"TZOFFSETFROM:{offset}"
        yield f"TZOFFSETTO:{offset}"
        yield "END:STANDARD"
    yield "END:VTIMEZONE"


def written_offset(length: timedelta) -> str:
    """An offset as RFC 5545 writes it."""
    minutes = int(length.total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"


# Reading


def read_icalendar(source: bytes) -> dict[str, Value]:
    """The properties of the one event in the text; ErrorUnsupportedMimeConversion for others."""
    lines = event_of(source)
    values: dict[str, Value] = {"ReminderIsSet": "false"}
    people: dict[str, list[Attendee]] = {}
    for name, parameters, text in lines:
        if name in NOT_SIMULATED:
            raise EwsError("ErrorUnsupportedMimeConversion", f"{name} is not simulated.")
        if name in ("DTSTART", "DTEND"):
            values |= read_when("Start" if name == "DTSTART" else "End", parameters, text)
        elif name == "ATTENDEE":
            key = "RequiredAttendees"
            if parameters.get("ROLE", "REQ-PARTICIPANT") != "REQ-PARTICIPANT":
                key = "OptionalAttendees"
            email = re.sub("(?i)^mailto:", "", text)
            attendee = Attendee(Address(parameters.get("CN", ""), email))
            people.setdefault(key, []).append(attendee)
        elif name == "TRIGGER":
            before = re.fullmatch(r"-PT?(\d+)([MHD])", text)
            length = {"M": 1, "H": 60, "D": 1440}
            minutes = int(before[1]) * length[before[2]] if before else 0
            values |= {"ReminderIsSet": "true", "ReminderMinutesBeforeStart": str(minutes)}
        else:
            values |= read_plain(name, text)
    if "Start" not in values:
        raise EwsError("ErrorMimeContentInvalid")
    for key, attendees in people.items():
        values[key] = tuple(attendees)
    return values


def event_of(source: bytes) -> list[tuple[str, dict[str, str], str]]:
    """The lines of the event, unfolded: name, parameters, value."""
    text = re.sub("\r?\n[ \t]", "", source.decode("utf-8", "replace"))
    events = re.findall(r"(?ms)^BEGIN:VEVENT\s*?$(.*?)^END:VEVENT", text)
    if len(events) != 1:
        raise EwsError("ErrorUnsupportedMimeConversion" if events else "ErrorMimeContentInvalid")
    found = []
    for line in filter(None, map(LINE.fullmatch, events[0].splitlines())):
        pairs = (one.partition("=") for one in re.findall('[^;"]+=(?:"[^"]*"|[^;]*)', line[2]))
        parameters = {key.upper(): value.strip('"') for key, _, value in pairs}
        found.append((line[1].upper(), parameters, line[3]))
    return found


def read_when(name: str, parameters: dict[str, str], text: str) -> dict[str, Value]:
    """Read DTSTART or DTEND: the moment, its zone, and whether it is a day."""
    name_of_zone = parameters.get("TZID", "UTC")
    name_of_zone = WINDOWS_NAMES.get(name_of_zone, name_of_zone)
    rules = zone(name_of_zone)
    if rules is None:
        try:
            rules = ZoneInfo(name_of_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise EwsError("ErrorTimeZone") from error
    try:
        moment = read_moment(text, rules)
    except SoapFault as error:
        raise EwsError("ErrorMimeContentInvalid") from error
    values: dict[str, Value] = {name: write_moment(moment)}
    if zone(name_of_zone):
        values[f"{name}TimeZone"] = zone_definition(f"{name}TimeZone", name_of_zone)
    if len(text) == len("20260504"):
        values["IsAllDayEvent"] = "true"
    return values


def read_plain(name: str, text: str) -> dict[str, Value]:
    """Read a property that is a word or a text; none for those we do not keep."""
    words = {
        "CLASS": ("Sensitivity", SENSITIVITIES),
        "PRIORITY": ("Importance", PRIORITIES),
        "X-MICROSOFT-CDO-BUSYSTATUS": ("LegacyFreeBusyStatus", BUSY),
    }
    if name in words:
        key, ours = words[name]
        return {key: ours[text.upper()]} if text.upper() in ours else {}
    if name == "X-MICROSOFT-CDO-ALLDAYEVENT":
        return {"IsAllDayEvent": "true" if text.upper() == "TRUE" else "false"}
    if name == "CATEGORIES":
        return {"Categories": tuple(map(plain, re.split(r"(?<!\\),", text)))}
    if name == "DESCRIPTION":
        return {"Body": Body(plain(text), False)}
    texts = {"UID": "UID", "SUMMARY": "Subject", "LOCATION": "Location"}
    return {texts[name]: plain(text)} if name in texts else {}


def plain(text: str) -> str:
    """Text without its escapes."""
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] in "nN" else found[1], text)
