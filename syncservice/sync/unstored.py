"""What is kept of messages that are no records: why they were declined, or could not be stored."""

from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import ItemFailure, Severity
from syncservice.domain.acceptance import Reason
from syncservice.domain.faults import Fault, Scope, item_may_recover
from syncservice.mailboxes.models import DeclinedItem
from syncservice.sync.inbox import Inbox
from syncservice.sync.promotion import Decision
from syncservice.sync.reading import Declined, Read

#: Reasons that somebody has to act upon, with the codes of their alerts (F093, F116).
_TOLD = {
    Reason.NO_SENDER: "email.no_sender",
    Reason.NOT_FORWARDED: "email.not_forwarded",
    Reason.NOT_ALLOWED_TO_FORWARD: "email.not_allowed_to_forward",
}


def decline(
    inbox: Inbox, read: Read, decisions: Iterable[Decision], present: Mapping[str, UUID]
) -> list[str]:
    """Keep why messages are not in the CRM; return their items."""
    declined = list(read.declined)
    for decision in decisions:
        draft, reason = decision.draft, decision.verdict.reason
        if reason is not None and draft.identity not in present:
            declined.append(
                Declined(
                    draft.source.item_id, reason, draft.message, len(draft.source.mime),
                    draft.source.received_at, draft.letter.waits_for,
                )
            )  # fmt: skip
    DeclinedItem.objects.bulk_create(
        (_declined_item(inbox, one) for one in declined),
        update_conflicts=True,
        unique_fields=["mailbox", "item_id"],
        update_fields=[
            *("reason", "declined_at", "is_wanted", "left_at", "folder", "message_id"),
            *("answers", "sender", "subject", "size", "received_at"),
        ],
    )
    for reason, count in Counter(one.reason for one in declined).items():
        if reason in _TOLD:
            alerts.raise_for_mailbox(
                inbox.claim.mailbox_id, Severity.INFORMATION, _TOLD[reason],
                direction=alerts.EMAIL, count=count,
            )  # fmt: skip
    return [one.item_id for one in declined]


def _declined_item(inbox: Inbox, declined: Declined) -> DeclinedItem:
    message = declined.message
    sender = message.sender
    return DeclinedItem(
        mailbox_id=inbox.claim.mailbox_id,
        item_id=declined.item_id,
        folder=inbox.folder,
        reason=declined.reason,
        message_id=message.message_id,
        answers=list(declined.waits_for),
        sender=(sender.address or sender.name) if sender else "",
        subject=message.subject,
        size=declined.size,
        received_at=declined.received_at or message.sent_at,
        declined_at=Now(),
    )


def keep_failures(
    inbox: Inbox, failures: dict[str, Fault], facts: Mapping[str, tuple[int, str]], attempt: int
) -> None:
    known = {
        failure.item_id: failure
        for failure in ItemFailure.objects.filter(
            mailbox=inbox.claim.mailbox_id, item_id__in=failures
        ).exclude(state=ItemFailure.State.GONE)
    }
    rows = []
    for item_id, fault in failures.items():
        before = known.get(item_id)
        attempts = before.attempts if before else 0
        if fault.scope is Scope.EMAIL:  # else the server is in trouble, or the mailbox
            attempts += attempt
        retry = item_may_recover(fault, attempts, inbox.item_attempts)
        size, subject = facts[item_id]
        rows.append(
            ItemFailure(
                mailbox_id=inbox.claim.mailbox_id,
                item_id=item_id,
                folder=inbox.folder,
                tracking=inbox.by_item.get(item_id, ""),
                code=fault.code,
                reason=fault.text,
                size=size,
                subject=(subject or (before.subject if before else ""))[:2048],
                attempts=attempts,
                state=ItemFailure.State.RETRYING if retry else ItemFailure.State.GIVEN_UP,
                last_seen_at=Now(),
            )
        )
    ItemFailure.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["mailbox", "item_id"],
        update_fields=[
            *("code", "reason", "size", "subject", "attempts", "state", "last_seen_at"),
            *("folder", "tracking"),
        ],
    )
    # One alert a kind of trouble, however many messages have it.
    for code, count in Counter(fault.code for fault in failures.values()).items():
        text = next(fault.text for fault in failures.values() if fault.code == code)
        alerts.raise_for_mailbox(
            inbox.claim.mailbox_id, Severity.WARNING, code, text,
            direction=alerts.EMAIL, count=count,
        )  # fmt: skip


def end_failures(inbox: Inbox, item_ids: list[str], state: ItemFailure.State) -> None:
    ItemFailure.objects.filter(mailbox=inbox.claim.mailbox_id, item_id__in=item_ids).exclude(
        state=ItemFailure.State.RESOLVED
    ).update(state=state, attempts=F("attempts") + 1, last_seen_at=Now())
