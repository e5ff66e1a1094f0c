"""Which contacts of the CRM are probably the person of a contact in the mailbox (F213)."""

import pytest

from syncservice.domain.adoption import Hint
from syncservice.domain.likeness import folded, likeness, look_alikes


def hint(said: str) -> Hint[str]:
    """Read "Ann Ash <a@x.test, b@x.test>"; the whole of it is its name."""
    name, _, addresses = said.rstrip(">").partition("<")
    return Hint(name=said, subject=name, addresses=tuple(filter(None, addresses.split(","))))


@pytest.mark.parametrize(
    ("item", "record", "alike"),
    [
        # Both signs, one of them, none.
        ("Ann Ash <ann@x.test>", "Ann Ash <ann@x.test>", "address_and_name"),
        ("Ann Ash <ann@x.test>", "Ann Elm <ann@x.test>", "address"),
        ("Ann Ash <ann@x.test>", "Ann Ash <ann@home.test>", "name"),
        ("Ann Ash <ann@x.test>", "Ann Ash", "name"),
        ("Ann Ash", "Ann Ash <ann@x.test>", "name"),
        ("Ann Ash <ann@x.test>", "Ann Elm <elm@x.test>", None),
        # Any of the addresses.
        ("Ann <a@x.test,b@x.test>", "Bob <c@x.test,b@x.test>", "address"),
        # Case, accents and blanks are no difference.
        ("Zoë  Brontë ", " zoe bronte", "name"),
        ("JOSÉ NUN\u0303EZ", "José Nuñez", "name"),
        ("Groß", "GROSS", "name"),
        ("Ann < Ann@X.test >", "Bob <aNN@x.test>", "address"),
        # An order or a part of a name is another name.
        ("Ash Ann", "Ann Ash", None),
        ("Ann B. Ash", "Ann Ash", None),
        # Who has no name is not everybody without one, and has not their address.
        ("", "", None),
        (" ", "", None),
        ("< >", "< >", None),
        (" <ann@x.test>", "Ann <ann@x.test>", "address"),
    ],
)
def test_what_two_contacts_have_in_common(item: str, record: str, alike: str | None) -> None:
    assert likeness(hint(item), hint(record)) == alike
    assert likeness(hint(record), hint(item)) == alike


@pytest.mark.parametrize(
    ("records", "most", "found"),
    [
        ([], 5, []),
        (["Bob"], 5, []),
        (["Ann", "Bob <a@x>", "Ann <a@x>"], 5, ["Ann <a@x>", "Bob <a@x>", "Ann"]),
        (["Ann", "ann", "Ann <b@x>"], 5, ["Ann", "ann", "Ann <b@x>"]),
        (["Ann", "ann", "Bob <a@x>"], 2, ["Bob <a@x>", "Ann"]),
        (["Ann", "Ann"], 5, ["Ann"]),
    ],
)
def test_the_likeliest_come_first(records: list[str], most: int, found: list[str]) -> None:
    alike = look_alikes(hint("Ann <a@x>"), map(hint, records), most=most)
    assert [name for name, _ in alike] == found


def test_a_name_is_folded_once_and_for_all() -> None:
    assert folded(" Žofie  ŠÍLENÁ\t") == "zofie silena" == folded(folded("Žofie Šílená"))
