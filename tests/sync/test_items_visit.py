"""Visits of appointments, contacts and tasks: what travels, and what does not."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert
from syncservice.crm.models import Appointment, AppointmentParty, Contact, SyncFilter, Task
from syncservice.domain.faults import Nature, Scope
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import (
    FieldSetting,
    ItemConflict,
    ItemLink,
    ItemProgress,
    JournalEntry,
    Organisation,
)
from tests.memory_gateway import fault
from tests.sync.synced_items import (
    SOON,
    TRACKED,
    Person,
    appointment,
    contact,
    task,
    time_of,
)

pytestmark = pytest.mark.django_db
State, First = ItemLink.State, ItemProgress.First
CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK
Party = AppointmentParty.Participation


def name(first: str, last: str) -> dict:
    return {"first": first, "middle": "", "last": last}


# Both ways


def test_a_contact_of_the_crm_becomes_an_item_and_both_stay_in_step(ann):
    kim = contact(ann)
    assert ann.visit().written == 1
    (item,) = ann.items(CONTACT)
    assert item.values["full_name"] == name("Kim", "Karst")
    assert item.categories == (TRACKED,)

    ann.outlook.edit(item.item_id, mobile="06-1")
    ann.visit()
    kim.refresh_from_db()
    assert kim.mobile_phone == "06-1"

    kim.job_title = "Baker"
    kim.save()
    ann.visit()
    assert ann.outlook.items[item.item_id].values["job_title"] == "Baker"


def test_a_tracked_item_becomes_a_record_and_others_do_not(ann):
    tracked = ann.outlook.add(TASK, subject="Call Kim", due="2026-03-05", categories=(TRACKED,))
    ann.outlook.add(TASK, subject="Buy milk")
    ann.visit()
    found = Task.objects.get()
    assert (found.subject, found.owner) == ("Call Kim", ann.user)
    assert ann.outlook.items[tracked].record_key


def test_a_quiet_visit_costs_one_request_a_folder(ann):
    contact(ann)
    ann.visit()
    ann.visit()
    outcome = ann.visit()
    assert outcome.requests == 3
    assert (outcome.stored, outcome.written, outcome.failed) == (0, 0, 0)


def test_a_push_asks_the_mailbox_nothing_but_to_write(ann):
    kim = contact(ann)
    ann.visit()
    kim.job_title = "Baker"
    kim.save()
    outcome = ann.visit(only_push=True)
    assert (outcome.requests, outcome.written) == (1, 1)


def test_own_writes_do_not_echo(ann):
    contact(ann)
    ann.visit()
    (item,) = ann.items(CONTACT)
    key = item.change_key
    for _ in range(3):
        ann.visit()
    assert ann.items(CONTACT)[0].change_key == key


def test_nothing_is_tracked_by_category_where_the_organisation_does_not(ann):
    Organisation.objects.update_or_create(pk=1, defaults={"uses_category_tracking": False})
    ann.outlook.add(TASK, subject="Call Kim", categories=(TRACKED,))
    contact(ann)
    ann.visit()
    assert not Task.objects.exists()
    assert ann.items(CONTACT)[0].categories == ()


# Filters


def test_without_an_active_filter_nothing_of_that_kind_is_brought(ann):  # F185
    SyncFilter.objects.filter(user=ann.user, entity="contact").update(is_active=False)
    contact(ann)
    task(ann)
    ann.visit()
    assert not ann.items(CONTACT)
    assert ann.items(TASK)


def test_who_falls_out_of_the_filter_is_unlinked_and_stays(ann, bob):
    kim = contact(ann)
    ann.visit()
    kim.owner = bob.user
    kim.save()
    ann.visit()
    bob.visit()
    assert ann.links.get(key=kim.key).state == State.UNLINKED
    assert len(ann.items(CONTACT)) == len(bob.items(CONTACT)) == 1
    kim.job_title = "Baker"
    kim.save()
    ann.visit()
    assert ann.items(CONTACT)[0].values["job_title"] == ""


def test_the_change_that_makes_it_fall_out_still_travels(ann):
    call = task(ann)
    ann.visit()
    call.status = 5  # the filter wants open ones
    call.save()
    ann.visit()
    (item,) = ann.items(TASK)
    assert item.values["status"] == "completed"
    assert ann.links.get(key=call.pk).state == State.UNLINKED


def test_who_comes_back_into_the_filter_is_linked_with_the_same_item(ann, bob):
    kim = contact(ann)
    ann.visit()
    for owner in (bob.user, ann.user):
        kim.owner = owner
        kim.save()
        ann.visit()
    kim.job_title = "Baker"
    kim.save()
    ann.visit()
    (item,) = ann.items(CONTACT)
    assert item.values["job_title"] == "Baker"


def test_another_filter_is_obeyed_at_the_next_visit(ann):
    contact(ann)
    SyncFilter.objects.filter(user=ann.user, entity="contact").update(is_active=False)
    ann.visit()
    SyncFilter.objects.filter(user=ann.user, entity="contact").update(is_active=True)
    ann.visit()
    assert ann.items(CONTACT)


# Tracking


def test_a_category_that_is_taken_off_unlinks(ann):
    kim = contact(ann)
    ann.visit()
    (item,) = ann.items(CONTACT)
    ann.outlook.categorise(item.item_id)
    ann.visit()
    assert ann.links.get().state == State.UNLINKED
    kim.refresh_from_db()
    ann.outlook.edit(item.item_id, mobile="06-1")
    ann.visit()
    kim.refresh_from_db()
    assert kim.mobile_phone == ""


def test_a_category_that_is_put_on_again_links_again(ann):
    item_id = ann.outlook.add(TASK, subject="Call Kim", categories=(TRACKED,))
    ann.visit()
    ann.outlook.categorise(item_id)
    ann.visit()
    ann.outlook.categorise(item_id, TRACKED)
    ann.outlook.edit(item_id, notes="at noon")
    ann.visit()
    assert Task.objects.get().description == "at noon"


def test_a_copied_item_is_no_second_record(ann):  # F205
    item_id = ann.outlook.add(TASK, subject="Call Kim", categories=(TRACKED,))
    ann.visit()
    original = ann.outlook.items[item_id]
    ann.outlook.store(
        TASK, original.values, record_key=original.record_key, categories=original.categories
    )
    ann.visit()
    assert Task.objects.count() == 1
    assert ann.links.get().item_id == item_id


def test_a_moved_item_stays_linked_with_its_new_id(ann):
    item_id = ann.outlook.add(TASK, subject="Call Kim", categories=(TRACKED,))
    ann.visit()
    original = ann.outlook.items[item_id]
    ann.outlook.remove(item_id)
    moved = ann.outlook.store(
        TASK, original.values, record_key=original.record_key, categories=original.categories
    )
    ann.visit()
    assert ann.links.get().item_id == moved.item_id
    assert Task.objects.count() == 1


def test_a_meeting_of_an_outsider_is_one_record_for_both_who_track_it(ann, bob):
    uid = uuid4().hex
    caller = {"address": "cas@elsewhere.test", "name": "Cas"}
    invited = [
        {"address": "ann@example.test", "name": ""},
        {"address": "bob@example.test", "name": ""},
    ]
    for one in (ann, bob):
        one.outlook.store(
            APPOINTMENT,
            {"subject": "Plans", "time": time_of(SOON), "organizer": caller, "required": invited},
            uid=uid,
            is_organizer=False,
            categories=(TRACKED,),
        )
    ann.visit()
    bob.visit()
    ann.visit()
    record = Appointment.objects.get()
    assert (record.uid, record.subject) == (uid, "Plans")
    assert ann.links.get().state == bob.links.get().state == State.LINKED
    assert not ann.outlook.exchange.messages


# Deletions


@pytest.mark.parametrize("owns", [True, False])
def test_a_deleted_contact_leaves_the_mailboxes_of_others_only(ann, bob, owns):  # 3I
    SyncFilter.objects.filter(user=ann.user, entity="contact").update(
        criteria={"all": [{"field": "last_name", "operator": "eq", "value": "Karst"}]}
    )
    kim = contact(ann if owns else bob)
    ann.visit()
    kim.delete()
    ann.visit()
    assert len(ann.items(CONTACT)) == owns


def test_a_contact_deleted_in_outlook_stays_in_the_crm_and_does_not_come_back(ann):
    kim = contact(ann)
    ann.visit()
    ann.outlook.remove(ann.items(CONTACT)[0].item_id)
    ann.visit()
    kim.job_title = "Baker"
    kim.save()
    ann.visit()
    assert Contact.objects.exists()
    assert not ann.items(CONTACT)


def test_a_task_deleted_on_one_side_goes_on_the_other_unless_it_is_done(ann):  # 3J
    first, second, done = (task(ann, one) for one in ("first", "second", "done"))
    ann.visit()
    items = {item.values["subject"]: item for item in ann.items(TASK)}
    ann.outlook.edit(items["done"].item_id, status="completed")
    ann.visit()
    ann.outlook.remove(items["first"].item_id)
    second.delete()
    Task.objects.get(pk=done.pk).delete()
    ann.visit()
    assert not Task.objects.filter(pk=first.pk).exists()
    assert [item.values["subject"] for item in ann.items(TASK)] == ["done"]


def test_many_deletions_wait_for_an_answer(ann):
    records = [task(ann, f"task {number}") for number in range(20)]
    ann.visit()
    for item in ann.items(TASK)[:15]:
        ann.outlook.remove(item.item_id)
    ann.visit()
    assert Task.objects.count() == len(records)
    question = Alert.objects.get(code=alerts.MASS_DELETION)
    alerts.answer(question.pk, False, "ann")
    ann.visit()
    assert Task.objects.count() == len(records)
    assert ann.links.filter(state=State.UNLINKED).count() == 15


def test_many_deletions_are_made_once_somebody_agrees(ann):
    for number in range(20):
        task(ann, f"task {number}")
    ann.visit()
    Task.objects.filter(subject__lt="task 3").delete()
    Task.objects.all().delete()
    ann.visit()
    assert len(ann.items(TASK)) == 20
    alerts.answer(Alert.objects.get(code=alerts.MASS_DELETION).pk, True, "ann")
    ann.visit()
    assert not ann.items(TASK)


def test_what_was_deleted_while_the_cursor_was_lost_is_noticed(ann):
    call = task(ann)
    ann.visit()
    ann.outlook.remove(ann.items(TASK)[0].item_id)
    ann.outlook.epoch += 1
    assert ann.visit().fault.nature is Nature.RESYNC
    for _ in ItemKind:
        ann.visit()
    assert not Task.objects.filter(pk=call.pk).exists()


def test_an_item_that_was_made_and_deleted_between_two_listings_is_noticed(ann):
    call = task(ann)
    ann.visit()
    ann.outlook.remove(ann.items(TASK)[0].item_id)
    ann.visit()
    assert not Task.objects.filter(pk=call.pk).exists()


# Conflicts


def test_the_later_change_wins_and_the_other_is_kept(ann):
    kim = contact(ann)
    ann.visit()
    (item,) = ann.items(CONTACT)
    ann.outlook.exchange.now = datetime.now(UTC) - timedelta(hours=1)
    ann.outlook.edit(item.item_id, job_title="Butcher", mobile="06-1")
    kim.job_title = "Baker"
    kim.save()
    ann.visit()
    kim.refresh_from_db()
    assert (kim.job_title, kim.mobile_phone) == ("Baker", "06-1")
    assert ann.items(CONTACT)[0].values["job_title"] == "Baker"
    conflict = ItemConflict.objects.get()
    assert (conflict.name, conflict.crm, conflict.exchange) == ("job_title", "Baker", "Butcher")
    assert conflict.winner == "crm"


def test_the_organisation_may_say_who_wins(ann):
    FieldSetting.objects.create(mapping="contact.job_title", policy="exchange")
    kim = contact(ann)
    ann.visit()
    (item,) = ann.items(CONTACT)
    ann.outlook.exchange.now = datetime.now(UTC) - timedelta(hours=1)
    ann.outlook.edit(item.item_id, job_title="Butcher")
    kim.job_title = "Baker"
    kim.save()
    ann.visit()
    kim.refresh_from_db()
    assert kim.job_title == "Butcher"


def test_a_direction_that_the_organisation_chose_is_obeyed(ann):
    FieldSetting.objects.create(mapping="contact.job_title", direction="TO_EXCHANGE")
    kim = contact(ann, job_title="Baker")
    ann.visit()
    (item,) = ann.items(CONTACT)
    ann.outlook.edit(item.item_id, job_title="Butcher", mobile="06-1")
    ann.visit()
    kim.refresh_from_db()
    assert (kim.job_title, kim.mobile_phone) == ("Baker", "06-1")


def test_an_item_that_changes_under_our_hands_is_merged_anew(ann, monkeypatch):
    kim = contact(ann)
    ann.visit()
    (item,) = ann.items(CONTACT)
    kim.job_title = "Baker"
    kim.save()
    ann.outlook.edit(item.item_id, mobile="06-1")  # a push does not look before it writes
    ann.visit(only_push=True)
    kim.refresh_from_db()
    values = ann.items(CONTACT)[0].values
    assert (values["job_title"], values["mobile"]) == ("Baker", "06-1")
    assert kim.mobile_phone == "06-1"


def test_who_saves_while_a_visit_writes_the_same_value_loses_nothing(ann):
    kim = contact(ann)
    ann.visit()
    (item,) = ann.items(CONTACT)
    ann.outlook.exchange.now = datetime.now(UTC) - timedelta(hours=1)
    ann.outlook.edit(item.item_id, job_title="Butcher")

    def save() -> None:
        Contact.objects.filter(pk=kim.pk).update(job_title="Baker")

    ann.visit(meanwhile=save, at_request=2)  # its item is read; the record was
    ann.visit()
    kim.refresh_from_db()
    assert kim.job_title == ann.items(CONTACT)[0].values["job_title"] == "Baker"
    assert ItemConflict.objects.get().exchange == "Butcher"


def test_what_is_deleted_while_a_visit_looks_at_it_goes_by_the_rules(ann):
    call = task(ann)
    ann.visit()
    ann.outlook.edit(ann.items(TASK)[0].item_id, notes="at noon")
    ann.visit(meanwhile=call.delete, at_request=4)
    ann.visit()
    assert not ann.items(TASK)


# The first synchronization


def test_what_is_there_already_is_adopted(ann):
    kim = contact(ann, email_address="kim@customer.test")
    ann.outlook.add(
        CONTACT, full_name=name("Kim", "Karst"), email1="kim@customer.test", mobile="06-1"
    )
    ann.visit()
    (item,) = ann.items(CONTACT)
    kim.refresh_from_db()
    assert kim.mobile_phone == "06-1"
    assert item.record_key.endswith(str(kim.key))


def test_a_second_run_finds_its_items_by_our_key(ann):
    kim = contact(ann)
    ann.visit()
    schedule.begin_anew([ann.mailbox.pk])  # as if the links were lost
    ann.visit()
    assert len(ann.items(CONTACT)) == 1
    assert ann.links.get().key == kim.key


def test_much_is_not_begun_before_somebody_agrees(ann):
    Organisation.objects.update_or_create(pk=1, defaults={"asks_above_creations": 2})
    for number in range(3):
        contact(ann, f"Karst {number}")
    outcome = ann.visit()
    assert (outcome.written, ann.state_of(CONTACT)) == (0, First.ASKING)
    plan = ItemProgress.objects.get(mailbox=ann.mailbox, kind=CONTACT).plan
    assert (plan["creates_in_exchange"], plan["links"]) == (3, 0)
    question = Alert.objects.get(code=alerts.FIRST_SYNCHRONIZATION)
    ann.visit()
    assert not ann.items(CONTACT)

    alerts.answer(question.pk, True, "ann")
    ann.visit()
    assert len(ann.items(CONTACT)) == 3


def test_a_declined_beginning_leaves_both_sides_alone(ann):
    Organisation.objects.update_or_create(pk=1, defaults={"asks_above_creations": 0})
    contact(ann)
    ann.visit()
    alerts.answer(Alert.objects.get(code=alerts.FIRST_SYNCHRONIZATION).pk, False, "ann")
    ann.visit()
    assert (ann.items(CONTACT), ann.state_of(CONTACT)) == ([], First.DECLINED)


# What goes wrong


def test_one_bad_item_stops_no_other(ann):
    bad = ann.outlook.add(TASK, subject="bad", categories=(TRACKED,))
    ann.outlook.add(TASK, subject="good", categories=(TRACKED,))
    ann.outlook.bad[bad] = fault(Nature.TRANSIENT, Scope.EMAIL)
    outcome = ann.visit()
    assert (outcome.failed, outcome.fault) == (1, None)
    assert Task.objects.get().subject == "good"
    link = ann.links.get(item_id=bad)
    assert (link.fault_code, link.attempts) == ("test.fault", 1)

    del ann.outlook.bad[bad]
    ann.links.filter(due_at__isnull=False).update(due_at=Now())
    ann.visit()
    assert Task.objects.count() == 2


def test_an_item_that_fails_again_and_again_waits_for_a_change(ann):
    bad = ann.outlook.add(TASK, subject="bad", categories=(TRACKED,))
    ann.outlook.bad[bad] = fault(Nature.TRANSIENT, Scope.EMAIL)
    for _ in range(5):
        ann.links.filter(due_at__isnull=False).update(due_at=Now())
        ann.visit()
    assert ann.links.get().due_at is None
    del ann.outlook.bad[bad]
    ann.outlook.edit(bad, subject="better")
    ann.visit()
    assert Task.objects.get().subject == "better"


@pytest.mark.parametrize(
    ("why", "code"),
    [("recurring_task", "item.recurring_task"), ("assigned_task", "item.assigned_task")],
)
def test_tasks_that_are_not_kept_in_step_say_so(ann, why, code):  # F193
    ann.outlook.store(TASK, {"subject": "x"}, categories=(TRACKED,), unsupported=why)
    ann.visit()
    link = ann.links.get()
    assert (link.state, link.fault_code) == (State.REFUSED, code)
    assert not Task.objects.exists()


def test_an_appointment_without_organizer_stays_in_the_crm_with_its_reason(ann):  # F208
    record = appointment(ann, "kim@customer.test")
    record.parties.filter(participation=Party.ORGANIZER).delete()
    record.parties.create(participation=Party.REQUIRED, address=ann.user.email, user=ann.user)
    ann.visit()
    assert not ann.items(APPOINTMENT)
    assert ann.links.get().fault_code == "item.no_organizer"


def test_a_draft_comes_to_exchange_when_it_is_sent(ann):  # F209
    record = appointment(ann, is_draft=True)
    ann.visit()
    assert not ann.items(APPOINTMENT)
    record.is_draft = False
    record.save()
    ann.visit()
    assert ann.items(APPOINTMENT)


def test_an_appointment_that_overlaps_another_asks_before_it_is_tracked(ann):  # 3H
    appointment(ann, subject="Taken")
    ann.visit()
    ann.outlook.add(APPOINTMENT, subject="Late", time=time_of(SOON), categories=(TRACKED,))
    ann.visit()
    assert not Appointment.objects.filter(subject="Late").exists()
    alerts.answer(Alert.objects.get(code=alerts.SCHEDULING_CONFLICT).pk, True, "ann")
    ann.visit()
    assert Appointment.objects.filter(subject="Late").exists()


# The journal


def undo(one: Person, **which) -> None:
    entries = JournalEntry.objects.filter(mailbox=one.mailbox, **which)
    assert entries.update(undo_asked_at=Now())
    one.visit()


def test_records_that_a_visit_made_can_be_taken_back(ann):
    ann.outlook.add(TASK, subject="Call Kim", categories=(TRACKED,))
    ann.visit()
    undo(ann, action="created_record")
    ann.visit()
    assert not Task.objects.exists()
    assert ann.items(TASK)


def test_items_that_a_visit_made_can_be_taken_back_and_do_not_return(ann):
    kim = contact(ann)
    ann.visit()
    undo(ann, action="created_item")
    ann.visit()
    assert not ann.items(CONTACT)
    assert Contact.objects.filter(pk=kim.pk).exists()


def test_a_change_can_be_taken_back_on_both_sides(ann):
    kim = contact(ann, job_title="Baker")
    ann.visit()
    (item,) = ann.items(CONTACT)
    ann.outlook.edit(item.item_id, job_title="Butcher")
    ann.visit()
    undo(ann, action="changed_record")
    kim.refresh_from_db()
    assert kim.job_title == "Baker"
    assert ann.items(CONTACT)[0].values["job_title"] == "Baker"


def test_what_was_changed_since_is_not_taken_back(ann):
    kim = contact(ann, job_title="Baker")
    ann.visit()
    ann.outlook.edit(ann.items(CONTACT)[0].item_id, job_title="Butcher")
    ann.visit()
    kim.refresh_from_db()
    kim.job_title = "Brewer"
    kim.save()
    undo(ann, action="changed_record")
    kim.refresh_from_db()
    assert kim.job_title == "Brewer"
    assert JournalEntry.objects.get(action="changed_record").undo_text


def test_a_record_that_a_visit_deleted_comes_back_with_its_item(ann):
    task(ann)
    ann.visit()
    ann.outlook.remove(ann.items(TASK)[0].item_id)
    ann.visit()
    undo(ann, action="deleted_record")
    ann.visit()
    assert Task.objects.get().subject == "Call Kim"
    assert len(ann.items(TASK)) == 1
