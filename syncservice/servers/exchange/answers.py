"""How answers of Exchange are read: whole, safely, and page by page.

exchangelib reads a byte at a time, keeps the first back-off value only, and follows the pages of a
search for as long as a server tells of more.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import requests
from exchangelib import errors
from exchangelib.errors import EWSError, MalformedResponseError, SOAPError
from exchangelib.fields import FieldPath
from exchangelib.items import Message
from exchangelib.services import GetItem
from exchangelib.util import ENS, SOAPNS, TNS
from lxml import etree

from syncservice.domain.faults import FaultError
from syncservice.domain.message import FIRST_YEAR, LAST_YEAR
from syncservice.servers.exchange.faults import UNREADABLE, UnheardOf, number_in
from syncservice.servers.gateway import Listed

#: Of a search; a mailbox has no more folders than this many pages hold.
_PAGE = 250
_MOST_PAGES = 100

#: Of XML 1.0, section 2.2.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile("&#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,9}));")


def paths(*names: str, of: Any = Message) -> list[FieldPath]:
    """Name properties of an item, or of a folder, as a shape asks for them."""
    return [FieldPath(field=of.get_field_by_fieldname(name)) for name in names]


#: What `listed` reads.
LISTED = paths("size", "datetime_received", "subject", "categories")


class Answers:
    """Mends how exchangelib reads answers: a byte at a time, and the first back-off value only."""

    @classmethod
    def _get_soap_parts(cls, response: requests.Response) -> tuple[Any, Any]:
        """Parse the answer whole: ten times as fast. A cut one is refused, never half read."""
        root = _root_of(response.content)
        body = root.find(f"{{{SOAPNS}}}Body")
        if body is None:
            raise MalformedResponseError("No Body element in SOAP response")
        return root.find(f"{{{SOAPNS}}}Header"), body

    @staticmethod
    def _get_exception(code: str, text: str, msg_xml: Any = None, **more: Any) -> EWSError:
        text = text or ""
        if code and not hasattr(errors, code):
            return UnheardOf(code, text)
        error = GetItem._get_exception(code=code, text=text, msg_xml=msg_xml, **more)
        _attach_back_off(error, msg_xml)
        return error

    @classmethod
    def _raise_soap_errors(cls, fault: Any) -> None:
        code = fault.findtext(f"detail/{{{ENS}}}ResponseCode", "").strip()
        if code.startswith("Error") and not hasattr(errors, code):
            raise UnheardOf(code, fault.findtext(f"detail/{{{ENS}}}Message", ""))
        try:
            super()._raise_soap_errors(fault=fault)  # type: ignore[misc] # of the service
        except EWSError as error:
            _attach_back_off(error, fault.find(f"detail/{{{TNS}}}MessageXml"))
            raise


class Raising(Answers):
    """Every error is raised; what comes is the answer's elements as they are."""

    ERRORS_TO_CATCH_IN_RESPONSE = WARNINGS_TO_CATCH_IN_RESPONSE = ()

    def ask(self, payload: Any) -> list[Any]:
        return list(self._get_elements(payload))  # type: ignore[attr-defined] # of the service


def _attach_back_off(error: EWSError, msg_xml: Any) -> None:
    if msg_xml is None:
        return
    for value in msg_xml.iter(f"{{{TNS}}}Value"):
        milliseconds = number_in(value.text) if value.get("Name") == "BackOffMilliseconds" else None
        if milliseconds is not None:
            error.back_off = milliseconds / 1000


def _root_of(content: bytes) -> Any:
    """Parse an answer; raise SOAPError when it is none, FaultError when it is a broken one.

    SOAP 1.1 has no DTD (section 3), so there is nothing good in one; nor may it hide behind another
    encoding than that of EWS.
    """
    reason = "it has a DTD"
    for text in (content, _without_forbidden(content)):
        parser = etree.XMLParser(
            encoding="utf-8", resolve_entities=False, no_network=True, huge_tree=True
        )
        try:
            if b"<!DOCTYPE" not in text:
                return etree.fromstring(text, parser)
        except etree.XMLSyntaxError as error:
            reason = str(error)
    if b"Envelope" in content[:1000]:
        raise FaultError(UNREADABLE)
    raise SOAPError(f"Bad SOAP response: {reason}")


def _without_forbidden(content: bytes) -> bytes:
    """Replace what XML forbids; Exchange gives out subjects as their senders wrote them."""
    text = _FORBIDDEN.sub("\ufffd", content.decode("utf-8", "replace"))
    return _REFERENCE.sub(_allowed, text).encode()


def _allowed(reference: re.Match[str]) -> str:
    number = int(reference[1], 16) if reference[1] else int(reference[2])
    is_allowed = number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF
    return reference[0] if is_allowed and not _FORBIDDEN.match(chr(number)) else "\ufffd"


def moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment if FIRST_YEAR <= moment.year <= LAST_YEAR else None


def listed(item: Any) -> Listed:
    """Read an item's element, of a sync or a search that asked for LISTED."""
    return Listed(
        item.find(f"{{{TNS}}}ItemId").attrib["Id"],
        number_in(item.findtext(f"{{{TNS}}}Size")) or 0,
        moment(item.findtext(f"{{{TNS}}}DateTimeReceived") or ""),
        item.findtext(f"{{{TNS}}}Subject") or "",
        categories_in(item),
    )


def categories_in(item: Any) -> tuple[str, ...]:
    """Read the categories of an item's element, in the order that the server gives them."""
    names = item.iterfind(f"{{{TNS}}}Categories/{{{TNS}}}String")
    return tuple(name.text for name in names if name.text)


def can_be_sent(text: str) -> bool:
    """Whether XML can carry this text; if it can't, the server has nothing of that name."""
    return not _FORBIDDEN.search(text)


def sendable(text: str) -> str:
    """Leave out what XML can't carry."""
    return _FORBIDDEN.sub("", text)


def all_pages(service: Any, folder: Any, **arguments: Any) -> Iterator[Any]:
    """Yield the elements that FindItem or FindFolder finds in a folder, page after page."""
    offset = 0
    for _ in range(_MOST_PAGES):
        [(page, following)] = service._get_pages(
            service.get_payload,
            {"folders": [folder], "offset": offset, "page_size": _PAGE, **arguments},
            1,
        )
        if page is not None:
            yield from service._get_elems_from_page(page, None, 0)
        if following is None or following <= offset:
            return
        offset = following
    raise FaultError(UNREADABLE)
