"""Queue `outgoing_activities`: what was written in the CRM leaves for the mailboxes.

Email by its sender's; changes of appointments, contacts and tasks to all that have them.
"""

import time

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings

from syncservice.domain import faults
from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.domain.polling import Rest
from syncservice.mailboxes import schedule
from syncservice.mailboxes.schedule import Begun, ClaimLost
from syncservice.servers import registry
from syncservice.sync import outcome as outcomes
from syncservice.sync.outbox import Outbox, Patience
from syncservice.sync.sending import Budget, Sendings, send_pending
from workers.app import app
from workers.leases import MACHINE, held
from workers.shutdown import is_stopping
from workers.visits import letting_go, visit_items_within_slots

log = structlog.get_logger()

BUDGET = Budget(settings.SENDING_BUDGET.total_seconds(), settings.SENDING_EMAILS)
PATIENCE = Patience(settings.SENDING_ATTEMPTS, settings.SENDING_RETRY)
OF_MAILBOXES = faults.Patience(
    attempts=settings.FAULT_ATTEMPTS,
    retry=settings.FAULT_RETRY,
    longest=settings.PROBE_LONGEST,
    heals=settings.SELF_HEALING,
)
#: A task works so long through what is due; beats call another as long as there is some.
TASK_SECONDS = 30


@app.task(name="outgoing_activities.send_due")
def send_due() -> None:
    """Send the email of one mailbox after another; several tasks share them out.

    The message holds nothing: which mailbox has its turn is asked when a process is free.
    """
    end = time.monotonic() + TASK_SECONDS
    while time.monotonic() < end and not is_stopping():
        begun = schedule.begin_sending(settings.CLAIM_LEASE)
        if begun is None:
            return
        claim = begun.claim
        with structlog.contextvars.bound_contextvars(
            mailbox_id=claim.mailbox_id, lane=claim.lane, fence=claim.fence
        ):
            try:
                _send(begun)
            except ClaimLost:
                log.info("sending.claim_lost")  # somebody claimed it since, or it was switched off


@app.task(name="outgoing_activities.push_changes")
def push_changes() -> None:
    """Bring the CRM's latest changes to the mailboxes that they concern, one after another.

    The message holds nothing; what is lost here, the mailbox's next visit does.
    """
    end = time.monotonic() + TASK_SECONDS
    while time.monotonic() < end and not is_stopping():
        schedule.route_changes()
        begun_push = schedule.begin_push(settings.CLAIM_LEASE)
        if begun_push is None:
            return
        begun, rest = begun_push
        claim = begun.claim
        with structlog.contextvars.bound_contextvars(
            mailbox_id=claim.mailbox_id, lane=claim.lane, fence=claim.fence
        ):
            try:
                with letting_go(claim):
                    _push(begun, rest)
            except ClaimLost:
                log.info("push.claim_lost")


def _push(begun: Begun, rest: Rest) -> None:
    done = visit_items_within_slots(begun, only_push=True)
    outcomes.record_push(begun.claim, done, begun.health, rest, MACHINE, OF_MAILBOXES)
    log.info(
        "push.finished",
        stored=done.stored,
        written=done.written,
        failed=done.failed,
        requests=done.requests,
        fault=done.fault.code if done.fault else None,
        limit=done.limit.code if done.limit else None,
        seconds=round(done.seconds, 3),
    )


def _send(begun: Begun) -> None:
    done = _sendings(begun)
    outcomes.record_sending(begun.claim, done, begun.health, MACHINE, OF_MAILBOXES)
    log.info(
        "sending.finished",
        sent=done.sent,
        put_off=done.put_off,
        failed=done.failed,
        held=done.held,
        requests=done.requests,
        fault=done.fault.code if done.fault else None,
        limit=done.limit.code if done.limit else None,
        seconds=round(done.seconds, 3),
    )


def _sendings(begun: Begun) -> Sendings:
    outbox = Outbox(begun.claim, begun.mailbox, PATIENCE)
    try:
        with (
            held(begun, outgoing=True) as admit,
            registry.outgoing(begun.mailbox, admit) as gateway,
        ):
            return send_pending(gateway, outbox, BUDGET, time.monotonic, is_stopping)
    except FaultError as error:
        if error.fault.nature is Nature.LIMITED:
            return Sendings(limit=error.fault)
        return Sendings(fault=error.fault)
    except SoftTimeLimitExceeded:
        return Sendings(stopped=True) if is_stopping() else Sendings(fault=_TIMED_OUT)


_TIMED_OUT = Fault(
    code="sending.timed_out",
    nature=Nature.TRANSIENT,
    scope=Scope.MAILBOX,
    provenance=Provenance.US,
    text="sending took longer than OUTGOING_ACTIVITIES_SOFT_LIMIT_SECONDS and was ended; "
    "the email that was under way is looked for before it is sent again",
)
