"""Messages that somebody wants in the CRM at once, fetched and stored whatever the filters say.

A request ends with the email's record or with the reason why there is none. A visit looks for
requests before anything else and between its batches.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from django.db.models import QuerySet
from django.db.models.functions import Now

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import REGARDING, Email, Regarding
from syncservice.domain.faults import (
    FaultError,
    Scope,
    may_be_of_one_item,
    may_be_said_over_one_item,
)
from syncservice.mailboxes.models import DeclinedItem, RemoteItem, TrackRequest
from syncservice.mailboxes.schedule import fenced
from syncservice.servers.gateway import Fetched, Gone, Incoming, Listed, NotFetched
from syncservice.sync.inbox import Inbox, Tracking, columns_of
from syncservice.sync.storing import Stored, store

State = TrackRequest.State


def waiting(inbox: Inbox) -> list[TrackRequest]:
    """Return the requests of the mailbox's present owner, the first asked first."""
    requests = TrackRequest.objects.filter(
        mailbox=inbox.claim.mailbox_id, state=State.WAITING, mapping__ended_at=None
    )
    return list(requests.select_related(*REGARDING).order_by("pk"))


def answer(
    gateway: Incoming,
    inbox: Inbox,
    request: TrackRequest,
    fetch: Callable[[Sequence[Listed]], Iterator[list[Fetched | NotFetched | Gone]]],
) -> list[Stored]:
    """Bring one requested message in, and end the request; `fetch` yields one batch after another.

    Raise FaultError when the server is in trouble: the request goes on waiting then. What concerns
    the one message is the request's reason.
    """
    stored: list[Stored] = []
    items: tuple[Listed, ...] = ()
    reason = "the Inbox has no message with this Message-ID"
    try:
        items = _items(gateway, request)
        for item in items:
            inbox.want(item.item_id, request)
        linked = set(_links(inbox, items).values_list("item_id", flat=True))
        missing = [item for item in items if item.item_id not in linked]
        stored.extend(store(inbox, batch) for batch in fetch(missing))
        if linked:
            _take_by_hand(inbox, linked, request)
    except FaultError as error:
        fault = error.fault
        if fault.scope is not Scope.EMAIL:
            if not (may_be_said_over_one_item(fault) or may_be_of_one_item(fault)):
                raise
            gateway.check()
        reason = fault.text
        if not stored:
            items = ()
    _end(inbox, request, items, reason)
    return stored


def _take_by_hand(inbox: Inbox, item_ids: Collection[str], about: Regarding) -> None:
    """Take note that somebody wants items that came in already, and what they are about."""
    with fenced(inbox.claim):
        links = RemoteItem.objects.filter(mailbox=inbox.claim.mailbox_id, item_id__in=item_ids)
        links.update(tracking=Tracking.HAND, is_untracked=False)
        if columns := columns_of(about):
            Email.objects.filter(remote_items__in=links).update(**columns)


def _items(gateway: Incoming, request: TrackRequest) -> tuple[Listed, ...]:
    if request.item_id:
        return (Listed(request.item_id, 0),)
    return gateway.find(request.message_id)


def _links(inbox: Inbox, items: Iterable[Listed]) -> QuerySet[RemoteItem]:
    ids = [item.item_id for item in items]
    return RemoteItem.objects.filter(
        mailbox=inbox.claim.mailbox_id, item_id__in=ids, email__isnull=False, left_at=None
    )


def _declined(inbox: Inbox, items: Iterable[Listed]) -> DeclinedItem | None:
    ids = [item.item_id for item in items]
    rows = DeclinedItem.objects.filter(mailbox=inbox.claim.mailbox_id, item_id__in=ids)
    return rows.filter(left_at=None).first()


def _end(inbox: Inbox, request: TrackRequest, items: Iterable[Listed], reason: str) -> None:
    with fenced(inbox.claim):
        link = _links(inbox, items).first()
        failures = ItemFailure.objects.filter(
            mailbox=inbox.claim.mailbox_id, item_id__in=[item.item_id for item in items]
        )
        failure = failures.first()
        declined = _declined(inbox, items)
        if declined is not None:
            reason = declined.get_reason_display()
        elif failure is not None:
            reason = failure.reason
        elif items and link is None:
            reason = "the message is no longer in the mailbox"
        TrackRequest.objects.filter(pk=request.pk, state=State.WAITING).update(
            state=State.DONE if link else State.FAILED,
            reason="" if link else reason,
            email=link.email_id if link else None,
            ended_at=Now(),
        )
