"""Workers killed at random instructions while they send, and connections cut at every step.

Every email arrives exactly once, or is shown as one of which nobody can tell.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from aiosmtpd.smtp import Envelope
from django.db.models import Count

from syncservice.crm.models import Email
from syncservice.domain.message import parse
from syncservice.domain.sending import State
from syncservice.mailboxes import administration, directions
from syncservice.mailboxes.models import (
    Direction,
    EmailServerProfile,
    Mailbox,
    OutgoingEmail,
    OutgoingMethod,
)
from syncservice.simulator.exchange import ExchangeSimulator, Fault
from syncservice.sync import submission, writing
from syncservice.sync.writing import Letter
from tests import factories
from tests.cluster.processes import WorkerProcess, wait_until
from tests.cluster.test_crash import kill_visit
from tests.servers.any_port import AnyPort

SENDERS = 10
#: Of a kill, by each sender.
EMAILS = 2
CUSTOMER = "customer@contoso.test"
#: Short leases and pauses, so that what died comes round soon; nobody is switched off for faults.
ENVIRONMENT = {
    "CLAIM_LEASE_SECONDS": "0.5",
    "SLOT_RETRY_SECONDS": "0.1",
    "FAULT_RETRY_SECONDS": "0.1",
    "FAULT_ATTEMPTS": "1000",
    "SENDING_RETRY_SECONDS": "0.1",
    "SENDING_ATTEMPTS": "1000",
    "SENDING_EMAILS": "20",
    "OUTGOING_ACTIVITIES_CONCURRENCY": "2",
}


@dataclass
class Server:
    """A mail server that loses connections."""

    profile: EmailServerProfile
    deliveries: Callable[[], Counter[str]]  # how often a recipient got it, by Message-ID
    trouble: Callable[[random.Random], None]  # something goes wrong soon
    peace: Callable[[], None]


class LosingPost:
    """Takes mail, and loses a connection now and then: before a step, or right after it."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.chance = 0.01
        self.taken: Counter[str] = Counter()
        self.cuts: Counter[str] = Counter()

    def lose(self, server, step: str) -> bool:
        if self.dice.random() >= self.chance:
            return False
        self.cuts[step] += 1
        server.transport.abort()
        return True

    async def handle_EHLO(self, server, session, envelope, hostname, responses) -> list[str]:
        session.host_name = hostname
        self.lose(server, "EHLO")
        return responses

    async def handle_MAIL(self, server, session, envelope, address, options) -> str:
        self.lose(server, "MAIL")
        envelope.mail_from = address
        return "250 ok"

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:
        self.lose(server, "RCPT")
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope: Envelope) -> str:
        if self.lose(server, "dot, not taken"):
            return "451 lost"
        assert isinstance(envelope.content, bytes)
        self.taken[parse(envelope.content).message_id] += len(envelope.rcpt_tos)
        self.lose(server, "dot, taken")
        return "250 taken"


def smtp(dice: random.Random) -> Iterator[Server]:
    post = LosingPost(dice)
    controller = AnyPort(post, hostname="127.0.0.1", port=0, ready_timeout=20)
    controller.start()

    def peace() -> None:
        post.chance = 0.0
        print("cuts", dict(post.cuts))

    try:
        profile = factories.profile(
            server_type=EmailServerProfile.ServerType.POP3_SMTP,
            location="127.0.0.1",
            outgoing_location="127.0.0.1",
            outgoing_port=controller.port,
            outgoing_security=EmailServerProfile.Security.NONE,
            same_settings_for_outgoing=False,
            outgoing_credentials=EmailServerProfile.Credentials.NONE,
            use_impersonation=False,
        )
        yield Server(profile, lambda: Counter(post.taken), lambda dice: None, peace)
    finally:
        controller.stop()


def exchange(dice: random.Random) -> Iterator[Server]:
    operations = ("CreateItem", "SendItem", "FindItem", "DeleteItem")
    with ExchangeSimulator() as simulator:
        control = simulator.control
        control.create_service_account("svc", "pw")
        for number in range(SENDERS):
            control.create_mailbox(f"sender{number}@example.test", "pw")

        def deliveries() -> Counter[str]:
            return Counter(one.message_id for one in control.deliveries())

        def trouble(dice: random.Random) -> None:
            """Cut, before or behind what it does, or let the server do it later."""
            kind = dice.choice(["reset_before", "reset_after", "late", "busy"])
            operation = dice.choice(operations)
            control.add_fault(
                Fault(kind=kind, operation=operation, times=1, seconds=0.3, back_off_ms=100)
            )

        profile = factories.profile(location=simulator.ews_url, username="svc", password="pw")

        def peace() -> None:
            control.clear_faults()
            control.do_late()

        yield Server(profile, deliveries, trouble, peace)


@pytest.fixture(params=["smtp", "exchange"])
def server(request, transactional_db) -> Iterator[Server]:
    seed = random.randrange(2**32)
    print(f"seed={seed}")
    yield from {"smtp": smtp, "exchange": exchange}[request.param](random.Random(seed))


def senders(profile: EmailServerProfile) -> list[Mailbox]:
    boxes = [
        factories.mailbox(
            email_address=f"sender{number}@example.test",
            profile=profile,
            outgoing_method=OutgoingMethod.SERVER_SIDE,
            act_method=2,
            enabled=False,
        )
        for number in range(SENDERS)
    ]
    directions.enable([box.pk for box in boxes], [Direction.Kind.OUTGOING], "tests")
    return boxes


def submit_all(boxes: list[Mailbox], of_each: int) -> None:
    for number in range(of_each):
        for box in boxes:
            user = administration.owner_of(box)
            email = writing.draft(user, Letter(to=[CUSTOMER], subject=f"{number}", text="x\n"))
            submission.submit(email, user)


def done() -> int:
    return Email.objects.exclude(status__in=(State.PENDING, State.SENDING)).count()


def test_every_email_arrives_once_or_is_shown_as_unknown(
    server, kills, start_worker, start_beat, redis_client
):
    dice = random.Random(random.randrange(2**32))
    boxes = senders(server.profile)
    submit_all(boxes, kills * EMAILS)

    def worker() -> WorkerProcess:
        return start_worker("outgoing_activities", env=ENVIRONMENT)

    first, second = worker(), worker()
    start_beat(env=ENVIRONMENT)
    total = SENDERS * kills * EMAILS
    for number, sent in enumerate(sorted(dice.sample(range(total * 9 // 10), kills)), start=1):
        wait_until(lambda: done() >= sent, what=f"{sent} emails")  # noqa: B023
        server.trouble(dice)
        threading.Event().wait(dice.random() * 0.05)  # any instruction of what comes next
        if number % 10 == 0:
            second.kill()
            second = worker()
        else:
            kill_visit(first if number % 2 else second)
        if number % 7 == 0:
            redis_client.flushdb()
    wait_until(lambda: done() >= total - 20, what="nearly all emails")
    server.peace()
    wait_until(
        lambda: not OutgoingEmail.objects.filter(due_at__isnull=False).exists(),
        what="nothing is left to be done",
    )

    deliveries = server.deliveries()
    for email in Email.objects.filter(status=State.SENT):
        assert deliveries[email.message_id] == 1, email.message_id
    for email in Email.objects.filter(status=State.UNKNOWN):
        assert deliveries[email.message_id] <= 1, email.message_id
    outcomes = dict(Email.objects.values_list("status").annotate(Count("pk")))
    assert set(outcomes) <= {State.SENT, State.UNKNOWN}
    assert outcomes.get(State.UNKNOWN, 0) <= total // 10  # what was cut right behind its dot
    print({State(status).name: count for status, count in outcomes.items()})

    # A person who looked at the customer's end decides, and all have arrived once.
    for email in Email.objects.filter(status=State.UNKNOWN):
        submission.decide(email, was_sent=bool(deliveries[email.message_id]))
    wait_until(lambda: done() == total, what="what was not sent is sent")
    wait_until(lambda: not Email.objects.exclude(status=State.SENT).exists(), what="all are sent")
    assert server.deliveries() == Counter(
        dict.fromkeys(Email.objects.values_list("message_id", flat=True), 1)
    )
