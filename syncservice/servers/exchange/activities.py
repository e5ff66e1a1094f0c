"""Appointments, contacts and tasks of an Exchange mailbox.

The organisation's stamp is a named property of the mailbox's Inbox folder: every organisation that
reaches the mailbox sees it, no person does, and it moves with the mailbox (F019). So is the key of
our record on each item.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from exchangelib import ExtendedProperty
from exchangelib.folders import Folder
from exchangelib.items import SEND_TO_NONE
from exchangelib.services import CreateItem, DeleteItem, FindItem, GetItem, UpdateItem
from exchangelib.util import create_element

from syncservice.domain.faults import Fault, FaultError, Scope
from syncservice.domain.item_values import ItemKind
from syncservice.servers.exchange import item_payloads as payloads
from syncservice.servers.exchange.access import Access
from syncservice.servers.exchange.answers import Answers, all_pages, can_be_sent
from syncservice.servers.exchange.changes import Changes
from syncservice.servers.exchange.faults import UNREADABLE, faults_of_mailbox, faults_translated
from syncservice.servers.exchange.item_classes import (
    CATEGORIES,
    CLASSES,
    RECORD_KEY,
    ItemClass,
    ids_of,
    item,
    listed_item,
)
from syncservice.servers.exchange.item_requests import BATCH, ITEM_GONE, Answer, ItemRequests
from syncservice.servers.exchange.properties import Element, Setting, named, put_all, texts
from syncservice.servers.gateway import (
    Deletion,
    Gone,
    Item,
    ItemChange,
    ItemPage,
    ListedItem,
    NewItem,
    NotRead,
    NotWritten,
    Stamp,
    Written,
)


class _Organisation(ExtendedProperty):  # type: ignore[misc] # exchangelib has no types
    """`id;time`: which organisation keeps the mailbox in step, and when it last said so."""

    distinguished_property_set_id = "PublicStrings"
    property_name = "syncservice-organisation"
    property_type = "String"


Folder.register("organisation", _Organisation)

#: Keys that one search looks for: each is a test that the server makes of every item.
_KEYS = 50


class _ChangedItems(Changes):
    """Yields elements: of a change, with the item or the id of one that left in it."""

    def _elem_to_obj(self, elem: Element) -> Element:
        return elem


class _Found(Answers, FindItem):  # type: ignore[misc] # exchangelib has no types
    """FindItem for items by our keys; every error is raised."""

    ERRORS_TO_CATCH_IN_RESPONSE = WARNINGS_TO_CATCH_IN_RESPONSE = ()

    def get_payload(self, folders: Sequence[Element], **asked: Any) -> Element:
        return asked.pop("compose")(**asked)


class ExchangeActivities(Access):
    """Activities of `servers.gateway` for one Exchange mailbox."""

    def open(self) -> None:
        account = self._conversation.account
        with faults_translated():
            for folder in (account.calendar, account.contacts, account.tasks):
                folder.refresh()

    def stamp(self) -> Stamp | None:
        text = self._inbox().organisation or ""
        organisation, _, moment = text.partition(";")
        try:
            return Stamp(organisation, datetime.fromisoformat(moment).astimezone(UTC))
        except ValueError:
            return None  # nobody's, or not written by this software

    def put_stamp(self, stamp: Stamp) -> None:
        inbox = self._inbox()
        inbox.organisation = f"{stamp.organisation};{stamp.at.isoformat()}"
        with faults_translated():
            inbox.save(update_fields=["organisation"])

    def changes(self, kind: ItemKind, cursor: str, limit: int) -> ItemPage:
        """As the gateway says; items of other classes in the folder are none of its changes."""
        of = CLASSES[kind]
        service = _ChangedItems(account=self._conversation.account)
        request = payloads.changes_in(
            self._conversation, of.folder, of.properties_listed, cursor, limit
        )
        items: dict[str, ListedItem] = {}
        removed: dict[str, None] = {}
        with faults_of_mailbox():
            for change in service._get_elements(request):
                if change.tag == named("Delete"):
                    removed[change.find(named("ItemId")).attrib["Id"]] = None
                elif len(change) and change[0].tag == named(of.tag):
                    listed = listed_item(of, change[0])
                    items[listed.item_id] = listed
        if not service.is_answered:
            raise FaultError(UNREADABLE)
        # A state that doesn't move would page for ever (X14). No id comes back to life.
        state = service.sync_state or cursor
        is_last = bool(service.includes_last_item_in_range) or state == cursor
        kept = tuple(one for one in items.values() if one.item_id not in removed)
        return ItemPage(kept, tuple(removed), state, is_last)

    def read(self, kind: ItemKind, item_ids: Sequence[str]) -> Iterator[Item | NotRead | Gone]:
        of = CLASSES[kind]

        def compose(ids: Sequence[str]) -> Element:
            return payloads.get_items(map(payloads.item_id, ids), of.properties_read)

        for start in range(0, len(item_ids), BATCH):
            ids = item_ids[start : start + BATCH]
            answers = self._requests.ask(GetItem, compose, ids)
            with faults_translated():
                read = [_read(of, *pair) for pair in zip(ids, answers, strict=True)]
            yield from read

    def find(self, kind: ItemKind, record_keys: Sequence[str]) -> tuple[ListedItem, ...]:
        of = CLASSES[kind]
        keys = [key for key in dict.fromkeys(record_keys) if key and can_be_sent(key)]
        found: dict[str, ListedItem] = {}
        for start in range(0, len(keys), _KEYS):
            some = keys[start : start + _KEYS]

            def compose(some: Sequence[str] = some, **page: int) -> Element:
                return payloads.find_items(
                    self._conversation, of.folder, of.properties_listed, RECORD_KEY, some, **page
                )

            service = _Found(account=self._conversation.account)
            with faults_of_mailbox():
                for element in all_pages(service, of.folder, compose=compose):
                    if element.tag == named(of.tag):
                        listed = listed_item(of, element)
                        found[listed.item_id] = listed
        return tuple(found.values())

    def create(self, kind: ItemKind, items: Sequence[NewItem]) -> list[Written | NotWritten]:
        of = CLASSES[kind]

        def compose(some: Sequence[NewItem]) -> Element:
            elements = [_new(of, new) for new in some]
            return payloads.create_items(self._conversation, of.folder, elements, SEND_TO_NONE)

        answers = self._requests.ask(CreateItem, compose, items)
        with faults_translated():
            return [_written(answer) for answer in answers]

    def update(
        self, kind: ItemKind, changes: Sequence[ItemChange]
    ) -> list[Written | NotWritten | Gone]:
        of = CLASSES[kind]

        def compose(some: Sequence[Element]) -> Element:
            return payloads.update_items(some, SEND_TO_NONE)

        settings = [_changed(of, change) for change in changes]
        written: dict[str, Written | NotWritten | Gone] = {
            change.item_id: Written(change.item_id, change.change_key) for change in changes
        }
        asked = [(change, one) for change, one in zip(changes, settings, strict=True) if one]
        answers = self._requests.ask(
            UpdateItem,
            compose,
            [
                payloads.item_change(
                    payloads.item_id(change.item_id, change.change_key), of.tag, one
                )
                for change, one in asked
            ],
        )
        with faults_translated():
            for (change, _), answer in zip(asked, answers, strict=True):
                is_gone = _is_gone(answer)
                written[change.item_id] = Gone(change.item_id) if is_gone else _written(answer)
        return [written[change.item_id] for change in changes]

    def delete(self, kind: ItemKind, items: Sequence[Deletion]) -> list[Gone | NotWritten]:
        def compose(some: Sequence[Deletion]) -> Element:
            ids = [payloads.item_id(one.item_id) for one in some]
            return payloads.delete_items(ids, SEND_TO_NONE)

        return [
            NotWritten(answer)
            if isinstance(answer, Fault) and not _is_gone(answer)
            else Gone(one.item_id)
            for one, answer in zip(
                items, self._requests.ask(DeleteItem, compose, items), strict=True
            )
        ]

    @property
    def _requests(self) -> ItemRequests:
        return ItemRequests(self._conversation)


def _is_gone(answer: Answer) -> bool:
    return isinstance(answer, Fault) and answer.code == ITEM_GONE


def _read(of: ItemClass, item_id: str, answer: Answer) -> Item | NotRead | Gone:
    if _is_gone(answer):
        return Gone(item_id)
    if not isinstance(answer, Fault):
        return item(of, answer[0])
    if answer.scope is not Scope.EMAIL:
        raise FaultError(answer)  # the next request would meet it too
    return NotRead(item_id, answer)


def _new(of: ItemClass, new: NewItem) -> Element:
    element = create_element(f"t:{of.tag}")
    settings = [
        *of.settings_of_new(new.values),
        (RECORD_KEY, new.record_key or None),
        (CATEGORIES, texts("Categories", new.categories)),
    ]
    put_all(element, settings, of.order)
    return element


def _changed(of: ItemClass, change: ItemChange) -> list[Setting]:
    settings = [*of.settings(change.values)]
    if change.record_key is not None:
        settings.append((RECORD_KEY, change.record_key or None))
    return settings


def _written(answer: Answer) -> Written | NotWritten:
    return NotWritten(answer) if isinstance(answer, Fault) else Written(*ids_of(answer[0]))
