"""Which record an address stands for (F106, F107, F267)."""

from datetime import UTC, datetime, timedelta

import pytest

from syncservice.domain.resolution import (
    MOST_MATCHES,
    Kind,
    Match,
    recipients_of,
    sender_of,
    takers_of,
)

FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def match(kind: Kind, number: int = 1, *, days: int = 0, is_active: bool = True) -> Match:
    created = None if kind is Kind.QUEUE else FIRST + timedelta(days=days)
    return Match(kind, number, is_active, owner_id=None, created_at=created)


USER, CONTACT, ACCOUNT, LEAD, QUEUE = (match(kind) for kind in Kind)
GONE_USER = match(Kind.USER, is_active=False)
CONTACTS = [match(Kind.CONTACT, number, days=number) for number in range(MOST_MATCHES + 1)]


@pytest.mark.parametrize(
    ("matches", "sender"),
    [
        pytest.param([], None, id="nobody known wrote it"),
        pytest.param([QUEUE, LEAD, ACCOUNT, CONTACT, USER], USER, id="a user comes before all"),
        pytest.param([QUEUE, LEAD, ACCOUNT, CONTACT], CONTACT, id="then a contact"),
        pytest.param([QUEUE, LEAD, ACCOUNT], ACCOUNT, id="then an account"),
        pytest.param([QUEUE, LEAD], LEAD, id="then a lead"),
        pytest.param([QUEUE], QUEUE, id="then a queue"),
        pytest.param([GONE_USER], None, id="who is not active has written nothing"),
        pytest.param([GONE_USER, LEAD], LEAD, id="an inactive record leaves it to the next kind"),
        pytest.param(
            [match(Kind.CONTACT, 1, days=2), match(Kind.CONTACT, 2, days=1)],
            match(Kind.CONTACT, 2, days=1),
            id="of two contacts it is the one that was there first",
        ),
        pytest.param(
            [match(Kind.CONTACT, 2), match(Kind.CONTACT, 1)],
            match(Kind.CONTACT, 1),
            id="of two made at once it is always the same",
        ),
        pytest.param(CONTACTS[:-1], CONTACTS[0], id="a hundred records are compared still"),
        pytest.param(CONTACTS, None, id="an address of more than a hundred is nobody's"),
        pytest.param(
            [*CONTACTS[:-1], GONE_USER], CONTACTS[0], id="inactive ones don't count to a hundred"
        ),
    ],
)
def test_who_wrote_it(matches: list[Match], sender: Match | None) -> None:
    assert sender_of(matches, unresolves_several=False) == sender


@pytest.mark.parametrize(
    ("matches", "sender"),
    [
        pytest.param([CONTACT, LEAD], None, id="several records leave the sender open"),
        pytest.param([CONTACT], CONTACT, id="one record is the sender still"),
        pytest.param([GONE_USER, LEAD], LEAD, id="an inactive record makes no second"),
    ],
)
def test_who_wrote_it_when_several_leave_it_open(matches: list[Match], sender: Match | None):
    assert sender_of(matches, unresolves_several=True) == sender


@pytest.mark.parametrize(
    ("unresolves_several", "matches", "recipients"),
    [
        pytest.param(False, [], (), id="nobody has the address"),
        pytest.param(
            False, [QUEUE, CONTACT, USER], (USER, CONTACT, QUEUE), id="all who have it are listed"
        ),
        pytest.param(False, [GONE_USER, LEAD], (LEAD,), id="but none that is not active"),
        pytest.param(False, CONTACTS[:-1], tuple(CONTACTS[:-1]), id="up to a hundred"),
        pytest.param(False, CONTACTS, (), id="and of more than a hundred none"),
        pytest.param(True, [CONTACT, LEAD], (), id="the option leaves several unresolved"),
        pytest.param(True, [LEAD], (LEAD,), id="the option leaves a single one resolved"),
        pytest.param(True, [GONE_USER, LEAD], (LEAD,), id="the option counts active ones alone"),
    ],
)
def test_to_whom_it_is(
    unresolves_several: bool, matches: list[Match], recipients: tuple[Match, ...]
) -> None:
    assert recipients_of(matches, unresolves_several=unresolves_several) == recipients


@pytest.mark.parametrize(
    ("matches", "takers"),
    [
        pytest.param([QUEUE, CONTACT, USER], (USER, QUEUE), id="users and queues, users first"),
        pytest.param([*CONTACTS, QUEUE], (QUEUE,), id="however many others have the address"),
        pytest.param([GONE_USER, CONTACT], (), id="none that is not active"),
    ],
)
def test_who_of_us_it_is_to(matches: list[Match], takers: tuple[Match, ...]) -> None:
    assert takers_of(matches) == takers
