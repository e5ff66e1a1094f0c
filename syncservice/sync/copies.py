"""The other side of a message that is in the CRM: what was sent, or what was received (F111)."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce

from syncservice.crm.models import Email, QueueItem
from syncservice.domain.message import Role
from syncservice.sync.drafts import Draft
from syncservice.sync.organisation_rules import Rules

#: How far the times differ at which two servers say that one email was sent.
_SAME_DAY = timedelta(days=1)


def copies_of(drafts: Sequence[Draft], rules: Rules) -> dict[str, UUID]:
    """Return the emails that the drafts may be one with, by the drafts' identity."""
    return _received_copies(drafts, rules) | _sent_copies(drafts, rules)


def _received_copies(drafts: Sequence[Draft], rules: Rules) -> dict[str, UUID]:
    """Return emails that recipients have of what was sent, by the drafts' identity (F111).

    A queue's is its own work, besides (F112); one that only went to its owner's is not (F131).
    """
    sent = {draft.identity for draft in drafts if draft.is_sent}
    if not sent or rules.internal.is_two_activities:
        return {}
    own = Coalesce(OuterRef("owner__default_queue"), 0)
    in_others = QueueItem.objects.filter(~Q(queue=own), email=OuterRef("pk"))
    rows = Email.objects.filter(
        ~Exists(in_others),
        direction=Email.Direction.INCOMING,
        identity__in=sent,
        accepting_queue=None,
    )
    return dict(rows.values_list("identity", "pk"))


def _sent_copies(drafts: Sequence[Draft], rules: Rules) -> dict[str, UUID]:
    """Return outgoing emails that the drafts are copies of, by the drafts' identity.

    They have the Message-ID and the sender, which anybody can write into another mail: so the
    subject and the day have to be the same too.
    """
    ids = {draft.message.message_id for draft in drafts} - {""}
    sent = list(
        Email.objects.filter(
            direction=Email.Direction.OUTGOING,
            message_id__in=ids,
            parties__participation=Role.SENDER,
        )
        .annotate(at=Coalesce("sent_at", "created_at"))
        .values_list("pk", "message_id", "parties__address", "subject", "at")
    )
    bare = rules.scheme.bare
    return {
        draft.identity: pk
        for draft in drafts
        for pk, message_id, sender, subject, at in sent
        if (message_id, sender.lower()) == (draft.message.message_id, _sender(draft))
        and bare(subject) == bare(draft.message.subject)
        and draft.letter.at is not None
        and abs(draft.letter.at - at) <= _SAME_DAY
    }


def _sender(draft: Draft) -> str:
    author = draft.message.sender
    return author.address.lower() if author else ""
