"""Restrictions and query strings: which items or folders a find returns."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lxml import etree

from syncservice.simulator.exchange import derived, schema
from syncservice.simulator.exchange.errors import EwsError, schema_violation
from syncservice.simulator.exchange.folder import Folder
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.markup import Element, T, children, line_of, local, text_of
from syncservice.simulator.exchange.moments import read_moment, write_moment
from syncservice.simulator.exchange.paths import (
    ExtendedPath,
    FieldPath,
    HeaderPath,
    Path,
    read_path,
)
from syncservice.simulator.exchange.shapes import (
    extended_words,
    folder_extended_words,
    property_words,
    write_folder_property,
)
from syncservice.simulator.exchange.values import words_of

Thing = TypeVar("Thing")
Filter = Callable[[Thing], bool]
ItemFilter = Callable[[Item], bool]
Words = Callable[[Thing, Path], list[str]]

COMPARISONS: dict[str, Callable[[int], bool]] = {
    "IsEqualTo": lambda order: order == 0,
    "IsNotEqualTo": lambda order: order != 0,
    "IsGreaterThan": lambda order: order > 0,
    "IsGreaterThanOrEqualTo": lambda order: order >= 0,
    "IsLessThan": lambda order: order < 0,
    "IsLessThanOrEqualTo": lambda order: order <= 0,
}
NUMBER = re.compile(r"-?\d+(\.\d+)?")


def item_words(item: Item, path: Path) -> list[str]:
    """The texts of an item's property; none if it is not set."""
    if isinstance(path, ExtendedPath):
        return extended_words(path, item)
    key = path.key(item.element)
    if key is None:
        return []
    if isinstance(path, FieldPath):
        return property_words(item, key)
    if isinstance(path, HeaderPath):
        derived.headers(item)
        return [text for name, text in item.headers if name.lower() == path.name.lower()]
    return words_at(item, key)


def folder_words(folder: Folder, path: Path) -> list[str]:
    """The texts of a folder's property."""
    if isinstance(path, ExtendedPath):
        return folder_extended_words(path, folder)
    return text_of(write_folder_property(folder, path.name)) if isinstance(path, FieldPath) else []


@dataclass(frozen=True, slots=True)
class Comparison:
    """A value to compare with; dates by time, numbers by size, texts without regard to case."""

    constant: str
    is_date: bool

    def order(self, text: str) -> int:
        """Below, equal to or above zero as `text` stands before, at or behind the constant."""
        mine, theirs = text.strip().casefold(), self.constant.strip().casefold()
        if self.is_date:
            mine, theirs = text, write_moment(read_moment(self.constant))
        elif NUMBER.fullmatch(mine) and NUMBER.fullmatch(theirs):
            return (float(mine) > float(theirs)) - (float(mine) < float(theirs))
        return (mine > theirs) - (mine < theirs)


def read_filter(element: Element, words: Callable[[Thing, Path], list[str]]) -> Filter[Thing]:
    """Read one search expression."""
    kind = local(element)
    parts = children(element)
    if kind in ("And", "Or"):
        values = equal_to_one(parts) if kind == "Or" else None
        if values:
            path, wanted = values
            return lambda thing: any(
                text.strip().casefold() in wanted for text in words(thing, path)
            )
        filters = [read_filter(part, words) for part in parts]
        combine = all if kind == "And" else any
        return lambda thing: combine(one(thing) for one in filters)
    if kind == "Not" and parts:
        inner = read_filter(parts[0], words)
        return lambda thing: not inner(thing)
    if not parts:
        raise schema_violation(f"The element '{kind}' is incomplete.", line_of(element))
    path = read_path(parts[0])
    if isinstance(path, FieldPath) and path.name in ("MimeContent", "Attachments"):
        raise EwsError("ErrorUnsupportedPathForQuery")
    if kind == "Exists":
        return lambda thing: bool(words(thing, path))
    if kind == "Contains":
        return read_contains(element, path, words)
    if kind in COMPARISONS and len(parts) == 2:
        return read_comparison(kind, path, parts[1], words)
    raise schema_violation(f"The restriction '{kind}' is not supported.", line_of(element))


def equal_to_one(parts: list[Element]) -> tuple[Path, frozenset[str]] | None:
    """The texts of a restriction that asks for a text property to be one of many.

    Clients look up hundreds of their own keys so: one look into a set instead of that many.
    """
    written = {etree.tostring(one[0]) for one in parts if local(one) == "IsEqualTo" and len(one)}
    constants = [one.find(f"{T}FieldURIOrConstant/{T}Constant") for one in parts]
    if len(written) != 1 or any(local(one) != "IsEqualTo" for one in parts):
        return None
    path = read_path(parts[0][0])
    texts = [one.get("Value") or "" for one in constants if one is not None]
    is_text = isinstance(path, ExtendedPath) and path.identity.endswith(":String")
    if not is_text or len(texts) < len(parts):
        return None
    return path, frozenset(text.strip().casefold() for text in texts)


def is_moment(path: Path) -> bool:
    """Whether the property holds a moment."""
    if isinstance(path, FieldPath):
        return path.name in schema.DATES
    return isinstance(path, ExtendedPath) and (
        path.identity in schema.DATES or path.identity.endswith(":SystemTime")
    )


def read_comparison(
    kind: str, path: Path, operand: Element, words: Callable[[Thing, Path], list[str]]
) -> Filter[Thing]:
    """Read IsEqualTo and its like; the operand is a constant or another property."""
    holds = COMPARISONS[kind]
    is_date = is_moment(path)
    constant = operand.find(T + "Constant")
    if constant is None:
        inner = children(operand)
        if not inner:
            raise schema_violation("The constant is missing.", line_of(operand))
        other = read_path(inner[0])
        return lambda thing: any(
            holds(Comparison(there, is_date).order(here))
            for here in words(thing, path)
            for there in words(thing, other)
        )
    comparison = Comparison(constant.get("Value") or "", is_date)
    if kind == "IsNotEqualTo":
        return lambda thing: all(holds(comparison.order(text)) for text in words(thing, path))
    return lambda thing: any(holds(comparison.order(text)) for text in words(thing, path))


def read_contains(
    element: Element, path: Path, words: Callable[[Thing, Path], list[str]]
) -> Filter[Thing]:
    """Read Contains: a part of a text, with or without regard to case."""
    constant = element.find(T + "Constant")
    wanted = (constant.get("Value") if constant is not None else None) or ""
    mode = element.get("ContainmentMode") or "FullString"
    is_exact = (element.get("ContainmentComparison") or "Exact") == "Exact"

    def matches(thing: Thing) -> bool:
        for text in words(thing, path):
            here, there = (text, wanted) if is_exact else (text.casefold(), wanted.casefold())
            if mode in ("Substring", "ExactPhrase") and there in here:
                return True
            if mode in ("Prefixed", "PrefixOnWords") and here.startswith(there):
                return True
            if mode == "FullString" and here == there:
                return True
        return False

    return matches


def item_filter(restriction: Element | None) -> ItemFilter | None:
    """The filter of a FindItem; None: everything."""
    parts = children(restriction)
    return read_filter(parts[0], item_words) if parts else None


def folder_filter(restriction: Element | None) -> Callable[[Folder], bool]:
    """The filter of a FindFolder."""
    parts = children(restriction)
    return read_filter(parts[0], folder_words) if parts else lambda folder: True


#: What may stand before the colon of a query string.
QUERY_PROPERTIES = {
    "subject": ("Subject",),
    "body": ("Body",),
    "from": ("From",),
    "to": ("ToRecipients",),
    "cc": ("CcRecipients",),
    "participants": ("From", "ToRecipients", "CcRecipients"),
    "category": ("Categories",),
    "": ("Subject", "Body", "From", "ToRecipients", "CcRecipients", "DisplayName"),
}
TERM = re.compile(r'(?:(\w+):)?(?:"([^"]*)"|(\S+))')


def query_filter(query: str) -> ItemFilter:
    """The filter of a query string: `subject:word`, `from:"two words"`, or words anywhere."""
    terms: list[tuple[tuple[str, ...], str]] = []
    for name, quoted, word in TERM.findall(query):
        if (quoted or word).upper() == "AND":
            continue
        keys = QUERY_PROPERTIES.get(name.lower())
        if keys is None:
            raise EwsError("ErrorInvalidOperation", f"Queries on '{name}' are not simulated.")
        terms.append((keys, (quoted or word).casefold()))

    def matches(item: Item) -> bool:
        return all(
            any(wanted in text.casefold() for key in keys for text in words_at(item, key))
            for keys, wanted in terms
        )

    return matches


def words_at(item: Item, key: str) -> list[str]:
    """The texts under a key."""
    value = item.get(key)
    return [] if value is None else words_of(value)
