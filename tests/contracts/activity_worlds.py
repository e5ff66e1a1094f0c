"""Mailboxes of some servers, and what their owners do to them, for the contracts of activities."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from exchangelib import DELEGATE, UTC, Account, Configuration, Credentials, FileAttachment
from exchangelib.properties import ItemId
from exchangelib.version import Build, Version

from syncservice.domain.item_values import VALUES, ItemKind, Values
from syncservice.servers.exchange.activities import ExchangeActivities
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.gateway import (
    Activities,
    Deletion,
    Invitations,
    Item,
    ItemChange,
    NewItem,
    Written,
)
from syncservice.simulator.exchange import ExchangeSimulator
from tests.memory_activities import MemoryActivities, MemoryExchange
from tests.simulator.answers import checked_simulator

ADDRESS = "user@example.test"
OTHERS = ("ann@example.test", "bob@example.test")
APPOINTMENT, CONTACT, TASK = ItemKind
TIME = {
    "start": "2026-03-02T08:00:00Z", "end": "2026-03-02T09:00:00Z",
    "all_day": False, "zone": "Europe/Berlin",
}  # fmt: skip
#: What an item has that was made of nothing; an appointment can't be without a time.
LEAST: dict[ItemKind, Values] = {**VALUES, APPOINTMENT: {**VALUES[APPOINTMENT], "time": TIME}}


@dataclass
class World:
    """A server with the mailboxes of ADDRESS and OTHERS, and what their owners do."""

    open: Callable[..., Activities]  # address, or that of ADDRESS; perhaps allowed_files
    add: Callable[..., str]  # kind, values, perhaps categories; of ADDRESS
    edit: Callable[..., None]  # kind, id, values
    remove: Callable[[ItemKind, str], None]
    forget_cursors: Callable[[], None]
    attach: Callable[[str, str, bytes], None]  # id, the file's name, its content; of ADDRESS
    answer: Callable[[str, str, str], None]  # address, id, what is answered: accepted
    #: What each mailbox of OTHERS got: kinds of meeting messages, "invitation" or "cancellation".
    post: Callable[[str], list[str]]


@contextmanager
def memory() -> Iterator[World]:
    exchange = MemoryExchange()
    mailboxes = {address: exchange.mailbox(address) for address in (ADDRESS, *OTHERS)}
    own = mailboxes[ADDRESS]

    def forget() -> None:
        own.epoch += 1

    yield World(
        lambda address=ADDRESS, **more: MemoryActivities(mailboxes[address], **more),
        lambda kind, **values: own.add(kind, **{**LEAST[kind], **values}),
        lambda kind, item_id, **values: own.edit(item_id, **values),
        lambda kind, item_id: own.remove(item_id),
        forget,
        own.attach,
        lambda address, item_id, response: mailboxes[address].answer(item_id, response),
        lambda address: [one.what for one in exchange.messages if address in one.recipients],
    )


@contextmanager
def exchange() -> Iterator[World]:
    with checked_simulator() as simulator:
        control = simulator.control
        control.create_service_account("svc", "pw")
        for address in (ADDRESS, *OTHERS):
            control.create_mailbox(address, "pw")
        server = ExchangeServer(simulator.ews_url, "svc", "pw", "basic", impersonate=True)

        def login(address: str = ADDRESS, **more) -> ExchangeActivities:
            return ExchangeActivities(server, address, **more)

        def post(address: str) -> list[str]:
            classes = [one.item_class for one in control.items(address, "inbox")]
            return [_MESSAGES[one] for one in classes if one in _MESSAGES]

        yield World(
            login,
            *_owner(login),
            control.expire_sync_states,
            lambda item_id, name, content: _attach(simulator, item_id, name, content),
            lambda address, item_id, response: _answer(simulator, address, item_id, response),
            post,
        )


#: The worlds by their names.
WORLDS = {"memory": memory, "exchange": exchange}
_MESSAGES = {
    "IPM.Schedule.Meeting.Request": "invitation",
    "IPM.Schedule.Meeting.Canceled": "cancellation",
}
_ANSWERS = {"accepted": "accept", "tentative": "tentatively_accept", "declined": "decline"}


def _answer(simulator: ExchangeSimulator, address: str, item_id: str, response: str) -> None:
    """Answer a meeting as another client does."""
    getattr(_opened(simulator, address, item_id), _ANSWERS[response])()


def _attach(simulator: ExchangeSimulator, item_id: str, name: str, content: bytes) -> None:
    """Attach a file as another client does."""
    _opened(simulator, ADDRESS, item_id).attach(FileAttachment(name=name, content=content))


def _opened(simulator: ExchangeSimulator, address: str, item_id: str) -> Any:
    config = Configuration(
        service_endpoint=simulator.ews_url,
        credentials=Credentials(address, "pw"),
        auth_type="basic",
        version=Version(Build(15, 1, 2507, 6)),
    )
    account = Account(address, config=config, access_type=DELEGATE, default_timezone=UTC)
    [item] = account.fetch([ItemId(id=item_id)])
    return item


def _owner(login: Callable[[], Activities]) -> tuple[Callable[..., str], Callable, Callable]:
    """Return the owner's ways to add, edit and remove, by a conversation of their own each."""

    def add(kind: ItemKind, **values) -> str:
        with login() as gateway:
            (written,) = gateway.create(kind, [new(kind, **values)])
        return written.item_id

    def edit(kind: ItemKind, item_id: str, **values) -> None:
        with login() as gateway:
            (item,) = gateway.read(kind, [item_id])
            (written,) = gateway.update(kind, [change(item, **values)])
        assert isinstance(written, Written)

    def remove(kind: ItemKind, item_id: str) -> None:
        with login() as gateway:
            gateway.delete(kind, [Deletion(item_id=item_id)])

    return add, edit, remove


def new(
    kind: ItemKind,
    key: str = "",
    categories: tuple[str, ...] = (),
    invitations: Invitations = Invitations.NOBODY,
    **values,
) -> NewItem:
    return NewItem(
        record_key=key,
        values={**LEAST[kind], **values},
        categories=categories,
        invitations=invitations,
    )


def change(item: Item, invitations: Invitations = Invitations.NOBODY, **values) -> ItemChange:
    return ItemChange(
        item_id=item.item_id,
        change_key=item.change_key,
        values=values,
        whole={**item.values, **values},
        invitations=invitations,
    )


def read(gateway: Activities, kind: ItemKind, item_id: str) -> Item:
    (item,) = gateway.read(kind, [item_id])
    assert isinstance(item, Item)
    return item


def said(item: Item) -> Values:
    """Return an item's values but the one that no client gives it."""
    return {**item.values, "organizer": None} if "organizer" in item.values else item.values
