"""Whose meeting it is: organizers, attendees, and plain copies."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from syncservice.crm.models import (
    Appointment,
    AppointmentParty,
)
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes import directions, schedule
from syncservice.mailboxes.models import (
    Direction,
    ItemConflict,
    ItemLink,
    ItemProgress,
    Mailbox,
    Organisation,
)
from tests.memory_activities import What
from tests.sync.synced_items import SOON, TRACKED, appointment, mail, person, time_of, who

#: Each change is committed: in one transaction, a visit would be told of all of them again.
pytestmark = pytest.mark.django_db(transaction=True)
State, First = ItemLink.State, ItemProgress.First
CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK
Party = AppointmentParty.Participation


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


def test_who_waits_for_an_invitation_gets_a_copy_when_the_organizer_leaves(ann, bob):
    appointment(ann, bob)
    bob.visit()
    assert bob.links.get().state == State.WAITING
    directions.disable([ann.mailbox.pk], [Direction.Kind.ACT], "tests")
    schedule.plan([ann.mailbox.pk])
    bob.visit()
    assert len(bob.items(APPOINTMENT)) == 1


def test_a_change_of_a_meeting_with_a_new_organizer_is_told_not_to_travel(ann, bob):
    record = appointment(ann, bob)
    for one in (ann, bob, ann):
        one.visit()
    record.parties.filter(user=ann.user).update(participation=Party.REQUIRED)
    record.parties.filter(user=bob.user).update(participation=Party.ORGANIZER)
    record.subject = "Other plans"
    record.save()
    for one in (ann, bob, ann, bob):
        one.visit()
    assert ann.links.get(key=record.pk).fault_code == "item.handed_over"
    assert ann.links.get(key=record.pk).state == State.LINKED


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
