"""Connection slots: at most so many conversations with one mail server at a time, cluster-wide.

A slot is a lease in Redis that a dead worker loses. It is taken before a connection is opened and
given back after it is closed (DESIGN invariant 5).
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib.resources import files

import redis

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope

_TAKE = files(__package__).joinpath("take_slot.lua").read_text()


class Slots:
    """The slots of every server, in one Redis; `lease` must outlive a conversation."""

    def __init__(self, client: "redis.Redis", lease: timedelta) -> None:
        self._client = client
        self._take = client.register_script(_TAKE)
        self._lease_ms = int(lease.total_seconds() * 1000)

    def take(self, credential: str, holder: str, limit: int) -> bool:
        """Take or renew a slot until its lease ends; False when all `limit` are held."""
        with faults_translated():  # Redis gone is a fault too: we fail closed
            return bool(self._take([f"slots:{credential}"], [holder, limit, self._lease_ms]))

    def give_back(self, credential: str, holder: str) -> None:
        with faults_translated():
            self._client.zrem(f"slots:{credential}", holder)

    @contextmanager
    def hold(self, credential: str, holder: str, limit: int) -> Iterator[bool]:
        """Hold a slot for the block; gives False, and holds none, when all are taken."""
        taken = self.take(credential, holder, limit)
        try:
            yield taken
        finally:
            if taken:
                # A slot that can't be given back is free again when its lease ends.
                with suppress(FaultError):
                    self.give_back(credential, holder)


@contextmanager
def faults_translated() -> Iterator[None]:
    """Turn what Redis' client raises inside the block into a FaultError."""
    try:
        yield
    except redis.RedisError as error:
        raise FaultError(
            Fault(
                code="redis.unavailable",
                nature=Nature.TRANSIENT,
                scope=Scope.PROFILE,
                provenance=Provenance.REDIS,
                text="Redis can't be reached, so no connection slot can be had; see REDIS_URL",
            )
        ) from error
