"""Properties of items: how Exchange names each, and where an item's element holds it.

One table per class (`contact_fields`, `task_fields`, `calendar_fields`) says which properties a
value is kept in; what asks for them, reads, creates and updates follows from it. exchangelib's
models do the same for eight times the time that an element takes (PITFALLS X15).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

from exchangelib.util import TNS, create_element

#: Of lxml, which exchangelib builds on.
Element: TypeAlias = Any
#: What a property is set to: a text, or its whole element.
Content: TypeAlias = str | Element
#: Where an item has a property, and the elements of an item by that.
Place: TypeAlias = tuple[str, ...]
Parts: TypeAlias = Mapping[Place, Element]

_NAMESPACE = len(f"{{{TNS}}}")


def named(tag: str) -> str:
    return f"{{{TNS}}}{tag}"


class Property(Protocol):
    """One that EWS sets, and takes off, by itself."""

    @property
    def top(self) -> str:
        """The name of the element right below the item's; the schema orders them."""

    def path(self) -> Element:
        """Return its path, for a shape, a restriction or an update."""

    @property
    def place(self) -> Place:
        """Where `parts_of` an item has it."""

    def put(self, item: Element, content: Content) -> None:
        """Add it to an item's element, which doesn't have it yet."""


@dataclass(frozen=True)
class Plain:
    """One with a name and an element of its own: "contacts:GivenName"."""

    uri: str
    attributes: tuple[tuple[str, str], ...] = ()  # that its element has when it is written

    @property
    def top(self) -> str:
        return self.uri.partition(":")[2]

    def path(self) -> Element:
        return create_element("t:FieldURI", attrs={"FieldURI": self.uri})

    @cached_property
    def place(self) -> Place:
        return (self.top,)

    def put(self, item: Element, content: Content) -> None:
        item.append(_leaf(self.top, content, dict(self.attributes)))


_LISTS = {
    "EmailAddress": "EmailAddresses",
    "PhoneNumber": "PhoneNumbers",
    "PhysicalAddress": "PhysicalAddresses",
}


@dataclass(frozen=True)
class Indexed:
    """An entry of one of a contact's lists, or a part of one of its addresses."""

    uri: str  # contacts:PhoneNumber, contacts:PhysicalAddress:City
    key: str

    @property
    def top(self) -> str:
        return _LISTS[self.uri.split(":")[1]]

    @property
    def part(self) -> str:
        return self.uri.partition(":")[2].partition(":")[2]

    def path(self) -> Element:
        attributes = {"FieldURI": self.uri, "FieldIndex": self.key}
        return create_element("t:IndexedFieldURI", attrs=attributes)

    @cached_property
    def place(self) -> Place:
        return (self.top, self.key, *([self.part] if self.part else []))

    def put(self, item: Element, content: Content) -> None:
        if item.find(named(self.top)) is None:
            item.append(create_element(f"t:{self.top}"))
        entry = self._entry(item)
        if entry is None:
            entry = create_element("t:Entry", attrs={"Key": self.key})
            item.find(named(self.top)).append(entry)
        if self.part:
            entry.append(_leaf(self.part, content, {}))
        else:
            entry.text = content

    def _entry(self, item: Element) -> Element | None:
        entries = item.iterfind(f"{named(self.top)}/{named('Entry')}")
        return next((entry for entry in entries if entry.get("Key") == self.key), None)


@dataclass(frozen=True)
class Extended:
    """A MAPI property that EWS has no name for, by its tag, or by a set and a number or name."""

    attributes: tuple[tuple[str, str], ...]

    top = "ExtendedProperty"

    def path(self) -> Element:
        attributes = {**dict(self.attributes), "PropertyType": "String"}
        return create_element("t:ExtendedFieldURI", attrs=attributes)

    @cached_property
    def place(self) -> Place:
        return _place_of(self.path())

    def put(self, item: Element, content: Content) -> None:
        extended = create_element(f"t:{self.top}")
        extended.append(self.path())
        extended.append(_leaf("Value", content, {}))
        item.append(extended)


def _place_of(path: Element) -> Place:
    """Read the path of an extended property; servers write sets and tags in their own ways."""
    if tag := path.get("PropertyTag"):
        return "PropertyTag", str(int(tag, 16))
    name = path.get("PropertyName")
    return ("PropertyName", name.casefold()) if name else ("PropertyId", path.get("PropertyId"))


def parts_of(item: Element) -> Parts:
    """Take an item's element apart, once for all that is read from it."""
    parts: dict[Place, Element] = {}
    for child in item.iterchildren(named("*")):
        tag = child.tag[_NAMESPACE:]
        if tag == Extended.top:
            path = child.find(named("ExtendedFieldURI"))
            parts[_place_of(path)] = child.find(named("Value"))
        elif tag in _LISTS.values():
            for entry in child:
                parts[tag, entry.get("Key")] = entry
                parts |= {(tag, entry.get("Key"), part.tag[_NAMESPACE:]): part for part in entry}
        else:
            parts[(tag,)] = child
    return parts


def by_tag(tag: str) -> Extended:
    return Extended((("PropertyTag", tag),))


def by_number(property_set: str, number: int) -> Extended:
    return Extended((("DistinguishedPropertySetId", property_set), ("PropertyId", str(number))))


def ours(name: str) -> Extended:
    """Name a property that this software gives items; people don't see it."""
    return Extended((("DistinguishedPropertySetId", "PublicStrings"), ("PropertyName", name)))


def _leaf(tag: str, content: Content, attributes: Mapping[str, str]) -> Element:
    if not isinstance(content, str):
        return content
    element = create_element(f"t:{tag}", attrs=dict(attributes))
    element.text = content
    return element


def texts(tag: str, values: Iterable[str]) -> Element | None:
    """Return an element that lists texts; None when there are none."""
    element = create_element(f"t:{tag}")
    for value in filter(None, map(str.strip, values)):
        element.append(_leaf("String", value, {}))
    return element if len(element) else None


#: A property and what it is set to; None: it is taken off.
Setting: TypeAlias = tuple[Property, Content | None]


def put_all(item: Element, settings: Iterable[Setting], order: Sequence[str]) -> None:
    """Add properties to the element of an item that is to be created, in the schema's order."""
    present = [setting for setting in settings if setting[1] is not None]
    for target, content in sorted(present, key=lambda setting: order.index(setting[0].top)):
        target.put(item, content)
