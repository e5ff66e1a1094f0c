"""What a review found in keeping appointments, contacts and tasks in step."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert
from syncservice.crm.models import (
    Appointment,
    AppointmentParty,
    AttachmentContent,
    Contact,
    SyncFilter,
    Task,
)
from syncservice.domain.faults import Patience
from syncservice.domain.item_values import ItemKind
from syncservice.domain.recurrence import Pattern, Recurrence
from syncservice.mailboxes import administration, directions, schedule
from syncservice.mailboxes.models import (
    Direction,
    ItemConflict,
    ItemLink,
    ItemProgress,
    JournalEntry,
    Lane,
    Mailbox,
    Organisation,
    Schedule,
)
from syncservice.sync import outcome
from syncservice.sync.appointment_records import AppointmentRecords
from syncservice.sync.items import first
from syncservice.sync.visit import Outcome
from tests.contracts import activity_worlds
from tests.memory_activities import MemoryActivities, MemoryExchange, What
from tests.sync.synced_items import TRACKED, Person, person

#: Each change is committed: in one transaction, a visit would be told of all of them again.
pytestmark = pytest.mark.django_db(transaction=True)
State, First = ItemLink.State, ItemProgress.First
CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK
Party = AppointmentParty.Participation
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)


@pytest.fixture
def exchange() -> MemoryExchange:
    return MemoryExchange(now=datetime.now(UTC))


@pytest.fixture
def ann(exchange) -> Person:
    return person(exchange, "ann@example.test")


@pytest.fixture
def bob(exchange) -> Person:
    return person(exchange, "bob@example.test")


def contact(owner: Person, last_name: str = "Karst", **fields) -> Contact:
    return Contact.objects.create(first_name="Kim", last_name=last_name, owner=owner.user, **fields)


def task(owner: Person, subject: str = "Call Kim", **fields) -> Task:
    return Task.objects.create(subject=subject, status=2, owner=owner.user, **fields)


def appointment(owner: Person, *attendees, subject: str = "Plans", **fields) -> Appointment:
    fields = {"starts_at": SOON, "ends_at": SOON + timedelta(hours=1), **fields}
    record = Appointment.objects.create(subject=subject, owner=owner.user, **fields)
    record.parties.create(participation=Party.ORGANIZER, address=owner.user.email, user=owner.user)
    for one in attendees:
        is_person = isinstance(one, Person)
        record.parties.create(
            participation=Party.REQUIRED,
            address=one.user.email if is_person else one,
            user=one.user if is_person else None,
        )
    return record


def text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_of(start: datetime) -> dict:
    end = text(start + timedelta(hours=1))
    return {"start": text(start), "end": end, "all_day": False, "zone": "UTC"}


def who(address: str) -> dict:
    return {"address": address, "name": ""}


def mail(exchange: MemoryExchange) -> list[tuple[What, tuple[str, ...]]]:
    """Say what was sent by us, not by a person."""
    return [(one.what, one.recipients) for one in exchange.messages if not one.by_person]


def meanwhile(monkeypatch, name: str, happens: Callable[[], None]) -> None:
    """Let something happen once while a request is under way."""
    asked, done = getattr(MemoryActivities, name), []

    def asking(self, *arguments):
        if not done:
            done.append(True)
            happens()
        return asked(self, *arguments)

    monkeypatch.setattr(MemoryActivities, name, asking)


# Deletions


def test_a_question_about_many_deletions_holds_them_when_the_records_change(ann):
    for number in range(20):
        task(ann, f"task {number}")
    ann.visit()
    for item in ann.items(TASK)[:15]:
        ann.outlook.remove(item.item_id)
    ann.visit()
    assert Alert.objects.filter(code=alerts.MASS_DELETION).exists()
    for record in Task.objects.all():
        record.description = "somebody works on it"
        record.save()
    ann.visit()
    assert Task.objects.count() == 20


def test_a_question_about_many_deletions_holds_them_when_the_filters_change(ann):
    for number in range(20):
        task(ann, f"task {number}")
    ann.visit()
    for item in ann.items(TASK)[:15]:
        ann.outlook.remove(item.item_id)
    ann.visit()
    ann.user.time_zone = "Europe/Amsterdam"
    ann.user.save()
    ann.visit()
    assert Task.objects.count() == 20


def test_a_plain_copy_of_somebody_elses_meeting_stays_when_the_record_is_deleted(ann):  # 3G
    record = appointment(ann)
    record.parties.filter(participation=Party.ORGANIZER).delete()
    record.parties.create(participation=Party.ORGANIZER, address="cas@elsewhere.test")
    record.parties.create(participation=Party.REQUIRED, address=ann.user.email, user=ann.user)
    ann.visit()
    (item,) = ann.items(APPOINTMENT)
    ann.outlook.edit(item.item_id, location="Room 1")  # now it was read, and says whose it is
    ann.visit()
    record.delete()
    ann.visit()
    assert len(ann.items(APPOINTMENT)) == 1


def test_what_somebody_said_no_to_does_not_come_back_to_the_mailbox(ann):
    for number in range(20):
        task(ann, f"task {number}")
    ann.visit()
    for item in ann.items(TASK)[:15]:
        ann.outlook.remove(item.item_id)
    ann.visit()
    alerts.answer(Alert.objects.get(code=alerts.MASS_DELETION).pk, False, "ann")
    ann.visit()
    for record in Task.objects.all():
        record.description = "somebody works on it"
        record.save()
    ann.visit()
    assert len(ann.items(TASK)) == 5


def test_an_item_that_is_made_anew_is_not_taken_for_a_removed_one(ann, bob):
    """The unlinked copy was deleted; that is forgotten when the record gets another one."""
    call = task(ann)
    ann.visit()
    Task.objects.filter(pk=call.pk).update(owner=bob.user)
    ann.visit()
    ann.outlook.remove(ann.items(TASK)[0].item_id)
    ann.visit()
    Task.objects.filter(pk=call.pk).update(owner=ann.user)
    ann.visit()
    assert len(ann.items(TASK)) == 1
    Task.objects.filter(pk=call.pk).update(subject="Call Kim today")
    ann.visit()
    assert Task.objects.filter(pk=call.pk).exists()
    assert ann.items(TASK)[0].values["subject"] == "Call Kim today"


def test_attachments_of_the_crm_are_not_deleted_since_exchange_reads_none(ann):  # F191
    """What the Exchange gateway reads of attachments is always nothing, whatever was written."""
    Organisation.objects.update_or_create(pk=1, defaults={"synchronizes_attachments": True})
    record = appointment(ann)
    body = AttachmentContent.objects.create(digest="0" * 64, content=b"x")
    record.attachments.create(body=body, filename="a.txt", content_type="text/plain", size=1)
    ann.visit()
    (item,) = ann.items(APPOINTMENT)
    item.values["attachments"] = []
    ann.outlook.edit(item.item_id, location="Room 1")
    ann.visit()
    assert record.attachments.exists()


def test_a_past_occurrence_that_is_deleted_in_outlook_stays_in_the_crm(ann):  # 3H
    start = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
    start -= timedelta(days=14)
    value = Recurrence(
        pattern=Pattern.DAILY, interval=1, starts_on=start.date(), count=60
    ).as_value()
    end = start + timedelta(hours=1)
    fields = {"starts_at": start, "ends_at": end, "recurrence": value, "time_zone": "UTC"}
    record = appointment(ann, **fields)
    ann.visit()
    day = (start + timedelta(days=2)).date().isoformat()
    ann.outlook.edit(ann.items(APPOINTMENT)[0].item_id, **{f"occurrence:{day}": "deleted"})
    ann.visit()
    record.refresh_from_db()
    assert record.occurrences == {}


def test_a_meeting_is_not_off_because_one_of_its_attendees_was_taken_off_it(ann, bob):
    uid, invited = uuid4().hex, [who("ann@example.test"), who("bob@example.test")]
    meeting = {"subject": "Plans", "time": time_of(SOON), "organizer": who("cas@elsewhere.test")}
    for one in (ann, bob):
        one.outlook.store(
            APPOINTMENT,
            {**meeting, "required": invited},
            uid=uid,
            is_organizer=False,
            categories=(TRACKED,),
        )
        one.visit()
    (item,) = bob.items(APPOINTMENT)
    item.is_cancelled = True
    bob.outlook.change(item, {"show_as": "free"})
    bob.visit()
    assert Appointment.objects.get().state != Appointment.State.CANCELED


def test_an_attendee_may_not_track_a_meeting_where_the_organisation_does_not_let_him(ann):  # F207
    Organisation.objects.update_or_create(pk=1, defaults={"tracks_from_non_organizer": False})
    ann.outlook.store(
        APPOINTMENT,
        {"subject": "Plans", "time": time_of(SOON), "organizer": who("cas@elsewhere.test")},
        is_organizer=False,
        categories=(TRACKED,),
    )
    ann.visit()
    assert not Appointment.objects.exists()


# Mail


@pytest.mark.parametrize("status", [Appointment.Status.CANCELED, Appointment.Status.COMPLETED])
def test_nobody_is_invited_to_a_meeting_that_is_off(ann, exchange, status):
    appointment(ann, "kim@customer.test", status=status)
    ann.visit()
    assert mail(exchange) == []


def test_a_cancel_in_the_crm_tells_nobody_by_default(ann, exchange):  # 3G, F255
    record = appointment(ann, "kim@customer.test")
    ann.visit()
    exchange.messages.clear()
    record.status = Appointment.Status.CANCELED
    record.save()
    ann.visit()
    assert mail(exchange) == []


def test_a_meeting_that_shows_as_free_is_called_off_too(ann, exchange):  # F255
    Organisation.objects.update_or_create(pk=1, defaults={"propagates_cancellations": True})
    record = appointment(ann, "kim@customer.test", status=Appointment.Status.FREE)
    ann.visit()
    exchange.messages.clear()
    record.status = Appointment.Status.CANCELED
    record.save()
    ann.visit()
    assert mail(exchange) == [(What.CANCELLATION, ("kim@customer.test",))]


def test_meetings_that_are_adopted_mail_nobody(ann, exchange):
    """Adoption adds the CRM's attendees to what is there: that they were one is no change."""
    for number in range(60):
        at = SOON + timedelta(days=number)
        appointment(ann, "kim@customer.test", starts_at=at, ends_at=at + timedelta(hours=1))
        ann.outlook.store(APPOINTMENT, {"subject": "Plans", "time": time_of(at)})
    ann.visit()
    assert mail(exchange) == []
    assert all(item.values["required"] for item in ann.items(APPOINTMENT))


def test_a_past_occurrence_of_a_running_series_tells_nobody(ann, exchange):  # 3G
    start = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
    start -= timedelta(days=14)
    value = Recurrence(
        pattern=Pattern.DAILY, interval=1, starts_on=start.date(), count=60
    ).as_value()
    record = appointment(
        ann,
        "kim@customer.test",
        starts_at=start,
        ends_at=start + timedelta(hours=1),
        recurrence=value,
        time_zone="UTC",
    )
    ann.visit()
    exchange.messages.clear()
    day = (start + timedelta(days=2)).date().isoformat()
    record.occurrences = {day: {"subject": "what was said"}}
    record.save()
    ann.visit()
    assert mail(exchange) == []


def test_a_filter_that_is_switched_on_later_sends_no_mass_of_invitations_unasked(ann, exchange):
    filters = SyncFilter.objects.filter(user=ann.user, entity="appointment")
    filters.update(is_active=False)
    for number in range(60):
        at = SOON + timedelta(days=number)
        appointment(ann, "kim@customer.test", starts_at=at, ends_at=at + timedelta(hours=1))
    ann.visit()
    filters.update(is_active=True)
    ann.visit()
    assert len(mail(exchange)) <= 50


# Lost edits


def test_an_edit_of_the_same_value_while_the_item_is_read_is_not_lost_unseen(ann, monkeypatch):
    kim = contact(ann)
    ann.visit()
    ann.outlook.edit(ann.items(CONTACT)[0].item_id, job_title="Butcher")

    def edit() -> None:
        Contact.objects.filter(pk=kim.pk).update(job_title="Baker")

    meanwhile(monkeypatch, "read", edit)
    ann.visit()
    ann.visit()
    kim.refresh_from_db()
    assert kim.job_title == "Baker" or ItemConflict.objects.filter(crm="Baker").exists()


def test_an_attendee_who_is_added_while_the_item_is_read_is_invited(ann, exchange, monkeypatch):
    record = appointment(ann, "kim@customer.test")
    ann.visit()
    ann.outlook.edit(ann.items(APPOINTMENT)[0].item_id, location="Room 1")

    def add() -> None:
        record.parties.create(participation=Party.REQUIRED, address="cas@customer.test")

    meanwhile(monkeypatch, "read", add)
    for _ in range(3):
        ann.visit()
    (item,) = ann.items(APPOINTMENT)
    assert item.attendees == {"kim@customer.test", "cas@customer.test"}


def test_who_fell_out_of_the_filter_overwrites_nothing_when_the_item_is_touched(ann, bob):  # F206
    kim = contact(ann, job_title="Butcher")
    ann.visit()
    kim.owner = bob.user
    kim.save()
    ann.visit()
    kim.job_title = "Baker"
    kim.save()
    (item,) = ann.items(CONTACT)
    ann.outlook.exchange.now = datetime.now(UTC) + timedelta(minutes=5)
    ann.outlook.edit(item.item_id, mobile="06-1")
    ann.visit()
    kim.refresh_from_db()
    assert kim.job_title == "Baker"


def test_a_task_that_is_taken_up_again_in_outlook_stays_open(ann):
    task(ann)
    ann.visit()
    (item,) = ann.items(TASK)
    ann.outlook.edit(item.item_id, status="completed")
    ann.visit()
    ann.visit()
    ann.outlook.edit(item.item_id, status="not_started")
    ann.visit()
    ann.visit()
    assert ann.items(TASK)[0].values["status"] == "not_started"


def test_a_value_that_was_taken_away_while_unlinked_does_not_return(ann, bob):
    kim = contact(ann, mobile_phone="06-1")
    ann.visit()
    kim.owner = bob.user
    kim.save()
    ann.visit()
    kim.owner, kim.mobile_phone = ann.user, ""
    kim.save()
    ann.visit()
    kim.refresh_from_db()
    assert kim.mobile_phone == ""


def test_an_edit_counts_when_categories_were_brought_into_use_later(ann):
    Organisation.objects.update_or_create(pk=1, defaults={"uses_category_tracking": False})
    kim = contact(ann)
    ann.visit()
    Organisation.objects.update_or_create(pk=1, defaults={"uses_category_tracking": True})
    ann.outlook.edit(ann.items(CONTACT)[0].item_id, mobile="06-1")
    ann.visit()
    kim.refresh_from_db()
    assert kim.mobile_phone == "06-1"


def test_the_answers_of_two_attendees_of_an_outsiders_meeting_are_both_kept(ann, bob):
    uid, invited = uuid4().hex, [who("ann@example.test"), who("bob@example.test")]
    for one in (ann, bob):
        one.outlook.store(
            APPOINTMENT,
            {
                "subject": "Plans",
                "time": time_of(SOON),
                "organizer": who("cas@elsewhere.test"),
                "required": invited,
                "responses": {"ann@example.test": "none", "bob@example.test": "none"},
            },
            uid=uid,
            is_organizer=False,
            categories=(TRACKED,),
        )
    for one in (ann, bob):
        one.outlook.answer(one.items(APPOINTMENT)[0].item_id, "accepted")
        one.visit()
    ann.visit()
    parties = Appointment.objects.get().parties.filter(participation=Party.REQUIRED)
    assert {party.address: party.response for party in parties} == {
        "ann@example.test": "accepted",
        "bob@example.test": "accepted",
    }


def test_an_organizer_is_known_by_what_the_server_says(ann):
    """The mailbox's own name for its owner may be another address of his."""
    item = ann.outlook.store(
        APPOINTMENT, {"subject": "Plans", "time": time_of(SOON)}, categories=(TRACKED,)
    )
    item.values["organizer"] = who("ann.alias@example.test")
    ann.visit()
    record = Appointment.objects.get()
    record.subject = "Other plans"
    record.save()
    ann.visit()
    assert ann.items(APPOINTMENT)[0].values["subject"] == "Other plans"


# What waits for ever


def test_who_waits_gets_a_copy_when_the_organizers_calendar_is_not_begun_with(ann, bob):
    ItemProgress.objects.create(mailbox=ann.mailbox, kind=APPOINTMENT, first=First.DECLINED)
    appointment(ann, bob)
    for one in (ann, bob, ann, bob):
        one.visit()
    assert len(bob.items(APPOINTMENT)) == 1


def test_an_organizer_whose_address_changed_still_invites(ann, exchange):
    record = appointment(ann, "kim@customer.test")
    ann.visit()
    exchange.messages.clear()
    new = "ann.new@example.test"
    type(ann.user).objects.filter(pk=ann.user.pk).update(email=new)
    Mailbox.objects.filter(pk=ann.mailbox.pk).update(email_address=new)
    ann.mailbox.refresh_from_db()
    ann.outlook.address = new
    record.parties.create(participation=Party.REQUIRED, address="cas@customer.test")
    ann.visit()
    assert mail(exchange) == [(What.INVITATION, ("cas@customer.test",))]


def test_a_task_that_no_longer_recurs_is_kept_in_step_again(ann):
    item_id = ann.outlook.add(TASK, subject="Call Kim", categories=(TRACKED,))
    ann.visit()
    ann.outlook.items[item_id].unsupported = "recurring_task"
    ann.outlook.touch(ann.outlook.items[item_id])
    ann.visit()
    ann.outlook.items[item_id].unsupported = ""
    ann.outlook.edit(item_id, notes="at noon")
    ann.visit()
    assert Task.objects.get().description == "at noon"


def test_who_waits_for_an_invitation_gets_a_copy_when_the_organizer_leaves(ann, bob):
    appointment(ann, bob)
    bob.visit()
    assert bob.links.get().state == State.WAITING
    directions.disable([ann.mailbox.pk], [Direction.Kind.ACT], "tests")
    schedule.plan([ann.mailbox.pk])
    bob.visit()
    assert len(bob.items(APPOINTMENT)) == 1


def test_a_change_of_a_meeting_with_a_new_organizer_travels_or_is_told(ann, bob):
    record = appointment(ann, bob)
    for one in (ann, bob, ann):
        one.visit()
    record.parties.filter(user=ann.user).update(participation=Party.REQUIRED)
    record.parties.filter(user=bob.user).update(participation=Party.ORGANIZER)
    record.subject = "Other plans"
    record.save()
    for one in (ann, bob, ann, bob):
        one.visit()
    subjects = {item.values["subject"] for one in (ann, bob) for item in one.items(APPOINTMENT)}
    links = ItemLink.objects.filter(key=record.pk)
    assert subjects == {"Other plans"} or links.exclude(fault_code="").exists()


def test_the_former_organizer_is_told_when_his_meeting_is_no_more_his(ann, bob):
    record = appointment(ann, bob)
    for one in (ann, bob, ann):
        one.visit()
    record.parties.filter(user=ann.user).delete()
    record.parties.filter(user=bob.user).update(participation=Party.ORGANIZER)
    for one in (ann, bob, ann):
        one.visit()
    link = ann.links.get(key=record.pk)
    assert (link.state, link.fault_code) == (State.UNLINKED, "item.handed_over")
    assert len(ann.items(APPOINTMENT)) == 1


def test_what_the_crm_said_of_a_meeting_before_its_organizer_was_linked_is_kept(ann, bob):
    directions.disable([bob.mailbox.pk], [Direction.Kind.ACT], "tests")
    schedule.plan([bob.mailbox.pk])
    meeting = {"subject": "Plans", "time": time_of(SOON), "organizer": who(bob.user.email)}
    bob.outlook.add(APPOINTMENT, required=[who(ann.user.email)], body="Agenda", **meeting)
    (item,) = ann.items(APPOINTMENT)
    ann.outlook.edit(item.item_id, invites=False)
    item.categories = (TRACKED,)
    ann.visit()
    Appointment.objects.update(location="Hall", description="")
    directions.enable([bob.mailbox.pk], [Direction.Kind.ACT], "tests")
    schedule.plan([bob.mailbox.pk])
    bob.visit()
    record = Appointment.objects.get()
    assert (record.location, record.description) == ("", "Agenda")  # the organizer's counts (3K)
    conflict = ItemConflict.objects.get()
    assert (conflict.name, conflict.crm, conflict.exchange) == ("location", "Hall", "")


def test_an_appointment_without_attendees_comes_to_who_gets_it(ann, bob):
    record = appointment(ann)
    ann.visit()
    ann.outlook.edit(ann.links.get().item_id, location="Hall")
    ann.visit()
    uid = Appointment.objects.get().uid
    assert uid
    record.parties.update(user=bob.user, address=bob.user.email)
    for one in (bob, ann, bob):
        one.visit()
    assert [item.values["subject"] for item in bob.items(APPOINTMENT)] == ["Plans"]
    assert (ann.links.get().state, ann.links.get().fault_code) == (State.UNLINKED, "")
    assert Appointment.objects.get().uid not in ("", uid)
    Appointment.objects.get().save()
    for one in (ann, bob):
        outcome = one.visit()
        assert (outcome.stored, outcome.written, outcome.failed) == (0, 0, 0)


def test_what_was_taken_back_is_not_made_again_when_its_item_changes(ann):
    item_id = ann.outlook.add(TASK, subject="Call Kim", categories=(TRACKED,))
    ann.visit()
    JournalEntry.objects.filter(action="created_record").update(undo_asked_at=Now())
    ann.visit()
    ann.visit()
    ann.outlook.edit(item_id, notes="at noon")
    ann.visit()
    assert not Task.objects.exists()


# Doubles


def test_an_attendee_gets_no_plain_copy_when_the_organizers_mailbox_has_another_address(
    exchange, bob
):
    ann = person(exchange, "a.smith@example.test")
    type(ann.user).objects.filter(pk=ann.user.pk).update(email="ann@example.test")
    ann.user.refresh_from_db()
    appointment(ann, bob)
    for one in (bob, ann, bob, ann, bob):
        one.visit()
    assert len(bob.items(APPOINTMENT)) == 1


def test_a_plain_copy_goes_when_the_invitation_came_before_its_uid_was_known(ann, bob):
    directions.disable([ann.mailbox.pk], [Direction.Kind.ACT], "tests")
    schedule.plan([ann.mailbox.pk])
    record = appointment(ann, bob)
    bob.visit()
    assert len(bob.items(APPOINTMENT)) == 1
    directions.enable([ann.mailbox.pk], [Direction.Kind.ACT], "tests")
    schedule.plan([ann.mailbox.pk])
    ann.visit()
    Appointment.objects.filter(pk=record.pk).update(uid="")  # its visit ended before it learned
    ann.links.update(due_at=datetime.now(UTC), seen_key="")
    bob.visit()
    ann.visit()
    for one in (bob, ann, bob):
        one.visit()
    assert len(bob.items(APPOINTMENT)) == 1


# Privacy


@pytest.mark.parametrize("is_tracked", [True, False])
def test_who_takes_a_mailbox_over_gets_no_later_changes_of_its_former_owners_records(
    ann, bob, is_tracked
):
    if is_tracked:
        full_name = {"first": "Kim", "middle": "", "last": "Karst"}
        ann.outlook.add(CONTACT, full_name=full_name, categories=(TRACKED,))
    else:
        contact(ann)
    ann.visit()
    administration.map_mailbox(ann.mailbox, bob.user, take_over=True)
    directions.enable([ann.mailbox.pk], [Direction.Kind.ACT], "tests")
    schedule.plan([ann.mailbox.pk])
    Contact.objects.update(job_title="of nobody's concern")
    ann.visit()
    assert ann.items(CONTACT)[0].values["job_title"] == ""


def test_the_journal_of_a_former_owner_is_not_the_new_ones(ann, bob):
    contact(ann, "Secret")
    ann.visit()
    administration.map_mailbox(ann.mailbox, bob.user, take_over=True)
    assert not JournalEntry.objects.filter(mailbox=ann.mailbox).exists()


# Crashes of a visit


def test_a_record_that_is_deleted_while_its_item_is_read_ends_no_visit(ann, monkeypatch):
    kim = contact(ann)
    ann.visit()
    ann.outlook.edit(ann.items(CONTACT)[0].item_id, mobile="06-1")
    meanwhile(monkeypatch, "read", Contact.objects.filter(pk=kim.pk).delete)
    assert ann.visit().fault is None


def test_an_item_that_is_listed_on_two_pages_at_the_beginning_is_one(ann, monkeypatch):
    item_id = ann.outlook.add(TASK, subject="Call Kim", categories=(TRACKED,))
    monkeypatch.setattr(first, "_MOST", 1)
    asked, pages = MemoryActivities.changes, []

    def changes(self, kind, cursor, limit):
        page = asked(self, kind, cursor, limit)
        if kind is TASK:
            pages.append(page)
            if len(pages) == 1:
                ann.outlook.add(TASK, subject="Second")
                ann.outlook.edit(item_id, notes="at noon")
                page = dataclasses.replace(page, is_last=False)
        return page

    monkeypatch.setattr(MemoryActivities, "changes", changes)
    ann.visit()
    ann.visit()
    assert Task.objects.get().description == "at noon"


def test_two_lanes_that_write_the_same_meetings_do_not_wait_in_a_circle(ann, bob, monkeypatch):
    """Each has written one record, and then wants that of the other."""
    invited = [who("ann@example.test"), who("bob@example.test")]
    uids = {subject: uuid4().hex for subject in ("first", "second")}
    for one in (ann, bob):
        for subject, uid in uids.items():
            meeting = {"subject": subject, "organizer": who("cas@elsewhere.test")}
            one.outlook.store(
                APPOINTMENT,
                {**meeting, "required": invited, "time": time_of(SOON), "show_as": "free"},
                uid=uid,
                is_organizer=False,
                categories=(TRACKED,),
            )
    for one in (ann, bob, ann, bob, ann, bob):
        one.visit()
    for one, order in ((ann, ("first", "second")), (bob, ("second", "first"))):
        for subject in order:
            item = one.outlook.of_uid(uids[subject])
            one.outlook.change(item, {"location": f"said by {one.user}"})
    apply, barrier, faults = AppointmentRecords.apply, threading.Barrier(2, timeout=10), []
    met = threading.local()

    def applying(self, *arguments) -> None:
        apply(self, *arguments)
        if not getattr(met, "already", False):
            met.already = True
            with contextlib.suppress(threading.BrokenBarrierError):
                barrier.wait()

    def visit(one: Person) -> None:
        try:
            one.visit()
        except DatabaseError as error:
            faults.append(error)
            barrier.abort()
        finally:
            connection.close()

    monkeypatch.setattr(AppointmentRecords, "apply", applying)
    threads = [threading.Thread(target=visit, args=(one,)) for one in (ann, bob)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_a_push_puts_the_visit_off_by_nothing(ann):
    """The rest that is given back was counted before the push, and begins after it."""
    ann.visit()
    row = Schedule.objects.get(mailbox=ann.mailbox, lane=Lane.ACT)
    Schedule.objects.filter(pk=row.pk).update(push_due_at=Now())
    begun, rest = schedule.begin_push(timedelta(minutes=5))
    patience = Patience(
        attempts=10, retry=timedelta(minutes=5), longest=timedelta(hours=1), heals=True
    )
    outcome.record_push(begun.claim, Outcome(), begun.health, rest, "here", patience)
    assert Schedule.objects.get(pk=row.pk).due_at <= row.due_at


# Exchange itself


def test_an_item_gets_a_category_when_it_is_changed():
    """What is adopted gets ours; without it, the next visit takes it for untracked."""
    with activity_worlds.exchange() as world, world.open() as gateway:
        item_id = world.add(TASK, subject="Call Kim")
        item = activity_worlds.read(gateway, TASK, item_id)
        change = activity_worlds.change(item)
        change = dataclasses.replace(change, record_key="key", categories=(TRACKED,))
        gateway.update(TASK, [change])
        after = activity_worlds.read(gateway, TASK, item_id)
    assert (after.record_key, after.categories) == ("key", (TRACKED,))
