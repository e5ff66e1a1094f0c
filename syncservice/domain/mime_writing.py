"""Text into mail: what `mime_text` reads, written. Charsets, words of a header, parameters, folds.

The standard library encodes single words here and does not fold: its way of folding cuts long
names and addresses beyond ASCII apart, and encodes addresses that have to be raw (RFC 6532).

A header field is a list of words with one space between any two; where a line is long enough, the
space is a fold. No word holds a line break, so no text can begin a field of its own.
"""

import re
from collections.abc import Iterable
from email import base64mime, quoprimime
from urllib.parse import quote

from syncservice.domain.mime_text import Warnings, codec_named, decoded, on_one_line

UTF_8 = "utf-8"
#: Bytes of a line where it can be folded; a word may have 900, so that no line has more than 998
#: (RFC 5322 section 2.1.1).
_LINE = 78
_LONGEST_ENCODED_WORD = 75  # RFC 2047 section 2
_LONGEST_VALUE = 50  # of a parameter in one piece

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,39}")
_ASCII = "".join(map(chr, range(32, 127)))
_PHRASE = re.compile(r"[\w!#$%&'*+/=?^`{|}~ -]+", re.ASCII)  # RFC 5322 section 3.2.3: atoms
_SIMPLE_ADDRESS = re.compile(r"[^\s\"\[\]']+")


def one_line(text: str) -> str:
    """Return `text` as a header field can hold it, and as it will be read.

    Line breaks and tabs become a space; other control characters and byte order marks go; so does
    white space at both ends. A lone surrogate becomes U+FFFD.
    """
    return on_one_line(text).replace("\ufeff", "").strip()


def charset_for(text: str, wanted: str) -> str:
    """Return `wanted` if it is a charset that holds `text`, else UTF-8.

    It has to write ASCII as ASCII, and its readers must see `text` again: many read a charset as
    its superset, and what looks like UTF-8 as UTF-8.
    """
    if codec_named(wanted) in {None, "utf_8"} or not _LABEL.fullmatch(wanted):
        return UTF_8
    try:
        data = text.encode(wanted)
        if _ASCII.encode(wanted) != _ASCII.encode():
            return UTF_8
    except (LookupError, UnicodeError):
        return UTF_8
    return wanted if decoded(data, wanted, Warnings()) == text else UTF_8


def text_words(text: str, charset: str) -> list[str]:
    """Return unstructured text: as it is where every reader understands it, else encoded."""
    is_plain = text.isascii() and "=?" not in text and "  " not in text
    words = text.split(" ")
    if is_plain and all(len(word) <= _LONGEST_ENCODED_WORD for word in words):
        return words
    return _encoded_words(text, charset)


def mailbox_words(name: str, address: str, charset: str) -> list[str]:
    """Return a name, '' if there is none, and an address in its angle brackets."""
    if not name:
        return [address if _SIMPLE_ADDRESS.fullmatch(address) else f"<{address}>"]
    return [*_phrase(name, charset), f"<{address}>"]


def parameter_words(name: str, value: str) -> list[str]:
    """Return a parameter of a Content-… field, in pieces and in UTF-8 where needed (RFC 2231)."""
    if value.isascii() and len(value) <= _LONGEST_VALUE and not re.search(r'=\?|["\\]', value):
        return [f'{name}="{value}"']
    pieces = [""]
    for character in value:
        escaped = quote(character, safe="")
        if len(pieces[-1]) + len(escaped) > _LONGEST_VALUE:
            pieces.append("")
        pieces[-1] += escaped
    pieces[0] = f"{UTF_8}''{pieces[0]}"
    if len(pieces) == 1:
        return [f"{name}*={pieces[0]}"]
    numbered = [f"{name}*{number}*={piece}" for number, piece in enumerate(pieces)]
    return [*(f"{piece};" for piece in numbered[:-1]), numbered[-1]]


def folded(name: str, words: Iterable[str]) -> str:
    """Return the value of the field `name`, with folds where its lines would be long."""
    written: list[str] = []
    length = len(name) + 1  # and its colon
    for word in words:
        size = len(word.encode()) + 1
        is_fold = bool(written) and length + size > _LINE
        written.append(f"\r\n {word}" if is_fold else f" {word}")
        length = size if is_fold else length + size
    return "".join(written).removeprefix(" ")


def _phrase(name: str, charset: str) -> list[str]:
    is_short = len(name) <= _LONGEST_ENCODED_WORD - 2
    if not is_short or not name.isascii() or "=?" in name:
        return _encoded_words(name, charset)
    if _PHRASE.fullmatch(name) and "  " not in name:
        return name.split(" ")
    escaped = re.sub(r'(["\\])', r"\\\1", name)
    return [f'"{escaped}"']


def _encoded_words(text: str, charset: str) -> list[str]:
    """Return `text` as encoded words (RFC 2047), none of which cuts a character in two."""
    label = charset_for(text, charset)
    data = text.encode(label)
    is_quoted = quoprimime.header_length(bytearray(data)) <= base64mime.header_length(data)
    code = quoprimime if is_quoted else base64mime
    room = _LONGEST_ENCODED_WORD - len(f"=?{label}?q??=")
    pieces = [""]
    for character in text:
        longer = bytearray((pieces[-1] + character).encode(label))
        if pieces[-1] and code.header_length(longer) > room:
            pieces.append("")
        pieces[-1] += character
    return [code.header_encode(piece.encode(label), label) for piece in pieces]
