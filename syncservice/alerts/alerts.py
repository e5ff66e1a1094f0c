"""Raise and end alerts: what a person has to know of a mailbox until it is over."""

from collections.abc import Iterable

from django.db import transaction
from django.db.models.functions import Now

from syncservice.alerts.models import Alert
from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import Lane, Schedule

PARKED = "visit.parked"
_PARKED_TEXT = (
    "visits of this mailbox ended their worker process several times without getting further, "
    "so it is no longer visited; look at the workers' logs, then run "
    "`syncservice mailbox resume` with its address"
)


def raise_parked(mailboxes: Iterable[int]) -> None:
    """Tell that these mailboxes are no longer visited; telling twice changes nothing."""
    alerts = [Alert(mailbox_id=box, code=PARKED, text=_PARKED_TEXT) for box in set(mailboxes)]
    Alert.objects.bulk_create(alerts, ignore_conflicts=True)


@transaction.atomic
def resume_parked(mailbox_id: int) -> int:
    """Make a mailbox's parked lanes due now and end the alert; return how many lanes there were."""
    parked = Schedule.objects.filter(mailbox=mailbox_id, parked_at__isnull=False)
    lanes = [Lane(lane) for lane in parked.values_list("lane", flat=True)]
    for lane in lanes:
        schedule.wake(mailbox_id, lane, "resumed by an administrator")
    alert = Alert.objects.filter(mailbox=mailbox_id, code=PARKED, ended_at=None)
    alert.update(ended_at=Now())
    return len(lanes)


def end_outlived() -> None:
    """End alerts of mailboxes that are parked no more, as after they were switched off and on."""
    parked = Schedule.objects.filter(parked_at__isnull=False)
    told = Alert.objects.filter(code=PARKED, ended_at=None)
    told.exclude(mailbox__in=parked.values("mailbox")).update(ended_at=Now())
