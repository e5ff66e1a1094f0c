"""What a flooded queue does to the other two: a worker a queue, 10,000 messages in one of them.

A task that does nothing is sent to a queue and awaited in its worker's log, fifty times: idle, then
while another queue's worker eats its way through a flood. All share two cores here, so part of
what is seen is the machine's, not the queues'.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.environment import servers

QUEUES = ("async_operations", "outgoing_activities", "mailboxes")
PINGS = 50
FLOOD = 10_000


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    with servers(), tempfile.TemporaryDirectory() as folder:
        import os

        import redis
        from django.conf import settings

        from workers.app import app

        os.environ["LOG_LEVEL"] = "info"
        client = redis.Redis.from_url(settings.REDIS_URL)
        logs = {queue: Path(folder, queue) for queue in QUEUES}
        workers = [start_worker(queue, log) for queue, log in logs.items()]
        try:
            for queue in QUEUES:
                ping(app, queue, logs[queue])  # it is up
            idle = {queue: latency(app, queue, logs[queue]) for queue in QUEUES}
            figures = [f"idle={1000 * statistics.mean(idle.values()):.1f}ms"]
            for flooded in QUEUES:
                _flood(app, flooded)
                for queue in set(QUEUES) - {flooded}:
                    seconds = latency(app, queue, logs[queue])
                    assert client.llen(flooded), "the flood ended too soon"
                    ratio = seconds / idle[queue]
                    figures.append(f"{queue}_beside_{flooded}={1000 * seconds:.1f}ms({ratio:.1f}x)")
                client.delete(flooded)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait()
    print("isolation  " + "  ".join(figures) + f"  median_of={PINGS}")


def start_worker(queue: str, log: Path) -> subprocess.Popen[bytes]:
    celery = (sys.executable, "-m", "celery", "-A", "workers.app", "worker")
    name = ("-Q", queue, "-n", f"{queue}@bench", "--without-gossip", "--without-mingle")
    with log.open("wb") as output:
        return subprocess.Popen([*celery, *name, "-c", "1"], stdout=output, stderr=output)


def _flood(app: "celery.Celery", queue: str) -> None:  # noqa: F821
    with (
        app.connection_for_write() as broker,
        app.amqp.Producer(broker) as producer,
        producer.batch(),
    ):
        for _ in range(FLOOD):
            app.send_task("celery.accumulate", queue=queue, producer=producer, retry=False)


def latency(app: "celery.Celery", queue: str, log: Path) -> float:  # noqa: F821
    return statistics.median(ping(app, queue, log) for _ in range(PINGS))


def ping(app: "celery.Celery", queue: str, log: Path) -> float:  # noqa: F821
    with log.open("rb") as lines:
        lines.seek(0, 2)
        began = time.perf_counter()
        done = f"[{app.send_task('celery.accumulate', queue=queue).id}] succeeded".encode()
        seen = b""
        while done not in seen:
            seen += lines.read()
            time.sleep(0.0005)
        return time.perf_counter() - began


if __name__ == "__main__":
    main()
