"""Appointments, contacts and tasks of Exchange: what another client writes, and what goes wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import exchangelib
import pytest
from exchangelib import (
    Account,
    CalendarItem,
    Configuration,
    Contact,
    Credentials,
    EWSDate,
    FileAttachment,
    ItemAttachment,
    Message,
    Task,
)
from exchangelib.indexed_properties import EmailAddress, PhoneNumber, PhysicalAddress
from exchangelib.properties import Attendee
from exchangelib.properties import Mailbox as Person
from exchangelib.recurrence import Recurrence as TheirRecurrence
from exchangelib.recurrence import TaskRecurrence, WeeklyPattern
from exchangelib.version import Build, Version
from lxml import etree

from syncservice.domain.attachments import Allowed
from syncservice.domain.faults import FaultError, Nature, Scope
from syncservice.domain.item_values import DELETED, Values
from syncservice.domain.recurrence import Pattern, Recurrence
from syncservice.domain.time_zones import clock_of
from syncservice.servers.exchange.activities import ExchangeActivities
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.properties import named
from syncservice.servers.exchange.series import element_of, recurrence_of
from syncservice.servers.gateway import (
    Deletion,
    Gone,
    Item,
    ItemFile,
    NotRead,
    NotWritten,
    Written,
)
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


ODD = "Europe/Samara"  # Windows has it, and the server does not
ALL_DAY = pytest.mark.parametrize("all_day", [False, True])


def odd(*, all_day: bool) -> Values:
    start, end = ("08:00", "09:30") if not all_day else ("20:00", "20:00")
    day = 3 if all_day else 2
    return {
        "start": f"2026-03-02T{start}:00Z", "end": f"2026-03-0{day}T{end}:00Z",
        "all_day": all_day, "zone": ODD,
    }  # fmt: skip


def assert_as_good(time: Values, wanted: Values) -> None:
    """It is the same time, on a clock that shows the same."""
    assert {**time, "zone": ODD} == wanted
    assert time["zone"] != ODD
    moment = datetime.fromisoformat(time["start"])
    clocks = (clock_of(zone) for zone in (time["zone"], ODD))
    assert len({moment.astimezone(clock).utcoffset() for clock in clocks}) == 1


@ALL_DAY
def test_an_appointment_whose_zone_the_server_refuses_gets_one_that_shows_the_same(world, all_day):
    wanted = odd(all_day=all_day)
    items = [new(APPOINTMENT, f"key-{n}", time=wanted, subject=f"{n}") for n in range(3)]
    written = world.gateway.create(APPOINTMENT, [items[0], new(APPOINTMENT), *items[1:]])
    assert [type(one) for one in written] == [Written] * 4
    read_again = [read(world.gateway, APPOINTMENT, one.item_id) for one in written]
    assert [item.record_key for item in read_again] == ["key-0", "", "key-1", "key-2"]
    assert read_again[1].values["time"] == TIME
    for item in (read_again[0], *read_again[2:]):
        assert_as_good(item.values["time"], wanted)


@ALL_DAY
def test_an_appointment_moves_into_a_zone_that_the_server_refuses(world, all_day):
    wanted = odd(all_day=all_day)
    made = world.gateway.create(APPOINTMENT, [new(APPOINTMENT) for _ in range(2)])
    items = [read(world.gateway, APPOINTMENT, one.item_id) for one in made]
    written = world.gateway.update(APPOINTMENT, [change(one, time=wanted) for one in items])
    for one in written:
        assert isinstance(one, Written)
        item = read(world.gateway, APPOINTMENT, one.item_id)
        assert item.change_key == one.change_key
        assert_as_good(item.values["time"], wanted)


def test_a_series_in_a_zone_that_the_server_refuses_has_its_occurrences(world):
    daily = Recurrence(pattern=Pattern.DAILY, starts_on=date(2026, 3, 2), count=9).as_value()
    different = {"occurrence:2026-03-03": {"subject": "x"}, "occurrence:2026-03-04": DELETED}
    wanted = odd(all_day=False)
    given = new(APPOINTMENT, time=wanted, recurrence=daily, **different)
    (written,) = world.gateway.create(APPOINTMENT, [given])
    values = read(world.gateway, APPOINTMENT, written.item_id).values
    assert_as_good(values["time"], wanted)
    assert values["recurrence"] == daily
    assert different.items() <= values.items()


@pytest.mark.parametrize(
    ("code", "times", "is_written"),
    [
        ("ErrorTimeZone", 3, True),  # no zone at all does it
        ("ErrorCalendarInvalidTimeZone", 3, True),
        ("ErrorTimeZone", 4, False),
    ],
)
def test_an_appointment_is_written_without_a_zone_when_all_are_refused(
    world, code, times, is_written
):
    world.goes_wrong("message", "CreateItem", code=code, times=times)
    (written,) = world.gateway.create(APPOINTMENT, [new(APPOINTMENT, time=odd(all_day=False))])
    assert isinstance(written, Written if is_written else NotWritten)
    if is_written:
        time = read(world.gateway, APPOINTMENT, written.item_id).values["time"]
        assert {**time, "zone": ODD} == odd(all_day=False)
    else:
        assert (written.fault.nature, written.fault.scope) == (Nature.PERMANENT, Scope.EMAIL)
    assert len(world.gateway.changes(APPOINTMENT, "", 10).items) == is_written


def test_a_zone_that_no_request_may_have_is_left_out(world):
    """Of a whole request that is refused, nobody knows what was wrong with it."""
    world.goes_wrong("request", "CreateItem", times=1, code="ErrorSchemaValidation")
    (written,) = world.gateway.create(APPOINTMENT, [new(APPOINTMENT)])
    assert isinstance(written, Written)
    assert len(world.gateway.changes(APPOINTMENT, "", 10).items) == 1


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


# --- files ----------------------------------------------------------------------------------------

PLAN = ItemFile("plan.txt", "text/plain", b"one")


def with_files(world: World, *, most_bytes: int = 1000) -> ExchangeActivities:
    server = ExchangeServer(world.simulator.ews_url, "svc", "pw", "basic", impersonate=True)
    return ExchangeActivities(server, ADDRESS, allowed_files=Allowed(most_bytes, ()))


def their_item(world: World) -> CalendarItem:
    (item,) = world.account.calendar.all()
    return item


def test_what_the_body_shows_and_attached_items_are_no_files(world):
    with with_files(world) as gateway:
        (made,) = gateway.create(APPOINTMENT, [new(APPOINTMENT)])
        logo = FileAttachment(name="logo.png", content=b"x", is_inline=True, content_id="logo")
        note = Message(account=world.account, subject="Note", body="x")
        for attachment in (logo, ItemAttachment(name="Note", item=note)):
            their_item(world).attach(attachment)
        item = read(gateway, APPOINTMENT, made.item_id)
        assert item.values["attachments"] == []
        removed = [ItemFile("logo.png", "", b"x").value]
        gateway.put_files(item.item_id, item.change_key, [PLAN], removed)
    names = [one.name for one in their_item(world).attachments]
    assert sorted(names) == ["Note", "logo.png", "plan.txt"]


def test_another_client_sees_the_files_that_were_put(world):
    with with_files(world) as gateway:
        (made,) = gateway.create(APPOINTMENT, [new(APPOINTMENT)])
        gateway.put_files(made.item_id, made.change_key, [PLAN], [])
    (file,) = their_item(world).attachments
    assert (file.name, file.content_type, file.content) == ("plan.txt", "text/plain", b"one")


def test_a_file_that_is_larger_than_other_answers_may_be_is_fetched(world):
    large = ItemFile("large.bin", "", bytes(20 * 2**20))
    with with_files(world, most_bytes=20 * 2**20) as gateway:
        (made,) = gateway.create(APPOINTMENT, [new(APPOINTMENT)])
        their_item(world).attach(FileAttachment(name=large.name, content=large.content))
        assert read(gateway, APPOINTMENT, made.item_id).values["attachments"] == [large.value]


@pytest.mark.parametrize("code", ["ErrorItemNotFound", "ErrorInternalServerError"])
def test_an_item_whose_files_cannot_be_fetched_is_not_read_and_stops_no_other(world, code):
    with with_files(world) as gateway:
        made = gateway.create(APPOINTMENT, [new(APPOINTMENT) for _ in range(2)])
        for one in made:
            gateway.put_files(one.item_id, one.change_key, [PLAN], [])
        world.goes_wrong("message", "GetAttachment", code=code)
        first, second = gateway.read(APPOINTMENT, [one.item_id for one in made])
        assert isinstance(first, NotRead)
        assert first.fault.scope is Scope.EMAIL
        assert isinstance(second, Item)
        world.goes_wrong("message", "GetAttachment", code=code)
        with pytest.raises(FaultError):
            gateway.files(made[0].item_id)
        assert gateway.files(made[0].item_id) == (PLAN,)


@pytest.mark.parametrize("operation", ["CreateAttachment", "DeleteAttachment"])
def test_files_that_are_cut_off_are_put_by_doing_it_again(world, operation):
    with with_files(world) as gateway:
        (made,) = gateway.create(APPOINTMENT, [new(APPOINTMENT)])
        old = [ItemFile(f"old {n}", "", b"x") for n in range(2)]
        gateway.put_files(made.item_id, made.change_key, old, [])
        wanted = ([PLAN, ItemFile("b", "", b"b")], [one.value for one in old])
        item = read(gateway, APPOINTMENT, made.item_id)
        world.goes_wrong("reset_after", operation)
        with pytest.raises(FaultError):
            gateway.put_files(item.item_id, item.change_key, *wanted)
        item = read(gateway, APPOINTMENT, made.item_id)
        assert isinstance(gateway.put_files(item.item_id, item.change_key, *wanted), Written)
    assert sorted(one.name for one in their_item(world).attachments) == ["b", "plan.txt"]


def test_a_file_that_the_server_refuses_is_said_of_its_item(world):
    with with_files(world) as gateway:
        (made,) = gateway.create(APPOINTMENT, [new(APPOINTMENT)])
        world.goes_wrong("message", "CreateAttachment", code="ErrorMessageSizeExceeded")
        refused = gateway.put_files(made.item_id, made.change_key, [PLAN], [])
    assert isinstance(refused, NotWritten)
    assert (refused.fault.nature, refused.fault.scope) == (Nature.PERMANENT, Scope.EMAIL)


def test_a_busy_server_that_files_are_read_from_is_a_fault(world):
    with with_files(world) as gateway:
        (made,) = gateway.create(APPOINTMENT, [new(APPOINTMENT)])
        gateway.put_files(made.item_id, made.change_key, [PLAN], [])
        world.goes_wrong("message", "GetAttachment")
        with pytest.raises(FaultError) as caught:
            list(gateway.read(APPOINTMENT, [made.item_id]))
    assert caught.value.fault.nature is Nature.THROTTLED


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
