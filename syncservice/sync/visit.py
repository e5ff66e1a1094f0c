"""One visit: bring the incoming email of one mailbox up to date, page by page.

A visit starts from a claim and ends in exactly one outcome. In between it asks the gateway for a
page of changes, fetches what is new in batches of bounded size, and commits each batch's records;
the last batch of a page commits the page's cursor with it. After a crash the next visit reads the
page again and passes over what is linked already: nothing is lost and nothing doubled.

Nothing here knows Celery or a protocol, and nothing waits: out of budget, asked to stop or held
back by a limit of our own, a visit returns.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.servers.gateway import Fetched, Gone, Incoming, Listed, NotFetched
from syncservice.sync.incoming_email import Inbox, Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one visit may take; the rest of the mailbox waits for the next."""

    duration: timedelta
    messages: int
    bytes: int  # as the server counts them
    page_ids: int
    batch_messages: int
    batch_bytes: int
    message_bytes: int  # a larger message is not fetched


@dataclass(slots=True)
class Outcome:
    """What came of a visit; counts are of items."""

    requests: int = 0
    pages: int = 0
    stored: int = 0
    linked: int = 0
    failed: int = 0
    bytes: int = 0
    more_left: bool = False
    fault: Fault | None = None  # None: the visit ended well
    limit: Fault | None = None  # a limit of our own that ended it early; nothing is wrong
    stopped: bool = False  # its worker was told to stop
    seconds: float = 0.0

    def add(self, stored: Stored) -> None:
        self.stored += stored.stored
        self.linked += stored.linked
        self.failed += stored.failed


def visit(
    gateway: Incoming,
    inbox: Inbox,
    budget: Budget,
    clock: Callable[[], float],
    is_stopping: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Make one visit; `clock` counts seconds. Raise ClaimLost as soon as another holds the lane.

    A fault of the server ends the visit and is part of the outcome: what was committed stays.
    """
    outcome = Outcome()
    began = clock()

    def is_spent() -> bool:
        outcome.stopped = outcome.stopped or is_stopping()
        return (
            outcome.stopped
            or clock() - began >= budget.duration.total_seconds()
            or outcome.stored + outcome.linked + outcome.failed >= budget.messages
            or outcome.bytes >= budget.bytes
        )

    try:
        outcome.more_left = _read_pages(gateway, inbox, budget, outcome, is_spent)
        _retry_failures(gateway, inbox, budget, outcome, is_spent)
    except FaultError as error:
        if error.fault.nature is Nature.LIMITED:
            outcome.limit, outcome.more_left = error.fault, True
        else:
            outcome.fault = error.fault
        if error.fault.nature is Nature.RESYNC:
            inbox.forget_cursor()
    outcome.requests = gateway.requests
    outcome.seconds = clock() - began
    return outcome


def _retry_failures(
    gateway: Incoming,
    inbox: Inbox,
    budget: Budget,
    outcome: Outcome,
    is_spent: Callable[[], bool],
) -> None:
    """Try again what failed before for a reason that may have passed (F117), after what is new."""
    while not is_spent() and (items := inbox.to_retry(budget.page_ids)):
        for batch in batches(items, budget.batch_messages, budget.batch_bytes):
            if is_spent():
                return
            outcome.bytes += sum(item.size for item in batch)
            outcome.add(inbox.store(_fetch(gateway, batch, budget)))


def _read_pages(
    gateway: Incoming,
    inbox: Inbox,
    budget: Budget,
    outcome: Outcome,
    is_spent: Callable[[], bool],
) -> bool:
    """Read changes until done or out of budget; True when some are left."""
    cursor = inbox.cursor()
    while True:
        page = gateway.page(cursor, budget.page_ids)
        outcome.pages += 1
        new = inbox.new_items(page.items)
        todo = list(batches(new, budget.batch_messages, budget.batch_bytes))
        for number, batch in enumerate(todo, start=1):
            outcome.bytes += sum(item.size for item in batch)
            whole_page = number == len(todo)
            fetched = _fetch(gateway, batch, budget)
            outcome.add(inbox.store(fetched, page.cursor if whole_page else None))
            if is_spent() and not whole_page:
                return True
        if not todo and page.cursor != cursor:
            inbox.move_cursor(page.cursor)
        cursor = page.cursor
        if page.is_last:
            return False
        if is_spent():
            return True


def _fetch(
    gateway: Incoming, batch: Sequence[Listed], budget: Budget
) -> Iterator[Fetched | NotFetched | Gone]:
    """Fetch a batch, but nothing that would fill the worker's memory."""
    small = [item for item in batch if item.size <= budget.message_bytes]
    for item in batch:
        if item.size > budget.message_bytes:
            fault = _too_large(item.size, budget.message_bytes)
            yield NotFetched(item.item_id, item.size, fault, item.subject)
    if small:
        yield from gateway.fetch(small)


def _too_large(size: int, limit: int) -> Fault:
    return Fault(
        code="email.too_large",
        nature=Nature.PERMANENT,
        scope=Scope.EMAIL,
        provenance=Provenance.US,
        text=f"the message has {size:,} bytes, and MESSAGE_BYTES allows {limit:,}",
    )


def batches(items: Sequence[Listed], count: int, size: int) -> Iterator[list[Listed]]:
    """Cut items into runs of at most `count` items and `size` bytes; a larger one goes alone."""
    run: list[Listed] = []
    run_bytes = 0
    for item in items:
        if run and (len(run) >= count or run_bytes + item.size > size):
            yield run
            run, run_bytes = [], 0
        run.append(item)
        run_bytes += item.size
    if run:
        yield run
