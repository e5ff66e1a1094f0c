"""Records for tests, with the values that don't matter filled in."""

from datetime import timedelta
from itertools import count

from syncservice.crm.models import User
from syncservice.domain.polling import Rest
from syncservice.mailboxes import administration, directions, schedule
from syncservice.mailboxes.models import Direction, EmailServerProfile, Lane, Mailbox
from syncservice.mailboxes.schedule import Claim

LEASE = timedelta(minutes=5)
REST = Rest(timedelta(minutes=5), "some mail")
_numbers = count(1)


def profile(**fields) -> EmailServerProfile:
    number = next(_numbers)
    return EmailServerProfile.objects.create(
        **{
            "name": f"Exchange {number}",
            "location": "http://127.0.0.1:9/EWS/Exchange.asmx",
            "username": "service",
            "password": "secret",
            "use_impersonation": True,
            **fields,
        }
    )


def mailbox(*, enabled: bool = True, **fields) -> Mailbox:
    """A planned mailbox of a new user, due now unless it is not `enabled`."""
    number = next(_numbers)
    address = fields.pop("email_address", f"user{number}@example.test")
    user = User.objects.create(username=f"user{number}", email=address)  # its mailbox comes along
    box = administration.mailbox_of(user)
    fields.setdefault("approval", Mailbox.Approval.APPROVED)
    fields["profile"] = fields.get("profile") or profile()
    for name, value in {"name": address, "process_email_from": None, **fields}.items():
        setattr(box, name, value)
    box.save()
    if enabled:
        directions.enable([box.pk], [Direction.Kind.INCOMING], "tests")
    schedule.plan([box.pk])
    return box


def claim(box: Mailbox, lease: timedelta = LEASE) -> Claim:
    """Claim a due mailbox and begin its visit; the caller made no other due."""
    found = schedule.claim_due(1000, lease).messages
    (ours,) = [message for message in found if message[0] == box.pk]
    return schedule.begin(Claim(ours[0], Lane(ours[1]), ours[2]), lease).claim
