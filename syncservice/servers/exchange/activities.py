"""Appointments, contacts and tasks of an Exchange mailbox.

The organisation's stamp is a named property of the mailbox's Inbox folder: every organisation that
reaches the mailbox sees it, no person does, and it moves with the mailbox (F019). So is the key of
our record on each item.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from exchangelib import ExtendedProperty
from exchangelib.folders import Folder
from exchangelib.services import FindItem, GetItem

from syncservice.domain.attachments import Allowed
from syncservice.domain.faults import Fault, FaultError, Scope
from syncservice.domain.item_values import ItemKind, Values
from syncservice.servers.exchange import item_payloads as payloads
from syncservice.servers.exchange.access import Access
from syncservice.servers.exchange.answers import Answers, all_pages, can_be_sent
from syncservice.servers.exchange.changes import Changes
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.faults import UNREADABLE, faults_of_mailbox, faults_translated
from syncservice.servers.exchange.item_classes import (
    CLASSES,
    RECORD_KEY,
    ItemClass,
    item,
    listed_item,
)
from syncservice.servers.exchange.item_files import ATTACHMENTS, ItemFiles
from syncservice.servers.exchange.item_requests import BATCH, Answer, ItemRequests, is_gone
from syncservice.servers.exchange.item_writing import ItemWriter
from syncservice.servers.exchange.occurrences import with_occurrences
from syncservice.servers.exchange.properties import Element, named
from syncservice.servers.gateway import (
    Deletion,
    Gone,
    Item,
    ItemChange,
    ItemFile,
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

    def __init__(
        self,
        server: ExchangeServer,
        address: str,
        admit: Callable[[], None] = lambda: None,
        allowed_files: Allowed | None = None,
    ) -> None:
        """`allowed_files`: those of appointments that are kept in step; None: none are (F191)."""
        super().__init__(server, address, admit)
        self._files = ItemFiles(self._conversation, allowed_files) if allowed_files else None

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
        """As the gateway says; what has not the form that it should have is not read."""
        of, requests = CLASSES[kind], ItemRequests(self._conversation)
        files = self._files if kind is ItemKind.APPOINTMENT else None
        properties = (*of.properties_read, *((ATTACHMENTS,) if files else ()))

        def compose(ids: Sequence[str]) -> Element:
            return payloads.get_items(map(payloads.item_id, ids), properties)

        for start in range(0, len(item_ids), BATCH):
            ids = item_ids[start : start + BATCH]
            answers = requests.ask(GetItem, compose, ids)
            read = {
                item_id: _read(of, item_id, answer, self._address)
                for item_id, answer in zip(ids, answers, strict=True)
            }
            elements = {
                item_id: (answer[0], item)
                for item_id, answer in zip(ids, answers, strict=True)
                if not isinstance(answer, Fault) and isinstance(item := read[item_id], Item)
            }
            with faults_translated():
                whole = with_occurrences(requests, [*elements.values()])
            read |= dict(zip(elements, whole, strict=True))
            for item_id, (element, _) in elements.items() if files else ():
                one = read[item_id]
                if files and isinstance(one, Item):
                    read[item_id] = files.told(one, element)
            yield from (read[item_id] for item_id in ids)

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
        return ItemWriter(self._conversation, CLASSES[kind]).create(items)

    def update(
        self, kind: ItemKind, changes: Sequence[ItemChange]
    ) -> list[Written | NotWritten | Gone]:
        return ItemWriter(self._conversation, CLASSES[kind]).update(changes)

    def files(self, item_id: str) -> tuple[ItemFile, ...]:
        return self._files.of(item_id) if self._files else ()

    def put_files(
        self, item_id: str, change_key: str, add: Sequence[ItemFile], remove: Sequence[Values]
    ) -> Written | NotWritten | Gone:
        if self._files is None:
            return Written(item_id, change_key)
        return self._files.put(item_id, change_key, add, remove)

    def delete(self, kind: ItemKind, items: Sequence[Deletion]) -> list[Gone | NotWritten]:
        return ItemWriter(self._conversation, CLASSES[kind]).delete(items)


def _read(of: ItemClass, item_id: str, answer: Answer, owner: str) -> Item | NotRead | Gone:
    if is_gone(answer):
        return Gone(item_id)
    if not isinstance(answer, Fault):
        try:
            with faults_translated():
                return item(of, answer[0], owner.lower())
        except FaultError as error:
            return NotRead(item_id, dataclasses.replace(error.fault, scope=Scope.EMAIL))
    if answer.scope is not Scope.EMAIL:
        raise FaultError(answer)  # the next request would meet it too
    return NotRead(item_id, answer)
