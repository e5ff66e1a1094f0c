"""Workers killed at random points of a visit: every message is there exactly once."""

import random
import threading
from collections import Counter

import pytest
from django.db.models import Count

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import ActivityParty, Email
from syncservice.mailboxes.models import RemoteItem, Schedule
from syncservice.simulator.exchange import ExchangeSimulator
from tests import factories
from tests.cluster.processes import WorkerProcess, wait_until
from tests.memory_gateway import mime

#: Of a kill.
MESSAGES = 10
#: Short leases, so that work lost with a worker comes round soon; and a visit that outlives its
#: lease meets a second one, which must not double anything either.
ENVIRONMENT = {
    "CLAIM_LEASE_SECONDS": "0.5",
    "SLOT_RETRY_SECONDS": "0.1",
    "POLL_SHORTEST_SECONDS": "0.1",
    "POLL_NORMAL_SECONDS": "0.1",
    "POLL_LONGEST_SECONDS": "0.2",
    "PAGE_IDS": "20",
    "BATCH_MESSAGES": "3",
    "MAILBOXES_CONCURRENCY": "1",
}


@pytest.fixture
def mailbox(transactional_db, kills):
    with ExchangeSimulator() as simulator:
        simulator.control.create_service_account("svc", "pw")
        simulator.control.create_mailbox("user@example.test", "pw")
        profile = factories.profile(location=simulator.ews_url, username="svc", password="pw")
        box = factories.mailbox(email_address="user@example.test", profile=profile)
        simulator.control.deliver_many(
            [(box.email_address, mime(f"mail {number}")) for number in range(kills * MESSAGES)]
        )
        yield box


def kill_visit(worker: WorkerProcess) -> None:
    """SIGKILL the process that makes the visits; its parent forks another."""
    for child in worker.children():
        child.kill()


def test_a_worker_killed_again_and_again_stores_every_message_exactly_once(
    mailbox, kills, start_worker, start_beat, redis_client
):
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    print(f"seed={seed}")
    messages = kills * MESSAGES
    from workers.mailboxes import visit

    worker = start_worker("mailboxes", env=ENVIRONMENT)
    start_beat(env=ENVIRONMENT)
    # A kill at each of some random counts of stored messages: all over the mailbox, in any order
    # of claim, fetch, commit and outcome.
    for number, stored in enumerate(sorted(dice.sample(range(messages - 20), kills)), start=1):
        wait_until(lambda: Email.objects.count() >= stored, what=f"{stored} messages")  # noqa: B023
        threading.Event().wait(dice.random() * 0.03)  # any instruction of the next batch
        if number % 10 == 0:  # the whole worker, with its pool
            worker.kill()
            worker = start_worker("mailboxes", env=ENVIRONMENT)
        else:
            kill_visit(worker)
        if number % 4 == 0:  # the same claim delivered three times
            row = Schedule.objects.get()
            for _ in range(3):
                visit.delay(row.mailbox_id, row.lane, row.fence)
        if number % 7 == 0:
            redis_client.flushdb()

    wait_until(lambda: Email.objects.count() >= messages, what="all messages")
    wait_until(lambda: Schedule.objects.get().empty_visits >= 2, what="two quiet visits")

    subjects = Counter(Email.objects.values_list("subject", flat=True))
    assert subjects == Counter(f"mail {number}" for number in range(messages))
    assert RemoteItem.objects.count() == messages
    parties = Email.objects.annotate(count=Count("parties")).values_list("count", flat=True)
    assert set(parties) == {2}
    assert ActivityParty.objects.count() == 2 * messages
    assert not ItemFailure.objects.exists()
