"""Items that are created, changed and deleted, and who is told of it.

Exchange changes an item only when its change key is still the one that is named. Of a series the
series comes first, then the occurrences that differ from it: a new time or pattern makes Exchange
forget them.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from exchangelib.services import CreateItem, DeleteItem, GetItem, UpdateItem
from exchangelib.util import create_element

from syncservice.domain.faults import Fault
from syncservice.domain.item_values import Value, Values
from syncservice.servers.exchange import item_payloads as payloads
from syncservice.servers.exchange.conversation import Conversation
from syncservice.servers.exchange.faults import faults_translated
from syncservice.servers.exchange.item_classes import CATEGORIES, RECORD_KEY, ItemClass, ids_of
from syncservice.servers.exchange.item_requests import (
    CHANGED_MEANWHILE,
    Answer,
    ItemRequests,
    is_gone,
)
from syncservice.servers.exchange.occurrences import Series, occurrences_in, write_occurrences
from syncservice.servers.exchange.other_zones import asked_in_other_zones
from syncservice.servers.exchange.properties import Element, Setting, put_all, texts
from syncservice.servers.gateway import (
    Deletion,
    Gone,
    Invitations,
    ItemChange,
    NewItem,
    NotWritten,
    Written,
)

T = TypeVar("T")

_NOBODY, _ALL, _CHANGED = "SendToNone", "SendToAllAndSaveCopy", "SendToChangedAndSaveCopy"
_UPDATES_TO: Mapping[Invitations, str] = {
    Invitations.NOBODY: _NOBODY,
    Invitations.ALL: _ALL,
    Invitations.CHANGED: _CHANGED,
}
#: What moves a series' occurrences.
_MOVING = {"time", "recurrence"}


class ItemWriter:
    """Writes items of one class, within a conversation that somebody else opens and ends."""

    def __init__(self, conversation: Conversation, of: ItemClass) -> None:
        self._conversation, self._of = conversation, of
        self._requests = ItemRequests(conversation)

    def create(self, items: Sequence[NewItem]) -> list[Written | NotWritten]:
        def compose(recipients: str, some: Sequence[NewItem]) -> Element:
            elements = [_new(self._of, new) for new in some]
            folder = self._of.folder
            return payloads.create_items(self._conversation, folder, elements, recipients)

        def ask(some: Sequence[NewItem]) -> list[Answer]:
            return self._told(CreateItem, compose, some, lambda new: _all_or_none(new.invitations))

        items, answers = asked_in_other_zones(ask, items)
        with faults_translated():
            written = [_written(answer) for answer in answers]
        series = [
            _series(one.item_id, new.values, occurrences_in(new.values), new.invitations)
            for new, one in zip(items, written, strict=True)
            if isinstance(one, Written)
        ]
        finished = self._with_occurrences(series)
        for place, one in enumerate(written):
            after = finished.get(one.item_id) if isinstance(one, Written) else None
            if isinstance(after, Written | NotWritten):
                written[place] = after
        return written

    def update(self, changes: Sequence[ItemChange]) -> list[Written | NotWritten | Gone]:
        def compose(recipients: str, some: Sequence[ItemChange]) -> Element:
            elements = [
                payloads.item_change(
                    payloads.item_id(one.item_id, one.change_key),
                    self._of.tag,
                    _settings(self._of, one),
                )
                for one in some
            ]
            return payloads.update_items(elements, recipients)

        def ask(some: Sequence[ItemChange]) -> list[Answer]:
            return self._told(UpdateItem, compose, some, lambda one: _UPDATES_TO[one.invitations])

        itself, answers = asked_in_other_zones(
            ask, [one for one in changes if _settings(self._of, one)]
        )
        as_asked = {one.item_id: one for one in (*changes, *itself)}
        series = {
            one.item_id: _series(one.item_id, one.whole, _moved(one), one.invitations)
            for one in as_asked.values()
        }
        written_itself = {one.item_id for one in itself}
        looked_at = [
            one
            for one in changes
            if series[one.item_id].wanted and one.item_id not in written_itself
        ]
        written: dict[str, Written | NotWritten | Gone] = {
            **{one.item_id: Written(one.item_id, one.change_key) for one in changes},
            **self._keys(looked_at),
        }
        with faults_translated():
            for change, answer in zip(itself, answers, strict=True):
                written[change.item_id] = _written_or_gone(change.item_id, answer)
        there = [one for key, one in series.items() if isinstance(written[key], Written)]
        written |= self._with_occurrences(there)
        return [written[change.item_id] for change in changes]

    def delete(self, items: Sequence[Deletion]) -> list[Gone | NotWritten]:
        def compose(recipients: str, some: Sequence[Deletion]) -> Element:
            return payloads.delete_items(
                [payloads.item_id(one.item_id) for one in some], recipients
            )

        answers = self._told(
            DeleteItem, compose, items, lambda one: _ALL if one.cancels else _NOBODY
        )
        return [
            NotWritten(answer)
            if isinstance(answer, Fault) and not is_gone(answer)
            else Gone(one.item_id)
            for one, answer in zip(items, answers, strict=True)
        ]

    def _told(
        self,
        service: type,
        compose: Callable[[str, Sequence[T]], Element],
        items: Sequence[T],
        recipients: Callable[[T], str],
    ) -> list[Answer]:
        """Ask in batches for each kind of recipients: who is told is a matter of the request."""
        answers: dict[int, Answer] = {}
        for kind in dict.fromkeys(map(recipients, items)):
            places = [place for place, one in enumerate(items) if recipients(one) == kind]
            some = [items[place] for place in places]
            answered = self._requests.ask(service, partial(compose, kind), some)
            answers |= dict(zip(places, answered, strict=True))
        return [answers[place] for place in range(len(items))]

    def _with_occurrences(self, series: Sequence[Series]) -> dict[str, Written | NotWritten | Gone]:
        """Write occurrences; return what became of the series that have some, by id."""
        wanting = [one for one in series if one.wanted]
        with faults_translated():
            faults = write_occurrences(self._requests, wanting)
        ids = [one.item_id for one in wanting]
        answers = self._requests.ask(GetItem, _by_ids, ids)
        with faults_translated():
            return {
                item_id: NotWritten(faults[item_id])
                if item_id in faults
                else _written_or_gone(item_id, answer)
                for item_id, answer in zip(ids, answers, strict=True)
            }

    def _keys(self, changes: Sequence[ItemChange]) -> dict[str, Written | NotWritten | Gone]:
        """Look whether items still have the keys that are named."""
        ids = [change.item_id for change in changes]
        answers = self._requests.ask(GetItem, _by_ids, ids)
        found: dict[str, Written | NotWritten | Gone] = {}
        with faults_translated():
            for change, answer in zip(changes, answers, strict=True):
                found[change.item_id] = one = _written_or_gone(change.item_id, answer)
                if isinstance(one, Written) and one.change_key != change.change_key:
                    found[change.item_id] = NotWritten(CHANGED_MEANWHILE)
        return found


def _by_ids(ids: Sequence[str]) -> Element:
    return payloads.get_items(map(payloads.item_id, ids))


def _series(
    item_id: str, whole: Values, wanted: Mapping[str, Value], invitations: Invitations
) -> Series:
    return Series(
        item_id=item_id,
        values=whole,
        wanted=wanted if whole.get("recurrence") else {},
        updates_to=_UPDATES_TO[invitations],
        cancellations_to=_all_or_none(invitations),
    )


def _moved(change: ItemChange) -> dict[str, Value]:
    """Return the occurrences that are to be written after a change."""
    everything = occurrences_in(change.whole) if _MOVING & change.values.keys() else {}
    return {**everything, **occurrences_in(change.values)}


def _all_or_none(invitations: Invitations) -> str:
    return _NOBODY if invitations is Invitations.NOBODY else _ALL


def _new(of: ItemClass, new: NewItem) -> Element:
    element = create_element(f"t:{of.tag}")
    settings = [
        *of.settings_of_new(new.values),
        (RECORD_KEY, new.record_key or None),
        (CATEGORIES, texts("Categories", new.categories)),
    ]
    put_all(element, settings, of.order)
    return element


def _settings(of: ItemClass, change: ItemChange) -> list[Setting]:
    values = dict(change.values)
    if "time" in values and change.whole.get("recurrence"):
        values["recurrence"] = change.whole["recurrence"]  # it begins on the same date
    settings = [*of.settings(values)]
    if change.record_key is not None:
        settings.append((RECORD_KEY, change.record_key or None))
    if change.categories is not None:
        settings.append((CATEGORIES, texts("Categories", change.categories)))
    return settings


def _written(answer: Answer) -> Written | NotWritten:
    return NotWritten(answer) if isinstance(answer, Fault) else Written(*ids_of(answer[0]))


def _written_or_gone(item_id: str, answer: Answer) -> Written | NotWritten | Gone:
    return Gone(item_id) if is_gone(answer) else _written(answer)
