"""The command line: `syncservice up|demo|check|profile|mailbox|alerts|failures|keys|manage`.

A user never sees a traceback for what a user can mend: every such error is one sentence with the
remedy and exit status 1. Django is set up only by the commands that need it.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import DatabaseError
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from syncservice.mailboxes.models import EmailServerProfile, Mailbox


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="syncservice")
def cli() -> None:
    """Keep a CRM in step with its users' mailboxes, on the server."""


def main() -> None:
    """Run a command; turn what a user can mend into one sentence and exit status 1."""
    from syncservice.embedded import EmbeddedServersError

    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except ValidationError as error:
        _refuse("; ".join(error.messages))
    except (ImproperlyConfigured, EmbeddedServersError) as error:
        _refuse(str(error))
    except DatabaseError as error:
        from syncservice.health import database_problem

        _refuse(database_problem(error))


def _refuse(sentence: str) -> None:
    click.echo(f"Error: {sentence}", err=True)
    sys.exit(1)


def _django() -> None:
    """Set Django up, with the logging of the other processes."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "syncservice.settings")
    django.setup()
    from django.conf import settings

    from syncservice import logs

    logs.set_up(settings.LOG_LEVEL, settings.LOG_FORMAT)


class _Duration(click.ParamType[float]):
    """60s, 2m, 1h or a bare number of seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        text = str(value)
        unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
        try:
            return float(text[:-1]) * unit if unit else float(text)
        except ValueError:
            self.fail(f"{value!r} is no duration; write 60s, 2m or 1h", param, ctx)


@cli.command()
@click.option("--for", "seconds", type=_Duration(), help="Stop after this time, for example 60s.")
def up(seconds: float | None) -> None:
    """Run the whole service on this machine, embedded servers included, until Ctrl-C."""
    from syncservice import up as service

    sys.exit(service.run(seconds))


@cli.command()
@click.option("--for", "seconds", type=_Duration(), help="Stop after this time, for example 60s.")
@click.option(
    "--mail-dir",
    type=click.Path(exists=True, file_okay=False),
    help="Load a folder of .eml files instead of invented mail; one mailbox a sub-folder.",
)
@click.option("--once", is_flag=True, help="Stop as soon as every message is accounted for.")
@click.option("--mailboxes", default=25, show_default=True, type=click.IntRange(1, 1000))
def demo(seconds: float | None, mail_dir: str | None, once: bool, mailboxes: int) -> None:
    """Watch it work: a simulated Exchange, mail arriving all the time, and everything real else."""
    from syncservice import demo as demonstration

    sys.exit(demonstration.run(seconds, mail_dir, once, mailboxes))


@cli.command()
def check() -> None:
    """Look whether settings, stores and mail servers are in order; exit status 1 if not."""
    _django()
    from syncservice.health import findings

    is_well = True
    for finding in findings():
        is_well &= finding.is_well
        click.echo(f"{'ok   ' if finding.is_well else 'FAIL '} {finding.subject}: {finding.text}")
    sys.exit(0 if is_well else 1)


@cli.group()
def keys() -> None:
    """Keys that encrypt stored passwords."""


@keys.command()
def new() -> None:
    """Print a new key for CREDENTIAL_KEYS or SECRET_KEY."""
    click.echo(Fernet.generate_key().decode())


@cli.group()
def profile() -> None:
    """Email server profiles: how to reach a mail server."""


@profile.command("set")
@click.argument("name")
@click.option("--url", help="https://mail.example.com/EWS/Exchange.asmx")
@click.option("--username", help="Service account: DOMAIN\\user or user@domain.")
@click.option("--ask-password", is_flag=True, help="Ask for the password, or read it from stdin.")
@click.option("--authentication", type=click.Choice(["basic", "ntlm"]))
@click.option("--impersonation/--no-impersonation", default=None)
@click.option("--verify-tls/--no-verify-tls", default=None)
@click.option("--connections", type=click.IntRange(1, 65536), help="At most so many at a time.")
@click.option("--requests-per-second", type=click.IntRange(0, 10000), help="0 is no limit.")
@click.option("--minimum-interval", type=click.IntRange(0, 1440), help="Minutes between visits.")
def set_profile(name: str, ask_password: bool, **given: Any) -> None:
    """Create or change the profile NAME."""
    _django()
    from syncservice.mailboxes import administration
    from syncservice.mailboxes.models import EmailServerProfile

    columns = {
        "url": "location",
        "username": "username",
        "impersonation": "use_impersonation",
        "verify_tls": "verify_tls",
        "connections": "maximum_concurrent_connections",
        "requests_per_second": "maximum_requests_per_second",
        "minimum_interval": "minimum_polling_interval_minutes",
    }
    fields = {columns[key]: given[key] for key in columns if given[key] is not None}
    if given["authentication"]:
        fields["authentication"] = EmailServerProfile.Authentication[
            given["authentication"].upper()
        ]
    if ask_password:
        fields["password"] = _password()
    saved = administration.save_profile(name, **fields)
    click.echo(f"Saved the profile {saved.name}: {saved.location}")


@profile.command("list")
@click.option("--json", "as_json", is_flag=True)
def list_profiles(as_json: bool) -> None:
    """List the profiles."""
    _django()
    from syncservice.mailboxes.models import EmailServerProfile

    rows = [
        {
            "name": row.name,
            "location": row.location,
            "connections": row.maximum_concurrent_connections,
            "active": row.is_active,
            "mailboxes": row.mailboxes.count(),
        }
        for row in EmailServerProfile.objects.order_by("name")
    ]
    _show(rows, as_json)


@cli.group()
def mailbox() -> None:
    """Mailboxes: whose mail is kept in step."""


@mailbox.command("add")
@click.argument("address")
@click.option("--profile", "profile_name", required=True, help="Name of an email server profile.")
@click.option("--user", "username", help="CRM user name; without it the user with the address.")
@click.option("--queue", "queue_name", help="CRM queue, made if there is none, instead of a user.")
def add_mailbox(
    address: str, profile_name: str, username: str | None, queue_name: str | None
) -> None:
    """Add the mailbox ADDRESS, enabled; it is visited at once."""
    _django()
    from syncservice.crm.models import Queue, User
    from syncservice.mailboxes import administration

    if username and queue_name:
        raise click.UsageError("a mailbox is a user's or a queue's: give --user or --queue")
    user = queue = None
    if username:
        user = User.objects.filter(username=username).first()
        if user is None:
            raise click.UsageError(f"there is no CRM user {username!r}")
    if queue_name:
        queue, _ = Queue.objects.get_or_create(name=queue_name, defaults={"email_address": address})
    administration.add_mailbox(address, _profile_named(profile_name), user=user, queue=queue)
    click.echo(f"Added {address}; it is due now")


@mailbox.command("list")
@click.option("--json", "as_json", is_flag=True)
def list_mailboxes(as_json: bool) -> None:
    """List mailboxes: state, last visit, next visit and why."""
    _django()
    from syncservice.alerts.overview import overview

    rows = [
        {
            "address": row.address,
            "owner": row.owner,
            "state": row.state.name.lower(),
            "last_visit": row.visited_at,
            "next_visit": row.due_at,
            "why": row.reason,
            "emails": row.emails,
            "failures": row.failures,
            "fault": row.fault_text,
        }
        for row in overview()
    ]
    _show(rows, as_json)


@mailbox.command()
@click.argument("address")
@click.option("--json", "as_json", is_flag=True)
def why(address: str, as_json: bool) -> None:
    """Say why the mailbox ADDRESS is due when it is, and what was decided before."""
    _django()
    from syncservice.alerts.why import why as explain

    lanes = explain(_mailbox_at(address))
    if as_json:
        click.echo(json.dumps([asdict(lane) for lane in lanes], default=str, indent=2))
        return
    for lane in lanes:
        click.echo(f"{lane.lane}: {lane.sentence}")
        click.echo(
            f"  its server bears {lane.server_connections} connections now; "
            f"{lane.server_in_flight} visits are claimed"
        )
        for decision in lane.decisions:
            click.echo(
                f"  {decision.visit_ended_at:%Y-%m-%d %H:%M:%S}  "
                f"rest {decision.rest.total_seconds():.0f} s: {decision.reason}"
            )


@mailbox.command()
@click.argument("address")
def resume(address: str) -> None:
    """Visit the mailbox ADDRESS again, which was parked because its visits ended their worker."""
    _django()
    from syncservice.alerts.alerts import resume_parked

    if not resume_parked(_mailbox_at(address).pk):
        raise click.UsageError(f"{address} is not parked; see `syncservice mailbox why {address}`")
    click.echo(f"Resumed {address}; it is due now")


@cli.command()
@click.option("--json", "as_json", is_flag=True)
def alerts(as_json: bool) -> None:
    """List what a person has to know of mailboxes, as long as it holds."""
    _django()
    from syncservice.alerts.models import Alert

    open_ones = Alert.objects.filter(ended_at=None).select_related("mailbox")
    rows = [
        {
            "mailbox": row.mailbox.email_address,
            "code": row.code,
            "text": row.text,
            "raised": row.raised_at,
        }
        for row in open_ones.order_by("-raised_at")
    ]
    _show(rows, as_json)


@cli.command()
@click.option("--json", "as_json", is_flag=True)
def failures(as_json: bool) -> None:
    """List the messages that could not become records, and why."""
    _django()
    from syncservice.alerts.models import ItemFailure

    open_ones = ItemFailure.objects.exclude(state=ItemFailure.State.RESOLVED)
    rows = [
        {
            "mailbox": row.mailbox.email_address,
            "code": row.code,
            "reason": row.reason,
            "attempts": row.attempts,
            "state": row.state,
            "last_seen": row.last_seen_at,
            "item_id": row.item_id,
        }
        for row in open_ones.select_related("mailbox").order_by("-last_seen_at")
    ]
    _show(rows, as_json)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def manage(arguments: Sequence[str]) -> None:
    """Run a command of Django's, for example `manage migrate` or `manage createsuperuser`."""
    _django()
    from django.core.management import execute_from_command_line

    execute_from_command_line(["syncservice manage", *arguments])


def _profile_named(name: str) -> "EmailServerProfile":
    from syncservice.mailboxes.models import EmailServerProfile

    found = EmailServerProfile.objects.filter(name=name).first()
    if found is None:
        raise click.UsageError(f"there is no profile {name!r}; see `syncservice profile list`")
    return found


def _mailbox_at(address: str) -> "Mailbox":
    from syncservice.mailboxes.models import Mailbox

    found = Mailbox.objects.defer("password").filter(email_address__iexact=address).first()
    if found is None:
        raise click.UsageError(f"there is no mailbox {address!r}; see `syncservice mailbox list`")
    return found


def _password() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True))
    return sys.stdin.readline().rstrip("\n")


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows as a table for people, or as JSON for machines."""
    if as_json:
        click.echo(json.dumps(rows, default=str, indent=2))
        return
    if not rows:
        click.echo("none")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console().print(table)


def _cell(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value or "")
