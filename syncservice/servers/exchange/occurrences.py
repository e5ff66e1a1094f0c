"""Occurrences that differ from their series: read with it, and written one by one.

EWS names one by its series and its number in the original series; `domain.recurrence` counts as
Exchange does. A deleted one can't be brought back over EWS. One that was changed is put back by
giving it what its series has.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial

from exchangelib.services import DeleteItem, GetItem, UpdateItem

from syncservice.domain.faults import Fault
from syncservice.domain.item_values import DELETED, OCCURRENCE, Value, Values
from syncservice.domain.recurrence import Occurrence, Recurrence, occurrence_on
from syncservice.domain.time_zones import clock_of, is_known
from syncservice.servers.exchange import item_payloads as payloads
from syncservice.servers.exchange.answers import sendable
from syncservice.servers.exchange.calendar_fields import (
    DELETED_ONES,
    END,
    LOCATION,
    MODIFIED,
    START,
)
from syncservice.servers.exchange.fields import SUBJECT, moment_in, text_at, written_moment
from syncservice.servers.exchange.item_requests import ITEM_GONE, ItemRequests
from syncservice.servers.exchange.properties import Element, Plain, Property, named, parts_of
from syncservice.servers.gateway import Item, NotRead

_SUBJECT = SUBJECT.properties[0]
_OWN: tuple[Property, ...] = (START, END, _SUBJECT, LOCATION)
#: What a server says of one that is not there: then there is nothing to change.
_ABSENT = {
    ITEM_GONE,
    "exchange.calendar_occurrence_is_deleted_from_recurrence",
    "exchange.calendar_occurrence_index_is_out_of_recurrence_range",
}


def occurrences_in(values: Values) -> dict[str, Value]:
    return {name: value for name, value in values.items() if name.startswith(OCCURRENCE)}


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Modified:
    """An occurrence that a series lists as other than the series has it."""

    item_id: str
    day: date  # on which the series has it
    of: int  # the series' place among those that were read


def with_occurrences(
    requests: ItemRequests, read: Sequence[tuple[Element, Item]]
) -> list[Item | NotRead]:
    """Return items with the occurrences that their elements list, asked for all at once."""
    modified = [
        _Modified(listed.find(named("ItemId")).attrib["Id"], day, place)
        for place, (element, item) in enumerate(read)
        for listed, day in _days(element, item.values, MODIFIED, "OriginalStart")
    ]
    values = [
        {**item.values, **{_name(day): DELETED for _, day in _days(element, item.values)}}
        for element, item in read
    ]
    faults: dict[int, Fault] = {}
    answers = requests.ask(
        GetItem,
        lambda some: payloads.get_items((payloads.item_id(one.item_id) for one in some), _OWN),
        modified,
    )
    for one, answer in zip(modified, answers, strict=True):
        if isinstance(answer, Fault):
            if answer.code not in _ABSENT:
                faults[one.of] = answer
        elif different := _differences(values[one.of], one.day, answer[0]):
            values[one.of][_name(one.day)] = different
    return [
        NotRead(item.item_id, faults[place])
        if place in faults
        else dataclasses.replace(item, values=values[place])
        for place, (_, item) in enumerate(read)
    ]


def _days(
    element: Element, values: Values, at: Plain = DELETED_ONES, moment: str = "Start"
) -> Iterator[tuple[Element, date]]:
    """Return what a series lists, each with the date on which the series has it."""
    time, recurrence = values.get("time"), values.get("recurrence")
    listed = element.find(named(at.top))
    if listed is None or not time or not recurrence:
        return
    zone = time["zone"]
    apart = 0
    if not is_known(zone):  # where the series is, it may have been another day
        first = datetime.fromisoformat(time["start"]).astimezone(UTC).date()
        apart = (first - date.fromisoformat(recurrence["starts_on"])).days
    for one in listed:
        original = moment_in(one.findtext(named(moment)) or "")
        if original is not None:
            day = original.astimezone(clock_of(zone)).date()
            yield one, date.fromordinal(day.toordinal() - apart)


def _differences(values: Values, day: date, element: Element) -> dict[str, str]:
    found = _found(element)
    return {name: said for name, said in found.items() if said != _usual(values, day).get(name)}


def _found(element: Element) -> dict[str, str]:
    """Read what an occurrence says of itself."""
    parts = parts_of(element)
    return {
        "start": written_moment(text_at(parts, START)) or "",
        "end": written_moment(text_at(parts, END)) or "",
        "subject": text_at(parts, _SUBJECT),
        "location": text_at(parts, LOCATION),
    }


def _usual(values: Values, day: date) -> dict[str, str]:
    """Return what an occurrence says that is as its series has it."""
    usual = {"subject": values["subject"], "location": values["location"]}
    occurrence = _occurrence(values, day)
    if occurrence is not None:
        usual |= {"start": _written(occurrence.start), "end": _written(occurrence.end)}
    return usual


def _occurrence(values: Values, day: date) -> Occurrence | None:
    series = Recurrence.of_value(values["recurrence"])
    return occurrence_on(series, values["time"], values["time"]["zone"], day)


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _name(day: date) -> str:
    return f"{OCCURRENCE}{day.isoformat()}"


# --- writing --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Occurrences that are to be written, and the series that they belong to."""

    item_id: str
    values: Values  # all of the series
    wanted: Mapping[str, Value]  # of `values`, or None: as the series has it
    updates_to: str  # who is told of changes, as EWS says it
    cancellations_to: str  # and who of deletions


@dataclass(frozen=True, slots=True)
class _Target:
    series: Series
    index: int
    wanted: Value
    usual: Mapping[str, str]

    @property
    def element(self) -> Element:
        return payloads.occurrence_id(self.series.item_id, self.index)


@dataclass(frozen=True, slots=True)
class _Change:
    """What is still to be done to an occurrence."""

    target: _Target
    item_id: Element
    is_over: bool  # it has begun, whatever is changed: nobody is told (3G)
    settings: tuple[tuple[Property, str], ...] = ()  # (): it is to be deleted

    @property
    def recipients(self) -> str:
        """Say who is told, as EWS says it."""
        if self.is_over:
            return "SendToNone"
        series = self.target.series
        return series.updates_to if self.settings else series.cancellations_to


def write_occurrences(requests: ItemRequests, series: Sequence[Series]) -> dict[str, Fault]:
    """Let occurrences be as wanted; return what was wrong, by the series' id, or raise FaultError.

    What is so already is not written: done twice, it changes nothing more.
    """
    targets = [target for one in series for target in _targets(one)]
    answers = requests.ask(
        GetItem,
        lambda some: payloads.get_items((target.element for target in some), _OWN),
        targets,
    )
    faults: dict[str, Fault] = {}
    changes: list[_Change] = []
    for target, answer in zip(targets, answers, strict=True):
        if not isinstance(answer, Fault):
            changes += _changes(target, answer[0])
        elif answer.code not in _ABSENT:
            faults[target.series.item_id] = answer
    updates = [change for change in changes if change.settings]
    deletions = [change for change in changes if not change.settings]
    for service, compose, those in (
        (UpdateItem, _updating, updates),
        (DeleteItem, _deleting, deletions),
    ):
        for recipients in dict.fromkeys(one.recipients for one in those):
            some = [one for one in those if one.recipients == recipients]
            faults |= _faults(some, requests.ask(service, partial(compose, recipients), some))
    return faults


def _targets(series: Series) -> Iterator[_Target]:
    for name, wanted in series.wanted.items():
        day = date.fromisoformat(name.removeprefix(OCCURRENCE))
        occurrence = _occurrence(series.values, day)
        if occurrence is not None:  # else the series has none then, and there is nothing to write
            yield _Target(series, occurrence.index, wanted, _usual(series.values, day))


def _changes(target: _Target, element: Element) -> Iterator[_Change]:
    """Compare an occurrence with what is wanted of it."""
    own = element.find(named("ItemId"))
    item_id = payloads.item_id(own.attrib["Id"], own.attrib["ChangeKey"])
    found = _found(element)
    if target.wanted == DELETED:
        yield _Change(target, item_id, _is_over(found))
        return
    wanted = {**target.usual, **(target.wanted or {})}
    settings = tuple(
        (at, sendable(wanted[name]))  # '' too: what an exception lacks, its series has
        for name, at in zip(("start", "end", "subject", "location"), _OWN, strict=True)
        if found[name] != wanted[name]
    )
    if settings:
        yield _Change(target, item_id, _is_over(found, wanted), settings)


def _is_over(*said: Mapping[str, str]) -> bool:
    """Whether an occurrence has begun by all that is said of it."""
    return max(one["start"] for one in said) < _written(datetime.now(UTC))


def _updating(recipients: str, changes: Sequence[_Change]) -> Element:
    """Write what is to be changed. The series' key told of conflicts; theirs move with it."""
    elements = [
        payloads.item_change(change.item_id, "CalendarItem", change.settings) for change in changes
    ]
    return payloads.update_items(elements, recipients, payloads.ALWAYS_OVERWRITE)


def _deleting(recipients: str, changes: Sequence[_Change]) -> Element:
    return payloads.delete_items([change.item_id for change in changes], recipients)


def _faults(changes: Sequence[_Change], answers: Sequence[object]) -> dict[str, Fault]:
    return {
        change.target.series.item_id: answer
        for change, answer in zip(changes, answers, strict=True)
        if isinstance(answer, Fault) and answer.code not in _ABSENT
    }
