"""Directions: what switches them on and off, and whose test of them counts."""

from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from syncservice.mailboxes import connection_tests, directions
from syncservice.mailboxes.directions import DueTest
from syncservice.mailboxes.models import ChangeRecord, ConnectionTest, Direction, Mailbox, Schedule
from tests import factories
from tests.memory_gateway import fault

pytestmark = pytest.mark.django_db

INCOMING, OUTGOING, ACT = Direction.Kind
EVERYTHING = {"outgoing_method": 2, "act_method": 1}
LEASE = timedelta(minutes=5)
ENDED = timedelta(0)  # a lease that is over as soon as it begins


def a_mailbox(**fields) -> Mailbox:
    """Make a mailbox that uses incoming email only, unless told otherwise."""
    return factories.mailbox(**{"outgoing_method": 0, **fields})


def direction(box: Mailbox, kind: Direction.Kind = INCOMING) -> Direction:
    rows = Direction.objects.annotate(left=F("test_due_at") - Now())
    return rows.get(mailbox=box, kind=kind)


def is_due(box: Mailbox) -> bool:
    return Schedule.objects.get(mailbox=box, lane="incoming").due_at is not None


def a_test(box: Mailbox, lease: timedelta = LEASE) -> DueTest:
    """Ask for tests of a mailbox, and claim the first."""
    directions.request_tests([box.pk], "anna")
    test = directions.claim_due_test(lease)
    assert test is not None
    return test


def actions() -> list[tuple[str, str]]:
    return list(ChangeRecord.objects.order_by("pk").values_list("actor", "action"))


def test_switching_on_and_off_is_counted_planned_and_written_down():
    box = a_mailbox(enabled=False)
    assert not is_due(box)
    assert directions.enable([box.pk], [INCOMING, OUTGOING], "anna") == 2
    assert is_due(box)
    assert directions.enable([box.pk], [INCOMING, OUTGOING], "anna") == 0
    assert directions.disable([box.pk], [INCOMING], "bert") == 1
    assert (is_due(box), direction(box, OUTGOING).is_enabled) == (False, True)
    assert directions.disable([box.pk], [INCOMING], "bert") == 0
    on, off = ("anna", "direction.enabled"), ("bert", "direction.disabled")
    assert actions() == [on, on, off]


def test_one_mailbox_is_switched_and_no_other():
    one, other = a_mailbox(), a_mailbox()
    directions.disable([one.pk], Direction.Kind, "anna")
    assert (is_due(one), is_due(other)) == (False, True)


def test_a_visit_in_flight_loses_its_claim_when_its_direction_is_switched_off():
    box = a_mailbox()
    claim = factories.claim(box)
    directions.disable([box.pk], [INCOMING], "anna")
    assert Schedule.objects.get(mailbox=box).fence > claim.fence


def test_a_fault_switches_off_and_says_why_until_a_person_switches_on():
    box = a_mailbox()
    assert directions.disable_by_fault(box.pk, INCOMING, fault(), is_probed=False)
    row = direction(box)
    assert (row.is_enabled, row.disabled_code, row.disabled_text) == (
        False, "test.fault", "a fault"
    )  # fmt: skip
    assert row.disabled_at is not None
    assert not is_due(box)
    assert not directions.disable_by_fault(box.pk, INCOMING, fault(), is_probed=False)
    directions.enable([box.pk], [INCOMING], "anna")
    row = direction(box)
    assert (row.is_enabled, row.disabled_code, row.disabled_text) == (True, "", "")
    assert row.disabled_at is None
    assert is_due(box)


def test_a_probed_direction_is_visited_on_and_a_good_visit_switches_it_on():
    box = a_mailbox()
    directions.disable_by_fault(box.pk, INCOMING, fault(), is_probed=True)
    assert (is_due(box), direction(box).is_enabled) == (True, False)
    assert directions.recover(box.pk, INCOMING)
    row = direction(box)
    assert (row.is_enabled, row.is_probed, row.disabled_code) == (True, False, "")
    assert not directions.recover(box.pk, INCOMING)


def test_what_a_person_or_a_lasting_fault_switched_off_recovers_by_itself_never():
    by_hand, by_fault = a_mailbox(), a_mailbox()
    directions.disable([by_hand.pk], [INCOMING], "anna")
    directions.disable_by_fault(by_fault.pk, INCOMING, fault(), is_probed=False)
    for box in (by_hand, by_fault):
        assert not directions.recover(box.pk, INCOMING)
        assert not direction(box).is_enabled


def test_a_person_ends_the_probing():
    box = a_mailbox()
    directions.disable_by_fault(box.pk, INCOMING, fault(), is_probed=True)
    assert directions.disable([box.pk], [INCOMING], "anna") == 1
    assert (is_due(box), direction(box).is_probed) == (False, False)
    assert not directions.recover(box.pk, INCOMING)


def test_only_directions_in_use_are_tested():
    assert directions.request_tests([a_mailbox().pk], "anna") == 1
    assert directions.request_tests([a_mailbox(**EVERYTHING).pk], "anna") == 3
    by_forwarding = a_mailbox(incoming_method=3)
    assert directions.request_tests([by_forwarding.pk], "anna") == 0
    assert direction(by_forwarding).test_due_at is None


def test_asking_forgets_the_result_before():
    box = a_mailbox()
    directions.finish_test(a_test(box), fault())
    assert direction(box).test_status == Direction.Test.FAILURE
    directions.request_tests([box.pk], "anna")
    row = direction(box)
    assert (row.test_status, row.test_code, row.test_text) == (Direction.Test.NOT_RUN, "", "")


def test_success_switches_on_and_plans_the_visits():
    box = a_mailbox(enabled=False)
    assert directions.finish_test(a_test(box), None)
    row = direction(box)
    assert (row.is_enabled, row.test_status, row.test_due_at) == (
        True, Direction.Test.SUCCESS, None
    )  # fmt: skip
    assert row.tested_at is not None
    assert is_due(box)


def test_success_ends_what_a_fault_had_switched_off():
    box = a_mailbox()
    directions.disable_by_fault(box.pk, INCOMING, fault(), is_probed=True)
    directions.finish_test(a_test(box), None)
    row = direction(box)
    assert (row.is_enabled, row.is_probed, row.disabled_code) == (True, False, "")


def test_a_failure_is_kept_and_switches_nothing():
    on, off = a_mailbox(), a_mailbox(enabled=False)
    for box in (on, off):
        assert directions.finish_test(a_test(box), fault())
        row = direction(box)
        assert (row.test_status, row.test_code) == (Direction.Test.FAILURE, "test.fault")
        assert row.test_text == "a fault"
    assert (direction(on).is_enabled, direction(off).is_enabled) == (True, False)


def test_nothing_is_claimed_that_nobody_asked_for():
    a_mailbox()
    assert directions.claim_due_test(LEASE) is None


def test_the_test_asked_for_first_is_claimed_first():
    first, second = a_mailbox(), a_mailbox()
    directions.request_tests([second.pk], "anna")
    directions.request_tests([first.pk], "anna")
    asked = first.directions.filter(kind=INCOMING)
    asked.update(test_due_at=Now() - timedelta(hours=1))
    claimed = [directions.claim_due_test(LEASE) for _ in range(3)]
    assert [test and test.mailbox_id for test in claimed] == [first.pk, second.pk, None]


def test_a_claimed_test_is_due_again_when_its_lease_ends():
    box = a_mailbox()
    lost = a_test(box, ENDED)
    again = directions.claim_due_test(LEASE)
    assert again is not None
    assert (again.mailbox_id, again.kind, again.attempts) == (box.pk, INCOMING, 2)
    assert again.fence > lost.fence


@pytest.mark.parametrize("result", [None, fault()])
def test_a_slow_tester_writes_nothing_over_a_newer_one(result):
    box = a_mailbox(enabled=False)
    slow = a_test(box, ENDED)
    directions.claim_due_test(LEASE)
    before = list(Direction.objects.filter(mailbox=box).order_by("pk").values())
    assert not directions.finish_test(slow, result)
    assert not directions.postpone_test(slow, LEASE)
    assert list(Direction.objects.filter(mailbox=box).order_by("pk").values()) == before


def test_asking_anew_takes_the_word_from_a_test_in_flight():
    box = a_mailbox(enabled=False)
    in_flight = a_test(box)
    directions.request_tests([box.pk], "anna")
    assert not directions.finish_test(in_flight, None)
    assert not direction(box).is_enabled


@pytest.mark.parametrize("was_enabled", [True, False])
@pytest.mark.parametrize("in_flight", [True, False])
def test_switching_off_cancels_a_test(was_enabled, in_flight):
    """Or the test would switch on again what a person has just switched off."""
    box = a_mailbox(enabled=was_enabled)
    directions.request_tests([box.pk], "anna")
    test = directions.claim_due_test(LEASE) if in_flight else None
    directions.disable([box.pk], Direction.Kind, "anna")
    assert direction(box).test_due_at is None
    assert directions.claim_due_test(LEASE) is None
    if test is not None:
        assert not directions.finish_test(test, None)
    assert not direction(box).is_enabled


@pytest.mark.parametrize(("counts", "attempts"), [(True, 2), (False, 1)])
def test_a_postponed_test_waits_and_may_not_count(counts, attempts):
    box = a_mailbox()
    assert directions.postpone_test(a_test(box), timedelta(hours=1), counts=counts)
    assert timedelta(minutes=59) < direction(box).left <= timedelta(hours=1)
    assert directions.claim_due_test(LEASE) is None
    Direction.objects.filter(mailbox=box, kind=INCOMING).update(test_due_at=Now())
    again = directions.claim_due_test(LEASE)
    assert again is not None
    assert again.attempts == attempts


def test_the_tests_of_a_server_in_trouble_are_held_and_no_others():
    box, other = a_mailbox(), a_mailbox()
    directions.request_tests([box.pk, other.pk], "anna")
    directions.hold_tests(box.profile_id, Direction.Kind, timedelta(hours=1))
    assert direction(box).left > timedelta(minutes=59)
    assert direction(other).left <= timedelta(0)


def test_holding_makes_no_test_due_earlier():
    """A test in flight would be begun a second time, and its own result lost."""
    box = a_mailbox()
    a_test(box, timedelta(hours=1))
    directions.hold_tests(box.profile_id, Direction.Kind, timedelta(minutes=1))
    assert direction(box).left > timedelta(minutes=59)


def test_the_tests_of_a_server_fail_together_and_no_others():
    box, other = a_mailbox(**EVERYTHING), a_mailbox()
    directions.request_tests([box.pk, other.pk], "anna", override_stamp=True)
    directions.fail_tests(box.profile_id, Direction.Kind, fault())
    assert {(row.test_status, row.test_code) for row in box.directions.all()} == {
        (Direction.Test.FAILURE, "test.fault")
    }
    assert not box.directions.filter(overrides_stamp=True).exists()
    assert direction(other).test_due_at is not None


def test_failing_a_servers_tests_takes_the_word_from_one_in_flight_and_leaves_untested_alone():
    box = a_mailbox(enabled=False)
    untested = a_mailbox(profile=box.profile)
    in_flight = a_test(box)
    directions.fail_tests(box.profile_id, Direction.Kind, fault())
    assert not directions.finish_test(in_flight, None)
    assert direction(untested).test_status == Direction.Test.NOT_RUN


def test_the_word_of_a_person_about_another_organisation_holds_for_one_test():
    box = a_mailbox()
    directions.request_tests([box.pk], "anna", override_stamp=True)
    test = directions.claim_due_test(LEASE)
    assert test is not None
    assert test.overrides_stamp
    directions.finish_test(test, fault())
    assert not a_test(box).overrides_stamp


@pytest.mark.django_db(transaction=True)
def test_two_testers_never_get_the_same_test():
    boxes = [a_mailbox().pk for _ in range(10)]
    directions.request_tests(boxes, "anna")
    start, claimed = Barrier(2), []

    def claim_all() -> None:
        start.wait(20)
        try:
            while (test := directions.claim_due_test(LEASE)) is not None:
                claimed.append(test.mailbox_id)
        finally:
            connection.close()

    testers = [Thread(target=claim_all) for _ in range(2)]
    for tester in testers:
        tester.start()
    for tester in testers:
        tester.join(20)
    assert sorted(claimed) == sorted(boxes)


def test_a_profiles_connection_test_is_claimed_once_and_again_when_its_lease_ends():
    profile = factories.profile()
    assert connection_tests.claim_due(LEASE) is None
    connection_tests.request(profile.pk)
    lost = connection_tests.claim_due(ENDED)
    again = connection_tests.claim_due(LEASE)
    assert connection_tests.claim_due(LEASE) is None
    assert not connection_tests.finish(lost, status=ConnectionTest.Status.SUCCESS)
    assert connection_tests.finish(again, status=ConnectionTest.Status.FAILURE)
    row = ConnectionTest.objects.get()
    assert (row.status, row.due_at) == (ConnectionTest.Status.FAILURE, None)


def test_asking_anew_takes_the_word_from_a_connection_test_in_flight():
    """Somebody has corrected the password meanwhile: the old one's result is of no use."""
    profile = factories.profile()
    connection_tests.request(profile.pk)
    in_flight = connection_tests.claim_due(LEASE)
    connection_tests.request(profile.pk)
    assert not connection_tests.finish(in_flight, status=ConnectionTest.Status.FAILURE)
    again = connection_tests.claim_due(LEASE)
    assert connection_tests.finish(again, status=ConnectionTest.Status.SUCCESS)


def test_the_tests_of_one_server_are_held_and_failed_without_those_of_the_other():
    """POP3 and SMTP are two servers, and may be two accounts."""
    box = a_mailbox(outgoing_method=2)
    directions.request_tests([box.pk], "anna")
    directions.hold_tests(box.profile_id, [OUTGOING], timedelta(hours=1))
    assert direction(box).left <= timedelta(0)
    assert direction(box, OUTGOING).left > timedelta(minutes=59)
    directions.fail_tests(box.profile_id, [OUTGOING], fault())
    assert direction(box).test_status == Direction.Test.NOT_RUN
    assert direction(box, OUTGOING).test_status == Direction.Test.FAILURE
