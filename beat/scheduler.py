"""The Celery Beat scheduler that dispatches due mailboxes.

Mailboxes are no entries of a beat schedule: one SQL statement claims those that are due, and a
message is published for each. Any number of beats may run; a row that one claims the others skip.
A beat killed between claim and publication delays those mailboxes by a lease, no longer.

Celery's own entries (housekeeping) stay what they are; with several beats they run several times,
and may.
"""

import time
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import structlog
from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from django.conf import settings
from django.db import DatabaseError, close_old_connections, transaction
from kombu.exceptions import KombuError
from redis import RedisError

from syncservice.alerts import alerts
from syncservice.mailboxes import schedule
from workers.capacity import visiting_processes
from workers.queues import MAILBOXES, OUTGOING_ACTIVITIES

log = structlog.get_logger()

#: After a tick that found work: freed connections are used again at once.
SOON_SECONDS = 0.05
#: Messages that may wait in a queue before Celery's own entries add none.
ENTRIES_AHEAD = 100
VISIT = "mailboxes.visit"  # of workers/mailboxes.py
SEND_DUE = "outgoing_activities.send_due"  # of workers/outgoing_activities.py
PUSH_CHANGES = "outgoing_activities.push_changes"
#: Calls to send that wait at once: who takes one goes on as long as there is email.
SENDERS_AHEAD = 32


class MailboxScheduler(Scheduler):
    """Claims and publishes on every tick, then lets Celery run its entries."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._next_dispatch = 0.0

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Dispatch when it is time; return the seconds until there is something to do."""
        interval = settings.DISPATCH_INTERVAL.total_seconds()
        if time.monotonic() >= self._next_dispatch:
            count = self._dispatch()
            # A full batch means that more are due: go on at once.
            wait = min(SOON_SECONDS, interval) if count else interval
            wait = 0.0 if count >= settings.DISPATCH_BATCH else wait
            self._next_dispatch = time.monotonic() + wait
        until_entry: float = super().tick(*args, **kwargs)
        return max(0.0, min(until_entry, self._next_dispatch - time.monotonic()))

    def _dispatch(self) -> int:
        """Claim and publish one batch; a store that is down is reported and tried again."""
        close_old_connections()
        try:
            count = dispatch(self.app, self.producer)
            call_senders(self.app, self.producer)
            call_pushers(self.app, self.producer)
        except DatabaseError as error:
            log.error("dispatch.database_unavailable", error=str(error).strip().split("\n")[0])
        except self._broker_errors() as error:
            log.error("dispatch.broker_unavailable", error=str(error))
            self._forget_connection()
        else:
            if count:
                log.info("dispatch.published", count=count)
            return count
        return 0

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Publish one of Celery's own entries, if its queue doesn't hold many already.

        Rows say what is to be done, so messages that nobody takes are of no use: those of a day
        without workers would be 50,000. Celery would print a traceback for an outage.
        """
        queue, _, _ = str(entry.task).partition(".")
        broker: Any = self.producer  # kombu's types don't know of Redis' client
        try:
            if broker.channel.client.llen(queue) < ENTRIES_AHEAD:
                self.apply_async(entry, producer=producer, advance=False)
        except self._broker_errors() as error:
            log.error("entry.not_sent", entry=entry.name, error=str(error))

    def _broker_errors(self) -> tuple[type[BaseException], ...]:
        return (
            KombuError,
            RedisError,
            SchedulingError,
            *self.connection.recoverable_connection_errors,
        )

    def _forget_connection(self) -> None:
        """Let Celery's cached connection and producer be made anew when they are next used."""
        self.connection.release()
        del self.__dict__["connection"]
        self.__dict__.pop("producer", None)


def call_senders(app: Any, producer: Any) -> int:
    """Call for as many senders as mailboxes have email to send; return how many were called.

    So the commit that submits an email is all that it takes: it is seen at a beat's next look.
    """
    wanted = schedule.sendings_due(SENDERS_AHEAD)
    missing = wanted and wanted - producer.channel.client.llen(OUTGOING_ACTIVITIES)
    if missing > 0:
        _publish(app, producer, SEND_DUE, OUTGOING_ACTIVITIES, [()] * missing)
    return max(missing, 0)


def call_pushers(app: Any, producer: Any) -> int:
    """Call for somebody to push the CRM's changes, if there are any; return how many were called.

    One is enough to begin with: as long as there is more, each look of a beat calls another. So
    many wait at most, whatever else is in the queue.
    """
    wanted = schedule.is_push_due()
    if wanted and producer.channel.client.llen(OUTGOING_ACTIVITIES) < SENDERS_AHEAD:
        _publish(app, producer, PUSH_CHANGES, OUTGOING_ACTIVITIES, [()])
        return 1
    return 0


def dispatch(app: Any, producer: Any) -> int:
    """Claim the lanes that are due and publish a visit for each; return how many.

    Nothing is claimed while enough visits wait already, or while Redis does not answer.
    """
    client = producer.channel.client
    room = settings.VISITS_AHEAD - client.llen(MAILBOXES)
    if room <= 0:
        return 0
    processes = visiting_processes(client)
    share = processes and max(1, processes * settings.PROFILE_SHARE_PERCENT // 100)
    with transaction.atomic():
        claimed = schedule.claim_due(
            min(room, settings.DISPATCH_BATCH),
            settings.CLAIM_LEASE,
            share=share,
            crashes=settings.VISIT_CRASHES,
        )
        alerts.raise_parked(claimed.parked)
    for mailbox_id, lane in claimed.parked:
        log.error("visit.parked", mailbox_id=mailbox_id, lane=lane)
    if claimed.leases_ended:
        log.warning("lease.expired", count=claimed.leases_ended)
    try:
        publish(app, producer, claimed.messages)
    except BaseException:
        schedule.give_back(claimed.messages)
        raise
    return len(claimed.messages)


def publish(app: Any, producer: Any, messages: Iterable[tuple[int, str, int]]) -> None:
    """Publish a visit for each (mailbox, lane, fence)."""
    _publish(app, producer, VISIT, MAILBOXES, messages)


def _publish(
    app: Any, producer: Any, task: str, queue: str, messages: Iterable[tuple[Any, ...]]
) -> None:
    """Publish a message for each tuple of arguments, in one round trip to Redis.

    Celery's `apply_async` builds each message from nothing and asks Redis for the bindings of the
    exchange each time. All but the arguments and the id is the same, so it is made once, and sent
    to the default exchange, which needs no bindings: five times as many a second.
    """
    # Without time limits: those of the worker's own settings hold, not a beat's.
    model = app.amqp.as_task_v2("", task, argsrepr="", kwargsrepr="{}", ignore_result=True)
    _, _, links = model.body
    with producer.batch():
        for arguments in messages:
            task_id = str(uuid4())
            producer.publish(
                (arguments, {}, links),
                exchange="",
                routing_key=queue,
                serializer="json",
                headers=model.headers
                | {"id": task_id, "root_id": task_id, "argsrepr": repr(arguments)},
                **model.properties | {"correlation_id": task_id},
            )
