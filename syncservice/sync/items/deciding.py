"""Decide what each due link needs: from the record, the item, and what both said before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models.functions import Now

from syncservice.crm.models import Appointment
from syncservice.domain import meeting
from syncservice.domain.faults import Fault, Nature, Provenance, Scope
from syncservice.domain.field_map import Direction, FieldSettings, RecordType, by_value, directions
from syncservice.domain.item_values import VALUES, ItemKind, Values, organizer_of, subject_of
from syncservice.domain.meeting import Action, CrmDeletion, Invitations, Meeting, Role, Withheld
from syncservice.domain.merge import (
    FILES,
    SERIES,
    Base,
    Policy,
    Precedence,
    applied,
    brings_back,
    merge,
    overruled,
)
from syncservice.mailboxes.models import FieldSetting, ItemLink
from syncservice.servers.gateway import (
    Activities,
    Deletion,
    Gone,
    Item,
    ItemChange,
    NewItem,
    NotRead,
)
from syncservice.sync.items import files
from syncservice.sync.items.book import Book
from syncservice.sync.items.duplicates import before_record
from syncservice.sync.items.leaving import Leaving, unlinked
from syncservice.sync.items.meetings import Meetings, has_attendees
from syncservice.sync.items.sight import Answer, Sight, look_at
from syncservice.sync.items.steps import Step

State = ItemLink.State
_CONFLICT = ItemLink.Question.SCHEDULING_CONFLICT


def decide(book: Book, gateway: Activities, links: Sequence[ItemLink], now: datetime) -> list[Step]:
    """Return a step for each link, or raise FaultError: what has to be known is asked for."""
    decider = Decider(book, look_at(book, gateway, links), now)
    return [decider.step(link) for link in links]


@dataclass(frozen=True, slots=True)
class _Pair:
    """A record and its item, both there, and what they said when they last agreed."""

    record: Any
    item: Item | None  # None: it has no news
    base: Base | None  # None: they never agreed
    is_called_already: bool  # in Outlook, whose copy counts in all: what it says is news
    crm: Values
    exchange: Values
    facts: Meeting | None  # None: it is no appointment
    is_organizers: bool | None  # of the item; None: nobody knows

    @property
    def is_anothers(self) -> bool:
        """Whether the mailbox's own appointment stands for a meeting that somebody else calls."""
        is_callers = self.facts is not None and self.facts.role is Role.ORGANIZER
        return self.facts is not None and self.is_organizers is True and not is_callers


class Decider:
    """Decides about the links of one mailbox that it has looked at."""

    def __init__(self, book: Book, sight: Sight, now: datetime) -> None:
        self._book = book
        self._sight = sight
        self._meetings = Meetings(book, sight.in_step, now)
        self._leaving = Leaving(book, sight, self._meetings)
        self._settings, self._policies = _organisation_wants(book)
        self._allowed_files = book.organisation.allowed_item_files

    def step(self, link: ItemLink) -> Step:
        record = self._sight.records.get(link.key)
        answer: Answer | None = self._sight.answers.get(link.item_id)
        if _is_asked(link, record):  # whatever made it due
            return Step(link=link, then={"due_at": None, "question": link.question})
        if isinstance(answer, NotRead):
            return Step(link=link, fault=answer.fault)
        if isinstance(answer, Gone):  # whether many are is asked before anything follows from it
            return Step(link=link, then={"is_removed": True, "due_at": Now()})
        if link.state == State.WANTED and answer is not None:
            return self._wanted(link, answer)
        if link.state in (State.CREATING, State.WAITING):
            return self._creating(link, record)
        if link.state == State.LINKED:
            return self._linked(link, record, answer)
        return Step(link=link, then={"due_at": None})  # nothing is to be done about it any more

    def _wanted(self, link: ItemLink, item: Item) -> Step:
        """A tracked item becomes a record, or turns out to be one already."""
        if self._book.leaves_alone(item.record_key):
            return Step(link=link, drops_link=True)  # another organisation was quicker
        if reason := self._refusal(link, item):
            return Step(link=link, then=_refused(reason))
        known = self._sight.meetings.get(item.uid)
        if known in self._sight.linked_meetings:
            return Step(link=link, drops_link=True)  # a second copy of the same meeting
        if known is not None:
            return Step(link=link, then={"key": known, "state": State.LINKED, "due_at": Now()})
        if not link.question and item.item_id in self._sight.overlapping:
            return Step(link=link, then={"question": _CONFLICT, "due_at": None})
        if (first := before_record(self._sight.alike, link, item)) is not None:
            return first
        step = Step(
            link=link,
            item=item,
            create_record=self._as_record(item),
            base=Base(item.values, item.values),
            uid=item.uid,
            then={"state": State.LINKED},
            finally_=_seen(item),
        )
        self._mark(step, item, item.values)
        return step

    def _refusal(self, link: ItemLink, item: Item) -> str:
        """Say why an item becomes no record; '': it does."""
        if item.unsupported or item.is_cancelled:
            return item.unsupported or "cancelled"
        if not item.is_organizer and not self._book.organisation.tracks_from_non_organizer:
            return "not_organizer"
        is_declined = link.question == _CONFLICT and link.answer is False
        return "scheduling_conflict" if is_declined else ""

    def _as_record(self, item: Item) -> Values:
        """Return the values of a new record; its organizer is the owner, whatever he is called.

        A mailbox may have another primary address than the one that we know.
        """
        own = self._meetings.own_addresses()
        called = organizer_of(item.values)
        if not item.is_organizer or not called or called in own:
            return item.values
        name = self._book.user.get_full_name()
        address = self._book.mailbox.email_address.lower()
        return {**item.values, "organizer": {"address": address, "name": name}}

    def _creating(self, link: ItemLink, record: Any) -> Step:
        """A record becomes an item, unless that is there already, or comes by invitation."""
        made = self._sight.made.get(link.key)
        if link.is_leaving and made is None:
            return Step(link=link, drops_link=True)
        found = {"state": State.LINKED, "due_at": Now()}
        if made is not None:
            found |= {"item_id": made.item_id, "seen_key": made.change_key}
            return Step(link=link, then=found)
        if invited := self._sight.invited.get(link.key):
            found |= {"item_id": invited, "seen_key": "", "base": None}
            return Step(link=link, then=found)
        if record is None:
            return Step(link=link, drops_link=True)
        values = self._sight.values[link.key]
        facts = self._facts(record, values)
        if facts is not None:
            withheld = meeting.withheld(
                organizer_of(values), is_draft=record.is_draft, saves_drafts=True
            )
            if withheld is Withheld.NO_ORGANIZER:
                return Step(link=link, fault=_NO_ORGANIZER)
            if withheld is not None:
                return Step(link=link, then={"due_at": None})
            is_off = _went_with_its_item(link, record)
            # A meeting whose UID is known is in Exchange already: made again, it would be another.
            is_there = bool(record.uid) and facts.has_attendees and not is_off
            if facts.role is Role.ATTENDEE or is_there:
                return Step(link=link, then={"state": State.WAITING, "due_at": None})
            if is_off and not facts.is_open:
                return Step(link=link, then={"state": State.DELETED, "due_at": None})
        return self._created(link, record, values, facts)

    def _created(self, link: ItemLink, record: Any, values: Values, facts: Meeting | None) -> Step:
        unset = VALUES[self._book.kind]
        kept = files.kept(values, self._allowed_files)
        merged = merge(
            None, kept, unset, self._directions(record, facts, values, unset), Precedence()
        )
        item = NewItem(
            record_key=self._book.record_key(link.key),
            values=applied(unset, merged.to_exchange),
            categories=(self._book.category,) if self._book.category else (),
            invitations=self._meetings.invitations(Action.CREATE, facts),
        )
        step = Step(
            link=link,
            record=record,
            create_item=item,
            attach=tuple(merged.to_exchange.get(FILES, ())),
            base=merged.base,
            # If nobody hears of it, this tells what is changed until it is found.
            then={"attempted_at": Now(), "base": merged.base.begun().stored()},
            finally_={"state": State.LINKED, "subject": subject_of(values), "is_organizers": True},
        )
        step.finally_ |= {"is_marked": True, "has_category": bool(self._book.category)}
        if facts is not None and facts.role is Role.ORGANIZER:
            # The UID that it has, if any, is that of an item which stands for it no more.
            step.reads_back = facts.has_attendees or bool(record.uid)
        return step

    def _linked(self, link: ItemLink, record: Any, item: Item | None) -> Step:
        """Bring both in step, unless one of them is gone."""
        if link.is_removed:
            return self._leaving.item_removed(link, record)
        if link.is_undone:
            return self._leaving.taken_back(link)
        if record is None and link.deleted_record is None and link.base is not None:
            return Step(link=link, then={"due_at": None})  # its deletion is noticed next
        if record is None:
            return self._leaving.record_deleted(link, item)
        if item is not None and item.unsupported:
            return Step(link=link, then=_refused(item.unsupported))
        if item is not None and item.is_cancelled:
            return self._leaving.called_off(link, record, item)
        pair = self._pair(link, record, item)
        if pair.is_anothers and self._sight.invited.get(link.key, link.item_id) != link.item_id:
            return self._leaving.superseded(link)
        if pair.is_anothers and record.uid and record.uid == link.uid:
            return self._handed_over(link, pair)
        if (off := self._cancellation(link, pair)) is not None:
            return off
        step = self._merged(link, pair)
        if link.is_leaving:
            step.finally_ |= {"state": State.UNLINKED, "is_leaving": False}
            step.entries.append(unlinked(self._book, link))
        return step

    def _pair(self, link: ItemLink, record: Any, item: Item | None) -> _Pair:
        base = None
        if link.base is not None:
            base = files.kept_base(Base.of(link.base), self._allowed_files)
        values = self._sight.values[link.key]
        is_organizers = link.is_organizers if item is None else item.is_organizer
        facts = self._facts(record, values, item_is_organizer=is_organizers)
        if item is None:
            assert base is not None, "an item without a base is read"
            exchange = base.exchange
        elif facts is None:
            exchange = item.values
        else:
            exchange = self._meetings.own_answer(facts, values, item)
            if has_attendees(exchange):
                facts = replace(facts, has_attendees=True)
        is_called = base is None and item is not None and _is_called_already(item, facts)
        if is_called:  # files that it doesn't speak of are none
            known = {name: value for name, value in values.items() if name != FILES}
            base = Base(known, known)
        return _Pair(record, item, base, is_called, values, exchange, facts, is_organizers)

    def _handed_over(self, link: ItemLink, pair: _Pair) -> Step:
        """Say that Exchange keeps the meeting with its former organizer, who may have to let go."""
        if not link.is_leaving:
            return Step(link=link, fault=_HANDED_OVER)
        then = {"state": State.UNLINKED, "is_leaving": False, "due_at": None}
        if has_attendees(pair.exchange):  # else the new one just gets his own
            then |= {"fault_code": _HANDED_OVER.code, "fault_text": _HANDED_OVER.text}
        return Step(link=link, then=then, entries=[unlinked(self._book, link)])

    def _cancellation(self, link: ItemLink, pair: _Pair) -> Step | None:
        """Call a meeting off that was canceled in the CRM, where that is to travel (F255)."""
        if pair.facts is None or pair.record.state != Appointment.State.CANCELED:
            return None
        asked = meeting.crm_cancellation(
            pair.facts,
            self._meetings.now,
            propagates_cancellations=self._book.organisation.propagates_cancellations,
        )
        if asked is None:
            return None
        cancels = asked is CrmDeletion.DELETE_AND_CANCEL
        step = Step(link=link, delete_item=Deletion(item_id=link.item_id, cancels=cancels))
        step.finally_ = {"state": State.DELETED, "item_id": ""}
        return step

    def _merged(self, link: ItemLink, pair: _Pair) -> Step:
        """Tell each side what the other one has changed."""
        record, item, facts = pair.record, pair.item, pair.facts
        merged = merge(
            pair.base,
            files.kept(pair.crm, self._allowed_files),
            pair.exchange,
            self._directions(record, facts, pair.crm, pair.exchange),
            self._precedence(pair),
        )
        told = files.with_kept_out(merged.to_crm, pair.crm, self._allowed_files)
        if facts is not None:
            told = self._meetings.heard_of_occurrences(facts, pair.crm, told)
        step = Step(
            link=link,
            record=record,
            item=item,
            change_record=told,
            base=merged.base,
            conflicts=overruled(pair.crm, pair.exchange, told)
            if pair.is_called_already
            else merged.conflicts,
        )
        if link.deleted_record is not None:
            step.finally_["deleted_record"] = None  # it came back
        changed = dict(merged.to_exchange)
        step.reads_back = brings_back(pair.exchange, changed)
        if step.reads_back:
            changed.setdefault(SERIES, pair.exchange[SERIES])
        whole = applied(pair.exchange, changed)
        if item is not None:
            step.finally_ |= _seen(item) | {"subject": subject_of(whole)}
        if FILES in changed:
            step.attach = files.without(changed[FILES], pair.exchange[FILES])
            step.detach = files.without(pair.exchange[FILES], changed[FILES])
        if changed:
            step.change_item = ItemChange(
                item_id=link.item_id,
                change_key=item.change_key if item is not None else link.change_key,
                values=changed,
                whole=whole,
                invitations=self._told_of_change(link, pair, whole, changed),
            )
        if facts is not None and not pair.is_anothers:
            uid = item.uid if item is not None else link.uid
            is_new = pair.is_organizers is True and uid != record.uid
            step.uid = uid if is_new or not record.uid else ""
            step.reads_back |= not record.uid and not uid and facts.has_attendees
        if item is not None and not link.is_marked:
            self._mark(step, item, whole)
        return step

    def _told_of_change(
        self, link: ItemLink, pair: _Pair, whole: Values, changed: Values
    ) -> Invitations:
        """Say who is told of a change; that two were found to be one is no change (P06, P07)."""
        if pair.facts is None or link.base is None:
            return Invitations.NOBODY
        had = has_attendees(pair.exchange) or has_attendees(whole)
        facts = replace(pair.facts, has_attendees=had)
        return self._meetings.invitations(Action.UPDATE, facts, changed)

    def _mark(self, step: Step, item: Item, whole: Values) -> None:
        """Put our key and category on the item: so it is known again, and people see it."""
        book = self._book
        key = book.record_key(step.link.key)
        categories = None
        if book.category and not book.is_tracked(item.categories):
            categories = (*item.categories, book.category)
        step.finally_ |= {"is_marked": True, "has_category": bool(book.category)}
        if item.record_key == key and categories is None:
            return
        change = step.change_item or ItemChange(
            item_id=item.item_id, change_key=item.change_key, values={}, whole=whole
        )
        step.change_item = replace(change, record_key=key, categories=categories)

    # Rules that need both sides

    def _facts(
        self, record: Any, values: Values, *, item_is_organizer: bool | None = None
    ) -> Meeting | None:
        """Say what the rules ask of an appointment; None: it is none."""
        if self._book.kind is not ItemKind.APPOINTMENT:
            return None
        return self._meetings.facts(record, values, item_is_organizer=item_is_organizer)

    def _directions(
        self, record: Any, facts: Meeting | None, values: Values, exchange: Values
    ) -> Mapping[str, Direction]:
        kind = RecordType(self._book.records.record_type(record))
        if kind is RecordType.APPOINTMENT and exchange.get("recurrence") is not None:
            kind = RecordType.RECURRING_APPOINTMENT  # it became a series in Exchange
        found = directions(kind, self._settings)
        if facts is None:
            return found
        in_step = self._meetings.is_in_step(values)
        return meeting.directions_in(facts, found, organizer_is_in_step=in_step)

    def _precedence(self, pair: _Pair) -> Precedence:
        otherwise = Policy.LATER
        if pair.facts is not None:
            in_step = self._meetings.is_in_step(pair.crm)
            otherwise = meeting.policy_in(pair.facts, otherwise, organizer_is_in_step=in_step)
        policies: dict[str, Policy] = {}
        if otherwise is Policy.LATER:
            kind = RecordType(self._book.records.record_type(pair.record))
            policies = by_value(kind, self._policies)
        return Precedence(
            policies=policies,
            otherwise=otherwise,
            crm_changed_at=pair.record.changed_at,
            exchange_changed_at=pair.item.changed_at if pair.item is not None else None,
        )


def _organisation_wants(book: Book) -> tuple[FieldSettings, dict[str, Policy]]:
    """Read what the organisation says of the field map (F190, 3K)."""
    rows = list(FieldSetting.objects.all())
    settings = FieldSettings(
        directions={row.mapping: Direction[row.direction] for row in rows if row.direction},
        attachments=book.organisation.synchronizes_attachments,
        three_addresses=book.organisation.three_contact_addresses,
    )
    return settings, {row.mapping: Policy(row.policy) for row in rows if row.policy}


def _went_with_its_item(link: ItemLink, record: Any) -> bool:
    """Whether the meeting of the record's UID went when it was called off in the CRM.

    Where a person took the item away, nothing is known any more of what both sides said.
    """
    was_its = link.is_organizers is True and bool(link.uid) and link.uid == record.uid
    return was_its and link.base is not None


def _is_asked(link: ItemLink, record: Any) -> bool:
    """Whether somebody is asked about it; not about a deletion when both sides are there again."""
    is_there = record is not None and not link.is_removed
    is_over = link.question == ItemLink.Question.MASS_DELETION and is_there
    return bool(link.question) and link.answer is None and not is_over


def _is_called_already(item: Item, facts: Meeting | None) -> bool:
    """Whether its organizer called the meeting in Outlook: that copy counts (3K).

    One that bears a key of ours was made of a record, which may have changed since.
    """
    is_organizers = facts is not None and facts.role is Role.ORGANIZER
    return is_organizers and not item.record_key and has_attendees(item.values)


def _seen(item: Item) -> dict[str, Any]:
    """Say of a link what its item was when it was read."""
    return {
        "change_key": item.change_key,
        "seen_key": item.change_key,
        "uid": item.uid,
        "is_organizers": item.is_organizer,
    }


def _refused(reason: str) -> dict[str, Any]:
    return {
        "state": State.REFUSED,
        "due_at": None,
        "fault_code": f"item.{reason}",
        "fault_text": _REASONS[reason],
    }


_REASONS = {
    "recurring_task": "recurring tasks are not kept in step; make single tasks of it",
    "cancelled": "its organizer has called the meeting off",
    "assigned_task": "tasks that are assigned to others are not kept in step",
    "scheduling_conflict": "it overlaps another appointment, and its owner declined it",
    "not_organizer": "the organisation lets only the organizer of a meeting track it",
}
_HANDED_OVER = Fault(
    code="item.handed_over",
    nature=Nature.PERMANENT,
    scope=Scope.EMAIL,
    provenance=Provenance.US,
    text="the meeting has another organizer in the CRM, and Exchange can't hand a meeting over; "
    "cancel it, and let the new organizer call another one",
)
_NO_ORGANIZER = Fault(
    code="item.no_organizer",
    nature=Nature.PERMANENT,
    scope=Scope.EMAIL,
    provenance=Provenance.US,
    text="the appointment has no organizer; enter one, and it comes to the calendar",
)
