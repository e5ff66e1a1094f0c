"""The tree of MIME parts made flat: one body, as text and as HTML, and the attachments.

The tree is cut by the standard library's BytesParser. Attached messages and delivery reports are
leaves to us: their bytes are kept as they came, and their text is not the body's.
"""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.message import Message as ParsedPart
from email.parser import BytesParser
from email.policy import compat32
from typing import cast
from urllib.parse import unquote

from syncservice.domain.mime_text import (
    Warnings,
    base64_bytes,
    decoded,
    header_text,
    lines_normalised,
    parameters,
)

#: Multiparts nested deeper are kept as one attachment: the parser recurses. Mail stays below 10.
DEEPEST = 30
#: A header value is read up to here: enough for 15,000 recipients.
LONGEST_HEADER = 1_000_000
_LONGEST_BOUNDARY = 1000  # RFC 2046 allows 70
_LONGEST_FILENAME = 255

_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}")
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_CONTENT_ID_LINK = re.compile(r"cid:([^\"'\s<>)]{1,500})", re.IGNORECASE)
_TRANSFER_ENCODINGS = {
    "base64": "base64",
    "xbase64": "base64",
    "quotedprintable": "quoted-printable",
    "qp": "quoted-printable",
    "uuencode": "x-uuencode",
    "uue": "x-uuencode",
    "xuuencode": "x-uuencode",
    "xuue": "x-uuencode",
} | dict.fromkeys(["", "7bit", "7bits", "8bit", "8bits", "binary"], "8bit")
_EXTENSIONS = {
    "application/ms-tnef": ".dat",
    "application/pdf": ".pdf",
    "application/pgp-signature": ".asc",
    "application/pkcs7-mime": ".p7m",
    "application/pkcs7-signature": ".p7s",
    "application/zip": ".zip",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/jpg": ".jpg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "message/rfc822": ".eml",
    "text/calendar": ".ics",
    "text/csv": ".csv",
    "text/html": ".html",
    "text/vcard": ".vcf",
}


@dataclass(frozen=True, slots=True)
class MessageAttachment:
    """A file that came with a message. Its name is never empty and names no folder."""

    filename: str
    content_type: str
    content: bytes
    content_id: str  # '' or the id without its angle brackets
    is_inline: bool  # shown inside the body, not listed beside it


class Part(ParsedPart):
    """A node of the tree, told to the parser as nothing but a multipart or a leaf."""

    depth = 0

    def attach(self, payload: ParsedPart | str) -> None:
        if isinstance(payload, Part):
            payload.depth = self.depth + 1
        super().attach(payload)

    def get_content_type(self) -> str:
        """Answer the parser, which would otherwise take attached messages to pieces."""
        kind = content_type(self)
        is_opened = kind.startswith("multipart/") and self.depth < DEEPEST
        return kind if is_opened else "application/octet-stream"

    def get_boundary(self, failobj: object = None) -> object:  # type: ignore[override]
        """Answer the parser in linear time, as its own way of reading parameters doesn't."""
        boundary = parameters(header(self, "content-type"), "", Warnings()).get("boundary", "")
        return boundary if 0 < len(boundary) <= _LONGEST_BOUNDARY else failobj


@dataclass(frozen=True, slots=True)
class Body:
    """Some text to read, in one or both forms."""

    text: str = ""
    html: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """What a message carries below its header."""

    text: str
    html: str
    attachments: tuple[MessageAttachment, ...]


def tree_of(mime: bytes) -> Part:
    """Parse `mime`, which never fails: what makes no sense becomes text."""
    return cast(Part, BytesParser(_class=Part, policy=compat32).parsebytes(mime))


def headers(part: ParsedPart, name: str) -> list[str]:
    """Return each header called `name` (lower case) as it was written, no longer than we read."""
    return [value[:LONGEST_HEADER] for key, value in part.raw_items() if key.lower() == name]


def header(part: ParsedPart, name: str) -> str:
    """Return the first header called `name` as it was written, '' if there is none."""
    return next(iter(headers(part, name)), "")


def content_type(part: ParsedPart) -> str:
    """Return the type in lower case; what is none is text/plain (RFC 2045 section 5.2)."""
    declared = header(part, "content-type")
    if not declared.strip():
        return part.get_default_type()
    kind = declared.partition(";")[0].strip().lower()
    return kind if _TYPE.fullmatch(kind) and kind.isascii() else "text/plain"


def content_of(root: Part, warnings: Warnings) -> Content:
    """Gather the body and the attachments of a whole message."""
    gathering = _Gathering(warnings)
    body = gathering.read(root)
    linked = {unquote(cid) for cid in _CONTENT_ID_LINK.findall(body.html)}
    attachments = tuple(
        MessageAttachment(
            found.filename or f"attachment-{number}{_extension(found.content_type)}",
            found.content_type,
            found.content,
            found.content_id,
            found.is_inline or found.content_id in linked,
        )
        for number, found in enumerate(gathering.attachments, start=1)
    )
    return Content(body.text, body.html, attachments)


def _extension(kind: str) -> str:
    fallback = ".txt" if kind.startswith(("text/", "message/")) else ".bin"
    return _EXTENSIONS.get(kind, fallback)


@dataclass(slots=True)
class _Gathering:
    """One walk through the tree: returns bodies upwards, collects attachments on the way."""

    warnings: Warnings
    attachments: list[MessageAttachment] = field(default_factory=list)
    has_body: bool = False

    def read(self, part: Part) -> Body:
        """Return the body inside `part`; everything else in it becomes attachments."""
        kind = content_type(part)
        if not part.is_multipart():
            return self._read_leaf(part, kind)
        children = [child for child in part.get_payload() if isinstance(child, Part)]
        if kind == "multipart/alternative":
            return self._read_alternative(children)
        if kind == "multipart/report":
            return self._read_report(children)
        return _one_after_another([self.read(child) for child in children])

    def _read_alternative(self, children: list[Part]) -> Body:
        """Return the same text in its two forms: the first plain one and the last, richest HTML."""
        others = [child for child in children if self._is_other_form(child)]
        is_alone = len(others) == len(children)
        bodies = [self.read(child) for child in children if is_alone or child not in others]
        for child in [] if is_alone else others:
            self.warnings.add(f"the body's alternative in {content_type(child)} was left out")
        return Body(
            next((body.text for body in bodies if body.text), ""),
            next((body.html for body in reversed(bodies) if body.html), ""),
        )

    def _is_other_form(self, part: Part) -> bool:
        kind = content_type(part)
        known = kind in {"text/plain", "text/html", "text/calendar"}
        return kind.startswith("text/") and not known and not self._is_attached(part)

    def _read_report(self, children: list[Part]) -> Body:
        """Return what a report says to people (RFC 6522: its first part); the rest is attached."""
        body = Body()
        for child in children:
            if body == Body() and content_type(child).startswith(("text/", "multipart/")):
                body = self.read(child)
            else:
                self._attach(child)
        return body

    def _read_leaf(self, part: Part, kind: str) -> Body:
        is_unopened = kind.startswith("multipart/")
        if is_unopened and part.depth >= DEEPEST:
            self.warnings.add(f"parts nested deeper than {DEEPEST} were kept as one attachment")
            is_unopened = False
        elif is_unopened:
            self.warnings.add("a multipart without its boundary was read as text")
        is_text = kind in {"text/plain", "text/html"} or is_unopened
        if not is_text or self._is_attached(part):
            self._attach(part)
            return Body()
        text = self._text(part, kind)
        self.has_body = self.has_body or not text.isspace()
        return Body(html=text) if kind == "text/html" else Body(text)

    def _is_attached(self, part: Part) -> bool:
        """Say whether a part of text is a file: told so, or named when there is a body already."""
        disposition = self._disposition(part)
        if disposition in {"attachment", "inline"}:
            return disposition == "attachment"
        return self.has_body and bool(self._filename(part))

    def _text(self, part: Part, kind: str) -> str:
        data = self._bytes(part)
        label = self._charset(part)
        if kind == "text/html" and not label:
            meta = _META_CHARSET.search(data[:2000])
            label = meta[1].decode("ascii", "replace") if meta is not None else ""
        return lines_normalised(decoded(data, label, self.warnings))

    def _attach(self, part: Part) -> None:
        kind = content_type(part)
        if part.is_multipart():
            for child in part.get_payload():
                if isinstance(child, Part):
                    self._attach(child)
            return
        content = self._bytes(part)
        name = self._filename(part)
        if kind == "message/rfc822" and not name:
            name = _as_filename(_subject_of(content, self.warnings) + ".eml")
        content_id = header_text(header(part, "content-id"), "", self.warnings).strip("<> ")
        is_inline = self._disposition(part) == "inline"
        self.attachments.append(MessageAttachment(name, kind, content, content_id, is_inline))

    def _disposition(self, part: Part) -> str:
        return header(part, "content-disposition").partition(";")[0].strip().lower()

    def _charset(self, part: Part) -> str:
        return self._parameters(part, "content-type").get("charset", "")

    def _filename(self, part: Part) -> str:
        """Return the name of a file, '' if it has none; each sender says it somewhere else."""
        location = header_text(header(part, "content-location"), "", self.warnings)
        candidates = (
            self._parameters(part, "content-disposition").get("filename", ""),
            self._parameters(part, "content-type").get("name", ""),
            location if "." in location.rpartition("/")[2] and "?" not in location else "",
        )
        return next(filter(None, map(_as_filename, candidates)), "")

    def _parameters(self, part: Part, name: str) -> dict[str, str]:
        return parameters(header(part, name), "", self.warnings)

    def _bytes(self, part: Part) -> bytes:
        """Return the content of a leaf, its transfer encoding undone."""
        declared = header_text(header(part, "content-transfer-encoding"), "", self.warnings)
        squeezed = re.sub(r"[^a-z0-9]", "", declared.partition(";")[0].lower())
        encoding = _TRANSFER_ENCODINGS.get(squeezed)
        if encoding is None:
            self.warnings.add(f"unknown transfer encoding {declared[:40]} read as it stands")
        del part["Content-Transfer-Encoding"]
        if encoding in {"quoted-printable", "x-uuencode"}:
            part["Content-Transfer-Encoding"] = encoding
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        return base64_bytes(data) if encoding == "base64" else data


def _one_after_another(bodies: Iterable[Body]) -> Body:
    """Join bodies that are to be read in a row: where there is HTML, the HTML holds all of it."""
    filled = [body for body in bodies if body != Body()]
    text = _joined([body.text for body in filled if body.text])
    if not any(body.html for body in filled):
        return Body(text)
    return Body(text, _joined([body.html or _as_html(body.text) for body in filled]))


def _joined(pieces: list[str]) -> str:
    ended = [piece if piece.endswith("\n") else piece + "\n" for piece in pieces[:-1]]
    return "".join([*ended, *pieces[-1:]])


def _as_html(text: str) -> str:
    return f"<pre>{html.escape(text, quote=False)}</pre>" if text.strip() else ""


def _as_filename(name: str) -> str:
    """Return the last component of a path, '' if there is no name left."""
    last = re.split(r"[/\\]", name)[-1].strip()
    if len(last) > _LONGEST_FILENAME:
        stem, dot, extension = last.rpartition(".")
        kept = _LONGEST_FILENAME - len(extension) - 1
        last = stem[:kept] + dot + extension if stem and kept > 0 else last[:_LONGEST_FILENAME]
    return "" if last in {".", ".."} else last


def _subject_of(mime: bytes, warnings: Warnings) -> str:
    head = re.split(rb"\r?\n\r?\n", mime[:LONGEST_HEADER], maxsplit=1)[0]
    subject = header_text(header(tree_of(head + b"\n\n"), "subject"), "", warnings)
    return re.sub(r'[/\\:*?"<>|]', "_", subject) or "message"
