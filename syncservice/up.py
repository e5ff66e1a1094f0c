"""The whole service on one machine, for a small organisation: `syncservice up`.

Embedded PostgreSQL and Redis when DATABASE_URL names none, migrations, what `.env` says of an
Exchange server, then every process under supervisord until Ctrl-C.
"""

import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import environ
from rich.console import Console

from syncservice import environment
from syncservice.embedded import EmbeddedServers
from syncservice.processes import Processes, Program, service_programs

console = Console()


def run(seconds: float | None) -> int:
    """Run until Ctrl-C, TERM or the time given; return the exit status."""
    environ.Env.read_env(environment.text("ENV_FILE", ".env"))
    with whole_service(data_folder()):
        from django.conf import settings

        console.print(f"The console is at http://{settings.WEB_BIND}/ — Ctrl-C stops everything.")
        console.print(f"Logs: {settings.DATA_FOLDER / 'logs'}")
        stop_requested().wait(seconds)
        console.print("Stopping: running visits get a minute to finish…")
    return 0


def data_folder() -> Path:
    return Path(environment.text("DATA_FOLDER", ".syncservice")).resolve()


def stop_requested() -> threading.Event:
    """Return an event that Ctrl-C or TERM sets from now on."""
    event = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: event.set())
    return event


@contextmanager
def whole_service(
    folder: Path,
    *,
    more: tuple[Program, ...] = (),
    environment_of_processes: dict[str, str] | None = None,
    fresh: bool = False,
) -> Iterator[Processes]:
    """Run stores and processes for the block; `fresh` empties the database first."""
    os.environ |= {"DATA_FOLDER": str(folder), **(environment_of_processes or {})}
    with ExitStack() as stack:
        if not os.environ.get("DATABASE_URL"):
            stack.enter_context(EmbeddedServers(folder))
        _prepare(fresh)
        from django.conf import settings

        processes = Processes(
            folder, [*more, *service_programs(settings.WEB_BIND)], dict(os.environ)
        )
        stack.callback(processes.stop)
        processes.start()
        yield processes


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
    """Make the profile and mailboxes that EXCHANGE_URL and EXCHANGE_MAILBOXES name."""
    from django.conf import settings

    from syncservice.mailboxes import administration

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
        administration.add_mailbox(address, profile)
