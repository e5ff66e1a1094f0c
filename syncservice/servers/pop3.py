"""Incoming email over POP3 (RFC 1939, with STLS of RFC 2595), on poplib.

POP3 lists no changes, only everything that lies in the mailbox. So each conversation lists it once
(UIDL for ids, LIST for sizes), and pages are slices of that listing; who asks passes over what is
known. A cursor is a place in the listing of its own conversation: the next one begins anew.

Nothing is deleted here, and no password is sent over a connection that isn't encrypted unless the
profile says so.
"""

import contextlib
import dataclasses
import io
import poplib
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.servers import pop3_replies as replies
from syncservice.servers.answers import Answers
from syncservice.servers.gateway import Fetched, Gone, Listed, NotFetched, Page
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.pop3_replies import Refused, faults_translated

#: A listing of 500,000 messages has half of these; what has more is none.
_LISTING_BYTES = 64 * 2**20
_LISTING_LINES = 1_000_000
#: A message whose size was not told may have so many.
_UNTOLD_BYTES = 64 * 2**20
_READ_BYTES = 2**16
#: A server that doesn't answer QUIT by then is left without a word.
_QUIT_SECONDS = 5

_UIDL_LINE = re.compile(rb"(\d{1,18})[ \t]+([\x21-\x7e\x80-\xff]+)[ \t]*")
_LIST_LINE = re.compile(rb"(\d{1,18})[ \t]+(\d{1,18})(?:[ \t].*)?")
_LOST = "pop3.connection_lost"


class _TooLong(Exception):
    """An answer is longer than it may be, and its rest is still to come."""


class _Connection(poplib.POP3):
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
        self.sock = self.file = None  # type: ignore[assignment] # so that close() finds them
        try:
            self._speak_over(self._create_socket(server.timeout_seconds))
            self.welcome = self._getresp()
        except BaseException:
            self.drop()
            raise

    def _create_socket(self, timeout: float) -> socket.socket:
        plain = socket.create_connection((self.host, self.port), timeout)
        if self._server.security is not Security.TLS:
            return plain
        return self._server.tls_context().wrap_socket(plain, server_hostname=self.host)

    def _speak_over(self, connection: socket.socket) -> None:
        self.sock = connection
        self._answers = Answers(connection, self._seconds, _READ_BYTES)
        self.file = io.BufferedReader(self._answers, _READ_BYTES)

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

    def read(self, command: str, most_bytes: int) -> bytes:
        """Return a multi-line answer without its dots (RFC 1939 section 3), or raise _TooLong."""
        self._shortcmd(command)  # type: ignore[attr-defined] # of poplib
        self._answers.begin(self._seconds, 2 * most_bytes + _READ_BYTES)  # dots are not counted
        answer = bytearray()
        begins_line = True
        while True:
            part = self.file.readline(_READ_BYTES)
            if not part:
                raise ConnectionResetError("the connection ended within an answer")
            if begins_line and part in (b".\r\n", b".\n"):
                return bytes(answer)
            answer += part[1:] if begins_line and part.startswith(b".") else part
            begins_line = part.endswith(b"\n")
            if len(answer) > most_bytes:
                raise _TooLong

    def hang_up(self) -> None:
        """Say QUIT and close, whatever state the connection is in."""
        with contextlib.suppress(OSError, poplib.error_proto):
            self._seconds = min(self._seconds, _QUIT_SECONDS)
            self.sock.settimeout(self._seconds)
            self._shortcmd("QUIT")  # type: ignore[attr-defined] # of poplib
        self.drop()

    def drop(self) -> None:
        """Close without a word."""
        with contextlib.suppress(OSError):  # closed it is, also when it was lost before
            self.close()


class Pop3Incoming:
    """Incoming of `servers.gateway` for one POP3 mailbox; an item's id is its uidl."""

    def __init__(self, server: MailServer, admit: Callable[[], None] = lambda: None) -> None:
        """`admit` is called before each request, and may raise FaultError in its place.

        A request is one round of commands: a login, a listing, or the messages of one `fetch`.
        """
        self.requests = 0
        self._server = server
        self._admit = admit
        self._connection: _Connection | None = None
        self._numbers: dict[str, int] = {}  # by uidl; good for this connection only
        self._listing: tuple[Listed, ...] | None = None  # of the whole conversation
        self._places: dict[str, int] = {}  # by cursor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._hang_up()

    def page(self, cursor: str, limit: int) -> Page:
        if self._listing is None:
            self._open()
        assert self._listing is not None
        start = self._places.get(cursor, 0)  # that of an earlier conversation is unknown
        end = start + limit
        if end >= len(self._listing):
            return Page(self._listing[start:], "", is_last=True)
        self._places[str(end)] = end
        return Page(self._listing[start:end], str(end), is_last=False)

    def fetch(self, items: Sequence[Listed]) -> Iterator[Fetched | NotFetched | Gone]:
        """Yield an answer for each of `items`, the failed ones last.

        What goes wrong with one message is its own trouble when the server gives another, or when
        it stands alone; else it is the server's, and raised.
        """
        if not items:
            return
        self._open()
        self._ask()
        failed: list[tuple[Listed, Fault]] = []
        is_any_given = False
        for item in items:
            answer = self._retrieve(item)
            if isinstance(answer, Fault):
                failed.append((item, answer))
                if not is_any_given and sum(fault.code == _LOST for _, fault in failed) > 1:
                    break  # a server that gives nothing is not asked for fifty messages
                continue
            is_any_given = is_any_given or isinstance(answer, Fetched)
            yield answer
        for item, fault in failed:
            if fault.scope is not Scope.EMAIL:
                if not is_any_given and len(items) > 1:
                    raise FaultError(fault)
                fault = dataclasses.replace(fault, scope=Scope.EMAIL, nature=Nature.TRANSIENT)
            yield NotFetched(item.item_id, item.size, fault)

    def check(self) -> None:
        connection = self._open()
        self._ask()
        try:
            with faults_translated(self._server, replies.LIST):
                connection.noop()
        except FaultError:
            self._connection = None
            connection.drop()
            raise

    def _retrieve(self, item: Listed) -> Fetched | Gone | Fault:
        """Ask for one message, once more when the connection was lost; raise the network's faults.

        A lost connection is returned, not raised: some servers hang up over one bad message.
        """
        answer = self._ask_for(item)
        if isinstance(answer, Fault) and answer.code == _LOST:
            answer = self._ask_for(item)
        if (
            isinstance(answer, Fault)
            and answer.provenance is not Provenance.POP3
            and answer.code != _LOST
        ):
            raise FaultError(answer)
        return answer

    def _ask_for(self, item: Listed) -> Fetched | Gone | Fault:
        connection = self._open()
        number = self._numbers.get(item.item_id)
        if number is None:
            return Gone(item.item_id)
        # Servers count line ends in their own ways, but none is wrong by half.
        most_bytes = 2 * item.size + 2**20 if item.size else _UNTOLD_BYTES
        try:
            with faults_translated(self._server, replies.MESSAGE):
                return Fetched(item.item_id, connection.read(f"RETR {number}", most_bytes), None)
        except Refused as error:
            return error.fault
        except FaultError as error:
            fault = error.fault
        except _TooLong:
            fault = replies.LARGER_THAN_LISTED.fault()
        # The rest of an answer may be on its way: no further command could be told from it.
        connection.drop()
        self._connection = None
        return fault

    def _open(self) -> _Connection:
        """Return a connection that is logged in and has listed its messages."""
        if self._connection is None:
            self._ask()
            self._connection = self._log_in()
            try:
                self._ask()
                self._list(self._connection)
            except BaseException:
                self._hang_up()
                raise
        return self._connection

    def _log_in(self) -> _Connection:
        server = self._server
        if re.search(r"[\x00-\x1f\x7f]", server.username + server.password):
            raise FaultError(replies.LOGIN.fault())  # it would end the command and begin another
        with faults_translated(server, replies.GREETING):
            connection = _Connection(server)
        try:
            if server.security is Security.STARTTLS:
                with faults_translated(server, replies.STLS):
                    connection.start_tls()
            with faults_translated(server, replies.LOGIN):
                connection.user(server.username)
                connection.pass_(server.password)
        except BaseException:
            connection.hang_up()
            raise
        return connection

    def _list(self, connection: _Connection) -> None:
        try:
            with faults_translated(self._server, replies.UIDL):
                uidls = _rows(_UIDL_LINE, connection.read("UIDL", _LISTING_BYTES))
            with faults_translated(self._server, replies.LIST):
                sizes = dict(_rows(_LIST_LINE, connection.read("LIST", _LISTING_BYTES)))
        except _TooLong as error:
            raise FaultError(replies.UNREADABLE.fault()) from error
        # Equal messages may have one uidl (RFC 1939 section 7); either stands for both. Different
        # ones have it at some servers: the size tells those apart, behind a space no uidl has.
        self._numbers = {}
        for number, uidl in uidls:
            item_id, size = uidl.decode("latin-1"), sizes.get(number, b"0")
            other = self._numbers.get(item_id)
            if other is not None and sizes.get(other, b"0") != size:
                item_id = f"{item_id} {int(size)}"
            self._numbers.setdefault(item_id, number)
        if self._listing is None:
            self._listing = tuple(
                Listed(uidl, int(sizes.get(number, b"0"))) for uidl, number in self._numbers.items()
            )

    def _ask(self) -> None:
        self._admit()
        self.requests += 1

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.hang_up()
            self._connection = None


def _rows(line: re.Pattern[bytes], answer: bytes) -> list[tuple[int, bytes]]:
    """Read lines of a message number and its uidl or size; none is passed over: it hides mail."""
    rows = []
    if answer.count(b"\n") > _LISTING_LINES:
        raise FaultError(replies.UNREADABLE.fault())
    for text in answer.splitlines():
        match = line.fullmatch(text)
        if match is None:
            raise FaultError(replies.UNREADABLE.fault())
        rows.append((int(match[1]), match[2]))
    return rows
