"""States of activities on both sides, as tables (REFERENCE 2K, 3F-3H, 3J)."""

from datetime import UTC, datetime, timedelta

import pytest

from syncservice.domain.activity_states import (
    APPOINTMENT_STATUSES,
    TASK_STATUSES,
    State,
    appointment_code,
    completes_itself,
    due_or_start,
    end_after,
    percent_for_exchange,
    task_code,
    task_reminder,
)
from syncservice.domain.field_map import RecordType
from syncservice.domain.item_values import APPOINTMENT_VALUES, TASK_VALUES

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
FREE, TENTATIVE, COMPLETED, CANCELED, BUSY, OUT = range(1, 7)
OPEN, DONE = State.OPEN, State.COMPLETED
TASK, CALL = RecordType.TASK, RecordType.PHONE_CALL
LETTER, FAX = RecordType.LETTER, RecordType.FAX


@pytest.mark.parametrize(
    ("code", "state", "show_as"),
    [
        (FREE, State.OPEN, "free"),
        (TENTATIVE, State.OPEN, "tentative"),
        (COMPLETED, State.COMPLETED, "free"),
        (CANCELED, State.CANCELED, "free"),
        (BUSY, State.SCHEDULED, "busy"),
        (OUT, State.SCHEDULED, "out_of_office"),
    ],
)
def test_what_an_appointment_shows_in_exchange(code: int, state: State, show_as: str) -> None:
    status = APPOINTMENT_STATUSES[code]
    assert (status.state, status.said) == (state, show_as)


@pytest.mark.parametrize(
    ("show_as", "codes"),
    [
        # From: new, free, tentative, completed, canceled, busy, out of office.
        ("free", [FREE, FREE, FREE, COMPLETED, CANCELED, FREE, FREE]),
        ("elsewhere", [FREE, FREE, FREE, COMPLETED, CANCELED, FREE, FREE]),
        ("tentative", [TENTATIVE] * 7),
        ("busy", [BUSY] * 7),
        ("out_of_office", [OUT] * 7),
    ],
)
def test_what_exchange_shows_in_an_appointment(show_as: str, codes: list[int]) -> None:
    found = [appointment_code(show_as, current) for current in (None, *range(1, 7))]
    assert found == codes


@pytest.mark.parametrize(
    ("record_type", "codes"),
    [
        (
            TASK,
            "2 OPEN not_started, 3 OPEN in_progress, 4 OPEN waiting, 7 OPEN deferred,"
            " 5 COMPLETED completed, 6 CANCELED completed",
        ),
        (
            CALL,
            "1 OPEN not_started, 2 COMPLETED completed, 3 CANCELED completed,"
            " 4 COMPLETED completed",
        ),
        (
            LETTER,
            "1 OPEN not_started, 2 OPEN not_started, 3 COMPLETED completed,"
            " 4 COMPLETED completed, 5 CANCELED completed",
        ),
        (
            FAX,
            "1 OPEN not_started, 2 COMPLETED completed, 3 COMPLETED completed,"
            " 4 COMPLETED completed, 5 CANCELED completed",
        ),
    ],
)
def test_what_a_task_is_in_exchange(record_type: RecordType, codes: str) -> None:
    found = {
        f"{code} {status.state.name} {status.said}"
        for code, status in TASK_STATUSES[record_type].items()
    }
    assert found == set(codes.split(", "))


@pytest.mark.parametrize(
    ("record_type", "status", "codes"),
    [
        # From: new, then each code.
        (TASK, "not_started", {None: 2, 2: 2, 3: 2, 4: 2, 5: 2, 6: 2, 7: 2}),
        (TASK, "in_progress", {None: 3, 2: 3, 3: 3, 4: 3, 5: 3, 6: 3, 7: 3}),
        (TASK, "waiting", {None: 4, 2: 4, 3: 4, 4: 4, 5: 4, 6: 4, 7: 4}),
        (TASK, "deferred", {None: 7, 2: 7, 3: 7, 4: 7, 5: 7, 6: 7, 7: 7}),
        (TASK, "completed", {None: 5, 2: 5, 3: 5, 4: 5, 5: 5, 6: 6, 7: 5}),
        (CALL, "not_started", {None: 1, 1: 1, 2: 1, 3: 1, 4: 1}),
        (CALL, "in_progress", {None: 1, 1: 1, 2: 1, 3: 1, 4: 1}),
        (CALL, "completed", {None: 2, 1: 2, 2: 2, 3: 3, 4: 4}),
        (LETTER, "not_started", {None: 1, 1: 1, 2: 2, 3: 1, 4: 1, 5: 1}),
        (LETTER, "waiting", {None: 1, 1: 1, 2: 2, 3: 1, 4: 1, 5: 1}),
        (LETTER, "completed", {None: 4, 1: 4, 2: 4, 3: 3, 4: 4, 5: 5}),
        (FAX, "not_started", {None: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1}),
        (FAX, "deferred", {None: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1}),
        (FAX, "completed", {None: 2, 1: 2, 2: 2, 3: 3, 4: 4, 5: 5}),
    ],
)
def test_what_exchange_says_of_a_task(
    record_type: RecordType, status: str, codes: dict[int | None, int]
) -> None:
    assert set(codes) == {None, *TASK_STATUSES[record_type]}
    assert {current: task_code(record_type, status, current) for current in codes} == codes


@pytest.mark.parametrize(
    ("state", "percent", "expected"),
    [
        (State.OPEN, None, 0),
        (State.COMPLETED, None, 100),
        (State.CANCELED, None, 100),
        (State.OPEN, 0, 0),
        (State.OPEN, 40, 40),
        (State.OPEN, 100, 99),
        (State.COMPLETED, 40, 100),
        (State.CANCELED, 0, 100),
    ],
)
def test_a_percentage_goes_with_the_state(state: State, percent: int | None, expected: int) -> None:
    assert percent_for_exchange(state, percent) == expected


@pytest.mark.parametrize(
    ("state", "ended", "expected"),
    [
        (OPEN, NOW - SECOND, True),
        (OPEN, NOW, True),
        (OPEN, NOW + SECOND, False),
        (OPEN, None, False),
        (DONE, NOW - SECOND, False),
        (State.CANCELED, NOW - SECOND, False),
    ],
)
def test_a_task_that_has_ended_completes_itself(
    state: State, ended: datetime | None, expected: bool
) -> None:
    assert completes_itself(state, ended, NOW) is expected


@pytest.mark.parametrize(
    ("state", "ended", "expected"),
    [
        (OPEN, NOW - DAY, None),
        (OPEN, None, None),
        (DONE, NOW - DAY, NOW - DAY),
        (DONE, None, NOW),
        (State.CANCELED, None, NOW),
    ],
)
def test_a_task_that_is_taken_up_again_has_no_end(
    state: State, ended: datetime | None, expected: datetime | None
) -> None:
    assert end_after(state, ended, NOW) == expected
    assert not completes_itself(state, end_after(state, ended, NOW), NOW)


@pytest.mark.parametrize(
    ("state", "due", "expected"),
    [
        (OPEN, NOW + DAY, NOW + DAY),
        (OPEN, NOW - DAY + SECOND, NOW - DAY + SECOND),
        (OPEN, NOW - DAY, None),
        (OPEN, None, None),
        (DONE, NOW + DAY, None),
        (State.CANCELED, NOW + DAY, None),
        (State.SCHEDULED, NOW + DAY, NOW + DAY),
    ],
)
def test_reminders_of_tasks(state: State, due: datetime | None, expected: datetime | None) -> None:
    assert task_reminder(state, due, NOW) == expected


@pytest.mark.parametrize(
    ("due", "start", "expected"),
    [(NOW, None, NOW), (NOW, NOW - DAY, NOW), (None, NOW, NOW), (None, None, None)],
)
def test_a_task_is_due_when_it_starts_if_nobody_said(
    due: datetime | None, start: datetime | None, expected: datetime | None
) -> None:
    assert due_or_start(due, start) == expected


def test_what_nobody_has_set_is_a_status_too() -> None:
    assert appointment_code(APPOINTMENT_VALUES["show_as"], None) == BUSY
    assert task_code(TASK, TASK_VALUES["status"], None) == 2
