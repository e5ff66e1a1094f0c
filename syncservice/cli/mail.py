"""`syncservice mail`: where a message is, why it is there or not, and how to bring it in."""

import time
from typing import TYPE_CHECKING, Any

import click

from syncservice.cli.django_setup import set_up_django
from syncservice.cli.output import (
    as_json_option,
    limit_option,
    show_rows,
    show_sheet,
    wait_for_worker,
)
from syncservice.cli.records import about as records_about
from syncservice.cli.records import mailbox_at, record_at

if TYPE_CHECKING:
    from syncservice.mailboxes.models import TrackRequest

about_option = click.option(
    "--about", metavar="KIND:ID", help="What it is about: account:1, contact:1 or lead:1."
)


@click.group()
def mail() -> None:
    """Single messages: where they are, and why."""


@mail.command()
@click.argument("address")
@click.option("--from", "sender", default="", help="Address of its sender.")
@click.option("--subject", default="", help="Words of its subject.")
@click.option("--message-id", default="", help="Its Message-ID.")
@click.option("--at", type=click.DateTime(), help="About when it was received; UTC.")
@limit_option
@as_json_option
def find(
    address: str, sender: str, subject: str, message_id: str, at: Any, limit: int, as_json: bool
) -> None:
    """Look for a message in the mailbox ADDRESS: is it in the CRM, and why, or why not."""
    set_up_django()
    from datetime import UTC

    from syncservice.alerts import whereabouts
    from syncservice.alerts.item_failures import MASK

    box = mailbox_at(address)
    search = whereabouts.Search.around(
        at and at.replace(tzinfo=UTC),
        sender=sender,
        subject=subject,
        message_id=_bracketed(message_id),
    )
    found = whereabouts.find(box, search, limit)
    rows = [
        {
            "received": one.at,
            "sender": one.sender,
            # What is not in the CRM is for its owner's eyes only (F305).
            "subject": one.subject if one.email_id else MASK,
            "place": str(one.place),
            "why": one.why,
            "item": one.item_id,
            "email": one.email_id,
        }
        for one in found
    ]
    show_rows(rows, as_json)
    if not rows and box.email_since is not None:
        click.echo(
            f"email received before {box.email_since:%Y-%m-%d %H:%M} is left alone", err=True
        )


@mail.command()
@click.argument("email_id", type=click.UUID)
@as_json_option
def why(email_id: Any, as_json: bool) -> None:
    """Say why the email EMAIL_ID is in the CRM: for whom, from where, in answer to what."""
    set_up_django()
    from syncservice.alerts.whereabouts import why_stored
    from syncservice.crm.models import Email

    email = Email.objects.filter(pk=email_id).first()
    if email is None:
        raise click.UsageError(f"there is no email {email_id}; see `syncservice mail find`")
    links = email.remote_items.select_related("mailbox").order_by("pk")
    show_sheet(
        {
            "subject": email.subject,
            "why": why_stored(email),
            "accepted_for": str(email.accepting_user or email.accepting_queue or ""),
            "received_by": [str(link.mailbox) for link in links],
            "owner": str(email.owner or ""),
            "about": str(email.regarding or ""),
            "correlation": email.get_correlation_display(),
            "score": email.correlation_score,
            "answers": str(email.correlated_to_id or ""),
            "parent": str(email.parent_id or ""),
            "blocked_attachments": email.blocked_attachments,
            "repairs": email.repairs,
        },
        as_json,
    )


@mail.command()
@click.argument("address")
@click.option("--message-id", default="", help="Message-ID of a message in its Inbox.")
@click.option("--item-id", default="", help="The server's id of a message, in any folder.")
@about_option
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it is done.")
def track(address: str, message_id: str, item_id: str, about: str | None, wait: bool) -> None:
    """Bring one message of the mailbox ADDRESS into the CRM now, whatever the filters say."""
    set_up_django()
    from syncservice.mailboxes import audit, tracking

    request = tracking.track_now(
        mailbox_at(address),
        audit.COMMAND_LINE,
        item_id=item_id,
        message_id=_bracketed(message_id),
        about=records_about(about),
    )
    if not wait:
        click.echo("Asked for")
        return
    began = time.monotonic()
    wait_for_worker(lambda: _left(request), has_begun=lambda: request.tried_at is not None)
    if request.state == request.State.WAITING:
        click.echo("The server could not be asked now; the mailbox's next visit asks it")
        return
    if request.state == request.State.FAILED:
        raise click.ClickException(f"it is not in the CRM: {request.reason}")
    click.echo(f"In the CRM as {request.email_id} after {time.monotonic() - began:.1f} s")


def _left(request: "TrackRequest") -> int:
    request.refresh_from_db()
    return int(request.state == request.State.WAITING and request.tried_at is None)


@mail.command()
@click.argument("address")
@click.argument("record")
def resolve(address: str, record: str) -> None:
    """Let RECORD (account:1, contact:1 or lead:1) stand for ADDRESS wherever nobody does yet."""
    set_up_django()
    from syncservice.domain.resolution import Kind, Match
    from syncservice.sync import directory

    kind, found = record_at(record)
    match = Match(Kind(kind), found.pk, found.is_active, found.owner_id, found.created_at)
    count = directory.resolve(address, match)
    click.echo(f"Resolved in {count} places")


def _bracketed(message_id: str) -> str:
    return f"<{message_id.strip('<> ')}>" if message_id.strip() else ""
