"""What people ask of a mailbox's appointments, contacts and tasks; its next visit does it.

Every request is written down with who made it. What can't be done is a ValidationError with a
sentence, and nothing is changed.
"""

from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert
from syncservice.crm.models import Contact
from syncservice.mailboxes import audit, item_questions, schedule
from syncservice.mailboxes.item_questions import Question
from syncservice.mailboxes.models import ItemLink, ItemProgress, JournalEntry, Lane, Mailbox

State = ItemLink.State
_CODES = {question: code for code, question in alerts.ITEM_QUESTIONS.items()}


def code_of(question: Question) -> str:
    """Return the code of the alert that asks it: `alerts.catalogue` says what yes and no do."""
    return _CODES[question]


def asked(mailbox: Mailbox) -> dict[Question, int]:
    """Return what waits for an answer: how many kinds of items, or items, each question holds."""
    asking = ItemProgress.objects.filter(mailbox=mailbox, first=ItemProgress.First.ASKING)
    found = {Question.FIRST_SYNCHRONIZATION: asking.count()}
    for question in ItemLink.Question:
        found[Question(question)] = item_questions.waiting(mailbox.pk, Question(question)).count()
    undecided = ItemProgress.Elsewhere.UNDECIDED
    found[Question.LINKED_ELSEWHERE] = item_questions.linked_elsewhere(mailbox.pk, undecided)
    return {question: number for question, number in found.items() if number}


def left_alone(mailbox: Mailbox) -> int:
    """Return how many items are left alone, as somebody decided; he may think better of it."""
    return item_questions.linked_elsewhere(mailbox.pk, ItemProgress.Elsewhere.LEFT)


@transaction.atomic
def answer(mailbox: Mailbox, question: Question, yes: bool, actor: str) -> None:
    """Answer a question for all that it holds."""
    schedule.lock([mailbox.pk])
    is_other_word = question is Question.LINKED_ELSEWHERE and yes and left_alone(mailbox)
    if question not in asked(mailbox) and not is_other_word:
        raise ValidationError(_("Nothing of that sort is asked of %(it)s.") % {"it": mailbox})
    code = code_of(question)
    alert = Alert.objects.filter(mailbox=mailbox, code=code, is_question=True, ended_at=None)
    if (found := alert.first()) is not None:
        alerts.answer(found.pk, yes, actor)
        return
    item_questions.answer(mailbox.pk, question, yes, actor)
    audit.note(actor, "question.answered", mailbox=mailbox, code=code, yes=yes)
    alerts.tell_of_answer(mailbox.pk, question)


@transaction.atomic
def decide_duplicate(mailbox: Mailbox, item: int, record: UUID | None, actor: str) -> None:
    """Say which record a contact is that waits for that; None: none, it becomes a new one.

    `item` is the number of its link.
    """
    schedule.lock([mailbox.pk])
    waiting = item_questions.waiting(mailbox.pk, Question.DUPLICATE_CONTACT)
    link = waiting.filter(pk=item).first()
    if link is None:
        facts = {"number": item, "it": mailbox}
        raise ValidationError(_("Nothing is asked of contact %(number)d of %(it)s.") % facts)
    if record is not None:
        _may_be_chosen(link, record)
    waiting.filter(pk=item).update(answer=record is None, chosen=record, due_at=Now(), attempts=0)
    schedule.wake([mailbox.pk], Lane.ACT, "a question was answered")
    code = code_of(Question.DUPLICATE_CONTACT)
    facts = {"code": code, "yes": record is None, "item": item, "record": str(record or "")}
    audit.note(actor, "question.answered", mailbox=mailbox, **facts)
    alerts.tell_of_duplicates(mailbox.pk)


def only_candidate(mailbox: Mailbox, item: int) -> UUID:
    """Return the record that a contact is like; there may be several, or none any more."""
    waiting = item_questions.waiting(mailbox.pk, Question.DUPLICATE_CONTACT)
    candidates = waiting.filter(pk=item).values_list("candidates", flat=True).first() or []
    if len(candidates) != 1:
        raise ValidationError(_("Say which record it is."))
    return UUID(candidates[0]["key"])


def _may_be_chosen(link: ItemLink, record: UUID) -> None:
    if str(record) not in [one["key"] for one in link.candidates]:
        raise ValidationError(_("It is not like record %(key)s.") % {"key": record})
    if not Contact.objects.filter(key=record).exists():
        raise ValidationError(_("The record is gone."))
    others = ItemLink.objects.filter(mailbox=link.mailbox_id, kind=link.kind).exclude(pk=link.pk)
    is_linked = Q(key=record) & ~Q(state__in=[State.UNLINKED, State.DELETED])
    if others.filter(is_linked | Q(chosen=record)).exists():
        raise ValidationError(_("The record is another contact of this mailbox already."))


@transaction.atomic
def look_anew(mailbox: Mailbox, actor: str) -> int:
    """Have looked at anew what the first synchronization would do; return for how many kinds.

    Only those are looked at that somebody has to agree to, or has declined.
    """
    schedule.lock([mailbox.pk])
    number = item_questions.ask_again(mailbox.pk)
    if not number:
        raise ValidationError(_("No first synchronization of %(it)s waits.") % {"it": mailbox})
    former = Alert.objects.filter(mailbox=mailbox, code=alerts.FIRST_SYNCHRONIZATION, ended_at=None)
    former.update(ended_at=Now())
    audit.note(actor, "items.looked_anew", mailbox=mailbox)
    return number


@transaction.atomic
def retry(mailbox: Mailbox, actor: str) -> int:
    """Try again what failed, as often as if it were new; return how many links that are.

    What could not be kept in step is looked at once more, and asked about anew. What waits for an
    answer goes on waiting.
    """
    schedule.lock([mailbox.pk])
    links = ItemLink.objects.filter(mailbox=mailbox)
    is_held = ~Q(question="") & Q(answer=None)
    failed = links.filter(Q(state=State.REFUSED) | ~Q(fault_code="") & ~is_held)
    number = failed.update(
        state=Case(
            When(~Q(state=State.REFUSED), then=F("state")),
            When(base__isnull=True, then=Value(State.WANTED)),
            default=Value(State.LINKED),
        ),
        question=Case(When(state=State.REFUSED, then=Value("")), default=F("question")),
        answer=Case(When(state=State.REFUSED, then=Value(None)), default=F("answer")),
        due_at=Now(),
        attempts=0,
        fault_code="",
        fault_text="",
    )
    if number:
        schedule.wake([mailbox.pk], Lane.ACT, "items are to be tried again")
        audit.note(actor, "items.retried", mailbox=mailbox, number=number)
    return number


@transaction.atomic
def undo(mailbox: Mailbox, visit: int, actor: str) -> int:
    """Have undone what a visit did; return how many entries of its journal that concerns."""
    schedule.lock([mailbox.pk])
    entries = JournalEntry.objects.filter(mailbox=mailbox, fence=visit)
    if not entries.exists():
        facts = {"number": visit, "it": mailbox}
        raise ValidationError(_("Visit %(number)d of %(it)s is not in the journal.") % facts)
    number = entries.filter(undo_asked_at=None).update(undo_asked_at=Now())
    if not number:
        facts = {"number": visit}
        raise ValidationError(_("Visit %(number)d was asked to be undone before.") % facts)
    schedule.wake([mailbox.pk], Lane.ACT, "a visit is to be undone")
    audit.note(actor, "items.undo_asked", mailbox=mailbox, visit=visit, number=number)
    return number
