"""Visits of one lane of a mailbox, as the tests of this folder make them."""

from django.db.models.functions import Now

from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import Lane, Mailbox, Schedule, VisitStatistics
from tests.cluster.processes import wait_until
from tests.interleavings.conftest import LEASE
from tests.interleavings.stage import Stage


def claim(box: Mailbox, lane: Lane) -> tuple[int, str, int]:
    """Claim the lane as soon as it can be had; a rest that was earned is cut short."""
    Schedule.objects.filter(mailbox=box, lane=lane, claimed_at=None).update(due_at=Now())
    (made,) = wait_until(lambda: schedule.claim_due(1, LEASE).messages, what="the lease ends")
    return made


def visit(stage: Stage, box: Mailbox, lane: Lane) -> None:
    """Make a whole visit; the slots of one that died may have to run out first."""
    ended = VisitStatistics.objects.filter(mailbox=box)
    before = ended.count()
    wait_until(
        lambda: stage.points("visit", *claim(box, lane)) and ended.count() > before,
        what="a visit ends",
    )


def numbered(points: list[str]) -> dict:
    return {"argvalues": range(len(points)), "ids": [f"{n}-{p}" for n, p in enumerate(points)]}
