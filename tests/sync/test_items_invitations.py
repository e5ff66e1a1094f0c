"""Who is told of a meeting by mail, and who is not (3G)."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from syncservice.crm.models import (
    Appointment,
    AppointmentParty,
    SyncFilter,
)
from syncservice.domain.item_values import ItemKind
from syncservice.domain.recurrence import Pattern, Recurrence
from syncservice.mailboxes.models import (
    ItemLink,
    ItemProgress,
    Organisation,
)
from syncservice.simulator.exchange import ExchangeSimulator
from tests.memory_activities import MemoryActivities, What, When
from tests.memory_gateway import Killed
from tests.sync.exchange_people import world_of
from tests.sync.synced_items import SOON, appointment, mail, time_of
from tests.sync.test_items_series import Calendars, series
from tests.sync.test_items_series import time_of as time_of_series

#: Each change is committed: in one transaction, a visit would be told of all of them again.
pytestmark = pytest.mark.django_db(transaction=True)
State, First = ItemLink.State, ItemProgress.First
CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK
Party = AppointmentParty.Participation


def meanwhile(monkeypatch, name: str, happens: Callable[[], None]) -> None:
    """Let something happen once while a request is under way."""
    asked, done = getattr(MemoryActivities, name), []

    def asking(self, *arguments):
        if not done:
            done.append(True)
            happens()
        return asked(self, *arguments)

    monkeypatch.setattr(MemoryActivities, name, asking)


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
