"""Meeting messages on their way, and the record of them."""

import uuid
from dataclasses import dataclass, replace

from syncservice.simulator.exchange.attendance import copy_in
from syncservice.simulator.exchange.folder import Folder
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.moments import now, write_moment
from syncservice.simulator.exchange.store import MeetingMessage, Store
from syncservice.simulator.exchange.values import Address, Attendee, Fragment, Values


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
    copy = copy_in(target, message)
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
