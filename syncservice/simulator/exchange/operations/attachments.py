"""CreateAttachment, GetAttachment and DeleteAttachment."""

import base64

from syncservice.simulator.exchange import derived
from syncservice.simulator.exchange.context import Context, one_child, required_children
from syncservice.simulator.exchange.item import Attachment, Item
from syncservice.simulator.exchange.item_reader import read_attachment
from syncservice.simulator.exchange.markup import Element, M, T, child_text, truth
from syncservice.simulator.exchange.paths import read_paths
from syncservice.simulator.exchange.shapes import ItemShape

EMPTY = "<m:Attachments/>"


def create_attachment(context: Context) -> str:
    """Attach files and items to a saved item."""
    parent = one_child(context.element, M + "ParentItemId")

    def create(one: Element) -> str:
        mailbox, item = context.item(parent)
        attachment = read_attachment(one, context.zone)
        item.all_attachments()
        mailbox.attach(item, attachment)
        derived.identified(item)
        kind = element_name(attachment)
        return (
            f'<m:Attachments><t:{kind}><t:AttachmentId Id="{attachment.id}" {root(item)}/>'
            f"</t:{kind}></m:Attachments>"
        )

    return context.each(
        "CreateAttachment", required_children(context.element, M + "Attachments"), create, EMPTY
    )


def element_name(attachment: Attachment) -> str:
    """The element an attachment is written as."""
    return "FileAttachment" if attachment.item is None else "ItemAttachment"


def root(item: Item) -> str:
    """The attributes that name the item and its key after the change."""
    return f'RootItemId="{item.id}" RootItemChangeKey="{item.change_key}"'


def get_attachment(context: Context) -> str:
    """Attachments with their content."""
    settings = context.element.find(M + "AttachmentShape")
    shape = ItemShape(base="AllProperties", with_mime=False)
    if settings is not None:
        shape.with_mime = truth(child_text(settings, T + "IncludeMimeContent"))
        shape.body_type = child_text(settings, T + "BodyType", "Best")
        shape.paths = read_paths(settings.find(T + "AdditionalProperties"))

    def read(one: Element) -> str:
        mailbox, _, attachment = context.store.attachment(one.get("Id"))
        context.allowed(mailbox)
        if attachment.item is None:
            content = base64.b64encode(attachment.content).decode()
            inner = f"<t:Content>{content}</t:Content>"
        else:
            inner = shape.write(attachment.item)
        return f"<m:Attachments>{derived.attachment_element(attachment, inner)}</m:Attachments>"

    ids = required_children(context.element, M + "AttachmentIds")
    return context.each("GetAttachment", ids, read, EMPTY)


def delete_attachment(context: Context) -> str:
    """Take attachments away."""

    def delete(one: Element) -> str:
        mailbox, item, attachment = context.store.attachment(one.get("Id"))
        context.allowed(mailbox)
        mailbox.detach(item, attachment)
        return f"<m:RootItemId {root(item)}/>"

    ids = required_children(context.element, M + "AttachmentIds")
    return context.each("DeleteAttachment", ids, delete)
