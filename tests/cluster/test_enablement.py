"""Test & Enable through a real beat and worker, and one that is killed in between."""

import pytest

from syncservice.mailboxes import directions
from syncservice.mailboxes.models import ActMethod, Direction, OutgoingMethod
from tests import factories
from tests.cluster.processes import wait_until
from tests.simulator.answers import checked_simulator

BOXES = 4
ENVIRONMENT = {"ASYNC_OPERATIONS_CONCURRENCY": "2", "ASYNC_OPERATIONS_HARD_LIMIT_SECONDS": "10",
               "ASYNC_OPERATIONS_SOFT_LIMIT_SECONDS": "8"}  # fmt: skip


@pytest.fixture
def boxes(transactional_db):
    with checked_simulator() as simulator:
        simulator.control.create_service_account("svc", "pw")
        profile = factories.profile(location=simulator.ews_url, username="svc", password="pw")
        methods = {
            "outgoing_method": OutgoingMethod.SERVER_SIDE,
            "act_method": ActMethod.SERVER_SIDE,
        }
        made = [factories.mailbox(enabled=False, profile=profile, **methods) for _ in range(BOXES)]
        for box in made:
            simulator.control.create_mailbox(box.email_address, "pw")
        yield made


def untested() -> int:
    return Direction.objects.exclude(test_due_at=None).count()


def test_tests_are_run_soon_after_they_are_asked_for(boxes, start_worker, start_beat):
    start_worker("async_operations", env=ENVIRONMENT)
    start_beat(env=ENVIRONMENT)
    assert directions.request_tests([box.pk for box in boxes], "tests") == 3 * BOXES
    wait_until(lambda: untested() == 0, what="every direction is tested")
    assert set(Direction.objects.values_list("is_enabled", "test_text")) == {(True, "")}


def test_a_test_whose_worker_is_killed_is_made_by_another(boxes, start_worker, start_beat):
    worker = start_worker("async_operations", env=ENVIRONMENT)
    start_beat(env=ENVIRONMENT)
    directions.request_tests([box.pk for box in boxes], "tests")
    begun = Direction.objects.filter(test_attempts__gt=0)
    wait_until(begun.exists, what="a test has begun")
    worker.kill()
    start_worker("async_operations", env=ENVIRONMENT)
    wait_until(lambda: untested() == 0, 180, what="every direction is tested")
    assert set(Direction.objects.values_list("is_enabled", flat=True)) == {True}
