"""Time zones that a server refuses: an item gets the next best one then, or none (F215).

Servers know the zones of their own age only, and one that is too new is no reason to leave an
appointment out. Its moments stay as they are; what differs is the clock that it is shown with.
"""

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from syncservice.domain.faults import Fault
from syncservice.domain.item_values import Value, Values
from syncservice.domain.time_zones import stand_in, windows_id
from syncservice.servers.exchange.item_requests import Answer
from syncservice.servers.gateway import ItemChange, NewItem

Wanted = TypeVar("Wanted", NewItem, ItemChange)

#: So often an item is written again; the last time without any zone.
_TIMES = 3
#: What a server says of a zone that it doesn't have.
_NO_ZONE = {"exchange.time_zone", "exchange.calendar_invalid_time_zone"}
#: What it says of a whole request; with any zone it may say so again.
_NO_REQUEST = "exchange.schema_validation"


def asked_in_other_zones(
    ask: Callable[[Sequence[Wanted]], list[Answer]], items: Sequence[Wanted]
) -> tuple[list[Wanted], list[Answer]]:
    """Ask for items to be written, and again for those whose zone is refused.

    Return them as they were asked for in the end, each with its answer.
    """
    asked, answers = list(items), ask(items)
    refused: set[str] = set()
    for times_left in reversed(range(_TIMES)):
        places = []
        for place, answer in enumerate(answers):
            if isinstance(answer, Fault):
                other = _in_another_zone(asked[place], answer, refused, times_left)
                if other is not None:
                    asked[place] = other
                    places.append(place)
        if not places:
            break
        for place, answer in zip(places, ask([asked[place] for place in places]), strict=True):
            answers[place] = answer
    return asked, answers


def _in_another_zone(
    item: Wanted, fault: Fault, refused: set[str], times_left: int
) -> Wanted | None:
    """Return an item in another zone than the one that was refused; None: that was not its zone."""
    time: Value = item.values.get("time") or {}
    zone = windows_id(time.get("zone", ""))
    if not zone or fault.code not in {*_NO_ZONE, _NO_REQUEST}:
        return None
    name = ""
    if fault.code in _NO_ZONE:
        refused.add(zone)
        starts_at = datetime.fromisoformat(time["start"])
        name = stand_in(time["zone"], starts_at, refused) if times_left else ""

    def moved(values: Values) -> Values:
        return {**values, "time": {**time, "zone": name}}

    if isinstance(item, ItemChange):
        return dataclasses.replace(item, values=moved(item.values), whole=moved(item.whole))
    return dataclasses.replace(item, values=moved(item.values))
