"""Messages as a server gave them, read: drafts of email, or why they are none."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import assert_never

import structlog

from syncservice.domain.acceptance import Reason
from syncservice.domain.correlation import Letter
from syncservice.domain.faults import Fault, Nature, Provenance, Scope
from syncservice.domain.message import Message, UnreadableMessage, parse
from syncservice.domain.rights_management import is_rights_managed
from syncservice.servers.gateway import SENT_ITEMS, Fetched, Gone, NotFetched
from syncservice.sync.drafts import Draft, letter_of
from syncservice.sync.inbox import Inbox, Tracking, columns_of

log = structlog.get_logger()

#: What a bug in reading one message raises (invariant 6); a time limit or want of memory is none.
_PARSER_BUGS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Declined:
    """A message that is no draft: why, with what is known of it."""

    item_id: str
    reason: Reason
    message: Message
    size: int
    received_at: datetime | None
    waits_for: tuple[str, ...] = ()  # names of what it may answer


@dataclass(slots=True)
class Read:
    """What reading a batch's answers gave."""

    drafts: list[Draft] = field(default_factory=list)
    declined: list[Declined] = field(default_factory=list)
    failures: dict[str, Fault] = field(default_factory=dict)
    facts: dict[str, tuple[int, str]] = field(default_factory=dict)  # size, subject: where known
    gone: list[str] = field(default_factory=list)


def read_all(inbox: Inbox, answers: Iterable[Fetched | NotFetched | Gone]) -> Read:
    """Read a batch's answers; copies of one message get one letter."""
    read = Read()
    letters: dict[str, Letter] = {}  # by identity: copies become one email
    for answer in answers:
        match answer:
            case Fetched():
                size, subject = len(answer.mime), ""
                match _read(inbox, answer):
                    case Draft() as draft:
                        letter = letters.setdefault(draft.identity, draft.letter)
                        read.drafts.append(replace(draft, letter=letter))
                        subject = draft.message.subject
                    case Declined() as declined:
                        read.declined.append(declined)
                    case Fault() as fault:
                        read.failures[answer.item_id] = fault
                read.facts[answer.item_id] = size, subject
            case NotFetched():
                read.facts[answer.item_id] = answer.size, answer.subject
                read.failures[answer.item_id] = answer.fault
            case Gone():
                read.gone.append(answer.item_id)
            case _:
                assert_never(answer)
    return read


def _read(inbox: Inbox, fetched: Fetched) -> Draft | Declined | Fault:
    forwarder = ""
    forwarded: Sequence[bytes] = ()
    try:
        message = parse(fetched.mime)
        if inbox.receiver.owner is None:
            forwarder = message.sender.address.lower() if message.sender else ""
            forwarded = message.forwarded
            if not forwarded or not forwarder:
                return _declined(fetched, message, Reason.NOT_FORWARDED)
            message = parse(forwarded[0])  # a server's rule forwards one
        if inbox.rules.organisation.leaves_out_rights_managed and is_rights_managed(
            fetched.item_class, message.content_class, message.attachments
        ):
            return _declined(fetched, message, Reason.RIGHTS_MANAGED)
        letter = letter_of(message, fetched, inbox.rules)
    except UnreadableMessage as error:
        return item_fault("email.unreadable", str(error))
    except _PARSER_BUGS as error:  # one stranger's message must not stop the mailbox
        log.exception("email.parser_failed", mailbox_id=inbox.claim.mailbox_id)
        return item_fault(
            "email.parser_failed",
            f"reading the message failed in our own code ({type(error).__name__}); "
            "please report it with the message",
        )
    tracking = inbox.by_item.get(fetched.item_id, inbox.tracking)
    return Draft(
        fetched,
        message,
        _identity(inbox, fetched, message),
        letter,
        tracking,
        _is_sent(inbox, message, tracking),
        forwarder,
        len(forwarded) > 1,
        inbox.about.get(fetched.item_id) or columns_of(inbox.tracked_folder),
    )


def _declined(fetched: Fetched, message: Message, reason: Reason) -> Declined:
    return Declined(fetched.item_id, reason, message, len(fetched.mime), fetched.received_at)


def _is_sent(inbox: Inbox, message: Message, tracking: Tracking) -> bool:
    """Whether the owner sent a message: what is asked for by hand may lie in any folder."""
    if inbox.folder == SENT_ITEMS:
        return True
    author = message.sender
    return (
        tracking is Tracking.HAND
        and author is not None
        and author.address.lower() in inbox.receiver.addresses
    )


def _identity(inbox: Inbox, fetched: Fetched, message: Message) -> str:
    """Say what makes it this message and no other, as a digest.

    The Message-ID alone won't do: strangers choose it, and a different mail that borrows a
    known one must not be swallowed. The fingerprint alone won't do without a date: two equal
    notes may be two messages, so then the moment counts at which it came, or else the server's
    item, which may get another id.
    """
    parts: tuple[str, ...]
    came_at = fetched.received_at or message.received_at
    if message.message_id or message.sent_at:
        parts = (message.message_id, message.fingerprint)
    elif came_at:
        moment = came_at.astimezone(UTC).isoformat()
        parts = (str(inbox.claim.mailbox_id), message.fingerprint, moment)
    else:
        parts = (str(inbox.claim.mailbox_id), fetched.item_id)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def item_fault(code: str, text: str) -> Fault:
    return Fault(
        code=code,
        nature=Nature.PERMANENT,
        scope=Scope.EMAIL,
        provenance=Provenance.US,
        text=text,
    )
