"""The end of a visit: statistics, health, alerts and the next due time, in one transaction."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import Severity
from syncservice.domain.faults import (
    Effect,
    Fault,
    Nature,
    Patience,
    Refusal,
    Scope,
    concerns_server,
    effect_of,
    rest_after,
)
from syncservice.domain.polling import Activity, Pace, Rest, next_rest, next_start, phase_of
from syncservice.mailboxes import directions, server_health
from syncservice.mailboxes.models import (
    Direction,
    Lane,
    Schedule,
    ServerHealth,
    VisitStatistics,
)
from syncservice.mailboxes.schedule import (
    Claim,
    fenced,
    hold_lanes,
    lock,
    release,
    release_sending,
)
from syncservice.sync.sending import Sendings
from syncservice.sync.visit import Outcome


def record(
    claim: Claim,
    outcome: Outcome,
    server: ServerHealth,
    pace: Pace,
    machine: str,
    patience: Patience,
) -> Rest:
    """Write what came of a visit, and end its claim; raise ClaimLost when it is another's.

    `server` is that of the visit, as it was when it began.
    """
    with _all_lanes(claim), fenced(claim) as schedule:
        assert schedule.started_at is not None, "a visit begins with `schedule.begin`"
        if outcome.fault is not None:
            rest = end_with_fault(
                schedule, outcome.fault, server, pace.minimum, schedule.started_at, patience
            )
        else:
            rest = _end_well(schedule, outcome, server, pace, schedule.started_at)
        _keep_statistics(
            claim,
            rest,
            machine,
            outcome.fault,
            seconds=outcome.seconds,
            requests=outcome.requests,
            pages=outcome.pages,
            stored=outcome.stored,
            linked=outcome.linked,
            written=outcome.written,
            failed=outcome.failed,
            declined=outcome.declined,
            more_left=outcome.more_left,
        )
        return rest


def record_sending(
    claim: Claim,
    done: Sendings,
    server: ServerHealth,
    machine: str,
    patience: Patience,
) -> None:
    """Write what came of sending, and end the claim; raise ClaimLost when it is another's."""
    with _all_lanes(claim), fenced(claim) as schedule:
        assert schedule.started_at is not None, "a claim of sending begins at once"
        if done.fault is not None:
            rest = end_with_fault(
                schedule, done.fault, server, timedelta(0), schedule.started_at, patience
            )
        elif done.limit is not None:
            rest = Rest(done.limit.retry_after or timedelta(0), done.limit.text)
            release(schedule, rest)
        else:
            health = note_success(schedule, server, schedule.started_at) if done.requests else {}
            release_sending(schedule, visited_at=Now(), **health)
            rest = Rest(timedelta(0), "")
        if done.handled or done.fault is not None:
            _keep_statistics(
                claim,
                rest,
                machine,
                done.fault,
                seconds=done.seconds,
                requests=done.requests,
                sent=done.sent,
                failed=done.failed + done.held,
                more_left=done.put_off > 0,
            )


def record_push(
    claim: Claim,
    done: Outcome,
    server: ServerHealth,
    rest: Rest,
    machine: str,
    patience: Patience,
) -> None:
    """Write what came of a push, and give the lane the rest back that it had left.

    A push that broke off leaves the lane due as soon as it may be: that visit does all.
    """
    with _all_lanes(claim), fenced(claim) as schedule:
        assert schedule.started_at is not None, "a claim of a push begins at once"
        start = schedule.started_at + rest.length  # as if there had been no push
        if done.fault is not None:
            rest = end_with_fault(
                schedule, done.fault, server, timedelta(0), schedule.started_at, patience
            )
        elif done.limit is not None:
            wait = done.limit.retry_after or timedelta(0)
            release(schedule, rest, start=start, push_due_at=Now() + wait)
        elif done.more_left:
            rest = Rest(timedelta(0), "some of the CRM's changes are left")
            release(schedule, rest)
        else:
            health = note_success(schedule, server, schedule.started_at) if done.requests else {}
            release(schedule, rest, start=start, **health)
        if done.written or done.stored or done.failed or done.fault is not None:
            _keep_statistics(
                claim,
                rest,
                machine,
                done.fault,
                seconds=done.seconds,
                requests=done.requests,
                stored=done.stored,
                written=done.written,
                failed=done.failed,
                more_left=done.more_left,
            )


def _keep_statistics(
    claim: Claim, rest: Rest, machine: str, fault: Fault | None, **numbers: Any
) -> None:
    """Keep what a visit did; of what it doesn't know, it did none."""
    none = dict.fromkeys(("pages", "stored", "linked"), 0)
    VisitStatistics.objects.create(
        mailbox_id=claim.mailbox_id,
        lane=claim.lane,
        fence=claim.fence,
        fault_code=fault.code if fault else "",
        rest=rest.length,
        reason=rest.reason,
        machine=machine,
        **{**none, **numbers},
    )


@contextmanager
def _all_lanes(claim: Claim) -> Iterator[None]:
    """Lock all lanes of the mailbox, in the one order: a fault may hold or plan the others."""
    with transaction.atomic():
        lock([claim.mailbox_id])
        yield


def postpone(claim: Claim, wait: timedelta, reason: str) -> None:
    """End a claim without a visit: no conversation with the server may begin now."""
    with fenced(claim) as schedule:
        release(schedule, Rest(wait, reason))


def _end_well(
    schedule: Schedule,
    outcome: Outcome,
    server: ServerHealth,
    pace: Pace,
    begun_at: datetime,
) -> Rest:
    health = note_success(schedule, server, begun_at) if outcome.requests else {}
    items = outcome.stored + outcome.linked + outcome.failed + outcome.written
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
        crashes=0,
        recent_items=activity.recent_items,
        empty_visits=activity.empty_visits,
        **health,
    )
    return rest


def note_success(schedule: Schedule, server: ServerHealth, begun_at: datetime) -> dict[str, Any]:
    """The server answered well: what was told of lane and server is over. To be called `fenced`.

    Return the columns that say so, for `release`.
    """
    if schedule.fault_code:
        _recover(schedule)
    if server_health.is_troubled(server):
        server_health.note_success(server, begun_at)
        alerts.end_for_profile(server.profile_id, direction=server.direction)
    return {"succeeded_at": Now(), "failures": 0, "fault_code": "", "fault_text": ""}


def _recover(schedule: Schedule) -> None:
    """The visit before met a fault, and this one did not: what it switched off is on again."""
    kind = Direction.Kind(schedule.lane)
    if directions.recover(schedule.mailbox_id, kind):
        alerts.raise_for_mailbox(
            schedule.mailbox_id, Severity.INFORMATION, alerts.RECOVERED, direction=kind
        )
    alerts.end_for_mailbox(schedule.mailbox_id, direction=kind)


def end_with_fault(
    schedule: Schedule,
    fault: Fault,
    server: ServerHealth,
    minimum: timedelta,
    begun_at: datetime,
    patience: Patience,
) -> Rest:
    """End a claim that met a fault, with all that follows from it; return its rest.

    To be called inside `fenced`. `minimum` is the shortest rest that the profile allows.
    """
    profile = server.profile
    sends = schedule.lane == Lane.OUTGOING
    phase = phase_of(schedule.mailbox_id, schedule.lane)
    is_busy = fault.nature is Nature.THROTTLED
    if is_busy:
        server_health.note_busy(server, begun_at)
    refused = _refusal(schedule, fault, server) if fault.of_login else None
    failures, effect = schedule.failures, Effect.NOTHING
    if concerns_server(
        fault,
        account_is_shared=profile.account_is_shared_for(outgoing=sends),
        login_is_shared=profile.login_is_shared_for(outgoing=sends),
        refused=refused,
    ):
        rest = _blame_server(server, fault, begun_at, phase, minimum, patience, refused)
        failures += fault.of_login  # its own count too: another one let in would prove it
    else:
        effect = effect_of(fault, failures + 1, patience, refused)
        failures += not is_busy
        rest = rest_after(fault, max(failures, 1), phase, minimum, patience)
        if is_busy and profile.is_exchange:
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
    _tell(schedule, fault, effect)
    return rest


def _refusal(schedule: Schedule, fault: Fault, server: ServerHealth) -> Refusal:
    before = schedule.visited_at if schedule.fault_code == fault.code else None
    failures = schedule.failures + 1 if before else 1
    return server_health.note_refusal(server, schedule.mailbox_id, failures, before)


def _blame_server(
    server: ServerHealth,
    fault: Fault,
    begun_at: datetime,
    phase: float,
    minimum: timedelta,
    patience: Patience,
    refused: Refusal | None,
) -> Rest:
    """Leave the whole server alone for a while, and tell the profile's owner (4A)."""
    rest, attempts = server_health.note_fault(server, fault, begun_at, phase, minimum, patience)
    told = dataclasses.replace(fault, scope=Scope.PROFILE)
    lasting = effect_of(told, attempts, patience, refused).switches_off
    if refused is not None:
        is_error = refused is Refusal.WIDESPREAD or attempts > 1
        severity = Severity.ERROR if is_error else Severity.WARNING
        code = alerts.LOGIN_REFUSED
    else:
        severity = Severity.ERROR if lasting else Severity.WARNING
        code = fault.code
    alerts.raise_for_profile(server.profile, severity, code, fault.text, direction=server.direction)
    return rest


def _tell(schedule: Schedule, fault: Fault, effect: Effect) -> None:
    """Switch the direction off when the fault says so, and let its owner know."""
    kind = Direction.Kind(schedule.lane)
    if effect.switches_off:
        if directions.disable_by_fault(
            schedule.mailbox_id, kind, fault, is_probed=effect is Effect.PROBES
        ):
            alerts.tell_switched_off(schedule.mailbox_id, kind, fault)
    elif effect is Effect.WARNS:
        alerts.raise_for_mailbox(
            schedule.mailbox_id, Severity.WARNING, fault.code, fault.text, direction=kind
        )
