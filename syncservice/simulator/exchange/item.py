"""One item of a mailbox, and its attachments.

What came as RFC 5322 text is only taken apart when somebody asks for a property of it: a bench may
deliver a hundred thousand messages of which it reads the MIME content alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncservice.simulator.exchange import schema
from syncservice.simulator.exchange.mime import read_mime, write_mime
from syncservice.simulator.exchange.values import Address, Attendee, Value

if TYPE_CHECKING:
    from syncservice.simulator.exchange.folder import Folder


@dataclass(slots=True, eq=False)
class Attachment:
    """A file, or an item that stands in no folder, attached to an item."""

    name: str
    content_type: str = "application/octet-stream"
    content: bytes = b""
    content_id: str = ""
    is_inline: bool = False
    item: Item | None = None  # None: a file
    number: int = 0  # within its item; 0: not attached yet
    id: str = ""
    modified: str = ""

    @property
    def size(self) -> int:
        """Its length in bytes, as the client is told."""
        return len(self.content) if self.item is None else self.item.size


@dataclass(slots=True, eq=False)
class Item:
    """An item; `element` is how it is written, `values` what was set, by key (see paths)."""

    element: str
    values: dict[str, Value] = field(default_factory=dict)
    source: bytes | None = None  # RFC 5322 text it came as; None: write one from the values
    attachments: list[Attachment] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)

    # Its place; set by the mailbox.
    uid: int = 0
    id: str = ""
    change_key: str = ""
    version: int = 0
    folder: Folder | None = None  # None: an attached item
    versions: dict[str, int] = field(default_factory=dict)  # key -> version of its last change

    # Of the master of a series, by index: what was changed (None: taken away), what was deleted.
    exceptions: dict[int, dict[str, Value | None]] = field(default_factory=dict)
    dropped: set[int] = field(default_factory=set)
    # Of an occurrence; no master: it is none.
    master: Item | None = None
    index: int = 0

    # Its place in the folder's change log.
    number: int = 0
    changed: int = 0
    read_changed: int = 0
    deleted: bool = False

    rendered: dict[str, str] = field(default_factory=dict)  # fragments of answers, until a change
    is_parsed: bool = True

    @classmethod
    def of_mime(cls, source: bytes, values: dict[str, Value]) -> Item:
        """A message that arrived as RFC 5322 text; `values` are the store's own about it."""
        return cls("Message", values, source, is_parsed=False)

    def parse(self) -> None:
        """Take the RFC 5322 text apart, once; what was set before stays."""
        if self.is_parsed or self.source is None:
            return
        self.is_parsed = True
        parts = read_mime(self.source)
        self.values = {**parts.values, **self.values}
        self.headers = parts.headers
        for file in parts.files:
            inner = None
            if file.is_message:
                inner = Item.of_mime(file.content, {"ItemClass": "IPM.Note"})
            self.attachments.append(
                Attachment(
                    file.name,
                    file.content_type,
                    b"" if inner else file.content,
                    file.content_id,
                    file.is_inline,
                    inner,
                )
            )

    def get(self, key: str) -> Value | None:
        """The value under `key`; None: not set."""
        value = self.values.get(key)
        if value is None and not self.is_parsed:
            self.parse()
            value = self.values.get(key)
        return value

    def text(self, key: str, default: str = "") -> str:
        """The value of a plain property."""
        value = self.get(key)
        return value if isinstance(value, str) else default

    def is_set(self, key: str) -> bool:
        """Whether a boolean property is true."""
        return self.text(key) == "true"

    def people(self, *keys: str) -> list[Address]:
        """The addresses in these recipient properties."""
        found: list[Address] = []
        for key in keys:
            value = self.get(key)
            if isinstance(value, tuple):
                found += [one for one in value if isinstance(one, Address)]
        return found

    def attendees(self, *keys: str) -> list[Attendee]:
        """The attendees in these properties; in all that have some without any."""
        found: list[Attendee] = []
        for key in keys or schema.ATTENDEE_LISTS:
            value = self.get(key)
            if isinstance(value, tuple):
                found += [one for one in value if isinstance(one, Attendee)]
        return found

    def all_attachments(self) -> list[Attachment]:
        """The attachments, also those that came within the RFC 5322 text."""
        self.parse()
        return self.attachments

    def mime(self) -> bytes:
        """The item as RFC 5322 text; written from its properties if it did not come as one."""
        if self.source is None:
            files = [
                (a.name, a.content_type, a.content, a.content_id, a.is_inline)
                if a.item is None
                else (a.name, "message/rfc822", a.item.mime(), "", False)
                for a in self.attachments
            ]
            self.source = write_mime(self.values, files)
        return self.source

    def forget_mime(self) -> None:
        """Drop the RFC 5322 text, since a property that stands in it is about to change."""
        self.parse()
        self.source = None
        self.headers = []

    @property
    def size(self) -> int:
        """Its size in bytes, as the client is told."""
        if self.element in schema.MESSAGES or self.source is not None:
            return len(self.mime())
        return 512 + sum(attachment.size for attachment in self.attachments)

    def copy_values(self, dropped: Iterable[str] = ()) -> dict[str, Value]:
        """The values of a copy, without those `dropped`."""
        self.parse()
        return {key: value for key, value in self.values.items() if key not in dropped}
