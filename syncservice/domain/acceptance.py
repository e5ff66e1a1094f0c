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
    RIGHTS_MANAGED = "rights_managed"


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
    """What an organisation says of email between its own users and queues (F111, F112)."""

    is_two_activities: bool
    to_queues: bool  # email of a user to a queue is accepted
    from_queues: bool = True  # email of a queue to a user is, as a stranger's (F258)

    def is_one_activity(self, sender: Kind | None) -> bool:
        """Whether what a user gets from this kind of sender is one with what was sent.

        A queue that writes to a queue gives it work: of that the documents say nothing.
        """
        is_ours = sender is Kind.USER or (sender is Kind.QUEUE and not self.from_queues)
        return is_ours and not self.is_two_activities


@dataclass(frozen=True, slots=True)
class Alone:
    """In which mailboxes their owner decides alone about a message, and nobody else it names."""

    in_every_mailbox: bool = False  # F253
    in_mailboxes_of_users: bool = False  # F254


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


def deciders_of(candidates: Sequence[Candidate], alone: Alone) -> list[Candidate]:
    """Return the candidates whose options count for a message that lies in a mailbox (F105).

    Everyone else decides where it lies in a mailbox of their own. The documents say "the user or
    queue that is processing the email"; of a forward mailbox that is who forwarded it.
    F254 is documented by its name and by an example alone: a queue accepts what lies in a user's
    mailbox, unless it is on. So it narrows the mailboxes of users, and a queue's mailbox goes on
    letting everybody decide: that loses no mail.
    """
    for one in candidates:
        is_users = one.kind is Kind.USER and alone.in_mailboxes_of_users
        if one.is_receiving and (is_users or alone.in_every_mailbox):
            return [one]
    return list(candidates)


def _objection(candidate: Candidate, evidence: Evidence, internal: Internal) -> Reason | None:
    """Say what speaks against it for one candidate; None: nothing, it accepts."""
    if candidate.filter is Filter.NONE:
        return Reason.NONE_WANTED
    if not candidate.is_named and candidate.filter is not Filter.ALL:
        return Reason.NO_RECIPIENT  # F104
    if _is_internal(candidate, evidence, internal):
        return Reason.INTERNAL
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


def _is_internal(candidate: Candidate, evidence: Evidence, internal: Internal) -> bool:
    """Email of a user to a queue is work for the queue; to a user it goes on with what is known."""
    if candidate.kind is Kind.QUEUE:
        return evidence.sender is Kind.USER and not internal.to_queues  # F112
    return internal.is_one_activity(evidence.sender) and not evidence.is_answer  # F111, F257


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


def queues_of(accepted: Sequence[Candidate], default_queue: int | None) -> tuple[int, ...]:
    """Return the queues in which a new email waits, each once (F131).

    They are those that accept it, and the `default_queue` of its owner; None: it goes to none.
    """
    queues = [one.id for one in accepted if one.kind is Kind.QUEUE]
    return tuple(dict.fromkeys([*queues, *([default_queue] if default_queue is not None else [])]))
