"""Redis and PostgreSQL taken away, filled, slowed down and locked under a working cluster.

The stores are this module's own. Each test does something to one of them while mail comes in, and
asks for the same in the end: every message once, nobody switched off or parked, the same processes
as before, one line a trouble in their logs, and no traceback.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from urllib.parse import urlsplit

import psycopg2
import pytest
import redis
from django.core.management import call_command
from django.db import connection

from syncservice.alerts.models import Alert
from syncservice.crm.models import Email
from syncservice.embedded import EmbeddedServers
from syncservice.mailboxes.models import Direction, RemoteItem, Schedule
from syncservice.simulator.exchange import ExchangeSimulator
from tests import factories
from tests.cluster.processes import wait_until
from tests.disks import full, small_disk
from tests.memory_gateway import mime
from tests.proxy import Mood, Proxy

pytestmark = pytest.mark.xdist_group("stores")

BOXES = 4
#: Everything that is waited for is short, so that an outage of seconds is a long one.
ENVIRONMENT = {
    "CLAIM_LEASE_SECONDS": "2",
    "POLL_SHORTEST_SECONDS": "0.3",
    "POLL_NORMAL_SECONDS": "0.3",
    "POLL_LONGEST_SECONDS": "0.5",
    "SLOT_RETRY_SECONDS": "0.2",
    "BATCH_MESSAGES": "2",
    "DATABASE_LOCK_TIMEOUT_SECONDS": "1",
    "MAILBOXES_CONCURRENCY": "2",
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """PostgreSQL and Valkey of our own, to be mistreated."""
    with EmbeddedServers(tmp_path_factory.mktemp("stores"), durable=False) as running:
        yield running


@contextmanager
def connected_to(url: str) -> Iterator[None]:
    """Let this process use another database for the block."""
    parts = urlsplit(url)
    usual = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict |= {
        "HOST": parts.hostname,
        "PORT": parts.port,
        "NAME": parts.path[1:],
        "USER": parts.username,
        "PASSWORD": parts.password,
    }
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict |= usual


@pytest.fixture
def database(stores, django_db_blocker):
    with django_db_blocker.unblock(), connected_to(stores.database_url):
        call_command("migrate", verbosity=0)
        yield
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture
def to_redis(stores) -> Iterator[Proxy]:
    with Proxy(stores.redis_url) as proxy:
        yield proxy


@pytest.fixture
def to_postgresql(stores) -> Iterator[Proxy]:
    with Proxy(stores.database_url) as proxy:
        yield proxy


@pytest.fixture
def environment(database, to_redis, to_postgresql) -> dict[str, str]:
    """In place of the one in conftest.py: the stores of this module, by way of the proxies."""
    urls = {"DATABASE_URL": to_postgresql.url, "REDIS_URL": to_redis.url}
    return os.environ | ENVIRONMENT | urls


class Cluster:
    """A beat and a worker on every queue, and mailboxes whose mail they fetch."""

    def __init__(self, simulator, boxes, start_worker, beat) -> None:
        self._simulator = simulator
        self._boxes = boxes
        self._start_worker = start_worker
        self.worker = start_worker()
        self.beat = beat
        self.is_supervised = False  # else a worker that ends by itself is a fault
        self._delivered: list[str] = []

    def deliver(self, size: int = 10) -> None:
        """A new message for everybody, with a file of this size."""
        for box in self._boxes:
            self._delivered.append(f"mail {len(self._delivered)}")
            letter = mime(self._delivered[-1], attached=os.urandom(size))
            self._simulator.control.deliver(box.email_address, letter)

    def delivered(self) -> list[str]:
        return sorted(self._delivered)

    def stored(self) -> list[str]:
        return sorted(Email.objects.values_list("subject", flat=True))

    def _is_all_stored(self) -> bool:
        if self.is_supervised and self.worker.exit_code is not None:
            self.worker = self._start_worker()
        return self.stored() == self.delivered()

    def settle(self, timeout: float = 180) -> None:
        """Wait until all mail is stored, then look that nothing else happened."""
        wait_until(self._is_all_stored, timeout, "all mail is stored")
        assert RemoteItem.objects.count() == len(self._delivered)
        assert not Schedule.objects.exclude(parked_at=None).exists()
        incoming = Direction.objects.filter(kind=Direction.Kind.INCOMING)
        assert set(incoming.values_list("is_enabled", "disabled_code")) == {(True, "")}
        assert list(Alert.objects.filter(severity__gte=2, ended_at=None)) == []
        for process in (self.worker, self.beat):
            assert process.exit_code is None
            assert "Traceback" not in process.logs()


@pytest.fixture
def cluster(environment, start_worker, start_beat) -> Iterator[Cluster]:
    with ExchangeSimulator() as simulator:
        simulator.control.create_service_account("svc", "pw")
        profile = factories.profile(location=simulator.ews_url, username="svc", password="pw")
        boxes = [factories.mailbox(profile=profile) for _ in range(BOXES)]
        for box in boxes:
            simulator.control.create_mailbox(box.email_address, "pw")
        options = ("--without-gossip", "--without-mingle")
        cluster = Cluster(simulator, boxes, lambda: start_worker(options=options), start_beat())
        cluster.deliver()
        cluster.settle()
        yield cluster


def a_while(seconds: float) -> None:
    """Let an outage last; there is nothing to wait for."""
    threading.Event().wait(seconds)


# --- Redis ---------------------------------------------------------------------------------------


def test_redis_restarted_empty(cluster, stores):
    for _ in range(3):
        cluster.deliver()
        stores.restart_redis()
    cluster.settle()


def test_redis_full(cluster, stores):
    with redis.Redis.from_url(stores.redis_url) as client:
        client.config_set("maxmemory", "1")  # every command that writes is refused
        cluster.deliver()
        cluster.beat.wait_for_log("dispatch.broker_unavailable")
        client.config_set("maxmemory", "0")
    # Celery may end itself, when what is refused is its own note of a message that it took.
    cluster.is_supervised = True
    cluster.settle()


@pytest.mark.parametrize("mood", [Mood.ABSENT, Mood.MUTE])
def test_redis_unreachable(cluster, to_redis, mood):
    to_redis.mood = mood
    if mood is Mood.ABSENT:
        to_redis.cut()
    cluster.deliver()
    a_while(6)
    to_redis.mood = Mood.RELAYS
    cluster.settle()


def test_redis_slow(cluster, to_redis):
    to_redis.delay = 0.1  # an answer
    cluster.deliver()
    cluster.settle(timeout=300)  # while it is slow


def test_redis_so_slow_that_leases_end_in_the_queue(cluster, to_redis):
    to_redis.delay = 2
    cluster.deliver()
    cluster.beat.wait_for_log("lease.expired", timeout=180)
    to_redis.delay = 0
    cluster.settle()


# --- PostgreSQL ----------------------------------------------------------------------------------


def test_postgresql_restarted(cluster, stores):
    for _ in range(3):
        cluster.deliver()
        stores.restart_postgresql()
        connection.close()
    cluster.settle()


@pytest.mark.parametrize("mood", [Mood.ABSENT, Mood.MUTE])
def test_postgresql_unreachable(cluster, to_postgresql, mood):
    to_postgresql.mood = mood
    if mood is Mood.ABSENT:
        to_postgresql.cut()
    cluster.deliver()
    a_while(6)
    to_postgresql.mood = Mood.RELAYS
    cluster.settle()


def test_postgresql_slow(cluster, to_postgresql):
    to_postgresql.delay = 0.2  # an answer; a visit has some thirty
    cluster.deliver()
    cluster.settle(timeout=300)  # while it is slow


def test_postgresql_out_of_connections(cluster, stores):
    with ExitStack() as taken:

        def beat_finds_none() -> bool:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND application_name = 'syncservice'"
                )
            with suppress(psycopg2.OperationalError):
                while True:
                    taken.enter_context(closing(psycopg2.connect(stores.database_url)))
            return "dispatch.database_unavailable" in cluster.beat.logs()

        wait_until(beat_finds_none, what="a beat that gets no connection")
        cluster.deliver()
        a_while(3)
    cluster.settle()


LOCKS = {
    "a lane": "SELECT FROM mailboxes_schedule ORDER BY id LIMIT 1 FOR UPDATE",
    "a server": "SELECT FROM mailboxes_serverhealth FOR UPDATE",
    "all lanes": "LOCK TABLE mailboxes_schedule",
    "all email": "LOCK TABLE crm_email",
    "all statistics": "LOCK TABLE mailboxes_visitstatistics",
}


@pytest.mark.parametrize("statement", LOCKS.values(), ids=LOCKS)
def test_somebody_holds_a_lock_in_psql(cluster, stores, statement):
    with closing(psycopg2.connect(stores.database_url)) as psql, psql.cursor() as cursor:
        cursor.execute(statement)
        cluster.deliver()
        a_while(4)
        psql.rollback()
    cluster.settle()


# --- The disk ------------------------------------------------------------------------------------


class TestDisk:
    """PostgreSQL's data on a disk that is full for a while."""

    @pytest.fixture
    def stores(self, tmp_path_factory):
        with (
            small_disk(tmp_path_factory.mktemp("disk"), 200) as disk,
            EmbeddedServers(disk / "data", durable=False) as running,
        ):
            yield running

    def test_the_disk_full(self, cluster, stores):
        with full(stores.folder.parent):
            cluster.deliver(size=3_000_000)
            cluster.worker.wait_for_log("No space left on device")
        assert cluster.stored() < cluster.delivered()
        stores.revive()
        cluster.settle()
