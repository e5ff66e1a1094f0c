"""`syncservice organisation`: settings of the whole organisation."""

from typing import Any

import click

from syncservice.cli.django_setup import set_up_django
from syncservice.cli.mailboxes import METHODS
from syncservice.cli.output import as_json_option, show_sheet
from syncservice.cli.records import profile_named


@click.group()
def organisation() -> None:
    """Settings of the whole organisation."""


@organisation.command()
@as_json_option
def show(as_json: bool) -> None:
    """Show the settings."""
    set_up_django()
    from syncservice.mailboxes.models import Organisation

    row = Organisation.current()
    facts: dict[str, Any] = {}
    for field in row._meta.concrete_fields:
        if field.name != "id":
            display = getattr(row, f"get_{field.name}_display", None)
            facts[field.name] = display() if display else str(getattr(row, field.name) or "")
            if isinstance(getattr(row, field.name), bool):
                facts[field.name] = getattr(row, field.name)
    show_sheet(facts, as_json)


@organisation.command("set")
@click.option("--default-profile", help="Email server profile of new mailboxes.")
@click.option("--default-incoming", type=click.Choice(list(METHODS["incoming"])))
@click.option("--default-outgoing", type=click.Choice(list(METHODS["outgoing"])))
@click.option("--default-act", type=click.Choice(list(METHODS["act"])))
@click.option("--approve-users/--no-approve-users", "approves_users", default=None)
@click.option("--approve-queues/--no-approve-queues", "approves_queues", default=None)
@click.option("--alerts-errors/--no-alerts-errors", default=None)
@click.option("--alerts-warnings/--no-alerts-warnings", default=None)
@click.option("--alerts-information/--no-alerts-information", default=None)
@click.option(
    "--notify-mailbox-owners/--no-notify-mailbox-owners", "notifies_mailbox_owners", default=None
)
def set_organisation(default_profile: str | None, **given: Any) -> None:
    """Change settings; those not named stay."""
    set_up_django()
    from syncservice.mailboxes import administration, audit

    fields: dict[str, Any] = {}
    for option, value in given.items():
        if value is not None:
            methods = METHODS.get(option.removeprefix("default_"))
            fields[option] = methods[value] if methods else value
    if default_profile is not None:
        fields["default_profile"] = profile_named(default_profile)
    administration.change_organisation(audit.COMMAND_LINE, **fields)
    click.echo("Saved")
