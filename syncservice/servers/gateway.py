"""What `sync` asks of a mail server, in its own words; nothing here hints at a protocol.

Implementations inherit from nothing. All of them translate every foreign error into a
`FaultError` at their border and pass the suite in `tests/contracts/`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from syncservice.domain.faults import Fault


@dataclass(frozen=True, slots=True)
class Listed:
    """An item that is new or changed behind the cursor."""

    item_id: str
    size: int  # bytes, as the server counts; 0: not told
    received_at: datetime | None = None  # None: the server doesn't say before it is fetched
    subject: str = ""  # '': the same


@dataclass(frozen=True, slots=True)
class Page:
    """Some changes, and the cursor behind them."""

    items: tuple[Listed, ...]
    cursor: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class Fetched:
    """A message as it came."""

    item_id: str
    mime: bytes  # RFC 5322
    received_at: datetime | None  # None: the server doesn't say


@dataclass(frozen=True, slots=True)
class NotFetched:
    """A message that the server would not give, and why; the others are not concerned."""

    item_id: str
    size: int  # as listed
    fault: Fault
    subject: str = ""  # as listed


@dataclass(frozen=True, slots=True)
class Gone:
    """An item that was moved or deleted since it was listed."""

    item_id: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which organisation keeps a mailbox in step, as the mailbox itself says (F019)."""

    organisation: str  # id
    at: datetime  # of its last test


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

    def page(self, cursor: str, limit: int) -> Page:
        """Return at most `limit` changes behind `cursor` ('': everything), or raise FaultError.

        A fault of nature RESYNC says that the server no longer knows the cursor.
        """

    def fetch(self, items: Sequence[Listed]) -> Iterator[Fetched | NotFetched | Gone]:
        """Yield an answer for each of `items`, or raise FaultError.

        A server may have answered only some, or others: who asks looks for what is missing.
        """

    def check(self) -> None:
        """Return when the server still answers for the mailbox, or raise FaultError."""


class Outgoing(Conversation, Protocol):
    """The way out for the email of one mailbox."""

    def send(self, mime: bytes, forward_paths: Sequence[str]) -> None:
        """Hand a message over to the server, from the mailbox's own address, or raise FaultError.

        `forward_paths` are the recipients' addresses (RFC 5321); those in `mime` don't count.
        """


class Activities(Conversation, Protocol):
    """The appointments, contacts and tasks of one mailbox."""

    def open(self) -> None:
        """Look that the three folders can be opened, or raise FaultError."""

    def stamp(self) -> Stamp | None:
        """Return what the mailbox says of who keeps it in step; None: nobody."""

    def put_stamp(self, stamp: Stamp) -> None:
        """Write it, over any other."""
