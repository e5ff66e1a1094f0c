"""Email that is written in the CRM: drafted, submitted, taken back, and decided about (1I, F160).

Submitting only writes rows: whose mailbox sends it, from when on, and its place in the line. All
that may be refused is refused here, with the reason, before anything leaves.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import make_msgid
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import F, Max
from django.db.models.functions import Coalesce, Greatest, Now
from django.utils.translation import gettext as _

from syncservice.alerts import alerts
from syncservice.crm.ids import activity_id
from syncservice.crm.models import (
    ActivityParty,
    Attachment,
    Email,
    Queue,
    User,
)
from syncservice.domain.addresses import addresses_in
from syncservice.domain.composition import references_for
from syncservice.domain.message import MessageAttachment, Role
from syncservice.domain.resolution import Kind, Match, sender_of
from syncservice.domain.sending import HEAD_START, Event, Impossible, Priority, State, after
from syncservice.domain.tracking_token import with_token
from syncservice.mailboxes import administration, schedule
from syncservice.mailboxes.models import (
    Lane,
    Mailbox,
    Organisation,
    OutgoingEmail,
    Schedule,
)
from syncservice.sync import attachments, directory
from syncservice.sync.promotion import rules_of

Owner = User | Queue

#: May write in the name of users and queues who did not allow it themselves (F167).
SEND_AS_ANYONE = "mailboxes.send_as_anyone"


#: Number of the lock of PostgreSQL under which users get the numbers of their tokens.
_NUMBERS = 0x5E21

_SECRETS = (
    "mailbox__password",
    "mailbox__profile__password",
    "mailbox__profile__outgoing_password",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What somebody writes; addresses are as in a header: `Ann <ann@example.com>`."""

    to: Sequence[str] = ()
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    subject: str = ""
    text: str = ""
    html: str = ""
    attachments: Sequence[MessageAttachment] = ()
    answers: Email | None = None
    about: dict[str, Any] | None = None  # columns of what it is about; None: as what it answers
    priority: Priority = Priority.NORMAL
    send_after: datetime | None = None
    asks_read_receipt: bool = False
    asks_delivery_receipt: bool = False


@transaction.atomic
def draft(author: Owner, letter: Letter) -> Email:
    """Keep what somebody writes as a draft; raise ValidationError for an address that is none."""
    organisation = Organisation.current()
    found = _recipients(letter, organisation)
    answers = letter.answers
    about = letter.about
    if about is None and answers is not None:
        about = {name: getattr(answers, name) for name in Email.REGARDING_IDS}
    too_large = [
        one.filename
        for one in letter.attachments
        if not rules_of(organisation).allowed.keeps(one.filename, len(one.content))
    ]
    if too_large:
        raise ValidationError(
            _("These files are too large or of a kind that is blocked: %(files)s.")
            % {"files": ", ".join(too_large)}
        )
    identity = activity_id()
    email = Email.objects.create(
        id=identity,
        direction=Email.Direction.OUTGOING,
        status=Email.Status.DRAFT,
        identity=identity.hex,
        subject=letter.subject,
        text=letter.text,
        html=letter.html,
        owner=author if isinstance(author, User) else author.owner,
        parent=answers,
        correlated_to=answers,
        in_reply_to=answers.message_id if answers else "",
        references=list(references_for(answers.message_id, tuple(answers.references)))
        if answers
        else [],
        **(about or {}),
    )
    _insert_parties(email, author, found)
    attachments.keep({email.pk: list(enumerate(letter.attachments))})
    OutgoingEmail.objects.create(
        email=email,
        priority=letter.priority,
        send_after=letter.send_after,
        asks_read_receipt=letter.asks_read_receipt,
        asks_delivery_receipt=letter.asks_delivery_receipt,
    )
    return email


def _recipients(
    letter: Letter, organisation: Organisation
) -> list[tuple[Role, str, str, Match | None]]:
    """Return role, address, name and record of everybody who shall get a letter."""
    written = [
        (role, one)
        for role, texts in ((Role.TO, letter.to), (Role.CC, letter.cc), (Role.BCC, letter.bcc))
        for text in texts
        for one in addresses_in(text)
    ]
    bad = [one.name for _, one in written if not one.address]
    if bad:
        raise ValidationError(_("This is no email address: %(words)s.") % {"words": ", ".join(bad)})
    matches = directory.look_up({one.address for _, one in written})
    return [
        (
            role,
            one.address,
            one.name,
            sender_of(
                matches.get(one.address.lower(), ()),
                unresolves_several=organisation.unresolves_several_recipients,
            ),
        )
        for role, one in written
    ]


def _insert_parties(
    email: Email, author: Owner, recipients: Iterable[tuple[Role, str, str, Match | None]]
) -> None:
    kind = "user" if isinstance(author, User) else "queue"
    name = author.get_full_name() if isinstance(author, User) else author.name
    parties = [
        ActivityParty(
            email=email,
            participation=int(Role.SENDER),
            address=_address_of(author),
            name=name,
            **{kind: author},
        )
    ]
    parties += [
        ActivityParty(
            email=email,
            participation=int(role),
            address=address,
            name=name,
            **({f"{match.kind}_id": match.id} if match else {}),
        )
        for role, address, name, match in recipients
    ]
    ActivityParty.objects.bulk_create(parties)


def _address_of(owner: Owner) -> str:
    """Return the address that others know: that of the mailbox, if there is one."""
    mailbox = administration.mailbox_of(owner)
    return (mailbox.email_address if mailbox else "") or administration.address_of(owner)


@transaction.atomic
def submit(email: Email, by: User | None) -> None:
    """Send a draft, or what failed, as soon as it has its turn; `by` None: the service itself.

    Raise ValidationError with the reason when it can't be sent so.
    """
    administration.keep_hands()
    email.refresh_from_db()
    sender = _sender(_author(email), by)
    token = email.tracking_token or _tokens(by or sender, 1)[0]
    outgoing = _locked(email)
    _change(email, Event.SUBMIT)
    _check_recipients(email)
    Email.objects.filter(pk=email.pk).update(**_as_submitted(email, sender, token))
    mailbox = administration.mailbox_of(sender)
    OutgoingEmail.objects.filter(pk=outgoing.pk).update(
        **_in_line(outgoing, sender, mailbox, by),
        attempts=0,
        handed_over_at=None,
        accepted_paths=[],
        refused_paths={},
        fault_code="",
        fault_text="",
    )
    alerts.end_for_email(email.pk)
    if mailbox is not None:
        schedule.plan([mailbox.pk])


def _as_submitted(email: Email, sender: Owner, token: str) -> dict[str, Any]:
    """Return the columns of an email that is let go."""
    subject = with_token(email.subject, token) if token else email.subject
    smart = rules_of(Organisation.current()).switches.smart_matching
    addresses = [one.address.lower() for one in email.parties.all() if one.address]
    hashes = smart.hashes(subject, addresses) if smart else None
    domain = _address_of(sender).rpartition("@")[2] or "localhost"
    return {
        "status": State.PENDING,
        # Before the first attempt, and another one for each submission: what may have been sent
        # before under the old one is another message.
        "message_id": make_msgid(domain=domain),
        "tracking_token": token,
        "subject": subject,
        "subject_hashes": sorted(hashes.words) or None if hashes else None,
        "address_hashes": sorted(hashes.addresses) or None if hashes else None,
    }


def _in_line(
    outgoing: OutgoingEmail, sender: Owner, mailbox: Mailbox | None, by: User | None
) -> dict[str, Any]:
    """Return the columns that say who sends an email, and when it has its turn."""
    ready_at = Greatest(Now(), Coalesce(outgoing.send_after, Now()))
    return {
        "sender_user": sender if isinstance(sender, User) else None,
        "sender_queue": sender if isinstance(sender, Queue) else None,
        "mailbox": mailbox,
        "submitted_by": by,
        "submitted_at": Now(),
        "due_at": ready_at,
        "turn_at": ready_at - HEAD_START[Priority(outgoing.priority)],
    }


@transaction.atomic
def send_bulk(email: Email, by: User | None) -> list[Email]:
    """Send a draft as one email to each of its recipients, who don't see each other (F168).

    The draft itself stays one, and is not sent so twice. All are submitted, or none; lanes are
    locked last, so that a thousand of them hold up no worker.
    """
    administration.keep_hands()
    sender = _sender(_author(email), by)
    outgoing = _locked(email)
    if email.status != State.DRAFT or outgoing.sent_in_bulk_at is not None:
        raise ValidationError(_("It was sent before; write another one."))
    _check_recipients(email)
    recipients = [one for one in email.parties.all() if _receives(one)]
    OutgoingEmail.objects.filter(pk=outgoing.pk).update(sent_in_bulk_at=Now())
    files = list(email.attachments.all())
    mailbox = administration.mailbox_of(sender)
    tokens = _tokens(by or sender, len(recipients))
    copies = [
        _copy_for(email, party, sender, token)
        for party, token in zip(recipients, tokens, strict=True)
    ]
    for copy in copies:
        Attachment.objects.bulk_create(_copied(file, email=copy) for file in files)
        OutgoingEmail.objects.create(
            email=copy,
            priority=outgoing.priority,
            send_after=outgoing.send_after,
            asks_read_receipt=outgoing.asks_read_receipt,
            asks_delivery_receipt=outgoing.asks_delivery_receipt,
            **_in_line(outgoing, sender, mailbox, by),
        )
    if mailbox is not None:
        schedule.plan([mailbox.pk])
    return copies


def _copy_for(email: Email, party: ActivityParty, sender: Owner, token: str) -> Email:
    identity = activity_id()
    copy: Email = _copied(email, id=identity, identity=identity.hex)
    copy.save(force_insert=True)
    author = email.parties.get(participation=int(Role.SENDER))
    ActivityParty.objects.bulk_create(
        [_copied(author, email=copy), _copied(party, email=copy, participation=int(Role.TO))]
    )
    columns = _as_submitted(copy, sender, token)
    Email.objects.filter(pk=copy.pk).update(**columns)
    return copy


def _copied(row: Any, **fields: Any) -> Any:
    """Return a row like another one, but for its id and `fields`."""
    columns = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    del columns["id"]
    if "email" in fields:
        del columns["email_id"]
    if isinstance(row, Email):
        del columns["identity"], columns["created_at"]
    return type(row)(**columns | fields)


@transaction.atomic
def recall(email: Email) -> None:
    """Take an email back that waits to be sent; raise ValidationError when it is too late."""
    outgoing = _locked(email)
    if email.status == State.PENDING and outgoing.accepted_paths:
        raise ValidationError(_("Some recipients have it already."))
    _end(email, Event.RECALL)


@transaction.atomic
def cancel(email: Email) -> None:
    """Give up a draft, or what failed; it stays as a record."""
    _locked(email)
    _end(email, Event.CANCEL)


@transaction.atomic
def decide(email: Email, *, was_sent: bool) -> None:
    """Say whether an email was sent of which nobody could tell; if not, it is sent once more.

    Raise ValidationError unless it is held for that.
    """
    outgoing = _locked(email)
    if email.status == State.UNKNOWN and outgoing.due_at is not None:
        raise ValidationError(_("The server is asked whether it was sent."))
    if email.status != State.UNKNOWN:
        raise ValidationError(_too_late(email))
    if was_sent:
        _end(email, Event.ACCEPT, sent_at=Coalesce("sent_at", Now()))
    else:
        _change(email, Event.PUT_OFF)
        Email.objects.filter(pk=email.pk).update(status=email.status)
        OutgoingEmail.objects.filter(pk=outgoing.pk).update(
            due_at=Now(),
            turn_at=Now() - HEAD_START[Priority(outgoing.priority)],
            handed_over_at=None,
            attempts=0,
        )
        if outgoing.mailbox_id is not None:
            schedule.plan([outgoing.mailbox_id])
    alerts.end_for_email(email.pk)


def _end(email: Email, event: Event, **columns: Any) -> None:
    _change(email, event)
    Email.objects.filter(pk=email.pk).update(status=email.status, **columns)
    OutgoingEmail.objects.filter(pk=email.pk).update(due_at=None, turn_at=None)
    alerts.end_for_email(email.pk)


def _locked(email: Email) -> OutgoingEmail:
    """Lock what is known of an email on its way out, its mailbox's lanes first, and read it anew.

    Raise ValidationError for an email that was not written here.
    """
    known = OutgoingEmail.objects.filter(pk=email.pk).values_list("mailbox", flat=True).first()
    schedule.lock([known] if known is not None else [])
    outgoing = OutgoingEmail.objects.select_for_update().filter(pk=email.pk).first()
    if outgoing is None:
        raise ValidationError(_("This email was not written here."))
    email.refresh_from_db()
    if email.status == State.SENDING and not _is_under_way(outgoing):
        is_clear = outgoing.handed_over_at is None
        _change(email, Event.PUT_OFF if is_clear else Event.LOSE)
        Email.objects.filter(pk=email.pk).update(status=email.status)
    return outgoing


def _is_under_way(outgoing: OutgoingEmail) -> bool:
    """Whether a worker that lives holds the claim of an attempt; the mailbox's lanes are locked."""
    lane = Schedule.objects.filter(mailbox=outgoing.mailbox_id, lane=Lane.OUTGOING)
    return lane.filter(claimed_at__isnull=False, due_at__gt=Now()).exists()


def _change(email: Email, event: Event) -> None:
    """Let something happen to an email, or say why it can't."""
    try:
        email.status = after(State(email.status), event)
    except Impossible:
        raise ValidationError(_too_late(email)) from None


def _too_late(email: Email) -> str:
    return _("It is too late for that: the email is in the state “%(state)s”.") % {
        "state": email.get_status_display()
    }


def _author(email: Email) -> Owner:
    party = email.parties.select_related("user", "queue").filter(participation=int(Role.SENDER))
    for one in party:
        if owner := one.user or one.queue:
            return owner
    raise ValidationError(_("Email is sent by a user or a queue; choose one as its sender."))


def _sender(author: Owner, by: User | None) -> Owner:
    """Return whose mailbox sends: the author's own, or that of the user who writes for another.

    The mail server has to let that user send so as well; if it doesn't, it says so (F167).
    """
    if isinstance(author, User) and not author.is_active:
        raise ValidationError(_("%(author)s is no active user.") % {"author": author})  # F171
    if by is None or author == by:
        return author
    if isinstance(author, Queue):
        if author.owner_id == by.pk or by.has_perm(SEND_AS_ANYONE):
            return author
    elif author.lets_others_send or by.has_perm(SEND_AS_ANYONE):
        return by
    raise ValidationError(
        _("%(author)s lets nobody else send; that is a setting of the user or queue.")
        % {"author": author}
    )


def _receives(party: ActivityParty) -> bool:
    return party.participation != int(Role.SENDER)


def _check_recipients(email: Email) -> None:
    recipients = [one for one in email.parties.all() if _receives(one)]
    if not recipients:
        raise ValidationError(_("Nobody is named who shall get it."))
    unusable = [one.name for one in recipients if not one.address]
    if unusable:
        raise ValidationError(
            _("These recipients have no address: %(names)s.") % {"names": ", ".join(unusable)}
        )
    if not Organisation.current().sends_to_unresolved:
        unresolved = [one.address for one in recipients if not _is_resolved(one)]
        if unresolved:
            raise ValidationError(
                _("The organisation sends to records only; these are none: %(addresses)s.")
                % {"addresses": ", ".join(unresolved)}
            )


def _is_resolved(party: ActivityParty) -> bool:
    return any(getattr(party, f"{kind}_id") is not None for kind in Kind)


def _tokens(writer: Owner, count: int) -> list[str]:
    """Return the next tracking tokens of a user, '' where none are used (3D)."""
    rules = rules_of(Organisation.current())
    if not isinstance(writer, User) or not rules.switches.tokens:
        return [""] * count
    user = User.objects.select_for_update(no_key=True).get(pk=writer.pk)
    number = user.token_number or _next_number()
    User.objects.filter(pk=user.pk).update(
        token_number=number, token_count=F("token_count") + count
    )
    return [rules.scheme.token(number, user.token_count + one) for one in range(1, count + 1)]


def _next_number() -> int:
    """Return a number that no user has; two who ask get it one after the other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_NUMBERS])
    return (User.objects.aggregate(last=Max("token_number"))["last"] or 0) + 1


def why_waiting(email: Email) -> str:
    """Say in a sentence why an email is not sent yet; '' when it doesn't wait (F162)."""
    known = OutgoingEmail.objects.select_related("mailbox__profile").defer(*_SECRETS)
    outgoing = known.filter(pk=email.pk).first()
    if outgoing is None or email.status not in (State.PENDING, State.SENDING, State.UNKNOWN):
        return ""
    if email.status == State.SENDING and _is_under_way(outgoing):
        return ""
    if email.status == State.UNKNOWN and outgoing.due_at is None:
        return _("Nobody can tell whether it was sent; say so, or have it sent once more.")
    if email.status == State.UNKNOWN:
        return _("The server is asked whether it was sent.")
    if outgoing.send_after and outgoing.send_after > datetime.now(UTC):
        return _("It is sent later, as its writer wished.")
    mailbox = outgoing.mailbox
    if mailbox is None:
        return _("Its sender has no mailbox.")
    return _why_mailbox_waits(mailbox) or _("It waits for its turn.")


def _why_mailbox_waits(mailbox: Mailbox) -> str:
    direction = mailbox.directions.filter(kind="outgoing").first()
    owner = administration.owner_of(mailbox)
    if isinstance(owner, User) and not owner.is_active:
        return _("Its sender is no active user.")
    if not mailbox.is_active:
        return _("The mailbox of its sender is not active.")
    if mailbox.profile is None or not mailbox.profile.is_active:
        return _("The mailbox of its sender has no active server profile.")
    if not administration.may_be_processed(mailbox):
        return _("The address of its sender's mailbox is not approved.")
    if direction is None or not (direction.is_enabled or direction.is_probed):
        return _("Outgoing email of its sender's mailbox is not enabled; test and enable it.")
    lane = mailbox.schedules.filter(lane="outgoing").select_related("profile").first()
    if lane is not None and lane.fault_text:
        return _("The last attempt at its mailbox failed: %(why)s.") % {"why": lane.fault_text}
    return ""
