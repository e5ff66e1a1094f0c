"""The settings that clients keep in folders, such as the list of categories in the calendar's."""

from syncservice.simulator.exchange.context import Context, one_child
from syncservice.simulator.exchange.errors import EwsError, schema_violation
from syncservice.simulator.exchange.folder import Configuration, Folder
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.markup import (
    Element,
    M,
    T,
    child_text,
    children,
    element_of,
    escape,
    line_of,
    serialize,
)
from syncservice.simulator.exchange.shapes import folder_id
from syncservice.simulator.exchange.values import read_bytes

PARTS = ("Id", "Dictionary", "XmlData", "BinaryData", "All")


def get_user_configuration(context: Context) -> str:
    """What a client keeps under a name, or the parts of it that are wanted."""
    named = one_child(context.element, M + "UserConfigurationName")
    wanted = set((one_child(context.element, M + "UserConfigurationProperties").text or "").split())
    if not wanted or not wanted.issubset(PARTS):
        raise schema_violation("UserConfigurationProperties is invalid.", line_of(named))

    def get(one: Element) -> str:
        _, folder, name = place(context, one)
        return written(existing(folder, name), folder, name, wanted)

    return context.each("GetUserConfiguration", [named], get)


def create_user_configuration(context: Context) -> str:
    """Begin to keep something under a name."""

    def create(one: Element) -> str:
        mailbox, folder, name = place(context, one_child(one, T + "UserConfigurationName"))
        fill(mailbox.configure(folder, name), one)
        return ""

    configuration = one_child(context.element, M + "UserConfiguration")
    return context.each("CreateUserConfiguration", [configuration], create)


def update_user_configuration(context: Context) -> str:
    """Replace the parts that the request carries; the others stay."""

    def update(one: Element) -> str:
        _, folder, name = place(context, one_child(one, T + "UserConfigurationName"))
        fill(existing(folder, name), one)
        return ""

    configuration = one_child(context.element, M + "UserConfiguration")
    return context.each("UpdateUserConfiguration", [configuration], update)


def delete_user_configuration(context: Context) -> str:
    """Forget what is kept under a name."""

    def delete(one: Element) -> str:
        _, folder, name = place(context, one)
        existing(folder, name)
        del folder.configurations[name]
        return ""

    named = one_child(context.element, M + "UserConfigurationName")
    return context.each("DeleteUserConfiguration", [named], delete)


def place(context: Context, named: Element) -> tuple[Mailbox, Folder, str]:
    """Where a configuration is kept, and under which name."""
    name, folders = named.get("Name"), children(named)
    if not name or not folders:
        raise schema_violation("The element 'UserConfigurationName' is invalid.", line_of(named))
    return (*context.folder(folders[0]), name)


def existing(folder: Folder, name: str) -> Configuration:
    """The configuration of that name, or ErrorItemNotFound."""
    found = folder.configurations.get(name)
    if found is None:
        raise EwsError("ErrorItemNotFound")
    return found


def fill(configuration: Configuration, element: Element) -> None:
    """Take over the parts that a request carries."""
    dictionary = element.find(T + "Dictionary")
    if dictionary is not None:
        configuration.dictionary = serialize(dictionary)
    for part, name in (("XmlData", "xml_data"), ("BinaryData", "binary_data")):
        if element.find(T + part) is not None:
            text = child_text(element, T + part)
            read_bytes(text, "ErrorInvalidRequest")
            setattr(configuration, name, "".join(text.split()))


def written(configuration: Configuration, folder: Folder, name: str, wanted: set[str]) -> str:
    """The payload with these parts of a configuration, in schema order."""
    parts = {
        "Id": f'<t:ItemId Id="{configuration.item_id}"/>',
        "Dictionary": configuration.dictionary,
        "XmlData": part("XmlData", configuration.xml_data),
        "BinaryData": part("BinaryData", configuration.binary_data),
    }
    inner = "".join(text for key, text in parts.items() if wanted & {key, "All"})
    return (
        f'<m:UserConfiguration><t:UserConfigurationName Name="{escape(name)}">'
        f"{folder_id(folder)}</t:UserConfigurationName>{inner}</m:UserConfiguration>"
    )


def part(name: str, text: str) -> str:
    """One part's element; empty if it is not kept."""
    return element_of(name, text) if text else ""
