"""Time zones: Windows' ids, which Exchange speaks, and IANA's names, which everybody else speaks.

The table is CLDR's, as the library tzlocal keeps it up to date. A zone that nobody knows is ''
and never a fault: one odd zone stopped whole lanes of the reference (P22, F215).

Windows has one zone where IANA has several, so a name may come back as another of the same clock:
Europe/Brussels as Europe/Paris. Names are the same zone when their `canonical` ones are.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from tzlocal.windows_tz import tz_win, win_tz

#: Exchange puts it before the ids of zones that are not Windows' own: "Utc", "Custom".
_FOREIGN = "tzone://microsoft/"
#: No zones: the machine's own, and the one of a machine that was never set up.
_NO_PLACES = {"localtime", "Factory"}
#: Clocks go alike when they show the same time in each of the months that begin here.
_MONTHS = [timedelta(days=30 * month) for month in range(13)]


def iana_name(windows_id: str) -> str:
    """Return the IANA name of a zone as Exchange gives it; '' when nobody knows it.

    An IANA name is one too: other clients of Exchange write them. A custom zone and a zone's name
    for display, "(UTC+01:00) Amsterdam, Berlin", are not known.
    """
    wanted = windows_id.strip().lower().removeprefix(_FOREIGN)
    return _windows_ids().get(wanted) or _iana_names().get(wanted, "")


def windows_id(iana: str) -> str:
    """Return the Windows id of an IANA name or alias; '' for one that Windows does not have."""
    name = _known(iana)
    return tz_win.get(name) or tz_win.get(f"Etc/{name}", "") if name else ""


def canonical(iana: str) -> str:
    """Return the name by which a zone comes back from Exchange; its own where Windows has none.

    Europe/Amsterdam, written to Exchange, is read as Europe/Berlin.
    """
    return iana_name(windows_id(iana)) or iana


def stand_in(iana: str, at: datetime, refused: Collection[str]) -> str:
    """Return the name of a zone whose clock shows the same time; '': there is none.

    For a server that is older than a zone, and refuses its Windows id: of those that show the same
    at `at`, the one that goes most like it for a year, and of these the one of most places.
    `refused` are Windows ids, the zone's own among them.
    """
    clock = clock_of(iana)
    best, found = (0, 0), ""
    for windows, name in sorted(win_tz.items()):
        if windows in refused or _offset(clock_of(name), at) != _offset(clock, at):
            continue
        alike = sum(_offset(clock, at + m) == _offset(clock_of(name), at + m) for m in _MONTHS)
        if (alike, _places()[windows]) > best:
            best, found = (alike, _places()[windows]), name
    return found


def _offset(clock: tzinfo, at: datetime) -> timedelta | None:
    return at.astimezone(clock).utcoffset()


@cache
def _places() -> Mapping[str, int]:
    return Counter(tz_win.values())


def is_known(name: str) -> bool:
    """Tell whether an IANA name has a clock here."""
    return bool(_known(name))


def clock_of(name: str) -> tzinfo:
    """Return the clock of an IANA name; UTC when nobody knows it."""
    known = _known(name)
    return ZoneInfo(known) if known else UTC


def _known(name: str) -> str:
    return _iana_names().get(name.strip().lower(), "")


@cache
def _windows_ids() -> Mapping[str, str]:
    return {windows.lower(): iana for windows, iana in win_tz.items()}


@cache
def _iana_names() -> Mapping[str, str]:
    return {name.lower(): name for name in available_timezones() - _NO_PLACES}
