"""RFC 5322 text to properties and back.

Reading never fails: mail that no standard knows is still mail. Headers are decoded as far as they
can be, and text in an unknown charset is read with replacement characters.
"""

import email
import email.policy
import email.utils
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.header import Header, decode_header
from email.message import EmailMessage, Message
from email.utils import format_datetime, formataddr, getaddresses, parsedate_to_datetime

from syncservice.simulator.exchange.moments import now, read_moment, write_moment
from syncservice.simulator.exchange.values import Address, Body, People, Value, as_html, plain_text

ADDRESS_HEADERS = {
    "From": "From",
    "Sender": "Sender",
    "To": "ToRecipients",
    "Cc": "CcRecipients",
    "Bcc": "BccRecipients",
    "Reply-To": "ReplyTo",
}
TEXT_HEADERS = {
    "Subject": "Subject",
    "Message-ID": "InternetMessageId",
    "In-Reply-To": "InReplyTo",
    "References": "References",
}
#: Properties that stand in the RFC 5322 text: when one changes, the text is written anew.
IN_TEXT = frozenset([*ADDRESS_HEADERS.values(), *TEXT_HEADERS.values(), "Body", "Importance"])
IMPORTANCE = {"1": "High", "2": "High", "high": "High", "4": "Low", "5": "Low", "low": "Low"}
FOLDING = re.compile(r"\r?\n(?=[ \t])")


@dataclass(frozen=True, slots=True)
class File:
    """An attachment within RFC 5322 text."""

    name: str
    content_type: str
    content: bytes
    content_id: str
    is_inline: bool
    is_message: bool


@dataclass(slots=True)
class Parts:
    """What a text consists of."""

    values: dict[str, Value] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)


def read_mime(source: bytes) -> Parts:
    """Take RFC 5322 text apart."""
    message = email.message_from_bytes(source)
    parts = Parts(headers=headers_of(message))
    raw = {name.lower(): value for name, value in reversed(parts.headers)}  # the first one counts
    for header, key in TEXT_HEADERS.items():
        if header.lower() in raw:
            parts.values[key] = decoded(raw[header.lower()]).strip()
    for header, key in ADDRESS_HEADERS.items():
        people = read_people(raw.get(header.lower(), ""))
        if people:
            parts.values[key] = people
    if "From" in parts.values:
        parts.values.setdefault("Sender", parts.values["From"])
    importance = raw.get("importance", raw.get("x-priority", "")).strip().lower()
    parts.values["Importance"] = IMPORTANCE.get(importance[:4].split(" ")[0], "Normal")
    sent = read_date(raw.get("date", ""))
    if sent:
        parts.values["DateTimeSent"] = sent
    read_bodies(message, parts)
    return parts


def headers_of(message: Message) -> list[tuple[str, str]]:
    """The headers in their order, each as one line."""
    return [(name, unfold(value)) for name, value in message.raw_items()]


def read_headers(source: bytes) -> list[tuple[str, str]]:
    """The headers of RFC 5322 text alone."""
    return headers_of(email.message_from_bytes(source))


def unfold(value: object) -> str:
    """A header as one line; raw bytes in it are taken as UTF-8."""
    text = FOLDING.sub("", str(value))
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def decoded(value: str) -> str:
    """Decode RFC 2047 words as far as they can be."""
    if "=?" not in value:
        return value
    try:
        pieces = decode_header(value)
    except (ValueError, email.errors.HeaderParseError):
        return value
    return "".join(
        piece if isinstance(piece, str) else in_charset(piece, charset) for piece, charset in pieces
    )


def in_charset(data: bytes, charset: str | None) -> str:
    """Decode bytes; an unknown charset is read as UTF-8 with replacements."""
    try:
        return data.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace")


def read_people(value: str) -> People:
    """The addresses of a header."""
    if not value:
        return ()
    found = getaddresses([value])
    return tuple(Address(decoded(name).strip(), address) for name, address in found if address)


def read_date(value: str) -> str:
    """The Date header as EWS writes it; empty if there is none that can be read."""
    try:
        moment = parsedate_to_datetime(value)
        return write_moment(read_moment(moment.isoformat()))
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def read_bodies(message: Message, parts: Parts) -> None:
    """Find the body Exchange would show, and the attachments."""
    bodies: dict[str, Body] = {}
    for part in leaves(message):
        kind = part.get_content_type()
        disposition = part.get_content_disposition()
        if kind in ("text/plain", "text/html") and disposition != "attachment":
            if kind not in bodies:
                text = in_charset(payload_of(part), str(part.get_content_charset("utf-8")))
                bodies[kind] = Body(text.replace("\r\n", "\n"), kind == "text/html")
                continue
            if part.get_filename() is None:
                continue
        parts.files.append(file_of(part, kind, disposition))
    body = bodies.get("text/html") or bodies.get("text/plain")
    parts.values["Body"] = body or Body("", False)


def leaves(message: Message) -> Iterable[Message]:
    """The parts that hold content; an attached message is one."""
    if message.get_content_type() != "message/rfc822" and message.is_multipart():
        for part in message.get_payload():
            if isinstance(part, Message):
                yield from leaves(part)
    else:
        yield message


def payload_of(part: Message) -> bytes:
    """The decoded content of a part."""
    if part.is_multipart():
        inner = part.get_payload()
        first = inner[0] if isinstance(inner, list) and inner else None
        return first.as_bytes() if isinstance(first, Message) else b""
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def file_of(part: Message, kind: str, disposition: str | None) -> File:
    """An attachment as the client will see it."""
    try:
        name = decoded(str(part.get_filename() or ""))
    except (ValueError, LookupError):
        name = ""
    content_id = str(part.get("Content-ID") or "").strip().strip("<>")
    is_message = kind == "message/rfc822"
    content = payload_of(part)
    if is_message and not name:
        name = decoded(str(email.message_from_bytes(content).get("Subject") or "message"))
    is_inline = disposition == "inline" or (bool(content_id) and disposition is None)
    return File(name or "attachment", kind, content, content_id, is_inline, is_message)


def write_mime(values: dict[str, Value], files: list[tuple[str, str, bytes, str, bool]]) -> bytes:
    """Write properties and files (name, type, content, content id, inline) as RFC 5322 text."""
    head: list[str] = []
    for header, key in ADDRESS_HEADERS.items():
        people = values.get(key)
        if isinstance(people, tuple):
            named = (labelled(one) for one in people if isinstance(one, Address) and one.email)
            put(head, header, ", ".join(named))
    for header, key in TEXT_HEADERS.items():
        put(head, header, encoded(str(values.get(key) or "")))
    sent = values.get("DateTimeSent")
    put(head, "Date", format_datetime(read_moment(sent) if isinstance(sent, str) else now()))
    if values.get("Importance", "Normal") != "Normal":
        put(head, "Importance", str(values["Importance"]))
    for key, value in values.items():
        if key.startswith("set-header:") and isinstance(value, str):
            put(head, key.partition(":")[2], encoded(value))
    content = EmailMessage(policy=email.policy.SMTP)
    body = values.get("Body")
    body = body if isinstance(body, Body) else Body("", False)
    content.set_content(clean(plain_text(body)), cte="quoted-printable")
    if body.is_html:
        content.add_alternative(clean(as_html(body)), subtype="html", cte="quoted-printable")
    for file in files:
        attach(content, *file)
    return "".join(head).encode("utf-8", "replace") + content.as_bytes()


def labelled(address: Address) -> str:
    """An address with its name; one beyond ASCII is written as RFC 6532 has it."""
    try:
        return formataddr((clean(address.name), address.email))
    except UnicodeError:
        return f"{encoded(address.name)} <{address.email}>"


def encoded(value: str) -> str:
    """A header's text, as RFC 2047 words where it is not ASCII."""
    value = " ".join(clean(value).split())
    return value if value.isascii() else Header(value, "utf-8").encode(linesep="")


def put(head: list[str], name: str, value: str) -> None:
    """Add a header, if it has a value; always one line."""
    value = " ".join(value.split())
    if value:
        head.append(f"{name}: {value}\r\n")


def clean(text: str) -> str:
    """Text without lone surrogates, which no charset can write."""
    return text.encode("utf-8", "replace").decode("utf-8")


def attach(
    message: EmailMessage, name: str, kind: str, content: bytes, content_id: str, is_inline: bool
) -> None:
    """Add one file or one attached message."""
    if kind == "message/rfc822":
        message.add_attachment(email.message_from_bytes(content, policy=email.policy.SMTP))
        return
    main, _, sub = kind.partition("/")
    message.add_attachment(
        content,
        maintype=main or "application",
        subtype=sub or "octet-stream",
        filename=name,
        cid=f"<{content_id}>" if content_id else None,
        disposition="inline" if is_inline else "attachment",
    )


def with_header(source: bytes, name: str, value: str) -> bytes:
    """Put one more header in front of the text."""
    return f"{name}: {value}\r\n".encode() + source


def without_header(source: bytes, name: str) -> bytes:
    """Take a header out of the text, with its folded lines."""
    head, gap, rest = source.partition(b"\r\n\r\n")
    if not gap:
        head, gap, rest = source.partition(b"\n\n")
    pattern = rb"(?im)^" + name.encode() + rb":.*\r?\n(?:[ \t].*\r?\n)*"
    return re.sub(pattern, b"", head + b"\n")[:-1] + gap + rest
