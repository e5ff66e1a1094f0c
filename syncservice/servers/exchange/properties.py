"""Properties of items: how Exchange names each, and where an item's element holds it.

One table per class (`contact_fields`, `task_fields`, `calendar_fields`) says which properties a
value is kept in; what asks for them, reads, creates and updates follows from it. exchangelib's
models do the same for eight times the time that an element takes (PITFALLS X15).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from exchangelib.util import TNS, create_element

#: Of lxml, which exchangelib builds on.
Element: TypeAlias = Any
#: What a property is set to: a text, or its whole element.
Content: TypeAlias = str | Element


def named(tag: str) -> str:
    return f"{{{TNS}}}{tag}"


class Property(Protocol):
    """One that EWS sets, and takes off, by itself."""

    @property
    def top(self) -> str:
        """The name of the element right below the item's; the schema orders them."""

    def path(self) -> Element:
        """Return its path, for a shape, a restriction or an update."""

    def find(self, item: Element) -> Element | None:
        """Find its element below an item's."""

    def put(self, item: Element, content: Content) -> None:
        """Add it to an item's element, which doesn't have it yet."""


@dataclass(frozen=True, slots=True)
class Plain:
    """One with a name and an element of its own: "contacts:GivenName"."""

    uri: str
    attributes: tuple[tuple[str, str], ...] = ()  # that its element has when it is written

    @property
    def top(self) -> str:
        return self.uri.partition(":")[2]

    def path(self) -> Element:
        return create_element("t:FieldURI", attrs={"FieldURI": self.uri})

    def find(self, item: Element) -> Element | None:
        return item.find(named(self.top))

    def put(self, item: Element, content: Content) -> None:
        item.append(_leaf(self.top, content, dict(self.attributes)))


_LISTS = {
    "EmailAddress": "EmailAddresses",
    "PhoneNumber": "PhoneNumbers",
    "PhysicalAddress": "PhysicalAddresses",
}


@dataclass(frozen=True, slots=True)
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

    def find(self, item: Element) -> Element | None:
        entry = self._entry(item)
        return entry.find(named(self.part)) if entry is not None and self.part else entry

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


@dataclass(frozen=True, slots=True)
class Extended:
    """A MAPI property that EWS has no name for, by its tag, or by a set and a number or name."""

    attributes: tuple[tuple[str, str], ...]

    top = "ExtendedProperty"

    def path(self) -> Element:
        attributes = {**dict(self.attributes), "PropertyType": "String"}
        return create_element("t:ExtendedFieldURI", attrs=attributes)

    def find(self, item: Element) -> Element | None:
        for extended in item.iterfind(named(self.top)):
            if self._is_at(extended.find(named("ExtendedFieldURI"))):
                return extended.find(named("Value"))
        return None

    def put(self, item: Element, content: Content) -> None:
        extended = create_element(f"t:{self.top}")
        extended.append(self.path())
        extended.append(_leaf("Value", content, {}))
        item.append(extended)

    def _is_at(self, path: Element) -> bool:
        """Whether a path that a server gives is this one; it writes sets and tags its own way."""
        name, wanted = self.attributes[-1]
        given = path.get(name) or ""
        if name == "PropertyTag":
            return bool(given) and int(given, 16) == int(wanted, 16)
        return bool(given.casefold() == wanted.casefold())


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
