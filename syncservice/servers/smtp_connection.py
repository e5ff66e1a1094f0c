"""One connection to an SMTP server (RFC 5321), on smtplib: every reply comes back as a value.

smtplib's own login() tries each mechanism in turn, which is three refused logins for one wrong
password, and knows no password beyond ASCII; its sendmail() waits for each reply by itself, and
can't be stopped before the end of a text.
"""

import base64
import binascii
import contextlib
import hmac
import io
import ipaddress
import smtplib
import socket
from collections.abc import Sequence

from syncservice.servers.answers import Answers
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.smtp_replies import Reply

#: A server that doesn't answer QUIT by then is left without a word.
_QUIT_SECONDS = 5
#: A server with a thousand extensions says less.
_REPLY_BYTES = 2**16
#: Of a text in one go: the time-out is for each of them, not for all of a large message.
_PIECE_BYTES = 2**18


class Connection(smtplib.SMTP):
    """smtplib's client with a TLS context of ours, and replies that end."""

    #: The last reply was 354: what is sent now is text, and no command.
    awaits_text = False

    def __init__(self, server: MailServer) -> None:
        # A literal instead of smtplib's name look-up, which has no time-out; see greet().
        super().__init__(local_hostname="[127.0.0.1]", timeout=server.timeout_seconds)
        self._server = server

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection((host, port), timeout)
        # The end of a text is a small piece behind a large one: Nagle's algorithm would hold it
        # back until the server's delayed acknowledgement, 40 ms later.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._server.security is not Security.TLS:
            return plain
        return self._server.tls_context().wrap_socket(plain, server_hostname=host)

    def getreply(self) -> tuple[int, bytes]:
        """Read a reply within its bounds, however many lines it has."""
        if self.file is None:
            if self.sock is None:
                raise smtplib.SMTPServerDisconnected("the connection has ended")
            self._answers = Answers(self.sock, self._server.timeout_seconds, _REPLY_BYTES)
            self.file = io.BufferedReader(self._answers)
        self._answers.begin(self._server.timeout_seconds, _REPLY_BYTES)
        code, words = super().getreply()
        self.awaits_text = code == 354
        return code, words

    def ask(self, command: str, arguments: str = "") -> Reply:
        """Give a command and return the server's reply, whatever it is."""
        return Reply(*self.docmd(command, arguments))

    def ask_all(self, commands: Sequence[str]) -> list[Reply]:
        """Give commands at once (RFC 2920) and return the replies, up to one that ends them all."""
        self.send("".join(f"{command}\r\n" for command in commands))
        replies: list[Reply] = []
        for _ in commands:
            replies.append(Reply(*self.getreply()))
            if replies[-1].is_goodbye or not replies[-1].is_readable:
                break
        return replies

    def send_text(self, text: bytes) -> None:
        """Send a piece of a message's text, as it is."""
        view = memoryview(text)
        for start in range(0, len(view), _PIECE_BYTES):
            self.send(view[start : start + _PIECE_BYTES])

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
        """Say QUIT and close; in the middle of a text, where QUIT would be text, just close."""
        with contextlib.suppress(OSError):  # smtplib's errors are such, too
            if self.sock is not None and not self.awaits_text:
                self.sock.settimeout(min(self._server.timeout_seconds, _QUIT_SECONDS))
                self.docmd("QUIT")
        self.close()


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _plain(server: MailServer) -> str:
    return _encoded(f"\0{server.username}\0{server.password}")  # RFC 4616


def shown_logins(server: MailServer) -> tuple[str, ...]:
    """Return how the password travels: a server may repeat a command that it refuses."""
    return (_plain(server), _encoded(server.password)) if server.username else ()
