"""Meetings between mailboxes: requests, updates, cancellations and answers (MS-OXOCAL).

The organizer's appointment is the truth. Everybody he invites who has a mailbox here gets a message
in his Inbox and an appointment of his own in his calendar; both have the organizer's UID, by which
later messages find them again. Whoever has no mailbox here gets nothing, but every meeting message
is noted in the store.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace

from syncservice.simulator.exchange import schema
from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.folder import Folder
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.moments import now, write_moment
from syncservice.simulator.exchange.store import MeetingMessage, Store
from syncservice.simulator.exchange.values import Address, Attendee, Body, Fragment, Value

Values = dict[str, Value]

#: What an attendee gets of the organizer's appointment.
SHARED = schema.names("""
    Subject Body Location Start End IsAllDayEvent Importance Sensitivity UID StartTimeZone
    EndTimeZone Recurrence IsRecurring CalendarItemType RecurrenceId OriginalStart Organizer
    RequiredAttendees OptionalAttendees AppointmentSequenceNumber IsResponseRequested
    AllowNewTimeProposal ReminderIsSet ReminderMinutesBeforeStart
    """)
#: A change of these makes it another time, which everybody must answer anew.
TIMES = ("Start", "End", "Recurrence", "StartTimeZone")
#: Element of the answer -> response type, show-as, end of the item class, prefix of the subject.
ANSWERS = {
    "AcceptItem": ("Accept", "Pos", "Accepted: "),
    "TentativelyAcceptItem": ("Tentative", "Tent", "Tentative: "),
    "DeclineItem": ("Decline", "Neg", "Declined: "),
}
#: States of an appointment, which add up (PidLidAppointmentStateFlags).
MEETING, RECEIVED, CANCELED = 1, 2, 4
CANCELED_PREFIX = "Canceled: "


@dataclass(frozen=True, slots=True)
class Sending:
    """Whom a change of a meeting is told, by the attribute that a request says it with."""

    mode: str = "SendToNone"

    @property
    def is_on(self) -> bool:
        """Whether anybody is told."""
        return self.mode not in ("", "SendToNone")

    @property
    def only_changed(self) -> bool:
        """Whether only who is newly invited, or no longer, is told."""
        return "ToChanged" in self.mode

    @property
    def keeps_copy(self) -> bool:
        """Whether Sent Items gets a copy."""
        return self.mode.endswith("SaveCopy")


def is_organizer(mailbox: Mailbox, item: Item) -> bool:
    """Whether the appointment is the mailbox owner's own."""
    organizer = item.people("Organizer")
    return not organizer or organizer[0].email.lower() == mailbox.address.lower()


def attendees_in(values: Values, organizer: Mailbox) -> dict[str, Attendee]:
    """The attendees by address, without the organizer himself."""
    item = Item("CalendarItem", values)
    found = {one.key: one for one in item.attendees()}
    found.pop(organizer.address.lower(), None)
    return found


# What saving does to the organizer's appointment


def settle_meeting(values: Values, before: Values, sending: Sending) -> None:
    """Give an appointment to be saved what makes it a meeting, or one at another time.

    `before` is what it was; empty for a new one. An answer that is known stays until the time
    changes, also when a client writes the list of attendees without it.
    """
    invited = any(values.get(key) for key in schema.ATTENDEE_LISTS)
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


# What is sent


def tell_change(
    store: Store, mailbox: Mailbox, item: Item, before: Values, sending: Sending
) -> None:
    """Send what a saved change of a meeting asks for: requests, updates and cancellations."""
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
        is_moved = any(item.get(key) != before.get(key) for key in TIMES)
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
            put_into_calendar(target, item)
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
            copy = copy_in(target, item)
            if copy is not None:
                state = str(MEETING | RECEIVED | CANCELED)
                target.set(
                    copy,
                    {
                        "IsCancelled": "true",
                        "LegacyFreeBusyStatus": "Free",
                        "Subject": subject,
                        "AppointmentState": state,
                        "ReminderIsSet": "false",
                    },
                )
            deliver(target, message)
    keep_copy(mailbox, message, sending)


def cancel_for_all(
    store: Store, mailbox: Mailbox, item: Item, sending: Sending, body: Body | None = None
) -> None:
    """Tell everybody who was invited that the meeting does not take place."""
    invited = attendees_in(item.values, mailbox)
    if invited and item.is_set("MeetingRequestWasSent") and is_organizer(mailbox, item):
        cancel(store, mailbox, item, invited.values(), sending, body)


def canceled(subject: str) -> str:
    """The subject of what does not take place."""
    return subject if subject.startswith(CANCELED_PREFIX) else CANCELED_PREFIX + subject


def message_about(
    element: str, item_class: str, sender: Mailbox, item: Item, values: Values
) -> Item:
    """A meeting message from the organizer to all attendees, in no mailbox yet."""
    everybody = {
        "ToRecipients": tuple(one.address for one in item.attendees("RequiredAttendees")),
        "CcRecipients": tuple(one.address for one in item.attendees("OptionalAttendees")),
    }
    stamped = stamp(sender.owner, item_class)
    files = [replace(one, id="", number=0) for one in item.all_attachments()]
    present: Values = {key: people for key, people in everybody.items() if people}
    return Item(element, {**stamped, **present, **values}, attachments=files)


def stamp(sender: Address, item_class: str) -> Values:
    """What every message on its way has."""
    domain = sender.email.partition("@")[2] or "localhost"
    return {
        "ItemClass": item_class,
        "From": (sender,),
        "Sender": (sender,),
        "InternetMessageId": f"<{uuid.uuid4().hex}@{domain}>",
        "DateTimeSent": write_moment(now()),
        "IsDraft": "false",
        "IsRead": "false",
    }


def note(store: Store, kind: str, sender: Address, to: Attendee, item: Item) -> Mailbox | None:
    """Note a message to an attendee; returns his mailbox, None: it is none of ours."""
    target = store.mailboxes.get(to.key)
    subject, uid = item.text("Subject"), item.text("UID")
    store.meeting_messages.append(
        MeetingMessage(kind, sender.email, to.key, uid, subject, "", target is None)
    )
    return target


def deliver(target: Mailbox, message: Item) -> Item:
    """Put a message into an Inbox, bound to the appointment it is about."""
    mine = replace(
        message,
        values=dict(message.values),
        attachments=[replace(one) for one in message.attachments],
        versions={},
        rendered={},
    )
    copy = appointment(target, message.text("UID"))
    if copy is not None:
        written = f'<t:AssociatedCalendarItemId Id="{copy.id}" ChangeKey="{copy.change_key}"/>'
        mine.values["AssociatedCalendarItemId"] = Fragment(written)
        mine.values["HasBeenProcessed"] = "true"
    return target.add(mine, target.well_known["inbox"])


def keep_copy(
    mailbox: Mailbox, message: Item, sending: Sending, folder: Folder | None = None
) -> None:
    """Put what was sent into Sent Items, if that is wanted."""
    if sending.keeps_copy:
        message.values |= {"IsRead": "true", "IsFromMe": "true"}
        mailbox.add(message, folder or mailbox.well_known["sentitems"])


# The attendees' side


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
    """What the mailbox has of another's appointment; None: nothing."""
    return appointment(mailbox, item.text("UID"))


def intended_status(item: Item) -> str:
    """How the organizer means attendees to be shown once they accept."""
    return item.text("IntendedFreeBusyStatus") or item.text("LegacyFreeBusyStatus", "Busy")


def put_into_calendar(target: Mailbox, item: Item) -> None:
    """Write the organizer's appointment into an attendee's calendar, tentatively if it is new."""
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
        new.attachments = [replace(one, id="", number=0) for one in item.all_attachments()]
        target.add(new, target.well_known["calendar"])
        return
    changes: dict[str, Value | None] = {key: told.get(key) for key in SHARED}
    changes |= received
    if copy.is_set("IsCancelled") or any(told.get(key) != copy.get(key) for key in TIMES):
        changes |= unanswered
    target.set(copy, changes)


def requests_in(mailbox: Mailbox, uid: str) -> list[Item]:
    """The requests about an appointment that wait in the Inbox."""
    inbox = mailbox.well_known["inbox"].items.values()
    return [one for one in inbox if one.element == "MeetingRequest" and one.text("UID") == uid]


def outdate_requests(mailbox: Mailbox, item: Item) -> None:
    """Mark the requests that a newer message is about to replace."""
    for request in requests_in(mailbox, item.text("UID")):
        mailbox.set(request, {"IsOutOfDate": "true"})


# Answers


def answer(
    store: Store,
    mailbox: Mailbox,
    item: Item,
    kind: str,
    body: Body | None,
    sending: Sending,
    folder: Folder | None = None,
) -> list[Item]:
    """Accept, tentatively accept or decline; `kind` is the answer's element.

    Returns what became of the requests and of the appointment. `folder` gets the copy of the
    message to the organizer.
    """
    response, _, _ = ANSWERS[kind]
    if is_organizer(mailbox, item):
        raise EwsError(f"ErrorCalendarIsOrganizerFor{response}")
    if item.is_set("IsCancelled"):
        raise EwsError(f"ErrorCalendarIsCancelledFor{response}")
    intended = intended_status(item)
    moment = write_moment(now())
    changes: dict[str, Value | None] = {"MyResponseType": response, "AppointmentReplyTime": moment}
    if response != "Decline":
        changes["LegacyFreeBusyStatus"] = intended if response == "Accept" else "Tentative"
    mailbox.set(item, changes)
    if sending.is_on:
        message = tell_organizer(store, mailbox.owner, item, kind, body)
        keep_copy(mailbox, message, sending, folder)
    trash = mailbox.well_known["deleteditems"]
    left = [mailbox.move(one, trash) for one in requests_in(mailbox, item.text("UID"))]
    if response == "Decline":
        return [*left, mailbox.move(item, trash)]
    return [*left, item]


def tell_organizer(
    store: Store, sender: Address, item: Item, kind: str, body: Body | None = None
) -> Item:
    """Send an answer to the organizer, who notes it with the attendee."""
    response, class_end, prefix = ANSWERS[kind]
    values = {
        **stamp(sender, f"IPM.Schedule.Meeting.Resp.{class_end}"),
        **chosen(item, ("UID", "Start", "End", "Location", "RecurrenceId")),
        "ToRecipients": tuple(item.people("Organizer")),
        "Subject": prefix + item.text("Subject"),
        "ResponseType": response,
        "Body": body or Body("", False),
    }
    message = Item("MeetingResponse", values)
    for organizer in map(Attendee, item.people("Organizer")):
        target = store.mailboxes.get(organizer.key)
        uid, subject = item.text("UID"), message.text("Subject")
        store.meeting_messages.append(
            MeetingMessage(
                "response", sender.email, organizer.key, uid, subject, response, target is None
            )
        )
        if target is not None:
            note_answer(target, item, sender, response)
            deliver(target, message)
    return message


def note_answer(organizer: Mailbox, item: Item, sender: Address, response: str) -> None:
    """Write an attendee's answer into the organizer's appointment, unless it is outdated."""
    own = copy_in(organizer, item)
    number = "AppointmentSequenceNumber"
    if own is None or own.text(number, "0") != item.text(number, "0"):
        return
    moment = write_moment(now())
    changes: dict[str, Value | None] = {}
    for key in schema.ATTENDEE_LISTS:
        listed = own.attendees(key)
        if any(one.key == sender.email.lower() for one in listed):
            changes[key] = tuple(
                replace(one, response=response, replied=moment)
                if one.key == sender.email.lower()
                else one
                for one in listed
            )
    organizer.set(own, changes)
