"""Dispatch of due mailboxes: claim in PostgreSQL and publish to Redis, against RedBeat and Celery.

Prints a line for each number of due mailboxes. The peers hold the same number of entries, all due
at once, and are given the same kind of task to publish; they get a bounded time, because with
100,000 entries they don't end.
"""

import argparse
import logging
import statistics
import time
from collections.abc import Callable
from datetime import timedelta

import psutil
from django.conf import settings

from bench.environment import servers, spread

#: Profiles whose mailboxes have accounts of their own: no connection slots bound the dispatch.
PROFILES = 50
#: With more due than this the peers are not asked: they don't end.
PEERS_UP_TO = 100_000

# The mailboxes are copies of one, with names of their own, so the bench needs to know no columns.
_FILL = """
INSERT INTO mailboxes_mailbox
SELECT copy.* FROM mailboxes_mailbox AS first, generate_series(1, %(count)s - 1) AS n,
  jsonb_populate_record(first, jsonb_build_object(
    'id', first.id + n, 'name', 'm' || n, 'email_address', 'm' || n || '@example.test',
    'profile_id', (SELECT min(id) FROM mailboxes_emailserverprofile) + n %% %(profiles)s)) AS copy;
INSERT INTO mailboxes_schedule (mailbox_id, profile_id, lane, due_at, fence, crashes, recent_items,
  empty_visits, rest, reason, failures, fault_code, fault_text)
SELECT id, profile_id, 'incoming', now() - random() * interval '5 minutes', 0, 0, 0, 0,
  interval '0', '', 0, '', '' FROM mailboxes_mailbox;
ANALYZE mailboxes_schedule;
"""


def fill(count: int) -> None:
    """Make so many mailboxes, all due."""
    from django.db import connection

    from syncservice.mailboxes.models import EmailServerProfile, Mailbox, ServerHealth

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE mailboxes_mailbox, mailboxes_emailserverprofile CASCADE")
        profiles = EmailServerProfile.objects.bulk_create(
            EmailServerProfile(
                name=f"bench{number}",
                location="https://mail.example.test/EWS/Exchange.asmx",
                credentials=EmailServerProfile.Credentials.MAILBOX,
            )
            for number in range(PROFILES)
        )
        ServerHealth.objects.bulk_create(ServerHealth(profile=profile) for profile in profiles)
        Mailbox.objects.create(name="m0", email_address="m0@example.test", profile=profiles[0])
        cursor.execute(_FILL, {"count": count, "profiles": PROFILES})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--due", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer-seconds", type=float, default=15.0)
    options = parser.parse_args()
    with servers():
        import redis

        logging.disable(logging.ERROR)
        client = redis.Redis.from_url(settings.REDIS_URL)
        for due in options.due:
            runs = [_ours(due, client) for _ in range(options.runs)]
            speeds = [speed for speed, _ in runs]
            ours = statistics.median(speeds)
            peers = ""
            if due <= PEERS_UP_TO:
                celery = _peer(_celery_scheduler, due, options.peer_seconds, client)
                redbeat = _peer(_redbeat_scheduler, due, options.peer_seconds, client)
                peers = (
                    f"redbeat={redbeat:.0f}/s  celery={celery:.0f}/s  "
                    f"ratio_redbeat={ours / max(redbeat, 0.1):.1f}  "
                )
            print(
                f"dispatch  due={due}  ours={ours:.0f}/s  {peers}"
                f"memory_grows={max(grows for _, grows in runs):.1f}MB  "
                f"median_of={options.runs}  spread={spread(speeds)}",
                flush=True,
            )


def _ours(due: int, client: "redis.Redis") -> tuple[float, float]:  # noqa: F821
    """Claim and publish everything that is due, as the ticks of one beat do.

    Returns dispatches a second, and the MB that the process grew after its first tenth.
    """
    from beat.scheduler import dispatch
    from workers.app import app

    client.flushdb()
    fill(due)
    settings.VISITS_AHEAD = due + 1  # nobody takes the messages; it is the dispatch that counts
    settings.CLAIM_LEASE = timedelta(hours=1)
    process = psutil.Process()
    app.loader.import_default_modules()
    with app.connection_for_write() as broker, app.amqp.Producer(broker) as producer:
        began = time.perf_counter()
        dispatched = at_first = 0
        while count := dispatch(app, producer):
            dispatched += count
            if not at_first and dispatched >= due / 10:
                at_first = process.memory_info().rss
        seconds = time.perf_counter() - began
    waiting = client.llen("mailboxes")
    assert dispatched == waiting == due, (dispatched, waiting)
    return due / seconds, (process.memory_info().rss - at_first) / 2**20


def _peer(
    make: Callable[[int], "celery.beat.Scheduler"],  # noqa: F821
    due: int,
    seconds: float,
    client: "redis.Redis",  # noqa: F821
) -> float:
    """Tick a scheduler whose entries are all due, for a bounded time from its first tick on."""
    client.flushdb()
    scheduler = make(due)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds and client.llen("peer") < due:
        scheduler.tick()
    return client.llen("peer") / (time.perf_counter() - began)


def _peer_app(scheduler: str):
    from celery import Celery

    app = Celery("peer", broker=settings.REDIS_URL)
    app.conf.update(
        beat_scheduler=scheduler,
        redbeat_redis_url=settings.REDIS_URL,
        redbeat_lock_key=None,
        task_default_queue="peer",
        task_ignore_result=True,
    )

    @app.task(name="peer.visit", shared=False)
    def visit(mailbox_id: int, lane: str, fence: int) -> None:
        """Never run: only its messages are counted."""

    return app


def _celery_scheduler(due: int):
    from celery.beat import ScheduleEntry, Scheduler
    from celery.schedules import schedule

    app = _peer_app("celery.beat:Scheduler")
    past = app.now().replace(year=2020)
    every = schedule(300.0, app=app)
    scheduler = Scheduler(app=app, lazy=True)
    scheduler.merge_inplace({})
    for number in range(due):
        scheduler.schedule[f"m{number}"] = ScheduleEntry(
            name=f"m{number}",
            task="peer.visit",
            schedule=every,
            args=(number, "incoming", 1),
            last_run_at=past,
            app=app,
        )
    return scheduler


def _redbeat_scheduler(due: int):
    from celery.schedules import schedule
    from redbeat.schedulers import RedBeatScheduler, RedBeatSchedulerEntry, ensure_conf, get_redis

    app = _peer_app("redbeat.RedBeatScheduler")
    app.set_default()
    ensure_conf(app)
    past = app.now().replace(year=2020)
    every = schedule(300.0, app=app)
    for number in range(due):
        RedBeatSchedulerEntry(
            f"m{number}",
            "peer.visit",
            every,
            args=(number, "incoming", 1),
            last_run_at=past,
            app=app,
        ).save()
    get_redis(app)
    return RedBeatScheduler(app=app, lazy=True)


if __name__ == "__main__":
    main()
