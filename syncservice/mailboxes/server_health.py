"""How a server bears us: pauses it needs and connections it stands, shared through one row.

Outcomes write it; the claim of due lanes and the start of a visit read it. A visit that began
before the last event was counted tells nothing new, for it met the same trouble: so ten visits
that one outage ends are one failure, and ten busy answers at once halve the connections once.
"""

from datetime import datetime, timedelta

from django.db import connection
from django.db.models import F, Func, IntegerField, Q
from django.db.models.functions import Greatest, Now

from syncservice.domain.faults import Fault, Nature, Patience, Refusal, refusal, rest_after
from syncservice.domain.polling import Rest
from syncservice.mailboxes.models import Schedule, ServerHealth

_HALVE = """
UPDATE mailboxes_serverhealth AS health
SET throttled_to = greatest(1, mailboxes_allowed_connections(
      profile.maximum_concurrent_connections, throttled_to, throttled_at, 0) / 2),
    throttled_at = statement_timestamp()
FROM mailboxes_emailserverprofile AS profile
WHERE profile.id = health.profile_id AND health.id = %(health)s
  AND (throttled_at IS NULL OR throttled_at < %(begun_at)s)
"""


_SENDS = Q(lane="outgoing")  # as the indexes of the schedule tell the lanes apart

#: Of `ServerHealth`: how many connections the server bears now.
ALLOWED_CONNECTIONS = Func(
    "profile__maximum_concurrent_connections",
    "throttled_to",
    "throttled_at",
    "failures",
    function="mailboxes_allowed_connections",
    output_field=IntegerField(),
)


def connections(health: ServerHealth) -> int:
    """Return how many connections a server bears now."""
    rows = ServerHealth.objects.filter(pk=health.pk)
    allowed: int = rows.values_list(ALLOWED_CONNECTIONS, flat=True).get()
    return allowed


def note_fault(
    server: ServerHealth,
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
    health = ServerHealth.objects.select_for_update(no_key=True).get(pk=server.pk)
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
    server: ServerHealth, mailbox_id: int, failures: int, since: datetime | None
) -> Refusal:
    """Judge a refused login, the `failures`-th in a row of its mailbox, and remember it.

    `since`: when the one before ended; None: there was none. To be called in a transaction.
    """
    health = ServerHealth.objects.select_for_update(no_key=True).get(pk=server.pk)
    lanes = _SENDS if server.server == ServerHealth.Server.OUTGOING else ~_SENDS
    others = Schedule.objects.filter(lanes, profile=server.profile_id, due_at__isnull=False)
    others = others.exclude(mailbox=mailbox_id)
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


def note_busy(server: ServerHealth, begun_at: datetime) -> None:
    """Halve the connections of a server that said it is busy; each quiet minute gives one back."""
    with connection.cursor() as cursor:
        cursor.execute(_HALVE, {"health": server.pk, "begun_at": begun_at})


def is_troubled(health: ServerHealth) -> bool:
    """Whether something is remembered that a good visit proves over."""
    return bool(health.failures) or health.refused_mailbox is not None


def note_success(server: ServerHealth, begun_at: datetime) -> None:
    """The server let a visit in, which began then, and answered well: all is forgotten."""
    ServerHealth.objects.filter(pk=server.pk).update(
        failures=0,
        attempts=0,
        fault_code="",
        fault_text="",
        refused_mailbox=None,
        let_in_at=begun_at,
    )
