"""`syncservice email`: write email, send it, and see what became of it."""

import mimetypes
import sys
import time
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from syncservice.cli.django_setup import set_up_django
from syncservice.cli.mail import about_option
from syncservice.cli.output import (
    PATIENCE_SECONDS,
    as_json_option,
    limit_option,
    newest,
    show_rows,
    show_sheet,
)
from syncservice.cli.records import about as records_about
from syncservice.cli.records import mailbox_at

if TYPE_CHECKING:
    from syncservice.console.outgoing import Way
    from syncservice.crm.models import Email, Queue, User
    from syncservice.domain.message import MessageAttachment

#: Words on the command line, and the codes of `domain.sending`.
STATES = {
    "draft": 1, "pending": 6, "sending": 7, "sent": 3, "failed": 8, "unknown": 100, "canceled": 5,
}  # fmt: skip
PRIORITIES = {"low": 0, "normal": 1, "high": 2}

wait_option = click.option(
    "--wait", is_flag=True, help="Wait until it is sent; exit status 1 when it is not."
)
by_option = click.option(
    "--by", metavar="ADDRESS", help="The user who sends it on behalf of its sender."
)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def email() -> None:
    """Email that is written here: send it, and see what became of it."""


@email.command()
@click.argument("sender")
@click.option("--to", multiple=True, help="As in a header: Ann <ann@example.com>; repeatable.")
@click.option("--cc", multiple=True)
@click.option("--bcc", multiple=True)
@click.option("--subject", default="")
@click.option("--text", default="", help="The text; - reads it from standard input.")
@click.option("--text-file", type=_FILE, help="A file with the text, in UTF-8.")
@click.option("--html-file", type=_FILE, help="A file with the text as HTML, in UTF-8.")
@click.option("--attach", type=_FILE, multiple=True, help="A file that goes along; repeatable.")
@click.option("--answers", type=click.UUID, help="Id of the email that it answers.")
@about_option
@click.option("--priority", type=click.Choice(list(PRIORITIES)), default="normal")
@click.option("--send-after", type=click.DateTime(), help="Not before this moment; UTC.")
@click.option("--read-receipt", is_flag=True, help="Ask to be told when it is read.")
@click.option("--delivery-receipt", is_flag=True, help="Ask to be told when it is delivered.")
@click.option("--draft", "is_draft", is_flag=True, help="Keep it as a draft; don't send it.")
@by_option
@wait_option
def write(
    sender: str,
    text: str,
    text_file: Path | None,
    html_file: Path | None,
    attach: tuple[Path, ...],
    answers: UUID | None,
    about: str | None,
    priority: str,
    send_after: Any,
    read_receipt: bool,
    delivery_receipt: bool,
    is_draft: bool,
    by: str | None,
    wait: bool,
    **written: Any,
) -> None:
    """Write an email of SENDER, the address of a user or queue, and send it; print its id."""
    if text and text_file:
        raise click.UsageError("give either --text or --text-file")
    if is_draft and (by or wait):
        raise click.UsageError("a draft is sent by nobody: leave --by and --wait to `email send`")
    set_up_django()
    from django.db import transaction

    from syncservice.domain.sending import Priority
    from syncservice.sync import submission, writing

    author, submitter = _owner_at(sender), _user_at(by)
    letter = writing.Letter(
        text=_read(text_file) if text_file else sys.stdin.read() if text == "-" else text,
        html=_read(html_file) if html_file else "",
        attachments=[_attachment(path) for path in attach],
        answers=_email(answers) if answers else None,
        about=records_about(about) or None,
        priority=Priority(PRIORITIES[priority]),
        send_after=send_after and send_after.replace(tzinfo=UTC),
        asks_read_receipt=read_receipt,
        asks_delivery_receipt=delivery_receipt,
        **written,
    )
    with transaction.atomic():  # refused, it leaves no draft behind
        found = writing.draft(author, letter)
        if not is_draft:
            submission.submit(found, submitter)
    click.echo(str(found.pk))
    if wait:
        _wait(found)


def email_command(command: Callable[..., Any]) -> Callable[..., Any]:
    """Make a command that works on the email EMAIL_ID."""
    return email.command()(click.argument("email_id", type=click.UUID)(command))


@email_command
@by_option
@wait_option
def send(email_id: UUID, by: str | None, wait: bool) -> None:
    """Send the draft EMAIL_ID, or again what failed."""
    set_up_django()
    from syncservice.sync import submission

    found = _email(email_id)
    submission.submit(found, _user_at(by))
    if wait:
        _wait(found)
    else:
        click.echo("It is sent as soon as it has its turn")


@email_command
@by_option
def send_bulk(email_id: UUID, by: str | None) -> None:
    """Send the draft EMAIL_ID to each of its recipients as one of their own; print their ids."""
    set_up_django()
    from syncservice.sync import submission

    for copy in submission.send_bulk(_email(email_id), _user_at(by)):
        click.echo(str(copy.pk))


@email_command
def recall(email_id: UUID) -> None:
    """Take the email EMAIL_ID back, which waits to be sent; it becomes a draft again."""
    set_up_django()
    from syncservice.console import outgoing
    from syncservice.mailboxes import audit

    outgoing.take_back(_email(email_id), audit.COMMAND_LINE)
    click.echo("It is a draft again")


@email_command
def cancel(email_id: UUID) -> None:
    """Give up the draft EMAIL_ID, or what failed; it stays as a record."""
    set_up_django()
    from syncservice.sync import submission

    submission.cancel(_email(email_id))
    click.echo("It is given up")


@email_command
@click.option("--sent/--not-sent", "was_sent", default=None)
def decide(email_id: UUID, was_sent: bool | None) -> None:
    """Say whether EMAIL_ID was sent, of which nobody could tell; if not, it is sent once more."""
    if was_sent is None:
        raise click.UsageError("say --sent or --not-sent")
    set_up_django()
    from syncservice.console import outgoing
    from syncservice.mailboxes import audit

    outgoing.decide(_email(email_id), audit.COMMAND_LINE, was_sent=was_sent)
    click.echo("It counts as sent" if was_sent else "It is sent once more")


@email.command("list")
@click.option("--mailbox", "address", metavar="ADDRESS", help="Of this mailbox, or its owner.")
@click.option("--state", type=click.Choice(list(STATES)))
@limit_option
@as_json_option
def list_emails(address: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List email that was written here, the newest first: how it stands, and why it waits."""
    set_up_django()
    from syncservice.console.outgoing import ways, with_parties
    from syncservice.mailboxes.models import OutgoingEmail

    mails = OutgoingEmail.objects.order_by("-pk")
    if state:
        mails = mails.filter(email__status=STATES[state])
    if address:
        mails = mails.filter(_of_mailbox(address))
    rows = [
        {
            "email": one.email.pk,
            "state": _word(one.email.status),
            "to": ", ".join(party.address or party.name for party in one.recipients[:3])
            + (", …" if len(one.recipients) > 3 else ""),
            "subject": one.email.subject,
            "submitted": one.mail.submitted_at,
            "attempts": one.mail.attempts,
            "why": "; ".join(filter(None, (one.why, one.mail.fault_text))),
        }
        for one in ways(newest(with_parties(mails), limit))
    ]
    show_rows(rows, as_json)


@email_command
@as_json_option
def show(email_id: UUID, as_json: bool) -> None:
    """Show how the email EMAIL_ID stands: attempts, times, faults, and why it waits."""
    set_up_django()
    show_sheet(_facts(_way(email_id)), as_json)


def _facts(way: "Way") -> dict[str, Any]:
    found, mail = way.email, way.mail
    return {
        "subject": found.subject,
        "state": _word(found.status),
        "why_waiting": way.why,
        "from": [str(one) for one in found.parties.filter(participation=1)],
        "recipients": [
            f"{one.get_participation_display()}: {one}"
            for one in found.parties.exclude(participation=1).order_by("participation", "pk")
        ],
        "mailbox": str(mail.mailbox or ""),
        "submitted_by": str(mail.submitted_by or ""),
        "priority": next(word for word, code in PRIORITIES.items() if code == mail.priority),
        "submitted": mail.submitted_at,
        "send_after": mail.send_after,
        "not_before": mail.due_at,
        "sent": found.sent_at,
        "attempts": mail.attempts,
        "fault": mail.fault_text,
        "fault_code": mail.fault_code,
        "refused": [f"{path}: {said}" for path, said in mail.refused_paths.items()],
        "accepted": mail.accepted_paths,
        "read_receipt": mail.asks_read_receipt,
        "delivery_receipt": mail.asks_delivery_receipt,
        "message_id": found.message_id,
        "answers": str(found.correlated_to_id or ""),
        "alerts": [str(one.entry.meaning) for one in found.alerts.filter(ended_at=None)],
    }


def _wait(found: "Email") -> None:
    """Wait until an email is sent, and say how long it took; complain when that won't be soon."""
    from syncservice.domain.sending import State
    from syncservice.mailboxes.models import Schedule

    began = time.monotonic()
    lane = Schedule.objects.filter(mailbox__outgoing_emails=found.pk, lane="outgoing")
    while True:
        # Before its state is read: a lane that has sent all it had is due no more either.
        is_served = lane.exclude(due_at=None).exists()
        way, seconds = _way(found.pk), time.monotonic() - began
        state = State(way.email.status)
        if state is State.SENT:
            refused = ", ".join(way.mail.refused_paths)
            click.echo(
                f"Sent after {seconds:.1f} s" + (f", but not to {refused}" if refused else "")
            )
            return
        if state not in (State.PENDING, State.SENDING) and not way.asks_server:
            why = way.why or way.mail.fault_text
            raise click.ClickException(f"it is not sent ({_word(state)}): {why}")
        if not is_served or seconds > PATIENCE_SECONDS:
            raise click.ClickException(f"it is not sent yet, and stays in the line: {way.why}")
        time.sleep(0.1)


def _word(status: int) -> str:
    return next(word for word, code in STATES.items() if code == status)


def _email(email_id: UUID) -> "Email":
    from syncservice.crm.models import Email

    found = Email.objects.filter(pk=email_id).first()
    if found is None:
        raise click.ClickException(f"there is no email {email_id}; see `syncservice email list`")
    return found


def _way(email_id: UUID) -> "Way":
    from syncservice.console.outgoing import way_of

    way = way_of(_email(email_id))
    if way is None:
        raise click.ClickException(
            f"the email {email_id} was not written here; see `syncservice mail why`"
        )
    return way


def _owner_at(address: str) -> "User | Queue":
    """Return the user or queue that writes as an address: a mailbox's owner, or whose it is."""
    from syncservice.crm.models import Queue, User
    from syncservice.mailboxes import administration
    from syncservice.mailboxes.models import Mailbox

    box = Mailbox.objects.defer("password").filter(email_address__iexact=address).first()
    owner = (
        (administration.owner_of(box) if box else None)
        or User.objects.filter(email__iexact=address).order_by("pk").first()
        or Queue.objects.filter(email_address__iexact=address).order_by("pk").first()
    )
    if owner is None:
        raise click.ClickException(f"there is no user or queue with the address {address!r}")
    return owner


def _user_at(address: str | None) -> "User | None":
    if address is None:
        return None
    from syncservice.crm.models import User

    found = _owner_at(address)
    if not isinstance(found, User):
        raise click.ClickException(f"{address} is a queue's; only a user sends on behalf of others")
    return found


def _of_mailbox(address: str) -> Any:
    """Return the filter of what a mailbox sends, and of its owner's drafts, which have none yet."""
    from django.db.models import Q

    from syncservice.crm.models import ActivityParty, User
    from syncservice.mailboxes import administration

    box = mailbox_at(address)
    owner = administration.owner_of(box)
    if owner is None:
        return Q(mailbox=box)
    kind = "user" if isinstance(owner, User) else "queue"
    written = ActivityParty.objects.filter(participation=1, **{kind: owner})
    return Q(mailbox=box) | Q(mailbox=None, email__in=written.values("email"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{path} is no text in UTF-8") from error


def _attachment(path: Path) -> "MessageAttachment":
    from syncservice.domain.message import MessageAttachment

    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return MessageAttachment(path.name, content_type, path.read_bytes(), "", False)
