"""Incoming email over POP3 into PostgreSQL, against mpop, fetchmail and a poplib loop.

All read the same mailbox of the same Dovecot, near and at the end of a long way (a proxy that holds
back every byte). The peers write to a file (mpop an mbox, fetchmail a BSMTP batch) or nowhere
(poplib); we parse, judge and store records, and once only read, as poplib does: what is between the
two is no protocol's. A line a distance.
"""

import argparse
import poplib
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.environment import servers, spread
from bench.incoming_exchange import timed, visit_due

USER, PASSWORD = "user", "pw"
_MPOP = """
defaults
tls off
account default
host 127.0.0.1
port {port}
user {user}
auth user
password {password}
delivery mbox {folder}/mbox
uidls_file {folder}/uidls-{port}
keep on
only_new off
received_header off
pipelining on
"""
_FETCHMAIL = """
poll 127.0.0.1 protocol pop3 port {port} auth password
  username "{user}" password "{password}" keep fetchall sslproto "" bsmtp "{folder}/bsmtp"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--round-trips", type=int, nargs="*", default=[0, 20], help="milliseconds")
    options = parser.parse_args()
    from tests.servers.dovecot import PROGRAM, dovecot

    if not Path(PROGRAM).exists():
        sys.exit("Dovecot is not installed (Debian's package dovecot-pop3d)")
    with servers(), dovecot() as post, tempfile.TemporaryDirectory() as folder:
        from syncservice.simulator.letters import Letters

        letters = Letters(1)
        sizes = []
        for _ in range(options.messages):
            letter = letters.write("user@example.test", [])
            sizes.append(len(letter))
            post.deliver(USER, letter)
        for milliseconds in options.round_trips:
            with _distance(post.port, milliseconds / 2) as port:
                _measure(
                    port,
                    milliseconds,
                    options.messages,
                    statistics.mean(sizes),
                    options.runs,
                    Path(folder),
                )


def _measure(
    port: int, milliseconds: int, messages: int, size: float, runs: int, folder: Path
) -> None:
    readers: dict[str, Callable[[], None]] = {
        "ours_stored": lambda: _store(messages),
        "ours_read": lambda: _read(port, messages),
    }
    if shutil.which("mpop"):
        readers["mpop"] = lambda: _mpop(port, folder)
    if shutil.which("fetchmail"):
        readers["fetchmail"] = lambda: _fetchmail(port, folder)
    readers["poplib"] = lambda: _poplib(port)
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(runs):  # in turn, so that a noisy moment hits them all
        _begin_anew(port)
        for name, read in readers.items():
            rates[name].append(messages / timed(read))
    median = {name: statistics.median(found) for name, found in rates.items()}
    figures = "  ".join(f"{name}={rate:.0f}/s" for name, rate in median.items())
    ratios = "  ".join(
        f"{what}_ratio_{name}={median[f'ours_{what}'] / rate:.2f}"
        for what in ("stored", "read")
        for name, rate in median.items()
        if not name.startswith("ours_")
    )
    missing = {"mpop", "fetchmail"} - readers.keys()
    print(
        f"incoming_pop3  rtt_ms={milliseconds}  messages={messages}  bytes={size:.0f}  {figures}  "
        f"{ratios}  median_of={runs}  spread={spread(rates['ours_stored'])}"
        + (f"  not_installed={','.join(sorted(missing))}" if missing else ""),
        flush=True,
    )


@contextmanager
def _distance(port: int, milliseconds: float) -> Iterator[int]:
    """Give a port with the server behind it, so many milliseconds away in each direction."""
    if not milliseconds:
        yield port
        return
    command = (sys.executable, "-m", "bench.delay", str(port), str(milliseconds))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def _begin_anew(port: int) -> None:
    """Make a mailbox that was never read, in an empty CRM."""
    from syncservice.crm.models import Email, IncomingFilter
    from syncservice.mailboxes.administration import add_mailbox, change_owner, save_profile
    from syncservice.mailboxes.models import DeclinedItem, Mailbox

    Email.objects.all().delete()
    DeclinedItem.objects.all().delete()
    Mailbox.objects.all().delete()
    profile = save_profile(
        "bench",
        server_type=1,
        location="127.0.0.1",
        outgoing_location="127.0.0.1",
        port=port,
        security=0,
        username=USER,
        password=PASSWORD,
        use_impersonation=False,
    )
    box = add_mailbox("user@example.test", profile, act_method=2)
    change_owner(box, "bench", incoming_filter=IncomingFilter.ALL)


def _store(messages: int) -> None:
    """Visit it as workers do, until all is stored."""
    from django.db.models.functions import Now

    from syncservice.mailboxes.models import RemoteItem, Schedule

    while RemoteItem.objects.count() < messages:
        Schedule.objects.update(due_at=Now())
        visit_due()


def _read(port: int, messages: int) -> None:
    """Fetch it in batches as a visit does, and keep nothing."""
    from django.conf import settings

    from syncservice.servers.gateway import Fetched
    from syncservice.servers.mail_server import MailServer, Security
    from syncservice.servers.pop3 import Pop3Incoming

    server = MailServer("127.0.0.1", port, Security.NONE, USER, PASSWORD)
    with Pop3Incoming(server) as gateway:
        items = gateway.page("", messages).items
        read = 0
        for start in range(0, messages, settings.BATCH_MESSAGES):
            answers = gateway.fetch(items[start : start + settings.BATCH_MESSAGES])
            read += sum(isinstance(answer, Fetched) for answer in answers)
    assert read == messages


def _mpop(port: int, folder: Path) -> None:
    (folder / "mbox").unlink(missing_ok=True)
    _run(folder, _MPOP, port, "mpop", "-q", "-C")


def _fetchmail(port: int, folder: Path) -> None:
    (folder / "bsmtp").unlink(missing_ok=True)
    _run(folder, _FETCHMAIL, port, "fetchmail", "-s", "--nosyslog", "--pidfile",
         str(folder / "pid"), "-f")  # fmt: skip


def _run(folder: Path, configuration: str, port: int, *command: str) -> None:
    file = folder / "configuration"
    file.write_text(
        configuration.format(port=port, user=USER, password=PASSWORD, folder=folder).lstrip()
    )
    file.chmod(0o600)
    subprocess.run([*command, str(file)], check=True, stderr=subprocess.PIPE, cwd=folder)


def _poplib(port: int) -> None:
    connection = poplib.POP3("127.0.0.1", port)
    connection.user(USER)
    connection.pass_(PASSWORD)
    for line in connection.uidl()[1]:
        connection.retr(int(line.split()[0]))
    connection.quit()


if __name__ == "__main__":
    main()
