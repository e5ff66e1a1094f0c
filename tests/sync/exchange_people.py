"""People with mailboxes on the Exchange simulator: what they do, and what is in their calendars."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from exchangelib import DELEGATE, UTC, Account, Configuration, Credentials
from exchangelib.properties import ItemId
from exchangelib.version import Build, Version

from syncservice.crm import templates
from syncservice.crm.models import SyncFilter, User
from syncservice.domain.item_values import VALUES, ItemKind, Values
from syncservice.mailboxes import directions, schedule
from syncservice.mailboxes.models import (
    ActMethod,
    ChangeRouting,
    Direction,
    EmailServerProfile,
    ItemLink,
    Lane,
    Mailbox,
    Schedule,
)
from syncservice.mailboxes.schedule import Claim
from syncservice.servers.exchange.activities import ExchangeActivities
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.gateway import Deletion, Invitations, Item, ItemChange, NewItem, Written
from syncservice.simulator.exchange import ExchangeSimulator
from syncservice.simulator.exchange.store import MeetingMessage
from syncservice.sync.items.books import books_of
from syncservice.sync.items.visit import visit_items
from syncservice.sync.visit import Outcome
from tests import factories
from tests.sync.synced_items import BUDGET, TRACKED

APPOINTMENT = ItemKind.APPOINTMENT
_ANSWERS = {"accepted": "accept", "tentative": "tentatively_accept", "declined": "decline"}
_numbers = count(1)


@dataclass
class Colleague:
    """Somebody with a mailbox on the simulator, and perhaps a user of the CRM."""

    address: str
    world: "World" = field(repr=False)
    user: User | None = None  # None: no user
    mailbox: Mailbox | None = None  # None: nobody keeps it in step

    # What is done for them

    def visit(self) -> Outcome:
        """Make a visit, as a worker would; its claim ends with it."""
        assert self.mailbox is not None
        lane = Schedule.objects.filter(mailbox=self.mailbox, lane=Lane.ACT)
        lane.update(claimed_at=None, started_at=None)
        claimed = schedule.claim_now(self.mailbox.pk, Lane.ACT, factories.LEASE)
        assert claimed is not None
        return self.keep_in_step(schedule.begin(claimed[0], factories.LEASE).claim)

    def keep_in_step(self, claim: Claim, *, only_push: bool = False) -> Outcome:
        with self.world.sent_by_service(), self.open() as gateway:
            books = [one for one in books_of(claim, self.mailbox) if one.kind in self.world.kinds]
            outcome = visit_items(gateway, books, BUDGET, lambda: 0.0, only_push=only_push)
        assert outcome.fault is None, outcome.fault
        with schedule.fenced(claim) as row:
            schedule.release(row, factories.REST)
        return outcome

    def open(self) -> ExchangeActivities:
        return ExchangeActivities(self.world.server, self.address)

    @property
    def links(self) -> Any:
        return ItemLink.objects.filter(mailbox=self.mailbox)

    # What they do in Outlook

    def add(self, *, categories: tuple[str, ...] = (), **values: Any) -> str:
        """Enter an appointment; whoever is to come is invited."""
        new = NewItem(
            record_key="",
            values={**VALUES[APPOINTMENT], **values},
            categories=categories,
            invitations=Invitations.ALL,
        )
        with self.open() as gateway:
            (written,) = gateway.create(APPOINTMENT, [new])
        assert isinstance(written, Written), written
        return written.item_id

    def edit(self, item: Item | None = None, *, categories: Any = None, **values: Any) -> None:
        """Change an appointment, the only one if none is named; attendees are told."""
        item = item or self.only_item()
        change = ItemChange(
            item_id=item.item_id,
            change_key=item.change_key,
            values=values,
            whole={**item.values, **values},
            categories=categories,
            invitations=Invitations.ALL if item.is_organizer and values else Invitations.NOBODY,
        )
        with self.open() as gateway:
            (written,) = gateway.update(APPOINTMENT, [change])
        assert isinstance(written, Written), written

    def track(self) -> None:
        self.edit(categories=(*self.only_item().categories, TRACKED))

    def remove(self) -> None:
        """Delete the only appointment; when it was their own meeting, it is called off."""
        item = self.only_item()
        with self.open() as gateway:
            deletion = Deletion(item_id=item.item_id, cancels=item.is_organizer)
            gateway.delete(APPOINTMENT, [deletion])

    def answer(self, response: str) -> None:
        """Say "accepted", "tentative" or "declined"."""
        [item] = self.client().fetch([ItemId(id=self.only_item().item_id)])
        getattr(item, _ANSWERS[response])()

    def client(self) -> Account:
        """Another client than the service's: only it can answer."""
        config = Configuration(
            service_endpoint=self.world.simulator.ews_url,
            credentials=Credentials(self.address, "pw"),
            auth_type="basic",
            version=Version(Build(15, 1, 2507, 6)),
        )
        return Account(self.address, config=config, access_type=DELEGATE, default_timezone=UTC)

    # What is in their calendar

    def items(self, kind: ItemKind = APPOINTMENT) -> list[Item]:
        with self.open() as gateway:
            ids = [one.item_id for one in gateway.changes(kind, "", 100).items]
            found = list(gateway.read(kind, ids))
        assert all(isinstance(one, Item) for one in found), found
        return [one for one in found if isinstance(one, Item)]

    def only_item(self) -> Item:
        (item,) = self.items()
        return item


@dataclass
class World:
    """An Exchange simulator with the mailboxes of some people."""

    simulator: ExchangeSimulator
    server: ExchangeServer
    profile: EmailServerProfile
    kinds: tuple[ItemKind, ...] = (APPOINTMENT,)  # what visits look at
    synchronized: list[Colleague] = field(default_factory=list)  # in the order of their visits
    service_sent: list[MeetingMessage] = field(default_factory=list)

    def person(self, name: str) -> Colleague:
        """Somebody from elsewhere, who is no user."""
        address = f"{name}{next(_numbers)}@example.test"
        self.simulator.control.create_mailbox(address, "pw")
        return Colleague(address, self)

    def colleague(self, name: str, *, is_synchronized: bool = True) -> Colleague:
        """A user of the CRM."""
        one = self.person(name)
        one.user = User.objects.create(username=one.address, email=one.address)
        if is_synchronized:
            one.mailbox = self.keep_in_step(one.user)
            self.synchronized.append(one)
        return one

    def keep_in_step(self, user: User) -> Mailbox:
        box = factories.mailbox(
            owner=user, profile=self.profile, act_method=ActMethod.SERVER_SIDE, enabled=False
        )
        directions.enable([box.pk], [Direction.Kind.ACT], "tests")
        schedule.plan([box.pk])
        return box

    def visit_all(self, people: Sequence[Colleague] | None = None) -> list[Outcome]:
        return [one.visit() for one in people or self.synchronized]

    def push(self) -> int:
        """Bring the CRM's changes to whom they concern, as `push_changes`; return to how many."""
        by_mailbox = {one.mailbox.pk: one for one in self.synchronized if one.mailbox}
        schedule.route_changes()
        pushed = 0
        while begun := schedule.begin_push(factories.LEASE):
            claim = begun[0].claim
            by_mailbox[claim.mailbox_id].keep_in_step(claim, only_push=True)
            pushed += 1
        return pushed

    @contextmanager
    def sent_by_service(self) -> Iterator[None]:
        """What meeting messages are sent in the block, the service has sent."""
        messages = self.simulator.service.store.meeting_messages
        before = len(messages)
        yield
        self.service_sent += messages[before:]


def world_of(simulator: ExchangeSimulator) -> World:
    """Begin with a simulator that has the service account "svc"; the database is empty."""
    ChangeRouting.objects.get_or_create(pk=ChangeRouting.ONLY)
    if not SyncFilter.objects.filter(kind=SyncFilter.Kind.TEMPLATE).exists():
        SyncFilter.objects.bulk_create(templates.defaults(SyncFilter))
    profile = factories.profile(location=simulator.ews_url, username="svc", password="pw")
    server = ExchangeServer(simulator.ews_url, "svc", "pw", "basic", impersonate=True)
    return World(simulator, server, profile)


def people_of(*addresses: str) -> list[Values]:
    return [{"address": address, "name": ""} for address in sorted(addresses)]
