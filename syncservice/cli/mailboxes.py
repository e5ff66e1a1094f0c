"""`syncservice mailbox`: whose mail is kept in step, and what stands in its way."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from syncservice.cli.django_setup import set_up_django
from syncservice.cli.output import (
    as_json_option,
    read_password,
    show_rows,
    show_sheet,
    wait_for_worker,
)
from syncservice.cli.records import mailbox_at, profile_named, queue_named, user_named

DIRECTIONS = ("incoming", "outgoing", "act")
METHODS = {
    "incoming": {"none": 0, "server-side": 2, "forward": 3},
    "outgoing": {"none": 0, "server-side": 2},
    "act": {"server-side": 1, "none": 2},
}
#: What of its owner's email becomes records (F100).
TRACK = {"all": 0, "in-response": 1, "from-people": 2, "from-records": 3, "none": 4}
UNKNOWN_SENDERS = {"nothing": 0, "contact": 1, "lead": 2}


@click.group()
def mailbox() -> None:
    """Mailboxes: whose mail is kept in step."""


def chosen_mailboxes(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command work on ADDRESSES, a profile's mailboxes, those with a trouble, or all."""
    for decorate in (
        click.argument("addresses", nargs=-1),
        click.option("--profile", "profile_name", help="Every mailbox of this profile."),
        click.option("--disabled-by", metavar="CODE", help="Those a fault switched off."),
        click.option("--all", "everything", is_flag=True, help="Every mailbox with an address."),
    ):
        command = decorate(command)
    return command


def _ids(
    addresses: Sequence[str], profile_name: str | None, disabled_by: str | None, everything: bool
) -> list[int]:
    from syncservice.mailboxes.models import Mailbox

    if bool(addresses) + bool(profile_name) + bool(disabled_by) + everything != 1:
        raise click.UsageError("name addresses, or give one of --profile, --disabled-by and --all")
    if addresses:
        return [mailbox_at(address).pk for address in addresses]
    rows = Mailbox.objects.exclude(email_address="")
    if profile_name:
        rows = rows.filter(profile=profile_named(profile_name))
    if disabled_by:
        rows = rows.filter(directions__disabled_code=disabled_by).distinct()
    return list(rows.values_list("pk", flat=True))


@mailbox.command("add")
@click.argument("address")
@click.option("--profile", "profile_name", required=True, help="Name of an email server profile.")
@click.option("--user", "username", help="CRM user name; without it the user with the address.")
@click.option("--queue", "queue_name", help="CRM queue, made if there is none, instead of a user.")
@click.option("--forward", is_flag=True, help="Collects what rules forward; belongs to nobody.")
@click.option("--take-over", is_flag=True, help="Yes, end the former mapping and what it kept.")
@click.option("--track", type=click.Choice(list(TRACK)), help="Which email becomes records.")
def add_mailbox(
    address: str,
    profile_name: str,
    username: str | None,
    queue_name: str | None,
    forward: bool,
    take_over: bool,
    track: str | None,
) -> None:
    """Add the mailbox ADDRESS, approved, and read its email; or give it to another owner."""
    set_up_django()
    from django.db import transaction

    from syncservice.crm.models import Queue
    from syncservice.mailboxes import administration, audit

    if bool(username) + bool(queue_name) + forward > 1:
        raise click.UsageError("a mailbox is a user's or a queue's, or a forward mailbox: give one")
    profile = profile_named(profile_name)
    user = user_named(username) if username else None
    more: dict[str, Any] = {"is_forward": True} if forward else {}
    try:
        with transaction.atomic():  # refused, it leaves no queue behind
            queue = None
            if queue_name:
                given = {"email_address": address}
                queue, _ = Queue.objects.get_or_create(name=queue_name, defaults=given)
            box = administration.add_mailbox(
                address, profile, user=user, queue=queue, take_over=take_over, **more
            )
            if track:
                administration.change_owner(box, audit.COMMAND_LINE, incoming_filter=TRACK[track])
    except administration.TakeOverQuestion as question:
        raise _unanswered(question) from question
    owner = administration.owner_of(box)
    wanted = f"; tracked is {owner.get_incoming_filter_display()}" if owner else ""
    click.echo(f"Added {address}; it is due now{wanted}")


@mailbox.command("map")
@click.argument("address")
@click.option("--user", "username", help="CRM user name.")
@click.option("--queue", "queue_name", help="CRM queue.")
@click.option("--take-over", is_flag=True, help="Yes, end the former mapping and what it kept.")
def map_mailbox(
    address: str, username: str | None, queue_name: str | None, take_over: bool
) -> None:
    """Give the mailbox ADDRESS to another user or queue; it is tested and enabled for them."""
    set_up_django()
    from syncservice.mailboxes import administration, audit, directions

    if bool(username) == bool(queue_name):
        raise click.UsageError("give either --user or --queue")
    owner = user_named(username) if username else queue_named(queue_name or "")
    box = mailbox_at(address)
    try:
        administration.map_mailbox(box, owner, take_over=take_over)
    except administration.TakeOverQuestion as question:
        raise _unanswered(question) from question
    directions.request_tests([box.pk], audit.COMMAND_LINE)
    click.echo(f"{address} is the mailbox of {owner} now; it is being tested")


def _unanswered(question: Exception) -> click.ClickException:
    return click.UsageError(f"{question} To do so, repeat the command with --take-over")


@mailbox.command("set")
@click.argument("address")
@click.option("--address", "new_address", help="Change the address; it needs approval anew.")
@click.option("--profile", "profile_name", help="Name of an email server profile.")
@click.option("--incoming", type=click.Choice(list(METHODS["incoming"])))
@click.option("--outgoing", type=click.Choice(list(METHODS["outgoing"])))
@click.option("--act", type=click.Choice(list(METHODS["act"])), help="Appointments and the like.")
@click.option("--username", help="Account of the mailbox's own; its use is allowed by this.")
@click.option("--ask-password", is_flag=True, help="Ask for the password, or read it from stdin.")
@click.option("--email-from", type=click.DateTime(), help="Leave older email alone; UTC.")
@click.option("--delete-after-processing/--keep-after-processing", "deletes", default=None)
@click.option("--track", type=click.Choice(list(TRACK)), help="Which email becomes records.")
@click.option(
    "--unknown-sender", type=click.Choice(list(UNKNOWN_SENDERS)), help="What such a sender becomes."
)
@click.option(
    "--default-queue",
    "default_queue",
    help="CRM queue in which its user's email waits too, '' for none; see `organisation set`.",
)
@click.option(
    "--others-may-send/--no-others-may-send",
    default=None,
    help="Whether other users may send email in its user's name.",
)
def set_mailbox(
    address: str,
    new_address: str | None,
    profile_name: str | None,
    username: str | None,
    ask_password: bool,
    email_from: Any,
    deletes: bool | None,
    track: str | None,
    unknown_sender: str | None,
    default_queue: str | None,
    others_may_send: bool | None,
    **methods: str | None,
) -> None:
    """Change the mailbox ADDRESS."""
    set_up_django()
    from datetime import UTC

    from django.db import transaction

    from syncservice.mailboxes import administration, audit

    fields: dict[str, Any] = {
        f"{direction}_method": METHODS[direction][name]
        for direction, name in methods.items()
        if name
    }
    if profile_name:
        fields["profile"] = profile_named(profile_name)
    if username is not None:
        fields |= {"username": username, "allow_credentials": bool(username)}
    if ask_password:
        fields |= {"password": read_password(), "allow_credentials": True}
    if email_from is not None:
        fields["process_email_from"] = email_from.replace(tzinfo=UTC)
    if deletes is not None:
        fields["delete_after_processing"] = deletes
    of_owner: dict[str, Any] = {}
    if track:
        of_owner["incoming_filter"] = TRACK[track]
    if unknown_sender:
        of_owner["automatic_record"] = UNKNOWN_SENDERS[unknown_sender]
    if default_queue is not None:
        of_owner["default_queue"] = queue_named(default_queue) if default_queue else None
    if others_may_send is not None:
        of_owner["lets_others_send"] = others_may_send
    with transaction.atomic():
        box = administration.change_mailbox(mailbox_at(address), audit.COMMAND_LINE, **fields)
        if new_address is not None:
            administration.change_address(box, new_address, audit.COMMAND_LINE)
        if of_owner:
            administration.change_owner(box, audit.COMMAND_LINE, **of_owner)
    click.echo(f"Saved {box}; test and enable it with `syncservice mailbox test {box}`")


@mailbox.command("list")
@click.option("--all", "every", is_flag=True, help="Those without a server profile, too.")
@as_json_option
def list_mailboxes(every: bool, as_json: bool) -> None:
    """List mailboxes: state, last visit, next visit and why."""
    set_up_django()
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
        for row in overview(every=every)
    ]
    show_rows(rows, as_json)


@mailbox.command()
@click.argument("address")
@as_json_option
def show(address: str, as_json: bool) -> None:
    """Show everything about the mailbox ADDRESS, but its password."""
    set_up_django()
    from syncservice.alerts.models import Alert
    from syncservice.mailboxes import administration

    box = mailbox_at(address)
    owner = administration.owner_of(box)
    directions = [
        {
            "direction": row.kind,
            "method": getattr(box, f"get_{row.kind}_method_display")(),
            "enabled": row.is_enabled,
            "switched_off_by": row.disabled_code,
            "probed": row.is_probed,
            "test": "pending" if row.test_due_at else row.get_test_status_display(),
            "test_text": row.test_text,
            "tested": row.tested_at,
        }
        for row in box.directions.order_by("kind")
    ]
    facts = {
        "address": box.email_address,
        "name": box.name,
        "owner": str(owner) if owner else "",
        "forward_mailbox": box.is_forward,
        "approval": box.get_approval_display(),
        "profile": box.profile.name if box.profile else "",
        "own_account": box.username if box.allow_credentials else "",
        "password_is_set": type(box).objects.filter(pk=box.pk).exclude(password="").exists(),
        "email_from": box.email_since,
        "delete_after_processing": box.delete_after_processing,
        "others_may_send": getattr(owner, "lets_others_send", False),
        "active": box.is_active,
    }
    changes = box.changes.order_by("-made_at")[:10]
    # Those of single emails are `syncservice email list`'s to tell.
    alerts = Alert.objects.filter(mailbox=box, email=None, ended_at=None).order_by("-last_seen_at")
    if as_json:
        facts |= {
            "directions": directions,
            "alerts": [alert.code for alert in alerts],
            "changes": [str(change) for change in changes],
        }
        show_sheet(facts, as_json)
        return
    show_sheet(
        {
            **facts,
            "alerts": [f"{one.get_severity_display()}: {one.entry.meaning}" for one in alerts],
            "last_changes": [str(change) for change in changes],
        },
        as_json,
    )
    click.echo()
    show_rows(directions, as_json)


@mailbox.command()
@click.argument("address")
@as_json_option
def explain(address: str, as_json: bool) -> None:
    """Say why the mailbox ADDRESS is due when it is, and what was decided before."""
    set_up_django()
    import json
    from dataclasses import asdict

    from syncservice.alerts.why_due import why_due

    lanes = why_due(mailbox_at(address))
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
@chosen_mailboxes
@click.option(
    "--override-organisation",
    is_flag=True,
    help="Keep it in step from here, even if another organisation does.",
)
@click.option("--wait", is_flag=True, help="Wait for the results; exit status 1 when one failed.")
def test(override_organisation: bool, wait: bool, **chosen: Any) -> None:
    """Test mailboxes, and enable each direction that works. Workers do it in the background."""
    set_up_django()
    from syncservice.mailboxes import audit, directions

    ids = _ids(**chosen)
    count = directions.request_tests(ids, audit.COMMAND_LINE, override_stamp=override_organisation)
    click.echo(f"{count} tests of {len(ids)} mailboxes are asked for")
    if wait:
        _wait_for_tests(ids, count)


def _wait_for_tests(ids: Sequence[int], count: int) -> None:
    import sys

    from syncservice.mailboxes import directions
    from syncservice.mailboxes.models import Direction

    rows = (
        Direction.objects.filter(mailbox__in=ids)
        .select_related("mailbox")
        .filter(directions.IS_USED)
    )
    waiting = rows.filter(test_due_at__isnull=False)
    wait_for_worker(
        waiting.count, has_begun=lambda: waiting.filter(test_attempts=0).count() < count
    )
    failed = rows.filter(test_status=Direction.Test.FAILURE).order_by("mailbox", "kind")
    for row in failed:
        click.echo(f"FAIL {row.mailbox} {row.kind}: {row.test_text} [{row.test_code}]")
    for row in rows.filter(test_status=Direction.Test.SUCCESS).order_by("mailbox", "kind"):
        click.echo(f"ok   {row.mailbox} {row.kind}")
    sys.exit(1 if failed else 0)


def _direction_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--direction",
        "kinds",
        multiple=True,
        type=click.Choice(DIRECTIONS),
        help="May be given several times; without it all that are in use.",
    )(command)


@mailbox.command()
@chosen_mailboxes
@_direction_option
def enable(kinds: tuple[str, ...], **chosen: Any) -> None:
    """Switch directions on without a test; `syncservice mailbox test` is safer."""
    set_up_django()
    from syncservice.mailboxes import audit, directions
    from syncservice.mailboxes.models import Direction

    ids = _ids(**chosen)
    if kinds:
        wanted = [Direction.Kind(kind) for kind in kinds]
        count = directions.enable(ids, wanted, audit.COMMAND_LINE)
    else:
        count = directions.enable_used(ids, audit.COMMAND_LINE)
    click.echo(f"{count} directions are switched on")


@mailbox.command()
@chosen_mailboxes
@_direction_option
def disable(kinds: tuple[str, ...], **chosen: Any) -> None:
    """Switch directions off; they stay so until a person switches them on."""
    set_up_django()
    from syncservice.mailboxes import audit, directions
    from syncservice.mailboxes.models import Direction

    wanted = [Direction.Kind(kind) for kind in kinds or DIRECTIONS]
    count = directions.disable(_ids(**chosen), wanted, audit.COMMAND_LINE)
    click.echo(f"{count} directions are switched off")


@mailbox.command()
@chosen_mailboxes
def approve(**chosen: Any) -> None:
    """Approve the addresses of mailboxes: their email may be processed."""
    _decide(chosen, approved=True)


@mailbox.command()
@chosen_mailboxes
def reject(**chosen: Any) -> None:
    """Reject the addresses of mailboxes: nothing of theirs is processed."""
    _decide(chosen, approved=False)


def _decide(chosen: dict[str, Any], *, approved: bool) -> None:
    set_up_django()
    from syncservice.mailboxes import administration, audit

    ids = _ids(**chosen)
    count = administration.decide_approval(ids, audit.COMMAND_LINE, approved=approved)
    click.echo(f"{count} mailboxes are {'approved' if approved else 'rejected'}")


@mailbox.command("apply-defaults")
@chosen_mailboxes
def apply_defaults(**chosen: Any) -> None:
    """Give mailboxes the organisation's profile and methods, and test and enable them."""
    set_up_django()
    from syncservice.mailboxes import administration, audit

    count = administration.apply_defaults(_ids(**chosen), audit.COMMAND_LINE)
    click.echo(f"{count} mailboxes have the default settings; they are being tested")


@mailbox.command("sync-now")
@chosen_mailboxes
@click.option("--act", is_flag=True, help="For appointments, contacts and tasks, not for email.")
def sync_now(act: bool, **chosen: Any) -> None:
    """Visit mailboxes now; one that is being visited, or is switched off, is left as it is."""
    set_up_django()
    from syncservice.mailboxes import schedule
    from syncservice.mailboxes.models import Lane

    ids = _ids(**chosen)
    woken = schedule.wake(ids, Lane.ACT if act else Lane.INCOMING, "asked for by hand")
    click.echo(f"{woken} of {len(ids)} mailboxes are due now")


@mailbox.command()
@click.argument("address")
def resume(address: str) -> None:
    """Visit the mailbox ADDRESS again, which was parked because its visits ended their worker."""
    set_up_django()
    from syncservice.alerts.alerts import resume_parked

    if not resume_parked(mailbox_at(address).pk):
        raise click.UsageError(
            f"{address} is not parked; see `syncservice mailbox explain {address}`"
        )
    click.echo(f"Resumed {address}; it is due now")
