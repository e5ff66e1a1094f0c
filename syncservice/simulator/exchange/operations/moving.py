"""DeleteItem, MoveItem, CopyItem and SendItem."""

from collections.abc import Callable

from syncservice.simulator.exchange import derived
from syncservice.simulator.exchange.context import Context, attribute, required_children
from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.folder import Folder
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.mailbox import DISPOSALS, Mailbox
from syncservice.simulator.exchange.markup import Element, M, truth
from syncservice.simulator.exchange.meeting_mail import Sending
from syncservice.simulator.exchange.meetings import cancel_for_all
from syncservice.simulator.exchange.operations.creating import INVITATIONS, choice

EMPTY = "<m:Items/>"


def delete_item(context: Context) -> str:
    """Delete items for good, or move them to Deleted Items."""
    element = context.element
    disposal = attribute(element, "DeleteType", DISPOSALS)
    sending = Sending(choice(element, "SendMeetingCancellations", INVITATIONS))

    def delete(one: Element) -> str:
        mailbox, item = context.item(one)
        if item.element == "CalendarItem" and element.get("SendMeetingCancellations") is None:
            raise EwsError("ErrorSendMeetingCancellationsRequired")
        if item.element == "Task" and element.get("AffectedTaskOccurrences") is None:
            raise EwsError("ErrorAffectedTaskOccurrencesRequired")
        if item.element == "CalendarItem" and sending.is_on:
            cancel_for_all(context.store, mailbox, item, sending)
        mailbox.delete(item, disposal)
        return ""

    return context.each("DeleteItem", required_children(element, M + "ItemIds"), delete)


def move_item(context: Context) -> str:
    """Move items; each gets a new id."""
    return transfer(context, "MoveItem", Mailbox.move)


def copy_item(context: Context) -> str:
    """Copy items."""
    return transfer(context, "CopyItem", Mailbox.copy)


def transfer(
    context: Context, operation: str, work: Callable[[Mailbox, Item, Folder], Item]
) -> str:
    """Put items, or copies of them, into another folder."""
    target_id = required_children(context.element, M + "ToFolderId")[0]

    def put(one: Element) -> str:
        mailbox, item = context.item(one)
        target_mailbox, target = context.folder(target_id)
        if target_mailbox is not mailbox:
            raise EwsError("ErrorMoveCopyFailed")
        twin = work(mailbox, item, target)
        return f"<m:Items><t:{twin.element}>{derived.item_id(twin)}</t:{twin.element}></m:Items>"

    return context.each(operation, required_children(context.element, M + "ItemIds"), put, EMPTY)


def send_item(context: Context) -> str:
    """Send drafts; the sent copy's new id is not told."""
    element = context.element
    keeps = attribute(element, "SaveItemToFolder", ("true", "false", "1", "0"))

    def send(one: Element) -> str:
        mailbox, item = context.item(one)
        version = context.version_of(one)
        if version is None:
            raise EwsError("ErrorChangeKeyRequiredForWriteOperations")
        if version != item.version:
            raise EwsError("ErrorStaleObject")
        if item.element != "Message":
            raise EwsError("ErrorInvalidItemForOperationSendItem")
        named = context.target_folder(M + "SavedItemFolderId")
        target = named[1] if named else mailbox.well_known["sentitems"]
        context.store.send_draft(mailbox, item, target if truth(keeps) else None)
        return ""

    return context.each("SendItem", required_children(element, M + "ItemIds"), send)
