"""Incoming email over IMAP4rev1 (RFC 3501; UIDPLUS, RFC 4315, where the server has it).

Only the Inbox is read. Its messages have UIDs that rise, and a UIDVALIDITY that changes when they
are given anew: an item's id is both, so that it never means another message, and a cursor is both
for the last message that was listed.

Reading leaves no trace, not even that a message was seen. No password is sent over a connection
that isn't encrypted unless the profile says so.
"""

import contextlib
import dataclasses
import re
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.domain.message import FIRST_YEAR, LAST_YEAR, message_id_in
from syncservice.servers import imap_replies as replies
from syncservice.servers.gateway import INBOX, Fetched, Gone, Listed, NotDeleted, NotFetched, Page
from syncservice.servers.imap_connection import (
    ANSWER_BYTES,
    Connection,
    Told,
    attributes,
    capabilities,
    logged_in,
    quoted,
)
from syncservice.servers.imap_replies import GoneMeanwhile, Meaning, Refused, faults_translated
from syncservice.servers.mail_server import MailServer

#: The numbers of 1,000,000 messages; an Inbox that has more is none.
_SEARCH_BYTES = 16 * 2**20
_SEARCH_NUMBERS = 1_000_000
#: A message whose size was not told may have so many.
_UNTOLD_BYTES = 64 * 2**20
#: UIDs in one command: some servers take lines of 8,000 bytes, and not more.
_UIDS = 500
_MOST_UID = 2**32 - 1

_FACTS = "(UID RFC822.SIZE INTERNALDATE)"
_NUMBER = re.compile(rb"[1-9]\d{0,9}")
_ITEM_ID = re.compile(r"(\d{1,10})\.(\d{1,10})")
_CURSOR = re.compile(r"(\d{1,10}):(\d{1,10})")


class ImapIncoming:
    """Incoming of `servers.gateway` for the Inbox of one IMAP mailbox."""

    def __init__(self, server: MailServer, admit: Callable[[], None] = lambda: None) -> None:
        """`admit` is called before each request, and may raise FaultError in its place.

        A request is one command; a login is one, with all that is said for it.
        """
        self.requests = 0
        self._server = server
        self._admit = admit
        self._connection: Connection | None = None
        self._is_writable: bool | None = None  # the Inbox, as it was opened; None: it was not
        self._uid_validity = 0  # 0: not told yet
        self._reached = 0  # UID at the end of the last page
        self._left = array("L")  # the UIDs behind it, as a search told them

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._hang_up()

    def page(self, cursor: str, limit: int, folder: str = INBOX) -> Page:
        """Return messages behind `cursor`; of a folder other than the Inbox, none."""
        if folder != INBOX:
            return Page((), cursor, is_last=True)
        self._open()
        behind = self._uid_behind(cursor)
        left = self._left if behind == self._reached else array("L")
        if not left:
            # "n:*" is never empty: when nothing is behind n, it is the last message before it.
            found = self._search("UID", f"{min(behind + 1, _MOST_UID)}:*")
            left = array("L", sorted(uid for uid in found if uid > behind))
        uids = left[:limit]
        items = self._list(uids)
        self._reached, self._left = (uids[-1] if uids else behind), left[limit:]
        return Page(items, f"{self._uid_validity}:{self._reached}", is_last=not self._left)

    def fetch(self, items: Sequence[Listed]) -> Iterator[Fetched | NotFetched | Gone]:
        """Yield an answer for each of `items`, the failed ones last.

        They are asked for together; when that fails, those without an answer are asked for one by
        one. What goes wrong with one message is its own trouble when the server gives another, or
        when it stands alone; else it is the server's, and raised. What a server says of itself is
        raised also over a lone message, and is never a message's own.
        """
        if not items:
            return
        failed: list[tuple[Listed, Fault]] = []
        is_any_given = False
        waiting = deque([list(items)])
        may_ask_again = True
        while waiting:
            asked = waiting.popleft()
            answers, fault = self._ask_for(asked)
            yield from answers
            is_any_given = is_any_given or any(isinstance(one, Fetched) for one in answers)
            if fault is not None:
                answered = {answer.item_id for answer in answers}
                missing = [item for item in asked if item.item_id not in answered]
                if may_ask_again and (len(asked) > 1 or fault.code in replies.LOST):
                    waiting.extend([item] for item in missing)
                else:
                    failed += [(item, fault) for item in missing]
                if not is_any_given and sum(one.code in replies.LOST for _, one in failed) > 1:
                    break  # a server that gives nothing is not asked for fifty messages
                if not is_any_given and fault.nature is Nature.THROTTLED:
                    raise FaultError(fault)
            may_ask_again = False
        for item, fault in failed:
            if fault.scope is not Scope.EMAIL:
                is_of_server = fault.code in replies.CODED
                if not is_any_given and (is_of_server or len(items) > 1):
                    raise FaultError(fault)
                scope = fault.scope if is_of_server else Scope.EMAIL
                fault = dataclasses.replace(fault, scope=scope, nature=Nature.TRANSIENT)
            yield NotFetched(item.item_id, item.size, fault)

    def check(self) -> None:
        self._told(replies.INBOX, "NOOP")

    def find(self, message_id: str) -> tuple[Listed, ...]:
        if not (message_id.isascii() and message_id.isprintable()):
            return ()  # no search can be told of such a one
        if not re.fullmatch("<.+>", message_id):
            return ()
        found = self._search("HEADER", "Message-ID", quoted(message_id))
        wanted = message_id_in(b"Message-ID: %s\r\n\r\n" % message_id.encode())
        return self._list(sorted(self._called(wanted, found)))

    def _called(self, message_id: str, uids: Iterable[int]) -> Iterator[int]:
        """Yield those of `uids` with this Message-ID; a search finds what holds it in any case."""
        for some in _uid_sets(sorted(uids)):
            told = self._told(
                replies.LIST,
                *("UID", "FETCH", some, "(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"),
                literal_bytes=ANSWER_BYTES,
            )
            for uid, facts in self._by_uid(told).items():
                headers = (text for name, text in facts.items() if name.startswith("BODY["))
                if message_id_in(next(headers, b"")) == message_id:
                    yield uid

    def delete(self, item_ids: Sequence[str]) -> None:
        """Delete items for good, and nothing else that is marked as deleted.

        Without UIDPLUS a server deletes all that is marked. When another program has marked some,
        nothing is deleted and NotDeleted raised.
        """
        if not item_ids:
            return
        try:
            self._delete(item_ids)
        except FaultError as error:
            fault = error.fault
            is_refused = isinstance(error, Refused) and not fault.of_login
            if is_refused and fault.nature is Nature.PERMANENT:  # of deleting: it has been read
                fault = dataclasses.replace(fault, scope=Scope.EMAIL)
            if fault.scope is not Scope.EMAIL:
                raise
            raise NotDeleted(fault, item_ids) from error

    def _delete(self, item_ids: Sequence[str]) -> None:
        self._open(for_writing=True)
        uids = sorted({uid for item_id in item_ids if (uid := self._uid_of(item_id))})
        if not uids:
            return
        told = self._told(replies.DELETE, "CAPABILITY", for_writing=True)  # more than before login
        self._mark(uids, "+FLAGS.SILENT")
        if "UIDPLUS" in capabilities(told):
            for some in _uid_sets(uids):
                self._told(replies.DELETE, "UID", "EXPUNGE", some, for_writing=True)
            return
        if self._search("DELETED", for_writing=True).difference(uids):
            self._mark(uids, "-FLAGS.SILENT")
            raise FaultError(replies.OTHERS_DELETED.fault())
        self._told(replies.DELETE, "EXPUNGE", for_writing=True)

    def _mark(self, uids: Sequence[int], how: str) -> None:
        for some in _uid_sets(uids):
            words = ("UID", "STORE", some, how, r"(\Deleted)")
            self._told(replies.DELETE, *words, for_writing=True)

    def _search(self, *criteria: str | bytes, for_writing: bool = False) -> set[int]:
        told = self._told(
            replies.LIST,
            *("UID", "SEARCH", *criteria),
            for_writing=for_writing,
            line_bytes=_SEARCH_BYTES,
        )
        found: set[int] = set()
        for numbers in told.get("SEARCH", []):
            if not isinstance(numbers, bytes) or numbers.count(b" ") > _SEARCH_NUMBERS:
                raise FaultError(replies.UNREADABLE.fault())
            found.update(_number(number) for number in numbers.split())
        return found

    def _list(self, uids: Sequence[int]) -> tuple[Listed, ...]:
        """Return messages with their sizes and times, as far as the server tells them.

        One of which it tells nothing is listed all the same: who fetches it learns what became of
        it, and nothing is hidden.
        """
        known: dict[int, dict[str, bytes]] = {}
        for some in _uid_sets(uids):
            known |= self._by_uid(self._told(replies.LIST, "UID", "FETCH", some, _FACTS))
        return tuple(
            Listed(self._item_id(uid), _size(known.get(uid, {})), _received_at(known.get(uid, {})))
            for uid in uids
        )

    def _ask_for(
        self, items: Sequence[Listed]
    ) -> tuple[list[Fetched | NotFetched | Gone], Fault | None]:
        """Ask for messages; return the answers, and why some have none.

        Raise the network's faults, but a lost connection: servers hang up over a bad message.
        """
        connection = self._open()
        wanted = {uid: item for item in items if (uid := self._uid_of(item.item_id))}
        answers: list[Fetched | NotFetched | Gone] = [
            Gone(item.item_id) for item in items if self._uid_of(item.item_id) not in wanted
        ]
        if not wanted:
            return answers, None
        self._ask()
        given, fault = self._bodies(connection, wanted)
        answers += given.values()
        missing = sorted(wanted.keys() - given.keys())
        if missing and fault is None:
            found = self._search("UID", _uid_set(missing))
            answers += [Gone(wanted[uid].item_id) for uid in missing if uid not in found]
            fault = None if found.isdisjoint(missing) else replies.MESSAGE.fault()
        return answers, fault

    def _bodies(
        self, connection: Connection, wanted: Mapping[int, Listed]
    ) -> tuple[dict[int, Fetched], Fault | None]:
        """Return the messages that came by their UIDs, and why no more did; None: it was all."""
        # Servers count line ends in their own ways, but none is wrong by half.
        most = {uid: 2 * i.size + 2**20 if i.size else _UNTOLD_BYTES for uid, i in wanted.items()}
        fault: Fault | None = None
        try:
            self._say(
                connection,
                replies.MESSAGE,
                *("UID", "FETCH", _uid_set(sorted(wanted)), "(UID INTERNALDATE BODY.PEEK[])"),
                literal_bytes=sum(most.values()),
            )
        except FaultError as error:
            fault = error.fault
            if fault.code == replies.TOO_LARGE:
                fault = replies.LARGER_THAN_LISTED.fault()
            elif fault.nature is Nature.RESYNC or not (
                fault.provenance is Provenance.IMAP or fault.code in replies.LOST
            ):
                raise
        try:
            told = self._by_uid(connection.untagged_responses)
        except FaultError as error:
            return {}, fault or error.fault
        given: dict[int, Fetched] = {}
        for uid, facts in told.items():
            mime = facts.get("BODY[]")
            if mime is None or uid not in wanted:
                continue  # told of its own accord, of flags that were changed
            if len(mime) > most[uid]:
                fault = fault or replies.LARGER_THAN_LISTED.fault()
                continue
            given[uid] = Fetched(wanted[uid].item_id, mime, _received_at(facts))
        return given, fault

    def _by_uid(self, told: Told) -> dict[int, dict[str, bytes]]:
        known: dict[int, dict[str, bytes]] = {}
        with faults_translated(self._server, replies.UNREADABLE):
            for facts in attributes(told):
                if "UID" in facts:  # else it tells of its own accord of flags that were changed
                    known.setdefault(_number(facts["UID"]), {}).update(facts)
        return known

    def _told(
        self,
        meaning: Meaning,
        *words: str | bytes,
        for_writing: bool = False,
        line_bytes: int = ANSWER_BYTES,
        literal_bytes: int = 0,
    ) -> Told:
        """Give a command in the open Inbox; `meaning` is that of a no."""
        connection = self._open(for_writing=for_writing)
        self._ask()
        return self._say(
            connection, meaning, *words, line_bytes=line_bytes, literal_bytes=literal_bytes
        )

    def _say(
        self,
        connection: Connection,
        meaning: Meaning,
        *words: str | bytes,
        line_bytes: int = ANSWER_BYTES,
        literal_bytes: int = 0,
    ) -> Told:
        """Give a command and return what was told; a spoilt connection is dropped."""
        try:
            with (
                contextlib.suppress(GoneMeanwhile),
                faults_translated(self._server, meaning),
            ):
                connection.ask(*words, line_bytes=line_bytes, literal_bytes=literal_bytes)
            self._look_at_numbering(connection.untagged_responses)
        except Refused:
            raise
        except FaultError:
            # The rest of an answer may be on its way: no further command could be told from it.
            connection.drop()
            self._connection = None
            raise
        return connection.untagged_responses

    def _open(self, *, for_writing: bool = False) -> Connection:
        """Return a connection that is logged in and has the Inbox open."""
        try:
            if self._connection is None:
                self._ask()
                self._connection, self._is_writable = logged_in(self._server), None
            if self._is_writable is not for_writing:
                self._ask()
                self._open_inbox(self._connection, for_writing)
        except BaseException:
            self._hang_up()
            raise
        return self._connection

    def _open_inbox(self, connection: Connection, for_writing: bool) -> None:
        with faults_translated(self._server, replies.INBOX):
            told = connection.open_folder("INBOX", for_writing=for_writing)
        if for_writing and "READ-ONLY" in told:
            raise FaultError(replies.READ_ONLY.fault())
        if "UIDVALIDITY" not in told or "UIDNOTSTICKY" in told:
            raise FaultError(replies.NO_UIDS.fault())
        self._look_at_numbering(told)
        self._is_writable = for_writing

    def _look_at_numbering(self, told: Told) -> None:
        """Raise a fault when the server numbers messages anew: known UIDs mean others now."""
        for told_last in told.get("UIDVALIDITY", [])[-1:]:
            before = self._uid_validity
            self._uid_validity = _number(told_last)
            if before not in (0, self._uid_validity):
                self._left = array("L")
                raise FaultError(replies.RENUMBERED.fault())

    def _item_id(self, uid: int) -> str:
        return f"{self._uid_validity}.{uid}"

    def _uid_of(self, item_id: str) -> int | None:
        """Return the UID of an item; None: its number means nothing any more, so it is gone."""
        match = _ITEM_ID.fullmatch(item_id)
        is_ours = match is not None and int(match[1]) == self._uid_validity
        return int(match[2]) if match is not None and is_ours else None

    def _uid_behind(self, cursor: str) -> int:
        """Return the UID that a cursor stands for, or raise the fault that asks to begin again."""
        if not cursor:
            return 0
        match = _CURSOR.fullmatch(cursor)
        if match is None or int(match[1]) != self._uid_validity:
            raise FaultError(replies.RENUMBERED.fault())
        return int(match[2])

    def _ask(self) -> None:
        self._admit()
        self.requests += 1

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.hang_up()
            self._connection = None


def _number(text: bytes | tuple[bytes, bytes]) -> int:
    """Read a number of RFC 3501 that isn't zero, or raise FaultError."""
    if not isinstance(text, bytes) or not _NUMBER.fullmatch(text) or int(text) > _MOST_UID:
        raise FaultError(replies.UNREADABLE.fault())
    return int(text)


def _uid_set(uids: Sequence[int]) -> str:
    """Write rising UIDs as a command has them: 3:7,9."""
    runs: list[tuple[int, int]] = []
    for uid in uids:
        first = runs.pop()[0] if runs and runs[-1][1] == uid - 1 else uid
        runs.append((first, uid))
    return ",".join(str(last) if first == last else f"{first}:{last}" for first, last in runs)


def _uid_sets(uids: Sequence[int]) -> Iterator[str]:
    """Write them for as many commands as that takes."""
    return (_uid_set(uids[start : start + _UIDS]) for start in range(0, len(uids), _UIDS))


def _size(facts: Mapping[str, bytes]) -> int:
    told = facts.get("RFC822.SIZE", b"")
    return int(told) if told.isdigit() else 0


def _received_at(facts: Mapping[str, bytes]) -> datetime | None:
    """Read an INTERNALDATE such as 17-Jul-1996 02:44:25 -0700; None: there is none to read."""
    told = facts.get("INTERNALDATE", b"").decode("latin-1").strip()
    try:
        moment = parsedate_to_datetime(told.replace("-", " ", 2))
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)  # -0000
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else None
