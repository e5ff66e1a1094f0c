"""Subscribe, GetEvents, GetStreamingEvents and Unsubscribe."""

import time

from syncservice.simulator.exchange.context import Context, one_child, required_children
from syncservice.simulator.exchange.errors import EwsError, schema_violation
from syncservice.simulator.exchange.markup import (
    Element,
    M,
    T,
    child_text,
    children,
    escape,
    line_of,
    truth,
)
from syncservice.simulator.exchange.soap import response, success
from syncservice.simulator.exchange.subscriptions import (
    STREAMING,
    Stream,
    Subscription,
    read_watermark,
    refused,
    status,
    write_watermark,
)

EVENTS = (
    "CopiedEvent",
    "CreatedEvent",
    "DeletedEvent",
    "ModifiedEvent",
    "MovedEvent",
    "NewMailEvent",
    "FreeBusyChangedEvent",
)
#: Events in one answer of GetEvents.
PAGE = 50
MOST_IN_STREAM = 200


def subscribe(context: Context) -> str:
    """Subscribe to the events of folders, to be pulled or streamed."""

    def work(element: Element) -> str:
        request = next(iter(children(element)), None)
        if request is None or request.tag not in (
            M + "PullSubscriptionRequest",
            M + "StreamingSubscriptionRequest",
        ):
            raise EwsError("ErrorInvalidSubscriptionRequest", "Push is not simulated.")
        folders = [context.folder(one)[1].uid for one in children(request.find(T + "FolderIds"))]
        if bool(folders) == truth(request.get("SubscribeToAllFolders")):
            raise EwsError("ErrorInvalidSubscriptionRequest")
        kinds = [one.text or "" for one in required_children(request, T + "EventTypes")]
        if set(kinds) - set(EVENTS):
            raise schema_violation("The 'EventType' element is invalid.", line_of(request))
        pulled = request.tag == M + "PullSubscriptionRequest"
        minutes = read_minutes(request, T + "Timeout", 1440) if pulled else None
        watermark = child_text(request, T + "Watermark")
        found = context.store.subscriptions.add(
            context.own, frozenset(folders) or None, frozenset(kinds), minutes
        )
        identity = f"<m:SubscriptionId>{found.id}</m:SubscriptionId>"
        if not pulled:
            return identity
        mark = watermark or write_watermark(context.store.run, found.told)
        read_watermark(mark, context.store.run)
        return f"{identity}<m:Watermark>{escape(mark)}</m:Watermark>"

    return context.each("Subscribe", [context.element], work)


def read_minutes(element: Element, tag: str, most: int) -> int:
    """A number of minutes that the schema bounds."""
    text = (one_child(element, tag).text or "").strip()
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise schema_violation(f"The value '{text}' is invalid.", line_of(element))
    return int(text)


def subscription(context: Context, identity: str) -> Subscription:
    """One's own subscription; service accounts may use any."""
    found = context.store.subscriptions.find(identity)
    is_own = found.mailbox is context.actor or context.caller in context.store.service_accounts
    if not is_own:
        raise EwsError("ErrorSubscriptionAccessDenied")
    return found


def get_events(context: Context) -> str:
    """What happened behind a watermark."""

    def work(element: Element) -> str:
        found = subscription(context, child_text(element, M + "SubscriptionId"))
        if found.minutes is None:
            raise EwsError("ErrorInvalidPullSubscriptionId")
        run, mark = context.store.run, child_text(element, M + "Watermark")
        events = found.log.after(read_watermark(mark, run))
        if events is None:
            raise EwsError("ErrorEventNotFound")
        wanted = [one for one in events if found.wants(one)]
        page = wanted[:PAGE]
        written = "".join(one.xml(write_watermark(run, one.number)) for one in page)
        if not written:
            last = write_watermark(run, found.log.last)
            written = f"<t:StatusEvent><t:Watermark>{last}</t:Watermark></t:StatusEvent>"
        more = "true" if len(wanted) > PAGE else "false"
        return (
            f"<m:Notification><t:SubscriptionId>{found.id}</t:SubscriptionId>"
            f"<t:PreviousWatermark>{escape(mark)}</t:PreviousWatermark>"
            f"<t:MoreEvents>{more}</t:MoreEvents>{written}</m:Notification>"
        )

    return context.each("GetEvents", [context.element], work)


def get_streaming_events(context: Context) -> str:
    """Begin a stream; what it tells later is the server's work."""
    element = context.element
    ids = [one.text or "" for one in required_children(element, M + "SubscriptionIds")]
    minutes = read_minutes(element, M + "ConnectionTimeout", 30)
    fault = context.fault_for(0, element)
    if fault is not None:
        return refused(fault.code, ids, fault.text or None)
    if len(ids) > MOST_IN_STREAM:
        return refused("ErrorInvalidSubscriptionRequest", ids)
    followed: list[Subscription] = []
    wrong: dict[str, list[str]] = {}
    for identity in ids:
        try:
            followed.append(subscription(context, identity))
        except EwsError as error:
            wrong.setdefault(error.code, []).append(identity)
    pulled = [one.id for one in followed if one.minutes is not None]
    if pulled:
        wrong["ErrorInvalidSubscription"] = pulled
    for code, named in wrong.items():
        return refused(code, [escape(one) for one in named])
    subscriptions = context.store.subscriptions
    ends = time.monotonic() + minutes * subscriptions.minute
    context.stream = Stream(subscriptions, followed, context.store.run, ends)
    return response(STREAMING, [success(STREAMING, status("OK"))])


def unsubscribe(context: Context) -> str:
    """Take a subscription back."""

    def work(element: Element) -> str:
        found = subscription(context, child_text(element, M + "SubscriptionId"))
        del context.store.subscriptions.by_id[found.id]
        context.store.subscriptions.wake_streams()
        return ""

    return context.each("Unsubscribe", [context.element], work)
