"""Notice what changed on either side: links become due, and the cursor moves with them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from django.db.models import QuerySet
from django.db.models.functions import Now

from syncservice.crm import changes
from syncservice.crm.models import Appointment
from syncservice.domain.item_values import ItemKind
from syncservice.domain.merge import Base
from syncservice.mailboxes.models import (
    FolderCursor,
    ItemLink,
    ItemProgress,
    SeenAppointment,
)
from syncservice.mailboxes.schedule import fenced, note_progress
from syncservice.servers.gateway import Activities, Deletion, Gone, ItemPage, ListedItem
from syncservice.sync.items.book import Book
from syncservice.sync.items.link_writing import write_links

State = ItemLink.State
#: Changes of the CRM that are looked at in one transaction.
RECORDS_AT_ONCE = 500
#: Records that other filters may select besides before that is looked at as a beginning is.
NEW_UNASKED = 10


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
    strangers = [item for item in page.items if item.item_id not in known]
    kin = _kin(book, strangers)
    moved = _moved(book, gateway, page, kin)
    with fenced(book.claim) as row:
        write_links(
            book,
            [
                (known[item.item_id], _news_of(book, item, known[item.item_id]))
                for item in page.items
                if item.item_id in known
            ],
        )
        found = [_notice_stranger(book, item, kin.get(item.item_id), moved) for item in strangers]
        ItemLink.objects.bulk_create(filter(None, found))
        _notice_removed(book.links.filter(item_id__in=page.removed))
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


def _news_of(book: Book, item: ListedItem, link: ItemLink) -> dict[str, Any]:
    """Return what the link of an item that changed gets; if the change was our own, nothing is due.

    See DESIGN invariant 10.
    """
    fields: dict[str, Any] = {"seen_key": item.change_key, "uid": item.uid or link.uid}
    fields["is_unlisted"] = False
    if link.state == State.LINKED and link.is_marked and _lost_category(book, item):
        fields |= {"state": State.UNLINKED, "due_at": None, "by_filter": False}
    elif link.state == State.UNLINKED and _is_tracked_again(book, item, link):
        fields |= {"state": State.LINKED, "seen_key": "", "due_at": Now(), "is_marked": False}
    elif link.state in (State.UNLINKED, State.DELETED):
        pass
    elif item.change_key != link.change_key:
        fields |= {"due_at": Now(), "attempts": 0}
        if link.state == State.REFUSED:
            was_linked = link.base is not None
            fields |= {"state": State.LINKED if was_linked else State.WANTED}
            fields |= {"fault_code": "", "fault_text": ""}
    return fields


def _is_tracked_again(book: Book, item: ListedItem, link: ItemLink) -> bool:
    """Whether a person put the category on, which an item that fell out of the filter still has."""
    return not link.by_filter and book.is_tracked(item.categories)


def _lost_category(book: Book, item: ListedItem) -> bool:
    return bool(book.category) and not book.is_tracked(item.categories)


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

    A moved item has another id, and a copied one bears the same key (F205). A plain copy that we
    made while the organizer was not kept in step goes when the invitation comes.
    """
    held = {
        link.key: link
        for link in book.links.filter(key__in=kin.values(), state=State.LINKED).exclude(item_id="")
    }
    invited = {
        kin[item.item_id]
        for item in page.items
        if item.item_id in kin and book.key_of(item.record_key) is None
    }
    plain = [
        link.item_id
        for key, link in held.items()
        if key in invited and link.by_filter and _is_plain(book, link)
    ]
    if plain:
        gateway.delete(book.kind, [Deletion(item_id=item_id) for item_id in plain])
    gone = {key for key, link in held.items() if link.is_removed or link.item_id in page.removed}
    asked = {link.item_id: key for key, link in held.items() if key not in gone}
    for answer in gateway.read(book.kind, list(asked)) if asked else ():
        if isinstance(answer, Gone):
            gone.add(asked[answer.item_id])
    return gone


def _is_plain(book: Book, link: ItemLink) -> bool:
    """Whether the item is an appointment of ours that stands for another one's meeting."""
    if book.kind is not ItemKind.APPOINTMENT or link.base is None:
        return False
    base = Base.of(link.base)
    return bool(base.crm.get("required") or base.crm.get("optional")) and not (
        base.exchange.get("required") or base.exchange.get("optional")
    )


def _notice_stranger(
    book: Book, item: ListedItem, key: UUID | None, moved: Collection[UUID]
) -> ItemLink | None:
    """An item without a link appeared, or changed; return one that is to be made of it, if any."""
    is_tracked = book.is_tracked(item.categories)
    link = book.links.filter(key=key).first() if key else None
    if link is not None:
        if link.state == State.LINKED and link.item_id and link.key not in moved:
            is_wanted = not book.organisation.ignores_copied_items and is_tracked
            return _wanted(book, item) if is_wanted else None
        if link.state == State.UNLINKED and not is_tracked:
            return None
        _link_to(book, link, item)
    elif key is not None and _belongs(book, key, item):
        _adopt(book, key, item)
    elif is_tracked and (key is None or book.key_of(item.record_key) == key):
        return _wanted(book, item)
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


def _adopt(book: Book, key: UUID, item: ListedItem) -> None:
    ItemLink.objects.create(
        mailbox_id=book.mailbox.pk,
        kind=book.kind,
        key=key,
        state=State.LINKED,
        item_id=item.item_id,
        seen_key=item.change_key,
        uid=item.uid,
        subject=item.subject,
        by_filter=key in book.records.keys_selected(book.user, [key]),
        due_at=Now(),
    )


def _link_to(book: Book, link: ItemLink, item: ListedItem) -> None:
    """A link gets the item that it waited for, or another one in the place of its own."""
    keeps_base = link.state == State.LINKED
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
        due_at=Now(),
        attempts=0,
    )


def _wanted(book: Book, item: ListedItem) -> ItemLink:
    """A tracked item is to become a record, whose key is chosen now: it is made once."""
    return ItemLink(
        mailbox_id=book.mailbox.pk,
        kind=book.kind,
        key=uuid4(),
        state=State.WANTED,
        item_id=item.item_id,
        seen_key=item.change_key,
        uid=item.uid,
        subject=item.subject,
        due_at=Now(),
    )


def _note_sights(book: Book, page: ItemPage) -> None:
    """Keep which appointments are no record's, by UID, and forget those that are or have left."""
    ids = [item.item_id for item in page.items]
    linked = set(book.links.filter(item_id__in=ids).values_list("item_id", flat=True))
    sights = SeenAppointment.objects.filter(mailbox=book.mailbox.pk)
    sights.filter(item_id__in=[*linked, *page.removed]).delete()
    SeenAppointment.objects.bulk_create(
        [
            SeenAppointment(mailbox_id=book.mailbox.pk, item_id=item.item_id, uid=item.uid)
            for item in page.items
            if item.uid and item.item_id not in linked
        ],
        update_conflicts=True,
        unique_fields=["mailbox", "item_id"],
        update_fields=["uid"],
    )


def notice_records(book: Book, progress: ItemProgress) -> bool:
    """Make the links of what changed in the CRM due; True when more is left.

    When the filters are others than before, everything is compared with them once.
    """
    filters = book.records.filters_digest(book.user)
    with fenced(book.claim):
        here = changes.current_position()
        found = changes.changes_since(book.kind, progress.position or here, RECORDS_AT_ONCE)
        position, is_last = found.position, found.is_last
        deleted = {key: one for key, one in found.records.items() if one.is_deletion}
        _notice_deleted(book, deleted)
        if not progress.position or progress.filters != filters or not found.is_complete:
            position, is_last = here, True
            selected = book.records.keys_selected(book.user)
            linked = set(book.links.values_list("key", flat=True))
            if len(selected - linked) > NEW_UNASKED:  # much comes at once: as at the beginning
                ItemProgress.objects.filter(pk=progress.pk).update(first=ItemProgress.First.NEW)
                return False
            _notice_missing(book, linked)
            notice_keys(book, selected | linked, selected)
        elif keys := found.records.keys() - deleted:
            notice_keys(book, keys, book.records.keys_selected(book.user, keys))
        progress.position, progress.filters = position, filters
        ItemProgress.objects.filter(pk=progress.pk).update(position=position, filters=filters)
    return not is_last


def notice_keys(book: Book, keys: Collection[UUID], selected: Collection[UUID]) -> None:
    """Let links follow what the filters say of these records; to be called `fenced` (F184, F206).

    Who falls out is unlinked, never deleted, once the change that did it has travelled. What a
    person tracked stays linked whatever they say, and what he untracked unlinked.
    """
    links = {link.key: link for link in book.links.filter(key__in=keys)}
    due, leaving, dropped, again = [], [], [], []
    for key, link in links.items():
        is_selected = key in selected
        if link.state in (State.LINKED, State.CREATING, State.WAITING):
            if is_selected or not link.by_filter:
                due.append(link.pk)
            elif link.item_id or link.attempted_at:
                leaving.append(link.pk)
            else:
                dropped.append(link.pk)
        elif link.state == State.UNLINKED and is_selected and link.by_filter:
            again.append(link)
    book.links.filter(pk__in=due).update(due_at=Now(), attempts=0, is_leaving=False)
    book.links.filter(pk__in=leaving).update(due_at=Now(), attempts=0, is_leaving=True)
    book.links.filter(pk__in=dropped).delete()
    for link in again:
        state = State.LINKED if link.item_id and not link.is_removed else State.CREATING
        book.links.filter(pk=link.pk).update(
            state=state,
            by_filter=True,
            is_leaving=False,
            is_removed=False,
            deleted_record=None,
            base=link.base if state == State.LINKED else None,
            is_marked=False,
            seen_key="",
            due_at=Now(),
            attempts=0,
        )
    ItemLink.objects.bulk_create(
        ItemLink(
            mailbox_id=book.mailbox.pk,
            kind=book.kind,
            key=key,
            state=State.CREATING,
            by_filter=True,
            due_at=Now(),
        )
        for key in selected
        if key not in links
    )


def _notice_missing(book: Book, linked: set[UUID]) -> None:
    """Records are gone, and nobody remembers what they were."""
    missing = linked - book.records.existing(linked)
    gone = book.links.filter(key__in=missing, deleted_record__isnull=True, state=State.LINKED)
    gone.update(deleted_record={}, due_at=Now(), attempts=0)


def _notice_deleted(book: Book, deleted: Mapping[UUID, changes.Change]) -> None:
    """Records are gone: their links are settled by what is left of them."""
    for link in book.links.filter(key__in=deleted):
        is_made = link.state == State.CREATING and link.attempted_at is not None
        if link.state == State.LINKED or is_made:
            change = deleted[link.key]
            left = {**change.facts, "owner": change.owner_id}
            book.links.filter(pk=link.pk).update(deleted_record=left, due_at=Now(), attempts=0)
        elif link.state != State.WANTED:
            link.delete()
