"""The rules of meetings as tables (REFERENCE 3G, 3H, F206-F209, F241, F255)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from syncservice.domain.field_map import Direction, FieldSettings, RecordType, directions
from syncservice.domain.meeting import (
    Action,
    CrmDeletion,
    ExchangeDeletion,
    Invitations,
    Meeting,
    Role,
    Withheld,
    crm_cancellation,
    crm_deletion,
    directions_in,
    exchange_cancellation,
    exchange_deletion,
    invitations,
    policy_in,
    reminder,
    role,
    withheld,
)
from syncservice.domain.merge import Policy
from syncservice.servers import gateway

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAST, FUTURE = NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)
CREATE, UPDATE, DELETE, CANCEL = Action.CREATE, Action.UPDATE, Action.DELETE, Action.CANCEL
NOBODY, ALL, CHANGED = Invitations.NOBODY, Invitations.ALL, Invitations.CHANGED
MEETING = Meeting(role=Role.ORGANIZER, has_attendees=True, last_start=FUTURE)


def meeting(words: str) -> Meeting:
    """Read a row's words: what differs from an organizer's future meeting with attendees."""
    fields: dict[str, dict[str, object]] = {
        "past": {"last_start": PAST},
        "endless": {"last_start": None, "is_series": True},
        "series": {"is_series": True},
        "alone": {"has_attendees": False},
        "attendee": {"role": Role.ATTENDEE},
        "copy": {"role": Role.OWN_COPY},
        "service": {"role": Role.OWN_COPY, "is_service_activity": True},
        "closed": {"is_open": False},
    }
    found = MEETING
    for word in words.split():
        found = replace(found, **fields[word])
    return found


@pytest.mark.parametrize(
    ("action", "words", "changed", "told"),
    [
        (CREATE, "", "", ALL),
        (CREATE, "past", "", NOBODY),
        (CREATE, "alone", "", NOBODY),
        (CREATE, "attendee", "", NOBODY),
        (CREATE, "copy", "", NOBODY),
        (CREATE, "service", "", NOBODY),
        (CREATE, "series", "", ALL),
        (CREATE, "series past", "", NOBODY),
        (CREATE, "endless", "", ALL),
        (UPDATE, "", "subject", ALL),
        (UPDATE, "", "body", ALL),
        (UPDATE, "", "location", ALL),
        (UPDATE, "", "time", ALL),
        (UPDATE, "", "organizer", ALL),
        (UPDATE, "", "show_as", ALL),
        (UPDATE, "", "importance", ALL),
        (UPDATE, "series", "recurrence", ALL),
        (UPDATE, "series", "occurrence:2026-03-08", ALL),
        (UPDATE, "", "required", CHANGED),
        (UPDATE, "", "optional", CHANGED),
        (UPDATE, "", "required optional", CHANGED),
        (UPDATE, "", "required reminder", CHANGED),
        (UPDATE, "", "required subject", ALL),
        (UPDATE, "", "reminder", NOBODY),
        (UPDATE, "", "regarding", NOBODY),
        (UPDATE, "", "attachments", NOBODY),
        (UPDATE, "", "", NOBODY),
        (UPDATE, "past", "subject", NOBODY),
        (UPDATE, "alone", "subject", NOBODY),
        (UPDATE, "attendee", "subject", NOBODY),
        (UPDATE, "copy", "subject", NOBODY),
        (UPDATE, "service", "subject required", NOBODY),
        (UPDATE, "series past", "time", NOBODY),
        (UPDATE, "endless", "time", ALL),
        (DELETE, "", "", ALL),
        (DELETE, "past", "", NOBODY),
        (DELETE, "alone", "", NOBODY),
        (DELETE, "attendee", "", NOBODY),
        (DELETE, "copy", "", NOBODY),
        (CANCEL, "", "", NOBODY),
        (CANCEL, "endless", "", NOBODY),
    ],
)
def test_who_is_told(action: Action, words: str, changed: str, told: Invitations) -> None:
    assert invitations(action, meeting(words), NOW, changed=changed.split()) is told


@pytest.mark.parametrize(
    ("words", "told"),
    [("", ALL), ("past", NOBODY), ("alone", NOBODY), ("attendee", NOBODY), ("copy", NOBODY)],
)
def test_an_organisation_may_have_cancellations_sent(words: str, told: Invitations) -> None:
    found = invitations(CANCEL, meeting(words), NOW, propagates_cancellations=True)
    assert found is told


def test_a_meeting_that_begins_now_is_not_past() -> None:
    assert not replace(MEETING, last_start=NOW).is_past(NOW)


def test_the_server_is_told_in_the_same_words() -> None:
    assert gateway.Invitations is Invitations


@pytest.mark.parametrize(
    ("organizer", "in_step", "item_is_organizer", "expected"),
    [
        ("ann@crm.test", True, None, Role.ORGANIZER),
        ("Ann@CRM.test", True, None, Role.ORGANIZER),
        ("ann.alias@crm.test", False, None, Role.ORGANIZER),
        ("ann@crm.test", True, True, Role.ORGANIZER),
        ("bob@crm.test", True, None, Role.ATTENDEE),
        ("bob@crm.test", True, False, Role.ATTENDEE),
        ("bob@crm.test", False, None, Role.OWN_COPY),
        ("bob@crm.test", False, True, Role.OWN_COPY),
        ("eve@customer.test", False, False, Role.ATTENDEE),
        ("eve@customer.test", False, None, Role.OWN_COPY),
        ("", False, None, Role.OWN_COPY),
    ],
)
def test_what_a_mailbox_is_to_a_meeting(
    organizer: str, in_step: bool, item_is_organizer: bool | None, expected: Role
) -> None:
    found = role(
        organizer=organizer,
        owner=["ann@crm.test", "Ann.Alias@crm.test"],
        organizer_is_in_step=in_step,
        item_is_organizer=item_is_organizer,
    )
    assert found is expected


def test_every_resource_has_its_own_copy_of_a_service_activity() -> None:
    found = role(
        organizer="ann@crm.test",
        owner=["ann@crm.test"],
        organizer_is_in_step=True,
        is_service_activity=True,
    )
    assert found is Role.OWN_COPY


@pytest.mark.parametrize(
    ("words", "is_logical", "expected"),
    [
        ("", False, CrmDeletion.DELETE_AND_CANCEL),
        ("alone", False, CrmDeletion.DELETE),
        ("", True, CrmDeletion.UNLINK),
        ("past", False, CrmDeletion.UNLINK),
        ("attendee", False, CrmDeletion.UNLINK),
        ("copy", False, CrmDeletion.UNLINK),
        ("endless", False, CrmDeletion.DELETE_AND_CANCEL),
        ("series past", False, CrmDeletion.UNLINK),
        ("service", False, CrmDeletion.DELETE),
        ("service", True, CrmDeletion.UNLINK),
        ("service past", False, CrmDeletion.UNLINK),
    ],
)
def test_a_deletion_in_the_crm(words: str, is_logical: bool, expected: CrmDeletion) -> None:
    assert crm_deletion(meeting(words), NOW, is_logical=is_logical) is expected


@pytest.mark.parametrize(
    ("words", "propagates", "expected"),
    [
        ("", False, None),
        ("", True, CrmDeletion.DELETE_AND_CANCEL),
        ("alone", True, CrmDeletion.DELETE),
        ("past", True, None),
        ("attendee", True, None),
        ("copy", True, None),
        ("service", True, None),
    ],
)
def test_a_cancellation_in_the_crm(
    words: str, propagates: bool, expected: CrmDeletion | None
) -> None:
    found = crm_cancellation(meeting(words), NOW, propagates_cancellations=propagates)
    assert found is expected


@pytest.mark.parametrize(
    ("words", "occurrence", "expected"),
    [
        ("", None, ExchangeDeletion.DELETE),
        ("alone", None, ExchangeDeletion.DELETE),
        ("past", None, ExchangeDeletion.IGNORE),
        ("closed", None, ExchangeDeletion.IGNORE),
        ("attendee", None, ExchangeDeletion.IGNORE),
        ("copy", None, ExchangeDeletion.IGNORE),
        ("service", None, ExchangeDeletion.IGNORE),
        ("series", None, ExchangeDeletion.DELETE),
        ("series past", None, ExchangeDeletion.DELETE),
        ("series closed", None, ExchangeDeletion.IGNORE),
        ("series attendee", None, ExchangeDeletion.IGNORE),
        ("series", FUTURE, ExchangeDeletion.DELETE),
        ("series", PAST, ExchangeDeletion.IGNORE),
        ("endless", PAST, ExchangeDeletion.IGNORE),
        ("series closed", FUTURE, ExchangeDeletion.IGNORE),
        ("series attendee", FUTURE, ExchangeDeletion.IGNORE),
    ],
)
def test_a_deletion_in_exchange(
    words: str, occurrence: datetime | None, expected: ExchangeDeletion
) -> None:
    assert exchange_deletion(meeting(words), NOW, occurrence_start=occurrence) is expected


@pytest.mark.parametrize(
    ("words", "in_step", "expected"),
    [
        ("attendee", False, ExchangeDeletion.CANCEL),
        ("attendee", True, ExchangeDeletion.IGNORE),
        ("attendee past", False, ExchangeDeletion.IGNORE),
        ("attendee closed", False, ExchangeDeletion.IGNORE),
        ("", False, ExchangeDeletion.IGNORE),
        ("copy", False, ExchangeDeletion.IGNORE),
    ],
)
def test_a_cancellation_in_exchange(words: str, in_step: bool, expected: ExchangeDeletion) -> None:
    found = exchange_cancellation(meeting(words), NOW, organizer_is_in_step=in_step)
    assert found is expected


NONE, TO_CRM, BOTH = Direction.NONE, Direction.TO_CRM, Direction.BOTH
TO_EXCHANGE = Direction.TO_EXCHANGE


@pytest.mark.parametrize(
    ("words", "in_step", "subject", "required", "responses", "reminder", "regarding"),
    [
        ("", True, BOTH, BOTH, TO_CRM, TO_EXCHANGE, BOTH),
        ("copy", False, BOTH, NONE, NONE, TO_EXCHANGE, BOTH),
        ("attendee", True, NONE, NONE, NONE, TO_EXCHANGE, BOTH),
        ("attendee", False, TO_CRM, TO_CRM, TO_CRM, TO_EXCHANGE, BOTH),
    ],
)
def test_what_a_copy_says_and_hears(
    words: str,
    in_step: bool,
    subject: Direction,
    required: Direction,
    responses: Direction,
    reminder: Direction,
    regarding: Direction,
) -> None:
    found = directions_in(
        meeting(words),
        directions(RecordType.APPOINTMENT, FieldSettings()),
        organizer_is_in_step=in_step,
    )
    names = ("subject", "required", "responses", "reminder", "regarding")
    assert [found[name] for name in names] == [subject, required, responses, reminder, regarding]


def test_a_service_activity_says_who_takes_part() -> None:
    ways = directions(RecordType.SERVICE_ACTIVITY, FieldSettings())
    assert directions_in(meeting("service"), ways, organizer_is_in_step=False) == ways


@pytest.mark.parametrize(
    ("words", "in_step", "expected"),
    [
        ("", True, Policy.EXCHANGE),
        ("alone", True, Policy.LATER),
        ("attendee", True, Policy.CRM),
        ("attendee", False, Policy.EXCHANGE),
        ("copy", False, Policy.LATER),
    ],
)
def test_the_organizers_copy_wins(words: str, in_step: bool, expected: Policy) -> None:
    found = policy_in(meeting(words), Policy.LATER, organizer_is_in_step=in_step)
    assert found is expected


@pytest.mark.parametrize(
    ("is_open", "show_as", "age", "expected"),
    [
        (True, "busy", timedelta(0), 15),
        (True, "tentative", timedelta(0), 15),
        (True, "free", timedelta(0), None),
        (False, "busy", timedelta(0), None),
        (True, "busy", timedelta(days=7), 15),
        (True, "busy", timedelta(days=7, seconds=1), None),
        (True, "out_of_office", timedelta(days=-30), 15),
    ],
)
def test_reminders(is_open: bool, show_as: str, age: timedelta, expected: int | None) -> None:
    found = reminder(15, is_open=is_open, show_as=show_as, starts_at=NOW - age, now=NOW)
    assert found == expected


def test_an_appointment_without_a_reminder_gets_none() -> None:
    assert reminder(None, is_open=True, show_as="busy", starts_at=FUTURE, now=NOW) is None


@pytest.mark.parametrize(
    ("organizer", "is_draft", "saves_drafts", "expected"),
    [
        ("ann@crm.test", False, False, None),
        ("ann@crm.test", True, False, None),
        ("ann@crm.test", True, True, Withheld.DRAFT),
        ("ann@crm.test", False, True, None),
        ("", False, False, Withheld.NO_ORGANIZER),
        ("", True, True, Withheld.DRAFT),
    ],
)
def test_what_stays_out_of_exchange(
    organizer: str, is_draft: bool, saves_drafts: bool, expected: Withheld | None
) -> None:
    assert withheld(organizer, is_draft=is_draft, saves_drafts=saves_drafts) is expected
