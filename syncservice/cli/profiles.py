"""`syncservice profile`: how to reach mail servers."""

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
from syncservice.cli.records import profile_named, user_named

#: Option's value -> value of the record.
_CHOICES = {
    "type": {"exchange": 0, "pop3-smtp": 1, "imap-smtp": 4},
    "security": {"none": 0, "tls": 1, "starttls": 2},
    "authentication": {"detect": 0, "negotiate": 1, "ntlm": 2, "basic": 3},
    "credentials": {"mailbox": 0, "profile": 1, "integrated": 3, "none": 4},
    "unclear_sending": {"hold": 0, "send-again": 1, "take-as-sent": 2},
}
#: Option -> column, where they differ.
_COLUMNS = {
    "type": "server_type",
    "autodiscover": "use_autodiscover",
    "url": "location",
    "impersonation": "use_impersonation",
    "connections": "maximum_concurrent_connections",
    "requests_per_second": "maximum_requests_per_second",
    "minimum_interval": "minimum_polling_interval_minutes",
    "timeout": "timeout_seconds",
    "email_from": "process_email_from",
    "undeliverable_folder": "move_failed_to_undeliverable",
    "sent_copy": "keeps_sent_copy",
    "alert_mail": "send_alert_mail",
    "active": "is_active",
}
_SECRETS = ("password", "outgoing_password")


def _choice(name: str) -> click.Choice[str]:
    return click.Choice(list(_CHOICES[name]))


@click.group()
def profile() -> None:
    """Email server profiles: how to reach a mail server."""


@profile.command("set")
@click.argument("name")
@click.option("--type", type=_choice("type"))
@click.option("--autodiscover/--no-autodiscover", default=None)
@click.option(
    "--url", help="https://mail.example.com/EWS/Exchange.asmx, or a POP3 or IMAP server's name."
)
@click.option("--port", type=click.IntRange(1, 65535))
@click.option("--security", type=_choice("security"))
@click.option("--outgoing-location", help="An SMTP server's name.")
@click.option("--outgoing-port", type=click.IntRange(1, 65535))
@click.option("--outgoing-security", type=_choice("security"))
@click.option("--authentication", type=_choice("authentication"))
@click.option("--credentials", type=_choice("credentials"), help="Whose account logs in.")
@click.option("--username", help="Service account: DOMAIN\\user or user@domain.")
@click.option("--ask-password", is_flag=True, help="Ask for the password, or read it from stdin.")
@click.option("--impersonation/--no-impersonation", default=None)
@click.option("--same-settings-for-outgoing/--own-settings-for-outgoing", default=None)
@click.option("--outgoing-authentication", type=_choice("authentication"))
@click.option("--outgoing-credentials", type=_choice("credentials"))
@click.option("--outgoing-username")
@click.option("--ask-outgoing-password", is_flag=True)
@click.option("--verify-tls/--no-verify-tls", default=None)
@click.option("--connections", type=click.IntRange(1, 65536), help="At most so many at a time.")
@click.option("--requests-per-second", type=click.IntRange(0, 10000), help="0 is no limit.")
@click.option("--minimum-interval", type=click.IntRange(0, 1440), help="Minutes between visits.")
@click.option("--timeout", type=click.IntRange(1, 100), help="Of a request, in seconds.")
@click.option("--email-from", type=click.DateTime(), help="Leave older email alone; UTC.")
@click.option("--undeliverable-folder/--no-undeliverable-folder", default=None)
@click.option(
    "--sent-copy/--no-sent-copy",
    default=None,
    help="Keep sent email in Sent Items; beside POP3 there are none.",
)
@click.option(
    "--unclear-sending",
    type=_choice("unclear_sending"),
    help="What becomes of email of which nobody can tell whether it was sent: hold it for a person "
    "to decide, send it again (it may arrive twice), or take it as sent (it may not have arrived).",
)
@click.option("--owner", help="CRM user who is told of the server's troubles.")
@click.option("--alert-mail/--no-alert-mail", default=None, help="Mail the owner on major events.")
@click.option("--active/--inactive", default=None)
def set_profile(
    name: str,
    ask_password: bool,
    ask_outgoing_password: bool,
    owner: str | None,
    email_from: Any,
    **given: Any,
) -> None:
    """Create or change the profile NAME."""
    set_up_django()
    from datetime import UTC

    from syncservice.mailboxes import administration, rules

    fields: dict[str, Any] = {}
    for option, value in given.items():
        if value is None:
            continue
        choices = _CHOICES.get(option.removeprefix("outgoing_"))
        fields[_COLUMNS.get(option, option)] = choices[value] if choices else value
    if email_from is not None:
        fields["process_email_from"] = email_from.replace(tzinfo=UTC)
    if owner is not None:
        fields["owner"] = user_named(owner)
    if ask_password:
        fields["password"] = read_password()
    if ask_outgoing_password:
        fields["outgoing_password"] = read_password()
    saved = administration.save_profile(name, **fields)
    click.echo(f"Saved the profile {saved.name}: {saved.location or 'found by autodiscover'}")
    for word in rules.warnings(saved):
        click.echo(f"Warning: {word}", err=True)


@profile.command("list")
@as_json_option
def list_profiles(as_json: bool) -> None:
    """List the profiles."""
    set_up_django()
    from django.db.models import Count

    from syncservice.mailboxes.models import EmailServerProfile

    profiles = EmailServerProfile.objects.order_by("name").defer(*_SECRETS)
    rows = [
        {
            "name": row.name,
            "type": row.get_server_type_display(),
            "location": row.location,
            "connections": row.maximum_concurrent_connections,
            "active": row.is_active,
            "mailboxes": row.number,
        }
        for row in profiles.annotate(number=Count("mailboxes"))
    ]
    show_rows(rows, as_json)


@profile.command()
@click.argument("name")
@as_json_option
def show(name: str, as_json: bool) -> None:
    """Show the profile NAME, but its passwords: its server's health, its last connection test."""
    set_up_django()
    from syncservice.alerts.models import Alert
    from syncservice.mailboxes import rules
    from syncservice.mailboxes.models import ConnectionTest, Discovery, ServerHealth

    row = profile_named(name)
    hidden = {"id", "name", "owner", *_SECRETS}
    facts: dict[str, Any] = {"name": row.name, "owner": str(row.owner or "")}
    for field in row._meta.concrete_fields:
        if field.name not in hidden:
            display = getattr(row, f"get_{field.name}_display", None)
            facts[field.name] = display() if display else getattr(row, field.name)
    facts["password_is_set"] = bool(row.password)
    facts["outgoing_password_is_set"] = bool(row.outgoing_password)
    facts["warnings"] = [str(word) for word in rules.warnings(row)]
    found = Discovery.objects.filter(profile=row).first()
    if found is not None:
        how = found.get_authentication_display()
        facts["discovered"] = f"{found.endpoint}, {how}, version {found.version}"
    facts["server"] = facts["outgoing_server"] = "never asked"
    for health in ServerHealth.objects.filter(profile=row):
        name = "server" if health.server == health.Server.INCOMING else "outgoing_server"
        facts[name] = health.fault_text or "well"
    if row.is_exchange:
        del facts["outgoing_server"]  # one for both
    open_alerts = Alert.objects.filter(profile=row, ended_at=None)
    facts["alerts"] = [f"{one.get_severity_display()}: {one.entry.meaning}" for one in open_alerts]
    tested = ConnectionTest.objects.filter(profile=row).first()
    if tested is not None:
        facts["connection_test"] = tested.get_status_display() or "pending"
        facts["connection_test_text"] = tested.text
        facts["connection_tested_at"] = tested.tested_at
        facts["connection_test_milliseconds"] = tested.milliseconds
    show_sheet(facts, as_json)


@profile.command()
@click.argument("name")
@click.option("--wait", is_flag=True, help="Wait for the result; exit status 1 when it failed.")
@click.option("--verbose", is_flag=True, help="With --wait, show the request and the answer.")
def test(name: str, wait: bool, verbose: bool) -> None:
    """Test the connection of the profile NAME; autodiscover is asked anew by this."""
    set_up_django()
    import sys

    from syncservice.mailboxes import connection_tests
    from syncservice.mailboxes.models import ConnectionTest

    row = profile_named(name)
    connection_tests.request(row.pk)
    click.echo(f"The connection of {row.name} is being tested")
    if not wait:
        return
    asked = ConnectionTest.objects.get(profile=row)
    waiting = ConnectionTest.objects.filter(profile=row).exclude(due_at=None)
    wait_for_worker(waiting.count, has_begun=lambda: not waiting.filter(fence=asked.fence).exists())
    tested = ConnectionTest.objects.get(profile=row)
    click.echo(f"{tested.get_status_display()} in {tested.milliseconds} ms: {tested.text}")
    if verbose:
        click.echo(f"--- request\n{tested.request}\n--- response\n{tested.response}")
    sys.exit(0 if tested.status == ConnectionTest.Status.SUCCESS else 1)
