"""What holds of every email we compose: it can be sent, and is read as it was written.

White space is the one exception, see `as_read`: a header field is one line, text ends with a line
break, and line breaks are one kind.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from syncservice.domain.composition import (
    MOST_REFERENCES,
    CannotCompose,
    Composition,
    compose,
    forward_paths,
    references_for,
)
from syncservice.domain.html_text import text_of
from syncservice.domain.message import MessageAttachment, Party, Role, parse

TEXT = st.text(st.characters(), max_size=200)  # lone surrogates and controls too
SCRIPTS = st.text(st.sampled_from("aé ßжの漢😀'\".,;\\()<>=?_"), max_size=300)
TRICKS = st.sampled_from([
    *("Offer", "a  b", " a ", "=?utf-8?q?x?=", "=?", "?=", "a\r\nBcc: eve@x.test", "a\n\n<script>"),
    *("a\0b", "\ud800", "a\ufeffb", "\ufeffa", "Ã¼", "\x1b$B", 'Ann "A" \\ Ash', "(Ann)"),
    *("naïve " * 60, "word " * 300, "Ash, Ann", "a@b.test", "<a@b.test>", "'"),
    *("\u2028", "\x85", "\t", "～〜−", "한국어", "日本語の件名" * 20),
    *("..", "a/b\\c.txt", "%41", "x" * 999, "undisclosed-recipients:;"),
])  # fmt: skip
WORDS = TRICKS | TEXT | SCRIPTS
BODIES = WORDS | st.sampled_from([
    *("\n", "Hi\n.\nFrom me\n-- \nA", "a\r\nb\rc", "x" * 5000, "é" * 5000, "a \nb\t\n", "\f\v\x7f"),
    *("--=_m_\n", "<p>Hi <b>you</b>", '<img src="cid:a@x.test">', "<!-- ", "<a href='", "  "),
])  # fmt: skip
ADDRESSES = st.sampled_from([
    *("ann@customer.test", "Ann@CUSTOMER.test", "ann+x@y.test", '"a b"@x.test', '"a,b"@x.test'),
    *("jörg@müller.test", "用户@例子.test", "a@[192.0.2.1]", "o'neil@x.test", "'a'@x.test", "é@x"),
    *("", "@", "a", "a@b@c", "a b@x.test", "a@x.test\r\nBcc: e@x.test", "a@x.test, b@x.test"),
    *("a\0@x.test", "\ud800@x.test", "a\x80@x.test", "<a@x.test>", "a@x.test>", "x" * 400 + "@x"),
    *("é" * 150 + "@x.test", "a." * 100 + "b@x.test", "=?utf-8?q?a?=@x.test", "@x:a@x.test"),
    '"a\r\nb"@x.test', '"<a>"@x.test', "mailto:a@x.test",
]) | st.text(st.sampled_from("ab.@\"'é \\<>,:;()[]="), max_size=8)  # fmt: skip
GOOD_ADDRESSES = st.sampled_from(
    ["ann@customer.test", "Ann@CUSTOMER.test", "jörg@müller.test", '"a b"@x.test', "o'neil@x.test"]
)
IDS = st.sampled_from([
    *("<1@crm.test>", "<2@crm.test>", f"<{'x' * 800}@crm.test>", "", "<>", "x@y", "<é@x>"),
    *("<a b@x>", "<a@x>\r\nBcc: eve@x.test", "<a@x> <b@x>", f"<{'x' * 2000}@x>", "<(a)@x>"),
]) | st.integers(0, 99).map("<{}@crm.test>".format)  # fmt: skip
TYPES = st.sampled_from([
    *("image/png", "application/pdf", "text/plain", "text/html", "text/csv", "text/calendar"),
    *("message/rfc822", "message/delivery-status", "multipart/mixed", "", "x", "TEXT/PLAIN"),
    *("text/plain; charset=utf-16", "a/b\r\nBcc: eve@x.test", "é/é", "application/ms-tnef"),
])  # fmt: skip
CONTENTS = st.binary(max_size=300) | st.sampled_from([
    b"Subject: s\r\n\r\nHi\r\n", b"Subject: s\n\n\xc3\xa9", b"\r", b"x" * 2000, b"\r\n" * 5,
])  # fmt: skip
CONTENT_IDS = st.sampled_from(["a@x.test", "", "a(1).png", "é", "a b", "<a>", "a\r\nX: y", "=?"])
CHARSETS = st.sampled_from([
    *("", "utf-8", "UTF8", "iso-8859-1", "windows-1252", "iso-2022-jp", "shift_jis", "euc-jp"),
    *("gb2312", "gb18030", "big5", "koi8-r", "iso-2022-kr", "euc-kr", "utf-16", "utf-7", "hz"),
    *("us-ascii", "cp037", "nonsense", "latin-1\r\nX: y", "utf-8\r\n", "base64", "idna", "cp1006"),
])  # fmt: skip
RECIPIENTS = [Role.TO, Role.CC, Role.BCC]


def parties(roles: Iterable[Role], addresses: st.SearchStrategy[str]) -> st.SearchStrategy[Party]:
    return st.builds(Party, st.sampled_from(list(roles)), addresses, WORDS)


FILES = st.builds(MessageAttachment, WORDS, TYPES, CONTENTS, CONTENT_IDS, st.booleans())
MOMENTS = st.datetimes(
    datetime.fromisoformat("1901-01-01"),
    datetime.fromisoformat("2198-12-31"),
    timezones=st.integers(-86_399, 86_399).map(lambda s: timezone(timedelta(seconds=s))),
)


def compositions(**fields: st.SearchStrategy) -> st.SearchStrategy[Composition]:
    return st.builds(Composition, **{**ANYTHING, **fields})


ANYTHING: dict[str, st.SearchStrategy] = {
    "message_id": IDS,
    "at": MOMENTS,
    "author": parties([Role.SENDER], ADDRESSES),
    "submitter": st.none() | parties([Role.SENDER], ADDRESSES),
    "parties": st.lists(parties(Role, ADDRESSES), max_size=3).map(tuple),
    "subject": WORDS,
    "text": BODIES,
    "html": BODIES,
    "attachments": st.lists(FILES, max_size=3).map(tuple),
    "in_reply_to": IDS,
    "references": st.lists(IDS, max_size=40).map(tuple),
    "asks_read_receipt": st.booleans(),
    "charset": CHARSETS,
}
SENDABLE = compositions(
    message_id=st.just("<7@crm.test>"),
    author=parties([Role.SENDER], GOOD_ADDRESSES),
    submitter=st.none() | parties([Role.SENDER], GOOD_ADDRESSES),
    parties=st.lists(parties(RECIPIENTS, GOOD_ADDRESSES), min_size=1, max_size=4).map(tuple),
)


def line(text: str) -> str:
    """How a header field says `text`."""
    spaced = re.sub(r"[\r\n\t\x85\u2028\u2029]+", " ", text)
    kept = re.sub(r"[\x00-\x1f\x7f\ufeff]", "", spaced)
    return re.sub(r"[\ud800-\udfff]", "\ufffd", kept).strip()


def body(text: str) -> str:
    """How a body says `text`."""
    unbroken = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").lstrip("\ufeff")
    ended = unbroken if unbroken.endswith("\n") else unbroken + "\n"
    return re.sub(r"[\ud800-\udfff]", "\ufffd", ended)


def named(one: Composition) -> list[Party]:
    """Who is to be named in the header: each once in a role."""
    found: dict[tuple[Role, str], Party] = {}
    for party in (replace(one.author, role=Role.SENDER), *one.parties):
        if party.role in {Role.TO, Role.CC} or not found:
            key = (party.role, party.address.lower())
            found.setdefault(key, replace(party, name=line(party.name)))
    return sorted(found.values(), key=lambda party: party.role)


@settings(max_examples=500)
@given(compositions() | SENDABLE)
def test_what_is_composed_can_be_sent_and_all_else_is_refused_in_a_sentence(
    one: Composition,
) -> None:
    mime, refusal = b"", ""
    try:
        mime = compose(one)
    except CannotCompose as error:
        refusal = str(error)
    if refusal:
        assert re.fullmatch(r".+: .+\.", refusal)
        refusal.encode()  # fails on a lone surrogate
        return
    assert mime.endswith(b"\r\n")
    lines = mime.split(b"\r\n")
    assert all(len(line) <= 998 for line in lines)
    assert not any(re.search(rb"[\r\n\0]", line) for line in lines)
    header = mime.partition(b"\r\n\r\n")[0]
    names = [found.decode().lower() for found in re.findall(rb"(?m)^([^\s:]+):", header)]
    assert len(names) == len(set(names)), "a field stands twice"
    assert not {"bcc", "x"} & set(names)
    assert all(re.match(rb"[\w-]+: ?|[ \t]+\S", line) for line in header.split(b"\r\n"))
    assert mime == compose(one), "another attempt sends another text"


@settings(max_examples=500)
@given(SENDABLE)
def test_what_is_composed_is_read_as_it_was_written(one: Composition) -> None:
    read = parse(compose(one))
    html = body(one.html) if body(one.html).strip() else ""
    text = one.text if body(one.text).strip() or not html else text_of(html)
    assert read.message_id == one.message_id
    assert read.sent_at == one.at.astimezone(UTC).replace(microsecond=0)
    assert read.subject == line(one.subject)
    assert list(read.parties) == named(one)
    assert read.html == html
    assert read.text == (body(text) if text.strip() or not html else "")
    assert read.references == references_for(one.in_reply_to, one.references)
    assert read.in_reply_to == (one.in_reply_to if one.in_reply_to in read.references else "")
    assert not read.warnings or one.charset  # some are read with a remark


@settings(max_examples=500)
@given(SENDABLE)
def test_files_arrive_as_they_were_attached(one: Composition) -> None:
    read = parse(compose(one))
    left = list(read.attachments)
    assert len(left) == len(one.attachments)
    for file in one.attachments:
        kinds = {file.content_type.lower(), "application/octet-stream"}
        contents = {file.content}
        if file.content_type.startswith("message/"):
            contents = {file.content, re.sub(rb"\r?\n", b"\r\n", file.content)}
        name = line(re.sub(r"[/\\]", "_", file.filename))[-255:].strip()
        found = next(
            (
                one
                for one in left
                if one.content_type in kinds
                and one.content in contents
                and one.content_id in {file.content_id, ""}
                and (one.filename == name or not name.strip("."))
            ),
            None,
        )
        assert found is not None, file
        if file.is_inline and file.content_type == "image/png":
            assert found.is_inline
        left.remove(found)


@given(IDS, st.lists(IDS, max_size=99))
def test_an_answer_names_the_beginning_and_the_end_of_its_conversation(
    parent: str, above: list[str]
) -> None:
    references = references_for(parent, above)
    assert len(references) <= MOST_REFERENCES
    assert set(references) <= {parent, *above}
    assert len(set(references)) == len(references)
    if parent == "<1@crm.test>":
        assert references[-1] == parent
    if above and above[0] == "<2@crm.test>" != parent:
        assert references[0] == above[0]


@given(st.lists(parties(Role, ADDRESSES)))
def test_every_recipient_is_a_forward_path_once(those: list[Party]) -> None:
    paths = forward_paths(those)
    assert set(paths) <= {one.address for one in those if one.role is not Role.SENDER}
    assert len({path.lower() for path in paths}) <= len(paths) == len(set(paths))


@settings(max_examples=300)
@given(
    BODIES
    | st.lists(TRICKS | st.sampled_from([*"<>'\"&/!-", "<a", "href=", "<pre>", "<p>"])).map("".join)
)
def test_every_html_has_a_text(html: str) -> None:
    text = text_of(html)
    assert text == text.strip("\n")
    assert len(text) <= 8 * len(html)
