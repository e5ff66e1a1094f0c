"""Incoming email over POP3 (RFC 1939, with STLS of RFC 2595 and PIPELINING of RFC 2449), on poplib.

POP3 lists no changes, only everything that lies in the mailbox. So each conversation lists it once
(UIDL for ids, LIST for sizes), and pages are slices of that listing; who asks passes over what is
known. A cursor is a place in the listing of its own conversation: the next one begins anew.

A server that offers PIPELINING is asked for some messages ahead, else a long way to it would cost
a round trip a message. What goes wrong there blames nobody: it is asked for again one by one.

Nothing is deleted but by `delete`, and no password is sent over a connection that isn't encrypted
unless the profile says so.
"""

import dataclasses
import hashlib
import heapq
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from types import TracebackType
from typing import Self

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.domain.message import message_id_in
from syncservice.servers import pop3_replies as replies
from syncservice.servers.gateway import INBOX, Fetched, Gone, Listed, NotDeleted, NotFetched, Page
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.pop3_connection import Connection, TooLong
from syncservice.servers.pop3_replies import Meaning, Refused, faults_translated

#: A listing of 500,000 messages has half of these; what has more is none.
_LISTING_BYTES = 64 * 2**20
_LISTING_LINES = 1_000_000
#: A message whose size was not told may have so many.
_UNTOLD_BYTES = 64 * 2**20
#: So many messages, of so many listed bytes, are asked for ahead. The commands have to fit into the
#: smallest socket buffer: else both sides could write and neither read (RFC 2449 section 6.6).
_AHEAD_MESSAGES = 64
_AHEAD_BYTES = 2**20
#: What is looked for by its Message-ID came a short while ago.
_NEWEST = 1000

_UIDL_LINE = re.compile(rb"(\d{1,18})[ \t]+([\x21-\x7e\x80-\xff]+)[ \t]*")
_LIST_LINE = re.compile(rb"(\d{1,18})[ \t]+(\d{1,18})(?:[ \t].*)?")
_LOST = "pop3.connection_lost"
_GMAIL = ("pop.gmail.com", "pop.googlemail.com")


@dataclasses.dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of a message."""

    command: str  # with a place for the message's number
    refused: Meaning
    usual_bytes: int  # of an answer, at most


_MESSAGE = _Question("RETR {}", replies.MESSAGE, _AHEAD_BYTES)
_HEADER = _Question("TOP {} 0", replies.TOP, 2**14)


class Pop3Incoming:
    """Incoming of `servers.gateway` for one POP3 mailbox; an item's id is its uidl."""

    def __init__(self, server: MailServer, admit: Callable[[], None] = lambda: None) -> None:
        """`admit` is called before each request, and may raise FaultError in its place.

        A request is one round of commands: a login, a listing, or the messages of one `fetch`.
        """
        self.requests = 0
        self._server = server
        self._admit = admit
        self._connection: Connection | None = None
        # These three are good for this connection only, the next one numbers anew.
        self._numbers: dict[str, int] = {}  # by item id
        self._twins: dict[str, list[int]] = {}  # numbers of further messages with its uidl and size
        self._here: tuple[Listed, ...] = ()
        self._listing: tuple[Listed, ...] | None = None  # of the whole conversation: its first
        self._places: dict[str, int] = {}  # by cursor
        self._one_by_one = False  # asking ahead went wrong in this conversation

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._hang_up()
        else:  # at QUIT some servers delete what was fetched (EXPIRE 0, RFC 2449 section 6.7)
            self._drop()

    def page(self, cursor: str, limit: int, folder: str = INBOX) -> Page:
        if folder != INBOX:
            return Page((), "", is_last=True)  # POP3 shows no other
        if self._listing is None:
            self._open()
        assert self._listing is not None
        start = self._places.get(cursor, 0)  # that of an earlier conversation is unknown
        end = start + limit
        if end >= len(self._listing):
            return Page(self._listing[start:], "", is_last=True, is_of_listing=True)
        self._places[str(end)] = end
        return Page(self._listing[start:end], str(end), is_last=False, is_of_listing=True)

    def fetch(self, items: Sequence[Listed]) -> Iterator[Fetched | NotFetched | Gone]:
        """Yield an answer for each of `items`, the failed ones last.

        What goes wrong with one message is its own trouble when the server gives another, or when
        it stands alone; else it is the server's, and raised. What a server says of itself is
        raised also over a lone message, and is never a message's own.
        """
        if not items:
            return
        self._open()
        self._ask()
        failed: list[tuple[Listed, Fault]] = []
        is_any_given = False
        for item, answer in self._ask_all(items, _MESSAGE):
            if isinstance(answer, Fault):
                failed.append((item, answer))
                if not is_any_given and sum(fault.code == _LOST for _, fault in failed) > 1:
                    break  # a server that gives nothing is not asked for fifty messages
                if not is_any_given and answer.nature is Nature.THROTTLED:
                    raise FaultError(answer)
                continue
            is_any_given = is_any_given or isinstance(answer, Fetched)
            yield answer
        for item, fault in failed:
            if fault.scope is not Scope.EMAIL:
                is_of_server = fault.code in replies.CODED
                if not is_any_given and (is_of_server or len(items) > 1):
                    raise FaultError(fault)
                scope = fault.scope if is_of_server else Scope.EMAIL
                fault = dataclasses.replace(fault, scope=scope, nature=Nature.TRANSIENT)
            yield NotFetched(item.item_id, item.size, fault)

    def check(self) -> None:
        connection = self._open()
        self._ask()
        try:
            with faults_translated(self._server, replies.LIST):
                connection.noop()
        except FaultError:
            self._drop()
            raise

    def find(self, message_id: str) -> tuple[Listed, ...]:
        """As `Incoming.find`, among the newest thousand messages, the newest first."""
        if not message_id:
            return ()  # else it were every message that has none
        self._open()
        self._ask()
        newest = heapq.nlargest(_NEWEST, self._here, key=lambda item: self._numbers[item.item_id])
        found: list[Listed] = []
        answered, faults = 0, list[Fault]()
        for item, answer in self._ask_all(newest, _HEADER):
            if isinstance(answer, Fault):
                faults.append(answer)
                if len(faults) > 1 + answered // 10:
                    raise FaultError(answer)  # more than a bad message now and then
            elif isinstance(answer, Fetched):
                answered += 1
                if message_id_in(answer.mime) == message_id:
                    found.append(item)
        if faults and not answered:
            raise FaultError(faults[0])
        return tuple(found)

    def delete(self, item_ids: Sequence[str]) -> None:
        """As `Incoming.delete`. What the server refuses keeps no other.

        A server deletes at QUIT and not before (RFC 1939 section 6), so the connection ends here,
        and one that is lost earlier has deleted nothing. Some servers allow no login soon after
        another: delete last in a conversation.
        """
        if not item_ids:
            return
        connection = self._open()
        self._ask()
        numbers = self._numbers_to_delete(connection, item_ids)
        if not numbers:
            return
        self._connection = None  # so that nobody says QUIT after half of it
        goes_ahead = connection.pipelines and not self._one_by_one and len(numbers) > 1
        try:
            with faults_translated(self._server, replies.DELETION):
                refused = self._mark(connection, numbers, _AHEAD_MESSAGES if goes_ahead else 1)
        except FaultError as error:
            connection.drop()
            if not goes_ahead or _is_networks(error.fault):
                raise
            self._one_by_one = True
            self.delete(item_ids)
            return
        except BaseException:
            connection.drop()
            raise
        try:
            with faults_translated(self._server, replies.DELETION):
                connection.end()
        except Refused as error:
            raise NotDeleted(error.fault, item_ids) from error  # which of them, it doesn't say
        if refused:
            kept = [one for one in item_ids if not refused.keys().isdisjoint(self._alike(one))]
            raise NotDeleted(next(iter(refused.values())), kept)

    def _numbers_to_delete(self, connection: Connection, item_ids: Sequence[str]) -> list[int]:
        """Return the numbers that these messages have now, and twins of theirs, lest they come up.

        Twins are copies by the rules, but not at every server: those that differ are left alone,
        for nobody knows which of them was meant. So is a number that goes by several names.
        """
        names = Counter(chain(self._numbers.values(), *self._twins.values()))
        numbers: list[int] = []
        for item_id in dict.fromkeys(item_ids):
            alike = self._alike(item_id)
            if any(names[number] > 1 for number in alike):
                continue
            if len(alike) < 2 or self._are_equal(connection, alike):
                numbers += alike
        return numbers

    def _alike(self, item_id: str) -> list[int]:
        """Return the numbers of the messages with this id; none: there is no such message."""
        numbers = [self._numbers[item_id]] if item_id in self._numbers else []
        return [*numbers, *self._twins.get(item_id, ())]

    def _are_equal(self, connection: Connection, numbers: Sequence[int]) -> bool:
        digests = set[bytes]()
        try:
            with faults_translated(self._server, replies.DELETION):
                for number in numbers:
                    message = connection.read(f"RETR {number}", _UNTOLD_BYTES)
                    digests.add(hashlib.sha256(message).digest())
        except Refused:
            return False
        except TooLong as error:
            self._drop()
            raise FaultError(replies.DELETION.fault()) from error
        except BaseException:
            self._drop()
            raise
        return len(digests) == 1

    def _mark(
        self, connection: Connection, numbers: Sequence[int], at_once: int
    ) -> dict[int, Fault]:
        """Say which messages shall be deleted at QUIT; return those that it refused, and why."""
        refused: dict[int, Fault] = {}
        for start in range(0, len(numbers), at_once):
            some = numbers[start : start + at_once]
            connection.send(*(f"DELE {number}" for number in some))
            for number in some:
                try:
                    with faults_translated(self._server, replies.DELETION):
                        connection.confirm()
                except Refused as error:
                    refused[number] = error.fault
        return refused

    def _ask_all(
        self, items: Sequence[Listed], question: _Question
    ) -> Iterator[tuple[Listed, Fetched | Gone | Fault]]:
        waiting = deque(items)
        if len(items) > 1 and not self._one_by_one and self._open().pipelines:
            yield from self._ask_all_ahead(waiting, question)
        for item in waiting:
            yield item, self._ask_twice(item, question)

    def _ask_all_ahead(
        self, waiting: deque[Listed], question: _Question
    ) -> Iterator[tuple[Listed, Fetched | Gone | Fault]]:
        """Ask for some messages ahead, and take from `waiting` what is answered.

        What is left there has to be asked for one by one: the connection ended, or an answer was
        none, and with more than one command under way nobody can say which of them did it. A
        server that closes may even take back answers that it gave before.
        """
        connection = self._open()
        ahead = deque[Listed]()  # asked for; the first ones of `waiting`
        while waiting:
            item = waiting[0]
            if connection is not self._connection or connection.unanswered != len(ahead):
                return  # another request came between; the answers on their way are its own
            if item.item_id not in self._numbers:
                waiting.popleft()
                yield item, Gone(item.item_id)
                continue
            try:
                with faults_translated(self._server, question.refused):
                    self._send_ahead(connection, ahead, waiting, question)
                    mime = connection.receive(_most_bytes(item))
                answer: Fetched | Fault = Fetched(item.item_id, mime, None)
            except Refused as error:
                answer = error.fault
            except (FaultError, TooLong) as error:
                self._drop()
                self._one_by_one = True
                if isinstance(error, FaultError) and _is_networks(error.fault):
                    raise
                return
            waiting.popleft()
            ahead.popleft()
            yield item, answer

    def _send_ahead(
        self,
        connection: Connection,
        ahead: deque[Listed],
        waiting: deque[Listed],
        question: _Question,
    ) -> None:
        """Ask about the next of `waiting`, some at once, when little is ahead."""

        def expected_bytes(item: Listed) -> int:
            return min(item.size or _AHEAD_BYTES, question.usual_bytes)

        ahead_bytes = sum(map(expected_bytes, ahead))
        if len(ahead) > _AHEAD_MESSAGES // 2 or ahead_bytes > _AHEAD_BYTES // 2:
            return
        commands = []
        for item in islice(waiting, len(ahead), _AHEAD_MESSAGES):
            number = self._numbers.get(item.item_id)
            ahead_bytes += expected_bytes(item)
            if number is None or (ahead and ahead_bytes > _AHEAD_BYTES):
                break
            ahead.append(item)
            commands.append(question.command.format(number))
        if commands:
            connection.send(*commands)

    def _ask_twice(self, item: Listed, question: _Question) -> Fetched | Gone | Fault:
        """Ask about one message, again when the connection was lost; raise the network's faults.

        A lost connection is returned, not raised: some servers hang up over one bad message.
        """
        answer = self._ask_about(item, question)
        if isinstance(answer, Fault) and answer.code == _LOST:
            answer = self._ask_about(item, question)
        if isinstance(answer, Fault) and _is_networks(answer):
            raise FaultError(answer)
        return answer

    def _ask_about(self, item: Listed, question: _Question) -> Fetched | Gone | Fault:
        connection = self._open()
        number = self._numbers.get(item.item_id)
        if number is None:
            return Gone(item.item_id)
        try:
            with faults_translated(self._server, question.refused):
                mime = connection.read(question.command.format(number), _most_bytes(item))
                return Fetched(item.item_id, mime, None)
        except Refused as error:
            return error.fault
        except FaultError as error:
            fault = error.fault
        except TooLong:
            fault = replies.LARGER_THAN_LISTED.fault()
        # The rest of an answer may be on its way: no further command could be told from it.
        self._drop()
        return fault

    def _open(self) -> Connection:
        """Return a connection that is logged in and has listed its messages."""
        if self._connection is not None and self._connection.unanswered:
            self._drop()  # nobody read a `fetch` to its end; its answers are no others'
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

    def _log_in(self) -> Connection:
        server = self._server
        if re.search(r"[\x00-\x1f\x7f]", server.username + server.password):
            raise FaultError(replies.LOGIN.fault())  # it would end the command and begin another
        with faults_translated(server, replies.GREETING):
            connection = Connection(server)
        try:
            if server.security is Security.STARTTLS:
                with faults_translated(server, replies.STLS):
                    connection.start_tls()
            with faults_translated(server, replies.UNREADABLE):
                connection.learn_capabilities()
            with faults_translated(server, replies.LOGIN):
                connection.user(login_name(server.host, server.username))
                connection.pass_(server.password)
        except TooLong as error:
            connection.drop()
            raise FaultError(replies.UNREADABLE.fault()) from error
        except BaseException:
            connection.hang_up()
            raise
        return connection

    def _list(self, connection: Connection) -> None:
        refused = replies.UIDL if connection.lacks_uidl else replies.LIST
        try:
            with faults_translated(self._server, refused):
                connection.send(*("UIDL", "LIST") if connection.pipelines else ("UIDL",))
                uidls = _rows(_UIDL_LINE, connection.receive(_LISTING_BYTES))
            with faults_translated(self._server, replies.LIST):
                if not connection.pipelines:
                    connection.send("LIST")
                sizes = _rows(_LIST_LINE, connection.receive(_LISTING_BYTES))
        except TooLong as error:
            raise FaultError(replies.UNREADABLE.fault()) from error
        self._number({number: int(size) for number, size in sizes}, uidls)
        if self._listing is None:
            self._listing = self._here

    def _number(self, sizes: Mapping[int, int], uidls: Sequence[tuple[int, bytes]]) -> None:
        """Learn which number each message has.

        Equal messages may have one uidl (RFC 1939 section 7); any stands for all. Different ones
        have it at some servers: the size tells those apart, all of them, behind a space no uidl
        has. So an id never passes from one message on to another that is left of them.
        """
        first_size: dict[bytes, int] = {}
        ambiguous = {
            uidl
            for number, uidl in uidls
            if first_size.setdefault(uidl, sizes.get(number, 0)) != sizes.get(number, 0)
        }
        self._numbers, self._twins = {}, {}
        here: list[Listed] = []
        for number, uidl in uidls:
            size = sizes.get(number, 0)
            item_id = uidl.decode("latin-1") + (f" {size}" if uidl in ambiguous else "")
            if item_id not in self._numbers:
                self._numbers[item_id] = number
                here.append(Listed(item_id, size))
            elif self._numbers[item_id] != number:
                self._twins.setdefault(item_id, []).append(number)
        self._here = tuple(here)

    def _ask(self) -> None:
        self._admit()
        self.requests += 1

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.hang_up()
            self._connection = None

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.drop()
            self._connection = None


def login_name(host: str, username: str) -> str:
    """Return the name to log in with.

    Gmail shows a mail to one POP3 client only, the first, unless the name begins with "recent:":
    then it lists those of the last 30 days to each.
    """
    is_gmail = host.lower().rstrip(".") in _GMAIL
    return f"recent:{username}" if is_gmail and not username.startswith("recent:") else username


def _most_bytes(item: Listed) -> int:
    """Servers count line ends in their own ways, but none is wrong by half."""
    return 2 * item.size + 2**20 if item.size else _UNTOLD_BYTES


def _is_networks(fault: Fault) -> bool:
    """Whether it would meet the next message too; some servers hang up over a single one."""
    return fault.provenance is not Provenance.POP3 and fault.code != _LOST


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
