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
    CONFLICT = "conflict"  # reading the item once more: somebody changed it meanwhile
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
    IMAP = "imap"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The administrator's: how long a fault may last before it counts as lasting (4B)."""

    attempts: int = 10  # with the same trouble, in a row
    retry: timedelta = timedelta(minutes=5)  # between them
    longest: timedelta = timedelta(hours=1)  # between the looks after them
    heals: bool = True  # what works again is switched on again

    def growing(self, times: int) -> timedelta:
        """Return the `times`-th pause (from 1) of those that double from `retry` to `longest`."""
        pause: timedelta = self.retry * 2 ** min(max(times, 1) - 1, 20)
        return max(self.retry, min(pause, self.longest))


class Effect(enum.Enum):
    """What a fault does to the direction of a mailbox that met it."""

    NOTHING = enum.auto()  # nobody failed: the server wants a pause, or the folder a new listing
    WARNS = enum.auto()  # it is tried again, and its owner can see it
    PROBES = enum.auto()  # switched off; a visit now and then looks whether it works again
    STOPS = enum.auto()  # switched off until a person switches it on

    @property
    def switches_off(self) -> bool:
        return self in (Effect.PROBES, Effect.STOPS)


class Refusal(enum.Enum):
    """What a refused login proves. Servers answer 401 when they are in trouble, too (PITFALLS X4).

    One refusal proves nothing until another mailbox of the server was let in after it.
    """

    SUSPECT = enum.auto()  # nobody else has been heard of since
    PROVEN = enum.auto()  # others were let in: it is this mailbox's own
    WIDESPREAD = enum.auto()  # others are refused as well: it is the server's


#: So many refusals in a row prove it for a mailbox whose server has no other to ask.
LONE_REFUSALS = 3


def refusal(failures: int, *, let_in_since: bool, others_refused: bool, is_alone: bool) -> Refusal:
    """Judge the `failures`-th refused login of a mailbox in a row (from 1).

    `let_in_since`: another mailbox was let in after the one before; `others_refused`: another was
    refused and nobody let in since; `is_alone`: there is no other mailbox to ask.
    """
    if let_in_since or (is_alone and failures >= LONE_REFUSALS):
        return Refusal.PROVEN
    return Refusal.WIDESPREAD if others_refused else Refusal.SUSPECT


def effect_of(
    fault: Fault, failures: int, patience: Patience, refused: Refusal | None = None
) -> Effect:
    """Decide what the `failures`-th fault in a row (from 1) does to its mailbox's direction.

    `refused` is what a refused login proves. A fault that concerns the whole server does nothing
    to its mailboxes: the server is left alone instead, and looked at by one visit (P04). One of a
    single message should not have ended a visit, and switches nothing off.
    """
    if fault.nature in (Nature.THROTTLED, Nature.LIMITED):
        return Effect.NOTHING
    if fault.nature is Nature.RESYNC and failures == 1:
        return Effect.NOTHING
    if fault.of_login:
        return Effect.STOPS if refused is Refusal.PROVEN else Effect.WARNS
    if fault.scope is Scope.EMAIL:
        return Effect.WARNS
    if fault.nature is Nature.PERMANENT or failures >= patience.attempts:
        return Effect.PROBES if patience.heals else Effect.STOPS
    return Effect.WARNS


#: First wait after a busy answer without a hint; doubled for each one in a row.
FIRST_WAIT = timedelta(minutes=1)
#: Longest such wait: a mailbox is seen within the promise of F008.
LONGEST_WAIT = timedelta(minutes=12)
#: Shortest wait that is taken from a server: one of milliseconds would be a hot loop.
SHORTEST_HINT = timedelta(seconds=1)


def rest_after(
    fault: Fault, failures: int, phase: float, minimum: timedelta, patience: Patience
) -> Rest:
    """Choose the wait after the `failures`-th fault in a row (from 1).

    A server's own hint is kept to the second, even when it is longer than ours. What has lasted
    too long, what time won't mend and a refused login wait ever longer: more attempts would only
    lock accounts. Waits of our own are up to a fifth shorter by `phase` (0 to 1), so that those who
    failed together don't all come back together. `minimum` is the server profile's floor.
    """
    rest = _rest_after(fault, failures, phase, patience)
    if rest.length < minimum:
        return Rest(minimum, f"{rest.reason}; the server profile's minimum applies")
    return rest


def _rest_after(fault: Fault, failures: int, phase: float, patience: Patience) -> Rest:
    if fault.retry_after is not None:
        return Rest(max(fault.retry_after, SHORTEST_HINT), "the server asked for this wait")
    if fault.nature is Nature.RESYNC and failures == 1:
        return Rest(timedelta(0), "the folder is listed once more from its beginning")
    attempt = f"attempt {failures} ended with {fault.code}"
    if fault.nature is Nature.THROTTLED:
        wait: timedelta = min(FIRST_WAIT * 2 ** min(failures - 1, 10), LONGEST_WAIT)
    elif fault.of_login:
        wait, attempt = patience.growing(failures), f"{attempt}; the account must not be locked"
    elif fault.nature is Nature.PERMANENT:
        wait, attempt = patience.growing(failures + 1), f"{fault.code} needs a person"
    elif failures >= patience.attempts:
        wait = patience.growing(failures - patience.attempts + 2)
        attempt = f"{attempt}; it has lasted too long"
    else:
        wait = patience.retry
    return Rest(wait * (1 - phase / 5), attempt)


def concerns_server(
    fault: Fault,
    *,
    account_is_shared: bool,
    login_is_shared: bool,
    refused: Refusal | None = None,
) -> bool:
    """Whether a fault is a reason to leave every mailbox of the server profile alone.

    Exchange counts the budget of the account that calls; when it impersonates, a copy of the
    budget of each mailbox. So a busy answer concerns the others only when they share the account.
    A refused login concerns all who log in with it, until one of them is let in, and everybody
    when it is widespread: so no storm of attempts locks anyone out.
    """
    if fault.of_login:
        return refused is Refusal.WIDESPREAD or (login_is_shared and refused is Refusal.SUSPECT)
    if fault.scope is Scope.PROFILE:
        return True
    return fault.nature is Nature.THROTTLED and account_is_shared


def item_may_recover(fault: Fault, attempts: int, limit: int) -> bool:
    """Whether an item that failed `attempts` times is worth another (F117: five in all)."""
    return fault.nature is not Nature.PERMANENT and attempts < limit


def may_be_of_one_item(fault: Fault) -> bool:
    """Whether what ended a request may be the doing of a single item that was asked for.

    Servers hang, hang up or stumble over one message. What they say in their own protocol is
    believed; silence and what is no answer are looked into.
    """
    if fault.scope is Scope.EMAIL:
        return True
    is_silence = fault.provenance in (Provenance.TCP, Provenance.HTTP, Provenance.US)
    return is_silence and fault.nature is Nature.TRANSIENT


def may_be_said_over_one_item(fault: Fault) -> bool:
    """Whether a server that gives other items, and is well, may say so over a single one.

    Some call a damaged message a trouble of their own, for ever. A pause, other numbers and a
    refused login concern every request.
    """
    return fault.nature in (Nature.TRANSIENT, Nature.PERMANENT) and not fault.of_login
