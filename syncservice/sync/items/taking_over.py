"""Take over the items that another organisation had in step, once somebody said so (F214).

What is a record for certain is adopted, what is tracked becomes one, as when a mailbox begins; an
item whose record has another item here already stays as it is. Their marks become ours when the
links are settled.
"""

from uuid import uuid4

from django.db.models.functions import Now

from syncservice.domain.adoption import match
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes.models import ItemLink, ItemProgress
from syncservice.mailboxes.schedule import fenced
from syncservice.servers.gateway import Activities
from syncservice.sync.items import links
from syncservice.sync.items.book import Book
from syncservice.sync.items.first import hint_of, hints_of, listed

State = ItemLink.State
Elsewhere = ItemProgress.Elsewhere


def take_over(book: Book, gateway: Activities, progress: ItemProgress) -> None:
    """Link what another organisation had in step, or raise FaultError; ClaimLost as ever.

    To be called with a book that takes over, of a kind that has begun.
    """
    items, _ = listed(book, gateway)
    known = set(book.links.exclude(item_id="").values_list("item_id", flat=True))
    theirs = {
        item.item_id: item
        for item in items
        if item.item_id not in known and book.is_anothers(item.record_key)
    }
    selected = book.records.keys_selected(book.user)
    pairs = match([hint_of(book, item) for item in theirs.values()], [*hints_of(book, selected)])
    linked = set(book.links.values_list("key", flat=True))
    found = [
        links.of_item(book, theirs[item_id], key, State.LINKED, by_filter=True)
        for item_id, key in pairs.items()
        if key not in linked
    ]
    found += [
        links.of_item(book, item, uuid4(), State.WANTED, by_filter=False)
        for item_id, item in theirs.items()
        if item_id not in pairs and book.is_tracked(item.categories)
    ]
    with fenced(book.claim):
        ItemLink.objects.bulk_create(found, batch_size=1000)
        if book.kind is ItemKind.APPOINTMENT:  # some may be what a record waits for
            taken = {link.item_id for link in found}
            links.keep_sights(book, [one for one in theirs.values() if one.item_id not in taken])
            book.links.filter(state=State.WAITING).update(due_at=Now(), attempts=0)
        rows = ItemProgress.objects.filter(pk=progress.pk, elsewhere=Elsewhere.WANTED)
        rows.update(elsewhere=Elsewhere.TAKEN)
