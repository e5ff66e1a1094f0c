"""Workers killed at random points of a visit over POP3 that deletes what it stored.

Every message ends up in the CRM exactly once, and none is deleted before it is there.
"""

import random
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import Email, Queue, QueueItem
from syncservice.mailboxes.models import EmailServerProfile, Mailbox, RemoteItem, Schedule
from tests import factories
from tests.cluster.processes import wait_until
from tests.cluster.test_crash import ENVIRONMENT, kill_visit
from tests.memory_gateway import mime
from tests.servers.dovecot import Dovecot, dovecot

#: Of a kill.
MESSAGES = 10
USER = "support"


@pytest.fixture(scope="module")
def post() -> Iterator[Dovecot]:
    with dovecot() as running:
        yield running


@pytest.fixture
def box(transactional_db, post, kills) -> Mailbox:
    profile = factories.profile(
        server_type=EmailServerProfile.ServerType.POP3_SMTP,
        location="127.0.0.1",
        port=post.port,
        security=EmailServerProfile.Security.NONE,
        username=USER,
        password="pw",
        use_impersonation=False,
    )
    queue = Queue.objects.create(name="Support", email_address="support@example.test")
    for number in range(kills * MESSAGES):
        post.deliver(USER, mime(f"mail {number}"))
    return factories.mailbox(
        owner=queue, profile=profile, act_method=2, delete_after_processing=True
    )


def files(post: Dovecot) -> set[str]:
    """The messages that lie on the server, by uidl."""
    folder = post.folder / "mail" / USER
    return {
        path.name.partition(":")[0] for name in ("new", "cur") for path in (folder / name).iterdir()
    }


def test_a_worker_killed_again_and_again_loses_doubles_and_leaves_nothing(
    post, box, kills, start_worker, start_beat, redis_client
):
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    print(f"seed={seed}")
    messages = kills * MESSAGES
    everything = files(post)
    assert len(everything) == messages
    environment = ENVIRONMENT | {"VISIT_MESSAGES": "25"}  # short visits, so that many delete

    def check_nothing_lost() -> None:
        """What is gone from the server is in the CRM: looked at in this order, it only grows."""
        left = files(post)
        assert everything - left <= set(RemoteItem.objects.values_list("item_id", flat=True))

    worker = start_worker("mailboxes", env=environment)
    start_beat(env=environment)
    for number, stored in enumerate(sorted(dice.sample(range(messages - 20), kills)), start=1):
        wait_until(lambda: Email.objects.count() >= stored, what=f"{stored} messages")  # noqa: B023
        threading.Event().wait(dice.random() * 0.05)  # any instruction of what comes next
        if number % 10 == 0:  # the whole worker, with its pool
            worker.kill()
            worker = start_worker("mailboxes", env=environment)
        else:
            kill_visit(worker)
        if number % 7 == 0:
            redis_client.flushdb()
        check_nothing_lost()

    wait_until(lambda: Email.objects.count() >= messages, what="all messages")
    wait_until(lambda: not files(post), what="all messages are deleted")
    wait_until(lambda: Schedule.objects.get().empty_visits >= 2, what="two quiet visits")
    check_nothing_lost()
    subjects = Counter(Email.objects.values_list("subject", flat=True))
    assert subjects == Counter(f"mail {number}" for number in range(messages))
    assert set(RemoteItem.objects.values_list("item_id", flat=True)) == everything
    assert not RemoteItem.objects.filter(is_to_delete=True).exists()
    assert QueueItem.objects.count() == messages
    assert not ItemFailure.objects.exists()
