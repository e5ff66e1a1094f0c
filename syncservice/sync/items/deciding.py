"""Decide what each due link needs: from the record, the item, and what both said before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models.functions import Lower, Now

from syncservice.crm.models import Appointment
from syncservice.domain import item_deletion, meeting, recurrence
from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.domain.field_map import Direction, FieldSettings, RecordType, by_value, directions
from syncservice.domain.item_values import VALUES, ItemKind, Values
from syncservice.domain.meeting import (
    Action,
    CrmDeletion,
    ExchangeDeletion,
    Invitations,
    Meeting,
    Role,
    Withheld,
)
from syncservice.domain.merge import FILES, Base, Policy, Precedence, applied, merge
from syncservice.domain.recurrence import Recurrence
from syncservice.mailboxes.models import (
    FieldSetting,
    ItemLink,
    JournalEntry,
    Lane,
    Schedule,
    SeenAppointment,
)
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
from syncservice.sync.items.overlaps import overlapping
from syncservice.sync.items.steps import Step

State = ItemLink.State


class Decider:
    """Decides about a batch of links; what several of them ask for is asked for once."""

    def __init__(self, book: Book, gateway: Activities, now: datetime) -> None:
        self._book = book
        self._gateway = gateway
        self._now = now
        self._settings, self._policies = _organisation_wants(book)
        self._allowed_files = book.organisation.allowed_item_files

    def decide(self, links: Sequence[ItemLink]) -> list[Step]:
        """Return a step for each link; what has to be known of the mailbox is read."""
        book = self._book
        records = book.records.load([link.key for link in links])
        self._values = {key: book.records.values(one, book.user) for key, one in records.items()}
        self._in_step = self._organizers_in_step()
        self._sights = self._sights_of(links)
        self._made = self._made_before(links)
        items = self._read(links)
        self._look_at_wanted(links, items)
        return [self._step(link, records.get(link.key), items.get(link.item_id)) for link in links]

    # What is asked for once

    def _organizers_in_step(self) -> set[str]:
        """Return the organizers whose own mailbox is kept in step: that one invites."""
        if self._book.kind is not ItemKind.APPOINTMENT:
            return set()
        asked = {organizer_of(values) for values in self._values.values()} - {""}
        found = Schedule.objects.filter(lane=Lane.ACT, due_at__isnull=False)
        found = found.exclude(mailbox=self._book.mailbox.pk).annotate(
            address=Lower("mailbox__email_address")
        )
        return set(found.filter(address__in=asked).values_list("address", flat=True))

    def _sights_of(self, links: Sequence[ItemLink]) -> dict[UUID, str]:
        """Find the appointments that wait for their record: a meeting that came by invitation."""
        if self._book.kind is not ItemKind.APPOINTMENT:
            return {}
        asked = [link.key for link in links if link.state in (State.CREATING, State.WAITING)]
        uids = dict(
            Appointment.objects.filter(pk__in=asked).exclude(uid="").values_list("uid", "pk")
        )
        seen = SeenAppointment.objects.filter(mailbox=self._book.mailbox.pk, uid__in=uids)
        return {uids[sight.uid]: sight.item_id for sight in seen}

    def _made_before(self, links: Sequence[ItemLink]) -> dict[UUID, Any]:
        """Look for the items of attempts whose answer was lost: none is made twice."""
        book = self._book
        lost = [link for link in links if link.state == State.CREATING and link.attempted_at]
        found = (
            self._gateway.find(book.kind, [book.record_key(link.key) for link in lost])
            if lost
            else ()
        )
        return {key: item for item in found if (key := book.key_of(item.record_key)) is not None}

    def _read(self, links: Sequence[ItemLink]) -> dict[str, Item | NotRead | Gone]:
        wanted = [
            link.item_id
            for link in links
            if link.item_id
            and link.state in (State.WANTED, State.LINKED)
            and not link.is_removed
            and link.deleted_record is None
            and (link.base is None or link.seen_key != link.change_key)
        ]
        found: dict[str, Item | NotRead | Gone] = {}
        for answer in self._gateway.read(self._book.kind, wanted) if wanted else ():
            if isinstance(answer, NotRead) and answer.fault.scope is not Scope.EMAIL:
                raise FaultError(answer.fault)
            found[answer.item_id] = answer
        return {
            item_id: found.get(item_id) or NotRead(item_id, _NOT_ANSWERED) for item_id in wanted
        }

    def _look_at_wanted(
        self, links: Sequence[ItemLink], answers: Mapping[str, Item | NotRead | Gone]
    ) -> None:
        """Find what the appointments that are to become records may be already, and overlap."""
        wanted = [
            answer
            for link in links
            if link.state == State.WANTED and isinstance(answer := answers.get(link.item_id), Item)
        ]
        self._overlapping = overlapping(self._book, wanted)
        self._meetings: dict[str, UUID] = {}
        self._linked_meetings: set[UUID] = set()
        uids = {item.uid for item in wanted} - {""}
        if self._book.kind is ItemKind.APPOINTMENT and uids:
            self._meetings = dict(Appointment.objects.filter(uid__in=uids).values_list("uid", "pk"))
        if self._meetings:
            linked = self._book.links.filter(key__in=self._meetings.values())
            self._linked_meetings = set(linked.values_list("key", flat=True))

    # One link

    def _step(self, link: ItemLink, record: Any, answer: Item | NotRead | Gone | None) -> Step:
        if link.question and link.answer is None:  # whatever made it due: somebody is asked
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
            if link.is_removed:
                return self._removed(link, record)
            if link.is_undone:
                return self._undone(link)
            if record is None and link.deleted_record is None and link.base is not None:
                return Step(link=link, then={"due_at": None})  # its deletion is noticed next
            if record is None:
                return self._record_deleted(link)
            return self._linked(link, record, answer)
        return Step(link=link, then={"due_at": None})  # nothing is to be done about it any more

    def _wanted(self, link: ItemLink, item: Item) -> Step:
        """A tracked item becomes a record, or turns out to be one already."""
        if item.unsupported or item.is_cancelled:
            return Step(link=link, then=_refused(item.unsupported or "cancelled"))
        known = self._meetings.get(item.uid)
        if known is not None:
            if known in self._linked_meetings:
                return Step(link=link, drops_link=True)  # a second copy of the same meeting
            return Step(link=link, then={"key": known, "state": State.LINKED, "due_at": Now()})
        if not link.question and item.item_id in self._overlapping:
            return Step(
                link=link,
                then={"question": ItemLink.Question.SCHEDULING_CONFLICT, "due_at": None},
            )
        if link.question and link.answer is False:
            return Step(link=link, then=_refused("scheduling_conflict"))
        step = Step(
            link=link,
            item=item,
            create_record=item.values,
            base=Base(item.values, item.values),
            uid=item.uid,
            then={"state": State.LINKED},
        )
        self._mark(step, item, item.values)
        step.finally_ |= {"change_key": item.change_key, "seen_key": item.change_key}
        return step

    def _creating(self, link: ItemLink, record: Any) -> Step:
        made = self._made.get(link.key)
        if link.is_leaving and not made:
            return Step(link=link, drops_link=True)
        found = made.item_id if made else self._sights.get(link.key, "")
        if found:
            fields = {"item_id": found, "seen_key": "", "state": State.LINKED, "due_at": Now()}
            return Step(link=link, then=fields)
        if record is None:
            return Step(link=link, drops_link=True)
        values = self._values[link.key]
        facts = self._facts(link, record, values, None)
        if facts is not None:
            is_draft = bool(record.is_draft)
            withheld = meeting.withheld(organizer_of(values), is_draft=is_draft, saves_drafts=True)
            if withheld is Withheld.NO_ORGANIZER:
                return Step(link=link, fault=_NO_ORGANIZER)
            if withheld is not None:
                return Step(link=link, then={"due_at": None})
            # A meeting whose UID is known is in Exchange already: made again, it would be another.
            if facts.role is Role.ATTENDEE or record.uid:
                return Step(link=link, then={"state": State.WAITING, "due_at": None})
        unset = VALUES[self._book.kind]
        ways = self._directions(record, facts, values, unset)
        kept = files.kept(values, self._allowed_files)
        merged = merge(None, kept, unset, ways, Precedence())
        item = NewItem(
            record_key=self._book.record_key(link.key),
            values=applied(unset, merged.to_exchange),
            categories=(self._book.category,) if self._book.category else (),
            invitations=self._invitations(Action.CREATE, facts),
        )
        step = Step(
            link=link,
            record=record,
            create_item=item,
            attach=tuple(merged.to_exchange.get(FILES, ())),
            base=merged.base,
            then={"attempted_at": Now()},
            finally_={"state": State.LINKED, "is_marked": True, "subject": subject_of(values)},
        )
        if facts is not None and facts.role is Role.ORGANIZER and facts.has_attendees:
            step.learns_uid = not record.uid
        return step

    def _linked(self, link: ItemLink, record: Any, item: Item | None) -> Step:
        """Bring both in step."""
        if item is not None and item.unsupported:
            return Step(link=link, then=_refused(item.unsupported))
        base = None
        if link.base is not None:
            base = files.kept_base(Base.of(link.base), self._allowed_files)
        if item is not None:
            exchange = item.values
        else:
            assert base is not None, "an item without a base is read"
            exchange = base.exchange
        values = self._values[link.key]
        facts = self._facts(link, record, values, exchange)
        if item is not None and item.is_cancelled and facts is not None:
            return self._cancelled(link, record, item, facts)
        step = self._merged(link, record, item, base, values, exchange, facts)
        if link.is_leaving:
            step.finally_ |= {"state": State.UNLINKED, "is_leaving": False}
            step.entries.append(self._unlinked(link))
        told = step.change_item.values if step.change_item else {}
        if facts is not None and told.get("show_as") == "free" and not facts.is_open:
            asked = meeting.crm_cancellation(
                facts,
                self._now,
                propagates_cancellations=self._book.organisation.propagates_cancellations,
            )
            if asked is not None and _is_canceled(record):
                step.change_item = None
                step.delete_item = Deletion(
                    item_id=link.item_id, cancels=asked is CrmDeletion.DELETE_AND_CANCEL
                )
                step.finally_ = {"state": State.DELETED, "item_id": ""}
        return step

    def _merged(
        self,
        link: ItemLink,
        record: Any,
        item: Item | None,
        base: Base | None,
        values: Values,
        exchange: Values,
        facts: Meeting | None,
    ) -> Step:
        if base is None and item is not None and self._is_called_already(item, facts):
            base = Base(values, values)  # all that Exchange says is news
        merged = merge(
            base,
            files.kept(values, self._allowed_files),
            exchange,
            self._directions(record, facts, values, exchange),
            self._precedence(record, item, facts, values),
        )
        step = Step(
            link=link,
            record=record,
            item=item,
            change_record=files.with_kept_out(merged.to_crm, values, self._allowed_files),
            base=merged.base,
            conflicts=merged.conflicts,
        )
        changed = dict(merged.to_exchange)
        whole = applied(exchange, changed)
        if item is not None:
            step.finally_ = {"change_key": item.change_key, "uid": item.uid or link.uid}
            step.finally_ |= {"seen_key": item.change_key, "subject": subject_of(whole)}
        if FILES in changed:
            step.attach = files.without(changed[FILES], exchange[FILES])
            step.detach = files.without(exchange[FILES], changed[FILES])
        if changed:
            had = _has_attendees(exchange) or _has_attendees(whole)
            facts = facts and replace(facts, has_attendees=had)
            step.change_item = ItemChange(
                item_id=link.item_id,
                change_key=item.change_key if item is not None else link.change_key,
                values=changed,
                whole=whole,
                invitations=self._invitations(Action.UPDATE, facts, changed),
            )
        if facts is not None and facts.role is not Role.OWN_COPY and not record.uid:
            step.uid = item.uid if item is not None else link.uid
            step.learns_uid = not step.uid and facts.has_attendees
        if item is not None and not link.is_marked:
            self._mark(step, item, whole)
        return step

    def _is_called_already(self, item: Item, facts: Meeting | None) -> bool:
        """Whether its organizer called the meeting in Outlook: that copy counts (3K).

        What a record lacks or has besides is no reason to tell all attendees of a change. One that
        bears a key of ours was made of a record, which may have changed since.
        """
        is_organizers = facts is not None and facts.role is Role.ORGANIZER
        return is_organizers and not item.record_key and _has_attendees(item.values)

    def _mark(self, step: Step, item: Item, whole: Values) -> None:
        """Put our key and category on the item: so it is known again, and people see it."""
        book = self._book
        key = book.record_key(step.link.key)
        categories = None
        if book.category and not book.is_tracked(item.categories):
            categories = (*item.categories, book.category)
        step.finally_["is_marked"] = True
        if item.record_key == key and categories is None:
            return
        change = step.change_item or ItemChange(
            item_id=item.item_id, change_key=item.change_key, values={}, whole=whole
        )
        step.change_item = replace(change, record_key=key, categories=categories)

    def _cancelled(self, link: ItemLink, record: Any, item: Item, facts: Meeting) -> Step:
        """Its organizer called the meeting off; what is left of it is the attendee's."""
        step = Step(link=link, record=record, item=item)
        step.finally_ = {"state": State.UNLINKED, "by_filter": False}
        step.finally_ |= {"change_key": item.change_key, "seen_key": item.change_key}
        decided = meeting.exchange_cancellation(
            facts, self._now, organizer_is_in_step=self._is_in_step(self._values[link.key])
        )
        others = ItemLink.objects.filter(kind=link.kind, key=link.key, state=State.LINKED)
        is_anothers = others.exclude(pk=link.pk).exists()  # only this one may have been taken off
        if decided is ExchangeDeletion.CANCEL and not is_anothers:
            step.cancel_record = True
        return step

    def _undone(self, link: ItemLink) -> Step:
        """Somebody takes back that the item was made: it goes, and nobody is told by mail."""
        step = Step(link=link, delete_item=Deletion(item_id=link.item_id))
        step.finally_ = _left(State.DELETED) | {"is_undone": False}
        return step

    def _removed(self, link: ItemLink, record: Any) -> Step:
        """The item was deleted in the mailbox, or moved out of its folder."""
        if record is None or link.state == State.WANTED:
            return Step(link=link, drops_link=True)
        if self._deletes_record(link, record):
            if link.question and link.answer is False:
                return Step(link=link, then=_left(State.UNLINKED) | {"by_filter": False})
            return Step(link=link, record=record, delete_record=True, drops_link=True)
        step = Step(link=link, then=_left(State.DELETED))
        step.entries.append(self._unlinked(link))
        return step

    def _deletes_record(self, link: ItemLink, record: Any) -> bool:
        if self._book.kind is ItemKind.CONTACT:
            return item_deletion.contact_leaves_crm()
        if self._book.kind is ItemKind.TASK:
            return item_deletion.task_leaves_crm()
        values = self._values[link.key]
        exchange = Base.of(link.base).exchange if link.base else values
        facts = self._facts(link, record, values, exchange)
        assert facts is not None
        return meeting.exchange_deletion(facts, self._now) is ExchangeDeletion.DELETE

    def _record_deleted(self, link: ItemLink) -> Step:
        """The record was deleted in the CRM."""
        exchange = Base.of(link.base).exchange if link.base else {}
        decided = self._deletes_item(link, exchange)
        if decided is CrmDeletion.UNLINK or (link.question and link.answer is False):
            step = Step(link=link, then=_left(State.UNLINKED) | {"item_id": link.item_id})
            step.entries.append(self._unlinked(link))
            return step
        cancels = decided is CrmDeletion.DELETE_AND_CANCEL
        return Step(
            link=link,
            delete_item=Deletion(item_id=link.item_id, cancels=cancels),
            drops_link=True,
        )

    def _deletes_item(self, link: ItemLink, exchange: Values) -> CrmDeletion:
        left = link.deleted_record
        if not left or not exchange:
            return CrmDeletion.UNLINK  # nobody knows what it was
        if self._book.kind is ItemKind.CONTACT:
            leaves = item_deletion.contact_leaves_exchange(
                owns_record=left.get("owner") == self._book.user.pk
            )
            return CrmDeletion.DELETE if leaves else CrmDeletion.UNLINK
        if self._book.kind is ItemKind.TASK:
            leaves = item_deletion.task_leaves_exchange(exchange.get("status", ""))
            return CrmDeletion.DELETE if leaves else CrmDeletion.UNLINK
        facts = self._facts_of_values(
            exchange,
            exchange,
            organizes=left.get("organizer") == self._book.user.pk,
            is_service=left.get("kind") == RecordType.SERVICE_ACTIVITY,
        )
        return meeting.crm_deletion(facts, self._now, is_logical=False)

    def _unlinked(self, link: ItemLink) -> JournalEntry:
        return JournalEntry(
            mailbox_id=self._book.mailbox.pk,
            fence=self._book.claim.fence,
            kind=self._book.kind,
            key=link.key,
            item_id=link.item_id,
            action=JournalEntry.Action.UNLINKED,
            subject=link.subject,
        )

    # What the rules of meetings ask for

    def _facts(
        self, link: ItemLink, record: Any, values: Values, exchange: Values | None
    ) -> Meeting | None:
        """Say what the rules ask of an appointment; None: it is none."""
        if self._book.kind is not ItemKind.APPOINTMENT:
            return None
        facts = self._facts_of_values(
            values,
            exchange,
            organizes=organizer_of(values) in self._own_addresses(),
            is_service=self._book.records.record_type(record) == RecordType.SERVICE_ACTIVITY,
        )
        state = record.state
        is_open = state not in (Appointment.State.COMPLETED, Appointment.State.CANCELED)
        return replace(facts, is_open=is_open)

    def _facts_of_values(
        self, values: Values, exchange: Values | None, *, organizes: bool, is_service: bool
    ) -> Meeting:
        own = self._own_addresses()
        is_organizer = None
        if exchange is not None and organizer_of(exchange):
            is_organizer = organizer_of(exchange) in own
        role = meeting.role(
            organizer=next(iter(own)) if organizes else organizer_of(values),
            owner=own,
            organizer_is_in_step=self._is_in_step(values),
            item_is_organizer=is_organizer,
            is_service_activity=is_service,
        )
        return Meeting(
            role=role,
            has_attendees=_has_attendees(values) and not is_service,
            is_series=values.get("recurrence") is not None,
            last_start=_last_start(values),
            is_service_activity=is_service,
        )

    def _own_addresses(self) -> set[str]:
        own = {self._book.mailbox.email_address.lower(), self._book.user.email.lower()}
        return own - {""}

    def _is_in_step(self, values: Values) -> bool:
        return organizer_of(values) in self._in_step

    def _invitations(
        self, action: Action, facts: Meeting | None, changed: Iterable[str] = ()
    ) -> Invitations:
        if facts is None:
            return Invitations.NOBODY
        return meeting.invitations(action, facts, self._now, changed=list(changed))

    def _directions(
        self, record: Any, facts: Meeting | None, values: Values, exchange: Values
    ) -> Mapping[str, Direction]:
        kind = RecordType(self._book.records.record_type(record))
        if kind is RecordType.APPOINTMENT and exchange.get("recurrence") is not None:
            kind = RecordType.RECURRING_APPOINTMENT  # it became a series in Exchange
        found = directions(kind, self._settings)
        if facts is None:
            return found
        return meeting.directions_in(facts, found, organizer_is_in_step=self._is_in_step(values))

    def _precedence(
        self, record: Any, item: Item | None, facts: Meeting | None, values: Values
    ) -> Precedence:
        otherwise = Policy.LATER
        policies: dict[str, Policy] = {}
        kind = RecordType(self._book.records.record_type(record))
        if facts is not None:
            otherwise = meeting.policy_in(
                facts, otherwise, organizer_is_in_step=self._is_in_step(values)
            )
        if facts is None or otherwise is Policy.LATER:
            policies = by_value(kind, self._policies)
        return Precedence(
            policies=policies,
            otherwise=otherwise,
            crm_changed_at=record.changed_at,
            exchange_changed_at=item.changed_at if item is not None else None,
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


def organizer_of(values: Values) -> str:
    organizer = values.get("organizer")
    return str(organizer["address"]).lower() if organizer else ""


def subject_of(values: Values) -> str:
    name = values.get("full_name")
    if name:
        return " ".join(filter(None, (name["first"], name["middle"], name["last"])))
    return str(values.get("subject") or "")


def _has_attendees(values: Values) -> bool:
    return bool(values.get("required") or values.get("optional"))


def _last_start(values: Values) -> datetime | None:
    """Return when it begins, a series for the last time; None: it has no end."""
    time = values.get("time")
    if not time:
        return None
    starts, ends = (datetime.fromisoformat(time[name]) for name in ("start", "end"))
    if values.get("recurrence") is None:
        return starts
    last = recurrence.ends_at(Recurrence.of_value(values["recurrence"]), time, time["zone"])
    return last - (ends - starts) if last is not None else None


def _is_canceled(record: Any) -> bool:
    return bool(record.state == Appointment.State.CANCELED)


def _left(state: ItemLink.State) -> dict[str, Any]:
    """Say of a link that it is kept in step no longer."""
    return {
        "state": state,
        "item_id": "",
        "base": None,
        "due_at": None,
        "deleted_record": None,
        "question": "",
        "answer": None,
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
}
_NO_ORGANIZER = Fault(
    code="item.no_organizer",
    nature=Nature.PERMANENT,
    scope=Scope.EMAIL,
    provenance=Provenance.US,
    text="the appointment has no organizer; enter one, and it comes to the calendar",
)
_NOT_ANSWERED = Fault(
    code="item.not_answered",
    nature=Nature.TRANSIENT,
    scope=Scope.EMAIL,
    provenance=Provenance.US,
    text="the server was asked for this item and did not answer for it",
)
