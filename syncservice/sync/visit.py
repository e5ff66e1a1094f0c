"""One visit: bring the incoming email of one mailbox up to date, page by page.

A visit starts from a claim and ends in exactly one outcome. In between it asks the gateway for a
page of changes, fetches what is new in batches of bounded size, and commits each batch's records;
the last batch of a page commits the page's cursor with it. After a crash the next visit reads the
page again and passes over what is linked already: nothing is lost and nothing doubled.

Nothing here knows Celery or a protocol, and nothing waits: out of budget, asked to stop or held
back by a limit of our own, a visit returns.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from syncservice.domain.faults import (
    Fault,
    FaultError,
    Nature,
    Provenance,
    Scope,
    may_be_of_one_item,
    may_be_said_over_one_item,
)
from syncservice.servers.gateway import (
    FOLDER_GONE,
    Fetched,
    Gone,
    Incoming,
    Listed,
    NotFetched,
    Organised,
)
from syncservice.sync import organising, track_requests
from syncservice.sync.deletion import delete_stored
from syncservice.sync.folder_tracking import apply_folder_rules, folder_is_gone, note_left_folder
from syncservice.sync.inbox import LONGEST_ID, Inbox, kept_id
from syncservice.sync.listing import is_retrying, leave_unlisted, new_items, to_retry
from syncservice.sync.storing import Stored, store


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
    gone: int = 0  # before they could be fetched
    declined: int = 0
    written: int = 0  # items in the mailbox, of appointments, contacts and tasks
    bytes: int = 0
    more_left: bool = False
    fault: Fault | None = None  # None: the visit ended well
    limit: Fault | None = None  # a limit of our own that ended it early; nothing is wrong
    stopped: bool = False  # its worker was told to stop
    seconds: float = 0.0

    @property
    def handled(self) -> int:
        return self.stored + self.linked + self.failed + self.declined

    def end_by(self, fault: Fault) -> None:
        """Say what ended the visit early; a limit of our own is nothing that is wrong."""
        if fault.nature is Nature.LIMITED:
            self.limit, self.more_left = fault, True
        else:
            self.fault = fault

    def add(self, stored: Stored) -> None:
        self.stored += stored.stored
        self.linked += stored.linked
        self.failed += stored.failed
        self.gone += stored.gone
        self.declined += stored.declined


def visit(
    gateway: Incoming,
    inbox: Inbox,
    budget: Budget,
    clock: Callable[[], float],
    is_stopping: Callable[[], bool] = lambda: False,
    *,
    organised: Organised | None = None,
    undeliverable: str = "",
    only_requests: bool = False,
) -> Outcome:
    """Make one visit; `clock` counts seconds. Raise ClaimLost as soon as another holds the lane.

    A fault of the server ends the visit and is part of the outcome: what was committed stays.

    `organised` is what the mailbox has besides messages, where the server knows such things;
    `undeliverable` names the folder for what can't be stored, '': it stays where it is.
    With `only_requests`, nothing is brought in but what somebody asked for by hand.
    """
    outcome = Outcome()
    began = clock()

    def is_spent() -> bool:
        outcome.stopped = outcome.stopped or is_stopping()
        return (
            outcome.stopped
            or clock() - began >= budget.duration.total_seconds()
            or outcome.handled >= budget.messages
            or outcome.bytes >= budget.bytes
        )

    def fetch(items: Sequence[Listed]) -> Iterator[list[Fetched | NotFetched | Gone]]:
        for batch in batches(items, budget):
            outcome.bytes += sum(item.size for item in batch)
            yield _fetch(gateway, batch, budget)

    def answer_requests() -> None:
        for request in track_requests.waiting(inbox):
            if is_spent():
                outcome.more_left = True
                return
            for stored in track_requests.answer(gateway, inbox, request, fetch):
                outcome.add(stored)

    try:
        answer_requests()
        if not only_requests:
            if organised is not None:
                organising.organise(gateway, organised, inbox)
            folders = [inbox, *(organising.other_folders(inbox) if organised is not None else ())]
            for folder in folders:
                outcome.more_left |= _visit_folder(
                    gateway, folder, budget, outcome, is_spent, answer_requests
                )
            if len(folders) > 1:
                apply_folder_rules(inbox)
            delete_stored(gateway, inbox)
            if organised is not None:
                organising.mark_undeliverable(gateway, organised, inbox, move_to=undeliverable)
    except FaultError as error:
        outcome.end_by(error.fault)
    outcome.requests = gateway.requests
    outcome.seconds = clock() - began
    return outcome


def _visit_folder(
    gateway: Incoming,
    folder: Inbox,
    budget: Budget,
    outcome: Outcome,
    is_spent: Callable[[], bool],
    answer_requests: Callable[[], None],
) -> bool:
    """Bring one folder up to date; True when some is left for the next visit."""
    if is_spent():
        return True
    try:
        more_left = _read_pages(gateway, folder, budget, outcome, is_spent, answer_requests)
        _retry_failures(gateway, folder, budget, outcome, is_spent)
    except FaultError as error:
        if error.fault.nature is Nature.RESYNC:
            folder.forget_cursor()
        if error.fault.code == FOLDER_GONE and folder.tracked_folder is not None:
            folder_is_gone(folder)
            return False
        raise
    return more_left


def _retry_failures(
    gateway: Incoming,
    inbox: Inbox,
    budget: Budget,
    outcome: Outcome,
    is_spent: Callable[[], bool],
) -> None:
    """Try again what failed before for a reason that may have passed (F117), after what is new."""
    while not is_spent() and (items := to_retry(inbox, budget.page_ids)):
        known = {item.item_id for item in items}
        for batch in _fetched(gateway, batches(items, budget), budget, outcome, known):
            outcome.add(store(inbox, batch.answers))
            if is_spent() and not batch.is_last:
                return


def _read_pages(
    gateway: Incoming,
    inbox: Inbox,
    budget: Budget,
    outcome: Outcome,
    is_spent: Callable[[], bool],
    answer_requests: Callable[[], None],
) -> bool:
    """Read changes until done or out of budget; True when some are left.

    What people ask for meanwhile may lie in any folder: `answer_requests` knows nothing of this.
    """
    cursor = inbox.cursor()
    suspects = 0
    listed: set[str] = set()
    while True:
        page = gateway.page(cursor, budget.page_ids, inbox.folder)
        outcome.pages += 1
        note_left_folder(inbox, page.removed)
        if page.is_of_listing:
            listed.update(item.item_id for item in page.items)
        new, failed_before = new_items(inbox, page.items)
        # What failed goes last and alone: so a message that ends every request ends no other's.
        todo = [*batches(new, budget), *([item] for item in failed_before)]
        known = {item.item_id for item in failed_before}
        for batch in _fetched(gateway, todo, budget, outcome, known):
            suspects += batch.suspect is not None
            is_unproven = batch.suspect is not None and outcome.handled == outcome.failed
            ends_page = batch.is_last and not is_unproven
            is_alone = batch.is_last and suspects == 1
            stored = store(
                inbox,
                batch.answers,
                page.cursor if ends_page else None,
                are_attempts=is_alone or not is_unproven,
            )
            outcome.add(stored)
            if is_unproven and (batch.is_last or suspects > 1):
                _raise_unless_given_up(inbox, batch)
            if batch.is_last and not ends_page:
                inbox.move_cursor(page.cursor)
            if is_spent() and not batch.is_last:
                return True
            answer_requests()
        if not todo and page.cursor != cursor:
            inbox.move_cursor(page.cursor)
        cursor = page.cursor
        if page.is_last and page.is_of_listing:
            leave_unlisted(inbox, listed)
        if page.is_last:
            return False
        if is_spent():
            return True


@dataclass(frozen=True, slots=True)
class _Batch:
    """What came of asking for some items."""

    answers: list[Fetched | NotFetched | Gone]
    is_last: bool
    suspect: Fault | None = None  # asking for the one item ended in this, though all else is well


def _fetched(
    gateway: Incoming,
    todo: Iterable[list[Listed]],
    budget: Budget,
    outcome: Outcome,
    failed_before: Collection[str],
) -> Iterator[_Batch]:
    """Yield the answers of one batch after another.

    A batch that ends in silence, or in what is no answer, while the server is well otherwise, has
    one message in it that does that: it is asked for again message by message.

    What a server says of itself is believed, unless it gives other messages in this visit: so a
    lone one is asked for last. One that failed before is passed over: it may have no other beside
    it.
    """
    waiting = deque(todo)
    asked_last: list[Listed] = []
    while waiting:
        items = waiting.popleft()
        try:
            answers, suspect = _fetch(gateway, items, budget), None
        except FaultError as error:
            fault, item = error.fault, items[0]
            is_known = all(item.item_id in failed_before for item in items)
            is_said = not may_be_of_one_item(fault)
            if is_said and not may_be_said_over_one_item(fault):
                raise
            if is_said and not is_known:
                is_unproven = outcome.handled == outcome.failed
                if len(items) > 1 or (is_unproven and (not waiting or item in asked_last)):
                    raise
                if is_unproven:
                    asked_last.append(item)
                    waiting.append(items)
                    continue
            gateway.check()
            if len(items) > 1:
                waiting.extendleft([item] for item in reversed(items))
                continue
            if is_said:
                fault, suspect = replace(fault, nature=Nature.TRANSIENT), None
            else:
                fault = suspect = replace(fault, scope=Scope.EMAIL)
            answers = [NotFetched(item.item_id, item.size, fault, item.subject)]
        outcome.bytes += sum(item.size for item in items)
        yield _Batch(answers, not waiting, suspect)


def _raise_unless_given_up(inbox: Inbox, batch: _Batch) -> None:
    """Raise what the server did instead of giving a message, when it has given no other.

    So the cursor stays before what may be good mail at a server in trouble, and the mailbox, not
    the whole server, is left alone. Only a message that is all that is new is given up in the end.
    """
    assert batch.suspect is not None
    if is_retrying(inbox, batch.answers[0].item_id):
        raise FaultError(replace(batch.suspect, scope=Scope.MAILBOX))


def _fetch(
    gateway: Incoming, batch: Sequence[Listed], budget: Budget
) -> list[Fetched | NotFetched | Gone]:
    """Fetch a batch, but nothing that would fill the worker's memory; one answer for each item.

    A server may answer for other items than it was asked for, twice, or not at all. What it doesn't
    answer for is tried again as anything that failed; the cursor moves on and would hide it.
    """
    refused: dict[str, Fault] = {}
    for item in batch:
        if len(item.item_id) > LONGEST_ID:
            refused[item.item_id] = _ID_TOO_LONG
        elif item.size > budget.message_bytes:
            refused[item.item_id] = _too_large(item.size, budget.message_bytes)
    asked = [item for item in batch if item.item_id not in refused]
    given: dict[str, Fetched | NotFetched | Gone] = {}
    for answer in gateway.fetch(asked) if asked else ():
        if isinstance(answer, Fetched) or answer.item_id not in given:
            given[answer.item_id] = answer
    if asked and given.keys().isdisjoint(item.item_id for item in asked):
        raise FaultError(_NOT_ANSWERED)
    return [
        given.get(item.item_id)
        or NotFetched(
            kept_id(item.item_id),
            item.size,
            refused.get(item.item_id, _NOT_ANSWERED),
            item.subject,
        )
        for item in batch
    ]


_NOT_ANSWERED = Fault(
    code="email.not_answered",
    nature=Nature.TRANSIENT,
    scope=Scope.EMAIL,
    provenance=Provenance.US,
    text="the server was asked for this message and did not answer for it",
)
_ID_TOO_LONG = Fault(
    code="email.id_too_long",
    nature=Nature.PERMANENT,
    scope=Scope.EMAIL,
    provenance=Provenance.US,
    text=f"the server's id of this message has more than {LONGEST_ID} characters",
)


def _too_large(size: int, limit: int) -> Fault:
    return Fault(
        code="email.too_large",
        nature=Nature.PERMANENT,
        scope=Scope.EMAIL,
        provenance=Provenance.US,
        text=f"the message has {size:,} bytes, and MESSAGE_BYTES allows {limit:,}",
    )


def batches(items: Sequence[Listed], budget: Budget) -> Iterator[list[Listed]]:
    """Cut items into runs that the budget allows in one batch.

    A larger item goes alone, and so does one whose size the server didn't tell.
    """
    run: list[Listed] = []
    run_bytes = 0
    for item in items:
        size = item.size or budget.batch_bytes
        is_full = len(run) >= budget.batch_messages or run_bytes + size > budget.batch_bytes
        if run and is_full:
            yield run
            run, run_bytes = [], 0
        run.append(item)
        run_bytes += size
    if run:
        yield run
