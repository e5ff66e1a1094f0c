"""How the names of a contact hang together."""

from syncservice.simulator.exchange.values import Values, text_in

COMPANY = (("CompanyName",), "")
LAST_COMMA_FIRST = (("Surname", "GivenName"), ", ")
LAST_SPACE_FIRST = (("Surname", "GivenName"), " ")
LAST_FIRST = (("Surname", "GivenName"), "")
#: FileAsMapping -> its lines: the properties in each, and what stands between them.
FILED_AS = {
    "LastCommaFirst": (LAST_COMMA_FIRST,),
    "FirstSpaceLast": ((("GivenName", "Surname"), " "),),
    "Company": (COMPANY,),
    "LastCommaFirstCompany": (LAST_COMMA_FIRST, COMPANY),
    "CompanyLastFirst": (COMPANY, LAST_FIRST),
    "LastFirst": (LAST_FIRST,),
    "LastFirstCompany": (LAST_FIRST, COMPANY),
    "CompanyLastCommaFirst": (COMPANY, LAST_COMMA_FIRST),
    "LastSpaceFirstCompany": (LAST_SPACE_FIRST, COMPANY),
    "CompanyLastSpaceFirst": (COMPANY, LAST_SPACE_FIRST),
    "LastSpaceFirst": (LAST_SPACE_FIRST,),
    "DisplayName": ((("DisplayName",), ""),),
    "FirstName": ((("GivenName",), ""),),
    "LastName": ((("Surname",), ""),),
}


def complete_contact(values: Values) -> None:
    """Give a new contact the names it does not bring."""
    parts = filter(None, (text_in(values, "GivenName"), text_in(values, "Surname")))
    name = " ".join(parts) or text_in(values, "CompanyName")
    values.setdefault("DisplayName", text_in(values, "FileAs") or name)
    values.setdefault("FileAs", filed_as(values) or text_in(values, "DisplayName"))
    values.setdefault("Subject", text_in(values, "DisplayName"))


def follow_names(values: Values, before: Values) -> None:
    """Let FileAs follow the names it is made of, and the subject the display name.

    A FileAs that a client writes itself is made of nothing any more.
    """

    def differs(key: str) -> bool:
        return values.get(key) != before.get(key)

    if differs("FileAs") and not differs("FileAsMapping"):
        values.pop("FileAsMapping", None)
    elif filed_as(values):
        values["FileAs"] = filed_as(values)
    if differs("DisplayName") and not differs("Subject"):
        values["Subject"] = text_in(values, "DisplayName")


def filed_as(values: Values) -> str:
    """What a contact's FileAsMapping makes of its names; empty without one."""
    lines = (
        separator.join(filter(None, (text_in(values, part) for part in parts)))
        for parts, separator in FILED_AS.get(text_in(values, "FileAsMapping"), ())
    )
    return "\r\n".join(filter(None, lines))
