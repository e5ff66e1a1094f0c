"""Series of appointments and their occurrences, with exchangelib as the client."""

import base64
from datetime import date, timedelta

import pytest
from exchangelib import (
    Account,
    Attendee,
    CalendarItem,
    EWSDate,
    EWSDateTime,
    EWSTimeZone,
    Mailbox,
)
from exchangelib.errors import (
    ErrorCalendarCannotMoveOrCopyOccurrence,
    ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange,
    ErrorCalendarOccurrenceIsDeletedFromRecurrence,
    ErrorInvalidPropertySet,
    ErrorIrresolvableConflict,
    ErrorOccurrenceCrossingBoundary,
)
from exchangelib.items import MeetingCancellation
from exchangelib.recurrence import (
    AbsoluteMonthlyPattern,
    AbsoluteYearlyPattern,
    DailyPattern,
    Pattern,
    Recurrence,
    RelativeMonthlyPattern,
    RelativeYearlyPattern,
    WeeklyPattern,
)

from syncservice.simulator.exchange import ExchangeSimulator

from .conftest import BOB, Ask, get_request

BERLIN = EWSTimeZone("Europe/Berlin")
LAST = 5


def at(month: int, day: int, hour: int, minute: int = 0) -> EWSDateTime:
    return EWSDateTime(2026, month, day, hour, minute, tzinfo=BERLIN)


def series(
    alice: Account, pattern: Pattern, first: date = date(2026, 3, 2), **more: object
) -> CalendarItem:
    """A series of hours from 9 o'clock; three of them unless told otherwise."""
    start = EWSDate(first.year, first.month, first.day)
    bounds = {"number": 3} if not {"number", "end", "no_end"} & set(more) else {}
    bounds |= {key: more.pop(key) for key in ("number", "end") if key in more}
    more.pop("no_end", None)
    begins = EWSDateTime(first.year, first.month, first.day, 9, tzinfo=BERLIN)
    return CalendarItem(
        account=alice,
        folder=alice.calendar,
        subject="Standup",
        start=begins,
        end=begins + timedelta(hours=1),
        recurrence=Recurrence(pattern=pattern, start=start, **bounds),
        **more,
    )


def weekly(alice: Account, **more: object) -> CalendarItem:
    item = series(alice, WeeklyPattern(interval=1, weekdays=[1]), **more)
    item.save()
    item.refresh()
    return item


def view(alice: Account, start: EWSDateTime, end: EWSDateTime) -> list[CalendarItem]:
    return list(alice.calendar.view(start=start, end=end))


@pytest.mark.parametrize(
    ("pattern", "first", "expected"),
    [
        (DailyPattern(interval=2), date(2026, 3, 1), ["03-01", "03-03", "03-05"]),
        (
            WeeklyPattern(interval=2, weekdays=[1, 5], first_day_of_week=1),
            date(2026, 3, 2),
            ["03-02", "03-06", "03-16"],
        ),
        (
            AbsoluteMonthlyPattern(interval=1, day_of_month=31),
            date(2026, 1, 31),
            ["01-31", "02-28", "03-31"],
        ),
        (
            AbsoluteMonthlyPattern(interval=3, day_of_month=15),
            date(2026, 1, 15),
            ["01-15", "04-15", "07-15"],
        ),
        (
            RelativeMonthlyPattern(interval=1, weekday=2, week_number=2),
            date(2026, 3, 1),
            ["03-10", "04-14", "05-12"],
        ),
        (
            RelativeMonthlyPattern(interval=1, weekday="Weekday", week_number=LAST),
            date(2026, 1, 1),
            ["01-30", "02-27", "03-31"],
        ),
        (
            RelativeMonthlyPattern(interval=1, weekday="WeekendDay", week_number=1),
            date(2026, 1, 1),
            ["01-03", "02-01", "03-01"],
        ),
        (
            AbsoluteYearlyPattern(day_of_month=29, month=2),
            date(2024, 2, 29),
            ["02-29", "02-28", "02-28"],
        ),
        (
            RelativeYearlyPattern(weekday=4, week_number=4, month=11),
            date(2026, 1, 1),
            ["11-26", "11-25", "11-23"],
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Pattern) else "",
)
def test_a_pattern_has_its_occurrences(
    alice: Account, pattern: Pattern, first: date, expected: list[str]
) -> None:
    item = series(alice, pattern, first)
    item.save()
    item.refresh()
    found = [item.occurrence(index) for index in (1, 2, 3)]
    for one in found:
        one.refresh()
    assert [one.start.astimezone(BERLIN).strftime("%m-%d") for one in found] == expected
    assert item.recurrence.pattern == pattern
    assert item.start == item.first_occurrence.start == found[0].start
    assert item.last_occurrence.start == found[2].start


def test_a_series_is_a_master_in_lists_and_occurrences_in_a_view(alice: Account) -> None:
    item = weekly(alice)
    assert (item.type, item.is_recurring) == ("RecurringMaster", True)
    assert [one.id for one in alice.calendar.all()] == [item.id]
    assert [(kind, one.id) for kind, one in alice.calendar.sync_items(only_fields=["subject"])] == [
        ("create", item.id)
    ]
    shown = view(alice, at(3, 1, 0), at(3, 12, 0))
    assert [(one.start, one.type, one.is_recurring) for one in shown] == [
        (at(3, 2, 9), "Occurrence", True),
        (at(3, 9, 9), "Occurrence", True),
    ]
    assert {one.uid for one in shown} == {item.uid}
    assert shown[1].recurring_master().id == shown[1].id
    master = shown[1].recurring_master()
    master.refresh()
    assert master.id == item.id


def test_a_series_keeps_its_time_of_day_when_the_clocks_change(alice: Account) -> None:
    item = weekly(alice, first=date(2026, 3, 23), number=2)
    shown = view(alice, at(3, 1, 0), at(4, 30, 0))
    assert [one.start.astimezone(BERLIN).hour for one in shown] == [9, 9]
    assert shown[1].start - shown[0].start == timedelta(days=7, hours=-1)
    assert item._start_timezone.ms_id == "W. Europe Standard Time"


def test_a_series_of_days_starts_at_midnight_all_year(alice: Account) -> None:
    CalendarItem(
        account=alice,
        folder=alice.calendar,
        subject="Rent",
        start=EWSDate(2026, 1, 1),
        end=EWSDate(2026, 1, 1),
        is_all_day=True,
        _start_timezone=BERLIN,
        _end_timezone=BERLIN,
        recurrence=Recurrence(
            pattern=AbsoluteMonthlyPattern(interval=1, day_of_month=1),
            start=EWSDate(2026, 1, 1),
            end=EWSDate(2026, 7, 1),
        ),
    ).save()
    shown = view(alice, at(1, 1, 0), at(12, 31, 0))
    assert [(one.start.month, one.start.day) for one in shown] == [(n, 1) for n in range(1, 8)]
    assert {one.end - one.start for one in shown} == {timedelta(0)}


def test_a_series_without_an_end_has_no_last_occurrence(alice: Account) -> None:
    item = weekly(alice, no_end=True)
    assert item.first_occurrence.start == at(3, 2, 9)
    assert item.last_occurrence is None
    assert len(view(alice, at(12, 1, 0), at(12, 31, 0))) == 4


def test_a_changed_occurrence_is_an_exception_of_its_master(alice: Account) -> None:
    item = weekly(alice)
    list(alice.calendar.sync_items(only_fields=["subject"]))
    key = item.changekey
    second = item.occurrence(2)
    second.refresh()
    second.start, second.end = at(3, 10, 11), at(3, 10, 13)
    second.subject = "Standup, late"
    second.save(update_fields=["start", "end", "subject"])
    item.refresh()
    assert item.changekey != key
    [listed] = item.modified_occurrences
    assert (listed.start, listed.end, listed.original_start) == (
        at(3, 10, 11),
        at(3, 10, 13),
        at(3, 9, 9),
    )
    assert item.deleted_occurrences is None
    changed = next(iter(alice.fetch([(listed.id, listed.changekey)])))
    assert (changed.type, changed.subject) == ("Exception", "Standup, late")
    assert (changed.original_start, changed.uid) == (at(3, 9, 9), item.uid)
    assert [(one.subject, one.start) for one in view(alice, at(3, 1, 0), at(3, 31, 0))] == [
        ("Standup", at(3, 2, 9)),
        ("Standup, late", at(3, 10, 11)),
        ("Standup", at(3, 16, 9)),
    ]
    found = list(alice.calendar.sync_items(only_fields=["subject"]))
    assert [(kind, one.id) for kind, one in found] == [("update", item.id)]


def test_an_exception_shows_in_the_view_of_its_new_day(alice: Account) -> None:
    item = weekly(alice)
    for day in (30, 12):
        last = item.occurrence(3)
        last.refresh()
        last.start, last.end = at(3, day, 14), at(3, day, 15)
        last.save(update_fields=["start", "end"])
        shown = view(alice, at(3, day, 0), at(3, day + 1, 0))
        assert [one.start for one in shown] == [at(3, day, 14)]
        assert view(alice, at(3, 16, 0), at(3, 17, 0)) == []


@pytest.mark.parametrize(
    "start", [at(3, 2, 8, 30), at(3, 2, 9, 30), at(2, 28, 9), at(3, 16, 8, 30)]
)
def test_an_occurrence_stays_between_those_beside_it(alice: Account, start: EWSDateTime) -> None:
    second = weekly(alice).occurrence(2)
    second.refresh()
    second.start, second.end = start, start + timedelta(hours=1)
    with pytest.raises(ErrorOccurrenceCrossingBoundary):
        second.save(update_fields=["start", "end"])


def test_a_deleted_occurrence_is_missed_and_keeps_its_index(alice: Account) -> None:
    item = weekly(alice)
    item.occurrence(1).delete()
    item.refresh()
    assert [one.start for one in item.deleted_occurrences] == [at(3, 2, 9)]
    assert item.first_occurrence.start == at(3, 9, 9)
    assert [one.start for one in view(alice, at(3, 1, 0), at(3, 31, 0))] == [
        at(3, 9, 9),
        at(3, 16, 9),
    ]
    with pytest.raises(ErrorCalendarOccurrenceIsDeletedFromRecurrence):
        item.occurrence(1).refresh()
    second = item.occurrence(2)
    second.refresh()
    assert second.start == at(3, 9, 9)
    for index in (4, 100_000):
        with pytest.raises(ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange):
            item.occurrence(index).refresh()


def test_a_deleted_exception_is_no_exception_any_more(alice: Account) -> None:
    item = weekly(alice)
    second = item.occurrence(2)
    second.refresh()
    second.subject = "Another"
    second.save(update_fields=["subject"])
    second.delete()
    item.refresh()
    assert (item.modified_occurrences, len(item.deleted_occurrences)) == (None, 1)


def test_a_new_recurrence_drops_what_was_changed(alice: Account) -> None:
    item = weekly(alice)
    second = item.occurrence(2)
    second.refresh()
    second.subject = "Another"
    second.save(update_fields=["subject"])
    item.occurrence(1).delete()
    item.refresh()
    item.subject = "Daily"
    item.save(update_fields=["subject"])
    item.refresh()
    assert (len(item.modified_occurrences), len(item.deleted_occurrences)) == (1, 1)
    item.recurrence = Recurrence(
        pattern=DailyPattern(interval=1), start=EWSDate(2026, 3, 2), number=2
    )
    item.save(update_fields=["recurrence"])
    item.refresh()
    assert (item.modified_occurrences, item.deleted_occurrences) == (None, None)
    assert [one.start for one in view(alice, at(3, 1, 0), at(3, 31, 0))] == [
        at(3, 2, 9),
        at(3, 3, 9),
    ]
    item.recurrence = None
    item.save(update_fields=["recurrence"])
    item.refresh()
    assert (item.type, item.is_recurring) == ("Single", False)


def test_a_master_that_is_moved_takes_its_series_with_it(alice: Account) -> None:
    item = weekly(alice)
    item.start, item.end = at(3, 9, 14), at(3, 9, 16)
    item.save(update_fields=["start", "end"])
    assert [(one.start, one.end) for one in view(alice, at(3, 1, 0), at(3, 31, 0))] == [
        (at(3, day, 14), at(3, day, 16)) for day in (9, 16, 23)
    ]


def test_an_occurrence_conflicts_with_every_change_of_its_series(alice: Account) -> None:
    item = weekly(alice)
    second = item.occurrence(2)
    second.refresh()
    item.subject = "Another"
    item.save(update_fields=["subject"])
    second.location = "Room 1"
    with pytest.raises(ErrorIrresolvableConflict):
        second.save(update_fields=["location"], conflict_resolution="NeverOverwrite")
    second.refresh()
    assert second.subject == "Another"
    with pytest.raises(ErrorCalendarCannotMoveOrCopyOccurrence):
        second.move(alice.trash)


def test_a_series_cannot_recur_within_an_occurrence(alice: Account, ask: Ask) -> None:
    item = weekly(alice)
    xml = (
        "<t:Recurrence><t:DailyRecurrence><t:Interval>1</t:Interval></t:DailyRecurrence>"
        "<t:NoEndRecurrence><t:StartDate>2026-03-02</t:StartDate></t:NoEndRecurrence>"
        "</t:Recurrence>"
    )
    update = (
        '<m:UpdateItem ConflictResolution="AlwaysOverwrite" '
        'SendMeetingInvitationsOrCancellations="SendToNone"><m:ItemChanges><t:ItemChange>'
        f'<t:OccurrenceItemId RecurringMasterId="{item.id}" ChangeKey="{item.changekey}" '
        'InstanceIndex="1"/><t:Updates><t:SetItemField>'
        '<t:FieldURI FieldURI="calendar:Recurrence"/>'
        f"<t:CalendarItem>{xml}</t:CalendarItem></t:SetItemField></t:Updates></t:ItemChange>"
        "</m:ItemChanges></m:UpdateItem>"
    )
    assert ask(update).codes == [ErrorInvalidPropertySet.__name__]
    wrong = get_request("X").replace(
        '<t:ItemId Id="X"/>', f'<t:RecurringMasterItemId OccurrenceId="{item.id}"/>'
    )
    assert ask(wrong).codes == ["ErrorCalendarCannotUseIdForRecurringMasterId"]
    single = CalendarItem(
        account=alice, folder=alice.calendar, start=at(3, 2, 9), end=at(3, 2, 10), subject="x"
    )
    single.save()
    wrong = get_request("X").replace(
        '<t:ItemId Id="X"/>',
        f'<t:OccurrenceItemId RecurringMasterId="{single.id}" InstanceIndex="1"/>',
    )
    assert ask(wrong).codes == ["ErrorCalendarCannotUseIdForOccurrenceId"]


@pytest.mark.parametrize(
    ("pattern", "bounds", "code"),
    [
        (
            "<t:DailyRecurrence><t:Interval>0</t:Interval></t:DailyRecurrence>",
            "<t:NoEndRecurrence><t:StartDate>2026-03-02</t:StartDate></t:NoEndRecurrence>",
            "ErrorCalendarInvalidRecurrence",
        ),
        (
            "<t:DailyRecurrence><t:Interval>1</t:Interval></t:DailyRecurrence>",
            "<t:EndDateRecurrence><t:StartDate>2026-03-02</t:StartDate>"
            "<t:EndDate>2026-03-01</t:EndDate></t:EndDateRecurrence>",
            "ErrorCalendarInvalidRecurrence",
        ),
        (
            "<t:WeeklyRecurrence><t:Interval>1</t:Interval><t:DaysOfWeek>Friday</t:DaysOfWeek>"
            "</t:WeeklyRecurrence>",
            "<t:EndDateRecurrence><t:StartDate>2026-03-02</t:StartDate>"
            "<t:EndDate>2026-03-03</t:EndDate></t:EndDateRecurrence>",
            "ErrorRecurrenceHasNoOccurrence",
        ),
    ],
)
def test_a_wrong_recurrence_is_refused(ask: Ask, pattern: str, bounds: str, code: str) -> None:
    answer = ask(
        '<m:CreateItem SendMeetingInvitations="SendToNone"><m:Items><t:CalendarItem>'
        "<t:Start>2026-03-02T09:00:00Z</t:Start><t:End>2026-03-02T10:00:00Z</t:End>"
        f"<t:Recurrence>{pattern}{bounds}</t:Recurrence></t:CalendarItem></m:Items></m:CreateItem>"
    )
    assert answer.codes == [code]


# Series that are meetings


@pytest.fixture
def invited(alice: Account) -> CalendarItem:
    """A series to which Bob is invited."""
    item = series(
        alice,
        WeeklyPattern(interval=1, weekdays=[1]),
        required_attendees=[Attendee(mailbox=Mailbox(email_address=BOB))],
    )
    item.save(send_meeting_invitations="SendToAllAndSaveCopy")
    item.refresh()
    return item


def test_an_invited_attendee_has_the_series_too(bob: Account, invited: CalendarItem) -> None:
    copy = bob.calendar.get()
    copy.refresh()
    assert (copy.type, copy.uid) == ("RecurringMaster", invited.uid)
    assert copy.recurrence == invited.recurrence
    assert len(view(bob, at(3, 1, 0), at(3, 31, 0))) == 3
    request = bob.inbox.get()
    request.refresh()
    assert (request.recurrence, request.type) == (invited.recurrence, "RecurringMaster")
    request.accept()
    assert {one.my_response_type for one in view(bob, at(3, 1, 0), at(3, 31, 0))} == {"Accept"}


def test_a_changed_occurrence_reaches_the_attendees(
    bob: Account, invited: CalendarItem, simulator: ExchangeSimulator
) -> None:
    bob.inbox.get().accept()
    simulator.control.forget_meeting_messages()
    master = bob.calendar.get()
    second = invited.occurrence(2)
    second.refresh()
    second.start, second.end = at(3, 10, 11), at(3, 10, 12)
    second.save(update_fields=["start", "end"], send_meeting_invitations="SendToAllAndSaveCopy")
    assert [one.kind for one in simulator.control.meeting_messages()] == ["update"]
    shown = view(bob, at(3, 1, 0), at(3, 31, 0))
    assert [(one.start, one.type, one.my_response_type) for one in shown] == [
        (at(3, 2, 9), "Occurrence", "Accept"),
        (at(3, 10, 11), "Exception", "NoResponseReceived"),
        (at(3, 16, 9), "Occurrence", "Accept"),
    ]
    after = bob.calendar.get()
    assert (after.id, after.changekey != master.changekey) == (master.id, True)
    request = bob.inbox.get()
    request.refresh()
    assert (request.recurrence, request.start) == (None, at(3, 10, 11))
    request.accept()
    changed = view(bob, at(3, 10, 0), at(3, 11, 0))[0]
    assert changed.my_response_type == "Accept"
    second.refresh()
    assert [one.response_type for one in second.required_attendees] == ["Accept"]


def test_an_occurrence_that_is_deleted_is_cancelled_for_the_attendees(
    bob: Account, invited: CalendarItem
) -> None:
    invited.occurrence(2).delete(send_meeting_cancellations="SendToAllAndSaveCopy")
    shown = view(bob, at(3, 1, 0), at(3, 31, 0))
    assert [(one.subject, one.is_cancelled) for one in shown] == [
        ("Standup", False),
        ("Canceled: Standup", True),
        ("Standup", False),
    ]
    told = next(one for one in bob.inbox.all() if isinstance(one, MeetingCancellation))
    assert told.subject == "Canceled: Standup"


def test_an_attendee_declines_one_occurrence(
    alice: Account, bob: Account, invited: CalendarItem
) -> None:
    bob.inbox.get().accept()
    second = bob.calendar.get().occurrence(2)
    second.refresh()
    second.decline()
    assert [one.start for one in view(bob, at(3, 1, 0), at(3, 31, 0))] == [
        at(3, 2, 9),
        at(3, 16, 9),
    ]
    shown = view(alice, at(3, 1, 0), at(3, 31, 0))
    assert [one.required_attendees[0].response_type for one in shown] == [
        "Accept",
        "Decline",
        "Accept",
    ]


def test_a_new_pattern_reaches_the_attendees_without_old_exceptions(
    bob: Account, invited: CalendarItem
) -> None:
    second = invited.occurrence(2)
    second.refresh()
    second.location = "Room 2"
    second.save(update_fields=["location"], send_meeting_invitations="SendOnlyToAll")
    invited.refresh()
    assert [one.location for one in view(bob, at(3, 9, 0), at(3, 10, 0))] == ["Room 2"]
    invited.recurrence = Recurrence(
        pattern=DailyPattern(interval=1), start=EWSDate(2026, 3, 9), number=2
    )
    invited.save(update_fields=["recurrence"], send_meeting_invitations="SendOnlyToAll")
    assert [(one.start, one.location) for one in view(bob, at(3, 1, 0), at(3, 31, 0))] == [
        (at(3, 9, 9), None),
        (at(3, 10, 9), None),
    ]


def test_a_series_is_written_as_icalendar(alice: Account, ask: Ask) -> None:
    item = weekly(alice, end=EWSDate(2026, 3, 16))
    item.occurrence(1).delete()
    second = item.occurrence(2)
    second.refresh()
    second.subject = "Late"
    second.save(update_fields=["subject"])
    [mime] = ask(get_request(item.id, mime=True)).texts(".//t:MimeContent")
    lines = base64.b64decode(mime).decode().split("\r\n")
    assert "RRULE:FREQ=WEEKLY;UNTIL=20260316T225959Z;BYDAY=MO" in lines
    assert "EXDATE;TZID=W. Europe Standard Time:20260302T090000" in lines
    assert "RECURRENCE-ID;TZID=W. Europe Standard Time:20260309T090000" in lines
    assert lines.count("BEGIN:VEVENT") == 2
