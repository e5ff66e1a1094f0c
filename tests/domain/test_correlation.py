"""Which email a message answers, and by which method it is found (REFERENCE 3C)."""

import base64
from datetime import UTC, datetime, timedelta
from itertools import combinations
from uuid import UUID

import pytest

from syncservice.domain.correlation import (
    LONGEST_ID,
    Answer,
    Correspondence,
    Letter,
    Method,
    Switches,
    answered_ids,
    conversation_base,
    index_bytes,
)
from syncservice.domain.smart_matching import SmartMatching

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANN, BOB, EVE = "ann@customer.test", "bob@example.test", "eve@evil.test"
US = frozenset({BOB})  # addresses of our users
TOKEN = "CRM:0001001"
ROOT = bytes(range(22))
STEPS = b"12345", b"abcde", b"ABCDE"
SMART = SmartMatching()
ALL_METHODS = Switches(smart_matching=SMART)


def letter(number: int, *, hour: int | None = 0, between: tuple[str, ...] = (ANN, BOB), **more):
    """An email of the CRM, or, as number 0, the message that may answer it; `hour` from noon."""
    at = None if hour is None else NOON + timedelta(hours=hour)
    return Letter(id=UUID(int=number), addresses=frozenset(between), at=at, **more)


def message(*, between: tuple[str, ...] = (ANN, BOB), hour: int | None = 0, **more) -> Letter:
    return letter(0, between=between, hour=hour, **more)


def index(*steps: bytes) -> bytes:
    return ROOT + b"".join(steps)


def words(subject: str, *between: str):
    return SMART.hashes(subject, between or (ANN, BOB))


def answered(known: list[Letter], one: Letter, switches: Switches = ALL_METHODS) -> int | None:
    """The number of the email that is answered; None: none is. The order of `known` is no matter.

    Where it should be, a test says so by giving equals.
    """
    found = set()
    for letters in (known, known[::-1]):
        correspondence = Correspondence(US)
        for email in letters:
            correspondence.add(email)
        answer = correspondence.answered_by(one, switches)
        found.add(answer and answer.email_id.int)
    (number,) = found
    return number


EVIDENCE = {
    Method.IN_REPLY_TO: letter(3, hour=-1, message_id="<offer@x.test>"),
    Method.TRACKING_TOKEN: letter(4, hour=-1, tokens=(TOKEN,)),
    Method.CONVERSATION_INDEX: letter(5, hour=-1, conversation_index=index()),
    Method.SMART_MATCHING: letter(6, hour=-1, hashes=words("Offer")),
}
ANSWERS_ALL = message(
    answers=("<offer@x.test>",),
    tokens=(TOKEN,),
    conversation_index=index(STEPS[0]),
    hashes=words("Re: Offer"),
)


@pytest.mark.parametrize("first", list(EVIDENCE))
def test_the_first_method_that_finds_one_wins(first: Method) -> None:
    correspondence = Correspondence(US)
    for method, email in EVIDENCE.items():
        if method >= first:
            correspondence.add(email)
    score = "1 of 1 words, 2 addresses" if first is Method.SMART_MATCHING else ""
    assert correspondence.answered_by(ANSWERS_ALL, ALL_METHODS) == Answer(
        EVIDENCE[first].id, first, score
    )


@pytest.mark.parametrize(
    ("switches", "found"),
    [
        pytest.param(Switches(), Method.IN_REPLY_TO, id="by default headers come first"),
        pytest.param(
            Switches(conversations=False), Method.TRACKING_TOKEN, id="tokens have their own switch"
        ),
        pytest.param(Switches(conversations=False, tokens=False), None, id="and so has the rest"),
        pytest.param(
            Switches(conversations=False, tokens=False, smart_matching=SMART),
            Method.SMART_MATCHING,
            id="smart matching works alone",
        ),
    ],
)
def test_switches(switches: Switches, found: Method | None) -> None:
    assert answered(list(EVIDENCE.values()), ANSWERS_ALL, switches) == found


def test_without_tokens_the_conversation_index_comes_next() -> None:
    known = [EVIDENCE[Method.TRACKING_TOKEN], EVIDENCE[Method.CONVERSATION_INDEX]]
    assert answered(known, ANSWERS_ALL, Switches(tokens=False)) == Method.CONVERSATION_INDEX


@pytest.mark.parametrize(
    ("method", "names_parent"),
    [
        (Method.IN_REPLY_TO, True),
        (Method.TRACKING_TOKEN, False),
        (Method.CONVERSATION_INDEX, True),
        (Method.SMART_MATCHING, False),
    ],
)
def test_a_parent_is_what_a_message_names_itself(method: Method, names_parent: bool) -> None:
    """F115."""
    assert Answer(UUID(int=1), method).names_parent is names_parent


# Headers


@pytest.mark.parametrize(
    ("in_reply_to", "references", "ids"),
    [
        pytest.param("", [], (), id="a first email"),
        pytest.param("<b>", [], ("<b>",), id="In-Reply-To alone"),
        pytest.param("", ["<a>", "<b>"], ("<b>", "<a>"), id="References alone, the last first"),
        pytest.param("<b>", ["<a>", "<b>"], ("<b>", "<a>"), id="an id in both once"),
        pytest.param("<a>", ["<a>", "<b>"], ("<a>", "<b>"), id="In-Reply-To before References"),
        pytest.param("x" * (LONGEST_ID + 1), ["<a>"], ("<a>",), id="what is too long is no id"),
        pytest.param("é" * 500, ["<a>"], ("<a>",), id="counted in bytes, as an index does"),
        pytest.param("x" * LONGEST_ID, [], ("x" * LONGEST_ID,), id="the longest line is one"),
    ],
)
def test_the_ids_that_a_message_answers(in_reply_to, references, ids) -> None:
    assert answered_ids(in_reply_to, references) == ids


@pytest.mark.parametrize(
    ("known", "one", "number"),
    [
        pytest.param(
            [letter(1, message_id="<a>"), letter(2, message_id="<b>")],
            message(answers=("<b>", "<a>")), 2,
            id="the nearest email is the parent",
        ),
        pytest.param(
            [letter(1, message_id="<a>")], message(answers=("<b>", "<a>")), 1,
            id="the grandparent when the parent is missing",
        ),
        pytest.param(
            [letter(1, message_id="<A>")], message(answers=("<a>",)), None,
            id="ids are compared as they are written",
        ),
        pytest.param(
            [letter(1, message_id="")], message(answers=()), None, id="no id is no common id"
        ),
        pytest.param(
            [letter(1, message_id="<a>", hour=2)], message(answers=("<a>",)), 1,
            id="a header is believed against a wrong clock",
        ),
        pytest.param(
            [letter(1, message_id="<a>", between=())], message(answers=("<a>",)), 1,
            id="and against other people",
        ),
        pytest.param(
            [letter(1, message_id="<a>", hour=-1, between=(EVE, BOB)),
             letter(2, message_id="<a>", hour=-2)],
            message(answers=("<a>",)), 2,
            id="a borrowed Message-ID gives way to the email that shares more people",
        ),
        pytest.param(
            [letter(1, message_id="<a>", hour=-9, between=(EVE, BOB)),
             letter(2, message_id="<a>", hour=-2)],
            message(answers=("<a>",)), 2,
            id="even when the borrower's date is earlier",
        ),
        pytest.param(
            [letter(1, message_id="<a>", hour=-1), letter(2, message_id="<a>", hour=-2)],
            message(answers=("<a>",)), 2,
            id="of equals the first one had it first",
        ),
        pytest.param(
            [letter(0, message_id="<a>")], message(message_id="<a>", answers=("<a>",)), None,
            id="no email answers itself",
        ),
    ],
)  # fmt: skip
def test_by_header(known: list[Letter], one: Letter, number: int | None) -> None:
    assert answered(known, one) == number


# Tokens


OTHERS = ("zoe@other.test", BOB)


@pytest.mark.parametrize(
    ("known", "one", "number"),
    [
        pytest.param(
            [letter(1, tokens=(TOKEN,), hour=-1)], message(tokens=(TOKEN,)), 1, id="its email"
        ),
        pytest.param(
            [letter(1, tokens=(TOKEN,), hour=-9000), letter(2, tokens=(TOKEN,), hour=-1)],
            message(tokens=(TOKEN,)), 2,
            id="after the counter wrapped, the newer one",
        ),
        pytest.param(
            [letter(1, tokens=(TOKEN,), hour=-9000),
             letter(2, tokens=(TOKEN,), hour=-1, between=OTHERS)],
            message(tokens=(TOKEN,)), 1,
            id="after the counter wrapped, that to the same customer",
        ),
        pytest.param(
            [letter(1, tokens=(TOKEN,), hour=-9), letter(2, tokens=(TOKEN,), hour=1)],
            message(tokens=(TOKEN,)), 1,
            id="never one that is younger than its answer",
        ),
        pytest.param(
            [letter(1, tokens=(TOKEN,), hour=1)], message(tokens=(TOKEN,)), None,
            id="not even when it is the only one",
        ),
        pytest.param(
            [letter(1, tokens=(TOKEN,))], message(tokens=(TOKEN,)), 1, id="one of the same second"
        ),
        pytest.param(
            [letter(1, tokens=(TOKEN,), hour=1)], message(tokens=(TOKEN,), hour=None), 1,
            id="without a date the age is not asked",
        ),
        pytest.param(
            [letter(1, tokens=(TOKEN,), hour=-1)],
            message(tokens=(TOKEN,), between=("ann@home.test", BOB)), 1,
            id="a customer answers from another address",
        ),
        pytest.param(
            [letter(1, tokens=(TOKEN,), hour=-2),
             letter(2, tokens=(TOKEN,), hour=-1, between=OTHERS)],
            message(tokens=(TOKEN,), between=("ann@home.test", BOB)), None,
            id="but not when two emails have the token",
        ),
        pytest.param(
            [letter(1, tokens=(TOKEN,), hour=-1)],
            message(tokens=(TOKEN,), between=(EVE, "postmaster@example.test")), None,
            id="somebody who shares nobody found the token in the street",
        ),
        pytest.param(
            [letter(1, tokens=("CRM:0001001",), hour=-1), letter(2, tokens=("CRM:0001002",),
             hour=-9)],
            message(tokens=("CRM:0001002", "CRM:0001001")), 2,
            id="of two tokens the last in the subject, though its email is older",
        ),
        pytest.param(
            [letter(1, tokens=("CRM:0001001",), hour=-1)],
            message(tokens=("CRM:0001002", "CRM:0001001")), 1,
            id="the other when nobody knows the last",
        ),
        pytest.param([letter(1, hour=-1)], message(tokens=(TOKEN,)), None, id="nobody knows it"),
    ],
)  # fmt: skip
def test_by_token(known: list[Letter], one: Letter, number: int | None) -> None:
    assert answered(known, one) == number


# Conversation index


def indexed(number: int, *steps: bytes, hour: int | None = -1) -> Letter:
    return letter(number, conversation_index=index(*steps), hour=hour)


A, B, C = STEPS


@pytest.mark.parametrize(
    ("known", "one", "number"),
    [
        pytest.param([indexed(1)], message(conversation_index=index(A)), 1, id="the beginning"),
        pytest.param(
            [indexed(1), indexed(2, A), indexed(3, B)], message(conversation_index=index(A, B)), 2,
            id="the nearest of several",
        ),
        pytest.param(
            [indexed(1), indexed(2, B)], message(conversation_index=index(A, C)), 1,
            id="the grandparent when the parent is missing, though a newer one is there",
        ),
        pytest.param(
            [indexed(1, A, hour=-5), indexed(2, A, B, hour=-1)],
            message(conversation_index=index(A, C)), 1,
            id="the parent, not another answer to it that is newer",
        ),
        pytest.param(
            [indexed(1, hour=-9), indexed(2, A, hour=-1)], message(conversation_index=index()),
            None,
            id="who begins a conversation answers nobody",
        ),
        pytest.param(
            [indexed(1, A, B, hour=None), indexed(2, hour=-1)],
            message(conversation_index=index(A)), 2,
            id="never an answer to itself, whatever its date",
        ),
        pytest.param(
            [indexed(1, A, hour=-2), indexed(2, A, hour=-1)],
            message(conversation_index=index(A, B)), 2,
            id="of equals the newest",
        ),
        pytest.param(
            [indexed(1, A, hour=1)], message(conversation_index=index(A, B)), 1,
            id="the index is believed against a wrong clock",
        ),
        pytest.param(
            [indexed(1, B, hour=1)], message(conversation_index=index(A, C)), None,
            id="a shorter index of another branch is not believed against the clock",
        ),
        pytest.param(
            [indexed(1, B, hour=-1)], message(conversation_index=index(A, C)), 1,
            id="but an earlier one is found when nothing nearer is known",
        ),
        pytest.param(
            [indexed(1, B, hour=0)], message(conversation_index=index(A)), None,
            id="of two answers in one second only the second answers the first",
        ),
        pytest.param(
            [letter(1, conversation_index=b"\1" + ROOT[1:])],
            message(conversation_index=index(A)), None,
            id="another conversation",
        ),
    ],
)  # fmt: skip
def test_by_conversation_index(known: list[Letter], one: Letter, number: int | None) -> None:
    assert answered(known, one) == number


@pytest.mark.parametrize("hours", [(1, 0), (0, 0)], ids=["another branch", "one second"])
def test_of_two_answers_one_at_most_answers_the_other(hours: tuple[int, int]) -> None:
    """Their question is not in the CRM."""
    two = indexed(1, A, C, hour=hours[1]), indexed(2, B, hour=hours[0])
    found = [answered([one], other) for one, other in (two, two[::-1])]
    assert found.count(None) == 1


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        pytest.param("", b"", id="none"),
        pytest.param(base64.b64encode(ROOT).decode(), ROOT, id="a beginning"),
        pytest.param(base64.b64encode(ROOT + A).decode(), ROOT + A, id="an answer"),
        pytest.param(base64.b64encode(ROOT[:-1]).decode(), b"", id="too short for one"),
        pytest.param("nonsense!", b"", id="no base64"),
        pytest.param("äöü", b"", id="not even ASCII"),
    ],
)
def test_reading_a_conversation_index(header: str, expected: bytes) -> None:
    assert index_bytes(header) == expected


def test_the_base_of_a_conversation_is_that_of_its_beginning_and_fits_its_column() -> None:
    base = conversation_base(index())
    assert base == conversation_base(index(A, B))
    assert base is not None
    assert -(2**31) <= base < 2**31
    assert base != conversation_base(b"\1" + ROOT[1:])
    assert conversation_base(b"") is None


# Smart matching


@pytest.mark.parametrize(
    ("known", "one", "number"),
    [
        pytest.param(
            [letter(1, hashes=words("Offer"), hour=-2), letter(2, hashes=words("Re: Offer"),
             hour=-1)],
            message(hashes=words("AW: Offer")), 2,
            id="the newest of several",
        ),
        pytest.param(
            [letter(1, hashes=words("Offer"), hour=-2), letter(2, hashes=words("Offer"), hour=1)],
            message(hashes=words("Re: Offer")), 1,
            id="none that is younger than its answer",
        ),
        pytest.param(
            [letter(1, hashes=words("Offer", EVE, BOB), hour=-1)],
            message(hashes=words("Re: Offer")), None,
            id="not with too few people in common",
        ),
        pytest.param(
            [letter(1, hashes=words(""), hour=-1)], message(hashes=words("Re:")), None,
            id="empty subjects never match",
        ),
        pytest.param(
            [letter(1, hashes=words("Offer for ten pipes"), hour=-1)],
            message(hashes=words("Re: Offer for ten tubes")), None,
            id="by default every word counts",
        ),
    ],
)  # fmt: skip
def test_by_words(known: list[Letter], one: Letter, number: int | None) -> None:
    assert answered(known, one) == number


@pytest.mark.parametrize("delta", [0, 1, 2])
def test_words_find_what_a_comparison_with_every_email_finds(delta: int) -> None:
    """The emails that share a rare word are compared alone."""
    smart = SmartMatching(delta_words=delta)
    subjects = [" ".join(each) for size in (1, 2, 3, 4) for each in combinations("abcde", size)]
    known = [letter(n, hour=-n, hashes=words(each)) for n, each in enumerate(subjects, start=1)]
    correspondence = Correspondence(US)
    for one in known:
        correspondence.add(one)
    for each in subjects:
        asks = message(hashes=words(each))
        alike = [one for one in known if smart.score(one.hashes, asks.hashes) is not None]
        found = correspondence.answered_by(asks, Switches(smart_matching=smart))
        assert found is not None
        assert found.email_id == alike[0].id
