"""Records for tests, with the values that don't matter filled in."""

from datetime import timedelta
from itertools import count

from syncservice.crm.models import User
from syncservice.domain.polling import Rest
from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import EmailServerProfile, Lane, Mailbox, MailboxMapping
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


def mailbox(**fields) -> Mailbox:
    """A planned mailbox, due now."""
    number = next(_numbers)
    address = fields.pop("email_address", f"user{number}@example.test")
    server = fields.pop("profile", None) or profile()
    box = Mailbox.objects.create(name=address, email_address=address, profile=server, **fields)
    user = User.objects.create(username=f"user{number}", email=address)
    MailboxMapping.objects.create(mailbox=box, user=user)
    schedule.plan([box.pk])
    return box


def claim(box: Mailbox, lease: timedelta = LEASE) -> Claim:
    """Claim a due mailbox and begin its visit; the caller made no other due."""
    found = schedule.claim_due(1000, lease).messages
    (ours,) = [message for message in found if message[0] == box.pk]
    made = Claim(ours[0], Lane(ours[1]), ours[2])
    schedule.begin(made, lease)
    return made
