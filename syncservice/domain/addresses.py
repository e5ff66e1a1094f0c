"""Address lists as they really arrive: RFC 5322, its obsolete forms, and what is sent instead.

The standard library's reader recurses on nested comments and changed its verdicts between Python
versions, so we cut the list into words ourselves, in one pass. Names are returned raw: the caller
reads their encoded words after the list is cut, because a decoded name may hold a comma.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

#: Bytes of an address: 64 before the @ and 255 behind it (RFC 5321 section 4.5.3.1). Nobody can
#: write to a longer one, and an index of PostgreSQL holds 2,700.
LONGEST_ADDRESS = 320

_ADDRESS = re.compile(
    r'(?:[^\s@<>()\[\],;:\\"]+|"[^"\\]*(?:\\.[^"\\]*)*")@(?:\[[^\s\[\]]+\]|[^\s@<>()\[\],;:\\"]+)'
)
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<special>[,;:<>])
      | (?P<quote>")
      | (?P<comment>\()
      | (?P<word>=\?[^?\s]{1,80}\?[bBqQ]\?[^?\s]*\?=      # an encoded word, commas and all
               | \[[^\[\]\s]*\]                           # a domain literal, colons and all
               | [^\s,;:<>"(\[=]+ | .)""",
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_PARENTHESIS = re.compile(r"[()]|\\.", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPACED = re.compile(r"\s[.@]|@\s")
_AROUND_DOT = re.compile(r"\s*([.@])\s*")
#: What gateways write where nobody is to be named, often mangled: not a party.
_NOBODY = re.compile(r"undisclosed.?(?:recipient|sender)|^\W*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """One member of a list. `address` is '' when it holds none we could write to; then `name` is
    all of its text."""

    address: str
    name: str


def addresses_in(header: str) -> list[Address]:
    """Return the members of an unfolded address list; those of groups count, empty groups don't."""
    reader = _Reader()
    for kind, raw, plain in _tokens(header):
        reader.read(kind, raw, plain)
    reader.end_member()
    return reader.found


class _Kind(Enum):
    SPACE = 1
    SPECIAL = 2
    COMMENT = 3
    WORD = 4


def _tokens(text: str) -> Iterator[tuple[_Kind, str, str]]:
    """Cut `text` into tokens: kind, text as written, text without its quotes."""
    position = 0
    while (match := _TOKEN.match(text, position)) is not None:
        position = match.end()
        if match["quote"]:
            quoted = _QUOTED.match(text, match.start())
            if quoted is None:  # never closed: from here on quotes mean nothing
                text, position = text[position:].replace('"', ""), 0
                continue
            position = quoted.end()
            yield _Kind.WORD, quoted[0], _ESCAPED.sub(r"\1", quoted[1])
        elif match["comment"]:
            end = _comment_end(text, match.start())
            if end is None:  # never closed: from here on parentheses mean nothing
                text, position = re.sub(r"[()]", " ", text[position:]), 0
                continue
            yield _Kind.COMMENT, text[match.start() : end], text[position : end - 1]
            position = end
        elif match["space"]:
            yield _Kind.SPACE, " ", " "
        elif match["special"]:
            yield _Kind.SPECIAL, match[0], match[0]
        else:
            yield _Kind.WORD, match[0], match[0]


def _comment_end(text: str, start: int) -> int | None:
    depth = 0
    for match in _PARENTHESIS.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return None


@dataclass(slots=True)
class _Member:
    """What was read of one member so far."""

    words: list[tuple[str, str]] = field(default_factory=list)  # as written, without its quotes
    written: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    angle: list[str] | None = None  # what stands between < and >; None: no < yet
    is_in_angle: bool = False
    is_glued: bool = False  # no space since the last word
    follows_angle: bool = False  # begun behind > without a comma

    def add_word(self, raw: str, plain: str) -> None:
        if self.is_glued:
            raw, plain = self.words[-1][0] + raw, self.words[-1][1] + plain
            self.words.pop()
        self.words.append((raw, plain))
        self.is_glued = True

    def name(self) -> str:
        """Return its words before <, or else what its comments say."""
        is_angled = self.angle is not None
        words = [plain for raw, plain in self.words if is_angled or not _address_in(raw)]
        return " ".join(words).strip() or " ".join(filter(None, self.comments))


class _Reader:
    """Takes the tokens of a list one by one and collects its members."""

    def __init__(self) -> None:
        self.found: list[Address] = []
        self._member = _Member()
        self._surname = ""  # words before a comma that may belong to the next member

    def read(self, kind: _Kind, raw: str, plain: str) -> None:
        member = self._member
        if kind is _Kind.COMMENT:
            member.comments.append(plain.strip())
        elif kind is _Kind.SPECIAL and self._took_special(raw):
            pass
        elif member.is_in_angle and member.angle is not None:
            member.written.append(raw)
            member.angle.append(raw)
        elif kind is _Kind.SPACE:
            member.written.append(raw)
            member.is_glued = False
        else:
            if member.angle is not None:
                self.end_member()
                self._member.follows_angle = True
            self._member.written.append(raw)
            self._member.add_word(raw, plain)

    def _took_special(self, special: str) -> bool:
        """Act on one of , ; : < > and return whether it meant anything here."""
        member = self._member
        if special in ",;":
            if member.is_in_angle and not _address_in("".join(member.angle or ())):
                return False  # part of a route, or of nonsense
            self.end_member(is_comma=special == ",")
        elif special == "<":
            if member.angle is not None:
                self.end_member()
            self._member.written.append(special)
            self._member.angle = []
            self._member.is_in_angle = True
        elif special == ">":
            member.written.append(special)
            member.is_in_angle = False
        elif member.is_in_angle or any("@" in raw for raw, _ in member.words):
            return False  # a colon inside an address
        else:
            self._member = _Member()  # it was the name of a group, or "mailto"
        return True

    def end_member(self, *, is_comma: bool = False) -> None:
        """Conclude the member being read and begin another."""
        member, self._member = self._member, _Member()
        text = "".join(member.written).strip()
        if member.angle is not None:
            self._add_angled(member, text)
        elif is_comma and text and "@" not in text and not _NOBODY.search(text):
            self._add_surname()
            self._surname = f"{text}, "  # Outlook forgets the quotes of "Doe, John" <…>
            return
        elif member.words:
            self._add_bare(member, text)
        self._add_surname()

    def _add_angled(self, member: _Member, text: str) -> None:
        address = _address_in("".join(member.angle or ()))
        if address:
            self.found.append(Address(address, self._surname + member.name()))
            self._surname = ""
        else:
            self._add_unusable(text)

    def _add_bare(self, member: _Member, text: str) -> None:
        self._add_surname()
        usable = [address for raw, _ in member.words if (address := _address_in(raw))]
        together = " ".join(raw for raw, _ in member.words)
        spaced = _address_in(together) if _SPACED.search(together) else ""
        if spaced:
            self.found.append(Address(spaced, " ".join(filter(None, member.comments))))
        elif len(usable) == 1:
            self.found.append(Address(usable[0], member.name()))
        elif usable:  # the commas were forgotten
            self.found.extend(Address(address, "") for address in usable)
        elif not member.follows_angle:
            self._add_unusable(text)

    def _add_surname(self) -> None:
        if self._surname:
            self._add_unusable(self._surname.removesuffix(", "))
            self._surname = ""

    def _add_unusable(self, text: str) -> None:
        if not _NOBODY.search(text):
            self.found.append(Address("", text))


def _address_in(text: str) -> str:
    """Return `text` as an address without obsolete spaces and routes, '' if it is none."""
    text = text.strip()
    if text.startswith("@"):  # RFC 5322 4.4: <@relay.example:joe@example.org>
        text = text.rpartition(":")[2]
    text = _AROUND_DOT.sub(r"\1", text.removeprefix("mailto:"))  # RFC 5322 4.4: jdoe@test . example
    if text.startswith("'") and text.endswith("'"):  # Outlook's quotes, which are none
        text = text[1:-1]
    is_short = len(text.encode("utf-8", "replace")) <= LONGEST_ADDRESS
    return text if is_short and _ADDRESS.fullmatch(text) else ""
