"""From a due row to a visit and back, through a real beat, Redis and worker."""

import json
import socket
import tempfile
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import redis
from django.db import transaction
from django.db.models.functions import Now

from syncservice.alerts.models import Alert
from syncservice.embedded import EmbeddedServers
from syncservice.mailboxes.models import Mailbox, Schedule, ServerHealth, VisitStatistics
from tests import factories
from tests.cluster.processes import wait_until

ONE_PROCESS = {"MAILBOXES_CONCURRENCY": "1"}
SHORT_LEASE = {"CLAIM_LEASE_SECONDS": "2"}
#: Of the first claim: switching a mailbox on moved its fence once already.
FIRST_FENCE = 2


def test_a_due_mailbox_is_visited_and_released_with_its_fault_and_a_later_due_time(
    start_worker, start_beat
):
    refusing = factories.profile(location="http://127.0.0.1:9/EWS/Exchange.asmx")
    box = factories.mailbox(profile=refusing)
    start_worker("mailboxes", env=ONE_PROCESS)
    start_beat()
    visit = wait_until(lambda: VisitStatistics.objects.first(), what="a visit ends")

    row = Schedule.objects.get()
    assert (visit.mailbox, visit.fault_code) == (box, "exchange.connection_refused")
    assert (row.claimed_at, row.fault_code, row.failures) == (None, visit.fault_code, 0)
    health = ServerHealth.objects.get()  # it is the server's fault, not the mailbox's
    assert (health.failures, health.fault_code) == (1, visit.fault_code)
    assert Schedule.objects.filter(due_at__gt=Now()).exists()


def test_a_message_holds_ids_and_a_fence_and_nothing_of_the_mailbox(start_beat, redis_client):
    profile = factories.profile(username="svc-crm", password="correct horse")
    box = factories.mailbox(email_address="someone@example.test", profile=profile)
    start_beat()
    (raw,) = wait_until(lambda: redis_client.lrange("mailboxes", 0, -1), what="a message waits")

    body = b64decode(json.loads(raw)["body"])
    assert json.loads(body)[:2] == [[box.pk, "incoming", FIRST_FENCE], {}]
    for private in (b"someone", b"example.test", b"svc-crm", b"correct", profile.location.encode()):
        assert private not in raw + body


def test_a_flushed_redis_loses_no_mailbox(start_worker, start_beat, redis_client):
    boxes = {factories.mailbox().pk for _ in range(5)}
    beat = start_beat(env=SHORT_LEASE)
    wait_until(lambda: redis_client.llen("mailboxes") >= 5, what="all messages wait")
    redis_client.flushdb()
    assert not VisitStatistics.objects.exists()

    start_worker("mailboxes", env=ONE_PROCESS)
    wait_until(lambda: visited() == boxes, what="all are visited after the flush")
    assert beat.exit_code is None
    fences = VisitStatistics.objects.values_list("fence", flat=True)
    assert min(fences) > FIRST_FENCE  # dispatched again


def test_worker_and_beat_go_on_when_redis_is_flushed_under_them(
    start_worker, start_beat, redis_client
):
    start_worker("mailboxes", env=ONE_PROCESS)
    start_beat(env=SHORT_LEASE)
    before = factories.mailbox()
    wait_until(lambda: visited() == {before.pk}, what="a visit before the flush")
    redis_client.flushdb()
    after = factories.mailbox()
    wait_until(lambda: visited() == {before.pk, after.pk}, what="a visit after the flush")


def test_two_beats_dispatch_each_due_mailbox_once(start_beat, redis_client):
    # Different intervals: both meet due rows, now one first, now the other.
    beats = [start_beat(env={"DISPATCH_INTERVAL_SECONDS": pace}) for pace in ("0.1", "0.13")]
    boxes = due_one_after_another(40)
    waiting = Schedule.objects.filter(claimed_at=None)
    wait_until(lambda: not waiting.exists(), what="all are dispatched")
    wait_until(lambda: redis_client.llen("mailboxes") >= 40, what="all are published")

    for beat in beats:
        beat.terminate()
        assert "dispatch.published" in beat.logs()
    claims = [claim_of(raw) for raw in redis_client.lrange("mailboxes", 0, -1)]
    assert sorted(claims) == [[box.pk, "incoming", FIRST_FENCE] for box in boxes]


def test_a_mailbox_whose_worker_is_killed_is_due_again_and_visited_by_another(
    start_worker, start_beat
):
    with mute_server() as (server, url):
        box = factories.mailbox(profile=factories.profile(location=url))
        start_beat(env=SHORT_LEASE)
        worker = start_worker("mailboxes", env=ONE_PROCESS | SHORT_LEASE)
        conversation, _ = server.accept()  # the visit has begun
        worker.kill()
        conversation.close()
        assert Schedule.objects.get().claimed_at is not None
        assert not VisitStatistics.objects.exists()

    start_worker("mailboxes", env=ONE_PROCESS | SHORT_LEASE)
    visit = wait_until(lambda: VisitStatistics.objects.first(), what="another worker visits")
    assert (visit.mailbox, visit.fence > FIRST_FENCE) == (box, True)


def test_a_visit_that_lasts_longer_than_its_lease_keeps_its_claim(start_worker, start_beat):
    with mute_server() as (server, url):
        factories.mailbox(profile=factories.profile(location=url))
        start_worker("mailboxes", env=ONE_PROCESS | SHORT_LEASE)
        start_beat(env=SHORT_LEASE)
        conversation, _ = server.accept()  # the visit has begun
        ends = {Schedule.objects.get().due_at}

        def renewed() -> bool:
            ends.add(Schedule.objects.get().due_at)
            return len(ends) > 5  # each a third of a lease after the one before

        wait_until(renewed, what="the lease is renewed again and again")
        assert Schedule.objects.get().fence == FIRST_FENCE
        conversation.close()


def test_a_visit_over_the_soft_limit_ends_with_a_fault_that_says_so(start_worker, start_beat):
    with mute_server() as (_, url):
        factories.mailbox(profile=factories.profile(location=url))
        start_worker("mailboxes", env=ONE_PROCESS | {"MAILBOXES_SOFT_LIMIT_SECONDS": "1"})
        start_beat()
        visit = wait_until(lambda: VisitStatistics.objects.first(), what="the visit is ended")
    row = Schedule.objects.get()
    assert (visit.fault_code, row.fault_code) == ("visit.timed_out", "visit.timed_out")
    assert row.claimed_at is None


def test_a_visit_that_kills_its_worker_three_times_is_parked_with_an_alert(
    start_worker, start_beat
):
    with mute_server() as (server, url):
        box = factories.mailbox(profile=factories.profile(location=url))
        other = factories.mailbox()
        worker = start_worker("mailboxes", env={"MAILBOXES_CONCURRENCY": "1", **SHORT_LEASE})
        start_beat(env=SHORT_LEASE)
        for _ in range(3):
            conversation, _ = server.accept()
            for child in worker.children():
                child.kill()
            conversation.close()
        wait_until(lambda: Alert.objects.filter(mailbox=box).exists(), what="an alert is raised")
    assert Alert.objects.get(mailbox=box).code == "visit.parked"
    assert Schedule.objects.get(mailbox=box).due_at is None
    assert Schedule.objects.filter(mailbox=other, parked_at=None).exists()


def test_without_redis_a_beat_claims_nothing_and_goes_on_trying(start_beat):
    beat = start_beat(env={"REDIS_URL": "redis://127.0.0.1:9/0"})
    factories.mailbox()
    beat.wait_for_log("Connection error")
    assert not Schedule.objects.filter(claimed_at__isnull=False).exists()
    assert beat.exit_code is None


def test_a_beat_outlives_a_redis_that_is_away_for_a_moment(start_beat):
    with tempfile.TemporaryDirectory(prefix="syncservice-cluster-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as nobody
        with EmbeddedServers(Path(folder), durable=False) as servers:
            beat = start_beat(env=SHORT_LEASE | {"REDIS_URL": servers.redis_url})
            boxes = {box.pk for box in due_one_after_another(40)}

            def beat_met_an_outage() -> bool:
                servers.restart_redis()  # so quick that it may fall between two publications
                return "dispatch.broker_unavailable" in beat.logs() or beat.exit_code is not None

            wait_until(beat_met_an_outage, what="a publication fails")
            with redis.Redis.from_url(servers.redis_url) as client:
                wait_until(
                    lambda: published(client) == boxes or beat.exit_code is not None,
                    what="all are published after",
                )
            assert beat.exit_code is None, beat.logs()[-500:]
            beat.kill()


def due_one_after_another(count: int) -> list[Mailbox]:
    """Mailboxes of which one more is due every 30 ms from now on."""
    with transaction.atomic():
        boxes = [factories.mailbox() for _ in range(count)]
        for number, box in enumerate(boxes):
            due = Now() + number * timedelta(milliseconds=30)
            Schedule.objects.filter(mailbox=box).update(due_at=due)
    return boxes


def published(client: redis.Redis) -> set[int]:
    return {claim_of(raw)[0] for raw in client.lrange("mailboxes", 0, -1)}


def visited() -> set[int]:
    return set(VisitStatistics.objects.values_list("mailbox_id", flat=True))


def claim_of(raw: bytes) -> list:
    """The arguments of the task in a message as Redis holds it."""
    return json.loads(b64decode(json.loads(raw)["body"]))[0]


@contextmanager
def mute_server() -> Iterator[tuple[socket.socket, str]]:
    """A mail server that takes a connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server, f"http://127.0.0.1:{server.getsockname()[1]}/EWS/Exchange.asmx"
