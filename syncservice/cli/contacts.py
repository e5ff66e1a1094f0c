"""`syncservice contact`: write, change and delete contacts themselves."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import click

from syncservice.cli.django_setup import set_up_django
from syncservice.cli.item_records import (
    change_record,
    delete_record,
    make_record,
    record_with_key,
    show_record,
    text_options,
)
from syncservice.cli.output import as_json_option, limit_option, newest, show_rows
from syncservice.cli.records import user_named

NAMES = ("first", "middle", "last")
ADDRESS = ("street", "city", "state", "postal_code", "country")
EMAILS = ("email1", "email2", "email3")
DATES = ("birthday", "anniversary")
TEXTS = (
    *("nickname", "company", "job_title", "department", "business_phone", "business_phone2"),
    *("home_phone", "home_phone2", "mobile", "company_phone", "callback", "other_phone", "pager"),
    *("business_fax", "assistant", "assistant_phone", "manager", "spouse", "children"),
    *("government_id", "web_page", "ftp_site", "yomi_first", "yomi_last", "notes"),
)


@click.group()
def contact() -> None:
    """Contacts of the CRM."""


def contact_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for each value of a contact, and the parts of the first address."""
    command = text_options(*NAMES, *EMAILS, *TEXTS, *ADDRESS)(command)
    for name in DATES:
        command = click.option(f"--{name}", type=click.DateTime(["%Y-%m-%d"]))(command)
    return command


@contact.command("add")
@click.option("--owner", metavar="NAME", required=True, help="CRM user who has it.")
@contact_options
def add_contact(owner: str, **given: Any) -> None:
    """Write a contact; print its key."""
    if not given["last"]:
        raise click.UsageError("give --last, the last name")
    set_up_django()
    click.echo(str(make_record("contact", _values(given, {}), user_named(owner))))


@contact.command("set")
@click.argument("key", type=click.UUID)
@contact_options
def set_contact(key: UUID, **given: Any) -> None:
    """Change the contact KEY; '' empties a value."""
    set_up_django()
    before, _ = record_with_key("contact", key)
    change_record("contact", key, _values(given, before))


def _values(given: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    from django.core.validators import validate_email

    values = {name: given[name] for name in (*EMAILS, *TEXTS) if given[name] is not None}
    for name in EMAILS:
        if values.get(name):
            validate_email(values[name])
    values |= {name: f"{given[name]:%Y-%m-%d}" for name in DATES if given[name] is not None}
    for value, parts in (("full_name", NAMES), ("business_address", ADDRESS)):
        said = {part: given[part] for part in parts if given[part] is not None}
        if said:
            values[value] = {**dict.fromkeys(parts, ""), **(before.get(value) or {}), **said}
    return values


@contact.command("list")
@click.option("--owner", metavar="NAME", help="Those of this CRM user.")
@limit_option
@as_json_option
def list_contacts(owner: str | None, limit: int, as_json: bool) -> None:
    """List contacts, the newest first."""
    set_up_django()
    from syncservice.crm.models import Contact

    rows = Contact.objects.select_related("owner").order_by("-pk")
    if owner:
        rows = rows.filter(owner=user_named(owner))
    show_rows(
        [
            {
                "key": row.key,
                "number": row.pk,
                "name": str(row),
                "email": row.email_address,
                "company": row.company_name,
                "active": row.is_active,
                "owner": row.owner.username if row.owner else "",
            }
            for row in newest(rows, limit)
        ],
        as_json,
    )


@contact.command()
@click.argument("key", type=click.UUID)
@as_json_option
def show(key: UUID, as_json: bool) -> None:
    """Show the contact KEY, and in which mailboxes it is."""
    set_up_django()
    show_record("contact", key, as_json)


@contact.command()
@click.argument("key", type=click.UUID)
def delete(key: UUID) -> None:
    """Delete the contact KEY; its owner's mailbox loses it too."""
    set_up_django()
    delete_record("contact", key)
