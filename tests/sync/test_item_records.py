"""Records say what they are in values, and become what values say."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from syncservice.crm.models import (
    Account,
    Appointment,
    AppointmentParty,
    AttachmentContent,
    Contact,
    Queue,
    Task,
    User,
)
from syncservice.domain.field_map import RecordType
from syncservice.domain.item_values import (
    APPOINTMENT_VALUES,
    CONTACT_VALUES,
    TASK_VALUES,
    VALUES,
    ItemKind,
)
from syncservice.sync.item_records import records_of
from tests.factories import appointment

pytestmark = pytest.mark.django_db
CONTACTS, TASKS = records_of(ItemKind.CONTACT), records_of(ItemKind.TASK)
Participation = AppointmentParty.Participation
ADDRESS = {
    "street": "Main 1\nBack door",
    "city": "Breda",
    "state": "NB",
    "postal_code": "4811 AA",
    "country": "NL",
}
WHOLE_CONTACT = {
    **{name: f"a {name}" for name, unset in CONTACT_VALUES.items() if unset == ""},
    "full_name": {"first": "Bo", "middle": "de", "last": "Bos"},
    "birthday": "1970-12-31",
    "anniversary": "2001-02-28",
    "business_address": ADDRESS,
    "home_address": {**ADDRESS, "city": ""},
    "other_address": {**ADDRESS, "state": ""},
}
WHOLE_TASK = {
    "subject": "Call",
    "notes": "one\ntwo",
    "start": "2026-03-01",
    "due": "2026-03-02",
    "completed": None,
    "status": "waiting",
    "percent_complete": 40,
    "importance": "high",
    "regarding": "",
    "reminder": None,
}
TIME = {  # of what is long over, nobody is reminded
    "start": "2126-03-04T09:00:00Z",
    "end": "2126-03-04T10:00:00Z",
    "all_day": False,
    "zone": "Europe/Berlin",
}
WHOLE_APPOINTMENT = {
    "subject": "Review",
    "body": "one\ntwo",
    "location": "Room 1",
    "importance": "low",
    "time": TIME,
    "show_as": "tentative",
    "organizer": {"address": "ann@example.test", "name": "Ann"},
    "required": [{"address": "bob@example.test", "name": "Bob"}],
    "optional": [{"address": "cas@example.test", "name": ""}],
    "responses": {"bob@example.test": "accepted", "cas@example.test": "none"},
    "regarding": "",
    "reminder": 30,
    "recurrence": None,
    "attachments": [{"name": "plan.pdf", "size": 3, "digest": "0" * 64}],
}
SERIES = {"pattern": "daily", "interval": 1, "starts_on": "2026-03-02", "count": 5}


@pytest.fixture
def ann() -> User:
    return User.objects.create(
        username="ann",
        email="Ann@example.test",
        first_name="Ann",
        time_zone="Europe/Amsterdam",
    )


@pytest.fixture
def content() -> AttachmentContent:
    return AttachmentContent.objects.create(digest="0" * 64, content=b"abc")


def made(kind: ItemKind, user: User, values: dict) -> object:
    """A record that was made of values, as it is read afterwards."""
    records, key = records_of(kind), uuid4()
    record = records.create(values, user, key)
    assert records.values(record, user) == records.values(records.load([key])[key], user)
    return records.load([key])[key]


def said(kind: ItemKind, user: User, record: object) -> dict:
    return records_of(kind).values(record, user)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (ItemKind.CONTACT, WHOLE_CONTACT),
        (ItemKind.TASK, WHOLE_TASK),
        (ItemKind.APPOINTMENT, WHOLE_APPOINTMENT),
        (ItemKind.APPOINTMENT,
         {**WHOLE_APPOINTMENT, "recurrence": SERIES, "occurrence:2026-03-03": "deleted",
          "occurrence:2026-03-04": {"subject": "Later"}}),
        (ItemKind.CONTACT, CONTACT_VALUES),
        (ItemKind.TASK, TASK_VALUES),
        (ItemKind.APPOINTMENT, {**APPOINTMENT_VALUES, "time": TIME}),
    ],
)  # fmt: skip
def test_what_is_written_is_read(kind, values, ann, content):
    record = made(kind, ann, values)
    assert record.owner == ann
    assert said(kind, ann, record) == values


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (ItemKind.CONTACT, WHOLE_CONTACT),
        (ItemKind.TASK, WHOLE_TASK),
        (ItemKind.APPOINTMENT, WHOLE_APPOINTMENT),
    ],
)
def test_each_value_is_written_alone(kind, values, ann, content):
    unset = VALUES[kind] | ({"time": TIME} if kind is ItemKind.APPOINTMENT else {})
    never_written = {"reminder", "completed"}
    # These say something of those who take part, or fill in each other.
    together = {"responses", "start", "due"}
    for name in values.keys() - never_written - together:
        record = made(kind, ann, unset)
        records_of(kind).apply(record, {name: values[name]}, ann)
        (key,) = {getattr(record, records_of(kind).KEY)}
        changed = said(kind, ann, records_of(kind).load([key])[key])
        assert {n for n in changed if changed[n] != unset[n]} - {"responses"} <= {name}
        assert changed[name] == values[name]
        assert said(kind, ann, record) == changed


# Contacts


def test_what_is_too_long_is_cut_once(ann):
    values = {"nickname": "x" * 400, "email1": f"{'x' * 250}@example.test"}
    record = made(ItemKind.CONTACT, ann, values)
    first = said(ItemKind.CONTACT, ann, record)
    assert (first["nickname"], first["email1"]) == ("x" * 255, "")
    CONTACTS.apply(record, values, ann)
    assert said(ItemKind.CONTACT, ann, record) == first


def test_the_company_is_the_accounts_where_its_user_wants_that(ann):
    record = made(ItemKind.CONTACT, ann, {"company": "Acme at home"})
    record.account = Account.objects.create(name="Acme")
    record.save()
    assert said(ItemKind.CONTACT, ann, record)["company"] == "Acme at home"
    ann.company_from_account = True
    assert said(ItemKind.CONTACT, ann, record)["company"] == "Acme"
    CONTACTS.apply(record, {"company": "Other"}, ann)
    assert said(ItemKind.CONTACT, ann, record)["company"] == "Acme"
    ann.company_from_account = False
    assert said(ItemKind.CONTACT, ann, record)["company"] == "Other"


def test_many_contacts_are_made_at_once(ann):
    many = [({**WHOLE_CONTACT, "nickname": str(n)}, uuid4()) for n in range(500)]
    with CaptureQueriesContext(connection) as made_by:
        CONTACTS.create_all(many, ann)
    assert len(made_by) < 5
    with CaptureQueriesContext(connection) as read_by:
        records = CONTACTS.load(key for _, key in many)
        assert [CONTACTS.values(records[key], ann) for _, key in many] == [v for v, _ in many]
    assert len(read_by) == 1


# Tasks


def test_a_moment_keeps_its_time_when_its_day_changes(ann):
    due = datetime(2026, 3, 1, 22, 30, tzinfo=UTC)  # 23:30 in Amsterdam
    task = Task.objects.create(subject="x", status=2, owner=ann, due_at=due)
    assert said(ItemKind.TASK, ann, task)["due"] == "2026-03-01"
    TASKS.apply(task, {"due": "2026-03-01"}, ann)
    assert Task.objects.get().due_at == due
    TASKS.apply(task, {"due": "2026-04-02"}, ann)  # summer by then
    assert Task.objects.get().due_at == datetime(2026, 4, 2, 21, 30, tzinfo=UTC)
    TASKS.apply(task, {"due": None}, ann)
    assert Task.objects.get().due_at is None


def test_a_day_is_the_users(ann):
    record = made(ItemKind.TASK, ann, {"due": "2026-03-02"})
    assert record.due_at == datetime(2026, 3, 1, 23, tzinfo=UTC)
    other = User.objects.create(username="bob")
    assert said(ItemKind.TASK, other, record)["due"] == "2026-03-01"


def test_a_missing_due_date_is_the_start(ann):
    record = made(ItemKind.TASK, ann, {"start": "2026-03-02"})
    assert said(ItemKind.TASK, ann, record)["due"] == "2026-03-02"
    assert record.actual_start is not None


@pytest.mark.parametrize(
    ("kind", "code", "status", "percent"),
    [
        ("task", 2, "not_started", 0),
        ("task", 3, "in_progress", 0),
        ("task", 4, "waiting", 0),
        ("task", 7, "deferred", 0),
        ("task", 5, "completed", 100),
        ("task", 6, "completed", 100),
        *[(kind, 1, "not_started", 0) for kind in ("phone_call", "letter", "fax")],
        ("letter", 2, "not_started", 0),
        *[("phone_call", code, "completed", 100) for code in (2, 3, 4)],
        *[("letter", code, "completed", 100) for code in (3, 4, 5)],
        *[("fax", code, "completed", 100) for code in (2, 3, 4, 5)],
    ],
)
def test_a_status_is_said_and_kept(kind, code, status, percent, ann):
    task = Task.objects.create(kind=kind, subject="x", status=code)
    values = said(ItemKind.TASK, ann, task)
    assert (values["status"], values["percent_complete"]) == (status, percent)
    TASKS.apply(task, {"status": status, "percent_complete": percent}, ann)
    assert (task.status, task.percent_complete) == (code, None)
    assert TASKS.record_type(task) == kind


@pytest.mark.parametrize(
    ("kind", "open_code", "completed_code"),
    [("task", 3, 5), ("phone_call", 1, 2), ("letter", 1, 4), ("fax", 1, 2)],
)
def test_a_status_of_exchange_becomes_one_of_its_kind(kind, open_code, completed_code, ann):
    task = Task.objects.create(kind=kind, subject="x", status=open_code)
    TASKS.apply(task, {"status": "completed", "completed": "2026-03-02"}, ann)
    assert task.status == completed_code
    assert said(ItemKind.TASK, ann, task)["completed"] == "2026-03-02"
    TASKS.apply(task, {"status": "in_progress"}, ann)
    assert (task.status, task.actual_end) == (open_code, None)


def test_a_task_reminds_when_it_is_due(ann):
    due = datetime(2126, 3, 4, 9, tzinfo=UTC)
    task = Task.objects.create(subject="x", status=2, due_at=due)

    def reminder() -> object:
        return said(ItemKind.TASK, ann, task)["reminder"]

    assert reminder() == "2126-03-04T09:00:00Z"
    task.due_at = due.replace(hour=23) - timedelta(days=1)  # midnight in Amsterdam: a mere day
    assert reminder() is None
    task.due_at = due.replace(year=2026)
    assert reminder() is None  # it is over
    task.due_at, task.status = due, 5
    assert reminder() is None  # it is done


def test_a_task_that_has_ended_is_completed(ann):
    now = timezone.now()
    for kind, code in (("task", 5), ("phone_call", 2), ("letter", 4), ("fax", 2)):
        task = Task.objects.create(kind=kind, subject="x", status=2 if kind == "task" else 1)
        for end, status in ((now + timedelta(days=1), task.status), (now, code)):
            Task.objects.filter(pk=task.pk).update(actual_end=end)
            assert TASKS.load([task.pk])[task.pk].status == status
            assert Task.objects.get(pk=task.pk).status == status


def test_a_task_that_was_closed_without_an_end_ended_when_it_was_closed(ann):
    for status in (5, 6):
        task = Task.objects.create(subject="x", status=2)
        Task.objects.filter(pk=task.pk).update(status=status)
        closed_at = Task.objects.get(pk=task.pk).changed_at
        assert TASKS.load([task.pk])[task.pk].actual_end == closed_at
        assert Task.objects.get(pk=task.pk).actual_end == closed_at


def test_an_appointment_reminds_while_it_is_ahead(ann):
    soon = timezone.now() + timedelta(days=1)
    long_ago = soon - timedelta(days=30)
    for fields, reminder in (
        ({"starts_at": soon}, 15),
        ({"starts_at": soon, "status": 4}, None),
        ({"starts_at": soon, "status": 1}, None),
        ({"starts_at": long_ago}, None),
        ({"starts_at": long_ago, "recurrence": SERIES}, 15),
    ):
        assert said(ItemKind.APPOINTMENT, ann, appointment(**fields))["reminder"] == reminder


# Appointments


@pytest.mark.parametrize(
    ("status", "shown", "becomes"),
    [
        (1, "free", {"elsewhere": 1, "busy": 5, "out_of_office": 6, "tentative": 2, "free": 1}),
        (2, "tentative", {"free": 1}),
        (3, "free", {"free": 3, "busy": 5}),
        (4, "free", {"free": 4}),
        (5, "busy", {"busy": 5, "free": 1}),
        (6, "out_of_office", {"elsewhere": 1}),
    ],
)
def test_how_time_is_shown(status, shown, becomes, ann):
    for said_by_exchange, code in becomes.items():
        record = appointment(status=status)
        assert said(ItemKind.APPOINTMENT, ann, record)["show_as"] == shown
        records_of(ItemKind.APPOINTMENT).apply(record, {"show_as": said_by_exchange}, ann)
        assert record.status == code


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Europe/Berlin", "Europe/Amsterdam"),  # the same to Windows
        ("Europe/Rome", "Europe/Amsterdam"),
        ("Europe/Paris", "Europe/Paris"),
        ("", ""),
    ],
)
def test_a_zone_keeps_the_name_that_its_record_has_for_it(given, kept, ann):
    record = appointment(owner=ann, time_zone="Europe/Amsterdam")
    records = records_of(ItemKind.APPOINTMENT)
    time = records.values(record, ann)["time"]
    assert time["zone"] == "Europe/Berlin"
    records.apply(record, {"time": {**time, "zone": given}}, ann)
    record.refresh_from_db()
    assert record.time_zone == kept


def test_an_appointment_is_called_off(ann):
    record = appointment()
    records_of(ItemKind.APPOINTMENT).cancel(record)
    assert Appointment.objects.get().state == Appointment.State.CANCELED


def test_addresses_stand_for_records(ann):
    bob = User.objects.create(username="bob", email="bob@example.test")
    contact = Contact.objects.create(last_name="Bos", email_address2="cas@example.test")
    record = made(ItemKind.APPOINTMENT, ann, {**WHOLE_APPOINTMENT, "attachments": []})
    organizer, required, optional = record.parties.order_by("pk")
    assert (organizer.user, required.user, optional.contact) == (ann, bob, contact)
    records_of(ItemKind.APPOINTMENT).apply(
        record, {"required": [{"address": "nobody@example.test", "name": "No"}]}, ann
    )
    stranger = record.parties.get(participation=Participation.REQUIRED)
    assert (stranger.name, stranger.user, stranger.contact) == ("No", None, None)


def test_people_come_move_and_go(ann):
    record = made(ItemKind.APPOINTMENT, ann, {**WHOLE_APPOINTMENT, "attachments": []})
    queue = Queue.objects.create(name="Desk")  # has no address: Exchange knows nothing of it
    AppointmentParty.objects.create(appointment=record, participation=5, queue=queue)
    records = records_of(ItemKind.APPOINTMENT)
    record = records.load([record.pk])[record.pk]
    before = dict(record.parties.values_list("address", "pk"))
    dan = {"address": "dan@example.test", "name": "Dan"}
    bob = WHOLE_APPOINTMENT["required"][0]
    records.apply(record, {"required": [dan], "optional": [bob]}, ann)
    values = records.values(record, ann)
    assert (values["required"], values["optional"]) == ([dan], [bob])
    assert values["responses"] == {"bob@example.test": "accepted", "dan@example.test": "none"}
    after = dict(record.parties.values_list("address", "pk"))
    assert after["bob@example.test"] == before["bob@example.test"]
    assert after.keys() == {"ann@example.test", "bob@example.test", "dan@example.test", ""}

    records.apply(record, {"organizer": dan}, ann)
    values = records.values(record, ann)
    assert values["organizer"] == dan
    assert values["required"] == []  # whoever calls the meeting is no attendee of it
    records.apply(record, {"responses": {"bob@example.test": "declined"}}, ann)
    assert records.values(record, ann)["responses"] == {"bob@example.test": "declined"}


def test_a_party_without_an_address_has_its_records(ann):
    record = appointment()
    AppointmentParty.objects.create(appointment=record, participation=7, user=ann)
    contact = Contact.objects.create(
        first_name="Bo", last_name="Bos", email_address="Bo@example.test"
    )
    AppointmentParty.objects.create(appointment=record, participation=6, contact=contact)
    values = said(ItemKind.APPOINTMENT, ann, record)
    assert values["organizer"] == {"address": "ann@example.test", "name": "Ann"}
    assert values["optional"] == [{"address": "bo@example.test", "name": "Bo Bos"}]


def test_a_service_activity_is_organized_by_whoever_has_the_copy(ann):
    bob = User.objects.create(username="bob", email="bob@example.test")
    record = appointment(kind="service_activity")
    AppointmentParty.objects.create(appointment=record, participation=7, user=bob)
    assert said(ItemKind.APPOINTMENT, ann, record)["organizer"]["address"] == "ann@example.test"
    assert records_of(ItemKind.APPOINTMENT).record_type(record) == RecordType.SERVICE_ACTIVITY


def test_occurrences_come_and_go(ann):
    records = records_of(ItemKind.APPOINTMENT)
    record = appointment(recurrence=SERIES, occurrences={"2026-03-03": "deleted"})
    assert records.record_type(record) == RecordType.RECURRING_APPOINTMENT
    change = {"occurrence:2026-03-03": None, "occurrence:2026-03-04": {"location": "Room 2"}}
    records.apply(record, change, ann)
    assert Appointment.objects.get().occurrences == {"2026-03-04": {"location": "Room 2"}}


def test_what_a_record_is_about_may_be_gone(ann):
    account = Account.objects.create(name="Acme")
    for kind, values in ((ItemKind.TASK, TASK_VALUES), (ItemKind.APPOINTMENT, WHOLE_APPOINTMENT)):
        about = f"account:{account.pk}"
        record = made(kind, ann, {**values, "attachments": [], "regarding": about})
        assert record.regarding == account
        assert said(kind, ann, record)["regarding"] == about
        for nothing in ("contact:1", "account:x", "page:1", ""):
            records_of(kind).apply(record, {"regarding": about}, ann)
            records_of(kind).apply(record, {"regarding": nothing}, ann)
            assert said(kind, ann, record)["regarding"] == ""


def test_appointments_are_read_and_made_in_few_statements(ann, content):
    for n in range(20):
        User.objects.create(username=f"u{n}", email=f"u{n}@example.test")
    items = [
        ({**WHOLE_APPOINTMENT, "required": [{"address": f"u{n}@example.test", "name": ""}],
          "responses": {}}, uuid4())
        for n in range(20)
    ]  # fmt: skip
    records = records_of(ItemKind.APPOINTMENT)
    with CaptureQueriesContext(connection) as made_by:
        records.create_all(items, ann)
    with CaptureQueriesContext(connection) as read_by:
        found = records.load(key for _, key in items)
        assert {len(records.values(one, ann)["required"]) for one in found.values()} == {1}
    assert len(read_by) < 10
    assert len(made_by) < 25
    assert AppointmentParty.objects.filter(user__username__startswith="u").count() == 20


def test_birthdays_are_days(ann):
    record = made(ItemKind.CONTACT, ann, {"birthday": "1970-12-31"})
    assert record.birthday == date(1970, 12, 31)
