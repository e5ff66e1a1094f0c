"""Messages of the Inbox by their Message-ID, and taking away what was processed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from exchangelib.errors import ErrorItemNotFound, EWSError
from exchangelib.items import (
    ID_ONLY,
    MOVE_TO_DELETED_ITEMS,
    SEND_TO_NONE,
    SHALLOW,
    SPECIFIED_OCCURRENCE_ONLY,
)
from exchangelib.properties import ItemId
from exchangelib.services import DeleteItem, FindItem
from exchangelib.util import create_element

from syncservice.domain.faults import Fault, FaultError, Scope
from syncservice.servers.exchange.answers import (
    LISTED,
    Answers,
    all_pages,
    can_be_sent,
    listed,
)
from syncservice.servers.exchange.conversation import Conversation
from syncservice.servers.exchange.faults import (
    fault_of_ews_error,
    fault_of_item,
    faults_of_mailbox,
    faults_translated,
)
from syncservice.servers.gateway import INBOX, Listed, NotDeleted

#: More ids make one request run into the server's time limit: each is an operation of its own.
_BATCH = 100


class _Found(Answers, FindItem):  # type: ignore[misc] # exchangelib has no types
    """FindItem whose every error is raised."""

    ERRORS_TO_CATCH_IN_RESPONSE = WARNINGS_TO_CATCH_IN_RESPONSE = ()


class _Deleted(Answers, DeleteItem):  # type: ignore[misc] # exchangelib has no types
    """DeleteItem that yields every error in its item's place."""

    ERRORS_TO_CATCH_IN_RESPONSE = (EWSError,)


@dataclass(frozen=True, slots=True)
class _HasMessageId:
    """The restriction; exchangelib's own would ask the folder which fields there are."""

    message_id: str

    def to_xml(self, version: Any) -> Any:
        restriction = create_element("m:Restriction")
        equal = create_element("t:IsEqualTo")
        equal.append(create_element("t:FieldURI", attrs={"FieldURI": "message:InternetMessageId"}))
        operand = create_element("t:FieldURIOrConstant")
        operand.append(create_element("t:Constant", attrs={"Value": self.message_id}))
        equal.append(operand)
        restriction.append(equal)
        return restriction


def find_message(conversation: Conversation, message_id: str) -> tuple[Listed, ...]:
    """Return the items of the Inbox with this Message-ID, or raise FaultError."""
    if not can_be_sent(message_id):
        return ()
    with faults_of_mailbox():
        found = all_pages(
            _Found(account=conversation.account),
            conversation.folder(INBOX),
            additional_fields=LISTED,
            restriction=_HasMessageId(message_id),
            order_fields=None,
            query_string=None,
            shape=ID_ONLY,
            depth=SHALLOW,
            calendar_view=None,
        )
        return tuple(map(listed, found))


def delete_items(
    conversation: Conversation, item_ids: Sequence[str], disposal: str = MOVE_TO_DELETED_ITEMS
) -> int:
    """Delete items, or raise FaultError; return how many were not gone already.

    One that can't be deleted keeps no other from it: NotDeleted is raised at the end.
    """
    service = _Deleted(account=conversation.account, chunk_size=_BATCH)
    deleted = 0
    refused: dict[str, Fault] = {}
    with faults_translated():
        answers = service.call(
            items=[ItemId(id=item_id) for item_id in item_ids],
            # "Delete after processing" is a mailbox's setting, and whoever set it by mistake wants
            # the mail back: from Deleted Items a person can take it, and the server empties them.
            delete_type=disposal,
            send_meeting_cancellations=SEND_TO_NONE,
            affected_task_occurrences=SPECIFIED_OCCURRENCE_ONLY,
            suppress_read_receipts=True,  # else its sender is told "deleted without being read"
        )
        for item_id, answer in zip(item_ids, answers, strict=False):  # in their order
            if not isinstance(answer, EWSError):
                deleted += 1
            elif not isinstance(answer, ErrorItemNotFound):
                fault = fault_of_item(fault_of_ews_error(answer), is_items_own=True)
                if fault.scope is not Scope.EMAIL:
                    raise FaultError(fault) from answer  # it would meet the next request too
                refused[item_id] = fault
    if refused:
        raise NotDeleted(next(iter(refused.values())), refused)
    return deleted
