"""Finds the records that a command's arguments name, or says how to look them up."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from syncservice.crm.models import Queue, User
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
