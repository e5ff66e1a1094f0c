"""Answers to a meeting, and what becomes of them in both mailboxes."""

from dataclasses import replace

from syncservice.simulator.exchange import schema
from syncservice.simulator.exchange.attendance import (
    chosen,
    copy_in,
    intended_status,
    requests_in,
)
from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.folder import Folder
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.meeting_mail import Sending, deliver, keep_copy, stamp
from syncservice.simulator.exchange.meetings import is_organizer
from syncservice.simulator.exchange.moments import now, write_moment
from syncservice.simulator.exchange.store import MeetingMessage, Store
from syncservice.simulator.exchange.values import Address, Attendee, Body, Value

#: Element of the answer -> response type, show-as, end of the item class, prefix of the subject.
ANSWERS = {
    "AcceptItem": ("Accept", "Pos", "Accepted: "),
    "TentativelyAcceptItem": ("Tentative", "Tent", "Tentative: "),
    "DeclineItem": ("Decline", "Neg", "Declined: "),
}


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
    left = [mailbox.move(one, trash) for one in requests_in(mailbox, item)]
    if response != "Decline":
        return [*left, item]
    if item.master is None:
        return [*left, mailbox.move(item, trash)]
    mailbox.delete(item, "MoveToDeletedItems")
    return [*left, item.master]


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
