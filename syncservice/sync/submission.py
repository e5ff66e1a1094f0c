"""Email that is let go: submitted, alone or in bulk, taken back, and decided about (1I, F160-F171).

Submitting only writes rows: whose mailbox sends it, from when on, and its place in the line. All
that may be refused is refused here, with the reason, before anything leaves.
"""

from email.utils import make_msgid
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Coalesce, Greatest, Now
from django.utils.translation import gettext as _

from syncservice.alerts import alerts
from syncservice.crm.ids import activity_id
from syncservice.crm.models import ActivityParty, Attachment, Email, Queue, User
from syncservice.domain.message import Role
from syncservice.domain.resolution import Kind
from syncservice.domain.sending import HEAD_START, Event, Impossible, Priority, State, after
from syncservice.domain.tracking_token import with_token
from syncservice.mailboxes import administration, schedule
from syncservice.mailboxes.models import Lane, Mailbox, Organisation, OutgoingEmail, Schedule
from syncservice.sync.organisation_rules import rules_of
from syncservice.sync.token_numbers import next_tokens
from syncservice.sync.writing import Owner, address_of

#: May write in the name of users and queues who did not allow it themselves (F167).
SEND_AS_ANYONE = "mailboxes.send_as_anyone"


@transaction.atomic
def submit(email: Email, by: User | None) -> None:
    """Send a draft, or what failed, as soon as it has its turn; `by` None: the service itself.

    Raise ValidationError with the reason when it can't be sent so.
    """
    administration.keep_hands()
    email.refresh_from_db()
    sender = _sender(_author(email), by)
    token = email.tracking_token or next_tokens(by or sender, 1)[0]
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
    domain = address_of(sender).rpartition("@")[2] or "localhost"
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
    tokens = next_tokens(by or sender, len(recipients))
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
    if email.status == State.SENDING and not is_under_way(outgoing):
        is_clear = outgoing.handed_over_at is None
        _change(email, Event.PUT_OFF if is_clear else Event.LOSE)
        Email.objects.filter(pk=email.pk).update(status=email.status)
    return outgoing


def is_under_way(outgoing: OutgoingEmail) -> bool:
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
