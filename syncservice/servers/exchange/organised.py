"""Folders and categories of an Exchange mailbox.

Categories have two places: items carry names, and the list of the mailbox's own ones, which Outlook
offers, is a hidden configuration of the calendar folder (MS-OXOCFG section 2.2.5.2.2).
"""

import base64
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from exchangelib.errors import ErrorItemNotFound
from exchangelib.folders import Folder
from exchangelib.items import ALWAYS_OVERWRITE, ID_ONLY, SAVE_ONLY, SEND_TO_NONE, SHALLOW
from exchangelib.properties import (
    FolderId,
    ItemId,
    UserConfiguration,
    UserConfigurationName,
    UserConfigurationNameMNS,
)
from exchangelib.services import (
    CreateFolder,
    CreateUserConfiguration,
    FindFolder,
    GetItem,
    GetUserConfiguration,
    MoveItem,
    UpdateItem,
    UpdateUserConfiguration,
)
from exchangelib.services.get_user_configuration import XML_DATA
from exchangelib.util import MNS, TNS, add_xml_child, create_element, set_xml_value

from syncservice.domain.faults import FaultError
from syncservice.servers.exchange.answers import (
    Raising,
    all_pages,
    can_be_sent,
    categories_in,
    paths,
)
from syncservice.servers.exchange.category_list import CategoryList
from syncservice.servers.exchange.conversation import Conversation
from syncservice.servers.exchange.faults import (
    CATEGORIES_UNREADABLE,
    faults_of_mailbox,
    faults_translated,
)
from syncservice.servers.gateway import INBOX, Category, MailFolder

_OF_FOLDER = paths("name", "parent_folder_id", "folder_class", of=Folder)
#: The class of folders that hold mail begins so; calendars and the like have others.
_MAIL = "IPF.Note"
_TOP = "msgfolderroot"  # the folder that the Inbox is in


class ExchangeOrganised:
    """Organised of `servers.gateway`, within a conversation that somebody else opens and ends."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def folders(self) -> tuple[MailFolder, ...]:
        found = self._below(INBOX, "Deep")
        kept = {folder.folder_id for folder, kind in found if kind.startswith(_MAIL)}
        return tuple(
            MailFolder(
                folder.folder_id,
                folder.parent_id if folder.parent_id in kept else "",
                folder.name,
            )
            for folder, _ in found
            if folder.folder_id in kept
        )

    def categories(self) -> tuple[Category, ...]:
        stored = self._stored_list()
        return CategoryList(stored or b"").categories

    def save_category(self, category: Category) -> None:
        if not can_be_sent(category.name):
            return  # Outlook couldn't show it either
        stored = self._stored_list()
        categories = CategoryList(stored or b"")
        if categories.save(category):
            self._store_list(categories, is_new=stored is None)

    def remove_category(self, category_id: str) -> None:
        stored = self._stored_list()
        categories = CategoryList(stored or b"")
        if categories.remove(category_id):
            self._store_list(categories, is_new=False)

    def categorise(self, item_id: str, *, add: str = "", remove: str = "") -> None:
        if not can_be_sent(add):
            return
        get, update = self._service(GetItem), self._service(UpdateItem)
        with faults_translated(), suppress(ErrorItemNotFound):
            [item] = get.ask(get.get_payload([ItemId(id=item_id)], paths("categories"), ID_ONLY))
            key = item.find(f"{{{TNS}}}ItemId").get("ChangeKey")
            before = categories_in(item)
            after = _changed(before, add, remove)
            if after != before:
                update.ask(_to_categories(ItemId(id=item_id, changekey=key), after))

    def move_to_undeliverable(self, item_id: str, folder_name: str) -> None:
        folder = self._folder_beside_inbox(folder_name)
        service = self._service(MoveItem)
        with faults_translated(), suppress(ErrorItemNotFound):  # somebody moved or deleted it
            service.ask(service.get_payload([ItemId(id=item_id)], FolderId(id=folder)))

    def _folder_beside_inbox(self, name: str) -> str:
        """Return the id of the folder, whatever the case of its name; it is made when missing."""
        for folder, _ in self._below(_TOP, SHALLOW):
            if folder.name.casefold() == name.casefold():
                return folder.folder_id
        service = self._service(CreateFolder)
        new = create_element("t:Folder")
        for tag, text in (("t:FolderClass", _MAIL), ("t:DisplayName", name)):
            add_xml_child(new, tag, text)
        request = service.get_payload([], self._conversation.folder(_TOP))
        request.find(f"{{{MNS}}}Folders").append(new)
        with faults_of_mailbox():
            [made] = service.ask(request)
            return str(made.find(f"{{{TNS}}}FolderId").attrib["Id"])

    def _below(self, name: str, depth: str) -> list[tuple[MailFolder, str]]:
        """Return the folders below one that every mailbox has, each with its class."""
        with faults_of_mailbox():
            found = all_pages(
                self._service(FindFolder),
                self._conversation.folder(name),
                additional_fields=_OF_FOLDER,
                restriction=None,
                shape=ID_ONLY,
                depth=depth,
            )
            return [_folder(element) for element in found]

    def _stored_list(self) -> bytes | None:
        """Return the list of categories as it is stored; None: there is none yet."""
        service = self._service(GetUserConfiguration)
        with faults_of_mailbox():
            try:
                [answer] = service.ask(service.get_payload(self._list_name(), XML_DATA))
            except ErrorItemNotFound:
                return None
            text = answer.findtext(f"{{{TNS}}}XmlData") or ""
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except ValueError as error:  # binascii.Error is one
            raise FaultError(CATEGORIES_UNREADABLE) from error

    def _store_list(self, categories: CategoryList, *, is_new: bool) -> None:
        service = self._service(CreateUserConfiguration if is_new else UpdateUserConfiguration)
        configuration = UserConfiguration(
            user_configuration_name=self._list_name(UserConfigurationName),
            xml_data=categories.written(datetime.now(UTC)),
        )
        with faults_of_mailbox():
            service.ask(service.get_payload(configuration))

    def _service(self, kind: type) -> Any:
        """Return exchangelib's service, with its answers read our way."""
        return type(kind.__name__, (Raising, kind), {})(account=self._conversation.account)

    def _list_name(self, of: Any = UserConfigurationNameMNS) -> Any:
        return of(name="CategoryList", folder=self._conversation.folder("calendar"))


def _folder(element: Any) -> tuple[MailFolder, str]:
    def of(name: str) -> str:
        return str(element.find(f"{{{TNS}}}{name}").attrib["Id"])

    name = element.findtext(f"{{{TNS}}}DisplayName") or ""
    kind = element.findtext(f"{{{TNS}}}FolderClass") or ""
    return MailFolder(of("FolderId"), of("ParentFolderId"), name), kind


def _changed(before: tuple[str, ...], add: str, remove: str) -> tuple[str, ...]:
    """Take a category off and put one on; names that differ in case only are one to Outlook."""
    after = [name for name in before if name.casefold() != remove.casefold()]
    if add and add.casefold() not in map(str.casefold, after):
        after.append(add)
    return tuple(after)


def _to_categories(item: ItemId, names: tuple[str, ...]) -> Any:
    """Compose the UpdateItem that gives an item these categories."""
    path = create_element("t:FieldURI", attrs={"FieldURI": "item:Categories"})
    update = create_element("t:SetItemField" if names else "t:DeleteItemField")
    update.append(path)
    if names:
        message, listed = create_element("t:Message"), create_element("t:Categories")
        for name in names:
            add_xml_child(listed, "t:String", name)
        message.append(listed)
        update.append(message)
    updates, change = create_element("t:Updates"), create_element("t:ItemChange")
    updates.append(update)
    set_xml_value(change, item)
    change.append(updates)
    changes = create_element("m:ItemChanges")
    changes.append(change)
    request = create_element(
        "m:UpdateItem",
        attrs={
            # The others' categories were just read; whatever else changed meanwhile stays.
            "ConflictResolution": ALWAYS_OVERWRITE,
            "MessageDisposition": SAVE_ONLY,
            "SendMeetingInvitationsOrCancellations": SEND_TO_NONE,
            "SuppressReadReceipts": True,
        },
    )
    request.append(changes)
    return request
