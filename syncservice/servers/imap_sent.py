"""The folder of sent email in an IMAP mailbox: what was sent is looked up there, and kept there.

It is the one that the server marks as such (SPECIAL-USE, RFC 6154), else one that goes by a usual
name. Where there is none, none is made: it would be one that no other program knows.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime
from imaplib import Time2Internaldate
from types import TracebackType
from typing import Self

from syncservice.servers.imap_connection import Connection, Told, capabilities, logged_in, quoted
from syncservice.servers.imap_replies import SENT_ITEMS, Refused, faults_translated
from syncservice.servers.mail_server import MailServer

#: As programs call it, without "INBOX." before it; the first that there is.
_NAMES = ("sent", "sent items", "sent messages")
#: The names of 100,000 folders.
_LIST_BYTES = 8 * 2**20
_LISTED = re.compile(
    rb'\((?P<marks>[^()]*)\) (?:"\\?(?P<separator>.)"|NIL) '
    rb'(?P<name>"(?:[^"\\]|\\.)*"|[^ "(){%*\\]+|\{\d+\})',
    re.DOTALL,
)


class ImapSentItems:
    """SentItems of `servers.smtp` for one IMAP mailbox; a connection is made when one is needed."""

    def __init__(self, server: MailServer, admit: Callable[[], None] = lambda: None) -> None:
        """`admit` is called before each request, and may raise FaultError in its place.

        A request is one command; a login is one, with all that is said for it.
        """
        self.requests = 0
        self._server = server
        self._admit = admit
        self._connection: Connection | None = None
        self._folder: bytes | None = None  # as commands name it; b"": there is none; None: not seen

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            self._connection.hang_up()
            self._connection = None

    def holds(self, message_id: str) -> bool:
        folder = self._sent_folder()
        if not folder or not (message_id.isascii() and message_id.isprintable()):
            return False
        # Opened anew each time: what is open may hide what came since.
        self._told(lambda connection: connection.open_folder(folder))
        search = ("UID", "SEARCH", "HEADER", "Message-ID", quoted(message_id))
        told = self._told(lambda connection: connection.ask(*search))
        return any(told.get("SEARCH", []))

    def add(self, mime: bytes) -> None:
        folder = self._sent_folder()
        if folder:
            text = re.sub(rb"\r\n|\r|\n", b"\r\n", mime)
            words = (r"(\Seen)", *_internal_date(mime))
            self._told(lambda connection: connection.append_to(folder, *words, message=text))

    def _sent_folder(self) -> bytes:
        if self._folder is None:
            # More is told after the login, and marks only to who asks for them.
            known = capabilities(self._told(lambda connection: connection.ask("CAPABILITY")))
            asks = {"SPECIAL-USE", "LIST-EXTENDED"} <= {*known}
            words = ("LIST", '""', '"*"', *(["RETURN", "(SPECIAL-USE)"] if asks else []))
            most = {"line_bytes": _LIST_BYTES, "literal_bytes": _LIST_BYTES}
            told = self._told(lambda connection: connection.ask(*words, **most))
            self._folder = _folder_of_sent(told)
        return self._folder

    def _told(self, ask: Callable[[Connection], Told | None]) -> Told:
        """Give a command and return what was told; a spoilt connection is dropped."""
        if self._connection is None:
            self._ask()
            self._connection = logged_in(self._server)
        self._ask()
        try:
            with faults_translated(self._server, SENT_ITEMS):
                return ask(self._connection) or {}
        except Refused:
            raise
        except BaseException:
            self._connection.drop()
            self._connection = None
            raise

    def _ask(self) -> None:
        self._admit()
        self.requests += 1


def _folder_of_sent(told: Told) -> bytes:
    """Return the folder of sent email in an answer to LIST, quoted; b"": there is none."""
    by_name: dict[str, str] = {}
    for marks, name, plain in _folders(told):
        if marks & {r"\noselect", r"\nonexistent"}:
            continue
        if r"\sent" in marks:
            return quoted(name)
        by_name.setdefault(plain.casefold(), name)
    return next((quoted(by_name[name]) for name in _NAMES if name in by_name), b"")


def _folders(told: Told) -> Iterator[tuple[set[str], str, str]]:
    """Yield each folder's marks, its name, and its name below the Inbox; skip unreadable ones."""
    for row in told.get("LIST", []):
        text, literal = row if isinstance(row, tuple) else (row, None)
        match = _LISTED.match(text)
        if match is None:
            continue  # what follows a literal, for one
        raw = match["name"] if literal is None else literal
        if raw.startswith(b'"') and literal is None:
            raw = re.sub(rb"\\(.)", rb"\1", raw[1:-1], flags=re.DOTALL)
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            continue
        if not name.isprintable():
            continue  # no command could name it
        above = f"INBOX{(match['separator'] or b'').decode('latin-1')}"
        is_below = match["separator"] and name.upper().startswith(above)
        marks = {*match["marks"].decode("latin-1").lower().split()}
        yield marks, name, name[len(above) :] if is_below else name


def _internal_date(mime: bytes) -> tuple[str, ...]:
    """Return a message's date as APPEND takes it; nothing: it has none to read."""
    try:
        moment = parsedate_to_datetime(BytesHeaderParser().parsebytes(mime)["Date"])
        return (Time2Internaldate(moment if moment.tzinfo else moment.replace(tzinfo=UTC)),)
    except (ValueError, TypeError, IndexError, OverflowError):
        return ()
