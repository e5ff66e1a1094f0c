"""How many processes of the cluster make visits: workers tell with each heartbeat, beats ask.

A figure is forgotten when its worker has been silent for a few heartbeats.
"""

import time
from typing import Any

import redis
import structlog
from celery import signals

from workers.queues import MAILBOXES

log = structlog.get_logger()

KEY = "visiting_processes"  # sorted set: "processes worker" -> when it was last told, s since 1970
FORGOTTEN_AFTER_SECONDS = 15

_announcement = ""


def visiting_processes(client: "redis.Redis") -> int | None:
    """Sum up what workers told lately; None: none did, so nothing is known."""
    told: Any = client.zrangebyscore(KEY, time.time() - FORGOTTEN_AFTER_SECONDS, "+inf")
    return sum(int(word.split()[0]) for word in told) or None


@signals.worker_ready.connect
def learn_capacity(sender: Any, **_: Any) -> None:
    global _announcement
    if any(queue.name == MAILBOXES for queue in sender.task_consumer.queues):
        _announcement = f"{sender.pool.num_processes} {sender.hostname}"


@signals.heartbeat_sent.connect
def announce(**_: Any) -> None:
    if not _announcement:
        return
    now = time.time()
    try:
        with _connect() as client, client.pipeline() as commands:
            commands.zadd(KEY, {_announcement: now})
            commands.zremrangebyscore(KEY, "-inf", now - FORGOTTEN_AFTER_SECONDS)
            commands.execute()
    except redis.RedisError as error:
        log.warning("capacity.not_told", error=str(error))


def _connect() -> "redis.Redis":
    from django.conf import settings

    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
