"""A server on 127.0.0.1 that answers line by line what a test tells it, for POP3 and SMTP.

It is for what real servers can't be made to say. It knows three things of the protocols: a positive
reply to STLS or STARTTLS begins TLS, 354 begins a text that ends with a dot, +OK to QUIT and 221
end the connection.
"""

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from syncservice.servers.mail_server import MailServer, Security

#: At the end of a reply or in its place: close the connection; say nothing until the client goes.
CLOSE = b"<close>"
SILENCE = b"<silence>"
#: The same: send for ever, as fast as it is taken, a line without end or lines of a listing; or a
#: byte now and then.
FLOOD, ROWS, DRIP = b"<flood>", b"<rows>", b"<drip>"
_FOR_EVER = {FLOOD: b"x" * 65536, ROWS: b"1 a\r\n" * 10000, DRIP: b"x"}

#: What a server with one message "a" says.
POP3 = {
    "": b"+OK ready",
    "QUIT": b"+OK bye",
    "STLS": b"+OK begin",
    "USER": b"+OK",
    "PASS": b"+OK logged in",
    "UIDL": b"+OK\r\n1 a\r\n.",
    "LIST": b"+OK\r\n1 20\r\n.",
    "RETR": b"+OK\r\nSubject: one\r\n\r\n1\r\n.",
}
SMTP = {
    "": b"220 ready",
    "EHLO": b"250-here\r\n250-SIZE 1000000\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN CRAM-MD5",
    "STARTTLS": b"220 begin",
    "AUTH": b"235 logged in",
    "MAIL": b"250 ok",
    "RCPT": b"250 ok",
    "DATA": b"354 go on",
    ".": b"250 taken",
    "RSET": b"250 ok",
    "QUIT": b"221 bye",
}


@dataclass
class ScriptedServer:
    """A running one; `commands` are all that it was told, in order."""

    port: int
    replies: Mapping[str, bytes]
    certificate: Path | None = None
    is_tls_first: bool = False
    commands: list[str] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    connections: int = 0
    taken: int = 0  # bytes of what was sent for ever
    conversations: list[threading.Thread] = field(default_factory=list)

    def wait_until_left(self) -> None:
        """Return when no client has a connection any more."""
        for conversation in self.conversations:
            conversation.join(20)
            assert not conversation.is_alive()

    def server(self, security: Security = Security.NONE, **more) -> MailServer:
        more = {"username": "ann", "password": "s3cret", "timeout_seconds": 5, **more}
        return MailServer("127.0.0.1", self.port, security, **more)

    def reply(self, command: str) -> bytes:
        """Choose by the whole command, or else by its first word."""
        word = command.split(" ")[0].upper()
        unknown = b"-ERR what?" if self.replies[""].startswith(b"+") else b"500 what?"
        return self.replies.get(command, self.replies.get(word, unknown))

    def converse(self, connection: socket.socket) -> None:
        """Answer one client until one of both has enough."""
        if self.is_tls_first:
            connection = self._encrypted(connection)
        reader = connection.makefile("rb")
        reply, command = self.replies[""], ""
        while True:
            if reply.endswith(SILENCE):
                connection.sendall(reply.removesuffix(SILENCE))
                reader.read()
                return
            for name, piece in _FOR_EVER.items():
                if reply.endswith(name):
                    connection.sendall(reply.removesuffix(name))
                    self._send_for_ever(connection, piece)
                    return
            if reply.endswith(CLOSE):
                connection.sendall(reply.removesuffix(CLOSE))
                return
            connection.sendall(reply + b"\r\n")
            if command == "QUIT":
                return
            if command in ("STLS", "STARTTLS") and reply[:3] in (b"+OK", b"220"):
                connection = self._encrypted(connection)
                reader = connection.makefile("rb")
            if reply.startswith(b"354"):
                self.texts.append(b"".join(iter(reader.readline, b".\r\n")))
                reply, command = self.reply("."), "."
                continue
            line = reader.readline()
            if not line:
                return
            command = line.decode("latin-1").rstrip("\r\n")
            self.commands.append(command)
            reply, command = self.reply(command), command.upper()

    def _send_for_ever(self, connection: socket.socket, piece: bytes) -> None:
        while True:
            connection.sendall(piece)
            self.taken += len(piece)
            if len(piece) == 1:
                connection.settimeout(0.02)  # the time until the next byte
                with suppress(TimeoutError):
                    if not connection.recv(1):
                        return

    def _encrypted(self, connection: socket.socket) -> socket.socket:
        assert self.certificate is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        return context.wrap_socket(connection, server_side=True)


@contextmanager
def scripted(
    replies: Mapping[str, bytes],
    changes: Mapping[str, bytes] | None = None,
    *,
    certificate: Path | None = None,
    is_tls_first: bool = False,
) -> Iterator[ScriptedServer]:
    """Run a server that says `replies` with `changes`."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = ScriptedServer(
        listener.getsockname()[1], {**replies, **(changes or {})}, certificate, is_tls_first
    )

    def converse(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client may go at any time
            server.converse(connection)

    def accept() -> None:
        with suppress(OSError):  # the listener is closed at the end
            while True:
                connection, _ = listener.accept()
                server.connections += 1
                thread = threading.Thread(target=converse, args=[connection], daemon=True)
                server.conversations.append(thread)
                thread.start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
