"""Three-way merge of a record and an item: what each side is to be told of the other's edits.

Values are merged one by one; the reference names no winner (3K), so what is lost is always named
as a `Conflict`, with both values. What is kept with the link is a `Base`: what each side said when
they were last put in step. The sides may differ in it: a value that may not travel is no news only
because it is different. `Merged.base` is what both sides say once all of `Merged` is written. Until
then the link keeps the old one, which costs nothing: what both sides changed to the same is equal.

Four things are more than a value. Attendees are merged one by one, by their addresses; files, by
their names and contents: what either side adds, both have. The time
and the recurrence of a series are one value, and whoever gives it gives its occurrences again:
servers drop the occurrences that differ when a series is changed. An occurrence that differs no
more is None in what is to be written.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from syncservice.domain.field_map import Direction
from syncservice.domain.item_values import DELETED, OCCURRENCE, VALUES, Value, Values

#: Name in a conflict of an attendee whom both sides treated differently: "attendee:ann@x.test",
#: the values being "required", "optional" and None.
ATTENDEE = "attendee:"
ROLES = ("required", "optional")
FILES = "attachments"
#: Name in a conflict of the two; the values are dicts of them.
SERIES = "recurrence"
_SERIES_NAMES = ("time", "recurrence")
#: What a value is that nobody has set; all kinds agree about the names that they share.
_UNSET: Values = {name: unset for names in VALUES.values() for name, unset in names.items()}


class Side(enum.StrEnum):
    CRM = "crm"
    EXCHANGE = "exchange"

    @property
    def other(self) -> "Side":
        return Side.EXCHANGE if self is Side.CRM else Side.CRM

    @property
    def way(self) -> Direction:
        """The direction in which this side's values travel."""
        return Direction.TO_EXCHANGE if self is Side.CRM else Direction.TO_CRM


class Policy(enum.StrEnum):
    """Who wins when both sides changed a value differently."""

    LATER = "later"
    CRM = "crm"
    EXCHANGE = "exchange"


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedence:
    """Who wins; where it is the later one and nobody can tell, Exchange does."""

    policies: Mapping[str, Policy] = field(default_factory=dict)  # by a value's name
    otherwise: Policy = Policy.LATER
    crm_changed_at: datetime | None = None  # None: not known
    exchange_changed_at: datetime | None = None  # None: the same

    def of(self, name: str) -> Side:
        policy = self.policies.get(name, self.otherwise)
        if policy is not Policy.LATER:
            return Side(policy.value)
        crm, exchange = self.crm_changed_at, self.exchange_changed_at
        return Side.CRM if crm and exchange and crm > exchange else Side.EXCHANGE


@dataclass(frozen=True, slots=True)
class Base:
    """What each side said when they were last put in step."""

    crm: Values
    exchange: Values

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `stored` has written."""
        crm = stored["crm"]
        return cls(crm, applied(crm, stored["exchange"]))

    def begun(self) -> "Base":
        """Return what holds as soon as the item is there: the rest is put on it afterwards."""
        return Base(_begun(self.crm), _begun(self.exchange))

    def stored(self) -> dict[str, Any]:
        """Return it as JSON: of Exchange's only what differs, for bodies are long."""
        names = {*self.crm, *self.exchange}
        return {
            "crm": dict(self.crm),
            "exchange": {
                name: self.exchange.get(name)
                for name in sorted(names)
                if self.crm.get(name) != self.exchange.get(name)
            },
        }


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two edits of which one is lost; the values are as they were before the merge."""

    name: str
    base: Value  # what the winner said before; None also when nothing is known of that
    crm: Value
    exchange: Value
    winner: Side


@dataclass(frozen=True, slots=True)
class Merged:
    """What is to be written to each side, the changed values only, and what holds after it."""

    to_crm: Values
    to_exchange: Values
    base: Base
    conflicts: tuple[Conflict, ...]


def _begun(values: Values) -> Values:
    """Return values without occurrences that differ and files."""
    kept = {name: value for name, value in values.items() if not name.startswith(OCCURRENCE)}
    return {**kept, FILES: []} if FILES in kept else kept


def applied(values: Values, changes: Values) -> dict[str, Value]:
    """Return `values` with `changes` made."""
    whole = {**values, **changes}
    gone = {name for name in whole if name.startswith(OCCURRENCE) and whole[name] is None}
    return {name: value for name, value in whole.items() if name not in gone}


def brings_back(exchange: Values, changes: Values) -> bool:
    """Say whether an occurrence is to come back that Exchange has deleted.

    Nothing brings one back but the pattern of its series, written again.
    """
    return any(
        name.startswith(OCCURRENCE) and exchange.get(name) == DELETED and changes[name] != DELETED
        for name in changes
    )


def overruled(crm: Values, exchange: Values, told: Values) -> tuple[Conflict, ...]:
    """Say what the CRM loses where all that Exchange says counts, whoever said it last.

    `told` is what the CRM is told. Who attends and has answered is Exchange's to say anyway, and
    what each copy has for itself came from an attendee's.
    """
    names = told.keys() - {*ROLES, "responses", "show_as", "reminder", FILES}
    found = []
    if crm.get(SERIES) is not None and names & {*_SERIES_NAMES}:
        names -= {*_SERIES_NAMES}
        lost, kept = ({name: one.get(name) for name in _SERIES_NAMES} for one in (crm, exchange))
        found.append(Conflict(SERIES, None, lost, kept, Side.EXCHANGE))
    return (
        *found,
        *(
            Conflict(name, None, crm[name], exchange.get(name), Side.EXCHANGE)
            for name in sorted(names)
            if name in crm and crm[name] != _UNSET.get(name)
        ),
    )


def merge(
    base: Base | None,
    crm: Values,
    exchange: Values,
    directions: Mapping[str, Direction],
    precedence: Precedence,
) -> Merged:
    """Return what each side is to be told.

    `directions` is by a value's name; a name that it lacks goes nowhere, an occurrence goes the way
    of "recurrence", and all attendees that of the required ones (3F allows no other). With no base,
    a value that nobody has set yields to one that somebody has; an item or a record that is yet to
    be made is the kind's table in `item_values.VALUES`.
    """
    work = _Merge(base, {Side.CRM: crm, Side.EXCHANGE: exchange}, directions, precedence)
    work.run()
    after = {side: applied(work.said[side], work.told[side]) for side in Side}
    return Merged(
        work.told[Side.CRM],
        work.told[Side.EXCHANGE],
        Base(after[Side.CRM], after[Side.EXCHANGE]),
        tuple(work.conflicts),
    )


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is decided as one: its value on both sides, now and then."""

    name: str
    said: Mapping[Side, Value]
    before: Mapping[Side, Value] | None  # None: nothing is known
    unset: Value

    def same(self, one: Value, other: Value) -> bool:
        if self.name == "organizer":  # each side has its own names for people
            return bool(_address(one) == _address(other))
        return bool(one == other)

    @property
    def differs(self) -> bool:
        return not self.same(self.said[Side.CRM], self.said[Side.EXCHANGE])

    def is_changed(self, side: Side) -> bool:
        if self.before is None:
            return not self.same(self.said[side], self.unset)
        return not self.same(self.said[side], self.before[side])

    def winner(self, direction: Direction, precedence: Precedence) -> Side | None:
        """Say which side's value the other is told; None: each keeps its own."""
        if not self.differs:
            return None
        able = [side for side in Side if side.way in direction and self.is_changed(side)]
        if len(able) == len(Side):
            return precedence.of(self.name)
        return able[0] if able else None

    def conflict(self, winner: Side) -> Conflict | None:
        """Say what is lost when `winner` has it: what it never said itself."""
        lost = self.said[winner.other]
        is_known = self.before is not None and self.same(lost, self.before[winner])
        if not self.differs or (is_known and not self.is_changed(winner.other)):
            return None
        if self.before is None and self.same(lost, self.unset):
            return None
        before = self.before[winner] if self.before is not None else None
        crm, exchange = self.said[Side.CRM], self.said[Side.EXCHANGE]
        return Conflict(self.name, before, crm, exchange, winner)


class _Merge:
    """One merge at work: gathers what is told to whom."""

    def __init__(
        self,
        base: Base | None,
        said: Mapping[Side, Values],
        directions: Mapping[str, Direction],
        precedence: Precedence,
    ) -> None:
        self.said = said
        self.before: dict[Side, Values] | None = (
            None if base is None else {Side.CRM: base.crm, Side.EXCHANGE: base.exchange}
        )
        self.directions = directions
        self.precedence = precedence
        self.told: dict[Side, dict[str, Value]] = {side: {} for side in Side}
        self.conflicts: list[Conflict] = []

    def run(self) -> None:
        names = {name for values in self.said.values() for name in values}
        occurrences = sorted(
            {name for values in self._all() for name in values if name.startswith(OCCURRENCE)}
        )
        single = names.difference(occurrences, ROLES, {FILES})
        if any(values.get(SERIES) is not None for values in self._all()):
            single -= {*_SERIES_NAMES}
            self._merge_series(occurrences)
        else:
            self._merge_each(occurrences, self._way(SERIES))
        for name in sorted(single):
            self._merge_each([name], self._way(name))
        if names.intersection(ROLES):
            self._merge_attendees()
        if FILES in names:
            self._merge_files()

    def _all(self) -> Iterable[Values]:
        return [*self.said.values(), *(self.before or {}).values()]

    def _way(self, name: str) -> Direction:
        return self.directions.get(name, Direction.NONE)

    def _unit(self, name: str) -> _Unit:
        said = {side: values.get(name) for side, values in self.said.items()}
        before = None
        # A name that no base has is one that nothing is known of; an occurrence is one that was
        # like its series.
        if self.before is not None and (
            name.startswith(OCCURRENCE) or any(name in values for values in self.before.values())
        ):
            before = {side: values.get(name) for side, values in self.before.items()}
        return _Unit(name, said, before, _UNSET.get(name))

    def _merge_each(self, names: Iterable[str], way: Direction) -> None:
        for name in names:
            unit = self._unit(name)
            winner = unit.winner(way, self.precedence)
            if winner is not None:
                self._tell(unit, winner)
                self.told[winner.other][name] = unit.said[winner]

    def _tell(self, unit: _Unit, winner: Side) -> None:
        conflict = unit.conflict(winner)
        if conflict is not None:
            self.conflicts.append(conflict)

    def _merge_series(self, occurrences: list[str]) -> None:
        parts = [self._unit(name) for name in _SERIES_NAMES]
        befores = [part.before for part in parts if part.before is not None]
        series = _Unit(
            SERIES,
            {side: {part.name: part.said[side] for part in parts} for side in Side},
            {side: {p.name: p.before and p.before[side] for p in parts} for side in Side}
            if befores
            else None,
            {part.name: part.unset for part in parts},
        )
        winner = series.winner(self._way(SERIES), self.precedence)
        if winner is None:
            self._merge_each(occurrences, self._way(SERIES))
            return
        self._tell(series, winner)
        told = self.told[winner.other]
        told |= {part.name: part.said[winner] for part in parts if part.differs}
        for name in occurrences:
            unit = self._unit(name)
            self._tell(unit, winner)
            if unit.differs or unit.said[winner] is not None:
                told[name] = unit.said[winner]

    def _merge_attendees(self) -> None:
        said = {side: _roles(values) for side, values in self.said.items()}
        before = None
        if self.before is not None and any(
            role in values for role in ROLES for values in self.before.values()
        ):
            before = {side: _roles(values) for side, values in self.before.items()}
        after: dict[Side, dict[str, str | None]] = {side: {**said[side]} for side in Side}
        for address in sorted({address for roles in said.values() for address in roles}):
            unit = _Unit(
                ATTENDEE + address,
                {side: roles.get(address) for side, roles in said.items()},
                None
                if before is None
                else {side: roles.get(address) for side, roles in before.items()},
                None,
            )
            winner = unit.winner(self._way(ROLES[0]), self.precedence)
            if winner is not None:
                self._tell(unit, winner)
                after[winner.other][address] = unit.said[winner]
        for side in Side:
            for role in ROLES:
                addresses = {address for address, in_role in after[side].items() if in_role == role}
                if addresses != {a for a, in_role in said[side].items() if in_role == role}:
                    self.told[side][role] = self._people(side, addresses)

    def _merge_files(self) -> None:
        said = {side: _files(values) for side, values in self.said.items()}
        before = None
        if self.before is not None and any(FILES in values for values in self.before.values()):
            before = {side: _files(values) for side, values in self.before.items()}
        after = {side: {**said[side]} for side in Side}
        known = said[Side.CRM] | said[Side.EXCHANGE]
        for key in sorted(known):
            unit = _Unit(
                FILES,
                {side: key in files for side, files in said.items()},
                None if before is None else {side: key in files for side, files in before.items()},
                False,
            )
            winner = unit.winner(self._way(FILES), self.precedence)
            if winner is None:
                continue
            if unit.said[winner]:
                after[winner.other][key] = known[key]
            else:
                del after[winner.other][key]
        for side in Side:
            if after[side].keys() != said[side].keys():
                self.told[side][FILES] = [after[side][key] for key in sorted(after[side])]

    def _people(self, side: Side, addresses: set[str]) -> list[Value]:
        """Return attendees by their addresses, as `side` names them if it knows them."""
        known: dict[str, Value] = {}
        for values in (self.said[side], self.said[side.other]):
            for role in ROLES:
                for person in values.get(role, ()):
                    known.setdefault(person["address"], person)
        return [known[address] for address in sorted(addresses)]


def _roles(values: Values) -> dict[str, str]:
    """Return in which list each attendee is; one in both is required."""
    return {person["address"]: role for role in reversed(ROLES) for person in values.get(role, ())}


def _files(values: Values) -> dict[tuple[str, str], Value]:
    return {(one["name"], one["digest"]): one for one in values.get(FILES, ())}


def _address(person: Value) -> str:
    return person["address"] if person else ""
