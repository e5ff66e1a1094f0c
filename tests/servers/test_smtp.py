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
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.smtp import SmtpOutgoing
from tests.memory_gateway import fault as some_fault
from tests.memory_gateway import mime
from tests.servers.any_port import AnyPort
from tests.servers.certificates import certificate
from tests.servers.scripted_server import CLOSE, SILENCE, SMTP, scripted

T, TH, P = Nature.TRANSIENT, Nature.THROTTLED, Nature.PERMANENT
EMAIL, MAILBOX, PROFILE = Scope
SENDER = "user@example.test"
ANN, BOB = "ann@customer.test", "bob@customer.test"


@dataclass
class Post:
    """Takes mail from "ann" with "s3cret"; no mailbox "nobody" is known."""

    envelopes: list[Envelope] = field(default_factory=list)

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:
        if address.startswith("nobody@"):
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope) -> str:
        self.envelopes.append(envelope)
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


def send(server: MailServer, *forward_paths: str, text: bytes = b"Subject: hi\n\nhi\n") -> None:
    with SmtpOutgoing(server, SENDER) as gateway:
        gateway.send(text, forward_paths or (ANN,))


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
        gateway.send(mime("one"), [ANN])
        gateway.send(mime("two"), [BOB])
        assert gateway.requests == 3
    assert [envelope.rcpt_tos for envelope in handler.envelopes] == [[ANN], [BOB]]


def test_one_refused_recipient_and_nobody_gets_the_message_but_the_next_one_goes_out(tmp_path):
    with post(tmp_path) as (handler, server), SmtpOutgoing(server, SENDER) as gateway:
        with pytest.raises(FaultError) as caught:
            gateway.send(mime("offer"), [ANN, "nobody@customer.test"])
        assert handler.envelopes == []
        gateway.send(mime("next"), [ANN])
    fault = caught.value.fault
    assert (fault.code, fault.nature, fault.scope) == ("smtp.recipients_refused", P, EMAIL)
    assert "550 5.1.1 No such mailbox (to nobody@customer.test)" in fault.text
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
            gateway.send(mime("hello"), [ANN])
        assert (gateway.requests, running.connections) == (0, 0)


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
        ("RCPT", b"452 4.5.3 too many", "recipients_refused", P, EMAIL),
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
def test_a_servers_reply_becomes_our_fault(command, reply, code, nature, scope):
    with scripted(SMTP, {command: reply, "HELO": b"550 no"}) as running:
        fault = refused(running.server(timeout_seconds=1))
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
                gateway.send(mime("one"), ["bad@x.test"])
            gateway.send(mime("two"), [ANN])
        assert (running.connections, len(running.texts)) == (1, 1)


def test_after_an_unknown_outcome_the_next_message_goes_out_over_another_connection():
    with scripted(SMTP, {".": SILENCE}) as running:
        with SmtpOutgoing(running.server(timeout_seconds=1), SENDER) as gateway:
            for _ in range(2):
                with pytest.raises(FaultError) as caught:
                    gateway.send(mime("one"), [ANN])
                assert caught.value.fault.code == "smtp.outcome_unknown"
        assert running.connections == 2


def test_a_message_larger_than_the_server_takes_is_not_sent():
    with scripted(SMTP) as running:
        fault = refused(running.server(), text=b"x" * 1_000_001)
    assert (fault.code, fault.nature, fault.scope) == ("smtp.message_refused", P, EMAIL)
    assert not running.texts


def test_a_reply_without_end_is_left():
    with scripted(SMTP, {"EHLO": b"250-more\r\n" * 50_000 + b"250 here"}) as running:
        fault = refused(running.server(), ANN)
    assert (fault.code, fault.nature, fault.scope) == ("smtp.answer_too_large", T, MAILBOX)


@pytest.mark.parametrize("path", ["", "ann@x.test>\r\nDATA", "ann @x.test", "änn@x.test"])
def test_an_address_that_smtp_cannot_carry_is_never_sent(path):
    with scripted(SMTP) as running:
        fault = refused(running.server(), ANN, path)
    assert (fault.code, fault.scope) == ("smtp.recipients_refused", EMAIL)
    assert not [command for command in running.commands if command.startswith("MAIL")]


def test_an_address_beyond_ascii_goes_to_a_server_that_takes_it(tmp_path):
    replies = {"EHLO": b"250-here\r\n250-8BITMIME\r\n250 SMTPUTF8"}
    with scripted(SMTP, replies) as running:
        send(running.server(username=""), "änn@x.test", text="Subject: ä\n\n".encode())
    assert f"MAIL FROM:<{SENDER}> BODY=8BITMIME SMTPUTF8" in running.commands


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
