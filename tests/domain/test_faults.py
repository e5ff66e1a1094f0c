"""What a fault means for the next visit."""

from datetime import timedelta

import pytest

from syncservice.domain.faults import (
    Effect,
    Fault,
    Nature,
    Patience,
    Provenance,
    Refusal,
    Scope,
    concerns_server,
    effect_of,
    item_may_recover,
    refusal,
    rest_after,
)


def fault(nature: Nature, retry_after: timedelta | None = None, **more) -> Fault:
    return Fault(
        code="exchange.test",
        nature=nature,
        provenance=Provenance.EWS,
        text="",
        retry_after=retry_after,
        **{"scope": Scope.MAILBOX, **more},
    )


MINUTE = timedelta(minutes=1)
LOGIN = fault(Nature.PERMANENT, of_login=True)


def wait(
    fault: Fault, failures: int, phase: float = 0.0, minimum: timedelta = timedelta(0)
) -> timedelta:
    return rest_after(fault, failures, phase, minimum, Patience()).length


@pytest.mark.parametrize(
    ("met", "minutes"),
    [
        pytest.param(
            fault(Nature.TRANSIENT),
            [5] * 9 + [10, 20, 40, 60, 60],
            id="what may pass: ten attempts five minutes apart, then ever fewer looks",
        ),
        pytest.param(
            fault(Nature.PERMANENT), [10, 20, 40, 60, 60], id="what needs a person: ever fewer"
        ),
        pytest.param(LOGIN, [5, 10, 20, 40, 60, 60], id="a refused login: no account is locked"),
        pytest.param(
            fault(Nature.THROTTLED), [1, 2, 4, 8, 12, 12], id="busy: never beyond the promise"
        ),
    ],
)
def test_the_pauses_after_faults_in_a_row(met, minutes):
    waits = [wait(met, number) / MINUTE for number in range(1, len(minutes) + 1)]
    assert waits == minutes


@pytest.mark.parametrize("seconds", [7.5, 3600])
def test_the_servers_own_hint_is_kept_to_the_second(seconds):
    hint = timedelta(seconds=seconds)
    assert wait(fault(Nature.THROTTLED, hint), 5) == hint


def test_a_hint_of_milliseconds_is_no_hot_loop():
    assert wait(fault(Nature.THROTTLED, timedelta(milliseconds=5)), 1) == timedelta(seconds=1)


def test_those_who_failed_together_come_back_apart_but_never_later_than_promised():
    waits = [wait(fault(Nature.TRANSIENT), 9, phase / 10) for phase in range(10)]
    assert len(set(waits)) == 10
    assert 4 * MINUTE <= min(waits) < max(waits) == 5 * MINUTE


@pytest.mark.parametrize("nature", [Nature.TRANSIENT, Nature.THROTTLED, Nature.RESYNC])
def test_the_profiles_minimum_holds_after_faults_too(nature):
    rest = rest_after(fault(nature), 1, 0.0, timedelta(hours=1), Patience())
    assert rest.length == timedelta(hours=1)
    assert "minimum" in rest.reason


@pytest.mark.parametrize(
    ("met", "failures", "refused", "effect"),
    [
        (fault(Nature.TRANSIENT), 1, None, Effect.WARNS),
        (fault(Nature.TRANSIENT), 9, None, Effect.WARNS),
        pytest.param(
            fault(Nature.TRANSIENT), 10, None, Effect.PROBES, id="ten attempts make it lasting"
        ),
        (fault(Nature.PERMANENT), 1, None, Effect.PROBES),
        pytest.param(
            fault(Nature.PERMANENT, scope=Scope.EMAIL), 99, None, Effect.WARNS,
            id="one message never switches a mailbox off",
        ),
        pytest.param(
            fault(Nature.THROTTLED), 99, None, Effect.NOTHING, id="busy never counts as failure"
        ),
        (fault(Nature.RESYNC), 1, None, Effect.NOTHING),
        (fault(Nature.RESYNC), 10, None, Effect.PROBES),
        (LOGIN, 1, Refusal.SUSPECT, Effect.WARNS),
        pytest.param(LOGIN, 99, Refusal.WIDESPREAD, Effect.WARNS, id="a storm disables no one"),
        pytest.param(LOGIN, 2, Refusal.PROVEN, Effect.STOPS, id="proven: it waits for a person"),
    ],
)  # fmt: skip
def test_what_a_fault_does_to_the_direction(met, failures, refused, effect):
    assert effect_of(met, failures, Patience(), refused) is effect


def test_without_self_healing_everything_lasting_waits_for_a_person():
    stern = Patience(attempts=2, heals=False)
    assert effect_of(fault(Nature.TRANSIENT), 2, stern) is Effect.STOPS
    assert effect_of(fault(Nature.PERMANENT), 1, stern) is Effect.STOPS


@pytest.mark.parametrize(
    ("failures", "let_in_since", "others_refused", "is_alone", "proves"),
    [
        pytest.param(1, False, False, False, Refusal.SUSPECT, id="one proves nothing"),
        pytest.param(9, False, False, False, Refusal.SUSPECT, id="nor do many by oneself"),
        pytest.param(2, True, False, False, Refusal.PROVEN, id="another was let in: it is ours"),
        pytest.param(2, True, True, False, Refusal.PROVEN, id="whoever was refused after that"),
        pytest.param(1, False, True, False, Refusal.WIDESPREAD, id="two are refused: the server"),
        pytest.param(2, False, False, True, Refusal.SUSPECT, id="alone: not at once"),
        pytest.param(3, False, False, True, Refusal.PROVEN, id="alone: the third time"),
    ],
)
def test_what_a_refused_login_proves(failures, let_in_since, others_refused, is_alone, proves):
    judged = refusal(
        failures, let_in_since=let_in_since, others_refused=others_refused, is_alone=is_alone
    )
    assert judged is proves


@pytest.mark.parametrize(
    ("met", "account_is_shared", "login_is_shared", "refused", "concerns"),
    [
        (fault(Nature.TRANSIENT, scope=Scope.PROFILE), False, False, None, True),
        (fault(Nature.THROTTLED), True, True, None, True),
        pytest.param(
            fault(Nature.THROTTLED), False, True, None, False, id="impersonated: its own budget"
        ),
        (fault(Nature.TRANSIENT), True, True, None, False),
        pytest.param(
            LOGIN, False, True, Refusal.SUSPECT, True, id="one account: all hold their breath"
        ),
        (LOGIN, False, False, Refusal.SUSPECT, False),
        (LOGIN, False, False, Refusal.WIDESPREAD, True),
        (LOGIN, False, True, Refusal.PROVEN, False),
    ],
)
def test_whom_a_fault_concerns(met, account_is_shared, login_is_shared, refused, concerns):
    found = concerns_server(
        met,
        account_is_shared=account_is_shared,
        login_is_shared=login_is_shared,
        refused=refused,
    )
    assert found is concerns


def test_a_lost_cursor_is_read_again_at_once_but_not_in_a_hot_loop():
    assert wait(fault(Nature.RESYNC), 1) == timedelta(0)
    assert wait(fault(Nature.RESYNC), 2) > timedelta(0)


@pytest.mark.parametrize(
    ("nature", "attempts", "again"),
    [
        (Nature.TRANSIENT, 4, True),
        (Nature.TRANSIENT, 5, False),
        (Nature.PERMANENT, 1, False),
    ],
)
def test_an_item_is_tried_five_times_when_its_trouble_may_pass(nature, attempts, again):
    assert item_may_recover(fault(nature), attempts, 5) is again
