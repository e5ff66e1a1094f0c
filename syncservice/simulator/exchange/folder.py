"""One folder of a mailbox, and the table of well-known ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from syncservice.simulator.exchange import schema
from syncservice.simulator.exchange.change_log import ChangeLog
from syncservice.simulator.exchange.item import Item

#: Folder class -> element of a folder.
ELEMENT_OF_CLASS = {
    "IPF.Appointment": "CalendarFolder",
    "IPF.Contact": "ContactsFolder",
    "IPF.Task": "TasksFolder",
}

#: Well-known folders: (name, parent's name, display name, folder class); parents come first.
WELL_KNOWN = (
    ("root", "", "", ""),
    ("msgfolderroot", "root", "Top of Information Store", "IPF.Note"),
    ("inbox", "msgfolderroot", "Inbox", "IPF.Note"),
    ("outbox", "msgfolderroot", "Outbox", "IPF.Note"),
    ("drafts", "msgfolderroot", "Drafts", "IPF.Note"),
    ("sentitems", "msgfolderroot", "Sent Items", "IPF.Note"),
    ("deleteditems", "msgfolderroot", "Deleted Items", "IPF.Note"),
    ("junkemail", "msgfolderroot", "Junk Email", "IPF.Note"),
    ("archive", "msgfolderroot", "Archive", "IPF.Note"),
    ("conversationhistory", "msgfolderroot", "Conversation History", "IPF.Note"),
    ("calendar", "msgfolderroot", "Calendar", "IPF.Appointment"),
    ("contacts", "msgfolderroot", "Contacts", "IPF.Contact"),
    ("recipientcache", "contacts", "Recipient Cache", "IPF.Contact.RecipientCache"),
    ("quickcontacts", "contacts", "Skype for Business Contacts", "IPF.Contact.MOC.QuickContacts"),
    ("imcontactlist", "contacts", "IM Contact List", "IPF.Contact.MOC.ImContactList"),
    ("tasks", "msgfolderroot", "Tasks", "IPF.Task"),
    ("notes", "msgfolderroot", "Notes", "IPF.StickyNote"),
    ("journal", "msgfolderroot", "Journal", "IPF.Journal"),
    ("syncissues", "msgfolderroot", "Sync Issues", "IPF.Note"),
    ("conflicts", "syncissues", "Conflicts", "IPF.Note"),
    ("localfailures", "syncissues", "Local Failures", "IPF.Note"),
    ("serverfailures", "syncissues", "Server Failures", "IPF.Note"),
    ("voicemail", "msgfolderroot", "Voice Mail", "IPF.Note.Microsoft.Voicemail"),
    ("searchfolders", "root", "Finder", ""),
    ("recoverableitemsroot", "root", "Recoverable Items", ""),
    ("recoverableitemsdeletions", "recoverableitemsroot", "Deletions", ""),
    ("recoverableitemsversions", "recoverableitemsroot", "Versions", ""),
    ("recoverableitemspurges", "recoverableitemsroot", "Purges", ""),
)


@dataclass(slots=True, eq=False)
class Configuration:
    """The settings that a client keeps in a folder under a name; empty: it keeps no such part."""

    item_id: str  # the hidden item's that they are kept in
    dictionary: str = ""  # the XML of the whole element
    xml_data: str = ""  # base64
    binary_data: str = ""


@dataclass(slots=True, eq=False)
class Folder:
    """A folder: its items, its subfolders and its two change logs' marks."""

    id: str
    uid: int
    mailbox: int
    name: str
    folder_class: str
    parent: Folder | None = None  # None: the root, or deleted
    well_known: str = ""  # empty: an ordinary folder
    extended: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    items: dict[int, Item] = field(default_factory=dict)
    subfolders: list[Folder] = field(default_factory=list)
    configurations: dict[str, Configuration] = field(default_factory=dict)  # by name
    log: ChangeLog[Item] = field(default_factory=ChangeLog)
    unread_at: tuple[int, int] = (0, 0)  # length of the log when counted, count
    version: int = 1
    change_key: str = ""

    # Its place in the mailbox's log of the folder tree.
    number: int = 0
    changed: int = 0
    read_changed: int = 0
    deleted: bool = False

    @property
    def element(self) -> str:
        """The element it is written as."""
        for start, element in ELEMENT_OF_CLASS.items():
            if self.folder_class.startswith(start):
                return element
        return "Folder"

    @property
    def unread_count(self) -> int:
        """How many of its messages are unread; counted anew only after a change."""
        length = len(self.log.entries)
        if self.unread_at[0] != length:
            unread = sum(
                item.element in schema.MESSAGES and item.values.get("IsRead") == "false"
                for item in self.items.values()
            )
            self.unread_at = (length, unread)
        return self.unread_at[1]

    def descendants(self) -> list[Folder]:
        """All folders below it, parents first."""
        found: list[Folder] = []
        for folder in self.subfolders:
            found += [folder, *folder.descendants()]
        return found

    def has_child_named(self, name: str) -> bool:
        """Whether a subfolder has that name, whatever its case."""
        return any(child.name.lower() == name.lower() for child in self.subfolders)
