"""XML in and out: namespaces, safe parsing, and text that can never break an answer.

Answers are built as strings with the prefixes `m` and `t`, which the envelope declares once.
"""

import re

from lxml import etree

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
MESSAGES = "http://schemas.microsoft.com/exchange/services/2006/messages"
TYPES = "http://schemas.microsoft.com/exchange/services/2006/types"
ERRORS = "http://schemas.microsoft.com/exchange/services/2006/errors"

S = f"{{{SOAP}}}"
M = f"{{{MESSAGES}}}"
T = f"{{{TYPES}}}"

PREFIXES = {TYPES: "t:", MESSAGES: "m:"}

ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"}
MARKUP = re.compile("<[^>]*>")
ESCAPED = re.compile('[&<>"\r]')

Element = etree._Element


def parse(data: bytes) -> Element:
    """Parse a request: no entities, no DTD, no network. Raises etree.XMLSyntaxError."""
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=True,
        remove_comments=True,
        remove_pis=True,
    )
    return etree.fromstring(data, parser)


def escape(text: str) -> str:
    """Make `text` fit for an element's content or a quoted attribute."""
    text = ILLEGAL.sub("\ufffd", text)
    return ESCAPED.sub(lambda match: ESCAPES[match.group()], text)


def local(element: Element) -> str:
    """The name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def children(element: Element | None) -> list[Element]:
    """The element children; none for None."""
    return [] if element is None else [one for one in element if isinstance(one.tag, str)]


def child_text(element: Element | None, tag: str, default: str = "") -> str:
    """The text of the child `tag`, which may be missing."""
    found = None if element is None else element.find(tag)
    return default if found is None else (found.text or "")


def serialize(element: Element) -> str:
    """Write a request's element back with the answer's prefixes."""
    tag = str(element.tag)
    uri, _, name = tag[1:].rpartition("}") if tag.startswith("{") else ("", "", tag)
    name = PREFIXES.get(uri, "t:") + name
    attributes = "".join(
        f' {str(key).rpartition("}")[2]}="{escape(str(value))}"'
        for key, value in element.attrib.items()
        if not str(key).startswith("{")
    )
    inner = "".join(serialize(child) for child in children(element))
    inner = inner or escape(element.text or "")
    return f"<{name}{attributes}>{inner}</{name}>" if inner else f"<{name}{attributes}/>"


def element_of(name: str, text: str, attributes: str = "") -> str:
    """One `t:` element with escaped text; `attributes` is written as given."""
    return f"<t:{name}{attributes}>{escape(text)}</t:{name}>"


def text_of(xml: str) -> list[str]:
    """The text within written XML; none if nothing is written."""
    if not xml:
        return []
    text = MARKUP.sub("", xml)
    for character, entity in reversed(ESCAPES.items()):
        text = text.replace(entity, character)
    return [text]


def line_of(element: Element) -> int:
    """The line of the request an element stands in."""
    line = element.sourceline
    return line if isinstance(line, int) else 0


def truth(text: str | None, default: bool = False) -> bool:
    """Read an xs:boolean."""
    return default if text is None else text.strip().lower() in ("true", "1")
