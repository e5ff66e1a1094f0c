"""Visits of appointments with files: what travels beside the values (F191)."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from syncservice.crm.models import (
    Appointment,
    AppointmentAttachment,
    AppointmentParty,
    AttachmentContent,
)
from syncservice.domain.item_values import ItemKind
from syncservice.domain.recurrence import Pattern, Recurrence
from syncservice.mailboxes.models import ItemLink, JournalEntry, Organisation
from syncservice.servers.gateway import ItemFile
from syncservice.sync.items import journal
from syncservice.sync.items.books import books_of
from tests import factories
from tests.memory_activities import MemoryExchange, When
from tests.memory_gateway import Killed
from tests.sync.synced_items import SOON, TRACKED, Person, person

pytestmark = pytest.mark.django_db
TIME = {
    "start": SOON.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "end": (SOON + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    "all_day": False,
    "zone": "Europe/Berlin",
}
DAILY = Recurrence(pattern=Pattern.DAILY, starts_on=SOON.date(), count=3).as_value()
BIG = b"x" * 2000


def set_up(**fields: Any) -> None:
    organisation = Organisation.current()
    for name, value in fields.items():
        setattr(organisation, name, value)
    organisation.save()


@pytest.fixture
def files_travel() -> None:
    set_up(synchronizes_attachments=True, attachment_kilobytes=1)


@pytest.fixture
def ann() -> Person:
    return person(MemoryExchange(), "ann@example.test")


def record_of(owner: Person, *names: str, **fields: Any) -> Appointment:
    """An appointment of its owner's own, with files whose contents are their names."""
    record = factories.appointment(owner=owner.user, starts_at=SOON, **fields)
    record.parties.create(
        participation=AppointmentParty.Participation.ORGANIZER,
        address=owner.user.email,
        user=owner.user,
    )
    for name in names:
        attach(record, name)
    return record


def attach(record: Appointment, name: str, content: bytes = b"") -> None:
    content = content or name.encode()
    digest = hashlib.sha256(content).hexdigest()
    AttachmentContent.objects.get_or_create(digest=digest, defaults={"content": content})
    record.attachments.create(body_id=digest, filename=name, size=len(content))
    record.save()


def in_crm(record: Appointment) -> dict[str, bytes]:
    rows = AppointmentAttachment.objects.filter(appointment=record)
    return {one.filename: bytes(one.body.content) for one in rows.select_related("body")}


def in_outlook(owner: Person) -> dict[str, bytes]:
    (item,) = owner.items(ItemKind.APPOINTMENT)
    assert len({file.name for file in item.files}) == len(item.files), "a file is there twice"
    return {file.name: file.content for file in item.files}


def named(*names: str) -> dict[str, bytes]:
    return {name: name.encode() for name in names}


def is_quiet(owner: Person) -> bool:
    """Whether another two visits write nothing."""
    outcomes = [owner.visit() for _ in range(2)]
    return not any(one.stored + one.written + one.failed for one in outcomes)


def test_files_stay_where_they_are_unless_the_organisation_wants_them_to_travel(ann):
    record = record_of(ann, "a")
    ann.visit()
    (item,) = ann.items(ItemKind.APPOINTMENT)
    ann.outlook.attach(item.item_id, "b", b"b")
    ann.visit()
    assert (in_crm(record), in_outlook(ann)) == (named("a"), named("b"))
    assert is_quiet(ann)


def test_files_of_the_crm_come_to_outlook_and_go(files_travel, ann):
    record = record_of(ann, "a.txt", "b")
    ann.visit()
    assert in_outlook(ann) == named("a.txt", "b")
    (item,) = ann.items(ItemKind.APPOINTMENT)
    assert {file.content_type for file in item.files} == {
        "text/plain", "application/octet-stream",
    }  # fmt: skip
    assert is_quiet(ann)

    attach(record, "c")
    record.attachments.get(filename="b").delete()
    record.save()
    ann.visit()
    assert in_outlook(ann) == named("a.txt", "c")
    assert is_quiet(ann)


def test_files_of_outlook_come_to_the_crm_and_go(files_travel, ann):
    item_id = ann.outlook.add(
        ItemKind.APPOINTMENT, subject="Plan", time=TIME, categories=(TRACKED,)
    )
    ann.outlook.attach(item_id, "a", b"a")
    ann.outlook.attach(item_id, "b", b"b")
    ann.visit()
    record = Appointment.objects.get()
    assert in_crm(record) == named("a", "b")
    assert is_quiet(ann)

    ann.outlook.attach(item_id, "c", b"c")
    ann.outlook.detach(item_id, "b")
    ann.visit()
    assert in_crm(record) == named("a", "c")
    assert is_quiet(ann)
    assert in_outlook(ann) == named("a", "c")


def test_what_both_sides_add_both_have(files_travel, ann):
    record = record_of(ann, "a", "b")
    ann.visit()
    (item,) = ann.items(ItemKind.APPOINTMENT)
    ann.outlook.attach(item.item_id, "of Outlook", b"of Outlook")
    ann.outlook.detach(item.item_id, "a")
    attach(record, "of the CRM")
    ann.visit()
    assert in_crm(record) == in_outlook(ann) == named("b", "of Outlook", "of the CRM")
    assert not ItemLink.objects.exclude(conflicts=None).exists()
    assert is_quiet(ann)


def test_files_that_only_one_side_has_when_travelling_begins_stay_until_they_change(ann):
    record = record_of(ann, "a")
    ann.visit()
    (item,) = ann.items(ItemKind.APPOINTMENT)
    ann.outlook.attach(item.item_id, "b", b"b")
    ann.visit()
    set_up(synchronizes_attachments=True)
    ann.outlook.edit(item.item_id, location="Garden")
    ann.visit()
    assert (in_crm(record), in_outlook(ann)) == (named("a", "b"), named("b"))
    assert is_quiet(ann)

    set_up(synchronizes_attachments=False)
    ann.outlook.edit(item.item_id, location="House")
    ann.visit()
    assert (in_crm(record), in_outlook(ann)) == (named("a", "b"), named("b"))


def test_a_series_and_a_service_activity_have_no_files_in_common(files_travel, ann):
    series = record_of(ann, "a", recurrence=DAILY)
    service = record_of(ann, "b", kind=Appointment.Kind.SERVICE_ACTIVITY)
    tracked = ann.outlook.add(
        ItemKind.APPOINTMENT, subject="Plan", time=TIME, recurrence=DAILY, categories=(TRACKED,)
    )
    ann.outlook.attach(tracked, "c", b"c")
    ann.visit()
    for item in ann.items(ItemKind.APPOINTMENT):
        assert [file.name for file in item.files] == (["c"] if item.item_id == tracked else [])
        ann.outlook.attach(item.item_id, "d", b"d")
    ann.visit()
    assert (in_crm(series), in_crm(service)) == (named("a"), named("b"))
    assert AppointmentAttachment.objects.count() == 2
    assert is_quiet(ann)


@pytest.mark.parametrize(("name", "content"), [("big", BIG), ("virus.exe", b"x")])
def test_a_file_that_is_kept_out_stays_on_its_side(files_travel, ann, name, content):
    record = record_of(ann, "a")
    attach(record, name, content)
    ann.visit()
    assert in_outlook(ann) == named("a")
    (item,) = ann.items(ItemKind.APPOINTMENT)
    theirs = f"their {name}"
    ann.outlook.attach(item.item_id, theirs, content)
    ann.outlook.attach(item.item_id, "b", b"b")
    ann.visit()
    attach(record, "c")
    ann.visit()
    ann.outlook.detach(item.item_id, "a")
    ann.visit()
    assert in_crm(record) == {**named("b", "c"), name: content}
    assert in_outlook(ann) == {**named("b", "c"), theirs: content}
    assert is_quiet(ann)


def test_a_file_that_is_kept_out_from_now_on_is_not_deleted(files_travel, ann):
    set_up(attachment_kilobytes=10)
    record = record_of(ann, "a")
    attach(record, "big", BIG)
    ann.visit()
    assert in_outlook(ann) == {**named("a"), "big": BIG}
    set_up(attachment_kilobytes=1)
    (item,) = ann.items(ItemKind.APPOINTMENT)
    attach(record, "b")
    ann.visit()
    ann.outlook.attach(item.item_id, "c", b"c")
    ann.visit()
    assert in_crm(record) == in_outlook(ann) == {**named("a", "b", "c"), "big": BIG}
    assert is_quiet(ann)


#: The item's own write is the first of a visit, its files' the second.
PLACES = [(1, When.BEFORE), (1, When.AFTER), (2, When.BEFORE), (2, When.AFTER)]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("is_killed", [True, False])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_visit_that_is_cut_off_between_an_item_and_its_files_is_made_good(
    files_travel, ann, place, is_killed, is_new
):
    record = record_of(ann, "a")
    if not is_new:
        ann.visit()
        attach(record, "b")
        record.location = "Garden"
        record.save()
    exchange = ann.outlook.exchange
    places = exchange.killed_at if is_killed else exchange.fail_at
    places.add((exchange.writes + place[0], place[1]))
    if is_killed:
        with pytest.raises(Killed):
            ann.visit()
    else:
        assert ann.visit().fault is not None
    assert not places
    ann.links.update(due_at=Now())
    ann.visit()
    ann.visit()
    assert in_outlook(ann) == in_crm(record) == named("a", *([] if is_new else ["b"]))
    assert ann.items(ItemKind.APPOINTMENT)[0].values["location"] == ("" if is_new else "Garden")
    assert is_quiet(ann)


def test_an_item_that_was_changed_meanwhile_gets_its_files_once_it_is_read_again(files_travel, ann):
    records = [record_of(ann, "a", subject=f"{number}") for number in range(3)]
    ann.visit()
    items = {item.record_key.partition("/")[2]: item for item in ann.items(ItemKind.APPOINTMENT)}
    for record in records:
        attach(record, "b")
    ann.outlook.touch(items[str(records[1].pk)])  # changed since it was listed
    ann.visit(only_push=True)
    names = [[file.name for file in items[str(record.pk)].files] for record in records]
    assert names == [["a", "b"]] * 3
    assert is_quiet(ann)


@pytest.mark.parametrize("at_request", range(1, 6))
def test_a_file_that_a_person_replaces_during_a_visit_is_replaced(files_travel, ann, at_request):
    item_id = ann.outlook.add(
        ItemKind.APPOINTMENT, subject="Plan", time=TIME, categories=(TRACKED,)
    )
    ann.visit()
    record = Appointment.objects.get()
    ann.outlook.attach(item_id, "a", b"early")
    ann.outlook.edit(item_id, location="Garden")

    def replace() -> None:
        ann.outlook.detach(item_id, "a")
        ann.outlook.attach(item_id, "a", b"late")

    ann.visit(meanwhile=replace, at_request=at_request)
    ann.visit()
    assert in_crm(record) == in_outlook(ann) == {"a": b"late"}
    assert is_quiet(ann)


def test_a_record_keeps_its_files_when_it_turns_out_to_be_a_meeting_of_outlook(files_travel, ann):
    """What Outlook says of a meeting that was called there counts; it says nothing of a file."""
    item_id = ann.outlook.add(
        ItemKind.APPOINTMENT,
        subject="Plan",
        time=TIME,
        required=[{"address": "bob@example.test", "name": "Bob"}],
    )
    ann.outlook.attach(item_id, "b", b"b")
    record = record_of(ann, "a", uid=ann.outlook.items[item_id].uid, subject="Plan B")
    ann.visit()
    record.refresh_from_db()
    assert record.subject == "Plan"
    assert in_crm(record) == in_outlook(ann) == named("a", "b")
    assert is_quiet(ann)


def test_undoing_brings_files_back(files_travel, ann):
    record = record_of(ann, "a", "b")
    ann.visit()
    (item,) = ann.items(ItemKind.APPOINTMENT)
    ann.outlook.detach(item.item_id, "a")
    ann.visit()
    assert in_crm(record) == named("b")
    JournalEntry.objects.filter(action=JournalEntry.Action.CHANGED_RECORD).update(
        undo_asked_at=Now()
    )
    for book in books_of(ann.claim(), ann.mailbox):
        journal.note_undoing(book)
    assert in_crm(record) == named("a", "b")
    ann.visit()
    assert in_outlook(ann) == named("a", "b")


def test_a_file_whose_content_nobody_has_is_not_brought_back(files_travel, ann):
    record = record_of(ann)
    ann.visit()
    JournalEntry.objects.create(
        mailbox=ann.mailbox,
        fence=ann.claim().fence,
        kind=ItemKind.APPOINTMENT,
        key=record.pk,
        action=JournalEntry.Action.CHANGED_ITEM,
        subject="",
        before={"attachments": [ItemFile("a", "", b"never stored").value]},
        after={"attachments": []},
        undo_asked_at=Now(),
    )
    for book in books_of(ann.claim(), ann.mailbox):
        journal.note_undoing(book)
    assert in_crm(record) == {}
