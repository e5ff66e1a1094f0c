"""One mailbox: its folders and items, and what can be done with them.

Everything that changes an item goes through here, so that ids, change keys and change logs agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from syncservice.simulator.exchange import schema
from syncservice.simulator.exchange.change_log import ChangeLog
from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.events import EventLog
from syncservice.simulator.exchange.folder import WELL_KNOWN, Configuration, Folder
from syncservice.simulator.exchange.ids import Kind, write_change_key, write_id
from syncservice.simulator.exchange.item import Attachment, Item
from syncservice.simulator.exchange.mime import IN_TEXT
from syncservice.simulator.exchange.moments import now, write_moment
from syncservice.simulator.exchange.values import Address, Value

DISPOSALS = ("HardDelete", "SoftDelete", "MoveToDeletedItems")
#: What no occurrence has for itself.
OF_THE_SERIES = ("UID", "Recurrence", "RecurrenceId", "OriginalStart")


class Mailbox:
    """A mailbox of the simulator; `number` is its place in the store."""

    def __init__(self, number: int, address: str, name: str, run: bytes) -> None:
        self.number = number
        self.address = address
        self.name = name
        self.run = run
        self.folders: dict[int, Folder] = {}
        self.well_known: dict[str, Folder] = {}
        self.items: dict[int, Item] = {}
        self.hierarchy: ChangeLog[Folder] = ChangeLog(newest_first=False)
        self.events: EventLog | None = None  # None: nobody has subscribed to any
        self._last_uid = 0
        for well_known, parent, display_name, folder_class in WELL_KNOWN:
            self.add_folder(self.well_known.get(parent), display_name, folder_class, well_known)

    @property
    def owner(self) -> Address:
        """Whose mailbox it is."""
        return Address(self.name, self.address)

    # Folders

    def add_folder(
        self, parent: Folder | None, name: str, folder_class: str, well_known: str = ""
    ) -> Folder:
        """Create a folder; raises ErrorFolderExists for a second one of that name."""
        if parent is not None and parent.has_child_named(name):
            raise EwsError("ErrorFolderExists")
        self._last_uid += 1
        folder = Folder(
            write_id(Kind.FOLDER, self.run, self.number, self._last_uid),
            self._last_uid,
            self.number,
            name,
            folder_class,
            parent,
            well_known,
        )
        folder.change_key = write_change_key(self.run, folder.uid, folder.version)
        self.folders[folder.uid] = folder
        if well_known:
            self.well_known[well_known] = folder
        if parent is not None:
            parent.subfolders.append(folder)
            self.hierarchy.born(folder)
            self._tell_of_folder("CreatedEvent", folder)
        return folder

    def _tell_of_folder(self, kind: str, folder: Folder, before: Folder | None = None) -> None:
        if self.events is not None and folder.parent is not None:
            self.events.folder(kind, folder, folder.parent, before)

    def _tell(self, kind: str, item: Item, before: tuple[str, Folder] | None = None) -> None:
        if self.events is not None:
            self.events.item(kind, item, before)

    def touch_folder(self, folder: Folder) -> None:
        """Note that a folder's properties changed."""
        self._renew_folder(folder)
        self._tell_of_folder("ModifiedEvent", folder)

    def _renew_folder(self, folder: Folder) -> None:
        folder.version += 1
        folder.change_key = write_change_key(self.run, folder.uid, folder.version)
        for item in folder.items.values():
            item.rendered.pop("ParentFolderId", None)
        if folder.parent is not None:
            self.hierarchy.changed(folder)

    def move_folder(self, folder: Folder, target: Folder) -> None:
        """Put a folder below another one."""
        if folder.well_known or target is folder or target in folder.descendants():
            raise EwsError("ErrorMoveCopyFailed")
        if target.has_child_named(folder.name):
            raise EwsError("ErrorMoveCopyFailed")
        before = folder.parent
        if before is not None:
            before.subfolders.remove(folder)
        folder.parent = target
        target.subfolders.append(folder)
        self._renew_folder(folder)
        self._tell_of_folder("MovedEvent", folder, before)

    def delete_folder(self, folder: Folder, disposal: str) -> None:
        """Delete a folder with all that is in it, or move it to Deleted Items."""
        if folder.well_known:
            raise EwsError("ErrorDeleteDistinguishedFolder")
        trash = self.well_known["deleteditems"]
        if disposal == "MoveToDeletedItems":
            while trash.has_child_named(folder.name):
                folder.name += "1"
            self.move_folder(folder, trash)
            return
        for doomed in [*reversed(folder.descendants()), folder]:
            for item in list(doomed.items.values()):
                self.remove(item)
            del self.folders[doomed.uid]
            self.hierarchy.died(doomed)
            self._tell_of_folder("DeletedEvent", doomed)
        if folder.parent is not None:
            folder.parent.subfolders.remove(folder)

    def rename_folder(self, folder: Folder, name: str) -> None:
        """Give a folder another name; raises ErrorFolderExists if one beside it has that name."""
        siblings = folder.parent.subfolders if folder.parent else []
        if any(one is not folder and one.name.lower() == name.lower() for one in siblings):
            raise EwsError("ErrorFolderExists")
        folder.name = name

    def folder_named(self, name: str) -> Folder:
        """A well-known folder, or an ordinary one by its id or display name."""
        found = self.well_known.get(name.lower())
        for folder in self.folders.values():
            if found is None and (folder.id == name or folder.name.lower() == name.lower()):
                found = folder
        if found is None:
            raise EwsError("ErrorFolderNotFound")
        return found

    def configure(self, folder: Folder, name: str) -> Configuration:
        """Begin to keep a client's settings in a folder, under a name that is still free there."""
        if name in folder.configurations:
            raise EwsError("ErrorItemSave")
        self._last_uid += 1
        item_id = write_id(Kind.ITEM, self.run, self.number, self._last_uid)
        folder.configurations[name] = Configuration(item_id)
        return folder.configurations[name]

    # Items

    def add(self, item: Item, folder: Folder) -> Item:
        """Put a new item into a folder and give it its id and first change key."""
        self._place(item, folder)
        self._tell("CreatedEvent", item)
        is_mail = item.element in schema.MESSAGES and item.values.get("IsRead") == "false"
        if is_mail and folder.well_known == "inbox":
            self._tell("NewMailEvent", item)
        return item

    def _place(self, item: Item, folder: Folder) -> None:
        self._last_uid += 1
        item.uid = self._last_uid
        item.id = write_id(Kind.ITEM, self.run, self.number, item.uid)
        item.folder = folder
        moment = write_moment(now())
        for name in ("DateTimeCreated", "LastModifiedTime", "DateTimeReceived"):
            item.values.setdefault(name, moment)
        if item.element in schema.MESSAGES:
            item.values.setdefault("IsRead", "false")
        for attachment in item.attachments:
            attachment.id = ""
        self.items[item.uid] = item
        folder.items[item.uid] = item
        folder.log.born(item)
        self._new_version(item)

    def _new_version(self, item: Item) -> None:
        item.version += 1
        item.change_key = write_change_key(self.run, item.uid, item.version)
        mime = item.rendered.get("MimeContent")
        item.rendered.clear()
        if mime is not None and item.source is not None:
            item.rendered["MimeContent"] = mime

    def set(self, item: Item, changes: dict[str, Value | None]) -> None:
        """Set properties (None: delete), and note the change; only `IsRead` is a read flag's."""
        effective = {key: value for key, value in changes.items() if item.get(key) != value}
        if item.master is not None:
            self._set_occurrence(item, item.master, effective)
            return
        if effective.keys() & IN_TEXT or any(key.startswith("set-header:") for key in effective):
            item.forget_mime()
        for key, value in effective.items():
            if value is None:
                item.values.pop(key, None)
            else:
                item.values[key] = value
        if effective:
            self.touch(item, effective.keys())

    def _set_occurrence(self, item: Item, master: Item, changes: dict[str, Value | None]) -> None:
        """Let a series keep what one of its occurrences has for itself."""
        own = {key: value for key, value in changes.items() if key not in OF_THE_SERIES}
        if not own:
            return
        moment = write_moment(now())
        kept = master.exceptions.setdefault(item.index, {})
        kept |= {**own, "LastModifiedTime": moment}
        item.values |= {key: value for key, value in kept.items() if value is not None}
        for key in [key for key, value in kept.items() if value is None]:
            item.values.pop(key, None)
        self.touch(master, ["ModifiedOccurrences"])
        item.change_key, item.version = master.change_key, master.version
        item.rendered.clear()

    def touch(self, item: Item, keys: Iterable[str]) -> None:
        """Note that the properties `keys` of an item changed."""
        keys = set(keys)
        item.values["LastModifiedTime"] = write_moment(now())
        self._new_version(item)
        item.versions.update(dict.fromkeys(keys, item.version))
        if item.folder is None:
            return
        if keys == {"IsRead"}:
            item.folder.log.read_changed(item)
        else:
            item.folder.log.changed(item)
        self._tell("ModifiedEvent", item)

    def copy(self, item: Item, folder: Folder) -> Item:
        """Put a copy with a new id into a folder, which may be another mailbox's."""
        refuse_occurrence(item, "ErrorCalendarCannotMoveOrCopyOccurrence")
        item.parse()
        twin = self._twin(item)
        self._place(twin, folder)
        if item.folder is not None:
            self._tell("CopiedEvent", twin, (item.id, item.folder))
        return twin

    def _twin(self, item: Item) -> Item:
        return replace(
            item,
            values=dict(item.values),
            attachments=[replace(one, id="") for one in item.attachments],
            headers=list(item.headers),
            version=0,
            versions={},
            exceptions={index: dict(own) for index, own in item.exceptions.items()},
            dropped=set(item.dropped),
            rendered={},
        )

    def move(self, item: Item, folder: Folder) -> Item:
        """Move an item; it gets a new id."""
        refuse_occurrence(item, "ErrorCalendarCannotMoveOrCopyOccurrence")
        twin, before = self._twin(item), item.folder
        self._take_out(item)
        self._place(twin, folder)
        if before is not None:
            self._tell("MovedEvent", twin, (item.id, before))
        return twin

    def remove(self, item: Item) -> None:
        """Take an item out of the mailbox for good."""
        self._tell("DeletedEvent", item)
        self._take_out(item)

    def _take_out(self, item: Item) -> None:
        del self.items[item.uid]
        if item.folder is not None:
            del item.folder.items[item.uid]
            item.folder.log.died(item)
        item.source, item.values, item.attachments, item.rendered = None, {}, [], {}
        item.is_parsed = True

    def delete(self, item: Item, disposal: str) -> None:
        """Delete an item the way DeleteItem names it; an occurrence leaves its series at once."""
        if item.master is not None:
            item.master.exceptions.pop(item.index, None)
            item.master.dropped.add(item.index)
            self.touch(item.master, ["DeletedOccurrences"])
        elif disposal == "MoveToDeletedItems":
            self.move(item, self.well_known["deleteditems"])
        elif disposal == "SoftDelete":
            self.move(item, self.well_known["recoverableitemsdeletions"])
        else:
            self.remove(item)

    def attach(self, item: Item, attachment: Attachment) -> None:
        """Add an attachment to an item."""
        refuse_occurrence(item, "ErrorInvalidOperation")
        item.forget_mime()
        item.attachments.append(attachment)
        self.touch(item, ["Attachments"])

    def detach(self, item: Item, attachment: Attachment) -> None:
        """Take an attachment away from an item."""
        refuse_occurrence(item, "ErrorInvalidOperation")
        item.forget_mime()
        item.attachments.remove(attachment)
        self.touch(item, ["Attachments"])


def refuse_occurrence(item: Item, code: str) -> None:
    """Refuse what only a whole item can undergo."""
    if item.master is not None:
        raise EwsError(code)
