"""What the rules of meetings ask for, seen from one mailbox (3G, 3H, 3K)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from syncservice.crm.models import Appointment
from syncservice.domain import meeting, recurrence
from syncservice.domain.field_map import RecordType
from syncservice.domain.item_values import DELETED, OCCURRENCE, Value, Values, organizer_of
from syncservice.domain.meeting import Action, ExchangeDeletion, Invitations, Meeting, Role
from syncservice.domain.recurrence import Recurrence
from syncservice.mailboxes.models import ItemLink
from syncservice.servers.gateway import Item
from syncservice.sync.items.book import Book

_CLOSED = (Appointment.State.COMPLETED, Appointment.State.CANCELED)


@dataclass(frozen=True, slots=True)
class Meetings:
    """The rules, for one mailbox at one moment; `in_step`: organizers whose own mailbox invites."""

    book: Book
    in_step: Collection[str]
    now: datetime

    def facts(
        self, record: Any, values: Values, *, item_is_organizer: bool | None = None
    ) -> Meeting:
        """Say what the rules ask of an appointment; of the item, whether it is its organizer's.

        None: there is no item, or nobody has read it yet.
        """
        is_service = self.book.records.record_type(record) == RecordType.SERVICE_ACTIVITY
        is_user = self.book.records.organizer_id(record) == self.book.user.pk
        organizes = is_user or organizer_of(values) in self.own_addresses()
        facts = self._facts(values, item_is_organizer, organizes=organizes, is_service=is_service)
        return replace(facts, is_open=record.state not in _CLOSED)

    def facts_of_deleted(self, link: ItemLink, exchange: Values) -> Meeting:
        """Say the same of one whose record is gone: what is left of it, and the item's values."""
        left = link.deleted_record or {}
        organizes = left.get("organizer") == self.book.user.pk
        role_is_plain = not organizes and link.is_organizers is not False
        facts = self._facts(
            exchange,
            link.is_organizers,
            organizes=organizes,
            is_service=left.get("kind") == RecordType.SERVICE_ACTIVITY,
        )
        # A plain copy of somebody else's meeting names the mailbox's owner, who did not call it.
        return replace(facts, role=Role.OWN_COPY) if role_is_plain else facts

    def _facts(
        self, values: Values, item_is_organizer: bool | None, *, organizes: bool, is_service: bool
    ) -> Meeting:
        own = self.own_addresses()
        role = meeting.role(
            organizer=next(iter(own)) if organizes else organizer_of(values),
            owner=own,
            organizer_is_in_step=self.is_in_step(values),
            item_is_organizer=item_is_organizer,
            is_service_activity=is_service,
        )
        return Meeting(
            role=role,
            has_attendees=has_attendees(values) and not is_service,
            is_series=values.get("recurrence") is not None,
            last_start=_last_start(values),
            is_service_activity=is_service,
        )

    def own_addresses(self) -> set[str]:
        own = {self.book.mailbox.email_address.lower(), self.book.user.email.lower()}
        return own - {""}

    def is_in_step(self, values: Values) -> bool:
        return organizer_of(values) in self.in_step

    def invitations(
        self, action: Action, facts: Meeting | None, changed: Iterable[str] = ()
    ) -> Invitations:
        if facts is None:
            return Invitations.NOBODY
        return meeting.invitations(action, facts, self.now, changed=list(changed))

    def own_answer(self, facts: Meeting, values: Values, item: Item) -> Values:
        """Return an item's values with what it may say of answers: an attendee knows his own."""
        if facts.role is not Role.ATTENDEE:
            return item.values
        said, own = item.values["responses"], self.own_addresses()
        answers = {one: answer for one, answer in said.items() if one in own}
        return {**item.values, "responses": {**values["responses"], **answers}}

    def heard_of_occurrences(
        self, facts: Meeting, values: Values, told: Values
    ) -> dict[str, Value]:
        """Return what a record is told, without occurrences whose deletion it ignores (3H)."""
        return {
            name: value
            for name, value in told.items()
            if not (name.startswith(OCCURRENCE) and value == DELETED)
            or not self._is_ignored(facts, values, name)
        }

    def _is_ignored(self, facts: Meeting, values: Values, name: str) -> bool:
        if values.get("recurrence") is None or facts.role is Role.ATTENDEE:
            return False  # what an outsider calls off is off
        found = recurrence.occurrence_on(
            Recurrence.of_value(values["recurrence"]),
            values["time"],
            values["time"]["zone"],
            date.fromisoformat(name.removeprefix(OCCURRENCE)),
        )
        if found is None:
            return False
        decided = meeting.exchange_deletion(facts, self.now, occurrence_start=found.start)
        return decided is ExchangeDeletion.IGNORE


def has_attendees(values: Mapping[str, Value]) -> bool:
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
