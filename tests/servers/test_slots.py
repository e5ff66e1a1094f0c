"""Connection slots in real Redis."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import redis

from syncservice.domain.faults import FaultError, Nature
from syncservice.servers.slots import Slots

LEASE = timedelta(minutes=5)


@pytest.fixture
def slots(redis_client) -> Slots:
    return Slots(redis_client, LEASE)


def test_no_more_holders_than_slots_however_many_ask_at_once(slots):
    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(lambda n: slots.take("profile:1", f"holder-{n}", 7), range(200)))
    assert sum(taken) == 7


def test_a_slot_given_back_is_free_for_another(slots):
    assert slots.take("profile:1", "a", 1)
    assert not slots.take("profile:1", "b", 1)
    slots.give_back("profile:1", "a")
    assert slots.take("profile:1", "b", 1)


def test_taking_again_renews_and_never_takes_a_second_slot(slots):
    assert slots.take("profile:1", "a", 2)
    assert slots.take("profile:1", "a", 2)
    assert slots.take("profile:1", "b", 2)
    assert slots.take("profile:1", "a", 2)  # a full house still renews its own


def test_a_dead_holder_loses_its_slot_when_its_lease_ends_though_others_go_on(slots, redis_client):
    short = Slots(redis_client, timedelta(milliseconds=1))
    assert short.take("profile:1", "dead", 2)
    assert slots.take("profile:1", "alive", 2)  # keeps the whole key from expiring
    attempts = (slots.take("profile:1", "new", 2) for _ in range(10_000))
    assert any(attempts)  # Redis' clock moves on by itself, a round trip at a time


def test_accounts_do_not_share_slots(slots):
    assert slots.take("profile:1", "a", 1)
    assert slots.take("profile:2", "b", 1)


def test_holding_says_when_all_are_taken_and_gives_back_on_an_error(slots):
    with slots.hold("profile:1", "a", 1) as held, slots.hold("profile:1", "b", 1) as second:
        assert held
        assert not second
    with pytest.raises(RuntimeError, match="boom"), slots.hold("profile:1", "c", 1):
        raise RuntimeError("boom")
    assert slots.take("profile:1", "d", 1)


def test_without_redis_no_slot_is_given_and_the_fault_says_why():
    nowhere = Slots(redis.Redis(port=1, socket_connect_timeout=1), LEASE)
    with pytest.raises(FaultError) as caught:
        nowhere.take("profile:1", "a", 1)
    assert caught.value.fault.code == "redis.unavailable"
    assert caught.value.fault.nature is Nature.TRANSIENT
