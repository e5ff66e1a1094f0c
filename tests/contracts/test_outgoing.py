"""What every implementation of `servers.gateway.Outgoing` owes to `sync`, on real conversations."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email import message_from_bytes
from itertools import count

import pytest

from syncservice.domain.faults import FaultError, Nature, Scope
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.incoming import ExchangeIncoming
from syncservice.servers.exchange.outgoing import ExchangeOutgoing
from syncservice.servers.gateway import (
    Accepted,
    MailObject,
    OutcomeUnknown,
    Outgoing,
    Whereabouts,
)
from syncservice.servers.imap_sent import ImapSentItems
from syncservice.servers.smtp import SmtpOutgoing
from syncservice.simulator.exchange import Fault as ServerFault
from tests.memory_gateway import Killed, MemoryOutgoing, MemoryPostOffice, Step, fault, mime
from tests.servers.dovecot import HAS_IMAP, WITHOUT_IMAP, Dovecot, dovecot
from tests.servers.test_smtp import post
from tests.simulator.answers import checked_simulator

SENDER = "user@example.test"
ANN, BOB = "ann@customer.test", "bob@customer.test"
NOBODY = "nobody@customer.test"  # whom the server refuses, where it refuses anyone
SENT, NOT_SENT, UNKNOWN = Whereabouts.SENT, Whereabouts.NOT_SENT, Whereabouts.UNKNOWN
numbers = count(1)


@dataclass
class World:
    """A mailbox on some server, and what the tests see of it."""

    open: Callable[[], Outgoing]
    recipients: Callable[[str], list[str]]  # who got the message with this Message-ID
    text: Callable[[str], bytes]  # as it came to them
    lose_answer: Callable[[], None]  # to the next message that is taken
    copies: Callable[[str], int] | None = None  # in Sent Items; None: there are none
    refuses_some: bool = True  # else a message goes to all or to none
    remembers: bool = True  # what it sent, without a copy of our own


@pytest.fixture(params=["memory", "exchange", "smtp", "smtp with imap"])
def world(request, tmp_path) -> Iterator[World]:
    if request.param == "smtp with imap":
        if not HAS_IMAP:
            pytest.skip(WITHOUT_IMAP)
        yield from smtp(tmp_path, request.getfixturevalue("sent_items"))
    elif request.param == "smtp":
        yield from smtp(tmp_path)
    else:
        yield from {"memory": memory, "exchange": exchange}[request.param]()


@pytest.fixture
def picky_world(world) -> World:
    """One that takes a message for some, and refuses it for others."""
    if not world.refuses_some:
        pytest.skip("a message goes to all of its recipients or to none")
    return world


@pytest.fixture(scope="module")
def sent_items() -> Iterator[Dovecot]:
    with dovecot() as running:
        yield running


def memory() -> Iterator[World]:
    office = MemoryPostOffice(refused={NOBODY: fault(Nature.PERMANENT, Scope.EMAIL)})
    yield World(
        lambda: MemoryOutgoing(office),
        office.recipients,
        office.texts.__getitem__,
        lambda: office.cut_at.add(Step.TAKEN),
        office.sent_items.count,
    )


def exchange() -> Iterator[World]:
    with checked_simulator() as simulator:
        control = simulator.control
        control.create_service_account("svc", "pw")
        for address in (SENDER, ANN, BOB):
            control.create_mailbox(address, "pw")
        server = ExchangeServer(simulator.ews_url, "svc", "pw", "basic", impersonate=True)

        def found(address: str, folder: str, message_id: str) -> list[str]:
            items = control.items(address, folder)
            return [item.id for item in items if item.message_id == message_id]

        def text(message_id: str) -> bytes:
            with ExchangeIncoming(server, ANN) as gateway:
                (fetched,) = gateway.fetch(gateway.find(message_id))
            return fetched.mime

        yield World(
            lambda: ExchangeOutgoing(server, SENDER),
            lambda message_id: [one.recipient for one in control.deliveries(message_id)],
            text,
            lambda: control.add_fault(
                ServerFault(kind="reset_after", operation="SendItem", times=1)
            ),
            lambda message_id: len(found(SENDER, "sentitems", message_id)),
            refuses_some=False,
        )


def smtp(tmp_path, imap: Dovecot | None = None) -> Iterator[World]:
    user = f"sender-{next(numbers)}"
    with post(tmp_path) as (office, server):

        def of(message_id: str) -> list:
            return [
                envelope
                for envelope in office.envelopes
                if message_from_bytes(envelope.content)["Message-ID"] == message_id
            ]

        def copies(message_id: str) -> int:
            with imap.imap(user) as client:
                client.select("Sent")
                (found,) = client.search(None, "HEADER", "Message-ID", f'"{message_id}"')[1]
            return len(found.split())

        def lose_answer() -> None:
            office.loses_answer = True

        if imap is not None:
            with imap.imap(user) as client:
                client.create("Sent")
        yield World(
            lambda: SmtpOutgoing(
                server,
                SENDER,
                sent_items=ImapSentItems(imap.imap_server(user)) if imap else None,
            ),
            lambda message_id: [path for one in of(message_id) for path in one.rcpt_tos],
            lambda message_id: of(message_id)[0].content,
            lose_answer,
            copies if imap else None,
            remembers=False,
        )


def mail(*forward_paths: str, **more) -> MailObject:
    number = next(numbers)
    message_id = f"<{number}@example.test>"
    text = mime(f"Offer {number}", message_id=message_id, sender=SENDER, to=ANN)
    return MailObject(
        message_id=message_id, mime=text, forward_paths=forward_paths or (ANN,), **more
    )


def nothing() -> None:
    """What is done before the handover, where the test doesn't look."""


def send(world: World, letter: MailObject) -> Accepted:
    with world.open() as gateway:
        return gateway.send(letter, nothing)


def test_a_message_comes_to_all_in_its_envelope_once(world):
    letter = mail(ANN, BOB)  # Bob is in no header: a blind copy
    assert send(world, letter) == Accepted()
    assert sorted(world.recipients(letter.message_id)) == [ANN, BOB]
    text = message_from_bytes(world.text(letter.message_id))
    assert text["Subject"] == message_from_bytes(letter.mime)["Subject"]
    assert "The body of Offer" in text.get_payload()
    assert BOB.encode() not in world.text(letter.message_id)


def test_messages_of_one_conversation_come_each_once(world):
    letters = [mail(is_first_attempt=True) for _ in range(3)]
    with world.open() as gateway:
        for letter in letters:
            gateway.send(letter, nothing)
    assert [world.recipients(letter.message_id) for letter in letters] == [[ANN]] * 3


def test_the_handover_is_announced_once_and_before_anybody_has_the_message(world):
    letter, seen = mail(), []
    with world.open() as gateway:
        gateway.send(letter, lambda: seen.append(world.recipients(letter.message_id)))
    assert seen == [[]]
    assert world.recipients(letter.message_id) == [ANN]


@pytest.mark.parametrize("error", [ZeroDivisionError, ConnectionError, Killed])
def test_what_is_raised_before_the_handover_stops_it_and_the_next_attempt_sends_it_once(
    world, error
):
    def stop() -> None:
        raise error

    letter = mail(is_first_attempt=True)
    with world.open() as gateway, pytest.raises(error):
        gateway.send(letter, stop)
    assert world.recipients(letter.message_id) == []
    assert send(world, replace(letter, is_first_attempt=False)) == Accepted()
    assert world.recipients(letter.message_id) == [ANN]


def test_after_a_stopped_handover_a_conversation_goes_on(world):
    def stop() -> None:
        raise ZeroDivisionError

    stopped, letter = mail(), mail()
    with world.open() as gateway:
        with pytest.raises(ZeroDivisionError):
            gateway.send(stopped, stop)
        gateway.send(letter, nothing)
    assert world.recipients(stopped.message_id) == []
    assert world.recipients(letter.message_id) == [ANN]


def test_who_is_refused_is_told_and_the_others_get_the_message(picky_world):
    letter = mail(ANN, NOBODY, BOB)
    (rejected,) = send(picky_world, letter).rejected
    assert rejected.forward_path == NOBODY
    assert (rejected.fault.nature, rejected.fault.scope) == (Nature.PERMANENT, Scope.EMAIL)
    assert sorted(picky_world.recipients(letter.message_id)) == [ANN, BOB]


def test_when_all_are_refused_it_is_a_fault_and_no_handover(picky_world):
    letter, other = mail(NOBODY), mail()
    with picky_world.open() as gateway:
        with pytest.raises(FaultError) as caught:
            gateway.send(letter, lambda: pytest.fail("nothing was handed over"))
        gateway.send(other, nothing)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert (caught.value.fault.nature, caught.value.fault.scope) == (Nature.PERMANENT, Scope.EMAIL)
    assert picky_world.recipients(letter.message_id) == []
    assert picky_world.recipients(other.message_id) == [ANN]


def test_a_message_whose_answer_was_lost_is_not_said_to_be_unsent(world):
    letter = mail()
    world.lose_answer()
    with world.open() as gateway, pytest.raises(OutcomeUnknown) as caught:
        gateway.send(letter, nothing)
    assert caught.value.fault.nature is not Nature.PERMANENT
    assert world.recipients(letter.message_id) == [ANN]
    with world.open() as gateway:
        assert gateway.look_up(letter) is (SENT if world.remembers else UNKNOWN)


def test_a_message_that_was_sent_is_found_when_a_copy_was_kept(world):
    letter = mail()
    send(world, letter)
    with world.open() as gateway:
        gateway.keep_copy(letter)
        is_found = world.remembers or world.copies is not None
        assert gateway.look_up(letter) is (SENT if is_found else UNKNOWN)
    assert world.recipients(letter.message_id) == [ANN]


def test_a_message_that_nobody_sent_is_not_said_to_be_sent(world):
    sent, letter = mail(), mail()
    send(world, sent)
    with world.open() as gateway:
        gateway.keep_copy(sent)
        assert gateway.look_up(letter) is not SENT


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("is_wanted", [True, False])
def test_a_copy_is_kept_once_and_only_where_it_is_wanted(world, is_wanted, times):
    letter = mail(keeps_copy=is_wanted)
    send(world, letter)
    for _ in range(times):
        with world.open() as gateway:
            gateway.keep_copy(letter)
    if world.copies is not None:
        assert world.copies(letter.message_id) == int(is_wanted)
    assert world.recipients(letter.message_id) == [ANN]


def test_a_message_without_recipients_is_a_bug_of_the_caller_or_a_fault(world):
    with world.open() as gateway, pytest.raises((ValueError, FaultError)):
        gateway.send(replace(mail(), forward_paths=()), nothing)


def test_requests_are_counted(world):
    letter = mail()
    with world.open() as gateway:
        assert gateway.requests == 0
        gateway.send(letter, nothing)
        sent = gateway.requests
        gateway.look_up(letter)
        assert gateway.requests >= sent > 0
