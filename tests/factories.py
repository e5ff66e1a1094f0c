"""Records for tests, with the values that don't matter filled in."""

from datetime import UTC, datetime, timedelta
from itertools import count

from syncservice.crm.models import Appointment, Contact, IncomingFilter, Queue, Task, User
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


def mailbox(*, enabled: bool = True, owner: User | Queue | None = None, **fields) -> Mailbox:
    """A planned mailbox, due now unless it is not `enabled`; of a new user who wants all email."""
    number = next(_numbers)
    address = fields.pop("email_address", "") or (owner and administration.address_of(owner))
    address = address or f"user{number}@example.test"
    if owner is None:  # its mailbox comes along
        wanted = fields.pop("incoming_filter", IncomingFilter.ALL)
        owner = User.objects.create(username=f"user{number}", email=address, incoming_filter=wanted)
    box = administration.mailbox_of(owner)
    fields.setdefault("approval", Mailbox.Approval.APPROVED)
    fields["profile"] = fields.get("profile") or profile()
    fields = {"name": address, "email_address": address, "process_email_from": None, **fields}
    for name, value in fields.items():
        setattr(box, name, value)
    box.save()
    if enabled:
        directions.enable([box.pk], [Direction.Kind.INCOMING], "tests")
    schedule.plan([box.pk])
    return box


def user(address: str, **fields) -> User:
    """A user who wants all email, and whose mailbox may be read; nobody visits it."""
    fields.setdefault("incoming_filter", IncomingFilter.ALL)
    found = User.objects.create(username=address, email=address, **fields)
    mailbox(owner=found, enabled=False)
    return found


def queue(address: str, **fields) -> Queue:
    """A queue, as `user`."""
    found = Queue.objects.create(name=address, email_address=address, **fields)
    mailbox(owner=found, enabled=False)
    return found


def contact(**fields) -> Contact:
    return Contact.objects.create(**{"last_name": "Bos", **fields})


def task(**fields) -> Task:
    return Task.objects.create(**{"subject": "Call back", "status": 2, **fields})


def appointment(**fields) -> Appointment:
    """An appointment of nobody, from nine to ten on a Monday of March."""
    start = fields.setdefault("starts_at", datetime(2026, 3, 2, 9, tzinfo=UTC))
    return Appointment.objects.create(
        **{"subject": "Review", "ends_at": start + timedelta(hours=1), **fields}
    )


def claim(box: Mailbox, lease: timedelta = LEASE) -> Claim:
    """Claim a due mailbox and begin its visit; the caller made no other due."""
    found = schedule.claim_due(1000, lease).messages
    (ours,) = [message for message in found if message[0] == box.pk]
    return schedule.begin(Claim(ours[0], Lane(ours[1]), ours[2]), lease).claim
