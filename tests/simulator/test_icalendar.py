"""An appointment's MimeContent is iCalendar, both ways."""

import base64

import pytest

from .conftest import Ask, get_request

EVENT = """BEGIN:VCALENDAR
BEGIN:VEVENT
UID:e-1@x
DTSTART;TZID="W. Europe Standard Time":20260504T090000
DTEND;TZID=Europe/Berlin:20260504T103000
SUMMARY:Planning\\, spring\\; and a subject that is longer than the seventy-five octets o
 f a line, für alle
CATEGORIES:Red,Two\\, words
CLASS:PRIVATE
ATTENDEE;ROLE=OPT-PARTICIPANT;CN="Bob: the builder":mailto:bob@example.test
BEGIN:VALARM
TRIGGER:-PT2H
END:VALARM
END:VEVENT
END:VCALENDAR
"""
PATHS = "".join(
    f'<t:FieldURI FieldURI="{one}"/>'
    for one in (
        "item:Subject",
        "item:Sensitivity",
        "item:Categories",
        "item:ReminderMinutesBeforeStart",
        "calendar:UID",
        "calendar:Start",
        "calendar:End",
        "calendar:OptionalAttendees",
    )
)
SUBJECT = (
    "Planning, spring; and a subject that is longer than the seventy-five octets of a line, "
    "für alle"
)


def create(text: str) -> str:
    mime = base64.b64encode(text.encode()).decode()
    return (
        '<m:CreateItem SendMeetingInvitations="SendToNone"><m:Items><t:CalendarItem>'
        f"<t:MimeContent>{mime}</t:MimeContent></t:CalendarItem></m:Items></m:CreateItem>"
    )


def written(ask: Ask, identity: str) -> list[str]:
    """The lines of an item's MimeContent."""
    [mime] = ask(get_request(identity, mime=True)).texts(".//t:MimeContent")
    text = base64.b64decode(mime).decode()
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    return text.replace("\r\n ", "").split("\r\n")


def test_an_event_becomes_an_appointment(ask: Ask) -> None:
    [identity] = ask(create(EVENT)).ids(".//t:ItemId")
    answer = ask(get_request(identity, paths=PATHS))
    item = answer.all(".//t:CalendarItem")[0]
    texts = {one.tag.rpartition("}")[2]: "".join(one.itertext()) for one in item}
    del texts["ItemId"]
    assert texts == {
        "Subject": SUBJECT,
        "Sensitivity": "Private",
        "Categories": "RedTwo, words",
        "ReminderMinutesBeforeStart": "120",
        "UID": "e-1@x",
        "Start": "2026-05-04T07:00:00Z",
        "End": "2026-05-04T08:30:00Z",
        "OptionalAttendees": "Bob: the builderbob@example.testSMTPUnknown",
    }


def test_an_appointment_is_written_with_the_rules_of_its_zone(ask: Ask) -> None:
    [identity] = ask(create(EVENT)).ids(".//t:ItemId")
    lines = written(ask, identity)
    assert f"SUMMARY:{SUBJECT}".replace(",", "\\,").replace(";", "\\;") in lines
    assert "DTSTART;TZID=W. Europe Standard Time:20260504T090000" in lines
    assert "CATEGORIES:Red,Two\\, words" in lines
    assert "TRIGGER;RELATED=START:-PT120M" in lines
    start = lines.index("BEGIN:VTIMEZONE")
    assert lines[start : lines.index("END:VTIMEZONE")] == [
        "BEGIN:VTIMEZONE",
        "TZID:W. Europe Standard Time",
        "BEGIN:DAYLIGHT",
        "DTSTART:16010101T020000",
        "TZOFFSETFROM:+0100",
        "TZOFFSETTO:+0200",
        "RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3",
        "END:DAYLIGHT",
        "BEGIN:STANDARD",
        "DTSTART:16010101T030000",
        "TZOFFSETFROM:+0200",
        "TZOFFSETTO:+0100",
        "RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10",
        "END:STANDARD",
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param(
            EVENT.replace("CLASS:", "RRULE:FREQ=DAILY\nCLASS:"),
            "ErrorUnsupportedMimeConversion",
            id="a series is refused, not cut down to its first day",
        ),
        pytest.param(
            EVENT.replace("Europe/Berlin", "Nowhere"), "ErrorTimeZone", id="a zone nobody knows"
        ),
        pytest.param(
            EVENT.replace("20260504T09", "tomorrow"), "ErrorMimeContentInvalid", id="no moment"
        ),
        pytest.param("BEGIN:VCALENDAR", "ErrorMimeContentInvalid", id="no event"),
    ],
)
def test_what_cannot_be_kept_is_refused(ask: Ask, text: str, code: str) -> None:
    assert ask(create(text)).codes == [code]


def test_a_day_is_a_day_of_its_zone(ask: Ask) -> None:
    day = EVENT.replace(
        'DTSTART;TZID="W. Europe Standard Time":20260504T090000', "DTSTART;VALUE=DATE:20260504"
    ).replace("DTEND;TZID=Europe/Berlin:20260504T103000", "DTEND;VALUE=DATE:20260505")
    [identity] = ask(create(day)).ids(".//t:ItemId")
    lines = written(ask, identity)
    assert "DTSTART;TZID=UTC:20260504T000000" in lines
    assert "DTEND;TZID=UTC:20260505T000000" in lines
    assert "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE" in lines
