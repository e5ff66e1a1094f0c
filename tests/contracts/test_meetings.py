"""What every implementation of `servers.gateway.Activities` owes to `sync` of appointments.

Times and their zones, meetings and who hears of them, series and what differs from them.
"""

from collections.abc import Iterator
from datetime import date

import pytest

from syncservice.domain.faults import Nature
from syncservice.domain.item_values import DELETED, Values
from syncservice.domain.recurrence import Pattern, Recurrence
from syncservice.servers.gateway import (
    Activities,
    Deletion,
    Invitations,
    Item,
    ItemChange,
    NotWritten,
    Written,
)
from tests.contracts.activity_worlds import (
    ADDRESS,
    APPOINTMENT,
    LEAST,
    OTHERS,
    TIME,
    WORLDS,
    World,
    change,
    new,
    read,
    said,
)

ANN, BOB = OTHERS
STRANGER = "someone@elsewhere.test"


@pytest.fixture(params=WORLDS)
def world(request) -> Iterator[World]:
    with WORLDS[request.param]() as opened:
        yield opened


def people(*addresses: str) -> list[Values]:
    return [{"address": address, "name": address.partition("@")[0]} for address in addresses]


def addresses(listed: list[Values]) -> list[str]:
    return [one["address"] for one in listed]


def only_item(gateway: Activities) -> Item:
    """Return the one appointment of a mailbox."""
    (listed,) = gateway.changes(APPOINTMENT, "", 10).items
    return read(gateway, APPOINTMENT, listed.item_id)


def write(gateway: Activities, item: Item, invitations=Invitations.NOBODY, **values) -> Item:
    """Change an appointment, and read it again."""
    wanted = change(item, invitations=invitations, **values)
    (written,) = gateway.update(APPOINTMENT, [wanted])
    assert isinstance(written, Written), written
    after = read(gateway, APPOINTMENT, item.item_id)
    assert after.change_key == written.change_key
    return after


# --- times ----------------------------------------------------------------------------------------


def time(start: str, end: str, zone: str, *, all_day: bool = False) -> Values:
    return {"start": start, "end": end, "all_day": all_day, "zone": zone}


TIMES = {
    "winter": time("2026-01-31T22:30:00Z", "2026-02-01T01:00:00Z", "Europe/Berlin"),
    "summer": time("2026-07-01T08:00:00Z", "2026-07-01T08:00:00Z", "America/New_York"),
    "all day in the east": time(
        "2026-02-28T15:00:00Z", "2026-03-02T15:00:00Z", "Asia/Tokyo", all_day=True
    ),
    "all day in the west": time(
        "2026-03-01T08:00:00Z", "2026-03-02T08:00:00Z", "America/Los_Angeles", all_day=True
    ),
    "the day of 23 hours": time(
        "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "Europe/Berlin", all_day=True
    ),
}


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("name", TIMES)
def test_a_time_is_kept_with_its_zone(world, name, is_new):
    item_id = world.add(APPOINTMENT, **({"time": TIMES[name]} if is_new else {}))
    with world.open() as gateway:
        item = read(gateway, APPOINTMENT, item_id)
        if not is_new:
            item = write(gateway, item, time=TIMES[name])
        assert item.values["time"] == TIMES[name]


def test_a_zone_comes_back_by_the_name_that_its_clock_has_in_windows(world):
    item_id = world.add(APPOINTMENT, time={**TIME, "zone": "Europe/Amsterdam"})
    with world.open() as gateway:
        item = read(gateway, APPOINTMENT, item_id)
        assert item.values["time"] == {**TIME, "zone": "Europe/Berlin"}
        moved = {**TIME, "zone": "Europe/Brussels"}
        assert write(gateway, item, time=moved).values["time"]["zone"] == "Europe/Paris"


@pytest.mark.parametrize("zone", ["", "Mars/Olympus"])
def test_a_time_whose_zone_nobody_knows_is_kept(world, zone):
    item_id = world.add(APPOINTMENT, time={**TIME, "zone": zone})
    with world.open() as gateway:
        kept = read(gateway, APPOINTMENT, item_id).values["time"]
        assert (kept["start"], kept["end"]) == (TIME["start"], TIME["end"])


def test_what_is_listed_of_an_appointment_tells_which_one_it_is(world):
    item_id = world.add(APPOINTMENT, subject="Lunch")
    with world.open() as gateway:
        (listed,) = gateway.changes(APPOINTMENT, "", 10).items
        item = read(gateway, APPOINTMENT, item_id)
    assert (listed.item_id, listed.subject) == (item_id, "Lunch")
    assert (listed.starts_at, listed.uid) == (TIME["start"], item.uid)
    assert item.uid


@pytest.mark.parametrize("show_as", ["free", "tentative", "busy", "out_of_office", "elsewhere"])
def test_how_an_appointment_is_shown_is_kept(world, show_as):
    item_id = world.add(APPOINTMENT, show_as=show_as)
    with world.open() as gateway:
        assert read(gateway, APPOINTMENT, item_id).values["show_as"] == show_as


# --- meetings -------------------------------------------------------------------------------------


def meeting(gateway: Activities, invitations=Invitations.ALL, **values) -> Item:
    """Call a meeting of Ann, and perhaps of Bob."""
    given = {"subject": "Plan", "required": people(ANN), **values}
    (written,) = gateway.create(
        APPOINTMENT, [new(APPOINTMENT, "key-1", invitations=invitations, **given)]
    )
    assert isinstance(written, Written)
    return read(gateway, APPOINTMENT, written.item_id)


def test_an_appointment_without_attendees_is_its_owners(world):
    item_id = world.add(APPOINTMENT)
    with world.open() as gateway:
        item = read(gateway, APPOINTMENT, item_id)
    assert item.is_organizer
    assert item.values["organizer"]["address"] == ADDRESS
    assert item.values["responses"] == {}


def test_a_meeting_is_told_to_its_attendees_and_known_by_one_uid(world):
    with world.open() as gateway:
        mine = meeting(gateway, required=people(BOB, ANN.upper()), optional=people(STRANGER))
    assert addresses(mine.values["required"]) == [ANN, BOB]
    assert addresses(mine.values["optional"]) == [STRANGER]
    assert mine.values["responses"] == {ANN: "none", BOB: "none", STRANGER: "none"}
    assert mine.is_organizer
    assert world.post(ANN) == world.post(BOB) == ["invitation"]
    with world.open(ANN) as gateway:
        hers = only_item(gateway)
    assert (hers.uid, hers.is_organizer, hers.record_key) == (mine.uid, False, "")
    assert hers.values["organizer"]["address"] == ADDRESS
    assert (hers.values["subject"], hers.values["time"]) == ("Plan", TIME)
    assert hers.values["responses"][ANN] == "none"


def test_nobody_hears_of_a_meeting_that_is_created_quietly(world):
    with world.open() as gateway:
        item = meeting(gateway, Invitations.NOBODY)
        assert addresses(item.values["required"]) == [ANN]
        gateway.delete(APPOINTMENT, [Deletion(item_id=item.item_id)])
    assert world.post(ANN) == []
    with world.open(ANN) as gateway:
        assert gateway.changes(APPOINTMENT, "", 10).items == ()


def test_in_one_call_some_meetings_are_told_and_some_are_not(world):
    loud, quiet = (
        new(APPOINTMENT, invitations=invitations, subject=invitations.name, required=people(ANN))
        for invitations in (Invitations.ALL, Invitations.NOBODY)
    )
    with world.open() as gateway:
        written = gateway.create(APPOINTMENT, [quiet, loud, quiet])
        items = list(gateway.read(APPOINTMENT, [one.item_id for one in written]))
    assert [item.values["subject"] for item in items] == ["NOBODY", "ALL", "NOBODY"]
    assert world.post(ANN) == ["invitation"]


@pytest.mark.parametrize("answer", ["accepted", "tentative", "declined"])
def test_an_answer_comes_back_to_who_called_the_meeting(world, answer):
    with world.open() as gateway:
        mine = meeting(gateway)
    with world.open(ANN) as gateway:
        world.answer(ANN, only_item(gateway).item_id, answer)
        if answer != "declined":
            assert only_item(gateway).values["responses"][ANN] == answer
    with world.open() as gateway:
        assert read(gateway, APPOINTMENT, mine.item_id).values["responses"] == {ANN: answer}


def test_attendees_hear_of_a_change_when_they_are_to(world):
    with world.open() as gateway:
        mine = meeting(gateway)
        mine = write(gateway, mine, subject="Quiet")
        with world.open(ANN) as hers:
            assert only_item(hers).values["subject"] == "Plan"
        assert world.post(ANN) == ["invitation"]
        write(gateway, mine, Invitations.ALL, subject="Loud")
        with world.open(ANN) as hers:
            assert only_item(hers).values["subject"] == "Loud"
        assert world.post(ANN) == ["invitation", "invitation"]


def test_nobody_hears_of_what_is_put_on_a_meeting_besides(world):
    with world.open() as gateway:
        mine = meeting(gateway)
        marked = ItemChange(
            item_id=mine.item_id, change_key=mine.change_key, values={}, whole=mine.values,
            record_key="key-2", categories=("Tracked to CRM",),
        )  # fmt: skip
        (written,) = gateway.update(APPOINTMENT, [marked])
        assert isinstance(written, Written)
        after = read(gateway, APPOINTMENT, mine.item_id)
    assert (after.record_key, after.categories) == ("key-2", ("Tracked to CRM",))
    assert world.post(ANN) == ["invitation"]


def test_only_those_who_come_or_leave_hear_of_a_change_of_attendees(world):
    with world.open() as gateway:
        mine = meeting(gateway, required=people(ANN))
        mine = write(gateway, mine, Invitations.CHANGED, required=people(ANN, BOB))
        assert addresses(mine.values["required"]) == [ANN, BOB]
        assert (world.post(ANN), world.post(BOB)) == (["invitation"], ["invitation"])
        mine = write(gateway, mine, Invitations.CHANGED, required=people(BOB))
        assert addresses(mine.values["required"]) == [BOB]
        assert (world.post(ANN), world.post(BOB)) == (
            ["invitation", "cancellation"], ["invitation"],
        )  # fmt: skip
    with world.open(ANN) as gateway:
        assert only_item(gateway).is_cancelled


def test_a_meeting_whose_attendees_are_all_taken_off_is_an_appointment(world):
    with world.open() as gateway:
        mine = write(gateway, meeting(gateway), required=[])
        assert (mine.values["required"], mine.values["responses"]) == ([], {})
        assert mine.is_organizer


@pytest.mark.parametrize("cancels", [True, False])
def test_a_deleted_meeting_is_called_off_when_it_is_to_be(world, cancels):
    with world.open() as gateway:
        mine = meeting(gateway)
        gateway.delete(APPOINTMENT, [Deletion(item_id=mine.item_id, cancels=cancels)])
    assert world.post(ANN) == ["invitation", *(["cancellation"] if cancels else [])]
    with world.open(ANN) as gateway:
        assert only_item(gateway).is_cancelled == cancels


def test_an_attendee_who_deletes_a_meeting_calls_nothing_off(world):
    with world.open() as gateway:
        mine = meeting(gateway, required=people(ANN, BOB))
    with world.open(ANN) as gateway:
        gateway.delete(APPOINTMENT, [Deletion(item_id=only_item(gateway).item_id)])
    assert world.post(BOB) == ["invitation"]
    with world.open() as gateway:
        assert not read(gateway, APPOINTMENT, mine.item_id).is_cancelled


# --- series ---------------------------------------------------------------------------------------


def series(**said) -> Values:
    starts_on = said.pop("starts_on", date(2026, 3, 2))
    return Recurrence(pattern=Pattern(said.pop("pattern")), starts_on=starts_on, **said).as_value()


#: Mondays at nine in Berlin, over a change of its clocks.
MONDAYS = series(pattern="weekly", weekdays=("monday",), count=8)
SERIES = {
    "daily": series(pattern="daily", interval=3, ends_on=date(2026, 3, 20)),
    "weekly": MONDAYS,
    "every other week": series(
        pattern="weekly", interval=2, weekdays=("monday", "sunday"), first_day_of_week="monday"
    ),
    "monthly": series(pattern="monthly", day=2, count=3),
    "the last weekday": series(
        pattern="monthly_nth", nth="last", weekdays=("weekday",), starts_on=date(2026, 3, 31)
    ),
    "every other year": series(pattern="yearly", interval=2, month=3, day=2),
    "the first weekend day": series(
        pattern="yearly_nth", nth="first", weekdays=("weekend_day",), month=3,
        starts_on=date(2026, 3, 1),
    ),
}  # fmt: skip


def first_time(recurrence: Values) -> Values:
    day = recurrence["starts_on"]
    hour = 7 if day >= "2026-03-29" else 8
    return {**TIME, "start": f"{day}T0{hour}:00:00Z", "end": f"{day}T0{hour + 1}:00:00Z"}


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("name", SERIES)
def test_a_series_is_kept(world, name, is_new):
    given = {"time": first_time(SERIES[name]), "recurrence": SERIES[name]}
    item_id = world.add(APPOINTMENT, **(given if is_new else {}))
    with world.open() as gateway:
        item = read(gateway, APPOINTMENT, item_id)
        if not is_new:
            item = write(gateway, item, **given)
        assert said(item) == {**LEAST[APPOINTMENT], **given}


def test_a_series_becomes_a_single_appointment(world):
    item_id = world.add(APPOINTMENT, recurrence=MONDAYS)
    with world.open() as gateway:
        item = write(gateway, read(gateway, APPOINTMENT, item_id), recurrence=None)
        assert (item.values["recurrence"], item.values["time"]) == (None, TIME)


DIFFERENT = {
    #: After the change of the clocks: usually 07:00 UTC.
    "occurrence:2026-03-30": {"start": "2026-03-31T12:00:00Z", "end": "2026-03-31T13:30:00Z"},
    "occurrence:2026-03-16": {"subject": "Special", "location": "Bonn"},
    "occurrence:2026-03-23": DELETED,
}


@pytest.mark.parametrize("is_new", [True, False])
def test_occurrences_that_differ_are_kept(world, is_new):
    given = {"subject": "Usual", "location": "Köln", "recurrence": MONDAYS}
    item_id = world.add(APPOINTMENT, **given, **(DIFFERENT if is_new else {}))
    with world.open() as gateway:
        item = read(gateway, APPOINTMENT, item_id)
        if not is_new:
            item = write(gateway, item, **DIFFERENT)
        assert said(item) == {**LEAST[APPOINTMENT], **given, **DIFFERENT}


def test_a_changed_occurrence_is_changed_further_and_put_back_and_deleted(world):
    item_id = world.add(APPOINTMENT, recurrence=MONDAYS)
    moved, other, last = (f"occurrence:2026-03-{day}" for day in ("09", "16", "23"))
    with world.open() as gateway:
        item = read(gateway, APPOINTMENT, item_id)
        item = write(gateway, item, **{moved: {"location": "Bonn"}, other: {"location": "Ulm"}})
        item = write(gateway, item, **{moved: {"subject": "Moved"}, last: DELETED})
        assert item.values[moved] == {"subject": "Moved"}
        assert item.values[other] == {"location": "Ulm"}
        assert item.values[last] == DELETED
        item = write(gateway, item, **{moved: None, other: DELETED})
        assert moved not in item.values
        assert item.values[other] == DELETED


def test_what_of_a_series_is_changed_keeps_what_differs(world):
    item_id = world.add(APPOINTMENT, recurrence=MONDAYS, **DIFFERENT)
    with world.open() as gateway:
        item = read(gateway, APPOINTMENT, item_id)
        item = write(gateway, item, body="More")
        assert DIFFERENT.items() <= item.values.items()


def test_another_pattern_has_the_occurrences_that_are_given_with_it(world):
    item_id = world.add(APPOINTMENT, recurrence=MONDAYS, **DIFFERENT)
    longer = series(pattern="weekly", weekdays=("monday", "friday"), count=20)
    with world.open() as gateway:
        item = write(gateway, read(gateway, APPOINTMENT, item_id), recurrence=longer)
        assert item.values["recurrence"] == longer
        assert DIFFERENT.items() <= item.values.items()


def test_a_pattern_that_is_written_again_brings_deleted_occurrences_back(world):
    item_id = world.add(APPOINTMENT, recurrence=MONDAYS, **DIFFERENT)
    deleted = "occurrence:2026-03-23"
    kept = {name: value for name, value in DIFFERENT.items() if name != deleted}
    with world.open() as gateway:
        item = read(gateway, APPOINTMENT, item_id)
        assert item.values[deleted] == DELETED
        item = write(gateway, item, **{"recurrence": MONDAYS, deleted: None})
        assert deleted not in item.values
        assert kept.items() <= item.values.items()


def test_a_series_that_is_moved_has_the_occurrences_that_are_given_with_it(world):
    item_id = world.add(APPOINTMENT, recurrence=MONDAYS, **DIFFERENT)
    with world.open() as gateway:
        item = read(gateway, APPOINTMENT, item_id)
        later = {
            **item.values["time"],
            "end": item.values["time"]["end"].replace(":00:00", ":30:00"),
        }
        none = dict.fromkeys(DIFFERENT)
        item = write(gateway, item, time=later, **none)
        assert not DIFFERENT.keys() & item.values.keys()


def test_a_series_that_somebody_changed_meanwhile_keeps_its_occurrences(world):
    item_id = world.add(APPOINTMENT, recurrence=MONDAYS)
    with world.open() as gateway:
        stale = read(gateway, APPOINTMENT, item_id)
        write(gateway, stale, location="Bonn")
        (refused,) = gateway.update(APPOINTMENT, [change(stale, **DIFFERENT)])
        assert isinstance(refused, NotWritten)
        assert refused.fault.nature is Nature.CONFLICT
        after = read(gateway, APPOINTMENT, item_id)
        assert not DIFFERENT.keys() & after.values.keys()


def test_a_series_is_one_item_of_the_changes(world):
    item_id = world.add(APPOINTMENT, recurrence=MONDAYS)
    with world.open() as gateway:
        page = gateway.changes(APPOINTMENT, "", 10)
        assert [one.item_id for one in page.items] == [item_id]
        write(gateway, read(gateway, APPOINTMENT, item_id), **DIFFERENT)
        page = gateway.changes(APPOINTMENT, page.cursor, 10)
        assert {one.item_id for one in page.items} == {item_id}
        assert page.removed == ()
