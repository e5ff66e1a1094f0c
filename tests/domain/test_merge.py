"""Merging by examples: one value, attendees, series, first meetings and switched directions."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from syncservice.domain.field_map import Direction, FieldSettings, RecordType, directions
from syncservice.domain.item_values import DELETED, VALUES, ItemKind, Values
from syncservice.domain.merge import (
    Base,
    Conflict,
    Policy,
    Precedence,
    Side,
    applied,
    brings_back,
    merge,
    overruled,
)

BOTH, TO_CRM, TO_EXCHANGE = Direction.BOTH, Direction.TO_CRM, Direction.TO_EXCHANGE
NONE = Direction.NONE
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EXCHANGE_WINS = Precedence(otherwise=Policy.EXCHANGE)
CRM_WINS = Precedence(otherwise=Policy.CRM)
UNKNOWN = None


def subjects(base: str | None, *both: str) -> tuple[Base | None, dict[str, str], dict[str, str]]:
    """Read a row: "A|B" is a base in which the sides differ."""
    crm, exchange = both
    if base is None:
        return None, {"subject": crm}, {"subject": exchange}
    ours, _, theirs = base.partition("|")
    found = Base({"subject": ours}, {"subject": theirs or ours})
    return found, {"subject": crm}, {"subject": exchange}


@pytest.mark.parametrize(
    ("base", "crm", "exchange", "way", "to_crm", "to_exchange", "conflict"),
    [
        # Neither changed.
        ("A", "A", "A", BOTH, None, None, False),
        # One did.
        ("A", "B", "A", BOTH, None, "B", False),
        ("A", "A", "B", BOTH, "B", None, False),
        ("A", "", "A", BOTH, None, "", False),
        ("A", "A", "", BOTH, "", None, False),
        # Both did.
        ("A", "B", "B", BOTH, None, None, False),
        ("A", "B", "C", BOTH, "C", None, True),
        ("A", "B", "", BOTH, "", None, True),
        # One way only: what comes against it stays where it is.
        ("A", "B", "A", TO_EXCHANGE, None, "B", False),
        ("A", "A", "B", TO_EXCHANGE, None, None, False),
        ("A", "B", "C", TO_EXCHANGE, None, "B", True),
        ("A", "A", "B", TO_CRM, "B", None, False),
        ("A", "B", "A", TO_CRM, None, None, False),
        ("A", "B", "C", TO_CRM, "C", None, True),
        ("A", "B", "C", NONE, None, None, False),
        # They have differed for long: only an edit travels, and says what it writes over.
        ("A|B", "A", "B", BOTH, None, None, False),
        ("A|B", "C", "B", BOTH, None, "C", True),
        ("A|B", "A", "C", BOTH, "C", None, True),
        ("A|B", "B", "B", BOTH, None, None, False),
        ("A|B", "C", "B", TO_CRM, None, None, False),
        ("A|B", "C", "A", BOTH, "A", None, True),
        # Nothing is known of before.
        (UNKNOWN, "A", "A", BOTH, None, None, False),
        (UNKNOWN, "A", "", BOTH, None, "A", False),
        (UNKNOWN, "", "A", BOTH, "A", None, False),
        (UNKNOWN, "A", "B", BOTH, "B", None, True),
        (UNKNOWN, "", "A", TO_EXCHANGE, None, None, False),
        (UNKNOWN, "A", "B", TO_EXCHANGE, None, "A", True),
        (UNKNOWN, "A", "B", NONE, None, None, False),
    ],
)
def test_one_value(
    base: str | None,
    crm: str,
    exchange: str,
    way: Direction,
    to_crm: str | None,
    to_exchange: str | None,
    conflict: bool,
) -> None:
    found = merge(*subjects(base, crm, exchange), {"subject": way}, EXCHANGE_WINS)
    assert found.to_crm == ({} if to_crm is None else {"subject": to_crm})
    assert found.to_exchange == ({} if to_exchange is None else {"subject": to_exchange})
    assert found.base == Base(
        {"subject": crm if to_crm is None else to_crm},
        {"subject": exchange if to_exchange is None else to_exchange},
    )
    assert bool(found.conflicts) is conflict


def test_a_conflict_has_all_three_values() -> None:
    found = merge(*subjects("A", "B", "C"), {"subject": BOTH}, CRM_WINS)
    assert found.conflicts == (Conflict("subject", "A", "B", "C", Side.CRM),)
    assert found.to_exchange == {"subject": "B"}


@pytest.mark.parametrize(
    ("policy", "crm_at", "exchange_at", "winner"),
    [
        (Policy.LATER, NOON + timedelta(seconds=1), NOON, Side.CRM),
        (Policy.LATER, NOON, NOON + timedelta(seconds=1), Side.EXCHANGE),
        (Policy.LATER, NOON, NOON, Side.EXCHANGE),
        (Policy.LATER, None, NOON, Side.EXCHANGE),
        (Policy.LATER, NOON, None, Side.EXCHANGE),
        (Policy.CRM, NOON, NOON + timedelta(days=1), Side.CRM),
        (Policy.EXCHANGE, NOON + timedelta(days=1), NOON, Side.EXCHANGE),
    ],
)
def test_who_wins(
    policy: Policy, crm_at: datetime | None, exchange_at: datetime | None, winner: Side
) -> None:
    precedence = Precedence(
        policies={"subject": policy},
        otherwise=Policy.CRM if policy is Policy.EXCHANGE else Policy.EXCHANGE,
        crm_changed_at=crm_at,
        exchange_changed_at=exchange_at,
    )
    assert precedence.of("subject") is winner
    assert merge(*subjects("A", "B", "C"), {"subject": BOTH}, precedence).conflicts[0].winner is (
        winner
    )


def test_a_value_without_a_direction_stays() -> None:
    found = merge(*subjects("A", "B", "A"), {}, CRM_WINS)
    assert (found.to_crm, found.to_exchange) == ({}, {})


def test_a_value_that_the_base_does_not_know_is_merged_as_at_first() -> None:
    base = Base({"subject": "A"}, {"subject": "A"})
    crm, exchange = {"subject": "A", "location": ""}, {"subject": "A", "location": "Room 1"}
    found = merge(base, crm, exchange, {"subject": BOTH, "location": BOTH}, CRM_WINS)
    assert found.to_crm == {"location": "Room 1"}


@pytest.mark.parametrize("kind", ItemKind)
def test_a_record_that_has_no_item_yet_goes_there_without_a_conflict(kind: ItemKind) -> None:
    said = {"importance": "high", "notes": "Note", "subject": "Subject", "email1": "a@x.test"}
    record = {name: said.get(name, unset) for name, unset in VALUES[kind].items()}
    ways = dict.fromkeys(record, BOTH)
    found = merge(None, record, VALUES[kind], ways, EXCHANGE_WINS)
    assert found.conflicts == ()
    assert found.base == Base(record, record)
    assert not found.to_crm


# Attendees


def people(words: str) -> dict[str, Any]:
    """Read "ann bob? Eve": bob is optional; in capitals the side has a name of its own."""
    lists: dict[str, Any] = {"required": [], "optional": []}
    for word in sorted(words.split(), key=str.lower):
        name = word.rstrip("?")
        role = "optional" if word.endswith("?") else "required"
        person = {"address": f"{name.lower()}@x.test", "name": name if name[0].isupper() else ""}
        lists[role].append(person)
    return lists


@pytest.mark.parametrize(
    ("base", "crm", "exchange", "crm_after", "exchange_after", "conflicts"),
    [
        ("ann", "ann bob", "ann eve", "ann bob eve", "ann bob eve", []),
        ("ann bob", "ann", "ann bob eve", "ann eve", "ann eve", []),
        ("ann bob", "ann", "bob", "", "", []),
        ("ann", "ann", "Ann", "ann", "Ann", []),
        ("ann", "ann bob", "Ann", "ann bob", "Ann bob", []),
        ("ann", "ann?", "ann", "ann?", "ann?", []),
        ("ann", "ann?", "Ann eve", "ann? eve", "Ann? eve", []),
        ("ann", "ann?", "", "", "", ["attendee:ann@x.test"]),
        ("", "ann", "ann?", "ann?", "ann?", ["attendee:ann@x.test"]),
        (UNKNOWN, "ann", "bob?", "ann bob?", "ann bob?", []),
        (UNKNOWN, "ann", "ann?", "ann?", "ann?", ["attendee:ann@x.test"]),
    ],
)
def test_attendees(
    base: str | None,
    crm: str,
    exchange: str,
    crm_after: str,
    exchange_after: str,
    conflicts: list[str],
) -> None:
    known = None if base is None else Base(people(base), people(base))
    ways = {"required": BOTH, "optional": BOTH}
    found = merge(known, people(crm), people(exchange), ways, EXCHANGE_WINS)
    assert found.base == Base(people(crm_after), people(exchange_after))
    assert [one.name for one in found.conflicts] == conflicts
    assert set(found.to_crm) == changed(people(crm), people(crm_after))
    assert set(found.to_exchange) == changed(people(exchange), people(exchange_after))


def changed(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {name for name in one if one[name] != other[name]}


def test_an_attendee_in_both_lists_is_required_and_stays_as_written() -> None:
    ann = {"address": "ann@x.test", "name": ""}
    both = {"required": [ann], "optional": [ann]}
    ways = {"required": BOTH, "optional": BOTH}
    found = merge(Base(both, both), both, people("ann"), ways, EXCHANGE_WINS)
    assert (found.to_crm, found.to_exchange, found.conflicts) == ({}, {}, ())


def files(names: str) -> list[dict[str, Any]]:
    return [{"name": name, "size": 1, "digest": f"digest of {name}"} for name in names]


@pytest.mark.parametrize(
    ("base", "crm", "exchange", "way", "to_crm", "to_exchange"),
    [
        (None, "", "", BOTH, None, None),
        # At first, both have all.
        (None, "ab", "bc", BOTH, "abc", "abc"),
        (None, "a", "", BOTH, None, "a"),
        (None, "", "a", BOTH, "a", None),
        # What either side adds or takes off, the other does.
        ("a", "ab", "ac", BOTH, "abc", "abc"),
        ("ab", "b", "abc", BOTH, "bc", "bc"),
        ("ab", "b", "a", BOTH, "", ""),
        ("ab", "a", "a", BOTH, None, None),
        # One way only, and none.
        ("a", "ab", "ac", TO_CRM, "abc", None),
        ("a", "ab", "ac", TO_EXCHANGE, None, "abc"),
        ("a", "ab", "", NONE, None, None),
        # What only one side had stays there until it changes.
        ("a|", "a", "b", BOTH, "ab", None),
        ("a|", "", "", BOTH, None, None),
    ],
)
def test_files(
    base: str | None,
    crm: str,
    exchange: str,
    way: Direction,
    to_crm: str | None,
    to_exchange: str | None,
) -> None:
    before = None
    if base is not None:
        ours, bar, theirs = base.partition("|")
        sides = ours, theirs if bar else ours
        before = Base(*({"attachments": files(names)} for names in sides))
    said = [{"attachments": files(names)} for names in (crm, exchange)]
    merged = merge(before, *said, {"attachments": way}, EXCHANGE_WINS)
    told = [{} if one is None else {"attachments": files(one)} for one in (to_crm, to_exchange)]
    assert [merged.to_crm, merged.to_exchange] == told
    assert merged.conflicts == ()


def test_another_name_of_the_organizer_is_no_change() -> None:
    crm = {"organizer": {"address": "ann@x.test", "name": "Ann"}}
    exchange = {"organizer": {"address": "ann@x.test", "name": "Ash, Ann (Sales)"}}
    found = merge(None, crm, exchange, {"organizer": BOTH}, EXCHANGE_WINS)
    assert (found.to_crm, found.to_exchange, found.conflicts) == ({}, {}, ())


# Series

WEEKLY, DAILY = {"pattern": "weekly"}, {"pattern": "daily"}
NINE, TEN = {"start": "09:00"}, {"start": "10:00"}
WAYS = {"time": BOTH, "recurrence": BOTH, "subject": BOTH}
EIGHTH, FIFTEENTH = "occurrence:2026-03-08", "occurrence:2026-03-15"
SERIES = {"subject": "S", "time": NINE, "recurrence": WEEKLY}


def test_an_occurrence_that_one_side_changed_goes_to_the_other() -> None:
    crm, exchange = {**SERIES, EIGHTH: DELETED}, {**SERIES, FIFTEENTH: {"subject": "X"}}
    found = merge(Base(SERIES, SERIES), crm, exchange, WAYS, EXCHANGE_WINS)
    assert found.to_exchange == {EIGHTH: DELETED}
    assert found.to_crm == {FIFTEENTH: {"subject": "X"}}
    assert found.base.crm == found.base.exchange == {**crm, **exchange}


def test_an_occurrence_like_its_series_again_is_none() -> None:
    before = {**SERIES, EIGHTH: {"subject": "X"}}
    found = merge(Base(before, before), SERIES, before, WAYS, EXCHANGE_WINS)
    assert found.to_exchange == {EIGHTH: None}
    assert found.base == Base(SERIES, SERIES)


def test_an_occurrence_that_both_sides_changed_is_a_conflict() -> None:
    crm, exchange = {**SERIES, EIGHTH: DELETED}, {**SERIES, EIGHTH: {"subject": "X"}}
    found = merge(Base(SERIES, SERIES), crm, exchange, WAYS, CRM_WINS)
    assert found.conflicts == (Conflict(EIGHTH, None, DELETED, {"subject": "X"}, Side.CRM),)
    assert found.to_exchange == {EIGHTH: DELETED}


def test_a_series_at_another_time_brings_its_occurrences_again() -> None:
    before = {**SERIES, EIGHTH: DELETED}
    crm = {**before, "time": TEN}
    found = merge(Base(before, before), crm, before, WAYS, EXCHANGE_WINS)
    assert found.to_exchange == {"time": TEN, EIGHTH: DELETED}
    assert found.conflicts == ()


def test_a_series_of_another_pattern_takes_the_other_sides_edit_of_an_occurrence_with_it() -> None:
    before = {**SERIES, EIGHTH: DELETED}
    exchange = {**SERIES, "recurrence": DAILY}
    crm = {**before, FIFTEENTH: {"subject": "X"}}
    found = merge(Base(before, before), crm, exchange, WAYS, EXCHANGE_WINS)
    assert found.to_crm == {"recurrence": DAILY, EIGHTH: None, FIFTEENTH: None}
    assert found.to_exchange == {}
    assert found.conflicts == (Conflict(FIFTEENTH, None, {"subject": "X"}, None, Side.EXCHANGE),)
    assert found.base == Base(exchange, exchange)


def test_time_and_recurrence_of_a_series_come_from_one_side() -> None:
    crm, exchange = {**SERIES, "recurrence": DAILY}, {**SERIES, "time": TEN}
    found = merge(Base(SERIES, SERIES), crm, exchange, WAYS, CRM_WINS)
    assert found.to_exchange == {"time": NINE, "recurrence": DAILY}
    assert found.to_crm == {}
    assert [(one.name, one.exchange) for one in found.conflicts] == [
        ("recurrence", {"time": TEN, "recurrence": WEEKLY})
    ]


def test_a_series_that_happens_once_now_has_no_occurrences() -> None:
    before = {**SERIES, EIGHTH: DELETED}
    once = {**SERIES, "recurrence": None}
    found = merge(Base(before, before), before, once, WAYS, EXCHANGE_WINS)
    assert found.to_crm == {"recurrence": None, EIGHTH: None}


def test_time_alone_is_one_value() -> None:
    base = {"time": NINE, "recurrence": None}
    found = merge(Base(base, base), base, {**base, "time": TEN}, WAYS, CRM_WINS)
    assert found.to_crm == {"time": TEN}


# What Exchange alone decides


def test_what_the_crm_said_is_lost_where_exchange_counts_in_all() -> None:
    crm = {
        "subject": "A",
        "location": "",
        "responses": {"a": "none"},
        "required": [{"address": "a"}],
    }
    exchange = {"subject": "", "location": "Hall", "responses": {}, "required": []}
    assert overruled(crm, exchange, exchange) == (
        Conflict("subject", None, "A", "", Side.EXCHANGE),
    )
    assert overruled(crm, exchange, {"location": "Hall"}) == ()


def test_of_a_series_the_time_and_the_pattern_are_lost_together() -> None:
    crm, exchange = {**SERIES}, {**SERIES, "time": TEN}
    (lost,) = overruled(crm, exchange, {"time": TEN})
    parts = ({name: one[name] for name in ("time", "recurrence")} for one in (crm, exchange))
    assert lost == Conflict("recurrence", None, *parts, Side.EXCHANGE)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({EIGHTH: None}, True),
        ({EIGHTH: {"location": "Ulm"}}, True),
        ({EIGHTH: DELETED}, False),
        ({FIFTEENTH: None, "subject": "x"}, False),
    ],
)
def test_a_deleted_occurrence_is_brought_back(changes: Values, expected: bool) -> None:
    assert brings_back({**SERIES, EIGHTH: DELETED}, changes) is expected


# What is kept


def test_a_base_is_kept_as_json_and_a_body_once() -> None:
    crm = {**SERIES, "body": "Long", EIGHTH: DELETED}
    exchange = {**SERIES, "body": "Long", "subject": "T", FIFTEENTH: DELETED}
    base = Base(crm, exchange)
    stored = json.loads(json.dumps(base.stored()))
    assert stored["exchange"] == {"subject": "T", EIGHTH: None, FIFTEENTH: DELETED}
    assert Base.of(stored) == base


def test_none_takes_an_occurrence_away_and_empties_anything_else() -> None:
    values = {**SERIES, EIGHTH: DELETED}
    assert applied(values, {EIGHTH: None, "recurrence": None}) == {**SERIES, "recurrence": None}


def test_an_edit_made_while_a_way_was_closed_stays_when_it_is_opened() -> None:
    ways = directions(
        RecordType.APPOINTMENT, FieldSettings(directions={"appointment.subject": NONE})
    )
    closed = merge(*subjects("A", "B", "A"), ways, CRM_WINS)
    opened = directions(RecordType.APPOINTMENT, FieldSettings())
    found = merge(closed.base, {"subject": "B"}, {"subject": "A"}, opened, CRM_WINS)
    assert (found.to_crm, found.to_exchange) == ({}, {})
    later = merge(closed.base, {"subject": "C"}, {"subject": "A"}, opened, CRM_WINS)
    assert later.to_exchange == {"subject": "C"}
