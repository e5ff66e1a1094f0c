"""When a lane of a mailbox is due, how far it was read, and how visits went (REFERENCE 2L).

PostgreSQL is the truth about what is due (DESIGN invariants 1 and 2)."""

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from syncservice.mailboxes.models.mailbox import Lane, Mailbox
from syncservice.mailboxes.models.profile import EmailServerProfile


class Schedule(models.Model):
    """When one lane of one mailbox is due, who may write now, and why then.

    `due_at` alone decides: null is never. A claim moves it to the end of the lease, so a claim
    that nobody finishes is due again by itself.
    """

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="schedules")
    lane = models.CharField(max_length=10, choices=Lane)
    #: The mailbox's own, kept here by `plan`: the claim looks for the oldest of each profile.
    profile = models.ForeignKey(
        EmailServerProfile, models.CASCADE, null=True, related_name="+", db_index=False
    )
    due_at = models.DateTimeField(null=True)
    #: Of the lane `act`: the CRM has changes for the mailbox since then; null: none is known.
    push_due_at = models.DateTimeField(null=True)
    fence = models.BigIntegerField(default=0)
    claimed_at = models.DateTimeField(null=True)  # null: nobody visits
    started_at = models.DateTimeField(null=True)  # null: the claim waits in the queue
    crashes = models.PositiveIntegerField(default=0)  # visits in a row that died without progress
    parked_at = models.DateTimeField(null=True)  # null: not parked for its crashes
    recent_items = models.PositiveIntegerField(default=0)  # see domain.polling.Activity
    empty_visits = models.PositiveIntegerField(default=0)  # in a row
    rest = models.DurationField(default=timedelta(0))
    reason = models.TextField(blank=True)
    visited_at = models.DateTimeField(null=True)  # end of the last visit
    succeeded_at = models.DateTimeField(null=True)  # end of the last visit without a fault
    failures = models.PositiveIntegerField(default=0)  # visits with a fault, in a row
    fault_code = models.CharField(max_length=100, blank=True)  # of the last visit; '': none
    fault_text = models.TextField(blank=True)

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedule")
        constraints = [models.UniqueConstraint("mailbox", "lane", name="one_schedule_a_lane")]
        indexes = [
            models.Index(
                "profile", "due_at", condition=~Q(lane="outgoing"), name="schedule_by_due_at"
            ),
            models.Index(
                "profile", "due_at", condition=Q(lane="outgoing"), name="sendings_by_due_at"
            ),
            models.Index("profile", "due_at", condition=~Q(claimed_at=None), name="claims"),
            models.Index(
                "profile", "push_due_at", condition=~Q(push_due_at=None), name="pushes_by_due_at"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.mailbox} {self.lane}"


class FolderCursor(models.Model):
    """How far a folder has been read: the server's sync state, opaque to us."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="cursors")
    folder = models.CharField(max_length=400)  # a distinguished name such as inbox, or an id
    position = models.TextField()  # '': from the beginning

    class Meta:
        constraints = [models.UniqueConstraint("mailbox", "folder", name="one_cursor_a_folder")]


class VisitStatistics(models.Model):
    """What one visit did (REFERENCE 2L)."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="visits", db_index=False)
    lane = models.CharField(max_length=10, choices=Lane)
    fence = models.BigIntegerField()
    finished_at = models.DateTimeField(db_default=Now(), editable=False)
    seconds = models.FloatField()
    requests = models.PositiveIntegerField()  # to the mail server
    pages = models.PositiveIntegerField()
    stored = models.PositiveIntegerField()  # new email records; of lane `act`: records written
    linked = models.PositiveIntegerField()  # items of email records that another item brought
    failed = models.PositiveIntegerField()  # item failures
    declined = models.PositiveIntegerField(db_default=0)  # they don't belong in the CRM
    sent = models.PositiveIntegerField(db_default=0)  # outgoing email that a server took
    written = models.PositiveIntegerField(db_default=0)  # items in the mailbox, of lane `act`
    more_left = models.BooleanField()  # the budget ended before the mailbox did
    fault_code = models.CharField(max_length=100, blank=True)
    rest = models.DurationField()  # what was decided at its end, and why
    reason = models.TextField()
    machine = models.CharField(max_length=320)

    class Meta:
        verbose_name = _("visit")
        verbose_name_plural = _("visits")
        indexes = [
            models.Index("finished_at", name="visits_by_time"),
            models.Index("mailbox", "finished_at", name="visits_of_a_mailbox"),
        ]
        constraints = [
            models.UniqueConstraint("mailbox", "lane", "fence", name="one_outcome_a_claim")
        ]
