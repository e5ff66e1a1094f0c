"""The attendees' side of a meeting: the appointment and the requests in their mailboxes."""

from collections.abc import Iterable
from dataclasses import replace

from syncservice.simulator.exchange import schema
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.occurrences import original
from syncservice.simulator.exchange.values import Attendee, Value, Values

#: What an attendee gets of the organizer's appointment.
SHARED = schema.names("""
    Subject Body Location Start End IsAllDayEvent Importance Sensitivity UID StartTimeZone
    EndTimeZone Recurrence RecurrenceId OriginalStart Organizer
    RequiredAttendees OptionalAttendees AppointmentSequenceNumber IsResponseRequested
    AllowNewTimeProposal ReminderIsSet ReminderMinutesBeforeStart
    """)
#: A change of these makes it another time, which everybody must answer anew.
TIMES = ("Start", "End", "Recurrence", "StartTimeZone")
#: States of an appointment, which add up (PidLidAppointmentStateFlags).
MEETING, RECEIVED, CANCELED = 1, 2, 4
CANCELED_PREFIX = "Canceled: "


def shared(item: Item) -> Values:
    """What attendees are told of an appointment; of each other only who is invited."""
    values = chosen(item, SHARED)
    for key in schema.ATTENDEE_LISTS:
        if key in values:
            values[key] = tuple(Attendee(one.address) for one in item.attendees(key))
    return values


def chosen(item: Item, keys: Iterable[str]) -> Values:
    """The values under these keys that are set."""
    found = {key: item.get(key) for key in keys}
    return {key: value for key, value in found.items() if value is not None}


def appointment(mailbox: Mailbox, uid: str) -> Item | None:
    """The appointment with this UID in one of the calendars; None: there is none."""
    for folder in mailbox.folders.values():
        for item in folder.items.values() if folder.element == "CalendarFolder" else ():
            if item.element == "CalendarItem" and item.text("UID") == uid:
                return item
    return None


def copy_in(mailbox: Mailbox, item: Item) -> Item | None:
    """What the mailbox has of another's appointment or occurrence; None: nothing."""
    found = appointment(mailbox, item.text("UID"))
    start = item.text("RecurrenceId")
    if found is None or not start or found.get("Recurrence") is None:
        return found
    return original(found, start)


def intended_status(item: Item) -> str:
    """How the organizer means attendees to be shown once they accept."""
    return item.text("IntendedFreeBusyStatus") or item.text("LegacyFreeBusyStatus", "Busy")


def put_into_calendar(target: Mailbox, item: Item, *, anew: bool = False) -> None:
    """Write the organizer's appointment into an attendee's calendar, tentatively if it is new.

    `anew`: what is there already is as if it were new.
    """
    told = shared(item)
    copy = copy_in(target, item)
    intended = intended_status(item)
    unanswered: dict[str, Value | None] = {
        "MyResponseType": "NoResponseReceived",
        "LegacyFreeBusyStatus": "Free" if intended == "Free" else "Tentative",
        "AppointmentReplyTime": None,
        "IsCancelled": None,
        "AppointmentState": str(MEETING | RECEIVED),
    }
    received: Values = {
        "IsMeeting": "true",
        "MeetingRequestWasSent": "true",
        "IntendedFreeBusyStatus": intended,
    }
    if copy is None:
        values = {key: value for key, value in unanswered.items() if value is not None}
        new = Item("CalendarItem", {"ItemClass": "IPM.Appointment", **told, **received, **values})
        new.exceptions = {
            index: {key: value for key, value in own.items() if key in SHARED}
            for index, own in item.exceptions.items()
        }
        new.dropped = set(item.dropped)
        new.attachments = [replace(one, id="", number=0) for one in item.all_attachments()]
        target.add(new, target.well_known["calendar"])
        return
    changes: dict[str, Value | None] = {
        key: told.get(key)
        for key in SHARED
        if not key.startswith("Reminder")  # is his own now
    }
    changes |= received
    if anew or copy.is_set("IsCancelled") or any(told.get(key) != copy.get(key) for key in TIMES):
        changes |= unanswered
        copy.exceptions, copy.dropped = {}, set(item.dropped)
    target.set(copy, changes)


def mark_canceled(target: Mailbox, item: Item) -> None:
    """Mark an attendee's appointment as one that does not take place."""
    copy = copy_in(target, item)
    if copy is None:
        return
    target.set(
        copy,
        {
            "IsCancelled": "true",
            "LegacyFreeBusyStatus": "Free",
            "Subject": canceled(item.text("Subject")),
            "AppointmentState": str(MEETING | RECEIVED | CANCELED),
            "ReminderIsSet": "false",
        },
    )


def canceled(subject: str) -> str:
    """The subject of what does not take place."""
    return subject if subject.startswith(CANCELED_PREFIX) else CANCELED_PREFIX + subject


def requests_in(mailbox: Mailbox, item: Item) -> list[Item]:
    """The requests about an appointment or occurrence that wait in the Inbox."""
    inbox = mailbox.well_known["inbox"].items.values()
    return [
        one
        for one in inbox
        if one.element == "MeetingRequest"
        and one.text("UID") == item.text("UID")
        and one.text("RecurrenceId") == item.text("RecurrenceId")
    ]


def outdate_requests(mailbox: Mailbox, item: Item) -> None:
    """Mark the requests that a newer message is about to replace."""
    for request in requests_in(mailbox, item):
        mailbox.set(request, {"IsOutOfDate": "true"})
