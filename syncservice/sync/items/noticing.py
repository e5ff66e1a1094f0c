"""Notice what changed in the mailbox: links become due, and the cursor moves with them."""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID, uuid4

from django.db.models import QuerySet
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.crm.models import Appointment
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes.models import (
    FolderCursor,
    ItemLink,
    SeenAppointment,
)
from syncservice.mailboxes.schedule import fenced, note_progress
from syncservice.servers.gateway import Activities, Gone, ItemPage, ListedItem
from syncservice.sync.items.book import Book
from syncservice.sync.items.link_writing import write_links
from syncservice.sync.items.links import keep_sights, of_item

State = ItemLink.State
#: Exchange lists no more at once.
MOST_CHANGES = 512


def cursor_of(book: Book) -> str:
    rows = FolderCursor.objects.filter(mailbox=book.mailbox.pk, folder=book.kind)
    return rows.values_list("position", flat=True).first() or ""


def forget_cursor(book: Book) -> None:
    """List everything once more: the server no longer knows how far we were.

    What was deleted meanwhile is among what is not listed then: that is read, and found or not.
    """
    with fenced(book.claim):
        book.links.exclude(item_id="").update(is_unlisted=True)
        FolderCursor.objects.filter(mailbox=book.mailbox.pk, folder=book.kind).delete()


def notice_items(book: Book, gateway: Activities, page: ItemPage) -> None:
    """Make the links of what changed in the mailbox due; the cursor moves with them."""
    known = {
        link.item_id: link
        for link in book.links.filter(
            item_id__in=[*(item.item_id for item in page.items), *page.removed]
        )
    }
    strangers = [
        item
        for item in page.items
        if item.item_id not in known and not book.leaves_alone(item.record_key)
    ]
    kin = _kin(book, strangers)
    moved = _moved(book, gateway, page, kin)
    parted = [link.key for link in known.values() if link.state == State.UNLINKED]
    existing = book.records.existing(parted) if parted else set()
    with fenced(book.claim) as row:
        write_links(
            book,
            [
                (known[item.item_id], _news_of(book, item, known[item.item_id], existing))
                for item in page.items
                if item.item_id in known
            ],
        )
        found = [_notice_stranger(book, item, kin.get(item.item_id), moved) for item in strangers]
        ItemLink.objects.bulk_create(filter(None, found))
        _notice_removed(book.links.filter(item_id__in=page.removed))
        if any(known[one].question for one in page.removed if one in known):
            alerts.tell_of_duplicates(book.mailbox.pk)
        if page.is_last:
            unlisted = book.links.filter(is_unlisted=True)
            unlisted.update(is_unlisted=False, seen_key="", due_at=Now(), attempts=0)
        if book.kind is ItemKind.APPOINTMENT:
            _note_sights(book, page)
        move_cursor(book, page.cursor)
        note_progress(row)


def _notice_removed(links: QuerySet[ItemLink]) -> None:
    """These items left the folder."""
    linked = links.filter(state=State.LINKED)
    linked.update(is_removed=True, due_at=Now(), attempts=0)
    links.filter(state__in=[State.WANTED, State.REFUSED]).delete()
    links.exclude(state=State.LINKED).update(item_id="", is_removed=True)


def move_cursor(book: Book, position: str) -> None:
    """Say how far the folder has been read; to be called `fenced`."""
    FolderCursor.objects.update_or_create(
        mailbox_id=book.mailbox.pk, folder=book.kind, defaults={"position": position}
    )


def _news_of(
    book: Book, item: ListedItem, link: ItemLink, existing: Collection[UUID]
) -> dict[str, Any]:
    """Return what the link of an item that changed gets; if the change was our own, nothing is due.

    See DESIGN invariant 10. The category counts where it comes or goes: an item that fell out of
    the filter, or whose record was taken back, has it still. `existing`: records that are there.
    """
    fields: dict[str, Any] = {"seen_key": item.change_key, "uid": item.uid or link.uid}
    fields["is_unlisted"] = False
    is_tracked = book.is_tracked(item.categories)
    if book.category:
        fields["has_category"] = is_tracked
    if link.state == State.LINKED and link.has_category and book.category and not is_tracked:
        fields |= {"state": State.UNLINKED, "due_at": None, "by_filter": False}
    elif book.leaves_alone(item.record_key) and link.state in (State.UNLINKED, State.DELETED):
        pass  # another organisation tracks what we no longer do
    elif link.state == State.UNLINKED and is_tracked and not link.has_category:
        state = State.LINKED if link.key in existing else State.WANTED
        fields |= {"state": state, "seen_key": "", "due_at": Now(), "is_marked": False}
    elif link.state in (State.UNLINKED, State.DELETED):
        pass
    elif item.change_key != link.change_key:
        fields |= {"due_at": Now(), "attempts": 0}
        if link.state == State.REFUSED:
            was_linked = link.base is not None
            fields |= {"state": State.LINKED if was_linked else State.WANTED}
            fields |= {"fault_code": "", "fault_text": ""}
    return fields


def _kin(book: Book, strangers: Sequence[ListedItem]) -> dict[str, UUID]:
    """Find whose items these are: by our key on them, or the UID of a meeting that we know."""
    keys = {
        item.item_id: key for item in strangers if (key := book.key_of(item.record_key)) is not None
    }
    uids = {item.uid for item in strangers if item.item_id not in keys} - {""}
    if book.kind is not ItemKind.APPOINTMENT or not uids:
        return keys
    records = dict(Appointment.objects.filter(uid__in=uids).values_list("uid", "pk"))
    by_uid = {item.item_id: records[item.uid] for item in strangers if item.uid in records}
    return by_uid | keys


def _moved(book: Book, gateway: Activities, page: ItemPage, kin: dict[str, UUID]) -> set[UUID]:
    """Tell the records whose former item is gone: what bears their key now is it, and no copy.

    A moved item has another id, and a copied one bears the same key (F205).
    """
    held = {
        link.key: link
        for link in book.links.filter(key__in=kin.values(), state=State.LINKED).exclude(item_id="")
    }
    gone = {key for key, link in held.items() if link.is_removed or link.item_id in page.removed}
    asked = {link.item_id: key for key, link in held.items() if key not in gone}
    for answer in gateway.read(book.kind, list(asked)) if asked else ():
        if isinstance(answer, Gone):
            gone.add(asked[answer.item_id])
    return gone


def _notice_stranger(
    book: Book, item: ListedItem, key: UUID | None, moved: Collection[UUID]
) -> ItemLink | None:
    """An item without a link appeared, or changed; return one that is to be made of it, if any."""
    is_tracked = book.is_tracked(item.categories)
    link = book.links.filter(key=key).first() if key else None
    if link is not None:
        if link.state == State.LINKED and link.item_id and link.key not in moved:
            if book.key_of(item.record_key) is None:  # an invitation to what has a plain copy
                book.links.filter(pk=link.pk).update(due_at=Now())
                return None
            is_wanted = not book.organisation.ignores_copied_items and is_tracked
            return (
                of_item(book, item, uuid4(), State.WANTED, by_filter=False) if is_wanted else None
            )
        if link.state == State.UNLINKED and not is_tracked:
            return None
        _link_to(book, link, item)
    elif key is not None and _belongs(book, key, item):
        is_selected = key in book.records.keys_selected(book.user, [key])
        return of_item(book, item, key, State.LINKED, by_filter=is_selected)
    elif is_tracked and (key is None or book.key_of(item.record_key) == key):
        return of_item(book, item, uuid4(), State.WANTED, by_filter=False)
    return None


def _belongs(book: Book, key: UUID, item: ListedItem) -> bool:
    """Whether a record that this mailbox has no link to yet, and that is there, is its owner's too.

    Our key on the item says so (a database that was lost, a second run), or a filter, or the
    category on the owner's own copy of a meeting (F207).
    """
    if not book.records.load([key]):
        return False
    if book.key_of(item.record_key) == key or book.records.keys_selected(book.user, [key]):
        return True
    return book.is_tracked(item.categories) and book.organisation.tracks_from_non_organizer


def _link_to(book: Book, link: ItemLink, item: ListedItem) -> None:
    """A link gets the item that it waited for, or another one in the place of its own."""
    is_made = link.state == State.CREATING and book.key_of(item.record_key) == link.key
    keeps_base = link.state == State.LINKED or is_made
    book.links.filter(pk=link.pk).update(
        state=State.LINKED,
        item_id=item.item_id,
        seen_key=item.change_key,
        change_key="",
        uid=item.uid or link.uid,
        base=link.base if keeps_base else None,
        is_removed=False,
        deleted_record=None,
        is_unlisted=False,
        is_marked=False,
        has_category=book.is_tracked(item.categories),
        is_organizers=None,
        due_at=Now(),
        attempts=0,
    )


def _note_sights(book: Book, page: ItemPage) -> None:
    """Keep which appointments are no record's, by UID, and forget those that are or have left."""
    ids = [item.item_id for item in page.items]
    linked = set(book.links.filter(item_id__in=ids).values_list("item_id", flat=True))
    sights = SeenAppointment.objects.filter(mailbox=book.mailbox.pk)
    theirs = [item.item_id for item in page.items if book.leaves_alone(item.record_key)]
    sights.filter(item_id__in=[*linked, *page.removed, *theirs]).delete()
    keep_sights(book, (item for item in page.items if item.item_id not in linked))
