"""`syncservice organisation`: settings of the whole organisation."""

from collections.abc import Callable
from contextlib import suppress
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


#: Options of `organisation set`, and the columns they change.
SWITCHES = {
    "approve-users": "approves_users",
    "approve-queues": "approves_queues",
    "alerts-errors": "alerts_errors",
    "alerts-warnings": "alerts_warnings",
    "alerts-information": "alerts_information",
    "notify-mailbox-owners": "notifies_mailbox_owners",
    "correlate-conversations": "correlates_conversations",
    "tracking-tokens": "uses_tracking_tokens",
    "smart-matching": "uses_smart_matching",
    "internal-as-two-activities": "internal_email_is_two_activities",
    "internal-to-queues": "internal_email_to_queues",
    "internal-from-queues": "internal_email_from_queues",
    "mailbox-owner-decides-alone": "mailbox_owner_decides_alone",
    "user-decides-alone": "user_decides_alone",
    "route-to-owner-queue": "routes_to_owner_queue",
    "leave-out-rights-managed": "leaves_out_rights_managed",
    "unresolve-several-recipients": "unresolves_several_recipients",
    "unresolve-several-senders": "unresolves_several_senders",
    "resolve-alike": "resolves_alike",
    "create-records": "creates_records",
    "folder-tracking": "uses_folder_tracking",
    "category-tracking": "uses_category_tracking",
    "sent-items": "tracks_sent_items",
    "send-to-unresolved": "sends_to_unresolved",
    "three-contact-addresses": "three_contact_addresses",
    "appointment-attachments": "synchronizes_attachments",
    "propagate-cancellations": "propagates_cancellations",
    "ignore-copied-items": "ignores_copied_items",
    "track-from-non-organizer": "tracks_from_non_organizer",
    "check-scheduling-conflicts": "checks_scheduling_conflicts",
    "check-duplicate-contacts": "checks_duplicate_contacts",
}
VALUES = {
    "token-prefix": ("token_prefix", str),
    "token-base": ("token_base", int),
    "token-user-digits": ("token_user_digits", int),
    "token-counter-digits": ("token_counter_digits", int),
    "smart-matching-noise": ("hash_filter", str),
    "smart-matching-words": ("hash_max_count", int),
    "smart-matching-words-apart": ("hash_delta_subject_count", int),
    "smart-matching-addresses": ("hash_min_address_count", int),
    "attachment-kilobytes": ("attachment_kilobytes", int),
    "ask-above-creations": ("asks_above_creations", int),
    "ask-above-deletions": ("asks_above_deletions", int),
}


class Setting(click.Option):
    """An option that its help explains as the admin does; where nothing is configured, by name."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from django.core.exceptions import ImproperlyConfigured

        with suppress(ImproperlyConfigured):
            self.help = _explained(str(self.name))
        return super().get_help_record(ctx)


def _explained(column: str) -> str:
    set_up_django()
    from syncservice.mailboxes.models import Organisation

    field: Any = Organisation._meta.get_field(column)
    name = str(field.verbose_name)
    return ". ".join(filter(None, (name[:1].upper() + name[1:], field.help_text.rstrip(".")))) + "."


def settings_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for each setting."""
    for flag, column in SWITCHES.items():
        command = click.option(f"--{flag}/--no-{flag}", column, default=None, cls=Setting)(command)
    for name, (column, kind) in VALUES.items():
        command = click.option(f"--{name}", column, type=kind, cls=Setting)(command)
    return command


@organisation.command("set")
@click.option("--default-profile", help="Email server profile of new mailboxes.")
@click.option("--default-incoming", type=click.Choice(list(METHODS["incoming"])))
@click.option("--default-outgoing", type=click.Choice(list(METHODS["outgoing"])))
@click.option("--default-act", type=click.Choice(list(METHODS["act"])))
@settings_options
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
