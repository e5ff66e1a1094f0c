"""How soon a message that somebody asks for is in the CRM, while visits wait for a worker.

So many mailboxes are due and their queue is served by nobody; a beat and a worker of asynchronous
operations run as they do in a cluster. A line: from the call to the record's commit.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.environment import servers
from bench.incoming_exchange import PASSWORD, exchange_profile, simulator

ADDRESS = "user@example.test"
_PATIENCE_SECONDS = 120

# Copies of the one mailbox, due before it.
_CROWD = """
INSERT INTO mailboxes_mailbox
SELECT copy.* FROM mailboxes_mailbox AS first, generate_series(1, %(count)s) AS n,
  jsonb_populate_record(first, jsonb_build_object('id', first.id + n, 'name', 'm' || n,
    'email_address', 'm' || n || '@example.test')) AS copy WHERE first.id = %(mailbox)s;
INSERT INTO mailboxes_schedule
SELECT copy.* FROM mailboxes_schedule AS first, generate_series(1, %(count)s) AS n,
  jsonb_populate_record(first, jsonb_build_object('id', first.id + n,
    'mailbox_id', first.mailbox_id + n, 'due_at', first.due_at - interval '1 hour')) AS copy
WHERE first.mailbox_id = %(mailbox)s;
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiting", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=20)
    options = parser.parse_args()
    with servers(), simulator() as url:
        from django.db import connection

        from syncservice.crm.models import Email, IncomingFilter
        from syncservice.mailboxes import administration, tracking
        from syncservice.mailboxes.models import Schedule
        from syncservice.simulator.exchange.control import SimulatorControl
        from syncservice.simulator.letters import Letters

        control, letters = SimulatorControl(url), Letters(1)
        control.create_mailboxes({ADDRESS: PASSWORD})
        profile = exchange_profile(url)
        profile.maximum_concurrent_connections = options.waiting
        profile.save()
        box = administration.add_mailbox(ADDRESS, profile)
        administration.change_owner(box, "bench", incoming_filter=IncomingFilter.NONE)
        with connection.cursor() as cursor:
            cursor.execute(_CROWD, {"count": options.waiting, "mailbox": box.pk})
        with _running("beat"), _running("worker", "-Q", "async_operations"):
            _wait(lambda: Schedule.objects.exclude(claimed_at=None).count() > 1)
            seconds = []
            for number in range(options.calls + 1):
                item = control.deliver(ADDRESS, letters.write(ADDRESS, []))
                began = time.perf_counter()
                tracking.track_now(box, "bench", item_id=item)
                _wait(lambda: Email.objects.count() > number)  # noqa: B023
                seconds.append(time.perf_counter() - began)
            waiting = Schedule.objects.filter(visited_at=None).count()
        seconds = sorted(seconds[1:])  # the first waits for the worker to start
        print(
            f"track_now  waiting={waiting}  median={statistics.median(seconds):.2f}s  "
            f"longest={seconds[-1]:.2f}s  calls={options.calls}"
        )


@contextmanager
def _running(*command: str) -> Iterator[None]:
    """Run a process of Celery's for the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "workers.app", *command],
        env=os.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            sys.exit("nothing came of it; see that the processes start")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
