"""Incoming email from Exchange into PostgreSQL, against a plain exchangelib loop.

Both read the same mailboxes of the same simulator, which runs in a process of its own; its share of
the time is printed, so that nobody takes its limit for ours. The peers only read; we store too.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.environment import servers, spread

PASSWORD = "bench"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--idle-visits", type=int, default=300)
    options = parser.parse_args()
    with servers(), simulator() as url:
        from syncservice.simulator.exchange.control import SimulatorControl
        from syncservice.simulator.letters import Letters

        control = SimulatorControl(url)
        letters = Letters(1)
        mail = [letters.write("user@example.test", []) for _ in range(options.messages)]
        boxes = [f"user{number}@example.test" for number in range(options.runs)]
        control.create_mailboxes(dict.fromkeys(boxes, PASSWORD))
        for address in boxes:
            control.deliver_many([(address, message) for message in mail])
        profile = exchange_profile(url)

        ours, share, peer_all, peer_only = [], [], [], []
        for address in boxes:  # in turn, so that a noisy moment hits them all
            _begin_anew(address, profile)
            cpu = control.statistics().cpu_seconds
            seconds = timed(visit_due)
            share.append((control.statistics().cpu_seconds - cpu) / seconds)
            ours.append(options.messages / seconds)
            peer_all.append(options.messages / timed(lambda: _read_all(url, address)))  # noqa: B023
            peer_only.append(options.messages / timed(lambda: _read_only(url, address)))  # noqa: B023
        requests, visits = _idle(control, boxes[0], options.idle_visits)

        median = statistics.median
        print(
            f"incoming_exchange  messages={options.messages}  ours_stored={median(ours):.0f}/s  "
            f"exchangelib_all={median(peer_all):.0f}/s  "
            f"exchangelib_only={median(peer_only):.0f}/s  "
            f"ratio_all={median(ours) / median(peer_all):.1f}  "
            f"ratio_only={median(ours) / median(peer_only):.1f}  "
            f"simulator_share={100 * median(share):.0f}%  "
            f"idle_requests={requests:g}  idle_visits={visits:.0f}/s  "
            f"median_of={options.runs}  spread={spread(ours)}"
        )


@contextmanager
def simulator() -> Iterator[str]:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "syncservice.simulator.exchange", "--port", "0"),
            *("--service-account", f"svc:{PASSWORD}"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        yield next(word for word in line.split() if word.startswith("http")).rstrip("/.")
    finally:
        process.terminate()
        process.wait()


def exchange_profile(url: str):
    from syncservice.mailboxes.administration import save_profile

    return save_profile(
        "bench",
        location=f"{url}/EWS/Exchange.asmx",
        username="svc",
        password=PASSWORD,
        use_impersonation=True,
    )


def _begin_anew(address: str, profile) -> None:
    """Make a mailbox that was never read, in an empty CRM."""
    from syncservice.crm.models import Email, IncomingFilter
    from syncservice.mailboxes.administration import add_mailbox, change_owner

    Email.objects.all().delete()
    box = add_mailbox(address, profile)
    change_owner(box, "bench", incoming_filter=IncomingFilter.ALL)


def visit_due() -> int:
    """Make the visits that are due, as workers do: claim, slot, visit, outcome."""
    from datetime import timedelta

    from syncservice.mailboxes.schedule import claim_due
    from workers.mailboxes import visit

    claims = claim_due(1000, timedelta(minutes=5)).messages
    for claim in claims:
        visit(*claim)
    return len(claims)


def _idle(control, address: str, visits: int) -> tuple[float, float]:
    """Visit a quiet mailbox again and again: requests a visit, visits a second."""
    from django.db.models.functions import Now

    from syncservice.mailboxes.models import Schedule, VisitStatistics

    ours = Schedule.objects.filter(mailbox__email_address=address)

    def again() -> None:
        for _ in range(visits):
            ours.update(due_at=Now())
            visit_due()

    seconds = timed(again)
    last = VisitStatistics.objects.filter(mailbox__email_address=address).order_by("-fence")
    counts = list(last.values_list("requests", flat=True)[:visits])
    return statistics.mean(counts), visits / seconds


def _read_all(url: str, address: str) -> None:
    """Read as exchangelib's documentation does: every field of every item."""
    for item in _account(url, address).inbox.all():
        _ = (item.subject, item.sender, item.to_recipients, item.text_body, item.body)


def _read_only(url: str, address: str) -> None:
    """Read only the fields that a record needs."""
    fields = ("subject", "sender", "to_recipients", "cc_recipients", "body", "attachments",
              "message_id", "in_reply_to", "references", "datetime_sent")  # fmt: skip
    for item in _account(url, address).inbox.all().only(*fields):
        _ = (item.subject, item.sender, item.to_recipients, item.body)


def _account(url: str, address: str):
    from exchangelib import IMPERSONATION, Account, Build, Configuration, Credentials, Version

    config = Configuration(
        service_endpoint=f"{url}/EWS/Exchange.asmx",
        credentials=Credentials("svc", PASSWORD),
        auth_type="basic",
        version=Version(Build(15, 1, 2507, 6)),
    )
    return Account(address, config=config, access_type=IMPERSONATION)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
