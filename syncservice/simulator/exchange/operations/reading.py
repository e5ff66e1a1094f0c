"""GetItem and ConvertId."""

from syncservice.simulator.exchange.context import Context, one_child, required_children
from syncservice.simulator.exchange.ids import read_id
from syncservice.simulator.exchange.markup import Element, M, escape
from syncservice.simulator.exchange.shapes import read_item_shape


def get_item(context: Context) -> str:
    """Items by id, with the properties asked for."""
    shape = read_item_shape(one_child(context.element, M + "ItemShape"))

    def read(one: Element) -> str:
        _, item = context.item(one)
        return f"<m:Items>{shape.write(item)}</m:Items>"

    ids = required_children(context.element, M + "ItemIds")
    return context.each("GetItem", ids, read, "<m:Items/>")


def convert_id(context: Context) -> str:
    """Ids in another format; here all formats are one. Clients use it to learn the version."""
    target = context.element.get("DestinationFormat") or "EwsId"

    def convert(one: Element) -> str:
        text = one.get("Id") or ""
        owner = context.store.by_number.get(read_id(text).mailbox)
        mailbox = escape(owner.address if owner else one.get("Mailbox") or "")
        return (
            f'<m:AlternateId xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
            f'xsi:type="t:AlternateIdType" Format="{escape(target)}" Id="{escape(text)}" '
            f'Mailbox="{mailbox}"/>'
        )

    return context.each("ConvertId", required_children(context.element, M + "SourceIds"), convert)
