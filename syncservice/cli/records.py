"""Finds the records that a command's arguments name, or says how to look them up."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from syncservice.crm.models import EmailEnabled, Queue, User
    from syncservice.mailboxes.models import EmailServerProfile, Mailbox


def profile_named(name: str) -> "EmailServerProfile":
    from syncservice.mailboxes.models import EmailServerProfile

    found = EmailServerProfile.objects.filter(name=name).first()
    if found is None:
        raise click.UsageError(f"there is no profile {name!r}; see `syncservice profile list`")
    return found


def mailbox_at(address: str) -> "Mailbox":
    from syncservice.mailboxes.models import Mailbox

    found = Mailbox.objects.defer("password").filter(email_address__iexact=address).first()
    if found is None:
        raise click.UsageError(f"there is no mailbox {address!r}; see `syncservice mailbox list`")
    return found


def user_named(name: str) -> "User":
    from syncservice.crm.models import User

    found = User.objects.filter(username=name).first()
    if found is None:
        raise click.UsageError(f"there is no CRM user {name!r}")
    return found


def queue_named(name: str) -> "Queue":
    from syncservice.crm.models import Queue

    found = Queue.objects.filter(name=name).first()
    if found is None:
        raise click.UsageError(f"there is no CRM queue {name!r}")
    return found


def record_at(text: str) -> "tuple[str, EmailEnabled]":
    """Read account:1, contact:1 or lead:1; return the kind, in small letters, and the record."""
    from syncservice.crm.models import Account, Contact, EmailEnabled, Lead

    models: dict[str, type[EmailEnabled]] = {"account": Account, "contact": Contact, "lead": Lead}
    kind, _, number = text.partition(":")
    model = models.get(kind.lower())
    if model is None or not number.isdecimal():
        raise click.UsageError(f"{text!r} is no record; write account:1, contact:1 or lead:1")
    found = model._default_manager.filter(pk=int(number)).first()
    if found is None:
        raise click.UsageError(f"there is no {kind.lower()} {number}")
    return kind.lower(), found


def about(text: str | None) -> "dict[str, EmailEnabled]":
    """Return what email is about, as `mailboxes.tracking` takes it; None is about nothing."""
    if text is None:
        return {}
    kind, record = record_at(text)
    return {f"regarding_{kind}": record}
