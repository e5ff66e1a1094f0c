"""Adoption: which items of a mailbox are the records that would be created in it (P05, P06).

A mailbox that was kept in step before, by us or by another program, has most of them already. What
is not certain is left alone: a wrong pair would write one person's data over another's.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)
ItemName = TypeVar("ItemName", bound=Hashable)
RecordName = TypeVar("RecordName", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint(Generic[Name]):
    """What tells an item, or a record, from others of its kind; '': it says nothing of that."""

    name: Name  # unique on its side
    key: str = ""  # the record's; an item bears the one that it was given
    uid: str = ""  # of a meeting
    subject: str = ""  # of a contact: the display name
    starts_at: str = ""  # as both sides write moments
    addresses: tuple[str, ...] = ()  # of a contact, in lower case


#: What of a hint is compared; several are compared one by one.
Sign = Callable[[Hint[Any]], Iterable[Hashable]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSync:
    """What a first synchronization would do, before it does anything."""

    creates_in_exchange: int = 0
    creates_in_crm: int = 0
    links: int = 0  # what is on both sides already
    skips: int = 0  # what stays on its own side
    invitations: int = 0  # messages to attendees
    linked_elsewhere: int = 0  # items of another organisation, which are left alone (F214)

    def as_plan(self) -> dict[str, int]:
        """Return it as JSON."""
        return asdict(self)


def match(
    items: Sequence[Hint[ItemName]], records: Sequence[Hint[RecordName]]
) -> dict[ItemName, RecordName]:
    """Return which item is which record; each of them once at most.

    The surest sign counts first: the key on the item, the meeting's UID, an address together with a
    name, a subject together with a start. Where a sign is borne by several, they are paired when
    both sides have equally many: nothing else tells them apart. Else none is.
    """
    pairs = _by_key(items, records)
    bearers = {record.key for record in records} - {""}
    # A copied item bears the key of another one's record: it is no other record (F205).
    items = [item for item in items if item.key not in bearers]
    # A record whose UID is known is the meeting of that UID, and none that begins when it does.
    unknown = [record for record in records if not record.uid]
    for sign, among in (
        (_uid, records),
        (_address_and_name, records),
        (_subject_and_start, unknown),
    ):
        taken = set(pairs.values())
        left = [item for item in items if item.name not in pairs]
        pairs |= _by_sign(left, [record for record in among if record.name not in taken], sign)
    return pairs


def _by_key(
    items: Iterable[Hint[ItemName]], records: Iterable[Hint[RecordName]]
) -> dict[ItemName, RecordName]:
    """Pair by key; of an item and its copies, the one that looks most like the record."""
    by_key = _grouped(items, lambda hint: [hint.key])
    pairs = {}
    for record in records:
        bearers = by_key.get(record.key, ()) if record.key else ()
        if bearers:
            likeness = [_likeness(item, record) for item in bearers]
            pairs[bearers[likeness.index(max(likeness))].name] = record.name
    return pairs


def _likeness(item: Hint[ItemName], record: Hint[RecordName]) -> tuple[bool, int]:
    alike = (_subject(item) == _subject(record)) + (item.starts_at == record.starts_at)
    return bool(record.uid) and item.uid == record.uid, alike


def _by_sign(
    items: Iterable[Hint[ItemName]],
    records: Iterable[Hint[RecordName]],
    sign: Sign,
) -> dict[ItemName, RecordName]:
    theirs = _grouped(records, sign)
    pairs: dict[ItemName, RecordName] = {}
    taken: set[RecordName] = set()
    for borne, those in _grouped(items, sign).items():
        others = theirs.get(borne, ())
        if len(those) != len(others):
            continue
        for item, record in zip(those, others, strict=True):
            if item.name not in pairs and record.name not in taken:
                pairs[item.name] = record.name
                taken.add(record.name)
    return pairs


def _grouped(hints: Iterable[Hint[Name]], sign: Sign) -> Mapping[Hashable, list[Hint[Name]]]:
    found: dict[Hashable, list[Hint[Name]]] = defaultdict(list)
    for hint in hints:
        for borne in dict.fromkeys(sign(hint)):
            found[borne].append(hint)
    return found


def _subject(hint: Hint[Any]) -> str:
    return " ".join(hint.subject.casefold().split())


def _uid(hint: Hint[Any]) -> Iterable[Hashable]:
    return [hint.uid] if hint.uid else []


def _address_and_name(hint: Hint[Any]) -> Iterable[Hashable]:
    return [(address, _subject(hint)) for address in hint.addresses]


def _subject_and_start(hint: Hint[Any]) -> Iterable[Hashable]:
    return [(_subject(hint), hint.starts_at)] if hint.starts_at and _subject(hint) else []
