"""Does this email belong in the CRM, for whom, and who owns it (REFERENCE 3B, F100-F113)."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from syncservice.domain.resolution import Kind, Match


class Filter(enum.IntEnum):
    """Which incoming email of a user or a queue becomes a record (F100)."""

    ALL = 0
    IN_RESPONSE = 1
    FROM_PEOPLE = 2
    FROM_RECORDS = 3
    NONE = 4


class Reason(enum.StrEnum):
    """Why a message is not in the CRM."""

    NO_RECIPIENT = "no_recipient"
    NO_ANSWER = "no_answer"
    NOT_FROM_PEOPLE = "not_from_people"
    NOT_FROM_RECORD = "not_from_record"
    NONE_WANTED = "none_wanted"
    INTERNAL = "internal"
    NO_SENDER = "no_sender"
    NOT_FORWARDED = "not_forwarded"
    NOT_ALLOWED_TO_FORWARD = "not_allowed_to_forward"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A user or queue that may want the email, by its own option."""

    kind: Kind  # USER or QUEUE
    id: int
    filter: Filter
    owner_id: int | None  # the user who would own the email; None: a queue without an owner
    is_receiving: bool = False  # it lies in this one's mailbox
    #: In a To, Cc or Bcc, or on the envelope. Else it came through a list or as a blind copy.
    is_named: bool = True


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a message when it is judged."""

    has_sender: bool  # it names somebody as its author
    sender: Kind | None  # the kind of record that wrote it; None: nobody known
    is_answer: bool  # correlation found what it answers


@dataclass(frozen=True, slots=True)
class Internal:
    """What an organisation says of email between its own users (F111, F112)."""

    is_two_activities: bool
    to_queues: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who accepts a message, in the order of the candidates; nobody: why not."""

    accepted: tuple[Candidate, ...] = ()
    reason: Reason | None = None


def judge(candidates: Sequence[Candidate], evidence: Evidence, internal: Internal) -> Verdict:
    """Let every candidate decide by its own option (F105).

    Among several reasons against it, that of the mailbox in which the message lies is told.
    """
    if not evidence.has_sender:
        return Verdict(reason=Reason.NO_SENDER)  # F116
    objections = {candidate: _objection(candidate, evidence, internal) for candidate in candidates}
    accepted = tuple(candidate for candidate, why in objections.items() if why is None)
    if accepted:
        return Verdict(accepted)
    receiving = [why for candidate, why in objections.items() if candidate.is_receiving]
    reasons = [*receiving, *objections.values(), Reason.NO_RECIPIENT]
    return Verdict(reason=reasons[0])


def _objection(candidate: Candidate, evidence: Evidence, internal: Internal) -> Reason | None:
    """Say what speaks against it for one candidate; None: nothing, it accepts."""
    if candidate.filter is Filter.NONE:
        return Reason.NONE_WANTED
    if not candidate.is_named and candidate.filter is not Filter.ALL:
        return Reason.NO_RECIPIENT  # F104
    if evidence.sender is Kind.USER and (reason := _internal(candidate, evidence, internal)):
        return reason
    people = (Kind.CONTACT, Kind.ACCOUNT, Kind.LEAD)
    match candidate.filter:
        case Filter.ALL:
            return None
        case Filter.IN_RESPONSE:
            return None if evidence.is_answer else Reason.NO_ANSWER
        case Filter.FROM_PEOPLE:
            return None if evidence.sender in people else Reason.NOT_FROM_PEOPLE
        case Filter.FROM_RECORDS:
            return None if evidence.sender is not None else Reason.NOT_FROM_RECORD


def _internal(candidate: Candidate, evidence: Evidence, internal: Internal) -> Reason | None:
    """Email of a user to a queue is work for the queue; to a user it goes on with what is known."""
    if candidate.kind is Kind.QUEUE:
        return None if internal.to_queues else Reason.INTERNAL  # F112
    if internal.is_two_activities or evidence.is_answer:  # F111, F257
        return None
    return Reason.INTERNAL


def owner_of(
    recipients: Sequence[Match],
    correlated_owner: int | None,
    sender: Match | None,
    receiving_owner: int | None,
) -> int | None:
    """Choose the user who owns a new email (F113); None: nobody can.

    `recipients` are those resolved, in the order To, Cc, Bcc. The owner of what it answers comes
    first, then that of the record that wrote, each if it is a recipient too; else the first user.
    """
    eligible = [
        match.owner_id
        for match in recipients
        if match.kind in (Kind.USER, Kind.QUEUE) and match.owner_id is not None
    ]
    of_sender = sender.owner_id if sender and sender.kind is not Kind.USER else None
    for wished in (correlated_owner, of_sender):
        if wished is not None and wished in eligible:
            return wished
    return eligible[0] if eligible else receiving_owner
