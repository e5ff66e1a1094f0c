"""Moments as EWS writes them, and the zones a request may mean them in."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from exchangelib.winzone import MS_TIMEZONE_TO_IANA_MAP

from syncservice.simulator.exchange.errors import schema_violation

#: Windows zone id -> IANA name (the Unicode project's table, which exchangelib carries as data).
ZONES: dict[str, str] = {
    windows: iana for windows, iana in MS_TIMEZONE_TO_IANA_MAP.items() if "Standard Time" in windows
} | {"UTC": "UTC"}


#: IANA name -> the Windows id of a zone.
WINDOWS_NAMES = {iana: windows for windows, iana in ZONES.items()}


def now() -> datetime:
    """This moment, in whole seconds as EWS knows them."""
    return datetime.now(UTC).replace(microsecond=0)


def write_moment(moment: datetime) -> str:
    """UTC, whole seconds, with Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def zone(windows_id: str) -> ZoneInfo | None:
    """The zone of a Windows id; None if there is no such zone."""
    name = ZONES.get(windows_id)
    return ZoneInfo(name) if name else None


def read_moment(text: str, local_zone: ZoneInfo | None = None) -> datetime:
    """Read an xs:dateTime (or xs:date); one without an offset is in `local_zone`, else UTC."""
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError as error:
        raise schema_violation(
            f"The value '{text}' is invalid according to xs:dateTime."
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=local_zone or UTC)
    return moment.astimezone(UTC)
