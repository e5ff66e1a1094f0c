"""What people ask for, as the queue of asynchronous operations takes it up."""

import pytest
from django.db import OperationalError

from syncservice.mailboxes import tracking
from syncservice.mailboxes.models import Schedule
from tests import factories
from workers import async_operations


@pytest.mark.django_db(transaction=True)
def test_a_mailbox_is_let_go_when_the_database_fails_while_a_message_is_fetched(monkeypatch):
    """No worker died: three such would park the mailbox. The others' requests are taken up."""
    boxes = [factories.mailbox() for _ in range(2)]
    for box in boxes:
        tracking.track_now(box, "tests", item_id="wanted")
    visited = []

    def visit(begun, *, only_requests):
        visited.append(begun.claim.mailbox_id)
        raise OperationalError("terminating connection due to administrator command")

    monkeypatch.setattr(async_operations, "visit_within_slots", visit)
    async_operations.track_requested()
    assert visited == [box.pk for box in boxes]
    for row in Schedule.objects.filter(mailbox__in=boxes):
        assert (row.claimed_at, row.started_at, row.crashes) == (None, None, 0)
        assert row.reason == "the database failed the visit"
