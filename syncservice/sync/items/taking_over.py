"""Take over the items that another organisation had in step, once somebody said so (F214).

What is a record for certain is adopted, what is tracked becomes one, as when a mailbox begins; an
item whose record has another item here already stays as it is. Their marks become ours when the
links are settled.
"""

from django.db.models.functions import Now

from syncservice.domain.adoption import match
from syncservice.mailboxes.models import ItemLink, ItemProgress
from syncservice.mailboxes.schedule import fenced
from syncservice.servers.gateway import Activities
from syncservice.sync.items.book import Book
from syncservice.sync.items.first import hint_of, hints_of, link_items, listed, tracked_beside

State = ItemLink.State
Elsewhere = ItemProgress.Elsewhere


def take_over(book: Book, gateway: Activities, progress: ItemProgress) -> None:
    """Link what another organisation had in step, or raise FaultError; ClaimLost as ever.

    To be called with a book that takes over, of a kind that has begun.
    """
    items, _ = listed(book, gateway)
    known = set(book.links.exclude(item_id="").values_list("item_id", flat=True))
    theirs = [
        item for item in items if item.item_id not in known and book.is_anothers(item.record_key)
    ]
    selected = book.records.keys_selected(book.user)
    pairs = match([hint_of(book, item) for item in theirs], [*hints_of(book, selected)])
    linked = set(book.links.values_list("key", flat=True))
    free = {item_id: key for item_id, key in pairs.items() if key not in linked}
    with fenced(book.claim):
        link_items(book, theirs, free, tracked_beside(book, theirs, pairs), selected)
        # A meeting may wait for what was another organisation's.
        book.links.filter(state=State.WAITING).update(due_at=Now(), attempts=0)
        rows = ItemProgress.objects.filter(pk=progress.pk, elsewhere=Elsewhere.WANTED)
        rows.update(elsewhere=Elsewhere.TAKEN)
