"""The first synchronization of a kind: look at everything, write nothing, and ask when it is much.

What a mailbox has already is adopted instead of made again: by our key on it, by UID, by address
and name, by subject and time (P05, P06). The same look is a dry run for whoever wants one, and it
is taken again when other filters select many more records: what is linked goes on meanwhile.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.crm import changes
from syncservice.domain import guard
from syncservice.domain.adoption import FirstSync, Hint, match
from syncservice.domain.item_values import ItemKind, subject_of
from syncservice.domain.meeting import Invitations
from syncservice.mailboxes.models import ItemLink, ItemProgress
from syncservice.mailboxes.schedule import fenced
from syncservice.servers.gateway import Activities, ListedItem
from syncservice.sync.items import elsewhere, links
from syncservice.sync.items.book import Book
from syncservice.sync.items.deciding import decide
from syncservice.sync.items.elsewhere import Elsewhere
from syncservice.sync.items.noticing import MOST_CHANGES, move_cursor

First = ItemProgress.First
State = ItemLink.State
#: Records that are looked at together.
_AT_ONCE = 500


@dataclass(slots=True)
class Survey:
    """What there is on both sides, and what would become of it."""

    position: str  # in the CRM's changes, from before anything was looked at
    filters: str
    cursor: str = ""
    items: list[ListedItem] = field(default_factory=list)
    pairs: dict[str, UUID] = field(default_factory=dict)  # item -> the record that it is
    wanted: list[ListedItem] = field(default_factory=list)  # become records
    creations: list[UUID] = field(default_factory=list)  # records that become items
    selected: set[UUID] = field(default_factory=set)
    formers: int = 0  # items that are records of the mailbox's former owner
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    counts: FirstSync = field(default_factory=FirstSync)


def begin(book: Book, gateway: Activities, progress: ItemProgress, now: datetime) -> bool:
    """Begin with a kind, unless that needs somebody's word; return whether it has begun."""
    if progress.first in (First.ASKING, First.DECLINED):
        return False
    survey = look(book, gateway, now)
    reason = ""
    if progress.first == First.NEW:
        most = book.organisation.asks_above_creations
        reasons = [_about_formers(survey), survey.elsewhere.reason]
        reasons += [guard.first_synchronization(survey.counts, most=most)]
        reason = "; ".join(filter(None, reasons))
    plan = survey.counts.as_plan() | {"reason": reason}
    with fenced(book.claim):
        rows = ItemProgress.objects.filter(pk=progress.pk)
        elsewhere.tell(book, progress, survey.elsewhere)
        if reason:
            rows.update(first=First.ASKING, plan=plan, planned_at=Now())
            asking = ItemProgress.objects.filter(mailbox=book.mailbox.pk, first=First.ASKING)
            # There is one question, and one answer, for all kinds.
            text = "; ".join(f"{one.kind}: {one.plan['reason']}" for one in asking.order_by("kind"))
            alerts.ask(book.mailbox.pk, alerts.FIRST_SYNCHRONIZATION, text, direction=alerts.ITEMS)
            return False
        _link(book, survey)
        begun: dict[str, Any] = {"first": First.DONE, "plan": plan, "planned_at": Now()}
        if not progress.position:  # else what changed of the linked ones is noticed from there
            move_cursor(book, survey.cursor)
            begun |= {"position": survey.position, "filters": survey.filters}
        rows.update(**begun)
    return True


def look(book: Book, gateway: Activities, now: datetime) -> Survey:
    """Look at both sides, or raise FaultError; nothing is written anywhere."""
    survey = Survey(changes.current_position(), book.records.filters_digest(book.user))
    survey.items, survey.cursor = listed(book, gateway)
    known = set(book.links.exclude(item_id="").values_list("item_id", flat=True))
    unknown = [item for item in survey.items if item.item_id not in known]
    items = [item for item in unknown if not book.leaves_alone(item.record_key)]
    survey.selected = book.records.keys_selected(book.user)
    linked = set(book.links.values_list("key", flat=True))
    ours = {key for item in items if (key := book.key_of(item.record_key)) is not None}
    records = list(hints_of(book, (survey.selected | ours) - linked))
    survey.pairs = match([hint_of(book, item) for item in items], records)
    paired = set(survey.pairs.values())
    theirs = [hint_of(book, item) for item in unknown if book.leaves_alone(item.record_key)]
    # A meeting whose UID is known is never made again.
    mine = [one for one in records if one.name in survey.selected - paired and not one.uid]
    survey.elsewhere = Elsewhere(len(theirs), len(match(theirs, mine)))
    survey.wanted = tracked_beside(book, items, survey.pairs)
    survey.creations = sorted(survey.selected - paired - linked)
    survey.formers = _formers(book, survey)
    survey.counts = _counted(book, gateway, survey, len(items), now)
    return survey


def tracked_beside(
    book: Book, items: Iterable[ListedItem], pairs: Collection[str]
) -> list[ListedItem]:
    """Return the items that become records: those tracked that are none yet."""
    return [
        item for item in items if item.item_id not in pairs and book.is_tracked(item.categories)
    ]


def listed(book: Book, gateway: Activities) -> tuple[list[ListedItem], str]:
    """List all items of the kind; return them and the cursor behind them, or raise FaultError."""
    found: dict[str, ListedItem] = {}
    cursor = ""
    while True:
        page = gateway.changes(book.kind, cursor, MOST_CHANGES)
        found |= {item.item_id: item for item in page.items}
        for item_id in page.removed:
            found.pop(item_id, None)
        cursor = page.cursor
        if page.is_last:
            return list(found.values()), cursor


def _formers(book: Book, survey: Survey) -> int:
    """Count the items that bear our keys because a former owner had them in step (F214)."""
    if not book.mailbox.mappings.exclude(user=book.user).exists():
        return 0
    keys = {book.key_of(item.record_key) for item in survey.items}
    return len(keys.intersection(survey.pairs.values()) - survey.selected)


def _about_formers(survey: Survey) -> str:
    if not survey.formers:
        return ""
    return (
        f"{survey.formers} items are records of the mailbox's former owner, and would be kept in"
        " step for the new one"
    )


def hint_of(book: Book, item: ListedItem) -> Hint[str]:
    key = book.key_of(item.record_key)
    return Hint(
        name=item.item_id,
        key=str(key or ""),
        uid=item.uid,
        subject=item.subject,
        starts_at=item.starts_at or "",
        addresses=item.addresses,
    )


def _runs(keys: Iterable[UUID]) -> Iterator[list[UUID]]:
    ordered = sorted(keys)
    for place in range(0, len(ordered), _AT_ONCE):
        yield ordered[place : place + _AT_ONCE]


def hints_of(book: Book, keys: set[UUID]) -> Iterator[Hint[UUID]]:
    """Say of each record what tells it from others."""
    for some in _runs(keys):
        for key, record in book.records.load(some).items():
            values = book.records.values(record, book.user)
            time = values.get("time")
            starts_at = time["start"] if time else values.get("due")  # of a task, the day it is due
            addresses = (values.get(name) for name in ("email1", "email2", "email3"))
            yield Hint(
                name=key,
                key=str(key),
                uid=getattr(record, "uid", ""),
                subject=subject_of(values),
                starts_at=starts_at or "",
                addresses=tuple(address.lower() for address in addresses if address),
            )


def _counted(
    book: Book, gateway: Activities, survey: Survey, items: int, now: datetime
) -> FirstSync:
    """Count what would be done; creations are decided as they will be, and forgotten again."""
    counts: Counter[str] = Counter()
    for some in _runs(survey.creations):
        steps = decide(book, gateway, [links.creation(book, key) for key in some], now)
        for step in steps:
            item = step.create_item
            if item is None:
                counts["skip"] += 1
                continue
            counts["create"] += 1
            if item.invitations is not Invitations.NOBODY:
                people = [*item.values["required"], *item.values["optional"]]
                counts["invitations"] += len(people)
    return FirstSync(
        creates_in_exchange=counts["create"],
        creates_in_crm=len(survey.wanted),
        links=len(survey.pairs),
        skips=counts["skip"] + items - len(survey.pairs) - len(survey.wanted),
        invitations=counts["invitations"],
        linked_elsewhere=survey.elsewhere.items,
    )


def _link(book: Book, survey: Survey) -> None:
    """Make all of it work to be done; to be called `fenced`."""
    creations = [links.creation(book, key) for key in survey.creations]
    ItemLink.objects.bulk_create(creations, batch_size=1000)
    link_items(book, survey.items, survey.pairs, survey.wanted, survey.selected)


def link_items(
    book: Book,
    items: Iterable[ListedItem],
    pairs: Mapping[str, UUID],
    wanted: Iterable[ListedItem],
    selected: Collection[UUID],
) -> None:
    """Link items with the records that they are (`pairs`), or that they are to become (`wanted`).

    Of appointments, what the others among `items` are called is kept. To be called `fenced`.
    """
    by_id = {item.item_id: item for item in items}
    found = [
        links.of_item(book, by_id[item_id], key, State.LINKED, by_filter=key in selected)
        for item_id, key in pairs.items()
    ]
    found += [links.of_item(book, item, uuid4(), State.WANTED, by_filter=False) for item in wanted]
    ItemLink.objects.bulk_create(found, batch_size=1000)
    if book.kind is ItemKind.APPOINTMENT:
        taken = set(book.links.exclude(item_id="").values_list("item_id", flat=True))
        links.keep_sights(book, (item for key, item in by_id.items() if key not in taken))
