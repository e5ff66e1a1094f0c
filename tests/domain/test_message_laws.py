"""What holds of every message, whoever wrote it: reading it ends well and gives what can be kept.

The last law asks the whole of a visit: no stranger's message may stop a mailbox or get lost in it.
"""

import random
import unicodedata
from datetime import timedelta
from itertools import count
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import IncomingFilter, User
from syncservice.domain.addresses import LONGEST_ADDRESS, addresses_in
from syncservice.domain.correlation import LONGEST_ID, answered_ids, conversation_base, index_bytes
from syncservice.domain.message import Message, UnreadableMessage, parse
from syncservice.domain.smart_matching import SmartMatching
from syncservice.domain.tracking_token import LONGEST_TOKEN, MOST_TOKENS, Scheme
from syncservice.mailboxes.models import DeclinedItem, RemoteItem
from syncservice.sync.inbox import Inbox
from syncservice.sync.visit import Budget, visit
from tests import factories
from tests.memory_gateway import MemoryIncoming, MemoryServer, mime

FIELDS = [
    *("From", "Sender", "To", "Cc", "Bcc", "Delivered-To", "X-Original-To", "Envelope-To"),
    *("Subject", "Date", "Message-ID", "In-Reply-To", "References", "Thread-Index"),
    *("Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "MIME-Version", "X-Odd"),
]
VALUES = [
    *("ann@customer.test", "user@example.test", '"Ash, Ann" <ann@customer.test>', "<>", "@"),
    *('"a <b> c"@customer.test', "ann\0@customer.test", "ann\x1b@customer.test", "a@b@c"),
    *("undisclosed-recipients:;", "group: ann@x.test, bob@x.test;", "(((", '"', "x" * 999 + "@x"),
    *("=?utf-8?b?7aCA?=", "=?utf-7?q?+2AA-?=", "=?utf-8?q?=00?=", "\u2028", "\0", "=" * 30),
    *("Re: Offer CRM:0001001", "CRM:0" + "9" * 30, "<a@x>", "<a@x> <b@x>", "<" + "é" * 990 + ">"),
    *("AdpqvwAAAAAAAAAAAAAAAAAAAAAA", "Sun, 1 Mar 2026 12:00:00 +0000", "0"),
    *("Sun, 31 Feb 99999 25:61:61 +9999", "multipart/mixed", "multipart/mixed; boundary=b"),
    *("text/html; charset=utf-16", "message/rfc822", "base64"),
    *('attachment; filename="a\0.exe"', "attachment; filename*=utf-8''%ED%A0%80"),
]


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Header fields in any order and number, with what such a field may hold or not, and a body."""
    fields = st.tuples(
        st.sampled_from(FIELDS),
        st.lists(st.sampled_from(VALUES) | st.text(max_size=20), max_size=3).map(" ".join),
        st.sampled_from([": ", ":", " : ", ":\n ", "\r\n\t", "\n", ""]),
    )
    lines = [f"{name}{colon}{value}" for name, value, colon in draw(st.lists(fields, max_size=12))]
    body = draw(st.sampled_from(["", "Hi\n", "--b\n\npart\n--b--\n", "--b\nContent-Type: "]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    charset = draw(st.sampled_from(["utf-8", "utf-16", "latin-1"]))
    return (end.join(lines) + end * 2 + body).encode(charset, "replace")


BYTES = st.one_of(st.binary(max_size=300), messages())
TEXT = st.text(st.characters(), max_size=60)  # lone surrogates too
LISTS = st.lists(st.sampled_from([*VALUES, *"<>@,;:()\"\\' \t", "mailto:"]) | TEXT, max_size=8)


def texts_of(message: Message) -> list[str]:
    """All that is kept of a message and of its files."""
    return [
        *(message.message_id, message.in_reply_to, *message.references, message.subject),
        *(text for party in message.parties for text in (party.address, party.name)),
        *(message.text, message.html, message.conversation_index, message.fingerprint),
        *message.delivered_to,
        *message.warnings,
        *(file.filename for file in message.attachments),
        *(file.content_type for file in message.attachments),
        *(file.content_id for file in message.attachments),
    ]


@settings(max_examples=300)
@given(BYTES)
def test_what_is_read_can_be_stored_and_all_else_is_unreadable(mime: bytes) -> None:
    try:
        message = parse(mime)
    except UnreadableMessage:
        return
    for text in texts_of(message):
        assert "\0" not in text
        text.encode()  # fails on a lone surrogate
    for address in (*message.delivered_to, *(party.address for party in message.parties)):
        assert not any(unicodedata.category(character) == "Cc" for character in address)
    assert all(isinstance(one, bytes) for one in message.forwarded)


@settings(max_examples=300)
@given(LISTS.map("".join) | LISTS.map(" ".join))
def test_every_list_of_addresses_is_read_and_what_is_usable_is_one_word(header: str) -> None:
    for found in addresses_in(header):
        assert len(found.address.encode("utf-8", "replace")) <= LONGEST_ADDRESS
        local, at, domain = found.address.rpartition("@")
        assert bool(local) == bool(at) == bool(domain) == bool(found.address)
        plain = domain if local.startswith('"') else local + domain  # quotes may hold anything
        assert not any(character.isspace() or character in "<>," for character in plain)


@settings(max_examples=300)
@given(TEXT | st.sampled_from(VALUES), TEXT | st.sampled_from(["CRM:", "S", "İ"]))
def test_every_subject_has_tokens_and_words(subject: str, prefix: str) -> None:
    tokens = Scheme(prefix=prefix[:20], earlier_prefixes=("CRM:",)).tokens_in(subject)
    assert len(tokens) <= MOST_TOKENS
    assert all(len(token) <= LONGEST_TOKEN for token in tokens)
    assert isinstance(
        SmartMatching().hashes(subject.encode("utf-8", "replace").decode(), ()), object
    )


@settings(max_examples=200)
@given(TEXT, st.lists(st.text(max_size=1200), max_size=5))
def test_every_header_says_which_emails_are_answered(in_reply_to: str, references: list[str]):
    ids = answered_ids(in_reply_to.encode("utf-8", "replace").decode(), references)
    assert len(set(ids)) == len(ids)
    assert all(0 < len(one.encode()) <= LONGEST_ID for one in ids)
    assert isinstance(index_bytes(in_reply_to), bytes)
    assert conversation_base(index_bytes(in_reply_to)) is None or len(index_bytes(in_reply_to)) > 21


BUDGET = Budget(
    duration=timedelta(minutes=2), messages=100, bytes=2**30, page_ids=10, batch_messages=10,
    batch_bytes=2**20, message_bytes=2**20,
)  # fmt: skip


def _incompressible(length: int) -> str:
    """Text that PostgreSQL can't make small enough for an index."""
    letters = random.Random(1)  # the same in every run
    return "".join(chr(letters.randint(0x4E00, 0x9FA5)) for _ in range(length))


LONG = _incompressible(3000)


@pytest.mark.django_db
@settings(
    max_examples=40,
    # The tables keep what the examples before left; each looks for its own item alone.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=BYTES)
@example(data=mime("long address", sender="ann@customer.test").replace(b"ann@", b"a" * 2000 + b"@"))
@example(data=f"From: {LONG}@customer.test\nTo: user@example.test\nSubject: s\n\nHi".encode())
@example(data=f"From: a@x.test\nTo: {LONG}@customer.test\nSubject: s\n\nHi".encode())
@example(data=f"From: a@x.test\nDelivered-To: {LONG}@x.test\nSubject: s\n\nHi".encode())
@example(data=f"From: {LONG[:80]}@x.test\nTo: a@x.test\n\nHi".encode())
@example(data=f"From: {LONG[:99]}@{'d' * 200}.test\nTo: a@x.test\n\nHi".encode())
@example(data=f"From: {'a' * 300}@x.test\nTo: a@x.test\n\nHi".encode())
@example(data=f"From: a@x.test\nIn-Reply-To: <{LONG[:990]}@x>\nSubject: s\n\nHi".encode())
@example(data=f"From: a@x.test\nMessage-ID: <{LONG}@x>\nReferences: <{LONG}>\n\nHi".encode())
@example(data=f"From: {LONG} <a@x.test>\nSubject: {LONG}\nThread-Index: {LONG}\n\nHi".encode())
@pytest.mark.parametrize("option", [IncomingFilter.ALL, IncomingFilter.IN_RESPONSE])
def test_a_visit_stores_declines_or_tells_why_not(option: IncomingFilter, data: bytes) -> None:
    address = f"{uuid4()}@example.test"
    owner = User.objects.create(
        username=address, email=address, incoming_filter=option, automatic_record=1
    )
    box = factories.mailbox(owner=owner)
    server = MemoryServer()
    (item,) = server.deliver(data)
    inbox = Inbox(factories.claim(box), item_attempts=3)
    outcome = visit(MemoryIncoming(server), inbox, BUDGET, count().__next__)
    assert outcome.fault is None
    became = [
        model.objects.filter(mailbox=box, item_id=item).count()
        for model in (RemoteItem, DeclinedItem, ItemFailure)
    ]
    assert sum(became) == 1
    assert not ItemFailure.objects.exclude(code="email.unreadable").exists()
