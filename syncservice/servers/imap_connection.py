"""One connection to an IMAP server (RFC 3501), on imaplib: commands go out, bounded answers come.

imaplib by itself takes answers of any length, keeps what one command brought until a later one
asks, and tells a server's no in sentences of its own. Here an answer has an end in seconds and
bytes, belongs to one command, and is an error of one kind when it isn't OK.
"""

import base64
import contextlib
import imaplib
import io
import re
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from syncservice.domain.faults import FaultError
from syncservice.servers import imap_replies as replies
from syncservice.servers.answers import Answers, AnswerTooLarge
from syncservice.servers.imap_replies import Said, faults_translated
from syncservice.servers.mail_server import MailServer, Security

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_READ_BYTES = 2**16
#: An answer to a command that isn't told otherwise.
ANSWER_BYTES = 2**20
#: Of what is sent in one go: a message that is put into a folder may be large.
_PIECE_BYTES = 2**18
#: A server that doesn't answer LOGOUT by then is left without a word.
_LOGOUT_SECONDS = 5

#: What has more digits is no size; imaplib would stumble over the number.
_ENDLESS_LITERAL = re.compile(rb"\{\d{13,}\}\r\n\Z")
_FETCH_BEGINS = re.compile(rb"\d+ \(")
_ATTRIBUTE = re.compile(
    rb" ?(?P<name>[A-Z0-9.-]+(?:\[[^\]]*\])?) "
    rb'(?P<value>\d{1,20}(?=[ )])|NIL|"(?:[^"\\]|\\.)*"'
    rb'|\((?:[^()"]|"(?:[^"\\]|\\.)*")*\)|\{\d+\})',
    re.IGNORECASE | re.DOTALL,
)

#: What came untagged, by its kind; a tuple is a text that ends in a literal, and the literal.
Told = dict[str, list[bytes | tuple[bytes, bytes]]]


class Connection(imaplib.IMAP4):
    """imaplib's client with a TLS context of ours, and answers that end."""

    def __init__(self, server: MailServer) -> None:
        """Connect, take the greeting and ask what the server can do."""
        self._server = server
        self._seconds: float = server.timeout_seconds
        self._line_bytes, self._literal_bytes = ANSWER_BYTES, 0
        super().__init__(server.host, server.port, server.timeout_seconds)

    def ask(
        self, *words: str | bytes, line_bytes: int = ANSWER_BYTES, literal_bytes: int = 0
    ) -> Told:
        """Give a command and return what came untagged; raise Said when its answer isn't OK.

        `literal_bytes` bounds its literals, together, and `line_bytes` all else: a small line takes
        more memory than a literal does. What came before an error is `untagged_responses` until
        the next command.
        """
        self._line_bytes, self._literal_bytes = line_bytes, literal_bytes
        self._simple_command(*words)
        return self.untagged_responses

    def start_tls(self) -> None:
        """Encrypt from here on; what came in clear behind the answer is never read."""
        self.ask("STARTTLS")
        context = self._server.tls_context()
        self._speak_over(context.wrap_socket(self.sock, server_hostname=self.host))
        self._get_capabilities()  # told in clear, they are anybody's (RFC 3501 section 6.2.1)

    def log_in(self) -> None:
        """Log in; raise Said, with a response code, when the server takes no password here."""
        server = self._server
        if "AUTH=PLAIN" in self.capabilities:  # takes all characters, and LOGIN only ASCII
            # imaplib asks for it when the server is ready to take it.
            self.literal = self._plain  # type: ignore[assignment]
            self.ask("AUTHENTICATE", "PLAIN")
        elif "LOGINDISABLED" in self.capabilities:  # a LOGIN would show it to the network
            raise Said("NO", b"[PRIVACYREQUIRED] LOGINDISABLED")
        else:
            self.ask("LOGIN", quoted(server.username), quoted(server.password))
        self.state = "AUTH"

    def open_folder(self, name: str | bytes, *, for_writing: bool = False) -> Told:
        """Open it and return what was told of it; reading changes nothing there, not a flag."""
        told = self.ask("SELECT" if for_writing else "EXAMINE", name)
        self.state = "SELECTED"
        return told

    def append_to(self, folder: bytes, *words: str, message: bytes) -> None:
        """Put a message into a folder, its flags and its date being `words`."""
        self.literal = message  # type: ignore[assignment] # imaplib sends it when it may
        self.ask("APPEND", folder, *words)

    def hang_up(self) -> None:
        """Say LOGOUT and close, whatever state the connection is in."""
        with contextlib.suppress(OSError, imaplib.IMAP4.error):  # BYE, for one
            self._seconds = min(self._seconds, _LOGOUT_SECONDS)
            self.sock.settimeout(self._seconds)
            self.ask("LOGOUT")
        self.drop()

    def drop(self) -> None:
        """Close without a word."""
        self.shutdown()

    # What imaplib calls.

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        self.host, self.port = host, port
        plain = socket.create_connection((host, port), timeout)
        if self._server.security is Security.TLS:
            plain = self._server.tls_context().wrap_socket(plain, server_hostname=host)
        self._speak_over(plain)

    def readline(self) -> bytes:
        line = self._reader.readline()  # of bounded length, as the whole answer is
        if not line.endswith(b"\n"):
            raise ConnectionResetError("the connection ended within an answer")
        self._line_bytes -= len(line)
        if self._line_bytes < 0 or _ENDLESS_LITERAL.search(line):
            raise AnswerTooLarge("the answer, or a literal in it, is longer than it may be")
        return line

    def read(self, size: int) -> bytes:
        self._literal_bytes -= size
        if self._literal_bytes < 0:  # refused before there is memory taken for it
            raise AnswerTooLarge("a literal is longer than it may be")
        literal = self._reader.read(size)
        if len(literal) < size:
            raise ConnectionResetError("the connection ended within a literal")
        return literal

    def send(self, data: "ReadableBuffer") -> None:
        view = memoryview(data)  # in pieces: the time-out is for each of them
        for start in range(0, len(view), _PIECE_BYTES):
            self.sock.sendall(view[start : start + _PIECE_BYTES])
        self._answers.begin(self._seconds, self._line_bytes + self._literal_bytes + _READ_BYTES)

    def shutdown(self) -> None:
        with contextlib.suppress(OSError):  # closed it is, also when it was lost before
            self.sock.shutdown(socket.SHUT_RDWR)
        self._reader.close()
        self.sock.close()

    def _speak_over(self, connection: socket.socket) -> None:
        self.sock = connection
        self._answers = Answers(connection, self._seconds, ANSWER_BYTES)
        self._reader = io.BufferedReader(self._answers, _READ_BYTES)

    def _command(self, name: str, *words: str | bytes) -> bytes:
        self.untagged_responses = {}  # what another command left is no answer to this one
        tag: bytes = super()._command(name, *words)  # type: ignore[misc]
        return tag

    def _command_complete(self, name: str, tag: bytes) -> tuple[str, list[bytes]]:
        status, words = self._get_tagged_response(tag)
        if status != "OK":
            raise Said(status, words[-1])
        return status, words

    def _append_untagged(self, kind: str, text: bytes | tuple[bytes, bytes] | None) -> None:
        if kind in ("BYE", "PREAUTH"):
            raise Said(kind, text[0] if isinstance(text, tuple) else text or b"")
        super()._append_untagged(kind, text)  # type: ignore[misc]

    def _log(self, line: str) -> None:
        """Keep nothing: imaplib has the last lines at hand, the one with the password too."""

    def _get_capabilities(self) -> None:
        self.capabilities = capabilities(self.ask("CAPABILITY"))

    def _plain(self, challenge: bytes) -> bytes:
        """Return the account as SASL's mechanism PLAIN wants it (RFC 4616)."""
        account = f"\0{self._server.username}\0{self._server.password}"
        return base64.b64encode(account.encode())


def logged_in(server: MailServer) -> Connection:
    """Return a connection that is ready for commands, or raise FaultError."""
    if re.search(r"[\x00-\x1f\x7f]", server.username + server.password):
        raise FaultError(replies.LOGIN.fault())  # it would end the command and begin another
    with faults_translated(server, replies.GREETING):
        connection = Connection(server)
    try:
        if server.security is Security.STARTTLS:
            with faults_translated(server, replies.STARTTLS):
                connection.start_tls()
        with faults_translated(server, replies.LOGIN):
            connection.log_in()
    except BaseException:
        connection.hang_up()
        raise
    return connection


def quoted(text: str) -> bytes:
    """Return a text without line ends as an argument of a command."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'.encode()


def capabilities(told: Told) -> tuple[str, ...]:
    """Return what a server says that it can do, in capitals."""
    texts = [text for text in told.get("CAPABILITY", []) if isinstance(text, bytes)]
    return tuple(b" ".join(texts).decode("latin-1").upper().split())


def attributes(told: Told) -> Iterator[dict[str, bytes]]:
    """Yield what each FETCH in an answer tells of its message, by name in capitals; NIL is nothing.

    Raise imaplib's error for one that isn't as RFC 3501 has it; half a one, at the end, is none.
    """
    text, literals = b"", list[bytes]()
    for part in told.get("FETCH", []):
        if isinstance(part, tuple):
            text += part[0]
            literals.append(part[1])
        else:
            yield _attributes(text + part, literals)
            text, literals = b"", []


def _attributes(text: bytes, literals: list[bytes]) -> dict[str, bytes]:
    begins = _FETCH_BEGINS.match(text)
    place = begins.end() if begins else len(text)
    waiting = iter(literals)
    found: dict[str, bytes] = {}
    while text[place:] != b")":
        match = _ATTRIBUTE.match(text, place)
        value = match["value"] if match else None
        if value is not None and value.startswith(b"{"):
            value = next(waiting, None)
        elif value is not None and value.startswith(b'"'):
            value = re.sub(rb"\\(.)", rb"\1", value[1:-1], flags=re.DOTALL)
        if match is None or value is None:
            raise imaplib.IMAP4.error("a FETCH that can't be read")
        if match["value"].upper() != b"NIL":
            found[match["name"].decode("ascii").upper()] = value
        place = match.end()
    return found
