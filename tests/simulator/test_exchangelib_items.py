"""exchangelib's ordinary work on folders, calendar items, contacts, tasks, and its syncs."""

from collections.abc import Callable
from datetime import time, timedelta
from decimal import Decimal

import pytest
from exchangelib import (
    Account,
    CalendarItem,
    Contact,
    EWSDate,
    EWSDateTime,
    EWSTimeZone,
    Folder,
    Message,
    Task,
)
from exchangelib.errors import (
    ErrorCalendarEndDateIsEarlierThanStartDate,
    ErrorCannotEmptyFolder,
    ErrorDeleteDistinguishedFolder,
    ErrorFolderExists,
    ErrorInvalidSyncStateData,
)
from exchangelib.folders import Messages
from exchangelib.indexed_properties import EmailAddress, PhoneNumber, PhysicalAddress

from syncservice.simulator.exchange import ExchangeSimulator

from .conftest import ALICE

Deliver = Callable[..., str]
BERLIN = EWSTimeZone("Europe/Berlin")


def at(day: int, hour: int) -> EWSDateTime:
    return EWSDateTime(2026, 3, day, hour, tzinfo=BERLIN)


def appointment(alice: Account, subject: str, start: EWSDateTime, hours: int = 1) -> CalendarItem:
    end = start + timedelta(hours=hours)
    return CalendarItem(account=alice, folder=alice.calendar, subject=subject, start=start, end=end)


def test_every_well_known_folder_opens(alice: Account) -> None:
    names = "inbox drafts sent trash junk outbox calendar contacts tasks".split()  # noqa: SIM905
    assert [getattr(alice, name).folder_class for name in names] == [
        *["IPF.Note"] * 6,
        "IPF.Appointment",
        "IPF.Contact",
        "IPF.Task",
    ]
    assert alice.msg_folder_root.name == "Top of Information Store"
    assert "Inbox" in alice.root.tree()


def test_folders_are_created_renamed_moved_and_deleted(alice: Account) -> None:
    parent = Folder(parent=alice.inbox, name="Customers")
    parent.save()
    child = Folder(parent=parent, name="Acme")
    child.save()
    with pytest.raises(ErrorFolderExists):
        Folder(parent=parent, name="acme").save()
    child.name = "Acme Ltd"
    child.save(update_fields=["name"])
    identity = child.id
    child.move(alice.inbox)
    assert child.id == identity
    assert {one.name for one in alice.inbox.children} == {"Customers", "Acme Ltd"}
    parent.delete()
    alice.root.clear_cache()
    assert {one.name for one in alice.inbox.children} == {"Acme Ltd"}
    with pytest.raises(ErrorDeleteDistinguishedFolder):
        alice.inbox.delete()


def test_a_folder_is_emptied(alice: Account, deliver: Deliver) -> None:
    folder = Messages(parent=alice.inbox, name="New")
    folder.save()
    Messages(parent=folder, name="Below").save()
    Message(account=alice, folder=folder, subject="x").save()
    folder.empty()
    folder.refresh()
    assert (folder.total_count, folder.child_folder_count) == (0, 1)
    folder.empty(delete_sub_folders=True)
    folder.refresh()
    assert folder.child_folder_count == 0
    with pytest.raises(ErrorCannotEmptyFolder):
        alice.calendar.empty()


def test_the_hierarchy_tells_what_changed_since(alice: Account) -> None:
    first = {folder.name for kind, folder in alice.root.sync_hierarchy() if kind == "create"}
    assert {"Inbox", "Calendar", "Top of Information Store"} <= first
    assert list(alice.root.sync_hierarchy()) == []
    folder = Folder(parent=alice.inbox, name="New")
    folder.save()
    folder.name = "Renamed"
    folder.save(update_fields=["name"])
    assert [(kind, one.name) for kind, one in alice.root.sync_hierarchy()] == [
        ("create", "Renamed")
    ]
    folder.delete()
    assert [kind for kind, _ in alice.root.sync_hierarchy()] == ["delete"]


def test_sync_items_follows_a_folder(
    alice: Account, deliver: Deliver, simulator: ExchangeSimulator
) -> None:
    ids = [deliver(str(n)) for n in range(7)]
    first = list(alice.inbox.sync_items(only_fields=["subject"], max_changes_returned=3))
    assert [item.subject for _, item in first] == ["6", "5", "4", "3", "2", "1", "0"]
    simulator.control.mark_read(ids[0])
    simulator.control.delete(ids[1])
    deliver("7")
    message = alice.inbox.get(subject="2")
    message.subject = "two"
    message.save(update_fields=["subject"])
    found = list(alice.inbox.sync_items(only_fields=["subject"], max_changes_returned=2))
    kinds = [kind for kind, _ in found]
    assert kinds == ["read_flag_change", "delete", "create", "update"]
    assert found[0][1][1] is True
    assert found[1][1].id == ids[1]
    assert list(alice.inbox.sync_items(only_fields=["subject"])) == []


def test_expired_sync_states_are_refused(
    alice: Account, deliver: Deliver, simulator: ExchangeSimulator
) -> None:
    deliver("x")
    assert len(list(alice.inbox.sync_items(only_fields=["subject"]))) == 1
    simulator.control.expire_sync_states()
    with pytest.raises(ErrorInvalidSyncStateData):
        list(alice.inbox.sync_items(only_fields=["subject"]))
    alice.inbox.item_sync_state = None
    assert len(list(alice.inbox.sync_items(only_fields=["subject"]))) == 1


def test_an_appointment_keeps_its_times_and_zone(alice: Account) -> None:
    item = appointment(alice, "Review", at(10, 14), hours=2)
    item.location = "Room 1"
    item.save()
    item.end = at(10, 15)
    item.save(update_fields=["end"])
    found = alice.calendar.get(subject="Review")
    assert (found.start, found.end) == (at(10, 14), at(10, 15))
    assert found._start_timezone.ms_id == "W. Europe Standard Time"
    assert found.location == "Room 1"
    assert found.organizer.email_address == ALICE
    assert found.type == "Single"
    found.delete()
    assert alice.calendar.all().count() == 0


def test_an_appointment_cannot_end_before_it_starts(alice: Account) -> None:
    item = appointment(alice, "Backwards", at(10, 14))
    item.save()
    item.end = at(10, 13)
    with pytest.raises(ErrorCalendarEndDateIsEarlierThanStartDate):
        item.save(update_fields=["end"])


def test_an_all_day_event_covers_whole_local_days(alice: Account) -> None:
    CalendarItem(
        account=alice,
        folder=alice.calendar,
        subject="Holiday",
        start=EWSDate(2026, 3, 10),
        end=EWSDate(2026, 3, 11),
        is_all_day=True,
        _start_timezone=BERLIN,
        _end_timezone=BERLIN,
    ).save()
    found = alice.calendar.get(subject="Holiday")
    assert found.is_all_day
    assert (found.start, found.end) == (EWSDate(2026, 3, 10), EWSDate(2026, 3, 11))


def test_a_calendar_view_shows_what_overlaps_it(alice: Account) -> None:
    for subject, start in (("before", at(9, 8)), ("into", at(9, 23)), ("in", at(10, 9))):
        appointment(alice, subject, start, hours=2).save()
    view = alice.calendar.view(start=at(10, 0), end=at(11, 0))
    assert [item.subject for item in view] == ["into", "in"]
    first = alice.calendar.view(start=at(10, 0), end=at(11, 0), max_items=1)
    assert [item.subject for item in first] == ["into"]


def test_a_time_zone_has_rules(alice: Account) -> None:
    zones = alice.protocol.get_timezones(return_full_timezone_data=True)
    [berlin] = [zone for zone in zones if zone.id == "W. Europe Standard Time"]
    standard, daylight, period = berlin.get_std_and_dst(for_year=2026)
    assert period.bias_in_minutes == -60
    assert (standard.bias, standard.iso_month, standard.occurrence) == (0, 10, 5)
    assert (daylight.bias, daylight.iso_month, daylight.occurrence) == (-60, 3, 5)
    assert (standard.weekday, standard.time) == (7, time(3))
    assert (daylight.weekday, daylight.time) == (7, time(2))


def test_a_contact_keeps_its_entries(alice: Account) -> None:
    contact = Contact(
        account=alice,
        folder=alice.contacts,
        given_name="Zoë",
        surname="Quinn",
        display_name="Zoë Quinn",
        email_addresses=[
            EmailAddress(label="EmailAddress1", email="zoe@elsewhere.test"),
            EmailAddress(label="EmailAddress2", email="z@elsewhere.test"),
        ],
        phone_numbers=[PhoneNumber(label="MobilePhone", phone_number="+49 1")],
        physical_addresses=[PhysicalAddress(label="Business", city="Bonn", zipcode="53111")],
        company_name="Acme",
    )
    contact.save()
    contact.refresh()
    assert contact.display_name == "Zoë Quinn"
    contact.email_addresses = [EmailAddress(label="EmailAddress1", email="new@elsewhere.test")]
    contact.physical_addresses = [PhysicalAddress(label="Business", city="Köln")]
    contact.company_name = None
    contact.save(update_fields=["email_addresses", "physical_addresses", "company_name"])
    found = alice.contacts.get(given_name="Zoë")
    assert [(one.label, one.email) for one in found.email_addresses] == [
        ("EmailAddress1", "new@elsewhere.test")
    ]
    assert [(one.city, one.zipcode) for one in found.physical_addresses] == [("Köln", None)]
    assert [one.phone_number for one in found.phone_numbers] == ["+49 1"]
    assert found.company_name is None
    assert found.complete_name.last_name == "Quinn"


def test_a_task_follows_its_status(alice: Account) -> None:
    task = Task(account=alice, folder=alice.tasks, subject="Call", due_date=EWSDate(2026, 4, 1))
    task.save()
    task.percent_complete = Decimal(50)
    task.save(update_fields=["percent_complete"])
    task.refresh()
    assert (task.status, task.is_complete) == ("InProgress", False)
    task.status = "Completed"
    task.save(update_fields=["status"])
    task.refresh()
    assert (task.percent_complete, task.is_complete) == (100, True)
    assert task.complete_date is not None
    task.status = "NotStarted"
    task.save(update_fields=["status"])
    task.refresh()
    assert (task.percent_complete, task.is_complete, task.complete_date) == (0, False, None)
    task.delete()
    assert alice.tasks.all().count() == 0


def test_items_of_all_classes_sync(alice: Account) -> None:
    appointment(alice, "a", at(1, 9)).save()
    Contact(account=alice, folder=alice.contacts, display_name="c").save()
    Task(account=alice, folder=alice.tasks, subject="t").save()
    for folder in (alice.calendar, alice.contacts, alice.tasks):
        [(kind, item)] = folder.sync_items()
        assert kind == "create"
        assert item.id


def test_many_items_are_created_and_deleted_at_once(alice: Account) -> None:
    drafts = [Message(subject=str(n)) for n in range(5)]
    created = alice.bulk_create(alice.drafts, drafts)
    assert len({one.id for one in created}) == 5
    assert alice.bulk_delete(created) == [True] * 5
    assert alice.drafts.all().count() == 0


def test_times_of_delivery_can_be_told(alice: Account, simulator: ExchangeSimulator) -> None:
    simulator.control.deliver(ALICE, b"Subject: old\r\n\r\n", received="2020-02-03T04:05:06Z")
    received = alice.inbox.get().datetime_received
    assert received.isoformat() == "2020-02-03T04:05:06+00:00"
