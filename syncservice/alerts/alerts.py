"""Raise and end alerts, and ask questions: what people have to know until it is over (4A, 4C).

Raising twice is counting: a trouble that repeats is one row. All of this happens in the transaction
of the change it tells of.
"""

from collections.abc import Iterable
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from syncservice.alerts.models import Alert, Severity
from syncservice.crm.models import User
from syncservice.domain.faults import Fault
from syncservice.mailboxes import administration, audit, directions, item_questions, schedule
from syncservice.mailboxes.models import (
    Direction,
    EmailServerProfile,
    Lane,
    Mailbox,
    Organisation,
    Schedule,
)

#: Direction of alerts about single messages: they hold although the mailbox works.
EMAIL = "email"
#: Direction of questions about appointments, contacts and tasks: a visit that works ends none.
ITEMS = "items"

PARKED = "visit.parked"
ENABLED = "mailbox.enabled"
RECOVERED = "mailbox.recovered"
TAKEN_OVER = "mailbox.taken_over"
OTHER_ORGANISATION = "mailbox.other_organisation"
FIRST_SYNCHRONIZATION = "items.first_synchronization"
MASS_DELETION = "items.mass_deletion"
SCHEDULING_CONFLICT = "items.scheduling_conflict"
DUPLICATE_CONTACT = "items.duplicate_contact"
LINKED_ELSEWHERE = "items.linked_elsewhere"
MAILBOXES_FAILING = "profile.mailboxes_failing"
LOGIN_REFUSED = "profile.login_refused"
EXCHANGE_ONLINE = "profile.exchange_online_ends"

#: Whose answers the links of a mailbox keep.
ITEM_QUESTIONS = {
    FIRST_SYNCHRONIZATION: item_questions.Question.FIRST_SYNCHRONIZATION,
    MASS_DELETION: item_questions.Question.MASS_DELETION,
    SCHEDULING_CONFLICT: item_questions.Question.SCHEDULING_CONFLICT,
    DUPLICATE_CONTACT: item_questions.Question.DUPLICATE_CONTACT,
    LINKED_ELSEWHERE: item_questions.Question.LINKED_ELSEWHERE,
}

_UPSERT = """
INSERT INTO alerts_alert (mailbox_id, profile_id, email_id, owner_id, direction, code, severity,
                          text, is_question)
VALUES (%(mailbox)s, %(profile)s, %(email)s, %(owner)s, %(direction)s, %(code)s, %(severity)s,
        %(text)s, %(is_question)s)
ON CONFLICT (mailbox_id, profile_id, email_id, direction, code, severity) WHERE ended_at IS NULL
DO UPDATE SET last_seen_at = statement_timestamp(), count = alerts_alert.count + %(count)s,
              text = excluded.text
RETURNING id
"""


def raise_for_mailbox(
    mailbox_id: int,
    severity: Severity,
    code: str,
    text: str = "",
    *,
    direction: str = "",
    count: int = 1,
) -> None:
    """Tell of a mailbox's trouble: its owner, and the administrators."""
    if _is_wanted(severity):
        owner = person_of(mailbox_id)
        _upsert(
            mailbox=mailbox_id, owner=owner, severity=severity, code=code, text=text,
            direction=direction, count=count,
        )  # fmt: skip


def raise_for_email(
    mailbox_id: int, email_id: UUID, severity: Severity, code: str, text: str
) -> None:
    """Tell of one email's trouble: the owner of its mailbox, and the administrators."""
    if _is_wanted(severity):
        _upsert(
            mailbox=mailbox_id, email=email_id, owner=person_of(mailbox_id), severity=severity,
            code=code, text=text, direction=EMAIL,
        )  # fmt: skip


def raise_for_profile(
    profile: EmailServerProfile,
    severity: Severity,
    code: str,
    text: str = "",
    *,
    direction: str = "",
) -> None:
    """Tell of a server's trouble: the profile's owner, the administrators, and by setting (F231)
    the owners of its mailboxes.
    """
    if _is_wanted(severity):
        _upsert(
            profile=profile.pk, owner=profile.owner_id, severity=severity, code=code, text=text,
            direction=direction,
        )  # fmt: skip


def ask(
    mailbox_id: int,
    code: str,
    text: str,
    *,
    direction: str,
    severity: Severity = Severity.WARNING,
) -> None:
    """Ask the mailbox's owner a question; a question is asked whatever alerts are wanted."""
    _upsert(
        mailbox=mailbox_id, owner=person_of(mailbox_id), severity=severity, code=code,
        text=text, direction=direction, is_question=True,
    )  # fmt: skip


def tell_of_answer(mailbox_id: int, question: item_questions.Question) -> None:
    """Tell what follows from the answer to a question about items."""
    told = Alert.objects.filter(mailbox=mailbox_id, ended_at=None)
    if question is item_questions.Question.DUPLICATE_CONTACT:
        tell_of_duplicates(mailbox_id)  # where several are like it, no is no answer
    elif question is item_questions.Question.LINKED_ELSEWHERE:
        told.filter(code=LINKED_ELSEWHERE).update(ended_at=Now())
        if not item_questions.asks_to_begin(mailbox_id):  # it is looked at anew
            told.filter(code=FIRST_SYNCHRONIZATION).update(ended_at=Now())


def tell_of_duplicates(mailbox_id: int) -> None:
    """Ask about the contacts that wait for somebody to say who they are; none left: it is over."""
    asked = item_questions.waiting(mailbox_id, item_questions.Question.DUPLICATE_CONTACT)
    if number := asked.count():
        text = f"{number} tracked contacts are like contacts of the CRM"
        ask(mailbox_id, DUPLICATE_CONTACT, text, direction=ITEMS)
    else:
        told = Alert.objects.filter(mailbox=mailbox_id, code=DUPLICATE_CONTACT, ended_at=None)
        told.update(ended_at=Now())


def person_of(mailbox_id: int) -> int | None:
    """Return the user who answers for a mailbox: its own, or its queue's; None: nobody."""
    owner = administration.owner_of(Mailbox(pk=mailbox_id))
    if owner is None or isinstance(owner, User):
        return owner.pk if owner else None
    return owner.owner_id


def _is_wanted(severity: Severity) -> bool:
    """Whether alerts of this severity are generated at all (F230)."""
    organisation = Organisation.current()
    return {
        Severity.ERROR: organisation.alerts_errors,
        Severity.WARNING: organisation.alerts_warnings,
        Severity.INFORMATION: organisation.alerts_information,
    }[severity]


def _upsert(
    *,
    owner: int | None,
    severity: Severity,
    code: str,
    text: str,
    mailbox: int | None = None,
    profile: int | None = None,
    email: UUID | None = None,
    direction: str = "",
    is_question: bool = False,
    count: int = 1,
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            _UPSERT,
            {
                "mailbox": mailbox,
                "profile": profile,
                "email": email,
                "owner": owner,
                "severity": int(severity),
                "code": code,
                "text": text,
                "direction": direction,
                "is_question": is_question,
                "count": count,
            },
        )


def end_for_mailbox(mailbox_id: int, *, direction: str, but: str = "") -> None:
    """A direction works again: nothing that was told of it holds any more, except `but`."""
    held = Alert.objects.filter(mailbox=mailbox_id, direction=direction, ended_at=None)
    held.exclude(severity=Severity.INFORMATION).exclude(code=but).update(ended_at=Now())


def end_for_email(email_id: UUID) -> None:
    """What was told of an email holds no more: it was sent, changed or decided about."""
    Alert.objects.filter(email=email_id, ended_at=None).update(ended_at=Now())


def end_for_profile(profile_id: int, *, direction: str = "") -> None:
    """A server works again; whether its mailboxes do too, `watch` tells."""
    held = Alert.objects.filter(profile=profile_id, direction=direction, ended_at=None)
    held.exclude(code__in=[EXCHANGE_ONLINE, MAILBOXES_FAILING]).update(ended_at=Now())


@transaction.atomic
def dismiss(alerts: Iterable[int], actor: str) -> int:
    """Take alerts off the walls; what still holds is told again when it repeats."""
    chosen = Alert.objects.filter(pk__in=list(alerts), ended_at=None, is_question=False)
    known = chosen.select_related("mailbox", "profile").defer(
        "mailbox__password", "profile__password", "profile__outgoing_password"
    )
    audit.note_all(
        audit.change(
            actor, "alert.dismissed", mailbox=alert.mailbox, profile=alert.profile, code=alert.code
        )
        for alert in known
    )
    return chosen.update(ended_at=Now())


class NoQuestion(Exception):
    """The alert asks nothing, or has been answered."""


@transaction.atomic
def answer(alert_id: int, yes: bool, actor: str) -> None:
    """Answer a question; the mailbox's next visit or test obeys. Raise NoQuestion."""
    schedule.lock(Alert.objects.filter(pk=alert_id).values_list("mailbox", flat=True))
    alert = (
        Alert.objects.select_for_update(of=["self"])
        .select_related("mailbox")
        .filter(pk=alert_id, is_question=True, ended_at=None)
        .first()
    )
    if alert is None:
        raise NoQuestion(f"alert {alert_id} asks nothing, or is answered; see `syncservice alerts`")
    Alert.objects.filter(pk=alert_id).update(answer=yes, answered_by=actor, ended_at=Now())
    audit.note(actor, "question.answered", mailbox=alert.mailbox, code=alert.code, yes=yes)
    if yes and alert.code == OTHER_ORGANISATION and alert.mailbox_id is not None:
        directions.request_tests([alert.mailbox_id], actor, override_stamp=True)
    if alert.code in ITEM_QUESTIONS and alert.mailbox_id is not None:
        item_questions.answer(alert.mailbox_id, ITEM_QUESTIONS[alert.code], yes, actor)
        tell_of_answer(alert.mailbox_id, ITEM_QUESTIONS[alert.code])


def visible_to(user: User | AnonymousUser) -> Q:
    """Return the filter of the alerts that hang on a user's wall (4A).

    Administrators see all. A mailbox's concern its owner; a profile's its owner and, when the
    organisation says so, the owners of its mailboxes; a failed test also the profile's owner.
    """
    if isinstance(user, AnonymousUser):
        return Q(pk=None)
    if user.has_perm("alerts.view_every_alert"):
        return Q()
    mine = Q(owner=user) | Q(profile__owner=user)
    mine |= Q(mailbox__profile__owner=user, code="test.failed")
    if Organisation.current().notifies_mailbox_owners:
        boxes = Mailbox.objects.filter(
            Q(mappings__user=user) | Q(mappings__queue__owner=user), mappings__ended_at=None
        )
        mine |= Q(profile__in=boxes.values("profile"))
    return mine


def tell_switched_off(mailbox_id: int, direction: Direction.Kind, fault: Fault) -> None:
    """A trouble has become lasting: the same code, now an error (4A); its warning is over."""
    warnings = Alert.objects.filter(
        mailbox=mailbox_id, direction=direction, code=fault.code, ended_at=None
    )
    warnings.filter(severity=Severity.WARNING).update(ended_at=Now())
    raise_for_mailbox(mailbox_id, Severity.ERROR, fault.code, fault.text, direction=direction)


def tell_taken_over(mailbox: Mailbox, former: User | None) -> None:
    """End what was told of a mailbox that changed hands, and tell its former owner."""
    Alert.objects.filter(mailbox=mailbox, ended_at=None).update(ended_at=Now())
    if former is not None and _is_wanted(Severity.INFORMATION):
        _upsert(
            mailbox=mailbox.pk, owner=former.pk, severity=Severity.INFORMATION, code=TAKEN_OVER,
            text="",
        )  # fmt: skip


def raise_parked(lanes: Iterable[tuple[int, str]]) -> None:
    """Tell that these (mailbox, lane) are no longer visited; telling twice changes nothing."""
    for mailbox_id, lane in lanes:
        raise_for_mailbox(mailbox_id, Severity.ERROR, PARKED, direction=lane)


@transaction.atomic
def resume_parked(mailbox_id: int) -> int:
    """Make a mailbox's parked lanes due now and end the alert; return how many lanes there were."""
    parked = Schedule.objects.filter(mailbox=mailbox_id, parked_at__isnull=False)
    lanes = [Lane(lane) for lane in parked.values_list("lane", flat=True)]
    for lane in lanes:
        schedule.wake([mailbox_id], lane, "resumed by an administrator")
    alert = Alert.objects.filter(mailbox=mailbox_id, code=PARKED, ended_at=None)
    alert.update(ended_at=Now())
    return len(lanes)


def end_outlived() -> None:
    """End alerts of mailboxes that are parked no more, as after they were switched off and on."""
    parked = Schedule.objects.filter(parked_at__isnull=False)
    told = Alert.objects.filter(code=PARKED, ended_at=None)
    told.exclude(mailbox__in=parked.values("mailbox")).update(ended_at=Now())
