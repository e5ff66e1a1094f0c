"""Test & Enable: try one direction of one mailbox, and switch it on when it works (F069-F072).

A test makes the smallest true use of a direction: it reads the Inbox's list, sends a real message
from the mailbox to itself, or opens calendar, contacts and tasks and sees to it that no other
organisation keeps them in step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from django.db import transaction

from syncservice.alerts import alerts
from syncservice.alerts.models import Severity
from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.mailboxes import administration, directions, schedule
from syncservice.mailboxes.directions import DueTest
from syncservice.mailboxes.models import Direction, EmailServerProfile, Mailbox
from syncservice.servers.gateway import Activities, Incoming, MailObject, Outgoing, Stamp

Kind = Direction.Kind
FAILED = "test.failed"


def _fault_of_record(code: str, text: str) -> Fault:
    return Fault(
        code=code,
        nature=Nature.PERMANENT,
        scope=Scope.MAILBOX,
        provenance=Provenance.US,
        text=text,
    )


_NO_PROFILE = _fault_of_record(
    "mailbox.no_profile", "the mailbox has no email server profile; assign one"
)
_NO_ADDRESS = _fault_of_record("mailbox.no_address", "the mailbox has no address; enter one")
_NOT_ACTIVE = _fault_of_record(
    "mailbox.disabled", "the mailbox or its server profile is not active; activate it"
)
_NOT_USED = _fault_of_record(
    "mailbox.disabled", "the mailbox does not leave this direction to this service; choose so first"
)
_NOT_APPROVED = _fault_of_record(
    "mailbox.not_approved", "the mailbox's address is not approved; let an administrator do so"
)


def why_not(mailbox: Mailbox, kind: Kind) -> Fault | None:
    """Say why a direction can't be tried at all; None: it can (A03, A04, F086)."""
    if mailbox.profile is None:
        return _NO_PROFILE
    if not mailbox.email_address:
        return _NO_ADDRESS
    if not (mailbox.is_active and mailbox.profile.is_active):
        return _NOT_ACTIVE
    if kind not in directions.used(mailbox):
        return _NOT_USED
    return None if administration.may_be_processed(mailbox) else _NOT_APPROVED


@dataclass(frozen=True, slots=True)
class Ways:
    """How to begin a conversation in each direction of the mailbox under test."""

    incoming: Callable[[], Incoming]
    outgoing: Callable[[], Outgoing]
    activities: Callable[[], Activities]


@dataclass(frozen=True, slots=True)
class Retries:
    """The administrator's: how often a test is tried, and how long after each attempt."""

    attempts: int
    wait: timedelta


def attempt(
    test: DueTest, ways: Ways, address: str, organisation: str, now: datetime
) -> Fault | None:
    """Try the direction; return what went wrong, or None. `organisation` is our own id."""
    try:
        match test.kind:
            case Kind.INCOMING:
                with ways.incoming() as incoming:
                    incoming.page("", 1)
            case Kind.OUTGOING:
                with ways.outgoing() as outgoing:
                    # Nobody misses the letter: an unknown outcome is a failed test like any other.
                    outgoing.send(letter(address, now), before_handover=lambda: None)
            case Kind.ACT:
                with ways.activities() as gateway:
                    gateway.open()
                    _claim(gateway, test.overrides_stamp, organisation, now)
    except FaultError as error:
        return error.fault
    return None


def _claim(gateway: Activities, overrides: bool, organisation: str, now: datetime) -> None:
    """Write our stamp into the mailbox, over another's only when a person said so."""
    present = gateway.stamp()
    if present is not None and present.organisation != organisation and not overrides:
        raise FaultError(_other_organisation(present))
    gateway.put_stamp(Stamp(organisation, now))


def _other_organisation(stamp: Stamp) -> Fault:
    return _fault_of_record(
        alerts.OTHER_ORGANISATION,
        "another organisation keeps the mailbox in step; it said so last at "
        f"{stamp.at:%Y-%m-%d %H:%M} UTC",
    )


def letter(address: str, now: datetime) -> MailObject:
    """Compose the message that proves that a mailbox can send (F071)."""
    message = EmailMessage()
    message_id = make_msgid("connected", domain=address.rpartition("@")[2])
    message["From"] = message["To"] = address
    message["Subject"] = "Your mailbox is now connected to the CRM"
    message["Date"] = format_datetime(now)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's robot answers it
    message.set_content(
        "This message shows that email can be sent from your mailbox on your behalf.\n"
        "There is nothing to do.\n"
    )
    return MailObject(
        message_id=message_id,
        mime=message.as_bytes(),
        forward_paths=(address,),
        keeps_copy=False,
    )


@transaction.atomic
def conclude(test: DueTest, fault: Fault | None, retries: Retries, profile_id: int | None) -> None:
    """Write what came of an attempt: the direction is on, tried again later, or has failed.

    What concerns the whole server ends, or holds, the tests of all its mailboxes: thousands of
    attempts would find the same and, with a refused login, lock the account.
    """
    schedule.lock([test.mailbox_id])
    if fault is None:
        _succeed(test)
    elif fault.nature in (Nature.LIMITED, Nature.THROTTLED):
        directions.postpone_test(test, fault.retry_after or retries.wait, counts=False)
    elif fault.nature is not Nature.PERMANENT and test.attempts < retries.attempts:
        directions.postpone_test(test, retries.wait)
        if fault.scope is Scope.PROFILE and profile_id is not None:
            directions.hold_tests(profile_id, _alike(test, profile_id), retries.wait)
    elif directions.finish_test(test, fault):
        _fail(test, fault, profile_id)


def _succeed(test: DueTest) -> None:
    if not directions.finish_test(test, None):
        return  # somebody asked anew meanwhile
    alerts.end_for_mailbox(test.mailbox_id, direction=test.kind)
    alerts.raise_for_mailbox(
        test.mailbox_id, Severity.INFORMATION, alerts.ENABLED, direction=test.kind
    )


def _fail(test: DueTest, fault: Fault, profile_id: int | None) -> None:
    if fault.code == alerts.OTHER_ORGANISATION:
        alerts.ask(test.mailbox_id, fault.code, fault.text, direction=test.kind)
        return
    alerts.raise_for_mailbox(
        test.mailbox_id, Severity.ERROR, FAILED, fault.text, direction=test.kind
    )
    users = EmailServerProfile.objects.filter(mailboxes=test.mailbox_id)
    profile = users.filter(pk=profile_id).first() if profile_id is not None else None
    if profile is None:
        return  # the mailbox has another one meanwhile
    is_shared = profile.login_is_shared_for(outgoing=test.kind == Kind.OUTGOING)
    if fault.scope is Scope.PROFILE or (fault.of_login and is_shared):
        directions.fail_tests(profile.pk, _alike(test, profile.pk), fault)
        code = alerts.LOGIN_REFUSED if fault.of_login else fault.code
        alerts.raise_for_profile(profile, Severity.ERROR, code, fault.text)


def _alike(test: DueTest, profile_id: int) -> list[Kind]:
    """Return the directions that reach the same server by the same account as the tested one."""
    profile = EmailServerProfile.objects.get(pk=profile_id)
    if profile.is_exchange and profile.same_settings_for_outgoing:
        return list(Kind)
    if test.kind == Kind.OUTGOING:
        return [Kind.OUTGOING]
    return [Kind.INCOMING, Kind.ACT]
