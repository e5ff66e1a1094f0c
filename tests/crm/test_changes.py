"""Every change of a record is noted, whoever makes it, and read at least once."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction

from syncservice.crm.changes import changes_since, current_position, forget
from syncservice.crm.models import (
    Account,
    Appointment,
    AppointmentAttachment,
    AppointmentParty,
    AttachmentContent,
    RecordChange,
    Task,
    User,
)
from syncservice.domain.item_values import ItemKind
from tests.factories import appointment, contact, task

Participation = AppointmentParty.Participation


class Reader:
    """Reads the changes of a kind from where it was."""

    def __init__(self, kind: ItemKind) -> None:
        self.kind, self.position = kind, current_position()

    def read(self, limit: int = 100):
        changes = changes_since(self.kind, self.position, limit)
        assert changes.is_complete
        self.position = changes.position
        return changes.records


@pytest.fixture
def ann(db) -> User:
    return User.objects.create(username="ann", email="ann@example.test")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("kind", "create", "field"),
    [
        (ItemKind.CONTACT, contact, "nickname"),
        (ItemKind.TASK, task, "description"),
        (ItemKind.APPOINTMENT, appointment, "location"),
    ],
)
def test_what_comes_changes_and_goes_is_read(kind, create, field):
    reader = Reader(kind)
    record = create()
    record.refresh_from_db()
    key = record.key if kind is ItemKind.CONTACT else record.pk
    assert [change.is_deletion for change in reader.read().values()] == [False]
    created_at = record.changed_at

    record.save()
    assert not reader.read()
    record.refresh_from_db()
    assert record.changed_at == created_at

    type(record).objects.filter(pk=record.pk).update(**{field: "another"})
    assert reader.read().keys() == {key}
    record.refresh_from_db()
    assert record.changed_at > created_at

    record.delete()
    assert reader.read()[key].is_deletion


@pytest.mark.django_db(transaction=True)
def test_many_at_once_are_noted_each():
    reader = Reader(ItemKind.TASK)
    tasks = Task.objects.bulk_create([Task(subject=str(n), status=2) for n in range(7)])
    assert reader.read().keys() == {one.pk for one in tasks}
    Task.objects.filter(subject__lt="3").update(status=5)
    assert len(reader.read()) == 3


@pytest.mark.django_db(transaction=True)
def test_parties_and_attachments_belong_to_their_appointment(ann):
    meeting, other = appointment(), appointment()
    reader = Reader(ItemKind.APPOINTMENT)

    def read():
        return list(reader.read())

    party = AppointmentParty.objects.create(
        appointment=meeting, participation=Participation.REQUIRED, user=ann
    )
    assert read() == [meeting.pk]
    before = Appointment.objects.get(pk=meeting.pk).changed_at
    party.response = "accepted"
    party.save()
    assert read() == [meeting.pk]
    assert Appointment.objects.get(pk=meeting.pk).changed_at > before
    party.save()
    assert read() == []
    party.appointment = other
    party.save()
    assert set(read()) == {meeting.pk, other.pk}
    party.delete()
    assert read() == [other.pk]
    body = AttachmentContent.objects.create(digest="0" * 64, content=b"x")
    AppointmentAttachment.objects.create(appointment=meeting, body=body, filename="a", size=1)
    assert read() == [meeting.pk]


@pytest.mark.django_db(transaction=True)
def test_a_deleted_appointment_leaves_what_rules_ask_for(ann):
    bob = User.objects.create(username="bob", email="bob@example.test")
    meeting = appointment(owner=bob, uid="040000", status=Appointment.Status.TENTATIVE)
    for participation, user in (
        (Participation.ORGANIZER, ann),
        (Participation.REQUIRED, bob),
        (Participation.OPTIONAL, None),
    ):
        AppointmentParty.objects.create(appointment=meeting, participation=participation, user=user)
    reader, key = Reader(ItemKind.APPOINTMENT), meeting.pk
    meeting.delete()
    change = reader.read()[key]
    assert (change.is_deletion, change.owner_id) == (True, bob.pk)
    assert change.facts == {
        "kind": "appointment",
        "status": 2,
        "uid": "040000",
        "is_recurring": False,
        "starts_at": "2026-03-02T09:00:00Z",
        "ends_at": "2026-03-02T10:00:00Z",
        "organizer": ann.pk,
        "users": sorted([ann.pk, bob.pk]),
    }


@pytest.mark.django_db(transaction=True)
def test_many_deleted_at_once_leave_each_its_own(ann):
    bob = User.objects.create(username="bob", email="bob@example.test")
    owners = {}
    for number in range(250):  # Django deletes a hundred in a statement
        user = (ann, bob)[number % 2]
        meeting = appointment()
        owners[meeting.pk] = user.pk
        AppointmentParty.objects.create(
            appointment=meeting, participation=Participation.ORGANIZER, user=user
        )
    reader = Reader(ItemKind.APPOINTMENT)
    Appointment.objects.all().delete()
    left = {key: one.facts["organizer"] for key, one in reader.read(1000).items()}
    assert left == owners


@pytest.mark.django_db(transaction=True)
def test_an_appointment_of_nobody_is_deleted(ann):
    meeting = appointment()
    reader, key = Reader(ItemKind.APPOINTMENT), meeting.pk
    meeting.delete()
    facts = reader.read()[key].facts
    assert (facts["organizer"], facts["users"]) == (None, [])


@pytest.mark.django_db(transaction=True)
def test_the_name_of_an_account_reaches_contacts_where_it_is_their_company(ann):
    account = Account.objects.create(name="Acme")
    member, _stranger = contact(account=account), contact()
    member.refresh_from_db()
    reader = Reader(ItemKind.CONTACT)
    Account.objects.update(name="Acme Ltd")
    assert not reader.read()
    ann.company_from_account = True
    ann.save()
    Account.objects.update(email_address="info@example.test")
    assert not reader.read()
    Account.objects.update(name="Acme BV")
    assert reader.read().keys() == {member.key}


@pytest.mark.django_db(transaction=True)
def test_a_late_commit_is_not_missed():
    reader = Reader(ItemKind.TASK)
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:  # its change has the lower number
            cursor.execute(
                "INSERT INTO crm_task (id, kind, subject, description, priority, status,"
                " is_recurring) VALUES (gen_random_uuid(), 'task', 'late', '', 1, 2, false)"
                " RETURNING id"
            )
            (late,) = cursor.fetchone()
        early = task()
        assert RecordChange.objects.count() == 1
        assert not reader.read()  # it goes no further than what still runs
        other.commit()
        assert set(reader.read()) == {late, early.pk}
        assert not reader.read()
    finally:
        other.close()


@pytest.mark.django_db(transaction=True)
def test_what_was_rolled_back_never_was():
    reader = Reader(ItemKind.TASK)
    with transaction.atomic():
        task()
        transaction.set_rollback(True)
    assert not reader.read()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_reads_its_own_changes_and_reads_them_again():
    reader = Reader(ItemKind.TASK)
    with transaction.atomic():
        own = task()
        assert reader.read().keys() == {own.pk}
    assert reader.read().keys() == {own.pk}
    assert not reader.read()


@pytest.mark.django_db(transaction=True)
def test_a_large_transaction_is_read_in_pages():
    position = current_position()
    tasks = Task.objects.bulk_create([Task(subject=str(n), status=2) for n in range(7)])
    found, sizes, is_last = set(), [], False
    while not is_last:
        changes = changes_since(ItemKind.TASK, position, 3)
        position, is_last = changes.position, changes.is_last
        found |= changes.records.keys()
        sizes.append(len(changes.records))
    assert sizes == [3, 3, 1]
    assert found == {one.pk for one in tasks}


@pytest.mark.django_db(transaction=True)
def test_a_reader_is_told_what_it_can_not_learn():
    before = current_position()
    task()
    after = current_position()
    assert changes_since(ItemKind.TASK, before, 10).is_complete
    assert not changes_since(ItemKind.TASK, None, 10).is_complete
    assert len(changes_since(ItemKind.TASK, None, 10).records) == 1

    elsewhere = f"1:{before.split(':', 1)[1]}"  # the database came from a backup
    restored = changes_since(ItemKind.TASK, elsewhere, 10)
    assert not restored.is_complete
    assert changes_since(ItemKind.TASK, restored.position, 10).is_complete

    assert forget(datetime.now(UTC) - timedelta(days=1)) == 0
    assert forget(datetime.now(UTC) + timedelta(days=1)) == 1
    assert not changes_since(ItemKind.TASK, before, 10).is_complete
    assert changes_since(ItemKind.TASK, after, 10).is_complete
    task()
    assert forget(datetime.now(UTC) + timedelta(days=1)) == 1
    assert not changes_since(ItemKind.TASK, after, 10).is_complete
    assert RecordChange.objects.count() == 1  # one marker is enough


@pytest.mark.django_db
def test_changes_are_read_in_the_order_of_their_transactions_numbers():
    """Not of their digits: a deletion in number 104 comes after a change in number 98."""
    beginning = current_position().split(":")[0] + ":0:0"
    key = uuid4()
    with connection.cursor() as cursor:
        for xid, is_deletion in (("98", False), ("104", True)):
            cursor.execute(
                "INSERT INTO crm_recordchange (kind, key, xid, is_deletion, facts)"
                " VALUES ('task', %s, %s::xid8, %s, '{}')",
                [key, xid, is_deletion],
            )
    assert changes_since(ItemKind.TASK, beginning, 100).records[key].is_deletion
    first = changes_since(ItemKind.TASK, beginning, 1)
    assert not first.records[key].is_deletion
    assert changes_since(ItemKind.TASK, first.position, 1).records[key].is_deletion
