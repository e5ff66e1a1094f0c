"""What a beat adds to queues that nobody empties."""

import pytest
from celery.beat import ScheduleEntry

from beat import scheduler
from workers.app import app
from workers.queues import ASYNC_OPERATIONS


@pytest.fixture
def beat():
    app.loader.import_default_modules()
    made = scheduler.MailboxScheduler(app=app, lazy=True)
    yield made
    made.connection.release()


def test_messages_of_housekeeping_do_not_pile_up_while_no_worker_takes_them(
    beat, redis_client, monkeypatch
):
    monkeypatch.setattr(scheduler, "ENTRIES_AHEAD", 3)
    entry = ScheduleEntry(name="tests", task="async_operations.run_due_tests", schedule=2.0)
    for _ in range(10):
        beat.apply_entry(entry, producer=beat.producer)
    assert redis_client.llen(ASYNC_OPERATIONS) == 3
    redis_client.delete(ASYNC_OPERATIONS)
    beat.apply_entry(entry, producer=beat.producer)
    assert redis_client.llen(ASYNC_OPERATIONS) == 1
