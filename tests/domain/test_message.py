"""What a message becomes, however broken it is; the whole corpus is in test_message_corpus."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from itertools import repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncservice.domain.message import Message, Role, UnreadableMessage, parse


def with_header(*lines: str | bytes) -> Message:
    """Parse a message with these header lines and the body "Hi"."""
    raw = [line.encode() if isinstance(line, str) else line for line in lines]
    return parse(b"\r\n".join([*raw, b"", b"Hi\r\n"]))


def with_parts(subtype: str, *parts: str) -> Message:
    """Parse a multipart of these parts, each written as its header, an empty line, its body."""
    body = "".join(f"--b\n{part}\n" for part in parts) + "--b--\n"
    return parse(f"Subject: s\nContent-Type: multipart/{subtype}; boundary=b\n\n{body}".encode())


def addresses(message: Message, role: Role) -> list[tuple[str, str]]:
    return [(party.address, party.name) for party in message.parties if party.role is role]


def texts_of(message: Message) -> list[str]:
    return [
        message.message_id,
        message.in_reply_to,
        *message.references,
        message.subject,
        *(text for party in message.parties for text in (party.address, party.name)),
        message.text,
        message.html,
        *(
            text
            for file in message.attachments
            for text in (file.filename, file.content_type, file.content_id)
        ),
        message.conversation_index,
        *message.warnings,
        message.fingerprint,
    ]


def assert_storable(message: Message) -> None:
    for text in texts_of(message):
        assert "\0" not in text
        text.encode()  # fails on a lone surrogate
    assert "\r" not in message.text + message.html
    for text in (message.subject, *(party.address + party.name for party in message.parties)):
        assert not set("\r\n") & set(text)
    if message.sent_at is not None:
        assert message.sent_at.utcoffset() is not None


# Headers


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        pytest.param("=?utf-8?B?w6Q=?=", "ä", id="base64"),
        pytest.param("=?utf-8?q?=C3=A4_b?=", "ä b", id="quoted-printable"),
        pytest.param("=?utf-8?B?w6Q?=", "ä", id="padding is missing"),
        pytest.param("=?utf-8?B?w6Q==?=", "ä", id="there is too much padding"),
        pytest.param(
            "=?utf-8?B?4w==?=\r\n =?utf-8?B?gYI=?=", "あ", id="a character was cut in two"
        ),
        pytest.param("=?utf-8?q?a?= =?iso-8859-1?q?=E4?=", "aä", id="two charsets in a row"),
        pytest.param("Re:=?utf-8?q?=C3=A4?=now", "Re:änow", id="no space around the word"),
        pytest.param("=?utf-8?Q?a b?=", "a b", id="a space in the word"),
        pytest.param("=?utf-8?Q?who?_me?=", "who? me", id="a question mark in the word"),
        pytest.param("=?utf-8*en?Q?a?=", "a", id="a language is named"),
        pytest.param("=?x-nonsense?Q?=E4?=", "ä", id="an unknown charset"),
        pytest.param("=?utf-8?Q?never closed", "=?utf-8?Q?never closed", id="never closed"),
        pytest.param("=?utf-8?Q?a=0D=0ABcc:_x?=", "a Bcc: x", id="no line break gets in"),
        pytest.param("=?utf-8?Q?a=00b?=", "ab", id="no NUL gets in"),
        pytest.param("=?utf-7?Q?+2AA-?=", "\ufffd", id="no lone surrogate gets in"),
        pytest.param("a\r\n \r\n\tb", "a\tb".replace("\t", " "), id="a fold of nothing but spaces"),
        pytest.param("a\tb", "a b", id="a tab"),
        pytest.param("fü", "fü", id="raw UTF-8"),
        pytest.param(b"f\xfcr", "für", id="raw windows-1252"),
        pytest.param(b'\x1b$B$"\x1b(B', "あ", id="raw ISO-2022-JP"),
    ],
)
def test_a_subject_is_read(header: str | bytes, subject: str) -> None:
    line = b"Subject: " + (header if isinstance(header, bytes) else header.encode())
    assert with_header(line).subject == subject


def test_a_raw_header_is_read_in_the_charset_of_the_body() -> None:
    russian = "Привет".encode("koi8-r")
    message = with_header(b"Subject: " + russian, "Content-Type: text/plain; charset=koi8-r")
    assert message.subject == "Привет"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("a@b.c", [("a@b.c", "")]),
        (" Jo <Jo@B.Example> ", [("Jo@B.Example", "Jo")]),
        ('"Doe, Jo" <a@b>, c@d', [("a@b", "Doe, Jo"), ("c@d", "")]),
        ("Doe, Jo <a@b>, c@d", [("a@b", "Doe, Jo"), ("c@d", "")]),
        ("=?utf-8?q?Doe,_J=C3=B6?= <a@b>", [("a@b", "Doe, Jö")]),
        ("=?utf-8?q?x=40y=2C?= <a@b>", [("a@b", "x@y,")]),
        ('"=?utf-8?q?J=C3=B6?=" <a@b>', [("a@b", "Jö")]),
        ('"Jo \\"J\\" Doe" <a@b>', [("a@b", 'Jo "J" Doe')]),
        ("a@b (Jo (junior))", [("a@b", "Jo (junior)")]),
        ('"jo doe"@b.c', [('"jo doe"@b.c', "")]),
        ("jo@[IPv6:::1]", [("jo@[IPv6:::1]", "")]),
        ("Friends: Jo <a@b>, c@d; e@f", [("a@b", "Jo"), ("c@d", ""), ("e@f", "")]),
        ("undisclosed-recipients:;", []),
        ("<Undisclosed-Recipient:@relay.example;>", []),
        ("a@b; c@d", [("a@b", ""), ("c@d", "")]),
        ("a@b c@d", [("a@b", ""), ("c@d", "")]),
        ("<a@b> <c@d>", [("a@b", ""), ("c@d", "")]),
        (", a@b,,", [("a@b", "")]),
        ("a@b, A@B", [("a@b", "")]),
        ("mailto:a@b", [("a@b", "")]),
        ("'a@b'", [("a@b", "")]),
        ("<@relay:a@b>", [("a@b", "")]),
        ("Jo <a @ b . c>", [("a@b.c", "Jo")]),
        ("Jo <a@b, c@d", [("a@b", "Jo"), ("c@d", "")]),
        ('"Jo <a@b>, c@d', [("a@b", "Jo"), ("c@d", "")]),
        ("(Jo a@b", [("a@b", "Jo")]),
        ("jo at b dot c", [("", "jo at b dot c")]),
        ("Jo <>", [("", "Jo <>")]),
        ("a@b,\r\n\t\r\n\tc@d", [("a@b", ""), ("c@d", "")]),
        ("jö@müller.example", [("jö@müller.example", "")]),
    ],
)
def test_an_address_list_gives_these_parties(header: str, found: list[tuple[str, str]]) -> None:
    assert addresses(with_header(f"To: {header}"), Role.TO) == found


def test_every_recipient_header_counts_and_each_role_stands_for_itself() -> None:
    message = with_header("To: a@b", "Cc: a@b", "Bcc: c@d", "To: e@f")
    assert [(party.role, party.address) for party in message.parties] == [
        (Role.TO, "a@b"),
        (Role.TO, "e@f"),
        (Role.CC, "a@b"),
        (Role.BCC, "c@d"),
    ]


@pytest.mark.parametrize(
    ("lines", "senders"),
    [
        pytest.param(["From: Jo <a@b>"], [("a@b", "Jo")], id="one author"),
        pytest.param(["From: a@b, c@d"], [("a@b", ""), ("c@d", "")], id="two authors"),
        pytest.param(["From: a@b", "Sender: c@d"], [("a@b", "")], id="From goes before Sender"),
        pytest.param(["Sender: c@d"], [("c@d", "")], id="Sender where From is missing"),
        pytest.param(["From: a@b", "From: c@d"], [("a@b", "")], id="the first From"),
        pytest.param(["From: The, boss"], [("", "The, boss")], id="no address at all"),
        pytest.param(["From:"], [], id="empty"),
        pytest.param([], [], id="missing"),
    ],
)
def test_the_senders_are_the_authors(lines: list[str], senders: list[tuple[str, str]]) -> None:
    message = with_header("Subject: s", *lines)
    assert addresses(message, Role.SENDER) == senders
    first = message.sender
    assert (first and (first.address, first.name)) == (senders[0] if senders else None)


@pytest.mark.parametrize(
    ("value", "message_id"),
    [
        ("<a@b>", "<a@b>"),
        ("a@b", "<a@b>"),
        (" junk <a@b> junk", "<a@b>"),
        ("<a @ b(comment) .c>", "<a@b.c>"),
        ("<a\r\n @b>", "<a@b>"),
        ("<12345>", "<12345>"),
        ("12345", "<12345>"),
        ("no id here", ""),
        ("<>", ""),
        ("", ""),
    ],
)
def test_a_message_id_stands_in_brackets(value: str, message_id: str) -> None:
    message = with_header(f"Message-ID: {value}", f"In-Reply-To: {value}")
    assert (message.message_id, message.in_reply_to) == (message_id, message_id)


def test_references_keep_their_order_and_each_stands_once() -> None:
    message = with_header("References: <a@b> <c@d>,<a@b>", "References: <e@f> <cut")
    assert message.references == ("<a@b>", "<c@d>", "<e@f>")


@pytest.mark.parametrize(
    ("value", "sent_at"),
    [
        ("Fri, 21 Nov 1997 09:55:06 -0600", datetime(1997, 11, 21, 15, 55, 6, tzinfo=UTC)),
        ("21 Nov 97 09:55 GMT", datetime(1997, 11, 21, 9, 55, tzinfo=UTC)),
        ("Wed, 9 Jan 2002 19:47:50 MST", datetime(2002, 1, 10, 2, 47, 50, tzinfo=UTC)),
        ("Wed, 9 Jan 2002 19:47:50 Nowhere", datetime(2002, 1, 9, 19, 47, 50, tzinfo=UTC)),
        ("Fri,\r\n 21 Nov 1997 09(a(b)): 55 : 06 Z", datetime(1997, 11, 21, 9, 55, 6, tzinfo=UTC)),
        ("Mon, 30 Jun 3609 15:33:50 +0600", None),
        ("Mon, 1 Jan 1899 00:00:00 +2300", None),
        ("Fri, 31 Dec 9999 23:59:59 -1200", None),
        ("Mon, 1 Jan 2001 00:00:00 +99999999999999999999", None),
        ("Mon, 1 Jan 99999999999999999999 00:00:00 +0000", None),
        ("Wed, 31 Feb 2001 10:00:00 +0000", None),
        ("Wed, 15 Dec 2010    59:10 -0500", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_date_is_utc_or_none(value: str, sent_at: datetime | None) -> None:
    assert with_header("Subject: s", f"Date: {value}").sent_at == sent_at


def test_a_line_of_junk_does_not_end_the_header() -> None:
    message = with_header("From: a@b", "this is no field", "Subject : s")
    assert (message.subject, message.text) == ("s", "Hi\n")
    assert message.warnings == ("a line in the header that is no header field was skipped",)


def test_without_an_empty_line_the_body_begins_where_the_fields_end() -> None:
    message = parse(b"Subject: s\nDear all,\nnote: bring tea\n\nJo\n")
    assert (message.subject, message.text) == ("s", "Dear all,\nnote: bring tea\n\nJo\n")


def test_a_lone_carriage_return_does_not_end_the_header() -> None:
    assert with_header("Subject: a\rBcc: x@y", "To: a@b").subject == "a Bcc: x@y"


def test_outlooks_thread_index_is_kept_unfolded() -> None:
    assert with_header("Thread-Index: AcT9\r\n +CU=").conversation_index == "AcT9+CU="


# Bodies


@pytest.mark.parametrize(
    ("head", "body", "text"),
    [
        pytest.param("", b"a\r\nb\rc\n", "a\nb\nc\n", id="line ends become LF"),
        pytest.param("; charset=utf-8", b"\xc3\xa4", "ä", id="utf-8"),
        pytest.param("; charset=utf-8", b"\xef\xbb\xbfa", "a", id="a byte order mark is no text"),
        pytest.param("; charset=iso-8859-1", b"\x80 \xe4", "€ ä", id="latin-1 is windows-1252"),
        pytest.param("; charset=iso-8859-1", b"\xc3\xa4", "ä", id="utf-8 declared as latin-1"),
        pytest.param("; charset=us-ascii", b"f\xfcr alle", "für alle", id="8 bits in us-ascii"),
        pytest.param("; charset=utf-8", b"f\xfcr alle", "für alle", id="latin-1 declared as utf-8"),
        pytest.param("; charset=gb2312", b"\xc4\xe3", "你", id="chinese"),
        pytest.param("; charset=ks_c_5601-1987", b"\xb0\xa1", "가", id="korean"),
        pytest.param("; charset=Windows-31J", b"\x87\x40", "①", id="japanese"),
        pytest.param("; charset='utf-8'", b"\xc3\xa4", "ä", id="a charset in wrong quotes"),
        pytest.param("; charset=idna", b"xn--a", "xn--a", id="a codec that is no charset"),
        pytest.param("; charset=x-nonsense", b"\xc3\xa4", "ä", id="an unknown charset"),
        pytest.param("", "Съешь ещё этих мягких булок".encode("cp1251"),
                     "Съешь ещё этих мягких булок", id="russian without a charset"),
        pytest.param("; charset=utf-8", b"a\0b", "ab", id="no NUL gets in"),
        pytest.param("; format=flowed", b"a \nb\n", "a \nb\n", id="flowed text stays as it is"),
    ],
)  # fmt: skip
def test_a_text_body_is_read(head: str, body: bytes, text: str) -> None:
    assert parse(f"Content-Type: text/plain{head}\n\n".encode() + body).text == text


@pytest.mark.parametrize(
    ("encoding", "body", "text"),
    [
        ("7-bit", b"a=3D", "a=3D"),
        ("8bits", b"a=3D", "a=3D"),
        ("", b"a=3D", "a=3D"),
        ("text/html", b"a=3D", "a=3D"),
        ("spam", b"a=3D", "a=3D"),
        ("quoted-printable;", b"a=3D", "a="),
        ("Quoted Printable", b"a=3D", "a="),
        ("quoted-printable", b"a=3D =ZZ=\r\nb", "a= =ZZb"),
        ("base-64", b"YQ==", "a"),
        ("base64", b"YWI", "ab"),
        ("base64", b"YW!I\r\n=", "ab"),
        ("base64", b"YQ==\r\nYg==", "ab"),
        ("base64", b"YQ==\r\n-- \r\nA list's footer", "a"),
        ("x-uuencode", b"begin 644 a\n!80  \n \nend\n", "a"),
    ],
)
def test_a_transfer_encoding_is_undone(encoding: str, body: bytes, text: str) -> None:
    assert parse(f"Content-Transfer-Encoding: {encoding}\n\n".encode() + body).text == text


def test_html_declares_its_charset_in_a_meta_tag() -> None:
    html = '<meta charset="windows-1251">Да'
    assert parse(b"Content-Type: text/html\n\n" + html.encode("cp1251")).html == html


def test_html_only_mail_has_no_text() -> None:
    message = parse(b"Content-Type: text/html\n\n<p>Hi</p>\n")
    assert (message.text, message.html) == ("", "<p>Hi</p>\n")


def test_an_alternative_is_one_body_in_two_forms() -> None:
    message = with_parts("alternative", "\nHi\n", "Content-Type: text/html\n\n<p>Hi</p>\n")
    assert (message.text, message.html) == ("Hi\n", "<p>Hi</p>\n")
    assert message.attachments == ()


def test_further_texts_are_appended_and_the_html_holds_them_all() -> None:
    message = with_parts("mixed", "Content-Type: text/html\n\n<p>Hi</p>", "\nfooter <1>")
    assert message.text == "footer <1>"
    assert message.html == "<p>Hi</p>\n<pre>footer &lt;1&gt;</pre>"


def test_an_attached_text_stays_an_attachment() -> None:
    head = "Content-Disposition: attachment; filename=notes.txt"
    message = with_parts("mixed", "\nHi", f"{head}\n\nnotes")
    assert message.text == "Hi"
    assert [(file.filename, file.content) for file in message.attachments] == [
        ("notes.txt", b"notes")
    ]


def test_an_image_that_the_html_shows_is_inline() -> None:
    message = with_parts(
        "related",
        'Content-Type: text/html\n\n<img src="cid:a%40b">',
        "Content-Type: image/png\nContent-ID: <a@b>\nContent-Disposition: attachment\n\nx",
    )
    (image,) = message.attachments
    assert (image.content_id, image.is_inline, image.filename) == ("a@b", True, "attachment-1.png")


def test_an_attached_message_keeps_its_bytes_and_is_named_by_its_subject() -> None:
    inner = "Subject: =?utf-8?q?=C3=A4=2Fb?=\n\ninner text"
    message = with_parts("mixed", "\nHi", f"Content-Type: message/rfc822\n\n{inner}")
    (file,) = message.attachments
    assert (file.filename, file.content, message.text) == ("ä_b.eml", inner.encode(), "Hi")


def test_the_parts_of_a_digest_are_messages() -> None:
    message = with_parts("digest", "\nSubject: one\n\n1", "\nSubject: two\n\n2")
    assert [file.filename for file in message.attachments] == ["one.eml", "two.eml"]


def test_a_report_says_its_first_text_and_attaches_the_rest() -> None:
    message = with_parts(
        "report",
        "\nYour mail came back.",
        "Content-Type: message/delivery-status\n\nAction: failed",
        "Content-Type: text/rfc822-headers\n\nSubject: lost",
    )
    assert message.text == "Your mail came back."
    assert [file.content_type for file in message.attachments] == [
        "message/delivery-status",
        "text/rfc822-headers",
    ]


@pytest.mark.parametrize("kind", ["application/ms-tnef; name=winmail.dat", "text/calendar"])
def test_what_is_no_text_to_read_is_attached(kind: str) -> None:
    message = with_parts("alternative", "\nHi", f"Content-Type: {kind}\n\nBEGIN")
    assert [file.content for file in message.attachments] == [b"BEGIN"]


@pytest.mark.parametrize(
    ("header", "filename"),
    [
        ("filename=a b.txt", "a b.txt"),
        ('filename="a;b.txt"', "a;b.txt"),
        ('filename="a \\"b\\".txt"', 'a "b".txt'),
        ('filename="C:\\docs\\a.txt"', "a.txt"),
        ("filename=../../etc/passwd", "passwd"),
        ("filename*=utf-8''%C3%A4.txt", "ä.txt"),
        ("filename=x.txt; filename*=utf-8''%C3%A4.txt", "ä.txt"),
        ("filename*1*=%A4.txt; filename*0*=utf-8''%C3", "ä.txt"),
        ("filename*0=one; filename*1=two.txt", "onetwo.txt"),
        ("filename*=x-nonsense''%E4.txt", "ä.txt"),
        ("filename==?utf-8?q?=C3=A4.txt?=", "ä.txt"),
        ('filename="=?utf-8?B?w6Q=?=\n =?utf-8?q?.txt?="', "ä.txt"),
        ("filename=ä.txt", "ä.txt"),
        ('filename="never closed.txt', '"never closed.txt'),
        ('filename=""', "attachment-1.pdf"),
        ("filename=..", "attachment-1.pdf"),
        ("filename=" + "a" * 300 + ".pdf", "a" * 251 + ".pdf"),
    ],
)
def test_a_file_gets_its_name(header: str, filename: str) -> None:
    head = f"Content-Type: application/pdf\nContent-Disposition: attachment; {header}"
    (file,) = parse(f"{head}\n\nx".encode()).attachments
    assert file.filename == filename


def test_a_multipart_without_its_boundary_is_text() -> None:
    message = parse(b"Content-Type: multipart/mixed\n\nHi\n")
    assert (message.text, message.warnings) == (
        "Hi\n",
        ("a multipart without its boundary was read as text",),
    )


def test_a_multipart_that_breaks_off_keeps_what_came() -> None:
    message = parse(
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nHi\n--b\n"
        b"Content-Type: image/png\nContent-Transfer-Encoding: base64\n\niVBORw0"
    )
    assert message.text == "Hi"
    assert message.attachments[0].content == b"\x89PNG\r"


@pytest.mark.parametrize("mime", [b"", b"\r\n\r\n", b"\0\0\0\0", b"\n \n\t\n"])
def test_what_cannot_be_a_message_says_so(mime: bytes) -> None:
    with pytest.raises(UnreadableMessage, match="neither a header nor any text"):
        parse(mime)


def test_a_header_alone_is_a_message() -> None:
    assert parse(b"Subject: s").subject == "s"


# Fingerprints


def sample(**changes: str) -> str:
    fields = {"sender": "A@b", "date": "Fri, 21 Nov 1997 09:55:06 -0600", "subject": "Re: x y"}
    fields |= {"transport": "Received: here", "text": "Hi\nyou\n", "file": "eA=="}
    fields |= changes
    return (
        "{transport}\nFrom: Jo <{sender}>\nMessage-ID: <1@b>\nDate: {date}\nSubject: {subject}\n"
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n{text}\n--b\n"
        "Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\n{file}\n"
        "--b--"
    ).format(**fields)


@pytest.mark.parametrize(
    "changes",
    [
        {"transport": "Received: there\nDelivered-To: someone@else\nX-Spam: no"},
        {"sender": "a@B"},
        {"date": "Fri, 21 Nov 1997 15:55:06 +0000"},
        {"subject": "Re: x\n y"},
        {"subject": "=?utf-8?q?Re:_x_y?="},
        {"text": "Hi  \nyou\n\n"},
        {"file": "e\nA"},
    ],
)
def test_a_mail_in_another_mailbox_has_the_same_fingerprint(changes: dict[str, str]) -> None:
    there = parse(sample(**changes).replace("\n", "\r\n").encode())
    assert there.fingerprint == parse(sample().encode()).fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": "c@b"},
        {"date": "Fri, 21 Nov 1997 09:55:07 -0600"},
        {"subject": "Re: xy"},
        {"text": "Hi\nthou\n"},
        {"file": "eQ=="},
    ],
)
def test_another_mail_under_the_same_id_has_another_fingerprint(changes: dict[str, str]) -> None:
    other = parse(sample(**changes).encode())
    assert other.message_id == parse(sample().encode()).message_id
    assert other.fingerprint != parse(sample().encode()).fingerprint


# Size and malice


def nested(depth: int) -> bytes:
    levels = (
        f"--{n}\nContent-Type: multipart/mixed; boundary={n + 1}\n\n".encode() for n in range(depth)
    )
    return b"Content-Type: multipart/mixed; boundary=0\n\n" + b"".join(levels) + b"deep"


def many_parts(count: int, head: bytes) -> bytes:
    part = b"--b\n" + head + b"\nx\n"
    return b"Content-Type: multipart/mixed; boundary=b\n\n" + part * count + b"--b--"


HOSTILE: dict[str, Callable[[], bytes]] = {
    "25 MB of base64": lambda: (
        b"Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n"
        + (b"QUJD" * 19 + b"\r\n") * 320_000
    ),
    "a million lines of text": lambda: b"Subject: s\n\n" + b"one line of text\n" * 1_000_000,
    "8 MB of undeclared text": lambda: b"Subject: s\n\n" + b"\xcf\xf0\xe8\xe2\xe5\xf2 " * 1_200_000,
    "25 MB in one line": lambda: b"Subject: s\n\n" + b"x" * 25_000_000,
    "10,000 recipients": lambda: (
        b"To: " + b",\r\n ".join(b'"Doe, Jo" <jo%d@b.c>' % n for n in range(10_000)) + b"\n\nHi"
    ),
    "5,000 parts": lambda: many_parts(5000, b"Content-Type: image/png\n"),
    "5,000 attached messages": lambda: many_parts(5000, b"Content-Type: message/rfc822\n"),
    "multiparts 10,000 deep": lambda: nested(10_000),
    "open comments": lambda: b"From: " + b"(" * 300_000 + b"\n\nHi",
    "open quotes": lambda: b'To: "' + b'\\"' * 500_000 + b"\n\nHi",
    "open brackets": lambda: b"To: " + b"<[" * 60_000 + b"\n\nHi",
    "commas": lambda: b"To: " + b"a," * 60_000 + b"\n\nHi",
    "open encoded words": lambda: b"Subject: " + b"=?a?q?" * 200_000 + b"\n\nHi",
    "empty encoded words": lambda: b"Subject: " + b"=?a?q??= " * 100_000 + b"\n\nHi",
    "spaces": lambda: b"Message-ID: <" + b" " * 1_000_000 + b"\nDate:" + b" " * 9**6 + b"\n\nHi",
    "semicolons in quotes": lambda: (
        b'Content-Type: multipart/x; boundary="' + b";" * 10**6 + b"\n\n"
    ),
    "open parameters": lambda: b"Content-Type: a/b" + b';a="\\' * 200_000 + b"\n\nHi",
    "numbered parameters": lambda: (
        b"Content-Type: a/b" + b"".join(b";name*%d*=%%41" % n for n in range(100_000)) + b"\n\nHi"
    ),
    "folds": lambda: b"Subject: a" + b"\n " * 300_000 + b"\n\nHi",
    "carriage returns": lambda: b"Subject: a\n\n" + b"\r" * 2_000_000,
    "meta tags": lambda: b"Content-Type: text/html\n\n" + b"<meta " * 500_000,
    "links": lambda: b"Content-Type: text/html\n\n" + b"cid:" * 500_000,
}


def consume(endless: Iterator[object]) -> None:
    for _ in endless:
        pass


@contextmanager
def no_hanging(seconds: float = 60) -> Iterator[None]:
    """End the block when it has worked so long that its cost must grow with a power of the size.

    It counts the processor's time and not the clock's: how busy the machine is doesn't matter.
    """

    def stop(*_: object) -> None:
        pytest.fail(f"it worked for {seconds} s, so it would for ever")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("name", HOSTILE)
def test_neither_size_nor_malice_makes_a_message_cost_for_ever(name: str) -> None:
    mime = HOSTILE[name]()
    with no_hanging():
        message = parse(mime)
    assert_storable(message)


def test_what_would_cost_for_ever_is_noticed() -> None:
    with pytest.raises(pytest.fail.Exception), no_hanging(0.1):
        consume(repeat(None))


def test_every_one_of_10_000_recipients_is_kept() -> None:
    assert len(parse(HOSTILE["10,000 recipients"]()).parties) == 10_000


# Whatever comes

FRAGMENTS = [
    b"\r\n", b"\n", b"\r", b"\n\n", b" ", b"\t", b"\0", b"\xff\xfe", b"\xc3\xa4", b"\x1b$B", b"--b",
    b"--b--", b"From: ", b"To: a@b, ", b"Subject: ", b"Date: ", b"Content-Type: ", b"boundary=b",
    b"multipart/mixed; ", b"multipart/report; ", b"multipart/alternative; ", b"message/rfc822",
    b"text/plain; ", b"text/html; ", b"charset=", b"utf-7", b"utf-16", b"unicode_escape", b"idna",
    b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"x-uuencode", b"begin 644 a\n",
    b"Content-Disposition: attachment; ", b"filename*0*=", b"filename*=x'y'%", b"=?utf-8?B?", b"?=",
    b"=?iso-2022-jp?q?", b"=ED=A0=80", b"+2AA-", b'"', b"(", b")", b"<", b">", b"@", b":", b";",
    b",",
    b"\\", b"[", b"=", b"%", b"1", b"99999999999", b"Fri, 31 Dec 9999 23:59:59 -9999",
]  # fmt: skip
REAL = sample(text="=?utf-8?q?a?= \u00e4 cid:x").encode()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A message that looks real, with fragments put in and stretches taken out."""
    mime = REAL
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, len(mime)))
        gone = draw(st.integers(0, 30))
        mime = mime[:place] + draw(st.sampled_from(FRAGMENTS)) + mime[place + gone :]
    return mime


@settings(max_examples=400)
@given(
    st.one_of(
        st.binary(max_size=300),
        mutated(),
        st.lists(st.sampled_from(FRAGMENTS), max_size=40).map(b"".join),
    )
)
def test_whatever_comes_is_a_storable_message_or_unreadable(mime: bytes) -> None:
    try:
        message = parse(mime)
    except UnreadableMessage:
        return
    assert_storable(message)
    assert parse(mime) == message


# One line of anything but control characters and separators, which no header or body line holds.
WORDS = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs"), include_characters=" "),
    max_size=60,
).map(lambda text: " ".join(text.split()))
#: A byte order mark at the beginning of an encoded word is no text, and is left out.
HEADERS = WORDS.filter(lambda text: "=?" not in text and "\ufeff" not in text)
FILENAMES = HEADERS.map(lambda text: text.translate(dict.fromkeys(map(ord, "/\\"))).strip())
LINES = st.lists(WORDS, min_size=1, max_size=5).map(lambda lines: "\n".join(lines) + "\n")


@settings(max_examples=150)
@given(
    subject=HEADERS,
    name=HEADERS.filter(lambda text: "undisclosed" not in text),
    text=LINES,
    html=st.none() | LINES,
    files=st.lists(
        st.tuples(
            FILENAMES.filter(lambda name: name not in {"", ".", ".."}),
            st.binary(max_size=200),
        ),
        max_size=3,
    ),
)
def test_a_composed_message_comes_back_as_it_was(
    subject: str, name: str, text: str, html: str | None, files: list[tuple[str, bytes]]
) -> None:
    composed = EmailMessage(policy=SMTP.clone(max_line_length=998))
    composed["Subject"] = subject
    composed["From"] = "jo@example.org"
    composed["To"] = f'"{name.translate({34: None, 92: None})}" <to@example.org>'
    composed.set_content(text, cte="base64")
    if html is not None:
        composed.add_alternative(html, subtype="html", cte="base64")
    for filename, content in files:
        composed.add_attachment(content, maintype="image", subtype="png", filename=filename)
    message = parse(composed.as_bytes())
    assert message.subject == subject
    assert addresses(message, Role.TO) == [
        ("to@example.org", name.translate({34: None, 92: None}).strip())
    ]
    assert (message.text, message.html) == (
        text.removeprefix("\ufeff"),
        (html or "").removeprefix("\ufeff"),
    )
    assert [(file.filename, file.content) for file in message.attachments] == files
