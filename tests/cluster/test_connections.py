"""No mail server is overrun: counted by the server itself, against eight visiting processes."""

import pytest
from django.db.models import Count
from kombu import Connection

from beat.scheduler import publish
from syncservice.crm.models import Email
from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import EmailServerProfile, Schedule, VisitStatistics
from syncservice.simulator.exchange import ExchangeSimulator
from syncservice.simulator.exchange.faults import Fault
from tests import factories
from tests.cluster.processes import wait_until
from tests.memory_gateway import mime
from workers.app import app

MAILBOXES = 24
SLOTS = 3
ENVIRONMENT = {
    "CLAIM_LEASE_SECONDS": "3",
    "SLOT_RETRY_SECONDS": "0.2",
    "POLL_SHORTEST_SECONDS": "0.5",
    "POLL_NORMAL_SECONDS": "0.5",
    "POLL_LONGEST_SECONDS": "0.5",
    "MAILBOXES_CONCURRENCY": "4",
}


@pytest.fixture
def simulator(transactional_db):
    with ExchangeSimulator() as running:
        running.control.create_service_account("svc", "pw")
        yield running


@pytest.fixture
def profile(simulator):
    """Its mailboxes hold a mail each, and its server takes its time, so that visits overlap."""
    made = factories.profile(
        location=simulator.ews_url,
        username="svc",
        password="pw",
        maximum_concurrent_connections=SLOTS,
    )
    addresses = [f"user{number}@example.test" for number in range(MAILBOXES)]
    simulator.control.create_mailboxes(dict.fromkeys(addresses, "pw"))
    simulator.control.deliver_many([(to, mime(f"mail to {to}")) for to in addresses])
    simulator.control.add_fault(Fault(kind="slow", seconds=0.1))
    for address in addresses:
        factories.mailbox(email_address=address, profile=made)
    return made


def publish_more_than_the_server_bears(profile: EmailServerProfile) -> None:
    """Claim every mailbox at once, as no beat would: now the slots alone hold visits back."""
    profile.maximum_concurrent_connections = MAILBOXES
    profile.save()
    messages = schedule.claim_due(MAILBOXES, factories.LEASE).messages
    profile.maximum_concurrent_connections = SLOTS
    profile.save()
    assert len(messages) == MAILBOXES
    with Connection(app.conf.broker_url) as broker, app.amqp.Producer(broker) as producer:
        publish(app, producer, messages)


def visits_of_each() -> list[int]:
    counted = VisitStatistics.objects.values("mailbox").annotate(visits=Count("pk"))
    found = [row["visits"] for row in counted]
    return found + [0] * (MAILBOXES - len(found))


def test_eight_processes_never_open_more_connections_than_the_profile_allows(
    simulator, profile, start_worker, start_beat
):
    for _ in range(2):
        start_worker("mailboxes", env=ENVIRONMENT)
    publish_more_than_the_server_bears(profile)
    start_beat(env=ENVIRONMENT)
    wait_until(lambda: min(visits_of_each()) >= 2, 90, "each mailbox is visited twice")

    assert simulator.control.statistics().peak_connections == SLOTS  # all used, none over
    assert Email.objects.count() == MAILBOXES
    assert not Schedule.objects.exclude(fault_code="").exists()


def test_the_slots_of_a_killed_worker_return(simulator, profile, start_worker, start_beat):
    hang = simulator.control.add_fault(Fault(kind="hang"))
    start_beat(env=ENVIRONMENT)
    worker = start_worker("mailboxes", env=ENVIRONMENT)

    def all_slots_are_held() -> bool:
        return simulator.control.statistics().open_connections == SLOTS

    wait_until(all_slots_are_held, what="the worker holds every slot")
    worker.kill()
    simulator.control.remove_fault(hang)
    start_worker("mailboxes", env=ENVIRONMENT)
    wait_until(lambda: min(visits_of_each()) >= 1, 90, "another worker visits every mailbox")
    assert simulator.control.statistics().peak_connections == SLOTS


def test_all_processes_together_make_no_more_requests_a_second_than_the_profile_allows(
    simulator, profile, start_worker, start_beat
):
    rate = 10
    profile.maximum_requests_per_second = rate
    profile.maximum_concurrent_connections = 8
    profile.save()
    simulator.control.clear_faults()
    for _ in range(2):
        start_worker("mailboxes", env=ENVIRONMENT)
    start_beat(env=ENVIRONMENT)
    wait_until(lambda: Email.objects.count() == MAILBOXES, 90, "all mail is stored")
    wait_until(lambda: min(visits_of_each()) >= 2, 90, "each mailbox is visited twice")

    times = VisitStatistics.objects.order_by("finished_at").values_list("finished_at", flat=True)
    seconds = (list(times)[-1] - times[0]).total_seconds()
    requests = sum(VisitStatistics.objects.values_list("requests", flat=True))
    # Besides a full bucket, a second's debt and the time that the first visits took.
    assert requests <= rate * (seconds + 3)
    assert requests >= 2 * MAILBOXES
