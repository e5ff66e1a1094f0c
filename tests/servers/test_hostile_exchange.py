"""What an Exchange server may do to a visit, step by step: the fault, the next visit, the mail.

A simulator holds the mail; `HostileServer` stands before it and spoils its answers. Each test ends
with a server that is good again, and asks that all of its mail is stored, each once.
"""

import base64
import gzip
import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, count, cycle, repeat

import exchangelib.errors
import pytest

from syncservice.crm.models import ActivityParty, Email
from syncservice.domain.faults import Fault, Nature, Scope
from syncservice.servers.exchange import conversation, faults
from syncservice.simulator.exchange import ExchangeSimulator
from syncservice.simulator.exchange import Fault as ServerFault
from tests.memory_gateway import mime
from tests.servers.certificates import certificate
from tests.servers.hostile_server import (
    PAUSE,
    SILENCE,
    Evil,
    HostileServer,
    hostile,
    http_answer,
)
from tests.servers.visited import Visited

pytestmark = pytest.mark.django_db

T, TH, P, R = Nature.TRANSIENT, Nature.THROTTLED, Nature.PERMANENT, Nature.RESYNC
MAILBOX, PROFILE = Scope.MAILBOX, Scope.PROFILE
SYNC, GET = "SyncFolderItems", "GetItem"
#: How it is said, and which request of a visit with two pages it is the answer to.
STEPS = [
    *(("request", SYNC, 1), ("request", GET, 1)),
    *(("message", SYNC, 2), ("message", GET, 1)),
]
ACCOUNT = {"username": "svc", "password": "pw"}
_numbers = count(1)


@pytest.fixture(scope="module")
def simulator() -> Iterator[ExchangeSimulator]:
    with ExchangeSimulator() as running:  # unchecked: it is to say what no schema has
        running.control.create_service_account("svc", "pw")
        yield running


@pytest.fixture
def evil(simulator) -> Iterator[HostileServer]:
    with hostile(simulator.ews_url) as running:
        yield running


def mailbox_at(simulator: ExchangeSimulator, location: str, mails: int = 3, **more) -> Visited:
    address = f"user{next(_numbers)}@hostile.test"
    simulator.control.create_mailbox(address, "pw")
    box = Visited(address, location=location, **{**ACCOUNT, **more})
    for number in range(mails):
        simulator.control.deliver(address, mime(f"mail {number}", to=address))
    return box


def all_of(mails: int) -> list[str]:
    return [f"mail {number}" for number in range(mails)]


def assert_meets(box: Visited, code: str, nature: Nature, scope: Scope, minutes: float) -> None:
    """Visit, and assert what that ends in. Waits of our own are up to a fifth shorter."""
    fault = box.visit().fault
    assert fault is not None, (box.stored, box.failed)
    assert (fault.code, fault.nature, fault.scope) == (f"exchange.{code}", nature, scope)
    if fault.retry_after is not None:
        assert box.minutes * 60 == fault.retry_after.total_seconds()
    assert 0.8 * minutes <= box.minutes <= minutes


# --- every response code, at every step -----------------------------------------------------------

#: Nature, minutes until the next visit, and the codes; where exchangelib renames one, behind a =.
CODES: list[tuple[Nature, float, str]] = [
    (
        TH, 1,
        "ServerBusy ExceededConnectionCount ExceededSubscriptionCount ExceededFindCountLimit "
        "SubmissionQuotaExceeded TooManyObjectsOpened=ServerBusy "
        "InternalServerTransientError=ServerBusy",
    ),
    (
        T, 5,
        "TimeoutExpired InternalServerError MailboxStoreUnavailable MailboxMoveInProgress "
        "MailboxFailover ConnectionFailed ADUnavailable InsufficientResources "
        "BatchProcessingStopped QuotaExceeded SchemaValidation IrresolvableConflict StaleObject "
        "InvalidChangeKey ItemNotFound ExpiredSubscription NotHeardOfYet",
    ),
    (
        T, 5,
        "CorruptData=UnreadableAnswer MessageSizeExceeded=UnreadableAnswer "
        "InvalidIdMalformed=UnreadableAnswer",
    ),
    (R, 0, "InvalidSyncStateData SyncFolderNotFound FolderNotFound"),
    (
        P, 10,
        "AccessDenied ImpersonateUserDenied ImpersonationFailed ImpersonationDenied "
        "NonExistentMailbox MailboxConfiguration InvalidSmtpAddress SendAsDenied",
    ),
    (P, 5, "AccountDisabled PasswordExpired PasswordChangeRequired"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "ours", "nature", "minutes"),
    [
        pytest.param(f"Error{code}", f"Error{ours or code}", nature, minutes, id=code)
        for nature, minutes, codes in CODES
        for code, _, ours in (name.partition("=") for name in codes.split())
    ],
)
def test_a_response_code_is_the_same_fault_at_every_step(simulator, code, ours, nature, minutes):
    for kind, operation, nth in STEPS:
        if (kind, operation) == ("message", GET) and (ours != code or code == "ErrorItemNotFound"):
            continue  # one message is gone, and that is no fault; others keep their own name
        box = mailbox_at(simulator, simulator.ews_url)
        box.again_with(page_ids=2)
        simulator.control.add_fault(
            ServerFault(kind=kind, code=code, operation=operation, nth=nth, times=1)
        )
        if operation == GET and ours == "ErrorUnreadableAnswer":  # that of an item: it was asked
            assert box.visit().fault is None  # again item by item
        else:
            assert_meets(box, faults._snake(ours), nature, MAILBOX, minutes)
        simulator.control.clear_faults()
        box.visit_until_done()
        assert (box.stored, box.failed) == (all_of(3), {}), (kind, operation, nth)


def test_a_request_that_a_server_calls_invalid_is_tried_in_each_version_and_no_more(simulator):
    box = mailbox_at(simulator, simulator.ews_url)
    simulator.control.add_fault(ServerFault(kind="request", code="ErrorInvalidRequest"))
    assert_meets(box, "invalid_schema_version_for_mailbox_version", T, MAILBOX, 5)
    assert box.outcome.requests < 12
    simulator.control.clear_faults()


def test_every_response_code_there_is_has_a_fault_that_can_be_stored():
    known = [error for name, error in vars(exchangelib.errors).items() if name[:5] == "Error"]
    made = [faults.fault_of_ews_error(error("so it said")) for error in known]
    assert all(isinstance(fault, Fault) and len(fault.code) < 100 for fault in made)
    assert len(made) > 300


@pytest.mark.parametrize(
    ("status", "nature", "scope", "minutes"),
    [
        *((status, P, PROFILE, 10) for status in (301, 302, 303, 307, 308, 404, 405)),
        *((status, T, PROFILE, 5) for status in (400, 408, 413, 500, 501, 502, 504)),
        *((status, TH, PROFILE, 1) for status in (429, 503)),
        (401, P, MAILBOX, 5),
        (403, P, MAILBOX, 10),
    ],
)
def test_a_status_is_the_same_fault_at_every_listing(simulator, status, nature, scope, minutes):
    for nth in (1, 2):
        box = mailbox_at(simulator, simulator.ews_url)
        box.again_with(page_ids=2)
        simulator.control.add_fault(
            ServerFault(kind="http", status=status, operation=SYNC, nth=nth, times=1)
        )
        assert_meets(box, f"http_{status}", nature, scope, minutes)
        simulator.control.clear_faults()
        box.visit_until_done()
        assert box.stored == all_of(3)


# --- what is no answer ----------------------------------------------------------------------------


def sent(answer: bytes, *more: bytes) -> Evil:
    return lambda good: [answer, *more]


def cut(good: bytes) -> Iterator[bytes]:
    yield http_answer(good)[:-40]
    yield from ()


def closing(evil: Evil) -> Evil:
    """What `evil` sends, and then no more."""

    def pieces(good: bytes) -> Iterator[bytes]:
        yield from evil(good)
        raise ConnectionAbortedError

    return pieces


def endless(head: bytes, piece: bytes) -> Evil:
    return lambda good: chain([head], repeat(piece))


def drip(head: bytes, byte: bytes = b" ") -> Evil:
    """A byte now and then, for ever; each is in time."""
    return lambda good: chain([head], cycle([byte, PAUSE]))


def chunked(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"%x\r\n%s\r\n" % (len(body), body)
    )


def bomb(size: int) -> bytes:
    return http_answer(gzip.compress(bytes(size)), Content_Encoding="gzip")


def declared(entities: bytes) -> Evil:
    """The good answer with a document type declaration, and its last entity in an id."""

    def pieces(good: bytes) -> Iterator[bytes]:
        doctype = b"<!DOCTYPE Envelope [" + entities + b"]>"
        text = re.sub(rb"(<\?xml[^>]*>)", rb"\1" + doctype, good, count=1)
        yield http_answer(re.sub(rb' Id="', rb' Id="&z;', text))

    return pieces


LAUGHS = b'<!ENTITY a "ha">' + b"".join(
    b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 20) for n in range(25)
)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"

#: What happens to every listing, code, nature, scope, minutes.
EVILS: dict[str, tuple[Evil, str, Nature, Scope, float]] = {
    "cut short of its length": (closing(cut), "connection_lost", T, PROFILE, 5),
    "cut in a chunk": (
        closing(lambda good: [chunked(good)[:-40]]),
        *("connection_lost", T, PROFILE, 5),
    ),
    "cut between chunks": (closing(lambda good: [chunked(good)]), "connection_lost", T, PROFILE, 5),
    "a length less than the answer's": (
        lambda good: [http_answer(good, length=len(good) - 40)],
        *("unreadable_answer", T, MAILBOX, 5),
    ),
    "nothing": (closing(sent(b"")), "connection_lost", T, PROFILE, 5),
    "no answer ever": (sent(SILENCE), "timed_out", T, PROFILE, 5),
    "a header without end": (endless(HEAD + b"X: ", b"x" * 4096), "connection_lost", T, PROFILE, 5),
    "a drip of a header": (drip(HEAD + b"X: ", b"x"), "timed_out", T, PROFILE, 5),
    "a drip of the body": (
        drip(HEAD + b"Content-Length: 100000\r\n\r\n"),
        *("timed_out", T, PROFILE, 5),
    ),
    "a drip in chunks": (
        drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        *("timed_out", T, PROFILE, 5),
    ),
    "100 Continue for ever": (
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        *("answer_too_large", T, MAILBOX, 5),
    ),
    "a body without end": (
        endless(HEAD + b"\r\n", b" " * 65536),
        *("answer_too_large", T, MAILBOX, 5),
    ),
    "chunks without end": (
        endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n%s\r\n" % (b" " * 65536)),
        *("answer_too_large", T, MAILBOX, 5),
    ),
    "a gzip bomb": (sent(bomb(2**30)), "answer_too_large", T, MAILBOX, 5),
    "what says it is gzip": (
        lambda good: [http_answer(good, Content_Encoding="gzip")],
        *("not_ews", T, PROFILE, 5),
    ),
    "an empty body": (sent(http_answer(b"")), "not_ews", T, PROFILE, 5),
    "a login page": (
        sent(http_answer(b"<!DOCTYPE html><html><br>Log in", Content_Type="text/html")),
        *("not_ews", T, PROFILE, 5),
    ),
    "JSON": (
        sent(http_answer(b'{"error": "no"}', Content_Type="application/json")),
        *("not_ews", T, PROFILE, 5),
    ),
    "other XML": (sent(http_answer(b"<?xml version='1.0'?><a/>")), "not_ews", T, PROFILE, 5),
    "an empty envelope": (
        sent(http_answer(
            b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body/></s:Envelope>'
        )),
        *("not_ews", T, PROFILE, 5),
    ),
    "XML that isn't closed": (
        lambda good: [http_answer(good.replace(b"</s:Body>", b""))],
        *("unreadable_answer", T, MAILBOX, 5),
    ),
    "an answer without messages": (
        lambda good: [http_answer(re.sub(rb"(<m:ResponseMessages>).*(</m:R\w+>)", rb"\1\2", good))],
        *("unreadable_answer", T, MAILBOX, 5),
    ),
    "items without ids": (
        lambda good: [http_answer(re.sub(rb"<t:ItemId[^>]*>", b"", good))],
        *("unreadable_answer", T, MAILBOX, 5),
    ),
    "changes of nothing": (
        lambda good: [http_answer(re.sub(rb"<t:Create>.*</t:Create>", b"<t:Create/>", good))],
        *("unreadable_answer", T, MAILBOX, 5),
    ),
    "an entity": (declared(b'<!ENTITY z "x">'), "unreadable_answer", T, MAILBOX, 5),
    "a file of ours": (
        declared(b'<!ENTITY z SYSTEM "file:///etc/passwd">'),
        *("unreadable_answer", T, MAILBOX, 5),
    ),
    "a billion laughs": (declared(LAUGHS), "unreadable_answer", T, MAILBOX, 5),
    "another encoding": (
        lambda good: [http_answer(good.decode().replace("utf-8", "utf-16").encode("utf-16"))],
        *("not_ews", T, PROFILE, 5),
    ),
    "a redirect to a login page": (
        sent(http_answer(b"", status="302 Found", Location="https://login.test/")),
        *("http_302", P, PROFILE, 10),
    ),
    "a redirect to itself": (
        sent(http_answer(b"", status="307 Temporary Redirect", Location="/EWS/Exchange.asmx")),
        *("http_307", P, PROFILE, 10),
    ),
    "a hint of years": (
        sent(http_answer(b"", status="503 Busy", Retry_After="9" * 9)),
        *("http_503", TH, PROFILE, 1440),
    ),
    "a hint that is no number": (
        sent(http_answer(b"", status="503 Busy", Retry_After="9" * 5000)),
        *("http_503", TH, PROFILE, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "code", "nature", "scope", "minutes"),
    [pytest.param(*row, id=name) for name, row in EVILS.items()],
)
def test_what_is_no_answer_ends_the_visit_in_time_and_nothing_is_lost(
    simulator, evil, monkeypatch, spoil, code, nature, scope, minutes
):
    monkeypatch.setattr(conversation, "MOST_BYTES", 2**22)  # so that the flood is over soon
    box = mailbox_at(simulator, evil.url)
    evil.evil[SYNC] = spoil
    assert_meets(box, code, nature, scope, minutes)
    assert (box.is_on, box.server_rests) == (True, scope is PROFILE)
    assert evil.asked.count(SYNC) == 1  # nothing was asked again
    assert evil.taken < 2**24  # the buffers of two sockets are in it
    assert box.cursor == ""
    evil.evil.clear()
    box.visit_until_done()
    assert box.stored == all_of(3)


@pytest.mark.parametrize(
    "name",
    [
        *("cut short of its length", "nothing", "no answer ever", "a drip of the body"),
        *("chunks without end", "a gzip bomb", "a login page", "XML that isn't closed"),
    ],
)
def test_a_message_that_ends_its_request_fails_alone_and_holds_nobody_up(simulator, evil, name):
    """Some servers hang, or hang up, over one message."""
    spoil, code, *_ = EVILS[name]
    box = mailbox_at(simulator, evil.url, mails=2)
    address = box.box.email_address
    poison = simulator.control.deliver(address, mime("poison"))
    simulator.control.deliver(address, mime("mail 2", to=address))
    evil.evil[GET] = spoil
    evil.spared = lambda request: poison.encode() not in request
    box.visit_until_done()
    assert box.stored == all_of(3)
    assert box.failed == {poison: f"exchange.{code}"}
    assert (box.is_on, box.server_rests) == (True, False)
    evil.evil.clear()
    box.visit_until_done()
    assert (box.stored, box.failed) == ([*all_of(3), "poison"], {})


def test_a_server_that_lists_well_and_gives_no_message_is_the_mailboxs_trouble(simulator, evil):
    """The cursor stays: what can't be fetched now is no bad mail, however often it was asked."""
    box = mailbox_at(simulator, evil.url, mails=6)
    box.again_with(page_ids=3)
    evil.evil[GET] = EVILS["a login page"][0]
    for _ in range(7):
        assert_meets(box, "not_ews", T, MAILBOX, 5)
        assert not box.server_rests
    assert box.cursor == ""
    evil.evil.clear()
    box.visit_until_done()
    assert (box.stored, box.failed) == (all_of(6), {})


def test_the_only_new_message_is_given_up_in_the_end_when_it_ends_its_requests(simulator, evil):
    box = mailbox_at(simulator, evil.url, mails=1)
    evil.evil[GET] = EVILS["a login page"][0]
    for _ in range(4):
        assert_meets(box, "not_ews", T, MAILBOX, 5)
    assert box.visit().fault is None
    assert box.cursor != ""
    assert [*box.failed.values()] == ["exchange.not_ews"]
    assert box.is_on


# --- answers that lie -----------------------------------------------------------------------------


def messages_of(good: bytes) -> list[bytes]:
    return re.findall(rb"<m:GetItemResponseMessage .*?</m:GetItemResponseMessage>", good, re.DOTALL)


def with_messages(change: Callable[[list[bytes]], list[bytes]]) -> Evil:
    def pieces(good: bytes) -> Iterator[bytes]:
        before = messages_of(good)
        start = good.index(before[0])
        end = good.index(before[-1]) + len(before[-1])
        yield http_answer(good[:start] + b"".join(change(before)) + good[end:])

    return pieces


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda found: found[:2], id="one is missing"),
        pytest.param(lambda found: found[1:], id="the first is missing"),
        pytest.param(lambda found: found[:1] * 3, id="one three times, the others missing"),
        pytest.param(lambda found: found * 2, id="all twice"),
        pytest.param(lambda found: found[::-1], id="in another order"),
        pytest.param(
            lambda found: [*found, found[0].replace(b' Id="', b' Id="AAAA')],
            id="one never asked for",
        ),
        pytest.param(
            lambda found: [found[0].replace(b' Id="', b' Id="AAAA'), *found[1:]],
            id="another in its place",
        ),
    ],
)
def test_every_item_is_stored_under_its_own_id_whatever_is_answered(simulator, evil, change):
    box = mailbox_at(simulator, evil.url)
    evil.evil[GET] = with_messages(change)
    outcome = box.visit()
    assert outcome.fault is None
    assert outcome.failed == 3 - len(box.stored)
    assert {*box.failed.values()} <= {"email.not_answered"}
    assert len(box.failed) == outcome.failed
    assert evil.asked.count(GET) == 1  # what is missing waits for the next visit
    evil.evil.clear()
    box.visit_until_done()
    assert (box.stored, box.failed) == (all_of(3), {})
    subjects = {
        item.item_id: item.email.subject for item in box.box.remote_items.select_related("email")
    }
    assert len(subjects) == 3


def test_no_answer_for_any_item_is_no_answer(simulator, evil):
    box = mailbox_at(simulator, evil.url)
    evil.evil[GET] = with_messages(lambda found: [])
    fault = box.visit().fault
    assert (fault.code, fault.scope, box.cursor) == ("email.not_answered", MAILBOX, "")
    evil.evil.clear()
    box.visit_until_done()
    assert (box.stored, box.failed) == (all_of(3), {})


def never_last(state: Callable[[bytes, int], bytes], *, changes: bool = True) -> Evil:
    asked = count(1)

    def pieces(good: bytes) -> Iterator[bytes]:
        told = re.search(rb"<m:SyncState>(.+?)</m:SyncState>", good)
        text = good.replace(told[1], state(told[1], next(asked)), 1) if told else good
        text = re.sub(rb"(<m:IncludesLastItemInRange>)true", rb"\1false", text)
        if not changes:
            text = re.sub(rb"<m:Changes>.*</m:Changes>", b"<m:Changes/>", text, flags=re.DOTALL)
        yield http_answer(text)

    return pieces


def test_a_state_that_never_moves_ends_the_visit(simulator, evil):
    box = mailbox_at(simulator, evil.url)
    evil.evil[SYNC] = never_last(lambda state, number: state)
    assert box.visit().fault is None
    assert box.stored == all_of(3)
    assert evil.asked.count(SYNC) == 2


def test_no_state_at_all_ends_the_visit_and_is_not_kept(simulator, evil):
    box = mailbox_at(simulator, evil.url)
    box.visit()
    cursor, before = box.cursor, evil.asked.count(SYNC)
    evil.evil[SYNC] = never_last(lambda state, number: b"")
    assert box.visit().fault is None
    assert (box.cursor, evil.asked.count(SYNC) - before) == (cursor, 1)


def test_pages_without_changes_for_ever_end_with_the_visits_budget(simulator, evil):
    box = mailbox_at(simulator, evil.url)
    box.again_with(duration=timedelta(seconds=20))
    spoil, first = never_last(lambda state, number: b"S%d" % number, changes=False), []

    def made_up(good: bytes) -> Iterator[bytes]:
        first.append(good)  # the simulator refuses states that it never gave
        return spoil(first[0])

    evil.evil[SYNC] = made_up
    outcome = box.visit()
    assert (outcome.fault, outcome.more_left) == (None, True)
    assert 2 < evil.asked.count(SYNC) < 30
    evil.evil.clear()
    assert box.visit().fault.nature is R  # the state was of its own making
    box.visit_until_done()
    assert box.stored == all_of(3)


def test_an_id_longer_than_any_is_a_failure_of_its_own(simulator, evil):
    """PostgreSQL's index holds 2,700 bytes."""
    box = mailbox_at(simulator, evil.url)
    long = base64.b64encode(bytes(range(256)) * 12)

    def lengthened(good: bytes) -> Iterator[bytes]:
        yield http_answer(good.replace(b' Id="', b' Id="' + long, 1))

    evil.evil[SYNC] = lengthened
    outcome = box.visit()
    assert (outcome.fault, outcome.failed, len(box.stored)) == (None, 1, 2)
    (item,) = box.failed
    assert box.failed[item] == "email.id_too_long"
    assert len(item) < 100


# --- mail that is meant to hurt -------------------------------------------------------------------

#: In a subject as it is listed; Exchange gives out what the sender wrote.
FORBIDDEN = [
    b"&#x1;",
    b"&#0;",
    b"&#31;",
    b"&#xFFFE;",
    b"&#xD800;",
    b"\x07",
    b"\xff\xfe",
    b"\xed\xa0\x80",
]


@pytest.mark.parametrize("character", FORBIDDEN)
def test_a_character_that_xml_forbids_hides_no_mail(simulator, evil, character):
    box = mailbox_at(simulator, evil.url)

    def spoilt(good: bytes) -> Iterator[bytes]:
        yield http_answer(good.replace(b"mail 1", b"mail " + character + b"1"))

    evil.evil[SYNC] = spoilt
    assert box.visit().fault is None
    assert (box.stored, box.failed) == (all_of(3), {})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("Size", value) for value in ("", "-1", "many", "9" * 30, "1e9")),
        *(
            ("DateTimeReceived", value)
            for value in (
                *("", "yesterday", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"),
                *("2026-02-30T00:00:00Z", "12026-01-01T00:00:00Z"),
            )
        ),
    ],
)
def test_a_field_that_makes_no_sense_is_a_field_that_was_not_told(simulator, evil, field, value):
    box = mailbox_at(simulator, evil.url)

    def spoilt(good: bytes) -> Iterator[bytes]:
        tag = field.encode()
        yield http_answer(
            re.sub(rb"<t:%s>[^<]*<" % tag, b"<t:%s>%s<" % (tag, value.encode()), good)
        )

    evil.evil |= {SYNC: spoilt, GET: spoilt}
    assert box.visit().fault is None
    assert (box.stored, box.failed) == (all_of(3), {})
    received = Email.objects.filter(remote_items__mailbox=box.box).values_list(
        "received_at", flat=True
    )
    assert all(moment is None or 1900 < moment.year < 2200 for moment in received)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_an_hour_off_moves_no_mail_and_no_visit(simulator, evil, hours):
    moment = (datetime.now(UTC) + timedelta(hours=hours)).replace(microsecond=0)
    box = mailbox_at(simulator, evil.url)

    def skewed(good: bytes) -> Iterator[bytes]:
        text = re.sub(
            rb"(<t:DateTimeReceived>)[^<]*",
            rb"\g<1>" + moment.strftime("%Y-%m-%dT%H:%M:%SZ").encode(),
            good,
        )
        yield http_answer(text, Date=moment.strftime("%a, %d %b %Y %H:%M:%S GMT"))

    evil.evil |= {SYNC: skewed, GET: skewed}
    box.visit()
    assert box.stored == all_of(3)
    assert {*Email.objects.values_list("received_at", flat=True)} == {moment}
    assert box.minutes <= 5


def test_a_message_with_ten_thousand_recipients_is_stored(simulator):
    box = mailbox_at(simulator, simulator.ews_url, mails=0)
    crowd = ", ".join(f"Someone {number} <someone{number}@crowd.test>" for number in range(10_000))
    head = f"From: a@b.test\r\nTo: {crowd}\r\nSubject: crowd\r\n\r\nAll of you.\r\n"
    simulator.control.deliver(box.box.email_address, head.encode())
    assert box.visit().fault is None
    assert box.stored == ["crowd"]
    assert ActivityParty.objects.filter(email__subject="crowd").count() == 10_001


def test_a_message_larger_than_allowed_is_never_asked_for(simulator, evil):
    box = mailbox_at(simulator, evil.url)
    box.again_with(message_bytes=2**20)
    large = simulator.control.deliver(
        box.box.email_address, mime("large", attached=bytes(2 * 2**20))
    )
    assert box.visit().fault is None
    assert (box.stored, box.failed) == (all_of(3), {large: "email.too_large"})
    assert evil.taken < 2**20


def test_a_message_that_is_far_larger_than_listed_is_not_read_to_its_end(simulator, evil):
    """Listed with 1 kB, sent with 60 MB; the others of its batch are stored."""
    box = mailbox_at(simulator, evil.url)
    address = box.box.email_address
    liar = simulator.control.deliver(address, mime("liar"))
    body = http_answer(b"", length=60 * 2**20)
    evil.evil[GET] = lambda good: chain([body], repeat(b"QUJD" * 16384, 960))
    evil.spared = lambda request: liar.encode() not in request
    box.visit_until_done()
    assert (box.stored, box.failed) == (all_of(3), {liar: "exchange.answer_too_large"})
    assert evil.taken < 32 * 2**20
    evil.evil.clear()
    box.visit_until_done()
    assert (box.stored, box.failed) == ([*["liar"], *all_of(3)], {})


# --- TLS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trusted", "address", "expired"),
    [
        pytest.param(False, "127.0.0.1", False, id="nobody vouches for it"),
        pytest.param(True, "127.0.0.1", True, id="expired"),
        pytest.param(True, "127.0.0.2", False, id="of another host"),
    ],
)
def test_a_bad_certificate_gets_no_password(
    simulator, tmp_path, monkeypatch, trusted, address, expired
):
    file = certificate(tmp_path / "server.pem", address, expired=expired)
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    with hostile(simulator.ews_url, file) as secure:
        box = mailbox_at(simulator, secure.url)
        assert_meets(box, "certificate_refused", P, PROFILE, 10)
        assert (secure.asked, box.is_on) == ([], True)
        box.box.profile.verify_tls = False
        box.box.profile.save()
        box.visit_until_done()
    assert box.stored == all_of(3)


def test_a_drip_over_tls_has_the_same_end(simulator, tmp_path, monkeypatch):
    file = certificate(tmp_path / "server.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    with hostile(simulator.ews_url, file) as secure:
        box = mailbox_at(simulator, secure.url)
        secure.evil[SYNC] = EVILS["a drip of the body"][0]
        assert_meets(box, "timed_out", T, PROFILE, 5)
        secure.evil.clear()
        box.visit_until_done()
    assert box.stored == all_of(3)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_mute_host_is_left_in_time(simulator, scheme):
    """It takes the connection and never says a word: before a handshake, or before an answer."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        box = mailbox_at(simulator, f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/EWS")
        assert_meets(box, "timed_out", T, PROFILE, 5)
