"""What a POP3 server may do to a visit, step by step: the fault, the next visit, the mail.

Each test ends with a server that is good again, and asks that all of its mail is stored.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from syncservice.alerts import whereabouts
from syncservice.alerts.models import Alert, ItemFailure
from syncservice.alerts.overview import overview
from syncservice.crm.models import Email, IncomingFilter, Queue, User
from syncservice.domain.faults import Nature, Scope
from syncservice.mailboxes import tracking
from syncservice.mailboxes.models import ActMethod, EmailServerProfile, RemoteItem, TrackRequest
from syncservice.servers import pop3
from tests import factories
from tests.memory_gateway import mime
from tests.servers.certificates import certificate
from tests.servers.scripted_server import (
    CLOSE,
    DRIP,
    FLOOD,
    PIPELINING,
    POP3,
    ROWS,
    SILENCE,
    ScriptedServer,
    scripted,
)
from tests.servers.visited import Visited

pytestmark = pytest.mark.django_db

T, TH, P = Nature.TRANSIENT, Nature.THROTTLED, Nature.PERMANENT
EMAIL, MAILBOX, PROFILE = Scope.EMAIL, Scope.MAILBOX, Scope.PROFILE
Security = EmailServerProfile.Security
MAILS = ["mail 1", "mail 2", "mail 3"]


def text_of(subject: str) -> bytes:
    return b"+OK\r\n" + mime(subject).replace(b"\n", b"\r\n") + b"."


GOOD = {
    **POP3,
    "NOOP": b"+OK",
    "UIDL": b"+OK\r\n1 a\r\n2 b\r\n3 c\r\n.",
    "LIST": b"+OK\r\n1 300\r\n2 300\r\n3 300\r\n.",
    **{f"RETR {number}": text_of(mail) for number, mail in enumerate(MAILS, start=1)},
}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted(GOOD) as running:
        running.replies = dict(GOOD)
        yield running


def mailbox_at(server: ScriptedServer, **more) -> Visited:
    return Visited(
        "ann@hostile.test",
        **{
            "server_type": EmailServerProfile.ServerType.POP3_SMTP, "location": "127.0.0.1",
            "outgoing_location": "127.0.0.1", "port": server.port, "security": Security.NONE,
            "username": "ann", "password": "pw", "use_impersonation": False, **more,
        },
    )  # fmt: skip


@pytest.fixture
def box(server) -> Visited:
    return mailbox_at(server)


def assert_meets(box: Visited, code: str, nature: Nature, scope: Scope, minutes: float) -> None:
    """Visit, and assert what that ends in. Waits of our own are up to a fifth shorter."""
    fault = box.visit().fault
    assert fault is not None, (box.stored, box.failed)
    assert (fault.code, fault.nature, fault.scope) == (f"pop3.{code}", nature, scope)
    assert 0.8 * minutes <= box.minutes <= minutes


def assert_all_is_stored_when_it_is_good(box: Visited, server: ScriptedServer) -> None:
    server.replies = dict(GOOD)
    box.visit_until_done()
    assert (box.stored, box.failed) == (MAILS, {})


PLAIN = {
    "": ("not_pop3", T, PROFILE, 5),
    "USER": ("login_refused", P, MAILBOX, 5),
    "PASS": ("login_refused", P, MAILBOX, 5),
    "UIDL": ("not_listed", T, MAILBOX, 5),
    "LIST": ("not_listed", T, MAILBOX, 5),
}
#: RFC 2449 section 8 and RFC 3206; [AUTH] says no more than the refused command does.
CODED = {
    "IN-USE": ("mailbox_in_use", T, MAILBOX, 5),
    "LOGIN-DELAY": ("login_delay", TH, MAILBOX, 1),
    "SYS/TEMP": ("system_temporary", T, MAILBOX, 5),
    "SYS/PERM": ("system_permanent", P, MAILBOX, 10),
    "AUTH": None,
    "NOT-HEARD-OF": None,
}


@pytest.mark.parametrize("step", PLAIN)
@pytest.mark.parametrize("code", [*CODED, ""])
def test_a_refusal_at_every_step(server, box, step, code):
    server.replies[step] = b"-ERR [%s] no" % code.encode() if code else b"-ERR no"
    meets = CODED.get(code) or PLAIN[step]
    if (step, code) == ("", "SYS/TEMP"):
        meets = ("system_temporary", T, PROFILE, 5)  # before it knows whose mailbox is wanted
    assert_meets(box, *meets)
    assert_all_is_stored_when_it_is_good(box, server)


@pytest.mark.parametrize("code", CODED)
def test_a_refusal_of_every_message(server, box, code):
    for number in (1, 2, 3):
        server.replies[f"RETR {number}"] = b"-ERR [%s] no" % code.encode()
    if meets := CODED[code]:
        assert_meets(box, *meets)
        assert box.failed == {}
    else:
        assert box.visit().fault is None
        assert box.failed == dict.fromkeys("abc", "pop3.message_refused")
    assert_all_is_stored_when_it_is_good(box, server)


@pytest.mark.parametrize("code", [code for code, meets in CODED.items() if meets])
def test_a_server_in_trouble_has_no_lone_message_given_up(server, box, code):
    server.replies |= {"UIDL": b"+OK\r\n1 a\r\n.", "RETR 1": b"-ERR [%s] no" % code.encode()}
    for _ in range(6):
        fault = box.visit().fault
        assert (fault.code if fault else "", box.failed) == (f"pop3.{CODED[code][0]}", {})
    assert_all_is_stored_when_it_is_good(box, server)


@pytest.mark.parametrize("capa", [{}, PIPELINING], ids=["plain", "pipelining"])
@pytest.mark.parametrize("batch", [1, 10])
@pytest.mark.parametrize("code", ["SYS/TEMP", "IN-USE", "SYS/PERM"])
def test_one_message_over_which_a_server_has_trouble_stops_nobody(server, box, code, batch, capa):
    """Dovecot says [SYS/TEMP] of a damaged message, for ever."""
    server.replies |= {**capa, "RETR 1": b"-ERR [%s] no" % code.encode()}
    box.again_with(batch_messages=batch)
    for _ in range(11):
        assert box.visit().fault is None
    assert (box.stored, [*box.failed]) == (["mail 2", "mail 3"], ["a"])
    assert (box.is_on, ItemFailure.objects.get().state) == (True, "retrying")
    assert_all_is_stored_when_it_is_good(box, server)


def test_a_request_for_a_message_over_which_a_server_has_trouble_holds_no_other_up(server, box):
    server.replies["RETR 1"] = b"-ERR [SYS/TEMP] no"
    wanted = tracking.track_now(box.box, "tests", item_id="a")
    assert box.visit().fault is None
    assert box.stored == ["mail 2", "mail 3"]
    wanted.refresh_from_db()
    assert (wanted.state, "[SYS/TEMP] no" in wanted.reason) == (TrackRequest.State.FAILED, True)


@pytest.mark.parametrize("capa", [{}, PIPELINING], ids=["plain", "pipelining"])
def test_a_server_that_wants_a_pause_in_mid_batch_brings_no_message_nearer_to_be_given_up(
    server, box, capa
):
    server.replies |= {**capa, "RETR 2": b"-ERR [LOGIN-DELAY] no", "RETR 3": b"-ERR [SYS/TEMP] no"}
    box.visit()
    assert [*ItemFailure.objects.values_list("attempts", "state")] == [(0, "retrying")] * 2
    assert_meets(box, *CODED["LOGIN-DELAY"])
    assert_all_is_stored_when_it_is_good(box, server)


# --- what is no answer ----------------------------------------------------------------------------

LOST = ("connection_lost", T, PROFILE, 5)
LATE = ("timed_out", T, PROFILE, 5)
ODD = ("unreadable_answer", T, MAILBOX, 5)
NO_POP3 = ("not_pop3", T, PROFILE, 5)


@pytest.mark.parametrize("capa", [{}, PIPELINING], ids=["plain", "pipelining"])
@pytest.mark.parametrize(
    ("step", "reply", "meets"),
    [
        *((step, SILENCE, LATE) for step in PLAIN),
        *((step, b"+OK " + DRIP, LATE) for step in PLAIN),
        *((step, b"+O" + CLOSE, LOST) for step in ("PASS", "UIDL", "LIST")),
        ("", CLOSE, LOST),
        ("", b"+OK " + FLOOD, NO_POP3),
        ("PASS", b"+OK " + FLOOD, ODD),
        ("UIDL", b"+OK " + FLOOD, ODD),
        ("UIDL", b"+OK\r\n" + FLOOD, ODD),
        ("UIDL", b"+OK\r\n" + ROWS, ODD),
        ("LIST", b"+OK\r\n" + ROWS, ODD),
        ("UIDL", b"+OK\r\n1 a" + DRIP, LATE),
        ("UIDL", b"+OK\r\n1 a\r\n" + CLOSE, LOST),
        ("UIDL", b"+OK\r\n1 a\r\n2 \x00\r\n.", ODD),
        ("UIDL", b"+OK\r\n9999999999999999999999 a\r\n.", ODD),
        ("UIDL", b"+OK\r\n1\r\n.", ODD),
        ("LIST", b"+OK\r\n1 99999999999999999999\r\n.", ODD),
        ("LIST", b"+OK\r\n1 -5\r\n.", ODD),
        ("UIDL", b"HTTP/1.1 200 OK", ODD),
        ("CAPA", SILENCE, LATE),
        ("CAPA", b"+OK\r\nPIPELINING\r\n" + CLOSE, LOST),
        ("CAPA", b"+OK " + FLOOD, ODD),
        ("CAPA", b"+OK\r\n" + ROWS, ODD),
        ("CAPA", b"what?", ODD),
    ],
)
def test_what_is_no_answer_ends_the_visit_in_time_and_nothing_is_lost(
    server, box, monkeypatch, step, reply, meets, capa
):
    server.replies |= capa
    monkeypatch.setattr(pop3, "_LISTING_BYTES", 2**22)  # so that the flood is over soon
    server.replies[step] = reply
    assert_meets(box, *meets)
    assert (box.is_on, box.server_rests) == (True, meets[2] is PROFILE)
    assert server.connections == 1
    assert server.taken < 2**25  # the buffers of two sockets are in it
    assert_all_is_stored_when_it_is_good(box, server)


def test_a_listing_of_more_messages_than_any_mailbox_has_is_refused_before_it_is_kept(
    server, box, monkeypatch
):
    monkeypatch.setattr(pop3, "_LISTING_LINES", 2)
    assert_meets(box, *ODD)
    monkeypatch.undo()
    assert_all_is_stored_when_it_is_good(box, server)


@pytest.mark.parametrize("capa", [{}, PIPELINING], ids=["plain", "pipelining"])
@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (SILENCE, "timed_out"),
        (b"+OK\r\nSubject: x\r\n" + DRIP, "timed_out"),
        (CLOSE, "connection_lost"),
        (b"+OK\r\nSubject: x\r\n\r\n" + CLOSE, "connection_lost"),
        (b"+OK\r\n" + FLOOD, "larger_than_listed"),
        (b"+OK\r\n" + ROWS, "larger_than_listed"),
        (b"what?", "unreadable_answer"),
    ],
)
def test_a_message_that_ends_its_request_fails_alone_and_holds_nobody_up(
    server, box, reply, code, capa
):
    server.replies |= capa
    server.replies["RETR 2"] = reply
    box.visit_until_done()
    assert (box.stored, box.failed) == (["mail 1", "mail 3"], {"b": f"pop3.{code}"})
    assert (box.is_on, box.server_rests) == (True, False)
    assert server.taken < 2**25  # the buffers of two sockets are in it
    ItemFailure.objects.update(last_seen_at=F("last_seen_at") - timedelta(days=2))
    assert_all_is_stored_when_it_is_good(box, server)


def test_a_message_that_was_given_up_is_not_asked_for_at_every_visit(server, box):
    """POP3 lists it for ever."""
    server.replies["RETR 2"] = b"+OK\r\n" + FLOOD
    box.visit()
    asked = server.commands.count("RETR 2")
    assert box.visit().failed == 0
    assert server.commands.count("RETR 2") == asked
    ItemFailure.objects.update(state=ItemFailure.State.DISMISSED)
    ItemFailure.objects.update(last_seen_at=F("last_seen_at") - timedelta(days=2))
    assert box.visit().failed == 0
    assert server.commands.count("RETR 2") == asked


# --- listings that lie ----------------------------------------------------------------------------


def test_a_message_without_a_listed_size_may_have_any(server, box):
    large = mime("large", attached=bytes(3 * 2**20)).replace(b"\n", b"\r\n")
    server.replies |= {"LIST": b"+OK\r\n1 300\r\n.", "RETR 3": b"+OK\r\n" + large + b"."}
    assert box.visit().fault is None
    assert (box.stored, box.failed) == (["large", "mail 1", "mail 2"], {})


def test_sizes_of_messages_without_a_name_are_nobodys(server, box):
    server.replies["UIDL"] = b"+OK\r\n1 a\r\n."
    assert box.visit().fault is None
    assert box.stored == ["mail 1"]
    assert_all_is_stored_when_it_is_good(box, server)


def test_one_message_under_two_names_is_stored_once(server, box):
    server.replies["UIDL"] = b"+OK\r\n1 a\r\n1 z\r\n2 b\r\n3 c\r\n."
    assert box.visit().fault is None
    assert ([*dict.fromkeys(box.stored)], Email.objects.count()) == (MAILS, 3)


def test_one_name_for_messages_of_different_sizes_hides_none(server, box):
    """Some servers give every message the same."""
    server.replies["UIDL"] = b"+OK\r\n1 a\r\n2 a\r\n3 a\r\n."
    server.replies["LIST"] = b"+OK\r\n1 301\r\n2 302\r\n3 303\r\n."
    box.visit()
    assert box.stored == MAILS
    server.replies["UIDL"] = b"+OK\r\n2 a\r\n3 a\r\n."  # the first was deleted
    box.visit()
    assert box.stored == MAILS


# --- ids that come again --------------------------------------------------------------------------


def holding(*rows: tuple[str, str | None]) -> dict[str, bytes]:
    """What a server says that has these uidls with mails of these subjects; None: it refuses."""
    numbered = [*enumerate(rows, start=1)]
    uidls = b"".join(b"%d %s\r\n" % (n, uidl.encode()) for n, (uidl, _) in numbered)
    return {
        **POP3,
        "NOOP": b"+OK",
        "DELE": b"+OK",
        "UIDL": b"+OK\r\n" + uidls + b".",
        "LIST": b"+OK\r\n" + b"".join(b"%d 300\r\n" % n for n, _ in numbered) + b".",
        **{f"RETR {n}": text_of(mail) if mail else b"-ERR no" for n, (_, mail) in numbered},
    }


def tidied(server: ScriptedServer) -> Visited:
    """A queue's mailbox, that is emptied after processing."""
    box = mailbox_at(server)
    queue = Queue.objects.create(name="Sales", email_address="sales@hostile.test")
    box.box = factories.mailbox(
        owner=queue,
        profile=box.box.profile,
        delete_after_processing=True,
        act_method=ActMethod.NONE,
    )
    return box


def test_a_uidl_that_comes_again_when_its_message_has_left_brings_the_new_one(server, box):
    """RFC 1939 section 7 allows it."""
    server.replies = holding(("1", "first"))
    box.visit()
    server.replies = holding()
    box.visit()
    server.replies = holding(("1", "second"))
    for _ in range(2):
        box.visit()
    assert Email.objects.count() == 2
    assert box.stored == ["second"]


def test_a_uidl_that_comes_again_at_once_behind_a_deletion_brings_the_new_message(server):
    box = tidied(server)
    for mail in ("first", "second"):
        server.replies = holding(("1", mail))
        box.visit()
    assert sorted(Email.objects.values_list("subject", flat=True)) == ["first", "second"]
    assert server.commands.count("DELE 1") == 2


def test_a_server_that_keeps_what_it_was_told_to_delete_is_not_told_at_every_visit(server):
    """Gmail lists it on."""
    box = tidied(server)
    for _ in range(4):
        server.replies = holding(("1", "first"))
        box.visit()
    assert (box.stored, Email.objects.count()) == (["first"], 1)
    assert (server.commands.count("DELE 1"), server.commands.count("RETR 1")) == (1, 2)


@pytest.mark.parametrize("first", ["unwanted", None])
def test_neither_a_decision_nor_a_failure_outlives_its_message(server, box, first):
    wants = User.objects.filter(email="ann@hostile.test")
    wants.update(incoming_filter=IncomingFilter.NONE)
    server.replies = holding(("1", first))
    box.visit()
    ItemFailure.objects.update(state=ItemFailure.State.DISMISSED)
    wants.update(incoming_filter=IncomingFilter.ALL)
    box.visit()
    assert box.stored == []
    server.replies = holding()
    box.visit()
    server.replies = holding(("1", "wanted"))
    box.visit()
    assert box.stored == ["wanted"]


def test_what_has_left_is_found_by_one_statement_a_visit(server, box):
    many = [(str(number), f"mail {number}") for number in range(25)]
    server.replies = holding(*many)
    box.visit()
    with CaptureQueriesContext(connection) as asked:
        box.visit()
    statements = [one["sql"] for one in asked if "unnest" in one["sql"]]
    assert (len(statements), len(box.stored)) == (1, 25)


@pytest.mark.parametrize(
    ("first", "second", "emails"),
    [
        pytest.param("17:02:03 +0200", "15:02:03 +0000", 1, id="of one moment"),
        pytest.param("17:02:03 +0200", "17:02:04 +0200", 2, id="of two"),
        pytest.param("", "", 2, id="of none, where nobody can tell"),
    ],
)
def test_a_mail_without_id_and_date_is_one_under_another_uidl_when_it_came_at_one_moment(
    server, box, first, second, emails
):
    for uidl, time in (("x", first), ("y", second)):
        note = b"From: a@b.test\r\nTo: ann@hostile.test\r\nSubject: note\r\n\r\nhello\r\n"
        if time:
            came = f"Received: from x by y (z; w)\r\n\tid 7; Mon, 1 Jul 2024 {time} (CEST)\r\n"
            note = came.encode() + b"Received: from a by x; once\r\n" + note
        server.replies = {**holding((uidl, None)), "RETR 1": b"+OK\r\n" + note + b"."}
        box.visit()
    assert Email.objects.count() == emails


# --- deletions that are refused -------------------------------------------------------------------


def test_what_a_server_did_not_delete_is_deleted_by_a_later_visit(server):
    box = tidied(server)
    server.replies = {**holding(("1", "first"), ("2", "second")), "DELE 1": b"-ERR locked"}
    assert box.visit().fault is None
    server.replies = holding(("1", "first"))
    box.visit()
    assert server.commands.count("DELE 1") == 2
    assert not RemoteItem.objects.filter(left_at=None).exists()
    assert Alert.objects.get().code == "pop3.not_deleted"


def test_a_uidl_that_comes_again_beside_a_refused_deletion_is_not_deleted_unread(server):
    box = tidied(server)
    server.replies = {**holding(("1", "first"), ("2", "second")), "DELE 1": b"-ERR locked"}
    box.visit()
    server.replies = holding(("1", "first"), ("2", "third"))
    box.visit()
    assert "third" in box.stored


def test_a_server_that_never_deletes_a_message_is_asked_for_some_visits_only(server):
    box = tidied(server)
    server.replies = {**holding(("1", "first")), "DELE 1": b"-ERR read only"}
    for _ in range(8):
        assert box.visit().fault is None
    assert server.commands.count("DELE 1") == 5
    assert (box.stored, box.is_on) == (["first"], True)


# --- email that is deleted in the CRM -------------------------------------------------------------


def test_an_email_that_was_deleted_in_the_crm_does_not_come_back(server, box):
    box.visit()
    Email.objects.filter(subject="mail 1").delete()
    for _ in range(2):
        box.visit()
    assert box.stored == ["mail 2", "mail 3"]
    assert [one.subject for one in whereabouts.find(box.box, whereabouts.Search(), 9)] == [
        "mail 3", "mail 2"
    ]  # fmt: skip
    assert overview(every=True)[0].emails == 2


def test_an_email_that_was_deleted_in_the_crm_comes_back_when_somebody_wants_it(server, box):
    box.visit()
    Email.objects.all().delete()
    wanted = tracking.track_now(box.box, "tests", item_id="a")
    box.visit()
    wanted.refresh_from_db()
    assert (wanted.state, box.stored) == (TrackRequest.State.DONE, ["mail 1"])
    assert wanted.email is not None


# --- TLS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
def test_a_drip_over_tls_has_the_same_end(tmp_path, monkeypatch, security):
    file = certificate(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with scripted(GOOD, certificate=file, is_tls_first=security is Security.TLS) as server:
        server.replies = {**GOOD, "UIDL": b"+OK\r\n1 a" + DRIP}
        box = mailbox_at(server, security=security)
        assert_meets(box, *LATE)
        assert_all_is_stored_when_it_is_good(box, server)


@pytest.mark.parametrize("expired", [False, True])
def test_a_bad_certificate_gets_no_password(tmp_path, monkeypatch, expired):
    file = certificate(tmp_path / "server.pem", "127.0.0.2", expired=expired)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with scripted(GOOD, certificate=file, is_tls_first=True) as server:
        box = mailbox_at(server, security=Security.TLS)
        assert_meets(box, "certificate_refused", P, PROFILE, 10)
        assert (server.commands, box.is_on) == ([], True)


@pytest.mark.parametrize(("security", "reply"), [(Security.TLS, SILENCE), (Security.NONE, SILENCE)])
def test_a_mute_host_is_left_in_time(server, security, reply):
    server.replies[""] = reply
    box = mailbox_at(server, security=security)
    assert_meets(box, *LATE)
