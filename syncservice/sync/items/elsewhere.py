"""Items that another organisation has, or had, in step in this mailbox (F214).

They bear its key. Nobody here knows whether it still keeps them in step, so they are left alone
until somebody says that they are ours from now on: not adopted, not changed, no record is made.
"""

from dataclasses import dataclass

from syncservice.alerts import alerts
from syncservice.alerts.models import Severity
from syncservice.mailboxes.models import ItemProgress
from syncservice.sync.items.book import Book


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a look at a mailbox found of another organisation."""

    items: int = 0
    doubles: int = 0  # records that would be made beside the items that they are, for certain

    @property
    def reason(self) -> str:
        """Say why somebody has to agree to a first synchronization; '': nobody has to."""
        if not self.doubles:
            return ""
        return (
            f"{self.items} items are another organisation's and are left alone, and"
            f" {self.doubles} of them would be made once more"
        )


def tell(book: Book, progress: ItemProgress, found: Elsewhere) -> None:
    """Tell of another organisation's items, and ask once what becomes of them."""
    if found.items and progress.elsewhere == ItemProgress.Elsewhere.UNDECIDED:
        text = f"{book.kind}: {found.items} items are another organisation's"
        alerts.ask(
            book.mailbox.pk,
            alerts.LINKED_ELSEWHERE,
            text,
            direction=alerts.ITEMS,
            severity=Severity.INFORMATION,
        )
