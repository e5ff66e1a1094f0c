"""Outgoing email of one worker process over SMTP and EWS, against plain loops that only send.

The peers send the same messages to the same server, over one connection: smtplib's `sendmail`, and
exchangelib's `send()`. We take each email from PostgreSQL, compose it, write down each step of its
attempt so that it is sent once whatever happens, and record what came of it. How long a lone email
takes from its commit to the server is printed, too. The servers run in processes of their own.
"""

import argparse
import smtplib
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.environment import servers, spread
from bench.incoming_exchange import PASSWORD, exchange_profile, simulator, timed

CUSTOMER = "customer@contoso.test"
_SINK = """
import asyncio, sys
from aiosmtpd.smtp import SMTP

class Sink:
    async def handle_DATA(self, server, session, envelope):
        return "250 taken"

async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(), enable_SMTPUTF8=True), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emails", type=int, default=300)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with servers(), sink() as port, simulator() as url:
        from syncservice.simulator.exchange.control import SimulatorControl

        smtp = _box("smtp@example.test", _smtp_profile(port))
        _measure("smtp", smtp, lambda mimes: _by_smtplib(port, mimes), options)
        _latency(smtp)
        SimulatorControl(url).create_mailboxes({"ews@example.test": PASSWORD})
        ews = _box("ews@example.test", exchange_profile(url))
        _measure("exchange", ews, lambda mimes: _by_exchangelib(url, len(mimes)), options)


def _measure(
    name: str, box, peer: Callable[[list[bytes]], None], options: argparse.Namespace
) -> None:
    from workers.outgoing_activities import send_due

    ours, theirs = [], []
    for _ in range(options.runs):  # in turn, so that a noisy moment hits both
        mimes = _submit(box, options.emails)
        ours.append(options.emails / timed(send_due))
        _check()
        theirs.append(options.emails / timed(lambda: peer(mimes)))  # noqa: B023
    print(
        f"outgoing  over={name}  emails={options.emails}  ours={statistics.median(ours):.0f}/s  "
        f"{'smtplib' if name == 'smtp' else 'exchangelib_send'}={statistics.median(theirs):.0f}/s  "
        f"ratio={statistics.median(ours) / statistics.median(theirs):.2f}  "
        f"median_of={options.runs}  spread={spread(ours)}",
        flush=True,
    )


@contextmanager
def sink() -> Iterator[int]:
    """Run a server that takes everything."""
    process = subprocess.Popen([sys.executable, "-c", _SINK], stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def _smtp_profile(port: int):
    from syncservice.mailboxes.administration import save_profile
    from syncservice.mailboxes.models import EmailServerProfile

    return save_profile(
        "smtp",
        server_type=EmailServerProfile.ServerType.POP3_SMTP,
        location="127.0.0.1",
        outgoing_location="127.0.0.1",
        outgoing_port=port,
        outgoing_security=EmailServerProfile.Security.NONE,
        same_settings_for_outgoing=False,
        outgoing_credentials=EmailServerProfile.Credentials.NONE,
        username="user",
        password=PASSWORD,
    )


def _box(address: str, profile):
    from syncservice.mailboxes import directions
    from syncservice.mailboxes.administration import add_mailbox
    from syncservice.mailboxes.models import ActMethod, Direction, OutgoingMethod

    box = add_mailbox(
        address, profile, outgoing_method=OutgoingMethod.SERVER_SIDE, act_method=ActMethod.NONE
    )
    directions.disable([box.pk], [Direction.Kind.INCOMING], "bench")
    directions.enable([box.pk], [Direction.Kind.OUTGOING], "bench")
    return box


def _submit(box, count: int) -> list[bytes]:
    """Submit emails, and return them as a peer may send them."""
    from syncservice.domain.composition import Composition, compose
    from syncservice.domain.message import Party, Role
    from syncservice.mailboxes.administration import owner_of
    from syncservice.sync import submission, writing
    from syncservice.sync.writing import Letter

    user, text = owner_of(box), "Dear customer,\n\n" + "This is our offer for March.\n" * 40
    mimes = []
    for number in range(count):
        letter = Letter(to=[CUSTOMER], subject=f"Offer {number}", text=text, html=f"<p>{text}</p>")
        email = writing.draft(user, letter)
        submission.submit(email, user)
        email.refresh_from_db()
        mimes.append(
            compose(
                Composition(
                    message_id=email.message_id,
                    at=email.created_at,
                    author=Party(Role.SENDER, box.email_address, ""),
                    parties=(Party(Role.TO, CUSTOMER, ""),),
                    subject=email.subject,
                    text=text,
                    html=email.html,
                )
            )
        )
    return mimes


def _check() -> None:
    from syncservice.crm.models import Email
    from syncservice.domain.sending import State

    assert not Email.objects.exclude(status=State.SENT).exists()


def _by_smtplib(port: int, mimes: list[bytes]) -> None:
    with smtplib.SMTP("127.0.0.1", port) as connection:
        for mime in mimes:
            connection.sendmail("smtp@example.test", [CUSTOMER], mime)


def _by_exchangelib(url: str, count: int) -> None:
    from exchangelib import (
        IMPERSONATION,
        Account,
        Build,
        Configuration,
        Credentials,
        HTMLBody,
        Message,
        Version,
    )

    config = Configuration(
        service_endpoint=f"{url}/EWS/Exchange.asmx",
        credentials=Credentials("svc", PASSWORD),
        auth_type="basic",
        version=Version(Build(15, 1, 2507, 6)),
    )
    account = Account("ews@example.test", config=config, access_type=IMPERSONATION)
    body = HTMLBody("<p>" + "This is our offer for March.\n" * 40 + "</p>")
    for number in range(count):
        Message(
            account=account, subject=f"Offer {number}", body=body, to_recipients=[CUSTOMER]
        ).send()


def _latency(box, times: int = 20) -> None:
    """Measure a lone email on an idle system, from its commit to the end of the hand-over."""
    from syncservice.crm.models import Email
    from syncservice.domain.sending import State

    celery = [sys.executable, "-m", "celery", "-A", "workers.app"]
    nowhere = subprocess.DEVNULL
    processes = [
        subprocess.Popen([*celery, *arguments], stdout=nowhere, stderr=nowhere)
        for arguments in (
            ["worker", "-Q", "outgoing_activities", "--without-gossip", "--without-mingle"],
            ["beat", "--schedule", str(Path("/dev/null"))],
        )
    ]
    try:
        waits = []
        for _ in range(times + 1):
            _submit(box, 1)
            began = time.perf_counter()
            while Email.objects.exclude(status=State.SENT).exists():
                threading.Event().wait(0.01)
            waits.append(time.perf_counter() - began)
        waits = sorted(waits[1:])  # behind the start of the processes
        print(
            f"outgoing_latency  emails={times}  p50={1000 * statistics.median(waits):.0f}ms  "
            f"max={1000 * waits[-1]:.0f}ms",
            flush=True,
        )
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


if __name__ == "__main__":
    main()
