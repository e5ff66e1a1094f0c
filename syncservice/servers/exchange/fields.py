"""Fields: a value of an item, and how it is kept in properties.

What holds for all classes stands here; the tables of the classes are made of it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from syncservice.domain.item_values import Value, text_of
from syncservice.servers.exchange.answers import sendable
from syncservice.servers.exchange.properties import Parts, Plain, Property, Setting, ours

#: Outlook's "none" is the first of January 4501, and what is before 1601 no server can mean.
_YEARS = range(1601, 4501)


@dataclass(frozen=True, slots=True)
class Field:
    """A value, and how it is kept in properties."""

    name: str  # of VALUES
    properties: tuple[Property, ...]  # that it is read from
    read: Callable[[Parts], Value]  # of an item
    settings: Callable[[Value], Iterable[Setting]]


def text_at(item: Parts, source: Property) -> str:
    """Read a property's text; '' when the item has none."""
    found = item.get(source.place)
    return text_of(found.text) if found is not None else ""


def is_true(item: Parts, source: Property) -> bool:
    return text_at(item, source) in ("true", "1")


def moment_in(text: str) -> datetime | None:
    """Read a moment that a server gave, in UTC; None: it is none."""
    try:
        at = datetime.fromisoformat(text)
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return at if at.year in _YEARS else None


def written_moment(text: str) -> str | None:
    """Put a moment that a server gave into the form that it has in values; None: it is none."""
    at = moment_in(text)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


def text(name: str, at: Property) -> Field:
    def settings(value: Value) -> Iterator[Setting]:
        yield at, sendable(value) or None

    return Field(name, (at,), lambda item: text_at(item, at), settings)


def choice(name: str, at: Property, names: Mapping[str, str], usual: str) -> Field:
    """Keep one of some words; `names` are Exchange's, and ours."""
    theirs = {our: their for their, our in reversed([*names.items()])}

    def settings(value: Value) -> Iterator[Setting]:
        yield at, theirs[value]

    return Field(name, (at,), lambda item: names.get(text_at(item, at), usual), settings)


def date_at(item: Parts, source: Property) -> str | None:
    """Read the date of a property that has a time, which nobody means.

    Clients write midnight UTC, the midnight of their own zone or, for a birthday, 11:59 UTC: half a
    day later, all are within the date that was meant.
    """
    at = moment_in(text_at(item, source))
    return (at + timedelta(hours=12)).date().isoformat() if at else None


def date(name: str, at: Property, *, time: str = "00:00:00Z") -> Field:
    def settings(value: Value) -> Iterator[Setting]:
        yield at, f"{value}T{time}" if value else None

    return Field(name, (at,), lambda item: date_at(item, at), settings)


def parts(name: str, at: Mapping[str, Property]) -> Field:
    """Keep an object of texts, each in a property of its own; None when all are ''."""

    def read(item: Parts) -> Value:
        found = {part: text_at(item, source) for part, source in at.items()}
        return found if any(found.values()) else None

    def settings(value: Value) -> Iterator[Setting]:
        for part, target in at.items():
            yield target, sendable((value or {}).get(part, "")) or None

    return Field(name, tuple(at.values()), read, settings)


#: Of every class.
IMPORTANCE = choice(
    "importance",
    Plain("item:Importance"),
    {"Low": "low", "Normal": "normal", "High": "high"},
    "normal",
)
SUBJECT = text("subject", Plain("item:Subject"))
REGARDING = text("regarding", ours("syncservice-regarding"))
_BODY = Plain("item:Body", (("BodyType", "Text"),))


def body(name: str) -> Field:
    return text(name, _BODY)
