"""Who takes an email into the CRM, and whose it is then (REFERENCE 3B, F100-F116)."""

from dataclasses import replace

import pytest

from syncservice.domain.acceptance import (
    Alone,
    Candidate,
    Evidence,
    Filter,
    Internal,
    Reason,
    Verdict,
    deciders_of,
    judge,
    owner_of,
    queues_of,
)
from syncservice.domain.resolution import Kind, Match

ALL, IN_RESPONSE, FROM_PEOPLE, FROM_RECORDS, NONE = Filter
DEFAULT = Internal(is_two_activities=False, to_queues=True)
TWICE = Internal(is_two_activities=True, to_queues=True)
NOT_TO_QUEUES = Internal(is_two_activities=False, to_queues=False)
STRANGER = Evidence(has_sender=True, sender=None, is_answer=False)
NOBODY = Evidence(has_sender=False, sender=None, is_answer=False)


def user(option: Filter, number: int = 1, **more: bool) -> Candidate:
    return Candidate(Kind.USER, number, option, number, **more)


def queue(option: Filter, **more: bool) -> Candidate:
    return Candidate(Kind.QUEUE, 1, option, None, **more)


def wrote(sender: Kind | None, *, is_answer: bool = False) -> Evidence:
    return Evidence(has_sender=True, sender=sender, is_answer=is_answer)


OPTIONS = [
    # The option, who wrote, whether it is an answer; None: it is accepted.
    (ALL, None, False, None),
    (ALL, Kind.QUEUE, False, None),
    (IN_RESPONSE, None, True, None),
    (IN_RESPONSE, None, False, Reason.NO_ANSWER),
    (IN_RESPONSE, Kind.CONTACT, False, Reason.NO_ANSWER),
    (FROM_PEOPLE, Kind.CONTACT, False, None),
    (FROM_PEOPLE, Kind.ACCOUNT, False, None),
    (FROM_PEOPLE, Kind.LEAD, False, None),
    (FROM_PEOPLE, Kind.QUEUE, False, Reason.NOT_FROM_PEOPLE),
    (FROM_PEOPLE, None, False, Reason.NOT_FROM_PEOPLE),
    (FROM_PEOPLE, None, True, Reason.NOT_FROM_PEOPLE),
    (FROM_RECORDS, Kind.QUEUE, False, None),
    (FROM_RECORDS, Kind.CONTACT, False, None),
    (FROM_RECORDS, None, True, Reason.NOT_FROM_RECORD),
    (NONE, Kind.CONTACT, True, Reason.NONE_WANTED),
]


@pytest.mark.parametrize(
    ("option", "sender", "is_answer", "reason"),
    [
        pytest.param(
            *row,
            id=f"{row[0].name} and {'an answer' if row[2] else 'no answer'} of a "
            f"{row[1] or 'stranger'}: {row[3] or 'accepted'}",
        )
        for row in OPTIONS
    ],
)
@pytest.mark.parametrize("of", [user, queue])
def test_an_option_takes_and_refuses(of, option, sender, is_answer, reason) -> None:
    candidate = of(option)
    verdict = judge([candidate], wrote(sender, is_answer=is_answer), DEFAULT)
    assert verdict == (Verdict(reason=reason) if reason else Verdict((candidate,)))


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (ALL, None),
        *((option, Reason.NO_RECIPIENT) for option in (IN_RESPONSE, FROM_PEOPLE, FROM_RECORDS)),
        (NONE, Reason.NONE_WANTED),
    ],
)
def test_a_blind_copy_is_for_those_alone_who_want_all_email(option, reason) -> None:
    """Although it is an answer of a contact (F104)."""
    candidate = user(option, is_receiving=True, is_named=False)
    verdict = judge([candidate], wrote(Kind.CONTACT, is_answer=True), DEFAULT)
    assert verdict.reason == reason


@pytest.mark.parametrize(
    ("candidates", "evidence", "verdict"),
    [
        pytest.param([], STRANGER, Verdict(reason=Reason.NO_RECIPIENT), id="nobody here is named"),
        pytest.param(
            [user(NONE, 1, is_receiving=True), user(ALL, 2)],
            STRANGER,
            Verdict((user(ALL, 2),)),
            id="another recipient takes what the mailbox's owner doesn't want",
        ),
        pytest.param(
            [user(ALL, 1), user(NONE, 2), queue(ALL)],
            STRANGER,
            Verdict((user(ALL, 1), queue(ALL))),
            id="all who accept are told, in their order",
        ),
        pytest.param(
            [user(IN_RESPONSE, 1), user(FROM_PEOPLE, 2, is_receiving=True)],
            STRANGER,
            Verdict(reason=Reason.NOT_FROM_PEOPLE),
            id="of several reasons that of the mailbox is told",
        ),
        pytest.param(
            [user(IN_RESPONSE, 1), user(NONE, 2)],
            STRANGER,
            Verdict(reason=Reason.NO_ANSWER),
            id="in nobody's mailbox, that of the first recipient is told",
        ),
        pytest.param(
            [user(ALL)], NOBODY, Verdict(reason=Reason.NO_SENDER), id="a mail of nobody is skipped"
        ),
    ],
)
def test_every_recipient_decides_by_their_own_option(candidates, evidence, verdict) -> None:
    assert judge(candidates, evidence, DEFAULT) == verdict


OFF, ON = DEFAULT, TWICE


@pytest.mark.parametrize(
    ("candidate", "is_answer", "internal", "reason"),
    [
        pytest.param(user(ALL), False, OFF, Reason.INTERNAL, id="user to user is one activity"),
        pytest.param(user(ALL), False, ON, None, id="or two when the organisation wants it"),
        pytest.param(user(ALL), True, OFF, None, id="an answer between users goes on"),
        pytest.param(
            user(FROM_PEOPLE), True, OFF, Reason.NOT_FROM_PEOPLE, id="by the option that there is"
        ),
        pytest.param(
            user(FROM_PEOPLE), False, ON, Reason.NOT_FROM_PEOPLE, id="a user is none of the people"
        ),
        pytest.param(user(FROM_RECORDS), False, ON, None, id="but a record that has an address"),
        pytest.param(user(NONE), True, ON, Reason.NONE_WANTED, id="who wants none gets none"),
        pytest.param(queue(ALL), False, OFF, None, id="a user's mail to a queue is its work"),
        pytest.param(queue(NONE), False, OFF, Reason.NONE_WANTED, id="when the queue takes any"),
        pytest.param(
            queue(ALL), False, NOT_TO_QUEUES, Reason.INTERNAL, id="unless the organisation says no"
        ),
    ],
)
def test_mail_of_a_user(candidate, is_answer, internal, reason) -> None:
    verdict = judge([candidate], wrote(Kind.USER, is_answer=is_answer), internal)
    assert verdict == (Verdict(reason=reason) if reason else Verdict((candidate,)))


def test_a_blind_copy_of_a_users_mail_is_no_exception() -> None:
    candidate = replace(queue(IN_RESPONSE), is_named=False)
    verdict = judge([candidate], wrote(Kind.USER, is_answer=True), DEFAULT)
    assert verdict.reason == Reason.NO_RECIPIENT


NOT_FROM_QUEUES = Internal(is_two_activities=False, to_queues=True, from_queues=False)
TWICE_FROM_QUEUES = replace(NOT_FROM_QUEUES, is_two_activities=True)


@pytest.mark.parametrize(
    ("candidate", "is_answer", "internal", "reason"),
    [
        pytest.param(user(ALL), False, DEFAULT, None, id="a queue writes as a stranger does"),
        pytest.param(
            user(ALL), False, NOT_FROM_QUEUES, Reason.INTERNAL, id="unless that is internal"
        ),
        pytest.param(user(ALL), True, NOT_FROM_QUEUES, None, id="but an answer goes on"),
        pytest.param(user(ALL), False, TWICE_FROM_QUEUES, None, id="or is an activity of its own"),
        pytest.param(queue(ALL), False, NOT_FROM_QUEUES, None, id="to a queue it is work"),
        pytest.param(
            queue(ALL), False, replace(NOT_FROM_QUEUES, to_queues=False), None,
            id="even where users give queues none",
        ),
    ],
)  # fmt: skip
def test_mail_of_a_queue(candidate, is_answer, internal, reason) -> None:
    """F258."""
    verdict = judge([candidate], wrote(Kind.QUEUE, is_answer=is_answer), internal)
    assert verdict == (Verdict(reason=reason) if reason else Verdict((candidate,)))


ANNS_MAILBOX = [user(NONE, 1, is_receiving=True), user(ALL, 2), queue(ALL)]
QUEUES_MAILBOX = [queue(NONE, is_receiving=True), user(ALL, 2)]
NOBODYS_MAILBOX = [user(ALL, 1), queue(ALL)]
IN_EVERY, IN_USERS = Alone(in_every_mailbox=True), Alone(in_mailboxes_of_users=True)


@pytest.mark.parametrize(
    ("candidates", "alone", "number"),
    [
        pytest.param(ANNS_MAILBOX, Alone(), 3, id="every recipient decides"),
        pytest.param(ANNS_MAILBOX, IN_USERS, 1, id="a user alone, in the own mailbox"),
        pytest.param(QUEUES_MAILBOX, IN_USERS, 2, id="but not a queue in its own"),
        pytest.param(ANNS_MAILBOX, IN_EVERY, 1, id="a user alone, as in every mailbox"),
        pytest.param(QUEUES_MAILBOX, IN_EVERY, 1, id="and a queue"),
        pytest.param(NOBODYS_MAILBOX, IN_EVERY, 2, id="nobody's mailbox has nobody to decide"),
        pytest.param([], IN_EVERY, 0, id="nobody is named"),
    ],
)
def test_who_decides(candidates, alone, number) -> None:
    """F253, F254."""
    assert deciders_of(candidates, alone) == candidates[:number]


def numbered(number: int) -> Candidate:
    return replace(queue(ALL), id=number)


@pytest.mark.parametrize(
    ("accepted", "default_queue", "queues"),
    [
        pytest.param([user(ALL), numbered(7), numbered(8)], None, (7, 8), id="that accept it"),
        pytest.param([user(ALL, 5)], 9, (9,), id="its owner's"),
        pytest.param([numbered(7), user(ALL)], 9, (7, 9), id="both"),
        pytest.param([numbered(7), numbered(9)], 9, (7, 9), id="each once"),
        pytest.param([user(ALL, 9)], None, (), id="a user is none"),
    ],
)
def test_in_which_queues_it_waits(accepted, default_queue, queues) -> None:
    """F131."""
    assert queues_of(accepted, default_queue) == queues


def of(kind: Kind, number: int, owner: int | None) -> Match:
    return Match(kind, number, True, owner, None)


ANN, BOB, EVE = (of(Kind.USER, number, number) for number in (1, 2, 3))
QUEUE_OF_EVE, NOBODYS_QUEUE = of(Kind.QUEUE, 7, 3), of(Kind.QUEUE, 8, None)
CUSTOMER_OF_BOB = of(Kind.CONTACT, 9, 2)
ANNS, BOBS, EVES = 1, 2, 3


@pytest.mark.parametrize(
    ("recipients", "correlated_owner", "sender", "receiving_owner", "owner"),
    [
        pytest.param([ANN, BOB], None, None, EVES, ANNS, id="the first recipient's"),
        pytest.param(
            [ANN, BOB, EVE], EVES, CUSTOMER_OF_BOB, ANNS, EVES,
            id="best whose email it answers, when a recipient too",
        ),
        pytest.param(
            [ANN, BOB], EVES, CUSTOMER_OF_BOB, ANNS, BOBS,
            id="second the customer's owner, when a recipient too",
        ),
        pytest.param(
            [ANN], EVES, CUSTOMER_OF_BOB, EVES, ANNS, id="who is no recipient has no claim"
        ),
        pytest.param([BOB, ANN], None, ANN, None, BOBS, id="a user who writes has no first claim"),
        pytest.param([QUEUE_OF_EVE, ANN], None, None, ANNS, EVES, id="a queue's owner is eligible"),
        pytest.param([NOBODYS_QUEUE, ANN], None, None, None, ANNS, id="a queue without one is not"),
        pytest.param([CUSTOMER_OF_BOB], BOBS, None, ANNS, ANNS, id="a contact owns no email"),
        pytest.param([], None, None, ANNS, ANNS, id="of a blind copy, the mailbox's owner"),
        pytest.param([NOBODYS_QUEUE], None, None, None, None, id="nobody can own it"),
    ],
)  # fmt: skip
def test_whose_an_email_is(recipients, correlated_owner, sender, receiving_owner, owner) -> None:
    assert owner_of(recipients, correlated_owner, sender, receiving_owner) == owner
