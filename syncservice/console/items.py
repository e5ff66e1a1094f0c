"""A mailbox's appointments, contacts and tasks, as people see them: state, failures, conflicts and
the journal.

A subject is for the eyes of its mailbox's owner (F305): whoever shows these hides it from others.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Max, Min, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from syncservice.mailboxes.models import ItemConflict, ItemLink, ItemProgress, JournalEntry, Mailbox
from syncservice.mailboxes.models.items import KINDS

State = ItemLink.State
First = ItemProgress.First
#: What a plan counts, in the order in which people ask for it.
PLANNED = {
    "creates_in_exchange": _("Created in the mailbox"),
    "creates_in_crm": _("Created in the CRM"),
    "links": _("Joined"),
    "skips": _("Left alone"),
    "invitations": _("Invitations sent"),
    "linked_elsewhere": _("Of another organisation"),
}


@dataclass(frozen=True, slots=True)
class KindStatus:
    """How the items of one kind stand."""

    kind: str
    label: str
    progress: ItemProgress
    links: dict[State, int]  # by their state; those that occur
    due: int  # links that the next visit looks at
    failed: int
    asked: int  # links that wait for an answer

    @property
    def may_be_looked_at_anew(self) -> bool:
        return self.progress.first in (First.ASKING, First.DECLINED)

    @property
    def planned(self) -> list[tuple[str, int | None]]:
        """The numbers of the plan and what they count; None: there is no plan."""
        return [(str(label), self.progress.plan.get(name)) for name, label in PLANNED.items()]


def kinds(mailbox: Mailbox) -> list[KindStatus]:
    """Return how each kind stands; one that no visit has looked at yet is new."""
    stored = {row.kind: row for row in ItemProgress.objects.filter(mailbox=mailbox)}
    links: dict[str, dict[State, int]] = defaultdict(dict)
    facts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    counted = ItemLink.objects.filter(mailbox=mailbox).values("kind", "state").order_by()
    for row in counted.annotate(
        number=Count("pk"),
        due=Count("pk", Q(due_at__isnull=False)),
        failed=Count("pk", ~Q(fault_code="")),
        asked=Count("pk", ~Q(question="") & Q(answer=None)),
    ):
        links[row["kind"]][State(row["state"])] = row["number"]
        for name in ("due", "failed", "asked"):
            facts[row["kind"]][name] += row[name]
    return [
        KindStatus(
            kind=kind,
            label=str(label),
            progress=stored.get(kind) or ItemProgress(mailbox=mailbox, kind=kind),
            links={state: links[kind][state] for state in State if state in links[kind]},
            **{name: facts[kind][name] for name in ("due", "failed", "asked")},
        )
        for kind, label in KINDS
    ]


def failures(mailbox: Mailbox) -> QuerySet[ItemLink]:
    """Return the links whose last attempt failed, those that are tried again soonest first."""
    return ItemLink.objects.filter(mailbox=mailbox).exclude(fault_code="").order_by("due_at", "-pk")


def conflicts(mailbox: Mailbox | None) -> QuerySet[ItemConflict]:
    """Return the conflicts of a mailbox, or of all, the newest first."""
    rows = ItemConflict.objects.select_related("link__mailbox").defer("link__mailbox__password")
    if mailbox is not None:
        rows = rows.filter(link__mailbox=mailbox)
    return rows.order_by("-found_at", "-pk")


@dataclass(slots=True)
class Visit:
    """What one visit did, by its journal, and what came of undoing it."""

    number: int
    ended_at: datetime
    entries: int
    asked: int  # entries that are to be undone
    undone: int
    refused: int  # entries that could not be undone
    #: How often it did what: (kind, action, number), the labels for people.
    did: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def may_be_undone(self) -> bool:
        return self.asked < self.entries

    @property
    def waits(self) -> bool:
        """Undoing it was asked for, and no visit has seen to it yet."""
        return self.undone + self.refused < self.asked


def visits(mailbox: Mailbox, limit: int) -> list[Visit]:
    """Return the last visits that did something, the newest first."""
    of_mailbox = JournalEntry.objects.filter(mailbox=mailbox)
    last = of_mailbox.values_list("fence", flat=True).distinct().order_by("-fence")[:limit]
    done = of_mailbox.filter(fence__in=list(last))
    is_undone, is_refused = Q(undone_at__isnull=False), ~Q(undo_text="")
    found = {
        row["number"]: Visit(**row)
        for row in done.values(number=F("fence"))
        .annotate(
            ended_at=Max("at"),
            entries=Count("pk"),
            asked=Count("pk", Q(undo_asked_at__isnull=False)),
            undone=Count("pk", is_undone & ~is_refused),
            refused=Count("pk", is_undone & is_refused),
        )
        .order_by("-number")
    }
    names, actions = dict(KINDS), dict(JournalEntry.Action.choices)
    counted = done.values("fence", "kind", "action").annotate(times=Count("pk"), first=Min("pk"))
    for row in counted.order_by("first"):
        what = (str(names[row["kind"]]), str(actions[row["action"]]), row["times"])
        found[row["fence"]].did.append(what)
    return list(found.values())


def entries(mailbox: Mailbox, visit: int) -> QuerySet[JournalEntry]:
    """Return what a visit did, in its order."""
    return JournalEntry.objects.filter(mailbox=mailbox, fence=visit).order_by("pk")


def changed_names(entry: JournalEntry) -> list[str]:
    """Name the values that an entry changed, as `domain.item_values` does; none: all, or none."""
    if entry.action not in (JournalEntry.Action.CHANGED_RECORD, JournalEntry.Action.CHANGED_ITEM):
        return []
    sides: Iterable[Any] = (entry.before or {}, entry.after or {})
    return list(dict.fromkeys(name for side in sides for name in side))
