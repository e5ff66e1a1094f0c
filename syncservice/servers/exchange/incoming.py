"""Incoming email of an Exchange mailbox: SyncFolderItems for ids, then GetItem for the messages.

exchangelib's `sync_items()` shows its new state only after the last page and asks for every field
(PITFALLS X14, X15), so its two services are called page by page, and their answers are read here:
the id, the size, the MIME text; not a model of 100 fields.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeAlias

import requests
from exchangelib import errors
from exchangelib.errors import ErrorItemNotFound, EWSError, MalformedResponseError, SOAPError
from exchangelib.fields import FieldPath
from exchangelib.items import ID_ONLY, Message
from exchangelib.properties import DistinguishedFolderId, ItemId, Mailbox
from exchangelib.services import GetItem, SyncFolderItems
from exchangelib.util import ENS, MNS, SOAPNS, TNS
from lxml import etree

from syncservice.domain.faults import FaultError, Scope
from syncservice.domain.message import FIRST_YEAR, LAST_YEAR
from syncservice.servers.exchange.conversation import Conversation, ExchangeServer
from syncservice.servers.exchange.faults import (
    UNREADABLE,
    UnheardOf,
    fault_of_ews_error,
    fault_of_item,
    fault_of_response_code,
    faults_translated,
    number_in,
)
from syncservice.servers.gateway import Fetched, Gone, Listed, NotFetched, Page

_FOLDER = "inbox"
#: A message whose size was not told may have so many, in its two encodings.
_UNTOLD_BYTES = 128 * 2**20


def _paths(*names: str) -> list[FieldPath]:
    return [FieldPath(field=Message.get_field_by_fieldname(name)) for name in names]


_Message = tuple[str, str, str]  # id, MIME text, time of receipt
_Answer: TypeAlias = _Message | EWSError

#: Of XML 1.0, section 2.2.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile("&#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,9}));")

_LISTED = _paths("size", "datetime_received", "subject")
_MIME = _paths("mime_content", "datetime_received")


class _Answers:
    """Mends how exchangelib reads answers: a byte at a time, and the first back-off value only."""

    @classmethod
    def _get_soap_parts(cls, response: requests.Response) -> tuple[Any, Any]:
        """Parse the answer whole: ten times as fast. A cut one is refused, never half read."""
        root = _root_of(response.content)
        body = root.find(f"{{{SOAPNS}}}Body")
        if body is None:
            raise MalformedResponseError("No Body element in SOAP response")
        return root.find(f"{{{SOAPNS}}}Header"), body

    @staticmethod
    def _get_exception(code: str, text: str, msg_xml: Any = None, **more: Any) -> EWSError:
        text = text or ""
        if code and not hasattr(errors, code):
            return UnheardOf(code, text)
        error = GetItem._get_exception(code=code, text=text, msg_xml=msg_xml, **more)
        _attach_back_off(error, msg_xml)
        return error

    @classmethod
    def _raise_soap_errors(cls, fault: Any) -> None:
        code = fault.findtext(f"detail/{{{ENS}}}ResponseCode", "").strip()
        if code.startswith("Error") and not hasattr(errors, code):
            raise UnheardOf(code, fault.findtext(f"detail/{{{ENS}}}Message", ""))
        try:
            super()._raise_soap_errors(fault=fault)  # type: ignore[misc] # of the service
        except EWSError as error:
            _attach_back_off(error, fault.find(f"detail/{{{TNS}}}MessageXml"))
            raise


def _attach_back_off(error: EWSError, msg_xml: Any) -> None:
    if msg_xml is None:
        return
    for value in msg_xml.iter(f"{{{TNS}}}Value"):
        milliseconds = number_in(value.text) if value.get("Name") == "BackOffMilliseconds" else None
        if milliseconds is not None:
            error.back_off = milliseconds / 1000


def _root_of(content: bytes) -> Any:
    """Parse an answer; raise SOAPError when it is none, FaultError when it is a broken one.

    SOAP 1.1 has no DTD (section 3), so there is nothing good in one; nor may it hide behind another
    encoding than that of EWS.
    """
    reason = "it has a DTD"
    for text in (content, _without_forbidden(content)):
        parser = etree.XMLParser(
            encoding="utf-8", resolve_entities=False, no_network=True, huge_tree=True
        )
        try:
            if b"<!DOCTYPE" not in text:
                return etree.fromstring(text, parser)
        except etree.XMLSyntaxError as error:
            reason = str(error)
    if b"Envelope" in content[:1000]:
        raise FaultError(UNREADABLE)
    raise SOAPError(f"Bad SOAP response: {reason}")


def _without_forbidden(content: bytes) -> bytes:
    """Replace what XML forbids; Exchange gives out subjects as their senders wrote them."""
    text = _FORBIDDEN.sub("\ufffd", content.decode("utf-8", "replace"))
    return _REFERENCE.sub(_allowed, text).encode()


def _allowed(reference: re.Match[str]) -> str:
    number = int(reference[1], 16) if reference[1] else int(reference[2])
    is_allowed = number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF
    return reference[0] if is_allowed and not _FORBIDDEN.match(chr(number)) else "\ufffd"


class _ChangedIds(_Answers, SyncFolderItems):  # type: ignore[misc] # exchangelib has no types
    """SyncFolderItems that yields what is listed, or None for a change without a message."""

    #: exchangelib would hand some out as if they were changes, and the page would be an empty one.
    ERRORS_TO_CATCH_IN_RESPONSE = WARNINGS_TO_CATCH_IN_RESPONSE = ()
    is_answered = False  # there was an answer in the answer

    def _get_element_container(self, message: Any, name: str | None = None) -> Any:
        self.is_answered = True
        if message.find(f"{{{MNS}}}SyncState") is None:  # some servers omit it in errors
            return super(SyncFolderItems, self)._get_element_container(message, name)
        return super()._get_element_container(message, name)

    def _elem_to_obj(self, elem: Any) -> Listed | None:
        change = self.change_types_map.get(elem.tag)
        if change not in (self.CREATE, self.UPDATE):
            return None
        item = elem[0]
        return Listed(
            item.find(f"{{{TNS}}}ItemId").attrib["Id"],
            number_in(item.findtext(f"{{{TNS}}}Size")) or 0,
            _moment(item.findtext(f"{{{TNS}}}DateTimeReceived") or ""),
            item.findtext(f"{{{TNS}}}Subject") or "",
        )


class _Messages(_Answers, GetItem):  # type: ignore[misc] # exchangelib has no types
    """GetItem that yields (id, MIME text, time of receipt), and every error in its item's place."""

    ERRORS_TO_CATCH_IN_RESPONSE = (EWSError,)

    def _elem_to_obj(self, elem: Any) -> _Message:
        return (
            elem.find(f"{{{TNS}}}ItemId").attrib["Id"],
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
        self._cursor = ""  # that was good last

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
        try:
            return self._page(cursor, limit)
        except FaultError as error:
            if error.fault.scope is Scope.EMAIL:  # none was asked for
                raise FaultError(UNREADABLE) from error
            raise

    def _page(self, cursor: str, limit: int) -> Page:
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
        if not service.is_answered:
            raise FaultError(UNREADABLE)
        self._cursor = cursor
        # The newest word on an item counts; a server may name one twice.
        items = {item.item_id: item for item in changes if isinstance(item, Listed)}
        # A state that doesn't move would page for ever; exchangelib breaks off there too (X14).
        state = service.sync_state or cursor
        is_last = bool(service.includes_last_item_in_range) or state == cursor
        return Page(tuple(items.values()), state, is_last)

    def fetch(self, items: Sequence[Listed]) -> Iterator[Fetched | NotFetched | Gone]:
        service = _Messages(account=self._conversation.account, chunk_size=max(len(items), 1))
        with (
            faults_translated(),
            self._conversation.answers_up_to(sum(map(_most_bytes, items))),
        ):
            answers = list(
                service.call(
                    items=[ItemId(id=item.item_id) for item in items],
                    additional_fields=_MIME,
                    shape=ID_ONLY,
                )
            )
        if len(answers) != len(items) and answers and not any(map(_is_message, answers)):
            raise FaultError(fault_of_ews_error(answers[0]))  # it stands for each of them
        # One item's trouble is its own when another came; nobody else to ask when it is alone.
        is_items_own = len(answers) == 1 or any(map(_is_message, answers))
        return (_answer(*pair, is_items_own) for pair in _paired(items, answers))

    def check(self) -> None:
        self.page(self._cursor, 1)


def _is_message(answer: _Answer) -> bool:
    return isinstance(answer, tuple)


def _most_bytes(item: Listed) -> int:
    """Return how long the answer for one item may be; no server's size is wrong by that much.

    Base64 is in base64 there, and Exchange counts neither.
    """
    return (4 * item.size if item.size else _UNTOLD_BYTES) + 2**20


def _paired(items: Sequence[Listed], answers: list[_Answer]) -> Iterator[tuple[Listed, _Answer]]:
    """Give each answer its item. Errors have no id: they stand where the item was asked for."""
    by_id = {item.item_id: item for item in items}
    in_order = items if len(answers) == len(items) else ()
    for place, answer in enumerate(answers):
        if isinstance(answer, tuple):
            if answer[0] in by_id:
                yield by_id[answer[0]], answer
        elif in_order:
            yield in_order[place], answer


def _answer(item: Listed, answer: _Answer, is_items_own: bool) -> Fetched | NotFetched | Gone:
    """Translate one item's answer; `is_items_own`: so is an error of an unknown kind."""
    if isinstance(answer, ErrorItemNotFound):
        return Gone(item.item_id)
    if isinstance(answer, EWSError):
        fault = fault_of_item(fault_of_ews_error(answer), is_items_own)
        if fault.scope is not Scope.EMAIL:
            raise FaultError(fault) from answer  # it would meet the next request too
        return NotFetched(item.item_id, item.size, fault, item.subject)
    _, mime, received = answer
    try:
        content = base64.b64decode("".join(mime.split()), validate=True)
    except (binascii.Error, ValueError):  # ValueError: not even ASCII
        fault = fault_of_response_code("ErrorMimeContentInvalidBase64String", "unreadable", None)
        return NotFetched(item.item_id, item.size, fault, item.subject)
    return Fetched(item.item_id, content, _moment(received))


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else None
