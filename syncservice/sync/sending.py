"""Send what a mailbox has to send, one email after the other, within one claim (F160, F161).

An email is sent once. Before its first attempt it has its Message-ID; each attempt is written down
when it begins, and again right before the server may have the email. So whoever comes after a crash
knows whether an attempt surely failed, or has to ask the server what became of it.

Nothing here knows Celery or a protocol, and nothing waits.
"""

from collections.abc import Callable
from dataclasses import dataclass

from syncservice.domain.composition import CannotCompose
from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.domain.sending import State
from syncservice.servers.gateway import OutcomeUnknown, Outgoing, Whereabouts
from syncservice.sync.outbox import Outbox, Ready


@dataclass(slots=True)
class Sendings:
    """What came of a claim; counts are of emails."""

    sent: int = 0
    put_off: int = 0
    failed: int = 0
    held: int = 0  # nobody can tell; a person decides
    requests: int = 0
    fault: Fault | None = None  # of the mailbox or its server; None: it ended well
    limit: Fault | None = None  # a limit of our own that ended it early; nothing is wrong
    stopped: bool = False  # its worker was told to stop
    seconds: float = 0.0

    def add(self, state: State) -> None:
        self.sent += state is State.SENT
        self.put_off += state is State.PENDING
        self.failed += state is State.FAILED
        self.held += state is State.UNKNOWN

    @property
    def handled(self) -> int:
        return self.sent + self.put_off + self.failed + self.held


@dataclass(frozen=True, slots=True)
class Budget:
    """What one claim may take; the rest of the mailbox's email goes to the end of the line."""

    seconds: float
    emails: int


def send_pending(
    gateway: Outgoing,
    outbox: Outbox,
    budget: Budget,
    clock: Callable[[], float],
    is_stopping: Callable[[], bool] = lambda: False,
) -> Sendings:
    """Send what has its turn, as far as the budget goes; `clock` counts seconds.

    Raise ClaimLost as soon as another holds the lane. A fault of the mailbox or the server ends it
    and is part of the result.
    """
    done, began = Sendings(), clock()

    def is_spent() -> bool:
        done.stopped = done.stopped or is_stopping()
        return done.stopped or clock() - began >= budget.seconds

    def next_one() -> Ready | None:
        is_full = done.handled >= budget.emails
        return None if is_full or is_spent() else outbox.begin_next()

    try:
        with outbox.step():
            outbox.take_stock()
            ready = next_one()
        while ready is not None:
            record = _find_out if ready.is_lost else _attempt
            became = record(gateway, outbox, ready)
            with outbox.step():
                done.add(became())
                ready = next_one()
        _look_at_copies(gateway, outbox, is_spent)
    except _Failed as error:
        done.add(error.state)
        done.fault = error.fault
    except FaultError as error:
        done.fault = error.fault
    if done.fault is not None and done.fault.nature is Nature.LIMITED:
        done.fault, done.limit = None, done.fault
    done.requests = gateway.requests
    done.seconds = clock() - began
    return done


class _Failed(FaultError):
    """An attempt met a fault that is not its email's: no other is made now."""

    def __init__(self, fault: Fault, state: State) -> None:
        super().__init__(fault)
        self.state = state


def _attempt(gateway: Outgoing, outbox: Outbox, ready: Ready) -> Callable[[], State]:
    """Make an attempt at an email; return what writes down what became of it."""
    try:
        mail = outbox.mail_object(ready)
        accepted = gateway.send(mail, lambda: outbox.hand_over(ready))
    except CannotCompose as error:
        fault = _cannot_compose(error)
        return lambda: outbox.refuse(ready, fault)
    except OutcomeUnknown as error:
        with outbox.step():
            outbox.lose(ready, error.fault)
        return _find_out(gateway, outbox, ready)
    except FaultError as error:
        fault = error.fault
        if fault.scope is Scope.EMAIL:
            return lambda: outbox.refuse(ready, fault)
        with outbox.step():
            state = outbox.refuse(ready, fault)
        raise _Failed(fault, state) from error
    return lambda: outbox.accept(ready, accepted)


def _find_out(gateway: Outgoing, outbox: Outbox, ready: Ready) -> Callable[[], State]:
    """Ask the server what became of an attempt; return what writes that down.

    Where it is another server that knows, its trouble is none of the one that sends.
    """
    try:
        found = gateway.look_up(outbox.name_of(ready))
    except FaultError as error:
        fault = error.fault
        is_same = outbox.profile.is_exchange and fault.scope is not Scope.EMAIL
        if is_same or fault.nature is Nature.LIMITED:
            raise
        return lambda: outbox.ask_later(ready, fault)
    if found is Whereabouts.NOT_SENT:
        return lambda: outbox.found_nothing(ready)
    if found is Whereabouts.SENT and not ready.outgoing.accepted_paths:
        return lambda: outbox.found_sent(ready)
    return lambda: outbox.hold(ready)  # what is there may be what others got before


def _look_at_copies(gateway: Outgoing, outbox: Outbox, is_spent: Callable[[], bool]) -> None:
    """Bring Sent Items in line: no trouble with them is any of the email, which was sent."""
    while not is_spent() and (ready := outbox.copy_due()) is not None:
        try:
            gateway.keep_copy(outbox.mail_object(ready))
        except CannotCompose:
            pass  # it was changed since: there is nothing that could be filed
        except FaultError as error:
            if error.fault.nature is Nature.LIMITED:
                raise
            with outbox.step():
                outbox.copy_failed(ready, error.fault)
            continue
        with outbox.step():
            outbox.copy_is_kept(ready)


def _cannot_compose(error: CannotCompose) -> Fault:
    return Fault(
        code="email.not_composed",
        nature=Nature.PERMANENT,
        scope=Scope.EMAIL,
        provenance=Provenance.US,
        text=str(error),
    )
