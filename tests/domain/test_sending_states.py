"""The states of an email on its way out: a table of all ways, and what follows from it."""

from datetime import timedelta

import pytest

from syncservice.domain.faults import Fault, Nature, Provenance, Scope
from syncservice.domain.sending import (
    HEAD_START,
    Event,
    Impossible,
    Priority,
    State,
    after,
    after_fault,
)

RETRY = timedelta(minutes=1)
WAYS = [
    (State.DRAFT, Event.SUBMIT, State.PENDING),
    (State.DRAFT, Event.CANCEL, State.CANCELED),
    (State.FAILED, Event.SUBMIT, State.PENDING),
    (State.FAILED, Event.CANCEL, State.CANCELED),
    (State.PENDING, Event.BEGIN, State.SENDING),
    (State.PENDING, Event.RECALL, State.DRAFT),
    (State.SENDING, Event.ACCEPT, State.SENT),
    (State.SENDING, Event.PUT_OFF, State.PENDING),
    (State.SENDING, Event.REFUSE, State.FAILED),
    (State.SENDING, Event.LOSE, State.UNKNOWN),
    (State.UNKNOWN, Event.ACCEPT, State.SENT),
    (State.UNKNOWN, Event.PUT_OFF, State.PENDING),
    (State.UNKNOWN, Event.REFUSE, State.FAILED),
]


@pytest.mark.parametrize(
    ("state", "event", "end"), WAYS, ids=[f"{s.name} {e.name}" for s, e, _ in WAYS]
)
def test_a_way(state, event, end):
    assert after(state, event) is end


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_there_is_no_other_way(state, event):
    if (state, event) in {(one, way) for one, way, _ in WAYS}:
        return
    with pytest.raises(Impossible):
        after(state, event)


def reachable(state: State) -> set[State]:
    found, todo = set(), [state]
    while todo:
        one = todo.pop()
        ends = {end for start, _, end in WAYS if start is one} - found
        found |= ends
        todo += ends
    return found


def test_what_is_sent_stays_sent():
    assert reachable(State.SENT) == set()


def test_from_everywhere_else_that_is_open_a_way_leads_to_sent():
    opened = set(State) - {State.SENT, State.CANCELED}
    assert all(State.SENT in reachable(state) for state in opened)


def fault(nature: Nature, scope: Scope) -> Fault:
    return Fault(code="x", nature=nature, scope=scope, provenance=Provenance.SMTP, text="x")


@pytest.mark.parametrize(("nature", "scope", "attempts", "event", "minutes", "counts"), [
    pytest.param(Nature.TRANSIENT, Scope.EMAIL, 1, Event.PUT_OFF, 1, True, id="first time"),
    pytest.param(Nature.TRANSIENT, Scope.EMAIL, 3, Event.PUT_OFF, 4, True, id="ever later"),
    pytest.param(Nature.TRANSIENT, Scope.EMAIL, 9, Event.PUT_OFF, 64, True, id="with an end"),
    pytest.param(Nature.TRANSIENT, Scope.EMAIL, 10, Event.REFUSE, None, True, id="too often"),
    pytest.param(Nature.PERMANENT, Scope.EMAIL, 1, Event.REFUSE, None, True, id="for good"),
    pytest.param(Nature.PERMANENT, Scope.MAILBOX, 1, Event.PUT_OFF, None, False, id="not its own"),
    pytest.param(Nature.TRANSIENT, Scope.PROFILE, 99, Event.PUT_OFF, None, False, id="its server"),
    pytest.param(Nature.LIMITED, Scope.PROFILE, 1, Event.PUT_OFF, None, False, id="our own limit"),
])  # fmt: skip
def test_what_a_failed_attempt_makes_of_an_email(nature, scope, attempts, event, minutes, counts):
    verdict = after_fault(fault(nature, scope), attempts, 10, RETRY)
    assert (verdict.event, verdict.counts) == (event, counts)
    assert (verdict.rest and verdict.rest.length) == (
        None if minutes is None else timedelta(minutes=minutes)
    )


def test_the_urgent_has_the_larger_head_start():
    starts = [HEAD_START[priority] for priority in Priority]
    assert starts == sorted(set(starts))
