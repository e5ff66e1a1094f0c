"""Why a lane of a mailbox is due when it is: what was decided, and what may still hold it up."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q
from django.db.models.functions import Now

from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import Mailbox, Schedule, ServerHealth, VisitStatistics
from syncservice.mailboxes.server_health import ALLOWED_CONNECTIONS

#: Decisions of the past that are shown.
DECISIONS = 5


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided at the end of a visit."""

    visit_ended_at: datetime
    rest: timedelta
    reason: str


@dataclass(frozen=True, slots=True)
class Why:
    """One lane, in words and figures; moments are UTC."""

    lane: str
    due_at: datetime | None  # None: never, or being visited
    sentence: str
    server_waits_until: datetime | None  # None: the server may be asked now
    server_connections: int  # visits of its profile that may run at once, now
    server_in_flight: int  # claimed now
    decisions: list[Decision]  # newest first


def why_due(mailbox: Mailbox) -> list[Why]:
    """Explain every lane of a mailbox."""
    lanes = (
        Schedule.objects.filter(mailbox=mailbox)
        .select_related("profile")
        .annotate(is_overdue=Q(due_at__lt=Now()))
        .order_by("lane")
    )
    return [_why(lane) for lane in lanes]


def _why(lane: Schedule) -> Why:
    server = None
    if lane.profile is not None:
        which = schedule.server_of(lane.profile, lane.lane)
        server = (
            ServerHealth.objects.select_related("profile")
            .annotate(allowed=ALLOWED_CONNECTIONS, is_paused=Q(not_before__gt=Now()))
            .get(pk=which.pk)
        )
    facts = vars(server) if server else {"allowed": 0, "is_paused": False}  # with the annotations
    paused = server if facts["is_paused"] else None
    in_flight = Schedule.objects.filter(
        profile=lane.profile_id, claimed_at__isnull=False, due_at__gt=Now()
    ).aggregate(number=Count("pk"))["number"]
    visits = VisitStatistics.objects.filter(mailbox=lane.mailbox_id, lane=lane.lane)
    return Why(
        lane=lane.lane,
        due_at=lane.due_at if lane.claimed_at is None else None,
        sentence=_sentence(lane, paused),
        server_waits_until=paused.not_before if paused else None,
        server_connections=facts["allowed"],
        server_in_flight=in_flight,
        decisions=[
            Decision(visit.finished_at, visit.rest, visit.reason)
            for visit in visits.order_by("-finished_at")[:DECISIONS]
        ],
    )


def _sentence(lane: Schedule, paused: ServerHealth | None) -> str:
    if lane.parked_at is not None:
        return "parked: its visits ended their worker process too often"
    if lane.due_at is None and lane.reason == schedule.NOTHING_TO_SEND:
        return lane.reason
    if lane.due_at is None:
        return "never due: the mailbox, this lane or the server profile is not enabled"
    if lane.started_at is not None:
        return f"a visit began at {lane.started_at:%H:%M:%S}"
    if lane.claimed_at is not None:
        return f"claimed at {lane.claimed_at:%H:%M:%S}; the visit waits in the queue"
    decided = f"due at {lane.due_at:%H:%M:%S}: {lane.reason}"
    if paused is not None:
        return f"{decided}; its server is left alone: {paused.fault_text}"
    if vars(lane)["is_overdue"]:  # an annotation
        return f"{decided}; it waits for its turn at the server, or for a beat"
    return decided
