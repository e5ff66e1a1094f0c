"""What is deleted, on whose word, and what somebody is asked before."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert
from syncservice.crm.models import (
    Appointment,
    AppointmentParty,
    AttachmentContent,
    Task,
)
from syncservice.domain.item_values import ItemKind
from syncservice.domain.recurrence import Pattern, Recurrence
from syncservice.mailboxes import administration, directions, schedule
from syncservice.mailboxes.models import (
    Direction,
    ItemLink,
    ItemProgress,
    Lane,
    Organisation,
    TrackingCategory,
)
from syncservice.sync.inbox import Inbox
from syncservice.sync.visit import visit
from tests import factories
from tests.memory_activities import What
from tests.memory_gateway import MemoryIncoming, MemoryOrganised, MemoryServer
from tests.sync.synced_items import (
    SOON,
    TRACKED,
    Person,
    appointment,
    contact,
    mail,
    task,
    time_of,
    who,
)
from tests.sync.test_visit import BUDGET as EMAIL_BUDGET

#: Each change is committed: in one transaction, a visit would be told of all of them again.
pytestmark = pytest.mark.django_db(transaction=True)
State, First = ItemLink.State, ItemProgress.First
CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK
Party = AppointmentParty.Participation


def incoming(one: Person, server: MemoryServer) -> None:
    """Make a visit for the email of somebody's mailbox."""
    directions.enable([one.mailbox.pk], [Direction.Kind.INCOMING], "tests")
    schedule.plan([one.mailbox.pk])
    claimed = schedule.claim_now(one.mailbox.pk, Lane.INCOMING, factories.LEASE)
    assert claimed is not None
    inbox = Inbox(schedule.begin(claimed[0], factories.LEASE).claim, item_attempts=5)
    organised = MemoryOrganised(server)
    visit(MemoryIncoming(server), inbox, EMAIL_BUDGET, lambda: 0.0, organised=organised)
    with schedule.fenced(inbox.claim) as row:
        schedule.release(row, factories.REST)


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


def test_what_was_deleted_in_outlook_is_noticed_when_email_is_listed_again(ann):
    task(ann)
    for _ in range(2):
        ann.visit()
    ann.outlook.remove(ann.items(TASK)[0].item_id)
    administration.change_mailbox(
        ann.mailbox, "tests", process_email_from=datetime.now(UTC) - timedelta(days=9)
    )
    for _ in range(2):
        ann.visit()
    assert not Task.objects.exists()


def test_what_was_deleted_in_outlook_is_noticed_when_the_category_is_renamed(ann):
    server = MemoryServer()
    incoming(ann, server)
    task(ann)
    for _ in range(2):
        ann.visit()
    ann.outlook.remove(ann.items(TASK)[0].item_id)
    ours = TrackingCategory.objects.get(kind=TrackingCategory.Kind.TRACKED)
    server.categories[ours.category_id] = "Ins CRM"
    TrackingCategory.objects.update(looked_at=ours.looked_at - timedelta(hours=1))
    incoming(ann, server)
    for _ in range(2):
        ann.visit()
    assert not Task.objects.exists()


def test_who_deletes_his_copy_of_what_is_no_longer_his_deletes_no_record(ann, bob):
    call = task(ann)
    ann.visit()
    Task.objects.filter(pk=call.pk).update(owner=bob.user)
    ann.outlook.remove(ann.items(TASK)[0].item_id)
    ann.visit()
    assert Task.objects.filter(pk=call.pk).exists()


def test_a_copy_that_was_deleted_while_unlinked_deletes_no_record_when_a_push_links_it(ann, bob):
    call = task(ann)
    ann.visit()
    Task.objects.filter(pk=call.pk).update(owner=bob.user)
    ann.visit()
    ann.outlook.remove(ann.items(TASK)[0].item_id)
    Task.objects.filter(pk=call.pk).update(owner=ann.user)
    ann.visit(only_push=True)
    ann.visit()
    assert Task.objects.filter(pk=call.pk).exists()
    assert len(ann.items(TASK)) == 1


def test_an_attendee_whom_outlook_added_is_told_that_a_deleted_meeting_is_off(ann, exchange):
    record = appointment(ann)
    ann.visit()
    ann.outlook.edit(ann.items(APPOINTMENT)[0].item_id, required=[who("kim@customer.test")])
    record.delete()
    ann.visit()
    assert mail(exchange) == [(What.CANCELLATION, ("kim@customer.test",))]


def test_a_task_that_was_just_done_in_outlook_stays_there_when_its_record_is_deleted(ann):  # 3J
    record = task(ann)
    ann.visit()
    ann.outlook.edit(ann.items(TASK)[0].item_id, status="completed")
    record.delete()
    ann.visit()
    assert len(ann.items(TASK)) == 1


def test_an_outsiders_meeting_is_off_although_another_attendee_is_no_longer_kept_in_step(ann, bob):
    meeting = {"subject": "Plans", "time": time_of(SOON), "organizer": who("cas@elsewhere.test")}
    invited = [who("ann@example.test"), who("bob@example.test")]
    for one in (ann, bob):
        one.outlook.store(
            APPOINTMENT,
            {**meeting, "required": invited},
            uid="1",
            is_organizer=False,
            categories=(TRACKED,),
        )
        one.visit()
    directions.disable([ann.mailbox.pk], [Direction.Kind.ACT], "tests")
    schedule.plan([ann.mailbox.pk])
    (item,) = bob.items(APPOINTMENT)
    item.is_cancelled = True
    bob.outlook.change(item, {"show_as": "free"})
    bob.visit()
    assert Appointment.objects.get().state == Appointment.State.CANCELED


def test_nobody_is_asked_about_copies_of_what_is_no_longer_his(ann, bob):
    for number in range(20):
        task(ann, f"task {number}")
    ann.visit()
    Task.objects.update(owner=bob.user)
    for item in ann.items(TASK):
        ann.outlook.remove(item.item_id)
    ann.visit()
    assert not Alert.objects.filter(code=alerts.MASS_DELETION).exists()
    assert set(ann.links.values_list("state", flat=True)) == {State.UNLINKED}


def test_items_that_are_put_back_need_no_answer_to_be_kept_in_step(ann):
    for number in range(20):
        task(ann, f"task {number}")
    ann.visit()
    kept = ann.items(TASK)[:15]
    for item in kept:
        ann.outlook.remove(item.item_id)
    ann.visit()
    for item in kept:
        ann.outlook.store(TASK, item.values, record_key=item.record_key, categories=item.categories)
    ann.visit()
    record = Task.objects.get(subject=kept[0].values["subject"])
    record.subject = "said anew"
    record.save()
    ann.visit()
    assert "said anew" in [item.values["subject"] for item in ann.items(TASK)]


def test_an_item_is_read_again_when_its_deleted_record_came_back(ann):
    kim = contact(ann)
    ann.visit()
    ann.links.filter(kind=CONTACT).update(deleted_record={"owner": None}, due_at=Now())
    ann.visit()  # its deletion was noticed, and settled when it was there again
    ann.outlook.edit(ann.items(CONTACT)[0].item_id, mobile="06-1")
    ann.visit()
    kim.refresh_from_db()
    assert kim.mobile_phone == "06-1"


def test_a_question_about_deletions_tells_of_every_kind_that_its_answer_deletes(ann):
    for number in range(20):
        task(ann, f"task {number}")
        start = SOON + timedelta(days=number)
        appointment(ann, subject=f"plan {number}", starts_at=start, ends_at=start)
    ann.visit()
    for kind in (TASK, APPOINTMENT):
        for item in ann.items(kind)[:15]:
            ann.outlook.remove(item.item_id)
    ann.visit()
    text = Alert.objects.get(code=alerts.MASS_DELETION).text
    assert "task: 15" in text
    assert "appointment: 15" in text
