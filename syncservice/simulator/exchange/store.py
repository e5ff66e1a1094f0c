"""All that the simulated server holds: accounts, mailboxes, and the mail between them.

Pure state, no HTTP. A new store is a new run: its ids and sync states are strange to every other.
"""

import os
import time
import uuid
from dataclasses import dataclass, field

from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.folder import Folder
from syncservice.simulator.exchange.ids import Kind, Name, read_id
from syncservice.simulator.exchange.item import Attachment, Item
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.mime import with_header, without_header
from syncservice.simulator.exchange.moments import now, write_moment
from syncservice.simulator.exchange.occurrences import occurrence
from syncservice.simulator.exchange.subscriptions import Subscriptions
from syncservice.simulator.exchange.values import Value

RECIPIENTS = ("ToRecipients", "CcRecipients", "BccRecipients")
#: What asks a recipient's program, or server, for a receipt.
RECEIPTS = {
    "IsReadReceiptRequested": "Disposition-Notification-To",
    "IsDeliveryReceiptRequested": "Return-Receipt-To",
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was sent, as one of its recipients got it."""

    message_id: str
    sender: str  # the mailbox
    recipient: str
    is_outside: bool  # no mailbox here has the address


@dataclass(frozen=True, slots=True)
class MeetingMessage:
    """A meeting message that was sent, as one of its recipients got it."""

    kind: str  # request, update, cancellation or response
    sender: str
    recipient: str  # lower case
    uid: str  # of the appointment
    subject: str
    response: str  # of a response: Accept, Tentative or Decline
    is_outside: bool  # no mailbox here has the address


@dataclass(frozen=True, slots=True)
class Leaving:
    """A message in an Outbox, on its way out."""

    due: float  # on the clock of time.monotonic
    mailbox: Mailbox
    item: Item
    target: Folder | None  # where its copy goes; None: there is none


@dataclass(slots=True)
class Store:
    """The mailboxes by address (lower case) and number, and who may log in."""

    run: bytes = field(default_factory=lambda: os.urandom(4))
    mailboxes: dict[str, Mailbox] = field(default_factory=dict)
    by_number: dict[int, Mailbox] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)  # login (lower case) -> password
    service_accounts: set[str] = field(default_factory=set)  # logins that may impersonate
    sync_epoch: int = 0  # raised to expire all sync states
    strict_conflicts: bool = False  # AutoResolve refuses a property changed on both sides
    outbox_seconds: float = 0.0  # how long a sent draft stays in the Outbox
    leaving: list[Leaving] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    meeting_messages: list[MeetingMessage] = field(default_factory=list)
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    may_send_as: set[tuple[str, str]] = field(default_factory=set)  # mailbox, address (lower case)

    def add_mailbox(self, address: str, password: str | None = None, name: str = "") -> Mailbox:
        """Create a mailbox; without a password only service accounts reach it."""
        key = address.lower()
        if key in self.mailboxes:
            raise ValueError(f"There is a mailbox {address} already.")
        number = len(self.mailboxes) + 1
        name = name or address.partition("@")[0].replace(".", " ").title()
        mailbox = Mailbox(number, address, name, self.run)
        self.mailboxes[key] = self.by_number[number] = mailbox
        if password is not None:
            self.passwords[key] = password
        return mailbox

    def add_service_account(self, login: str, password: str) -> None:
        """Create an account that may impersonate every mailbox."""
        self.passwords[login.lower()] = password
        self.service_accounts.add(login.lower())

    def may_log_in(self, login: str, password: str) -> bool:
        """Whether these credentials are good."""
        return self.passwords.get(login.lower()) == password

    def mailbox(self, address: str) -> Mailbox:
        """The mailbox of an address, or ErrorNonExistentMailbox."""
        found = self.mailboxes.get(address.strip().lower().removeprefix("smtp:"))
        if found is None:
            raise EwsError("ErrorNonExistentMailbox")
        return found

    def _place(self, text: str | None, kind: Kind) -> tuple[Name, Mailbox]:
        name = read_id(text)
        if name.kind != kind:
            is_folder = kind is Kind.FOLDER
            raise EwsError("ErrorInvalidFolderId" if is_folder else "ErrorInvalidIdMalformed")
        if name.run != self.run:
            raise EwsError("ErrorItemNotFound")
        mailbox = self.by_number.get(name.mailbox)
        if mailbox is None:
            raise EwsError("ErrorNonExistentMailbox")
        return name, mailbox

    def folder(self, folder_id: str | None) -> tuple[Mailbox, Folder]:
        """The folder of an id, with its mailbox; gone: ErrorItemNotFound."""
        name, mailbox = self._place(folder_id, Kind.FOLDER)
        folder = mailbox.folders.get(name.number)
        if folder is None:
            raise EwsError("ErrorItemNotFound")
        return mailbox, folder

    def item(self, item_id: str | None) -> tuple[Mailbox, Item]:
        """The item or occurrence of an id, with its mailbox; gone: ErrorItemNotFound."""
        name, mailbox = self._place(item_id, Kind.ITEM)
        item = mailbox.items.get(name.number)
        if item is None:
            raise EwsError("ErrorItemNotFound")
        return mailbox, occurrence(item, name.part) if name.part else item

    def attachment(self, attachment_id: str | None) -> tuple[Mailbox, Item, Attachment]:
        """The attachment of an id, with its item and mailbox."""
        try:
            name, mailbox = self._place(attachment_id, Kind.ATTACHMENT)
        except EwsError as error:
            if error.code == "ErrorInvalidIdMalformed":
                raise EwsError("ErrorInvalidAttachmentId") from error
            raise
        item = mailbox.items.get(name.number)
        for attachment in item.all_attachments() if item else ():
            if item and attachment.number == name.part:
                return mailbox, item, attachment
        raise EwsError("ErrorItemNotFound")

    def deliver(
        self, mailbox: Mailbox, source: bytes, folder: str = "inbox", received: str = ""
    ) -> Item:
        """Put RFC 5322 text into a mailbox as an unread message; `received` as EWS writes it."""
        moment = received or write_moment(now())
        values: dict[str, Value] = {
            "ItemClass": "IPM.Note",
            "IsRead": "false",
            "IsDraft": "false",
            "DateTimeReceived": moment,
            "DateTimeCreated": moment,
        }
        item = Item.of_mime(source, values)
        return mailbox.add(item, mailbox.folder_named(folder))

    def send_draft(self, mailbox: Mailbox, draft: Item, target: Folder | None) -> None:
        """Send a saved message through the Outbox; its copy goes to `target`, or nowhere."""
        self._check(mailbox, draft)
        draft.values["IsSubmitted"] = "true"
        item = mailbox.move(draft, mailbox.well_known["outbox"])
        self.leaving.append(Leaving(time.monotonic() + self.outbox_seconds, mailbox, item, target))
        self.carry_mail()

    def carry_mail(self, *, at_once: bool = False) -> None:
        """Send what has been in an Outbox long enough, or all of it.

        What was taken out of there meanwhile is not sent.
        """
        moment = time.monotonic()
        leaving, self.leaving = self.leaving, []
        for one in leaving:
            if not at_once and one.due > moment:
                self.leaving.append(one)
            elif one.item.uid in one.mailbox.well_known["outbox"].items:
                self.send(one.mailbox, one.item)
                if one.target is None:
                    one.mailbox.remove(one.item)
                else:
                    one.mailbox.move(one.item, one.target)

    def _check(self, sender: Mailbox, item: Item) -> None:
        """Refuse a message without good recipients, or in the name of somebody else."""
        recipients = item.people(*RECIPIENTS)
        if not recipients or any("@" not in one.email for one in recipients):
            raise EwsError("ErrorInvalidRecipients")
        own = sender.address.lower()
        for author in item.people("From"):
            if author.email.lower() != own and (own, author.email.lower()) not in self.may_send_as:
                raise EwsError("ErrorSendAsDenied")

    def send(self, sender: Mailbox, item: Item) -> None:
        """Deliver a message to every recipient who has a mailbox here, and count all of them.

        The item itself becomes a sent one: it gets the ids and dates of a sent message.
        """
        self._check(sender, item)
        self._stamp(sender, item)
        delivered = without_header(item.mime(), "Bcc")
        for asked, header in RECEIPTS.items():
            if item.is_set(asked):
                delivered = without_header(delivered, header)
                delivered = with_header(delivered, header, item.people("From")[0].email)
        message_id = item.text("InternetMessageId")
        for address in dict.fromkeys(one.email.lower() for one in item.people(*RECIPIENTS)):
            mailbox = self.mailboxes.get(address)
            self.deliveries.append(Delivery(message_id, sender.address, address, mailbox is None))
            if mailbox is not None:
                self.deliver(mailbox, delivered)

    def _stamp(self, sender: Mailbox, item: Item) -> None:
        """Give a message what sending gives it."""
        source = item.source
        message_id = f"<{uuid.uuid4().hex}@{sender.address.partition('@')[2] or 'localhost'}>"
        if not item.people("From"):
            item.values["From"] = (sender.owner,)
            source = source and with_header(source, "From", f"{sender.name} <{sender.address}>")
        item.values.setdefault("Sender", (sender.owner,))
        if not item.text("InternetMessageId"):
            item.values["InternetMessageId"] = message_id
            source = source and with_header(source, "Message-ID", message_id)
        moment = write_moment(now())
        item.values |= {"DateTimeSent": moment, "IsDraft": "false", "IsFromMe": "true"}
        item.values |= {"IsSubmitted": "false", "IsRead": "true", "DateTimeReceived": moment}
        item.source = source
        item.headers = []
        item.rendered.clear()
