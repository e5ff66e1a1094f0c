"""The whole service on one machine, for a small organisation: `syncservice up`.

Embedded PostgreSQL and Redis when DATABASE_URL names none, migrations, what `.env` says of an
Exchange server, then every process under supervisord until Ctrl-C.
"""

import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import environ
from rich.console import Console

from syncservice import environment
from syncservice.embedded import EmbeddedServers, EmbeddedServersError
from syncservice.processes import Processes, Program, service_programs

console = Console()

#: How often `up` looks whether the embedded servers still run.
LOOK_SECONDS = 2.0


def run(seconds: float | None) -> int:
    """Run until Ctrl-C, TERM or the time given; return the exit status."""
    environ.Env.read_env(environment.text("ENV_FILE", ".env"))
    with whole_service(data_folder()) as service:
        from django.conf import settings

        console.print(f"The console is at http://{settings.WEB_BIND}/ — Ctrl-C stops everything.")
        console.print(f"Logs: {settings.DATA_FOLDER / 'logs'}")
        status = _look_after(service, stop_requested(), seconds)
        console.print("Stopping: running visits get a minute to finish…")
    return status


def _look_after(service: "Service", stop: threading.Event, seconds: float | None) -> int:
    """Start stores again that end by themselves, until told to stop; return the exit status.

    supervisord looks after the other processes. When it ends itself, so do we: what started us
    starts everything anew.
    """
    end = None if seconds is None else time.monotonic() + seconds
    told = ""
    while end is None or time.monotonic() < end:
        if stop.wait(LOOK_SECONDS if end is None else min(LOOK_SECONDS, end - time.monotonic())):
            break
        if not service.processes.is_running():
            console.print(
                "supervisord has ended by itself: the end of logs/supervisord.log says why"
            )
            return 1
        try:
            revived = service.stores.revive() if service.stores else []
        except EmbeddedServersError as error:
            if str(error) != told:
                console.print(str(error))
            told = str(error)
        else:
            for name in revived:
                console.print(f"{name} had ended by itself and runs again; see logs/{name}.log")
                told = ""
    return 0


def data_folder() -> Path:
    return Path(environment.text("DATA_FOLDER", ".syncservice")).resolve()


def stop_requested() -> threading.Event:
    """Return an event that Ctrl-C or TERM sets from now on."""
    event = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: event.set())
    return event


@dataclass(frozen=True, slots=True)
class Service:
    """What runs on this machine."""

    processes: Processes
    stores: EmbeddedServers | None  # None: servers of the operator's own


@contextmanager
def whole_service(
    folder: Path,
    *,
    more: tuple[Program, ...] = (),
    environment_of_processes: dict[str, str] | None = None,
    fresh: bool = False,
) -> Iterator[Service]:
    """Run stores and processes for the block; `fresh` empties the database first."""
    os.environ |= {"DATA_FOLDER": str(folder), **(environment_of_processes or {})}
    with ExitStack() as stack:
        stores = None
        if not os.environ.get("DATABASE_URL"):
            stores = stack.enter_context(EmbeddedServers(folder))
        _prepare(fresh)
        from django.conf import settings

        processes = Processes(
            folder, [*more, *service_programs(settings.WEB_BIND)], dict(os.environ)
        )
        stack.callback(processes.stop)
        processes.start()
        yield Service(processes, stores)


def _prepare(fresh: bool) -> None:
    """Bring the database up to date, and make what `.env` asks for."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "syncservice.settings")
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    if fresh:
        with connection.cursor() as cursor:
            cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    call_command("migrate", verbosity=0)
    _ensure_administrator()
    _ensure_exchange()


def _ensure_administrator() -> None:
    from syncservice.crm.models import User

    if User.objects.filter(is_superuser=True).exists():
        return
    password = secrets.token_urlsafe(12)
    User.objects.create_superuser("admin", password=password)
    console.print(f"First start: log in as [bold]admin[/] with the password [bold]{password}[/]")


def _ensure_exchange() -> None:
    """Make the profile and mailboxes that EXCHANGE_URL and EXCHANGE_MAILBOXES name.

    A mailbox that is there already is left as people have it: switched off, for example.
    """
    from django.conf import settings

    from syncservice.domain.acceptance import Filter
    from syncservice.mailboxes import administration, audit
    from syncservice.mailboxes.models import Mailbox

    if not settings.EXCHANGE_URL:
        return
    profile = administration.save_profile(
        "Exchange of .env",
        location=settings.EXCHANGE_URL,
        username=settings.EXCHANGE_USERNAME,
        password=settings.EXCHANGE_PASSWORD,
        use_impersonation=True,
        verify_tls=settings.EXCHANGE_VERIFY_TLS,
    )
    for address in settings.EXCHANGE_MAILBOXES:
        if not Mailbox.objects.filter(email_address__iexact=address).exists():
            mailbox = administration.add_mailbox(address, profile)
            wanted = Filter[settings.EXCHANGE_TRACK.replace("-", "_").upper()]
            administration.change_owner(mailbox, audit.COMMAND_LINE, incoming_filter=wanted)
