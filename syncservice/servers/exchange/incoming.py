"""Incoming email of an Exchange mailbox: SyncFolderItems for ids, then GetItem for the messages.

exchangelib's `sync_items()` shows its new state only after the last page and asks for every field
(PITFALLS X14, X15), so its two services are called page by page, and their answers are read here:
the id, the size, the MIME text; not a model of 100 fields.
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import requests
from exchangelib.errors import ErrorItemNotFound, EWSError, MalformedResponseError, SOAPError
from exchangelib.fields import FieldPath
from exchangelib.items import ID_ONLY, Message
from exchangelib.properties import DistinguishedFolderId, ItemId, Mailbox
from exchangelib.services import GetItem, SyncFolderItems
from exchangelib.util import MNS, SOAPNS, TNS
from lxml import etree

from syncservice.domain.faults import FaultError, Scope
from syncservice.servers.exchange.conversation import Conversation, ExchangeServer
from syncservice.servers.exchange.faults import (
    fault_of_ews_error,
    fault_of_item,
    fault_of_response_code,
    faults_translated,
)
from syncservice.servers.gateway import Fetched, Gone, Listed, NotFetched, Page

_FOLDER = "inbox"


def _paths(*names: str) -> list[FieldPath]:
    return [FieldPath(field=Message.get_field_by_fieldname(name)) for name in names]


_LISTED = _paths("size", "datetime_received", "subject")
_MIME = _paths("mime_content", "datetime_received")


class _Answers:
    """Mends how exchangelib reads answers: a byte at a time, and the first back-off value only."""

    @classmethod
    def _get_soap_parts(cls, response: requests.Response) -> tuple[Any, Any]:
        """Parse the answer whole: ten times as fast. A cut one is refused, never half read."""
        parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
        try:
            root = etree.fromstring(response.content, parser)
        except etree.XMLSyntaxError as error:
            raise SOAPError(f"Bad SOAP response: {error}") from error
        body = root.find(f"{{{SOAPNS}}}Body")
        if body is None:
            raise MalformedResponseError("No Body element in SOAP response")
        return root.find(f"{{{SOAPNS}}}Header"), body

    @staticmethod
    def _get_exception(code: str, text: str, msg_xml: Any = None, **more: Any) -> EWSError:
        error = GetItem._get_exception(code=code, text=text or "", msg_xml=msg_xml, **more)
        _attach_back_off(error, msg_xml)
        return error

    @classmethod
    def _raise_soap_errors(cls, fault: Any) -> None:
        try:
            super()._raise_soap_errors(fault=fault)  # type: ignore[misc] # of the service
        except EWSError as error:
            _attach_back_off(error, fault.find(f"detail/{{{TNS}}}MessageXml"))
            raise


def _attach_back_off(error: EWSError, msg_xml: Any) -> None:
    if msg_xml is None:
        return
    for value in msg_xml.iter(f"{{{TNS}}}Value"):
        if value.get("Name") == "BackOffMilliseconds" and (value.text or "").isdecimal():
            error.back_off = int(value.text) / 1000


class _ChangedIds(_Answers, SyncFolderItems):  # type: ignore[misc] # exchangelib has no types
    """SyncFolderItems that yields what is listed, or None for a change without a message."""

    def _get_element_container(self, message: Any, name: str | None = None) -> Any:
        if message.find(f"{{{MNS}}}SyncState") is None:  # some servers omit it in errors
            return super(SyncFolderItems, self)._get_element_container(message, name)
        return super()._get_element_container(message, name)

    def _elem_to_obj(self, elem: Any) -> Listed | None:
        change = self.change_types_map.get(elem.tag)
        if change not in (self.CREATE, self.UPDATE):
            return None
        item = elem[0]
        size = item.findtext(f"{{{TNS}}}Size") or "0"
        return Listed(
            item.find(f"{{{TNS}}}ItemId").get("Id"),
            int(size),
            _moment(item.findtext(f"{{{TNS}}}DateTimeReceived") or ""),
            item.findtext(f"{{{TNS}}}Subject") or "",
        )


class _Messages(_Answers, GetItem):  # type: ignore[misc] # exchangelib has no types
    """GetItem that yields (MIME text, time of receipt), and every error in its item's place."""

    ERRORS_TO_CATCH_IN_RESPONSE = (EWSError,)

    def _elem_to_obj(self, elem: Any) -> tuple[str, str]:
        return (
            elem.findtext(f"{{{TNS}}}MimeContent") or "",
            elem.findtext(f"{{{TNS}}}DateTimeReceived") or "",
        )


class ExchangeIncoming:
    """Incoming of `servers.gateway` for the Inbox of one Exchange mailbox."""

    def __init__(
        self, server: ExchangeServer, address: str, admit: Callable[[], None] = lambda: None
    ) -> None:
        """`admit` is called before each request, and may raise FaultError in its place."""
        self._address = address
        self._conversation = Conversation(server, address, admit)

    @property
    def requests(self) -> int:
        return self._conversation.requests

    def __enter__(self) -> Self:
        self._conversation.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._conversation.__exit__(kind, error, traceback)

    def page(self, cursor: str, limit: int) -> Page:
        account = self._conversation.account
        service = _ChangedIds(account=account)
        with faults_translated():
            changes = list(
                service.call(
                    folder=DistinguishedFolderId(
                        id=_FOLDER, mailbox=Mailbox(email_address=self._address)
                    ),
                    shape=ID_ONLY,
                    additional_fields=_LISTED,
                    sync_state=cursor or None,
                    ignore=None,
                    max_changes_returned=limit,
                    sync_scope=None,
                )
            )
        # The newest word on an item counts; a server may name one twice.
        items = {item.item_id: item for item in changes if isinstance(item, Listed)}
        # A state that doesn't move would page for ever; exchangelib breaks off there too (X14).
        stuck = service.sync_state == cursor
        is_last = bool(service.includes_last_item_in_range) or stuck
        return Page(tuple(items.values()), service.sync_state or "", is_last)

    def fetch(self, items: Sequence[Listed]) -> Iterator[Fetched | NotFetched | Gone]:
        service = _Messages(account=self._conversation.account, chunk_size=max(len(items), 1))
        with faults_translated():
            answers = list(
                service.call(
                    items=[ItemId(id=item.item_id) for item in items],
                    additional_fields=_MIME,
                    shape=ID_ONLY,
                )
            )
        if len(answers) != len(items):
            raise FaultError(
                fault_of_response_code(
                    "ErrorInternalServerError",
                    f"the server gave {len(answers)} answers for {len(items)} messages",
                    None,
                )
            )
        # One item's trouble is its own when another came; nobody else to ask when it is alone.
        alone = len(answers) == 1 or any(isinstance(answer, tuple) for answer in answers)
        return (_answer(*pair, alone) for pair in zip(items, answers, strict=True))


def _answer(
    item: Listed, answer: tuple[str, str] | EWSError, alone: bool
) -> Fetched | NotFetched | Gone:
    """Translate one item's answer; `alone`: an error of an unknown kind is this item's only."""
    if isinstance(answer, ErrorItemNotFound):
        return Gone(item.item_id)
    if isinstance(answer, EWSError):
        fault = fault_of_item(fault_of_ews_error(answer), alone)
        if fault.scope is not Scope.EMAIL:
            raise FaultError(fault) from answer  # it would meet the next request too
        return NotFetched(item.item_id, item.size, fault, item.subject)
    mime, received = answer
    try:
        content = base64.b64decode(mime)
    except binascii.Error:
        fault = fault_of_response_code("ErrorMimeContentInvalidBase64String", "unreadable", None)
        return NotFetched(item.item_id, item.size, fault, item.subject)
    return Fetched(item.item_id, content, _moment(received))


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
