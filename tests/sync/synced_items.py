"""A mailbox in memory whose appointments, contacts and tasks are kept in step, for tests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from syncservice.crm import templates
from syncservice.crm.models import Appointment, AppointmentParty, Contact, SyncFilter, Task, User
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes import directions, schedule
from syncservice.mailboxes.models import (
    ActMethod,
    Direction,
    ItemLink,
    ItemProgress,
    Lane,
    Mailbox,
    Organisation,
    Schedule,
)
from syncservice.mailboxes.schedule import Claim
from syncservice.sync.items.books import books_of
from syncservice.sync.items.visit import visit_items
from syncservice.sync.visit import Budget, Outcome
from tests import factories
from tests.memory_activities import MemoryActivities, MemoryExchange, MemoryMailbox, What

BUDGET = Budget(
    duration=timedelta(minutes=5),
    messages=100_000,
    bytes=10**9,
    page_ids=512,
    batch_messages=50,
    batch_bytes=10**8,
    message_bytes=10**8,
)
TRACKED = "Tracked to CRM"
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
Party = AppointmentParty.Participation


@dataclass
class Meanwhile(MemoryActivities):
    """A conversation during which something else happens."""

    meanwhile: Callable[[], None] | None = None
    at_request: int = 1

    def _ask(self, is_needed: bool = True) -> None:
        super()._ask(is_needed)
        if is_needed and self.meanwhile is not None and self.requests == self.at_request:
            self.meanwhile()


@dataclass
class Person:
    """A user whose mailbox is kept in step."""

    user: User
    mailbox: Mailbox
    outlook: MemoryMailbox
    gateways: list[MemoryActivities] = field(default_factory=list)

    def visit(
        self,
        *,
        only_push: bool = False,
        budget: Budget = BUDGET,
        meanwhile: Callable[[], None] | None = None,
        at_request: int = 1,
    ) -> Outcome:
        """Make a visit, as a worker would; its claim ends with it.

        `meanwhile` happens while the mailbox answers the request of that number.
        """
        claim = self.claim()
        gateway = Meanwhile(
            self.outlook,
            Organisation.current().allowed_item_files,
            meanwhile=meanwhile,
            at_request=at_request,
        )
        self.gateways.append(gateway)
        clock = self.outlook.exchange
        outcome = visit_items(
            gateway,
            books_of(claim, self.mailbox),
            budget,
            lambda: 0.0,
            only_push=only_push,
            moment=lambda: clock.now,
        )
        with schedule.fenced(claim) as row:
            schedule.release(row, factories.REST)
        return outcome

    def claim(self) -> Claim:
        Schedule.objects.filter(mailbox=self.mailbox, lane=Lane.ACT).update(
            claimed_at=None, started_at=None
        )
        claimed = schedule.claim_now(self.mailbox.pk, Lane.ACT, factories.LEASE)
        assert claimed is not None
        return schedule.begin(claimed[0], factories.LEASE).claim

    @property
    def links(self) -> Any:
        return ItemLink.objects.filter(mailbox=self.mailbox)

    def state_of(self, kind: ItemKind) -> str:
        return ItemProgress.objects.get(mailbox=self.mailbox, kind=kind).first

    def items(self, kind: ItemKind) -> list[Any]:
        return [item for item in self.outlook.items.values() if item.kind is kind]


def person(exchange: MemoryExchange, address: str, **fields: Any) -> Person:
    if not SyncFilter.objects.filter(kind=SyncFilter.Kind.TEMPLATE).exists():
        SyncFilter.objects.bulk_create(templates.defaults(SyncFilter))  # a test took them away
    user = User.objects.create(username=address, email=address, **fields)
    box = factories.mailbox(owner=user, act_method=ActMethod.SERVER_SIDE, enabled=False)
    directions.enable([box.pk], [Direction.Kind.ACT], "tests")
    schedule.plan([box.pk])
    return Person(user, box, exchange.mailbox(address))


# What they have, and how values say it


def contact(owner: Person, last_name: str = "Karst", **fields) -> Contact:
    return Contact.objects.create(first_name="Kim", last_name=last_name, owner=owner.user, **fields)


def task(owner: Person, subject: str = "Call Kim", **fields) -> Task:
    return Task.objects.create(subject=subject, status=2, owner=owner.user, **fields)


def appointment(owner: Person, *attendees, subject: str = "Plans", **fields) -> Appointment:
    fields = {"starts_at": SOON, "ends_at": SOON + timedelta(hours=1), **fields}
    record = Appointment.objects.create(subject=subject, owner=owner.user, **fields)
    record.parties.create(participation=Party.ORGANIZER, address=owner.user.email, user=owner.user)
    for one in attendees:
        is_person = isinstance(one, Person)
        record.parties.create(
            participation=Party.REQUIRED,
            address=one.user.email if is_person else one,
            user=one.user if is_person else None,
        )
    return record


def text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_of(start: datetime) -> dict:
    end = text(start + timedelta(hours=1))
    return {"start": text(start), "end": end, "all_day": False, "zone": "UTC"}


def who(address: str) -> dict:
    return {"address": address, "name": ""}


def mail(exchange: MemoryExchange) -> list[tuple[What, tuple[str, ...]]]:
    """Say what was sent by us, not by a person."""
    return [(one.what, one.recipients) for one in exchange.messages if not one.by_person]
