"""A mail server in memory that honours `servers.gateway.Incoming`; no mock: it works."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from itertools import count

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.servers.gateway import Fetched, Gone, Listed, NotFetched, Page

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
    """The Inbox of one mailbox: a log of item ids, a cursor is a place in it."""

    log: list[str] = field(default_factory=list)
    items: dict[str, bytes] = field(default_factory=dict)
    bad: dict[str, Fault] = field(default_factory=dict)  # by item id
    fault: Fault | None = None  # raised by every page
    epoch: int = 0  # a cursor of another epoch is refused
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def deliver(self, *messages: bytes) -> list[str]:
        ids = [f"item-{next(self.numbers)}" for _ in messages]
        self.items |= dict(zip(ids, messages, strict=True))
        self.log += ids
        return ids

    def touch(self, item_id: str) -> None:
        self.log.append(item_id)


@dataclass
class MemoryIncoming:
    server: MemoryServer
    requests: int = 0
    fetched: list[str] = field(default_factory=list)

    def page(self, cursor: str, limit: int) -> Page:
        self.requests += 1
        if self.server.fault:
            raise FaultError(self.server.fault)
        epoch, place = (int(part) for part in (cursor or f"{self.server.epoch}:0").split(":"))
        if epoch != self.server.epoch:
            raise FaultError(fault(Nature.RESYNC))
        ids = self.server.log[place : place + limit]
        sizes = {item: len(self.server.items.get(item, b"")) for item in ids}
        return Page(
            tuple(Listed(item, size) for item, size in sizes.items()),
            f"{epoch}:{place + len(ids)}",
            place + limit >= len(self.server.log),
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

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None
