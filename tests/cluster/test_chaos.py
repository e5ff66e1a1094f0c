"""Three beats and four workers, killed at random while both stores come and go.

The stores are of this test alone: it restarts PostgreSQL and Redis. What is claimed is proved: each
message becomes one record and one link, no mailbox is forgotten, and of two visits of one mailbox
the older can't write any more. How often a claim was begun twice is counted and printed.
"""

import os
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import environ
import pytest
import redis
from django.core.management import call_command
from django.db import DatabaseError, connection

from syncservice.crm.models import Email
from syncservice.embedded import EmbeddedServers
from syncservice.mailboxes.models import RemoteItem, Schedule, VisitStatistics
from syncservice.simulator.exchange import ExchangeSimulator
from tests import factories
from tests.cluster.processes import (
    CELERY,
    BeatProcess,
    CeleryProcess,
    LocalProcess,
    WorkerProcess,
    wait_until,
)
from tests.memory_gateway import mime

MAILBOXES = 12
ENVIRONMENT = {
    "CLAIM_LEASE_SECONDS": "2",
    "SLOT_RETRY_SECONDS": "0.2",
    "POLL_SHORTEST_SECONDS": "0.5",
    "POLL_NORMAL_SECONDS": "1",
    "POLL_LONGEST_SECONDS": "2",
    "DISPATCH_INTERVAL_SECONDS": "0.1",
    "PAGE_IDS": "20",
    "BATCH_MESSAGES": "3",
    "MAILBOXES_CONCURRENCY": "1",
    "VISIT_CRASHES": "100",  # it is us who kill the workers
}


@pytest.fixture
def stores(django_db_blocker) -> Iterator[EmbeddedServers]:
    """PostgreSQL and Redis that this test may restart; Django's connection goes there meanwhile."""
    with tempfile.TemporaryDirectory(prefix="syncservice-chaos-") as folder:
        Path(folder).chmod(0o755)
        with EmbeddedServers(Path(folder)) as servers, django_db_blocker.unblock():
            before = dict(connection.settings_dict)
            connection.close()
            connection.settings_dict |= environ.Env.db_url_config(servers.database_url)
            try:
                call_command("migrate", verbosity=0)
                yield servers
            finally:
                connection.close()
                connection.settings_dict.clear()
                connection.settings_dict |= before


class Crowd:
    """Processes of which one is killed now and then, and another started in its place."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._numbers = 0
        self.members: list[CeleryProcess] = []
        self.dead: list[CeleryProcess] = []

    def start(self, kind: type[CeleryProcess]) -> None:
        self._numbers += 1
        name = f"{'beat' if kind is BeatProcess else 'worker'}{self._numbers}"
        worker = ["worker", "-Q", "mailboxes", "-n", f"{name}@chaos"]
        arguments = ["beat"] if kind is BeatProcess else worker
        log = self._folder / f"{name}.log"
        self.members.append(kind(LocalProcess([*CELERY, *arguments], self._environment, log)))

    def kill(self, member: CeleryProcess) -> None:
        member.kill()
        self.members.remove(member)
        self.dead.append(member)
        self.start(type(member))

    def end(self) -> None:
        for member in self.members + self.dead:
            member.teardown()

    def log(self) -> str:
        return "".join(member.logs() for member in self.members + self.dead)


@pytest.fixture
def crowd(stores: EmbeddedServers, tmp_path: Path) -> Iterator[Crowd]:
    urls = {"DATABASE_URL": stores.database_url, "REDIS_URL": stores.redis_url}
    made = Crowd(os.environ | urls | ENVIRONMENT, tmp_path)
    yield made
    made.end()


#: Two minutes, as was promised, at night.
@pytest.mark.parametrize("seconds", [30, pytest.param(120, marks=pytest.mark.nightly)])
def test_chaos_loses_and_doubles_nothing(stores, crowd, seconds):
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    addresses = [f"user{number}@example.test" for number in range(MAILBOXES)]
    with ExchangeSimulator() as simulator:
        simulator.control.create_service_account("svc", "pw")
        simulator.control.create_mailboxes(dict.fromkeys(addresses, "pw"))
        profile = factories.profile(location=simulator.ews_url, username="svc", password="pw")
        for address in addresses:
            factories.mailbox(email_address=address, profile=profile)
        for kind in [BeatProcess] * 3 + [WorkerProcess] * 4:
            crowd.start(kind)

        sent: Counter[str] = Counter()
        done: Counter[str] = Counter()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            letters = [
                (address, f"mail {sent.total() + number}")
                for number, address in enumerate(dice.choices(addresses, k=8))
            ]
            simulator.control.deliver_many([(to, mime(text)) for to, text in letters])
            sent.update(text for _, text in letters)
            deed = dice.choices(
                ["kill worker", "kill beat", "flush", "restart redis", "restart postgresql"],
                [8, 4, 3, 1, 1],
            )[0]
            done[deed] += 1
            if deed.startswith("kill"):
                kind = WorkerProcess if deed == "kill worker" else BeatProcess
                crowd.kill(dice.choice([one for one in crowd.members if type(one) is kind]))
            elif deed == "flush":
                with redis.Redis.from_url(stores.redis_url) as client:
                    client.flushall()
            elif deed == "restart redis":
                stores.restart_redis()
            else:
                connection.close()
                stores.restart_postgresql()
            seen = Email.objects.count()
            wait_until(
                lambda seen=seen: Email.objects.count() > seen or time.monotonic() > end,
                60,
                f"mail gets through after {deed}",
            )

        wait_until(lambda: Email.objects.count() >= sent.total(), 120, "all mail is stored")
        fences = dict(Schedule.objects.values_list("mailbox", "fence"))
        wait_until(lambda: all_visited_since(fences), 120, "every mailbox is visited again")

    assert Counter(Email.objects.values_list("subject", flat=True)) == sent
    assert RemoteItem.objects.count() == sent.total()
    assert not Schedule.objects.filter(parked_at__isnull=False).exists()
    log = crowd.log()
    lost = len(re.findall("visit.claim_lost", log))
    visits = VisitStatistics.objects.count()
    print(
        f"chaos  seed={seed}  seconds={seconds}  {dict(done)}  mails={sent.total()}  "
        f"visits={visits}  claims_lost={lost}  "
        f"leases_ended={len(re.findall('lease.expired', log))}"
    )


def all_visited_since(fences: dict[int, int]) -> bool:
    try:
        return all(
            VisitStatistics.objects.filter(mailbox=box, fence__gt=fence, fault_code="").exists()
            for box, fence in fences.items()
        )
    except DatabaseError:
        connection.close()
        return False
