"""Nobody waits for another's trouble: neither for a hanging server nor for a flooded queue."""

import redis as redis_package
from kombu import Connection

from beat.scheduler import publish
from syncservice.mailboxes.models import Schedule, VisitStatistics
from syncservice.simulator.exchange import ExchangeSimulator
from tests import factories
from tests.cluster.processes import WorkerProcess, wait_until
from tests.cluster.test_dispatch import mute_server
from workers.app import app
from workers.capacity import visiting_processes

FLOOD = 10_000
QUICK = {
    "POLL_SHORTEST_SECONDS": "0.5",
    "POLL_NORMAL_SECONDS": "0.5",
    "POLL_LONGEST_SECONDS": "1",
}


def test_a_hanging_server_leaves_the_mailboxes_of_others_their_visits(
    start_worker, start_beat, redis_client
):
    start_worker("mailboxes", env=QUICK | {"MAILBOXES_CONCURRENCY": "4"})
    wait_until(lambda: visiting_processes(redis_client) == 4, what="the worker tells its size")
    with mute_server() as (_, url), ExchangeSimulator() as simulator:
        hanging = factories.profile(location=url, timeout_seconds=60)
        for _ in range(20):
            factories.mailbox(profile=hanging)
        simulator.control.create_service_account("svc", "pw")
        well = factories.profile(location=simulator.ews_url, username="svc", password="pw")
        boxes = [factories.mailbox(profile=well) for _ in range(5)]
        simulator.control.create_mailboxes({box.email_address: "pw" for box in boxes})
        start_beat(env=QUICK)

        hanging_visits = Schedule.objects.filter(profile=hanging, started_at__isnull=False)
        most = 0

        def others_had_three_visits_each() -> bool:
            nonlocal most
            most = max(most, hanging_visits.count())
            return all(VisitStatistics.objects.filter(mailbox=box).count() >= 3 for box in boxes)

        wait_until(others_had_three_visits_each, 50, "the others are visited")
        # All that while the hanging visits were under way, on half of the processes.
        assert most == hanging_visits.count() == 2
        assert not VisitStatistics.objects.filter(mailbox__profile=hanging).exists()


def flood(queue_client: redis_package.Redis) -> None:
    """Fill the queue of mailboxes with claims that nobody holds any more."""
    with Connection(app.conf.broker_url) as broker, app.amqp.Producer(broker) as producer:
        publish(app, producer, [(number, "incoming", 0) for number in range(FLOOD)])
    assert queue_client.llen("mailboxes") >= FLOOD - 10


def is_served(worker: WorkerProcess, queue: str) -> bool:
    """A task that does nothing goes through a queue to its worker's end."""
    sent = app.send_task("celery.accumulate", queue=queue)
    worker.wait_for_log(f"celery.accumulate[{sent.id}] succeeded")
    return True


def test_while_ten_thousand_visits_wait_the_other_queues_are_served(
    start_worker, start_beat, redis_client
):
    outgoing = start_worker("outgoing_activities")
    operations = start_worker("async_operations")
    with mute_server() as (server, url):
        factories.mailbox(profile=factories.profile(location=url))
        start_worker("mailboxes", env={"MAILBOXES_CONCURRENCY": "1"})
        start_beat()
        conversation, _ = server.accept()  # the only visiting process is busy
        flood(redis_client)
        assert is_served(outgoing, "outgoing_activities")
        assert is_served(operations, "async_operations")
        assert redis_client.llen("mailboxes") >= FLOOD - 10
        conversation.close()


def test_while_ten_thousand_operations_wait_a_mailbox_is_visited(
    start_worker, start_beat, redis_client
):
    with Connection(app.conf.broker_url) as broker, app.amqp.Producer(broker) as producer:
        with producer.batch():
            for _ in range(FLOOD):
                app.send_task("celery.accumulate", queue="async_operations", producer=producer)
        box = factories.mailbox()
        start_worker("mailboxes", env={"MAILBOXES_CONCURRENCY": "1"})
        start_beat()
        wait_until(lambda: VisitStatistics.objects.filter(mailbox=box).exists(), what="a visit")
        assert redis_client.llen("async_operations") >= FLOOD
