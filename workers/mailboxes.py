"""Queue `mailboxes`: visits."""

from datetime import timedelta

import structlog
from django.conf import settings

from syncservice.domain.faults import Patience
from syncservice.domain.polling import Pace
from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import EmailServerProfile, Lane
from syncservice.mailboxes.schedule import Begun, Claim, ClaimLost
from syncservice.sync import outcome as outcomes
from workers.app import app
from workers.leases import MACHINE
from workers.shutdown import is_stopping
from workers.visits import letting_go, visit_items_within_slots, visit_within_slots

log = structlog.get_logger()

PATIENCE = Patience(
    attempts=settings.FAULT_ATTEMPTS,
    retry=settings.FAULT_RETRY,
    longest=settings.PROBE_LONGEST,
    heals=settings.SELF_HEALING,
)


@app.task(name="mailboxes.visit")
def visit(mailbox_id: int, lane: str, fence: int) -> None:
    """Make the visit that a message calls for, and record what came of it."""
    message = Claim(mailbox_id, Lane(lane), fence)
    with structlog.contextvars.bound_contextvars(mailbox_id=mailbox_id, lane=lane, fence=fence):
        try:
            begun = schedule.begin(message, settings.CLAIM_LEASE)
        except ClaimLost:
            log.info("visit.not_called_for")  # another has made it, or nobody wants it any more
            return
        structlog.contextvars.bind_contextvars(fence=begun.claim.fence)
        try:
            with letting_go(begun.claim):
                _visit(begun)
        except ClaimLost:
            log.info("visit.claim_lost")  # someone claimed it since: their visit counts


def _visit(begun: Begun) -> None:
    claim = begun.claim
    if is_stopping():
        _postpone(claim, timedelta(0), "its worker was stopped before the visit began")
        return
    if begun.wait is not None:
        _postpone(claim, begun.wait, f"the server is left alone for a while: {begun.wait_reason}")
        return
    makes = visit_items_within_slots if claim.lane == Lane.ACT else visit_within_slots
    outcome = makes(begun)
    if outcome.limit is not None and not outcome.requests:
        _postpone(claim, outcome.limit.retry_after or timedelta(0), outcome.limit.text)
        return
    profile = begun.profile
    rest = outcomes.record(claim, outcome, begun.health, _pace(profile), MACHINE, PATIENCE)
    log.info(
        "visit.finished",
        requests=outcome.requests,
        pages=outcome.pages,
        stored=outcome.stored,
        linked=outcome.linked,
        written=outcome.written,
        failed=outcome.failed,
        gone=outcome.gone,
        declined=outcome.declined,
        fault=outcome.fault.code if outcome.fault else None,
        seconds=round(outcome.seconds, 3),
        rest_seconds=rest.length.total_seconds(),
    )


def _postpone(claim: Claim, wait: timedelta, reason: str) -> None:
    outcomes.postpone(claim, wait, reason)
    log.info("visit.postponed", reason=reason, wait_seconds=wait.total_seconds())


def _pace(profile: EmailServerProfile) -> Pace:
    return Pace(
        shortest=settings.POLL_SHORTEST,
        normal=settings.POLL_NORMAL,
        longest=settings.POLL_LONGEST,
        busy_from=settings.POLL_BUSY_FROM,
        minimum=profile.minimum_polling_interval,
    )
