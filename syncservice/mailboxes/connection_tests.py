"""Tests of a profile's connection: asked for, claimed by a task, and their result (F054).

As with the tests of mailboxes, the row is the state of the work: a task that dies loses nothing.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from syncservice.mailboxes.models import ConnectionTest

#: Of a request or an answer, so much is kept; characters.
LONGEST_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class DueConnectionTest:
    """The right to write the result of one test, until a newer attempt begins."""

    profile_id: int
    fence: int


def request(profile_id: int) -> None:
    """Ask for a test of the profile's connection, as soon as a worker is free.

    What one in flight finds is of no use any more: it began before the profile was mended.
    """
    ConnectionTest.objects.update_or_create(
        profile_id=profile_id,
        defaults={"due_at": Now(), "fence": F("fence") + 1},
        create_defaults={"due_at": Now()},
    )


@transaction.atomic
def claim_due(lease: timedelta) -> DueConnectionTest | None:
    """Claim a test that is due; not finished when the lease ends, it is due again."""
    due = ConnectionTest.objects.select_for_update(skip_locked=True).filter(due_at__lte=Now())
    test = due.order_by("due_at").first()
    if test is None:
        return None
    ConnectionTest.objects.filter(pk=test.pk).update(due_at=Now() + lease, fence=F("fence") + 1)
    return DueConnectionTest(test.pk, test.fence + 1)


def postpone(test: DueConnectionTest, wait: timedelta) -> None:
    """Let a test that could not begin be tried again later."""
    held = ConnectionTest.objects.filter(profile=test.profile_id, fence=test.fence)
    held.update(due_at=Now() + wait)


def finish(test: DueConnectionTest, **result: Any) -> bool:
    """Write a test's result; False: a newer attempt has begun."""
    held = ConnectionTest.objects.filter(profile=test.profile_id, fence=test.fence)
    return bool(held.update(due_at=None, tested_at=Now(), **result))
