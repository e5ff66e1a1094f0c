"""Faults: what can go wrong outside, as values of our own (DESIGN invariant 7).

Adapters translate every foreign exception into a `FaultError` at their border; nothing else
crosses the gateway. What a fault means for the next visit is decided here and nowhere else.
"""

import enum
from dataclasses import dataclass
from datetime import timedelta

from syncservice.domain.polling import Rest


class Nature(enum.StrEnum):
    """What helps against a fault."""

    TRANSIENT = "transient"  # time
    THROTTLED = "throttled"  # the wait that the server asked for
    PERMANENT = "permanent"  # a person
    RESYNC = "resync"  # forgetting the cursor and listing everything once more
    CONFLICT = "conflict"  # reading the record again and merging
    LIMITED = "limited"  # nothing is wrong: a limit of our own says "not now"


class Scope(enum.StrEnum):
    """Whom a fault concerns."""

    EMAIL = "email"
    MAILBOX = "mailbox"
    PROFILE = "profile"


class Provenance(enum.StrEnum):
    """Who said so."""

    US = "us"
    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    HTTP = "http"
    EWS = "ews"
    POP3 = "pop3"
    SMTP = "smtp"
    REDIS = "redis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What went wrong outside, as plain data: it is stored, shown and counted."""

    code: str  # stable and documented: "exchange.server_busy"
    nature: Nature
    scope: Scope
    provenance: Provenance
    text: str  # one sentence for people, with the remedy; no secret, no content of mail
    retry_after: timedelta | None = None  # None: the server gave no hint
    of_login: bool = False  # the account was refused: more attempts could lock it


class FaultError(Exception):
    """Carries a fault from the border that met it to the place that decides."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault

    def __str__(self) -> str:
        return f"{self.fault.code}: {self.fault.text}"


#: First wait after a fault without a hint; doubled for each fault in a row.
FIRST_WAIT = timedelta(minutes=1)
#: Longest wait: a mailbox that recovered is seen within the promise of F008.
LONGEST_WAIT = timedelta(minutes=12)
#: Shortest wait that is taken from a server: one of milliseconds would be a hot loop.
SHORTEST_HINT = timedelta(seconds=1)


def rest_after(fault: Fault, failures: int, phase: float, minimum: timedelta) -> Rest:
    """Choose the wait after the `failures`-th fault in a row (from 1).

    A server's own hint is kept to the second, even when it is longer than ours. A fault that
    time won't mend waits longest at once: more attempts would only lock accounts. Waits of our own
    are up to a fifth shorter by `phase` (0 to 1), so that those who failed together don't all come
    back together. `minimum` is the server profile's floor.
    """
    rest = _rest_after(fault, failures, phase)
    if rest.length < minimum:
        return Rest(minimum, f"{rest.reason}; the server profile's minimum applies")
    return rest


def _rest_after(fault: Fault, failures: int, phase: float) -> Rest:
    if fault.retry_after is not None:
        return Rest(max(fault.retry_after, SHORTEST_HINT), "the server asked for this wait")
    if fault.nature is Nature.RESYNC and failures == 1:
        return Rest(timedelta(0), "the folder is listed once more from its beginning")
    if fault.nature is Nature.PERMANENT:
        return Rest(LONGEST_WAIT * (1 - phase / 5), f"{fault.code} needs a person")
    doubled = min(FIRST_WAIT * 2 ** min(failures - 1, 10), LONGEST_WAIT)
    return Rest(doubled * (1 - phase / 5), f"attempt {failures} ended with {fault.code}")


def concerns_server(fault: Fault, *, account_is_shared: bool) -> bool:
    """Whether a fault is a reason to leave every mailbox of the server profile alone.

    Exchange counts the budget of the account that calls; when it impersonates, a copy of the
    budget of each mailbox. So a busy answer concerns the others only when they share the account.
    """
    if fault.scope is Scope.PROFILE:
        return True
    return fault.nature is Nature.THROTTLED and account_is_shared


def item_may_recover(fault: Fault, attempts: int, limit: int) -> bool:
    """Whether an item that failed `attempts` times is worth another (F117: five in all)."""
    return fault.nature is not Nature.PERMANENT and attempts < limit
