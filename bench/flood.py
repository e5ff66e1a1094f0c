"""A queue of visits that nobody took: what it weighs, what a beat adds, how fast it is gone.

The messages are of claims that were lost since. A worker of one process drains some of them, while
another one's tasks are timed, before and meanwhile; then it is given claims that hold, of a server
that is left alone, so that their visits end before they begin; then tasks that do nothing, which
is what Celery itself takes. The smaller size is the peer.
"""

import argparse
import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import psutil

from bench.dispatch import fill
from bench.environment import servers
from bench.isolation import PINGS, latency, ping, start_worker

#: So many messages of each kind are waited for.
DRAINED = 1_000
OTHER = "async_operations"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, nargs="*", default=[1_000, 10_000])
    options = parser.parse_args()
    with servers():
        for messages in options.messages:
            _measure(messages)


def _measure(messages: int) -> None:
    import redis
    from django.conf import settings
    from django.db.models.functions import Now

    from beat.scheduler import dispatch, publish
    from syncservice.mailboxes.models import Schedule, ServerHealth
    from syncservice.mailboxes.schedule import claim_due
    from workers.app import app
    from workers.queues import MAILBOXES

    client = redis.Redis.from_url(settings.REDIS_URL)
    client.flushdb()
    fill(2 * DRAINED)  # half of them are due and not claimed: what a beat would like to add
    app.loader.import_default_modules()
    before = client.info("memory")["used_memory"]
    with (
        app.connection_for_write() as broker,
        app.amqp.Producer(broker) as producer,
        tempfile.TemporaryDirectory() as folder,
    ):
        claims = claim_due(DRAINED, timedelta(hours=1)).messages
        stale = [(box, lane, fence - 1) for box, lane, fence in claims]
        for _ in range(messages // DRAINED):
            publish(app, producer, stale)
        weight = (client.info("memory")["used_memory"] - before) / messages
        began = time.perf_counter()
        added = sum(dispatch(app, producer) for _ in range(100))
        tick = (time.perf_counter() - began) / 100
        ServerHealth.objects.update(not_before=Now() + timedelta(hours=1))
        os.environ["LOG_LEVEL"] = "info"
        log = Path(folder, OTHER)
        workers = [start_worker(OTHER, log)]
        try:
            ping(app, OTHER, log)  # it is up
            idle = latency(app, OTHER, log)
            os.environ["LOG_LEVEL"] = "error"
            workers.append(start_worker(MAILBOXES, Path(folder, MAILBOXES)))
            while client.llen(MAILBOXES) == messages:
                time.sleep(0.01)
            gone = _drained(client, max(messages - DRAINED // 2, 0))
            first_memory = _memory(workers[1].pid)
            beside = latency(app, OTHER, log)
            assert client.llen(MAILBOXES), "the flood ended too soon"
            client.delete(MAILBOXES)
            publish(app, producer, claims)
            lived = _drained(client, 0)
            for _ in range(DRAINED):
                app.send_task("celery.accumulate", queue=MAILBOXES, producer=producer)
            nothing = _drained(client, 0)
            last_memory = _memory(workers[1].pid)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait()
    held = Schedule.objects.filter(claimed_at__isnull=False).count()
    assert held <= 1, f"{held} claims were not ended"
    print(
        f"flood  messages={messages}  redis={weight:.0f}B/message  added_by_beat={added}  "
        f"tick={1000 * tick:.1f}ms  stale={gone:.0f}/s  live={lived:.0f}/s  "
        f"doing_nothing={nothing:.0f}/s  ratio_stale={gone / nothing:.2f}  "
        f"worker={first_memory / 2**20:.0f}MB  worker_later={last_memory / 2**20:.0f}MB  "
        f"other_queue={1000 * idle:.1f}ms  beside={1000 * beside:.1f}ms({beside / idle:.1f}x)  "
        f"median_of={PINGS}",
        flush=True,
    )


def _drained(client: "redis.Redis", until: int) -> float:  # noqa: F821
    """Wait until so many messages wait; return how many went each second."""
    began, first = time.perf_counter(), client.llen("mailboxes")
    while (left := client.llen("mailboxes")) > until:
        time.sleep(0.02)
    return (first - left) / (time.perf_counter() - began)


def _memory(pid: int) -> int:
    """Give what the worker and its processes hold; what they share is counted for each."""
    process = psutil.Process(pid)
    held = 0
    for one in (process, *process.children(recursive=True)):
        try:
            held += one.memory_info().rss
        except psutil.NoSuchProcess:  # replaced after its thousand tasks
            continue
    return held


if __name__ == "__main__":
    main()
