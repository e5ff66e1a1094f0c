"""ResolveNames and GetServerTimeZones: what the server knows beside mail."""

from datetime import timedelta
from zoneinfo import ZoneInfo

from syncservice.simulator.exchange.context import Context, attribute, one_child
from syncservice.simulator.exchange.errors import schema_violation
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.markup import M, children, element_of, escape, truth
from syncservice.simulator.exchange.moments import ZONES, now
from syncservice.simulator.exchange.soap import failure, response, success
from syncservice.simulator.exchange.zones import changes, offset_in

MOST_RESOLUTIONS = 100
PERIODS = {False: "Standard", True: "Daylight"}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


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


def get_server_time_zones(context: Context) -> str:
    """The time zones' ids, names and, unless they are not wanted, rules."""
    named = children(context.element.find(M + "Ids"))
    wanted = [one.text or "" for one in named] or list(ZONES)
    full = truth(context.element.get("ReturnFullTimeZoneData"), default=True)
    definitions = "".join(
        f'<t:TimeZoneDefinition Id="{escape(one)}" Name="{escape(one)}">'
        f"{zone_rules(one) if full else ''}</t:TimeZoneDefinition>"
        for one in wanted
        if one in ZONES
    )
    inner = f"<m:TimeZoneDefinitions>{definitions}</m:TimeZoneDefinitions>"
    return response("GetServerTimeZones", [success("GetServerTimeZones", inner)])


def zone_rules(zone_id: str) -> str:
    """A zone's periods, and this year's changes between them as if they held every year."""
    rules, year = ZoneInfo(ZONES[zone_id]), now().year
    offsets = {one.is_daylight: one.after for one in changes(rules, year)}
    periods = {
        is_daylight: f"trule:Microsoft/Registry/{escape(zone_id)}/1-{PERIODS[is_daylight]}"
        for is_daylight in (False, True)
    }
    written = "".join(
        f'<t:Period Bias="{duration(-after)}" Name="{PERIODS[is_daylight]}" '
        f'Id="{periods[is_daylight]}"/>'
        for is_daylight, after in sorted((offsets or {False: offset_in(rules, year)}).items())
    )
    transitions = "".join(
        f'<t:RecurringDayTransition><t:To Kind="Period">{periods[one.is_daylight]}</t:To>'
        f"<t:TimeOffset>{duration(one.clock)}</t:TimeOffset><t:Month>{one.month}</t:Month>"
        f"<t:DayOfWeek>{WEEKDAYS[one.weekday]}</t:DayOfWeek>"
        f"<t:Occurrence>{one.week}</t:Occurrence></t:RecurringDayTransition>"
        for one in changes(rules, year)
    )
    only = f'<t:Transition><t:To Kind="Period">{periods[False]}</t:To></t:Transition>'
    return (
        f"<t:Periods>{written}</t:Periods><t:TransitionsGroups>"
        f'<t:TransitionsGroup Id="0">{transitions or only}</t:TransitionsGroup>'
        '</t:TransitionsGroups><t:Transitions><t:Transition><t:To Kind="Group">0</t:To>'
        "</t:Transition></t:Transitions>"
    )


def duration(length: timedelta) -> str:
    """An xs:duration in minutes."""
    minutes = int(length.total_seconds()) // 60
    return f"{'-' if minutes < 0 else ''}PT{abs(minutes)}M"
