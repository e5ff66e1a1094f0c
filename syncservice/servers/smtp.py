"""The way out for email over SMTP (RFC 5321, STARTTLS of RFC 3207, AUTH of RFC 4954).

A server takes a message with the end of its text and not before: who is cut off up to there has
sent nothing, and behind it only the server's reply says what became of it. Recipients that are
refused don't keep it from the others.

A server that offers PIPELINING (RFC 2920) is given the whole envelope in one round. Nothing here
sends a message twice, and no login is tried over a connection that isn't encrypted unless the
profile says so.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self

from syncservice.domain.faults import Fault, FaultError, Provenance
from syncservice.servers import smtp_replies as replies
from syncservice.servers.gateway import (
    Accepted,
    Conversation,
    MailObject,
    OutcomeUnknown,
    Rejected,
    Whereabouts,
)
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.smtp_connection import Connection, shown_logins
from syncservice.servers.smtp_replies import Meaning, Refused, Reply, faults_translated

#: The commands have to fit into the smallest socket buffer: else both sides could write and
#: neither read (RFC 2920 section 3.1).
_AT_ONCE = 32
_END = b"\r\n.\r\n"
_UNFIT = re.compile(r"[\x00-\x20\x7f<>]")


class SentItems(Conversation, Protocol):
    """The folder of sent email, where the mailbox can be reached by another protocol."""

    def holds(self, message_id: str) -> bool:
        """Whether a message with this Message-ID (with its <>) is there, or raise FaultError."""

    def add(self, mime: bytes) -> None:
        """Put a message there, as read, or raise FaultError; without such a folder do nothing."""


class SmtpOutgoing:
    """Outgoing of `servers.gateway` from one address, over one SMTP server.

    SMTP itself tells nothing of earlier messages and keeps no copies; `sent_items` does, where
    there are any. A delivery receipt is asked for where the server knows how (DSN, RFC 3461), and
    nobody is told when it doesn't. For a read receipt the header asks, not the envelope.
    """

    def __init__(
        self,
        server: MailServer,
        address: str,
        admit: Callable[[], None] = lambda: None,
        sent_items: SentItems | None = None,
    ) -> None:
        """`address` is the reverse-path; with an empty user name there is no login.

        `admit` is called before each request, and may raise FaultError in its place. A request is
        one round of commands: a login, or all that one message needs.
        """
        self._requests = 0
        self._server = server
        self._address = address
        self._admit = admit
        self._sent_items = sent_items
        self._connection: Connection | None = None

    @property
    def requests(self) -> int:
        return self._requests + (self._sent_items.requests if self._sent_items else 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._hang_up()
        if self._sent_items is not None:
            self._sent_items.__exit__(kind, error, traceback)

    def send(self, mail: MailObject, before_handover: Callable[[], None]) -> Accepted:
        if not mail.forward_paths:
            raise ValueError("a message without recipients")
        text = re.sub(rb"\r\n|\r|\n", b"\r\n", mail.mime)  # RFC 5321 section 2.3.8
        was_open = self._connection is not None
        try:
            connection, rejected = self._bring(mail, text)
        except FaultError as error:
            if not was_open or error.fault.code not in replies.ENDED:
                raise
            # Served for long enough, the connection was ended; another one is none the worse.
            connection, rejected = self._bring(mail, text)
        with self._left_in_order(connection):
            before_handover()
            self._hand_over(connection)
        return Accepted(rejected)

    def look_up(self, mail: MailObject) -> Whereabouts:
        if self._sent_items is not None and self._sent_items.holds(mail.message_id):
            return Whereabouts.SENT
        return Whereabouts.UNKNOWN

    def keep_copy(self, mail: MailObject) -> None:
        """Add the message to the sent items, unless the server has done so by itself."""
        if self._sent_items is None or not mail.keeps_copy:
            return
        if not self._sent_items.holds(mail.message_id):
            self._sent_items.add(mail.mime)

    def _bring(self, mail: MailObject, text: bytes) -> tuple[Connection, tuple[Rejected, ...]]:
        """Give the server a message up to its end; return who was refused."""
        connection = self._open()
        envelope = _envelope(connection, self._address, mail, text)
        self._ask()
        with self._left_in_order(connection), faults_translated(self._server):
            connection.command_encoding = "utf-8" if envelope.is_international else "ascii"
            refused = [*envelope.refused, *self._give(connection, envelope)]
            stuffed = re.sub(rb"(?m)^\.", b"..", text)  # RFC 5321 section 4.5.2
            connection.send_text(stuffed.removesuffix(b"\r\n"))
        return connection, tuple(one.beside_others() for one in refused)

    def _give(self, connection: Connection, envelope: "_Envelope") -> list["_Refusal"]:
        """Give MAIL, RCPT and DATA; return who was refused, or raise for all."""
        commands = [envelope.mail, *envelope.recipients.values(), "DATA"]
        at_once = _AT_ONCE if connection.has_extn("pipelining") else 1
        said: list[Reply] = []
        refused: list[_Refusal] = []
        for start in range(0, len(commands), at_once):
            said += connection.ask_all(commands[start : start + at_once])
            refused = self._refusals(said, envelope)
        return refused

    def _refusals(self, said: Sequence[Reply], envelope: "_Envelope") -> list["_Refusal"]:
        """Return who was refused in the replies so far, or raise when it can't go on."""
        mail, *others = said
        if not mail.is_done:
            raise self._refused(replies.meaning_of_sender(mail), mail)
        refused = []
        for path, reply in zip(envelope.recipients, others, strict=False):
            meaning = replies.meaning_of_recipient(reply)
            if reply.is_goodbye or not (reply.is_done or reply.is_refusal):
                raise self._refused(meaning, reply)
            if not reply.is_done:
                refused.append(_Refusal(path, meaning, self._said(reply)))
        if len(refused) == len(envelope.recipients):
            raise Refused(_gravest([*envelope.refused, *refused]))
        for data in others[len(envelope.recipients) :]:
            if data.code != 354:
                raise self._refused(replies.meaning_of_data(data), data)
        return refused

    def _hand_over(self, connection: Connection) -> None:
        """End the text, and return when the server says that it has taken the message."""
        try:
            connection.send_text(_END)
            reply = Reply(*connection.getreply())
        except OSError as error:  # smtplib's errors are such, too
            raise OutcomeUnknown(replies.UNKNOWN.fault()) from error
        if reply.is_refusal:
            raise self._refused(replies.meaning_of_text(reply), reply)
        if not reply.is_done:
            raise OutcomeUnknown(replies.UNKNOWN.fault(self._said(reply)))

    def _open(self) -> Connection:
        """Return a connection that is ready for a message."""
        if self._connection is None:
            self._ask()
            connection = Connection(self._server)
            try:
                with faults_translated(self._server):
                    self._begin(connection)
            except BaseException:
                connection.hang_up()
                raise
            self._connection = connection
        return self._connection

    def _begin(self, connection: Connection) -> None:
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

    def _demand(self, reply: Reply, code: int, meaning: Callable[[Reply], Meaning]) -> None:
        if reply.code != code:
            raise self._refused(meaning(reply), reply)

    def _refused(self, meaning: Meaning, reply: Reply) -> FaultError:
        """Return what to raise."""
        fault = meaning.fault(self._said(reply))
        return Refused(fault) if reply.is_refusal and not reply.is_goodbye else FaultError(fault)

    def _said(self, reply: Reply) -> str:
        return self._server.words(bytes(reply), *shown_logins(self._server))

    @contextlib.contextmanager
    def _left_in_order(self, connection: Connection) -> Iterator[None]:
        """Leave the connection ready for another message, or end it, when the block fails."""
        try:
            yield
        except Refused:
            if not self._is_reset(connection):
                self._hang_up()
            raise
        except BaseException:
            self._hang_up()
            raise

    def _is_reset(self, connection: Connection) -> bool:
        if connection.awaits_text:  # all were refused, and DATA taken: an end would send to nobody
            return False
        with contextlib.suppress(OSError):
            return connection.ask("RSET").is_done
        return False

    def _ask(self) -> None:
        self._admit()
        self._requests += 1

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.hang_up()
            self._connection = None


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A recipient that doesn't get the message."""

    path: str
    meaning: Meaning
    said: str = ""  # by the server; '': nothing, for it wasn't asked

    def fault(self) -> Fault:
        provenance = Provenance.US if self.meaning is replies.NO_ADDRESS else None
        said = f"{self.said} (to {self.path})" if self.said else ""
        return self.meaning.fault(said, provenance)

    def beside_others(self) -> Rejected:
        """Return it as it is told when others get the message: then the quota isn't ours."""
        is_theirs = self.meaning is replies.QUOTA
        return Rejected(
            self.path, (replace(self, meaning=replies.FOR_NOW) if is_theirs else self).fault()
        )


@dataclass(frozen=True, slots=True)
class _Envelope:
    """The commands that begin a message, and who can't be sent to by this server."""

    mail: str
    recipients: dict[str, str]  # RCPT, by forward-path
    refused: list[_Refusal]
    is_international: bool  # RFC 6531


def _envelope(connection: Connection, address: str, mail: MailObject, text: bytes) -> _Envelope:
    """Write an envelope; raise FaultError when it's known that the server can't take the message.

    Refused at once are those whose addresses no server, or not this one, can be told.
    """
    if not address or _UNFIT.search(address):
        raise FaultError(replies.SENDER.fault(provenance=Provenance.US))
    takes_all_letters = connection.has_extn("smtputf8")
    is_international = not text.partition(b"\r\n\r\n")[0].isascii()
    if not address.isascii():
        is_international = True
        if not takes_all_letters:
            raise FaultError(replies.SENDER_NEEDS_SMTPUTF8.fault())
    if is_international and not takes_all_letters:  # RFC 6532 section 3: nobody would read it
        raise FaultError(replies.NO_SMTPUTF8.fault())
    most = connection.esmtp_features.get("size", "")  # RFC 1870
    if most.isdecimal() and 0 < int(most) < len(text):
        raise FaultError(replies.TOO_LARGE.fault(f"it takes {int(most):,} bytes"))

    notify = ""
    if mail.asks_delivery_receipt and connection.has_extn("dsn"):
        notify = " NOTIFY=SUCCESS,FAILURE,DELAY"
    recipients: dict[str, str] = {}
    refused: list[_Refusal] = []
    for path in mail.forward_paths:
        if not path or _UNFIT.search(path):
            refused.append(_Refusal(path, replies.NO_ADDRESS))
        elif path.isascii() or takes_all_letters:
            recipients[path] = f"RCPT TO:<{path}>{notify}"
        else:
            refused.append(_Refusal(path, replies.NO_SMTPUTF8))
    if not recipients:
        raise FaultError(_gravest(refused))

    is_international = is_international or not all(path.isascii() for path in recipients)
    options = [f"MAIL FROM:<{address}>"]
    if connection.has_extn("size"):
        options.append(f"SIZE={len(text)}")
    if not text.isascii() and connection.has_extn("8bitmime"):  # RFC 6152
        options.append("BODY=8BITMIME")
    if is_international:
        options.append("SMTPUTF8")
    if notify:
        options.append("RET=HDRS")
    return _Envelope(" ".join(options), recipients, refused, is_international)


def _gravest(refused: Iterable[_Refusal]) -> Fault:
    return min(refused, key=lambda one: replies.GRAVEST.index(one.meaning)).fault()
