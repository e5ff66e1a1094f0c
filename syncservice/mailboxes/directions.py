"""Directions of mailboxes: switched on and off, and tested before (F069-F076).

Every change ends with `schedule.plan` in the same transaction. A test that somebody asked for is a
row with a due time, like a visit: whoever is killed on the way loses nothing, and a fence keeps a
slow tester from writing over a newer one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest, Now

from syncservice.domain.faults import Fault
from syncservice.mailboxes import audit, schedule
from syncservice.mailboxes.models import (
    ActMethod,
    Direction,
    IncomingMethod,
    Mailbox,
    OutgoingMethod,
)

Kind = Direction.Kind
SERVER_SIDE = {
    Kind.INCOMING: ("incoming_method", IncomingMethod.SERVER_SIDE),
    Kind.OUTGOING: ("outgoing_method", OutgoingMethod.SERVER_SIDE),
    Kind.ACT: ("act_method", ActMethod.SERVER_SIDE),
}


#: Of `Direction`: those that `used` gives for its mailbox.
IS_USED = reduce(
    or_,
    (Q(kind=kind, **{f"mailbox__{field}": value}) for kind, (field, value) in SERVER_SIDE.items()),
)


def used(mailbox: Mailbox) -> list[Kind]:
    """Return the directions that the mailbox's methods leave to this service."""
    in_use = SERVER_SIDE.items()
    return [kind for kind, (field, value) in in_use if getattr(mailbox, field) == value]


def ensure(mailboxes: Sequence[Mailbox]) -> None:
    """Make the rows of new mailboxes, everything switched off."""
    Direction.objects.bulk_create(
        (Direction(mailbox=mailbox, kind=kind) for mailbox in mailboxes for kind in Kind),
        ignore_conflicts=True,
    )


@transaction.atomic
def enable(mailboxes: Iterable[int], kinds: Iterable[Kind], actor: str) -> int:
    """Switch directions on; those switched off by a fault forget it. Return how many changed."""
    rows = _locked(mailboxes).filter(kind__in=list(kinds), is_enabled=False)
    return _switch(rows, actor, "enabled", is_enabled=True, **_WELL)


@transaction.atomic
def enable_used(mailboxes: Iterable[int], actor: str) -> int:
    """Switch on what the methods of each mailbox leave to this service, as `enable` does."""
    rows = _locked(mailboxes).filter(IS_USED, is_enabled=False)
    return _switch(rows, actor, "enabled", is_enabled=True, **_WELL)


@transaction.atomic
def disable(mailboxes: Iterable[int], kinds: Iterable[Kind], actor: str) -> int:
    """Switch directions off by hand; they stay so until a person switches them on.

    A test that waits or runs is off as well: its success would switch them on.
    """
    is_on = Q(is_enabled=True) | ~Q(disabled_code="") | Q(test_due_at__isnull=False)
    return _switch(
        _locked(mailboxes).filter(is_on, kind__in=list(kinds)),
        actor,
        "disabled",
        is_enabled=False,
        test_due_at=None,
        **_WELL,
    )


_WELL: dict[str, Any] = {
    "disabled_code": "",
    "disabled_text": "",
    "disabled_at": None,
    "is_probed": False,
}


def disable_by_fault(mailbox_id: int, kind: Kind, fault: Fault, *, is_probed: bool) -> bool:
    """Switch a direction off for a fault; False when it is off already. Within a transaction.

    `is_probed`: visits go on now and then, and one that ends well switches it on again.
    """
    rows = Direction.objects.filter(mailbox=mailbox_id, kind=kind, is_enabled=True)
    changed = rows.update(
        is_enabled=False,
        disabled_code=fault.code,
        disabled_text=fault.text,
        disabled_at=Now(),
        is_probed=is_probed,
    )
    if changed and not is_probed:
        schedule.plan([mailbox_id])
    return bool(changed)


def recover(mailbox_id: int, kind: Kind) -> bool:
    """Switch a probed direction on again, for a visit ended well. Within a transaction."""
    rows = Direction.objects.filter(mailbox=mailbox_id, kind=kind, is_probed=True)
    return bool(rows.update(is_enabled=True, **_WELL))


def _locked(mailboxes: Iterable[int]) -> QuerySet[Direction]:
    ids = list(mailboxes)
    schedule.lock(ids)
    rows = Direction.objects.select_for_update(of=["self"]).filter(mailbox__in=ids)
    return rows.order_by("mailbox", "kind")


def _switch(rows: QuerySet[Direction], actor: str, verb: str, **fields: Any) -> int:
    changed = list(rows.select_related("mailbox").defer("mailbox__password"))
    Direction.objects.filter(pk__in=[row.pk for row in changed]).update(**fields)
    audit.note_all(
        audit.change(actor, f"direction.{verb}", mailbox=row.mailbox, direction=row.kind)
        for row in changed
    )
    schedule.plan({row.mailbox_id for row in changed})
    return len(changed)


@transaction.atomic
def request_tests(mailboxes: Iterable[int], actor: str, *, override_stamp: bool = False) -> int:
    """Ask for a test of every direction in use; success enables it. Return how many tests.

    `override_stamp`: take mailboxes over that another organisation keeps in step (F072).
    """
    ids = list(mailboxes)
    schedule.lock(ids)
    chosen = list(Mailbox.objects.filter(pk__in=ids).defer("password").order_by("pk"))
    ensure(chosen)
    audit.note_all(
        audit.change(
            actor, "test.requested", mailbox=one, directions=used(one), override=override_stamp
        )
        for one in chosen
    )
    rows = Direction.objects.filter(IS_USED, mailbox__in=ids)
    return rows.update(
        test_due_at=Now(),
        test_attempts=0,
        test_fence=F("test_fence") + 1,
        test_status=Direction.Test.NOT_RUN,
        test_code="",
        test_text="",
        overrides_stamp=override_stamp,
    )


@dataclass(frozen=True, slots=True)
class DueTest:
    """The right to write the result of one test, until a newer attempt begins."""

    mailbox_id: int
    kind: Kind
    fence: int
    attempts: int  # this one included
    overrides_stamp: bool


@transaction.atomic
def claim_due_test(lease: timedelta) -> DueTest | None:
    """Claim the longest overdue test; not finished when the lease ends, it is due again."""
    due = Direction.objects.select_for_update(skip_locked=True).filter(test_due_at__lte=Now())
    row = due.order_by("test_due_at").first()
    if row is None:
        return None
    Direction.objects.filter(pk=row.pk).update(
        test_due_at=Now() + lease,
        test_fence=F("test_fence") + 1,
        test_attempts=row.test_attempts + 1,
    )
    return DueTest(
        row.mailbox_id,
        Kind(row.kind),
        row.test_fence + 1,
        row.test_attempts + 1,
        row.overrides_stamp,
    )


def postpone_test(test: DueTest, wait: timedelta, *, counts: bool = True) -> bool:
    """Let a test be tried again later; `counts`: the attempt was one. False: a newer has begun."""
    attempts = F("test_attempts") if counts else F("test_attempts") - 1
    return bool(_held(test).update(test_due_at=Now() + wait, test_attempts=attempts))


def finish_test(test: DueTest, fault: Fault | None) -> bool:
    """Write a test's result; success enables the direction. False: a newer attempt has begun.

    To be called in a transaction.
    """
    ended = {
        "test_due_at": None,
        "tested_at": Now(),
        "test_code": fault.code if fault else "",
        "test_text": fault.text if fault else "",
        "overrides_stamp": False,
    }
    if fault is not None:
        return bool(_held(test).update(**ended, test_status=Direction.Test.FAILURE))
    success = {**ended, **_WELL, "is_enabled": True, "test_status": Direction.Test.SUCCESS}
    if not _held(test).update(**success):
        return False
    schedule.plan([test.mailbox_id])
    return True


def _held(test: DueTest) -> QuerySet[Direction]:
    return Direction.objects.filter(
        mailbox=test.mailbox_id, kind=test.kind, test_fence=test.fence
    ).exclude(test_due_at=None)


def hold_tests(profile_id: int, kinds: Iterable[Kind], wait: timedelta) -> None:
    """Let no test of these of the profile's mailboxes begin for a while: its server is in trouble.

    Those in flight keep their lease, or they would begin a second time meanwhile.
    """
    later = Greatest("test_due_at", Now() + wait)
    _due_tests(profile_id, kinds).update(test_due_at=later)


def fail_tests(profile_id: int, kinds: Iterable[Kind], fault: Fault) -> None:
    """End these tests of the profile's mailboxes that wait: they would find the same."""
    _due_tests(profile_id, kinds).update(
        test_due_at=None,
        test_fence=F("test_fence") + 1,
        tested_at=Now(),
        test_status=Direction.Test.FAILURE,
        test_code=fault.code,
        test_text=fault.text,
        overrides_stamp=False,
    )


def _due_tests(profile_id: int, kinds: Iterable[Kind]) -> QuerySet[Direction]:
    waiting = Direction.objects.filter(test_due_at__isnull=False, kind__in=list(kinds))
    return waiting.filter(mailbox__profile=profile_id)
