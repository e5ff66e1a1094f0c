"""A user's contacts and appointments in an Exchange mailbox, against plain exchangelib loops.

A line each: the first synchronization, from the look that asks somebody to the visit that finds
nothing left; after 1 % changed on each side; a quiet visit; a mailbox that has all of it already,
from another installation; and a mailbox whose items become records. A fifth of the appointments
have two attendees, whom the future ones invite. `plan` is what the look foretold: items and records
that would be made, pairs that would be linked, invitations.

The peers write and read contacts, and do nothing else: `bulk_create` and `contacts.all()`. The
simulator runs in a process of its own. Whose processor time it was, ours, PostgreSQL's or the
simulator's, is printed beside the seconds: nobody takes its limit for ours, and it hardly depends
on what else the machine does.
"""

import argparse
import json
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import psutil

from bench import customers
from bench.customers import ADDRESS, PEER
from bench.environment import servers
from bench.incoming_exchange import PASSWORD, exchange_profile, simulator, timed, visit_due

FOLDERS = 3
QUIET_VISITS = 20
#: Nothing takes so many; a bench that visits for ever would tell nobody anything.
MOST_VISITS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=10_000)
    parser.add_argument("--appointments", type=int, default=5_000)
    parser.add_argument("--changed-percent", type=float, default=1)
    parser.add_argument("--peer-contacts", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="an object a line")
    options = parser.parse_args()
    items = options.contacts + options.appointments
    with servers(), simulator() as url:
        from syncservice.simulator.exchange.control import SimulatorControl

        control = SimulatorControl(url)
        control.create_mailboxes({ADDRESS: PASSWORD, PEER: PASSWORD})
        box = _box(url)
        customers.fill_crm(options.contacts, options.appointments, options.seed)
        peer = _elsewhere(customers.peers, url, options.peer_contacts, options.seed)

        first = _first(control, box, items)
        assert first["items_made"] == items
        ratio = round(first["per_second"] / peer["create"], 2)
        _print("items_first", options, **first, bulk_create=peer["create"], ratio=ratio)

        changed = _change(url, options)
        done = _visits(control, box)
        assert done["records"] == done["items"] == changed
        _print("items_changed", options, changed_on_each_side=changed, **done)
        _print("items_quiet", options, **_quiet())

        _become_another_installation(control, box)
        adopted = _first(control, box, items)
        assert adopted["items_made"] == adopted["records_made"] == 0
        _print("items_adopted", options, **adopted)

        _empty_crm()
        _become_another_installation(control, box)
        stored = _first(control, box, items)
        assert stored["records_made"] == items
        ratio = round(stored["per_second"] / peer["read"], 2)
        _print("items_stored", options, **stored, contacts_all=peer["read"], ratio=ratio)


def _print(name: str, options: argparse.Namespace, **facts: Any) -> None:
    if options.json:
        print(json.dumps({"bench": name, **facts}), flush=True)
    else:
        print("  ".join([name, *(f"{key}={value}" for key, value in facts.items())]), flush=True)


def _first(control, box, items: int) -> dict[str, Any]:
    """Make a first synchronization: the look that asks, the answer, and all that is to be done."""
    from syncservice.mailboxes import item_questions
    from syncservice.mailboxes.models import ItemProgress, JournalEntry

    entries = JournalEntry.objects.order_by("-pk")
    last = entries.values_list("pk", flat=True).first() or 0
    look = _visits(control, box)
    asking = ItemProgress.objects.filter(mailbox=box, first=ItemProgress.First.ASKING)
    plans = list(asking.values_list("plan", flat=True))
    item_questions.answer(box.pk, item_questions.Question.FIRST_SYNCHRONIZATION, True, "bench")
    done = _visits(control, box)
    _check(box, items)
    made = entries.filter(pk__gt=last)
    seconds = look["seconds"] + done["seconds"]
    counts = ("creates_in_exchange", "creates_in_crm", "links", "invitations")
    return {
        "all": items,
        "plan": "/".join(str(sum(plan[count] for plan in plans)) for count in counts),
        "items_made": made.filter(action=JournalEntry.Action.CREATED_ITEM).count(),
        "records_made": made.filter(action=JournalEntry.Action.CREATED_RECORD).count(),
        "look_seconds": look["seconds"],
        "seconds": round(seconds, 1),
        "per_second": round(items / seconds, 1),
        "visits": look["visits"] + done["visits"],
        "requests": look["requests"] + done["requests"],
        "sql_each": round((look["sql"] + done["sql"]) / items, 2),
        **{
            f"{whose}_ms_each": round(1000 * (look[whose] + done[whose]) / items, 2)
            for whose in ("own", "database", "simulator")
        },
        "megabytes_before": look["megabytes_before"],
        "megabytes_most": max(look["megabytes_most"], done["megabytes_most"]),
    }


def _visits(control, box) -> dict[str, Any]:
    """Visit until a visit finds nothing to do."""
    from django.db.models import Max, Sum

    from syncservice.mailboxes.models import VisitStatistics

    visits = VisitStatistics.objects.filter(mailbox=box)
    last = visits.aggregate(fence=Max("fence"))["fence"] or 0
    began, before = time.perf_counter(), _processor_times(control)
    with _memory() as figures, _statements() as count:
        for _ in range(MOST_VISITS):
            assert _visit() == 1
            visit = visits.latest("fence")
            assert not visit.fault_code, visit.fault_code
            if not (visit.written or visit.stored or visit.more_left):
                break
    seconds = time.perf_counter() - began
    made = visits.filter(fence__gt=last)
    sums = made.aggregate(*map(Sum, ("requests", "stored", "written", "failed")))
    assert sums["failed__sum"] == 0
    return {
        "records": sums["stored__sum"],
        "items": sums["written__sum"],
        "visits": made.count(),
        "requests": sums["requests__sum"],
        "seconds": round(seconds, 2),
        "sql": count[0],
        **{
            whose: round(spent - before[whose], 2)
            for whose, spent in _processor_times(control).items()
        },
        "megabytes_before": figures[0] >> 20,
        "megabytes_most": figures[1] >> 20,
    }


def _processor_times(control) -> dict[str, float]:
    """Return the processor seconds so far: ours, those of all of PostgreSQL, the simulator's."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    server = psutil.Process(backend).parent()
    times = [process.cpu_times() for process in (server, *server.children())]
    gone = times[0].children_user + times[0].children_system
    return {
        "own": time.process_time(),
        "database": gone + sum(spent.user + spent.system for spent in times),
        "simulator": control.statistics().cpu_seconds,
    }


def _visit() -> int:
    from django.db.models.functions import Now

    from syncservice.mailboxes.models import Schedule

    Schedule.objects.exclude(due_at=None).update(due_at=Now())
    return visit_due()


def _quiet() -> dict[str, Any]:
    from syncservice.mailboxes.models import VisitStatistics

    seconds, statements = [], []
    for _ in range(QUIET_VISITS):
        with _statements() as count:
            seconds.append(timed(_visit))
        statements.append(count[0])
    visits = VisitStatistics.objects.order_by("-fence")[:QUIET_VISITS]
    (requests,) = {visit.requests for visit in visits}
    assert requests == FOLDERS
    return {
        "requests": requests,
        "milliseconds": round(1000 * statistics.median(seconds), 1),
        "sql": round(statistics.median(statements)),
        "median_of": QUIET_VISITS,
    }


def _check(box, items: int) -> None:
    """All is in step, and nothing waits."""
    from syncservice.mailboxes.models import ItemLink

    links = ItemLink.objects.filter(mailbox=box, due_at=None, state=ItemLink.State.LINKED)
    assert links.exclude(base=None).count() == items


@contextmanager
def _statements() -> Iterator[list[int]]:
    """Count what PostgreSQL is asked, but for the bounds of transactions."""
    from django.db import connection

    count = [0]

    def counted(execute, sql, params, many, context):
        count[0] += 1
        return execute(sql, params, many, context)

    with connection.execute_wrapper(counted):
        yield count


@contextmanager
def _memory() -> Iterator[list[int]]:
    """Give two figures: the bytes that the process held before the block, and at most within."""
    process, done = psutil.Process(), threading.Event()
    figures = [process.memory_info().rss] * 2

    def look() -> None:
        while not done.wait(0.05):
            figures[1] = max(figures[1], process.memory_info().rss)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield figures
    finally:
        done.set()
        thread.join()


def _elsewhere(work: Callable[..., Any], *arguments: Any) -> Any:
    """Do work in a process of its own: what exchangelib holds would be counted as ours."""
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning) as executor:
        return executor.submit(work, *arguments).result()


def _box(url: str):
    """Add a mailbox of which only appointments, contacts and tasks are kept in step."""
    from syncservice.mailboxes import directions
    from syncservice.mailboxes.administration import add_mailbox
    from syncservice.mailboxes.models import ActMethod, Direction

    box = add_mailbox(ADDRESS, exchange_profile(url), act_method=ActMethod.SERVER_SIDE)
    directions.disable([box.pk], [Direction.Kind.INCOMING], "bench")
    directions.enable([box.pk], [Direction.Kind.ACT], "bench")
    return box


def _change(url: str, options: argparse.Namespace) -> int:
    """Change some records, and as many other items as their owner would; return how many."""
    from syncservice.crm.models import Appointment, Contact
    from syncservice.mailboxes.models import ItemLink

    changed = 0
    for kind, records, key, field, there in (
        ("contact", Contact.objects, "key", "job_title", options.contacts),
        ("appointment", Appointment.objects, "pk", "location", options.appointments),
    ):
        count = round(there * options.changed_percent / 100)
        links = ItemLink.objects.filter(kind=kind).order_by("pk")[: 2 * count]
        keys = [link.key for link in links[:count]]
        records.filter(**{f"{key}__in": keys}).update(**{field: "Changed here"})
        _elsewhere(customers.change_items, url, [link.item_id for link in links[count:]], field)
        changed += count
    return changed


def _become_another_installation(control, box) -> None:
    """Know nothing of the mailbox, whose items bear the keys of somebody else: take them over."""
    from uuid import uuid4

    from syncservice.mailboxes import item_questions, schedule
    from syncservice.mailboxes.models import Organisation

    schedule.begin_anew([box.pk])
    Organisation.objects.update(identity=uuid4())
    _visits(control, box)
    item_questions.answer(box.pk, item_questions.Question.LINKED_ELSEWHERE, True, "bench")


def _empty_crm() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE crm_contact, crm_appointment, crm_recordchange CASCADE")


if __name__ == "__main__":
    main()
