"""Items and properties as a request writes them."""

from zoneinfo import ZoneInfo

from syncservice.simulator.exchange import schema
from syncservice.simulator.exchange.context import one_child
from syncservice.simulator.exchange.errors import EwsError, schema_violation
from syncservice.simulator.exchange.icalendar import read_icalendar
from syncservice.simulator.exchange.item import Attachment, Item
from syncservice.simulator.exchange.mapi import under_schema_name
from syncservice.simulator.exchange.markup import (
    Element,
    T,
    child_text,
    children,
    line_of,
    local,
    truth,
)
from syncservice.simulator.exchange.moments import WINDOWS_NAMES, zone
from syncservice.simulator.exchange.paths import ExtendedPath, extended_value, read_extended
from syncservice.simulator.exchange.values import (
    Value,
    read_bytes,
    read_value,
    violation,
    zone_definition,
)

ZONE_PROPERTIES = ("StartTimeZone", "EndTimeZone")
#: PR_MESSAGE_FLAGS: clients set it to create a message that is no draft.
MESSAGE_FLAGS = "extended:0x0e07:Integer"


def zone_of(element: Element, default: ZoneInfo | None) -> ZoneInfo | None:
    """The zone in which an item's moments without an offset are meant."""
    for name in ZONE_PROPERTIES:
        found = element.find(T + name)
        if found is not None:
            return zone(found.get("Id") or "") or default
    return default


def read_item(element: Element, default_zone: ZoneInfo | None) -> Item:
    """Read an item to be created; its properties must stand in schema order."""
    kind = local(element)
    if kind not in schema.CLASS_OF_ELEMENT:
        raise EwsError("ErrorInvalidOperation", f"Items of the kind {kind} are not simulated.")
    rank = schema.RANK[kind]
    local_zone = zone_of(element, default_zone)
    values: dict[str, Value] = {}
    attachments: list[Attachment] = []
    source: bytes | None = None
    last = -1
    for child in children(element):
        name = local(child)
        place = rank.get(name)
        if place is None or place < last or (place == last and name != "ExtendedProperty"):
            raise violation(
                child, f"The element '{kind}' has invalid child element '{name}' at this place."
            )
        last = place
        if name == "MimeContent":
            source = read_bytes(child.text or "", "ErrorMimeContentInvalid")
        elif name == "Attachments":
            attachments = [read_attachment(one, default_zone) for one in children(child)]
        elif name in schema.READ_ONLY:
            raise EwsError("ErrorInvalidPropertySet")
        else:
            values |= read_property(child, local_zone)
    values.setdefault("ItemClass", schema.CLASS_OF_ELEMENT[kind])
    if kind == "CalendarItem" and "Recurrence" in values and default_zone is not None:
        # A series needs a clock on a wall.
        for name in ZONE_PROPERTIES:
            windows_id = WINDOWS_NAMES.get(default_zone.key, "UTC")
            values.setdefault(name, zone_definition(name, windows_id))
    if MESSAGE_FLAGS in values:
        flags = int(str(values[MESSAGE_FLAGS]))
        values["IsDraft"] = "true" if flags & 8 else "false"
        values["IsRead"] = "true" if flags & 1 else "false"
    if source is None:
        return Item(kind, values, attachments=attachments)
    if kind == "CalendarItem":
        return Item(kind, {**read_icalendar(source), **values}, attachments=attachments)
    if kind not in ("Message", "Item"):
        raise EwsError("ErrorUnsupportedMimeConversion")
    item = Item.of_mime(source, values)
    for attachment in attachments:
        item.all_attachments().append(attachment)
    return item


def read_property(element: Element, local_zone: ZoneInfo | None) -> dict[str, Value]:
    """Read a property's element into the values it sets, by key."""
    name = local(element)
    if name == "ExtendedProperty":
        return read_extended_property(element)
    if name in schema.INDEXED:
        return read_entries(name, element)
    if name in ZONE_PROPERTIES:
        identity = element.get("Id") or ""
        if zone(identity) is None:
            raise EwsError("ErrorTimeZone")
        return {name: zone_definition(name, identity)}
    return {name: read_value(name, element, local_zone)}


def read_extended_property(element: Element) -> dict[str, Value]:
    """Read a t:ExtendedProperty; one of the set InternetHeaders writes a header."""
    path: ExtendedPath = read_extended(one_child(element, T + "ExtendedFieldURI"))
    value = under_schema_name(path.identity, extended_value(element))
    found: dict[str, Value] = {path.identity: value}
    if path.header is not None and isinstance(value, str):
        found[f"set-header:{path.header}"] = value
    return found


def read_entries(collection: str, element: Element) -> dict[str, Value]:
    """Read a contact's indexed entries."""
    found: dict[str, Value] = {}
    for entry in children(element):
        key = entry.get("Key") or ""
        if key not in schema.INDEXED[collection][1]:
            raise schema_violation(f"The 'Key' '{key}' is invalid.", line_of(entry))
        if collection == "PhysicalAddresses":
            for part in children(entry):
                found[f"{collection}:{key}:{local(part)}"] = part.text or ""
        else:
            found[f"{collection}:{key}"] = entry.text or ""
    return found


def read_attachment(element: Element, default_zone: ZoneInfo | None) -> Attachment:
    """Read a FileAttachment or ItemAttachment to be created."""
    attachment = Attachment(
        child_text(element, T + "Name"),
        child_text(element, T + "ContentType", "application/octet-stream"),
        content_id=child_text(element, T + "ContentId"),
        is_inline=truth(child_text(element, T + "IsInline")),
    )
    if local(element) == "FileAttachment":
        content = child_text(element, T + "Content")
        attachment.content = read_bytes(content, "ErrorInvalidAttachmentId")
    elif local(element) == "ItemAttachment":
        inner = [one for one in children(element) if local(one) in schema.CLASS_OF_ELEMENT]
        if not inner:
            raise EwsError("ErrorInvalidOperation", "The attached item is missing.")
        attachment.item = read_item(inner[0], default_zone)
        attachment.content_type = "message/rfc822"
    else:
        raise EwsError("ErrorInvalidOperation", "Reference attachments are not simulated.")
    return attachment
