"""Windows' time zones and IANA's: there and back, and none that stops anything (P22, F215)."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

import pytest
from tzlocal.windows_tz import win_tz

from syncservice.domain.time_zones import (
    canonical,
    clock_of,
    iana_name,
    is_known,
    stand_in,
    windows_id,
)


@pytest.mark.parametrize(("windows", "iana"), [
    # Those that stop the reference (F215), and others whose rules governments changed.
    ("Morocco Standard Time", "Africa/Casablanca"),
    ("Turkey Standard Time", "Europe/Istanbul"),
    ("Russian Standard Time", "Europe/Moscow"),
    ("Belarus Standard Time", "Europe/Minsk"),
    ("Kaliningrad Standard Time", "Europe/Kaliningrad"),
    ("Russia Time Zone 3", "Europe/Samara"),
    ("Volgograd Standard Time", "Europe/Volgograd"),
    ("Egypt Standard Time", "Africa/Cairo"),
    ("Jordan Standard Time", "Asia/Amman"),
    ("Iran Standard Time", "Asia/Tehran"),
    ("North Korea Standard Time", "Asia/Pyongyang"),
    ("W. Europe Standard Time", "Europe/Berlin"),
    ("GMT Standard Time", "Europe/London"),
    ("UTC", "Etc/UTC"),
    ("UTC-11", "Etc/GMT+11"),
    ("Pacific Standard Time (Mexico)", "America/Tijuana"),
])  # fmt: skip
def test_exchange_and_iana_name_each_other(windows: str, iana: str) -> None:
    assert iana_name(windows) == iana
    assert windows_id(iana) == windows


@pytest.mark.parametrize("windows", sorted(win_tz))
def test_every_windows_zone_comes_back_and_has_a_clock(windows: str) -> None:
    name = iana_name(windows)

    assert windows_id(name) == windows
    assert is_known(name)
    assert clock_of(name) == ZoneInfo(name)


@pytest.mark.parametrize(("given", "iana"), [
    ("w. europe standard time", "Europe/Berlin"),
    ("  W. Europe Standard Time ", "Europe/Berlin"),
    ("Europe/Amsterdam", "Europe/Amsterdam"),  # an IANA name where an id is expected
    ("america/new_york", "America/New_York"),
    ("US/Pacific", "US/Pacific"),
    ("tzone://Microsoft/Utc", "Etc/UTC"),
    # Nobody knows these.
    ("tzone://Microsoft/Custom", ""),
    ("Customized Time Zone", ""),
    ("(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna", ""),
    ("", ""),
    ("Middle-earth Standard Time", ""),
    ("../../etc/passwd", ""),
    ("localtime", ""),
    ("Factory", ""),
    ("Europe", ""),
    ("a\0b", ""),
])  # fmt: skip
def test_what_exchange_may_say_of_a_zone(given: str, iana: str) -> None:
    assert iana_name(given) == iana


@pytest.mark.parametrize(("iana", "windows"), [
    ("Asia/Calcutta", "India Standard Time"),
    ("Asia/Kolkata", "India Standard Time"),
    ("Europe/Kiev", "FLE Standard Time"),
    ("Europe/Kyiv", "FLE Standard Time"),
    ("US/Pacific", "Pacific Standard Time"),
    ("us/pacific", "Pacific Standard Time"),
    ("Europe/Amsterdam", "W. Europe Standard Time"),
    ("Europe/Brussels", "Romance Standard Time"),
    ("UTC", "UTC"),
    ("GMT", "UTC"),
    ("Antarctica/Troll", ""),  # Windows has no such clock
    ("Europe/Nowhere", ""),
    ("", ""),
])  # fmt: skip
def test_aliases_have_the_windows_zone_of_what_they_stand_for(iana: str, windows: str) -> None:
    assert windows_id(iana) == windows


@pytest.mark.parametrize(("name", "back"), [
    ("Europe/Amsterdam", "Europe/Berlin"),
    ("Europe/Berlin", "Europe/Berlin"),
    ("Europe/Brussels", "Europe/Paris"),
    ("europe/brussels", "Europe/Paris"),
    ("UTC", "Etc/UTC"),
    ("Antarctica/Troll", "Antarctica/Troll"),  # Windows has no such clock
    ("Europe/Nowhere", "Europe/Nowhere"),
    ("", ""),
])  # fmt: skip
def test_a_zone_comes_back_by_the_name_that_windows_stands_for(name: str, back: str) -> None:
    assert canonical(name) == back
    assert canonical(back) == back


def test_a_zone_without_a_windows_id_has_a_clock_all_the_same() -> None:
    nameless = {name for name in available_timezones() if is_known(name) and not windows_id(name)}

    assert "Antarctica/Troll" in nameless
    assert len(nameless) < 12  # a table that lost its rows would leave hundreds


@pytest.mark.parametrize("name", ["", "Europe/Nowhere", "W. Europe Standard Time"])
def test_the_clock_of_an_unknown_zone_is_utc(name: str) -> None:
    assert not is_known(name)
    assert clock_of(name) is UTC


def test_a_clock_keeps_the_hours_of_its_place() -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)

    assert noon.astimezone(clock_of("europe/amsterdam")).hour == 14
    assert noon.astimezone(clock_of("Africa/Casablanca")).hour == 13


@pytest.mark.parametrize("windows", sorted(win_tz))
@pytest.mark.parametrize("month", [1, 7])
def test_what_stands_in_for_a_zone_shows_the_same_time(windows: str, month: int) -> None:
    name, at = iana_name(windows), datetime(2026, month, 1, 12, tzinfo=UTC)
    other = stand_in(name, at, {windows})

    assert windows_id(other) != windows
    if other:
        assert at.astimezone(clock_of(other)).hour == at.astimezone(clock_of(name)).hour


@pytest.mark.parametrize(("refused", "zone"), [
    ({"W. Europe Standard Time"}, "Europe/Budapest"),
    ({"W. Europe Standard Time", "Central Europe Standard Time"}, "Europe/Paris"),
    (set(win_tz), ""),
])  # fmt: skip
def test_what_stands_in_for_a_zone_has_its_summers(refused: set[str], zone: str) -> None:
    """Of those that show what Berlin does in January, Lagos has no summer time."""
    assert stand_in("Europe/Berlin", datetime(2026, 1, 1, tzinfo=UTC), refused) == zone
