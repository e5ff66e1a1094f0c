"""Who changed what: one row for each change that a person answers for."""

from collections.abc import Iterable
from typing import Any

from syncservice.mailboxes.models import ChangeRecord, EmailServerProfile, Mailbox

COMMAND_LINE = "command line"
SERVICE = "service"


def change(
    actor: str,
    action: str,
    *,
    mailbox: Mailbox | None = None,
    profile: EmailServerProfile | None = None,
    **facts: Any,
) -> ChangeRecord:
    """Say what was changed, for `note_all`; `facts` hold no secret."""
    return ChangeRecord(actor=actor, action=action, mailbox=mailbox, profile=profile, facts=facts)


def note(actor: str, action: str, **subject_and_facts: Any) -> None:
    """Write a `change` down, in the transaction of the change."""
    change(actor, action, **subject_and_facts).save()


def note_all(changes: Iterable[ChangeRecord]) -> None:
    """Write many down by one statement: whoever changes thousands holds their locks meanwhile."""
    ChangeRecord.objects.bulk_create(changes)
