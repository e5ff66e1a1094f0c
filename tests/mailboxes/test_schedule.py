"""Claims and fences on real PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from syncservice.domain.polling import Rest
from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import IncomingMethod, Lane, Mailbox, Schedule
from syncservice.mailboxes.schedule import Claim, ClaimLost, fenced, plan, release
from tests import factories

LEASE = timedelta(minutes=5)


def claim_due(limit: int, lease: timedelta = LEASE) -> list[tuple[int, str, int]]:
    return schedule.claim_due(limit, lease).messages


def in_threads(work, times: int) -> list:
    """Run `work` so many times at once, each on a database connection of its own."""

    def and_close():
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(times) as pool:
        return [future.result() for future in [pool.submit(and_close) for _ in range(times)]]


@pytest.mark.django_db
def test_a_claimed_mailbox_is_not_due_until_its_lease_ends():
    box = factories.mailbox()
    ((claimed, _, fence),) = claim_due(10, LEASE)
    assert claimed == box.pk
    assert claim_due(10, LEASE) == []

    Schedule.objects.filter(mailbox=box).update(due_at=Now())  # the lease ended
    (again,) = claim_due(10, LEASE)
    assert again == (box.pk, "incoming", fence + 1)


@pytest.mark.django_db
def test_the_longest_overdue_is_claimed_first():
    boxes = [factories.mailbox() for _ in range(3)]
    for minutes, box in zip((5, 30, 10), boxes, strict=True):
        Schedule.objects.filter(mailbox=box).update(due_at=Now() - timedelta(minutes=minutes))
    assert [found[0] for found in claim_due(1, LEASE)] == [boxes[1].pk]
    assert [found[0] for found in claim_due(1, LEASE)] == [boxes[2].pk]


@pytest.mark.django_db(transaction=True)
def test_many_beats_at_once_claim_each_mailbox_once():
    boxes = {factories.mailbox().pk for _ in range(40)}
    claims = [claim for found in in_threads(lambda: claim_due(10, LEASE), 8) for claim in found]
    rest = claim_due(100, LEASE)
    claimed = [claim[0] for claim in claims + rest]
    assert sorted(claimed) == sorted(boxes)


@pytest.mark.django_db
def test_a_zombie_with_an_old_fence_can_neither_begin_nor_write():
    box = factories.mailbox()
    old = factories.claim(box)
    Schedule.objects.update(due_at=Now())
    new = factories.claim(box)

    with pytest.raises(ClaimLost):
        schedule.begin(old, LEASE)
    with pytest.raises(ClaimLost), fenced(old):
        pytest.fail("a zombie got in")
    with fenced(new):
        Mailbox.objects.filter(pk=box.pk).update(name="written")
    assert Mailbox.objects.get().name == "written"


@pytest.mark.django_db
def test_a_released_claim_is_over_even_for_its_own_holder():
    claim = factories.claim(factories.mailbox())
    with fenced(claim) as row:
        release(row, Rest(timedelta(minutes=5), "some mail"))
    with pytest.raises(ClaimLost), fenced(claim):
        pytest.fail("a redelivered message got in")


@pytest.mark.django_db
def test_release_makes_the_lane_due_after_the_rest_and_keeps_the_reason():
    claim = factories.claim(factories.mailbox())
    with fenced(claim) as row:
        release(row, Rest(timedelta(minutes=7), "2 empty visits in a row"))
    left = Schedule.objects.annotate(left=F("due_at") - Now()).get()
    assert timedelta(minutes=6, seconds=59) < left.left <= timedelta(minutes=7)
    assert (left.reason, left.claimed_at) == ("2 empty visits in a row", None)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        {"is_active": False},
        {"incoming_method": IncomingMethod.NONE},
        {"approval": Mailbox.Approval.REJECTED},
        {"profile": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_disabling_ends_the_schedule_and_fences_off_the_visit_in_flight(change):
    box = factories.mailbox()
    claim = factories.claim(box)
    Mailbox.objects.filter(pk=box.pk).update(**change)
    plan([box.pk])

    with pytest.raises(ClaimLost), fenced(claim):
        pytest.fail("a visit of a disabled mailbox wrote")
    assert Schedule.objects.get().due_at is None


@pytest.mark.django_db
def test_planning_again_changes_nothing_for_a_mailbox_that_is_already_planned():
    box = factories.mailbox()
    claim = factories.claim(box)
    plan([box.pk])
    with fenced(claim):
        pass  # the visit goes on


@pytest.mark.django_db
def test_an_inactive_profile_stops_its_mailboxes_and_an_active_one_starts_them_again():
    box = factories.mailbox()
    box.profile.is_active = False
    box.profile.save()
    plan([box.pk])
    assert claim_due(10, LEASE) == []
    box.profile.is_active = True
    box.profile.save()
    plan([box.pk])
    assert len(claim_due(10, LEASE)) == 1


@pytest.mark.django_db
def test_waking_makes_a_resting_mailbox_due_but_leaves_a_visit_alone():
    box = factories.mailbox()
    claim = factories.claim(box)
    assert not schedule.wake([box.pk], Lane.INCOMING, "asked for")
    with fenced(claim) as row:
        release(row, Rest(timedelta(minutes=5), "some mail"))
    assert schedule.wake([box.pk], Lane.INCOMING, "asked for")
    assert claim_due(10, LEASE) == [(box.pk, "incoming", claim.fence + 1)]


@pytest.mark.django_db
def test_a_claim_nobody_made_is_lost():
    box = factories.mailbox()
    with pytest.raises(ClaimLost):
        schedule.begin(Claim(box.pk, Lane.INCOMING, 0), LEASE)
