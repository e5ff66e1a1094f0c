"""What every implementation of `servers.gateway.Incoming` owes to `sync`, on real conversations."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import pytest

from syncservice.domain.faults import FaultError, Nature
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.incoming import ExchangeIncoming
from syncservice.servers.gateway import Fetched, Gone, Incoming, Listed
from syncservice.servers.imap import ImapIncoming
from syncservice.servers.pop3 import Pop3Incoming
from tests.memory_gateway import MemoryIncoming, MemoryServer, mime
from tests.servers.dovecot import HAS_IMAP, WITHOUT_IMAP, Dovecot, dovecot
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


@pytest.fixture(params=["memory", "exchange", "pop3", "imap"])
def world(request) -> Iterator[World]:
    if request.param in ("pop3", "imap"):
        yield {"pop3": pop3, "imap": imap}[request.param](request.getfixturevalue("post"))
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


def imap(post: Dovecot) -> World:
    if not HAS_IMAP:
        pytest.skip(WITHOUT_IMAP)
    user = f"user-{next(users)}"
    return World(
        lambda: ImapIncoming(post.imap_server(user)),
        lambda message: post.append(user, message),
        lambda item_id: post.expunge(user, item_id),
        lambda: post.renumber(user),
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
    with changing_world.open() as gateway:
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


def test_a_message_is_found_by_its_message_id(world):
    world.deliver(mime("other"))
    wanted = world.deliver(mime("wanted", message_id="<a@b.test>"))
    with world.open() as gateway:
        assert [item.item_id for item in gateway.find("<a@b.test>")] == [wanted]
        assert gateway.find("<nobody@knows.test>") == ()


def test_what_was_deleted_is_listed_by_no_later_conversation(world):
    first, second, third = (world.deliver(mime(f"mail {number}")) for number in range(3))
    with world.open() as gateway:
        everything(gateway)
        gateway.delete([first, third])
    with world.open() as gateway:
        assert everything(gateway)[0] == [second]


def test_what_is_gone_already_is_no_fault_when_it_is_deleted(world):
    gone, here = world.deliver(mime("gone")), world.deliver(mime("here"))
    world.remove(gone)
    with world.open() as gateway:
        gateway.delete([gone, here])
        gateway.delete([])
    with world.open() as gateway:
        assert everything(gateway)[0] == []


def test_a_conversation_goes_on_after_it_deleted(world):
    first, second = world.deliver(mime("first")), world.deliver(mime("second"))
    with world.open() as gateway:
        everything(gateway)
        gateway.delete([first])
        (answer,) = gateway.fetch([Listed(second, 1)])
    assert isinstance(answer, Fetched)


def test_every_copy_of_a_message_is_found(world):
    copies = {world.deliver(mime(f"copy {number}", message_id="<1@x.test>")) for number in range(2)}
    with world.open() as gateway:
        assert {item.item_id for item in gateway.find("<1@x.test>")} == copies


def test_what_is_found_can_be_fetched_and_deleted_and_is_found_no_more(world):
    world.deliver(mime("wanted", message_id="<wanted@x.test>"))
    with world.open() as gateway:
        (item,) = gateway.find("<wanted@x.test>")
        (fetched,) = gateway.fetch([item])
        assert isinstance(fetched, Fetched)
        assert b"The body of wanted." in fetched.mime
        gateway.delete([item.item_id])
        assert gateway.find("<wanted@x.test>") == ()


def test_what_was_deleted_since_it_was_listed_is_gone(world):
    doomed, kept = world.deliver(mime("doomed")), world.deliver(mime("kept"))
    with world.open() as gateway:
        items = gateway.page("", 10).items
        gateway.delete([doomed])
        answers = {answer.item_id: answer for answer in gateway.fetch(items)}
    assert isinstance(answers[doomed], Gone)
    assert isinstance(answers[kept], Fetched)


def test_deleting_nothing_makes_no_request(world):
    with world.open() as gateway:
        gateway.delete([])
        assert gateway.requests == 0
