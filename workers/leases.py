"""What a worker holds while it talks to the server of a claimed mailbox, and lets go with it."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.conf import settings

from syncservice.mailboxes import schedule
from syncservice.mailboxes.schedule import Begun
from syncservice.servers import registry
from workers.heartbeat import Heartbeat
from workers.slots import slots as cluster_slots

MACHINE = socket.gethostname()[:320]


@contextmanager
def held(begun: Begun, *, outgoing: bool = False) -> Iterator[Callable[[], None]]:
    """Hold the connection slots of a claim for the block, and keep it alive; raise FaultError.

    Give what is to be called before each request: it spends from the server's requests per second.
    """
    claim, profile = begun.claim, begun.profile
    slots = cluster_slots()
    accounts = registry.accounts(begun.mailbox, begun.connections, outgoing=outgoing)
    holder = f"{claim.mailbox_id}:{claim.lane}:{claim.fence}"

    def renew() -> None:
        if schedule.renew(claim, settings.CLAIM_LEASE):
            slots.take(accounts, holder)

    with (
        slots.hold(accounts, holder),
        Heartbeat(renew, settings.CLAIM_LEASE.total_seconds() / 3, settings.STOP_PATIENCE),
    ):
        registry.discover_once(begun.mailbox, slots)
        yield slots.meter(str(profile.pk), profile.maximum_requests_per_second)
