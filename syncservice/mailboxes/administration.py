"""Who synchronizes what with which server: changes to profiles and mailboxes, each in one step.

Every change ends with `schedule.plan`, in the same transaction: the records say who is enabled,
the schedule follows.
"""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from syncservice.crm.models import Queue, User
from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import EmailServerProfile, Mailbox, MailboxMapping


@transaction.atomic
def save_profile(name: str, **fields: Any) -> EmailServerProfile:
    """Create or change the profile `name`; raise ValidationError with a sentence a field."""
    profile = EmailServerProfile.objects.filter(name=name).first() or EmailServerProfile(name=name)
    for field, value in fields.items():
        setattr(profile, field, value)
    profile.full_clean()
    profile.save()
    schedule.plan(profile.mailboxes.values_list("pk", flat=True))
    return profile


@transaction.atomic
def add_mailbox(
    address: str,
    profile: EmailServerProfile,
    *,
    user: User | None = None,
    queue: Queue | None = None,
    **fields: Any,
) -> Mailbox:
    """Create or change the mailbox `address` of a user or a queue, and make it due.

    Without either, its owner stays, or is the user with this address, made if need be. Raise
    ValidationError when the mailbox is somebody else's, or the owner has another one (F006).
    """
    named = user is not None or queue is not None
    if not named:
        user = User.objects.filter(email__iexact=address).first() or User.objects.create_user(
            username=address, email=address
        )
    mailbox = Mailbox.objects.filter(email_address__iexact=address).first() or Mailbox(
        email_address=address, name=address
    )
    for field, value in {"profile": profile, **fields}.items():
        setattr(mailbox, field, value)
    mailbox.full_clean()
    mailbox.save()
    if named or not mailbox.mappings.filter(ended_at=None).exists():
        _map(mailbox, user, queue)
    schedule.plan([mailbox.pk])
    return mailbox


def _map(mailbox: Mailbox, user: User | None, queue: Queue | None) -> None:
    in_force = MailboxMapping.objects.filter(ended_at=None)
    mapping = in_force.filter(mailbox=mailbox).first()
    if mapping is None:
        taken = in_force.filter(user=user, queue=queue).first()
        if taken is not None:
            raise ValidationError(
                f"{user or queue} has the mailbox {taken.mailbox} already, and may have one only"
            )
        MailboxMapping.objects.create(mailbox=mailbox, user=user, queue=queue)
    elif (mapping.user, mapping.queue) != (user, queue):
        raise ValidationError(
            f"the mailbox {mailbox} belongs to {mapping.user or mapping.queue}; "
            "end that mapping first"
        )
