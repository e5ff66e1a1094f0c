"""Email on its way out, as people see it: how it stands, why it waits, and who decides about it.

The rules are those of `sync/submission.py`; here is who may ask for what, and that it is noted.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Prefetch, Q, QuerySet
from django.utils import timezone

from syncservice.crm.models import ActivityParty, Email, User
from syncservice.domain.sending import State
from syncservice.mailboxes import audit
from syncservice.mailboxes.models import Mailbox, OutgoingEmail
from syncservice.sync import submission
from syncservice.sync.why_waiting import why_waiting

#: Submitted, and not sent: it waits, failed, or nobody can tell.
UNSENT = (State.PENDING, State.SENDING, State.FAILED, State.UNKNOWN)

#: The badge of a state: colour and icon are those of a mailbox that is as well or as badly off.
_LOOKS = {
    State.SENT: "resting",
    State.SENDING: "visiting",
    State.PENDING: "new",
    State.FAILED: "stopped",
    State.UNKNOWN: "failing",
}


@dataclass(frozen=True, slots=True)
class Way:
    """How an email that was written here stands."""

    mail: OutgoingEmail
    why: str  # it waits; '': it doesn't

    @property
    def email(self) -> Email:
        return self.mail.email

    @property
    def recipients(self) -> list[ActivityParty]:
        """Everybody who gets it; asks nothing more of what `with_parties` has read."""
        sender = ActivityParty.Participation.SENDER
        return [one for one in self.email.parties.all() if one.participation != sender]

    @property
    def look(self) -> str:
        return _LOOKS.get(State(self.email.status), "disabled")

    @property
    def is_held(self) -> bool:
        """Whether a person has to decide about it."""
        return self.email.status == State.UNKNOWN and self.mail.due_at is None

    @property
    def is_pending(self) -> bool:
        return self.email.status == State.PENDING

    @property
    def may_be_taken_back(self) -> bool:
        return self.is_pending and not self.mail.accepted_paths

    @property
    def asks_server(self) -> bool:
        """The service itself will ask what became of it; a person need not decide yet."""
        return self.email.status == State.UNKNOWN and self.mail.due_at is not None

    @property
    def rests(self) -> bool:
        """The next attempt has to wait for its moment."""
        return self.mail.due_at is not None and self.mail.due_at > timezone.now()


def way_of(email: Email) -> Way | None:
    """Return how an email stands; None: it was not written here."""
    rows = OutgoingEmail.objects.select_related("email", "mailbox", "submitted_by")
    mail = rows.defer("mailbox__password").filter(pk=email.pk).first()
    return next(iter(ways([mail])), None) if mail else None


def unsent(mailbox: Mailbox, limit: int) -> list[Way]:
    """Return what a mailbox has not sent, the newest first."""
    mails = OutgoingEmail.objects.filter(mailbox=mailbox, email__status__in=UNSENT)
    return ways(with_parties(mails).order_by("-pk")[:limit])


def with_parties(mails: QuerySet[OutgoingEmail]) -> QuerySet[OutgoingEmail]:
    parties = Prefetch("email__parties", ActivityParty.objects.order_by("pk"))
    return mails.select_related("email").prefetch_related(parties)


def ways(mails: Iterable[OutgoingEmail]) -> list[Way]:
    """Say of each email why it waits; what waits alike is asked about once."""
    now, known = timezone.now(), {}
    found = []
    for mail in mails:
        is_early = mail.send_after is not None and mail.send_after > now
        alike = (mail.mailbox_id, mail.email.status, mail.due_at is None, is_early)
        if alike not in known:
            known[alike] = why_waiting(mail.email)
        found.append(Way(mail, known[alike]))
    return found


def may_see(user: User | AnonymousUser, email_id: UUID) -> bool:
    """Whether somebody may look at an email, and decide about it: staff, and whose it is.

    The mailbox it left by may be another's by now: he is not asked.
    """
    if isinstance(user, AnonymousUser) or user.is_staff:
        return user.is_staff
    own = Q(email__owner=user) | Q(submitted_by=user)
    own |= Q(sender_user=user) | Q(sender_queue__owner=user)
    return OutgoingEmail.objects.filter(own, pk=email_id).exists()


@transaction.atomic
def decide(email: Email, actor: str, *, was_sent: bool) -> None:
    """Say whether an email was sent of which nobody could tell; raise ValidationError."""
    submission.decide(email, was_sent=was_sent)
    _note(actor, "email.decided", email, was_sent=was_sent)


@transaction.atomic
def take_back(email: Email, actor: str) -> None:
    """Make a draft of an email that waits; raise ValidationError when it is too late."""
    submission.recall(email)
    _note(actor, "email.taken_back", email)


#: What the buttons of an email's page do, by the value they send.
ACTIONS: dict[str, Callable[[Email, str], None]] = {
    "was-sent": lambda email, actor: decide(email, actor, was_sent=True),
    "send-again": lambda email, actor: decide(email, actor, was_sent=False),
    "take-back": take_back,
}


def _note(actor: str, action: str, email: Email, **facts: bool) -> None:
    mail = OutgoingEmail.objects.select_related("mailbox").defer("mailbox__password")
    audit.note(actor, action, mailbox=mail.get(pk=email.pk).mailbox, email=str(email.pk), **facts)
