"""Extended (MAPI) properties that items and folders have although nobody set them under that name.

Most are another name of a property of the schema: `TAGS` and `NAMED` say of which, and both names
read and write one value. A few are the server's own: `OF_ITEM` and `OF_FOLDER` work them out. All
others are kept as they were set, and are no concern of this module.
"""

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

from syncservice.simulator.exchange import derived, schema
from syncservice.simulator.exchange.folder import Folder
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.markup import truth
from syncservice.simulator.exchange.moments import read_moment, write_moment
from syncservice.simulator.exchange.values import Body, Value

PROPERTY_SETS = {
    "Meeting": "6ed8da90-450b-101b-98da-00aa003f1305",
    "Appointment": "00062002-0000-0000-c000-000000000046",
    "Common": "00062008-0000-0000-c000-000000000046",
    "PublicStrings": "00020329-0000-0000-c000-000000000046",
    "Address": "00062004-0000-0000-c000-000000000046",
    "InternetHeaders": "00020386-0000-0000-c000-000000000046",
    "CalendarAssistant": "11000e07-b51b-40d6-af21-caa85edab1d0",
    "UnifiedMessaging": "4442858e-a9e3-4e80-b900-317a210cc15b",
    "Task": "00062003-0000-0000-c000-000000000046",
    "Sharing": "00062040-0000-0000-c000-000000000046",
}
#: Property tag -> key of the property it is another name of (MS-OXPROPS has the tags).
TAGS = {
    0x0017: "Importance", 0x001A: "ItemClass", 0x0036: "Sensitivity", 0x0037: "Subject",
    0x0039: "DateTimeSent", 0x0070: "ConversationTopic", 0x0E02: "DisplayBcc",
    0x0E03: "DisplayCc", 0x0E04: "DisplayTo", 0x0E06: "DateTimeReceived", 0x0E08: "Size",
    0x0E1B: "HasAttachments", 0x1000: "Body", 0x1035: "InternetMessageId", 0x1039: "References",
    0x1042: "InReplyTo", 0x3001: "DisplayName", 0x3007: "DateTimeCreated",
    0x3008: "LastModifiedTime", 0x3A05: "Generation", 0x3A06: "GivenName", 0x3A0A: "Initials",
    0x3A11: "Surname", 0x3A16: "CompanyName", 0x3A17: "JobTitle", 0x3A18: "Department",
    0x3A19: "OfficeLocation", 0x3A30: "AssistantName", 0x3A41: "WeddingAnniversary",
    0x3A42: "Birthday", 0x3A44: "MiddleName", 0x3A46: "Profession", 0x3A48: "SpouseName",
    0x3A4E: "Manager", 0x3A4F: "Nickname", 0x3A51: "BusinessHomePage", 0x3A58: "Children",
    0x3A08: "PhoneNumbers:BusinessPhone", 0x3A09: "PhoneNumbers:HomePhone",
    0x3A1A: "PhoneNumbers:PrimaryPhone", 0x3A1B: "PhoneNumbers:BusinessPhone2",
    0x3A1C: "PhoneNumbers:MobilePhone", 0x3A1E: "PhoneNumbers:CarPhone",
    0x3A1F: "PhoneNumbers:OtherTelephone", 0x3A21: "PhoneNumbers:Pager",
    0x3A24: "PhoneNumbers:BusinessFax", 0x3A25: "PhoneNumbers:HomeFax",
    0x3A2F: "PhoneNumbers:HomePhone2", 0x3A02: "PhoneNumbers:Callback",
    0x3A1D: "PhoneNumbers:RadioPhone", 0x3A23: "PhoneNumbers:OtherFax",
    0x3A2C: "PhoneNumbers:Telex", 0x3A2D: "PhoneNumbers:Isdn",
    0x3A2E: "PhoneNumbers:AssistantPhone", 0x3A4B: "PhoneNumbers:TtyTddPhone",
    0x3A57: "PhoneNumbers:CompanyMainPhone",
    0x3A59: "PhysicalAddresses:Home:City", 0x3A5A: "PhysicalAddresses:Home:CountryOrRegion",
    0x3A5B: "PhysicalAddresses:Home:PostalCode", 0x3A5C: "PhysicalAddresses:Home:State",
    0x3A5D: "PhysicalAddresses:Home:Street", 0x3A5F: "PhysicalAddresses:Other:City",
    0x3A60: "PhysicalAddresses:Other:CountryOrRegion",
    0x3A61: "PhysicalAddresses:Other:PostalCode", 0x3A62: "PhysicalAddresses:Other:State",
    0x3A63: "PhysicalAddresses:Other:Street",
}  # fmt: skip
#: The same by property set, and number or name within it.
NAMED: dict[tuple[str, int | str], str] = {
    (PROPERTY_SETS["PublicStrings"], "Keywords"): "Categories",
    (PROPERTY_SETS["Common"], 0x8503): "ReminderIsSet",
    (PROPERTY_SETS["Appointment"], 0x8208): "Location",
    (PROPERTY_SETS["Appointment"], 0x820D): "Start",
    (PROPERTY_SETS["Appointment"], 0x820E): "End",
    (PROPERTY_SETS["Appointment"], 0x8215): "IsAllDayEvent",
    (PROPERTY_SETS["Appointment"], 0x8223): "IsRecurring",
    (PROPERTY_SETS["Task"], 0x8104): "StartDate",
    (PROPERTY_SETS["Task"], 0x8105): "DueDate",
    (PROPERTY_SETS["Task"], 0x810F): "CompleteDate",
    (PROPERTY_SETS["Task"], 0x811C): "IsComplete",
    (PROPERTY_SETS["Common"], 0x8534): "Mileage",
    (PROPERTY_SETS["Common"], 0x8535): "BillingInformation",
    (PROPERTY_SETS["Common"], 0x8539): "Companies",
    (PROPERTY_SETS["Address"], 0x8005): "FileAs",
    (PROPERTY_SETS["Address"], 0x8022): "PostalAddressIndex",
    (PROPERTY_SETS["Address"], 0x8045): "PhysicalAddresses:Business:Street",
    (PROPERTY_SETS["Address"], 0x8046): "PhysicalAddresses:Business:City",
    (PROPERTY_SETS["Address"], 0x8047): "PhysicalAddresses:Business:State",
    (PROPERTY_SETS["Address"], 0x8048): "PhysicalAddresses:Business:PostalCode",
    (PROPERTY_SETS["Address"], 0x8049): "PhysicalAddresses:Business:CountryOrRegion",
    (PROPERTY_SETS["Address"], 0x8062): "ImAddresses:ImAddress1",
    (PROPERTY_SETS["Address"], 0x8083): "EmailAddresses:EmailAddress1",
    (PROPERTY_SETS["Address"], 0x8093): "EmailAddresses:EmailAddress2",
    (PROPERTY_SETS["Address"], 0x80A3): "EmailAddresses:EmailAddress3",
}
#: Integers in MAPI, words in EWS; the numbers are the words' places.
NUMBERED = ("Importance", "Sensitivity", "PostalAddressIndex")
READ, SUBMITTED, UNSENT, HAS_ATTACHMENTS, FROM_ME = 0x01, 0x04, 0x08, 0x10, 0x20


def under_schema_name(key: str, value: Value) -> Value:
    """An extended property's value as the property of the schema has it."""
    if not isinstance(value, str):
        return value
    if key in NUMBERED and value.isdigit() and int(value) < len(schema.CHOICES[key]):
        return schema.CHOICES[key][int(value)]
    if key in schema.DATES or key.endswith(":SystemTime"):
        return write_moment(read_moment(value))
    if key in schema.BOOLEANS:
        return "true" if truth(value) else "false"
    return Body(value, False) if key == "Body" else value


def under_tag(key: str, text: str) -> str:
    """The text of a property of the schema as the extended property has it."""
    return str(schema.CHOICES[key].index(text)) if key in NUMBERED else text


def flags(item: Item) -> str:
    """PR_MESSAGE_FLAGS."""
    found = READ if item.is_set("IsRead") else 0
    found |= SUBMITTED if item.is_set("IsSubmitted") else 0
    found |= UNSENT if item.is_set("IsDraft") else 0
    found |= FROM_ME if item.is_set("IsFromMe") else 0
    found |= HAS_ATTACHMENTS if "true" in derived.has_attachments(item) else 0
    return str(found)


def record_key(item: Item) -> str:
    """PR_RECORD_KEY: no other item has the same, not even in another run."""
    return base64.b64encode(hashlib.sha256(item.id.encode()).digest()[:16]).decode()


def commit_time(folder: Folder) -> str:
    """When something within the folder last changed."""
    return write_moment(datetime.fromtimestamp(folder.log.grown_at, UTC))


def next_article(folder: Folder) -> int:
    """The number the folder's next item gets at least."""
    return max((item.uid for item in folder.log.entries), default=0) + 1


OF_ITEM: dict[int, Callable[[Item], str]] = {
    0x0E07: flags,
    0x0E23: lambda item: str(item.uid),  # PR_INTERNET_ARTICLE_NUMBER: ascends within a folder
    0x0FF9: record_key,
}
OF_FOLDER: dict[int, Callable[[Folder], str]] = {
    0x3001: lambda folder: folder.name,
    0x3008: commit_time,
    0x3602: lambda folder: str(len(folder.items)),
    0x3603: lambda folder: str(folder.unread_count),
    0x360A: lambda folder: "true" if folder.subfolders else "false",
    0x3613: lambda folder: folder.folder_class,
    0x670A: commit_time,  # PR_LOCAL_COMMIT_TIME_MAX
    0x6751: lambda folder: str(next_article(folder)),  # PR_ARTICLE_NUM_NEXT
}
