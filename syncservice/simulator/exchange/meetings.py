"""Meetings between mailboxes: requests, updates, cancellations and answers (MS-OXOCAL).

The organizer's appointment is the truth. Everybody he invites who has a mailbox here gets a message
in his Inbox and an appointment of his own in his calendar; both have the organizer's UID, by which
later messages find them again. Whoever has no mailbox here gets nothing, but every meeting message
is noted in the store.
"""

from collections.abc import Iterable
from dataclasses import replace

from syncservice.simulator.exchange import schema
from syncservice.simulator.exchange.attendance import (
    MEETING,
    RECEIVED,
    TIMES,
    canceled,
    chosen,
    intended_status,
    mark_canceled,
    outdate_requests,
    put_into_calendar,
    shared,
)
from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.meeting_mail import (
    Sending,
    deliver,
    keep_copy,
    message_about,
    note,
)
from syncservice.simulator.exchange.store import Store
from syncservice.simulator.exchange.values import Attendee, Body, Values


def is_organizer(mailbox: Mailbox, item: Item) -> bool:
    """Whether the appointment is the mailbox owner's own."""
    organizer = item.people("Organizer")
    return not organizer or organizer[0].email.lower() == mailbox.address.lower()


def attendees_in(values: Values, organizer: Mailbox) -> dict[str, Attendee]:
    """The attendees by address, without the organizer himself."""
    found = {one.key: one for one in Item("CalendarItem", values).attendees()}
    found.pop(organizer.address.lower(), None)
    return found


def settle_meeting(values: Values, before: Values, sending: Sending) -> None:
    """Give an appointment to be saved what makes it a meeting, or one at another time.

    `before` is what it was; empty for a new one. An answer that is known stays until the time
    changes, also when a client writes the list of attendees without it.
    """
    invited = any(values.get(key) for key in schema.ATTENDEE_LISTS)
    if sending.is_on and any(
        "@" not in one.key for one in Item("CalendarItem", values).attendees()
    ):
        raise EwsError("ErrorInvalidRecipients")
    if invited:
        values |= {"IsMeeting": "true", "AppointmentState": str(MEETING)}
    was_sent = before.get("MeetingRequestWasSent") == "true"
    is_moved = any(values.get(key) != before.get(key) for key in TIMES)
    known = {one.key: one for one in Item("CalendarItem", before).attendees()}
    for key in schema.ATTENDEE_LISTS:
        listed = values.get(key)
        if isinstance(listed, tuple):
            people = [one for one in listed if isinstance(one, Attendee)]
            if was_sent and is_moved:
                values[key] = tuple(Attendee(one.address) for one in people)
            else:
                values[key] = tuple(answered(one, known.get(one.key)) for one in people)
    if was_sent and is_moved:
        number = int(str(before.get("AppointmentSequenceNumber", "0")))
        values["AppointmentSequenceNumber"] = str(number + 1)
    if invited and sending.is_on:
        values["MeetingRequestWasSent"] = "true"


def answered(attendee: Attendee, known: Attendee | None) -> Attendee:
    """An attendee with the answer that is known of him, unless the client wrote another."""
    if known is None or attendee.response != "Unknown":
        return attendee
    return replace(attendee, response=known.response, replied=known.replied)


def tell_change(
    store: Store,
    mailbox: Mailbox,
    item: Item,
    before: Values,
    sending: Sending,
    *,
    is_reset: bool,
) -> None:
    """Send what a saved change of a meeting asks for: requests, updates and cancellations.

    `is_reset` says that a series has lost its exceptions.
    """
    if not sending.is_on or not is_organizer(mailbox, item):
        return
    was_sent = before.get("MeetingRequestWasSent") == "true"
    earlier = attendees_in(before, mailbox) if was_sent else {}
    invited = attendees_in(item.values, mailbox)
    fresh = [one for key, one in invited.items() if key not in earlier]
    stayed = [one for key, one in invited.items() if key in earlier]
    removed = [one for key, one in earlier.items() if key not in invited]
    if fresh:
        invite(store, mailbox, item, fresh, "NewMeetingRequest", sending)
    if stayed and not sending.only_changed:
        is_moved = is_reset or any(item.get(key) != before.get(key) for key in TIMES)
        kind = "FullUpdate" if is_moved else "InformationalUpdate"
        invite(store, mailbox, item, stayed, kind, sending)
    if removed:
        cancel(store, mailbox, item, removed, sending)


def invite(
    store: Store,
    mailbox: Mailbox,
    item: Item,
    invited: Iterable[Attendee],
    request_type: str,
    sending: Sending,
) -> None:
    """Send a request, or an update of one, and bring the attendees' calendars up to date."""
    is_new = request_type == "NewMeetingRequest"
    message = message_about(
        "MeetingRequest",
        "IPM.Schedule.Meeting.Request",
        mailbox,
        item,
        {
            **shared(item),
            "MeetingRequestType": request_type,
            "IntendedFreeBusyStatus": intended_status(item),
            "LegacyFreeBusyStatus": "Tentative",
            "MyResponseType": "NoResponseReceived",
            "ResponseType": "NoResponseReceived",
            "IsMeeting": "true",
            "MeetingRequestWasSent": "true",
            "AppointmentState": str(MEETING | RECEIVED),
        },
    )
    for attendee in invited:
        target = note(store, "request" if is_new else "update", mailbox.owner, attendee, item)
        if target is not None:
            outdate_requests(target, item)
            put_into_calendar(target, item, anew=request_type == "FullUpdate")
            deliver(target, message)
    keep_copy(mailbox, message, sending)


def cancel(
    store: Store,
    mailbox: Mailbox,
    item: Item,
    uninvited: Iterable[Attendee],
    sending: Sending,
    body: Body | None = None,
) -> None:
    """Send a cancellation, and mark the appointments in the attendees' calendars."""
    subject = canceled(item.text("Subject"))
    told = chosen(item, ("Body", "UID", "Start", "End", "Location", "RecurrenceId"))
    if body is not None:
        told["Body"] = body
    message = message_about(
        "MeetingCancellation",
        "IPM.Schedule.Meeting.Canceled",
        mailbox,
        item,
        {**told, "Subject": subject},
    )
    for attendee in uninvited:
        target = note(store, "cancellation", mailbox.owner, attendee, item)
        if target is not None:
            outdate_requests(target, item)
            mark_canceled(target, item)
            deliver(target, message)
    keep_copy(mailbox, message, sending)


def cancel_for_all(
    store: Store, mailbox: Mailbox, item: Item, sending: Sending, body: Body | None = None
) -> None:
    """Tell everybody who was invited that the meeting does not take place."""
    invited = attendees_in(item.values, mailbox)
    if invited and item.is_set("MeetingRequestWasSent") and is_organizer(mailbox, item):
        cancel(store, mailbox, item, invited.values(), sending, body)
