"""CRM records: the people and companies of an organisation and its email (REFERENCE 2H-2M).

Names and codes are the reference's. What must never be, a constraint forbids: above all, one
message is one email record, however many mailboxes received it.
"""

from typing import Any, Self

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import HashIndex
from django.db import models
from django.db.models.functions import Now, Upper
from django.utils.translation import gettext_lazy as _

from syncservice.crm.ids import activity_id


class KnowsStoredAddress(models.Model):
    """Remembers the address as it was read, so that a change can be told from a mere save."""

    ADDRESS = "email_address"
    stored_address: str | None = None  # None: not read from the database

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: Any, field_names: Any, values: Any, **options: Any) -> Self:
        instance = super().from_db(db, field_names, values, **options)
        instance.stored_address = instance.__dict__.get(cls.ADDRESS)
        return instance


class User(AbstractUser, KnowsStoredAddress):
    """A CRM user; the reference's system user."""

    ADDRESS = "email"

    class Meta(AbstractUser.Meta):
        indexes = [models.Index(Upper("email"), name="users_by_address")]  # as `iexact` compares


class EmailEnabled(models.Model):
    """A record that mail can be sent to; the reference gives it up to three addresses."""

    email_address = models.EmailField(_("email address"), max_length=254, blank=True)
    email_address2 = models.EmailField(_("second email address"), max_length=254, blank=True)
    email_address3 = models.EmailField(_("third email address"), max_length=254, blank=True)
    owner = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True


class Account(EmailEnabled):
    """A company."""

    name = models.CharField(_("name"), max_length=160)

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")

    def __str__(self) -> str:
        return self.name


class PersonalName(models.Model):
    first_name = models.CharField(_("first name"), max_length=50, blank=True)
    last_name = models.CharField(_("last name"), max_length=50)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


class Contact(PersonalName, EmailEnabled):
    """A person, perhaps of an account."""

    account = models.ForeignKey(Account, models.SET_NULL, null=True, blank=True)

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")


class Lead(PersonalName, EmailEnabled):
    """Somebody who may become a customer."""

    company_name = models.CharField(_("company"), max_length=100, blank=True)

    class Meta:
        verbose_name = _("lead")
        verbose_name_plural = _("leads")


class Queue(KnowsStoredAddress):
    """A shared place for work; a CRM queue, not one of Celery's."""

    name = models.CharField(_("name"), max_length=200)
    email_address = models.EmailField(_("email address"), max_length=254, blank=True)
    owner = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        db_table = "crm_queue"
        verbose_name = _("queue")
        verbose_name_plural = _("queues")

    def __str__(self) -> str:
        return self.name


class Email(models.Model):
    """An email activity (REFERENCE 2H). `html` is kept as it came and cleaned where it is shown."""

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

    id = models.UUIDField(primary_key=True, default=activity_id, editable=False)
    direction = models.SmallIntegerField(choices=Direction)
    status = models.SmallIntegerField(choices=Status)
    #: What makes it this message and no other, see `sync/incoming_email.py`.
    identity = models.CharField(max_length=64)
    message_id = models.TextField(blank=True)
    in_reply_to = models.TextField(blank=True)
    references = ArrayField(models.TextField(), default=list, blank=True)
    conversation_index = models.TextField(blank=True)
    subject = models.TextField(_("subject"), blank=True)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    sent_at = models.DateTimeField(_("sent"), null=True)  # null: no readable Date header
    received_at = models.DateTimeField(_("received"), null=True)  # null: not received mail
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


class ActivityParty(models.Model):
    """Somebody's part in an email; `address` and `name` are as the message gave them (2J).

    At most one of the records is set; none means that the address is not resolved (yet).
    """

    class Participation(models.IntegerChoices):
        SENDER = 1, _("from")
        TO = 2, _("to")
        CC = 3, _("cc")
        BCC = 4, _("bcc")

    email = models.ForeignKey(Email, models.CASCADE, related_name="parties")
    participation = models.SmallIntegerField(choices=Participation)
    address = models.TextField(blank=True)  # '': the header held no usable address
    name = models.TextField(blank=True)
    user = models.ForeignKey(User, models.PROTECT, null=True, blank=True)
    queue = models.ForeignKey(Queue, models.PROTECT, null=True, blank=True)
    account = models.ForeignKey(Account, models.PROTECT, null=True, blank=True)
    contact = models.ForeignKey(Contact, models.PROTECT, null=True, blank=True)
    lead = models.ForeignKey(Lead, models.PROTECT, null=True, blank=True)

    class Meta:
        verbose_name_plural = "activity parties"
        constraints = [
            models.CheckConstraint(
                name="party_is_one_record_at_most",
                condition=models.Q(
                    models.lookups.LessThanOrEqual(
                        models.Func(
                            "user", "queue", "account", "contact", "lead",
                            function="num_nonnulls",
                            output_field=models.IntegerField(),
                        ),
                        1,
                    )
                ),
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


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
