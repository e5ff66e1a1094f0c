"""The way out for email over SMTP (RFC 5321, STARTTLS of RFC 3207, AUTH of RFC 4954), on smtplib.

A message goes to all its recipients or to none: the server is asked for each before the text is
sent. Whoever sends knows afterwards that it was taken, that it was not, or that nobody can tell:
smtp.outcome_unknown, when the connection ends between the text and the reply to it.

Nothing here tries twice, and no login is tried over a connection that isn't encrypted unless the
profile says so.
"""

import base64
import binascii
import contextlib
import hmac
import io
import ipaddress
import re
import smtplib
import socket
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from syncservice.domain.faults import FaultError, Provenance
from syncservice.servers import smtp_replies as replies
from syncservice.servers.answers import Answers
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.smtp_replies import Refused, Reply, faults_translated

#: A server that doesn't answer QUIT by then is left without a word.
_QUIT_SECONDS = 5
#: A server with a thousand extensions says less.
_REPLY_BYTES = 2**16


class _Connection(smtplib.SMTP):
    """smtplib's client with a TLS context of ours; every reply comes back as a value.

    smtplib's own login() tries each mechanism in turn, which is three refused logins for one wrong
    password, and knows no password beyond ASCII; its sendmail() sends to whom it can.
    """

    def __init__(self, server: MailServer) -> None:
        # A literal instead of smtplib's name look-up, which has no time-out; see greet().
        super().__init__(local_hostname="[127.0.0.1]", timeout=server.timeout_seconds)
        self._server = server

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection((host, port), timeout)
        if self._server.security is not Security.TLS:
            return plain
        return self._server.tls_context().wrap_socket(plain, server_hostname=host)

    def getreply(self) -> tuple[int, bytes]:
        """Read a reply within its bounds, however many lines it has."""
        if self.file is None:
            assert self.sock is not None
            self._answers = Answers(self.sock, self._server.timeout_seconds, _REPLY_BYTES)
            self.file = io.BufferedReader(self._answers)
        self._answers.begin(self._server.timeout_seconds, _REPLY_BYTES)
        return super().getreply()

    def ask(self, command: str, arguments: str = "") -> Reply:
        """Give a command and return the server's reply, whatever it is."""
        return Reply(*self.docmd(command, arguments))

    def greet(self) -> Reply:
        """Connect, and return the server's greeting."""
        reply = Reply(*self.connect(self._server.host, self._server.port))
        assert self.sock is not None
        own = ipaddress.ip_address(self.sock.getsockname()[0].partition("%")[0])
        # RFC 5321 section 4.1.1.1: who has no name of his own gives his address.
        self.local_hostname = f"[IPv6:{own}]" if own.version == 6 else f"[{own}]"
        return reply

    def hello(self) -> Reply:
        """Introduce ourselves and learn what the server offers (RFC 5321 section 4.1.1.1)."""
        reply = Reply(*self.ehlo())
        return reply if reply.is_done or reply.is_goodbye else Reply(*self.helo())

    def encrypt(self) -> None:
        """Encrypt from here on; what came in clear behind the reply is never read (RFC 3207)."""
        assert self.sock is not None
        context = self._server.tls_context()
        self.sock = context.wrap_socket(self.sock, server_hostname=self._server.host)
        self.file = None

    def authenticate(self) -> Reply | None:
        """Log in with the best mechanism on offer, once; None: none that we know is offered."""
        server = self._server
        offered = self.esmtp_features.get("auth", "").upper().split()
        best = ["PLAIN", "LOGIN", "CRAM-MD5"]
        if server.security is Security.NONE:
            best.reverse()  # the one that doesn't show the password
        mechanism = next((name for name in best if name in offered), None)
        if mechanism == "PLAIN":
            return self.ask("AUTH", f"PLAIN {_plain(server)}")
        if mechanism == "LOGIN":  # no RFC: two questions, whatever their words
            reply = self.ask("AUTH", "LOGIN")
            for answer in (server.username, server.password):
                if reply.code == 334:
                    reply = self.ask(_encoded(answer))
            return reply
        if mechanism == "CRAM-MD5":  # RFC 2195
            reply = self.ask("AUTH", "CRAM-MD5")
            if reply.code != 334:
                return reply
            try:
                challenge = base64.b64decode(reply.text)
            except binascii.Error:
                return Reply(-1, reply.text)
            digest = hmac.new(server.password.encode(), challenge, "md5").hexdigest()
            return self.ask(_encoded(f"{server.username} {digest}"))
        return None

    def hang_up(self) -> None:
        """Say QUIT and close, whatever state the connection is in."""
        with contextlib.suppress(OSError):  # smtplib's errors are such, too
            if self.sock is not None:
                self.sock.settimeout(min(self._server.timeout_seconds, _QUIT_SECONDS))
                self.docmd("QUIT")
        self.close()


class SmtpOutgoing:
    """Outgoing of `servers.gateway` from one address, over one SMTP server."""

    def __init__(
        self, server: MailServer, address: str, admit: Callable[[], None] = lambda: None
    ) -> None:
        """`address` is the reverse-path; with an empty user name there is no login.

        `admit` is called before each request, and may raise FaultError in its place. A request is
        one round of commands: a login, or all that one message needs.
        """
        self.requests = 0
        self._server = server
        self._address = address
        self._admit = admit
        self._connection: _Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._hang_up()

    def send(self, mime: bytes, forward_paths: Sequence[str]) -> None:
        """Hand a message over for all of `forward_paths`, or for none and raise FaultError."""
        if not forward_paths:
            raise ValueError("a message without recipients")
        text = re.sub(rb"\r\n|\r|\n", b"\r\n", mime)  # RFC 5321 section 2.3.8
        connection = self._open()
        options = self._options(connection, text, forward_paths)
        self._ask()
        try:
            with faults_translated(self._server):
                self._envelope(connection, options, forward_paths)
                self._text(connection, text)
        except Refused:
            self._reset(connection)
            raise
        except BaseException:
            self._hang_up()  # in the middle of a text no command would be taken for one
            raise

    def _options(
        self, connection: _Connection, text: bytes, forward_paths: Sequence[str]
    ) -> list[str]:
        """Return the parameters of MAIL, or raise what can be known before it is given."""
        takes_all_letters = connection.has_extn("smtputf8")  # RFC 6531
        for path in (self._address, *forward_paths):
            is_broken = not path or re.search(r"[\x00-\x20\x7f<>]", path)
            if is_broken or not (path.isascii() or takes_all_letters):
                meaning = replies.SENDER if path == self._address else replies.RECIPIENTS
                raise FaultError(meaning.fault(provenance=Provenance.US))
        options = []
        if connection.has_extn("size"):  # RFC 1870
            most = connection.esmtp_features["size"]
            if most.isdecimal() and 0 < int(most) < len(text):
                raise FaultError(replies.TOO_LARGE.fault(f"it takes {int(most):,} bytes"))
            options.append(f"SIZE={len(text)}")
        if not text.isascii() and connection.has_extn("8bitmime"):  # RFC 6152
            options.append("BODY=8BITMIME")
        connection.command_encoding = "ascii"
        if not all(path.isascii() for path in (self._address, *forward_paths)):
            connection.command_encoding = "utf-8"
            options.append("SMTPUTF8")
        return options

    def _envelope(
        self, connection: _Connection, options: Sequence[str], forward_paths: Sequence[str]
    ) -> None:
        mail = connection.ask("MAIL", " ".join([f"FROM:<{self._address}>", *options]))
        if not mail.is_done:
            raise self._refused(replies.meaning_of_sender(mail), mail)
        refused: list[tuple[replies.Meaning, Reply, str]] = []
        for path in forward_paths:
            reply = connection.ask("RCPT", f"TO:<{path}>")
            if not reply.is_done:
                refused.append((replies.meaning_of_recipient(reply), reply, path))
            if reply.is_goodbye:
                break
        if refused:
            raise self._refused(*min(refused, key=lambda one: replies.GRAVEST.index(one[0])))

    def _text(self, connection: _Connection, text: bytes) -> None:
        data = connection.ask("DATA")
        if data.code != 354:
            raise self._refused(replies.meaning_of_data(data), data)
        stuffed = re.sub(rb"(?m)^\.", b"..", text)  # RFC 5321 section 4.5.2
        connection.send(stuffed.removesuffix(b"\r\n") + b"\r\n.\r\n")
        # Up to here a failure means that the server has no whole message; from here on it may.
        try:
            reply = Reply(*connection.getreply())
        except OSError as error:  # smtplib's errors are such, too
            raise FaultError(replies.UNKNOWN.fault()) from error
        if not reply.is_done:
            raise self._refused(replies.meaning_of_text(reply), reply)

    def _open(self) -> _Connection:
        """Return a connection that is ready for a message."""
        if self._connection is None:
            self._ask()
            connection = _Connection(self._server)
            try:
                with faults_translated(self._server):
                    self._begin(connection)
            except BaseException:
                connection.hang_up()
                raise
            self._connection = connection
        return self._connection

    def _begin(self, connection: _Connection) -> None:
        self._demand(connection.greet(), 220, replies.meaning_of_greeting)
        self._demand(connection.hello(), 250, replies.meaning_of_greeting)
        if self._server.security is Security.STARTTLS:
            if not connection.has_extn("starttls"):
                raise FaultError(replies.NO_STARTTLS.fault())
            self._demand(connection.ask("STARTTLS"), 220, replies.meaning_of_starttls)
            connection.encrypt()
            self._demand(connection.hello(), 250, replies.meaning_of_greeting)
        if self._server.username:
            reply = connection.authenticate()
            if reply is None:
                raise FaultError(replies.NO_AUTHENTICATION.fault())
            self._demand(reply, 235, replies.meaning_of_login)

    def _demand(self, reply: Reply, code: int, meaning: Callable[[Reply], replies.Meaning]) -> None:
        if reply.code != code:
            raise self._refused(meaning(reply), reply)

    def _refused(self, meaning: replies.Meaning, reply: Reply, path: str = "") -> FaultError:
        """Return what to raise; `path`: the recipient that the reply is about."""
        server = self._server
        said = server.words(bytes(reply), *_shown_logins(server))
        fault = meaning.fault(f"{said} (to {path})" if path else said)
        return Refused(fault) if reply.is_refusal and not reply.is_goodbye else FaultError(fault)

    def _reset(self, connection: _Connection) -> None:
        """Make the connection ready for another message, or end it."""
        with contextlib.suppress(OSError):
            if connection.ask("RSET").is_done:
                return
        self._hang_up()

    def _ask(self) -> None:
        self._admit()
        self.requests += 1

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.hang_up()
            self._connection = None


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _plain(server: MailServer) -> str:
    return _encoded(f"\0{server.username}\0{server.password}")  # RFC 4616


def _shown_logins(server: MailServer) -> tuple[str, ...]:
    """Return how the password travels: a server may repeat a command that it refuses."""
    return (_plain(server), _encoded(server.password)) if server.username else ()
