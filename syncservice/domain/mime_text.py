"""Text out of mail: bytes in some charset, headers with encoded words, header parameters.

Everything returned here can be stored in a PostgreSQL text column: no NUL, no lone surrogates.
Nothing raises, whatever the input; what had to be guessed is said in a warning. Every function
takes time linear in its input, which comes from strangers.
"""

import binascii
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from encodings.aliases import aliases
from itertools import groupby
from urllib.parse import unquote_to_bytes

import charset_normalizer

#: A warning list is read by a person: past this many, another one tells nothing new.
MOST_WARNINGS = 20

# Our own table instead of codecs.lookup: that would import a module named by the sender, remember
# each unknown name for ever, and find codecs such as idna, which is no charset and is quadratic.
_NOT_CHARSETS = {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec"}
_NOT_CHARSETS |= {"zlib_codec", "mbcs", "oem"}
_UNALIASED = ("cp720", "cp737", "cp856", "cp874", "cp875", "cp1006", "koi8_t", "koi8_u")
_CODECS = (
    {name: codec for name, codec in aliases.items() if codec not in _NOT_CHARSETS}
    | {codec: codec for codec in {*aliases.values(), *_UNALIASED} - _NOT_CHARSETS}
    | {
        "cp_850": "cp850",
        "cp_1252": "cp1252",
        "dos_874": "cp874",
        "iso_8859_8_e": "iso8859_8",
        "iso_8859_8_i": "iso8859_8",
        "unicode_1_1_utf_7": "utf_7",
        "utf8mb4": "utf_8",
        "utf_8_sig": "utf_8",
        "windows_31j": "cp932",
        "windows_874": "cp874",
        "x_big5": "big5hkscs",
        "x_cp1250": "cp1250",
        "x_cp1251": "cp1251",
        "x_cp1252": "cp1252",
        "x_euc_jp": "euc_jp",
        "x_gbk": "gb18030",
        "x_mac_roman": "mac_roman",
        "x_sjis": "cp932",
    }
)
# Senders name the standard and send its superset (also https://encoding.spec.whatwg.org/#names-and-labels).
_SUPERSETS = {
    "big5": "big5hkscs",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso2022_jp": "iso2022_jp_ext",
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "shift_jis": "cp932",
    "tis_620": "cp874",
}
_ASCII_LETTERS = bytes(range(65, 91)) + bytes(range(97, 123))
_HIGH_BYTES = bytes(range(128, 256))
_BASE64_ONLY = re.compile(rb"[A-Za-z0-9+/=\s]*")
_NOT_BASE64 = bytes(byte for byte in range(256) if not _BASE64_ONLY.fullmatch(bytes([byte])))
_NOT_BASE64 += b" \t\r\n\v\f="
_FEWEST_TELLING = 8
_SAMPLE_SIZE = 20_000  # enough for charset_normalizer, which is slow on long texts

_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,80})\?([bBqQ])\?")
_FOLD = re.compile(r"\r?\n[ \t]+(?=\r?\n)|[\r\n]")  # a line of nothing but spaces goes with them
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BREAKS_AND_TABS = re.compile(r"[\r\n\t\x85\u2028\u2029]+")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
# Closed quotes only: after an open one the value ends at the next semicolon.
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^;]*))', re.DOTALL)
_NUMBERED = re.compile(r"([^*]+)(?:\*(\d{1,4}))?(\*)?")


@dataclass(slots=True)
class Warnings:
    """What was repaired while reading one message, each kind said once."""

    sentences: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        if sentence not in self.sentences and len(self.sentences) < MOST_WARNINGS:
            self.sentences.append(sentence)


def storable(text: str) -> str:
    """Return `text` without what PostgreSQL refuses: NUL goes, a lone surrogate becomes U+FFFD."""
    return _SURROGATES.sub("\ufffd", text.replace("\0", ""))


def lines_normalised(text: str) -> str:
    """Return `text` with LF at the end of each line, whatever it was."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def raw_bytes(text: str) -> bytes:
    """Return the bytes behind a piece of what BytesParser gave us."""
    return text.encode("utf-8", "surrogateescape")


def decoded(data: bytes, label: str, warnings: Warnings) -> str:
    """Read `data` in the charset named `label` ('' if none was declared), or in the likeliest one.

    UTF-8 comes before any guess: text of another charset practically never happens to be valid.
    """
    text = _decoded(data, label.strip().strip("'\""), warnings)
    return storable(text.removeprefix("\ufeff"))


def _decoded(data: bytes, label: str, warnings: Warnings) -> str:
    codec = codec_named(label)
    shown = storable(label)[:40]
    if data.isascii() and b"\x1b$" not in data and codec is None:
        if label:
            warnings.add(f"unknown charset {shown} read as us-ascii")
        return data.decode("ascii")
    text = None if codec is None else _strictly(data, codec)
    is_western = codec in {"ascii", "cp1252"} and not data.isascii()
    if text is not None and not is_western:
        return text
    if (as_utf8 := _strictly(data, "utf-8")) is not None:
        if label:
            warnings.add(f"text declared as {shown} read as utf-8, which it is")
        return as_utf8
    if text is not None:
        return text
    if codec is not None and codec != "ascii":
        patched = data.decode(codec, "replace")
        if patched.count("\ufffd") * 10 <= _count_of(_HIGH_BYTES, data):
            warnings.add(f"some characters are not valid {shown} and were replaced")
            return patched
    charset, guess = _guessed(data)
    declaration = f"declared as {shown}" if label else "without a charset"
    warnings.add(f"text {declaration} read as {charset}")
    return guess


def _strictly(data: bytes, codec: str) -> str | None:
    """Return the text, None if `data` is no text in that charset."""
    try:
        return data.decode(codec)
    except UnicodeError:
        return None


def codec_named(label: str) -> str | None:
    """Return Python's codec for a charset as mail names it; None: no charset we know."""
    name = re.sub(r"[^a-z0-9]+", "_", label[:80].lower()).strip("_")
    codec = _CODECS.get(name)
    return _SUPERSETS.get(codec, codec) if codec is not None else None


def _guessed(data: bytes) -> tuple[str, str]:
    """Return the likeliest charset of 8-bit text that is not UTF-8, and the text."""
    if b"\x1b$" in data and (japanese := _strictly(data, "iso2022_jp_ext")) is not None:
        return "iso-2022-jp", japanese
    # Western European words are mostly ASCII, and statistics on a few bytes guess wildly.
    high = _count_of(_HIGH_BYTES, data)
    if high >= _FEWEST_TELLING and high * 2 > _count_of(_ASCII_LETTERS, data):
        start = next(place for place, byte in enumerate(data) if byte > 127)
        best = charset_normalizer.from_bytes(data[start : start + _SAMPLE_SIZE]).best()
        if best is not None and codec_named(best.encoding) not in {None, "ascii", "utf_7"}:
            return best.encoding.replace("_", "-"), data.decode(best.encoding, "replace")
    return "windows-1252", data.decode("cp1252", "replace")


def _count_of(wanted: bytes, data: bytes) -> int:
    return len(data) - len(data.translate(None, wanted))


def header_text(raw: str, charset: str, warnings: Warnings) -> str:
    """Read a header value as BytesParser gives it: unfolded, encoded words read, on one line.

    `charset` is what the message declares for its body: some senders write raw headers in it too.
    """
    return on_one_line(_words_decoded(unfolded(raw, charset, warnings), warnings)).strip()


def unfolded(raw: str, charset: str, warnings: Warnings) -> str:
    """Return a header value without its line breaks, raw 8-bit characters read."""
    value = _FOLD.sub("", raw)
    if value.isascii() and "\x1b$" not in value:
        return value
    if "\x1b$" in value:
        charset = "iso-2022-jp"
    elif codec_named(charset) == "ascii":
        charset = ""
    data = raw_bytes(value)
    as_utf8 = _strictly(data, "utf-8") if charset != "iso-2022-jp" else None
    return as_utf8 if as_utf8 is not None else decoded(data, charset, warnings)


def on_one_line(text: str) -> str:
    """Return `text` storable and without control characters, line breaks become spaces."""
    return storable(_CONTROLS.sub("", _BREAKS_AND_TABS.sub(" ", text)))


def _words_decoded(text: str, warnings: Warnings) -> str:
    """Replace RFC 2047 encoded words, also misplaced ones.

    Words that follow one another in one charset are decoded together: many senders cut a
    character of several bytes in two.
    """
    if "=?" not in text:
        return text
    result: list[str] = []
    for is_word, pieces in groupby(_pieces(text), key=lambda piece: isinstance(piece, tuple)):
        if not is_word:
            result.extend(str(piece) for piece in pieces)
            continue
        words = [piece for piece in pieces if isinstance(piece, tuple)]
        for label, run in groupby(words, key=lambda word: word[0].lower()):
            result.append(decoded(b"".join(data for _, data in run), label, warnings))
    return "".join(result)


def _pieces(text: str) -> Iterator[str | tuple[str, bytes]]:
    """Cut `text` into plain text and encoded words: charset, bytes. No spaces between words."""
    position = 0
    after_word = False
    while (start := _ENCODED_WORD.search(text, position)) is not None:
        end = text.find("?=", start.end())
        if end < 0:
            break
        between = text[position : start.start()]
        if not (after_word and between.strip(" \t") == ""):
            yield between
        charset, encoding, content = start[1], start[2].lower(), text[start.end() : end]
        yield charset.partition("*")[0], _word_bytes(encoding, content)  # RFC 2231: utf-8*en
        position, after_word = end + 2, True
    yield text[position:]


def _word_bytes(encoding: str, content: str) -> bytes:
    data = raw_bytes(content)
    if encoding == "q":
        return binascii.a2b_qp(data, header=True)
    return base64_bytes(data)


def base64_bytes(data: bytes) -> bytes:
    """Decode base64 that may be cut off or badly padded; what is no base64 at all gives b''.

    Padding in the middle is where a sender joined two encodings, if only base64 follows; before
    anything else it is the end, and a mailing list wrote its footer below.
    """
    chunks = re.split(rb"=+", data)
    if not _BASE64_ONLY.fullmatch(data):
        chunks = chunks[:1]
    return b"".join(map(_base64_chunk, chunks))


def _base64_chunk(data: bytes) -> bytes:
    kept = data.translate(None, _NOT_BASE64)
    if len(kept) % 4 == 1:  # six bits are no byte
        kept = kept[:-1]
    return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))


def parameters(raw: str, charset: str, warnings: Warnings) -> dict[str, str]:
    """Return the parameters of a Content-Type or Content-Disposition, names in lower case.

    Reads RFC 2231 (continuations and charsets) and what is sent instead of it: encoded words and
    raw 8-bit text, quoted or not.
    """
    segments: dict[str, dict[int, tuple[bool, str]]] = defaultdict(dict)
    for match in _PARAMETER.finditer(raw):
        numbered = _NUMBERED.fullmatch(match[1].lower())
        if numbered is None:
            continue
        value = match[3].strip() if match[2] is None else re.sub(r'\\(["\\])', r"\1", match[2])
        is_extended = numbered[3] is not None
        # filename* and filename*0 win over filename, which is there for old readers (RFC 6266).
        rank = int(numbered[2]) if numbered[2] else (0 if is_extended else -1)
        segments[numbered[1]].setdefault(rank, (is_extended, value))
    return {name: _parameter_value(ranked, charset, warnings) for name, ranked in segments.items()}


def _parameter_value(ranked: dict[int, tuple[bool, str]], charset: str, warnings: Warnings) -> str:
    in_order = [ranked[rank] for rank in sorted(ranked) if rank >= 0] or [ranked[-1]]
    if not any(is_extended for is_extended, _ in in_order):
        return header_text("".join(value for _, value in in_order), charset, warnings)
    label = ""
    is_first_extended, first = in_order[0]
    if is_first_extended and first.count("'") >= 2:
        label, _, first = first.split("'", 2)
    values = [(is_first_extended, first), *in_order[1:]]
    data = b"".join(
        unquote_to_bytes(raw_bytes(value)) if is_extended else raw_bytes(value)
        for is_extended, value in values
    )
    return on_one_line(decoded(data, label, warnings)).strip()
