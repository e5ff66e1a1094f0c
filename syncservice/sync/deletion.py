"""Messages that are in the CRM, deleted on the server where the owner wants that (F085)."""

from collections.abc import Collection, Sequence

from django.db.models import F
from django.db.models.functions import Now

from syncservice.domain.faults import Fault, Scope
from syncservice.mailboxes.models import RemoteItem
from syncservice.mailboxes.schedule import fenced
from syncservice.servers.gateway import Incoming, NotDeleted
from syncservice.sync.inbox import Inbox

#: Items of one request to delete.
DELETED_AT_ONCE = 1000


def delete_stored(gateway: Incoming, inbox: Inbox) -> None:
    """Delete on the server what is in the CRM, where its owner wants that (F085).

    It is committed before: killed in between, the next visit deletes it. What the CRM declined
    stays on the server. When the server refuses some, the next visit goes on.
    """
    while item_ids := _to_delete(inbox, DELETED_AT_ONCE):
        try:
            gateway.delete(item_ids)
        except NotDeleted as error:
            _are_deleted(inbox, [one for one in item_ids if one not in error.item_ids])
            if error.fault.scope is not Scope.EMAIL:
                raise
            _are_kept(inbox, error.item_ids, error.fault)
            return
        _are_deleted(inbox, item_ids)


def _to_delete(inbox: Inbox, limit: int) -> list[str]:
    """Return at most `limit` items that are stored and have to be deleted on the server."""
    items = RemoteItem.objects.filter(mailbox=inbox.claim.mailbox_id, is_to_delete=True)
    in_crm = items.filter(email__isnull=False)
    return list(in_crm.order_by("pk").values_list("item_id", flat=True)[:limit])


def _are_kept(inbox: Inbox, item_ids: Collection[str], fault: Fault) -> None:
    """Take note that the server did not delete items, and tell it; often enough, it may."""
    links = RemoteItem.objects.filter(mailbox=inbox.claim.mailbox_id, item_id__in=item_ids)
    with fenced(inbox.claim):
        links.update(deletions_refused=F("deletions_refused") + 1)
        links.filter(deletions_refused__gte=inbox.item_attempts).update(is_to_delete=False)
        inbox.tell_of(fault)


def _are_deleted(inbox: Inbox, item_ids: Sequence[str]) -> None:
    with fenced(inbox.claim):
        RemoteItem.objects.filter(mailbox=inbox.claim.mailbox_id, item_id__in=item_ids).update(
            is_to_delete=False, left_at=Now()
        )
