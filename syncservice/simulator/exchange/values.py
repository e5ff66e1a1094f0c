"""The values of properties: read from a request's XML, written into an answer's.

A plain property is its text; the others are small frozen values. What the simulator only keeps and
gives back (recurrences, flags) stays a `Fragment` of XML.
"""

import base64
import binascii
import html
import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from syncservice.simulator.exchange import schema
from syncservice.simulator.exchange.errors import EwsError, schema_violation
from syncservice.simulator.exchange.markup import (
    Element,
    T,
    child_text,
    children,
    element_of,
    escape,
    line_of,
    serialize,
)
from syncservice.simulator.exchange.moments import read_moment, write_moment

TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Address:
    """Somebody's mail address; the name may be empty."""

    name: str
    email: str

    @property
    def label(self) -> str:
        """How DisplayTo shows it."""
        return self.name or self.email


@dataclass(frozen=True, slots=True)
class Attendee:
    """Somebody who is invited to a meeting, and what he answered."""

    address: Address
    response: str = "Unknown"
    replied: str = ""  # when, as EWS writes it; empty: not yet

    @property
    def key(self) -> str:
        """By which he is told from the others."""
        return self.address.email.lower()


@dataclass(frozen=True, slots=True)
class Body:
    """A body as it was set; `is_html` is its kind."""

    text: str
    is_html: bool


@dataclass(frozen=True, slots=True)
class Fragment:
    """A property kept as the XML of its whole element."""

    xml: str


People = tuple[Address, ...]
Attendees = tuple[Attendee, ...]
Strings = tuple[str, ...]
Value = str | Body | Fragment | People | Attendees | Strings
Values = dict[str, Value]


def text_in(values: Values, key: str) -> str:
    """A plain value; empty if it is not set."""
    value = values.get(key)
    return value if isinstance(value, str) else ""


def read_value(name: str, element: Element, zone: ZoneInfo | None) -> Value:
    """Read the element of property `name`; raises ErrorSchemaValidation for a wrong form."""
    text = element.text or ""
    if name in schema.DATES:
        return write_moment(read_moment(text, zone))
    if name in schema.BOOLEANS:
        return read_boolean(text, element)
    if name in schema.INTEGERS and not text.strip().lstrip("-").isdigit():
        raise violation(element, f"The value '{text}' is invalid according to xs:int.")
    if name in schema.CHOICES and text not in schema.CHOICES[name]:
        raise violation(element, f"The value '{text}' is not allowed for {name}.")
    if name == "Body":
        kind = element.get("BodyType")
        if kind not in ("HTML", "Text"):
            raise violation(element, "The required attribute 'BodyType' is missing or wrong.")
        return Body(text, kind == "HTML")
    if name in schema.RECIPIENT_LISTS or name in schema.SINGLE_RECIPIENTS:
        return tuple(read_address(one) for one in children(element))
    if name in schema.ATTENDEE_LISTS:
        return tuple(read_attendee(one) for one in children(element))
    if name in schema.STRING_LISTS:
        return tuple(one.text or "" for one in children(element))
    return Fragment(serialize(element)) if children(element) or element.attrib else text


def violation(element: Element, what: str) -> Exception:
    """A schema violation at the place of `element` in the request."""
    return schema_violation(what, line_of(element))


def read_boolean(text: str, element: Element) -> str:
    """Read an xs:boolean as the text we answer with."""
    if text.strip() not in ("true", "false", "1", "0"):
        raise violation(element, f"The value '{text}' is invalid according to xs:boolean.")
    return "true" if text.strip() in ("true", "1") else "false"


def read_address(mailbox: Element) -> Address:
    """Read a t:Mailbox."""
    email = child_text(mailbox, T + "EmailAddress")
    return Address(child_text(mailbox, T + "Name"), email.strip())


def read_attendee(attendee: Element) -> Attendee:
    """Read a t:Attendee."""
    response = child_text(attendee, T + "ResponseType", "Unknown")
    if response not in schema.RESPONSE_TYPES:
        raise violation(attendee, f"The value '{response}' is not allowed for ResponseType.")
    mailbox = attendee.find(T + "Mailbox")
    if mailbox is None:
        raise violation(attendee, "The element 'Attendee' has incomplete content.")
    replied = child_text(attendee, T + "LastResponseTime")
    moment = write_moment(read_moment(replied)) if replied else ""
    return Attendee(read_address(mailbox), response, moment)


def read_bytes(text: str, code: str) -> bytes:
    """Decode base64 content, or raise `code`."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise EwsError(code) from error


def zone_definition(name: str, windows_id: str) -> Fragment:
    """A StartTimeZone or EndTimeZone."""
    text = escape(windows_id)
    return Fragment(f'<t:{name} Id="{text}" Name="{text}"/>')


def zone_id(definition: Value | None) -> str:
    """The Windows id within a StartTimeZone or EndTimeZone; UTC if there is none."""
    return definition.xml.split('"')[1] if isinstance(definition, Fragment) else "UTC"


def write_value(name: str, value: Value) -> str:
    """The element of a property."""
    if isinstance(value, str):
        return f"<t:{name}>{escape(value)}</t:{name}>"
    if isinstance(value, Fragment):
        return value.xml
    if isinstance(value, Body):
        kind = "HTML" if value.is_html else "Text"
        return element_of(name, value.text, f' BodyType="{kind}"')
    if not value:
        return ""
    if name in schema.SINGLE_RECIPIENTS:
        value = value[:1]
    inner = "".join(map(write_entry, value))
    return f"<t:{name}>{inner}</t:{name}>"


def write_entry(entry: Address | Attendee | str) -> str:
    """One entry of a list."""
    if isinstance(entry, Address):
        return write_address(entry)
    return write_attendee(entry) if isinstance(entry, Attendee) else element_of("String", entry)


def write_address(address: Address) -> str:
    """A t:Mailbox."""
    email = element_of("EmailAddress", address.email) if address.email else ""
    return (
        f"<t:Mailbox>{element_of('Name', address.label)}{email}"
        "<t:RoutingType>SMTP</t:RoutingType></t:Mailbox>"
    )


def write_attendee(attendee: Attendee) -> str:
    """A t:Attendee."""
    replied = element_of("LastResponseTime", attendee.replied) if attendee.replied else ""
    return (
        f"<t:Attendee>{write_address(attendee.address)}"
        f"{element_of('ResponseType', attendee.response)}{replied}</t:Attendee>"
    )


def words_of(value: Value) -> list[str]:
    """The texts a restriction may compare with."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Body):
        return [plain_text(value)]
    if isinstance(value, Fragment):
        return [TAG.sub("", value.xml)]
    addresses = (one.address if isinstance(one, Attendee) else one for one in value)
    return [f"{one.name} {one.email}" if isinstance(one, Address) else one for one in addresses]


def plain_text(body: Body) -> str:
    """The body without its markup."""
    if not body.is_html:
        return body.text
    text = re.sub(r"(?is)<(style|script|head)\b.*?</\1\s*>", "", body.text)
    text = re.sub(r"(?i)<br\s*/?>|</p\s*>|</div\s*>", "\n", text)
    return html.unescape(TAG.sub("", text)).replace("\xa0", " ").strip()


def as_html(body: Body) -> str:
    """The body as HTML."""
    if body.is_html:
        return body.text
    text = escape(body.text).replace("\n", "<br>")
    return f"<html><body><div>{text}</div></body></html>"
