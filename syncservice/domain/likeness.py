"""Likeness: which contacts of the CRM are probably the person of a contact in the mailbox (F213).

`adoption` pairs for certain, by address together with name, among the records that would be created
in the mailbox anyway. Whoever else in the CRM bears one of both signs, or both of them, may be the
same person and may be another one: only people can tell, so they are asked.
"""

import enum
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from syncservice.domain.adoption import Hint, RecordName

#: What NFKD takes off letters; PostgreSQL's `crm_folded_name` takes off the same.
_MARKS = re.compile("[\u0300-\u036f]+")


class Likeness(enum.StrEnum):
    """What two contacts have in common; the surest first."""

    ADDRESS_AND_NAME = "address_and_name"
    ADDRESS = "address"
    NAME = "name"


_ORDER = list(Likeness)


def folded(name: str) -> str:
    """Return a name without case, accents and blanks that are too many; '' is nobody's."""
    return " ".join(_MARKS.sub("", unicodedata.normalize("NFKD", name)).casefold().split())


def likeness(item: Hint[Any], record: Hint[Any]) -> Likeness | None:
    """Say what a contact of the mailbox and one of the CRM have in common; None: nothing."""
    by_address = bool(_addresses(item) & _addresses(record))
    by_name = folded(item.subject) == folded(record.subject) != ""
    if by_address:
        return Likeness.ADDRESS_AND_NAME if by_name else Likeness.ADDRESS
    return Likeness.NAME if by_name else None


def look_alikes(
    item: Hint[Any], records: Iterable[Hint[RecordName]], *, most: int
) -> list[tuple[RecordName, Likeness]]:
    """Return the records that are probably the same person, the likeliest first, `most` of them.

    Those that are as likely as each other stay in their order; each is named once.
    """
    found: dict[RecordName, Likeness] = {}
    for record in records:
        alike = likeness(item, record)
        if alike is not None:
            found[record.name] = alike
    return sorted(found.items(), key=lambda one: _ORDER.index(one[1]))[:most]


def _addresses(hint: Hint[Any]) -> set[str]:
    return {address.strip().casefold() for address in hint.addresses} - {""}
