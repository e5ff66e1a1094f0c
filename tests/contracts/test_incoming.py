"""What every implementation of `servers.gateway.Incoming` owes to `sync`, on real conversations."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from syncservice.domain.faults import FaultError, Nature
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.incoming import ExchangeIncoming
from syncservice.servers.gateway import Fetched, Gone, Incoming
from syncservice.servers.pop3 import Pop3Incoming
from tests.memory_gateway import MemoryIncoming, MemoryServer, mime
from tests.servers.dovecot import Dovecot, dovecot
from tests.simulator.answers import checked_simulator

ADDRESS = "user@example.test"


@dataclass
class World:
    """A mailbox on some server, and what the tests do to it."""

    open: Callable[[], Incoming]
    deliver: Callable[[bytes], str]
    remove: Callable[[str], None]
    forget_cursors: Callable[[], None] | None  # None: the protocol has no changes, only listings
    tells_receipt: bool = True


@pytest.fixture(params=["memory", "exchange", "pop3"])
def world(request) -> Iterator[World]:
    if request.param == "pop3":
        yield pop3(request.getfixturevalue("post"))
    else:
        yield from {"memory": memory, "exchange": exchange}[request.param]()


@pytest.fixture
def changing_world(world) -> World:
    """One whose server lists changes behind a cursor, and sees them within a conversation."""
    if world.forget_cursors is None:
        pytest.skip("a listing tells no changes")
    return world


@pytest.fixture(scope="module")
def post() -> Iterator[Dovecot]:
    with dovecot() as running:
        yield running


users = count(1)


def pop3(post: Dovecot) -> World:
    user = f"user-{next(users)}"
    return World(
        lambda: Pop3Incoming(post.server(user)),
        lambda message: post.deliver(user, message),
        lambda item_id: post.remove(user, item_id),
        None,
        tells_receipt=False,
    )


def memory() -> Iterator[World]:
    server = MemoryServer()

    def forget() -> None:
        server.epoch += 1

    yield World(
        lambda: MemoryIncoming(server),
        lambda message: server.deliver(message)[0],
        lambda item_id: server.items.pop(item_id),
        forget,
    )


def exchange() -> Iterator[World]:
    with checked_simulator() as simulator:
        simulator.control.create_service_account("svc", "pw")
        simulator.control.create_mailbox(ADDRESS, "pw")
        server = ExchangeServer(simulator.ews_url, "svc", "pw", "basic", impersonate=True)
        yield World(
            lambda: ExchangeIncoming(server, ADDRESS),
            lambda message: simulator.control.deliver(ADDRESS, message),
            simulator.control.delete,
            simulator.control.expire_sync_states,
        )


def everything(gateway: Incoming, cursor: str = "", limit: int = 3) -> tuple[list[str], str]:
    """Page to the end; return the ids and the last cursor."""
    ids: list[str] = []
    while True:
        page = gateway.page(cursor, limit)
        assert len(page.items) <= limit
        ids += [item.item_id for item in page.items]
        cursor = page.cursor
        if page.is_last:
            return ids, cursor


def test_paging_gives_every_message_once(world):
    delivered = [world.deliver(mime(f"mail {number}")) for number in range(8)]
    with world.open() as gateway:
        ids, _ = everything(gateway)
    assert sorted(ids) == sorted(delivered)


def test_a_cursor_outlives_its_conversation_and_gives_only_what_came_since(changing_world):
    changing_world.deliver(mime("before"))
    with changing_world.open() as gateway:
        _, cursor = everything(gateway)
    after = changing_world.deliver(mime("after"))
    with changing_world.open() as gateway:
        assert everything(gateway, cursor)[0] == [after]


def test_nothing_new_is_an_empty_last_page_for_one_request(changing_world):
    changing_world.deliver(mime("one"))
    with changing_world.open() as gateway:
        _, cursor = everything(gateway)
        before = gateway.requests
        page = gateway.page(cursor, 3)
        assert (page.items, page.is_last, gateway.requests - before) == ((), True, 1)


def test_a_message_is_fetched_byte_for_byte(world):
    message = mime("Grüße aus Köln", message_id="<1@x.test>", sender="Ünal <u@x.test>")
    world.deliver(message)
    with world.open() as gateway:
        page = gateway.page("", 10)
        (fetched,) = gateway.fetch(page.items)
    assert isinstance(fetched, Fetched)
    assert fetched.mime.replace(b"\r\n", b"\n") == message.replace(b"\r\n", b"\n")
    assert (fetched.received_at is not None) == world.tells_receipt
    assert fetched.received_at is None or fetched.received_at.tzinfo is not None


def test_the_size_is_known_before_the_message_is_fetched(world):
    world.deliver(mime("large") + b"x" * 100_000)
    with world.open() as gateway:
        (item,) = gateway.page("", 10).items
    assert item.size >= 100_000


def test_a_message_removed_since_it_was_listed_is_gone_and_the_others_come(changing_world):
    doomed, kept = changing_world.deliver(mime("doomed")), changing_world.deliver(mime("kept"))
    with changing_world.open() as gateway:
        items = gateway.page("", 10).items
        changing_world.remove(doomed)
        answers = {answer.item_id: answer for answer in gateway.fetch(items)}
    assert isinstance(answers[doomed], Gone)
    assert isinstance(answers[kept], Fetched)


def test_a_message_removed_since_another_conversation_is_gone_and_the_others_come(world):
    doomed, kept = world.deliver(mime("doomed")), world.deliver(mime("kept"))
    with world.open() as gateway:
        items = gateway.page("", 10).items
    world.remove(doomed)
    with world.open() as gateway:
        answers = {answer.item_id: answer for answer in gateway.fetch(items)}
    assert isinstance(answers[doomed], Gone)
    assert isinstance(answers[kept], Fetched)


def test_a_last_cursor_hides_nothing_from_the_next_conversation(world):
    world.deliver(mime("before"))
    with world.open() as gateway:
        _, cursor = everything(gateway)
    after = [world.deliver(mime(f"after {number}")) for number in range(4)]
    with world.open() as gateway:
        ids, _ = everything(gateway, cursor)
    assert set(after) <= set(ids)


def test_a_cursor_that_the_server_forgot_is_a_fault_that_asks_to_begin_again(changing_world):
    changing_world.deliver(mime("one"))
    with changing_world.open() as gateway:
        _, cursor = everything(gateway)
        changing_world.forget_cursors()
        with pytest.raises(FaultError) as caught:
            gateway.page(cursor, 3)
        assert caught.value.fault.nature is Nature.RESYNC
        assert len(everything(gateway)[0]) == 1


def test_fetching_nothing_asks_nothing(world):
    with world.open() as gateway:
        assert list(gateway.fetch([])) == []


def test_a_server_that_is_well_says_so_before_and_after_a_request(world):
    world.deliver(mime("one"))
    with world.open() as gateway:
        gateway.check()
        list(gateway.fetch(gateway.page("", 3).items))
        gateway.check()
