"""Subscriptions, pulled and streamed, with exchangelib as the client."""

import threading
from collections.abc import Callable

import pytest
import requests
from exchangelib import Account, Message
from exchangelib.errors import (
    ErrorEventNotFound,
    ErrorExceededSubscriptionCount,
    ErrorExpiredSubscription,
    ErrorInvalidPullSubscriptionId,
    ErrorInvalidSubscription,
    ErrorInvalidWatermark,
    ErrorSubscriptionNotFound,
    EWSError,
)
from exchangelib.folders import Messages
from exchangelib.properties import Notification
from exchangelib.services import GetStreamingEvents

from syncservice.simulator.exchange import ExchangeSimulator, Fault
from syncservice.simulator.exchange.events import KEPT

from .conftest import ALICE, BOB, mail

Deliver = Callable[..., str]


@pytest.fixture(autouse=True)
def short_minutes(simulator: ExchangeSimulator) -> None:
    simulator.control.shorten_minutes(0.3)


def kinds(*notifications: Notification) -> list[str]:
    return [event.ELEMENT_NAME for one in notifications for event in one.events]


def streamed(account: Account, *ids: str) -> list[str]:
    return kinds(*account.inbox.get_streaming_events(list(ids), connection_timeout=1))


def everything_to(alice: Account, deliver: Deliver, simulator: ExchangeSimulator) -> None:
    item = deliver("one")
    simulator.control.mark_read(item)
    item = simulator.control.move(item, "drafts")
    item = simulator.control.move(item, "inbox")
    simulator.control.delete(item)
    draft = Message(account=alice, folder=alice.drafts, subject="x")
    draft.save()
    draft.copy(alice.inbox)
    Messages(parent=alice.inbox, name="Below").save()


def test_events_are_pulled_behind_a_watermark(
    alice: Account, deliver: Deliver, simulator: ExchangeSimulator
) -> None:
    identity, watermark = alice.inbox.subscribe_to_pull(timeout=1440)
    [nothing] = alice.inbox.get_events(identity, watermark)
    assert kinds(nothing) == ["StatusEvent"]
    everything_to(alice, deliver, simulator)
    [found] = alice.inbox.get_events(identity, watermark)
    assert found.previous_watermark == watermark
    assert kinds(found) == [
        "CreatedEvent",
        "NewMailEvent",
        "ModifiedEvent",
        "MovedEvent",
        "MovedEvent",
        "DeletedEvent",
        "CopiedEvent",
        "CreatedEvent",
    ]
    created, mailed, modified, moved, *_, folder = found.events
    assert created.item_id == mailed.item_id
    assert created.parent_folder_id.id == alice.inbox.id
    assert modified.unread_count == 0
    assert (moved.old_item_id.id, moved.old_parent_folder_id.id) == (
        created.item_id.id,
        alice.inbox.id,
    )
    assert moved.parent_folder_id.id == alice.drafts.id
    assert folder.folder_id.id == (alice.inbox / "Below").id
    [rest] = alice.inbox.get_events(identity, modified.watermark)
    assert kinds(rest) == kinds(found)[3:]
    [again] = alice.inbox.get_events(identity, found.events[-1].watermark)
    assert kinds(again) == ["StatusEvent"]


def test_a_subscription_hears_only_of_its_folder_and_kinds(
    alice: Account, deliver: Deliver, simulator: ExchangeSimulator
) -> None:
    identity, watermark = alice.inbox.subscribe_to_pull(
        event_types=["NewMailEvent", "DeletedEvent"], timeout=1440
    )
    item = deliver("one")
    simulator.control.mark_read(item)
    deliver("elsewhere", folder="junkemail")
    [found] = alice.inbox.get_events(identity, watermark)
    assert kinds(found) == ["NewMailEvent"]


def test_many_events_come_in_pages(alice: Account, deliver: Deliver) -> None:
    identity, watermark = alice.inbox.subscribe_to_pull(timeout=1440)
    for number in range(26):
        deliver(str(number))
    found = next(alice.inbox.get_events(identity, watermark))
    assert (len(found.events), found.more_events) == (50, True)
    rest = next(alice.inbox.get_events(identity, found.events[-1].watermark))
    assert (len(rest.events), rest.more_events) == (2, False)


def test_a_stream_tells_what_happened_since_it_was_subscribed_to(
    alice: Account, bob: Account, deliver: Deliver
) -> None:
    mine, his = alice.inbox.subscribe_to_streaming(), bob.inbox.subscribe_to_streaming()
    deliver("before")
    deliver("his", mailbox=BOB)
    assert streamed(alice, mine, his) == ["CreatedEvent", "NewMailEvent"] * 2
    assert streamed(alice, mine, his) == []


def test_a_stream_tells_at_once_what_happens_and_is_closed_in_the_end(
    alice: Account, deliver: Deliver, simulator: ExchangeSimulator
) -> None:
    simulator.control.shorten_minutes(3600)
    identity = alice.inbox.subscribe_to_streaming()
    service = GetStreamingEvents(account=alice)
    statuses, found = [], []

    def listen() -> None:
        for one in service.call(subscription_ids=[identity], connection_timeout=1):
            statuses.append(service.connection_status)
            found.append(one)
            if len(found) == 2:
                return

    listener = threading.Thread(target=listen)
    listener.start()
    while simulator.control.open_streams() != 1:
        pass
    deliver("one")
    while not found:
        pass
    deliver("two")
    listener.join(10)
    service.stop_streaming()
    assert kinds(*found) == ["CreatedEvent", "NewMailEvent"] * 2
    simulator.control.shorten_minutes(0.1)
    assert list(service.call(subscription_ids=[identity], connection_timeout=1)) == []
    assert service.connection_status == "Closed"


def test_a_stream_is_many_whole_envelopes(
    simulator: ExchangeSimulator, alice: Account, deliver: Deliver
) -> None:
    identity = alice.inbox.subscribe_to_streaming()
    deliver("one")
    with requests.Session() as session:
        session.trust_env = False
        response = session.post(
            simulator.ews_url,
            data=stream_request(identity),
            auth=(ALICE, "alice's password"),
            headers={"Content-Type": "text/xml; charset=utf-8"},
            timeout=10,
        )
    assert response.headers["Transfer-Encoding"] == "chunked"
    parts = response.content.split(b"<?xml")[1:]
    assert [b">OK<" in one for one in parts] == [True, False, False]
    assert [b"NewMailEvent" in one for one in parts] == [False, True, False]
    assert [b">Closed<" in one for one in parts] == [False, False, True]


def stream_request(identity: str) -> bytes:
    return (
        "<?xml version='1.0' encoding='utf-8'?>"
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages" '
        'xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"><s:Body>'
        f"<m:GetStreamingEvents><m:SubscriptionIds><t:SubscriptionId>{identity}"
        "</t:SubscriptionId></m:SubscriptionIds><m:ConnectionTimeout>1</m:ConnectionTimeout>"
        "</m:GetStreamingEvents></s:Body></s:Envelope>"
    ).encode()


def test_who_unsubscribes_hears_nothing_any_more(
    alice: Account, simulator: ExchangeSimulator
) -> None:
    identity = alice.inbox.subscribe_to_streaming()
    assert simulator.control.subscribed() == [ALICE]
    assert alice.inbox.unsubscribe(identity) is True
    assert simulator.control.subscribed() == []
    with pytest.raises(ErrorSubscriptionNotFound):
        alice.inbox.unsubscribe(identity)
    with pytest.raises(ErrorSubscriptionNotFound):
        streamed(alice, identity)


def test_a_subscription_of_one_sort_is_none_of_the_other(alice: Account) -> None:
    pulled, watermark = alice.inbox.subscribe_to_pull(timeout=1440)
    with pytest.raises(ErrorInvalidSubscription):
        streamed(alice, pulled)
    with pytest.raises(ErrorInvalidPullSubscriptionId):
        list(alice.inbox.get_events(alice.inbox.subscribe_to_streaming(), watermark))
    with pytest.raises(ErrorInvalidWatermark):
        list(alice.inbox.get_events(pulled, "bm9uc2Vuc2U="))


def test_a_pull_subscription_expires_when_nobody_asks(
    alice: Account, simulator: ExchangeSimulator
) -> None:
    identity, watermark = alice.inbox.subscribe_to_pull(timeout=1440)
    simulator.control.expire_subscriptions()
    with pytest.raises(ErrorExpiredSubscription):
        list(alice.inbox.get_events(identity, watermark))
    with pytest.raises(ErrorSubscriptionNotFound):
        list(alice.inbox.get_events(identity, watermark))
    simulator.control.shorten_minutes(0)
    identity, watermark = alice.inbox.subscribe_to_pull(timeout=1)
    with pytest.raises(ErrorExpiredSubscription):
        list(alice.inbox.get_events(identity, watermark))


def test_there_are_not_more_than_twenty_subscriptions_of_a_mailbox(
    alice: Account, bob: Account
) -> None:
    for _ in range(20):
        alice.inbox.subscribe_to_streaming()
    with pytest.raises(ErrorExceededSubscriptionCount):
        alice.inbox.subscribe_to_streaming()
    bob.inbox.subscribe_to_streaming()


def test_an_event_that_is_forgotten_is_not_found(
    alice: Account, simulator: ExchangeSimulator
) -> None:
    identity, watermark = alice.inbox.subscribe_to_pull(timeout=1440)
    simulator.control.deliver_many([(ALICE, mail("x"))] * (KEPT // 2 + 1))
    with pytest.raises(ErrorEventNotFound):
        list(alice.inbox.get_events(identity, watermark))


def opened(
    account: Account, identity: str, simulator: ExchangeSimulator
) -> tuple[threading.Thread, list[Exception]]:
    """A stream that is open, and what it will end with."""
    simulator.control.shorten_minutes(3600)
    met: list[Exception] = []

    def listen() -> None:
        try:
            list(account.inbox.get_streaming_events(identity, connection_timeout=1))
        except (EWSError, requests.RequestException) as error:
            met.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    while simulator.control.open_streams() != 1:
        pass
    return thread, met


def test_an_open_stream_is_told_that_its_subscriptions_are_lost(
    alice: Account, simulator: ExchangeSimulator
) -> None:
    thread, met = opened(alice, alice.inbox.subscribe_to_streaming(), simulator)
    simulator.control.lose_subscriptions()
    thread.join(10)
    assert [type(one) for one in met] == [ErrorSubscriptionNotFound]
    assert simulator.control.open_streams() == 0


def test_a_stream_can_be_cut_without_being_closed(
    alice: Account, simulator: ExchangeSimulator
) -> None:
    thread, met = opened(alice, alice.inbox.subscribe_to_streaming(), simulator)
    simulator.control.cut_streams()
    thread.join(10)
    assert len(met) == 1
    assert not isinstance(met[0], ErrorSubscriptionNotFound)
    assert simulator.control.subscribed() == [ALICE]
    assert simulator.control.open_streams() == 0


def test_faults_on_demand_befall_streams_too(alice: Account, simulator: ExchangeSimulator) -> None:
    identity = alice.inbox.subscribe_to_streaming()
    simulator.control.add_fault(
        Fault(
            kind="message",
            operation="GetStreamingEvents",
            code="ErrorExpiredSubscription",
            times=1,
        )
    )
    with pytest.raises(ErrorExpiredSubscription):
        streamed(alice, identity)
    assert streamed(alice, identity) == []
