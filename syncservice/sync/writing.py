"""Email that is written in the CRM, as drafts (1I, F160); `submission` lets it go."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from syncservice.crm.ids import activity_id
from syncservice.crm.models import ActivityParty, Email, Queue, User
from syncservice.domain.addresses import addresses_in
from syncservice.domain.composition import references_for
from syncservice.domain.message import MessageAttachment, Role
from syncservice.domain.resolution import Match, sender_of
from syncservice.domain.sending import Priority
from syncservice.mailboxes import administration
from syncservice.mailboxes.models import Organisation, OutgoingEmail
from syncservice.sync import attachments, directory
from syncservice.sync.organisation_rules import rules_of

Owner = User | Queue


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
            address=address_of(author),
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


def address_of(owner: Owner) -> str:
    """Return the address that others know: that of the mailbox, if there is one."""
    mailbox = administration.mailbox_of(owner)
    return (mailbox.email_address if mailbox else "") or administration.address_of(owner)
