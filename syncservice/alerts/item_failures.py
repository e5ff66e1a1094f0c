"""What people do about messages that could not become records (M03)."""

from collections.abc import Iterable

from django.db import transaction

from syncservice.alerts.models import ItemFailure
from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import Lane

State = ItemFailure.State
#: What others than the mailbox's owner see of a subject (F305).
MASK = "***"


@transaction.atomic
def retry(failures: Iterable[int]) -> int:
    """Try messages again from the next visit on, which is now; return how many there are."""
    chosen = ItemFailure.objects.filter(pk__in=list(failures)).exclude(state=State.RESOLVED)
    mailboxes = set(chosen.values_list("mailbox", flat=True))
    schedule.lock(mailboxes)
    count = chosen.update(state=State.RETRYING, attempts=0)
    schedule.wake(mailboxes, Lane.INCOMING, "messages are to be tried again")
    return count


@transaction.atomic
def dismiss(failures: Iterable[int]) -> int:
    """Try messages no more and take them off the lists; return how many there were."""
    chosen = ItemFailure.objects.filter(pk__in=list(failures))
    schedule.lock(set(chosen.values_list("mailbox", flat=True)))
    return chosen.exclude(state__in=ItemFailure.DONE).update(state=State.DISMISSED)
