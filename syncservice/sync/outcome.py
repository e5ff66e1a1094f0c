"""The end of a visit: statistics, health and the next due time, in one transaction."""

from datetime import datetime, timedelta

from django.db.models.functions import Now

from syncservice.domain.faults import Fault, Nature, concerns_server, rest_after
from syncservice.domain.polling import Activity, Pace, Rest, next_rest, next_start, phase_of
from syncservice.mailboxes import server_health
from syncservice.mailboxes.models import EmailServerProfile, Schedule, VisitStatistics
from syncservice.mailboxes.schedule import Claim, fenced, hold_lanes, release
from syncservice.sync.visit import Outcome


def record(
    claim: Claim, outcome: Outcome, profile: EmailServerProfile, pace: Pace, machine: str
) -> Rest:
    """Write what came of a visit, and end its claim; raise ClaimLost when it is another's."""
    with fenced(claim) as schedule:
        assert schedule.started_at is not None, "a visit begins with `schedule.begin`"
        if outcome.fault is not None:
            rest = _end_with_fault(schedule, outcome.fault, profile, pace, schedule.started_at)
        else:
            rest = _end_well(schedule, outcome, profile, pace, schedule.started_at)
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
            rest=rest.length,
            reason=rest.reason,
            machine=machine,
        )
        return rest


def postpone(claim: Claim, wait: timedelta, reason: str) -> None:
    """End a claim without a visit: no conversation with the server may begin now."""
    with fenced(claim) as schedule:
        release(schedule, Rest(wait, reason))


def _end_well(
    schedule: Schedule,
    outcome: Outcome,
    profile: EmailServerProfile,
    pace: Pace,
    begun_at: datetime,
) -> Rest:
    if profile.health.failures and outcome.requests:
        server_health.note_success(profile.pk)
    items = outcome.stored + outcome.linked + outcome.failed
    activity = Activity(schedule.recent_items, schedule.empty_visits)
    if items or not outcome.more_left:  # one that broke off says nothing about quiet
        activity = activity.after(items)
    start = None
    if outcome.limit is not None:
        rest = Rest(outcome.limit.retry_after or timedelta(0), outcome.limit.text)
    elif outcome.stopped:
        rest = Rest(timedelta(0), "its worker was stopped; the visit goes on at another")
    else:
        rest = next_rest(items, outcome.more_left, activity, pace)
        start = next_start(begun_at, rest, phase_of(schedule.mailbox_id, schedule.lane), pace)
    release(
        schedule,
        rest,
        start=start,
        visited_at=Now(),
        succeeded_at=Now(),
        crashes=0,
        recent_items=activity.recent_items,
        empty_visits=activity.empty_visits,
        failures=0,
        fault_code="",
        fault_text="",
    )
    return rest


def _end_with_fault(
    schedule: Schedule,
    fault: Fault,
    profile: EmailServerProfile,
    pace: Pace,
    begun_at: datetime,
) -> Rest:
    phase = phase_of(schedule.mailbox_id, schedule.lane)
    failures = schedule.failures
    if fault.nature is Nature.THROTTLED:
        server_health.note_busy(profile.pk, begun_at)
    if concerns_server(fault, account_is_shared=profile.account_is_shared):
        rest = server_health.note_fault(profile.pk, fault, begun_at, phase, pace.minimum)
    else:
        failures += 1
        rest = rest_after(fault, failures, phase, pace.minimum)
        if fault.nature is Nature.THROTTLED:
            hold_lanes(schedule.mailbox_id, rest.length, rest.reason)
    release(
        schedule,
        rest,
        visited_at=Now(),
        crashes=0,
        failures=failures,
        fault_code=fault.code,
        fault_text=fault.text,
    )
    return rest
