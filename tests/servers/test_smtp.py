"""Sending over SMTP: through a real aiosmtpd, and to servers that say what it doesn't."""

import base64
import hmac
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from aiosmtpd.smtp import AuthResult, Envelope

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.servers.gateway import Accepted, MailObject, OutcomeUnknown
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.smtp import SmtpOutgoing
from tests.memory_gateway import fault as some_fault
from tests.memory_gateway import mime
from tests.servers.any_port import AnyPort
from tests.servers.certificates import certificate
from tests.servers.scripted_server import CLOSE, SILENCE, SMTP, scripted

#: What a server says of itself that takes commands one by one, or all of an envelope at once.
ONE_BY_ONE = {}
AT_ONCE = {"EHLO": SMTP["EHLO"].replace(b"250-SIZE", b"250-PIPELINING\r\n250-SIZE")}

T, TH, P = Nature.TRANSIENT, Nature.THROTTLED, Nature.PERMANENT
EMAIL, MAILBOX, PROFILE = Scope
SENDER = "user@example.test"
ANN, BOB = "ann@customer.test", "bob@customer.test"


@dataclass
class Post:
    """Takes mail from "ann" with "s3cret"; no mailbox "nobody" is known."""

    envelopes: list[Envelope] = field(default_factory=list)
    loses_answer: bool = False  # to the next message that it takes

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:
        if address.startswith("nobody@"):
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope) -> str:
        self.envelopes.append(envelope)
        if self.loses_answer:
            self.loses_answer = False
            server.transport.abort()
        return "250 taken"

    def authenticate(self, server, session, envelope, mechanism, login) -> AuthResult:
        known = (login.login, login.password) == (b"ann", b"s3cret")
        return AuthResult(success=known, handled=False)


@contextmanager
def post(tmp_path, security: Security = Security.STARTTLS) -> Iterator[tuple[Post, MailServer]]:
    """Run aiosmtpd; its certificate is trusted by nobody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path / "server.pem"))
    handler = Post()
    controller = AnyPort(
        handler,
        hostname="127.0.0.1",
        port=0,
        ready_timeout=20,
        authenticator=handler.authenticate,
        auth_require_tls=security is Security.STARTTLS,
        tls_context=context if security is Security.STARTTLS else None,
        ssl_context=context if security is Security.TLS else None,
    )
    controller.start()
    try:
        yield (
            handler,
            MailServer("127.0.0.1", controller.port, security, "ann", "s3cret", verify_tls=False),
        )
    finally:
        controller.stop()


def mail(*forward_paths: str, text: bytes = b"Subject: hi\n\nhi\n", **more) -> MailObject:
    paths = forward_paths or (ANN,)
    return MailObject(message_id="<1@example.test>", mime=text, forward_paths=paths, **more)


def nothing() -> None:
    """What is done before the handover, where the test doesn't look."""


def send(server: MailServer, *forward_paths: str, sender: str = SENDER, **more) -> Accepted:
    with SmtpOutgoing(server, sender) as gateway:
        return gateway.send(mail(*forward_paths, **more), nothing)


def refused(server: MailServer, *forward_paths: str, **more) -> Fault:
    with pytest.raises(FaultError) as caught:
        send(server, *forward_paths, **more)
    return caught.value.fault


@pytest.mark.parametrize("security", Security)
def test_a_message_is_handed_over_to_the_envelopes_recipients(tmp_path, security):
    message = mime("offer", to="someone-else@x.test") + b".\n..two\nend"
    with post(tmp_path, security) as (handler, server):
        send(server, ANN, BOB, text=message)
    (envelope,) = handler.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER, [ANN, BOB])
    assert envelope.content.replace(b"\r\n", b"\n") == message + b"\n"


def test_several_messages_are_one_login(tmp_path):
    with post(tmp_path) as (handler, server), SmtpOutgoing(server, SENDER) as gateway:
        gateway.send(mail(ANN), nothing)
        gateway.send(mail(BOB), nothing)
        assert gateway.requests == 3
    assert [envelope.rcpt_tos for envelope in handler.envelopes] == [[ANN], [BOB]]


def test_a_message_goes_to_those_who_are_not_refused(tmp_path):
    with post(tmp_path) as (handler, server):
        accepted = send(server, ANN, "nobody@customer.test", BOB)
    (envelope,) = handler.envelopes
    assert envelope.rcpt_tos == [ANN, BOB]
    (rejected,) = accepted.rejected
    fault = rejected.fault
    assert rejected.forward_path == "nobody@customer.test"
    assert (fault.code, fault.nature, fault.scope) == ("smtp.recipients_refused", P, EMAIL)
    assert "550 5.1.1 No such mailbox (to nobody@customer.test)" in fault.text


def test_when_all_are_refused_nothing_is_sent_and_the_next_message_goes_out(tmp_path):
    with post(tmp_path) as (handler, server), SmtpOutgoing(server, SENDER) as gateway:
        with pytest.raises(FaultError) as caught:
            gateway.send(mail("nobody@customer.test", "nobody@x.test"), nothing)
        assert handler.envelopes == []
        gateway.send(mail(ANN), nothing)
    assert caught.value.fault.code == "smtp.recipients_refused"
    assert len(handler.envelopes) == 1


def test_a_wrong_password_is_asked_once_and_told_as_the_logins_fault():
    with scripted(SMTP, {"AUTH": b"535 5.7.8 no"}) as running:
        fault = refused(running.server())
    assert (fault.code, fault.nature, fault.scope) == ("smtp.login_refused", P, MAILBOX)
    assert fault.of_login
    assert [line[:4] for line in running.commands].count("AUTH") == 1


def test_no_request_is_made_that_is_not_admitted():
    def admit() -> None:
        raise FaultError(some_fault(Nature.LIMITED))

    with scripted(SMTP) as running, SmtpOutgoing(running.server(), SENDER, admit) as gateway:
        with pytest.raises(FaultError):
            gateway.send(mail(), nothing)
        assert (gateway.requests, running.connections) == (0, 0)


@pytest.mark.parametrize("offer", [ONE_BY_ONE, AT_ONCE], ids=["one by one", "at once"])
@pytest.mark.parametrize(
    ("command", "reply", "code", "nature", "scope"),
    [
        ("", b"554 no service here", "not_smtp", T, PROFILE),
        ("", b"+OK POP3 ready", "not_smtp", T, PROFILE),
        ("", b"220 " + b"x" * 9000, "not_smtp", T, PROFILE),
        ("", b"421 too many connections", "service_unavailable", TH, PROFILE),
        ("EHLO", b"421 closing", "service_unavailable", TH, PROFILE),
        ("EHLO", b"550 who?", "not_smtp", T, PROFILE),
        ("EHLO", b"250 here", "no_authentication", P, PROFILE),
        ("EHLO", b"250-here\r\n250 AUTH GSSAPI", "no_authentication", P, PROFILE),
        ("AUTH", b"535 no", "login_refused", P, MAILBOX),
        ("AUTH", b"534 too weak", "login_refused", P, MAILBOX),
        ("AUTH", b"530 TLS first", "login_refused", P, MAILBOX),
        ("AUTH", b"538 encrypt first", "login_refused", P, MAILBOX),
        ("AUTH", b"454 not now", "authentication_unavailable", T, PROFILE),
        ("AUTH", b"421 closing", "service_unavailable", TH, PROFILE),
        ("AUTH", b"what?", "not_smtp", T, PROFILE),
        ("MAIL", b"550 5.7.1 not yours", "sender_refused", P, MAILBOX),
        ("MAIL", b"452 4.3.1 full", "quota_exceeded", T, MAILBOX),
        ("MAIL", b"552 5.2.2 full", "quota_exceeded", T, MAILBOX),
        ("MAIL", b"552 5.3.4 too large", "message_refused", P, EMAIL),
        ("MAIL", b"451 later", "refused_for_now", T, EMAIL),
        ("MAIL", b"421 closing", "service_unavailable", TH, PROFILE),
        ("RCPT", b"550 5.1.1 unknown", "recipients_refused", P, EMAIL),
        ("RCPT", b"450 4.2.0 greylisted", "refused_for_now", T, EMAIL),
        ("RCPT", b"452 4.2.2 their mailbox is full", "refused_for_now", T, EMAIL),
        ("RCPT", b"552 5.2.2 their mailbox is full", "recipients_refused", P, EMAIL),
        ("RCPT", b"452 4.5.3 too many", "refused_for_now", T, EMAIL),
        ("RCPT", b"550 5.5.3 too many", "recipients_refused", P, EMAIL),
        ("RCPT", b"what?", "not_smtp", T, PROFILE),
        ("RCPT", b"452 full", "quota_exceeded", T, MAILBOX),
        ("RCPT", b"421 closing", "service_unavailable", TH, PROFILE),
        ("DATA", b"554 no", "message_refused", P, EMAIL),
        ("DATA", b"451 later", "refused_for_now", T, EMAIL),
        ("DATA", b"250 fine", "not_smtp", T, PROFILE),
        (".", b"554 5.7.1 spam", "message_refused", P, EMAIL),
        (".", b"552 5.3.4 too large", "message_refused", P, EMAIL),
        (".", b"552 5.2.2 full", "quota_exceeded", T, MAILBOX),
        (".", b"451 later", "refused_for_now", T, EMAIL),
        (".", b"421 closing", "service_unavailable", TH, PROFILE),
        (".", CLOSE, "outcome_unknown", T, EMAIL),
        (".", SILENCE, "outcome_unknown", T, EMAIL),
        (".", b"what?", "outcome_unknown", T, EMAIL),
        (".", b"250-taken\r\n" + CLOSE, "outcome_unknown", T, EMAIL),
        ("DATA", CLOSE, "connection_lost", T, PROFILE),
        ("RCPT", SILENCE, "timed_out", T, PROFILE),
        ("", CLOSE, "connection_lost", T, PROFILE),
        ("", SILENCE, "timed_out", T, PROFILE),
    ],
)
def test_a_servers_reply_becomes_our_fault(offer, command, reply, code, nature, scope):
    with (
        scripted(SMTP, {**offer, "HELO": b"550 no", command: reply}) as running,
        pytest.raises(FaultError) as caught,
    ):
        send(running.server(timeout_seconds=1))
    fault = caught.value.fault
    assert isinstance(caught.value, OutcomeUnknown) == (code == "outcome_unknown")
    assert (fault.code, fault.nature, fault.scope) == (f"smtp.{code}", nature, scope)
    assert fault.of_login == (code == "login_refused")
    said_by_server = code not in ("connection_lost", "timed_out")
    assert fault.provenance is (Provenance.SMTP if said_by_server else Provenance.TCP)


def test_the_gravest_refusal_of_a_recipient_is_told():
    replies = {f"RCPT TO:<{ANN}>": b"450 later", f"RCPT TO:<{BOB}>": b"550 unknown"}
    with scripted(SMTP, replies) as running:
        fault = refused(running.server(), ANN, BOB)
    assert (fault.code, fault.nature) == ("smtp.recipients_refused", P)
    assert BOB in fault.text
    assert "DATA" not in running.commands


def test_a_servers_words_are_shown_behind_the_remedy_and_bounded():
    with scripted(SMTP, {".": b"554-spam\r\n554 " + b"x" * 5000}) as running:
        fault = refused(running.server())
    remedy, _, words = fault.text.partition("; the server said: ")
    assert remedy
    assert words.startswith("554 spam xxx")
    assert len(words) == 300


def test_after_a_refused_message_the_next_one_goes_out_over_the_same_connection():
    with scripted(SMTP, {"RCPT TO:<bad@x.test>": b"550 unknown"}) as running:
        with SmtpOutgoing(running.server(), SENDER) as gateway:
            with pytest.raises(FaultError):
                gateway.send(mail("bad@x.test"), nothing)
            gateway.send(mail(ANN), nothing)
        assert (running.connections, len(running.texts)) == (1, 1)


def test_after_an_unknown_outcome_the_next_message_goes_out_over_another_connection():
    with scripted(SMTP, {".": SILENCE}) as running:
        with SmtpOutgoing(running.server(timeout_seconds=1), SENDER) as gateway:
            for _ in range(2):
                with pytest.raises(OutcomeUnknown):
                    gateway.send(mail(), nothing)
        assert running.connections == 2


def test_a_message_larger_than_the_server_takes_is_not_sent():
    with scripted(SMTP) as running:
        fault = refused(running.server(), text=b"\n" + b"x" * 1_000_000)
    assert (fault.code, fault.nature, fault.scope) == ("smtp.message_refused", P, EMAIL)
    assert not running.texts


def test_a_reply_without_end_is_left():
    with scripted(SMTP, {"EHLO": b"250-more\r\n" * 50_000 + b"250 here"}) as running:
        fault = refused(running.server(), ANN)
    assert (fault.code, fault.nature, fault.scope) == ("smtp.answer_too_large", T, MAILBOX)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("", "recipients_refused"),
        ("ann@x.test>\r\nDATA", "recipients_refused"),
        ("ann @x.test", "recipients_refused"),
        ("änn@x.test", "no_smtputf8"),
    ],
)
def test_an_address_that_smtp_cannot_carry_is_refused_and_the_others_get_the_message(path, code):
    with scripted(SMTP) as running:
        (rejected,) = send(running.server(), ANN, path).rejected
        fault = refused(running.server(), path)
    assert (rejected.forward_path, rejected.fault) == (path, fault)
    assert (fault.code, fault.nature, fault.scope) == (f"smtp.{code}", P, EMAIL)
    by_us = code == "recipients_refused"
    assert fault.provenance is (Provenance.US if by_us else Provenance.SMTP)
    envelopes = [line for line in running.commands if line.startswith(("MAIL", "RCPT"))]
    assert envelopes == [f"MAIL FROM:<{SENDER}> SIZE=19", f"RCPT TO:<{ANN}>"]


TAKES_ALL_LETTERS = {"EHLO": b"250-here\r\n250-8BITMIME\r\n250 SMTPUTF8"}


@pytest.mark.parametrize(
    ("sender", "path", "text", "options"),
    [
        (SENDER, ANN, "Subject: a\n\na", ""),
        (SENDER, ANN, "Subject: a\n\nä", " BODY=8BITMIME"),
        (SENDER, ANN, "To: ä@x.test\n\na", " BODY=8BITMIME SMTPUTF8"),
        (SENDER, "ä@x.test", "Subject: a\n\na", " SMTPUTF8"),
        ("ä@example.test", ANN, "Subject: a\n\na", " SMTPUTF8"),
    ],
)
def test_letters_beyond_ascii_are_announced_to_a_server_that_takes_them(
    sender, path, text, options
):
    with scripted(SMTP, TAKES_ALL_LETTERS) as running:
        accepted = send(running.server(username=""), path, sender=sender, text=text.encode())
    assert accepted == Accepted()
    told = [line.encode("latin-1").decode() for line in running.commands]
    assert f"MAIL FROM:<{sender}>{options}" in told
    assert f"RCPT TO:<{path}>" in told


@pytest.mark.parametrize(
    ("sender", "text", "scope"),
    [
        (SENDER, "To: ä@x.test\n\na", EMAIL),
        (SENDER, "Subject: ä", EMAIL),
        ("ä@example.test", "Subject: a\n\na", MAILBOX),
    ],
)
def test_a_header_beyond_ascii_goes_to_nobody_at_a_server_that_takes_none(sender, text, scope):
    with scripted(SMTP) as running:
        fault = refused(running.server(), ANN, BOB, sender=sender, text=text.encode())
    assert (fault.code, fault.nature, fault.scope) == ("smtp.no_smtputf8", P, scope)
    assert not [command for command in running.commands if command.startswith("MAIL")]


@pytest.mark.parametrize("sender", ["", "a>@x.test", "a b@x.test"])
def test_a_mailbox_without_a_fit_address_sends_nothing(sender):
    with scripted(SMTP) as running:
        fault = refused(running.server(), sender=sender)
    assert (fault.code, fault.nature, fault.scope) == ("smtp.sender_refused", P, MAILBOX)
    assert not [command for command in running.commands if command.startswith("MAIL")]


@pytest.mark.parametrize("offer", [ONE_BY_ONE, AT_ONCE], ids=["one by one", "at once"])
@pytest.mark.parametrize(
    ("reply", "code", "nature"),
    [
        (b"550 5.1.1 unknown", "recipients_refused", P),
        (b"550 5.5.3 too many", "recipients_refused", P),
        (b"450 4.2.0 greylisted", "refused_for_now", T),
        (b"452 4.5.3 too many", "refused_for_now", T),
        (b"452 full", "refused_for_now", T),
        (b"552 5.3.4 too large", "message_refused", P),
    ],
)
def test_what_a_server_says_of_one_recipient_is_told_of_that_one(offer, reply, code, nature):
    with scripted(SMTP, {**offer, f"RCPT TO:<{BOB}>": reply}) as running:
        (rejected,) = send(running.server(), ANN, BOB, "eve@x.test").rejected
    fault = rejected.fault
    assert rejected.forward_path == BOB
    assert (fault.code, fault.nature, fault.scope) == (f"smtp.{code}", nature, EMAIL)
    assert reply.decode() in fault.text
    assert len(running.texts) == 1


@pytest.mark.parametrize("offer", [ONE_BY_ONE, AT_ONCE], ids=["one by one", "at once"])
def test_a_goodbye_among_the_recipients_sends_to_none_of_them(offer):
    with scripted(SMTP, {**offer, f"RCPT TO:<{BOB}>": b"421 closing" + CLOSE}) as running:
        fault = refused(running.server(), ANN, BOB)
    assert (fault.code, fault.nature) == ("smtp.service_unavailable", TH)
    assert not running.texts


@pytest.mark.parametrize(
    ("offer", "asks", "options", "notify"),
    [
        (b"250 DSN", True, " RET=HDRS", " NOTIFY=SUCCESS,FAILURE,DELAY"),
        (b"250 DSN", False, "", ""),
        (b"250 HELP", True, "", ""),
    ],
)
def test_a_delivery_receipt_is_asked_for_where_the_server_knows_how(offer, asks, options, notify):
    with scripted(SMTP, {"EHLO": b"250-here\r\n" + offer}) as running:
        send(running.server(username=""), ANN, BOB, asks_delivery_receipt=asks)
    assert running.commands[1:-1] == [
        f"MAIL FROM:<{SENDER}>{options}",
        f"RCPT TO:<{ANN}>{notify}",
        f"RCPT TO:<{BOB}>{notify}",
        "DATA",
    ]


# --- at once (RFC 2920) ---------------------------------------------------------------------------


def test_an_envelope_is_one_round_where_the_server_takes_that():
    rounds = []
    for offer in (ONE_BY_ONE, AT_ONCE):
        with scripted(SMTP, offer) as running, SmtpOutgoing(running.server(), SENDER) as gateway:
            gateway.send(mail(), nothing)
            before = running.rounds
            gateway.send(mail(ANN, BOB, "eve@x.test"), nothing)
            gateway.send(mail(ANN, BOB, "eve@x.test"), nothing)
            # Text and end of the first may have come at once, or not.
            rounds.append(running.rounds - before)
    one_by_one, at_once = rounds
    assert 12 <= one_by_one <= 14
    assert 4 <= at_once <= 6


def test_more_recipients_than_fit_into_a_round_all_get_the_message():
    many = [f"user-{number}@customer.test" for number in range(100)]
    refuses = {f"RCPT TO:<{path}>": b"550 unknown" for path in many[::7]}
    with scripted(SMTP, {**AT_ONCE, **refuses}) as running:
        accepted = send(running.server(), *many)
    assert [one.forward_path for one in accepted.rejected] == many[::7]
    asked = [line for line in running.commands if line.startswith("RCPT")]
    assert asked == [f"RCPT TO:<{path}>" for path in many]
    assert len(running.texts) == 1


@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
def test_a_text_that_was_asked_for_in_vain_is_never_sent(command):
    """The server refuses everyone, and takes DATA all the same."""
    with (
        scripted(SMTP, {**AT_ONCE, command: b"550 5.7.1 no"}) as running,
        SmtpOutgoing(running.server(), SENDER) as gateway,
    ):
        with pytest.raises(FaultError):
            gateway.send(mail(ANN, BOB), nothing)
        running.wait_until_left()
        assert running.half_texts == [b""]  # not even its end, or QUIT
        running.replies = {**SMTP, **AT_ONCE}
        gateway.send(mail(ANN), nothing)
    assert (running.connections, len(running.texts)) == (2, 1)


# --- the handover ---------------------------------------------------------------------------------


def test_the_handover_is_announced_once_when_all_but_the_end_was_sent(tmp_path):
    announced = []
    with post(tmp_path) as (handler, server), SmtpOutgoing(server, SENDER) as gateway:
        gateway.send(mail(), lambda: announced.append(len(handler.envelopes)))
        assert (announced, len(handler.envelopes)) == ([0], 1)


@pytest.mark.parametrize("error", [ConnectionResetError, ValueError, KeyboardInterrupt])
def test_what_is_raised_before_the_handover_stops_it_and_is_no_fault(error):
    def stop() -> None:
        raise error

    with scripted(SMTP) as running, SmtpOutgoing(running.server(), SENDER) as gateway:
        with pytest.raises(error):
            gateway.send(mail(text=b"a: b\n\nfirst\n"), stop)
        running.wait_until_left()
        assert running.half_texts == [b"a: b\r\n\r\nfirst"]  # and no more: not the end, not QUIT
        gateway.send(mail(), nothing)
        assert running.connections == 2


def test_a_message_that_is_refused_before_its_text_is_never_announced():
    with (
        scripted(SMTP, {"DATA": b"554 no"}) as running,
        SmtpOutgoing(running.server(), SENDER) as gateway,
        pytest.raises(FaultError),
    ):
        gateway.send(mail(), lambda: pytest.fail("nothing was handed over"))


# --- one connection for several messages ----------------------------------------------------------


@pytest.mark.parametrize("offer", [ONE_BY_ONE, AT_ONCE], ids=["one by one", "at once"])
@pytest.mark.parametrize("end", [b"421 4.4.2 idle for too long" + CLOSE, CLOSE])
def test_a_connection_that_ended_between_two_messages_is_opened_anew(offer, end):
    said = iter([b"250 ok", end, b"250 ok"])
    with (
        scripted(SMTP, {**offer, "MAIL": lambda command: next(said)}) as running,
        SmtpOutgoing(running.server(), SENDER) as gateway,
    ):
        gateway.send(mail(text=b"one"), nothing)
        gateway.send(mail(text=b"two"), nothing)
    assert running.connections == 2
    assert running.texts == [b"one\r\n", b"two\r\n"]


def test_a_connection_is_opened_anew_no_more_than_once():
    said = iter([b"250 ok", CLOSE, CLOSE])
    with (
        scripted(SMTP, {"MAIL": lambda command: next(said)}) as running,
        SmtpOutgoing(running.server(), SENDER) as gateway,
    ):
        gateway.send(mail(), nothing)
        with pytest.raises(FaultError) as caught:
            gateway.send(mail(), nothing)
    assert caught.value.fault.code == "smtp.connection_lost"
    assert running.connections == 2


def test_a_connection_that_ended_behind_the_handover_is_not_opened_anew():
    said = iter([b"250 taken", CLOSE])
    with (
        scripted(SMTP, {".": lambda command: next(said)}) as running,
        SmtpOutgoing(running.server(), SENDER) as gateway,
    ):
        gateway.send(mail(), nothing)
        with pytest.raises(OutcomeUnknown):
            gateway.send(mail(), nothing)
        assert (running.connections, len(running.texts)) == (1, 2)


# --- the text -------------------------------------------------------------------------------------


def test_every_bare_line_end_is_sent_as_a_whole_one():
    with scripted(SMTP) as running:
        send(running.server(), text=b"a\nb\rc\r\nd\r.\r\n")
    assert running.texts == [b"a\r\nb\r\nc\r\nd\r\n..\r\n"]


def test_without_a_user_name_there_is_no_login():
    with scripted(SMTP) as running:
        send(running.server(username="", password=""))
    assert not [command for command in running.commands if command.startswith("AUTH")]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_a_password_in_any_letters_is_sent_in_the_way_the_server_offers(mechanism):
    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    digest = hmac.new("pässword".encode(), b"<1@x>", "md5").hexdigest()
    said = {
        "PLAIN": ["AUTH PLAIN " + encoded("\0ann\0pässword")],
        "LOGIN": ["AUTH LOGIN", encoded("ann"), encoded("pässword")],
        "CRAM-MD5": ["AUTH CRAM-MD5", encoded(f"ann {digest}")],
    }[mechanism]
    replies = {line: b"334 " + encoded("<1@x>").encode() for line in said[:-1]}
    replies |= {said[-1]: b"235 ok", "EHLO": b"250-here\r\n250 AUTH " + mechanism.encode()}
    with scripted(SMTP, replies) as running:
        send(running.server(password="pässword"))
    assert running.commands[1 : 1 + len(said)] == said


def test_in_clear_the_login_that_hides_the_password_comes_first():
    with scripted(SMTP, {"AUTH": b"535 no"}) as running:
        refused(running.server())
    assert "AUTH CRAM-MD5" in running.commands


@pytest.mark.parametrize(
    ("replies", "code", "nature"),
    [
        ({"EHLO": b"250-here\r\n250 AUTH PLAIN"}, "no_starttls", P),
        ({"STARTTLS": b"502 unknown"}, "no_starttls", P),
        ({"STARTTLS": b"454 not now"}, "no_starttls", T),
        ({"STARTTLS": b"421 closing"}, "service_unavailable", TH),
    ],
)
def test_a_server_without_starttls_never_sees_the_password(replies, code, nature):
    with scripted(SMTP, replies) as running:
        fault = refused(running.server(Security.STARTTLS))
    assert (fault.code, fault.nature, fault.scope) == (f"smtp.{code}", nature, PROFILE)
    assert not [command for command in running.commands if command.startswith("AUTH")]


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
@pytest.mark.parametrize("trouble", ["unknown", "expired", "of_another_host"])
def test_a_bad_certificate_is_refused_unless_the_profile_says_otherwise(
    tmp_path, monkeypatch, security, trouble
):
    address = "127.0.0.2" if trouble == "of_another_host" else "127.0.0.1"
    bad = certificate(tmp_path / "bad.pem", address, expired=trouble == "expired")
    if trouble != "unknown":
        monkeypatch.setenv("SSL_CERT_FILE", str(bad))
    with scripted(SMTP, certificate=bad, is_tls_first=security is Security.TLS) as running:
        fault = refused(running.server(security))
        assert (fault.code, fault.nature, fault.scope) == ("smtp.certificate_refused", P, PROFILE)
        assert not [command for command in running.commands if command.startswith("AUTH")]

        send(running.server(security, verify_tls=False))
        assert len(running.texts) == 1


def test_a_trusted_certificate_is_accepted(tmp_path, monkeypatch):
    good = certificate(tmp_path / "good.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(good))
    with scripted(SMTP, certificate=good) as running:
        send(running.server(Security.STARTTLS))
    assert len(running.texts) == 1


def test_tls_to_a_server_that_speaks_none_is_told_as_such():
    with scripted(SMTP) as running:
        fault = refused(running.server(Security.TLS))
    assert (fault.code, fault.provenance) == ("smtp.tls_failed", Provenance.TLS)


def test_a_name_that_does_not_resolve_is_told_as_such():
    fault = refused(MailServer("mail.invalid", 25, Security.NONE, "", ""))
    assert (fault.code, fault.provenance) == ("smtp.unknown_host", Provenance.DNS)


def test_a_port_where_nothing_listens_is_told_as_such():
    with scripted(SMTP) as running:
        server = running.server()
    assert refused(server).code == "smtp.connection_refused"


def test_when_a_conversation_ends_the_server_counts_no_connection_of_it():
    with scripted(SMTP, {"QUIT": SILENCE}) as running:
        send(running.server(timeout_seconds=1))
        assert running.commands[-1] == "QUIT"
        running.wait_until_left()


@pytest.mark.parametrize(
    "words", ["s3cret", base64.b64encode(b"s3cret").decode(), "AHVzZXIAczNjcmV0"]
)
def test_no_password_is_in_the_words_of_a_server_or_its_faults(words):
    with scripted(SMTP, {"AUTH": b"501 I don't know " + words.encode()}) as running:
        server = running.server(username="user")
        assert "s3cret" not in repr(server)
        assert words not in refused(server).text
