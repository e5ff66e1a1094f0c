"""The stored side of a mailbox's folder: what is known of its items, and what becomes of new ones.

One batch is one transaction under the fence: records, links, decisions, item failures and, behind
the last batch of a page, the cursor (DESIGN invariant 3). One bad item never spoils its batch.

`promotion` decides what becomes of a message, `records` inserts it.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib.resources import files
from typing import Any, assert_never
from uuid import UUID

import structlog
from django.db import DataError, connection, transaction
from django.db.models import BooleanField, ExpressionWrapper, F, Q, Subquery
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import ItemFailure, Severity
from syncservice.crm.models import Email, QueueItem, Regarding
from syncservice.domain.acceptance import Reason
from syncservice.domain.correlation import Letter
from syncservice.domain.faults import Fault, Nature, Provenance, Scope, item_may_recover
from syncservice.domain.message import Message, UnreadableMessage, parse
from syncservice.domain.resolution import Kind
from syncservice.domain.rights_management import is_rights_managed
from syncservice.mailboxes.models import (
    DeclinedItem,
    FolderCursor,
    Organisation,
    RemoteItem,
    Schedule,
    TrackingCategory,
    TrackingFolder,
)
from syncservice.mailboxes.schedule import Claim, fenced, note_progress
from syncservice.servers.gateway import INBOX, SENT_ITEMS, Fetched, Gone, Listed, NotFetched
from syncservice.sync import correspondence, records
from syncservice.sync.directory import Receiver, receiver_of
from syncservice.sync.promotion import Decision, Draft, Promotion, Rules, letter_of, rules_of

log = structlog.get_logger()

_APPLY_FOLDER_RULES = files(__package__).joinpath("apply_folder_rules.sql").read_text()
_LEAVE_UNLISTED = files(__package__).joinpath("leave_unlisted.sql").read_text()

Tracking = RemoteItem.Tracking

#: What a bug in reading one message raises (invariant 6); a time limit or want of memory is none.
_PARSER_BUGS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


#: What PostgreSQL can't hold; ValueError: psycopg2 on NUL in a string.
_REFUSED = (DataError, ValueError)


LONGEST_ID = RemoteItem.LONGEST_ID


#: What was given up is not asked for again so long, even when the server goes on listing it.
GIVEN_UP_FOR = timedelta(days=1)

#: Reasons that somebody has to act upon, with the codes of their alerts (F093, F116).
_TOLD = {
    Reason.NO_SENDER: "email.no_sender",
    Reason.NOT_FORWARDED: "email.not_forwarded",
    Reason.NOT_ALLOWED_TO_FORWARD: "email.not_allowed_to_forward",
}


def kept_id(item_id: str) -> str:
    """Return the id under which an item is kept: its own, or a digest of one that is too long."""
    if len(item_id) <= LONGEST_ID:
        return item_id
    return f"sha256:{hashlib.sha256(item_id.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a batch's items: new records, links to known ones, failures."""

    stored: int = 0
    linked: int = 0
    failed: int = 0
    gone: int = 0  # moved or deleted since they were listed
    declined: int = 0  # they don't belong in the CRM


@dataclass(frozen=True, slots=True)
class _Declined:
    """A message that is no draft: why, with what is known of it."""

    item_id: str
    reason: Reason
    message: Message
    size: int
    received_at: datetime | None
    waits_for: tuple[str, ...] = ()  # names of what it may answer


@dataclass(slots=True)
class _Read:
    """What reading a batch's answers gave."""

    drafts: list[Draft] = field(default_factory=list)
    declined: list[_Declined] = field(default_factory=list)
    failures: dict[str, Fault] = field(default_factory=dict)
    facts: dict[str, tuple[int, str]] = field(default_factory=dict)  # size, subject: where known
    gone: list[str] = field(default_factory=list)


@dataclass
class Inbox:
    """The stored side of one folder of a mailbox, written under one claim."""

    claim: Claim
    item_attempts: int
    since: datetime | None = None  # email received earlier is left alone (F044); None: all is read
    folder: str = INBOX
    tracking: Tracking = Tracking.FILTER  # why email of this folder is wanted
    tracked_folder: TrackingFolder | None = None  # the rule that says so
    former_category: str = ""  # as ours was called before this visit; '': as it is now
    #: Of items that are wanted for another reason than their folder's, and what they are about.
    _by_item: dict[str, Tracking] = field(default_factory=dict, init=False)
    _about: dict[str, dict[str, Any]] = field(default_factory=dict, init=False)

    @cached_property
    def receiver(self) -> Receiver:
        return receiver_of(self.claim.mailbox_id)

    @cached_property
    def rules(self) -> Rules:
        return rules_of(Organisation.current())

    @cached_property
    def categories(self) -> dict[str, TrackingCategory]:
        """Our categories on the mailbox's list, by kind (F153); none where they aren't used."""
        if not self.rules.organisation.uses_category_tracking or self.receiver.owner is None:
            return {}
        rows = TrackingCategory.objects.filter(mailbox=self.claim.mailbox_id)
        return {row.kind: row for row in rows}

    @property
    def _category(self) -> str:
        """The name of the category by which email is tracked; '': there is none."""
        row = self.categories.get(TrackingCategory.Kind.TRACKED)
        return row.name if row else ""

    def cursor(self) -> str:
        """Return how far the folder has been read; '' is nothing yet."""
        row = FolderCursor.objects.filter(mailbox=self.claim.mailbox_id, folder=self.folder).first()
        return row.position if row else ""

    def move_cursor(self, position: str) -> None:
        with fenced(self.claim):
            self._save_cursor(position)

    def forget_cursor(self) -> None:
        """Read the folder from its beginning next time; links keep known items from doubling."""
        self.move_cursor("")

    def new_items(self, items: Sequence[Listed]) -> tuple[list[Listed], list[Listed]]:
        """Return those of `items` that no email record came from yet, and that are wanted.

        In a list of their own those that failed before. What was dismissed or declined is left
        alone, and what was given up is for a day: some servers list it at every visit. The category
        brings any of these back.
        """
        mailbox = self.claim.mailbox_id
        ids = [kept_id(item.item_id) for item in items]
        if items and self.tracked_folder is not None and not self._are_in_folder(ids):
            return [], []
        categorised = {item.item_id for item in items if self._is_categorised(item)}
        linked = self._follow_categories(items, categorised)
        new = [
            item
            for item in items
            if item.item_id not in linked and (item.item_id in categorised or self._is_wanted(item))
        ]
        if not new:
            return [], []
        self._by_item |= dict.fromkeys(categorised, Tracking.CATEGORY)
        State = ItemFailure.State
        known = ItemFailure.objects.filter(mailbox=mailbox, item_id__in=ids).exclude(
            state__in=(State.RESOLVED, State.GONE)
        )
        rests = Q(state=State.DISMISSED) | Q(
            state=State.GIVEN_UP, last_seen_at__gt=Now() - GIVEN_UP_FOR
        )
        failed = dict(known.annotate(rests=ExpressionWrapper(rests, BooleanField())).values_list(
            "item_id", "rests"
        ))  # fmt: skip
        declined = set()
        if self.tracking is not Tracking.FOLDER:
            decisions = DeclinedItem.objects.filter(mailbox=mailbox, item_id__in=ids, left_at=None)
            declined = set(decisions.values_list("item_id", flat=True))
        failed |= dict.fromkeys(declined - failed.keys(), True)
        failed |= dict.fromkeys(categorised & failed.keys(), False)
        return (
            [item for item in new if kept_id(item.item_id) not in failed],
            [item for item in new if failed.get(kept_id(item.item_id)) is False],
        )

    def _is_wanted(self, item: Listed) -> bool:
        """Whether a message is late enough; one without a time of receipt is read."""
        return self.since is None or item.received_at is None or item.received_at >= self.since

    def _is_categorised(self, item: Listed) -> bool:
        return bool(self._category) and self._category in item.categories

    def _follow_categories(self, items: Sequence[Listed], categorised: set[str]) -> set[str]:
        """Return the items that have a link, after taking note of categories put on or taken off.

        Taken off, it ends the tracking of what the category brought; no record is deleted (F153).
        What carries its former name will get the new one.
        """
        ids = [kept_id(item.item_id) for item in items]
        renamed = {item.item_id for item in items if self.former_category in item.categories}
        linked = {
            item.item_id: item
            for item in RemoteItem.objects.filter(
                mailbox=self.claim.mailbox_id, item_id__in=ids, left_at=None
            ).only("item_id", "tracking", "is_untracked")
        }
        changed = [
            item.pk
            for item in linked.values()
            if item.tracking == Tracking.CATEGORY
            and item.is_untracked == (item.item_id in categorised)
            and (item.is_untracked or item.item_id not in renamed)
        ]
        if changed and self._category:
            with fenced(self.claim):
                RemoteItem.objects.filter(pk__in=changed).update(
                    is_untracked=ExpressionWrapper(
                        Q(is_untracked=False), output_field=BooleanField()
                    )
                )
        return set(linked)

    def _are_in_folder(self, ids: Collection[str]) -> bool:
        """Take note that items lie in the tracked folder, whatever brought them in (F143, F151).

        False, with nothing written, when somebody untracked it since.
        """
        with fenced(self.claim):
            rule = self._rule()
            if rule is not None:
                links = RemoteItem.objects.filter(mailbox=self.claim.mailbox_id, item_id__in=ids)
                links.exclude(folder=rule).update(folder=rule)
        return rule is not None

    def _rule(self) -> TrackingFolder | None:
        """Return the folder's rule, None when it has none or none any more.

        To be called inside `fenced`: nobody untracks the folder before the transaction ends.
        """
        rule = self.tracked_folder
        is_there = rule is not None and TrackingFolder.objects.filter(pk=rule.pk).exists()
        return rule if is_there else None

    def take_by_hand(self, item_ids: Collection[str], about: Regarding) -> None:
        """Take note that somebody wants items that came in already, and what they are about."""
        with fenced(self.claim):
            links = RemoteItem.objects.filter(mailbox=self.claim.mailbox_id, item_id__in=item_ids)
            links.update(tracking=Tracking.HAND, is_untracked=False)
            if columns := _columns_of(about):
                Email.objects.filter(remote_items__in=links).update(**columns)

    def leave(self, item_ids: Sequence[str]) -> None:
        """Take note that items left the folder: its rule says no more what they are about."""
        if self.tracked_folder is not None and item_ids:
            with fenced(self.claim):
                RemoteItem.objects.filter(
                    mailbox=self.claim.mailbox_id, folder=self.tracked_folder, item_id__in=item_ids
                ).update(folder=None)

    def leave_unlisted(self, item_ids: Collection[str]) -> None:
        """Take note of what is not among all the items that the mailbox lists: it has left.

        What comes later under an id of it is another message.
        """
        listed = [kept_id(item_id) for item_id in item_ids]
        with fenced(self.claim), connection.cursor() as cursor:
            cursor.execute(_LEAVE_UNLISTED, {"mailbox": self.claim.mailbox_id, "listed": listed})

    def folder_is_gone(self) -> None:
        """Take note that the tracked folder isn't there any more (F145)."""
        assert self.tracked_folder is not None, "the Inbox is always there"
        with fenced(self.claim):
            TrackingFolder.objects.filter(pk=self.tracked_folder.pk).update(
                state=TrackingFolder.State.GONE
            )

    def apply_folder_rules(self) -> None:
        """Let what lies in tracked folders be about what their rules say (F143, F149, F151).

        Where one email lies in folders of several, the first that brought it in says so (F150).
        """
        with fenced(self.claim), connection.cursor() as cursor:
            cursor.execute(_APPLY_FOLDER_RULES, {"mailbox": self.claim.mailbox_id})

    def to_delete(self, limit: int) -> list[str]:
        """Return at most `limit` items that are stored and have to be deleted on the server."""
        items = RemoteItem.objects.filter(mailbox=self.claim.mailbox_id, is_to_delete=True)
        in_crm = items.filter(email__isnull=False)
        return list(in_crm.order_by("pk").values_list("item_id", flat=True)[:limit])

    def tell_of(self, fault: Fault) -> None:
        """Raise an alert about what stops neither the visit nor any message."""
        with fenced(self.claim):
            alerts.raise_for_mailbox(
                self.claim.mailbox_id, Severity.WARNING, fault.code, fault.text,
                direction=alerts.EMAIL,
            )  # fmt: skip

    def are_kept(self, item_ids: Collection[str], fault: Fault) -> None:
        """Take note that the server did not delete items, and tell it; often enough, it may."""
        links = RemoteItem.objects.filter(mailbox=self.claim.mailbox_id, item_id__in=item_ids)
        with fenced(self.claim):
            links.update(deletions_refused=F("deletions_refused") + 1)
            links.filter(deletions_refused__gte=self.item_attempts).update(is_to_delete=False)
            self.tell_of(fault)

    def are_deleted(self, item_ids: Sequence[str]) -> None:
        with fenced(self.claim):
            RemoteItem.objects.filter(mailbox=self.claim.mailbox_id, item_id__in=item_ids).update(
                is_to_delete=False, left_at=Now()
            )

    def to_retry(self, limit: int) -> list[Listed]:
        """Return at most `limit` items that failed, before this visit, for a reason that may pass,
        and those that were declined and are wanted by now.

        Those that waited longest come first: a visit that can't try all leaves the others to the
        next. What became of them has to be stored before more is asked for.
        """
        visits = Schedule.objects.filter(mailbox=self.claim.mailbox_id, lane=self.claim.lane)
        failures = ItemFailure.objects.filter(
            mailbox=self.claim.mailbox_id,
            folder=self.folder,
            state=ItemFailure.State.RETRYING,
            last_seen_at__lt=Subquery(visits.values("started_at")),
        ).order_by("last_seen_at")[:limit]
        items = []
        for failure in failures:
            items.append(Listed(failure.item_id, failure.size, subject=failure.subject))
            if failure.tracking:
                self._by_item[failure.item_id] = Tracking(failure.tracking)
        wanted = DeclinedItem.objects.filter(
            mailbox=self.claim.mailbox_id, folder=self.folder, is_wanted=True, left_at=None
        )
        for item_id, size, subject in wanted.order_by("declined_at").values_list(
            "item_id", "size", "subject"
        )[: limit - len(items)]:
            items.append(Listed(item_id, size, subject=subject))
        return items

    def want(self, item_id: str, about: Regarding) -> None:
        """Have an item stored whatever the filters say: somebody asked for it by hand."""
        self._by_item[item_id] = Tracking.HAND
        self._about[item_id] = _columns_of(about)

    def is_retrying(self, item_id: str) -> bool:
        """Whether an item failed, and will be tried again."""
        return ItemFailure.objects.filter(
            mailbox=self.claim.mailbox_id, item_id=item_id, state=ItemFailure.State.RETRYING
        ).exists()

    def store(
        self,
        answers: Iterable[Fetched | NotFetched | Gone],
        cursor: str | None = None,
        *,
        are_attempts: bool = True,
    ) -> Stored:
        """Store a batch in one transaction; with `cursor`, the page ends with it.

        Unless they `are_attempts`, its failures bring no message nearer to being given up.

        Raise ClaimLost, with nothing written, when another claim was made meanwhile.
        """
        read = self._read_all(answers)  # before the transaction opens: parsing takes its time
        promotion = Promotion(self.receiver, self.rules)
        with fenced(self.claim) as schedule:
            correspondence.lock((draft.letter, draft.identity) for draft in read.drafts)
            present = self._present(read.drafts)
            fresh = [draft for draft in read.drafts if draft.identity not in present]
            decisions = promotion.decide(fresh)
            firsts = {one.draft.identity: one for one in decisions if one.becomes_record}
            made = self._insert(list(firsts.values()), read.failures)
            for one in decisions:  # a second copy of what the database can't hold
                if one.is_double and one.draft.identity not in made:
                    first = firsts[one.draft.identity].draft.source.item_id
                    read.failures[one.draft.source.item_id] = read.failures[first]
            present |= {one.draft.identity: one.copy_of for one in decisions if one.copy_of}
            present |= made
            linked = [draft for draft in read.drafts if draft.identity in present]
            new = {firsts[identity].draft.source.item_id for identity in made}
            alike = {one.draft.source.item_id for one in decisions if one.copy_of}
            self._link(linked, present, new, alike)
            declined = self._decline(read, decisions, present)
            self._keep_failures(read.failures, read.facts, 1 if are_attempts else 0)
            self._end_failures(
                [draft.source.item_id for draft in linked] + declined, ItemFailure.State.RESOLVED
            )
            self._end_failures(read.gone, ItemFailure.State.GONE)
            # A failure or a link is said of an item now, or it is there no more.
            DeclinedItem.objects.filter(
                mailbox=self.claim.mailbox_id,
                item_id__in=[
                    *(draft.source.item_id for draft in linked), *read.failures, *read.gone
                ],
            ).delete()  # fmt: skip
            if cursor is not None:
                self._save_cursor(cursor)
            note_progress(schedule)
        return Stored(
            len(made), len(linked) - len(made), len(read.failures), len(read.gone), len(declined)
        )

    def _read_all(self, answers: Iterable[Fetched | NotFetched | Gone]) -> _Read:
        read = _Read()
        letters: dict[str, Letter] = {}  # by identity: copies become one email
        for answer in answers:
            match answer:
                case Fetched():
                    size, subject = len(answer.mime), ""
                    match self._read(answer):
                        case Draft() as draft:
                            letter = letters.setdefault(draft.identity, draft.letter)
                            read.drafts.append(replace(draft, letter=letter))
                            subject = draft.message.subject
                        case _Declined() as declined:
                            read.declined.append(declined)
                        case Fault() as fault:
                            read.failures[answer.item_id] = fault
                    read.facts[answer.item_id] = size, subject
                case NotFetched():
                    read.facts[answer.item_id] = answer.size, answer.subject
                    read.failures[answer.item_id] = answer.fault
                case Gone():
                    read.gone.append(answer.item_id)
                case _:
                    assert_never(answer)
        return read

    def _read(self, fetched: Fetched) -> Draft | _Declined | Fault:
        forwarder = ""
        forwarded: Sequence[bytes] = ()
        try:
            message = parse(fetched.mime)
            if self.receiver.owner is None:
                forwarder = message.sender.address.lower() if message.sender else ""
                forwarded = message.forwarded
                if not forwarded or not forwarder:
                    return _Declined(
                        fetched.item_id, Reason.NOT_FORWARDED, message, len(fetched.mime),
                        fetched.received_at,
                    )  # fmt: skip
                message = parse(forwarded[0])  # a server's rule forwards one
            if self.rules.organisation.leaves_out_rights_managed and is_rights_managed(
                fetched.item_class, message.content_class, message.attachments
            ):
                return _Declined(
                    fetched.item_id, Reason.RIGHTS_MANAGED, message, len(fetched.mime),
                    fetched.received_at,
                )  # fmt: skip
            letter = letter_of(message, fetched, self.rules)
        except UnreadableMessage as error:
            return _item_fault("email.unreadable", str(error))
        except _PARSER_BUGS as error:  # one stranger's message must not stop the mailbox
            log.exception("email.parser_failed", mailbox_id=self.claim.mailbox_id)
            return _item_fault(
                "email.parser_failed",
                f"reading the message failed in our own code ({type(error).__name__}); "
                "please report it with the message",
            )
        tracking = self._by_item.get(fetched.item_id, self.tracking)
        return Draft(
            fetched,
            message,
            self._identity(fetched, message),
            letter,
            tracking,
            self._is_sent(message, tracking),
            forwarder,
            len(forwarded) > 1,
            self._about.get(fetched.item_id) or _columns_of(self.tracked_folder),
        )

    def _is_sent(self, message: Message, tracking: Tracking) -> bool:
        """Whether the owner sent a message: what is asked for by hand may lie in any folder."""
        if self.folder == SENT_ITEMS:
            return True
        author = message.sender
        return (
            tracking is Tracking.HAND
            and author is not None
            and author.address.lower() in self.receiver.addresses
        )

    def _identity(self, fetched: Fetched, message: Message) -> str:
        """Say what makes it this message and no other, as a digest.

        The Message-ID alone won't do: strangers choose it, and a different mail that borrows a
        known one must not be swallowed. The fingerprint alone won't do without a date: two equal
        notes may be two messages, so then the moment counts at which it came, or else the server's
        item, which may get another id.
        """
        parts: tuple[str, ...]
        came_at = fetched.received_at or message.received_at
        if message.message_id or message.sent_at:
            parts = (message.message_id, message.fingerprint)
        elif came_at:
            moment = came_at.astimezone(UTC).isoformat()
            parts = (str(self.claim.mailbox_id), message.fingerprint, moment)
        else:
            parts = (str(self.claim.mailbox_id), fetched.item_id)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _present(self, drafts: Sequence[Draft]) -> dict[str, UUID]:
        """Return the emails that the CRM has already, by their identity."""
        sent = {draft.identity for draft in drafts if draft.is_sent}
        received = {draft.identity for draft in drafts} - sent
        emails = Email.objects.filter(
            Q(direction=Email.Direction.OUTGOING, identity__in=sent)
            | Q(direction=Email.Direction.INCOMING, identity__in=received)
        )
        return dict(emails.values_list("identity", "id"))

    def _insert(self, decisions: list[Decision], failures: dict[str, Fault]) -> dict[str, UUID]:
        """Insert accepted messages, and return their emails by identity.

        What PostgreSQL refuses to hold goes to `failures`, alone. Each is tried and undone by
        itself, and the good ones are then inserted together: in one order, see `records.insert`.
        """
        if not decisions:
            return {}
        try:
            with transaction.atomic():
                return records.insert(decisions, self.rules)
        except _REFUSED:
            good = [one for one in decisions if not self._refused(one, failures)]
        ids = {one.draft.letter.id for one in good}
        # What they answer may be among the refused.
        return records.insert([_without_lost(one, decisions, ids) for one in good], self.rules)

    def _refused(self, decision: Decision, failures: dict[str, Fault]) -> bool:
        try:
            with transaction.atomic():
                records.insert([replace(decision, answer=None)], self.rules)
                transaction.set_rollback(True)
        except _REFUSED as error:
            failures[decision.draft.source.item_id] = _item_fault(
                "email.not_storable", f"the database can't hold this message: {error}"
            )
            return True
        return False

    def _link(
        self,
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
            mailbox=self.claim.mailbox_id,
            item_id__in=[draft.source.item_id for draft in drafts],
            left_at__isnull=False,
        )
        again = set(left.values_list("item_id", "email")) if self.receiver.deletes else set()
        rule = self._rule()
        RemoteItem.objects.bulk_create(
            (
                RemoteItem(
                    mailbox_id=self.claim.mailbox_id,
                    item_id=draft.source.item_id,
                    email_id=emails[draft.identity],
                    tracking=draft.tracking,
                    folder=rule,
                    is_to_delete=self.receiver.deletes
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
        owner = self.receiver.owner
        if owner is None or owner.kind is Kind.QUEUE:  # F132: a queue's, or to which queues forward
            # By its email's own id: that is not what it answers.
            known = [
                replace(draft, letter=replace(draft.letter, id=emails[draft.identity]))
                for draft in known
            ]
            QueueItem.objects.bulk_create(
                (
                    QueueItem(queue_id=who.id, email_id=one.draft.letter.id)
                    for one in Promotion(self.receiver, self.rules).decide(known)
                    for who in one.verdict.accepted
                    if who.kind is Kind.QUEUE and who.is_receiving
                ),
                ignore_conflicts=True,
            )

    def _decline(
        self, read: _Read, decisions: Iterable[Decision], present: Mapping[str, UUID]
    ) -> list[str]:
        """Keep why messages are not in the CRM; return their items."""
        declined = list(read.declined)
        for decision in decisions:
            draft, reason = decision.draft, decision.verdict.reason
            if reason is not None and draft.identity not in present:
                declined.append(
                    _Declined(
                        draft.source.item_id, reason, draft.message, len(draft.source.mime),
                        draft.source.received_at, draft.letter.waits_for,
                    )
                )  # fmt: skip
        DeclinedItem.objects.bulk_create(
            (self._declined_item(one) for one in declined),
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
                    self.claim.mailbox_id, Severity.INFORMATION, _TOLD[reason],
                    direction=alerts.EMAIL, count=count,
                )  # fmt: skip
        return [one.item_id for one in declined]

    def _declined_item(self, declined: _Declined) -> DeclinedItem:
        message = declined.message
        sender = message.sender
        return DeclinedItem(
            mailbox_id=self.claim.mailbox_id,
            item_id=declined.item_id,
            folder=self.folder,
            reason=declined.reason,
            message_id=message.message_id,
            answers=list(declined.waits_for),
            sender=(sender.address or sender.name) if sender else "",
            subject=message.subject,
            size=declined.size,
            received_at=declined.received_at or message.sent_at,
            declined_at=Now(),
        )

    def _keep_failures(
        self, failures: dict[str, Fault], facts: Mapping[str, tuple[int, str]], attempt: int
    ) -> None:
        known = {
            failure.item_id: failure
            for failure in ItemFailure.objects.filter(
                mailbox=self.claim.mailbox_id, item_id__in=failures
            ).exclude(state=ItemFailure.State.GONE)
        }
        rows = []
        for item_id, fault in failures.items():
            before = known.get(item_id)
            attempts = before.attempts if before else 0
            if fault.scope is Scope.EMAIL:  # else the server is in trouble, or the mailbox
                attempts += attempt
            retry = item_may_recover(fault, attempts, self.item_attempts)
            size, subject = facts[item_id]
            rows.append(
                ItemFailure(
                    mailbox_id=self.claim.mailbox_id,
                    item_id=item_id,
                    folder=self.folder,
                    tracking=self._by_item.get(item_id, ""),
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
                self.claim.mailbox_id, Severity.WARNING, code, text,
                direction=alerts.EMAIL, count=count,
            )  # fmt: skip

    def _end_failures(self, item_ids: list[str], state: ItemFailure.State) -> None:
        ItemFailure.objects.filter(mailbox=self.claim.mailbox_id, item_id__in=item_ids).exclude(
            state=ItemFailure.State.RESOLVED
        ).update(state=state, attempts=F("attempts") + 1, last_seen_at=Now())

    def _save_cursor(self, position: str) -> None:
        if self.tracked_folder is not None and self._rule() is None:
            return  # tracked again, it is read from its beginning
        FolderCursor.objects.update_or_create(
            mailbox_id=self.claim.mailbox_id,
            folder=self.folder,
            defaults={"position": position},
        )


def _without_lost(decision: Decision, tried: list[Decision], kept: set[UUID]) -> Decision:
    """Forget the answered email when it was in the same batch and could not be stored."""
    answer = decision.answer
    lost = {one.draft.letter.id for one in tried} - kept
    return replace(decision, answer=None) if answer and answer.email_id in lost else decision


def _columns_of(about: Regarding | None) -> dict[str, Any]:
    """Return the columns of what email is about, none when nothing is named."""
    if about is None or about.regarding is None:
        return {}
    return {name: getattr(about, name) for name in Email.REGARDING_IDS}


def _item_fault(code: str, text: str) -> Fault:
    return Fault(
        code=code,
        nature=Nature.PERMANENT,
        scope=Scope.EMAIL,
        provenance=Provenance.US,
        text=text,
    )
