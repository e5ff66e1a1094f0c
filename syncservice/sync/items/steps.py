"""What is to be done about one link: decided from both sides, written by `settling`."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from syncservice.domain.faults import Fault
from syncservice.domain.item_values import Value, Values
from syncservice.domain.merge import Base, Conflict
from syncservice.mailboxes.models import ItemLink, JournalEntry
from syncservice.servers.gateway import Deletion, Item, ItemChange, NewItem


@dataclass(slots=True, kw_only=True)
class Step:
    """One link's next step: first the record is written, then the item, then that it was."""

    link: ItemLink
    record: Any = None  # None: there is none (yet)
    item: Item | None = None  # None: it was not read
    #: What the record gets. `create_record`: under the link's key.
    create_record: Values | None = None
    change_record: Values = field(default_factory=dict)
    delete_record: bool = False
    cancel_record: bool = False  # the organizer called the meeting off
    #: What the item gets; at most one is set.
    create_item: NewItem | None = None
    change_item: ItemChange | None = None
    delete_item: Deletion | None = None
    #: Files that the item gets once it is written, and those that it loses.
    attach: tuple[Value, ...] = ()
    detach: tuple[Value, ...] = ()
    #: Of the link: what holds once the record is written, and once the item is, too.
    then: dict[str, Any] = field(default_factory=dict)
    finally_: dict[str, Any] = field(default_factory=dict)
    #: What both sides say once all is written; None: they are not compared.
    base: Base | None = None
    conflicts: tuple[Conflict, ...] = ()
    #: The link goes, with the record's writing or the item's.
    drops_link: bool = False
    takes_key: UUID | None = None  # of a record that had another item in this mailbox; None: none
    uid: str = ""  # of the meeting, which the record does not know yet; '': nothing new
    #: What Exchange makes of it is read next: the UID that attendees' copies are found by, or
    #: whether occurrences came back.
    reads_back: bool = False
    fault: Fault | None = None  # nothing is written, and why
    entries: list[JournalEntry] = field(default_factory=list)  # of what is done to the record

    is_outdated: bool = False  # the record was changed since it was decided

    @property
    def writes_record(self) -> bool:
        return bool(self.change_record or self.delete_record or self.cancel_record or self.uid)

    def leave(self, fault: Fault) -> None:
        """Write nothing after all."""
        self.fault = fault
        self.create_item = self.change_item = self.delete_item = None

    @property
    def writes_item(self) -> bool:
        return any((self.create_item, self.change_item, self.delete_item))
