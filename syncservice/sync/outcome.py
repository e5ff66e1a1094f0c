"""The end of a visit: statistics, health and the next due time, in one transaction."""

from datetime import timedelta

from django.db.models.functions import Now

from syncservice.domain.faults import Fault, rest_after
from syncservice.domain.polling import Pace, Rest, next_rest
from syncservice.mailboxes.models import Schedule, VisitStatistics
from syncservice.mailboxes.schedule import Claim, fenced, release
from syncservice.sync.visit import Outcome


def record(claim: Claim, outcome: Outcome, pace: Pace, machine: str) -> Rest:
    """Write what came of a visit, and end its claim; raise ClaimLost when it is another's."""
    with fenced(claim) as schedule:
        VisitStatistics.objects.create(
            mailbox_id=claim.mailbox_id,
            lane=claim.lane,
            fence=claim.fence,
            seconds=outcome.seconds,
            requests=outcome.requests,
            pages=outcome.pages,
            stored=outcome.stored,
            linked=outcome.linked,
            failed=outcome.failed,
            more_left=outcome.more_left,
            fault_code=outcome.fault.code if outcome.fault else "",
            machine=machine,
        )
        return (
            _end_with_fault(schedule, outcome.fault)
            if outcome.fault
            else _end_well(schedule, outcome, pace)
        )


def postpone(claim: Claim, wait: timedelta, reason: str) -> None:
    """End a claim without a visit: there was no free connection to the server."""
    with fenced(claim) as schedule:
        release(schedule, Rest(wait, reason))


def _end_well(schedule: Schedule, outcome: Outcome, pace: Pace) -> Rest:
    items = outcome.stored + outcome.linked + outcome.failed
    empty_visits = 0 if items else schedule.empty_visits + 1
    rest = next_rest(items, outcome.more_left, empty_visits, pace)
    release(
        schedule,
        rest,
        visited_at=Now(),
        succeeded_at=Now(),
        empty_visits=empty_visits,
        failures=0,
        fault_code="",
        fault_text="",
    )
    return rest


def _end_with_fault(schedule: Schedule, fault: Fault) -> Rest:
    failures = schedule.failures + 1
    rest = rest_after(fault, failures)
    release(
        schedule,
        rest,
        visited_at=Now(),
        failures=failures,
        fault_code=fault.code,
        fault_text=fault.text,
    )
    return rest
