"""Email activities, their parties and files (REFERENCE 2H-2M).

One message is one email record, however many mailboxes received it.
"""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, HashIndex
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from syncservice.crm.ids import activity_id
from syncservice.crm.models.activity import Party, Regarding, one_record_at_most, unresolved
from syncservice.crm.models.people import Queue, User


class Email(Regarding):
    """An email activity (REFERENCE 2H). `html` is kept as it came and cleaned where it is shown."""

    class Correlation(models.IntegerChoices):
        """How the email that this one answers was found (F115); the codes are the reference's."""

        NONE = 0, _("none")
        SKIPPED = 1, _("skipped")
        IN_REPLY_TO = 3, _("In-Reply-To or References")
        TRACKING_TOKEN = 4, _("tracking token")
        CONVERSATION_INDEX = 5, _("conversation index")
        SMART_MATCHING = 6, _("smart matching")

    class Notice(models.IntegerChoices):
        NONE = 0, _("none")
        ATTACHMENTS_BLOCKED = 1, _("some attachments are blocked")
        BODY_TRUNCATED = 2, _("the body is cut")

    class Direction(models.IntegerChoices):
        INCOMING = 0, _("incoming")
        OUTGOING = 1, _("outgoing")

    class State(models.IntegerChoices):
        OPEN = 0, _("open")
        COMPLETED = 1, _("completed")
        CANCELED = 2, _("canceled")

    class Status(models.IntegerChoices):
        DRAFT = 1, _("draft")
        COMPLETED = 2, _("completed")
        SENT = 3, _("sent")
        RECEIVED = 4, _("received")
        CANCELED = 5, _("canceled")
        PENDING_SEND = 6, _("pending send")
        SENDING = 7, _("sending")
        FAILED = 8, _("failed")
        UNKNOWN = 100, _("unknown whether it was sent")  # ours; see `domain/sending.py`

    id = models.UUIDField(primary_key=True, default=activity_id, editable=False)
    direction = models.SmallIntegerField(choices=Direction)
    status = models.SmallIntegerField(choices=Status)
    #: What makes it this message and no other, see `sync/reading.py`.
    identity = models.CharField(max_length=64)
    message_id = models.TextField(blank=True)
    in_reply_to = models.TextField(blank=True)  # without the header, the last of `references`
    references = ArrayField(models.TextField(), default=list, blank=True)
    conversation_index = models.TextField(blank=True)
    subject = models.TextField(_("subject"), blank=True)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    sent_at = models.DateTimeField(_("sent"), null=True)  # null: no readable Date header
    received_at = models.DateTimeField(_("received"), null=True)  # null: not received mail
    owner = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    #: Why it is here: who wanted it (at most one is set), and what it answers (F114, F115).
    accepting_user = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="+"
    )
    accepting_queue = models.ForeignKey(
        Queue, models.PROTECT, null=True, blank=True, related_name="+"
    )
    correlation = models.SmallIntegerField(choices=Correlation, default=Correlation.NONE)
    correlation_score = models.TextField(blank=True)  # in words, of smart matching
    correlated_to = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    #: That which it answers by its own word: a header or the conversation index.
    parent = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="replies"
    )
    tracking_token = models.CharField(max_length=50, blank=True)
    #: Hash of the first 22 bytes of the conversation index; null: it has none.
    conversation_base = models.IntegerField(null=True)
    #: What smart matching compares (2I, 3E); null: it was switched off.
    subject_hashes = ArrayField(models.IntegerField(), null=True)
    address_hashes = ArrayField(models.IntegerField(), null=True)
    notice = models.SmallIntegerField(choices=Notice, default=Notice.NONE)
    blocked_attachments = ArrayField(models.TextField(), default=list, blank=True)  # file names
    #: Sentences on what was repaired when a malformed message was read.
    repairs = ArrayField(models.TextField(), default=list, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            # A message between two users may be two activities (F111), one in each direction.
            models.UniqueConstraint("identity", "direction", name="one_email_a_message"),
        ]
        indexes = [
            # Message ids come from strangers and may be longer than a B-tree entry can be.
            HashIndex(fields=["message_id"], name="email_by_message_id"),
            models.Index("received_at", "id", name="email_by_time"),
            # A message that comes after its answers finds them by this.
            HashIndex(fields=["in_reply_to"], name="email_by_in_reply_to"),
            GinIndex(fields=["references"], name="email_by_references"),
            models.Index(
                "tracking_token", name="email_by_token", condition=~models.Q(tracking_token="")
            ),
            models.Index(
                "conversation_base",
                name="email_by_conversation",
                condition=models.Q(conversation_base__isnull=False),
            ),
            GinIndex(fields=["subject_hashes"], name="email_by_words"),
        ]

    def __str__(self) -> str:
        return self.subject

    @property
    def state(self) -> State:
        """The state that the status belongs to (2H)."""
        if self.status in (self.Status.DRAFT, self.Status.FAILED):
            return self.State.OPEN
        if self.status == self.Status.CANCELED:
            return self.State.CANCELED
        return self.State.COMPLETED


class ActivityParty(Party):
    """Somebody's part in an email; `address` and `name` are as the message gave them (2J)."""

    class Participation(models.IntegerChoices):
        SENDER = 1, _("from")
        TO = 2, _("to")
        CC = 3, _("cc")
        BCC = 4, _("bcc")

    email = models.ForeignKey(Email, models.CASCADE, related_name="parties")
    participation = models.SmallIntegerField(choices=Participation)

    class Meta:
        verbose_name_plural = "activity parties"
        constraints = [one_record_at_most("party_is_one_record_at_most")]
        indexes = [unresolved("unresolved_parties")]


class AttachmentContent(models.Model):
    """The bytes of an attachment, kept once however many emails carry them (F122)."""

    digest = models.CharField(max_length=64, primary_key=True)  # SHA-256, hexadecimal
    content = models.BinaryField()


class Attachment(models.Model):
    """A file of an email."""

    email = models.ForeignKey(Email, models.CASCADE, related_name="attachments")
    body = models.ForeignKey(AttachmentContent, models.PROTECT)
    position = models.PositiveIntegerField()  # in the message, from 0
    filename = models.TextField()
    content_type = models.TextField()
    content_id = models.TextField(blank=True)
    is_inline = models.BooleanField()
    size = models.PositiveBigIntegerField()  # bytes

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint("email", "position", name="one_attachment_a_position")
        ]

    def __str__(self) -> str:
        return self.filename


class QueueItem(models.Model):
    """An email that waits in a queue."""

    queue = models.ForeignKey(Queue, models.CASCADE, related_name="items")
    email = models.ForeignKey(Email, models.CASCADE, related_name="queue_items")
    worked_on_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True)
    entered_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint("queue", "email", name="one_item_a_queue_and_email")]
