"""The requests about items, written out as EWS wants them."""

from collections.abc import Iterable, Mapping, Sequence

from exchangelib.items import ID_ONLY, SAVE_ONLY, SHALLOW
from exchangelib.services.common import folder_ids_element
from exchangelib.util import create_element

from syncservice.servers.exchange.conversation import Conversation
from syncservice.servers.exchange.properties import Element, Property, Setting

#: The server merges nothing on its own: it has not seen what the other side has.
_NEVER_OVERWRITE = "NeverOverwrite"
ALWAYS_OVERWRITE = "AlwaysOverwrite"


def item_id(item: str, change_key: str | None = None) -> Element:
    key = {"ChangeKey": change_key} if change_key else {}
    return create_element("t:ItemId", attrs={"Id": item, **key})


def occurrence_id(series: str, index: int) -> Element:
    """Name one of a series by its number in the original series, from 1."""
    attributes = {"RecurringMasterId": series, "InstanceIndex": index}
    return create_element("t:OccurrenceItemId", attrs=attributes)


def get_items(ids: Iterable[Element], properties: Iterable[Property] = ()) -> Element:
    """Ask for items; bodies come as plain text."""
    shape = _shape(properties)
    body_type = create_element("t:BodyType")
    body_type.text = "Text"
    shape.insert(1, body_type)
    return _holding("m:GetItem", shape, _holding("m:ItemIds", *ids))


def changes_in(
    conversation: Conversation, folder: str, properties: Iterable[Property], state: str, limit: int
) -> Element:
    request = _holding(
        "m:SyncFolderItems", _shape(properties), _folder(conversation, folder, "m:SyncFolderId")
    )
    if state:
        _add(request, "m:SyncState", state)
    _add(request, "m:MaxChangesReturned", str(limit))
    return request


def find_items(
    conversation: Conversation,
    folder: str,
    properties: Iterable[Property],
    wanted: Property,
    values: Sequence[str],
    offset: int,
    page_size: int,
) -> Element:
    """Ask for the items of a folder in which a property has one of `values`."""
    tests = [_equals(wanted, value) for value in values]
    request = create_element("m:FindItem", attrs={"Traversal": SHALLOW})
    request.append(_shape(properties))
    view = {"MaxEntriesReturned": page_size, "Offset": offset, "BasePoint": "Beginning"}
    request.append(create_element("m:IndexedPageItemView", attrs=view))
    only = tests[0] if len(tests) == 1 else _holding("t:Or", *tests)
    request.append(_holding("m:Restriction", only))
    request.append(_folder(conversation, folder, "m:ParentFolderIds"))
    return request


def create_items(
    conversation: Conversation, folder: str, items: Iterable[Element], invitations: str
) -> Element:
    attributes = {"MessageDisposition": SAVE_ONLY, "SendMeetingInvitations": invitations}
    request = create_element("m:CreateItem", attrs=attributes)
    request.append(_folder(conversation, folder, "m:SavedItemFolderId"))
    request.append(_holding("m:Items", *items))
    return request


def update_items(
    changes: Iterable[Element], invitations: str, conflicts: str = _NEVER_OVERWRITE
) -> Element:
    attributes = {
        "ConflictResolution": conflicts,
        "MessageDisposition": SAVE_ONLY,
        "SendMeetingInvitationsOrCancellations": invitations,
    }
    request = create_element("m:UpdateItem", attrs=attributes)
    request.append(_holding("m:ItemChanges", *changes))
    return request


def item_change(of: Element, tag: str, settings: Iterable[Setting]) -> Element:
    """Say what is to be changed of one item, whose element is called `tag`."""
    updates = create_element("t:Updates")
    for target, content in settings:
        if content is None:
            updates.append(_holding("t:DeleteItemField", target.path()))
        else:
            item = create_element(f"t:{tag}")
            target.put(item, content)
            updates.append(_holding("t:SetItemField", target.path(), item))
    return _holding("t:ItemChange", of, updates)


def delete_items(ids: Iterable[Element], cancellations: str) -> Element:
    attributes = {
        "DeleteType": "MoveToDeletedItems",
        "SendMeetingCancellations": cancellations,
        "AffectedTaskOccurrences": "AllOccurrences",
    }
    request = create_element("m:DeleteItem", attrs=attributes)
    request.append(_holding("m:ItemIds", *ids))
    return request


def attachments(tag: str, attachment_id: str) -> Element:
    """Ask for an attachment, or have it deleted."""
    one = create_element("t:AttachmentId", attrs={"Id": attachment_id})
    return _holding(tag, _holding("m:AttachmentIds", one))


def create_attachment(item: str, change_key: str, said: Mapping[str, str]) -> Element:
    """Attach a file, of which `said` are the elements in the schema's order."""
    file = create_element("t:FileAttachment")
    for name, text in said.items():
        _add(file, f"t:{name}", text)
    parent = create_element("m:ParentItemId", attrs={"Id": item, "ChangeKey": change_key})
    return _holding("m:CreateAttachment", parent, _holding("m:Attachments", file))


def _shape(properties: Iterable[Property]) -> Element:
    shape = create_element("m:ItemShape")
    _add(shape, "t:BaseShape", ID_ONLY)
    if paths := [one.path() for one in properties]:
        shape.append(_holding("t:AdditionalProperties", *paths))
    return shape


def _equals(wanted: Property, value: str) -> Element:
    constant = create_element("t:Constant", attrs={"Value": value})
    return _holding("t:IsEqualTo", wanted.path(), _holding("t:FieldURIOrConstant", constant))


def _folder(conversation: Conversation, name: str, tag: str) -> Element:
    version = conversation.account.version
    return folder_ids_element([conversation.folder(name)], version=version, tag=tag)


def _holding(tag: str, *children: Element) -> Element:
    element = create_element(tag)
    element.extend(children)
    return element


def _add(element: Element, tag: str, text: str) -> None:
    child = create_element(tag)
    child.text = text
    element.append(child)
