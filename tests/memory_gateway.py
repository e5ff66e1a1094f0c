"""A mail server in memory that honours `servers.gateway.Incoming`; no mock: it works."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
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
    Category,
    Fetched,
    Gone,
    Listed,
    MailFolder,
    NotFetched,
    Page,
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
