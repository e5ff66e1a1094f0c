"""Whose mailbox is kept in step, with which server, and when (REFERENCE 1C, 1D, 2A, 2L)."""

from syncservice.mailboxes.models.email_items import (
    DeclinedItem,
    MailboxFolders,
    RemoteItem,
    TrackingCategory,
    TrackingFolder,
    TrackRequest,
)
from syncservice.mailboxes.models.items import (
    ChangeRouting,
    FieldSetting,
    ItemConflict,
    ItemLink,
    ItemProgress,
    JournalEntry,
    SeenAppointment,
)
from syncservice.mailboxes.models.mailbox import (
    ActMethod,
    Direction,
    IncomingMethod,
    Lane,
    Mailbox,
    MailboxMapping,
    OutgoingMethod,
)
from syncservice.mailboxes.models.organisation import ChangeRecord, Organisation, blocked_extensions
from syncservice.mailboxes.models.outgoing import OutgoingEmail
from syncservice.mailboxes.models.profile import (
    ConnectionTest,
    Discovery,
    EmailServerProfile,
    ServerHealth,
    UnclearSending,
)
from syncservice.mailboxes.models.schedule import FolderCursor, Schedule, VisitStatistics

__all__ = [
    "ActMethod",
    "ChangeRecord",
    "ChangeRouting",
    "ConnectionTest",
    "DeclinedItem",
    "Direction",
    "Discovery",
    "EmailServerProfile",
    "FieldSetting",
    "FolderCursor",
    "IncomingMethod",
    "ItemConflict",
    "ItemLink",
    "ItemProgress",
    "JournalEntry",
    "Lane",
    "Mailbox",
    "MailboxFolders",
    "MailboxMapping",
    "Organisation",
    "OutgoingEmail",
    "OutgoingMethod",
    "RemoteItem",
    "Schedule",
    "SeenAppointment",
    "ServerHealth",
    "TrackRequest",
    "TrackingCategory",
    "TrackingFolder",
    "UnclearSending",
    "VisitStatistics",
    "blocked_extensions",
]
