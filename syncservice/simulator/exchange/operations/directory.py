"""ResolveNames, GetServerTimeZones, GetUserConfiguration: what the server knows beside mail."""

from syncservice.simulator.exchange.context import Context, attribute, one_child
from syncservice.simulator.exchange.errors import schema_violation
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.markup import M, children, element_of, escape
from syncservice.simulator.exchange.moments import ZONES
from syncservice.simulator.exchange.soap import failure, response, success

MOST_RESOLUTIONS = 100


def resolve_names(context: Context) -> str:
    """Mailboxes whose address or name begins with the entry."""
    element = context.element
    attribute(element, "ReturnFullContactData", ("true", "false", "1", "0"))
    entry = (one_child(element, M + "UnresolvedEntry").text or "").strip()
    if not entry:
        raise schema_violation("The element 'UnresolvedEntry' is empty.")
    fault = context.fault_for(0, element)
    if fault is not None:
        return response(
            "ResolveNames", [failure("ResolveNames", fault.code, values=fault.back_off)]
        )
    wanted = entry.lower().removeprefix("smtp:")
    found = [one for one in context.store.mailboxes.values() if is_meant(one, wanted)]
    if not found:
        return response("ResolveNames", [failure("ResolveNames", "ErrorNameResolutionNoResults")])
    shown = "".join(map(resolution, found[:MOST_RESOLUTIONS]))
    is_all = "true" if len(found) <= MOST_RESOLUTIONS else "false"
    inner = (
        f'<m:ResolutionSet TotalItemsInView="{len(found)}" IncludesLastItemInRange="{is_all}">'
        f"{shown}</m:ResolutionSet>"
    )
    if len(found) == 1:
        return response("ResolveNames", [success("ResolveNames", inner)])
    code = "ErrorNameResolutionMultipleResults"
    message = failure("ResolveNames", code, inner, response_class="Warning")
    return response("ResolveNames", [message])


def is_meant(mailbox: Mailbox, wanted: str) -> bool:
    """Whether a mailbox goes by that name."""
    words = [mailbox.address, mailbox.name, *mailbox.name.split()]
    return any(word.lower().startswith(wanted) for word in words)


def resolution(mailbox: Mailbox) -> str:
    """One resolved mailbox."""
    return (
        f"<t:Resolution><t:Mailbox>{element_of('Name', mailbox.name)}"
        f"{element_of('EmailAddress', mailbox.address)}<t:RoutingType>SMTP</t:RoutingType>"
        "<t:MailboxType>Mailbox</t:MailboxType></t:Mailbox></t:Resolution>"
    )


def get_user_configuration(context: Context) -> str:
    """The settings a client keeps in a folder; nobody keeps any here."""
    one_child(context.element, M + "UserConfigurationName")
    message = failure("GetUserConfiguration", "ErrorItemNotFound")
    return response("GetUserConfiguration", [message])


def get_server_time_zones(context: Context) -> str:
    """The time zones' ids and names; the rules within them are not simulated."""
    named = children(context.element.find(M + "Ids"))
    wanted = [one.text or "" for one in named] or list(ZONES)
    definitions = "".join(
        f'<t:TimeZoneDefinition Id="{escape(one)}" Name="{escape(one)}"/>'
        for one in wanted
        if one in ZONES
    )
    inner = f"<m:TimeZoneDefinitions>{definitions}</m:TimeZoneDefinitions>"
    return response("GetServerTimeZones", [success("GetServerTimeZones", inner)])
