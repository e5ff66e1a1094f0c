"""Recurring series, from one side to the other and to those who are invited.

Organizer, attendee and record must have the same occurrences: what both calendars show (a
CalendarView of Exchange's simulator) is compared with `domain.recurrence` applied to the record.
However often everybody is visited again, nobody is told of a series twice (P21).
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from exchangelib import EWSDate

from syncservice.crm.models import Appointment, AppointmentParty
from syncservice.domain.item_values import DELETED, OCCURRENCE, Values
from syncservice.domain.recurrence import Pattern, Recurrence, occurrences
from syncservice.simulator.exchange import ExchangeSimulator
from tests.sync.exchange_people import Colleague, World, people_of, world_of
from tests.sync.synced_items import TRACKED

DAY = timedelta(days=1)
#: The clocks of all three zones below change within the weeks after it, in different ones.
YEAR = datetime.now(UTC).year + 1
BERLIN, NEW_YORK, SYDNEY = "Europe/Berlin", "America/New_York", "Australia/Sydney"
#: Exchange shows two years at once.
WINDOW = timedelta(days=700)


def series(pattern: str, *, starts_on: date = date(YEAR, 3, 1), **said: Any) -> Recurrence:
    return Recurrence(pattern=Pattern(pattern), starts_on=starts_on, **said)


WEEKLY = series("weekly", weekdays=("monday", "thursday"), count=16)
PATTERNS = {
    "daily": series("daily", interval=3, ends_on=date(YEAR, 5, 1)),
    "weekly": WEEKLY,
    "every other week": series(
        "weekly", interval=2, weekdays=("monday", "sunday"), first_day_of_week="monday"
    ),
    "monthly": series("monthly", day=31, count=5),
    "the last weekday": series("monthly_nth", nth="last", weekdays=("weekday",)),
    "yearly": series("yearly", month=3, day=2),
    "the first weekend day": series(
        "yearly_nth", nth="first", weekdays=("weekend_day",), month=4, count=3
    ),
}
#: At nine, for an hour; in Berlin.
NINE = 9


def time_of(one: Recurrence, zone: str = BERLIN, *, all_day: bool = False) -> Values:
    """Return when the first occurrence is."""
    clock = ZoneInfo(zone)
    begins = datetime.combine(one.starts_on, datetime.min.time(), clock)
    if all_day:
        ends = datetime.combine(one.starts_on + DAY, datetime.min.time(), clock)
    else:
        begins = begins.replace(hour=NINE)
        ends = begins.replace(hour=NINE + 1)
    return {"start": text(begins), "end": text(ends), "all_day": all_day, "zone": zone}


def text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Calendars:
    """Org and Ann, who is invited to what Org enters."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.org, self.ann = world.colleague("org"), world.colleague("ann")
        world.visit_all()

    def enter(self, side: str, recurrence: Recurrence, time: Values, **differing: Any) -> None:
        """Enter a series on a side, and have everybody visited."""
        if side == "outlook":
            self.org.add(
                subject="Plan",
                time=time,
                recurrence=recurrence.as_value(),
                required=people_of(self.ann.address),
                categories=(TRACKED,),
                **differing,
            )
        else:
            record = Appointment.objects.create(
                subject="Plan",
                starts_at=datetime.fromisoformat(time["start"]),
                ends_at=datetime.fromisoformat(time["end"]),
                is_all_day=time["all_day"],
                time_zone=time["zone"],
                recurrence=recurrence.as_value(),
                owner=self.org.user,
                occurrences={name.removeprefix(OCCURRENCE): one for name, one in differing.items()},
            )
            for role, one in (("ORGANIZER", self.org), ("REQUIRED", self.ann)):
                participation = AppointmentParty.Participation[role]
                record.parties.create(
                    participation=participation, address=one.address, user=one.user
                )
        self.become_quiet()

    def become_quiet(self) -> None:
        for _ in range(3):
            self.world.visit_all()
        outcomes = self.world.visit_all()
        assert [(one.stored, one.written, one.failed) for one in outcomes] == [(0, 0, 0)] * 2

    @property
    def record(self) -> Appointment:
        return Appointment.objects.get()

    def told(self) -> list[str]:
        """What the service has told Ann since it was last asked for; nobody else is told."""
        sent = list(self.world.service_sent)
        self.world.service_sent.clear()
        assert all(one.recipient == self.ann.address for one in sent)
        return [one.kind for one in sent]

    def check(self) -> None:
        expected = occurrences_of(self.record)
        assert len(expected) > 1
        for one in (self.org, self.ann):
            assert shown_to(one, self.record) == expected, one.address


def occurrences_of(record: Appointment) -> list[tuple[Any, ...]]:
    """What a series has within the window, by the rules and what the record says of exceptions."""
    time = {
        "start": text(record.starts_at), "end": text(record.ends_at),
        "all_day": record.is_all_day, "zone": record.time_zone,
    }  # fmt: skip
    found = []
    until = record.starts_at + WINDOW
    for one in occurrences(Recurrence.of_value(record.recurrence), time, record.time_zone):
        if one.start >= until:
            break
        own = record.occurrences.get(one.on.isoformat(), {})
        if own == DELETED:
            continue
        start, end = (
            datetime.fromisoformat(own[name]) if name in own else usual
            for name, usual in (("start", one.start), ("end", one.end))
        )
        where = own.get("location", record.location)
        found.append((start, end, own.get("subject", record.subject), where))
    return sorted(found)


def shown_to(who: Colleague, record: Appointment) -> list[tuple[Any, ...]]:
    """What somebody's calendar shows within the window."""
    calendar = who.client().calendar
    start = record.starts_at
    items = calendar.view(start=start - 14 * DAY, end=start + WINDOW)
    clock = ZoneInfo(record.time_zone)

    def moment(said: Any, later: timedelta) -> datetime:
        if isinstance(said, EWSDate):  # an all-day one's last day is one of its own
            return datetime.combine(said + later, datetime.min.time(), clock).astimezone(UTC)
        return datetime.fromtimestamp(said.timestamp(), UTC)

    return sorted(
        (moment(one.start, 0 * DAY), moment(one.end, DAY), one.subject or "", one.location or "")
        for one in items
        if not one.is_cancelled  # Ann's of an occurrence that was called off is not hers to delete
    )


@pytest.fixture(scope="module")
def simulator() -> Iterator[ExchangeSimulator]:
    with ExchangeSimulator() as running:
        running.control.create_service_account("svc", "pw")
        yield running
        assert running.service.statistics.bugs == 0


@pytest.fixture
def calendars(simulator, transactional_db) -> Calendars:
    return Calendars(world_of(simulator))


@pytest.fixture(params=["crm", "outlook"])
def side(request) -> str:
    return request.param


@pytest.mark.parametrize("name", PATTERNS)
def test_each_pattern_is_the_same_for_all(calendars, side, name):
    one = PATTERNS[name]
    calendars.enter(side, one, time_of(one))
    assert calendars.record.recurrence == one.as_value()
    calendars.check()
    assert calendars.told() == (["request"] if side == "crm" else [])


@pytest.mark.parametrize("all_day", [False, True], ids=["nine o'clock", "all day"])
@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, SYDNEY])
def test_a_series_over_a_change_of_the_clocks(calendars, side, zone, all_day):
    calendars.enter(side, WEEKLY, time_of(WEEKLY, zone, all_day=all_day))
    calendars.check()
    assert calendars.record.time_zone == zone
    starts = {one[0].astimezone(ZoneInfo(zone)).hour for one in occurrences_of(calendars.record)}
    assert starts == {0 if all_day else NINE}
    assert len({one[0].hour for one in occurrences_of(calendars.record)}) == 2  # in UTC


# --- What is done to a series ---------------------------------------------------------------------

#: The fifth and the twelfth: before the clocks of Berlin change, and after.
EARLY, LATE = (str(WEEKLY.date_of(index)) for index in (5, 12))


def moved(day: str) -> dict[str, str]:
    noon = datetime.fromisoformat(f"{day}T12:00:00Z")
    return {"start": text(noon), "end": text(noon + timedelta(hours=2))}


SHORTER = series("weekly", weekdays=("monday", "thursday"), count=8)
OTHER = series("weekly", weekdays=("tuesday",), count=10)
#: What is done, and what Ann is told of it when it was done in the CRM.
EDITS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "an occurrence is moved": ({OCCURRENCE + EARLY: moved(EARLY)}, ["update"]),
    "one after the clocks' change is moved": ({OCCURRENCE + LATE: moved(LATE)}, ["update"]),
    "an occurrence is renamed": (
        {OCCURRENCE + EARLY: {"subject": "Special", "location": "Bonn"}},
        ["update"],
    ),
    "an occurrence is deleted": ({OCCURRENCE + EARLY: DELETED}, ["cancellation"]),
    "the series is renamed": ({"subject": "Other"}, ["update"]),
    "the series moves": (
        {"time": {**time_of(WEEKLY), **moved(str(WEEKLY.starts_on))}},
        ["update"],
    ),
    "another pattern": ({"recurrence": OTHER.as_value(), "time": time_of(OTHER)}, ["update"]),
    "it ends earlier": ({"recurrence": SHORTER.as_value()}, ["update"]),
}


def apply(record: Appointment, values: Values) -> None:
    """Do in the CRM what the values say."""
    for name, value in values.items():
        if name.startswith(OCCURRENCE):
            record.occurrences[name.removeprefix(OCCURRENCE)] = value
        elif name == "time":
            record.starts_at = datetime.fromisoformat(value["start"])
            record.ends_at = datetime.fromisoformat(value["end"])
        else:
            setattr(record, name, value)
    record.save()


def do(calendars: Calendars, side: str, values: Values) -> None:
    if side == "crm":
        apply(calendars.record, values)
    else:
        calendars.org.edit(**values)


@pytest.mark.parametrize("name", EDITS)
def test_what_is_done_to_a_series_is_the_same_for_all(calendars, side, name):
    values, told = EDITS[name]
    calendars.enter("crm", WEEKLY, time_of(WEEKLY))
    assert calendars.told() == ["request"]
    do(calendars, side, values)
    calendars.become_quiet()
    assert calendars.told() == (told if side == "crm" else [])
    for said, value in values.items():
        if said.startswith(OCCURRENCE):
            assert calendars.record.occurrences == {said.removeprefix(OCCURRENCE): value}
    calendars.check()


def test_both_sides_do_something_to_different_occurrences(calendars):
    calendars.enter("outlook", WEEKLY, time_of(WEEKLY))
    do(calendars, "crm", {OCCURRENCE + EARLY: moved(EARLY)})
    do(calendars, "outlook", {OCCURRENCE + LATE: {"location": "Ulm"}})
    calendars.become_quiet()
    assert calendars.record.occurrences == {EARLY: moved(EARLY), LATE: {"location": "Ulm"}}
    assert calendars.told() == ["update"]
    calendars.check()


def test_an_occurrence_that_was_deleted_comes_back(calendars):
    calendars.enter("crm", WEEKLY, time_of(WEEKLY))
    do(calendars, "crm", {OCCURRENCE + EARLY: DELETED, OCCURRENCE + LATE: {"location": "Ulm"}})
    calendars.become_quiet()
    calendars.told()
    record = calendars.record
    del record.occurrences[EARLY]
    record.save()
    calendars.become_quiet()
    assert calendars.record.occurrences == {LATE: {"location": "Ulm"}}
    calendars.check()


def test_a_series_that_began_long_ago_is_told_once_and_asked_of_nobody_again(calendars):
    """Its past occurrences are nobody's reason to be invited anew (F210, P21)."""
    began = datetime.now(UTC).date() - 90 * DAY
    weekdays = ("monday",)
    going_on = series("weekly", weekdays=weekdays, starts_on=began, count=30)
    calendars.enter("outlook", going_on, time_of(going_on))
    assert calendars.told() == []
    do(calendars, "crm", {"subject": "Other"})
    calendars.become_quiet()
    assert calendars.told() == ["update"]
    calendars.check()
    over = str(going_on.date_of(2))
    do(calendars, "outlook", {OCCURRENCE + over: DELETED})  # somebody tidies up
    calendars.become_quiet()
    assert calendars.told() == []
    assert calendars.record.occurrences == {}  # what is over stays in the CRM (3H)


def test_an_attendee_who_leaves_one_occurrence_out_leaves_it_to_the_others(calendars):
    calendars.enter("crm", WEEKLY, time_of(WEEKLY))
    calendars.told()
    calendars.ann.edit(**{OCCURRENCE + EARLY: DELETED})
    calendars.become_quiet()
    assert calendars.told() == []
    assert calendars.record.occurrences == {}
    assert shown_to(calendars.org, calendars.record) == occurrences_of(calendars.record)
