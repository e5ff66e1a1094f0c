"""A mailbox in memory whose appointments, contacts and tasks are kept in step, for tests."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from syncservice.crm import templates
from syncservice.crm.models import SyncFilter, User
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
from tests.memory_activities import MemoryActivities, MemoryExchange, MemoryMailbox

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
