"""A batch of messages stored: each is a record, a failure or a decision, with its reason.

One batch is one transaction under the fence: records, links, decisions, item failures and, behind
the last batch of a page, the cursor (DESIGN invariant 3). One bad item never spoils its batch.

`reading` makes drafts of messages, `promotion` decides about them, `records` inserts them, and
`unstored` keeps why others are no records.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import DataError, transaction
from django.db.models import Q

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import Email, QueueItem
from syncservice.domain.faults import Fault
from syncservice.domain.resolution import Kind
from syncservice.mailboxes.models import DeclinedItem, RemoteItem
from syncservice.mailboxes.schedule import fenced, note_progress
from syncservice.servers.gateway import Fetched, Gone, NotFetched
from syncservice.sync import correspondence, records
from syncservice.sync.drafts import Draft
from syncservice.sync.inbox import Inbox, Tracking
from syncservice.sync.organisation_rules import Rules
from syncservice.sync.promotion import Decision, Promotion
from syncservice.sync.reading import item_fault, read_all
from syncservice.sync.unstored import decline, end_failures, keep_failures

#: What PostgreSQL can't hold; ValueError: psycopg2 on NUL in a string.
_REFUSED = (DataError, ValueError)


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch's items: new records, links to known ones, failures."""

    stored: int = 0
    linked: int = 0
    failed: int = 0
    gone: int = 0  # moved or deleted since they were listed
    declined: int = 0  # they don't belong in the CRM


def store(
    inbox: Inbox,
    answers: Iterable[Fetched | NotFetched | Gone],
    cursor: str | None = None,
    *,
    are_attempts: bool = True,
) -> Stored:
    """Store a batch in one transaction; with `cursor`, the page ends with it.

    Unless they `are_attempts`, its failures bring no message nearer to being given up.

    Raise ClaimLost, with nothing written, when another claim was made meanwhile.
    """
    read = read_all(inbox, answers)  # before the transaction opens: parsing takes its time
    promotion = Promotion(inbox.receiver, inbox.rules)
    with fenced(inbox.claim) as schedule:
        correspondence.lock((draft.letter, draft.identity) for draft in read.drafts)
        present = _present(read.drafts)
        fresh = [draft for draft in read.drafts if draft.identity not in present]
        decisions = promotion.decide(fresh)
        firsts = {one.draft.identity: one for one in decisions if one.becomes_record}
        made = _insert(list(firsts.values()), read.failures, inbox.rules)
        for one in decisions:  # a second copy of what the database can't hold
            if one.is_double and one.draft.identity not in made:
                first = firsts[one.draft.identity].draft.source.item_id
                read.failures[one.draft.source.item_id] = read.failures[first]
        present |= {one.draft.identity: one.copy_of for one in decisions if one.copy_of}
        present |= made
        linked = [draft for draft in read.drafts if draft.identity in present]
        new = {firsts[identity].draft.source.item_id for identity in made}
        alike = {one.draft.source.item_id for one in decisions if one.copy_of}
        _link(inbox, linked, present, new, alike)
        declined = decline(inbox, read, decisions, present)
        keep_failures(inbox, read.failures, read.facts, 1 if are_attempts else 0)
        end_failures(
            inbox, [draft.source.item_id for draft in linked] + declined, ItemFailure.State.RESOLVED
        )
        end_failures(inbox, read.gone, ItemFailure.State.GONE)
        # A failure or a link is said of an item now, or it is there no more.
        DeclinedItem.objects.filter(
            mailbox=inbox.claim.mailbox_id,
            item_id__in=[
                *(draft.source.item_id for draft in linked), *read.failures, *read.gone
            ],
        ).delete()  # fmt: skip
        if cursor is not None:
            inbox.save_cursor(cursor)
        note_progress(schedule)
    return Stored(
        len(made), len(linked) - len(made), len(read.failures), len(read.gone), len(declined)
    )


def _present(drafts: Sequence[Draft]) -> dict[str, UUID]:
    """Return the emails that the CRM has already, by their identity."""
    sent = {draft.identity for draft in drafts if draft.is_sent}
    received = {draft.identity for draft in drafts} - sent
    emails = Email.objects.filter(
        Q(direction=Email.Direction.OUTGOING, identity__in=sent)
        | Q(direction=Email.Direction.INCOMING, identity__in=received)
    )
    return dict(emails.values_list("identity", "id"))


def _insert(decisions: list[Decision], failures: dict[str, Fault], rules: Rules) -> dict[str, UUID]:
    """Insert accepted messages, and return their emails by identity.

    What PostgreSQL refuses to hold goes to `failures`, alone. Each is tried and undone by
    itself, and the good ones are then inserted together: in one order, see `records.insert`.
    """
    if not decisions:
        return {}
    try:
        with transaction.atomic():
            return records.insert(decisions, rules)
    except _REFUSED:
        good = [one for one in decisions if not _refused(one, failures, rules)]
    ids = {one.draft.letter.id for one in good}
    # What they answer may be among the refused.
    return records.insert([_without_lost(one, decisions, ids) for one in good], rules)


def _refused(decision: Decision, failures: dict[str, Fault], rules: Rules) -> bool:
    try:
        with transaction.atomic():
            records.insert([replace(decision, answer=None)], rules)
            transaction.set_rollback(True)
    except _REFUSED as error:
        failures[decision.draft.source.item_id] = item_fault(
            "email.not_storable", f"the database can't hold this message: {error}"
        )
        return True
    return False


def _link(
    inbox: Inbox,
    drafts: Sequence[Draft],
    emails: Mapping[str, UUID],
    new: Collection[str],
    alike: Collection[str],
) -> None:
    """Say from which items emails came; `new` are those that became records just now.

    Emails that were here already may be about more now. What holds more than the CRM has stays
    on the server, and so does what is only `alike`: it need not be the same in every word.
    What was deleted and is listed again is one the server keeps (Gmail may).
    """
    left = RemoteItem.objects.filter(
        mailbox=inbox.claim.mailbox_id,
        item_id__in=[draft.source.item_id for draft in drafts],
        left_at__isnull=False,
    )
    again = set(left.values_list("item_id", "email")) if inbox.receiver.deletes else set()
    rule = inbox.rule()
    RemoteItem.objects.bulk_create(
        (
            RemoteItem(
                mailbox_id=inbox.claim.mailbox_id,
                item_id=draft.source.item_id,
                email_id=emails[draft.identity],
                tracking=draft.tracking,
                folder=rule,
                is_to_delete=inbox.receiver.deletes
                and not draft.holds_more
                and draft.source.item_id not in alike
                and (draft.source.item_id, emails[draft.identity]) not in again,
            )
            for draft in drafts
        ),
        update_conflicts=True,
        unique_fields=["mailbox", "item_id"],
        update_fields=[
            *("email", "left_at", "tracking", "folder", "is_untracked", "is_to_delete"),
        ],
    )
    known = [draft for draft in drafts if draft.source.item_id not in new]
    for draft in known:
        if draft.regarding and draft.tracking is Tracking.HAND:
            Email.objects.filter(pk=emails[draft.identity]).update(**draft.regarding)
    owner = inbox.receiver.owner
    if owner is None or owner.kind is Kind.QUEUE:  # F132: a queue's, or to which queues forward
        # By its email's own id: that is not what it answers.
        known = [
            replace(draft, letter=replace(draft.letter, id=emails[draft.identity]))
            for draft in known
        ]
        QueueItem.objects.bulk_create(
            (
                QueueItem(queue_id=who.id, email_id=one.draft.letter.id)
                for one in Promotion(inbox.receiver, inbox.rules).decide(known)
                for who in one.verdict.accepted
                if who.kind is Kind.QUEUE and who.is_receiving
            ),
            ignore_conflicts=True,
        )


def _without_lost(decision: Decision, tried: list[Decision], kept: set[UUID]) -> Decision:
    """Forget the answered email when it was in the same batch and could not be stored."""
    answer = decision.answer
    lost = {one.draft.letter.id for one in tried} - kept
    return replace(decision, answer=None) if answer and answer.email_id in lost else decision
