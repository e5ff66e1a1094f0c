"""The SOAP envelope: reading a request's, writing an answer's, and faults."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from lxml import etree

from syncservice.simulator.exchange.errors import SoapFault, Values, schema_violation, sentence
from syncservice.simulator.exchange.markup import (
    ERRORS,
    MESSAGES,
    SOAP,
    TYPES,
    Element,
    M,
    S,
    T,
    children,
    escape,
    local,
    parse,
)
from syncservice.simulator.exchange.moments import zone

PROLOGUE = '<?xml version="1.0" encoding="utf-8"?>'
HEAD = (
    f'{PROLOGUE}<s:Envelope xmlns:s="{SOAP}" xmlns:m="{MESSAGES}" xmlns:t="{TYPES}"><s:Header>'
    '<t:ServerVersionInfo MajorVersion="15" MinorVersion="1" MajorBuildNumber="2507" '
    'MinorBuildNumber="57" Version="V2017_07_11"/></s:Header><s:Body>'
)
TAIL = "</s:Body></s:Envelope>"


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks: the operation's element and what its header says."""

    operation: str
    element: Element
    impersonated: str | None  # address; None: nobody
    zone: ZoneInfo | None


def read_request(data: bytes) -> Request:
    """Read an envelope; raises a schema violation for what is none."""
    try:
        root = parse(data)
    except etree.XMLSyntaxError as error:
        line, position = error.position
        raise schema_violation(str(error.msg), line, position) from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise schema_violation("DTD is prohibited in this XML document.")
    body = root.find(S + "Body")
    if root.tag != S + "Envelope" or body is None:
        raise schema_violation("The request is no SOAP 1.1 envelope.")
    operations = children(body)
    if len(operations) != 1 or not str(operations[0].tag).startswith(M):
        raise schema_violation("The SOAP body must hold one request of the messages namespace.")
    header = root.find(S + "Header")
    return Request(
        local(operations[0]), operations[0], read_impersonated(header), read_zone(header)
    )


def read_impersonated(header: Element | None) -> str | None:
    """Whom the caller wants to be."""
    if header is None:
        return None
    found = header.find(f"{T}ExchangeImpersonation/{T}ConnectingSID")
    names = children(found)
    return (names[0].text or "").strip() if names else None


def read_zone(header: Element | None) -> ZoneInfo | None:
    """The zone in which moments without an offset are meant."""
    if header is None:
        return None
    definition = header.find(f"{T}TimeZoneContext/{T}TimeZoneDefinition")
    return None if definition is None else zone(definition.get("Id") or "")


def envelope(inner: str) -> bytes:
    """A whole answer around the operation's response."""
    return f"{HEAD}{inner}{TAIL}".encode("utf-8", "replace")


def response(operation: str, messages: list[str]) -> str:
    """The response of an operation with its response messages."""
    return (
        f"<m:{operation}Response><m:ResponseMessages>{''.join(messages)}</m:ResponseMessages>"
        f"</m:{operation}Response>"
    )


def success(operation: str, payload: str = "") -> str:
    """One response message that says all went well."""
    return (
        f'<m:{operation}ResponseMessage ResponseClass="Success">'
        f"<m:ResponseCode>NoError</m:ResponseCode>{payload}</m:{operation}ResponseMessage>"
    )


def failure(
    operation: str,
    code: str,
    payload: str = "",
    *,
    text: str | None = None,
    values: Values = (),
    response_class: str = "Error",
) -> str:
    """One response message that says what went wrong; `payload` is what Exchange sends with it."""
    message_xml = f"<m:MessageXml>{value_elements(values)}</m:MessageXml>" if values else ""
    return (
        f'<m:{operation}ResponseMessage ResponseClass="{response_class}">'
        f"<m:MessageText>{escape(text or sentence(code))}</m:MessageText>"
        f"<m:ResponseCode>{code}</m:ResponseCode>"
        f"<m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>{message_xml}{payload}"
        f"</m:{operation}ResponseMessage>"
    )


def value_elements(values: Values) -> str:
    """The Values within a MessageXml."""
    return "".join(
        f'<t:Value Name="{escape(name)}">{escape(text)}</t:Value>' for name, text in values
    )


def fault(error: SoapFault) -> bytes:
    """A SOAP fault for the whole request."""
    inner = value_elements(error.values)
    if error.violation:
        line, position, what = error.violation
        inner += (
            f"<t:LineNumber>{line}</t:LineNumber><t:LinePosition>{position}</t:LinePosition>"
            f"<t:Violation>{escape(what)}</t:Violation>"
        )
    message_xml = f'<t:MessageXml xmlns:t="{TYPES}">{inner}</t:MessageXml>' if inner else ""
    text = escape(error.text)
    return (
        f'{PROLOGUE}<s:Envelope xmlns:s="{SOAP}"><s:Body><s:Fault>'
        f'<faultcode xmlns:a="{TYPES}">a:{error.code}</faultcode>'
        f'<faultstring xml:lang="en-US">{text}</faultstring><detail>'
        f'<e:ResponseCode xmlns:e="{ERRORS}">{error.code}</e:ResponseCode>'
        f'<e:Message xmlns:e="{ERRORS}">{text}</e:Message>{message_xml}'
        f"</detail></s:Fault></s:Body></s:Envelope>"
    ).encode("utf-8", "replace")
