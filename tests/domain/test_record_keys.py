"""Whose an item is, by what it bears of its record (F205, F214)."""

from uuid import UUID

import pytest

from syncservice.domain.record_keys import is_anothers, key_of, record_key

OURS, THEIRS, KEY = (UUID(int=number) for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("borne", "key", "anothers"),
    [
        (f"{OURS}/{KEY}", KEY, False),
        (f"{OURS}/{KEY}".upper(), KEY, False),
        (f"{THEIRS}/{KEY}", None, True),
        # What is no key is nobody's.
        ("", None, False),
        (f"{KEY}", None, False),
        (f"{OURS}/", None, False),
        (f"{THEIRS}/", None, False),
        (f"{THEIRS}/7", None, False),
        (f"elsewhere/{KEY}", None, False),
    ],
)
def test_whose_an_item_is(borne: str, key: UUID | None, anothers: bool) -> None:
    assert (key_of(borne, OURS), is_anothers(borne, OURS)) == (key, anothers)


def test_what_is_put_on_an_item_is_read_again() -> None:
    assert key_of(record_key(OURS, KEY), OURS) == KEY
