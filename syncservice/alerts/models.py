"""What went wrong, for the people it concerns."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from syncservice.alerts.catalogue import entry_of
from syncservice.alerts.entries.entry import Entry
from syncservice.crm.models import Email, User
from syncservice.mailboxes.models import EmailServerProfile, Mailbox


class ItemFailure(models.Model):
    """A message that could not become a record, and why; it never stops its mailbox.

    One a remote item: another attempt updates the row, and success resolves it.
    """

    class State(models.TextChoices):
        RETRYING = "retrying", _("will be tried again")
        GIVEN_UP = "given_up", _("given up")
        RESOLVED = "resolved", _("resolved")
        GONE = "gone", _("no longer in the mailbox")
        DISMISSED = "dismissed", _("dismissed")

    #: Nobody needs to look at these any more.
    DONE = (State.RESOLVED, State.GONE, State.DISMISSED)

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="item_failures")
    item_id = models.TextField()
    folder = models.CharField(max_length=400, default="inbox")  # as `FolderCursor` names it
    tracking = models.CharField(max_length=10, blank=True)  # of RemoteItem; '': as its folder says
    subject = models.TextField(blank=True)  # for its owner's eyes only; '': not known
    code = models.CharField(max_length=100)
    reason = models.TextField()
    state = models.CharField(max_length=10, choices=State)
    size = models.PositiveBigIntegerField(default=0)  # bytes, as the server counts; 0: not known
    attempts = models.PositiveIntegerField(default=1)
    #: The message shows in its mailbox that it could not be stored (F117).
    is_marked = models.BooleanField(default=False)
    first_seen_at = models.DateTimeField(db_default=Now(), editable=False)
    last_seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = _("message that could not be stored")
        verbose_name_plural = _("messages that could not be stored")
        constraints = [models.UniqueConstraint("mailbox", "item_id", name="one_failure_an_item")]
        indexes = [
            models.Index(
                *("mailbox", "state", "last_seen_at"),
                name="open_failures",
                condition=~Q(state__in=["resolved", "gone", "dismissed"]),  # `DONE`
            ),
            models.Index("last_seen_at", name="failures_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"


class Severity(models.IntegerChoices):
    """How much an alert asks of its reader (2E)."""

    INFORMATION = 1, _("information")
    WARNING = 2, _("warning")
    ERROR = 3, _("error")


class Alert(models.Model):
    """What people have to know of an email, a mailbox or a server profile, until it is over.

    One row for each trouble: a repeat moves `last_seen_at` and counts. A trouble that lasts gets a
    second row with the same code, an error. Some ask a question, and keep its answer.
    """

    mailbox = models.ForeignKey(
        Mailbox, models.CASCADE, null=True, related_name="alerts"
    )  # null: it is about a whole profile
    profile = models.ForeignKey(
        EmailServerProfile, models.CASCADE, null=True, related_name="alerts"
    )  # null: it is about a mailbox
    email = models.ForeignKey(Email, models.CASCADE, null=True, related_name="alerts")
    #: On whose wall it hangs, beside the administrators': who owned its subject then. null: nobody.
    owner = models.ForeignKey(User, models.SET_NULL, null=True, related_name="alerts")
    severity = models.SmallIntegerField(_("level"), choices=Severity)
    code = models.CharField(max_length=100)  # see `catalogue`
    direction = models.CharField(max_length=10, blank=True)  # '': none in particular
    text = models.TextField(blank=True)  # what the server or our code said
    first_seen_at = models.DateTimeField(db_default=Now(), editable=False)
    last_seen_at = models.DateTimeField(_("last seen"), db_default=Now())
    count = models.PositiveIntegerField(_("times"), db_default=1)
    ended_at = models.DateTimeField(_("over since"), null=True)  # null: it still holds
    is_question = models.BooleanField(db_default=False)
    answer = models.BooleanField(_("answer"), null=True)  # null: not answered
    answered_by = models.CharField(max_length=150, blank=True, db_default="")
    mailed_at = models.DateTimeField(null=True)  # null: no mail was sent about it

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        constraints = [
            models.CheckConstraint(
                name="alert_of_a_mailbox_or_a_profile",
                condition=Q(mailbox=None, profile__isnull=False)
                | Q(mailbox__isnull=False, profile=None),
            ),
            models.UniqueConstraint(
                *("mailbox", "profile", "email", "direction", "code", "severity"),
                name="one_open_alert_a_trouble",
                condition=Q(ended_at=None),
                nulls_distinct=False,
            ),
        ]
        indexes = [
            models.Index("owner", "ended_at", name="alerts_of_a_wall"),
            models.Index("last_seen_at", name="alerts_by_time"),
            models.Index("ended_at", condition=~Q(ended_at=None), name="alerts_over"),
        ]
        permissions = [("view_every_alert", "Can see the alerts of everybody")]

    def __str__(self) -> str:
        return f"{self.mailbox or self.profile}: {self.code}"

    @property
    def entry(self) -> Entry:
        """What the code means, why it happens and what helps, in the reader's language."""
        return entry_of(self.code)
