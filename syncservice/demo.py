"""The demonstration: a simulated Exchange with lifelike mail, and everything else real.

Real PostgreSQL and Redis, beat, three workers and the web pages, each a process of its own; only
the mail server is a simulator, and the rests between visits are scaled down, and it says so.
"""

import socket
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from syncservice.processes import Processes, Program
from syncservice.simulator.exchange.control import SimulatorControl
from syncservice.simulator.letters import Letters
from syncservice.up import stop_requested, whole_service

if TYPE_CHECKING:
    from syncservice.alerts.overview import MailboxStatus
    from syncservice.crm.models import User

FOLDER = Path(".demo")
SERVICE_ACCOUNT, SERVICE_PASSWORD = "crm-service", "demo-password"  # a simulator's
#: Minutes of the real service are seconds of the demonstration.
SCALE = {
    "POLL_SHORTEST_SECONDS": "2",
    "POLL_NORMAL_SECONDS": "5",
    "POLL_LONGEST_SECONDS": "12",
    "SLOT_RETRY_SECONDS": "0.5",
    "DISPATCH_INTERVAL_SECONDS": "0.2",
}
#: Invented letters that lie in each mailbox when the demonstration begins.
FIRST_LETTERS = 20
#: Longest wait for the service to account for a folder of mail, in seconds.
SETTLE_SECONDS = 120

console = Console()


@dataclass(slots=True)
class Account:
    """What the simulator holds, and what became of it."""

    delivered: int = 0
    emails: int = 0  # email records
    linked: int = 0  # items of a record that another item brought
    in_step: int = 0  # appointments, contacts and tasks
    failures: list[tuple[str, str, str]] = field(default_factory=list)  # mailbox, subject, reason
    waiting: list[tuple[str, str]] = field(default_factory=list)  # mailbox, subject


def run(seconds: float | None, mail_dir: str | None, once: bool, mailboxes: int) -> int:
    """Run the demonstration; with `once`, return 1 when a message is unaccounted for."""
    began = time.monotonic()
    port, web_port = _free_port(), _free_port()
    url = f"http://127.0.0.1:{port}"
    mail = _mail_of(Path(mail_dir)) if mail_dir else _invented(mailboxes)
    programs = [_simulator(port)]
    if not mail_dir:
        programs.append(_arrivals(url, list(mail)))
    stop = stop_requested()
    console.print(
        f"Simulated Exchange with {len(mail)} mailboxes and "
        f"{sum(map(len, mail.values()))} messages; PostgreSQL, Redis, beat, three workers and web "
        "pages are real.\nRests between visits are scaled down: a minute takes a second."
    )
    environment = {**SCALE, "WEB_BIND": f"127.0.0.1:{web_port}"}
    with whole_service(
        FOLDER, more=tuple(programs), environment_of_processes=environment, fresh=True
    ) as service:
        processes = service.processes
        console.print(f"Console: http://127.0.0.1:{web_port}/    Logs: {FOLDER / 'logs'}\n")
        control = SimulatorControl(url)
        _wait_for(port, processes)
        _fill(control, mail)
        _make_records(list(mail), url, keeps_items=not mail_dir)
        _watch(control, list(mail), processes, stop, began, seconds, once)
        account = take_account(control, list(mail))
    _summarise(account, time.monotonic() - began)
    return 1 if once and account.waiting else 0


def take_account(control: SimulatorControl, addresses: list[str]) -> Account:
    """Look up every message of the simulator in the CRM."""
    from syncservice.alerts.models import ItemFailure
    from syncservice.crm.models import Email
    from syncservice.mailboxes.models import DeclinedItem, ItemLink, RemoteItem

    linked = set(RemoteItem.objects.values_list("item_id", flat=True))
    reasons = {item.item_id: str(item.get_reason_display()) for item in DeclinedItem.objects.all()}
    reasons |= dict(ItemFailure.objects.values_list("item_id", "reason"))
    in_step = ItemLink.objects.filter(state=ItemLink.State.LINKED, due_at=None).count()
    account = Account(emails=Email.objects.count(), in_step=in_step)
    for address in addresses:
        for item in control.items(address, "inbox"):
            account.delivered += 1
            if item.id in linked:
                account.linked += 1
            elif item.id in reasons:
                account.failures.append((address, item.subject, reasons[item.id]))
            else:
                account.waiting.append((address, item.subject))
    account.linked -= account.emails
    return account


def _simulator(port: int) -> Program:
    module = (sys.executable, "-m", "syncservice.simulator.exchange")
    return Program("exchange", (*module, "--port", str(port)))


def _arrivals(url: str, addresses: list[str]) -> Program:
    module = (sys.executable, "-m", "syncservice.simulator.arrivals")
    return Program("arrivals", (*module, url, *addresses))


def _mail_of(folder: Path) -> dict[str, list[bytes]]:
    """Read a folder of .eml files: a mailbox a sub-folder, one more for files beside them."""
    mail: dict[str, list[bytes]] = {}
    for file in sorted(folder.rglob("*.eml")):
        parts = file.relative_to(folder).parts
        name = parts[0] if len(parts) > 1 else "mail"
        address = f"{''.join(c if c.isalnum() else '-' for c in name.lower())}@demo.example"
        mail.setdefault(address, []).append(file.read_bytes())
    return mail


def _invented(mailboxes: int) -> dict[str, list[bytes]]:
    from faker import Faker

    faker = Faker(["en_GB", "nl_NL"])
    faker.seed_instance(1)
    letters = Letters(1)
    names = [faker.unique.user_name() for _ in range(mailboxes)]
    addresses = [f"{name}@demo.example" for name in names]
    return {
        address: [letters.write(address, addresses) for _ in range(FIRST_LETTERS)]
        for address in addresses
    }


def _fill(control: SimulatorControl, mail: dict[str, list[bytes]]) -> None:
    control.create_service_account(SERVICE_ACCOUNT, SERVICE_PASSWORD)
    control.create_mailboxes(dict.fromkeys(mail, SERVICE_PASSWORD))
    for address, messages in mail.items():
        control.deliver_many([(address, message) for message in messages])


def _make_records(addresses: list[str], url: str, *, keeps_items: bool) -> None:
    """Make the profile and, for every mailbox, its user or (every tenth) its queue.

    With `keeps_items`, users have contacts, a task and a meeting to be kept in step, too.
    """
    from syncservice.crm.models import IncomingFilter, Queue, User
    from syncservice.mailboxes import administration, audit, directions
    from syncservice.mailboxes.models import ActMethod, Direction

    profile = administration.save_profile(
        "Simulated Exchange",
        location=f"{url}/EWS/Exchange.asmx",
        username=SERVICE_ACCOUNT,
        password=SERVICE_PASSWORD,
        use_impersonation=True,
    )
    # Whatever arrives is to be seen: the invented users write to each other, too.
    administration.change_organisation(audit.COMMAND_LINE, internal_email_is_two_activities=True)
    for number, address in enumerate(addresses, start=1):
        queue = None
        if number % 10 == 0:
            queue = Queue.objects.create(name=f"Queue {number // 10}", email_address=address)
        box = administration.add_mailbox(address, profile, queue=queue)
        administration.change_owner(box, audit.COMMAND_LINE, incoming_filter=IncomingFilter.ALL)
        if keeps_items and queue is None:
            administration.change_mailbox(box, audit.COMMAND_LINE, act_method=ActMethod.SERVER_SIDE)
            directions.enable([box.pk], [Direction.Kind.ACT], audit.COMMAND_LINE)
    if keeps_items:
        _give_work(list(User.objects.filter(email__in=addresses).order_by("pk")))


def _give_work(users: "list[User]") -> None:
    """Let each user know some people, have something to do, and meet the next one tomorrow."""
    from faker import Faker

    from syncservice.crm.models import Appointment, AppointmentParty, Contact, Task

    faker = Faker(["en_GB", "nl_NL"])
    faker.seed_instance(2)
    tomorrow = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    for number, user in enumerate(users):
        Contact.objects.bulk_create(
            Contact(
                first_name=faker.first_name(),
                last_name=faker.last_name(),
                email_address=faker.unique.email(),
                job_title=faker.job()[:50],
                owner=user,
            )
            for _ in range(3)
        )
        Task.objects.create(subject=faker.sentence(4), status=2, owner=user, due_at=tomorrow)
        meeting = Appointment.objects.create(
            subject=faker.catch_phrase(),
            starts_at=tomorrow + timedelta(hours=number % 8),
            ends_at=tomorrow + timedelta(hours=number % 8 + 1),
            time_zone="Europe/Amsterdam",
            owner=user,
        )
        roles = AppointmentParty.Participation
        for role, person in (
            (roles.ORGANIZER, user),
            (roles.REQUIRED, users[(number + 1) % len(users)]),
        ):
            meeting.parties.create(participation=role, address=person.email, user=person)


def _watch(
    control: SimulatorControl,
    addresses: list[str],
    processes: Processes,
    stop: threading.Event,
    began: float,
    seconds: float | None,
    once: bool,
) -> None:
    """Show the live table until Ctrl-C, the time given or, with `once`, all mail is accounted."""
    first_mail: float | None = None
    settled = False
    deadline = began + seconds if seconds else None
    if once:
        deadline = min(deadline or float("inf"), time.monotonic() + SETTLE_SECONDS)
    # Where nobody watches a screen, a line every few seconds tells the same.
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while not (stop.is_set() or settled or (deadline and time.monotonic() > deadline)):
            account = take_account(control, addresses)
            elapsed = time.monotonic() - began
            if first_mail is None and account.emails:
                first_mail = elapsed
            progress = _progress(account, elapsed, first_mail)
            if console.is_terminal:
                live.update(_screen(account, processes, progress), refresh=True)
            else:
                console.print(progress)
            settled = once and not account.waiting
            if not processes.is_running():
                console.print(f"supervisord ended; see {FOLDER / 'logs' / 'supervisord.log'}")
                return
            stop.wait(0.5 if console.is_terminal else 2)
    if first_mail is not None:
        console.print(f"The first mail was in the CRM {first_mail:.1f} s after the start.")


def _progress(account: Account, elapsed: float, first_mail: float | None) -> Text:
    done = account.delivered - len(account.waiting)
    return Text.assemble(
        (f"{done:,}", "bold green"),
        f" of {account.delivered:,} messages are in the CRM or accounted for",
        f" · {len(account.failures)} item failures · {elapsed:.0f} s",
        f" · first mail after {first_mail:.1f} s" if first_mail is not None else "",
        f" · {account.in_step} appointments, contacts and tasks in step" if account.in_step else "",
    )


def _screen(account: Account, processes: Processes, progress: Text) -> Group:
    done = account.delivered - len(account.waiting)
    bar = ProgressBar(total=max(account.delivered, 1), completed=done, width=60)
    states = Counter(processes.states().values())
    running = Text(", ".join(f"{count} {state.lower()}" for state, count in states.items()))
    processes_line = Text("processes: ", style="dim") + running
    return Group(progress, Padding(bar, (0, 0)), processes_line, _table())


def _table() -> Table:
    from syncservice.alerts.overview import overview

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("mailbox", "state", "last visit", "next visit", "why"):
        table.add_column(name, no_wrap=True)
    for name in ("emails", "failures"):
        table.add_column(name, justify="right")
    for row in overview(limit=max(console.height - 8, 5)):
        table.add_row(*_cells(row))
    return table


def _cells(row: "MailboxStatus") -> tuple[str, ...]:
    now = time.time()
    colours = {
        "VISITING": "cyan",
        "FAILING": "red",
        "PARKED": "red",
        "STOPPED": "red",
        "RESTING": "green",
        "DISABLED": "dim",
    }
    colour = colours.get(row.state.name, "yellow")
    visited = f"{max(now - row.visited_at.timestamp(), 0):.0f} s ago" if row.visited_at else ""
    due = f"in {max(row.due_at.timestamp() - now, 0):.0f} s" if row.due_at else ""
    if row.state.name == "VISITING":
        due = ""
    return (
        row.address,
        f"[{colour}]{row.state.value}[/]",
        visited,
        due,
        row.fault_text or row.reason,
        f"{row.emails:,}",
        f"{row.failures or ''}",
    )


def _summarise(account: Account, elapsed: float) -> None:
    table = Table(title="Summary", box=None, title_style="bold", show_header=False)
    table.add_column(justify="right", style="bold")
    table.add_column()
    table.add_row(f"{account.delivered:,}", "messages were in the simulated mailboxes")
    table.add_row(f"{account.emails:,}", "email records in the CRM")
    table.add_row(f"{account.linked:,}", "copies of a message that is a record already")
    table.add_row(f"{len(account.failures):,}", "item failures, each with its reason")
    table.add_row(f"{len(account.waiting):,}", "arrived since the last visit")
    if account.in_step:
        table.add_row(f"{account.in_step:,}", "appointments, contacts and tasks are in step")
    console.print(table)
    for title, rows in (("Item failures", account.failures), ("Waiting", account.waiting)):
        for address, subject, *reason in rows[:20]:
            console.print(f"  {title}: {address} {subject!r} {' '.join(reason)}", highlight=False)
    console.print(f"{elapsed:.0f} s in all. The data stays in {FOLDER} until the next run.")


def _wait_for(port: int, processes: Processes) -> None:
    """Wait until the simulator listens; its process is started with the others."""
    while processes.is_running():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
