"""Occurrences of a series as items, which are not kept but made when somebody looks.

The master keeps what was changed of an occurrence in `exceptions`, and in `dropped` which ones were
deleted, both by index. An occurrence has an id of its own and the master's change key; whatever
happens to one changes the master.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.ids import Kind, read_id, write_id
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.moments import read_moment, write_moment
from syncservice.simulator.exchange.recurrence import Series, Slot, series_of
from syncservice.simulator.exchange.values import Value, Values, text_in


def occurrence(master: Item, index: int) -> Item:
    """The occurrence with this index, or the error that says why there is none."""
    series = series_of(master.values)
    if series is None:
        raise EwsError("ErrorCalendarCannotUseIdForOccurrenceId")
    slot = series.slot(index)
    if index in master.dropped:
        raise EwsError("ErrorCalendarOccurrenceIsDeletedFromRecurrence")
    return at_slot(master, slot)


def at_slot(master: Item, slot: Slot) -> Item:
    """The occurrence of a slot."""
    original = write_moment(slot.start)
    values: dict[str, Value | None] = {
        **master.values,
        "Start": original,
        "End": write_moment(slot.end),
        **master.exceptions.get(slot.index, {}),
        "OriginalStart": original,
        "RecurrenceId": original,
        "Recurrence": None,
    }
    place = read_id(master.id)
    item_id = write_id(Kind.ITEM, place.run, place.mailbox, master.uid, slot.index)
    return Item(
        master.element,
        {key: value for key, value in values.items() if value is not None},
        attachments=[replace(one, id="") for one in master.attachments],
        uid=master.uid,
        id=item_id,
        change_key=master.change_key,
        version=master.version,
        folder=master.folder,
        master=master,
        index=slot.index,
    )


def refuse_crossing(item: Item, values: Values) -> None:
    """Refuse times with which an occurrence would overlap or pass the one before or behind it."""
    series = series_of(item.master.values) if item.master else None
    if item.master is None or series is None:
        return
    start, end = (read_moment(text_in(values, key)) for key in ("Start", "End"))
    before: Item | None = None
    for one in remaining(item.master, series):
        if one.index < item.index:
            before = one
        elif one.index > item.index:
            if end > read_moment(one.text("Start")):
                raise EwsError("ErrorOccurrenceCrossingBoundary")
            break
    if before is not None and start < read_moment(before.text("End")):
        raise EwsError("ErrorOccurrenceCrossingBoundary")


def original(master: Item, start: str) -> Item | None:
    """The occurrence that was to start then, as EWS writes it; None: there is none, or not now."""
    series = series_of(master.values)
    for slot in series.slots() if series else ():
        if write_moment(slot.start) == start:
            return None if slot.index in master.dropped else at_slot(master, slot)
        if slot.start > read_moment(start):
            break
    return None


def remaining(master: Item, series: Series) -> Iterator[Item]:
    """The occurrences that are not deleted, in the order of the series."""
    return (at_slot(master, slot) for slot in series.slots() if slot.index not in master.dropped)


def going_on(item: Item, start: datetime, end: datetime) -> list[Item]:
    """What of an appointment takes place between two moments: itself, or occurrences of it."""
    series = series_of(item.values)
    if series is None:
        return [item] if overlaps(item, start, end) else []
    changed = [slot for slot in map(series.slot, item.exceptions) if slot.start >= end]
    slots = []
    for slot in series.slots():
        if slot.start >= end:
            break
        if slot.end >= start or slot.index in item.exceptions:
            slots.append(slot)
    shown = (at_slot(item, slot) for slot in (*slots, *changed) if slot.index not in item.dropped)
    return [one for one in shown if overlaps(one, start, end)]


def overlaps(item: Item, start: datetime, end: datetime) -> bool:
    """Whether an appointment overlaps a span; one without length counts when it lies within."""
    if item.element != "CalendarItem":
        return False
    first, last = read_moment(item.text("Start")), read_moment(item.text("End"))
    return (first < end and last > start) or (first == last and start <= first < end)


# What a master tells of its series


def first_occurrence(item: Item) -> str:
    """The t:FirstOccurrence of those that remain."""
    series = series_of(item.values)
    found = next(remaining(item, series), None) if series else None
    return written("FirstOccurrence", found) if found else ""


def last_occurrence(item: Item) -> str:
    """The t:LastOccurrence of those that remain, if the series has an end."""
    series = series_of(item.values)
    found = None
    if series and series.is_finite:
        left = [slot for slot in series.slots() if slot.index not in item.dropped]
        found = at_slot(item, left[-1]) if left else None
    return written("LastOccurrence", found) if found else ""


def modified_occurrences(item: Item) -> str:
    """The t:ModifiedOccurrences."""
    series = series_of(item.values)
    slots = map(series.slot, sorted(item.exceptions)) if series else ()
    listed = "".join(written("Occurrence", at_slot(item, slot)) for slot in slots)
    return f"<t:ModifiedOccurrences>{listed}</t:ModifiedOccurrences>" if listed else ""


def deleted_occurrences(item: Item) -> str:
    """The t:DeletedOccurrences, by their original starts."""
    series = series_of(item.values)
    slots = map(series.slot, sorted(item.dropped)) if series else ()
    listed = "".join(
        f"<t:DeletedOccurrence><t:Start>{write_moment(slot.start)}</t:Start></t:DeletedOccurrence>"
        for slot in slots
    )
    return f"<t:DeletedOccurrences>{listed}</t:DeletedOccurrences>" if listed else ""


def written(name: str, item: Item) -> str:
    """An occurrence as its master tells it."""
    return (
        f'<t:{name}><t:ItemId Id="{item.id}" ChangeKey="{item.change_key}"/>'
        f"<t:Start>{item.text('Start')}</t:Start><t:End>{item.text('End')}</t:End>"
        f"<t:OriginalStart>{item.text('OriginalStart')}</t:OriginalStart></t:{name}>"
    )


def item_type(item: Item) -> str:
    """The CalendarItemType."""
    if item.get("Recurrence") is not None:
        return "RecurringMaster"
    if item.get("RecurrenceId") is None:
        return "Single"
    is_changed = item.master is None or item.index in item.master.exceptions
    return "Exception" if is_changed else "Occurrence"
