"""`syncservice folder`: which folders of an Exchange mailbox are tracked, and about what."""

import click

from syncservice.cli.django_setup import set_up_django
from syncservice.cli.mail import about_option
from syncservice.cli.output import as_json_option, show_rows
from syncservice.cli.records import about as records_about
from syncservice.cli.records import mailbox_at


@click.group()
def folder() -> None:
    """Folders below an Inbox whose email is tracked."""


@folder.command("list")
@click.argument("address")
@as_json_option
def list_folders(address: str, as_json: bool) -> None:
    """List the folders below the Inbox of ADDRESS, as they were when last looked at."""
    set_up_django()
    from syncservice.mailboxes import tracking

    rows = [
        {
            "folder": place.path,
            "tracked": str(place.rule.get_state_display()) if place.rule else "",
            "about": str(place.rule.regarding or "") if place.rule else "",
        }
        for place in tracking.places(mailbox_at(address))
    ]
    show_rows(rows, as_json)


@folder.command()
@click.argument("address")
@click.argument("path")
@about_option
def track(address: str, path: str, about: str | None) -> None:
    """Track all email in the folder PATH (as `folder list` shows it) of ADDRESS, old and new."""
    set_up_django()
    from syncservice.mailboxes import audit, tracking

    box = mailbox_at(address)
    place = tracking.place_at(box, path)
    tracking.track_folder(box, place.folder_id, path, records_about(about), audit.COMMAND_LINE)
    click.echo(f"{path} is tracked from the next visit on, which is now")


@folder.command()
@click.argument("address")
@click.argument("path")
def untrack(address: str, path: str) -> None:
    """Track the folder PATH of ADDRESS no more; what came by it stays in the CRM."""
    set_up_django()
    from syncservice.mailboxes import audit, tracking

    place = tracking.place_at(mailbox_at(address), path)
    if place.rule is None:
        raise click.UsageError(f"{path} is not tracked; see `syncservice folder list {address}`")
    tracking.untrack_folder(place.rule, audit.COMMAND_LINE)
    click.echo(f"{path} is tracked no more")
