"""Contacts: which value is kept in which property (REFERENCE 3F).

EWS has no name for some of them; those go by their numbers in MS-OXOCNTC section 2.2.1.
"""

from collections.abc import Iterator

from syncservice.domain.item_values import Value, text_of
from syncservice.servers.exchange.answers import sendable
from syncservice.servers.exchange.fields import Field, body, date, parts, text
from syncservice.servers.exchange.properties import (
    Indexed,
    Parts,
    Plain,
    Property,
    Setting,
    by_number,
    by_tag,
    texts,
)

DISPLAY_NAME = Plain("contacts:DisplayName")
EMAILS = tuple(Indexed("contacts:EmailAddress", f"EmailAddress{number}") for number in (1, 2, 3))
#: Outlook writes the time of a birthday so that its date is the same nearly everywhere.
_BIRTHDAY_TIME = "11:59:00Z"
_PHONES = {
    "business_phone": "BusinessPhone",
    "business_phone2": "BusinessPhone2",
    "home_phone": "HomePhone",
    "home_phone2": "HomePhone2",
    "mobile": "MobilePhone",
    "company_phone": "CompanyMainPhone",
    "callback": "Callback",
    "other_phone": "OtherTelephone",
    "pager": "Pager",
    "business_fax": "BusinessFax",
    "assistant_phone": "AssistantPhone",
}
_PARTS_OF_ADDRESS = {
    "street": "Street",
    "city": "City",
    "state": "State",
    "country": "CountryOrRegion",
    "postal_code": "PostalCode",
}
_PARTS_OF_NAME = {"first": "GivenName", "middle": "MiddleName", "last": "Surname"}


def _full_name() -> Field:
    """Keep the name in its parts, and what people see of it: lists show what is filed as."""
    kept = parts(
        "full_name", {part: Plain(f"contacts:{at}") for part, at in _PARTS_OF_NAME.items()}
    )

    def settings(value: Value) -> Iterator[Setting]:
        yield from kept.settings(value)
        name = {part: sendable((value or {}).get(part, "")) for part in _PARTS_OF_NAME}
        given = " ".join(filter(None, (name["first"], name["middle"])))
        yield DISPLAY_NAME, " ".join(filter(None, (given, name["last"]))) or None
        yield Plain("contacts:FileAs"), ", ".join(filter(None, (name["last"], given))) or None

    return Field(kept.name, kept.properties, kept.read, settings)


def _children() -> Field:
    at = Plain("contacts:Children")

    def read(item: Parts) -> Value:
        names = item.get(at.place, ())
        return ", ".join(filter(None, (text_of(name.text).strip() for name in names)))

    def settings(value: Value) -> Iterator[Setting]:
        yield at, texts("Children", sendable(value).split(","))

    return Field("children", (at,), read, settings)


def _address(name: str, key: str) -> Field:
    at: dict[str, Property] = {
        part: Indexed(f"contacts:PhysicalAddress:{tag}", key)
        for part, tag in _PARTS_OF_ADDRESS.items()
    }
    return parts(name, at)


CONTACT_FIELDS: tuple[Field, ...] = (
    _full_name(),
    text("nickname", Plain("contacts:Nickname")),
    text("company", Plain("contacts:CompanyName")),
    text("job_title", Plain("contacts:JobTitle")),
    text("department", Plain("contacts:Department")),
    *(text(f"email{number}", at) for number, at in enumerate(EMAILS, 1)),
    *(text(name, Indexed("contacts:PhoneNumber", key)) for name, key in _PHONES.items()),
    text("assistant", Plain("contacts:AssistantName")),
    text("manager", Plain("contacts:Manager")),
    text("spouse", Plain("contacts:SpouseName")),
    _children(),
    date("birthday", Plain("contacts:Birthday"), time=_BIRTHDAY_TIME),
    date("anniversary", Plain("contacts:WeddingAnniversary"), time=_BIRTHDAY_TIME),
    text("government_id", by_tag("0x3A07")),
    text("web_page", Plain("contacts:BusinessHomePage")),
    text("ftp_site", by_tag("0x3A4C")),
    text("yomi_first", by_number("Address", 0x802C)),
    text("yomi_last", by_number("Address", 0x802D)),
    body("notes"),
    _address("business_address", "Business"),
    _address("home_address", "Home"),
    _address("other_address", "Other"),
)
