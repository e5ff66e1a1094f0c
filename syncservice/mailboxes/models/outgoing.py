"""Email that was written in the CRM, on its way out."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from syncservice.crm.models import Email, Queue, User
from syncservice.mailboxes.models.mailbox import Mailbox


class OutgoingEmail(models.Model):
    """The way out of an email that was written in the CRM: who sends it, when, and how it went.

    Its state is the email's own status. `due_at` is null when nothing is to be done by itself: a
    draft, sent, failed, or held until a person decides.
    """

    class Priority(models.IntegerChoices):
        LOW = 0, _("low")
        NORMAL = 1, _("normal")
        HIGH = 2, _("high")

    email = models.OneToOneField(Email, models.CASCADE, primary_key=True, related_name="outgoing")
    #: Whose mailbox sends it: at most one is set; none as long as nobody has submitted it.
    sender_user = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    sender_queue = models.ForeignKey(Queue, models.PROTECT, null=True, related_name="+")
    #: Theirs, kept here by whoever maps mailboxes; null: they have none now.
    mailbox = models.ForeignKey(Mailbox, models.SET_NULL, null=True, related_name="outgoing_emails")
    priority = models.SmallIntegerField(
        _("priority"),
        choices=Priority,
        default=Priority.NORMAL,  # F164
    )
    send_after = models.DateTimeField(_("send later"), null=True, blank=True)  # F165
    asks_read_receipt = models.BooleanField(_("ask for a read receipt"), default=False)  # F166
    asks_delivery_receipt = models.BooleanField(_("ask for a delivery receipt"), default=False)
    submitted_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    submitted_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)  # since it was submitted
    due_at = models.DateTimeField(null=True)  # not before
    turn_at = models.DateTimeField(null=True)  # its place in the line, see `domain.sending`
    #: From here on the server may have it; null: no attempt under way came so far.
    handed_over_at = models.DateTimeField(null=True)
    #: Recipients that have it already, and those refused for good: {address: what the server said}.
    accepted_paths = ArrayField(models.TextField(), default=list, blank=True)
    refused_paths = models.JSONField(default=dict, blank=True)
    #: When Sent Items have to be looked at, for a copy too many or too few; null: they are right.
    copy_due_at = models.DateTimeField(null=True)
    copy_attempts = models.PositiveIntegerField(default=0)  # looks that failed
    #: When it was sent as one email to each recipient; null: it was not.
    sent_in_bulk_at = models.DateTimeField(null=True)
    fault_code = models.CharField(max_length=100, blank=True)  # of the last attempt; '': none
    fault_text = models.TextField(blank=True)

    class Meta:
        verbose_name = _("outgoing email")
        verbose_name_plural = _("outgoing emails")
        constraints = [
            models.CheckConstraint(
                name="sent_by_a_user_or_a_queue",
                condition=Q(sender_user=None) | Q(sender_queue=None),
            ),
        ]
        indexes = [
            models.Index("mailbox", "turn_at", condition=~Q(due_at=None), name="mail_by_turn"),
            models.Index("mailbox", "due_at", condition=~Q(due_at=None), name="mail_by_due_at"),
            models.Index(
                "mailbox", "copy_due_at", condition=~Q(copy_due_at=None), name="copies_due"
            ),
        ]

    def __str__(self) -> str:
        return str(self.email)
