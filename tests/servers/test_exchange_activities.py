"""Appointments, contacts and tasks of Exchange: what another client writes, and what goes wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import exchangelib
import pytest
from exchangelib import Account, CalendarItem, Configuration, Contact, Credentials, EWSDate, Task
from exchangelib.indexed_properties import EmailAddress, PhoneNumber, PhysicalAddress
from exchangelib.properties import Attendee
from exchangelib.properties import Mailbox as Person
from exchangelib.recurrence import Recurrence as TheirRecurrence
from exchangelib.recurrence import TaskRecurrence, WeeklyPattern
from exchangelib.version import Build, Version
from lxml import etree

from syncservice.domain.faults import FaultError, Nature, Scope
from syncservice.domain.item_values import DELETED
from syncservice.domain.recurrence import Pattern, Recurrence
from syncservice.servers.exchange.activities import ExchangeActivities
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.properties import named
from syncservice.servers.exchange.series import element_of, recurrence_of
from syncservice.servers.gateway import Deletion, Gone, Item, NotRead, NotWritten, Written
from syncservice.simulator.exchange import ExchangeSimulator
from syncservice.simulator.exchange import Fault as ServerFault
from tests.contracts.activity_worlds import APPOINTMENT, CONTACT, TASK, TIME, change, new, read
from tests.memory_gateway import mime
from tests.simulator.answers import checked_simulator

ADDRESS = "user@example.test"


@dataclass
class World:
    """A mailbox, and another client that is logged in to it."""

    simulator: ExchangeSimulator
    gateway: ExchangeActivities
    account: Account

    def goes_wrong(self, kind: str, operation: str, times: int = 1, **more) -> None:
        fault = ServerFault(kind=kind, operation=operation, times=times, **more)
        self.simulator.control.add_fault(fault)

    def asked(self, operation: str) -> int:
        return self.simulator.control.statistics().requests.get(operation, 0)


@pytest.fixture
def world() -> Iterator[World]:
    with checked_simulator() as simulator:
        simulator.control.create_service_account("svc", "pw")
        simulator.control.create_mailbox(ADDRESS, "pw", "Una User")
        server = ExchangeServer(simulator.ews_url, "svc", "pw", "basic", impersonate=True)
        config = Configuration(
            service_endpoint=simulator.ews_url,
            credentials=Credentials(ADDRESS, "pw"),
            auth_type="basic",
            version=Version(Build(15, 1, 2507, 6)),
        )
        account = Account(
            ADDRESS,
            config=config,
            access_type=exchangelib.DELEGATE,
            default_timezone=exchangelib.EWSTimeZone("Europe/Berlin"),
        )
        with ExchangeActivities(server, ADDRESS) as gateway:
            yield World(simulator, gateway, account)


# --- what another client sees, and writes ---------------------------------------------------------


def test_another_client_sees_a_contact_under_its_name(world):
    name = {"first": "Ann", "middle": "B.", "last": "Ash"}
    world.gateway.create(CONTACT, [new(CONTACT, full_name=name, children="Ed, Flo")])
    (contact,) = world.account.contacts.all()
    assert (contact.display_name, contact.file_as) == ("Ann B. Ash", "Ash, Ann B.")
    assert (contact.given_name, contact.surname) == ("Ann", "Ash")
    assert contact.children == ["Ed", "Flo"]


def test_a_contact_of_another_client_is_read(world):
    Contact(
        account=world.account,
        folder=world.account.contacts,
        given_name="Ann",
        display_name="Ann",
        company_name="Contoso",
        birthday=EWSDate(1935, 1, 31),
        email_addresses=[EmailAddress(email="ann@x.test", label="EmailAddress2")],
        phone_numbers=[PhoneNumber(label="MobilePhone", phone_number="1")],
        physical_addresses=[PhysicalAddress(label="Home", city="Bonn", zipcode="53111")],
        children=["Ed ", "Flo"],
        body="One\r\nTwo  \r\n\r\n",
    ).save()
    (listed,) = world.gateway.changes(CONTACT, "", 10).items
    values = read(world.gateway, CONTACT, listed.item_id).values
    assert listed.addresses == ("ann@x.test",)
    assert values["full_name"] == {"first": "Ann", "middle": "", "last": ""}
    assert (values["email1"], values["email2"], values["mobile"]) == ("", "ann@x.test", "1")
    assert (values["birthday"], values["children"]) == ("1935-01-31", "Ed, Flo")
    assert values["notes"] == "One\nTwo"
    assert values["home_address"] == {
        "street": "", "city": "Bonn", "state": "", "postal_code": "53111", "country": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    "written",
    [
        "1970-12-31T00:00:00Z",
        "1970-12-31T11:59:00Z",
        "1970-12-30T23:00:00Z",  # midnight in Berlin
        "1970-12-30T15:00:00Z",  # in Tokyo
        "1970-12-31T08:00:00Z",  # in Los Angeles
    ],
)
def test_a_birthday_is_the_same_date_whatever_midnight_it_was_written_with(world, written):
    contact = Contact(account=world.account, folder=world.account.contacts, display_name="Ann")
    contact.save()
    _, item = world.simulator.service.store.item(contact.id)
    item.values["Birthday"] = written
    assert read(world.gateway, CONTACT, contact.id).values["birthday"] == "1970-12-31"


def test_an_item_of_another_class_is_none_of_the_changes(world):
    world.simulator.control.deliver(ADDRESS, mime("stray"), "contacts")
    kept = Contact(account=world.account, folder=world.account.contacts, display_name="Ann")
    kept.save()
    page = world.gateway.changes(CONTACT, "", 10)
    assert [one.item_id for one in page.items] == [kept.id]


def test_a_task_of_another_client_is_read(world):
    task = Task(
        account=world.account,
        folder=world.account.tasks,
        subject="Call",
        start_date=EWSDate(2026, 3, 1),
        due_date=EWSDate(2026, 3, 31),
        percent_complete=Decimal(25),
        status="InProgress",
        reminder_is_set=True,
        reminder_due_by=datetime(2026, 3, 30, 8, tzinfo=exchangelib.UTC),
        importance="High",
    )
    task.save()
    values = read(world.gateway, TASK, task.id).values
    assert (values["start"], values["due"], values["percent_complete"]) == (
        "2026-03-01", "2026-03-31", 25,
    )  # fmt: skip
    assert (values["status"], values["importance"]) == ("in_progress", "high")
    assert values["reminder"] == "2026-03-30T08:00:00Z"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, ""),
        ({"DelegationState": "NoMatch", "IsTeamTask": "false"}, ""),
        ({"DelegationState": "OwnNew"}, ""),
        ({"DelegationState": "Accepted"}, "assigned_task"),
        ({"IsTeamTask": "true"}, "assigned_task"),
    ],
)
def test_a_task_that_cannot_be_kept_in_step_says_why(world, values, why):
    task = Task(account=world.account, folder=world.account.tasks, subject="Call")
    task.save()
    _, item = world.simulator.service.store.item(task.id)
    item.values.update(values)
    assert read(world.gateway, TASK, task.id).unsupported == why


def test_a_recurring_task_cannot_be_kept_in_step(world):
    task = Task(
        account=world.account,
        folder=world.account.tasks,
        subject="Call",
        recurrence=TaskRecurrence(
            pattern=WeeklyPattern(interval=1, weekdays=["Monday"]), start=EWSDate(2026, 3, 2)
        ),
    )
    task.save()
    assert read(world.gateway, TASK, task.id).unsupported == "recurring_task"


def test_a_series_of_another_client_is_read_with_what_differs(world):
    zone = world.account.default_timezone
    monday = datetime(2026, 3, 2, 9, tzinfo=zone)
    CalendarItem(
        account=world.account,
        folder=world.account.calendar,
        subject="Weekly",
        start=monday,
        end=monday + timedelta(hours=1),
        recurrence=TheirRecurrence(
            pattern=WeeklyPattern(interval=1, weekdays=["Monday"]),
            start=monday.date(),
            number=8,
        ),
    ).save()
    (master,) = world.account.calendar.all()
    later = datetime(2026, 3, 30, 14, tzinfo=zone)  # the clocks have changed
    occurrence = master.occurrence(index=5)
    occurrence.start, occurrence.end = later, later + timedelta(hours=1)
    occurrence.save(update_fields=["start", "end"])
    master.occurrence(index=2).delete()
    values = read(world.gateway, APPOINTMENT, master.id).values
    assert (
        values["recurrence"]
        == Recurrence(
            pattern=Pattern.WEEKLY, starts_on=date(2026, 3, 2), weekdays=("monday",), count=8
        ).as_value()
    )
    different = {"start": "2026-03-30T12:00:00Z", "end": "2026-03-30T13:00:00Z"}
    assert values["occurrence:2026-03-30"] == different
    assert values["occurrence:2026-03-09"] == DELETED


def test_another_client_sees_a_meeting_that_was_written(world):
    people = [{"address": "ann@elsewhere.test", "name": "Ann"}]
    world.gateway.create(APPOINTMENT, [new(APPOINTMENT, subject="Plan", required=people)])
    (item,) = world.account.calendar.all()
    assert item.required_attendees == [
        Attendee(
            mailbox=Person(email_address="ann@elsewhere.test", name="Ann", routing_type="SMTP"),
            response_type=item.required_attendees[0].response_type,
        )
    ]
    assert item.start == datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert str(item._start_timezone) == "Europe/Berlin"
    assert item.reminder_is_set is False


@pytest.mark.parametrize("zone", ["Customized Time Zone", "tzone://Microsoft/Custom"])
def test_an_appointment_of_a_zone_that_nobody_knows_is_read_and_changed(world, zone):
    (written,) = world.gateway.create(APPOINTMENT, [new(APPOINTMENT)])
    world.simulator.control.set_time_zone(written.item_id, zone)
    item = read(world.gateway, APPOINTMENT, written.item_id)
    assert item.values["time"] == {**TIME, "zone": ""}
    later = {**item.values["time"], "end": "2026-03-02T10:00:00Z"}
    (written,) = world.gateway.update(APPOINTMENT, [change(item, time=later)])
    assert isinstance(written, Written)
    assert read(world.gateway, APPOINTMENT, written.item_id).values["time"] == later


# --- requests -------------------------------------------------------------------------------------


def test_fifty_items_are_read_and_written_in_one_request_each(world):
    ones = world.gateway.create(CONTACT, [new(CONTACT, nickname=str(n)) for n in range(50)])
    before = world.gateway.requests
    items = list(world.gateway.read(CONTACT, [one.item_id for one in ones]))
    world.gateway.update(CONTACT, [change(item, nickname="new") for item in items])
    world.gateway.delete(CONTACT, [Deletion(item_id=item.item_id) for item in items])
    assert world.gateway.requests - before == 3


def test_series_cost_no_requests_of_their_own_unless_they_differ(world):
    daily = Recurrence(pattern=Pattern.DAILY, starts_on=date(2026, 3, 2), count=9).as_value()
    different = {"occurrence:2026-03-03": {"subject": "x"}, "occurrence:2026-03-04": DELETED}
    ones = world.gateway.create(
        APPOINTMENT, [new(APPOINTMENT, recurrence=daily, **different) for _ in range(3)]
    )
    before = world.gateway.requests
    items = list(world.gateway.read(APPOINTMENT, [one.item_id for one in ones]))
    assert world.gateway.requests - before == 2
    (written,) = world.gateway.update(APPOINTMENT, [change(items[0], subject="y")])
    assert world.gateway.requests - before == 3
    assert isinstance(written, Written)


# --- what goes wrong ------------------------------------------------------------------------------


def results(world: World, act: str, number: int = 3) -> list[Written | NotWritten | Gone]:
    """Create, change or delete some contacts in one call."""
    if act == "CreateItem":
        return world.gateway.create(CONTACT, [new(CONTACT, f"key-{n}") for n in range(number)])
    made = world.gateway.create(CONTACT, [new(CONTACT, f"key-{n}") for n in range(number)])
    items = list(world.gateway.read(CONTACT, [one.item_id for one in made]))
    if act == "UpdateItem":
        return world.gateway.update(CONTACT, [change(item, nickname="new") for item in items])
    return world.gateway.delete(CONTACT, [Deletion(item_id=item.item_id) for item in items])


ACTS = pytest.mark.parametrize("act", ["CreateItem", "UpdateItem", "DeleteItem"])


@ACTS
@pytest.mark.parametrize(
    ("code", "nature", "scope"),
    [
        ("ErrorQuotaExceeded", Nature.TRANSIENT, Scope.EMAIL),
        ("ErrorAccessDenied", Nature.TRANSIENT, Scope.EMAIL),
        ("ErrorInternalServerError", Nature.TRANSIENT, Scope.EMAIL),
        ("ErrorItemSave", Nature.TRANSIENT, Scope.EMAIL),
        ("ErrorIrresolvableConflict", Nature.CONFLICT, Scope.EMAIL),
        ("ErrorStaleObject", Nature.CONFLICT, Scope.EMAIL),
        ("ErrorInvalidPropertySet", Nature.PERMANENT, Scope.EMAIL),
        ("ErrorCalendarEndDateIsEarlierThanStartDate", Nature.PERMANENT, Scope.EMAIL),
        ("ErrorServerBusy", Nature.THROTTLED, Scope.MAILBOX),
        ("ErrorMailboxStoreUnavailable", Nature.TRANSIENT, Scope.MAILBOX),
    ],
)
def test_no_result_of_a_batch_is_lost_when_one_is_refused(world, act, code, nature, scope):
    world.goes_wrong("message", act, code=code, index=1)
    first, refused, last = results(world, act)
    assert isinstance(refused, NotWritten)
    assert (refused.fault.nature, refused.fault.scope) == (nature, scope)
    assert not isinstance(first, NotWritten)
    assert not isinstance(last, NotWritten)
    left = {one.item_id for one in world.gateway.changes(CONTACT, "", 10).items}
    if act != "DeleteItem":
        assert {first.item_id, last.item_id} <= left


def test_what_the_server_did_not_come_to_is_not_written(world):
    world.goes_wrong("message", "CreateItem", code="ErrorQuotaExceeded", index=1, stop_batch=True)
    first, refused, skipped = results(world, "CreateItem")
    assert isinstance(first, Written)
    assert isinstance(refused, NotWritten)
    assert isinstance(skipped, NotWritten)
    assert skipped.fault.nature is Nature.TRANSIENT
    assert [one.item_id for one in world.gateway.changes(CONTACT, "", 10).items] == [first.item_id]


def test_a_busy_server_is_asked_for_no_more_batches(world):
    world.goes_wrong("message", "CreateItem", index=49, times=0)
    written = results(world, "CreateItem", 120)
    assert world.asked("CreateItem") == 1
    assert [type(one) for one in written] == [Written] * 49 + [NotWritten] * 71
    assert {one.fault.nature for one in written[49:]} == {Nature.THROTTLED}


@ACTS
@pytest.mark.parametrize(
    ("kind", "code", "nature"),
    [
        ("busy", "", Nature.THROTTLED),
        ("request", "ErrorTimeoutExpired", Nature.TRANSIENT),
        ("request", "ErrorImpersonateUserDenied", Nature.PERMANENT),
        ("http", "", Nature.THROTTLED),
        ("html", "", Nature.TRANSIENT),
        ("reset_before", "", Nature.TRANSIENT),
        ("reset_after", "", Nature.TRANSIENT),
    ],
)
def test_a_request_that_fails_is_a_fault_and_is_not_made_again(world, act, kind, code, nature):
    world.goes_wrong(kind, act, times=0, code=code or "ErrorServerBusy")
    before = world.asked(act)
    with pytest.raises(FaultError) as caught:
        results(world, act)
    assert caught.value.fault.nature is nature
    world.simulator.control.clear_faults()
    assert world.asked(act) - before <= 1


def test_what_was_created_by_a_request_without_an_answer_is_found(world):
    world.goes_wrong("reset_after", "CreateItem")
    with pytest.raises(FaultError):
        results(world, "CreateItem")
    found = world.gateway.find(CONTACT, [f"key-{number}" for number in range(9)])
    assert {one.record_key for one in found} == {"key-0", "key-1", "key-2"}


@ACTS
def test_an_item_that_the_server_cannot_take_at_all_stops_no_other(world, act):
    world.goes_wrong("request", act, times=1, code="ErrorSchemaValidation")
    assert [type(one) for one in results(world, act)] == (
        [Gone] * 3 if act == "DeleteItem" else [Written] * 3
    )


def test_the_one_that_the_server_cannot_take_is_refused_for_good(world):
    for nth in (1, 3):  # the batch, and its second item by itself
        world.goes_wrong("request", "CreateItem", nth=nth, code="ErrorSchemaValidation")
    first, refused, last = results(world, "CreateItem")
    assert isinstance(first, Written)
    assert isinstance(last, Written)
    assert isinstance(refused, NotWritten)
    assert (refused.fault.nature, refused.fault.scope) == (Nature.PERMANENT, Scope.EMAIL)


def test_an_item_that_cannot_be_read_is_said_in_its_place(world):
    ones = world.gateway.create(CONTACT, [new(CONTACT, nickname=str(n)) for n in range(3)])
    world.goes_wrong("message", "GetItem", code="ErrorInternalServerError", index=1)
    first, refused, last = world.gateway.read(CONTACT, [one.item_id for one in ones])
    assert isinstance(first, Item)
    assert isinstance(last, Item)
    assert isinstance(refused, NotRead)
    assert (refused.item_id, refused.fault.scope) == (ones[1].item_id, Scope.EMAIL)


def test_a_busy_server_that_is_read_from_is_a_fault(world):
    ones = world.gateway.create(CONTACT, [new(CONTACT) for _ in range(3)])
    world.goes_wrong("message", "GetItem", index=1)
    with pytest.raises(FaultError) as caught:
        list(world.gateway.read(CONTACT, [one.item_id for one in ones]))
    assert caught.value.fault.nature is Nature.THROTTLED


@pytest.mark.parametrize(
    ("operation", "act"),
    [
        ("SyncFolderItems", lambda gateway: gateway.changes(TASK, "", 10)),
        ("FindItem", lambda gateway: gateway.find(TASK, ["key-1"])),
    ],
)
def test_a_listing_that_goes_wrong_is_a_fault_of_the_mailbox(world, operation, act):
    for kind, code in (("message", "ErrorCorruptData"), ("message", "ErrorItemNotFound")):
        world.goes_wrong(kind, operation, code=code)
        with pytest.raises(FaultError) as caught:
            act(world.gateway)
        assert caught.value.fault.scope is not Scope.EMAIL


def test_an_occurrence_that_cannot_be_written_is_said_of_its_series(world):
    daily = Recurrence(pattern=Pattern.DAILY, starts_on=date(2026, 3, 2), count=9).as_value()
    (written,) = world.gateway.create(APPOINTMENT, [new(APPOINTMENT, recurrence=daily)])
    item = read(world.gateway, APPOINTMENT, written.item_id)
    wrong = {"start": "2026-03-03T12:00:00Z", "end": "2026-03-03T11:00:00Z"}
    wanted = change(item, subject="x", **{"occurrence:2026-03-03": wrong})
    (refused,) = world.gateway.update(APPOINTMENT, [wanted])
    assert isinstance(refused, NotWritten)
    assert refused.fault.nature is Nature.PERMANENT


def test_occurrences_that_are_cut_off_are_written_by_doing_it_again(world):
    daily = Recurrence(pattern=Pattern.DAILY, starts_on=date(2026, 3, 2), count=9).as_value()
    (written,) = world.gateway.create(APPOINTMENT, [new(APPOINTMENT, recurrence=daily)])
    different = {
        "occurrence:2026-03-03": {"subject": "x"},
        "occurrence:2026-03-04": DELETED,
        "occurrence:2026-03-05": {"location": "y"},
    }
    for operation in ("UpdateItem", "DeleteItem"):
        item = read(world.gateway, APPOINTMENT, written.item_id)
        world.goes_wrong("reset_after", operation)
        with pytest.raises(FaultError):
            world.gateway.update(APPOINTMENT, [change(item, **different)])
    item = read(world.gateway, APPOINTMENT, written.item_id)
    (again,) = world.gateway.update(APPOINTMENT, [change(item, **different)])
    assert isinstance(again, Written)
    values = read(world.gateway, APPOINTMENT, written.item_id).values
    assert different.items() <= values.items()


# --- recurrences ----------------------------------------------------------------------------------

TYPES = 'xmlns="http://schemas.microsoft.com/exchange/services/2006/types"'


@pytest.mark.parametrize(
    "pattern",
    [
        "<DailyRegeneration><Interval>1</Interval></DailyRegeneration>",
        "<AbsoluteYearlyRecurrence><DayOfMonth>1</DayOfMonth><Month>Nivôse</Month>"
        "</AbsoluteYearlyRecurrence>",
        "<WeeklyRecurrence><Interval>many</Interval></WeeklyRecurrence>",
    ],
)
def test_what_is_no_recurrence_is_refused(pattern):
    text = f"<Recurrence {TYPES}>{pattern}<NoEndRecurrence><StartDate>2026-03-02</StartDate>"
    with pytest.raises(ValueError):
        recurrence_of(etree.fromstring(f"{text}</NoEndRecurrence></Recurrence>"))


def test_a_zone_behind_a_date_changes_nothing():
    series = Recurrence(pattern=Pattern.DAILY, starts_on=date(2026, 3, 2), count=9)
    element = element_of(series)
    start = next(element.iter(named("StartDate")))
    start.text = "2026-03-02+01:00"
    assert recurrence_of(element) == series
