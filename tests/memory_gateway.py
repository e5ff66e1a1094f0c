"""A mail server in memory that honours `servers.gateway`, in and out; no mock: it works."""

import enum
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from itertools import count

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.domain.message import parse
from syncservice.servers.gateway import (
    FOLDER_GONE,
    INBOX,
    SENT_ITEMS,
    Accepted,
    Category,
    Fetched,
    Gone,
    Listed,
    MailFolder,
    MailObject,
    NotFetched,
    OutcomeUnknown,
    Page,
    Rejected,
    Whereabouts,
)

RECEIVED = datetime(2026, 3, 1, 12, tzinfo=UTC)


def fault(nature: Nature = Nature.TRANSIENT, scope: Scope = Scope.MAILBOX, **more) -> Fault:
    return Fault(
        code="test.fault", nature=nature, scope=scope, provenance=Provenance.US, text="a fault",
        **more,
    )  # fmt: skip


def mime(
    subject: str, *, message_id: str | None = None, attached: bytes = b"", **headers: str
) -> bytes:
    """Compose a message whose body names its subject."""
    message = EmailMessage()
    message["From"] = headers.pop("sender", "Ann Ash <ann@customer.test>")
    message["To"] = headers.pop("to", "user@example.test")
    message["Subject"] = subject
    message["Date"] = format_datetime(RECEIVED)
    message["Message-ID"] = message_id or f"<{subject.replace(' ', '-')}@customer.test>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(f"The body of {subject}.\n")
    if attached:
        message.add_attachment(attached, maintype="application", subtype="pdf", filename="file.pdf")
    return message.as_bytes()


@dataclass
class MemoryServer:
    """One mailbox: a folder is a log of item ids that came, or left (-id); a cursor a place in it.

    A moved item has another id, as Exchange gives it.
    """

    log: list[str] = field(default_factory=list)  # of the Inbox
    others: dict[str, list[str]] = field(default_factory=lambda: {SENT_ITEMS: []})  # by folder id
    items: dict[str, bytes] = field(default_factory=dict)
    bad: dict[str, Fault] = field(default_factory=dict)  # by item id
    fault: Fault | None = None  # raised by every page
    epoch: int = 0  # a cursor of another epoch is refused
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    folders: dict[str, MailFolder] = field(default_factory=dict)
    categories: dict[str, str] = field(default_factory=dict)  # names, by id
    marks: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by item
    undeliverable: list[str] = field(default_factory=list)  # items that were moved there
    deleted: set[str] = field(default_factory=set)
    unwritable: dict[str, Fault] = field(default_factory=dict)  # by what `Organised` writes

    def deliver(self, *messages: bytes, folder: str = INBOX) -> list[str]:
        ids = [f"item-{next(self.numbers)}" for _ in messages]
        self.items |= dict(zip(ids, messages, strict=True))
        self.log_of(folder).extend(ids)
        return ids

    def touch(self, item_id: str) -> None:
        self.log.append(item_id)

    def mark(self, item_id: str, *names: str) -> None:
        """Give an item of the Inbox these categories and no others."""
        self.marks[item_id] = set(names)
        self.touch(item_id)

    def move(self, item_id: str, source: str, target: str) -> str:
        self.log_of(source).append(f"-{item_id}")
        (moved,) = self.deliver(self.items.pop(item_id), folder=target)
        self.marks[moved] = self.marks.pop(item_id, set())
        return moved

    def add_folder(self, name: str) -> str:
        folder_id = f"folder-{next(self.numbers)}"
        self.folders[folder_id] = MailFolder(folder_id, "", name)
        self.others[folder_id] = []
        return folder_id

    def log_of(self, folder: str) -> list[str]:
        return self.log if folder == INBOX else self.others[folder]


@dataclass
class MemoryIncoming:
    server: MemoryServer
    requests: int = 0
    fetched: list[str] = field(default_factory=list)

    def page(self, cursor: str, limit: int, folder: str = INBOX) -> Page:
        self.requests += 1
        server = self.server
        if server.fault:
            raise FaultError(server.fault)
        epoch, place = (int(part) for part in (cursor or f"{server.epoch}:0").split(":"))
        if epoch != server.epoch:
            raise FaultError(fault(Nature.RESYNC))
        if folder not in (INBOX, *server.others):
            raise FaultError(replace(fault(Nature.PERMANENT), code=FOLDER_GONE))
        log = server.log_of(folder)
        entries = log[place : place + limit]
        removed = tuple(entry[1:] for entry in entries if entry.startswith("-"))
        came = dict.fromkeys(entry for entry in entries if not entry.startswith("-"))
        return Page(
            tuple(
                Listed(item, len(server.items.get(item, b"")), categories=tuple(server.marks[item]))
                for item in came
                if item not in removed and item not in server.deleted
            ),
            f"{epoch}:{place + len(entries)}",
            place + limit >= len(log),
            removed,
        )

    def fetch(self, items: Sequence[Listed]) -> Iterator[Fetched | NotFetched | Gone]:
        self.requests += 1
        self.fetched += [item.item_id for item in items]
        for item in items:
            if item.item_id in self.server.bad:
                yield NotFetched(item.item_id, item.size, self.server.bad[item.item_id])
            elif item.item_id in self.server.items:
                yield Fetched(item.item_id, self.server.items[item.item_id], RECEIVED)
            else:
                yield Gone(item.item_id)

    def check(self) -> None:
        self.page("", 1)

    def find(self, message_id: str) -> tuple[Listed, ...]:
        self.requests += 1
        return tuple(
            Listed(item_id, len(mime))
            for item_id, mime in self.server.items.items()
            if item_id in self.server.log and parse(mime).message_id == message_id
        )

    def delete(self, item_ids: Sequence[str]) -> None:
        self.requests += bool(item_ids)
        for item_id in item_ids:
            self.server.items.pop(item_id, None)
            self.server.deleted.add(item_id)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@dataclass
class MemoryOrganised:
    """`servers.gateway.Organised` of the same server."""

    server: MemoryServer
    requests: int = 0

    def folders(self) -> tuple[MailFolder, ...]:
        self.requests += 1
        return tuple(self.server.folders.values())

    def categories(self) -> tuple[Category, ...]:
        self.requests += 1
        return tuple(Category(*pair) for pair in self.server.categories.items())

    def save_category(self, category: Category) -> None:
        self._write("save_category")
        self.server.categories[category.category_id] = category.name

    def remove_category(self, category_id: str) -> None:
        self._write("remove_category")
        self.server.categories.pop(category_id, None)

    def categorise(self, item_id: str, *, add: str = "", remove: str = "") -> None:
        self._write("categorise")
        names = (self.server.marks[item_id] | {add}) - {remove, ""}
        self.server.mark(item_id, *names)

    def move_to_undeliverable(self, item_id: str, folder_name: str) -> None:
        self._write("move_to_undeliverable")
        self.server.undeliverable.append(item_id)
        self.server.log.append(f"-{item_id}")

    def _write(self, what: str) -> None:
        if what in self.server.unwritable:
            raise FaultError(self.server.unwritable[what])


class Step(enum.Enum):
    """Where an attempt to send, or to keep a copy, may come to its end."""

    BEGUN = enum.auto()  # nothing is there yet
    DRAFTED = enum.auto()  # a draft is there, and nobody has been told of a handover
    ANNOUNCED = enum.auto()  # `before_handover` has returned, and the server has taken nothing
    TAKEN = enum.auto()  # the server has taken the message, and nobody has heard so
    COPYING = enum.auto()  # nothing is kept yet
    COPIED = enum.auto()  # a copy is there, and nobody has heard so


class Killed(BaseException):
    """The process that sends is no more; nothing of ours may catch it."""


@dataclass
class MemoryPostOffice:
    """A server that delivers what one mailbox sends.

    What stands in `cut_at` loses the next connection there, what stands in `killed_at` the process
    that speaks over it: once each.
    """

    delivered: list[tuple[str, str]] = field(default_factory=list)  # Message-ID, forward-path
    texts: dict[str, bytes] = field(default_factory=dict)  # of what was delivered, by Message-ID
    drafts: list[str] = field(default_factory=list)  # Message-IDs
    sent_items: list[str] = field(default_factory=list)
    refused: dict[str, Fault] = field(default_factory=dict)  # by forward-path
    fault: Fault | None = None  # raised by every request
    cut_at: set[Step] = field(default_factory=set)
    killed_at: set[Step] = field(default_factory=set)
    sees_sent: bool = True  # False: it can't look up what it delivered, as a plain SMTP server
    sees_unsent: bool = True  # False: what it doesn't find it can't tell of, as an IMAP server

    def recipients(self, message_id: str) -> list[str]:
        return [path for sent, path in self.delivered if sent == message_id]

    def reach(self, step: Step) -> None:
        """Go on, or end here."""
        if step in self.killed_at:
            self.killed_at.remove(step)
            raise Killed(step)
        if step in self.cut_at:
            self.cut_at.remove(step)
            is_unclear = step in (Step.ANNOUNCED, Step.TAKEN)
            raise (OutcomeUnknown if is_unclear else FaultError)(fault())


@dataclass
class MemoryOutgoing:
    """`servers.gateway.Outgoing` over it."""

    office: MemoryPostOffice
    requests: int = 0

    def send(self, mail: MailObject, before_handover: Callable[[], None]) -> Accepted:
        if not mail.forward_paths:
            raise ValueError("a message without recipients")
        self._ask()
        office, message_id = self.office, mail.message_id
        if not mail.is_first_attempt:
            self._put_away(message_id)
        office.reach(Step.BEGUN)
        if all(path in office.refused for path in mail.forward_paths):
            raise FaultError(office.refused[mail.forward_paths[0]])
        office.drafts.append(message_id)
        office.reach(Step.DRAFTED)
        try:
            before_handover()
        except Exception:
            self._put_away(message_id)
            raise
        office.reach(Step.ANNOUNCED)
        office.drafts.remove(message_id)
        office.delivered += [
            (message_id, path) for path in mail.forward_paths if path not in office.refused
        ]
        office.texts[message_id] = mail.mime
        office.reach(Step.TAKEN)
        return Accepted(
            tuple(
                Rejected(path, office.refused[path])
                for path in mail.forward_paths
                if path in office.refused
            )
        )

    def look_up(self, mail: MailObject) -> Whereabouts:
        self._ask()
        if self.office.sees_sent and self.office.recipients(mail.message_id):
            return Whereabouts.SENT
        is_clear = self.office.sees_sent and self.office.sees_unsent
        return Whereabouts.NOT_SENT if is_clear else Whereabouts.UNKNOWN

    def keep_copy(self, mail: MailObject) -> None:
        self._ask()
        self.office.reach(Step.COPYING)
        if mail.keeps_copy and mail.message_id not in self.office.sent_items:
            self.office.sent_items.append(mail.message_id)
        self.office.reach(Step.COPIED)

    def _put_away(self, message_id: str) -> None:
        self.office.drafts[:] = [one for one in self.office.drafts if one != message_id]

    def _ask(self) -> None:
        self.requests += 1
        if self.office.fault:
            raise FaultError(self.office.fault)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None
