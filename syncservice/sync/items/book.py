"""What a visit knows of one mailbox and one kind of its items."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from syncservice.crm.models import User
from syncservice.domain import record_keys
from syncservice.domain.item_values import ItemKind, Values
from syncservice.mailboxes.models import ItemLink, Mailbox, Organisation
from syncservice.mailboxes.schedule import Claim

#: The category of tracked items, as long as the mailbox's list has no other name for it (F153).
TRACKED = "Tracked to CRM"


class Records(Protocol):
    """The records of one kind, as canonical values; see `sync/item_records`."""

    def keys_selected(self, user: User, among: Collection[UUID] | None = None) -> set[UUID]:
        """Return the keys of the records that the user's filters select; `among`: of these."""

    def filters_digest(self, user: User) -> str:
        """Say in a word what the user's filters are: another word when they change."""

    def load(self, keys: Iterable[UUID]) -> dict[UUID, Any]: ...

    def existing(self, keys: Iterable[UUID]) -> set[UUID]:
        """Tell which of these records are there."""

    def locked(self, records: Iterable[Any]) -> set[UUID]:
        """Lock loaded records; return the keys of those that nobody has changed since."""

    def values(self, record: Any, user: User) -> Values: ...

    def create(self, values: Values, user: User, key: UUID) -> Any: ...

    def create_all(self, items: Sequence[tuple[Values, UUID]], user: User) -> list[Any]:
        """Make records of items, in their order."""

    def prepare(self, values: Iterable[Values]) -> None:
        """Look up at once what many values name, before they are written one by one."""

    def apply(self, record: Any, values: Values, user: User) -> None: ...

    def delete(self, record: Any) -> None: ...

    def record_type(self, record: Any) -> str:
        """Name it as `domain.field_map` does."""

    # Of appointments only

    def cancel(self, record: Any) -> None:
        """Mark it canceled."""

    def learn_uids(self, learning: Sequence[tuple[Any, str]]) -> None:
        """Let appointments know how Exchange calls them in all calendars."""

    def organizer_id(self, record: Any) -> int | None:
        """Return the user who called it; None: it is none of ours."""


@dataclass(frozen=True)
class Book:
    """One mailbox, whose it is, and one kind of its items."""

    claim: Claim
    mailbox: Mailbox
    user: User
    organisation: Organisation
    kind: ItemKind
    records: Records
    category: str  # '': the organisation tracks by none
    #: Somebody decided that what another organisation had in step in this mailbox is ours (F214).
    takes_over: bool = False

    @property
    def links(self) -> Any:
        return ItemLink.objects.filter(mailbox=self.mailbox.pk, kind=self.kind)

    def record_key(self, key: UUID) -> str:
        """What an item bears of its record; whose, too, for a mailbox may have seen others."""
        return record_keys.record_key(self.organisation.identity, key)

    def key_of(self, record_key: str) -> UUID | None:
        """Read what an item bears; None: nothing, or another organisation's."""
        return record_keys.key_of(record_key, self.organisation.identity)

    def is_anothers(self, record_key: str) -> bool:
        """Whether an item is another organisation's, as far as its key tells."""
        return record_keys.is_anothers(record_key, self.organisation.identity)

    def leaves_alone(self, record_key: str) -> bool:
        """Whether an item is another organisation's, and nobody said that we take it over."""
        return not self.takes_over and self.is_anothers(record_key)

    def is_tracked(self, categories: Sequence[str]) -> bool:
        """Whether an item has our category; a renamed one, also by the name that it began with."""
        names = {name.casefold() for name in categories}
        return bool(self.category) and not names.isdisjoint(
            (self.category.casefold(), TRACKED.casefold())
        )
