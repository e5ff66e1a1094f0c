"""Why an email that was submitted is not sent yet, in words (F162)."""

from datetime import UTC, datetime

from django.utils.translation import gettext as _

from syncservice.crm.models import Email, User
from syncservice.domain.sending import State
from syncservice.mailboxes import administration
from syncservice.mailboxes.models import Mailbox, OutgoingEmail
from syncservice.sync.submission import is_under_way

_SECRETS = (
    "mailbox__password",
    "mailbox__profile__password",
    "mailbox__profile__outgoing_password",
)


def why_waiting(email: Email) -> str:
    """Say in a sentence why an email is not sent yet; '' when it doesn't wait (F162)."""
    known = OutgoingEmail.objects.select_related("mailbox__profile").defer(*_SECRETS)
    outgoing = known.filter(pk=email.pk).first()
    if outgoing is None or email.status not in (State.PENDING, State.SENDING, State.UNKNOWN):
        return ""
    if email.status == State.SENDING and is_under_way(outgoing):
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
