"""Properties the server works out itself, and the values of those nobody set."""

import base64
import hashlib
from collections.abc import Callable

from syncservice.simulator.exchange import occurrences, schema
from syncservice.simulator.exchange.icalendar import write_icalendar
from syncservice.simulator.exchange.ids import Kind, read_id, write_id
from syncservice.simulator.exchange.item import Attachment, Item
from syncservice.simulator.exchange.markup import element_of, escape
from syncservice.simulator.exchange.mime import read_headers
from syncservice.simulator.exchange.moments import read_moment
from syncservice.simulator.exchange.values import Body, as_html, plain_text, write_value

RIGHTS = (
    "<t:EffectiveRights><t:CreateAssociated>{0}</t:CreateAssociated>"
    "<t:CreateContents>{0}</t:CreateContents><t:CreateHierarchy>{0}</t:CreateHierarchy>"
    "<t:Delete>true</t:Delete><t:Modify>true</t:Modify><t:Read>true</t:Read>"
    "<t:ViewPrivateItems>true</t:ViewPrivateItems></t:EffectiveRights>"
)

#: What an unset property reads as, by element; no entry: it is left out of the answer.
COMMON_DEFAULTS = {
    "Subject": "",
    "Sensitivity": "Normal",
    "Importance": "Normal",
    "IsSubmitted": "false",
    "IsDraft": "false",
    "IsFromMe": "false",
    "IsResend": "false",
    "IsUnmodified": "false",
    "ReminderIsSet": "false",
    "ReminderMinutesBeforeStart": "0",
    "IsAssociated": "false",
    "Culture": "en-US",
    "LastModifiedName": "",
}
OF_MESSAGES = {
    "IsReadReceiptRequested": "false",
    "IsDeliveryReceiptRequested": "false",
    "IsRead": "false",
    "IsResponseRequested": "false",
}
OF_MEETING_MESSAGES = {
    **OF_MESSAGES,
    "IsDelegated": "false",
    "IsOutOfDate": "false",
    "HasBeenProcessed": "false",
    "ResponseType": "Unknown",
    "IsAllDayEvent": "false",
    "IsCancelled": "false",
    "AppointmentSequenceNumber": "0",
}
DEFAULTS = {
    "Item": {},
    "Message": OF_MESSAGES,
    **dict.fromkeys(schema.MEETING_MESSAGES, OF_MEETING_MESSAGES),
    "CalendarItem": {
        "ReminderMinutesBeforeStart": "15",
        "IsAllDayEvent": "false",
        "LegacyFreeBusyStatus": "Busy",
        "IsMeeting": "false",
        "IsCancelled": "false",
        "MeetingRequestWasSent": "false",
        "IsResponseRequested": "true",
        "MyResponseType": "Organizer",
        "AppointmentSequenceNumber": "0",
        "AppointmentState": "0",
        "AllowNewTimeProposal": "true",
        "IsOnlineMeeting": "false",
        "ConferenceType": "0",
    },
    "Contact": {"HasPicture": "false", "FileAsMapping": "None"},
    "Task": {
        "IsComplete": "false",
        "IsTeamTask": "false",
        "PercentComplete": "0",
        "Status": "NotStarted",
        "StatusDescription": "Not Started",
        "ChangeCount": "1",
        "DelegationState": "NoMatch",
    },
}
DESCRIPTIONS = {
    "NotStarted": "Not Started",
    "InProgress": "In Progress",
    "Completed": "Completed",
    "WaitingOnOthers": "Waiting on someone else",
    "Deferred": "Deferred",
}


def default_of(item: Item, name: str) -> str | None:
    """What the property reads as when nobody set it; None: it is left out."""
    own = DEFAULTS[item.element]
    return own.get(name) if name in own else COMMON_DEFAULTS.get(name)


def item_id(item: Item) -> str:
    """The t:ItemId; empty for an attached item, which has none."""
    if not item.id:
        return ""
    return f'<t:ItemId Id="{item.id}" ChangeKey="{item.change_key}"/>'


def parent_folder_id(item: Item) -> str:
    """The t:ParentFolderId."""
    if item.folder is None:
        return ""
    folder = item.folder
    return f'<t:ParentFolderId Id="{folder.id}" ChangeKey="{folder.change_key}"/>'


def mime_content(item: Item) -> str:
    """The t:MimeContent."""
    is_appointment = item.element == "CalendarItem" and item.id  # an attached one may lack a start
    source = write_icalendar(item) if is_appointment else item.mime()
    content = base64.b64encode(source).decode()
    return f'<t:MimeContent CharacterSet="UTF-8">{content}</t:MimeContent>'


def body(item: Item, kind: str = "Best", name: str = "Body") -> str:
    """The body as HTML, as text, or (Best) as it is."""
    value = item.get("Body")
    value = value if isinstance(value, Body) else Body("", False)
    if kind == "HTML" and not value.is_html:
        value = Body(as_html(value), True)
    elif kind == "Text" and value.is_html:
        value = Body(plain_text(value), False)
    return write_value(name, value)


def text_body(item: Item) -> str:
    """The t:TextBody."""
    return body(item, "Text", "TextBody")


def has_attachments(item: Item) -> str:
    """Only what is not shown within the body counts."""
    found = any(not attachment.is_inline for attachment in item.all_attachments())
    return element_of("HasAttachments", "true" if found else "false")


def identified(item: Item) -> list[Attachment]:
    """The attachments, each with its id."""
    attachments = item.all_attachments()
    next_number = max((one.number for one in attachments), default=0) + 1
    place = read_id(item.id) if item.id else None
    for one in attachments:
        if not one.number:
            one.number, next_number = next_number, next_number + 1
        if place and not one.id:
            one.id = write_id(Kind.ATTACHMENT, place.run, place.mailbox, item.uid, one.number)
        one.modified = one.modified or item.text("LastModifiedTime")
    return attachments


def attachments(item: Item) -> str:
    """The list of attachments, without their content."""
    listed = "".join(attachment_element(one) for one in identified(item))
    return f"<t:Attachments>{listed}</t:Attachments>" if listed else ""


def attachment_element(attachment: Attachment, content: str = "") -> str:
    """One attachment; `content` is the XML behind its facts."""
    name = "FileAttachment" if attachment.item is None else "ItemAttachment"
    cid = element_of("ContentId", attachment.content_id) if attachment.content_id else ""
    identity = f'<t:AttachmentId Id="{attachment.id}"/>' if attachment.id else ""
    modified = element_of("LastModifiedTime", attachment.modified) if attachment.modified else ""
    is_inline = "true" if attachment.is_inline else "false"
    return (
        f"<t:{name}>{identity}{element_of('Name', attachment.name)}"
        f"{element_of('ContentType', attachment.content_type)}{cid}"
        f"<t:Size>{attachment.size}</t:Size>{modified}<t:IsInline>{is_inline}</t:IsInline>"
        f"{content}</t:{name}>"
    )


def display(name: str, source: str, invited: str = "") -> Callable[[Item], str]:
    """DisplayTo and its like: the names in a recipient property, or of attendees."""

    def write(item: Item) -> str:
        people = item.people(source)
        if item.element == "CalendarItem" and invited:
            people = [one.address for one in item.attendees(invited)]
        return element_of(name, "; ".join(one.label for one in people))

    return write


def headers(item: Item, names: frozenset[str] = frozenset()) -> str:
    """The Internet headers; all, or those in `names` (lower case)."""
    if item.element not in schema.MESSAGES:
        return ""
    item.parse()
    if not item.headers:
        item.headers = read_headers(item.mime())
    listed = "".join(
        f'<t:InternetMessageHeader HeaderName="{escape(name)}">{escape(value)}'
        "</t:InternetMessageHeader>"
        for name, value in item.headers
        if not names or name.lower() in names
    )
    return f"<t:InternetMessageHeaders>{listed}</t:InternetMessageHeaders>" if listed else ""


def rights(item: Item) -> str:
    """The owner may do everything; only folders have contents."""
    return RIGHTS.format("false")


def topic_of(subject: str) -> str:
    """The subject without the prefixes of replies and forwards."""
    topic = subject.strip()
    while topic.lower().startswith(("re:", "fw:", "fwd:")):
        topic = topic.partition(":")[2].strip()
    return topic


def conversation_topic(item: Item) -> str:
    """The t:ConversationTopic."""
    return element_of("ConversationTopic", topic_of(item.text("Subject")))


def conversation_id(item: Item) -> str:
    """The t:ConversationId, from the topic."""
    digest = hashlib.sha256(topic_of(item.text("Subject")).lower().encode("utf-8", "replace"))
    return f'<t:ConversationId Id="{base64.b64encode(digest.digest()).decode()}"/>'


def conversation_index(item: Item) -> str:
    """22 bytes for the first message of a conversation, and 5 more for each reply since."""
    value = item.get("ConversationIndex")
    if isinstance(value, str):
        return element_of("ConversationIndex", value)
    digest = hashlib.sha256(topic_of(item.text("Subject")).encode("utf-8", "replace")).digest()
    replies = len(item.text("References").split())
    index = b"\x01" + digest[:21] + digest[22:27] * min(replies, 50)
    return element_of("ConversationIndex", base64.b64encode(index).decode())


def instance_key(item: Item) -> str:
    """The t:InstanceKey."""
    return element_of("InstanceKey", base64.b64encode(item.uid.to_bytes(8, "big")).decode())


def preview(item: Item) -> str:
    """The first 255 characters of the body."""
    value = item.get("Body")
    text = plain_text(value) if isinstance(value, Body) else ""
    return element_of("Preview", " ".join(text.split())[:255])


def sent(item: Item) -> str:
    """The t:DateTimeSent; mail without a date was sent when it came."""
    moment = item.text("DateTimeSent")
    if not moment and not item.is_set("IsDraft"):
        moment = item.text("DateTimeReceived")
    return element_of("DateTimeSent", moment) if moment else ""


def size(item: Item) -> str:
    """The t:Size."""
    return f"<t:Size>{item.size}</t:Size>"


def reminder_due(item: Item) -> str:
    """The t:ReminderDueBy: as set, else the start of an appointment."""
    due = item.text("ReminderDueBy") or item.text("Start")
    return element_of("ReminderDueBy", due) if due else ""


def duration(item: Item) -> str:
    """The t:Duration of an appointment, as an xs:duration."""
    if not item.text("Start") or not item.text("End"):
        return ""
    length = read_moment(item.text("End")) - read_moment(item.text("Start"))
    hours, rest = divmod(int(length.total_seconds()), 3600)
    days, hours = divmod(hours, 24)
    text = f"P{days}DT" if days else "PT"
    return element_of("Duration", f"{text}{hours}H{rest // 60}M{rest % 60}S")


def organizer(item: Item) -> str:
    """The t:Organizer; the mailbox's owner, set at creation."""
    return write_value("Organizer", tuple(item.people("Organizer")))


#: Names in Japanese writing, which only extended properties hold.
YOMI = "extended:00062004-0000-0000-c000-000000000046#{}:String"


def complete_name(item: Item) -> str:
    """The t:CompleteName of a contact, from the parts of the name."""
    parts = (
        ("Title", "extended:0x3a45:String"),
        ("FirstName", "GivenName"),
        ("MiddleName", "MiddleName"),
        ("LastName", "Surname"),
        ("Suffix", "Generation"),
        ("Initials", "Initials"),
        ("FullName", "DisplayName"),
        ("Nickname", "Nickname"),
        ("YomiFirstName", YOMI.format(0x802C)),
        ("YomiLastName", YOMI.format(0x802D)),
    )
    inner = "".join(element_of(name, item.text(key)) for name, key in parts if item.text(key))
    return f"<t:CompleteName>{inner}</t:CompleteName>" if inner else ""


def entries(item: Item, collection: str, wanted: frozenset[str] = frozenset()) -> str:
    """A contact's indexed entries that are set; all, or those whose keys are in `wanted`."""
    listed: list[str] = []
    for index in schema.INDEXED[collection][1]:
        start = f"{collection}:{index}"
        if collection == "PhysicalAddresses":
            parts = "".join(
                element_of(part, item.text(f"{start}:{part}"))
                for part in schema.ADDRESS_PARTS
                if item.get(f"{start}:{part}") is not None
                and (not wanted or f"{start}:{part}" in wanted)
            )
            if parts:
                listed.append(f'<t:Entry Key="{index}">{parts}</t:Entry>')
        elif item.get(start) is not None and (not wanted or start in wanted):
            listed.append(f'<t:Entry Key="{index}">{escape(item.text(start))}</t:Entry>')
    return f"<t:{collection}>{''.join(listed)}</t:{collection}>" if listed else ""


def entries_of(collection: str) -> Callable[[Item], str]:
    """The writer of a whole collection."""
    return lambda item: entries(item, collection)


def status_description(item: Item) -> str:
    """The t:StatusDescription, from the status."""
    return element_of("StatusDescription", DESCRIPTIONS[item.text("Status", "NotStarted")])


def is_recurring(item: Item) -> str:
    """The t:IsRecurring of a master, an occurrence or a task."""
    found = item.get("Recurrence") is not None or item.get("RecurrenceId") is not None
    return element_of("IsRecurring", "true" if found else "false")


def calendar_item_type(item: Item) -> str:
    """The t:CalendarItemType."""
    return element_of("CalendarItemType", occurrences.item_type(item))


WRITERS: dict[str, Callable[[Item], str]] = {
    "MimeContent": mime_content,
    "ItemId": item_id,
    "ParentFolderId": parent_folder_id,
    "Body": body,
    "TextBody": text_body,
    "Attachments": attachments,
    "HasAttachments": has_attachments,
    "Size": size,
    "DateTimeSent": sent,
    "InternetMessageHeaders": headers,
    "DisplayTo": display("DisplayTo", "ToRecipients", "RequiredAttendees"),
    "DisplayCc": display("DisplayCc", "CcRecipients", "OptionalAttendees"),
    "DisplayBcc": display("DisplayBcc", "BccRecipients"),
    "EffectiveRights": rights,
    "ConversationId": conversation_id,
    "ConversationTopic": conversation_topic,
    "ConversationIndex": conversation_index,
    "InstanceKey": instance_key,
    "Preview": preview,
    "ReminderDueBy": reminder_due,
    "Duration": duration,
    "Organizer": organizer,
    "CompleteName": complete_name,
    "StatusDescription": status_description,
    "IsRecurring": is_recurring,
    "CalendarItemType": calendar_item_type,
    "FirstOccurrence": occurrences.first_occurrence,
    "LastOccurrence": occurrences.last_occurrence,
    "ModifiedOccurrences": occurrences.modified_occurrences,
    "DeletedOccurrences": occurrences.deleted_occurrences,
    **{collection: entries_of(collection) for collection in schema.INDEXED},
}


def write_property(item: Item, name: str) -> str:
    """The element of a property of the schema; empty if the item has no such value."""
    writer = WRITERS.get(name)
    if writer:
        return writer(item)
    value = item.get(name)
    if value is None:
        default = default_of(item, name)
        return "" if default is None else element_of(name, default)
    return write_value(name, value)
