"""Notice what changed in the CRM: links become due, and the position moves with them."""

from collections.abc import Collection, Mapping
from uuid import UUID

from django.db.models.functions import Now

from syncservice.crm import changes
from syncservice.crm.models import AppointmentParty
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes.models import ItemLink, ItemProgress, MailboxMapping
from syncservice.mailboxes.schedule import fenced
from syncservice.sync.items.book import Book
from syncservice.sync.items.links import creation
from syncservice.sync.items.sight import inviting

State, First = ItemLink.State, ItemProgress.First
#: Changes that are looked at in one transaction.
RECORDS_AT_ONCE = 500
#: Records that other filters may select besides before that is looked at as a beginning is.
NEW_UNASKED = 10


def notice_records(book: Book, progress: ItemProgress) -> bool:
    """Make the links of what changed in the CRM due; True when more is left.

    When the filters are others than before, everything is compared with them once. Many records
    that they select besides wait until that is looked at as a beginning is; the others don't.
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
            _hold_many(progress, len(selected - linked))
            _notice_missing(book, linked)
            keys = selected | linked
        else:
            keys = found.records.keys() - deleted
            selected = book.records.keys_selected(book.user, keys) if keys else set()
        if progress.first != First.DONE:
            selected &= set(book.links.filter(key__in=selected).values_list("key", flat=True))
        notice_keys(book, keys, selected)
        if book.kind is ItemKind.APPOINTMENT:
            _release_waiting(book)
        progress.position, progress.filters = position, filters
        ItemProgress.objects.filter(pk=progress.pk).update(position=position, filters=filters)
    return not is_last


def _hold_many(progress: ItemProgress, number: int) -> None:
    """Have it looked at as a beginning that records come which nobody asked for, when it is many.

    What somebody is asked, or has declined, stays so until it is few.
    """
    first = progress.first
    if number <= NEW_UNASKED:
        first = First.DONE
    elif first == First.DONE:
        first = First.NEW
    as_read = ItemProgress.objects.filter(pk=progress.pk, first=progress.first)
    as_read.update(first=first)  # unless somebody answers just now
    progress.first = first


def notice_keys(book: Book, keys: Collection[UUID], selected: Collection[UUID]) -> None:
    """Let links follow what the filters say of these records; to be called `fenced` (F184, F206).

    Who falls out is unlinked, never deleted, once the change that did it has travelled. What a
    person tracked stays linked whatever they say, and what he untracked unlinked.
    """
    links = {link.key: link for link in book.links.filter(key__in=keys)}
    due, leaving, dropped, again, called_off = [], [], [], [], []
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
        elif link.state == State.DELETED and link.base and (is_selected or not link.by_filter):
            called_off.append(link.pk)  # in the CRM, where it may be taken up again
    book.links.filter(pk__in=due).update(due_at=Now(), attempts=0, is_leaving=False)
    book.links.filter(pk__in=leaving).update(due_at=Now(), attempts=0, is_leaving=True)
    book.links.filter(pk__in=dropped).delete()
    book.links.filter(pk__in=called_off).update(state=State.CREATING, due_at=Now(), attempts=0)
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
    ItemLink.objects.bulk_create(creation(book, key) for key in selected if key not in links)


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
        elif link.state not in (State.WANTED, State.UNLINKED):  # these know an item that is left
            link.delete()


def _release_waiting(book: Book) -> None:
    """Let nobody wait for the invitation of an organizer whose lane brings none any more."""
    waiting = book.links.filter(state=State.WAITING, due_at=None).values("key")
    organizers = AppointmentParty.objects.filter(
        participation=AppointmentParty.Participation.ORGANIZER, appointment__in=waiting
    )
    owners = MailboxMapping.objects.filter(
        mailbox__in=inviting(book), ended_at=None, user__isnull=False
    )
    in_vain = organizers.exclude(user__in=owners.values("user")).filter(appointment__uid="")
    released = book.links.filter(state=State.WAITING, key__in=in_vain.values("appointment"))
    released.update(due_at=Now(), attempts=0)
