"""Claims and fences: who may write for a lane, and when it is due again (DESIGN invariant 2).

A claim is made in SQL by a beat, begun and renewed by the worker that visits, and ended by the
visit's outcome. The database's clock decides; no process asks its own.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import DateTimeField, DurationField, ExpressionWrapper, F, Func, Q, Value
from django.db.models.functions import Greatest, Now

from syncservice.domain.item_values import ItemKind
from syncservice.domain.polling import Rest
from syncservice.mailboxes.models import (
    ChangeRouting,
    DeclinedItem,
    EmailServerProfile,
    FolderCursor,
    Lane,
    Mailbox,
    Schedule,
    ServerHealth,
)

log = structlog.get_logger()

_BEGIN = files(__package__).joinpath("begin.sql").read_text()
_CLAIM_PUSH = files(__package__).joinpath("claim_push.sql").read_text()
_CLAIM_SENDING = files(__package__).joinpath("claim_sending.sql").read_text()
_COUNT_SENDINGS = files(__package__).joinpath("count_sendings.sql").read_text()
_CLAIM_DUE = files(__package__).joinpath("claim_due.sql").read_text()
_FORGET = files(__package__).joinpath("forget.sql").read_text()
_PLAN = files(__package__).joinpath("plan.sql").read_text()
_ROUTE_CHANGES = files(__package__).joinpath("route_changes.sql").read_text()


_IS_PUSH_DUE = """
SELECT EXISTS (
  SELECT FROM mailboxes_changerouting AS routing
  JOIN crm_recordchange AS change ON change.xid >= routing.position::text::xid8
   AND change.xid < pg_snapshot_xmin(pg_current_snapshot())
) OR EXISTS (
  SELECT FROM mailboxes_schedule
  WHERE lane = 'act' AND push_due_at <= statement_timestamp() AND claimed_at IS NULL
    AND due_at > statement_timestamp() AND failures = 0
)
"""

#: Why a lane of outgoing email that is enabled is not due.
NOTHING_TO_SEND = "nothing to send"


_MOMENT = DateTimeField()


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write for one lane of one mailbox until a newer claim is made."""

    mailbox_id: int
    lane: Lane
    fence: int


class ClaimLost(Exception):  # an event of normal work, not an error
    """Somebody claimed the lane since, or it was disabled: stop without writing."""

    def __init__(self, claim: Claim) -> None:
        super().__init__(claim)
        self.claim = claim


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one look for due lanes found."""

    messages: list[tuple[int, str, int]]  # mailbox, lane, fence: to be published
    parked: list[tuple[int, str]]  # mailbox, lane: died too often, no longer due
    leases_ended: int  # of `messages` and `parked`: their worker died, or a message was lost


def claim_due(
    limit: int, lease: timedelta, *, share: int | None = None, crashes: int = 3
) -> Claimed:
    """Claim at most `limit` due lanes; see claim_due.sql for the order and the other limits."""
    parameters: dict[str, Any] = {
        "limit": limit,
        "lease": lease,
        "share": share,
        "crashes": crashes,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_DUE, parameters)
        rows = cursor.fetchall()
    return Claimed(
        [(mailbox, lane, fence) for mailbox, lane, fence, parked, _ in rows if not parked],
        [(mailbox, lane) for mailbox, lane, _, parked, _ in rows if parked],
        sum(lease_ended for *_, lease_ended in rows),
    )


def give_back(messages: Iterable[tuple[int, str, int]]) -> None:
    """Make claims due again whose messages could not be published; those begun are left alone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE mailboxes_schedule AS schedule "
            "SET due_at = statement_timestamp(), claimed_at = NULL "
            "FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) AS given (mailbox, lane, fence) "
            "WHERE schedule.mailbox_id = given.mailbox AND schedule.lane = given.lane "
            "AND schedule.fence = given.fence AND claimed_at IS NOT NULL AND started_at IS NULL",
            [list(column) for column in zip(*messages, strict=True)] or [[], [], []],
        )


def lock(mailboxes: Iterable[int]) -> None:
    """Lock the lanes of mailboxes until the transaction ends, always in the same order.

    Whoever changes a mailbox, or what hangs on it, begins so, as the writes of a visit do: then
    they come one after the other, and no two wait for each other in a circle.
    """
    lanes = Schedule.objects.filter(mailbox__in=list(mailboxes)).order_by("mailbox", "lane")
    list(lanes.select_for_update(no_key=True).values_list("pk"))


@transaction.atomic
def plan(mailboxes: Iterable[int]) -> None:
    """Bring the schedule of these mailboxes in line with their records; call it after a change."""
    ids = list(mailboxes)
    lock(ids)
    served = Schedule.objects.filter(mailbox__in=ids, profile__isnull=False)
    moved = served.exclude(profile=F("mailbox__profile")).values_list("mailbox", flat=True)
    _forget(list(moved))
    with connection.cursor() as cursor:
        cursor.execute(_PLAN, {"mailboxes": ids, "idle": NOTHING_TO_SEND})


def fence_off(mailboxes: Iterable[int]) -> None:
    """End every claim on mailboxes: a visit in flight can't write any more."""
    Schedule.objects.filter(mailbox__in=list(mailboxes)).update(
        fence=F("fence") + 1, claimed_at=None, started_at=None, crashes=0
    )


def list_again(mailboxes: Iterable[int]) -> None:
    """List the email of mailboxes from its beginning: what was passed over may be wanted now.

    What is stored is not fetched again. Appointments, contacts and tasks go on from where they
    are: a listing from the beginning does not tell what has left.
    """
    ids = list(mailboxes)
    fence_off(ids)
    FolderCursor.objects.filter(mailbox__in=ids).exclude(folder__in=list(ItemKind)).delete()
    DeclinedItem.objects.filter(mailbox__in=ids).delete()


def begin_anew(mailboxes: Iterable[int]) -> None:
    """Read mailboxes from their beginning: they are others on the server than they were."""
    ids = list(mailboxes)
    fence_off(ids)
    _forget(ids)


def _forget(mailboxes: list[int]) -> None:
    if mailboxes:
        with connection.cursor() as cursor:
            cursor.execute(_FORGET, {"mailboxes": mailboxes})


@dataclass(frozen=True, slots=True)
class Begun:
    """What a visit knows at its start."""

    claim: Claim
    mailbox: Mailbox
    profile: EmailServerProfile
    health: ServerHealth  # of the server that is to be asked
    crashes: int  # visits before this one that died without progress, in a row
    connections: int  # how many the server bears now
    wait: timedelta | None  # the server asked to be left alone so much longer; None: it did not
    wait_reason: str


def begin(message: Claim, lease: timedelta) -> Begun:
    """Start the visit that a message calls for; its lease begins anew.

    A message is a call, not the right itself: when its claim ran out in a queue that is longer than
    a lease, and a newer one was made that nobody has begun, that one is begun and returned. Else
    such a queue would hold nothing but claims that are over. A claim is begun once, so a message
    that is delivered again finds nothing to do. Raise ClaimLost then.
    """
    parameters: dict[str, Any] = {
        "mailbox": message.mailbox_id,
        "lane": message.lane,
        "fence": message.fence,
        "lease": lease,
    }
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN, parameters)
        row = cursor.fetchone()
    if row is None:
        raise ClaimLost(message)
    fence, crashes, connections, wait = row
    return _begun(
        Claim(message.mailbox_id, message.lane, fence), connections, wait=wait, crashes=crashes
    )


def _begun(
    claim: Claim, connections: int, *, wait: timedelta = timedelta(0), crashes: int = 0
) -> Begun:
    # Read behind the claim: who changes the mailbox from here on ends the claim with it.
    mailbox = Mailbox.objects.select_related("profile").get(pk=claim.mailbox_id)
    assert mailbox.profile is not None, "a mailbox without a profile is never scheduled (F086)"
    health = server_of(mailbox.profile, claim.lane)
    return Begun(
        claim=claim,
        mailbox=mailbox,
        profile=mailbox.profile,
        health=health,
        crashes=crashes,
        connections=connections,
        wait=wait if wait > timedelta(0) else None,
        wait_reason=health.fault_text,
    )


def sendings_due(most: int) -> int:
    """Count the mailboxes that could send email now, no further than `most`."""
    parameters: dict[str, Any] = {"most": most}
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_SENDINGS, parameters)
        return min(most, int(cursor.fetchone()[0]))


def route_changes() -> int:
    """Let the mailboxes be pushed to whom the CRM's latest changes concern; return how many."""
    ChangeRouting.objects.get_or_create(pk=ChangeRouting.ONLY)
    with connection.cursor() as cursor:
        cursor.execute(_ROUTE_CHANGES)
        return int(cursor.fetchone()[0])


def is_push_due() -> bool:
    """Whether the CRM has changes that nobody has routed, or that are to be pushed."""
    with connection.cursor() as cursor:
        cursor.execute(_IS_PUSH_DUE)
        return bool(cursor.fetchone()[0])


def begin_push(lease: timedelta) -> tuple[Begun, Rest] | None:
    """Claim, and begin with, the mailbox that waits longest for the CRM's changes; None: none does.

    Its lane rested; what is left of that is returned, to be given back by `release`.
    """
    parameters: dict[str, Any] = {"lease": lease}
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_PUSH, parameters)
        row = cursor.fetchone()
    if row is None:
        return None
    mailbox_id, fence, connections, left, reason = row
    begun = _begun(Claim(mailbox_id, Lane.ACT, fence), connections)
    return begun, Rest(left, reason)


def server_of(profile: EmailServerProfile, lane: str) -> ServerHealth:
    """Return the health of the server that a lane of one of the profile's mailboxes talks to."""
    is_own = lane == Lane.OUTGOING and not profile.is_exchange
    server = ServerHealth.Server.OUTGOING if is_own else ServerHealth.Server.INCOMING
    return profile.healths.get(server=server)


def begin_sending(lease: timedelta) -> Begun | None:
    """Claim, and begin with, the mailbox whose outgoing email has its turn; None: none has."""
    parameters: dict[str, Any] = {"lease": lease}
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM_SENDING, parameters)
        row = cursor.fetchone()
    if row is None:
        return None
    mailbox_id, fence, connections, lease_ended = row
    if lease_ended:
        log.warning("lease.expired", count=1)
    return _begun(Claim(mailbox_id, Lane.OUTGOING, fence), connections)


@transaction.atomic
def claim_now(mailbox_id: int, lane: Lane, lease: timedelta) -> tuple[Claim, Rest] | None:
    """Claim a lane before its time, or the claim of it that waits for a worker still.

    Return it with the rest that it had left, to be given back by `release`. None: it is visited
    just now, or not at all.
    """
    row = (
        Schedule.objects.select_for_update(no_key=True)
        .filter(mailbox=mailbox_id, lane=lane, started_at=None, due_at__isnull=False)
        .annotate(left=ExpressionWrapper(F("due_at") - Now(), DurationField()))
        .first()
    )
    if row is None:
        return None
    if row.claimed_at is not None:
        return Claim(mailbox_id, lane, row.fence), Rest(timedelta(0), row.reason)
    Schedule.objects.filter(pk=row.pk).update(
        fence=row.fence + 1, claimed_at=Now(), due_at=Now() + lease
    )
    left = max(row.left, timedelta(0))
    return Claim(mailbox_id, lane, row.fence + 1), Rest(left, row.reason)


def renew(claim: Claim, lease: timedelta) -> bool:
    """Let a claim that was begun live on for another lease; False when it is lost."""
    return bool(_held(claim).exclude(started_at=None).update(due_at=Now() + lease))


@contextmanager
def fenced(claim: Claim) -> Iterator[Schedule]:
    """Open a transaction in which only the holder of `claim` writes; raise ClaimLost for others.

    The row stays locked until commit, so no newer claim can slip in between check and write.
    """
    with transaction.atomic():
        schedule = _held(claim).select_for_update(no_key=True).first()
        if schedule is None:
            raise ClaimLost(claim)
        yield schedule


def _held(claim: Claim) -> Any:
    return Schedule.objects.filter(
        mailbox=claim.mailbox_id, lane=claim.lane, fence=claim.fence
    ).exclude(claimed_at=None)


def note_progress(schedule: Schedule) -> None:
    """Forget the crashes before: this visit came further. To be called inside `fenced`."""
    if schedule.crashes:
        Schedule.objects.filter(pk=schedule.pk).update(crashes=0)


def release(
    schedule: Schedule, rest: Rest, *, start: datetime | None = None, **health: Any
) -> None:
    """End the claim: the lane is due again at `start`, or `rest` from now on when there is none.

    To be called inside `fenced`. `health` are columns that say how the visit went.
    """
    Schedule.objects.filter(pk=schedule.pk).update(
        due_at=Greatest(Now(), start) if start else Now() + rest.length,
        claimed_at=None,
        started_at=None,
        rest=rest.length,
        reason=rest.reason,
        **health,
    )


def release_sending(schedule: Schedule, **health: Any) -> None:
    """End the claim of outgoing email: it is due again when an email that waits is.

    What is left goes to the end of the line, as if it began to wait now. To be called `fenced`.
    """
    mailbox = Value(schedule.mailbox_id)
    due_at = Func(mailbox, True, function="mailboxes_outgoing_due_at", output_field=_MOMENT)
    is_idle = Q(due_at=None)
    rows = Schedule.objects.filter(pk=schedule.pk)
    rows.update(
        due_at=due_at,
        claimed_at=None,
        started_at=None,
        crashes=0,
        rest=timedelta(0),
        reason="email to send",
        **health,
    )
    rows.filter(is_idle).update(reason=NOTHING_TO_SEND)


@transaction.atomic
def wake(mailboxes: Iterable[int], lane: Lane, reason: str) -> int:
    """Make a lane of mailboxes due now, parked ones too; return of how many.

    One that is not enabled, or is just being visited, is left as it is.
    """
    ids = list(mailboxes)
    lock(ids)
    idle = Schedule.objects.filter(mailbox__in=ids, lane=lane, claimed_at=None)
    waiting = idle.filter(Q(due_at__isnull=False) | Q(parked_at__isnull=False))
    return waiting.update(due_at=Now(), parked_at=None, crashes=0, rest=timedelta(0), reason=reason)


def hold_lanes(mailbox_id: int, wait: timedelta, reason: str) -> None:
    """Let the other lanes of a mailbox wait as well: the server asked its account to."""
    resting = Schedule.objects.filter(mailbox=mailbox_id, claimed_at=None, due_at__lt=Now() + wait)
    resting.update(due_at=Now() + wait, rest=wait, reason=reason)
