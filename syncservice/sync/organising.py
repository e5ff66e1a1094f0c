"""What people arrange in their Exchange mailbox to track email, kept in step with our records.

Our categories are on the mailbox's list and known by their ids; tracked folders are known by theirs
(F140-F157). Both are looked at now and then, not at each visit: a quiet visit stays one request.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from django.db.models.functions import Now

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import REGARDING
from syncservice.domain.faults import FaultError, Nature
from syncservice.domain.resolution import Kind
from syncservice.mailboxes.models import (
    FolderCursor,
    ItemLink,
    MailboxFolders,
    TrackingCategory,
    TrackingFolder,
)
from syncservice.mailboxes.schedule import fenced
from syncservice.servers.gateway import (
    CATEGORIES_UNREADABLE,
    SENT_ITEMS,
    Category,
    Incoming,
    Organised,
)
from syncservice.sync.inbox import Inbox, Tracking
from syncservice.sync.items.book import TRACKED

#: What was renamed, moved or deleted there is noticed so soon (F154).
LOOKED_AT_EVERY = timedelta(minutes=15)
#: Messages that are marked as undeliverable in one visit: two requests each.
MARKED_AT_ONCE = 20
NAMES = {
    TrackingCategory.Kind.TRACKED: TRACKED,
    TrackingCategory.Kind.UNDELIVERABLE: "Tracked to CRM (Undeliverable)",
}


def organise(gateway: Incoming, organised: Organised, inbox: Inbox) -> None:
    """Look at categories and folders when it is time; raise FaultError, or ClaimLost."""
    owner, organisation = inbox.receiver.owner, inbox.rules.organisation
    if owner is None or owner.kind is not Kind.USER:
        return  # F135
    try:
        if organisation.uses_category_tracking:
            _look_at_categories(gateway, organised, inbox)
        else:
            _take_categories_away(gateway, organised, inbox)
    except FaultError as error:
        if error.fault.code != CATEGORIES_UNREADABLE:
            raise
        inbox.tell_of(error.fault)  # email is read without
    if organisation.uses_folder_tracking:
        _look_at_folders(organised, inbox)


def other_folders(inbox: Inbox) -> list[Inbox]:
    """Return the folders that are read besides the Inbox: tracked ones, and Sent Items (F119)."""
    owner, organisation = inbox.receiver.owner, inbox.rules.organisation
    if owner is None or owner.kind is not Kind.USER:
        return []
    folders = []
    if organisation.uses_folder_tracking:
        rules = TrackingFolder.objects.filter(
            mailbox=inbox.claim.mailbox_id, state=TrackingFolder.State.ACTIVE
        )
        folders += [
            Inbox(
                inbox.claim,
                inbox.item_attempts,
                None,  # who puts old email there wants it
                rule.folder_id,
                Tracking.FOLDER,
                rule,
                inbox.former_category,
            )
            for rule in rules.order_by("pk").select_related(*REGARDING)
        ]
    if organisation.tracks_sent_items:
        folders.append(
            Inbox(inbox.claim, inbox.item_attempts, inbox.since, SENT_ITEMS, Tracking.SENT)
        )
    return folders


@contextmanager
def _no_email_waits(gateway: Incoming, inbox: Inbox) -> Iterator[None]:
    """Tell of what the server would not write in the block, and go on.

    One message may be corrupt, and a full mailbox takes no category: neither is a reason to read
    no email. Raise what concerns every request.
    """
    try:
        yield
    except FaultError as error:
        fault = error.fault
        if fault.nature in (Nature.THROTTLED, Nature.LIMITED) or fault.of_login:
            raise
        gateway.check()
        inbox.tell_of(fault)


def _look_at_categories(gateway: Incoming, organised: Organised, inbox: Inbox) -> None:
    """Learn what our categories are called by now, and put back what was deleted.

    What carries a new name already was listed before it was known here: it is listed once more.
    """
    known = inbox.categories
    oldest = min((row.looked_at for row in known.values()), default=None)
    if len(known) == len(NAMES) and oldest and oldest > datetime.now(UTC) - LOOKED_AT_EVERY:
        return
    listed = organised.categories()
    rows = []
    for kind, name in NAMES.items():
        row = known.get(kind)
        present = next((one for one in listed if row and one.category_id == row.category_id), None)
        present = present or next(
            (one for one in listed if one.name.casefold() == name.casefold()), None
        )
        if present is None:
            present = Category(row.category_id if row else str(uuid4()), name)
            with _no_email_waits(gateway, inbox):
                organised.save_category(present)
        rows.append(
            TrackingCategory(
                mailbox_id=inbox.claim.mailbox_id,
                kind=kind,
                category_id=present.category_id,
                name=present.name,
                looked_at=Now(),
            )
        )
    with fenced(inbox.claim):
        TrackingCategory.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["mailbox", "kind"],
            update_fields=["category_id", "name", "looked_at"],
        )
        before = known.get(TrackingCategory.Kind.TRACKED)
        if before and before.name not in {row.name for row in rows if row.kind == before.kind}:
            inbox.former_category = before.name
            cursors = FolderCursor.objects.filter(mailbox=inbox.claim.mailbox_id)
            cursors.exclude(folder=SENT_ITEMS).delete()
            # A listing from the beginning does not tell what has left; so what it lacks is read.
            linked = ItemLink.objects.filter(mailbox=inbox.claim.mailbox_id).exclude(item_id="")
            linked.update(is_unlisted=True)
    del inbox.categories  # read anew


def _take_categories_away(gateway: Incoming, organised: Organised, inbox: Inbox) -> None:
    """The organisation no longer tracks by category: nobody shall think it does (F154)."""
    removed = []
    for row in TrackingCategory.objects.filter(mailbox=inbox.claim.mailbox_id):
        with _no_email_waits(gateway, inbox):
            organised.remove_category(row.category_id)
            removed.append(row.pk)
    if removed:
        with fenced(inbox.claim):
            TrackingCategory.objects.filter(pk__in=removed).delete()


def _look_at_folders(organised: Organised, inbox: Inbox) -> None:
    """Learn which folders there are: a tracked one may have another name or have left (F146)."""
    mailbox_id = inbox.claim.mailbox_id
    row = MailboxFolders.objects.filter(
        mailbox=mailbox_id, looked_at__gt=Now() - LOOKED_AT_EVERY
    ).first()
    if row is not None:
        return
    found = {folder.folder_id: folder for folder in organised.folders()}
    with fenced(inbox.claim):
        MailboxFolders.objects.update_or_create(
            mailbox_id=mailbox_id,
            defaults={
                "folders": [
                    {"id": one.folder_id, "parent": one.parent_id, "name": one.name}
                    for one in found.values()
                ],
                "looked_at": Now(),
            },
        )
        State = TrackingFolder.State
        for rule in TrackingFolder.objects.filter(mailbox=mailbox_id):
            folder = found.get(rule.folder_id)
            state = State.ACTIVE if folder else State.GONE
            name = folder.name[:256] if folder else rule.name
            if (rule.state, rule.name) != (state, name):
                TrackingFolder.objects.filter(pk=rule.pk).update(state=state, name=name)


def mark_undeliverable(
    gateway: Incoming, organised: Organised, inbox: Inbox, *, move_to: str
) -> None:
    """Show in the mailbox what was given up, once; `move_to`: a folder's name, '' leaves it (F117).

    Killed on the way, the next visit marks the same message again, which changes nothing.
    """
    failures = ItemFailure.objects.filter(
        mailbox=inbox.claim.mailbox_id, state=ItemFailure.State.GIVEN_UP, is_marked=False
    )
    row = inbox.categories.get(TrackingCategory.Kind.UNDELIVERABLE)
    name = row.name if row else ""
    if not name and not move_to:
        return
    for failure in failures.order_by("pk")[:MARKED_AT_ONCE]:
        with _no_email_waits(gateway, inbox):
            if name:
                organised.categorise(failure.item_id, add=name)
        with _no_email_waits(gateway, inbox):
            if move_to:
                organised.move_to_undeliverable(failure.item_id, move_to)
        with fenced(inbox.claim):
            ItemFailure.objects.filter(pk=failure.pk).update(is_marked=True)
