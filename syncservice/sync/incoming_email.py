"""Messages of an Inbox become email records; the rule of today: every message of it is stored.

One batch is one transaction under the fence: records, links, item failures and, behind the last
batch of a page, the cursor (DESIGN invariant 3). One bad item never spoils its batch.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

import structlog
from django.db import DataError, transaction
from django.db.models import BooleanField, ExpressionWrapper, F, Q, Subquery
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import ItemFailure, Severity
from syncservice.crm.models import (
    ActivityParty,
    Attachment,
    AttachmentContent,
    Email,
    QueueItem,
)
from syncservice.domain.faults import Fault, Nature, Provenance, Scope, item_may_recover
from syncservice.domain.message import Message, UnreadableMessage, parse
from syncservice.mailboxes.models import FolderCursor, RemoteItem, Schedule
from syncservice.mailboxes.schedule import Claim, fenced, note_progress
from syncservice.servers.gateway import Fetched, Gone, Listed, NotFetched

log = structlog.get_logger()

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


#: Direction of alerts about single messages: they hold although the mailbox works.
EMAIL = "email"

#: What PostgreSQL can't hold; ValueError: psycopg2 on NUL in a string.
_REFUSED = (DataError, ValueError)


#: Characters of an item's id. A B-tree holds 2,700 bytes; Exchange's ids have 512, POP3's 70.
LONGEST_ID = 1000


#: What was given up is not asked for again so long, even when the server goes on listing it.
GIVEN_UP_FOR = timedelta(days=1)


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


@dataclass(frozen=True, slots=True)
class _Draft:
    """A message that was read and is not stored yet."""

    source: Fetched
    message: Message
    identity: str


@dataclass(frozen=True, slots=True)
class Inbox:
    """The stored side of one mailbox's Inbox, written under one claim."""

    claim: Claim
    queue_id: int | None  # the CRM queue whose mailbox it is; None: a user's
    item_attempts: int
    since: datetime | None = None  # email received earlier is left alone (F044); None: all is read
    folder: str = "inbox"

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

        In a list of their own those that failed before. What was dismissed is left alone, and what
        was given up is for a day: some servers list it at every visit.
        """
        mailbox = self.claim.mailbox_id
        ids = [kept_id(item.item_id) for item in items]
        linked = set(
            RemoteItem.objects.filter(mailbox=mailbox, item_id__in=ids).values_list(
                "item_id", flat=True
            )
        )
        new = [item for item in items if item.item_id not in linked and self._is_wanted(item)]
        if not new:
            return [], []
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
        return (
            [item for item in new if kept_id(item.item_id) not in failed],
            [item for item in new if failed.get(kept_id(item.item_id)) is False],
        )

    def _is_wanted(self, item: Listed) -> bool:
        """Whether a message is late enough; one without a time of receipt is read."""
        return self.since is None or item.received_at is None or item.received_at >= self.since

    def to_retry(self, limit: int) -> list[Listed]:
        """Return at most `limit` items that failed, before this visit, for a reason that may pass.

        Those that waited longest come first: a visit that can't try all leaves the others to the
        next. What became of them has to be stored before more is asked for.
        """
        visits = Schedule.objects.filter(mailbox=self.claim.mailbox_id, lane=self.claim.lane)
        failures = ItemFailure.objects.filter(
            mailbox=self.claim.mailbox_id,
            state=ItemFailure.State.RETRYING,
            last_seen_at__lt=Subquery(visits.values("started_at")),
        )
        return [
            Listed(item_id, size, subject=subject)
            for item_id, size, subject in failures.order_by("last_seen_at").values_list(
                "item_id", "size", "subject"
            )[:limit]
        ]

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
        drafts: list[_Draft] = []
        failures: dict[str, Fault] = {}
        facts: dict[str, tuple[int, str]] = {}  # size and subject, as far as they are known
        gone: list[str] = []
        for answer in answers:  # read before the transaction opens: parsing takes its time
            match answer:
                case Fetched():
                    read = self._read(answer)
                    if isinstance(read, Fault):
                        failures[answer.item_id] = read
                        facts[answer.item_id] = len(answer.mime), ""
                    else:
                        drafts.append(read)
                        facts[answer.item_id] = len(answer.mime), read.message.subject
                case NotFetched():
                    facts[answer.item_id] = answer.size, answer.subject
                    failures[answer.item_id] = answer.fault
                case Gone():
                    gone.append(answer.item_id)
                case _:
                    assert_never(answer)
        with fenced(self.claim) as schedule:
            stored = self._write(drafts, failures)
            self._keep_failures(failures, facts, 1 if are_attempts else 0)
            done = [
                draft.source.item_id for draft in drafts if draft.source.item_id not in failures
            ]
            self._end_failures(done, ItemFailure.State.RESOLVED)
            self._end_failures(gone, ItemFailure.State.GONE)
            if cursor is not None:
                self._save_cursor(cursor)
            note_progress(schedule)
        return Stored(stored, len(done) - stored, len(failures), len(gone))

    def _read(self, fetched: Fetched) -> _Draft | Fault:
        try:
            message = parse(fetched.mime)
        except UnreadableMessage as error:
            return _item_fault("email.unreadable", str(error))
        except _PARSER_BUGS as error:  # one stranger's message must not stop the mailbox
            log.exception("email.parser_failed", mailbox_id=self.claim.mailbox_id)
            return _item_fault(
                "email.parser_failed",
                f"reading the message failed in our own code ({type(error).__name__}); "
                "please report it with the message",
            )
        return _Draft(fetched, message, self._identity(fetched, message))

    def _identity(self, fetched: Fetched, message: Message) -> str:
        """Say what makes it this message and no other, as a digest.

        The Message-ID alone won't do: strangers choose it, and a different mail that borrows a
        known one must not be swallowed. The fingerprint alone won't do without a date: two equal
        notes may be two messages, so then the server's item counts.
        """
        if message.message_id or message.sent_at:
            parts = (message.message_id, message.fingerprint)
        else:
            parts = (str(self.claim.mailbox_id), fetched.item_id)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _write(self, drafts: list[_Draft], failures: dict[str, Fault]) -> int:
        """Insert the drafts, and return how many became new records.

        What PostgreSQL refuses to hold goes to `failures`, alone. Each is tried and undone by
        itself, and the good ones are then inserted together: in one order, see `_insert`.
        """
        try:
            with transaction.atomic():
                return self._insert(drafts)
        except _REFUSED:
            good = [draft for draft in drafts if not self._refused(draft, failures)]
        return self._insert(good)

    def _refused(self, draft: _Draft, failures: dict[str, Fault]) -> bool:
        try:
            with transaction.atomic():
                self._insert([draft])
                transaction.set_rollback(True)
        except _REFUSED as error:
            failures[draft.source.item_id] = _item_fault(
                "email.not_storable", f"the database can't hold this message: {error}"
            )
            return True
        return False

    def _insert(self, drafts: list[_Draft]) -> int:
        # In the order of identity: two visits that store the same mails never wait in a circle.
        first = {draft.identity: draft for draft in reversed(drafts)}
        emails = {identity: _email(first[identity]) for identity in sorted(first)}
        Email.objects.bulk_create(emails.values(), ignore_conflicts=True)
        ids = dict(
            Email.objects.filter(
                direction=Email.Direction.INCOMING, identity__in=emails
            ).values_list("identity", "id")
        )
        ours = [first[name] for name, email in emails.items() if ids[name] == email.id]
        ActivityParty.objects.bulk_create(
            party for draft in ours for party in _parties(draft, emails[draft.identity])
        )
        _insert_attachments([(emails[draft.identity], draft.message) for draft in ours])
        RemoteItem.objects.bulk_create(
            RemoteItem(
                mailbox_id=self.claim.mailbox_id,
                item_id=draft.source.item_id,
                email_id=ids[draft.identity],
            )
            for draft in drafts
        )
        if self.queue_id is not None:
            QueueItem.objects.bulk_create(
                (QueueItem(queue_id=self.queue_id, email_id=ids[name]) for name in sorted(emails)),
                ignore_conflicts=True,
            )
        return len(ours)

    def _keep_failures(
        self, failures: dict[str, Fault], facts: Mapping[str, tuple[int, str]], attempt: int
    ) -> None:
        known = {
            failure.item_id: failure
            for failure in ItemFailure.objects.filter(
                mailbox=self.claim.mailbox_id, item_id__in=failures
            )
        }
        rows = []
        for item_id, fault in failures.items():
            before = known.get(item_id)
            attempts = before.attempts + attempt if before else attempt
            retry = item_may_recover(fault, attempts, self.item_attempts)
            size, subject = facts[item_id]
            rows.append(
                ItemFailure(
                    mailbox_id=self.claim.mailbox_id,
                    item_id=item_id,
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
                *("code", "reason", "size", "subject", "attempts", "state", "last_seen_at")
            ],
        )
        # One alert a kind of trouble, however many messages have it.
        for code, count in Counter(fault.code for fault in failures.values()).items():
            text = next(fault.text for fault in failures.values() if fault.code == code)
            alerts.raise_for_mailbox(
                self.claim.mailbox_id, Severity.WARNING, code, text,
                direction=EMAIL, count=count,
            )  # fmt: skip

    def _end_failures(self, item_ids: list[str], state: ItemFailure.State) -> None:
        ItemFailure.objects.filter(mailbox=self.claim.mailbox_id, item_id__in=item_ids).exclude(
            state=ItemFailure.State.RESOLVED
        ).update(state=state, attempts=F("attempts") + 1, last_seen_at=Now())

    def _save_cursor(self, position: str) -> None:
        FolderCursor.objects.update_or_create(
            mailbox_id=self.claim.mailbox_id,
            folder=self.folder,
            defaults={"position": position},
        )


def _email(draft: _Draft) -> Email:
    message = draft.message
    return Email(
        direction=Email.Direction.INCOMING,
        status=Email.Status.RECEIVED,
        identity=draft.identity,
        message_id=message.message_id,
        in_reply_to=message.in_reply_to,
        references=list(message.references),
        conversation_index=message.conversation_index,
        subject=message.subject,
        text=message.text,
        html=message.html,
        sent_at=message.sent_at,
        received_at=draft.source.received_at,
        repairs=list(message.warnings),
    )


def _parties(draft: _Draft, email: Email) -> Iterable[ActivityParty]:
    for party in draft.message.parties:
        yield ActivityParty(
            email=email, participation=int(party.role), address=party.address, name=party.name
        )


def _insert_attachments(emails: list[tuple[Email, Message]]) -> None:
    """Store attachments, each content once however many emails carry it (F122)."""
    contents: dict[str, bytes] = {}
    rows: list[Attachment] = []
    for email, message in emails:
        for position, attachment in enumerate(message.attachments):
            digest = hashlib.sha256(attachment.content).hexdigest()
            contents[digest] = attachment.content
            rows.append(
                Attachment(
                    email=email,
                    body_id=digest,
                    position=position,
                    filename=attachment.filename,
                    content_type=attachment.content_type,
                    content_id=attachment.content_id,
                    is_inline=attachment.is_inline,
                    size=len(attachment.content),
                )
            )
    AttachmentContent.objects.bulk_create(
        (AttachmentContent(digest=digest, content=contents[digest]) for digest in sorted(contents)),
        ignore_conflicts=True,
    )
    Attachment.objects.bulk_create(rows)


def _item_fault(code: str, text: str) -> Fault:
    return Fault(
        code=code,
        nature=Nature.PERMANENT,
        scope=Scope.EMAIL,
        provenance=Provenance.US,
        text=text,
    )
