"""What happens in a mailbox, for whoever has subscribed to it.

Noted only once there is a subscription, and for so long that a client may come back for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from syncservice.simulator.exchange.folder import Folder
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.moments import now, write_moment

#: How many events of a mailbox are remembered.
KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `number` counts those of the mailbox from 1."""

    number: int
    kind: str
    moment: str
    written: str  # the ids, as the schema has them
    folders: frozenset[int]  # by uid: where it happened, and where the thing was before

    def xml(self, watermark: str) -> str:
        """The event with its place in the mailbox's history."""
        return (
            f"<t:{self.kind}><t:Watermark>{watermark}</t:Watermark>"
            f"<t:TimeStamp>{self.moment}</t:TimeStamp>{self.written}</t:{self.kind}>"
        )


@dataclass(slots=True)
class EventLog:
    """The last events of a mailbox, and who wants to hear of the next."""

    last: int = 0
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT))
    listeners: set[Callable[[], None]] = field(default_factory=set)

    def after(self, number: int) -> list[Event] | None:
        """The events behind one; None: some of them are forgotten."""
        if number < self.last - len(self.events):
            return None
        return [one for one in self.events if one.number > number]

    def item(self, kind: str, item: Item, before: tuple[str, Folder] | None = None) -> None:
        """Note an event of an item; `before` is its old id and folder."""
        if item.folder is None:
            return
        folder = item.folder
        unread = f"<t:UnreadCount>{folder.unread_count}</t:UnreadCount>"
        written = (
            f'<t:ItemId Id="{item.id}" ChangeKey="{item.change_key}"/>'
            f"{folder_id('ParentFolderId', folder)}"
        )
        if before is not None:
            written += f'<t:OldItemId Id="{before[0]}"/>{folder_id("OldParentFolderId", before[1])}'
        elif kind == "ModifiedEvent":
            written += unread
        self._note(kind, written, folder, before[1] if before else None)

    def folder(self, kind: str, folder: Folder, parent: Folder, before: Folder | None) -> None:
        """Note an event of a folder; `before` is where it was."""
        written = folder_id("FolderId", folder) + folder_id("ParentFolderId", parent)
        if before is not None:
            written += folder_id("OldFolderId", folder) + folder_id("OldParentFolderId", before)
        self._note(kind, written, parent, before)

    def _note(self, kind: str, written: str, folder: Folder, before: Folder | None) -> None:
        self.last += 1
        folders = frozenset(one.uid for one in (folder, before) if one is not None)
        self.events.append(Event(self.last, kind, write_moment(now()), written, folders))
        for listener in tuple(self.listeners):
            listener()


def folder_id(name: str, folder: Folder) -> str:
    """A folder's id under a name of the schema."""
    return f'<t:{name} Id="{folder.id}" ChangeKey="{folder.change_key}"/>'
