"""Mails we compose, read by others: a parser of no code in common with ours, and a real Postfix.

Postfix hands on what it is given; so what arrives has to be what was composed, to the byte. The
parser counts the line break before a boundary as a part's own (against RFC 2046 section 5.1.1) and
sees LF where lines of text end, so breaks at the end of a text are not compared.
"""

import re
import smtplib
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from syncservice.domain.composition import Composition, compose, forward_paths, references_for
from syncservice.domain.html_text import text_of
from syncservice.domain.message import MessageAttachment, Party, Role, parse
from tests.servers import postal_mime
from tests.servers.postfix import Postfix, postfix

ANN = Party(Role.SENDER, "ann@crm.test", "Ann Ash")
BOB = Party(Role.TO, "bob@customer.test", "Bob Bell")
EVERY_BYTE = bytes(range(256)) * 40
PICTURE = MessageAttachment(
    "picture.png", "image/png", b"\x89PNG\r\n" + EVERY_BYTE, "p1@crm.test", True
)
FORWARDED = (
    b"Received: from a by b\r\nFrom: cy@x.test\r\nSubject: =?utf-8?q?=C3=A9?=\r\n\r\n"
    b" spaces  stay \r\n.\r\nFrom here\r\n\r\n"
)


def written(**fields) -> Composition:
    """An email of Ann to Bob, with `fields` in it."""
    return Composition(**{
        "message_id": "<1@crm.test>",
        "at": datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC),
        "author": ANN,
        "parties": (BOB,),
        "subject": "Offer",
        "text": "Dear Bob,\n\nplease find our offer.\n-- \nAnn\n",
        **fields,
    })  # fmt: skip


def file(name: str, kind: str, content: bytes) -> MessageAttachment:
    return MessageAttachment(name, kind, content, "", False)


WRITTEN = {
    "plain text": written(),
    "text and HTML": written(html="<p>Dear <b>Bob</b>,</p>\n<p>Grüße = 1 &lt; 2</p>\n"),
    "HTML alone": written(text="", html='<p>Dear Bob</p><p><a href="https://x.test">here</a>\n'),
    "an answer in a long conversation": written(
        in_reply_to="<parent@customer.test>",
        references=references_for("<parent@customer.test>", [f"<{n}@x.test>" for n in range(40)]),
        subject="Re: Offer CRM:0001001",
    ),
    "on behalf of somebody, asking for a receipt": written(
        submitter=Party(Role.SENDER, "eve@crm.test", "Eve Elm"), asks_read_receipt=True
    ),
    "many recipients with names of every kind": written(
        parties=(
            Party(Role.TO, "a@x.test", "Ash, Ann"),
            Party(Role.TO, "b@x.test", 'Bob "B" \\ Bell'),
            Party(Role.TO, "c@x.test", "Jörg Müller von und zu " * 5),
            Party(Role.TO, "d@x.test", "山田 太郎"),
            Party(Role.TO, "e@x.test", ""),
            Party(Role.CC, "f@x.test", "O'Neil (sales); <b@x.test>"),
            Party(Role.CC, "g@x.test", "=?utf-8?q?no?="),
            Party(Role.CC, "h@x.test", "😀 family 👨‍👩‍👧‍👦"),
            Party(Role.BCC, "i@x.test", "Nobody Knows"),
        ),
    ),
    "blind copies alone": written(parties=(Party(Role.BCC, "i@x.test", "Nobody Knows"),)),
    "international addresses": written(
        author=Party(Role.SENDER, "jörg@müller.test", "Jörg Müller"),
        parties=(
            Party(Role.TO, "用户@例子.test", "用户"),
            Party(Role.CC, f"{'é' * 25}@{'münchen.' * 6}test", "ünï " * 30),
            Party(Role.CC, "b@x.test", "ASCII"),
        ),
        subject="Ein sehr langer Betreff über Öfen, Übergrößen und Straßenbahnen " * 2,
    ),
    "another script in text, HTML and subject": written(
        subject="見積書の件につきまして、ご確認のほどよろしくお願いいたします。" * 2,
        text="お世話になっております。\n\nよろしくお願いいたします。\n",
        html="<p>お世話になっております。</p>\n",
    ),
    "the profile's charset": written(
        subject="Größe", text="Viele Grüße\n", html="<p>Viele Grüße\n", charset="iso-8859-1"
    ),
    "a Japanese charset": written(
        subject="日本語の件名です", text="日本語\n", charset="iso-2022-jp"
    ),
    "a picture in the HTML": written(
        html='<p>Look: <img src="cid:p1@crm.test"></p>\n', attachments=(PICTURE,)
    ),
    "files of every type and name": written(
        html='<p>Look: <img src="cid:p1@crm.test"></p>\n',
        attachments=(
            PICTURE,
            file("offer.pdf", "application/pdf", EVERY_BYTE),
            file("Angebot für Müller; Stand März.xlsx", "application/vnd.ms-excel", b"a"),
            file("見積書" * 20 + ".docx", "application/octet-stream", b"\r\n\n\r"),
            file("100% 'sure' (a).csv", "text/csv", "ä;b\n1;2\r\n".encode("iso-8859-1")),
            file("notes.txt", "text/plain", "ünchanged\n \n".encode()),
            file("page.html", "text/html", b"<p>not the mail's\n"),
            file("empty.bin", "application/x-empty", b""),
        ),
    ),
    "an attached message": written(
        attachments=(file("cy's mail.eml", "message/rfc822", FORWARDED),)
    ),
    "an attached message of 8 bits": written(
        attachments=(file("m.eml", "message/rfc822", FORWARDED + "é\r\n".encode()),)
    ),
    "long lines and dots": written(
        text=f"{'word ' * 600}\n{'x' * 3000}\n.\n..\n.dot\nFrom here\n \n\ttab\t\n"
    ),
    "an attempt to begin fields": written(
        subject="Hi\r\nBcc: eve@x.test\r\n\r\n<script>",
        author=Party(Role.SENDER, "ann@crm.test", "Ann\r\nX-Evil: 1"),
        attachments=(file("a\r\nX-Evil: 1\0.txt", "application/x-any\r\nX-Evil: 1", b"a"),),
    ),
    "half a character": written(subject="a\ud800b", text="a\ud800b\n"),
}  # fmt: skip
MAILS = {
    name: replace(mail, message_id=f"<mail-{number}@crm.test>")
    for number, (name, mail) in enumerate(WRITTEN.items())
}


def line(text: str) -> str:
    """How a reader sees a text in a header."""
    return re.sub(r"[\r\n]+", " ", text).replace("\0", "").replace("\ud800", "\ufffd").strip()


def lines(text: str) -> str:
    """A text without what is not compared, see above."""
    return text.replace("\r\n", "\n").replace("\ud800", "\ufffd").rstrip("\n")


def as_compared(kind: str, content: bytes) -> bytes:
    """A file to the byte; a message is text."""
    is_message = kind == "message/rfc822"
    return content.replace(b"\r\n", b"\n").rstrip(b"\n") if is_message else content


def people(composition: Composition, *roles: Role) -> list[list[str]]:
    """Names and addresses of those in `roles`."""
    those = (one for one in (composition.author, *composition.parties) if one.role in roles)
    return [[line(one.name), one.address] for one in those]


def as_written(composition: Composition) -> dict:
    """What postal_mime.js is to tell."""
    submitter = composition.submitter
    to = people(composition, Role.TO) or [["undisclosed-recipients", []]]
    return {
        "message_id": composition.message_id,
        "in_reply_to": composition.in_reply_to,
        "references": list(composition.references),
        "date": composition.at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "from": people(composition, Role.SENDER),
        "sender": [[submitter.name, submitter.address]] if submitter else [],
        "to": to,
        "cc": people(composition, Role.CC),
        "bcc": [],
        "subject": line(composition.subject),
        "text": lines(composition.text or text_of(composition.html)),
        "html": lines(composition.html),
        "files": [
            [
                line(one.filename),
                one.content_type if one.content_type.isprintable() else "application/octet-stream",
                as_compared(one.content_type, one.content),
                one.content_id,
                "inline" if one.is_inline else "attachment",
                one.is_inline,
            ]
            for one in composition.attachments
        ],
    }


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What another parser reads in each of MAILS."""
    folder: Path = tmp_path_factory.mktemp("mails")
    return dict(zip(MAILS, postal_mime.read([*map(compose, MAILS.values())], folder), strict=True))


@pytest.mark.parametrize("name", MAILS)
def test_another_parser_reads_what_was_written(name: str, told: dict[str, dict]) -> None:
    read = told[name]
    files = [
        [filename, kind, as_compared(kind, b64decode(content)), *more]
        for filename, kind, content, *more in read["files"]
    ]
    texts = {"text": lines(read["text"]), "html": lines(read["html"])}
    assert {**read, **texts, "files": files} == as_written(MAILS[name])


@pytest.fixture(scope="module")
def server() -> Iterator[Postfix]:
    with postfix() as running:
        yield running


@pytest.mark.parametrize("name", MAILS)
def test_a_real_server_takes_it_and_it_arrives_as_it_was_written(
    name: str, server: Postfix
) -> None:
    mime = compose(MAILS[name])
    paths = forward_paths(MAILS[name].parties)
    with smtplib.SMTP("127.0.0.1", server.port, "crm.test", 20) as client:
        options = ["BODY=8BITMIME", f"SIZE={len(mime)}"]
        if not mime.partition(b"\r\n\r\n")[0].isascii():
            options.append("SMTPUTF8")
        refused = client.sendmail(MAILS[name].author.address, paths, mime, options)
    assert not refused
    arrived = server.wait_for(len(paths), MAILS[name].message_id)
    for one in arrived:
        fields, _, rest = one.replace(b"\n", b"\r\n").partition(mime[:10])
        assert mime[:10] + rest == mime
        assert fields.startswith(b"Return-Path: ")
    assert {path for one in arrived for path in parse(one).delivered_to} == set(paths)
