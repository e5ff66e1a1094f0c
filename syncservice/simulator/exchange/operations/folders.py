"""The operations on folders."""

from syncservice.simulator.exchange import schema
from syncservice.simulator.exchange.context import (
    Context,
    attribute,
    one_child,
    required_children,
)
from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.folder import Folder
from syncservice.simulator.exchange.mailbox import DISPOSALS, Mailbox
from syncservice.simulator.exchange.markup import Element, M, T, child_text, children, local, truth
from syncservice.simulator.exchange.paths import (
    ExtendedPath,
    FieldPath,
    extended_value,
    read_extended,
    read_path,
)
from syncservice.simulator.exchange.restrictions import folder_filter
from syncservice.simulator.exchange.shapes import folder_id, read_folder_shape
from syncservice.simulator.exchange.views import read_page_view, root_folder

FOLDER_CLASSES = {
    "Folder": "IPF.Note",
    "CalendarFolder": "IPF.Appointment",
    "ContactsFolder": "IPF.Contact",
    "TasksFolder": "IPF.Task",
}
EMPTY = "<m:Folders/>"
BOOLEANS = ("true", "false", "1", "0")


def listed(written: str) -> str:
    """The payload with one folder."""
    return f"<m:Folders>{written}</m:Folders>"


def named(folder: Folder) -> str:
    """The payload with a folder's id alone."""
    return listed(f"<t:{folder.element}>{folder_id(folder)}</t:{folder.element}>")


def get_folder(context: Context) -> str:
    """Folders by id."""
    shape = read_folder_shape(one_child(context.element, M + "FolderShape"))
    ids = required_children(context.element, M + "FolderIds")
    return context.each(
        "GetFolder", ids, lambda one: listed(shape.write(context.folder(one)[1])), EMPTY
    )


def find_folder(context: Context) -> str:
    """The folders below others."""
    element = context.element
    traversal = attribute(element, "Traversal", ("Shallow", "Deep", "SoftDeleted"))
    shape = read_folder_shape(one_child(element, M + "FolderShape"))
    view = read_page_view(element.find(M + "IndexedPageFolderView"))
    matches = folder_filter(element.find(M + "Restriction"))

    def find(one: Element) -> str:
        _, parent = context.folder(one)
        below = parent.descendants() if traversal == "Deep" else parent.subfolders
        found = [folder for folder in below if matches(folder)]
        start, end = view.bounds(len(found))
        inner = "".join(shape.write(folder) for folder in found[start:end])
        return root_folder("Folders", inner, end, len(found))

    return context.each("FindFolder", required_children(element, M + "ParentFolderIds"), find)


def create_folder(context: Context) -> str:
    """New folders below a parent."""
    parent_id = required_children(context.element, M + "ParentFolderId")[0]

    def create(one: Element) -> str:
        mailbox, parent = context.folder(parent_id)
        name = child_text(one, T + "DisplayName")
        if local(one) not in FOLDER_CLASSES:
            raise EwsError("ErrorInvalidFolderTypeForOperation")
        if not name:
            raise EwsError("ErrorInvalidOperation", "A folder needs a DisplayName.")
        folder_class = child_text(one, T + "FolderClass") or FOLDER_CLASSES[local(one)]
        folder = mailbox.add_folder(parent, name, folder_class)
        for extended in one.iterfind(T + "ExtendedProperty"):
            path = read_extended(one_child(extended, T + "ExtendedFieldURI"))
            folder.extended[path.identity] = extended_value(extended)
        return named(folder)

    return context.each(
        "CreateFolder", required_children(context.element, M + "Folders"), create, EMPTY
    )


def update_folder(context: Context) -> str:
    """Change folders' properties."""

    def change(one: Element) -> str:
        parts = children(one)
        mailbox, folder = context.folder(parts[0])
        for update in required_children(one, T + "Updates"):
            apply(mailbox, folder, update)
        mailbox.touch_folder(folder)
        return named(folder)

    changes = required_children(context.element, M + "FolderChanges")
    return context.each("UpdateFolder", changes, change, EMPTY)


def apply(mailbox: Mailbox, folder: Folder, update: Element) -> None:
    """Apply one SetFolderField or DeleteFolderField."""
    parts = children(update)
    path = read_path(parts[0])
    if isinstance(path, ExtendedPath):
        if local(update) == "DeleteFolderField":
            folder.extended.pop(path.identity, None)
        else:
            value = extended_value(one_child(parts[1], T + "ExtendedProperty"))
            folder.extended[path.identity] = value
        return
    if not isinstance(path, FieldPath) or path.name not in ("DisplayName", "FolderClass"):
        raise EwsError("ErrorInvalidPropertySet")
    if local(update) != "SetFolderField" or len(parts) != 2:
        raise EwsError("ErrorInvalidPropertySet")
    text = child_text(parts[1], T + path.name)
    if path.name == "FolderClass":
        folder.folder_class = text
        return
    mailbox.rename_folder(folder, text)


def move_folder(context: Context) -> str:
    """Put folders below another one; their ids stay."""
    target_id = required_children(context.element, M + "ToFolderId")[0]

    def move(one: Element) -> str:
        mailbox, folder = context.folder(one)
        target_mailbox, target = context.folder(target_id)
        if target_mailbox is not mailbox:
            raise EwsError("ErrorMoveCopyFailed")
        mailbox.move_folder(folder, target)
        return named(folder)

    folders = required_children(context.element, M + "FolderIds")
    return context.each("MoveFolder", folders, move, EMPTY)


def delete_folder(context: Context) -> str:
    """Delete folders with what is in them."""
    disposal = attribute(context.element, "DeleteType", DISPOSALS)

    def delete(one: Element) -> str:
        mailbox, folder = context.folder(one)
        mailbox.delete_folder(folder, disposal)
        return ""

    return context.each("DeleteFolder", required_children(context.element, M + "FolderIds"), delete)


def empty_folder(context: Context) -> str:
    """Delete all that is in folders."""
    disposal = attribute(context.element, "DeleteType", DISPOSALS)
    with_subfolders = truth(attribute(context.element, "DeleteSubFolders", BOOLEANS))

    def empty(one: Element) -> str:
        mailbox, folder = context.folder(one)
        if folder.element == "CalendarFolder":
            raise EwsError("ErrorCannotEmptyFolder")
        for item in list(folder.items.values()):
            mailbox.delete(item, disposal)
        for subfolder in list(folder.subfolders) if with_subfolders else ():
            mailbox.delete_folder(subfolder, disposal)
        return ""

    return context.each("EmptyFolder", required_children(context.element, M + "FolderIds"), empty)


def mark_all_items_as_read(context: Context) -> str:
    """Mark all messages in folders as read, or as unread."""
    flag = "true" if truth(one_child(context.element, M + "ReadFlag").text) else "false"

    def mark(one: Element) -> str:
        mailbox, folder = context.folder(one)
        for item in folder.items.values():
            if item.element in schema.MESSAGES:
                mailbox.set(item, {"IsRead": flag})
        return ""

    folders = required_children(context.element, M + "FolderIds")
    return context.each("MarkAllItemsAsRead", folders, mark)
