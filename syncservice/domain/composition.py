"""Composition: from what somebody wrote in the CRM to the RFC 5322 bytes that leave.

What is written here is read back as it was by `message.parse`, but for white space: text ends with
one line break at least, line breaks are one kind, and a header field is one line. The same
composition gives the same bytes, so that an attempt after a crash hands over what the first did.

Nothing here sends, mints an id or knows a server. Addresses beyond ASCII stand in the header raw
(RFC 6532): whoever sends a header that isn't ASCII needs SMTPUTF8.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.generator import BytesGenerator
from email.message import EmailMessage, MIMEPart
from email.policy import EmailPolicy
from email.utils import format_datetime
from io import BytesIO

from syncservice.domain.addresses import addresses_in
from syncservice.domain.html_text import text_of
from syncservice.domain.message import MessageAttachment, Party, Role
from syncservice.domain.mime_text import lines_normalised, on_one_line, storable
from syncservice.domain.mime_writing import (
    charset_for,
    folded,
    mailbox_words,
    one_line,
    parameter_words,
    text_words,
)

#: RFC 5322 section 3.6.4 lets References grow for ever; servers cut headers of 64 KB and more.
MOST_REFERENCES = 30
_LONGEST_FILENAME = 255  # as much as is read

# Without the characters of a comment: readers take what looks like one out of an id.
_MESSAGE_ID = re.compile(r"<(?!.*=\?)[!-'*-;=?-~]{1,900}>")
_CONTENT_ID = re.compile(r"(?!.*=\?)[!-;=?-~]{1,900}")
_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}", re.ASCII)
#: Controls that an address may not have, and what looks encoded, which some readers decode.
_UNNAMEABLE = re.compile(r"[\x80-\x9f]|=\?")
_BODY_TYPES = {"text/plain", "text/html"}  # inline, they would be read as part of the body
#: What RFC 5322 text can't hold: NUL, a CR alone, more than 998 bytes in a line.
_NOT_TRANSPARENT = re.compile(rb"\x00|\r(?!\n)|[^\r\n]{999,}")
#: What goes as it stands: lines as people write them, in ASCII.
_NOT_PLAIN = re.compile(rb"[^\n]{79}|[^\t\n -~]")
_ESCAPED_IN_QUOTED_PRINTABLE = re.compile(rb"[^\t\n -<>-~]")


class CannotCompose(ValueError):
    """It can't be sent at all; the text says why and what helps, in one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """An email as it is to leave."""

    message_id: str  # with its angle brackets
    at: datetime  # aware
    author: Party  # From
    submitter: Party | None = None  # Sender: who sends on behalf of the author; None: the author
    parties: tuple[Party, ...]  # TO, CC and BCC; the latter are never named
    subject: str = ""
    text: str = ""  # '': what the HTML says
    html: str = ""
    attachments: tuple[MessageAttachment, ...] = ()
    in_reply_to: str = ""
    references: tuple[str, ...] = ()  # the oldest first
    asks_read_receipt: bool = False  # of the author (RFC 8098)
    charset: str = ""  # '', and where a text doesn't fit into it: UTF-8


def compose(composition: Composition) -> bytes:
    """Write an email, with CRLF at its line ends, or raise CannotCompose.

    A header field that can't be written is left out: an id in In-Reply-To, References or
    Content-ID that is none. Attachments stay as they are to the byte; a message that is attached
    gets CRLF at its line ends.
    """
    _refuse_unsendable(composition)
    message = EmailMessage(_AS_WRITTEN)
    for name, words in _fields(composition):
        message[name] = folded(name, words)
    content = _content(composition)
    for name, value in content.items():
        message[name] = value
    message.set_payload(content.get_payload())
    written = BytesIO()
    BytesGenerator(written, policy=_AS_WRITTEN).flatten(message)
    return written.getvalue()


def references_for(parent_message_id: str, parent_references: Iterable[str]) -> tuple[str, ...]:
    """Return the References of an answer: the parent's and the parent (RFC 5322 section 3.6.4).

    Where there are very many, the first, which began the conversation, and the last are kept.
    """
    others = (one for one in parent_references if one != parent_message_id)
    usable = filter(_MESSAGE_ID.fullmatch, (*others, parent_message_id))
    ids = tuple(dict.fromkeys(usable))
    return ids if len(ids) <= MOST_REFERENCES else (ids[0], *ids[1 - MOST_REFERENCES :])


def forward_paths(parties: Iterable[Party]) -> tuple[str, ...]:
    """Return each recipient's address once (RFC 5321), as it is spelled first."""
    found: dict[tuple[str, str], str] = {}
    for party in _recipients(parties):
        local, _, domain = party.address.rpartition("@")
        found.setdefault((local, domain.lower()), party.address)
    return tuple(found.values())


class _AsWritten(EmailPolicy):
    """Takes the values of header fields as this module makes them: encoded, safe and folded."""

    def header_store_parse(self, name: str, value: str) -> tuple[str, str]:
        return name, value

    def header_fetch_parse(self, name: str, value: str) -> str:
        return value

    def fold_binary(self, name: str, value: str) -> bytes:
        return f"{name}: {value}\r\n".encode()


_AS_WRITTEN = _AsWritten(linesep="\r\n", cte_type="8bit")


def _refuse_unsendable(composition: Composition) -> None:
    """Raise CannotCompose for what no server could take, and no reader answer."""
    author = composition.author
    if not _is_address(author.address):
        raise CannotCompose(
            f"{_shown(author)} can't send without a valid email address: give the sender one."
        )
    recipients = _recipients(composition.parties)
    if not recipients:
        raise CannotCompose("Nobody would get this email: add a recipient.")
    for party in filter(None, (composition.submitter, *recipients)):
        if not _is_address(party.address):
            raise CannotCompose(
                f"{_shown(party)} has no valid email address: correct it, or take it off the email."
            )
    if not _MESSAGE_ID.fullmatch(composition.message_id):
        raise CannotCompose("The Message-ID of this email is none: mint another.")


def _fields(composition: Composition) -> Iterable[tuple[str, Iterable[str]]]:
    """Yield the header fields but those of the content: name and words."""
    author, submitter = composition.author, composition.submitter
    recipients = _recipients(composition.parties)
    subject = one_line(composition.subject)
    references = references_for(composition.in_reply_to, composition.references)

    def mailboxes(*parties: Party) -> Iterable[str]:
        return _mailboxes(parties, composition.charset)

    yield "Date", [format_datetime(_in_whole_minutes(composition.at))]
    yield "From", mailboxes(author)
    if submitter is not None and submitter.address != author.address:  # RFC 5322 section 3.6.2
        yield "Sender", mailboxes(submitter)
    if all(party.role is Role.BCC for party in recipients):
        yield "To", ["undisclosed-recipients:;"]
    for name, role in (("To", Role.TO), ("Cc", Role.CC)):
        named = [party for party in recipients if party.role is role]
        if named:
            yield name, mailboxes(*named)
    yield "Subject", text_words(subject, composition.charset)
    yield "Message-ID", [composition.message_id]
    if _MESSAGE_ID.fullmatch(composition.in_reply_to):
        yield "In-Reply-To", [composition.in_reply_to]
    if references:
        yield "References", references
    if composition.asks_read_receipt:
        yield "Disposition-Notification-To", mailboxes(author)
    yield "MIME-Version", ["1.0"]


def _recipients(parties: Iterable[Party]) -> list[Party]:
    return [party for party in parties if party.role is not Role.SENDER]


def _mailboxes(parties: Iterable[Party], charset: str) -> Iterable[str]:
    """Return the words of an address list."""
    words: list[str] = []
    for party in parties:
        if words:
            words[-1] += ","
        words += mailbox_words(one_line(party.name), party.address, charset)
    return words


def _is_address(address: str) -> bool:
    """Say whether every reader, and RCPT, will find exactly this address."""
    if on_one_line(address) != address or _UNNAMEABLE.search(address):
        return False
    return all(
        [one.address for one in addresses_in(written)] == [address]
        for written in (address, f"<{address}>")
    )


def _shown(party: Party) -> str:
    words = on_one_line(" ".join(filter(None, (party.name, party.address)))).strip()
    return f"“{words[:100]}”" if words else "Somebody without a name"


def _in_whole_minutes(at: datetime) -> datetime:
    """Return `at` in its own zone, in UTC if a header can't say the zone's offset."""
    return at.astimezone(UTC) if (at.utcoffset() or timedelta()) % timedelta(minutes=1) else at


def _content(composition: Composition) -> MIMEPart:
    """Build the tree: mixed(alternative(text, related(html, pictures…)), files…), no empty level.

    In alternatives, the best form is the last (RFC 2046 section 5.1.4).
    """
    text, html = _body_text(composition.text), _body_text(composition.html)
    if not html.strip():
        html = ""
    elif not text.strip():
        text = _body_text(text_of(html))
    shown: list[MIMEPart] = []
    files: list[MIMEPart] = []
    for attachment in composition.attachments:
        (shown if html and _is_beside_html(attachment) else files).append(_attached(attachment))
    boundary = _boundary(composition)
    forms = []
    if not html or text.strip():
        forms.append(_text_part(text, "plain", composition.charset))
    if html:
        page = _text_part(html, "html", composition.charset)
        forms.append(_multipart("related", [page, *shown], boundary))
    body = _multipart("alternative", forms, boundary)
    return _multipart("mixed", [body, *files], boundary)


def _body_text(written: str) -> str:
    return lines_normalised(storable(written)).lstrip("\ufeff")


def _is_beside_html(attachment: MessageAttachment) -> bool:
    is_linkable = bool(_CONTENT_ID.fullmatch(attachment.content_id))
    return attachment.is_inline and is_linkable and _kind(attachment) not in _BODY_TYPES


def _boundary(composition: Composition) -> str:
    """Return what stands in no part: whoever knows it before has broken SHA-256."""
    digest = hashlib.sha256()
    contents = (attachment.content for attachment in composition.attachments)
    texts = (composition.message_id, composition.text, composition.html)
    for data in (*(storable(text).encode() for text in texts), *contents):
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()[:32]


def _multipart(subtype: str, parts: Sequence[MIMEPart], boundary: str) -> MIMEPart:
    """Return `parts` as one, a single part as it is."""
    if len(parts) == 1:
        return parts[0]
    whole = MIMEPart(_AS_WRITTEN)
    words = [f"multipart/{subtype};", f'boundary="=_{subtype[0]}_{boundary}"']
    if subtype == "related":
        words.insert(1, 'type="text/html";')  # RFC 2387 section 3.1
    whole["Content-Type"] = folded("Content-Type", words)
    if any(part["Content-Transfer-Encoding"] == "8bit" for part in parts):  # RFC 2045 section 6.4
        whole["Content-Transfer-Encoding"] = "8bit"
    for part in parts:
        whole.attach(part)
    return whole


def _text_part(text: str, subtype: str, wanted: str) -> MIMEPart:
    charset = charset_for(text, wanted)
    data = text.encode(charset)
    escaped = len(_ESCAPED_IN_QUOTED_PRINTABLE.findall(data))
    encoding = "quoted-printable" if escaped * 6 <= len(data) else "base64"
    part = MIMEPart(_AS_WRITTEN)
    part.set_content(
        text,
        subtype,
        charset=charset,
        cte=encoding if _NOT_PLAIN.search(data) else "7bit",
    )
    return part


class _AsText(MIMEPart):
    """A message inside, told to the generator as text: it would take it to pieces."""

    def get_content_maintype(self) -> str:
        return "text"


def _attached(attachment: MessageAttachment) -> MIMEPart:
    kind = _kind(attachment)
    if kind.startswith("message/"):  # in no transfer encoding: RFC 2046 section 5.2
        is_ascii = attachment.content.isascii()
        part: MIMEPart = _AsText(_AS_WRITTEN)
        part["Content-Type"] = kind
        part["Content-Transfer-Encoding"] = "7bit" if is_ascii else "8bit"
        part.set_payload(attachment.content.decode("ascii", "surrogateescape"))
    else:
        part = MIMEPart(_AS_WRITTEN)
        part.set_content(attachment.content, *kind.split("/"), cte="base64")
    is_inline = attachment.is_inline and kind not in _BODY_TYPES
    words = ["inline" if is_inline else "attachment"]
    filename = _filename(attachment.filename)
    if filename:
        words = [f"{words[0]};", *parameter_words("filename", filename)]
    part["Content-Disposition"] = folded("Content-Disposition", words)
    if _CONTENT_ID.fullmatch(attachment.content_id):
        part["Content-ID"] = f"<{attachment.content_id}>"
    return part


def _kind(attachment: MessageAttachment) -> str:
    """Return the type it is sent as; what can't be told, or has no bounds of its own, as any."""
    kind = attachment.content_type.lower()
    is_told = _TYPE.fullmatch(kind) and not kind.startswith("multipart/")
    if not is_told or (kind.startswith("message/") and _NOT_TRANSPARENT.search(attachment.content)):
        return "application/octet-stream"
    return kind


def _filename(name: str) -> str:
    """Return a name that names no folder, its end if it is long, '' if nothing is left."""
    last = re.sub(r"[/\\]", "_", one_line(name))[-_LONGEST_FILENAME:].strip()
    return last if last.strip(".") else ""
