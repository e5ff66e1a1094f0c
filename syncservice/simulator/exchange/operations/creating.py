"""CreateItem: saving drafts and other items, and sending messages."""

from dataclasses import replace

from syncservice.simulator.exchange import derived
from syncservice.simulator.exchange.answers import ANSWERS
from syncservice.simulator.exchange.class_rules import (
    DEFAULT_FOLDERS,
    FOLDER_RULES,
    complete_new,
)
from syncservice.simulator.exchange.context import Context, one_child, required_children
from syncservice.simulator.exchange.errors import EwsError, schema_violation
from syncservice.simulator.exchange.folder import Folder
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.item_reader import read_item, read_property
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.markup import Element, M, T, children, line_of, local
from syncservice.simulator.exchange.meeting_mail import Sending
from syncservice.simulator.exchange.meetings import settle_meeting, tell_change
from syncservice.simulator.exchange.operations.answering import cancel_meeting, respond
from syncservice.simulator.exchange.values import Address, Body, Value, as_html

DISPOSITIONS = ("SaveOnly", "SendOnly", "SendAndSaveCopy")
INVITATIONS = ("SendToNone", "SendOnlyToAll", "SendToAllAndSaveCopy")
SMART_RESPONSES = ("ReplyToItem", "ReplyAllToItem", "ForwardItem")
EMPTY = "<m:Items/>"


def choice(element: Element, name: str, choices: tuple[str, ...]) -> str:
    """An optional attribute; empty if it is missing."""
    value = element.get(name) or ""
    if value and value not in choices:
        raise schema_violation(f"The '{name}' attribute is invalid.", line_of(element))
    return value


def create_item(context: Context) -> str:
    """New items, saved or sent."""
    element = context.element
    disposition = choice(element, "MessageDisposition", DISPOSITIONS)
    invitations = choice(element, "SendMeetingInvitations", INVITATIONS)

    def create(one: Element) -> str:
        if local(one) in ANSWERS:
            return respond(context, one, disposition)
        if local(one) == "CancelCalendarItem":
            return cancel_meeting(context, one, disposition)
        if local(one) in SMART_RESPONSES:
            item = smart_response(context, one)
        else:
            item = read_item(one, context.zone)
        if item.element == "Message" and not disposition:
            raise EwsError("ErrorMessageDispositionRequired")
        if item.element == "CalendarItem" and not invitations:
            raise EwsError("ErrorSendMeetingInvitationsRequired")
        is_sent = item.element == "Message" and disposition != "SaveOnly"
        mailbox, folder = place_for(context, item, is_sent=is_sent)
        if is_sent:
            context.store.send(mailbox, item)
            if disposition == "SendAndSaveCopy":
                mailbox.add(item, folder)
            return EMPTY
        if item.element == "Message":
            item.values.setdefault("IsDraft", "true")
            item.values.setdefault("IsRead", "true")
        complete_new(item, mailbox)
        sending = Sending(invitations)
        if item.element == "CalendarItem":
            settle_meeting(item.values, {}, sending)
        mailbox.add(item, folder)
        if item.element == "CalendarItem":
            tell_change(context.store, mailbox, item, {}, sending, is_reset=False)
        return created(item)

    return context.each("CreateItem", required_children(element, M + "Items"), create, EMPTY)


def place_for(context: Context, item: Item, *, is_sent: bool) -> tuple[Mailbox, Folder]:
    """The mailbox and folder a new item goes to."""
    named = context.target_folder(M + "SavedItemFolderId")
    if named is None:
        usual = "sentitems" if is_sent else DEFAULT_FOLDERS.get(item.element, "drafts")
        return context.own, context.own.well_known[usual]
    start, refusal = FOLDER_RULES.get(item.element, ("", ""))
    if not named[1].folder_class.startswith(start):
        raise EwsError(refusal)
    return named


def created(item: Item) -> str:
    """The payload that names a new item and its attachments."""
    attachments = "".join(
        f'<t:{kind}><t:AttachmentId Id="{one.id}"/></t:{kind}>'
        for one in derived.identified(item)
        for kind in ["FileAttachment" if one.item is None else "ItemAttachment"]
    )
    inner = derived.item_id(item)
    if attachments:
        inner += f"<t:Attachments>{attachments}</t:Attachments>"
    return f"<m:Items><t:{item.element}>{inner}</t:{item.element}></m:Items>"


def smart_response(context: Context, element: Element) -> Item:
    """The message that a ReplyToItem, ReplyAllToItem or ForwardItem stands for."""
    _, original = context.item(one_child(element, T + "ReferenceItemId"))
    new_body = Body("", False)
    values: dict[str, Value] = {}
    for child in children(element):
        if local(child) == "NewBodyContent":
            new_body = Body(child.text or "", child.get("BodyType") == "HTML")
        elif local(child) != "ReferenceItemId":
            values |= read_property(child, context.zone)
    kind = local(element)
    prefix = "FW: " if kind == "ForwardItem" else "RE: "
    defaults: dict[str, Value] = {
        "ItemClass": "IPM.Note",
        "Subject": prefix + derived.topic_of(original.text("Subject")),
        "Body": quoted(new_body, original),
    }
    message_id = original.text("InternetMessageId")
    if message_id:
        defaults["InReplyTo"] = message_id
        defaults["References"] = f"{original.text('References')} {message_id}".strip()
    if kind != "ForwardItem":
        defaults |= answer_recipients(original, context.own.owner, kind == "ReplyAllToItem")
        return Item("Message", {**defaults, **values})
    files = [
        replace(one, id="", number=0) for one in original.all_attachments() if not one.is_inline
    ]
    return Item("Message", {**defaults, **values}, attachments=files)


def quoted(new: Body, original: Item) -> Body:
    """The new body on top of the original one."""
    old = original.get("Body")
    old = old if isinstance(old, Body) else Body("", False)
    if new.is_html or old.is_html:
        return Body(f"{as_html(new)}<hr>{as_html(old)}", True)
    return Body(f"{new.text}\n\n-----Original Message-----\n{old.text}", False)


def answer_recipients(original: Item, owner: Address, to_all: bool) -> dict[str, Value]:
    """Whom a reply goes to."""
    to = original.people("ReplyTo") or original.people("From")
    found: dict[str, Value] = {"ToRecipients": tuple(to)}
    if to_all:
        mine = owner.email.lower()
        others = [one for one in original.people("ToRecipients") if one.email.lower() != mine]
        found["ToRecipients"] = (*to, *others)
        found["CcRecipients"] = tuple(original.people("CcRecipients"))
    return found
