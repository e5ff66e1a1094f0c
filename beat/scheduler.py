"""The Celery Beat scheduler that dispatches due mailboxes.

Mailboxes are no entries of a beat schedule: one SQL statement claims those that are due, and a
message is published for each. Any number of beats may run; a row that one claims the others skip.
A beat killed between claim and publication delays those mailboxes by a lease, no longer.

Celery's own entries (housekeeping) stay what they are; with several beats they run several times,
and may.
"""

import time
from typing import Any

import structlog
from celery.beat import ScheduleEntry, Scheduler, SchedulingError
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from kombu.exceptions import KombuError

from syncservice.mailboxes import schedule

log = structlog.get_logger()


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
            wait = 0.0 if count >= settings.DISPATCH_BATCH else interval
            self._next_dispatch = time.monotonic() + wait
        until_entry: float = super().tick(*args, **kwargs)
        return max(0.0, min(until_entry, self._next_dispatch - time.monotonic()))

    def _dispatch(self) -> int:
        """Claim and publish one batch; a store that is down is reported and tried again."""
        close_old_connections()
        try:
            count = dispatch(self.app, self.producer)
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
        """Publish one of Celery's own entries; Celery would print a traceback for an outage."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            log.error("entry.not_sent", entry=entry.name, error=str(error))

    def _broker_errors(self) -> tuple[type[BaseException], ...]:
        return (KombuError, *self.connection.recoverable_connection_errors)

    def _forget_connection(self) -> None:
        """Let Celery's cached connection and producer be made anew when they are next used."""
        self.connection.release()
        del self.__dict__["connection"]
        self.__dict__.pop("producer", None)


def dispatch(app: Any, producer: Any) -> int:
    """Claim the lanes that are due and publish a visit for each; return how many."""
    claims = schedule.claim_due(settings.DISPATCH_BATCH, settings.CLAIM_LEASE)
    task = app.tasks["mailboxes.visit"]
    with producer.batch():  # one round trip to Redis, not one a message
        for claim in claims:
            # kombu's own retry would go on with a channel that the batch doesn't know.
            task.apply_async(claim, producer=producer, retry=False)
    return len(claims)
