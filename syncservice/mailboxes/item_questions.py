"""What people answer about a mailbox's appointments, contacts and tasks; the next visit obeys."""

import enum

from django.db.models.functions import Now

from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import ItemLink, ItemProgress, Lane

First = ItemProgress.First


class Question(enum.StrEnum):
    FIRST_SYNCHRONIZATION = "first_synchronization"
    MASS_DELETION = ItemLink.Question.MASS_DELETION
    SCHEDULING_CONFLICT = ItemLink.Question.SCHEDULING_CONFLICT


def answer(mailbox_id: int, question: Question, yes: bool, actor: str) -> None:
    """Keep an answer to all that is asked of this sort, and have the mailbox visited.

    The caller holds the mailbox's lanes (`schedule.lock`).
    """
    if question is Question.FIRST_SYNCHRONIZATION:
        asked = ItemProgress.objects.filter(mailbox=mailbox_id, first=First.ASKING)
        asked.update(first=First.AGREED if yes else First.DECLINED, answered_by=actor)
    else:
        links = ItemLink.objects.filter(mailbox=mailbox_id, question=question, answer=None)
        links.update(answer=yes, due_at=Now(), attempts=0)
    schedule.wake([mailbox_id], Lane.ACT, "a question was answered")


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
