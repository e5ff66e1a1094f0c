"""The books of one mailbox: one for each kind of its items."""

from syncservice.crm.models import User
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes import administration
from syncservice.mailboxes.models import Mailbox, Organisation, TrackingCategory
from syncservice.mailboxes.schedule import Claim
from syncservice.sync.item_records import records_of
from syncservice.sync.items.book import TRACKED, Book

#: Contacts first: attendees may be among them.
ORDER = (ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK)


def books_of(claim: Claim, mailbox: Mailbox) -> list[Book]:
    """Open the books of a user's mailbox; a queue's has none (F200)."""
    user = administration.owner_of(mailbox)
    if not isinstance(user, User):
        return []
    organisation = Organisation.current()
    category = ""
    if organisation.uses_category_tracking:
        rows = TrackingCategory.objects.filter(
            mailbox=mailbox.pk, kind=TrackingCategory.Kind.TRACKED
        )
        category = rows.values_list("name", flat=True).first() or TRACKED
    return [
        Book(claim, mailbox, user, organisation, kind, records_of(kind), category) for kind in ORDER
    ]
