"""SyncFolderItems and SyncFolderHierarchy."""

from collections.abc import Callable

from syncservice.simulator.exchange.change_log import Change
from syncservice.simulator.exchange.context import Context, one_child
from syncservice.simulator.exchange.errors import EwsError, schema_violation
from syncservice.simulator.exchange.faults import Fault
from syncservice.simulator.exchange.folder import Folder
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.markup import M, child_text, children, line_of
from syncservice.simulator.exchange.shapes import (
    FolderShape,
    ItemShape,
    folder_id,
    read_folder_shape,
    read_item_shape,
)
from syncservice.simulator.exchange.soap import failure, response, success
from syncservice.simulator.exchange.sync_state import read_state, write_state

#: Changes of the hierarchy in one answer; clients cannot ask for fewer.
HIERARCHY_LIMIT = 10_000


def bound_to(context: Context, operation: str, folder: Folder) -> str:
    """What a sync state is good for: this run and epoch, operation and folder."""
    return f"{context.store.run.hex()} {context.store.sync_epoch} {operation} {folder.id}"


def sync_folder_items(context: Context) -> str:
    """The net changes of a folder since a sync state."""
    element = context.element
    shape = read_item_shape(one_child(element, M + "ItemShape"), in_list=True)
    limit_text = (one_child(element, M + "MaxChangesReturned").text or "").strip()
    if not limit_text.isdigit() or not 1 <= int(limit_text) <= 512:
        raise schema_violation(
            f"The 'MaxChangesReturned' element is invalid - The value '{limit_text}' is invalid "
            "according to its datatype 'MaxSyncChangesReturnedType'.",
            line_of(element),
        )
    ignored = {one.get("Id") for one in children(element.find(M + "Ignore"))}

    def page() -> str:
        _, folder = synced_folder(context, "SyncFolderItems")
        seal = bound_to(context, "SyncFolderItems", folder)
        since = read_state(child_text(element, M + "SyncState"), seal)
        found = folder.log.page(since, int(limit_text))
        changes = "".join(
            write_change(change, item, shape)
            for change, item in found.changes
            if item.id not in ignored
        )
        return (
            f"<m:SyncState>{write_state(found.position, seal)}</m:SyncState>"
            f"<m:IncludesLastItemInRange>{'true' if found.is_last else 'false'}"
            f"</m:IncludesLastItemInRange><m:Changes>{changes}</m:Changes>"
        )

    empty = "<m:SyncState/><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange>"
    return answered(context, "SyncFolderItems", page, empty)


def write_change(change: Change, item: Item, shape: ItemShape) -> str:
    """One change of an item."""
    if change is Change.DELETE:
        inner = f'<t:ItemId Id="{item.id}" ChangeKey="{item.change_key}"/>'
    elif change is Change.READ_FLAG:
        inner = (
            f'<t:ItemId Id="{item.id}" ChangeKey="{item.change_key}"/>'
            f"<t:IsRead>{item.text('IsRead', 'false')}</t:IsRead>"
        )
    else:
        inner = shape.write(item)
    return f"<t:{change.value}>{inner}</t:{change.value}>"


def sync_folder_hierarchy(context: Context) -> str:
    """The net changes below a folder since a sync state; without a folder, of the whole mailbox."""
    element = context.element
    shape = read_folder_shape(one_child(element, M + "FolderShape"))

    def page() -> str:
        mailbox, top = synced_folder(context, "SyncFolderHierarchy")
        seal = bound_to(context, "SyncFolderHierarchy", top)
        since = read_state(child_text(element, M + "SyncState"), seal)
        found = mailbox.hierarchy.page(since, HIERARCHY_LIMIT)
        changes = "".join(
            write_folder_change(change, folder, shape)
            for change, folder in found.changes
            if change is Change.DELETE or is_below(folder, top)
        )
        return (
            f"<m:SyncState>{write_state(found.position, seal)}</m:SyncState>"
            f"<m:IncludesLastFolderInRange>{'true' if found.is_last else 'false'}"
            f"</m:IncludesLastFolderInRange><m:Changes>{changes}</m:Changes>"
        )

    empty = "<m:SyncState/><m:IncludesLastFolderInRange>true</m:IncludesLastFolderInRange>"
    return answered(context, "SyncFolderHierarchy", page, empty)


def write_folder_change(change: Change, folder: Folder, shape: FolderShape) -> str:
    """One change of a folder."""
    inner = folder_id(folder) if change is Change.DELETE else shape.write(folder)
    return f"<t:{change.value}>{inner}</t:{change.value}>"


def is_below(folder: Folder, top: Folder) -> bool:
    """Whether `folder` stands somewhere below `top`."""
    parent = folder.parent
    while parent is not None and parent is not top:
        parent = parent.parent
    return parent is top


def synced_folder(context: Context, operation: str) -> tuple[Mailbox, Folder]:
    """The folder to be synced; a missing one has an error of its own."""
    try:
        named = context.target_folder(M + "SyncFolderId")
    except EwsError as error:
        if error.code in ("ErrorItemNotFound", "ErrorFolderNotFound"):
            raise EwsError("ErrorSyncFolderNotFound") from error
        raise
    if named is not None:
        return named
    if operation == "SyncFolderItems":
        raise schema_violation("The element 'SyncFolderId' is missing.")
    return context.own, context.own.well_known["msgfolderroot"]


def answered(context: Context, operation: str, page: Callable[[], str], empty: str) -> str:
    """One response message with the page, or with an error and an empty state."""
    fault = context.fault_for(0, context.element) or sync_concurrency(context, operation)
    try:
        message = refused(operation, fault, empty) if fault else success(operation, page())
    except EwsError as error:
        message = failure(operation, error.code, empty, text=error.text, values=error.values)
    return response(operation, [message])


def sync_concurrency(context: Context, operation: str) -> Fault | None:
    """The fault of too many sync calls at once."""
    found = [one for one in context.faults if one.kind == "sync_concurrency"]
    return found[0] if found and operation == "SyncFolderItems" else None


def refused(operation: str, fault: Fault, empty: str) -> str:
    """The response message of a fault on demand."""
    code = "ErrorServerBusy" if fault.kind == "sync_concurrency" else fault.code
    return failure(operation, code, empty, text=fault.text or None, values=fault.back_off)
