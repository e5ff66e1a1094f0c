"""Mailboxes in memory into which email comes, and what became of it, for tests."""

from datetime import timedelta
from itertools import count

from django.db.models.functions import Now

from syncservice.crm.models import (
    ActivityParty,
    Contact,
    Email,
    IncomingFilter,
    User,
)
from syncservice.mailboxes.models import (
    DeclinedItem,
    Mailbox,
    Organisation,
    Schedule,
)
from syncservice.sync.inbox import Inbox
from syncservice.sync.visit import Budget, Outcome, visit
from tests import factories
from tests.memory_gateway import RECEIVED, MemoryIncoming, MemoryOrganised, MemoryServer

BUDGET = Budget(
    duration=timedelta(minutes=2), messages=1000, bytes=2**30, page_ids=100, batch_messages=50,
    batch_bytes=2**25, message_bytes=2**25,
)  # fmt: skip
ALL, IN_RESPONSE, FROM_PEOPLE, FROM_RECORDS, NONE = IncomingFilter
US, BOB, ANN = "user@example.test", "bob@example.test", "ann@customer.test"


def mailbox(address: str = US, option: IncomingFilter = ALL, **fields) -> Mailbox:
    """The mailbox of a user with this option."""
    owner = User.objects.create(username=address, email=address, incoming_filter=option, **fields)
    return factories.mailbox(owner=owner)


def visit_again(
    box: Mailbox, server: MemoryServer, gateway: MemoryIncoming | None = None
) -> Outcome:
    Schedule.objects.exclude(mailbox=box).update(due_at=None)
    Schedule.objects.filter(mailbox=box).update(due_at=Now(), claimed_at=None)
    inbox = Inbox(factories.claim(box), item_attempts=3)
    gateway, organised = gateway or MemoryIncoming(server), MemoryOrganised(server)
    outcome = visit(gateway, inbox, BUDGET, count().__next__, organised=organised)
    assert outcome.fault is None
    return outcome


def read(box: Mailbox, *messages: bytes) -> MemoryServer:
    """Let messages come into a mailbox, all at once, and visit it."""
    server: MemoryServer = box.__dict__.setdefault("server", MemoryServer())
    server.deliver(*messages)
    visit_again(box, server)
    return server


def organisation(**settings) -> None:
    Organisation.current()
    Organisation.objects.update(**settings)


def stored(subject: str) -> Email:
    return Email.objects.get(subject=subject, direction=Email.Direction.INCOMING)


def subjects() -> list[str]:
    incoming = Email.objects.filter(direction=Email.Direction.INCOMING)
    return sorted(incoming.values_list("subject", flat=True))


def declined() -> list[tuple[str, str]]:
    return sorted(DeclinedItem.objects.values_list("subject", "reason"))


def sent(subject: str, sender: str, to: str, **fields) -> Email:
    """An email that was sent out of the CRM."""
    fields.setdefault("message_id", f"<{subject}@example.test>")
    status, direction = Email.Status.SENT, Email.Direction.OUTGOING
    email = Email.objects.create(
        subject=subject, direction=direction, status=status, sent_at=RECEIVED - timedelta(days=1),
        **{"identity": f"sent {subject}", **fields},
    )  # fmt: skip
    for participation, address in ((1, sender), (2, to)):
        ActivityParty.objects.create(email=email, participation=participation, address=address)
    return email


def answers(email: Email) -> tuple[Email.Correlation, Email | None, Email | None]:
    return Email.Correlation(email.correlation), email.correlated_to, email.parent


def queues_of(email: Email) -> list[str]:
    return sorted(email.queue_items.values_list("queue__name", flat=True))


def contact(address: str, **fields) -> Contact:
    return Contact.objects.create(last_name=address, email_address=address, **fields)
