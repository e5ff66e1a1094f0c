"""The stored side of outgoing email: what a mailbox has to send, and what became of each attempt.

Every step of an attempt is a transaction under the fence, so whoever is killed leaves behind how
far it came: `handed_over_at` is null until the last moment at which an email is surely not sent.
What became of one email and the beginning of the next go into one: two commits an email.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from importlib.resources import files
from typing import Any
from uuid import UUID

import structlog
from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from psycopg2.extras import Json

from syncservice.alerts import alerts
from syncservice.alerts.models import Severity
from syncservice.crm.models import ActivityParty, Attachment, Email
from syncservice.domain.composition import Composition, compose, forward_paths
from syncservice.domain.faults import Fault, Nature, Provenance, Scope
from syncservice.domain.message import MessageAttachment, Party, Role
from syncservice.domain.polling import Rest
from syncservice.domain.sending import (
    HEAD_START,
    Event,
    Priority,
    State,
    after,
    after_fault,
    pause,
)
from syncservice.mailboxes.models import (
    EmailServerProfile,
    Mailbox,
    OutgoingEmail,
    UnclearSending,
)
from syncservice.mailboxes.schedule import Claim, ClaimLost, fenced
from syncservice.servers.gateway import Accepted, MailObject

log = structlog.get_logger()

_CHANGE_STATE = files(__package__).joinpath("change_state.sql").read_text()
_HAND_OVER = files(__package__).joinpath("hand_over.sql").read_text()

#: Emails looked up at once, in the order of their turns.
AT_ONCE = 20

#: Code of the alert, and of the reason, of an email of which nobody can tell whether it was sent.
UNKNOWN = "email.outcome_unknown"
PARTLY_REFUSED = "email.recipients_refused"
COPY_NOT_KEPT = "email.copy_not_kept"


@dataclass(frozen=True, slots=True)
class Patience:
    """The administrator's: how often an email that fails by itself is tried, and how soon."""

    attempts: int
    retry: timedelta  # after the first; doubled for each one after


_AT_ONCE = Rest(timedelta(0), "")

_WORKER_DIED = Fault(
    code="sending.worker_died",
    nature=Nature.TRANSIENT,
    scope=Scope.EMAIL,
    provenance=Provenance.US,
    text="the worker ended while it prepared this email; make it smaller, and report it",
)


def _as_its_own(mail: OutgoingEmail) -> Fault:
    """Return what ended the attempt that was not sent, as a fault of this email alone."""
    return Fault(
        code=mail.fault_code or UNKNOWN,
        nature=Nature.TRANSIENT,
        scope=Scope.EMAIL,
        provenance=Provenance.US,
        text=mail.fault_text or "the attempt ended before the server took the email",
    )


@dataclass(frozen=True, slots=True)
class Ready:
    """An email that has its turn."""

    email: Email
    outgoing: OutgoingEmail
    parties: tuple[Party, ...]
    has_files: bool

    @property
    def is_lost(self) -> bool:
        """An attempt at it was handed over and came to no clear end: the server has to be asked."""
        return self.email.status == State.UNKNOWN

    @property
    def rest_of_paths(self) -> tuple[str, ...]:
        """The recipients that have still to get it."""
        done = {*self.outgoing.accepted_paths, *self.outgoing.refused_paths}
        return tuple(path for path in forward_paths(self.parties) if path not in done)


@dataclass
class Outbox:
    """The outgoing email of one mailbox, written under one claim.

    Whatever writes is called inside `step`, but for `hand_over`, which is one by itself.
    """

    claim: Claim
    mailbox: Mailbox
    patience: Patience
    _in_line: deque[Ready] = field(default_factory=deque, init=False)

    @cached_property
    def profile(self) -> EmailServerProfile:
        assert self.mailbox.profile is not None, "a mailbox without a profile is never scheduled"
        return self.mailbox.profile

    @contextmanager
    def step(self) -> Iterator[None]:
        """Open a transaction in which only the holder of the claim writes; raise ClaimLost."""
        with fenced(self.claim):
            yield

    def take_stock(self) -> None:
        """Look at what attempts before this claim left behind: they died, or lost their claim.

        What was not handed over was not sent, and waits for its turn again; an email over which
        workers die lets the others go first.
        """
        under_way = self._mails().filter(email__status=State.SENDING, due_at__isnull=False)
        for ready in self._look_up(under_way):
            attempts = ready.outgoing.attempts
            if ready.outgoing.handed_over_at is not None:
                self._became(ready, Event.LOSE)
            elif attempts < 2:
                self._became(ready, Event.PUT_OFF)
            else:
                self.refuse(ready, _WORKER_DIED)

    def begin_next(self) -> Ready | None:
        """Begin an attempt at the email that has its turn; None: none has.

        One that is lost is only returned.
        """
        while ready := self._next_in_line():
            if ready.is_lost:
                return ready
            ready.outgoing.attempts += 1
            if self._change(ready, Event.BEGIN):
                return ready
        return None

    def _next_in_line(self) -> Ready | None:
        if not self._in_line:
            due = self._mails().filter(
                email__status__in=(State.PENDING, State.UNKNOWN), due_at__lte=Now()
            )
            self._in_line.extend(self._look_up(due.order_by("turn_at", "pk")[:AT_ONCE]))
        return self._in_line.popleft() if self._in_line else None

    def hand_over(self, ready: Ready) -> None:
        """Write down that from here on the server may have it; raise ClaimLost to stop before."""
        parameters: dict[str, Any] = {
            "mailbox": self.claim.mailbox_id,
            "fence": self.claim.fence,
            "email": ready.email.pk,
        }
        with connection.cursor() as cursor:
            cursor.execute(_HAND_OVER, parameters)
            if not cursor.rowcount:
                raise ClaimLost(self.claim)

    def accept(self, ready: Ready, accepted: Accepted) -> State:
        """The server took it, for all recipients or for some."""
        paths, mail = ready.rest_of_paths, ready.outgoing
        rejected = {one.forward_path: one.fault for one in accepted.rejected}
        is_last = mail.attempts >= self.patience.attempts
        refused = {
            path: fault.text
            for path, fault in rejected.items()
            if fault.nature is Nature.PERMANENT or is_last
        }
        mail.accepted_paths += [path for path in paths if path not in rejected]
        mail.refused_paths |= refused
        if refused.keys() == rejected.keys():
            return self._sent(ready)
        fault = next(one for path, one in rejected.items() if path not in refused)
        verdict = after_fault(fault, mail.attempts, self.patience.attempts, self.patience.retry)
        return self._became(ready, Event.PUT_OFF, verdict.rest, fault)  # for the others alone

    def found_sent(self, ready: Ready) -> State:
        """The server has it: an attempt that came to no clear end had sent it."""
        ready.outgoing.accepted_paths.extend(ready.rest_of_paths)
        return self._sent(ready)

    def found_nothing(self, ready: Ready) -> State:
        """The server has not taken it: it is sent again, after ever longer pauses."""
        return self.refuse(ready, _as_its_own(ready.outgoing))

    def ask_later(self, ready: Ready, fault: Fault) -> State:
        """The server could not be asked what became of it."""
        mail = ready.outgoing
        if mail.attempts >= self.patience.attempts:
            return self.hold(ready)
        mail.attempts += 1
        rest = pause(mail.attempts, self.patience.retry)
        OutgoingEmail.objects.filter(pk=ready.email.pk).update(
            attempts=mail.attempts, due_at=Now() + rest, fault_text=fault.text
        )
        return State.UNKNOWN

    def lose(self, ready: Ready, fault: Fault) -> State:
        """The attempt came to no clear end: the server is asked next."""
        return self._became(ready, Event.LOSE, fault=fault)

    def hold(self, ready: Ready) -> State:
        """The server can't tell either: what happens then is the administrator's choice."""
        match UnclearSending(self.profile.unclear_sending):
            case UnclearSending.SEND_AGAIN if ready.outgoing.attempts < self.patience.attempts:
                return self.found_nothing(ready)
            case UnclearSending.TAKE_AS_SENT:
                return self.found_sent(ready)
        held = OutgoingEmail.objects.filter(pk=ready.email.pk, email__status=State.UNKNOWN)
        if not held.update(due_at=None, turn_at=None):  # a person has decided meanwhile
            ready.email.refresh_from_db(fields=["status"])
            return State(ready.email.status)
        self._tell(ready, Severity.ERROR, UNKNOWN, ready.outgoing.fault_text)
        log.warning("email.held", email_id=str(ready.email.pk))
        return State.UNKNOWN

    def refuse(self, ready: Ready, fault: Fault) -> State:
        """It was surely not sent; whether it is tried again is its fault's nature's to say."""
        mail = ready.outgoing
        verdict = after_fault(fault, mail.attempts, self.patience.attempts, self.patience.retry)
        if verdict.event is Event.REFUSE and mail.accepted_paths:
            mail.refused_paths |= dict.fromkeys(ready.rest_of_paths, fault.text)
            return self._sent(ready)
        if verdict.event is Event.REFUSE:
            self._tell(ready, Severity.ERROR, fault.code, fault.text)
        if not verdict.counts:
            mail.attempts -= 1
        return self._became(ready, verdict.event, verdict.rest, fault)

    def copy_due(self) -> Ready | None:
        """Return a sent email whose copy in Sent Items has to be looked at; None: there is none."""
        due = self._mails().filter(copy_due_at__lte=Now()).order_by("copy_due_at")
        return next(iter(self._look_up(due[:1])), None)

    def copy_is_kept(self, ready: Ready) -> None:
        OutgoingEmail.objects.filter(pk=ready.email.pk).update(copy_due_at=None)

    def copy_failed(self, ready: Ready, fault: Fault) -> None:
        """It is looked at again later, and given up in the end: the email itself was sent.

        What concerns more than this email lets the mailbox's other copies wait as long.
        """
        mail = ready.outgoing
        attempts = mail.copy_attempts + 1
        if fault.nature is Nature.PERMANENT or attempts >= self.patience.attempts:
            self.copy_is_kept(ready)
            self._tell(ready, Severity.WARNING, COPY_NOT_KEPT, fault.text)
            return
        later = Now() + pause(attempts, self.patience.retry)
        if fault.scope is not Scope.EMAIL:
            self._mails().filter(copy_due_at__lte=Now()).update(copy_due_at=later)
        OutgoingEmail.objects.filter(pk=ready.email.pk).update(
            copy_due_at=later, copy_attempts=attempts
        )

    def mail_object(self, ready: Ready) -> MailObject:
        """Compose what is handed over; raise CannotCompose."""
        email, mail = ready.email, ready.outgoing
        author = next((one for one in ready.parties if one.role is Role.SENDER), None)
        assert author is not None, "who submits an email names its author"
        own = Party(Role.SENDER, self.mailbox.email_address, "")
        assert mail.submitted_at is not None, "only what was submitted has its turn"
        mime = compose(
            Composition(
                message_id=email.message_id,
                # When its writer let it go (RFC 5322 section 3.6.1), not when a server took it.
                at=max(filter(None, (mail.submitted_at, mail.send_after))),
                author=author,
                submitter=None if author.address.lower() == own.address.lower() else own,
                parties=tuple(one for one in ready.parties if one.role is not Role.SENDER),
                subject=email.subject,
                text=email.text,
                html=email.html,
                attachments=_attachments(email) if ready.has_files else (),
                in_reply_to=email.in_reply_to,
                references=tuple(email.references),
                asks_read_receipt=mail.asks_read_receipt,
                charset=self.profile.encoding,
            )
        )
        return self.name_of(ready, mime)

    def name_of(self, ready: Ready, mime: bytes = b"") -> MailObject:
        """Return what the server is asked about an email by; it needs no content for that."""
        mail = ready.outgoing
        return MailObject(
            message_id=ready.email.message_id,
            mime=mime,
            forward_paths=ready.rest_of_paths,
            is_first_attempt=mail.attempts == 1 and not mail.fault_code,
            keeps_copy=self.profile.keeps_sent_copy,
            asks_delivery_receipt=mail.asks_delivery_receipt,
            asks_read_receipt=mail.asks_read_receipt,
        )

    def _mails(self) -> QuerySet[OutgoingEmail]:
        return OutgoingEmail.objects.filter(mailbox=self.mailbox.pk)

    @staticmethod
    def _look_up(mails: QuerySet[OutgoingEmail]) -> list[Ready]:
        """Read emails with all but their files: these are read one email at a time."""
        files = Exists(Attachment.objects.filter(email=OuterRef("email")))
        found = list(mails.select_related("email").annotate(has_files=files))
        rows = ActivityParty.objects.filter(email__in=[mail.pk for mail in found]).order_by("pk")
        parties: dict[UUID, list[Party]] = defaultdict(list)
        for email, role, *who in rows.values_list("email", "participation", "address", "name"):
            parties[email].append(Party(Role(role), *who))
        return [
            Ready(mail.email, mail, tuple(parties[mail.pk]), vars(mail)["has_files"])
            for mail in found
        ]

    def _sent(self, ready: Ready) -> State:
        mail = ready.outgoing
        if mail.attempts > 1 or mail.fault_code:  # else nobody was told of anything
            alerts.end_for_email(ready.email.pk)
        if mail.refused_paths:
            said = "; ".join(f"{path}: {text}" for path, text in mail.refused_paths.items())
            self._tell(ready, Severity.WARNING, PARTLY_REFUSED, said)
        mail.fault_code = mail.fault_text = ""
        return self._became(ready, Event.ACCEPT)

    def _copy_is_due(self, mail: OutgoingEmail) -> bool:
        """Whether Sent Items have to be looked at: Exchange keeps a copy by itself, IMAP never."""
        if self.profile.is_exchange:
            return not self.profile.keeps_sent_copy or mail.attempts > 1
        has_folders = self.profile.server_type == EmailServerProfile.ServerType.IMAP_SMTP
        return has_folders and self.profile.keeps_sent_copy

    def _became(
        self, ready: Ready, event: Event, rest: Rest | None = None, fault: Fault | None = None
    ) -> State:
        """Let something happen to an email, unless a person has decided about it meanwhile."""
        if fault is not None:
            ready.outgoing.fault_code, ready.outgoing.fault_text = fault.code, fault.text
        if not self._change(ready, event, rest or _AT_ONCE):
            ready.email.refresh_from_db(fields=["status"])
        return State(ready.email.status)

    def _change(self, ready: Ready, event: Event, rest: Rest | None = None) -> bool:
        """Let something happen to an email; False when it has gone another way meanwhile.

        With a `rest` it has its turn again after that, else its place in the line stays.
        """
        email, mail = ready.email, ready.outgoing
        before, email.status = email.status, after(State(email.status), event)
        parameters: dict[str, Any] = {
            "email": email.pk,
            "message_id": email.message_id,
            "before": before,
            "after": email.status,
            "attempts": mail.attempts,
            "accepted_paths": mail.accepted_paths,
            "refused_paths": Json(mail.refused_paths),
            "fault_code": mail.fault_code,
            "fault_text": mail.fault_text,
            "copy_is_due": email.status == State.SENT and self._copy_is_due(mail),
            "is_open": email.status in (State.PENDING, State.SENDING, State.UNKNOWN),
            "rest": rest and rest.length,
            "start": HEAD_START[Priority(mail.priority)],
        }
        with connection.cursor() as cursor:
            cursor.execute(_CHANGE_STATE, parameters)
            return bool(cursor.rowcount)

    def _tell(self, ready: Ready, severity: Severity, code: str, text: str) -> None:
        alerts.raise_for_email(self.mailbox.pk, ready.email.pk, severity, code, text)


def _attachments(email: Email) -> tuple[MessageAttachment, ...]:
    return tuple(
        MessageAttachment(
            filename=row.filename,
            content_type=row.content_type,
            content=bytes(row.body.content),
            content_id=row.content_id,
            is_inline=row.is_inline,
        )
        for row in email.attachments.select_related("body")
    )
