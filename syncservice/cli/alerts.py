"""`syncservice alerts` and `failures`: what people have to know, and what they do about it."""

from typing import Any

import click

from syncservice.cli.django_setup import set_up_django
from syncservice.cli.output import as_json_option, limit_option, newest, show_rows


@click.group(invoke_without_command=True)
@as_json_option
@click.option("--ended", is_flag=True, help="Those that are over, too.")
@limit_option
@click.pass_context
def alerts(context: click.Context, as_json: bool, ended: bool, limit: int) -> None:
    """What people have to know of mailboxes and servers; without a command, list it."""
    if context.invoked_subcommand is not None:
        return
    set_up_django()
    from syncservice.alerts.models import Alert

    rows = Alert.objects.select_related("mailbox", "profile").defer(
        "mailbox__password", "profile__password", "profile__outgoing_password"
    )
    if not ended:
        rows = rows.filter(ended_at=None)
    rows = rows.order_by("-last_seen_at")
    show_rows([_row(row, as_json) for row in newest(rows, limit)], as_json)


def _row(alert: Any, in_full: bool) -> dict[str, Any]:
    facts = {
        "id": alert.pk,
        "level": alert.get_severity_display(),
        "about": str(alert.mailbox or alert.profile),
        "code": alert.code,
        "meaning": str(alert.entry.meaning),
        "remedy": str(alert.entry.remedy),
        "count": alert.count,
        "first_seen": alert.first_seen_at,
        "last_seen": alert.last_seen_at,
        "question": alert.is_question and alert.answer is None,
    }
    if in_full:
        facts |= {"mailbox": alert.mailbox and alert.mailbox.email_address}
        facts |= {"profile": alert.profile and alert.profile.name, "direction": alert.direction}
        facts |= {"text": alert.text, "ended": alert.ended_at}
        facts |= {"cause": str(alert.entry.cause), "answer": alert.answer}
    return facts


@alerts.command()
@click.argument("alert_id", type=int)
@click.argument("reply", type=click.Choice(["yes", "no"]))
def answer(alert_id: int, reply: str) -> None:
    """Answer the question of the alert ALERT_ID; the next visit or test obeys."""
    set_up_django()
    from syncservice.alerts import alerts as wall
    from syncservice.mailboxes import audit

    try:
        wall.answer(alert_id, reply == "yes", audit.COMMAND_LINE)
    except wall.NoQuestion as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"Answered {reply}")


@alerts.command()
@click.argument("alert_ids", type=int, nargs=-1, required=True)
def dismiss(alert_ids: tuple[int, ...]) -> None:
    """Take alerts off the walls; what still holds is told again when it repeats."""
    set_up_django()
    from syncservice.alerts import alerts as wall
    from syncservice.mailboxes import audit

    click.echo(f"{wall.dismiss(alert_ids, audit.COMMAND_LINE)} alerts are dismissed")


@click.group(invoke_without_command=True)
@as_json_option
@limit_option
@click.pass_context
def failures(context: click.Context, as_json: bool, limit: int) -> None:
    """Messages that could not become records; without a command, list them and why."""
    if context.invoked_subcommand is not None:
        return
    set_up_django()
    from syncservice.alerts.item_failures import MASK
    from syncservice.alerts.models import ItemFailure

    open_ones = ItemFailure.objects.exclude(state__in=ItemFailure.DONE).order_by("-last_seen_at")
    rows = [
        {
            "id": row.pk,
            "mailbox": row.mailbox.email_address,
            "subject": MASK,  # for its owner's eyes only
            "code": row.code,
            "reason": row.reason,
            "attempts": row.attempts,
            "state": row.state,
            "last_seen": row.last_seen_at,
            "item_id": row.item_id,
        }
        for row in newest(open_ones.select_related("mailbox").defer("mailbox__password"), limit)
    ]
    show_rows(rows, as_json)


@failures.command()
@click.argument("failure_ids", type=int, nargs=-1, required=True)
def retry(failure_ids: tuple[int, ...]) -> None:
    """Try messages again, from now on as often as new ones."""
    set_up_django()
    from syncservice.alerts import item_failures

    click.echo(f"{item_failures.retry(failure_ids)} messages are tried again now")


@failures.command("dismiss")
@click.argument("failure_ids", type=int, nargs=-1, required=True)
def dismiss_failures(failure_ids: tuple[int, ...]) -> None:
    """Try messages no more, and list them no longer."""
    set_up_django()
    from syncservice.alerts import item_failures

    click.echo(f"{item_failures.dismiss(failure_ids)} messages are dismissed")
