"""Queue `mailboxes`: visits."""

import socket
import time
from uuid import uuid4

import redis
import structlog
from django.conf import settings
from django.db import close_old_connections

from syncservice.domain.faults import FaultError
from syncservice.domain.polling import Pace
from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import Lane, Mailbox, MailboxMapping
from syncservice.mailboxes.schedule import Claim, ClaimLost
from syncservice.servers import registry
from syncservice.servers.slots import Slots
from syncservice.sync import outcome as outcomes
from syncservice.sync.incoming_email import Inbox
from syncservice.sync.visit import Budget, Outcome
from syncservice.sync.visit import visit as make_visit
from workers.app import app

log = structlog.get_logger()

BUDGET = Budget(
    duration=settings.VISIT_BUDGET,
    messages=settings.VISIT_MESSAGES,
    bytes=settings.VISIT_BYTES,
    page_ids=settings.PAGE_IDS,
    batch_messages=settings.BATCH_MESSAGES,
    batch_bytes=settings.BATCH_BYTES,
    message_bytes=settings.MESSAGE_BYTES,
)
MACHINE = socket.gethostname()[:320]


@app.task(name="mailboxes.visit")
def visit(mailbox_id: int, lane: str, fence: int) -> None:
    """Carry one claim to the code that makes the visit, and record what came of it."""
    claim = Claim(mailbox_id, Lane(lane), fence)
    close_old_connections()
    with structlog.contextvars.bound_contextvars(mailbox_id=mailbox_id, lane=lane, fence=fence):
        try:
            mailbox = schedule.load(claim)
            outcome = _visit_within_slot(claim, mailbox)
            if outcome is None:
                outcomes.postpone(claim, settings.SLOT_RETRY, "no free connection to the server")
                log.info("visit.postponed")
                return
            rest = outcomes.record(claim, outcome, _pace(mailbox), MACHINE)
        except ClaimLost:
            log.info("visit.claim_lost")  # someone claimed it since: their visit counts
            return
        log.info(
            "visit.finished",
            requests=outcome.requests,
            pages=outcome.pages,
            stored=outcome.stored,
            linked=outcome.linked,
            failed=outcome.failed,
            fault=outcome.fault.code if outcome.fault else None,
            seconds=round(outcome.seconds, 3),
            rest_seconds=rest.length.total_seconds(),
        )


def _visit_within_slot(claim: Claim, mailbox: Mailbox) -> Outcome | None:
    """Make the visit inside a connection slot; None: no slot is free. Redis gone is a fault."""
    assert mailbox.profile is not None, "a mailbox without a profile is never scheduled (F086)"
    mapping = MailboxMapping.objects.filter(mailbox=mailbox, ended_at=None).first()
    inbox = Inbox(claim, mapping.queue_id if mapping else None, settings.ITEM_ATTEMPTS)
    try:
        with _slots().hold(
            registry.credential(mailbox),
            uuid4().hex,
            mailbox.profile.maximum_concurrent_connections,
        ) as held:
            if not held:
                return None
            with registry.incoming(mailbox) as gateway:
                return make_visit(claim, gateway, inbox, BUDGET, time.monotonic)
    except FaultError as error:
        return Outcome(fault=error.fault)


def _pace(mailbox: Mailbox) -> Pace:
    assert mailbox.profile is not None
    return Pace(
        shortest=settings.POLL_SHORTEST,
        normal=settings.POLL_NORMAL,
        longest=settings.POLL_LONGEST,
        busy_from=settings.POLL_BUSY_FROM,
        minimum=mailbox.profile.minimum_polling_interval,
    )


def _slots() -> Slots:
    """Connect in the process that uses it; a client made before the fork would be shared."""
    global _client
    if _client is None:
        _client = Slots(
            redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5),
            settings.SLOT_LEASE,
        )
    return _client


_client: Slots | None = None
