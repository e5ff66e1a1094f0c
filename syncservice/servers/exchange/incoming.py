"""Incoming email of an Exchange mailbox: SyncFolderItems for ids, then GetItem for the messages.

exchangelib's `sync_items()` shows its new state only after the last page and asks for every field
(PITFALLS X14, X15), so its two services are called page by page, and their answers are read here:
the id, the size, the MIME text; not a model of 100 fields.
"""

import base64
import binascii
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

from exchangelib.errors import ErrorItemNotFound, EWSError
from exchangelib.items import ID_ONLY
from exchangelib.properties import FolderId, ItemId
from exchangelib.services import GetItem
from exchangelib.util import TNS

from syncservice.domain.faults import FaultError, Scope
from syncservice.servers.exchange.answers import LISTED, Answers, listed, moment, paths
from syncservice.servers.exchange.changes import Changes
from syncservice.servers.exchange.conversation import Conversation, ExchangeServer
from syncservice.servers.exchange.faults import (
    FOLDER_GONE,
    NO_FOLDER,
    UNREADABLE,
    fault_of_ews_error,
    fault_of_item,
    fault_of_response_code,
    faults_translated,
)
from syncservice.servers.exchange.organised import ExchangeOrganised
from syncservice.servers.exchange.searching import delete_items, find_message
from syncservice.servers.gateway import (
    INBOX,
    SENT_ITEMS,
    Fetched,
    Gone,
    Listed,
    NotFetched,
    Page,
)

#: Named as EWS names them; every other folder goes by its id.
_DISTINGUISHED = (INBOX, SENT_ITEMS)
#: A message whose size was not told may have so many, in its two encodings.
_UNTOLD_BYTES = 128 * 2**20


_Message = tuple[str, str, str, str]  # id, MIME text, time of receipt, item class
_Answer: TypeAlias = _Message | EWSError

_MIME = paths("mime_content", "datetime_received", "item_class")


class _ChangedIds(Changes):
    """Yields what is listed, the id of what left, or None for the rest."""

    def _elem_to_obj(self, elem: Any) -> Listed | str | None:
        change = self.change_types_map.get(elem.tag)
        if change == self.DELETE:
            return str(elem.find(f"{{{TNS}}}ItemId").attrib["Id"])
        return listed(elem[0]) if change in (self.CREATE, self.UPDATE) else None


class _Messages(Answers, GetItem):  # type: ignore[misc] # exchangelib has no types
    """GetItem that yields what `_Message` is, and every error in its item's place."""

    ERRORS_TO_CATCH_IN_RESPONSE = (EWSError,)

    def _elem_to_obj(self, elem: Any) -> _Message:
        return (
            elem.find(f"{{{TNS}}}ItemId").attrib["Id"],
            elem.findtext(f"{{{TNS}}}MimeContent") or "",
            elem.findtext(f"{{{TNS}}}DateTimeReceived") or "",
            elem.findtext(f"{{{TNS}}}ItemClass") or "",
        )


class ExchangeIncoming:
    """Incoming of `servers.gateway` for one Exchange mailbox."""

    def __init__(
        self, server: ExchangeServer, address: str, admit: Callable[[], None] = lambda: None
    ) -> None:
        """`admit` is called before each request, and may raise FaultError in its place."""
        self._conversation = Conversation(server, address, admit)
        self._cursor = ""  # of the Inbox, that was good last

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

    @property
    def organised(self) -> ExchangeOrganised:
        """The mailbox's folders and categories, asked for in this same conversation."""
        return ExchangeOrganised(self._conversation)

    def page(self, cursor: str, limit: int, folder: str = INBOX) -> Page:
        try:
            return self._page(cursor, limit, folder)
        except FaultError as error:
            if folder not in _DISTINGUISHED and error.fault.code in NO_FOLDER:
                raise FaultError(FOLDER_GONE) from error
            if error.fault.scope is Scope.EMAIL:  # none was asked for
                raise FaultError(UNREADABLE) from error
            raise

    def _page(self, cursor: str, limit: int, folder: str) -> Page:
        service = _ChangedIds(account=self._conversation.account)
        is_named = folder in _DISTINGUISHED
        with faults_translated():
            changes = list(
                service.call(
                    folder=self._conversation.folder(folder) if is_named else FolderId(id=folder),
                    shape=ID_ONLY,
                    additional_fields=LISTED,
                    sync_state=cursor or None,
                    ignore=None,
                    max_changes_returned=limit,
                    sync_scope=None,
                )
            )
        if not service.is_answered:
            raise FaultError(UNREADABLE)
        if folder == INBOX:
            self._cursor = cursor
        # The newest word on an item counts; a server may name one twice. No id comes back to life.
        items = {item.item_id: item for item in changes if isinstance(item, Listed)}
        removed = dict.fromkeys(change for change in changes if isinstance(change, str))
        # A state that doesn't move would page for ever; exchangelib breaks off there too (X14).
        state = service.sync_state or cursor
        is_last = bool(service.includes_last_item_in_range) or state == cursor
        kept = tuple(item for item in items.values() if item.item_id not in removed)
        return Page(kept, state, is_last, tuple(removed))

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

    def find(self, message_id: str) -> tuple[Listed, ...]:
        return find_message(self._conversation, message_id)

    def delete(self, item_ids: Sequence[str]) -> None:
        delete_items(self._conversation, item_ids)


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
    _, mime, received, item_class = answer
    try:
        content = base64.b64decode("".join(mime.split()), validate=True)
    except (binascii.Error, ValueError):  # ValueError: not even ASCII
        fault = fault_of_response_code("ErrorMimeContentInvalidBase64String", "unreadable", None)
        return NotFetched(item.item_id, item.size, fault, item.subject)
    return Fetched(item.item_id, content, moment(received), item_class)
