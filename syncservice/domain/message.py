"""A message: from RFC 5322 bytes, however broken, to the value a CRM email record is made of.

Real mail breaks every rule there is, and a mailbox must not stop for it. So reading repairs what
it can, says so in `warnings`, and leaves empty what it can't. It decides nothing: who is known to
the CRM, or whether the mail belongs there, is asked elsewhere.

`addresses` reads address lists, `mime_text` charsets and encoded words, `mime_parts` the body.
"""

import enum
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz

from syncservice.domain.addresses import Address, addresses_in
from syncservice.domain.mime_parts import (
    LONGEST_HEADER,
    Content,
    MessageAttachment,
    Part,
    content_of,
    header,
    headers,
    tree_of,
)
from syncservice.domain.mime_text import Warnings, header_text, on_one_line, parameters, unfolded

__all__ = [
    "Message",
    "MessageAttachment",
    "Party",
    "Role",
    "UnreadableMessage",
    "message_id_in",
    "parse",
]


class UnreadableMessage(ValueError):
    """The bytes are no message at all; the text says why, in one sentence."""


class Role(enum.IntEnum):
    """How someone takes part in an email: the CRM's participation types."""

    SENDER = 1
    TO = 2
    CC = 3
    BCC = 4


@dataclass(frozen=True, slots=True)
class Party:
    """Someone named in the header."""

    role: Role
    address: str  # as written; '' when there was none we could write to, then `name` is all we know
    name: str


@dataclass(frozen=True, slots=True)
class Message:
    """One email. Every text in it can be stored in PostgreSQL and has LF at its line ends."""

    message_id: str  # with its angle brackets; '' when missing
    in_reply_to: str
    references: tuple[str, ...]
    subject: str
    parties: tuple[Party, ...]  # an address stands once in a role
    sent_at: datetime | None  # UTC; None: missing, unreadable or absurd
    text: str
    html: str  # where both forms are there, the HTML is complete and the text may lack parts
    attachments: tuple[MessageAttachment, ...]
    conversation_index: str  # Outlook's Thread-Index, base64
    delivered_to: tuple[str, ...]  # addresses on the envelope, as servers on the way noted them
    warnings: tuple[str, ...]
    fingerprint: str  # the same for one mail in two mailboxes, whatever transport did to it
    received_at: datetime | None = None  # UTC, as the last server on its way noted; None: none did
    content_class: str = ""  # what Exchange says it is

    @property
    def sender(self) -> Party | None:
        """The first author. None: the mail names nobody."""
        return next((party for party in self.parties if party.role is Role.SENDER), None)

    @property
    def recipients(self) -> tuple[Party, ...]:
        return tuple(party for party in self.parties if party.role is not Role.SENDER)

    @property
    def forwarded(self) -> tuple[bytes, ...]:
        """The messages that are attached whole, as a forward mailbox gets one."""
        return tuple(
            one.content for one in self.attachments if one.content_type == "message/rfc822"
        )


#: A date outside is a broken clock or a trick to stay on top of the list.
FIRST_YEAR, LAST_YEAR = 1900, 2199
_LONGEST_DATE = 200

#: Where servers note to whom they delivered a message: Postfix, Exim, qmail, Gmail, fetchmail.
_ENVELOPE = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to")

_HEADER_LINE = re.compile(rb"([!-9;-~]+)[ \t]*:")
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")
_ESSENTIAL = frozenset(
    b"from sender reply-to to cc bcc subject date message-id in-reply-to references received "
    b"mime-version content-type content-transfer-encoding content-disposition".split()
)
_COMMENT = re.compile(r"\([^()]*\)")
_BRACKETED = re.compile(r"<([^<>]*)>")


def parse(mime: bytes) -> Message:
    """Read a message. Raises UnreadableMessage for what can't be one, and nothing else."""
    warnings = Warnings()
    root = tree_of(_header_repaired(mime, warnings))
    content = content_of(root, warnings)
    if not root.keys() and not content.attachments and not (content.text + content.html).strip():
        raise UnreadableMessage("There is neither a header nor any text in it.")
    reader = _HeaderReader.of(root, warnings)
    subject = reader.text("subject")
    parties = tuple(_each_once(reader.parties()))
    sent_at = _moment(reader.text("date"), warnings)
    return Message(
        message_id=next(iter(_message_ids(reader.text("message-id"))), ""),
        in_reply_to=next(iter(_message_ids(reader.text("in-reply-to"))), ""),
        references=tuple(_message_ids(" ".join(reader.texts("references")))),
        subject=subject,
        parties=parties,
        sent_at=sent_at,
        text=content.text,
        html=content.html,
        attachments=content.attachments,
        conversation_index="".join(reader.text("thread-index").split()),
        delivered_to=tuple(dict.fromkeys(reader.envelope())),
        warnings=tuple(warnings.sentences),
        fingerprint=_fingerprint(parties, sent_at, subject, content),
        received_at=_moment(reader.last_stamp(), Warnings()),
        content_class=reader.text("content-class"),
    )


def message_id_in(header: bytes) -> str:
    """Return the Message-ID in a header; '' when there is none."""
    try:
        return parse(header).message_id
    except UnreadableMessage:
        return ""


def _header_repaired(mime: bytes, warnings: Warnings) -> bytes:
    """Return `mime` with a header block the parser reads to its end.

    The parser takes the first line that is no header field for the body, and everything behind it
    is lost: Subject, From and all. Lines before the last essential field are in the header still.
    """
    mime = mime.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    if b"\n" not in mime:
        mime = mime.replace(b"\r", b"\n")
    end = _END_OF_HEADER.search(mime)
    head, rest = (mime[: end.start()], mime[end.start() :]) if end else (mime, b"")
    lines = [line.rstrip(b"\r").replace(b"\r", b" ") for line in head.split(b"\n")]
    fields = [_HEADER_LINE.match(line) for line in lines]
    essential = [
        number for number, field in enumerate(fields) if field and field[1].lower() in _ESSENTIAL
    ]
    last = essential[-1] if essential else -1
    repaired: list[bytes] = []
    for number, (line, field) in enumerate(zip(lines, fields, strict=True)):
        if field is not None:
            repaired.append(field[1] + b":" + line[field.end() :])  # RFC 5322 4.5: "Subject : …"
        elif line[:1] in {b" ", b"\t"} and repaired:
            repaired.append(line)
        elif number > last and not (number == 0 and line.startswith(b"From ")):
            body = b"\n".join(head.split(b"\n")[number:])
            return b"\n".join([*repaired, b"", body]) + rest
        elif not line.startswith((b"From ", b">From ")):  # an mbox's line is no damage
            warnings.add("a line in the header that is no header field was skipped")
    return b"\n".join(repaired) + (rest or b"\n")


@dataclass(frozen=True, slots=True)
class _HeaderReader:
    """Reads the fields of one header as text."""

    root: Part
    charset: str  # declared for the body; undeclared 8-bit header text may be in it too
    warnings: Warnings

    @classmethod
    def of(cls, root: Part, warnings: Warnings) -> "_HeaderReader":
        declared = header(root, "content-type")
        return cls(root, parameters(declared, "", Warnings()).get("charset", ""), warnings)

    def text(self, name: str) -> str:
        """Return the first field called `name`, '' if there is none."""
        return next(iter(self.texts(name)), "")

    def texts(self, name: str) -> list[str]:
        values = headers(self.root, name)
        if any(len(value) >= LONGEST_HEADER for value in values):
            self.warnings.add(f"a {name} header was cut after {LONGEST_HEADER} characters")
        return [header_text(value, self.charset, self.warnings) for value in values]

    def parties(self) -> Iterable[Party]:
        yield from self._senders()
        for role, name in ((Role.TO, "to"), (Role.CC, "cc"), (Role.BCC, "bcc")):
            for value in headers(self.root, name):
                yield from self._parties(role, addresses_in(self._unfolded(value)))

    def envelope(self) -> Iterable[str]:
        for name in _ENVELOPE:
            for value in headers(self.root, name):
                for found in addresses_in(self._unfolded(value)):
                    if found.address:
                        yield on_one_line(found.address)

    def last_stamp(self) -> str:
        """Return the date that the last server on the way wrote, in the first Received."""
        received = headers(self.root, "received")[:1]
        return "".join(unfolded(value, "", Warnings()).rpartition(";")[2] for value in received)

    def _senders(self) -> Iterable[Party]:
        """Yield the authors; without From whoever sent for them; else the words in their place."""
        written = [self._unfolded(value) for value in headers(self.root, "from")]
        if len(written) > 1:
            self.warnings.add("only the first of several From headers was read")
        if not written:
            written = [self._unfolded(value) for value in headers(self.root, "sender")]
        if not written or not written[0].strip():
            return
        found = [author for author in addresses_in(written[0]) if author.address]
        if not found:
            self.warnings.add("the sender has no address")
            found = [Address("", written[0])]
        yield from self._parties(Role.SENDER, found)

    def _parties(self, role: Role, found: Iterable[Address]) -> Iterable[Party]:
        for one in found:
            name = header_text(one.name, self.charset, self.warnings)
            yield Party(role, on_one_line(one.address), name)

    def _unfolded(self, value: str) -> str:
        return unfolded(value, self.charset, self.warnings)


def _each_once(parties: Iterable[Party]) -> Iterable[Party]:
    seen: set[tuple[Role, str]] = set()
    for party in parties:
        key = (party.role, party.address.lower() or party.name)
        if key not in seen:
            seen.add(key)
            yield party


def _message_ids(value: str) -> list[str]:
    """Return the ids in a Message-ID, In-Reply-To or References field as <id>, each once.

    Where no id is bracketed, a word with an @ in it is taken for one, or the only word.
    """
    bracketed = _BRACKETED.findall(value)
    ids = ["".join(_COMMENT.sub("", found).split()) for found in bracketed]
    if not any(ids):
        words = [word.strip("<>,;\"'") for word in value.split()]
        ids = [word for word in words if "@" in word] or (words if len(words) == 1 else [])
    return list(dict.fromkeys(f"<{found}>" for found in ids if found))


def _moment(value: str, warnings: Warnings) -> datetime | None:
    """Read a Date field; an unknown zone counts as UTC (RFC 5322 section 4.3)."""
    if not value:
        return None
    plain = value[:_LONGEST_DATE]
    for _ in range(3):  # comments nest
        plain = _COMMENT.sub(" ", plain)
    plain = re.sub(r"\s*:\s*", ":", plain)
    try:
        fields = parsedate_tz(plain)
        if fields is not None:
            local = datetime(*fields[:6], tzinfo=UTC)
            moment = local - timedelta(seconds=fields[9] or 0)
            if FIRST_YEAR <= moment.year <= LAST_YEAR:
                return moment
    except (ArithmeticError, IndexError, TypeError, ValueError):
        pass  # parsedate_tz itself stumbles over some
    warnings.add("the date could not be read")
    return None


def _fingerprint(
    parties: tuple[Party, ...], sent_at: datetime | None, subject: str, content: Content
) -> str:
    """Digest what stays the same on every way a mail takes to a mailbox.

    Servers fold headers, re-encode bodies and change line ends, so white space doesn't count.
    """
    sender = next((party for party in parties if party.role is Role.SENDER), None)
    facts = [
        (sender.address.lower() or sender.name) if sender else "",
        sent_at.isoformat() if sent_at else "",
        subject,
        content.text,
        content.html,
        *sorted(map(_attachment_digest, content.attachments)),
    ]
    digest = hashlib.sha256()
    for fact in facts:
        data = " ".join(fact.split()).encode()
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()


def _attachment_digest(attachment: MessageAttachment) -> str:
    content = attachment.content.replace(b"\r\n", b"\n")  # what was sent as text is still text
    return f"{hashlib.sha256(content).hexdigest()} {attachment.filename}"
