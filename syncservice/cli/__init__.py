"""The command line: `syncservice up|demo|check|profile|mailbox|organisation|alerts|…`, a module a
group.

A user never sees a traceback for what a user can mend: every such error is one sentence with the
remedy and exit status 1. Django is set up only by the commands that need it.
"""

import sys
from collections.abc import Sequence
from typing import Any

import click
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import DatabaseError

from syncservice.cli.activities import appointment, task
from syncservice.cli.alerts import alerts, failures
from syncservice.cli.contacts import contact
from syncservice.cli.django_setup import set_up_django
from syncservice.cli.email import email
from syncservice.cli.fields import fields
from syncservice.cli.filters import filters
from syncservice.cli.folders import folder
from syncservice.cli.items import items
from syncservice.cli.keys import keys
from syncservice.cli.mail import mail
from syncservice.cli.mailboxes import mailbox
from syncservice.cli.organisation import organisation
from syncservice.cli.profiles import profile


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
        _refuse(_sentences(error))
    except (ImproperlyConfigured, EmbeddedServersError) as error:
        _refuse(str(error))
    except DatabaseError as error:
        from syncservice.health import database_problem

        _refuse(database_problem(error))


def _sentences(error: ValidationError) -> str:
    """Name the field before each sentence: who typed it should know which one is meant."""
    if not hasattr(error, "error_dict"):
        return "; ".join(error.messages)
    return "; ".join(
        text if field == "__all__" else f"{field.replace('_', ' ')}: {text}"
        for field, texts in error.message_dict.items()
        for text in texts
    )


def _refuse(sentence: str) -> None:
    click.echo(f"Error: {sentence}", err=True)
    sys.exit(1)


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
    set_up_django()
    from syncservice.health import findings

    is_well = True
    for finding in findings():
        is_well &= finding.is_well
        click.echo(f"{'ok   ' if finding.is_well else 'FAIL '} {finding.subject}: {finding.text}")
    sys.exit(0 if is_well else 1)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def manage(arguments: Sequence[str]) -> None:
    """Run a command of Django's, for example `manage migrate` or `manage createsuperuser`."""
    set_up_django()
    from django.core.management import execute_from_command_line

    execute_from_command_line(["syncservice manage", *arguments])


for group in (
    *(keys, profile, mailbox, mail, email, folder, organisation, alerts, failures),
    *(items, filters, fields, appointment, contact, task),
):
    cli.add_command(group)
