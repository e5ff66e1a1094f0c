"""A worker told to stop: warm, while a server hangs, soft and cold. Nothing is lost or doubled."""

from collections import Counter

import pytest

from syncservice.crm.models import Email
from syncservice.mailboxes.models import Schedule, VisitStatistics
from syncservice.simulator.exchange import ExchangeSimulator
from syncservice.simulator.exchange.faults import Fault
from tests import factories
from tests.cluster.processes import wait_until
from tests.cluster.test_dispatch import mute_server
from tests.memory_gateway import mime

MESSAGES = 120
ENVIRONMENT = {
    "CLAIM_LEASE_SECONDS": "2",
    "POLL_SHORTEST_SECONDS": "0.1",
    "POLL_NORMAL_SECONDS": "0.1",
    "POLL_LONGEST_SECONDS": "0.2",
    "PAGE_IDS": "50",
    "BATCH_MESSAGES": "2",
    "MAILBOXES_CONCURRENCY": "1",
}


@pytest.fixture
def mailbox(transactional_db):
    """A mailbox whose first visit takes some seconds: each fetch of two messages is slow."""
    with ExchangeSimulator() as simulator:
        simulator.control.create_service_account("svc", "pw")
        simulator.control.create_mailbox("user@example.test", "pw")
        simulator.control.add_fault(Fault(kind="slow", operation="GetItem", seconds=0.05))
        profile = factories.profile(location=simulator.ews_url, username="svc", password="pw")
        box = factories.mailbox(email_address="user@example.test", profile=profile)
        simulator.control.deliver_many(
            [(box.email_address, mime(f"mail {number}")) for number in range(MESSAGES)]
        )
        yield box


def every_message_is_there_once() -> bool:
    expected = Counter(f"mail {number}" for number in range(MESSAGES))
    return Counter(Email.objects.values_list("subject", flat=True)) == expected


def test_a_terminated_worker_finishes_its_batch_and_another_goes_on_from_there(
    mailbox, start_worker, start_beat
):
    beat = start_beat(env=ENVIRONMENT)
    worker = start_worker("mailboxes", env=ENVIRONMENT)
    wait_until(lambda: Email.objects.count() >= 10, what="the visit is under way")
    beat.terminate()
    worker.terminate(timeout=60)

    assert worker.exit_code == 0
    visit = VisitStatistics.objects.get()
    stored = Email.objects.count()
    assert 10 <= visit.stored == stored < MESSAGES  # it ended in order, with what it had
    row = Schedule.objects.get()
    assert (row.claimed_at, row.reason) == (None, visit.reason)
    assert "stopped" in row.reason

    start_beat(env=ENVIRONMENT)
    start_worker("mailboxes", env=ENVIRONMENT)
    wait_until(every_message_is_there_once, what="another worker stores the rest")
    assert VisitStatistics.objects.order_by("-fence").first().stored <= MESSAGES - stored


def test_a_terminated_worker_does_not_wait_for_a_server_that_hangs(start_worker, start_beat):
    with mute_server() as (server, url):
        factories.mailbox(profile=factories.profile(location=url, timeout_seconds=100))
        beat = start_beat(env=ENVIRONMENT)
        worker = start_worker("mailboxes", env=ENVIRONMENT | {"STOP_PATIENCE_SECONDS": "1"})
        conversation, _ = server.accept()  # the visit has begun
        beat.terminate()
        worker.terminate(timeout=60)
        conversation.close()
    assert worker.exit_code == 0
    row = Schedule.objects.get()
    assert (row.claimed_at, row.failures) == (None, 0)  # nobody is blamed
    assert "stopped" in row.reason


def test_what_a_cold_shutdown_breaks_off_comes_round_with_its_lease(
    mailbox, start_worker, start_beat
):
    start_beat(env=ENVIRONMENT)
    worker = start_worker("mailboxes", env=ENVIRONMENT)
    wait_until(lambda: Email.objects.count() >= 10, what="the visit is under way")
    worker.container.kill("SIGQUIT")
    wait_until(lambda: worker.exit_code is not None, 30, "the worker ends")

    start_worker("mailboxes", env=ENVIRONMENT)
    wait_until(every_message_is_there_once, what="another worker stores the rest")


def test_a_soft_shutdown_lets_a_running_visit_end(mailbox, start_worker, start_beat):
    beat = start_beat(env=ENVIRONMENT)
    soft = {"REMAP_SIGTERM": "SIGQUIT", "WORKER_SOFT_SHUTDOWN_SECONDS": "8"}
    worker = start_worker("mailboxes", env=ENVIRONMENT | soft)
    wait_until(lambda: Email.objects.count() >= 10, what="the visit is under way")
    beat.terminate()
    worker.terminate(timeout=60)
    assert Schedule.objects.get().claimed_at is None
    assert VisitStatistics.objects.get().stored == MESSAGES
    assert every_message_is_there_once()
