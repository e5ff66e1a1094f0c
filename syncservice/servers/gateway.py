"""What `sync` asks of a mail server, in its own words; nothing here hints at a protocol.

Implementations inherit from nothing. All of them translate every foreign error into a
`FaultError` at their border and pass the suite in `tests/contracts/`.
"""

import enum
import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from syncservice.domain.faults import Fault, FaultError
from syncservice.domain.item_values import ItemKind, Values
from syncservice.domain.meeting import Invitations as Invitations

#: The folders that every mailbox has, as `page` names them; others go by the server's id.
INBOX = "inbox"
SENT_ITEMS = "sentitems"
#: Code of the fault that says that a folder which went by its id is no longer there.
FOLDER_GONE = "exchange.folder_gone"
#: Code of the fault that says that the mailbox's list of categories is damaged.
CATEGORIES_UNREADABLE = "exchange.categories_unreadable"


@dataclass(frozen=True, slots=True)
class Listed:
    """An item that is new or changed behind the cursor."""

    item_id: str
    size: int  # bytes, as the server counts; 0: not told
    received_at: datetime | None = None  # None: the server doesn't say before it is fetched
    subject: str = ""  # '': the same
    categories: tuple[str, ...] = ()  # names; servers other than Exchange have none


@dataclass(frozen=True, slots=True)
class Page:
    """Some changes, and the cursor behind them."""

    items: tuple[Listed, ...]
    cursor: str
    is_last: bool
    removed: tuple[str, ...] = ()  # ids that left the folder; a mere listing tells none
    is_of_listing: bool = False  # all pages of a conversation are all there is: others have left


@dataclass(frozen=True, slots=True)
class Fetched:
    """A message as it came."""

    item_id: str
    mime: bytes  # RFC 5322
    received_at: datetime | None  # None: the server doesn't say
    item_class: str = ""  # as Exchange tells kinds of messages; '': the server has none


@dataclass(frozen=True, slots=True)
class NotFetched:
    """A message that the server would not give, and why; the others are not concerned."""

    item_id: str
    size: int  # as listed
    fault: Fault  # of a scope other than EMAIL: it was not this message's doing
    subject: str = ""  # as listed


@dataclass(frozen=True, slots=True)
class Gone:
    """An item that was moved or deleted since it was listed."""

    item_id: str


class NotDeleted(FaultError):
    """Some items were not deleted; the others that were to be deleted are gone."""

    def __init__(self, fault: Fault, item_ids: Collection[str]) -> None:
        super().__init__(fault)
        self.item_ids = frozenset(item_ids)


@dataclass(frozen=True, slots=True)
class MailFolder:
    """A folder below the Inbox, at any depth."""

    folder_id: str  # stays when it is renamed or moved
    parent_id: str  # '': the Inbox itself
    name: str


@dataclass(frozen=True, slots=True)
class Category:
    """One of the mailbox's own list of categories; items carry its name only."""

    category_id: str  # stays when it is renamed
    name: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which organisation keeps a mailbox in step, as the mailbox itself says (F019)."""

    organisation: str  # id
    at: datetime  # of its last test


@dataclass(frozen=True, slots=True, kw_only=True)
class MailObject:
    """What is handed over to a server: content and envelope (RFC 5321 section 2.3.1)."""

    message_id: str  # with its <>; no other attempt but this email's has it
    mime: bytes  # RFC 5322, without Bcc; lines may end in any way
    forward_paths: tuple[str, ...]  # who gets it; those that `mime` doesn't name are blind copies
    keeps_copy: bool = True  # in Sent Items
    asks_delivery_receipt: bool = False
    asks_read_receipt: bool = False
    is_first_attempt: bool = False  # nothing can be left of an earlier one: nobody looks for it


@dataclass(frozen=True, slots=True)
class Rejected:
    """A recipient that the server refused while it took the message for others."""

    forward_path: str
    fault: Fault  # TRANSIENT: another attempt for this one may succeed


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server has taken the message, for all but these."""

    rejected: tuple[Rejected, ...] = ()


class Whereabouts(enum.Enum):
    """What a server says of a message whose handover came to no clear end."""

    SENT = enum.auto()
    NOT_SENT = enum.auto()  # it was not taken, and won't be
    UNKNOWN = enum.auto()  # the server can't tell


class OutcomeUnknown(FaultError):
    """The server may have taken the message, or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedItem:
    """An appointment, contact or task that is new or changed, with what tells which one it is."""

    item_id: str
    change_key: str
    record_key: str = ""  # ours, which we put on it; '': none
    categories: tuple[str, ...] = ()
    subject: str = ""  # of a contact: its display name
    #: Of an appointment, "2026-03-01T09:00:00Z"; of a task, the date that it is due, "2026-03-05".
    starts_at: str | None = None
    uid: str = ""  # of an appointment: the same in every attendee's calendar
    addresses: tuple[str, ...] = ()  # of a contact, in lower case


@dataclass(frozen=True, slots=True)
class ItemPage:
    """Some changes of one kind, and the cursor behind them."""

    items: tuple[ListedItem, ...]
    removed: tuple[str, ...]
    cursor: str
    is_last: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An appointment, contact or task as it is in the mailbox."""

    item_id: str
    change_key: str
    values: Values
    record_key: str = ""
    categories: tuple[str, ...] = ()
    changed_at: datetime | None = None  # None: not told
    uid: str = ""
    #: Of a meeting: it was called from this mailbox; its copy is the one that counts. Also true of
    #: an appointment without attendees.
    is_organizer: bool = True
    is_cancelled: bool = False  # its organizer cancelled it
    #: Why it can't be kept in step: "recurring_task", "assigned_task"; '': it can.
    unsupported: str = ""


@dataclass(frozen=True, slots=True)
class NotRead:
    """An item that the server would not give, and why; the others are not concerned."""

    item_id: str
    fault: Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    record_key: str
    values: Values
    categories: tuple[str, ...] = ()
    invitations: Invitations = Invitations.NOBODY


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemChange:
    """What is to be changed of an item: some values, or what is put on it besides."""

    item_id: str
    change_key: str
    values: Values  # the changed ones only
    #: All values as they will be: an occurrence is found by its series, a date by its zone.
    whole: Values
    record_key: str | None = None  # None: it stays
    categories: tuple[str, ...] | None = None  # all that it has from now on; None: they stay
    invitations: Invitations = Invitations.NOBODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    item_id: str
    cancels: bool = False  # the attendees are told that the meeting is off


@dataclass(frozen=True, slots=True)
class ItemFile:
    """A file of an appointment (F191)."""

    name: str
    content_type: str  # '': not told
    content: bytes

    @property
    def value(self) -> Values:
        """What it is among the values of "attachments"."""
        digest = hashlib.sha256(self.content).hexdigest()
        return {"name": self.name, "size": len(self.content), "digest": digest}


@dataclass(frozen=True, slots=True)
class Written:
    item_id: str
    change_key: str


@dataclass(frozen=True, slots=True)
class NotWritten:
    """An item that was left as it is, and why; the others are not concerned."""

    fault: Fault


class Conversation(Protocol):
    """Some requests to the server of one mailbox; a context manager."""

    @property
    def requests(self) -> int:
        """Requests made so far in this conversation."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the conversation: when this returns, the server counts no connection of it."""


class Incoming(Conversation, Protocol):
    """The incoming email of one mailbox."""

    def page(self, cursor: str, limit: int, folder: str = INBOX) -> Page:
        """Return at most `limit` changes of `folder` behind `cursor`, or raise FaultError.

        With '' for a cursor, everything in the folder. A fault of nature RESYNC says that the
        server no longer knows the cursor.
        """

    def fetch(self, items: Sequence[Listed]) -> Iterator[Fetched | NotFetched | Gone]:
        """Yield an answer for each of `items`, or raise FaultError.

        A server may have answered only some, or others: who asks looks for what is missing.
        """

    def check(self) -> None:
        """Return when the server still answers for the mailbox, or raise FaultError."""

    def find(self, message_id: str) -> tuple[Listed, ...]:
        """Return the items of the Inbox with this Message-ID (with its <>), or raise FaultError."""

    def delete(self, item_ids: Sequence[str]) -> None:
        """Delete items for good, or raise NotDeleted, or FaultError when nobody knows which are.

        Those that are gone already are no fault.
        """


class Organised(Protocol):
    """What the mailbox of an Exchange server has besides: folders and categories."""

    def folders(self) -> tuple[MailFolder, ...]:
        """Return all folders below the Inbox, or raise FaultError."""

    def categories(self) -> tuple[Category, ...]:
        """Return the mailbox's own list of categories, or raise FaultError."""

    def save_category(self, category: Category) -> None:
        """Add a category to the mailbox's list, or give the one with its id its name."""

    def remove_category(self, category_id: str) -> None:
        """Take a category off the list; items that carry its name keep it."""

    def categorise(self, item_id: str, *, add: str = "", remove: str = "") -> None:
        """Put a category on an item, or take one off; the item's others stay.

        An item that is gone is no fault.
        """

    def move_to_undeliverable(self, item_id: str, folder_name: str) -> None:
        """Move an item into the folder of this name beside the Inbox, made when it is missing."""


class Outgoing(Conversation, Protocol):
    """The way out for the email of one mailbox.

    A message is sent once: whoever is killed, or cut off, finds out what became of an attempt by
    `look_up` before another one is made.
    """

    def send(self, mail: MailObject, before_handover: Callable[[], None]) -> Accepted:
        """Hand a message over to the server, or raise FaultError: then nobody gets it.

        `before_handover` is called once, right before the step from which on the server may have
        taken the message; what it raises stops the attempt there. Raise OutcomeUnknown when that
        step came to no clear end. What an earlier attempt left half done is put away first.
        """

    def look_up(self, mail: MailObject) -> Whereabouts:
        """Find out what became of an attempt that was handed over, or raise FaultError."""

    def keep_copy(self, mail: MailObject) -> None:
        """See to it that the sender's Sent Items hold a sent message once, or not at all.

        As `mail.keeps_copy` says; a server that has no such folder keeps none. Done twice, it
        changes nothing more.
        """


class Activities(Conversation, Protocol):
    """The appointments, contacts and tasks of one mailbox.

    What is written in one call is answered for one by one, in the order of the call; a FaultError
    raised says that the server may have done none, some or all of it. Nobody gets a meeting message
    but those whom `Invitations` names.
    """

    def open(self) -> None:
        """Look that the three folders can be opened, or raise FaultError."""

    def stamp(self) -> Stamp | None:
        """Return what the mailbox says of who keeps it in step; None: nobody."""

    def put_stamp(self, stamp: Stamp) -> None:
        """Write it, over any other."""

    def changes(self, kind: ItemKind, cursor: str, limit: int) -> ItemPage:
        """Return at most `limit` changes behind `cursor` ('': all there is), or raise FaultError.

        A fault of nature RESYNC says that the server no longer knows the cursor. Of a series, the
        whole is listed, never an occurrence.
        """

    def read(self, kind: ItemKind, item_ids: Sequence[str]) -> Iterator[Item | NotRead | Gone]:
        """Yield an answer for each id, or raise FaultError.

        "attachments" are what `files` returns; of a series, none (F191).
        """

    def find(self, kind: ItemKind, record_keys: Sequence[str]) -> tuple[ListedItem, ...]:
        """Return the items that bear one of these record keys, or raise FaultError."""

    def create(self, kind: ItemKind, items: Sequence[NewItem]) -> list[Written | NotWritten]:
        """Create items. Not safe to repeat: `find` tells what an earlier call has made."""

    def update(
        self, kind: ItemKind, changes: Sequence[ItemChange]
    ) -> list[Written | NotWritten | Gone]:
        """Change items that still have the change key that is named.

        One that has another is left alone: NotWritten with a fault of nature CONFLICT.
        """

    def files(self, item_id: str) -> tuple[ItemFile, ...]:
        """Return the files of an appointment, or raise FaultError; of one that is gone, none.

        What the organisation keeps out is not among them, nor what the body shows, nor are items
        that are attached (F121, F191).
        """

    def put_files(
        self, item_id: str, change_key: str, add: Sequence[ItemFile], remove: Sequence[Values]
    ) -> Written | NotWritten | Gone:
        """Give an appointment files, and take some off, by name and digest; nobody gets mail of it.

        What it has already is not added again, nor is what `files` leaves out. Like `update`, it
        does so only when the item still has the change key.
        """

    def delete(self, kind: ItemKind, items: Sequence[Deletion]) -> list[Gone | NotWritten]:
        """Move items to where a person can take them back; one that is gone already is Gone."""
