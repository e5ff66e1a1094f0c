"""What the whole cluster shares about mail servers: connection slots and rates of requests.

A slot is a lease in Redis that a dead worker loses. It is taken before a connection is opened and
given back after it is closed (DESIGN invariant 5). A rate is a token bucket: Celery's `rate_limit`
counts in each worker by itself, and holds back the tasks behind a limited one.

Nothing here waits: what can't be had now raises a fault of nature LIMITED that says when to come
back. So does a Redis that is away: without it no conversation begins.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from importlib.resources import files

import redis

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope

_TAKE_SLOT = files(__package__).joinpath("take_slot.lua").read_text()
_TAKE_TOKEN = files(__package__).joinpath("take_token.lua").read_text()


class Slots:
    """The slots and rates of every server, in one Redis.

    `lease`: a slot not renewed by then is free; `retry`: when to ask again for what is taken.
    """

    def __init__(self, client: "redis.Redis", lease: timedelta, retry: timedelta) -> None:
        self._client = client
        self._take_slot = client.register_script(_TAKE_SLOT)
        self._take_token = client.register_script(_TAKE_TOKEN)
        self._lease_ms = int(lease.total_seconds() * 1000)
        self._retry = retry

    def take(self, accounts: Mapping[str, int], holder: str) -> bool:
        """Take or renew a slot at each account until the lease ends; False when one is full.

        `accounts`: how many slots each has.
        """
        keys = [f"slots:{account}" for account in accounts]
        with self._faults_translated():
            return bool(self._take_slot(keys, [holder, self._lease_ms, *accounts.values()]))

    def give_back(self, accounts: Mapping[str, int], holder: str) -> None:
        with self._faults_translated(), self._client.pipeline() as commands:
            for account in accounts:
                commands.zrem(f"slots:{account}", holder)
            commands.execute()

    @contextmanager
    def hold(self, accounts: Mapping[str, int], holder: str) -> Iterator[None]:
        """Hold the slots for the block; raise FaultError when one is not free."""
        if not self.take(accounts, holder):
            raise FaultError(
                _limited("slots.taken", "no free connection to the server", self._retry)
            )
        try:
            yield
        finally:
            # A slot that can't be given back is free again when its lease ends.
            with suppress(FaultError):
                self.give_back(accounts, holder)

    def meter(self, server: str, rate: int) -> Callable[[], None]:
        """Return what one conversation calls before each request, of `rate` a second (0: any).

        It raises FaultError over the rate. A conversation that has begun may run up a second's
        debt, which those that have not begun wait for: else many would list their changes, be
        refused the messages, and begin anew.
        """
        debt = 0

        def spend() -> None:
            nonlocal debt
            if rate == 0:
                return
            with self._faults_translated():
                wait_ms = int(self._take_token([f"rate:{server}"], [rate, debt]))
            if wait_ms:
                text = f"the limit of {rate} requests a second to the server is reached"
                raise FaultError(_limited("rate.reached", text, timedelta(milliseconds=wait_ms)))
            debt = rate

        return spend

    @contextmanager
    def _faults_translated(self) -> Iterator[None]:
        """Turn what Redis' client raises inside the block into a FaultError: we fail closed."""
        try:
            yield
        except redis.RedisError as error:
            text = "Redis can't be reached, so no connection may be opened; see REDIS_URL"
            raise FaultError(
                _limited("redis.unavailable", text, self._retry, Provenance.REDIS)
            ) from error


def _limited(
    code: str, text: str, wait: timedelta, provenance: Provenance = Provenance.US
) -> Fault:
    return Fault(
        code=code,
        nature=Nature.LIMITED,
        scope=Scope.MAILBOX,
        provenance=provenance,
        text=text,
        retry_after=wait,
    )
