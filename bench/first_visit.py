"""The first visits of a large mailbox: does memory or time a message grow with what lies there?

A mailbox of each size is read from nothing to its end, by the service's own visits, ten for each so
that the first can be compared with the last. The simulator and the writer of the letters run in
processes of their own: the memory printed is the visiting process'.
"""

import argparse
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from bench.environment import servers
from bench.incoming_exchange import PASSWORD, exchange_profile, simulator, visit_due

VISITS = 10
#: Letters that are different; the others are copies with a Message-ID of their own.
LETTERS = 1000
DELIVERED_AT_ONCE = 500
TABLES = ("crm_email", "crm_activityparty", "crm_attachment", "mailboxes_remoteitem")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, nargs="*", default=[1_000, 5_000])
    options = parser.parse_args()
    with servers(), simulator() as url:
        profile = exchange_profile(url)
        for messages in options.messages:
            address = f"m{messages}@example.test"
            _in_another_process(_fill, url, address, messages)
            _measure(address, messages, profile)


def _measure(address: str, messages: int, profile) -> None:
    """Visit until everything is stored, and print a line."""
    import dataclasses

    from django.db.models import F, Sum
    from django.db.models.functions import Now

    from syncservice.crm.models import IncomingFilter
    from syncservice.mailboxes.administration import add_mailbox, change_owner
    from syncservice.mailboxes.models import RemoteItem, Schedule, VisitStatistics
    from workers import mailboxes

    _truncate()
    mailboxes.BUDGET = dataclasses.replace(mailboxes.BUDGET, messages=messages // VISITS)
    box = add_mailbox(address, profile)
    change_owner(box, "bench", incoming_filter=IncomingFilter.ALL)
    speeds: list[float] = []
    stored = 0
    with _memory() as memory:
        while stored < messages:
            Schedule.objects.update(due_at=Now())
            began = time.perf_counter()
            assert visit_due() == 1
            seconds = time.perf_counter() - began
            before, stored = stored, RemoteItem.objects.count()
            speeds.append((stored - before) / seconds)
            memory.append(0)
    visits = VisitStatistics.objects.aggregate(
        requests=Sum("requests"), items=Sum(F("stored") + F("linked") + F("failed"))
    )
    assert visits["items"] == stored == messages
    peaks = [peak / 2**20 for peak in memory if peak]
    print(
        f"first_visit  messages={messages}  first_tenth={speeds[0]:.0f}/s  "
        f"last_tenth={speeds[-1]:.0f}/s  ratio={speeds[-1] / speeds[0]:.2f}  "
        f"memory_first={peaks[0]:.0f}MB  memory_last={peaks[-1]:.0f}MB  "
        f"memory_most={max(peaks):.0f}MB  requests={visits['requests']}  "
        f"tables={_table_sizes()}",
        flush=True,
    )


def _truncate() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE crm_email, crm_attachmentcontent, mailboxes_mailbox CASCADE")


def _table_sizes() -> str:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relname = ANY(%s)",
            [list(TABLES)],
        )
        sizes = dict(cursor.fetchall())
    return ",".join(f"{name.partition('_')[2]}:{sizes[name] / 2**20:.0f}MB" for name in TABLES)


@contextmanager
def _memory() -> Iterator[list[int]]:
    """Give a list whose last figure becomes the most memory held since it was appended."""
    peaks, done, process = [0], threading.Event(), psutil.Process()

    def look() -> None:
        while not done.wait(0.05):
            peaks[-1] = max(peaks[-1], process.memory_info().rss)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


def _in_another_process(work, *arguments) -> None:
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0


def _fill(url: str, address: str, messages: int) -> None:
    from syncservice.simulator.exchange.control import SimulatorControl
    from syncservice.simulator.letters import Letters

    letters = Letters(1)
    known = [letters.write(address, []) for _ in range(min(LETTERS, messages))]
    with SimulatorControl(url) as control:
        control.create_mailbox(address, PASSWORD)
        for start in range(0, messages, DELIVERED_AT_ONCE):
            numbers = range(start, min(start + DELIVERED_AT_ONCE, messages))
            control.deliver_many(
                (address, known[n % len(known)].replace(b"Message-ID: <", b"Message-ID: <%d." % n))
                for n in numbers
            )


if __name__ == "__main__":
    main()
