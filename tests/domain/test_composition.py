"""How an email is written: its header, its tree of parts, its files, and what can't be sent."""

import email
import re
from datetime import UTC, datetime, timedelta, timezone
from email.message import Message as Part

import pytest

from syncservice.domain.composition import (
    MOST_REFERENCES,
    CannotCompose,
    Composition,
    compose,
    forward_paths,
    references_for,
)
from syncservice.domain.message import MessageAttachment, Party, Role, parse

ANN = Party(Role.SENDER, "ann@crm.test", "Ann Ash")
BOB = Party(Role.TO, "bob@customer.test", "")
PICTURE = MessageAttachment("p.png", "image/png", b"PNG", "p@crm.test", True)
PDF = MessageAttachment("offer.pdf", "application/pdf", b"PDF", "", False)
PAGE = '<p>Hi <img src="cid:p@crm.test"></p>'


def written(**fields) -> Composition:
    """An email of Ann to Bob, with `fields` in it."""
    return Composition(**{
        "message_id": "<1@crm.test>",
        "at": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "author": ANN,
        "parties": (BOB,),
        **fields,
    })  # fmt: skip


def field(name: str, **fields) -> str | None:
    """A field of the header as it leaves, its folds as line breaks; None: there is none."""
    header = compose(written(**fields)).partition(b"\r\n\r\n")[0].decode() + "\r\n"
    found = re.search(rf"(?ms)^{name}: ?(.*?)\r\n(?![ \t])", header)
    return found[1].replace("\r\n", "\n") if found else None


def tree(part: Part) -> str:
    """The types of the parts, those inside in parentheses."""
    inside = part.get_payload() if part.get_content_maintype() == "multipart" else []
    return part.get_content_subtype() + (f"({' '.join(map(tree, inside))})" if inside else "")


def attached(
    *, name: str = "a.bin", kind: str = "application/x-any", content: bytes = b"a", **more
):
    """The part of an attached file."""
    file = MessageAttachment(name, kind, content, more.get("cid", ""), more.get("inline", False))
    return email.message_from_bytes(compose(written(text="Hi", attachments=(file,)))).get_payload(1)


@pytest.mark.parametrize(
    ("name", "fields", "value"),
    [
        pytest.param("Date", {}, "Sun, 01 Mar 2026 12:00:00 +0000", id="the moment"),
        pytest.param(
            "Date",
            {"at": datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=-3)))},
            "Sun, 01 Mar 2026 12:00:00 -0300",
            id="the moment in the author's zone",
        ),
        pytest.param(
            "Date",
            {"at": datetime(1930, 3, 1, 12, tzinfo=timezone(timedelta(minutes=19, seconds=32)))},
            "Sat, 01 Mar 1930 11:40:28 +0000",
            id="a zone that is no whole minutes from UTC can't be said",
        ),
        pytest.param("From", {}, "Ann Ash <ann@crm.test>", id="the author"),
        pytest.param("Sender", {}, None, id="nobody else sends"),
        pytest.param(
            "Sender", {"submitter": ANN}, None, id="the author sends, which is said once"
        ),
        pytest.param(
            "Sender",
            {"submitter": Party(Role.SENDER, "eve@crm.test", "Eve")},
            "Eve <eve@crm.test>",
            id="somebody sends on behalf of the author",
        ),
        pytest.param("To", {}, "bob@customer.test", id="a recipient without a name"),
        pytest.param("Cc", {}, None, id="no copy"),
        pytest.param(
            "To",
            {"parties": (BOB, Party(Role.TO, "cy@x.test", "Cy"), Party(Role.CC, "d@x.test", ""))},
            "bob@customer.test, Cy <cy@x.test>",
            id="several recipients",
        ),
        pytest.param("Cc", {"parties": (BOB, Party(Role.CC, "d@x.test", ""))}, "d@x.test", id="cc"),
        pytest.param(
            "Bcc", {"parties": (BOB, Party(Role.BCC, "d@x.test", ""))}, None, id="no blind copy"
        ),
        pytest.param(
            "To",
            {"parties": (Party(Role.BCC, "d@x.test", ""),)},
            "undisclosed-recipients:;",
            id="blind copies alone",
        ),
        pytest.param("Subject", {"subject": "Offer CRM:0001001"}, "Offer CRM:0001001", id="plain"),
        pytest.param("Subject", {}, "", id="no subject"),
        pytest.param(
            "Subject", {"subject": "Für Sie"}, "=?utf-8?q?F=C3=BCr_Sie?=", id="mostly ASCII"
        ),
        pytest.param(
            "Subject", {"subject": "見積"}, "=?utf-8?b?6KaL56mN?=", id="hardly ASCII"
        ),
        pytest.param(
            "Subject",
            {"subject": "Für Sie", "charset": "iso-8859-1"},
            "=?iso-8859-1?q?F=FCr_Sie?=",
            id="in the profile's charset",
        ),
        pytest.param(
            "Subject",
            {"subject": "5 €", "charset": "iso-8859-1"},
            "=?utf-8?b?NSDigqw=?=",
            id="a charset that lacks a character",
        ),
        pytest.param(
            "Subject",
            {"subject": "=?utf-8?q?=21?="},
            "=?utf-8?b?PT91dGYtOD9xPz0yMT89?=",
            id="what looks encoded is no trick on the reader",
        ),
        pytest.param(
            "Subject",
            {"subject": "Hi\r\nBcc: eve@x.test\r\n\r\nand\0more"},
            "Hi Bcc: eve@x.test andmore",
            id="line breaks begin no field",
        ),
        pytest.param(
            "Subject",
            {"subject": "word " * 20},
            "word word word word word word word word word word word word word word\n"
            " word word word word word word",
            id="long lines are folded",
        ),
        pytest.param("Message-ID", {}, "<1@crm.test>", id="our id"),
        pytest.param("In-Reply-To", {}, None, id="no answer"),
        pytest.param("References", {}, None, id="no conversation"),
        pytest.param("In-Reply-To", {"in_reply_to": "<0@x>"}, "<0@x>", id="what it answers"),
        pytest.param("References", {"in_reply_to": "<0@x>"}, "<0@x>", id="which is referred to"),
        pytest.param(
            "References",
            {"in_reply_to": "<0@x>", "references": ("<a@x>", "<0@x>")},
            "<a@x> <0@x>",
            id="once, as the last",
        ),
        pytest.param(
            "In-Reply-To", {"in_reply_to": "<a@x>\r\nBcc: e@x"}, None, id="an id that is none"
        ),
        pytest.param("Disposition-Notification-To", {}, None, id="no receipt"),
        pytest.param(
            "Disposition-Notification-To",
            {"asks_read_receipt": True},
            "Ann Ash <ann@crm.test>",
            id="a receipt goes to the author",
        ),
        pytest.param("MIME-Version", {}, "1.0", id="it is MIME"),
    ],
)  # fmt: skip
def test_header(name: str, fields: dict, value: str | None) -> None:
    assert field(name, **fields) == value


@pytest.mark.parametrize(
    ("party", "value"),
    [
        pytest.param(("bob@x.test", "Bob Bell"), "Bob Bell <bob@x.test>", id="words"),
        pytest.param(("bob@x.test", "Bell, Bob"), '"Bell, Bob" <bob@x.test>', id="a comma"),
        pytest.param(("b@x.test", 'B "B" \\'), r'"B \"B\" \\" <b@x.test>', id="quotes"),
        pytest.param(("bob@x.test", "a@b.test"), '"a@b.test" <bob@x.test>', id="another address"),
        pytest.param(
            ("j@x.test", "Jörg Meier"),
            "=?utf-8?q?J=C3=B6rg_Meier?= <j@x.test>",
            id="beyond ASCII",
        ),
        pytest.param(("b@x.test", "B\r\nCc: e"), '"B Cc: e" <b@x.test>', id="a line break"),
        pytest.param(("b@x.test", "\ud800"), "=?utf-8?b?77+9?= <b@x.test>", id="half a character"),
        pytest.param(("b@x.test", "\x01 "), "b@x.test", id="nothing to be seen"),
        pytest.param(("jörg@müller.test", ""), "jörg@müller.test", id="an address beyond ASCII"),
        pytest.param(("Bob@X.test", ""), "Bob@X.test", id="capitals stay"),
        pytest.param(('"a b"@x.test', ""), '<"a b"@x.test>', id="a quoted address"),
        pytest.param(
            ("b@x.test", "ü" * 30),
            "=?utf-8?b?w7zDvMO8w7zDvMO8w7zDvMO8w7zDvMO8w7zDvMO8w7zDvMO8w7zDvMO8w7w=?=\n"
            " =?utf-8?b?w7zDvMO8w7zDvMO8w7zDvA==?= <b@x.test>",
            id="a long name is cut between characters",
        ),
    ],
)
def test_names_and_addresses(party: tuple[str, str], value: str) -> None:
    assert field("To", parties=(Party(Role.TO, *party),)) == value


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        pytest.param({}, "plain", id="nothing written"),
        pytest.param({"text": "Hi"}, "plain", id="text"),
        pytest.param({"text": "Hi", "html": "<p>Hi"}, "alternative(plain html)", id="both forms"),
        pytest.param({"html": "<p>Hi"}, "alternative(plain html)", id="HTML, and what it says"),
        pytest.param({"html": "<img src='cid:p@crm.test'>"}, "html", id="HTML that says nothing"),
        pytest.param({"text": "Hi", "html": " \n"}, "plain", id="HTML that is none"),
        pytest.param(
            {"html": PAGE, "attachments": (PICTURE,)},
            "alternative(plain related(html png))",
            id="a picture beside its HTML",
        ),
        pytest.param(
            {"html": PAGE, "attachments": (PDF, PICTURE)},
            "mixed(alternative(plain related(html png)) pdf)",
            id="a picture and a file",
        ),
        pytest.param(
            {"text": "Hi", "attachments": (PICTURE, PDF)}, "mixed(plain png pdf)", id="no HTML"
        ),
    ],
)
def test_tree(fields: dict, parts: str) -> None:
    assert tree(email.message_from_bytes(compose(written(**fields)))) == parts


def test_html_without_a_text_is_told_as_text() -> None:
    assert parse(compose(written(html="<p>Hi <b>Bob</b>"))).text == "Hi Bob\n"


@pytest.mark.parametrize(
    ("text", "charset", "label", "encoding"),
    [
        pytest.param("Hi", "", "utf-8", "7bit", id="ASCII"),
        pytest.param("Hi", "windows-1252", "windows-1252", "7bit", id="the profile's charset"),
        pytest.param("Viele Grüße von Ann Ash", "", "utf-8", "quoted-printable", id="some letters"),
        pytest.param("見積もり", "", "utf-8", "base64", id="another script"),
        pytest.param("見積もり", "iso-2022-jp", "iso-2022-jp", "quoted-printable", id="Japanese"),
        pytest.param("見積もり", "koi8-r", "utf-8", "base64", id="a charset without the letters"),
        pytest.param("Hi", "nonsense", "utf-8", "7bit", id="no charset"),
        pytest.param("Hi", "utf-16", "utf-8", "7bit", id="a charset that mail can't have"),
        pytest.param("Hi", "utf-8\r\nX: y", "utf-8", "7bit", id="a charset that begins a field"),
        pytest.param("Ã¼", "iso-8859-1", "utf-8", "base64", id="what would be read as UTF-8"),
        pytest.param("x" * 2000, "", "utf-8", "quoted-printable", id="a long line"),
        pytest.param("a page\f", "", "utf-8", "quoted-printable", id="a control character"),
    ],
)
def test_charset_and_transfer_encoding(text: str, charset: str, label: str, encoding: str) -> None:
    mime = compose(written(text=text, charset=charset))
    part = email.message_from_bytes(mime)
    assert (part.get_content_charset(), part["Content-Transfer-Encoding"]) == (label, encoding)
    assert mime.isascii()
    assert parse(mime).text == text + "\n"


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        pytest.param("offer.pdf", 'filename="offer.pdf"', id="plain"),
        pytest.param("an offer; v=2.pdf", 'filename="an offer; v=2.pdf"', id="specials"),
        pytest.param("Angebot für.pdf", "filename*=utf-8''Angebot%20f%C3%BCr.pdf", id="RFC 2231"),
        pytest.param('a"b.pdf', "filename*=utf-8''a%22b.pdf", id="a quote"),
        pytest.param("../etc/x", 'filename=".._etc_x"', id="no folder"),
        pytest.param("a\r\nX: y", 'filename="a X: y"', id="no field"),
        pytest.param(
            "é" * 10 + ".pdf",
            f"filename*0*=utf-8''{'%C3%A9' * 8};\n filename*1*=%C3%A9%C3%A9.pdf",
            id="in pieces",
        ),
        pytest.param("x" * 300 + ".pdf", None, id="the end of a long name"),
        pytest.param("..", "", id="no name"),
    ],
)
def test_file_names(name: str, parameter: str | None) -> None:
    value = attached(name=name)["Content-Disposition"].replace("\r\n", "\n")
    if parameter is None:
        whole = compose(written(attachments=(MessageAttachment(name, "a/b", b"", "", False),)))
        assert parse(whole).attachments[0].filename == "x" * 251 + ".pdf"
    else:
        assert (
            re.split(r";\s+", value, maxsplit=1) == ["attachment", parameter][: 1 + bool(parameter)]
        )


@pytest.mark.parametrize(
    ("file", "kind", "disposition"),
    [
        pytest.param({"kind": "application/pdf"}, "application/pdf", "attachment", id="a file"),
        pytest.param({"kind": "image/png", "inline": True}, "image/png", "inline", id="inline"),
        pytest.param(
            {"kind": "text/plain", "inline": True},
            "text/plain",
            "attachment",
            id="a text would be read as the mail's own",
        ),
        pytest.param({"kind": ""}, "application/octet-stream", "attachment", id="no type"),
        pytest.param(
            {"kind": "multipart/mixed"},
            "application/octet-stream",
            "attachment",
            id="parts without a boundary",
        ),
        pytest.param(
            {"kind": "a/b\r\nX: y"}, "application/octet-stream", "attachment", id="a field"
        ),
    ],
)
def test_types(file: dict, kind: str, disposition: str) -> None:
    part = attached(**file)
    assert part["Content-Type"] == kind
    assert part.get_content_disposition() == disposition


def test_a_text_file_keeps_its_bytes() -> None:
    content = "é\r\n\n\r".encode("iso-8859-1")
    assert attached(kind="text/csv", content=content).get_payload(decode=True) == content


@pytest.mark.parametrize(
    ("content", "kind", "arrives"),
    [
        pytest.param(b"S: s\r\n\r\n a \r\n", "message/rfc822", None, id="as it is"),
        pytest.param("S: s\r\n\r\né".encode(), "message/rfc822", None, id="8 bits, too"),
        pytest.param(b"S: s\n\na\n", "message/rfc822", b"S: s\r\n\r\na\r\n", id="by lines"),
        pytest.param(b"S: s\r\n\r\n\0", "application/octet-stream", None, id="a NUL is no mail"),
        pytest.param(b"x" * 999, "application/octet-stream", None, id="nor is an endless line"),
    ],
)  # fmt: skip
def test_attached_messages_are_opened_by_readers_where_they_can_be_sent_as_messages(
    content: bytes, kind: str, arrives: bytes | None
) -> None:
    file = MessageAttachment("m.eml", "message/rfc822", content, "", False)
    (read,) = parse(compose(written(attachments=(file,)))).attachments
    assert (read.content_type, read.content) == (kind, arrives or content)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        pytest.param(
            {"author": Party(Role.SENDER, "", "Ann")},
            "“Ann” can't send without a valid email address: give the sender one.",
            id="an author without an address",
        ),
        pytest.param(
            {"parties": ()}, "Nobody would get this email: add a recipient.", id="no recipient"
        ),
        pytest.param(
            {"parties": (Party(Role.CC, "bob", "Bob"),)},
            "“Bob bob” has no valid email address: correct it, or take it off the email.",
            id="an address that is none",
        ),
        pytest.param(
            {"parties": (BOB, Party(Role.BCC, "", ""))},
            "Somebody without a name has no valid email address: "
            "correct it, or take it off the email.",
            id="not even a blind copy's",
        ),
        pytest.param(
            {"parties": (Party(Role.TO, "a@x.test\r\nBcc: eve@x.test", ""),)},
            "“a@x.test Bcc: eve@x.test” has no valid email address: "
            "correct it, or take it off the email.",
            id="an address that begins a field",
        ),
        pytest.param(
            {"submitter": Party(Role.SENDER, "@", "Eve")},
            "“Eve @” has no valid email address: correct it, or take it off the email.",
            id="a submitter without an address",
        ),
        pytest.param(
            {"parties": (Party(Role.TO, "=?utf-8?q?eve?=@x.test", ""),)},
            "“=?utf-8?q?eve?=@x.test” has no valid email address: "
            "correct it, or take it off the email.",
            id="an address that some readers would see another in",
        ),
        pytest.param(
            {"message_id": "1"}, "The Message-ID of this email is none: mint another.", id="no id"
        ),
    ],
)
def test_what_cannot_be_sent(fields: dict, sentence: str) -> None:
    with pytest.raises(CannotCompose) as refusal:
        compose(written(**fields))
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("parent", "above", "references"),
    [
        pytest.param("<2@x>", ("<1@x>",), ("<1@x>", "<2@x>"), id="those above, and the parent"),
        pytest.param("<2@x>", (), ("<2@x>",), id="the first answer"),
        pytest.param("", ("<1@x>",), ("<1@x>",), id="a parent without an id"),
        pytest.param("<2@x>", ("<2@x>", "<1@x>"), ("<1@x>", "<2@x>"), id="the parent is the last"),
        pytest.param("<2@x>", ("<1@x>", "<1@x>"), ("<1@x>", "<2@x>"), id="each once"),
        pytest.param("<2@x>", ("1@x", "<é@x>", "<a b>"), ("<2@x>",), id="ids that are none"),
    ],
)
def test_references(parent: str, above: tuple[str, ...], references: tuple[str, ...]) -> None:
    assert references_for(parent, above) == references


def test_of_a_very_long_conversation_the_beginning_and_the_end_are_named() -> None:
    above = [f"<{number}@x>" for number in range(100)]
    references = references_for("<100@x>", above)
    assert references == ("<0@x>", *(f"<{number}@x>" for number in range(72, 101)))
    assert len(references) == MOST_REFERENCES


@pytest.mark.parametrize(
    ("parties", "paths"),
    [
        pytest.param([], (), id="nobody"),
        pytest.param([ANN, BOB], ("bob@customer.test",), id="not the author"),
        pytest.param(
            [BOB, Party(Role.BCC, "cy@x.test", "")],
            ("bob@customer.test", "cy@x.test"),
            id="blind copies, too",
        ),
        pytest.param(
            [Party(Role.CC, "Bob@Customer.test", ""), Party(Role.TO, "Bob@customer.TEST", "")],
            ("Bob@Customer.test",),
            id="a domain has no capitals",
        ),
        pytest.param(
            [BOB, Party(Role.TO, "Bob@customer.test", "")],
            ("bob@customer.test", "Bob@customer.test"),
            id="what stands before it may have",
        ),
    ],
)
def test_forward_paths(parties: list[Party], paths: tuple[str, ...]) -> None:
    assert forward_paths(parties) == paths
