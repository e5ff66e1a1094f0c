"""What a second review found in keeping appointments, contacts and tasks in step."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert
from syncservice.crm.models import Appointment, AppointmentParty, Contact, SyncFilter, Task
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes import administration, directions, schedule
from syncservice.mailboxes.models import (
    Direction,
    ItemLink,
    ItemProgress,
    JournalEntry,
    Lane,
    Organisation,
    TrackingCategory,
)
from syncservice.simulator.exchange import ExchangeSimulator
from syncservice.sync.inbox import Inbox
from syncservice.sync.visit import visit
from tests import factories
from tests.memory_activities import MemoryExchange, What, When
from tests.memory_gateway import Killed, MemoryIncoming, MemoryOrganised, MemoryServer
from tests.sync.exchange_people import world_of
from tests.sync.synced_items import TRACKED, Person, person
from tests.sync.test_items_review import SOON, appointment, contact, mail, task, time_of, who
from tests.sync.test_items_series import Calendars, series
from tests.sync.test_items_series import time_of as time_of_series
from tests.sync.test_visit import BUDGET as EMAIL_BUDGET

#: Each change is committed: in one transaction, a visit would be told of all of them again.
pytestmark = pytest.mark.django_db(transaction=True)
State, First = ItemLink.State, ItemProgress.First
CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK
Party = AppointmentParty.Participation


@pytest.fixture
def exchange() -> MemoryExchange:
    return MemoryExchange(now=datetime.now(UTC))


@pytest.fixture
def ann(exchange) -> Person:
    return person(exchange, "ann@example.test")


@pytest.fixture
def bob(exchange) -> Person:
    return person(exchange, "bob@example.test")


def undo(one: Person, action: JournalEntry.Action, times: int = 3) -> None:
    """Have the entries of an action undone, and make as many visits as that takes to settle."""
    entries = JournalEntry.objects.filter(mailbox=one.mailbox, action=action, undone_at=None)
    assert entries.update(undo_asked_at=Now())
    for _ in range(times):
        one.visit()


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


# A filter that is edited


def widened(one: Person, number: int = 15) -> None:
    """Let the filter of contacts select many more than those that it selected."""
    other = person(one.outlook.exchange, "cas@example.test")
    for place in range(number):
        contact(other, f"Other {place}")
    filters = SyncFilter.objects.filter(user=one.user, entity="contact")
    filters.update(criteria={"field": "last_name", "operator": "not_empty"})


def test_an_edit_in_outlook_is_not_lost_when_a_wider_filter_is_looked_at(ann):
    kim = contact(ann)
    ann.visit()
    widened(ann)
    ann.visit()
    ann.outlook.edit(ann.items(CONTACT)[0].item_id, mobile="06-1")
    for _ in range(3):
        ann.visit()
    kim.refresh_from_db()
    assert len(ann.items(CONTACT)) == 16
    assert kim.mobile_phone == "06-1"


def test_an_edit_in_the_crm_is_not_lost_when_a_wider_filter_is_looked_at(ann):
    kim = contact(ann)
    ann.visit()
    item_id = ann.items(CONTACT)[0].item_id
    widened(ann)
    kim.mobile_phone = "06-1"
    kim.save()
    for _ in range(4):
        ann.visit()
    assert ann.outlook.items[item_id].values["mobile"] == "06-1"


def test_what_was_deleted_is_not_lost_when_a_wider_filter_is_looked_at(ann, bob):
    kim = contact(bob)
    SyncFilter.objects.filter(user=ann.user, entity="contact").update(
        criteria={"field": "last_name", "operator": "eq", "value": "Karst"}
    )
    ann.visit()
    item_id = ann.items(CONTACT)[0].item_id
    widened(ann)
    ann.visit()
    kim.delete()
    for _ in range(3):
        ann.visit()
    assert item_id not in ann.outlook.items  # 3I


def test_who_falls_out_of_a_wider_filter_is_unlinked(ann):
    kim = contact(ann, "")
    ann.visit()
    widened(ann)
    for _ in range(3):
        ann.visit()
    assert ann.links.get(key=kim.key).state == State.UNLINKED


def test_what_is_linked_stays_in_step_while_somebody_is_asked_about_a_wider_filter(ann):
    Organisation.objects.update_or_create(pk=1, defaults={"asks_above_creations": 12})
    kim = contact(ann)
    ann.visit()
    widened(ann)
    for _ in range(2):
        ann.visit()
    assert ann.state_of(CONTACT) == First.ASKING
    ann.outlook.edit(ann.items(CONTACT)[0].item_id, mobile="06-1")
    ann.visit()
    kim.refresh_from_db()
    assert (kim.mobile_phone, len(ann.items(CONTACT))) == ("06-1", 1)


def test_an_organizer_who_is_asked_about_a_wider_filter_still_speaks_for_his_meetings(ann, bob):
    record = appointment(ann, bob)
    for one in (ann, bob, ann, bob):
        one.visit()
    ItemProgress.objects.filter(mailbox=ann.mailbox, kind=APPOINTMENT).update(first=First.ASKING)
    bob.outlook.edit(bob.items(APPOINTMENT)[0].item_id, subject="Boring")
    for one in (bob, ann, bob):
        one.visit()
    record.refresh_from_db()
    assert record.subject == "Plans"


# Listing again


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


# Deletions


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


# A process that dies


def test_who_is_added_after_a_visit_died_is_invited(ann, exchange):
    record = appointment(ann, "kim@customer.test")
    exchange.killed_at.add((1, When.AFTER))
    with pytest.raises(Killed):
        ann.visit()
    record.parties.create(participation=Party.REQUIRED, address="cas@customer.test")
    for _ in range(2):
        ann.visit()
    assert mail(exchange) == [
        (What.INVITATION, ("kim@customer.test",)),
        (What.INVITATION, ("cas@customer.test",)),
    ]


def test_a_meeting_that_is_moved_after_a_visit_died_is_moved_for_all(ann, exchange):
    record = appointment(ann, "kim@customer.test")
    exchange.killed_at.add((1, When.AFTER))
    with pytest.raises(Killed):
        ann.visit()
    record.starts_at += timedelta(hours=3)
    record.ends_at += timedelta(hours=3)
    record.save()
    for _ in range(2):
        ann.visit()
    record.refresh_from_db()
    assert record.starts_at == SOON + timedelta(hours=3)
    assert mail(exchange) == [(What.INVITATION, ("kim@customer.test",))] * 2


# Undoing


def test_undoing_deletes_no_record_that_was_changed_since_its_item_left(ann):
    name = {"first": "Kim", "middle": "", "last": "Karst"}
    item_id = ann.outlook.add(CONTACT, full_name=name, categories=(TRACKED,))
    ann.visit()
    ann.outlook.remove(item_id)
    ann.visit()
    Contact.objects.update(job_title="a week's work")
    undo(ann, JournalEntry.Action.CREATED_RECORD)
    assert Contact.objects.exists()


def test_undoing_does_not_wait_for_a_later_link_to_delete_its_item(ann, bob):
    call = task(ann)
    ann.visit()
    Task.objects.filter(pk=call.pk).update(owner=bob.user)
    ann.visit()
    undo(ann, JournalEntry.Action.CREATED_ITEM)
    Task.objects.filter(pk=call.pk).update(owner=ann.user)
    ann.visit()
    assert len(ann.items(TASK)) == 1


def test_an_appointment_whose_item_was_deleted_comes_back_when_that_is_undone(ann):
    appointment(ann)
    ann.visit()
    ann.outlook.edit(ann.items(APPOINTMENT)[0].item_id, location="Room 1")
    ann.visit()
    undo(ann, JournalEntry.Action.CREATED_ITEM)
    assert ann.items(APPOINTMENT) == []
    undo(ann, JournalEntry.Action.DELETED_ITEM)
    assert len(ann.items(APPOINTMENT)) == 1


def test_undoing_that_a_link_ended_changes_nothing_once_it_is_linked_again(ann, bob):
    kim = contact(ann, mobile_phone="06-1")
    ann.visit()
    for owner in (bob.user, ann.user):
        kim.owner = owner
        kim.save()
        ann.visit()
    kim.mobile_phone = ""
    kim.save()
    undo(ann, JournalEntry.Action.UNLINKED)
    kim.refresh_from_db()
    assert kim.mobile_phone == ""


# Questions


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


def test_a_question_about_beginning_tells_of_every_kind_that_its_answer_begins(ann):
    Organisation.objects.update_or_create(pk=1, defaults={"asks_above_creations": 2})
    for number in range(3):
        task(ann, f"task {number}")
        contact(ann, f"Karst {number}")
    ann.visit()
    text = Alert.objects.get(code=alerts.FIRST_SYNCHRONIZATION).text
    assert "task: it would" in text
    assert "contact: it would" in text


# Mail


def test_a_meeting_that_is_taken_up_again_is_called_anew(ann, exchange):  # F255
    Organisation.objects.update_or_create(pk=1, defaults={"propagates_cancellations": True})
    record = appointment(ann, "kim@customer.test")
    for _ in range(2):
        ann.visit()
    for status in (Appointment.Status.CANCELED, Appointment.Status.BUSY):
        record.status = status
        record.save(update_fields=["status"])
        for _ in range(3):
            ann.visit()
    invitation = (What.INVITATION, ("kim@customer.test",))
    assert mail(exchange) == [invitation, (What.CANCELLATION, ("kim@customer.test",)), invitation]
    assert len(ann.items(APPOINTMENT)) == 1


# Exchange itself


@pytest.fixture
def calendars() -> Iterator[Calendars]:
    with ExchangeSimulator() as simulator:
        simulator.control.create_service_account("svc", "pw")
        yield Calendars(world_of(simulator))


def test_nobody_is_told_again_of_occurrences_that_are_over_when_a_series_is_moved(calendars):  # 3G
    """Exchange forgets what differs when the time changes, so it is all written once more."""
    today = datetime.now(UTC).date()
    past = [(today - timedelta(days=days)).isoformat() for days in (6, 5)]
    recurrence = series("daily", starts_on=today - timedelta(days=9), count=60)
    calendars.enter(
        "crm",
        recurrence,
        time_of_series(recurrence),
        **{f"occurrence:{past[0]}": "deleted", f"occurrence:{past[1]}": {"subject": "Other"}},
    )
    at_first = calendars.told()
    record = calendars.record
    record.starts_at += timedelta(hours=1)
    record.ends_at += timedelta(hours=1)
    record.save()
    calendars.become_quiet()
    assert (at_first, calendars.told()) == (["request"], ["update"])
