"""The changes of one folder (or of a mailbox's folder tree), and what a client missed of them.

Every change takes the next number of its log. An entry remembers the number it was born with, the
number of its last change and that of its last read-flag change; so the net change since a position
can be told from the entries themselves, as Exchange does it with its sets of given and seen ids.

Positions are values: a client may go on from any of them, as often as it likes, and always learns
the net change since then - also when the folder changes between two pages.
"""

import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, Protocol, TypeVar


class Entry(Protocol):
    """What a log keeps track of. All numbers are of the entry's own log; 0 stands for never."""

    number: int
    changed: int
    read_changed: int
    deleted: bool


class Change(Enum):
    """How a client hears of an entry."""

    CREATE = "Create"
    UPDATE = "Update"
    DELETE = "Delete"
    READ_FLAG = "ReadFlagChange"


@dataclass(frozen=True, slots=True)
class Position:
    """What a client has been told.

    Everything up to `told`, but not the birth of the entries in `unborn`; and of what came later,
    the changes in `seen`. During the first pass, newest first, `floor` is the lowest number listed
    so far; 0 once the first pass is over.
    """

    told: int = 0
    floor: int = 0
    unborn: frozenset[int] = frozenset()
    seen: frozenset[int] = frozenset()
    is_new: bool = False


START = Position(is_new=True)
E_ = TypeVar("E_", bound=Entry)


@dataclass(frozen=True, slots=True)
class Page(Generic[E_]):
    """Some changes, the position behind them, and whether that is the end of the log for now."""

    changes: list[tuple[Change, E_]]
    position: Position
    is_last: bool


@dataclass(slots=True)
class ChangeLog(Generic[E_]):
    """The log; entry `n` stands at index n - 1."""

    newest_first: bool = True
    entries: list[E_] = field(default_factory=list)
    grown_at: float = field(default_factory=time.time)  # seconds since 1970

    def born(self, entry: E_) -> None:
        """Note a new entry."""
        self._append(entry)
        entry.number = entry.changed = len(self.entries)
        entry.read_changed = 0
        entry.deleted = False

    def changed(self, entry: E_) -> None:
        """Note a change of more than the read flag."""
        self._append(entry)
        entry.changed = len(self.entries)

    def read_changed(self, entry: E_) -> None:
        """Note that only the read flag changed."""
        self._append(entry)
        entry.read_changed = len(self.entries)

    def died(self, entry: E_) -> None:
        """Note that the entry is gone from here."""
        entry.deleted = True
        self.changed(entry)

    def _append(self, entry: E_) -> None:
        self.entries.append(entry)
        self.grown_at = time.time()

    def page(self, since: Position, limit: int) -> Page[E_]:
        """Return at most `limit` net changes behind `since`."""
        if since.is_new and self.newest_first:
            head = len(self.entries)
            since = Position(told=head, floor=head + 1)
        elif since.is_new:
            since = Position()
        return self._first_pass(since, limit) if since.floor else self._later_pass(since, limit)

    def _first_pass(self, since: Position, limit: int) -> Page[E_]:
        """List what exists, newest first, down to the first entry."""
        found: list[tuple[Change, E_]] = []
        seen, unborn = set(since.seen), set(since.unborn)
        floor, told = since.floor, since.told
        while floor > 1:
            entry = self.entries[floor - 2]
            if entry.number == floor - 1:  # a birth
                if not entry.deleted and len(found) == limit:
                    return Page(
                        found, Position(told, floor, frozenset(unborn), frozenset(seen)), False
                    )
                if not entry.deleted:
                    found.append((Change.CREATE, entry))
                    seen.update(n for n in (entry.changed, entry.read_changed) if n > told)
                elif entry.changed > told:
                    unborn.add(entry.number)  # its end comes later in the log, but is no news
            floor -= 1
        position = Position(told, 0, frozenset(unborn), frozenset(seen))
        return Page(found, position, not self._news(position))

    def _news(self, position: Position) -> bool:
        return bool(self._later_pass(position, 1).changes)

    def _later_pass(self, since: Position, limit: int) -> Page[E_]:
        """Tell what changed behind `since`, oldest change first."""
        found: list[tuple[Change, E_]] = []
        seen, unborn = set(since.seen), set(since.unborn)
        told, head = since.told, len(self.entries)
        while told < head:
            entry = self.entries[told]
            number = told + 1
            change = None
            is_known = entry.number <= since.told and entry.number not in unborn
            if number == entry.changed:
                if entry.deleted:
                    change = Change.DELETE if is_known else None
                elif number not in seen:
                    change = Change.UPDATE if is_known else Change.CREATE
            elif number == entry.read_changed > entry.changed and number not in seen:
                change = Change.READ_FLAG
            if change and len(found) == limit:
                break
            told = number
            if change:
                found.append((change, entry))
                unborn.discard(entry.number)
                if change is not Change.READ_FLAG and entry.read_changed > entry.changed:
                    seen.add(entry.read_changed)
            elif number == entry.number and entry.changed > number:
                unborn.add(number)  # its birth is told with its last change
        position = Position(
            told,
            0,
            frozenset(n for n in unborn if self.entries[n - 1].changed > told),
            frozenset(n for n in seen if n > told),
        )
        return Page(found, position, told == head)
