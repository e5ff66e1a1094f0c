"""A server on 127.0.0.1 that answers line by line what a test tells it, for POP3, IMAP and SMTP.

It is for what real servers can't be made to say. It knows four things of the protocols: a positive
reply to STLS or STARTTLS begins TLS, 354 begins a text that ends with a dot, +OK to QUIT, 221 and
the answer to LOGOUT end the connection, and commands of IMAP begin with a tag, which the answer
repeats where it says <tag>.
"""

import io
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from syncservice.servers.mail_server import MailServer, Security

#: At the end of a reply or in its place: close the connection; say nothing until the client goes.
CLOSE = b"<close>"
SILENCE = b"<silence>"
#: The same: send for ever, as fast as it is taken, a line without end, lines of a listing or what
#: IMAP tells unasked; or a byte now and then.
FLOOD, ROWS, TOLD, DRIP = b"<flood>", b"<rows>", b"<told>", b"<drip>"
_FOR_EVER = {
    FLOOD: b"x" * 65536,
    ROWS: b"1 a\r\n" * 10000,
    TOLD: b"* 1 EXPUNGE\r\n" * 5000,
    DRIP: b"x",
}

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
#: What one says besides that lets commands be sent ahead.
PIPELINING = {"CAPA": b"+OK\r\nTOP\r\nPipelining\r\nUIDL\r\n."}
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


#: What is said to a command, or what finds that out.
Reply = bytes | Callable[[str], bytes]


def giving(
    messages: Mapping[int, bytes],
    odd: Mapping[int, bytes] | None = None,
    end: bytes = b"<tag> OK done",
) -> Callable[[str], bytes]:
    """Answer UID FETCH with what was asked of `messages`, by UID.

    For the text of some there is something odd: b"" is nothing, and what is no line ends the
    answer. Else `end` does.
    """

    def reply(command: str) -> bytes:
        given = b""
        for run in command.split(" ")[2].split(","):
            first, _, last = run.partition(":")
            for uid in range(int(first), int(last or first) + 1):
                message = messages[uid]
                row = b'* %d FETCH (UID %d RFC822.SIZE %d INTERNALDATE "17-Jul-2024 02:44:25 -0700"'
                row %= (uid, uid, len(message))
                if "BODY.PEEK[]" not in command:
                    given += row + b")\r\n"
                    continue
                good = row + b" BODY[] {%d}\r\n%b)\r\n" % (len(message), message)
                this = (odd or {}).get(uid, good)
                given += this
                if this and not this.endswith(b"\r\n"):
                    return given
        return given + end

    return reply


#: What a server with one message says, its first in the numbering 7.
IMAP = {
    "": b"* OK ready",
    "CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN UIDPLUS\r\n<tag> OK done",
    "STARTTLS": b"<tag> OK begin",
    "AUTHENTICATE": b"+ ",
    "LOGIN": b"<tag> OK logged in",
    ".": b"<tag> OK logged in",
    "EXAMINE": b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] numbered\r\n<tag> OK [READ-ONLY] open",
    "SELECT": b"* 1 EXISTS\r\n* OK [UIDVALIDITY 7] numbered\r\n<tag> OK [READ-WRITE] open",
    "NOOP": b"<tag> OK done",
    "UID SEARCH": b"* SEARCH 1\r\n<tag> OK done",
    "UID FETCH": giving({1: b"Subject: one\r\n\r\n1\r\n"}),
    "UID STORE": b"<tag> OK done",
    "UID EXPUNGE": b"* 1 EXPUNGE\r\n<tag> OK done",
    "EXPUNGE": b"* 1 EXPUNGE\r\n<tag> OK done",
    "LOGOUT": b"* BYE\r\n<tag> OK done",
}


@dataclass
class ScriptedServer:
    """A running one; `commands` are all that it was told, in order and without IMAP's tags."""

    port: int
    replies: Mapping[str, Reply]
    certificate: Path | None = None
    is_tls_first: bool = False
    commands: list[str] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    half_texts: list[bytes] = field(default_factory=list)  # that a client left without their end
    connections: int = 0
    rounds: int = 0  # times that a client's words came, one or more commands at once
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
        """Choose by the whole command, or else by its first two words, or one."""
        words = command.upper().split(" ")
        for key in (command, " ".join(words[:2]), words[0]):
            if (found := self.replies.get(key)) is not None:
                return found if isinstance(found, bytes) else found(command)
        if self.is_tagged:
            return b"<tag> BAD what?"
        return b"-ERR what?" if "UIDL" in self.replies else b"500 what?"

    @property
    def is_tagged(self) -> bool:
        return "EXAMINE" in self.replies

    def converse(self, connection: socket.socket) -> None:
        """Answer one client until one of both has enough."""
        if self.is_tls_first:
            connection = self._encrypted(connection)
        reader = self._reader(connection)
        reply, command, tag = self.reply(""), "", b""
        while True:
            reply = reply.replace(b"<tag>", tag)
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
            if command in ("QUIT", "LOGOUT"):
                return
            agrees = reply.startswith((b"+OK", b"220", tag + b" OK"))
            if command in ("STLS", "STARTTLS") and agrees:
                connection = self._encrypted(connection)
                reader = self._reader(connection)
            if reply.startswith(b"354"):
                lines: list[bytes] = []
                while (line := reader.readline()) not in (b".\r\n", b""):
                    lines.append(line)
                if not line:
                    self.half_texts.append(b"".join(lines))
                    return
                self.texts.append(b"".join(lines))
                reply, command = self.reply("."), "."
                continue
            line = reader.readline()
            if not line:
                return
            if self.is_tagged and reply.startswith(b"+"):
                line = b"."  # the account that was asked for
            elif self.is_tagged:
                tag, _, line = line.partition(b" ")
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

    def _reader(self, connection: socket.socket) -> io.BufferedReader:
        return io.BufferedReader(_Rounds(self, connection.makefile("rb", buffering=0)))

    def _encrypted(self, connection: socket.socket) -> socket.socket:
        assert self.certificate is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        return context.wrap_socket(connection, server_side=True)


class _Rounds(io.RawIOBase):
    """What a client says, counted as it comes."""

    def __init__(self, server: ScriptedServer, raw: socket.SocketIO) -> None:
        self._server, self._raw = server, raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int | None:
        count = self._raw.readinto(buffer)
        self._server.rounds += bool(count)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


@contextmanager
def scripted(
    replies: Mapping[str, Reply],
    changes: Mapping[str, Reply] | None = None,
    *,
    certificate: Path | None = None,
    is_tls_first: bool = False,
    receive_buffer: int | None = None,
) -> Iterator[ScriptedServer]:
    """Run a server that says `replies` with `changes`; `receive_buffer`: bytes."""
    listener = socket.create_server(("127.0.0.1", 0))
    if receive_buffer is not None:  # connections inherit it
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
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
