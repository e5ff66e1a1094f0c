"""What an IMAP server may do to a visit, step by step: the fault, the next visit, the mail.

Each test ends with a server that is good again, and asks that all of its mail is stored.
"""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db.models import F

from syncservice.alerts.models import Alert, ItemFailure
from syncservice.crm.models import Email, Queue
from syncservice.domain.faults import Nature, Scope
from syncservice.mailboxes.models import ActMethod, EmailServerProfile
from syncservice.servers import imap
from tests import factories
from tests.memory_gateway import mime
from tests.servers.certificates import certificate
from tests.servers.scripted_server import (
    CLOSE,
    DRIP,
    FLOOD,
    IMAP,
    SILENCE,
    TOLD,
    ScriptedServer,
    giving,
    scripted,
)
from tests.servers.visited import Visited

pytestmark = pytest.mark.django_db

T, TH, P, R = Nature.TRANSIENT, Nature.THROTTLED, Nature.PERMANENT, Nature.RESYNC
MAILBOX, PROFILE = Scope.MAILBOX, Scope.PROFILE
Security = EmailServerProfile.Security
MAILS = ["mail 1", "mail 2", "mail 3"]
MESSAGES = {
    uid: mime(subject).replace(b"\n", b"\r\n") for uid, subject in enumerate(MAILS, start=1)
}
GOOD = {
    **IMAP,
    "UID SEARCH": b"* SEARCH 1 2 3\r\n<tag> OK done",
    "UID FETCH": giving(MESSAGES),
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
            "server_type": EmailServerProfile.ServerType.IMAP_SMTP, "location": "127.0.0.1",
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
    assert (fault.code, fault.nature, fault.scope) == (f"imap.{code}", nature, scope)
    assert 0.8 * minutes <= box.minutes <= minutes


def assert_all_is_stored_when_it_is_good(box: Visited, server: ScriptedServer) -> None:
    server.replies = dict(GOOD)
    box.visit_until_done()
    assert (box.stored, box.failed) == (MAILS, {})


PLAIN = {
    "CAPABILITY": ("not_imap", T, PROFILE, 5),
    "AUTHENTICATE": ("login_refused", P, MAILBOX, 5),
    ".": ("login_refused", P, MAILBOX, 5),
    "EXAMINE": ("inbox_refused", T, MAILBOX, 5),
    "UID SEARCH": ("not_listed", T, MAILBOX, 5),
    "UID FETCH": ("not_listed", T, MAILBOX, 5),
}
#: RFC 5530; [ALERT] says no more than the refused command does.
CODED = {
    "UNAVAILABLE": ("unavailable", T, PROFILE, 5),
    "AUTHENTICATIONFAILED": ("login_refused", P, MAILBOX, 5),
    "EXPIRED": ("password_expired", P, MAILBOX, 5),
    "PRIVACYREQUIRED": ("privacy_required", P, PROFILE, 10),
    "CONTACTADMIN": ("contact_admin", P, MAILBOX, 10),
    "NOPERM": ("no_permission", P, MAILBOX, 10),
    "INUSE": ("mailbox_in_use", T, MAILBOX, 5),
    "LIMIT": ("limit_reached", TH, MAILBOX, 1),
    "THROTTLED": ("limit_reached", TH, MAILBOX, 1),
    "OVERQUOTA": ("over_quota", P, MAILBOX, 10),
    "ALERT": None,
    "NOT-HEARD-OF": None,
}


@pytest.mark.parametrize(
    ("step", "code"),
    [
        *((step, "") for step in PLAIN),
        *((step, code) for step in (".", "EXAMINE", "UID FETCH") for code in CODED),
    ],
)
def test_a_refusal_at_every_step(server, box, step, code):
    server.replies[step] = b"<tag> NO [%s] no" % code.encode() if code else b"<tag> BAD no"
    assert_meets(box, *(CODED.get(code) or PLAIN[step]))
    assert server.connections == 1
    assert_all_is_stored_when_it_is_good(box, server)


@pytest.mark.parametrize("code", CODED)
def test_a_refusal_of_every_message(server, box, code):
    refused = dict.fromkeys(MESSAGES, b"<tag> NO [%s] no" % code.encode())
    server.replies["UID FETCH"] = giving(MESSAGES, refused)
    if meets := CODED[code]:
        assert_meets(box, *meets)
        assert (box.failed, box.cursor) == ({}, "")
    else:
        assert box.visit().fault is None
        assert {*box.failed.values()} == {"imap.message_refused"}
    assert_all_is_stored_when_it_is_good(box, server)


@pytest.mark.parametrize("code", [code for code, meets in CODED.items() if meets])
def test_a_server_in_trouble_has_no_lone_message_given_up(server, box, code):
    refused = giving(MESSAGES, {1: b"<tag> NO [%s] no" % code.encode()})
    server.replies |= {"UID SEARCH": b"* SEARCH 1\r\n<tag> OK done", "UID FETCH": refused}
    for _ in range(6):
        fault = box.visit().fault
        assert (fault.code if fault else "", box.failed) == (f"imap.{CODED[code][0]}", {})
    assert_all_is_stored_when_it_is_good(box, server)


@pytest.mark.parametrize("batch", [1, 10])
@pytest.mark.parametrize("code", ["UNAVAILABLE", "INUSE", "NOPERM"])
def test_one_message_over_which_a_server_has_trouble_stops_nobody(server, box, code, batch):
    server.replies["UID FETCH"] = giving(MESSAGES, {1: b"<tag> NO [%s] no" % code.encode()})
    box.again_with(batch_messages=batch)
    for _ in range(11):
        assert box.visit().fault is None
    assert (box.stored, [*box.failed]) == (["mail 2", "mail 3"], ["7.1"])
    assert (box.is_on, ItemFailure.objects.get().state) == (True, "retrying")
    assert_all_is_stored_when_it_is_good(box, server)


def test_a_server_that_wants_a_pause_in_mid_batch_brings_no_message_nearer_to_be_given_up(
    server, box
):
    pause = b"<tag> NO [LIMIT] no"
    server.replies["UID FETCH"] = giving(MESSAGES, {2: pause, 3: pause})
    box.visit()
    assert [*ItemFailure.objects.values_list("attempts", "state")] == [(0, "retrying")] * 2
    assert_meets(box, *CODED["LIMIT"])
    assert_all_is_stored_when_it_is_good(box, server)


# --- what is no answer ----------------------------------------------------------------------------

LOST = ("connection_lost", T, PROFILE, 5)
LATE = ("timed_out", T, PROFILE, 5)
CLOSED = ("closed", T, PROFILE, 5)
ODD = ("unreadable_answer", T, MAILBOX, 5)
NO_IMAP = ("not_imap", T, PROFILE, 5)
TOO_LARGE = ("answer_too_large", T, MAILBOX, 5)
DONE = b"\r\n<tag> OK done"


@pytest.mark.parametrize(
    ("step", "reply", "meets"),
    [
        *((step, SILENCE, LATE) for step in ("", *PLAIN)),
        *((step, b"* OK " + DRIP, LATE) for step in ("", *PLAIN)),
        *((step, b"* OK x\r\n<tag> O" + CLOSE, LOST) for step in PLAIN),
        *((step, b"* BYE [ALERT] no\r\n" + CLOSE, CLOSED) for step in ("", *PLAIN)),
        *((step, b"* OK " + FLOOD, TOO_LARGE) for step in ("", *PLAIN)),
        *((step, b"* OK x {2000000000}\r\n" + SILENCE, TOO_LARGE) for step in ("", *PLAIN)),
        *((step, b"* PREAUTH x", ("preauthenticated", P, PROFILE, 10)) for step in ("", *PLAIN)),
        *((step, b"x1 OK done", ODD) for step in ("AUTHENTICATE", ".", "EXAMINE", "UID SEARCH")),
        *((step, b"x <tag> OK done", ODD) for step in (".", "EXAMINE", "UID SEARCH", "UID FETCH")),
        *((step, TOLD, TOO_LARGE) for step in PLAIN),
        ("", CLOSE, LOST),
        ("", b"HTTP/1.1 200 OK", NO_IMAP),
        ("", b"+OK POP3 ready", NO_IMAP),
        ("", FLOOD, TOO_LARGE),
        ("CAPABILITY", b"<tag> OK done", NO_IMAP),
        (".", b"+ again" + FLOOD, TOO_LARGE),
        ("UID SEARCH", b"* SEARCH " + FLOOD, TOO_LARGE),
        ("UID SEARCH", b"* SEARCH" + b" 1" * 7 + DONE, ODD),
        ("UID SEARCH", b"* SEARCH 1 \x00" + DONE, ODD),
        ("UID SEARCH", b"* SEARCH 1 -2" + DONE, ODD),
        ("UID SEARCH", b"* SEARCH 4294967296" + DONE, ODD),
        ("UID SEARCH", b"* SEARCH " + b"9" * 5000 + DONE, ODD),
        ("UID SEARCH", b"* SEARCH {1}\r\n1" + DONE, TOO_LARGE),
        ("UID FETCH", b"* 1 FETCH (UID 1 RFC822.SIZE" + DONE, ODD),
        ("UID FETCH", b"* 1 FETCH (UID 1 ((((" + DONE, ODD),
        ("UID FETCH", b"* 1 FETCH (UID 0)" + DONE, ODD),
        ("UID FETCH", b"* 1 FETCH (UID 99999999999999999)" + DONE, ODD),
        ("UID FETCH", b"* 1 FETCH (UID 1)\r\n" * 10 + b"* 1 FETCH (UID" + CLOSE, LOST),
        ("UID FETCH", b"* 1 FETCH (UID 1 BODY[] {%s}\r\n" % (b"9" * 5000) + SILENCE, TOO_LARGE),
        ("EXAMINE", b"* OK [UIDVALIDITY 0] x" + DONE, ODD),
        ("EXAMINE", b"* OK [UIDVALIDITY 99999999999] x" + DONE, ODD),
        ("EXAMINE", b"* OK [UIDVALIDITY] x" + DONE, ODD),
    ],
)  # fmt: skip
def test_what_is_no_answer_ends_the_visit_in_time_and_nothing_is_lost(
    server, box, monkeypatch, step, reply, meets
):
    monkeypatch.setattr(imap, "_SEARCH_BYTES", 2**22)  # so that the flood is over soon
    monkeypatch.setattr(imap, "_SEARCH_NUMBERS", 5)
    server.replies[step] = reply
    assert_meets(box, *meets)
    assert (box.is_on, box.server_rests) == (True, meets[2] is PROFILE)
    assert server.connections == 1
    assert server.taken < 2**25  # the buffers of two sockets are in it
    assert_all_is_stored_when_it_is_good(box, server)


@pytest.mark.parametrize(
    ("odd", "code"),
    [
        (SILENCE, "timed_out"),
        (b"* 2 FETCH (UID 2 BODY[] {300}\r\nSubject: x" + DRIP, "timed_out"),
        (b"* 2 FETCH (UID 2 BODY[] {90000}\r\nSubject: x\r\n" + SILENCE, "timed_out"),
        (CLOSE, "connection_lost"),
        (b"* 2 FETCH (UID 2 BODY[] {300}\r\nSubject: x" + CLOSE, "connection_lost"),
        (b"* BYE over this one\r\n" + CLOSE, "closed"),
        (b"* 2 FETCH (UID 2 BODY[] {300}\r\n" + FLOOD, "larger_than_listed"),
        (b"* 2 FETCH (UID 2 BODY[] {2000000000}\r\n" + FLOOD, "larger_than_listed"),
        (TOLD, "larger_than_listed"),
        (b'* 2 FETCH (UID 2 BODY[] "' + FLOOD, "larger_than_listed"),
        (b"* 2 FETCH (UID 2 BODY[] {3}\r\nSubject: x\r\n)\r\n<tag> OK done", "unreadable_answer"),
        (b"* 2 FETCH (UID 2 BODY[] NIL)\r\n<tag> OK done", "message_refused"),
        (b"<tag> NO [SERVERBUG] no", "message_refused"),
        (b"<tag> NO [UNAVAILABLE] no", "unavailable"),
        (b"<tag> BAD no", "message_refused"),
        (b"what?", "unreadable_answer"),
        (b"* PREAUTH what?", "preauthenticated"),
    ],
)  # fmt: skip
def test_a_message_that_ends_its_request_fails_alone_and_holds_nobody_up(server, box, odd, code):
    server.replies["UID FETCH"] = giving(MESSAGES, {2: odd})
    box.visit_until_done()
    assert (box.stored, box.failed) == (["mail 1", "mail 3"], {"7.2": f"imap.{code}"})
    assert (box.is_on, box.server_rests) == (True, False)
    assert server.taken < 2**25  # the buffers of two sockets are in it
    ItemFailure.objects.update(last_seen_at=F("last_seen_at") - timedelta(days=2))
    if code == "larger_than_listed":
        assert box.visit().failed == 0  # given up, and behind the cursor
        return
    assert_all_is_stored_when_it_is_good(box, server)


def test_what_was_read_is_not_asked_for_again(server, box):
    box.visit()
    server.commands.clear()
    box.visit()
    assert box.stored == MAILS
    assert [command for command in server.commands if command.startswith("UID")] == [
        "UID SEARCH UID 4:*"
    ]


PLAIN_IMAP = b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n<tag> OK done"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (
            {"CAPABILITY": PLAIN_IMAP, "UID SEARCH DELETED": b"* SEARCH 1 9\r\n<tag> OK done"},
            "others_deleted",
        ),
        ({"SELECT": b"* OK [UIDVALIDITY 7] x\r\n<tag> OK [READ-ONLY] x"}, "read_only"),
        ({"UID STORE": b"<tag> NO [NOPERM] no"}, "no_permission"),
        ({"UID STORE": b"<tag> NO no"}, "not_deleted"),
    ],
)
def test_a_server_that_deletes_nothing_is_read_all_the_same(server, box, changes, code):
    queue = Queue.objects.create(name="Sales", email_address="sales@hostile.test")
    box.box = factories.mailbox(
        owner=queue,
        profile=box.box.profile,
        delete_after_processing=True,
        act_method=ActMethod.NONE,
    )
    server.replies |= changes
    for _ in range(11):
        assert box.visit().fault is None
    assert (box.stored, box.is_on) == (MAILS, True)
    assert Alert.objects.get().code == f"imap.{code}"
    assert not box.box.remote_items.filter(is_to_delete=True).exists()


# --- numberings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["EXAMINE", "UID SEARCH", "UID FETCH"])
def test_another_numbering_lists_the_inbox_once_more_and_stores_nothing_twice(server, box, step):
    box.visit()
    anew = b"* OK [UIDVALIDITY 8] anew"
    server.replies |= {
        "UID SEARCH": b"* SEARCH 1 2 3 4\r\n<tag> OK done",
        "UID FETCH": giving({**MESSAGES, 4: MESSAGES[3].replace(b"mail 3", b"mail 4")}),
    }
    if step == "EXAMINE":
        server.replies[step] = anew + DONE
    elif step == "UID SEARCH":
        server.replies[step] = anew + b"\r\n* SEARCH 4" + DONE
    else:
        server.replies[step] = giving(MESSAGES | {4: b"x"}, end=anew + DONE)
    assert_meets(box, "uidvalidity_changed", R, MAILBOX, 0)
    assert (box.is_on, box.server_rests, box.cursor) == (True, False, "")
    four = {4: mime("mail 4").replace(b"\n", b"\r\n")}
    server.replies = {
        **GOOD,
        "EXAMINE": anew + DONE,
        "UID SEARCH": b"* SEARCH 1 2 3 4\r\n<tag> OK done",
        "UID FETCH": giving(MESSAGES | four),
    }
    box.visit_until_done()
    assert sorted({*box.stored}) == [*MAILS, "mail 4"]
    assert Email.objects.count() == 4
    assert box.cursor == "8:4"


def test_another_numbering_doubles_no_mail_without_id_and_date(server, box):
    note = b"From: a@b.test\r\nTo: ann@hostile.test\r\nSubject: note\r\n\r\nhello\r\n"
    server.replies |= {"UID SEARCH": b"* SEARCH 1" + DONE, "UID FETCH": giving({1: note})}
    box.visit()
    server.replies["EXAMINE"] = b"* OK [UIDVALIDITY 8] anew" + DONE
    box.visit()  # learns of it
    box.visit_until_done()
    assert (box.cursor, Email.objects.count()) == ("8:1", 1)


def test_a_server_that_numbers_anew_at_every_command_is_left_alone_after_one_try(server, box):
    box.visit()
    for number in (8, 9):
        server.replies["EXAMINE"] = b"* OK [UIDVALIDITY %d] anew" % number + DONE
        server.replies["UID SEARCH"] = b"* OK [UIDVALIDITY %d0] anew" % number + DONE
        box.visit()
    assert box.minutes >= 4
    assert_all_is_stored_when_it_is_good(box, server)


# --- TLS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
def test_a_drip_over_tls_has_the_same_end(tmp_path, monkeypatch, security):
    file = certificate(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with scripted(GOOD, certificate=file, is_tls_first=security is Security.TLS) as server:
        server.replies = {**GOOD, "UID SEARCH": b"* SEARCH 1" + DRIP}
        box = mailbox_at(server, security=security)
        assert_meets(box, *LATE)
        assert_all_is_stored_when_it_is_good(box, server)


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
@pytest.mark.parametrize("expired", [False, True])
def test_a_bad_certificate_gets_no_password(tmp_path, monkeypatch, security, expired):
    file = certificate(tmp_path / "server.pem", "127.0.0.2", expired=expired)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with scripted(GOOD, certificate=file, is_tls_first=security is Security.TLS) as server:
        box = mailbox_at(server, security=security)
        assert_meets(box, "certificate_refused", P, PROFILE, 10)
        assert {*server.commands} <= {"CAPABILITY", "STARTTLS"}
        assert box.is_on


def test_a_mute_host_is_left_in_time_over_tls(server):
    server.replies[""] = SILENCE
    box = mailbox_at(server, security=Security.TLS)
    assert_meets(box, *LATE)
