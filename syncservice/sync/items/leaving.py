"""Decide what becomes of a link of which one side is gone, or is called off (3G-3J)."""

from dataclasses import dataclass
from typing import Any

from django.db.models.functions import Now

from syncservice.domain import item_deletion, meeting
from syncservice.domain.item_values import ItemKind
from syncservice.domain.meeting import CrmDeletion, ExchangeDeletion
from syncservice.domain.merge import Base
from syncservice.mailboxes.models import ItemLink, JournalEntry, Lane
from syncservice.servers.gateway import Deletion, Item
from syncservice.sync.items.book import Book
from syncservice.sync.items.meetings import Meetings
from syncservice.sync.items.sight import Sight
from syncservice.sync.items.steps import Step

State = ItemLink.State
#: What a link keeps of an item that is no longer its own.
_LEFT: dict[str, Any] = {
    "item_id": "",
    "base": None,
    "due_at": None,
    "deleted_record": None,
    "question": "",
    "answer": None,
}


@dataclass(frozen=True, slots=True)
class Leaving:
    """Decides about links that end, for one mailbox."""

    book: Book
    sight: Sight
    meetings: Meetings

    def item_removed(self, link: ItemLink, record: Any) -> Step:
        """The item was deleted in the mailbox, or moved out of its folder."""
        if record is None or link.state == State.WANTED:
            return Step(link=link, drops_link=True)
        if link.is_leaving:  # it is no longer this mailbox's to say
            return self._ended(link, _LEFT | {"state": State.UNLINKED, "is_leaving": False})
        if not link.is_marked:  # it was gone before both became one
            return self._never_was(link)
        if self._deletes_record(link, record):
            if _is_declined(link):
                return Step(link=link, then=_LEFT | {"state": State.UNLINKED, "by_filter": False})
            return Step(link=link, record=record, delete_record=True, drops_link=True)
        return self._ended(link, _LEFT | {"state": State.DELETED})

    def _never_was(self, link: ItemLink) -> Step:
        """Make another one of what a filter selects; what a person tracked, he took away again."""
        if not link.by_filter:
            return self._ended(link, _LEFT | {"state": State.DELETED})
        then = _LEFT | {"state": State.CREATING, "is_removed": False, "due_at": Now()}
        return Step(link=link, then=then)

    def _deletes_record(self, link: ItemLink, record: Any) -> bool:
        if self.book.kind is ItemKind.CONTACT:
            return item_deletion.contact_leaves_crm()
        if self.book.kind is ItemKind.TASK:
            return item_deletion.task_leaves_crm()
        facts = self.meetings.facts(
            record, self.sight.values[link.key], item_is_organizer=link.is_organizers
        )
        decided = meeting.exchange_deletion(facts, self.meetings.now)
        return decided is ExchangeDeletion.DELETE

    def record_deleted(self, link: ItemLink, item: Item | None) -> Step:
        """The record was deleted in the CRM; `item` has news, if any."""
        decided = self._becomes_of_item(link, item)
        if decided is CrmDeletion.UNLINK or _is_declined(link):
            return self._ended(link, _LEFT | {"state": State.UNLINKED, "item_id": link.item_id})
        cancels = decided is CrmDeletion.DELETE_AND_CANCEL
        deletion = Deletion(item_id=link.item_id, cancels=cancels)
        return Step(link=link, delete_item=deletion, drops_link=True)

    def _becomes_of_item(self, link: ItemLink, item: Item | None) -> CrmDeletion:
        left = link.deleted_record
        if not left or not link.base:
            return CrmDeletion.UNLINK  # nobody knows what it was
        exchange = item.values if item is not None else Base.of(link.base).exchange
        if self.book.kind is ItemKind.APPOINTMENT:
            facts = self.meetings.facts_of_deleted(link, exchange)
            return meeting.crm_deletion(facts, self.meetings.now, is_logical=False)
        if self.book.kind is ItemKind.CONTACT:
            owns = left.get("owner") == self.book.user.pk
            leaves = item_deletion.contact_leaves_exchange(owns_record=owns)
        else:
            leaves = item_deletion.task_leaves_exchange(exchange.get("status", ""))
        return CrmDeletion.DELETE if leaves else CrmDeletion.UNLINK

    def called_off(self, link: ItemLink, record: Any, item: Item) -> Step:
        """A meeting's organizer called it off; what is left of it is the attendee's."""
        step = Step(link=link, record=record, item=item)
        step.finally_ = {"state": State.UNLINKED, "by_filter": False}
        step.finally_ |= {"change_key": item.change_key, "seen_key": item.change_key}
        values = self.sight.values[link.key]
        decided = meeting.exchange_cancellation(
            self.meetings.facts(record, values, item_is_organizer=item.is_organizer),
            self.meetings.now,
            organizer_is_in_step=self.meetings.is_in_step(values),
        )
        linked = ItemLink.objects.filter(kind=link.kind, key=link.key, state=State.LINKED)
        others = linked.exclude(pk=link.pk).filter(
            mailbox__schedules__lane=Lane.ACT, mailbox__schedules__due_at__isnull=False
        )
        is_anothers = others.exists()  # only this one may have been taken off
        step.cancel_record = decided is ExchangeDeletion.CANCEL and not is_anothers
        return step

    def taken_back(self, link: ItemLink) -> Step:
        """Somebody takes back that the item was made: it goes, and nobody is told by mail."""
        step = Step(link=link, delete_item=Deletion(item_id=link.item_id))
        step.finally_ = _LEFT | {"state": State.DELETED, "is_undone": False}
        return step

    def superseded(self, link: ItemLink) -> Step:
        """Its organizer's invitation came: the plain copy that stood for the meeting goes."""
        step = Step(link=link, delete_item=Deletion(item_id=link.item_id))
        step.finally_ = _LEFT | {"state": State.WAITING, "is_organizers": None}
        step.finally_ |= {"is_marked": False, "has_category": False, "due_at": Now()}
        return step

    def _ended(self, link: ItemLink, then: dict[str, Any]) -> Step:
        return Step(link=link, then=then, entries=[unlinked(self.book, link)])


def _is_declined(link: ItemLink) -> bool:
    """Whether somebody was asked about many deletions, and said no."""
    return bool(link.question) and link.answer is False


def unlinked(book: Book, link: ItemLink) -> JournalEntry:
    return JournalEntry(
        mailbox_id=book.mailbox.pk,
        fence=book.claim.fence,
        kind=book.kind,
        key=link.key,
        item_id=link.item_id,
        action=JournalEntry.Action.UNLINKED,
        subject=link.subject,
    )
