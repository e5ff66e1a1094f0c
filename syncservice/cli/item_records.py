"""What the commands for appointments, contacts and tasks have in common: records by their keys.

They are read and written in the values of `domain.item_values`, as a visit does it.
"""

from collections.abc import Callable
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import click

from syncservice.cli.output import show_sheet

if TYPE_CHECKING:
    from syncservice.crm.models import User

_Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def text_options(*names: str) -> _Option:
    """Return what gives a command an option for each of these values, of a line of text each."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            command = click.option(f"--{name.replace('_', '-')}", name)(command)
        return command

    return decorate


def person(text: str) -> dict[str, str]:
    """Read "Ann <ann@example.com>" as the value of an organizer or attendee."""
    name, address = parseaddr(text)
    if "@" not in address.strip("@"):
        raise click.UsageError(f"{text!r} is no address; write it as Ann <ann@example.com>")
    return {"address": address.lower(), "name": name}


def user_of(address: str) -> "User":
    """Return the user with an address, who then owns what is written."""
    from syncservice.crm.models import User

    found = User.objects.filter(email__iexact=address).order_by("pk").first() if address else None
    if found is None:
        raise click.UsageError("the organizer is no CRM user; name the one who has it with --owner")
    return found


def make_record(kind: str, values: dict[str, Any], user: "User") -> UUID:
    """Store a new record; return its key."""
    from django.db import transaction

    from syncservice.domain.item_values import VALUES, ItemKind
    from syncservice.sync.item_records import records_of

    key = uuid4()
    whole = {**VALUES[ItemKind(kind)], **values}
    with transaction.atomic():
        records_of(ItemKind(kind)).create(whole, user, key)
    return key


def record_with_key(kind: str, key: UUID) -> "tuple[dict[str, Any], User]":
    """Return what a record says, and to whom: its owner, or a stranger when it has none."""
    *_, user, values = _found(kind, key)
    return values, user


def _found(kind: str, key: UUID) -> tuple[Any, Any, Any, dict[str, Any]]:
    from syncservice.crm.models import User
    from syncservice.domain.item_values import ItemKind
    from syncservice.sync.item_records import records_of

    records = records_of(ItemKind(kind))
    record = records.load([key]).get(key)
    if record is None:
        raise click.UsageError(f"there is no {kind} {key}; see `syncservice {kind} list`")
    user = record.owner or User()
    return records, record, user, records.values(record, user)


def change_record(kind: str, key: UUID, values: dict[str, Any]) -> None:
    """Write some values of a record."""
    from django.db import transaction

    if not values:
        raise click.UsageError("give what is to be changed; --help lists it")
    with transaction.atomic():
        records, record, user, _ = _found(kind, key)
        records.apply(record, values, user)
    click.echo("Saved; it travels with the next visit")


def delete_record(kind: str, key: UUID) -> None:
    records, record, _, _ = _found(kind, key)
    records.delete(record)
    click.echo("Deleted")


def show_record(kind: str, key: UUID, as_json: bool) -> None:
    """Print what a record says, and how it stands with each mailbox that has to do with it."""
    from syncservice.console.item_wording import text_of
    from syncservice.mailboxes.models import ItemLink

    _, record, _, values = _found(kind, key)
    links = ItemLink.objects.filter(kind=kind, key=key).select_related("mailbox")
    facts: dict[str, Any] = {
        "key": key,
        "owner": record.owner.username if record.owner else "",
        "mailboxes": [
            f"{link.mailbox}: {link.state}" + (f", {link.fault_text}" if link.fault_text else "")
            for link in links.defer("mailbox__password").order_by("mailbox__email_address")
        ],
    }
    said = values if as_json else {name: text_of(value) for name, value in values.items() if value}
    show_sheet({**facts, **said}, as_json)
