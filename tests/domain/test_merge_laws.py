"""What holds of every merge, whatever both sides did and whichever ways are open."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from syncservice.domain.field_map import Direction
from syncservice.domain.item_values import DELETED, Values
from syncservice.domain.merge import (
    ATTENDEE,
    ROLES,
    SERIES,
    Base,
    Conflict,
    Merged,
    Policy,
    Precedence,
    Side,
    applied,
    merge,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WAYS = st.sampled_from([Direction.NONE, Direction.TO_EXCHANGE, Direction.TO_CRM, Direction.BOTH])
NAMES = ("subject", "importance", "time", "organizer", "recurrence", "reminder", *ROLES)
DATES = ("occurrence:2026-03-08", "occurrence:2026-03-15")
PEOPLE = [{"address": f"{one}@x.test", "name": name} for one in "abc" for name in ("", one.upper())]


@st.composite
def people(draw: st.DrawFn) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The required and the optional attendees: nobody twice."""
    chosen = draw(st.lists(st.sampled_from(PEOPLE), unique_by=lambda one: one["address"]))
    chosen.sort(key=lambda one: one["address"])
    optional = draw(st.sets(st.sampled_from("abc")))
    return (
        [one for one in chosen if one["address"][0] not in optional],
        [one for one in chosen if one["address"][0] in optional],
    )


@st.composite
def appointments(draw: st.DrawFn) -> Values:
    required, optional = draw(people())
    recurrence = draw(st.none() | st.sampled_from([{"every": 1}, {"every": 2}]))
    values = {
        "subject": draw(st.sampled_from(["", "A", "B", "C"])),
        "importance": draw(st.sampled_from(["normal", "low", "high"])),
        "time": {"start": draw(st.integers(8, 10))},
        "organizer": draw(st.none() | st.sampled_from(PEOPLE)),
        "reminder": draw(st.none() | st.sampled_from([5, 15])),
        "recurrence": recurrence,
        "required": required,
        "optional": optional,
    }
    if recurrence:
        for name in draw(st.sets(st.sampled_from(DATES))):
            values[name] = draw(st.sampled_from([DELETED, {"subject": "X"}, {"subject": "Y"}]))
    return values


@st.composite
def ways(draw: st.DrawFn) -> Mapping[str, Direction]:
    """As the field map has them: a time goes with its series, attendees go together."""
    found = {name: draw(WAYS) for name in NAMES}
    return found | {"optional": found["required"], "time": found["recurrence"]}


@st.composite
def precedences(draw: st.DrawFn) -> Precedence:
    """Of moments that differ: at the same one Exchange wins, which is not symmetric."""
    policies = draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(list(Policy))))
    later = draw(st.sampled_from([-1, 1]))
    return Precedence(
        policies=policies,
        otherwise=draw(st.sampled_from(list(Policy))),
        crm_changed_at=NOON,
        exchange_changed_at=NOON + timedelta(minutes=later),
    )


BASES = st.none() | st.builds(Base, appointments(), appointments())
#: Most often only some values differ from what both said before.
ALIKE = appointments().flatmap(
    lambda values: st.tuples(
        st.just(Base(values, values)),
        *[
            appointments().flatmap(
                lambda other: st.sets(st.sampled_from(NAMES[:6])).map(
                    lambda names: {**values, **{name: other[name] for name in names}}
                )
            )
        ]
        * 2,
    )
)
STATES = st.tuples(BASES, appointments(), appointments()) | ALIKE
MERGES = st.tuples(STATES, ways(), precedences())
State = tuple[Base | None, Values, Values]


def merged(state: State, open_ways: Mapping[str, Direction], who: Precedence) -> Merged:
    base, crm, exchange = state
    return merge(base, crm, exchange, open_ways, who)


@settings(max_examples=200)
@given(MERGES, ways(), precedences())
def test_after_a_merge_nothing_is_left_to_be_written_even_when_other_ways_are_opened(
    case: tuple[State, Mapping[str, Direction], Precedence],
    others: Mapping[str, Direction],
    who: Precedence,
) -> None:
    (base, crm, exchange), open_ways, precedence = case
    first = merge(base, crm, exchange, open_ways, precedence)
    crm, exchange = applied(crm, first.to_crm), applied(exchange, first.to_exchange)
    assert first.base == Base(crm, exchange)
    for then, whoever in ((open_ways, precedence), (others, who)):
        again = merge(Base.of(first.base.stored()), crm, exchange, then, whoever)
        assert (again.to_crm, again.to_exchange, again.conflicts) == ({}, {}, ())
        assert again.base == first.base


@settings(max_examples=200)
@given(MERGES)
def test_what_was_written_but_not_kept_is_no_conflict_afterwards(
    case: tuple[State, Mapping[str, Direction], Precedence],
) -> None:
    """Both sides were written, and the process died before the link was."""
    (base, crm, exchange), open_ways, precedence = case
    first = merge(base, crm, exchange, dict.fromkeys(open_ways, Direction.BOTH), precedence)
    crm, exchange = applied(crm, first.to_crm), applied(exchange, first.to_exchange)
    again = merge(base, crm, exchange, open_ways, precedence)
    news = {*first.to_crm, *first.to_exchange}
    assert not [one for one in again.conflicts if one.name in news]


@settings(max_examples=200)
@given(MERGES)
def test_a_value_goes_only_where_its_direction_lets_it(
    case: tuple[State, Mapping[str, Direction], Precedence],
) -> None:
    state, open_ways, precedence = case
    result = merged(state, open_ways, precedence)
    for told, way in (
        (result.to_crm, Direction.TO_CRM),
        (result.to_exchange, Direction.TO_EXCHANGE),
    ):
        for name in told:
            assert way in open_ways.get(SERIES if name in DATES else name, Direction.NONE)


@settings(max_examples=400)
@given(MERGES)
def test_no_edit_is_lost_unless_a_conflict_has_both_values(
    case: tuple[State, Mapping[str, Direction], Precedence],
) -> None:
    state, open_ways, precedence = case
    base, crm, exchange = state
    result = merged(state, open_ways, precedence)
    conflicts = {one.name: one for one in result.conflicts}
    said = {Side.CRM: units(crm), Side.EXCHANGE: units(exchange)}
    after = {Side.CRM: units(result.base.crm), Side.EXCHANGE: units(result.base.exchange)}
    before = {Side.CRM: {}, Side.EXCHANGE: {}}
    if base:
        before = {Side.CRM: units(base.crm), Side.EXCHANGE: units(base.exchange)}
    for side in Side:
        for name, value in said[side].items():
            kept = same(after[side].get(name), value)
            is_edit = not base or not same(before[side].get(name), value)
            if kept or not is_edit:
                continue
            if not base and is_unset(name, value):
                continue
            key = SERIES if name == "time" and SERIES in conflicts else name
            assert key in conflicts, (side, name, value)
            assert conflicts[key].winner is side.other
            if key == name != SERIES:
                assert {Side.CRM: conflicts[key].crm, Side.EXCHANGE: conflicts[key].exchange} == {
                    one: said[one].get(name) for one in Side
                }


@settings(max_examples=200)
@given(MERGES)
def test_both_sides_are_treated_alike(
    case: tuple[State, Mapping[str, Direction], Precedence],
) -> None:
    state, open_ways, precedence = case
    base, crm, exchange = state
    result = merged(state, open_ways, precedence)
    mirrored = merge(
        base and Base(base.exchange, base.crm),
        exchange,
        crm,
        {name: mirror(way) for name, way in open_ways.items()},
        Precedence(
            policies={name: MIRRORED[policy] for name, policy in precedence.policies.items()},
            otherwise=MIRRORED[precedence.otherwise],
            crm_changed_at=precedence.exchange_changed_at,
            exchange_changed_at=precedence.crm_changed_at,
        ),
    )
    assert mirrored.to_exchange == result.to_crm
    assert mirrored.to_crm == result.to_exchange
    assert mirrored.conflicts == tuple(
        Conflict(one.name, one.base, one.exchange, one.crm, one.winner.other)
        for one in result.conflicts
    )


@given(MERGES)
def test_where_every_way_is_open_both_sides_agree_about_all_that_changed(
    case: tuple[State, Mapping[str, Direction], Precedence],
) -> None:
    (base, crm, exchange), open_ways, precedence = case
    result = merge(base, crm, exchange, dict.fromkeys(open_ways, Direction.BOTH), precedence)
    ours, theirs = units(result.base.crm), units(result.base.exchange)
    known = base or Base({}, {})
    was = {Side.CRM: units(known.crm), Side.EXCHANGE: units(known.exchange)}
    for name in {*ours, *theirs}:
        untouched = (
            base is not None
            and same(ours.get(name), was[Side.CRM].get(name))
            and same(theirs.get(name), was[Side.EXCHANGE].get(name))
        )
        assert untouched or same(ours.get(name), theirs.get(name))


def units(values: Values) -> dict[str, object]:
    """What is decided one by one."""
    found: dict[str, object] = {n: v for n, v in values.items() if n not in ROLES}
    for role in ROLES:
        found |= {ATTENDEE + one["address"]: role for one in values.get(role, [])}
    # What isn't there was taken off, which is an edit too.
    return {
        **dict.fromkeys([*DATES, *(ATTENDEE + one["address"] for one in PEOPLE)]),
        **found,
    }


def same(one: object, other: object) -> bool:
    if (
        isinstance(one, dict)
        and isinstance(other, dict)
        and "address" in one
        and "address" in other
    ):
        return bool(one["address"] == other["address"])
    return one == other


def is_unset(name: str, value: object) -> bool:
    return value in ("", None) or (name, value) == ("importance", "normal")


MIRRORED = {
    Policy.LATER: Policy.LATER,
    Policy.CRM: Policy.EXCHANGE,
    Policy.EXCHANGE: Policy.CRM,
}


def mirror(way: Direction) -> Direction:
    if way in (Direction.TO_CRM, Direction.TO_EXCHANGE):
        return ~way & Direction.BOTH
    return way
