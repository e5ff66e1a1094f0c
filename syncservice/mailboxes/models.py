"""Whose mailbox is kept in step, with which server, and when (REFERENCE 1C, 1D, 2A, 2L).

The schedule is here too: PostgreSQL is the truth about what is due (DESIGN invariants 1 and 2).
"""

from datetime import timedelta

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now
from django.utils.translation import gettext_lazy as _

from syncservice.crm.models import Email, Queue, User
from syncservice.mailboxes.encryption import EncryptedTextField


class Lane(models.TextChoices):
    """What a visit brings up to date; each lane has its own schedule and counters."""

    INCOMING = "incoming", _("incoming email")
    ACT = "act", _("appointments, contacts and tasks")


class EmailServerProfile(models.Model):
    """How to reach a mail server (F030-F055)."""

    class ServerType(models.IntegerChoices):
        EXCHANGE = 0, "Exchange Server"

    class Authentication(models.IntegerChoices):
        NTLM = 2, "NTLM"
        BASIC = 3, "Basic"

    class Credentials(models.IntegerChoices):
        MAILBOX = 0, _("specified by each user or queue")
        PROFILE = 1, _("specified in this profile")

    name = models.CharField(_("name"), max_length=100, unique=True)
    description = models.TextField(_("description"), max_length=2000, blank=True)
    server_type = models.SmallIntegerField(choices=ServerType, default=ServerType.EXCHANGE)
    location = models.URLField(
        _("server location"),
        max_length=2084,
        validators=[RegexValidator(r"^https?://", _("Expected a URL that begins with https://"))],
        help_text="https://mail.example.com/EWS/Exchange.asmx",
    )
    authentication = models.SmallIntegerField(
        _("authentication"), choices=Authentication, default=Authentication.BASIC
    )
    credentials = models.SmallIntegerField(
        _("authenticate using credentials"), choices=Credentials, default=Credentials.PROFILE
    )
    username = models.CharField(_("user name"), max_length=250, blank=True)
    password = EncryptedTextField(_("password"), blank=True)
    use_impersonation = models.BooleanField(_("use impersonation"), default=False)
    verify_tls = models.BooleanField(_("verify the server's certificate"), default=True)
    maximum_concurrent_connections = models.PositiveIntegerField(
        _("maximum concurrent connections"),
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(65536)],
    )
    maximum_requests_per_second = models.PositiveIntegerField(
        _("maximum requests per second"),
        default=0,  # 0: no limit of ours
        validators=[MaxValueValidator(10000)],
        help_text=_("Of all workers together; 0 is no limit."),
    )
    minimum_polling_interval_minutes = models.PositiveIntegerField(
        _("minimum polling interval in minutes"),
        default=0,
        validators=[MaxValueValidator(1440)],
    )
    timeout_seconds = models.PositiveIntegerField(
        _("time-out of a request in seconds"),
        default=100,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
    )
    is_active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("email server profile")
        verbose_name_plural = _("email server profiles")

    def __str__(self) -> str:
        return self.name

    @property
    def minimum_polling_interval(self) -> timedelta:
        """Floor of every rest of the profile's mailboxes (F043)."""
        return timedelta(minutes=self.minimum_polling_interval_minutes)

    @property
    def account_is_shared(self) -> bool:
        """Whether the server counts all mailboxes' requests against one budget."""
        of_profile = self.credentials == self.Credentials.PROFILE
        return of_profile and not self.use_impersonation


class ServerHealth(models.Model):
    """How a profile's server bears us: when it may be asked again, and by how many at a time.

    Written by visits only, so an administrator who saves the profile overwrites nothing.
    """

    profile = models.OneToOneField(
        EmailServerProfile, models.CASCADE, primary_key=True, related_name="health"
    )
    not_before = models.DateTimeField(db_default=Now())  # no conversation begins earlier
    failures = models.PositiveIntegerField(db_default=0)  # faults of the server in a row
    failed_at = models.DateTimeField(null=True)  # the last one that was counted
    fault_code = models.CharField(max_length=100, db_default="")  # '': none since the last success
    fault_text = models.TextField(db_default="")
    throttled_to = models.PositiveIntegerField(null=True)  # connections after the last busy answer
    throttled_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"health of {self.profile}"


class Mailbox(models.Model):
    """A mailbox record (REFERENCE 2A), of a user or of a queue; it is what we visit."""

    class IncomingMethod(models.IntegerChoices):
        NONE = 0, _("none")
        SERVER_SIDE = 2, _("server-side synchronization")

    name = models.CharField(_("name"), max_length=200)
    email_address = models.EmailField(_("email address"), max_length=254)
    profile = models.ForeignKey(
        EmailServerProfile,
        models.PROTECT,
        null=True,  # null: not processed at all (F086)
        blank=True,
        related_name="mailboxes",
        verbose_name=_("email server profile"),
    )
    username = models.CharField(_("user name"), max_length=200, blank=True)
    password = EncryptedTextField(_("password"), blank=True)
    incoming_method = models.SmallIntegerField(
        _("incoming email"), choices=IncomingMethod, default=IncomingMethod.SERVER_SIDE
    )
    enabled_for_incoming = models.BooleanField(_("enabled for incoming email"), default=True)
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("mailbox")
        verbose_name_plural = _("mailboxes")
        constraints = [
            models.UniqueConstraint(Lower("email_address"), name="one_mailbox_an_address"),
        ]

    def __str__(self) -> str:
        return self.email_address


class MailboxMapping(models.Model):
    """Whose mailbox it is: a user's or a queue's, one to one (F006).

    Ended mappings stay: they explain who owned older mail.
    """

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="mappings")
    user = models.ForeignKey(User, models.PROTECT, null=True, blank=True)
    queue = models.ForeignKey(Queue, models.PROTECT, null=True, blank=True)
    started_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)  # null: in force

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="mapping_to_a_user_or_a_queue",
                condition=Q(user=None, queue__isnull=False) | Q(user__isnull=False, queue=None),
            ),
            models.UniqueConstraint(
                "mailbox", condition=Q(ended_at=None), name="one_owner_a_mailbox"
            ),
            models.UniqueConstraint("user", condition=Q(ended_at=None), name="one_mailbox_a_user"),
            models.UniqueConstraint(
                "queue", condition=Q(ended_at=None), name="one_mailbox_a_queue"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.mailbox} of {self.user or self.queue}"


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
        constraints = [models.UniqueConstraint("mailbox", "lane", name="one_schedule_a_lane")]
        indexes = [
            models.Index("profile", "due_at", name="schedule_by_due_at"),
            models.Index("profile", "due_at", condition=~Q(claimed_at=None), name="claims"),
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


class RemoteItem(models.Model):
    """Which item in which mailbox an email came from."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="remote_items")
    item_id = models.TextField()  # case-sensitive; a moved item has another
    email = models.ForeignKey(Email, models.CASCADE, related_name="remote_items")
    linked_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint("mailbox", "item_id", name="one_link_an_item")]


class VisitStatistics(models.Model):
    """What one visit did (REFERENCE 2L)."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="visits")
    lane = models.CharField(max_length=10, choices=Lane)
    fence = models.BigIntegerField()
    finished_at = models.DateTimeField(db_default=Now(), editable=False)
    seconds = models.FloatField()
    requests = models.PositiveIntegerField()  # to the mail server
    pages = models.PositiveIntegerField()
    stored = models.PositiveIntegerField()  # new email records
    linked = models.PositiveIntegerField()  # items of email records that another item brought
    failed = models.PositiveIntegerField()  # item failures
    more_left = models.BooleanField()  # the budget ended before the mailbox did
    fault_code = models.CharField(max_length=100, blank=True)
    rest = models.DurationField()  # what was decided at its end, and why
    reason = models.TextField()
    machine = models.CharField(max_length=320)

    class Meta:
        verbose_name_plural = "visit statistics"
        indexes = [models.Index("finished_at", name="visits_by_time")]
        constraints = [
            models.UniqueConstraint("mailbox", "lane", "fence", name="one_outcome_a_claim")
        ]
