"""Mailboxes change hands while their former owners' visits run: not one write lands after.

What a mailbox holds is counted inside the transaction of the take-over, behind its fence: whatever
is there then was committed before, and must be all there is when every visit has ended.
"""

import random
import threading

import pytest
from django.db import transaction

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import ActivityParty, Email, Queue
from syncservice.mailboxes import administration, directions
from syncservice.mailboxes.models import (
    Direction,
    FolderCursor,
    Mailbox,
    RemoteItem,
    Schedule,
    VisitStatistics,
)
from syncservice.simulator.exchange import ExchangeSimulator
from tests import factories
from tests.cluster.processes import wait_until
from tests.memory_gateway import mime

MAILBOXES = 12
MESSAGES = 300
#: Small batches and several processes: while one mailbox changes hands, others are written to.
ENVIRONMENT = {
    "BATCH_MESSAGES": "2",
    "PAGE_IDS": "20",
    "MAILBOXES_CONCURRENCY": "4",
    "SLOT_RETRY_SECONDS": "0.1",
}


@pytest.fixture
def simulator(transactional_db):
    with ExchangeSimulator() as running:
        running.control.create_service_account("svc", "pw")
        yield running


@pytest.fixture
def boxes(simulator) -> list[Mailbox]:
    profile = factories.profile(location=simulator.ews_url, username="svc", password="pw")
    boxes = [factories.mailbox(profile=profile) for _ in range(MAILBOXES)]
    for box in boxes:
        simulator.control.create_mailbox(box.email_address, "pw")
        letters = [mime(f"{box.pk} mail {number}") for number in range(MESSAGES)]
        simulator.control.deliver_many([(box.email_address, letter) for letter in letters])
    return boxes


def written(box: Mailbox) -> dict[str, object]:
    """All that visits write for a mailbox."""
    emails = Email.objects.filter(remote_items__mailbox=box)
    return {
        "links": RemoteItem.objects.filter(mailbox=box).count(),
        "emails": Email.objects.filter(subject__startswith=f"{box.pk} ").count(),
        "parties": ActivityParty.objects.filter(email__in=emails).count(),
        "failures": ItemFailure.objects.filter(mailbox=box).count(),
        "cursor": list(FolderCursor.objects.filter(mailbox=box).values_list("position")),
        "visits": VisitStatistics.objects.filter(mailbox=box).count(),
        "lane": list(Schedule.objects.filter(mailbox=box).values()),
    }


def take_over(box: Mailbox, heir: Queue) -> dict[str, object]:
    """Map the mailbox to another; return what its visits had written by then."""
    with transaction.atomic():
        administration.map_mailbox(box, heir, take_over=True)
        return written(box)


def test_nothing_of_the_former_owners_visit_lands_after_the_take_over(
    simulator, boxes, start_worker, start_beat
):
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    print(f"seed={seed}")
    heirs = [Queue.objects.create(name=f"Heir {number}") for number in range(MAILBOXES)]
    worker = start_worker("mailboxes", env=ENVIRONMENT)
    start_beat(env=ENVIRONMENT)

    before = {}
    for box, heir in zip(boxes, heirs, strict=True):
        stored = dice.randrange(4, MESSAGES // 3)
        links = RemoteItem.objects.filter(mailbox=box)
        wait_until(lambda: links.count() >= stored, what=f"{stored} messages")  # noqa: B023
        threading.Event().wait(dice.random() * 0.02)  # any instruction of the next batch
        before[box.pk] = take_over(box, heir)

    lost = [box for box in boxes if before[box.pk]["visits"] == 0]
    assert lost, "no visit was running at its take-over"
    wait_until(
        lambda: worker.logs().count("visit.claim_lost") >= len(lost), what="every visit notices"
    )
    assert {box.pk: written(box) for box in boxes} == before

    # The new owner gets what arrives from now on; the rest stays the former owner's.
    for box in boxes:
        simulator.control.deliver(box.email_address, mime(f"{box.pk} for the heir"))
    directions.enable([box.pk for box in boxes], [Direction.Kind.INCOMING], "tests")
    for box, heir in zip(boxes, heirs, strict=True):
        news = Email.objects.filter(subject=f"{box.pk} for the heir")
        wait_until(lambda: news.exists(), what="the heir's email")  # noqa: B023
        assert [item.queue for item in news.get().queue_items.all()] == [heir]
        assert RemoteItem.objects.filter(mailbox=box).count() == before[box.pk]["links"] + 1
