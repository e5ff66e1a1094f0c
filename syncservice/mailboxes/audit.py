"""Who changed what: one row for each change that a person answers for."""

from typing import Any

from syncservice.mailboxes.models import ChangeRecord, EmailServerProfile, Mailbox

COMMAND_LINE = "command line"
SERVICE = "service"


def note(
    actor: str,
    action: str,
    *,
    mailbox: Mailbox | None = None,
    profile: EmailServerProfile | None = None,
    **facts: Any,
) -> None:
    """Write a change down, in the transaction of the change; `facts` hold no secret."""
    ChangeRecord.objects.create(
        actor=actor, action=action, mailbox=mailbox, profile=profile, facts=facts
    )
