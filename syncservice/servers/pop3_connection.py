"""A connection to a POP3 server (RFC 1939, with STLS of RFC 2595), on poplib.

It speaks, and understands where an answer ends; what an answer means is nothing to it. What goes
wrong comes as poplib and the network raise it, and as TooLong.
"""

import contextlib
import io
import poplib
import socket

from syncservice.servers.answers import Answers
from syncservice.servers.mail_server import MailServer, Security

_READ_BYTES = 2**16
#: A server that doesn't answer QUIT by then is left without a word.
_QUIT_SECONDS = 5


class TooLong(Exception):
    """An answer is longer than it may be, and its rest is still to come."""


class Connection(poplib.POP3):
    """poplib's client, with a TLS context of ours and a reader that mail can't upset.

    poplib's own refuses lines of more than 2048 bytes, which real mail has, strips their ends, and
    takes answers of any length.
    """

    def __init__(self, server: MailServer) -> None:
        # poplib's own would read the greeting through a file of its own.
        self.host, self.port = server.host, server.port
        self._server = server
        self._seconds: float = server.timeout_seconds
        self._debugging = 0
        self.unanswered = 0  # commands sent ahead, whose answers are still to be received
        self.pipelines = False  # until it says so
        self.lacks_uidl = False  # until it says what it can do, and that is not among it
        self.sock = self.file = None  # type: ignore[assignment] # so that close() finds them
        try:
            self._speak_over(self._create_socket(server.timeout_seconds))
            self.welcome = self._getresp()
        except BaseException:
            self.drop()
            raise

    def _create_socket(self, timeout: float) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), timeout)
        # Commands ahead are small and must not wait until those before them are acknowledged.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._server.security is not Security.TLS:
            return plain
        return self._server.tls_context().wrap_socket(plain, server_hostname=self.host)

    def _speak_over(self, connection: socket.socket) -> None:
        self.sock = connection
        self._answers = Answers(connection, self._seconds, _READ_BYTES)
        self.file = self._reader = io.BufferedReader(self._answers, _READ_BYTES)

    def _getresp(self) -> bytes:
        self._answers.begin(self._seconds, 2 * _READ_BYTES)  # poplib bounds a line by itself
        reply: bytes = super()._getresp()  # type: ignore[misc] # of poplib
        return reply

    def start_tls(self) -> None:
        """Encrypt from here on; what came in clear behind the answer is never read (RFC 2595)."""
        # poplib's stls() takes a connection that is lost meanwhile for a server without STLS.
        self._shortcmd("STLS")  # type: ignore[attr-defined] # of poplib
        context = self._server.tls_context()
        self._speak_over(context.wrap_socket(self.sock, server_hostname=self.host))

    def learn_capabilities(self) -> None:
        """Ask what the server can do. What one said before TLS may have been anybody's words."""
        try:
            answer = self.read("CAPA", _READ_BYTES)
        except poplib.error_proto as error:
            reply = error.args[0]  # text, not bytes, when the words are poplib's own
            if isinstance(reply, bytes) and reply.upper().startswith(b"-ERR"):
                return  # RFC 1939 doesn't know the command
            raise
        words = [line.split() for line in answer.upper().splitlines()]
        self.pipelines = [b"PIPELINING"] in words
        self.lacks_uidl = [b"UIDL"] not in words

    def read(self, command: str, most_bytes: int) -> bytes:
        """Ask, and return the answer as `receive` does."""
        self.send(command)
        return self.receive(most_bytes)

    def send(self, *commands: str) -> None:
        """Send commands at once; each answer has to be received or confirmed, in their order."""
        self.unanswered += len(commands)
        # poplib's own way sends one command, and newer ones refuse line ends in it.
        self.sock.sendall("".join(f"{command}\r\n" for command in commands).encode())

    def confirm(self) -> None:
        """Return when the next answer is +OK, or raise what it is."""
        self.unanswered -= 1
        self._getresp()
        self._expect_no_more()

    def receive(self, most_bytes: int) -> bytes:
        """Return a multi-line answer without its dots (RFC 1939 section 3), or raise TooLong.

        Only CRLF ends a line: what a mail has between bare line feeds is a stranger's text, and
        must not end the answer.
        """
        self.unanswered -= 1
        self._getresp()
        self._answers.begin(self._seconds, 2 * most_bytes + _READ_BYTES)  # dots are not counted
        answer = bytearray()
        begins_line = True
        while True:
            part = self.file.readline(_READ_BYTES)
            if not part:
                raise ConnectionResetError("the connection ended within an answer")
            if begins_line and part == b".\r\n":
                self._expect_no_more()
                return bytes(answer)
            answer += part[1:] if begins_line and part.startswith(b".") else part
            begins_line = answer.endswith(b"\r\n")
            if len(answer) > most_bytes:
                raise TooLong

    def _expect_no_more(self) -> None:
        """Raise poplib's error when more has come than was asked for: no later answer is sure."""
        if self.unanswered:
            return
        self._answers.begin(0, 0)  # nothing is waited for
        with contextlib.suppress(TimeoutError):
            if self._reader.peek(1):
                raise poplib.error_proto("more came than was asked for")

    def end(self) -> None:
        """Say QUIT and close, or raise what it says when it isn't +OK; it is closed all the same.

        Only behind that +OK is deleted what was marked (RFC 1939 section 6).
        """
        try:
            self._shortcmd("QUIT")  # type: ignore[attr-defined] # of poplib
        finally:
            self.drop()

    def hang_up(self) -> None:
        """Say QUIT and close, whatever state the connection is in."""
        if self.unanswered:  # its own answer would come behind theirs
            self.drop()
            return
        with contextlib.suppress(OSError, poplib.error_proto):
            self._seconds = min(self._seconds, _QUIT_SECONDS)
            self.sock.settimeout(self._seconds)
            self._shortcmd("QUIT")  # type: ignore[attr-defined] # of poplib
        self.drop()

    def drop(self) -> None:
        """Close without a word."""
        with contextlib.suppress(OSError):  # closed it is, also when it was lost before
            self.close()
