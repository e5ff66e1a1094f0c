"""How a server bears us: pauses it needs and connections it stands, shared through one row.

Outcomes write it; the claim of due lanes and the start of a visit read it. A visit that began
before the last event was counted tells nothing new, for it met the same trouble: so ten visits
that one outage ends are one failure, and ten busy answers at once halve the connections once.
"""

from datetime import datetime, timedelta

from django.db import connection
from django.db.models import F, Func, IntegerField
from django.db.models.functions import Greatest, Now

from syncservice.domain.faults import Fault, rest_after
from syncservice.domain.polling import Rest
from syncservice.mailboxes.models import ServerHealth

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


def note_fault(
    profile_id: int, fault: Fault, begun_at: datetime, phase: float, minimum: timedelta
) -> Rest:
    """Count a fault that concerns the whole server, and choose how long all leave it alone.

    To be called in a transaction: the row is locked until it ends.
    """
    health = ServerHealth.objects.select_for_update(no_key=True).get(profile=profile_id)
    is_new = health.failed_at is None or health.failed_at < begun_at
    failures = health.failures + is_new
    rest = rest_after(fault, max(failures, 1), phase, minimum)
    if is_new or fault.retry_after is not None:
        ServerHealth.objects.filter(pk=health.pk).update(
            not_before=Greatest(F("not_before"), Now() + rest.length),
            failures=failures,
            failed_at=Now(),
            fault_code=fault.code,
            fault_text=fault.text,
        )
    return rest


def note_busy(profile_id: int, begun_at: datetime) -> None:
    """Halve the connections of a server that said it is busy; each quiet minute gives one back."""
    with connection.cursor() as cursor:
        cursor.execute(_HALVE, {"profile": profile_id, "begun_at": begun_at})


def note_success(profile_id: int) -> None:
    """The server answered well: the next fault is the first again."""
    ServerHealth.objects.filter(profile=profile_id).update(failures=0, fault_code="", fault_text="")
