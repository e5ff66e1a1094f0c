"""How all mailboxes are doing together, and how one of them is.

The rule is that of `alerts.overview`, which tells it of a page of mailboxes; a test compares them.
"""

from dataclasses import dataclass
from typing import Any

from django.db.models import Case, Count, FilteredRelation, Q, QuerySet, Value, When

from syncservice.alerts.models import ItemFailure
from syncservice.alerts.overview import State
from syncservice.crm.models import Email
from syncservice.mailboxes.models import Direction, Lane, Mailbox

#: Emails are counted up to here: the totals are asked for every few seconds.
COUNTED_EMAILS = 100_000


@dataclass(frozen=True, slots=True)
class Totals:
    """The line above the overview."""

    mailboxes: int
    states: list[tuple[State, int]]  # those that occur, worst first
    emails: int
    emails_are_more: bool  # than `emails`: counting stopped there
    failures: int  # item failures that are not resolved


def totals() -> Totals:
    rows = _with_state().filter(profile__isnull=False)  # as the overview
    counted = dict(rows.values_list("standing").order_by("standing").annotate(Count("pk")))
    worst_first = (
        State.PARKED,
        State.STOPPED,
        State.FAILING,
        State.VISITING,
        State.NEW,
        State.RESTING,
        State.DISABLED,
    )
    emails = Email.objects.order_by()[: COUNTED_EMAILS + 1].count()
    return Totals(
        mailboxes=sum(counted.values()),
        states=[(state, counted[state.name]) for state in worst_first if state.name in counted],
        emails=min(emails, COUNTED_EMAILS),
        emails_are_more=emails > COUNTED_EMAILS,
        failures=ItemFailure.objects.exclude(state__in=ItemFailure.DONE).count(),
    )


def state_of(mailbox: Mailbox) -> State:
    return State[_with_state().values_list("standing", flat=True).get(pk=mailbox.pk)]


def _with_state() -> QuerySet[Any]:
    return Mailbox.objects.alias(
        incoming=FilteredRelation("schedules", condition=Q(schedules__lane=Lane.INCOMING)),
        direction=FilteredRelation(
            "directions", condition=Q(directions__kind=Direction.Kind.INCOMING)
        ),
    ).annotate(
        standing=Case(
            When(incoming__parked_at__isnull=False, then=Value(State.PARKED.name)),
            When(
                ~Q(direction__disabled_code="") & Q(direction__pk__isnull=False),
                then=Value(State.STOPPED.name),
            ),
            When(incoming__due_at=None, then=Value(State.DISABLED.name)),
            When(incoming__claimed_at__isnull=False, then=Value(State.VISITING.name)),
            When(~Q(incoming__fault_code=""), then=Value(State.FAILING.name)),
            When(incoming__visited_at=None, then=Value(State.NEW.name)),
            default=Value(State.RESTING.name),
        )
    )
