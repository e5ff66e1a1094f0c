"""Connection slots and rates of requests in real Redis."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import redis

from syncservice.domain.faults import Fault, FaultError, Nature
from syncservice.servers.slots import Slots

LEASE = timedelta(minutes=5)
RETRY = timedelta(seconds=10)


@pytest.fixture
def slots(redis_client) -> Slots:
    return Slots(redis_client, LEASE, RETRY)


def test_no_more_holders_than_slots_however_many_ask_at_once(slots):
    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(lambda n: slots.take({"profile:1": 7}, f"holder-{n}"), range(200)))
    assert sum(taken) == 7


def test_a_slot_given_back_is_free_for_another(slots):
    one = {"profile:1": 1}
    assert slots.take(one, "a")
    assert not slots.take(one, "b")
    slots.give_back(one, "a")
    assert slots.take(one, "b")


def test_taking_again_renews_and_never_takes_a_second_slot(slots):
    two = {"profile:1": 2}
    assert slots.take(two, "a")
    assert slots.take(two, "a")
    assert slots.take(two, "b")
    assert slots.take(two, "a")  # a full house still renews its own
    assert not slots.take(two, "c")


def test_a_mailbox_has_one_conversation_and_one_that_is_refused_holds_no_other_slot(slots):
    assert slots.take({"mailbox:1": 1, "profile:1": 2}, "a")
    assert not slots.take({"mailbox:1": 1, "profile:1": 2}, "b")  # its mailbox is taken
    assert slots.take({"mailbox:2": 1, "profile:1": 2}, "c")  # so the profile's second is free


def test_a_server_that_bears_fewer_than_are_held_gives_none_until_they_are_back(slots):
    for holder in "abc":
        assert slots.take({"profile:1": 4}, holder)
    assert not slots.take({"profile:1": 2}, "d")
    slots.give_back({"profile:1": 2}, "a")
    assert not slots.take({"profile:1": 2}, "d")
    slots.give_back({"profile:1": 2}, "b")
    assert slots.take({"profile:1": 2}, "d")


def test_a_dead_holder_loses_its_slot_when_its_lease_ends_though_others_go_on(slots, redis_client):
    short = Slots(redis_client, timedelta(milliseconds=1), RETRY)
    assert short.take({"profile:1": 2}, "dead")
    assert slots.take({"profile:1": 2}, "alive")  # keeps the whole key from expiring
    attempts = (slots.take({"profile:1": 2}, "new") for _ in range(10_000))
    assert any(attempts)  # Redis' clock moves on by itself, a round trip at a time


def test_accounts_do_not_share_slots(slots):
    assert slots.take({"profile:1": 1}, "a")
    assert slots.take({"profile:2": 1}, "b")


def test_holding_refuses_with_a_time_to_come_back_and_gives_back_on_an_error(slots):
    with (
        slots.hold({"profile:1": 1}, "a"),
        pytest.raises(FaultError) as refused,
        slots.hold({"profile:1": 1}, "b"),
    ):
        pytest.fail("a second holder of one slot")
    assert (refused.value.fault.nature, refused.value.fault.retry_after) == (Nature.LIMITED, RETRY)
    with pytest.raises(RuntimeError, match="boom"), slots.hold({"profile:1": 1}, "c"):
        raise RuntimeError("boom")
    assert slots.take({"profile:1": 1}, "d")


def test_without_redis_no_slot_is_given_and_the_fault_says_why():
    nowhere = Slots(redis.Redis(port=1, socket_connect_timeout=1), LEASE, RETRY)
    with pytest.raises(FaultError) as caught:
        nowhere.take({"profile:1": 1}, "a")
    assert caught.value.fault.code == "redis.unavailable"
    assert (caught.value.fault.nature, caught.value.fault.retry_after) == (Nature.LIMITED, RETRY)
    with pytest.raises(FaultError):
        nowhere.meter("1", 5)()


def test_a_server_gets_no_more_requests_a_second_than_it_may_from_all_together(slots, redis_client):
    refusals: list[Fault] = []

    def spends(_: int) -> bool:
        try:
            slots.meter("1", 50)()
        except FaultError as error:
            refusals.append(error.fault)
            return False
        return True

    began = redis_client.time()
    with ThreadPoolExecutor(8) as pool:
        granted = sum(pool.map(spends, range(2000)))
    ended = redis_client.time()
    seconds = ended[0] - began[0] + (ended[1] - began[1]) / 1e6
    assert 50 <= granted <= 50 + seconds * 50 + 1
    assert {refusal.nature for refusal in refusals} == {Nature.LIMITED}
    assert max(refusal.retry_after for refusal in refusals) <= timedelta(milliseconds=20)


def test_a_server_without_a_rate_is_never_held_back(slots):
    for _ in range(100):
        slots.meter("1", 0)()


def test_servers_do_not_share_their_rates(slots):
    slots.meter("1", 1)()
    slots.meter("2", 1)()
    with pytest.raises(FaultError):
        slots.meter("1", 1)()


def test_a_conversation_that_has_begun_may_end_before_others_begin(slots):
    begun = slots.meter("1", 5)
    for _ in range(10):  # a bucketful, and a second's debt
        begun()
    with pytest.raises(FaultError):
        begun()
    with pytest.raises(FaultError) as refused:
        slots.meter("1", 5)()
    assert timedelta(seconds=1) < refused.value.fault.retry_after <= timedelta(seconds=1.2)
