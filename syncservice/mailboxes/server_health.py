"""How a server bears us: pauses it needs and connections it stands, shared through one row.

Outcomes write it; the claim of due lanes and the start of a visit read it. A visit that began
before the last event was counted tells nothing new, for it met the same trouble: so ten visits
that one outage ends are one failure, and ten busy answers at once halve the connections once.
"""

from datetime import datetime, timedelta

from django.db import connection
from django.db.models import F, Func, IntegerField
from django.db.models.functions import Greatest, Now

from syncservice.domain.faults import Fault, Nature, Patience, Refusal, refusal, rest_after
from syncservice.domain.polling import Rest
from syncservice.mailboxes.models import EmailServerProfile, Schedule, ServerHealth

_HALVE = """
UPDATE mailboxes_serverhealth AS health
SET throttled_to = greatest(1, mailboxes_allowed_connections(
      profile.maximum_concurrent_connections, throttled_to, throttled_at, 0) / 2),
    throttled_at = statement_timestamp()
FROM mailboxes_emailserverprofile AS profile
WHERE profile.id = health.profile_id AND profile.id = %(profile)s
  AND (throttled_at IS NULL OR throttled_at < %(begun_at)s)
"""


def allowed_connections(profile: str = "") -> Func:
    """Give the expression of how many connections a server bears now.

    `profile` is the path from the query's model to the profile, with its `__`.
    """
    return Func(
        f"{profile}maximum_concurrent_connections",
        f"{profile}health__throttled_to",
        f"{profile}health__throttled_at",
        f"{profile}health__failures",
        function="mailboxes_allowed_connections",
        output_field=IntegerField(),
    )


def connections(profile_id: int) -> int:
    """Return how many connections the profile's server bears now."""
    rows = EmailServerProfile.objects.filter(pk=profile_id)
    allowed: int = rows.values_list(allowed_connections(), flat=True).get()
    return allowed


def note_fault(
    profile_id: int,
    fault: Fault,
    begun_at: datetime,
    phase: float,
    minimum: timedelta,
    patience: Patience,
) -> tuple[Rest, int]:
    """Count a fault that concerns the whole server, and choose how long all leave it alone.

    Return that rest and the attempts that failed in a row, busy answers not counted. To be called
    in a transaction: the row is locked until it ends.
    """
    health = ServerHealth.objects.select_for_update(no_key=True).get(profile=profile_id)
    is_new = health.failed_at is None or health.failed_at < begun_at
    is_busy = fault.nature is Nature.THROTTLED
    failures = health.failures + is_new
    attempts = health.attempts + (is_new and not is_busy)
    rest = rest_after(fault, max(failures if is_busy else attempts, 1), phase, minimum, patience)
    if is_new or fault.retry_after is not None:
        ServerHealth.objects.filter(pk=health.pk).update(
            not_before=Greatest(F("not_before"), Now() + rest.length),
            failures=failures,
            attempts=attempts,
            failed_at=Now(),
            fault_code=fault.code,
            fault_text=fault.text,
        )
    return rest, attempts


def note_refusal(
    profile_id: int, mailbox_id: int, failures: int, since: datetime | None
) -> Refusal:
    """Judge a refused login, the `failures`-th in a row of its mailbox, and remember it.

    `since`: when the one before ended; None: there was none. To be called in a transaction.
    """
    health = ServerHealth.objects.select_for_update(no_key=True).get(profile=profile_id)
    others = Schedule.objects.filter(profile=profile_id, due_at__isnull=False).exclude(
        mailbox=mailbox_id
    )
    judged = refusal(
        failures,
        let_in_since=since is not None
        and health.let_in_at is not None
        and health.let_in_at > since,
        others_refused=health.refused_mailbox not in (None, mailbox_id),
        is_alone=not others.exists(),
    )
    if judged is not Refusal.PROVEN and health.refused_mailbox is None:
        ServerHealth.objects.filter(pk=health.pk).update(refused_mailbox=mailbox_id)
    return judged


def note_busy(profile_id: int, begun_at: datetime) -> None:
    """Halve the connections of a server that said it is busy; each quiet minute gives one back."""
    with connection.cursor() as cursor:
        cursor.execute(_HALVE, {"profile": profile_id, "begun_at": begun_at})


def is_troubled(health: ServerHealth) -> bool:
    """Whether something is remembered that a good visit proves over."""
    return bool(health.failures) or health.refused_mailbox is not None


def note_success(profile_id: int, begun_at: datetime) -> None:
    """The server let a visit in, which began then, and answered well: all is forgotten."""
    ServerHealth.objects.filter(profile=profile_id).update(
        failures=0,
        attempts=0,
        fault_code="",
        fault_text="",
        refused_mailbox=None,
        let_in_at=begun_at,
    )
