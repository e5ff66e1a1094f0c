"""The schedule: who is due, who may write, and what came of a visit (DESIGN invariant 2).

PostgreSQL's clock decides what is due. A claim raises a row's fence; every write of a visit goes
through `fenced`, so a zombie, a duplicate delivery or a redelivered message finds another fence
and stops without writing. There is no leader among beats and no lock outside the row.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from syncservice.domain.polling import Rest
from syncservice.mailboxes.models import Lane, Mailbox, Schedule

_CLAIM_DUE = files(__package__).joinpath("claim_due.sql").read_text()
_PLAN = files(__package__).joinpath("plan.sql").read_text()


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


def claim_due(limit: int, lease: timedelta) -> list[tuple[int, str, int]]:
    """Claim at most `limit` due lanes, the longest overdue first; return what to publish."""
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {"limit": limit, "lease": lease}
        cursor.execute(_CLAIM_DUE, parameters)
        claimed: list[tuple[int, str, int]] = cursor.fetchall()
        return claimed


def plan(mailboxes: Iterable[int]) -> None:
    """Bring the schedule of these mailboxes in line with their records; call it after a change."""
    with connection.cursor() as cursor:
        cursor.execute(_PLAN, {"mailboxes": list(mailboxes)})


def load(claim: Claim) -> Mailbox:
    """Return the claim's mailbox with its profile; raise ClaimLost when another claim was made."""
    schedule = (
        Schedule.objects.select_related("mailbox__profile")
        .filter(mailbox=claim.mailbox_id, lane=claim.lane, fence=claim.fence)
        .exclude(claimed_at=None)
        .first()
    )
    if schedule is None:
        raise ClaimLost(claim)
    return schedule.mailbox


@contextmanager
def fenced(claim: Claim) -> Iterator[Schedule]:
    """Open a transaction in which only the holder of `claim` writes; raise ClaimLost for others.

    The row stays locked until commit, so no newer claim can slip in between check and write.
    """
    ours = Schedule.objects.filter(
        mailbox=claim.mailbox_id, lane=claim.lane, fence=claim.fence
    ).exclude(claimed_at=None)
    with transaction.atomic():
        schedule = ours.select_for_update(no_key=True).first()
        if schedule is None:
            raise ClaimLost(claim)
        yield schedule


def release(schedule: Schedule, rest: Rest, **health: Any) -> None:
    """End the claim: the lane is due again after `rest`. To be called inside `fenced`.

    `health` are columns of the schedule that say how the visit went.
    """
    Schedule.objects.filter(pk=schedule.pk).update(
        due_at=Now() + rest.length,
        claimed_at=None,
        rest=rest.length,
        reason=rest.reason,
        **health,
    )


def wake(mailbox_id: int, lane: Lane, reason: str) -> bool:
    """Make a lane due now; False when it is not enabled or just being visited."""
    due = Schedule.objects.filter(
        mailbox=mailbox_id, lane=lane, due_at__isnull=False, claimed_at=None
    )
    return bool(due.update(due_at=Now(), rest=timedelta(0), reason=reason))


def overdue_claims() -> int:
    """Count claims whose lease ended: their worker died, or the message was lost."""
    return Schedule.objects.filter(claimed_at__isnull=False, due_at__lte=Now()).count()
