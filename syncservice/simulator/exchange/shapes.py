"""Which properties an answer shows of an item or a folder, in schema order.

A shape is worked out once per request and class into slots; a slot writes one element, and what it
wrote is kept with the item until the item changes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from syncservice.simulator.exchange import derived, schema
from syncservice.simulator.exchange.errors import schema_violation
from syncservice.simulator.exchange.folder import Folder
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.mapi import OF_FOLDER, OF_ITEM, under_tag
from syncservice.simulator.exchange.markup import (
    Element,
    T,
    child_text,
    element_of,
    escape,
    line_of,
    text_of,
    truth,
)
from syncservice.simulator.exchange.paths import (
    TRANSPORT_HEADERS,
    ExtendedPath,
    FieldPath,
    HeaderPath,
    IndexedPath,
    Path,
    read_paths,
)
from syncservice.simulator.exchange.values import words_of

Slot = tuple[str, Callable[[Item], str]]
BASE_SHAPES = ("IdOnly", "Default", "AllProperties")
BODY_TYPES = ("Best", "HTML", "Text")


@dataclass(slots=True)
class ItemShape:
    """What a request wants to see of items."""

    base: str = "IdOnly"
    paths: list[Path] = field(default_factory=list)
    body_type: str = "Best"
    with_mime: bool = False
    in_list: bool = False  # of FindItem or a sync, which never show bodies and recipients
    slots: dict[str, list[Slot]] = field(default_factory=dict)  # by element, once worked out

    def write(self, item: Item) -> str:
        """The item's element."""
        slots = self.slots.get(item.element)
        if slots is None:
            slots = self.slots[item.element] = self._slots_for(item.element)
        written = item.rendered
        pieces = []
        for key, write in slots:
            text = written.get(key)
            if text is None:
                text = written[key] = write(item)
            pieces.append(text)
        return f"<t:{item.element}>{''.join(pieces)}</t:{item.element}>"

    def _slots_for(self, element: str) -> list[Slot]:
        names = set(self._names(element))
        extended: list[Slot] = []
        some_headers: set[str] = set()
        some_entries: dict[str, set[str]] = {}
        for path in self.paths:
            if isinstance(path, ExtendedPath):
                extended.append((path.xml, partial(write_extended, path)))
            elif isinstance(path, HeaderPath):
                some_headers.add(path.name.lower())
            elif isinstance(path, IndexedPath) and path.key(element):
                some_entries.setdefault(path.collection, set()).add(path.key(element) or "")
        rank = schema.RANK[element]
        slots = [(rank[name], self._slot(name)) for name in names]
        if some_headers and not self.in_list and "InternetMessageHeaders" not in names:
            wanted = frozenset(some_headers)
            key = f"InternetMessageHeaders {sorted(wanted)}"
            slots.append(
                (rank["InternetMessageHeaders"], (key, partial(derived.headers, names=wanted)))
            )
        for collection, keys in some_entries.items():
            if collection not in names:
                write = partial(derived.entries, collection=collection, wanted=frozenset(keys))
                slots.append((rank[collection], (f"{collection} {sorted(keys)}", write)))
        slots += [(rank["ExtendedProperty"], slot) for slot in extended]
        return [slot for _, slot in sorted(slots, key=lambda pair: pair[0])]

    def _names(self, element: str) -> Iterable[str]:
        if self.base == "AllProperties":
            names = {n for n in schema.ORDER[element] if n not in schema.NOT_IN_ALL}
        elif self.base == "Default":
            names = set(schema.DEFAULT_SHAPE[element])
        else:
            names = {"ItemId"}
        if self.with_mime:
            names.add("MimeContent")
        for path in self.paths:
            key = path.key(element) if isinstance(path, FieldPath) else None
            if key in schema.RANK[element]:
                names.add(str(key))
        if self.in_list:
            names -= set(schema.NOT_IN_LISTS)
        return names

    def _slot(self, name: str) -> Slot:
        if name == "Body" and self.body_type != "Best":
            return f"Body {self.body_type}", partial(derived.body, kind=self.body_type)
        return name, partial(write_named, name=name)


def write_named(item: Item, name: str) -> str:
    """A property of the schema."""
    return derived.write_property(item, name)


def write_extended(path: ExtendedPath, item: Item) -> str:
    """An extended property that is set; empty otherwise."""
    texts = extended_words(path, item)
    return extended_element(path, texts) if texts else ""


def extended_words(path: ExtendedPath, item: Item) -> list[str]:
    """The texts of an item's extended property; none if it is not set."""
    if path.tag == TRANSPORT_HEADERS:
        item.parse()
        headers = "".join(f"{name}: {text}\r\n" for name, text in item.headers)
        return [headers] if headers else []
    if path.header is not None:
        item.parse()
        wanted = path.header.lower()
        found = [text for name, text in item.headers if name.lower() == wanted]
        if found:
            return found[:1]
    if path.tag in OF_ITEM:
        return [OF_ITEM[path.tag](item)]
    if path.identity in schema.RANK[item.element]:
        return [under_tag(path.identity, text) for text in property_words(item, path.identity)]
    value = item.get(path.identity)
    return [] if value is None else words_of(value)


def folder_extended_words(path: ExtendedPath, folder: Folder) -> list[str]:
    """The texts of a folder's extended property; none if it is not set."""
    if path.tag in OF_FOLDER:
        text = OF_FOLDER[path.tag](folder)
        return [text] if text else []
    value = folder.extended.get(path.identity)
    return [] if value is None else words_of(value)


def property_words(item: Item, name: str) -> list[str]:
    """The texts of a property of the schema, also of one the server works out."""
    value = item.get(name)
    if value is None or name in derived.WRITERS:
        return text_of(derived.write_property(item, name))
    return words_of(value)


def extended_element(path: ExtendedPath, texts: list[str]) -> str:
    """A t:ExtendedProperty with its value or values."""
    inner = "".join(f"<t:Value>{escape(text)}</t:Value>" for text in texts)
    if path.is_array:
        inner = f"<t:Values>{inner}</t:Values>"
    return f"<t:ExtendedProperty>{path.xml}{inner}</t:ExtendedProperty>"


def read_item_shape(element: Element | None, *, in_list: bool = False) -> ItemShape:
    """Read an ItemShape; `in_list` leaves out what FindItem and a sync never show."""
    if element is None:
        raise schema_violation("The element 'ItemShape' is missing.")
    return ItemShape(
        read_base(element),
        read_paths(element.find(T + "AdditionalProperties")),
        read_choice(element, "BodyType", BODY_TYPES),
        truth(child_text(element, T + "IncludeMimeContent")),
        in_list,
    )


def read_choice(element: Element, name: str, choices: tuple[str, ...]) -> str:
    """The text of a child that is one of `choices`; the first if it is missing."""
    text = child_text(element, T + name, choices[0])
    if text not in choices:
        raise schema_violation(f"The value '{text}' is invalid for '{name}'.", line_of(element))
    return text


def read_base(element: Element) -> str:
    """The BaseShape, which is required."""
    if element.find(T + "BaseShape") is None:
        raise schema_violation("The element 'BaseShape' is missing.", line_of(element))
    return read_choice(element, "BaseShape", BASE_SHAPES)


FOLDER_ORDER = (
    "FolderId",
    "ParentFolderId",
    "FolderClass",
    "DisplayName",
    "TotalCount",
    "ChildFolderCount",
    "ExtendedProperty",
    "EffectiveRights",
    "DistinguishedFolderId",
    "UnreadCount",
)
FOLDER_DEFAULT = frozenset(["FolderId", "DisplayName", "TotalCount", "ChildFolderCount"])
FOLDER_NOT_IN_ALL = frozenset(["ExtendedProperty"])


@dataclass(slots=True)
class FolderShape:
    """What a request wants to see of folders."""

    base: str
    paths: list[Path]

    def write(self, folder: Folder) -> str:
        """The folder's element."""
        if self.base == "AllProperties":
            names = {name for name in FOLDER_ORDER if name not in FOLDER_NOT_IN_ALL}
        elif self.base == "Default":
            names = {*FOLDER_DEFAULT, *(["UnreadCount"] if folder.element == "Folder" else [])}
        else:
            names = {"FolderId"}
        names |= {path.name for path in self.paths if isinstance(path, FieldPath)}
        extended = [path for path in self.paths if isinstance(path, ExtendedPath)]
        inner = ""
        for name in FOLDER_ORDER:
            if name == "ExtendedProperty":
                inner += "".join(write_folder_extended(path, folder) for path in extended)
            elif name in names:
                inner += write_folder_property(folder, name)
        return f"<t:{folder.element}>{inner}</t:{folder.element}>"


def folder_id(folder: Folder, name: str = "FolderId") -> str:
    """The t:FolderId, under this name."""
    return f'<t:{name} Id="{folder.id}" ChangeKey="{folder.change_key}"/>'


def write_folder_property(folder: Folder, name: str) -> str:
    """One element of a folder; empty if it has no such value."""
    if name == "FolderId":
        return folder_id(folder)
    if name == "ParentFolderId":
        # The root is its own parent.
        return folder_id(folder.parent or folder, "ParentFolderId")
    if name == "EffectiveRights":
        return derived.RIGHTS.format("true")
    if name == "UnreadCount" and folder.element in ("CalendarFolder", "ContactsFolder"):
        return ""
    text = {
        "FolderClass": folder.folder_class,
        "DisplayName": folder.name,
        "TotalCount": str(len(folder.items)),
        "ChildFolderCount": str(len(folder.subfolders)),
        "DistinguishedFolderId": folder.well_known,
        "UnreadCount": str(folder.unread_count),
    }[name]
    optional = name in ("FolderClass", "DistinguishedFolderId") and not text
    return "" if optional else element_of(name, text)


def write_folder_extended(path: ExtendedPath, folder: Folder) -> str:
    """An extended property of a folder; empty if it is not set."""
    texts = folder_extended_words(path, folder)
    return extended_element(path, texts) if texts else ""


def read_folder_shape(element: Element | None) -> FolderShape:
    """Read a FolderShape."""
    if element is None:
        raise schema_violation("The element 'FolderShape' is missing.")
    return FolderShape(read_base(element), read_paths(element.find(T + "AdditionalProperties")))
