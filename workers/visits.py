"""A visit within its connection slots, its claim kept alive: for whatever queue makes it."""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.mailboxes.schedule import Begun, Claim, ClaimLost
from syncservice.servers import registry
from syncservice.sync import outcome as outcomes
from syncservice.sync.inbox import Inbox
from syncservice.sync.items.books import books_of
from syncservice.sync.items.visit import visit_items
from syncservice.sync.visit import Budget, Outcome, visit
from workers.leases import held
from workers.shutdown import is_stopping
from workers.task import DATABASE_FAILED, first_line

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
#: Takes what can't be stored, where the profile says so (F045).
UNDELIVERABLE_FOLDER = "Undeliverable"


def visit_within_slots(begun: Begun, *, only_requests: bool = False) -> Outcome:
    """Make a visit that has begun; a limit that forbids it is in the outcome.

    Raise ClaimLost. With `only_requests`, see `sync.visit`.
    """
    inbox = Inbox(begun.claim, settings.ITEM_ATTEMPTS, begun.mailbox.email_since)
    # After a visit that died, one message at a time: what killed it then stands alone.
    budget = dataclasses.replace(BUDGET, batch_messages=1) if begun.crashes else BUDGET
    moves_failed = begun.profile.move_failed_to_undeliverable
    with (
        _ending() as ended,
        held(begun) as admit,
        registry.incoming(begun.mailbox, admit) as gateway,
    ):
        return visit(
            gateway,
            inbox,
            budget,
            time.monotonic,
            is_stopping,
            organised=registry.organised(gateway),
            undeliverable=UNDELIVERABLE_FOLDER if moves_failed else "",
            only_requests=only_requests,
        )
    return ended


def visit_items_within_slots(begun: Begun, *, only_push: bool = False) -> Outcome:
    """Bring a mailbox's appointments, contacts and tasks in step; else as `visit_within_slots`."""
    with (
        _ending() as ended,
        held(begun) as admit,
        registry.activities(begun.mailbox, admit) as gateway,
    ):
        return visit_items(
            gateway,
            books_of(begun.claim, begun.mailbox),
            BUDGET,
            time.monotonic,
            is_stopping,
            only_push=only_push,
        )
    return ended


@contextmanager
def _ending() -> Iterator[Outcome]:
    """Give the outcome of a visit that ends inside the block before it can say one itself."""
    ended = Outcome()
    try:
        yield ended
    except FaultError as error:
        ended.end_by(error.fault)
    except SoftTimeLimitExceeded:
        if is_stopping():
            ended.stopped = ended.more_left = True
        else:
            ended.fault = _TIMED_OUT


@contextmanager
def letting_go(claim: Claim) -> Iterator[None]:
    """End the claim of a visit that loses its transaction in the block, if the database answers.

    What killed the transaction (a restart, a lock held for too long, a deadlock) is no crash of
    the visit's own, and must not park the mailbox. If it can't be said, the lease ends it.
    """
    try:
        yield
    except DATABASE_FAILED as error:
        log.error("visit.database_unavailable", error=first_line(error))
        connection.close()
        with suppress(ClaimLost, DatabaseError, InterfaceError):
            outcomes.postpone(claim, settings.POLL_SHORTEST, "the database failed the visit")


_TIMED_OUT = Fault(
    code="visit.timed_out",
    nature=Nature.TRANSIENT,
    scope=Scope.MAILBOX,
    provenance=Provenance.US,
    text="the visit took longer than MAILBOXES_SOFT_LIMIT_SECONDS and was ended; "
    "what it had stored stays",
)
