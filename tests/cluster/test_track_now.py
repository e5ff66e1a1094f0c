"""A message that somebody asks for comes in while a long queue of visits waits."""

import pytest
from django.db import connection

from syncservice.crm.models import Email, IncomingFilter
from syncservice.mailboxes import tracking
from syncservice.mailboxes.models import Mailbox, Schedule, TrackRequest
from syncservice.simulator.exchange import ExchangeSimulator, Fault
from tests import factories
from tests.cluster.processes import wait_until
from tests.memory_gateway import mime
from workers.queues import MAILBOXES

WAITING = 1_000
ADDRESS = "user@example.test"

# Copies of the one mailbox, due before it; whose they are matters to nobody.
_CROWD = """
INSERT INTO mailboxes_mailbox
SELECT copy.* FROM mailboxes_mailbox AS first, generate_series(1, %(count)s) AS n,
  jsonb_populate_record(first, jsonb_build_object('id', first.id + n, 'name', 'm' || n,
    'email_address', 'm' || n || '@example.test')) AS copy WHERE first.id = %(mailbox)s;
INSERT INTO mailboxes_schedule
SELECT copy.* FROM mailboxes_schedule AS first, generate_series(1, %(count)s) AS n,
  jsonb_populate_record(first, jsonb_build_object('id', first.id + n,
    'mailbox_id', first.mailbox_id + n, 'due_at', first.due_at - interval '1 hour')) AS copy
WHERE first.mailbox_id = %(mailbox)s;
"""


@pytest.fixture
def simulator(transactional_db):
    with ExchangeSimulator() as running:
        running.control.create_service_account("svc", "pw")
        running.control.create_mailbox(ADDRESS, "pw")
        yield running


@pytest.fixture
def box(simulator) -> Mailbox:
    profile = factories.profile(location=simulator.ews_url, username="svc", password="pw")
    return factories.mailbox(
        email_address=ADDRESS, profile=profile, incoming_filter=IncomingFilter.NONE
    )


def test_a_message_asked_for_passes_the_visits_that_wait(
    simulator, box, start_worker, start_beat, redis_client
):
    """Its mailbox is the last in a queue that nobody serves; no visit is made at all."""
    item = simulator.control.deliver(ADDRESS, mime("wanted"))
    with connection.cursor() as cursor:
        cursor.execute(_CROWD, {"count": WAITING, "mailbox": box.pk})
    start_worker("async_operations")
    start_beat(env={"VISITS_AHEAD": str(WAITING)})
    wait_until(lambda: redis_client.llen(MAILBOXES) >= 5, what="visits wait in the queue")
    request = tracking.track_now(box, "tests", item_id=item)

    def state() -> str:
        request.refresh_from_db()
        return request.state

    wait_until(lambda: state() != TrackRequest.State.WAITING, what="the request is answered")
    assert state() == TrackRequest.State.DONE
    assert Email.objects.get().subject == "wanted"
    assert redis_client.llen(MAILBOXES) >= 5
    row = Schedule.objects.get(mailbox=box)
    assert (row.started_at, row.visited_at) == (None, None)  # its own visit is still to come


def test_a_visit_that_goes_on_brings_in_what_is_asked_for_meanwhile(
    simulator, box, start_worker, start_beat
):
    """The visit itself has the mailbox, and takes long; nobody else looks for requests."""
    simulator.control.deliver_many([(ADDRESS, mime(f"mail {n}")) for n in range(60)])
    environment = {"BATCH_MESSAGES": "2", "PAGE_IDS": "10"}
    simulator.control.add_fault(Fault(kind="slow", operation="GetItem", seconds=0.2))
    start_worker("mailboxes", env=environment)
    start_beat(env=environment)
    wait_until(lambda: Schedule.objects.get().started_at, what="the visit began")
    item = simulator.control.deliver(ADDRESS, mime("wanted"))
    request = tracking.track_now(box, "tests", item_id=item)
    wait_until(
        lambda: TrackRequest.objects.exclude(state=TrackRequest.State.WAITING).exists(),
        what="the request is answered",
    )
    assert Schedule.objects.get().visited_at is None  # the first visit still goes on
    request.refresh_from_db()
    assert request.email.subject == "wanted"
