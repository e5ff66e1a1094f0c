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


def rest_after(fault: Fault, failures: int) -> Rest:
    """Choose the wait after the `failures`-th fault in a row (from 1).

    A server's own hint is kept to the second, even when it is longer than ours. A fault that
    time won't mend waits longest at once: more attempts would only lock accounts.
    """
    if fault.retry_after is not None:
        return Rest(fault.retry_after, "the server asked for this wait")
    if fault.nature is Nature.RESYNC and failures == 1:
        return Rest(timedelta(0), "the folder is listed once more from its beginning")
    if fault.nature is Nature.PERMANENT:
        return Rest(LONGEST_WAIT, f"{fault.code} needs a person")
    doubled = FIRST_WAIT * 2 ** min(failures - 1, 10)
    return Rest(min(doubled, LONGEST_WAIT), f"attempt {failures} ended with {fault.code}")


def item_may_recover(fault: Fault, attempts: int, limit: int) -> bool:
    """Whether an item that failed `attempts` times is worth another (F117: five in all)."""
    return fault.nature is not Nature.PERMANENT and attempts < limit
