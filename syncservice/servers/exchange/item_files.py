"""Files of appointments, fetched and put one by one: each may be as large as a whole answer (F191).

Exchange tells of an attachment's name and length, not of its content, so what a file is is known
once it is here. What the body shows, and items that are attached, are no files.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from exchangelib.services import CreateAttachment, DeleteAttachment, GetAttachment, GetItem

from syncservice.domain.attachments import Allowed
from syncservice.domain.faults import Fault, FaultError, Scope
from syncservice.domain.item_values import Values
from syncservice.servers.exchange import item_payloads as payloads
from syncservice.servers.exchange.answers import sendable
from syncservice.servers.exchange.conversation import Conversation
from syncservice.servers.exchange.faults import UNREADABLE, faults_translated, number_in
from syncservice.servers.exchange.item_classes import ids_of
from syncservice.servers.exchange.item_requests import (
    CHANGED_MEANWHILE,
    Answer,
    ItemRequests,
    is_gone,
)
from syncservice.servers.exchange.properties import Element, Plain, named
from syncservice.servers.gateway import Gone, Item, ItemFile, NotRead, NotWritten, Written

ATTACHMENTS = Plain("item:Attachments")
#: Exchange counts an attachment's properties in its length.
_PROPERTIES = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Attached:
    attachment_id: str
    file: ItemFile

    @property
    def key(self) -> tuple[str, str]:
        return _key(self.file.value)


class ItemFiles:
    """The files of single items, within a conversation that somebody else opens and ends."""

    def __init__(self, conversation: Conversation, allowed: Allowed) -> None:
        self._allowed = allowed
        self._requests = ItemRequests(
            conversation, at_once=1, bytes_of_item=2 * allowed.most_bytes + _PROPERTIES
        )

    def told(self, item: Item, element: Element) -> Item | NotRead:
        """Return an item with what its files are; its element has ATTACHMENTS."""
        if item.values["recurrence"] is not None:
            return item  # of a series, none are kept in step (F191)
        try:
            found = {one.key: one.file.value for one in self._attached(element)}
        except FaultError as error:
            return NotRead(item.item_id, _own(error))
        values = {**item.values, "attachments": [found[key] for key in sorted(found)]}
        return replace(item, values=values)

    def of(self, item_id: str) -> tuple[ItemFile, ...]:
        """As `files` of the gateway."""
        answer = self._look(item_id)
        if is_gone(answer):
            return ()
        if isinstance(answer, Fault):
            raise FaultError(answer)
        return tuple(one.file for one in self._attached(answer[0]))

    def put(
        self, item_id: str, change_key: str, add: Sequence[ItemFile], remove: Sequence[Values]
    ) -> Written | NotWritten | Gone:
        """As `put_files` of the gateway."""
        answer = self._look(item_id)
        if is_gone(answer):
            return Gone(item_id)
        if isinstance(answer, Fault):
            return NotWritten(answer)
        with faults_translated():
            key = ids_of(answer[0])[1]
        if key != change_key:
            return NotWritten(CHANGED_MEANWHILE)
        try:
            attached = list(self._attached(answer[0]))
            leaving = {_key(one) for one in remove}
            for one in attached:
                if one.key in leaving:
                    key = self._asked(DeleteAttachment, _delete(one.attachment_id))
            there = {one.key for one in attached} - leaving
            for file in {_key(file.value): file for file in add}.values():
                if _key(file.value) not in there and self._keeps(file):
                    key = self._asked(CreateAttachment, _create(item_id, key, file))
        except FaultError as error:
            return NotWritten(_own(error))
        return Written(item_id, key)

    def _look(self, item_id: str) -> Answer:
        def compose(ids: Sequence[str]) -> Element:
            return payloads.get_items(map(payloads.item_id, ids), (ATTACHMENTS,))

        return self._requests.ask(GetItem, compose, [item_id])[0]

    def _attached(self, element: Element) -> Iterator[_Attached]:
        """Yield the files of an item, fetched, or raise FaultError."""
        with faults_translated():
            wanted = [*self._listed(element)]
        for attachment_id in wanted:
            answer = self._answer(GetAttachment, _get(attachment_id))
            with faults_translated():
                file = _read(answer[0])
            if self._keeps(file):
                yield _Attached(attachment_id, file)

    def _listed(self, element: Element) -> Iterator[str]:
        """Yield the ids of the attachments that may be files which are let in."""
        for one in element.iterfind(f"{named('Attachments')}/{named('FileAttachment')}"):
            name = one.findtext(named("Name")) or ""
            size = (number_in(one.findtext(named("Size"))) or 0) - _PROPERTIES
            is_inline = one.findtext(named("IsInline")) in ("true", "1")
            if name and not is_inline and self._allowed.keeps(name, size):
                yield one.find(named("AttachmentId")).attrib["Id"]

    def _keeps(self, file: ItemFile) -> bool:
        return self._allowed.keeps(file.name, len(file.content))

    def _asked(self, service: type, request: Element) -> str:
        """Make a request that writes; return the item's key after it."""
        answer = self._answer(service, request)
        with faults_translated():
            return next(
                str(one.attrib["RootItemChangeKey"])
                for one in answer.iter()
                if "RootItemChangeKey" in one.attrib
            )

    def _answer(self, service: type, request: Element) -> Element:
        answer = self._requests.ask(service, lambda some: some[0], [request])[0]
        if isinstance(answer, Fault):
            raise FaultError(answer)
        return answer


def _own(error: FaultError) -> Fault:
    """Return a fault that is the item's own, or raise it: the others would meet it, too."""
    if error.fault == UNREADABLE:
        return replace(error.fault, scope=Scope.EMAIL)
    if error.fault.scope is not Scope.EMAIL:
        raise error
    return error.fault


def _key(value: Values) -> tuple[str, str]:
    return value["name"], value["digest"]


def _read(element: Element) -> ItemFile:
    return ItemFile(
        element.findtext(named("Name")) or "",
        element.findtext(named("ContentType")) or "",
        base64.b64decode(element.findtext(named("Content")) or ""),
    )


def _get(attachment_id: str) -> Element:
    return payloads.attachments("m:GetAttachment", attachment_id)


def _delete(attachment_id: str) -> Element:
    return payloads.attachments("m:DeleteAttachment", attachment_id)


def _create(item_id: str, change_key: str, file: ItemFile) -> Element:
    said: Mapping[str, str] = {
        "Name": sendable(file.name),
        "ContentType": sendable(file.content_type),
        "Content": base64.b64encode(file.content).decode(),
    }
    return payloads.create_attachment(item_id, change_key, said)
