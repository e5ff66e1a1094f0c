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
    size = models.PositiveBigIntegerField(default=0)  # bytes, as the server counts; 0: not known
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


class Alert(models.Model):
    """What a person has to know of a mailbox, until it is over; one row for each trouble."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="alerts")
    code = models.CharField(max_length=100)
    text = models.TextField()
    raised_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True)  # null: it still holds

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "mailbox", "code", condition=models.Q(ended_at=None), name="one_alert_a_trouble"
            )
        ]

    def __str__(self) -> str:
        return f"{self.mailbox}: {self.text}"
