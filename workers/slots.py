"""This process's way to the connection slots that the whole cluster shares."""

import redis
from django.conf import settings

from syncservice.servers.slots import Slots

_slots: Slots | None = None


def slots() -> Slots:
    """Connect in the process that uses it; a client made before the fork would be shared."""
    global _slots
    if _slots is None:
        _slots = Slots(
            redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5, socket_connect_timeout=5),
            settings.CLAIM_LEASE,
            settings.SLOT_RETRY,
        )
    return _slots
