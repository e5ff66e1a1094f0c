"""What a folder lists: which of it is new, which is to be tried again, and what has left."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from importlib.resources import files

from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper, Q, Subquery
from django.db.models.functions import Now

from syncservice.alerts.models import ItemFailure
from syncservice.mailboxes.models import DeclinedItem, RemoteItem, Schedule
from syncservice.mailboxes.schedule import fenced
from syncservice.servers.gateway import Listed
from syncservice.sync.folder_tracking import note_in_folder
from syncservice.sync.inbox import Inbox, Tracking, kept_id

#: What was given up is not asked for again so long, even when the server goes on listing it.
GIVEN_UP_FOR = timedelta(days=1)

_LEAVE_UNLISTED = files(__package__).joinpath("leave_unlisted.sql").read_text()


def new_items(inbox: Inbox, items: Sequence[Listed]) -> tuple[list[Listed], list[Listed]]:
    """Return those of `items` that no email record came from yet, and that are wanted.

    In a list of their own those that failed before. What was dismissed or declined is left
    alone, and what was given up is for a day: some servers list it at every visit. The category
    brings any of these back.
    """
    mailbox = inbox.claim.mailbox_id
    ids = [kept_id(item.item_id) for item in items]
    if items and inbox.tracked_folder is not None and not note_in_folder(inbox, ids):
        return [], []
    categorised = {item.item_id for item in items if _is_categorised(inbox, item)}
    linked = _follow_categories(inbox, items, categorised)
    new = [
        item
        for item in items
        if item.item_id not in linked and (item.item_id in categorised or _is_wanted(inbox, item))
    ]
    if not new:
        return [], []
    inbox.by_item |= dict.fromkeys(categorised, Tracking.CATEGORY)
    State = ItemFailure.State
    known = ItemFailure.objects.filter(mailbox=mailbox, item_id__in=ids).exclude(
        state__in=(State.RESOLVED, State.GONE)
    )
    rests = Q(state=State.DISMISSED) | Q(
        state=State.GIVEN_UP, last_seen_at__gt=Now() - GIVEN_UP_FOR
    )
    failed = dict(known.annotate(rests=ExpressionWrapper(rests, BooleanField())).values_list(
        "item_id", "rests"
    ))  # fmt: skip
    declined = set()
    if inbox.tracking is not Tracking.FOLDER:
        decisions = DeclinedItem.objects.filter(mailbox=mailbox, item_id__in=ids, left_at=None)
        declined = set(decisions.values_list("item_id", flat=True))
    failed |= dict.fromkeys(declined - failed.keys(), True)
    failed |= dict.fromkeys(categorised & failed.keys(), False)
    return (
        [item for item in new if kept_id(item.item_id) not in failed],
        [item for item in new if failed.get(kept_id(item.item_id)) is False],
    )


def _is_wanted(inbox: Inbox, item: Listed) -> bool:
    """Whether a message is late enough; one without a time of receipt is read."""
    return inbox.since is None or item.received_at is None or item.received_at >= inbox.since


def _is_categorised(inbox: Inbox, item: Listed) -> bool:
    return bool(inbox.category) and inbox.category in item.categories


def _follow_categories(inbox: Inbox, items: Sequence[Listed], categorised: set[str]) -> set[str]:
    """Return the items that have a link, after taking note of categories put on or taken off.

    Taken off, it ends the tracking of what the category brought; no record is deleted (F153).
    What carries its former name will get the new one.
    """
    ids = [kept_id(item.item_id) for item in items]
    renamed = {item.item_id for item in items if inbox.former_category in item.categories}
    linked = {
        item.item_id: item
        for item in RemoteItem.objects.filter(
            mailbox=inbox.claim.mailbox_id, item_id__in=ids, left_at=None
        ).only("item_id", "tracking", "is_untracked")
    }
    changed = [
        item.pk
        for item in linked.values()
        if item.tracking == Tracking.CATEGORY
        and item.is_untracked == (item.item_id in categorised)
        and (item.is_untracked or item.item_id not in renamed)
    ]
    if changed and inbox.category:
        with fenced(inbox.claim):
            RemoteItem.objects.filter(pk__in=changed).update(
                is_untracked=ExpressionWrapper(Q(is_untracked=False), output_field=BooleanField())
            )
    return set(linked)


def to_retry(inbox: Inbox, limit: int) -> list[Listed]:
    """Return at most `limit` items that failed, before this visit, for a reason that may pass,
    and those that were declined and are wanted by now.

    Those that waited longest come first: a visit that can't try all leaves the others to the
    next. What became of them has to be stored before more is asked for.
    """
    visits = Schedule.objects.filter(mailbox=inbox.claim.mailbox_id, lane=inbox.claim.lane)
    failures = ItemFailure.objects.filter(
        mailbox=inbox.claim.mailbox_id,
        folder=inbox.folder,
        state=ItemFailure.State.RETRYING,
        last_seen_at__lt=Subquery(visits.values("started_at")),
    ).order_by("last_seen_at")[:limit]
    items = []
    for failure in failures:
        items.append(Listed(failure.item_id, failure.size, subject=failure.subject))
        if failure.tracking:
            inbox.by_item[failure.item_id] = Tracking(failure.tracking)
    wanted = DeclinedItem.objects.filter(
        mailbox=inbox.claim.mailbox_id, folder=inbox.folder, is_wanted=True, left_at=None
    )
    for item_id, size, subject in wanted.order_by("declined_at").values_list(
        "item_id", "size", "subject"
    )[: limit - len(items)]:
        items.append(Listed(item_id, size, subject=subject))
    return items


def is_retrying(inbox: Inbox, item_id: str) -> bool:
    """Whether an item failed, and will be tried again."""
    return ItemFailure.objects.filter(
        mailbox=inbox.claim.mailbox_id, item_id=item_id, state=ItemFailure.State.RETRYING
    ).exists()


def leave_unlisted(inbox: Inbox, item_ids: Collection[str]) -> None:
    """Take note of what is not among all the items that the mailbox lists: it has left.

    What comes later under an id of it is another message.
    """
    listed = [kept_id(item_id) for item_id in item_ids]
    with fenced(inbox.claim), connection.cursor() as cursor:
        cursor.execute(_LEAVE_UNLISTED, {"mailbox": inbox.claim.mailbox_id, "listed": listed})
