"""Keeps a running visit's leases alive, and ends a visit that would outlast a stopping worker.

A lease is short, so that what a dead worker held is free again soon; a request may take longer. So
a thread renews the claim and the connection slots of a visit that lasts; it dies with the process.
"""

import os
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog
from django.db import DatabaseError, connection

from syncservice.domain.faults import FaultError
from workers.shutdown import stopping_for
from workers.task import first_line

log = structlog.get_logger()

#: How often the thread looks whether the worker is stopping.
LOOK_SECONDS = 1.0


class Heartbeat:
    """A context manager around one visit; `renew` is called every `interval` seconds.

    A worker that has been stopping for `patience` seconds gets the visit interrupted, as by the
    soft time limit: a request that hangs must not hold it up.
    """

    def __init__(self, renew: Callable[[], object], interval: float, patience: float) -> None:
        self._renew = renew
        self._interval = interval
        self._patience = patience
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        since_renewal = 0.0
        step = min(LOOK_SECONDS, self._interval)
        interrupted = False
        while not self._done.wait(step):
            since_renewal += step
            if stopping_for() > self._patience and not interrupted:
                interrupted = True
                os.kill(os.getpid(), signal.SIGUSR1)  # billiard's signal of a soft time limit
            if since_renewal >= self._interval:
                since_renewal = 0.0
                self._beat()
        connection.close()  # this thread's own

    def _beat(self) -> None:
        try:
            self._renew()
        except (DatabaseError, FaultError) as error:  # the next beat tries again
            log.warning("lease.not_renewed", error=first_line(error))
