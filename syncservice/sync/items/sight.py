"""What is known of a batch of links when it is decided about: asked for once, for all of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Lower

from syncservice.crm.models import Appointment
from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.domain.item_values import ItemKind, Values, organizer_of
from syncservice.mailboxes.models import ItemLink, ItemProgress, Lane, Mailbox, SeenAppointment
from syncservice.servers.gateway import Activities, Gone, Item, ListedItem, NotRead
from syncservice.sync.items.book import Book
from syncservice.sync.items.duplicates import Alike, look
from syncservice.sync.items.overlaps import overlapping

State = ItemLink.State
Answer: TypeAlias = Item | NotRead | Gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Both sides of some links, as far as they have to be looked at."""

    records: Mapping[UUID, Any]  # by key; those that are there
    values: Mapping[UUID, Values]  # of the records
    answers: Mapping[str, Answer]  # by item id; of the items that have news
    #: Items of attempts without an answer.
    made: Mapping[UUID, ListedItem] = field(default_factory=dict)
    #: Appointments by their UID: an item that a record waits for, and the record of an item.
    invited: Mapping[UUID, str] = field(default_factory=dict)
    meetings: Mapping[str, UUID] = field(default_factory=dict)
    linked_meetings: frozenset[UUID] = frozenset()  # of `meetings`: the mailbox has them already
    overlapping: frozenset[str] = frozenset()  # items that nobody should track unasked
    in_step: frozenset[str] = frozenset()  # organizers whose own mailbox invites
    alike: Alike = field(default_factory=Alike)  # of contacts: records that they may be


def look_at(book: Book, gateway: Activities, links: Sequence[ItemLink]) -> Sight:
    """Look at both sides of links, or raise FaultError."""
    records = book.records.load([link.key for link in links])
    values = {key: book.records.values(one, book.user) for key, one in records.items()}
    made = _made_before(book, gateway, links)
    answers = _read(book, gateway, links)
    becoming = [
        (link, answer)
        for link in links
        if link.state == State.WANTED and isinstance(answer := answers.get(link.item_id), Item)
    ]
    if book.kind is not ItemKind.APPOINTMENT:
        alike = look(book, becoming)
        return Sight(records=records, values=values, answers=answers, made=made, alike=alike)
    wanted = [item for _, item in becoming]
    uids = {item.uid for item in wanted} - {""}
    known = Appointment.objects.filter(uid__in=uids).values_list("uid", "pk") if uids else ()
    meetings = dict(known)
    linked = book.links.filter(key__in=meetings.values()) if meetings else ItemLink.objects.none()
    asked = {organizer_of(one) for one in values.values()} - {""}
    return Sight(
        records=records,
        values=values,
        answers=answers,
        made=made,
        invited=_invited(book, records),
        meetings=meetings,
        linked_meetings=frozenset(linked.values_list("key", flat=True)),
        overlapping=frozenset(overlapping(book, wanted)),
        in_step=frozenset(asked.intersection(_addresses_of(inviting(book), asked))),
    )


def _addresses_of(mailboxes: QuerySet[Mailbox], among: Collection[str]) -> set[str]:
    named = mailboxes.annotate(address=Lower("email_address"))
    return set(named.filter(address__in=among).values_list("address", flat=True))


def inviting(book: Book) -> QuerySet[Mailbox]:
    """Return the other mailboxes whose own lane brings meetings to people.

    One that has not begun, for it waits for somebody's word or was declined, brings none.
    """
    held = ItemProgress.objects.filter(
        kind=ItemKind.APPOINTMENT,
        position="",
        first__in=(ItemProgress.First.ASKING, ItemProgress.First.DECLINED),
    )
    others = Mailbox.objects.exclude(pk=book.mailbox.pk).exclude(pk__in=held.values("mailbox"))
    return others.filter(schedules__lane=Lane.ACT, schedules__due_at__isnull=False)


def _invited(book: Book, records: Mapping[UUID, Any]) -> dict[UUID, str]:
    """Find the appointments that came by invitation before anybody knew whose they are."""
    uids = {record.uid: key for key, record in records.items() if record.uid}
    seen = SeenAppointment.objects.filter(mailbox=book.mailbox.pk, uid__in=uids)
    return {uids[sight.uid]: sight.item_id for sight in seen}


def _made_before(
    book: Book, gateway: Activities, links: Sequence[ItemLink]
) -> dict[UUID, ListedItem]:
    """Look for the items of attempts whose answer was lost: none is made twice."""
    lost = [
        book.record_key(link.key)
        for link in links
        if link.state == State.CREATING and link.attempted_at
    ]
    found = gateway.find(book.kind, lost) if lost else ()
    return {key: item for item in found if (key := book.key_of(item.record_key)) is not None}


def _read(book: Book, gateway: Activities, links: Sequence[ItemLink]) -> dict[str, Answer]:
    """Read the items that have news; what the server doesn't answer for is NotRead."""
    wanted = [
        link.item_id
        for link in links
        if link.item_id
        and link.state in (State.WANTED, State.LINKED)
        and not link.is_removed
        and (link.base is None or not link.is_marked or link.seen_key != link.change_key)
    ]
    found: dict[str, Answer] = {}
    for answer in gateway.read(book.kind, wanted) if wanted else ():
        if isinstance(answer, NotRead) and answer.fault.scope is not Scope.EMAIL:
            raise FaultError(answer.fault)
        found[answer.item_id] = answer
    return {one: found.get(one) or NotRead(one, _NOT_ANSWERED) for one in wanted}


_NOT_ANSWERED = Fault(
    code="item.not_answered",
    nature=Nature.TRANSIENT,
    scope=Scope.EMAIL,
    provenance=Provenance.US,
    text="the server was asked for this item and did not answer for it",
)
