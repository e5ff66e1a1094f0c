"""CRM records: the people and companies of an organisation and its activities (REFERENCE 2H-2M).

Names and codes are the reference's. What must never be, a constraint forbids.
"""

from syncservice.crm.models.activity import REGARDING, Party, Priority, Regarding
from syncservice.crm.models.appointments import (
    Appointment,
    AppointmentAttachment,
    AppointmentParty,
)
from syncservice.crm.models.changes import RecordChange
from syncservice.crm.models.email import (
    ActivityParty,
    Attachment,
    AttachmentContent,
    Email,
    QueueItem,
)
from syncservice.crm.models.filters import SyncFilter
from syncservice.crm.models.people import (
    Account,
    AutomaticRecord,
    Contact,
    EmailEnabled,
    IncomingFilter,
    KnowsStoredAddress,
    Lead,
    PersonalName,
    Queue,
    User,
)
from syncservice.crm.models.tasks import Task

__all__ = [
    "REGARDING",
    "Account",
    "ActivityParty",
    "Appointment",
    "AppointmentAttachment",
    "AppointmentParty",
    "Attachment",
    "AttachmentContent",
    "AutomaticRecord",
    "Contact",
    "Email",
    "EmailEnabled",
    "IncomingFilter",
    "KnowsStoredAddress",
    "Lead",
    "Party",
    "PersonalName",
    "Priority",
    "Queue",
    "QueueItem",
    "RecordChange",
    "Regarding",
    "SyncFilter",
    "Task",
    "User",
]
