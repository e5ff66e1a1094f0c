"""What went wrong, for the people it concerns."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from syncservice.mailboxes.models import Mailbox


class ItemFailure(models.Model):
    """A message that could not become a record, and why; it never stops its mailbox.

    One a remote item: another attempt updates the row, and success resolves it.
    """

    class State(models.TextChoices):
        RETRYING = "retrying", _("will be tried again")
        GIVEN_UP = "given_up", _("given up")
        RESOLVED = "resolved", _("resolved")

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="item_failures")
    item_id = models.TextField()
    code = models.CharField(max_length=100)
    reason = models.TextField()
    state = models.CharField(max_length=10, choices=State)
    attempts = models.PositiveIntegerField(default=1)
    first_seen_at = models.DateTimeField(db_default=Now(), editable=False)
    last_seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint("mailbox", "item_id", name="one_failure_an_item")]
        indexes = [
            models.Index("mailbox", condition=models.Q(state="retrying"), name="failures_to_retry")
        ]

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"
