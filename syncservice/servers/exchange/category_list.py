"""The mailbox's own list of categories, as Outlook writes it: MS-OXOCFG section 2.2.5.2.2.

Other programs keep colours, shortcuts and what more they like in it. So it is changed in place:
what is not known here stays as it is.
"""

import uuid
from datetime import datetime
from typing import Any

from lxml import etree

from syncservice.domain.faults import FaultError
from syncservice.servers.exchange.faults import CATEGORIES_UNREADABLE
from syncservice.servers.gateway import Category

_NAMESPACE = "CategoryList.xsd"
_LIST, _CATEGORY = f"{{{_NAMESPACE}}}categories", f"{{{_NAMESPACE}}}category"
_NEVER = "1601-01-01T00:00:00.000"
_NEW = (
    f'<categories default="" lastSavedSession="0" lastSavedTime="{_NEVER}" xmlns="{_NAMESPACE}"/>'
).encode()
#: What a new category has besides name and guid; the section wants them all. -1: no colour.
_UNUSED = {
    "color": "-1",
    "keyboardShortcut": "0",
    "usageCount": "0",
    **dict.fromkeys(
        (
            "lastTimeUsedNotes",
            "lastTimeUsedJournal",
            "lastTimeUsedContacts",
            "lastTimeUsedTasks",
            "lastTimeUsedCalendar",
            "lastTimeUsedMail",
            "lastTimeUsed",
        ),
        _NEVER,
    ),
    "lastSessionUsed": "0",
}


class CategoryList:
    """The list while it is read and changed. An id is a UUID as Python writes it."""

    def __init__(self, data: bytes = b"") -> None:
        """Read `data`, b'' for a new list, or raise FaultError when it can't be understood."""
        self._root = _parsed(data or _NEW)
        try:
            self._by_id = {_id_of(one): one for one in self._root.iterfind(_CATEGORY)}
        except (KeyError, ValueError) as error:
            raise FaultError(CATEGORIES_UNREADABLE) from error

    @property
    def categories(self) -> tuple[Category, ...]:
        return tuple(Category(key, one.get("name", "")) for key, one in self._by_id.items())

    def save(self, category: Category) -> bool:
        """Add it, or give it its name; False when there was nothing to do.

        A name that another one has already, whatever its case, stays that one's: Outlook knows
        categories by name.
        """
        key = str(uuid.UUID(category.category_id))
        known = self._by_id.get(key)
        wanted = category.name.casefold()
        holders = {other for other, one in self._by_id.items() if _is_named(one, wanted)}
        if holders - {key} or (known is not None and known.get("name") == category.name):
            return False
        if known is None:
            guid = f"{{{key.upper()}}}"
            facts = {"name": category.name, **_UNUSED, "guid": guid}
            known = self._by_id[key] = etree.SubElement(self._root, _CATEGORY, facts)
        known.set("name", category.name)
        return True

    def remove(self, category_id: str) -> bool:
        """Take it off; False when it wasn't there."""
        one = self._by_id.pop(str(uuid.UUID(category_id)), None)
        if one is not None:
            self._root.remove(one)
        return one is not None

    def written(self, now: datetime) -> bytes:
        """Return the list as it is to be stored."""
        self._root.set("lastSavedTime", now.strftime("%Y-%m-%dT%H:%M:%S.000"))
        document: bytes = etree.tostring(self._root, xml_declaration=True, encoding="utf-8")
        return document


def _parsed(data: bytes) -> Any:
    """Parse a list; whoever may write to the mailbox may have written it, so it has no entities."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise FaultError(CATEGORIES_UNREADABLE) from error
    if root.tag != _LIST or root.getroottree().docinfo.internalDTD is not None:
        raise FaultError(CATEGORIES_UNREADABLE)
    return root


def _id_of(category: Any) -> str:
    return str(uuid.UUID(category.attrib["guid"]))


def _is_named(category: Any, wanted: str) -> bool:
    return bool(category.get("name", "").casefold() == wanted)
