"""Tell people what is asked of single items, in the transaction that keeps the question."""

from collections.abc import Sequence

from syncservice.alerts import alerts
from syncservice.mailboxes.models import ItemLink
from syncservice.sync.items.book import Book
from syncservice.sync.items.steps import Step

Question = ItemLink.Question


def ask(book: Book, steps: Sequence[Step]) -> None:
    """Ask what these steps ask; what was asked before, and waits, is not asked once more."""
    asked = [step for step in steps if _is_new(step)]
    for step in asked:
        if step.then["question"] == Question.SCHEDULING_CONFLICT:
            text = step.link.subject
            alerts.ask(book.mailbox.pk, alerts.SCHEDULING_CONFLICT, text, direction=alerts.ITEMS)
    if any(step.then["question"] == Question.DUPLICATE_CONTACT for step in asked):
        alerts.tell_of_duplicates(book.mailbox.pk)


def _is_new(step: Step) -> bool:
    question = step.then.get("question", "")
    return bool(question) and (question != step.link.question or step.link.answer is not None)
