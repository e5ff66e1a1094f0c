"""CRM records: the people and companies of an organisation and its email (REFERENCE 2H-2M).

Names and codes are the reference's. What must never be, a constraint forbids: above all, one
message is one email record, however many mailboxes received it.
"""

from typing import Any, Self

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, HashIndex
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


class IncomingFilter(models.IntegerChoices):
    """Which incoming email of a user or a queue becomes a record (F100)."""

    ALL = 0, _("all email")
    IN_RESPONSE = 1, _("email in response to email of the CRM")
    FROM_PEOPLE = 2, _("email from leads, contacts and accounts")
    FROM_RECORDS = 3, _("email from any record that has an address")
    NONE = 4, _("no email")


class AutomaticRecord(models.IntegerChoices):
    """What an unknown sender of a user's email becomes (F118)."""

    NOTHING = 0, _("nothing")
    CONTACT = 1, _("a contact")
    LEAD = 2, _("a lead")


class User(AbstractUser, KnowsStoredAddress):
    """A CRM user; the reference's system user."""

    ADDRESS = "email"

    incoming_filter = models.SmallIntegerField(
        _("track"), choices=IncomingFilter, default=IncomingFilter.IN_RESPONSE
    )
    automatic_record = models.SmallIntegerField(
        _("an unknown sender becomes"), choices=AutomaticRecord, default=AutomaticRecord.NOTHING
    )

    #: Others may write in this user's name (F167).
    lets_others_send = models.BooleanField(_("others may send on my behalf"), default=False)
    #: The number in tracking tokens (3D); null: none was needed yet.
    token_number = models.PositiveIntegerField(null=True, editable=False, unique=True)
    token_count = models.PositiveBigIntegerField(default=0, editable=False)  # tokens given

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


def indexes_of_addresses(name: str) -> list[models.Index]:
    """Index each of a record's addresses, as `iexact` compares."""
    fields = ("email_address", "email_address2", "email_address3")
    return [models.Index(Upper(field), name=f"{name}_by_{field}") for field in fields]


class Account(EmailEnabled):
    """A company."""

    name = models.CharField(_("name"), max_length=160)

    class Meta:
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        indexes = indexes_of_addresses("accounts")

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
        indexes = indexes_of_addresses("contacts")


class Lead(PersonalName, EmailEnabled):
    """Somebody who may become a customer."""

    company_name = models.CharField(_("company"), max_length=100, blank=True)

    class Meta:
        verbose_name = _("lead")
        verbose_name_plural = _("leads")
        indexes = indexes_of_addresses("leads")


class Queue(KnowsStoredAddress):
    """A shared place for work; a CRM queue, not one of Celery's."""

    name = models.CharField(_("name"), max_length=200)
    email_address = models.EmailField(_("email address"), max_length=254, blank=True)
    owner = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    incoming_filter = models.SmallIntegerField(
        _("convert into activities"), choices=IncomingFilter, default=IncomingFilter.ALL
    )

    class Meta:
        db_table = "crm_queue"
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        indexes = [models.Index(Upper("email_address"), name="queues_by_address")]

    def __str__(self) -> str:
        return self.name


#: The relations of `Regarding`.
REGARDING = ("regarding_account", "regarding_contact", "regarding_lead")


class Regarding(models.Model):
    """Which record something is about; at most one is set."""

    regarding_account = models.ForeignKey(
        Account, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    regarding_contact = models.ForeignKey(
        Contact, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    regarding_lead = models.ForeignKey(
        Lead, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    REGARDING_IDS = tuple(f"{name}_id" for name in REGARDING)

    class Meta:
        abstract = True

    @property
    def regarding(self) -> Account | Contact | Lead | None:
        return self.regarding_account or self.regarding_contact or self.regarding_lead


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
    #: What makes it this message and no other, see `sync/incoming_email.py`.
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
        indexes = [
            models.Index(
                Upper("address"),
                name="unresolved_parties",
                condition=models.Q(user=None, queue=None, account=None, contact=None, lead=None),
            )
        ]

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
