"""Queue `async_operations`: tests that people asked for, watching over servers, housekeeping."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from syncservice.alerts import alert_mail, alerts, watch
from syncservice.alerts.models import Alert, ItemFailure
from syncservice.crm import changes
from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.mailboxes import (
    administration,
    connection_tests,
    directions,
    schedule,
    server_health,
    tracking,
)
from syncservice.mailboxes.connection_tests import DueConnectionTest
from syncservice.mailboxes.directions import DueTest
from syncservice.mailboxes.models import (
    ConnectionTest,
    DeclinedItem,
    Direction,
    EmailServerProfile,
    ItemConflict,
    JournalEntry,
    Lane,
    Mailbox,
    Organisation,
    TrackRequest,
    VisitStatistics,
)
from syncservice.mailboxes.schedule import ClaimLost
from syncservice.servers import registry
from syncservice.sync import enablement
from syncservice.sync import outcome as outcomes
from syncservice.sync.enablement import Retries, Ways
from workers.app import app
from workers.heartbeat import Heartbeat
from workers.shutdown import is_stopping
from workers.slots import slots
from workers.visits import letting_go, visit_within_slots

log = structlog.get_logger()

RETRIES = Retries(settings.TEST_ATTEMPTS, settings.TEST_RETRY)
#: A test that is not finished by then has lost its worker; longer than a task may run.
TEST_LEASE = settings.ASYNC_OPERATIONS_HARD_LIMIT + timedelta(seconds=10)
#: A task works so long through what is due, then leaves room for others on its queue.
TESTS_BUDGET_SECONDS = 60
TRACKED_AT_ONCE = 100  # mailboxes
#: So long each kind of row is tidied up; all together stay under the soft limit.
TIDYING_SECONDS = 30
#: Rows of one statement of tidying up: a table of millions is not held in one transaction.
TIDIED_AT_ONCE = 10_000
PROVIDED_AT_ONCE = 100  # mailboxes


@app.task(name="async_operations.run_due_tests")
def run_due_tests() -> None:
    """Run the tests of mailboxes and profiles that are due; several tasks share them out."""
    end = time.monotonic() + TESTS_BUDGET_SECONDS
    while time.monotonic() < end and not is_stopping():
        profile_test = connection_tests.claim_due(TEST_LEASE)
        if profile_test is not None:
            _test_connection(profile_test)
            continue
        mailbox_test = directions.claim_due_test(TEST_LEASE)
        if mailbox_test is None:
            return
        _test_mailbox(mailbox_test)


def _test_mailbox(test: DueTest) -> None:
    mailbox = Mailbox.objects.select_related("profile").get(pk=test.mailbox_id)
    profile = mailbox.profile
    fault = enablement.why_not(mailbox, test.kind)
    if fault is None and profile is not None:
        fault = _attempt(test, mailbox, profile)
    enablement.conclude(test, fault, RETRIES, profile.pk if profile else None)
    log.info(
        "direction.tested",
        mailbox_id=test.mailbox_id,
        direction=test.kind,
        attempts=test.attempts,
        fault=fault.code if fault else None,
    )


def _attempt(test: DueTest, mailbox: Mailbox, profile: EmailServerProfile) -> Fault | None:
    admit = _meter(profile)
    ways = Ways(
        incoming=lambda: registry.incoming(mailbox, admit),
        outgoing=lambda: registry.outgoing(mailbox, admit),
        activities=lambda: registry.activities(mailbox, admit),
    )
    organisation = str(Organisation.current().identity)
    try:
        with _within_slots(mailbox, profile, outgoing=test.kind == Direction.Kind.OUTGOING):
            registry.discover_once(mailbox, slots())
            return enablement.attempt(
                test, ways, mailbox.email_address, organisation, datetime.now(UTC)
            )
    except FaultError as error:
        return error.fault
    except SoftTimeLimitExceeded:
        return _STOPPED if is_stopping() else _TIMED_OUT


def _test_connection(test: DueConnectionTest) -> None:
    """Reach the server as one of the profile's mailboxes, and keep what was said (F054)."""
    profile = EmailServerProfile.objects.get(pk=test.profile_id)
    mailbox = profile.mailboxes.filter(is_active=True).exclude(email_address="").first()
    if mailbox is None:
        connection_tests.finish(
            test,
            status=ConnectionTest.Status.WARNING,
            text="no mailbox uses this profile yet, so nothing was asked",
        )
        return
    began = time.monotonic()
    fault, request, response = _look(mailbox, profile)
    if fault is not None and fault.nature is Nature.LIMITED:
        connection_tests.postpone(test, fault.retry_after or settings.SLOT_RETRY)
        return
    connection_tests.finish(
        test,
        status=ConnectionTest.Status.FAILURE if fault else ConnectionTest.Status.SUCCESS,
        code=fault.code if fault else "",
        text=fault.text if fault else f"the server let us read the Inbox of {mailbox}",
        request=request[: connection_tests.LONGEST_TEXT],
        response=response[: connection_tests.LONGEST_TEXT],
        milliseconds=int((time.monotonic() - began) * 1000),
    )
    log.info("connection.tested", profile_id=profile.pk, fault=fault.code if fault else None)


def _look(mailbox: Mailbox, profile: EmailServerProfile) -> tuple[Fault | None, str, str]:
    """Return the fault, and the last request and answer where the protocol has such texts."""
    request = response = ""
    try:
        with _within_slots(mailbox, profile):
            if not profile.is_exchange:
                with registry.incoming(mailbox, _meter(profile)) as maildrop:
                    maildrop.page("", 1)
                return None, "", ""
            if registry.needs_discovery(profile):
                registry.discover_anew(mailbox)
            with registry.look(mailbox, _meter(profile)) as gateway:
                try:
                    gateway.look()
                finally:
                    request, response = gateway.request, gateway.response
    except FaultError as error:
        return error.fault, request, response
    except SoftTimeLimitExceeded:
        return _STOPPED if is_stopping() else _TIMED_OUT, request, response
    return None, request, response


@app.task(name="async_operations.track_requested")
def track_requested() -> None:
    """Bring in the messages that people asked for; several tasks share them out.

    What can't be had now is left to the mailbox's next visit.
    """
    end = time.monotonic() + TESTS_BUDGET_SECONDS
    for mailbox_id in tracking.requested(TRACKED_AT_ONCE):
        if time.monotonic() > end or is_stopping():
            return
        with structlog.contextvars.bound_contextvars(mailbox_id=mailbox_id), suppress(ClaimLost):
            _track(mailbox_id)


def _track(mailbox_id: int) -> None:
    found = schedule.claim_now(mailbox_id, Lane.INCOMING, settings.CLAIM_LEASE)
    if found is None:
        return  # the visit that goes on just now looks for requests between its batches
    claim, rest = found
    begun = schedule.begin(claim, settings.CLAIM_LEASE)
    with letting_go(begun.claim):
        outcome = None
        if begun.wait is None:
            outcome = visit_within_slots(begun, only_requests=True)
        outcomes.postpone(begun.claim, rest.length, rest.reason)
        if outcome is None or outcome.fault is not None:
            tracking.are_tried(mailbox_id)
        log.info(
            "message.tracked",
            stored=outcome.stored if outcome else 0,
            fault=outcome.fault.code if outcome and outcome.fault else None,
            limit=outcome.limit.code if outcome and outcome.limit else None,
        )


_STOPPED = Fault(
    code="limit.stopped",
    nature=Nature.LIMITED,
    scope=Scope.MAILBOX,
    provenance=Provenance.US,
    text="its worker was stopped before the test had ended",
    retry_after=timedelta(0),
)
_TIMED_OUT = Fault(
    code="test.timed_out",
    nature=Nature.TRANSIENT,
    scope=Scope.MAILBOX,
    provenance=Provenance.US,
    text="the test took longer than ASYNC_OPERATIONS_SOFT_LIMIT_SECONDS and was ended",
)


@contextmanager
def _within_slots(
    mailbox: Mailbox, profile: EmailServerProfile, *, outgoing: bool = False
) -> Iterator[None]:
    """Hold the connection slots of a test for the block, however long its requests take."""
    server = schedule.server_of(profile, Lane.OUTGOING if outgoing else Lane.INCOMING)
    accounts = registry.accounts(mailbox, server_health.connections(server), outgoing=outgoing)
    holder = f"test:{uuid4()}"
    with (
        slots().hold(accounts, holder),
        Heartbeat(
            lambda: slots().take(accounts, holder),
            settings.CLAIM_LEASE.total_seconds() / 3,
            settings.STOP_PATIENCE,
        ),
    ):
        yield


def _meter(profile: EmailServerProfile) -> Callable[[], None]:
    return slots().meter(str(profile.pk), profile.maximum_requests_per_second)


@app.task(name="async_operations.watch_profiles")
def watch_profiles() -> None:
    """Tell the owners of servers most of whose mailboxes fail; by mail, if they want it (F048)."""
    watch.watch_profiles()
    watch.warn_of_exchange_online()
    end = time.monotonic() + TESTS_BUDGET_SECONDS
    for alert in alert_mail.unsent():
        if time.monotonic() > end:  # a server that hangs does so for each mail
            return
        alert_mail.send(alert)


@app.task(name="async_operations.apply_retention")
def apply_retention() -> None:
    """Delete what has been kept long enough. It may run twice, on any number of workers.

    What is too much for one run the next goes on with.
    """
    alerts.end_outlived()
    log.info(
        "retention.applied",
        visits=_delete_older(VisitStatistics.objects, "finished_at", settings.STATISTICS_DAYS),
        item_failures=_delete_older(_at_rest(), "last_seen_at", settings.ITEM_FAILURE_DAYS),
        alerts=_delete_older(Alert.objects, "ended_at", settings.ALERT_DAYS),
        declined=_delete_older(_forgettable(), "declined_at", settings.DECLINED_DAYS),
        track_requests=_delete_older(TrackRequest.objects, "ended_at", settings.DECLINED_DAYS),
        journal=_delete_older(JournalEntry.objects, "at", settings.JOURNAL_DAYS),
        conflicts=_delete_older(ItemConflict.objects, "found_at", settings.JOURNAL_DAYS),
        changes=_tidy_up(_forget_changes),
        mailboxes_provided=_tidy_up(lambda: administration.provide_missing(PROVIDED_AT_ONCE)),
    )


def _forget_changes() -> int:
    before = timezone.now() - timedelta(days=settings.CHANGE_DAYS)
    return changes.forget(before, TIDIED_AT_ONCE)


#: POP3 lists all its messages at every visit: what is forgotten would come again.
_OVER_POP3 = Q(mailbox__profile__server_type=EmailServerProfile.ServerType.POP3_SMTP)


def _at_rest() -> Any:
    """Return failures that may be forgotten."""
    State = ItemFailure.State
    return ItemFailure.objects.exclude(
        Q(state=State.RETRYING) | (_OVER_POP3 & Q(state=State.DISMISSED))
    )


def _forgettable() -> Any:
    """Return decisions that may be forgotten."""
    return DeclinedItem.objects.exclude(_OVER_POP3, left_at=None)


def _delete_older(rows: Any, moment: str, days: int) -> int:
    """Delete the rows whose `moment` is so many days ago, the oldest first."""
    old = rows.filter(**{f"{moment}__lt": Now() - timedelta(days=days)}).order_by(moment)

    def delete_some() -> int:
        # Up to a moment, which an index finds: a list of ids makes PostgreSQL read the whole table.
        last = old.values_list(moment, flat=True)[TIDIED_AT_ONCE - 1 : TIDIED_AT_ONCE]
        some = old.filter(**{f"{moment}__lte": edge for edge in last})
        return int(some.order_by().delete()[0])

    return _tidy_up(delete_some)


def _tidy_up(once: Callable[[], int]) -> int:
    """Repeat what returns how many rows it did, until there are none, or its time is over."""
    end, count = time.monotonic() + TIDYING_SECONDS, 0
    while time.monotonic() < end and not is_stopping():
        done = once()
        count += done
        if not done:
            break
    return count
