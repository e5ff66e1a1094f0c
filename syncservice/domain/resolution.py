"""Whose address it is: which records the parties of an email stand for (F106, F107)."""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


class Kind(enum.StrEnum):
    """What kind of record has an address; in the order in which a sender is looked for (F106)."""

    USER = "user"
    CONTACT = "contact"
    ACCOUNT = "account"
    LEAD = "lead"
    QUEUE = "queue"


_PRIORITY = {kind: place for place, kind in enumerate(Kind)}

#: An address that more records have is a switchboard's or nobody's.
MOST_MATCHES = 100


@dataclass(frozen=True, slots=True)
class Match:
    """A record that has an address."""

    kind: Kind
    id: int
    is_active: bool
    owner_id: int | None  # a user; of a user: itself
    created_at: datetime | None  # None: not told, of queues


def sender_of(matches: Iterable[Match], *, unresolves_several: bool) -> Match | None:
    """Return the one record that wrote, None when nobody is known or too many are (F106, F267).

    The first kind that has the address wins, and of that kind the record that has been there
    longest: a copy made yesterday doesn't take a customer's mail away.
    """
    active = [match for match in matches if match.is_active]
    if len(active) > MOST_MATCHES or (unresolves_several and len(active) > 1):
        return None
    return min(active, key=_rank, default=None)


def recipients_of(matches: Iterable[Match], *, unresolves_several: bool) -> tuple[Match, ...]:
    """Return all records that a recipient's address stands for (F107)."""
    active = sorted((match for match in matches if match.is_active), key=_rank)
    if len(active) > MOST_MATCHES or (unresolves_several and len(active) > 1):
        return ()
    return tuple(active)


def takers_of(matches: Iterable[Match]) -> tuple[Match, ...]:
    """Return the users and queues that have an address, and may want what is sent to it.

    What the address stands for as a party of an email is another question: `recipients_of`.
    """
    ours = (Kind.USER, Kind.QUEUE)
    return tuple(sorted((one for one in matches if one.is_active and one.kind in ours), key=_rank))


def _rank(match: Match) -> tuple[int, float, int]:
    created = match.created_at.timestamp() if match.created_at else 0.0
    return _PRIORITY[match.kind], created, match.id
