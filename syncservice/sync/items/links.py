"""New links, as whoever notices something makes them; and what is kept of items without one."""

from collections.abc import Iterable
from uuid import UUID

from django.db.models.functions import Now

from syncservice.mailboxes.models import ItemLink, SeenAppointment
from syncservice.servers.gateway import ListedItem
from syncservice.sync.items.book import Book

State = ItemLink.State


def creation(book: Book, key: UUID) -> ItemLink:
    """Link a record that a filter selects: it becomes an item."""
    return ItemLink(
        mailbox_id=book.mailbox.pk,
        kind=book.kind,
        key=key,
        state=State.CREATING,
        by_filter=True,
        due_at=Now(),
    )


def of_item(
    book: Book, item: ListedItem, key: UUID, state: ItemLink.State, *, by_filter: bool
) -> ItemLink:
    """Link an item that was listed, with the record of a key; of a WANTED one it is to be made."""
    return ItemLink(
        mailbox_id=book.mailbox.pk,
        kind=book.kind,
        key=key,
        state=state,
        item_id=item.item_id,
        seen_key=item.change_key,
        uid=item.uid,
        subject=item.subject,
        by_filter=by_filter,
        has_category=book.is_tracked(item.categories),
        due_at=Now(),
    )


def keep_sights(book: Book, items: Iterable[ListedItem]) -> None:
    """Keep the UIDs of appointments that are no record's; of those known, what they are now.

    Another organisation's are none that a record may wait for.
    """
    SeenAppointment.objects.bulk_create(
        [
            SeenAppointment(mailbox_id=book.mailbox.pk, item_id=item.item_id, uid=item.uid)
            for item in items
            if item.uid and not book.leaves_alone(item.record_key)
        ],
        update_conflicts=True,
        unique_fields=["mailbox", "item_id"],
        update_fields=["uid"],
        batch_size=1000,
    )
