"""Property paths: FieldURI, IndexedFieldURI and ExtendedFieldURI.

A path knows the key under which an item of a class keeps the property, or that the class has no
such property.
"""

import re
from dataclasses import dataclass

from syncservice.simulator.exchange import schema
from syncservice.simulator.exchange.errors import EwsError, schema_violation
from syncservice.simulator.exchange.mapi import NAMED, PROPERTY_SETS, TAGS
from syncservice.simulator.exchange.markup import Element, T, children, escape, line_of, local

#: Paths of the schema that are not the name of an element.
EXTRA_PATHS = {"item": ("MimeContentUTF8", "FirstBody"), "contacts": ("Culture",)}

INTERNET_HEADERS = PROPERTY_SETS["InternetHeaders"]
TRANSPORT_HEADERS = 0x007D
TYPE = re.compile(
    "(ApplicationTime|Binary|CLSID|Currency|Double|Float|Integer|Long|Object|Short|SystemTime"
    "|String)(Array)?|Boolean|Null|Error"
)


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A plain property, as in `item:Subject`."""

    prefix: str
    name: str

    def key(self, element: str) -> str | None:
        """Where an item written as `element` keeps it; None: this class has no such property."""
        fits = self.prefix == "item" or self.prefix in schema.PREFIXES[element]
        return self.name if fits else None

    @property
    def xml(self) -> str:
        """The path as the client wrote it."""
        return f'<t:FieldURI FieldURI="{self.prefix}:{self.name}"/>'


@dataclass(frozen=True, slots=True)
class IndexedPath:
    """One entry of a contact's collection, or one part of an address."""

    collection: str
    index: str
    part: str = ""

    def key(self, element: str) -> str | None:
        """As FieldPath.key."""
        if element != "Contact":
            return None
        return ":".join(filter(None, (self.collection, self.index, self.part)))

    @property
    def xml(self) -> str:
        """The path as the client wrote it."""
        name = schema.INDEXED[self.collection][0] + (f":{self.part}" if self.part else "")
        return f'<t:IndexedFieldURI FieldURI="contacts:{name}" FieldIndex="{self.index}"/>'


@dataclass(frozen=True, slots=True)
class HeaderPath:
    """One Internet header of a message."""

    name: str

    def key(self, element: str) -> str | None:
        """As FieldPath.key; every class has headers."""
        return f"header:{self.name.lower()}"

    @property
    def xml(self) -> str:
        """The path as the client wrote it."""
        name = escape(self.name)
        return f'<t:IndexedFieldURI FieldURI="item:InternetMessageHeader" FieldIndex="{name}"/>'


@dataclass(frozen=True, slots=True)
class ExtendedPath:
    """An extended (MAPI) property, by tag or by name or number within a set."""

    identity: str
    written: str
    tag: int | None
    is_array: bool
    header: str | None

    def key(self, element: str) -> str | None:
        """As FieldPath.key; every class has them."""
        return self.identity

    @property
    def xml(self) -> str:
        """The path as the client wrote it."""
        return self.written


Path = FieldPath | IndexedPath | HeaderPath | ExtendedPath


def read_path(element: Element) -> Path:
    """Read a path element; raises a schema violation or ErrorInvalidExtendedProperty."""
    kind = local(element)
    uri = element.get("FieldURI") or ""
    if kind == "FieldURI":
        return read_field(uri, element)
    if kind == "IndexedFieldURI":
        return read_indexed(uri, element.get("FieldIndex") or "", element)
    if kind == "ExtendedFieldURI":
        return read_extended(element)
    raise schema_violation(f"The element '{kind}' is not a path.", line_of(element))


def read_field(uri: str, element: Element) -> FieldPath:
    """Read a FieldURI; only those of the schema exist."""
    prefix, _, name = uri.partition(":")
    names = (*schema.BY_PREFIX.get(prefix, ()), *EXTRA_PATHS.get(prefix, ()))
    if prefix == "folder" or prefix in schema.SILENT_PREFIXES or name in names:
        return FieldPath(prefix, name)
    raise schema_violation(
        f"The 'FieldURI' attribute is invalid - The value '{uri}' is invalid according to its "
        "datatype 'UnindexedFieldURIType'.",
        line_of(element),
    )


def read_indexed(uri: str, index: str, element: Element) -> IndexedPath | HeaderPath:
    """Read an IndexedFieldURI."""
    if uri == "item:InternetMessageHeader":
        return HeaderPath(index)
    prefix, _, rest = uri.partition(":")
    name, _, part = rest.partition(":")
    collection = schema.COLLECTION_OF.get(name)
    if prefix != "contacts" or collection is None or bool(part) != (name == "PhysicalAddress"):
        raise schema_violation(f"The value '{uri}' is invalid.", line_of(element))
    return IndexedPath(collection, index, part)


def read_extended(element: Element) -> ExtendedPath:
    """Read an ExtendedFieldURI, or raise ErrorInvalidExtendedProperty for a mixed one."""
    get = element.get
    kind = get("PropertyType") or ""
    if not TYPE.fullmatch(kind):
        raise schema_violation("The 'PropertyType' attribute is invalid.", line_of(element))
    named_set, guid = get("DistinguishedPropertySetId"), get("PropertySetId")
    tag_text, name, number = get("PropertyTag"), get("PropertyName"), get("PropertyId")
    attributes = "".join(
        f' {key!s}="{escape(str(value))}"' for key, value in element.attrib.items()
    )
    written = f"<t:ExtendedFieldURI{attributes}/>"
    is_array = kind.endswith("Array")
    if tag_text is not None:
        if named_set or guid or name is not None or number is not None:
            raise EwsError("ErrorInvalidExtendedProperty")
        tag = int(tag_text, 16 if tag_text.lower().startswith("0x") else 10)
        if 0x8000 <= tag <= 0xFFFE:
            raise EwsError("ErrorInvalidExtendedProperty")
        identity = TAGS.get(tag) or f"extended:{tag:#06x}:{kind}"
        return ExtendedPath(identity, written, tag, is_array, None)
    if bool(named_set) == bool(guid) or (name is None) == (number is None):
        raise EwsError("ErrorInvalidExtendedProperty")
    if named_set and named_set not in PROPERTY_SETS:
        raise schema_violation("The property set is unknown.", line_of(element))
    set_id = PROPERTY_SETS[named_set] if named_set else (guid or "").lower()
    which = f"#{int(number)}" if number is not None else f"={name}"
    header = name if set_id == INTERNET_HEADERS else None
    alias = NAMED.get((set_id, int(number) if number is not None else str(name)))
    identity = alias or f"extended:{set_id}{which}:{kind}"
    return ExtendedPath(identity, written, None, is_array, header)


def read_paths(container: Element | None) -> list[Path]:
    """Read the paths of AdditionalProperties; an invalid extended path fails the whole request."""
    return [read_path(one) for one in children(container)]


def extended_value(element: Element) -> str | tuple[str, ...]:
    """Read the Value or Values of a t:ExtendedProperty."""
    single = element.find(T + "Value")
    if single is not None:
        return single.text or ""
    return tuple(one.text or "" for one in children(element.find(T + "Values")))
