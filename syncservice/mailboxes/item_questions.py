"""What people answer about a mailbox's appointments, contacts and tasks; the next visit obeys."""

import enum
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Now

from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import ItemLink, ItemProgress, Lane

First, Elsewhere = ItemProgress.First, ItemProgress.Elsewhere


class Question(enum.StrEnum):
    FIRST_SYNCHRONIZATION = "first_synchronization"
    MASS_DELETION = ItemLink.Question.MASS_DELETION
    SCHEDULING_CONFLICT = ItemLink.Question.SCHEDULING_CONFLICT
    DUPLICATE_CONTACT = ItemLink.Question.DUPLICATE_CONTACT
    LINKED_ELSEWHERE = "linked_elsewhere"


def waiting(mailbox_id: int, question: Question) -> QuerySet[ItemLink]:
    """Return the links of a mailbox of which this is asked."""
    return ItemLink.objects.filter(mailbox=mailbox_id, question=question, answer=None)


def answer(mailbox_id: int, question: Question, yes: bool, actor: str) -> None:
    """Keep an answer to all that is asked of this sort, and have the mailbox visited.

    The caller holds the mailbox's lanes (`schedule.lock`).
    """
    if question is Question.FIRST_SYNCHRONIZATION:
        asked = ItemProgress.objects.filter(mailbox=mailbox_id, first=First.ASKING)
        asked.update(first=First.AGREED if yes else First.DECLINED, answered_by=actor)
    elif question is Question.LINKED_ELSEWHERE:
        _decide_elsewhere(mailbox_id, take_over=yes)
    else:
        links = waiting(mailbox_id, question)
        if question is Question.DUPLICATE_CONTACT and not yes:
            links = links.filter(pk__in=_choose_the_only_ones(links))
        links.update(answer=yes, due_at=Now(), attempts=0)
    schedule.wake([mailbox_id], Lane.ACT, "a question was answered")


def asks_to_begin(mailbox_id: int) -> bool:
    """Whether a first synchronization of a mailbox waits for somebody's word."""
    return ItemProgress.objects.filter(mailbox=mailbox_id, first=First.ASKING).exists()


def linked_elsewhere(mailbox_id: int, *decided: ItemProgress.Elsewhere) -> int:
    """Return how many items of another organisation were found, and are as `decided` says."""
    rows = ItemProgress.objects.filter(mailbox=mailbox_id, elsewhere__in=decided)
    plans = rows.values_list("plan", flat=True)
    return sum(plan.get("linked_elsewhere", 0) for plan in plans)


def _decide_elsewhere(mailbox_id: int, *, take_over: bool) -> None:
    """Say for all kinds what becomes of items of another organisation.

    Who is asked about a beginning sees it anew: with them, it is another one.
    """
    rows = ItemProgress.objects.filter(mailbox=mailbox_id).exclude(elsewhere=Elsewhere.TAKEN)
    if take_over:
        rows.filter(first=First.ASKING).update(first=First.NEW, plan={}, planned_at=None)
    rows.update(elsewhere=Elsewhere.WANTED if take_over else Elsewhere.LEFT)


def _choose_the_only_ones(links: QuerySet[ItemLink]) -> list[int]:
    """Choose the record for each contact that has one only, no record twice; return their ids.

    Among several nobody but a person can choose: these go on waiting.
    """
    asked = [link for link in links.order_by("pk") if len(link.candidates) == 1]
    by_key: dict[str, ItemLink] = {}
    for link in asked:
        by_key.setdefault(link.candidates[0]["key"], link)
    for key, link in by_key.items():
        link.chosen = UUID(key)
    ItemLink.objects.bulk_update(by_key.values(), ["chosen"], batch_size=500)
    return [link.pk for link in by_key.values()]


def ask_again(mailbox_id: int) -> int:
    """Look anew at what the first synchronization would do where it was declined; return how often.

    To be called with the mailbox's lanes held.
    """
    declined = ItemProgress.objects.filter(
        mailbox=mailbox_id, first__in=(First.DECLINED, First.ASKING)
    )
    count = declined.update(first=First.NEW, plan={}, planned_at=None)
    schedule.wake([mailbox_id], Lane.ACT, "its first synchronization is looked at anew")
    return count
