"""Which items are the records that would be created (P05, P06), and when somebody is asked."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncservice.domain import guard
from syncservice.domain.adoption import FirstSync, Hint, match

NINE, TEN = "2026-03-01T09:00:00Z", "2026-03-01T10:00:00Z"


def hints(*rows: str) -> list[Hint[str]]:
    """Read "name key=K uid=U subject=S_T at=NINE to=a@x,b@x"."""
    found = []
    for row in rows:
        name, *words = row.split()
        said: dict[str, Any] = dict(word.split("=", 1) for word in words)
        found.append(
            Hint(
                name=name,
                key=said.get("key", ""),
                uid=said.get("uid", ""),
                subject=said.get("subject", "").replace("_", " "),
                starts_at=said.get("at", ""),
                addresses=tuple(said["to"].split(",")) if "to" in said else (),
            )
        )
    return found


@pytest.mark.parametrize(
    ("items", "records", "pairs"),
    [
        # One sign each.
        (["i key=R"], ["r key=R"], "i=r"),
        (["i uid=U"], ["r key=R uid=U"], "i=r"),
        (["i subject=Ann_Ash to=a@x"], ["r key=R subject=ann__ash to=b@x,a@x"], "i=r"),
        (["i uid=U subject=Call at=9"], ["r key=R subject=call at=9"], "i=r"),
        # Half a sign is none.
        (["i subject=Ann to=a@x"], ["r subject=Bob to=a@x"], ""),
        (["i subject=Ann"], ["r subject=Ann"], ""),
        (["i subject=Call at=9"], ["r subject=Call at=10"], ""),
        (["i at=9"], ["r at=9"], ""),
        (["i"], ["r"], ""),
        (["i key=Q"], ["r key=R"], ""),
        # The surest first.
        (["i key=R uid=U", "j uid=V"], ["r key=R uid=V", "s key=S uid=U"], "i=r"),
        (
            ["i uid=U subject=A at=9", "j uid=V subject=B at=9"],
            ["r uid=V subject=A at=9", "s subject=B at=9"],
            "j=r",
        ),
        # A key of a record that is gone says nothing.
        (["i key=Q subject=Call at=9"], ["r key=R subject=Call at=9"], "i=r"),
        # A record whose UID is known is no other meeting of the same time.
        (["i uid=U subject=Call at=9"], ["r uid=V subject=Call at=9"], ""),
        # Several: only when both sides have as many.
        (["i subject=A at=9", "j subject=A at=9"], ["r subject=A at=9"], ""),
        (["i subject=A at=9"], ["r subject=A at=9", "s subject=A at=9"], ""),
        (
            ["i subject=A at=9", "j subject=A at=9"],
            ["r subject=A at=9", "s subject=A at=9"],
            "i=r j=s",
        ),
        (["i subject=Ann to=a@x", "j subject=Ann to=a@x"], ["r subject=Ann to=a@x"], ""),
        (["i subject=Ann to=a@x,a@x"], ["r subject=Ann to=a@x"], "i=r"),
        # Another address tells two of one name apart.
        (
            ["i subject=Ann to=a@x,b@x", "j subject=Ann to=a@x"],
            ["r subject=Ann to=b@x"],
            "i=r",
        ),
        (["i subject=Ann to=a@x,b@x"], ["r subject=Ann to=a@x", "s subject=Ann to=b@x"], "i=r"),
        # Of an item and its copies the record's is the one that is most like it.
        (["i key=R subject=B", "j key=R subject=A"], ["r key=R subject=A"], "j=r"),
        (["i key=R uid=U subject=A", "j key=R uid=V"], ["r key=R uid=V subject=A"], "j=r"),
        (
            ["i key=R subject=A at=9", "j key=R subject=A at=9"],
            ["r key=R subject=B at=9", "s subject=A at=9"],
            "i=r",
        ),
    ],
)
def test_which_item_is_which_record(items: list[str], records: list[str], pairs: str) -> None:
    expected = dict(pair.split("=") for pair in pairs.split())
    assert match(hints(*items), hints(*records)) == expected


SOME = st.lists(
    st.builds(
        Hint,
        name=st.none(),
        key=st.sampled_from(["", "R", "S"]),
        uid=st.sampled_from(["", "U", "V"]),
        subject=st.sampled_from(["", "A", "B"]),
        starts_at=st.sampled_from(["", NINE, TEN]),
        addresses=st.lists(st.sampled_from(["a@x", "b@x"]), max_size=2).map(tuple),
    ),
    max_size=8,
)


@given(SOME, SOME)
def test_each_once_at_most_and_only_with_a_sign_in_common(
    items: list[Hint[None]], records: list[Hint[None]]
) -> None:
    ours = [named(hint, number) for number, hint in enumerate(items)]
    theirs = [named(hint, number) for number, hint in enumerate(records)]
    pairs = match(ours, theirs)
    assert len(set(pairs.values())) == len(pairs)
    for item_name, record_name in pairs.items():
        item, record = ours[item_name], theirs[record_name]
        assert (
            (item.key and item.key == record.key)
            or (item.uid and item.uid == record.uid)
            or (set(item.addresses) & set(record.addresses) and item.subject == record.subject)
            or (item.subject, item.starts_at) == (record.subject, record.starts_at)
        )


def named(hint: Hint[None], number: int) -> Hint[int]:
    return Hint(
        name=number,
        key=hint.key,
        uid=hint.uid,
        subject=hint.subject,
        starts_at=hint.starts_at,
        addresses=hint.addresses,
    )


def test_ten_thousand_of_one_subject_and_as_many_of_their_own() -> None:
    """Comparing each with each would take minutes."""
    items = [Hint(name=n, subject="Call", starts_at=str(n)) for n in range(10_000)]
    items += [Hint(name=-n, subject="Call", starts_at="the same") for n in range(1, 10_001)]
    records = items[:]
    random.Random(1).shuffle(records)
    pairs = match(items, records)
    assert len(pairs) == 20_000
    assert all(pairs[n] == n for n in range(10_000))


@pytest.mark.parametrize(
    ("exchange", "crm", "invitations", "asks"),
    [
        (0, 0, 0, False),
        (500, 0, 0, False),
        (501, 0, 0, True),
        (0, 501, 0, True),
        (250, 251, 0, True),
        (1, 0, 50, False),
        (1, 0, 51, True),
    ],
)
def test_a_first_synchronization_asks_when_it_is_much(
    exchange: int, crm: int, invitations: int, asks: bool
) -> None:
    counts = FirstSync(
        creates_in_exchange=exchange, creates_in_crm=crm, links=9, invitations=invitations
    )
    reason = guard.first_synchronization(counts, most=500)
    assert bool(reason) is asks
    for number in (exchange, crm, 9, invitations):
        assert not asks or f" {number} " in reason


@pytest.mark.parametrize(
    ("count", "linked", "asks"),
    [
        (10, 10, False),
        (11, 11, True),
        (11, 54, True),
        (11, 55, False),
        (200, 1000, False),
        (201, 1000, True),
        (0, 0, False),
    ],
)
def test_many_deletions_are_asked_about(count: int, linked: int, asks: bool) -> None:
    reason = guard.mass_deletion(count, linked, most=10)
    assert bool(reason) is asks
    assert not asks or reason.startswith(f"{count} of {linked} ")


def test_a_plan_is_json_of_numbers() -> None:
    assert FirstSync(links=2, invitations=3).as_plan() == {
        "creates_in_exchange": 0,
        "creates_in_crm": 0,
        "links": 2,
        "skips": 0,
        "invitations": 3,
        "linked_elsewhere": 0,
    }
