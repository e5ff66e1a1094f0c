"""Mailboxes, whose they are and what they are kept in step for (REFERENCE 1D, 2A)."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now, Upper
from django.utils.translation import gettext_lazy as _

from syncservice.crm.models import Queue, User
from syncservice.mailboxes.encryption import EncryptedTextField
from syncservice.mailboxes.models.profile import EmailServerProfile


class Lane(models.TextChoices):
    """What a visit brings up to date; each lane has its own schedule and counters."""

    INCOMING = "incoming", _("incoming email")
    OUTGOING = "outgoing", _("outgoing email")
    ACT = "act", _("appointments, contacts and tasks")


class IncomingMethod(models.IntegerChoices):
    """How email comes in (F062; the reference's 1 is its desktop client)."""

    NONE = 0, _("none")
    SERVER_SIDE = 2, _("server-side synchronization")
    FORWARD = 3, _("forward mailbox")


class OutgoingMethod(models.IntegerChoices):
    """How email goes out (F063)."""

    NONE = 0, _("none")
    SERVER_SIDE = 2, _("server-side synchronization")


class ActMethod(models.IntegerChoices):
    """How appointments, contacts and tasks go both ways (F064: here 2 is none)."""

    SERVER_SIDE = 1, _("server-side synchronization")
    NONE = 2, _("none")


class Mailbox(models.Model):
    """A mailbox record (REFERENCE 2A), of a user or of a queue; it is what we visit."""

    class Approval(models.IntegerChoices):
        EMPTY = 0, _("no address")
        APPROVED = 1, _("approved")
        PENDING = 2, _("pending approval")
        REJECTED = 3, _("rejected")

    name = models.CharField(_("name"), max_length=200)
    email_address = models.EmailField(_("email address"), max_length=254, blank=True)
    approval = models.SmallIntegerField(
        _("approval of the address"), choices=Approval, default=Approval.PENDING
    )
    is_forward = models.BooleanField(
        _("forward mailbox"),
        default=False,
        help_text=_("Collects what rules forward as attachments; belongs to nobody."),
    )
    profile = models.ForeignKey(
        EmailServerProfile,
        models.PROTECT,
        null=True,  # null: not processed at all (F086)
        blank=True,
        related_name="mailboxes",
        verbose_name=_("email server profile"),
    )
    allow_credentials = models.BooleanField(
        _("allow the use of its own credentials"), default=False
    )
    username = models.CharField(_("user name"), max_length=200, blank=True)
    password = EncryptedTextField(_("password"), blank=True)
    incoming_method = models.SmallIntegerField(
        _("incoming email"), choices=IncomingMethod, default=IncomingMethod.SERVER_SIDE
    )
    outgoing_method = models.SmallIntegerField(
        _("outgoing email"), choices=OutgoingMethod, default=OutgoingMethod.NONE
    )
    act_method = models.SmallIntegerField(
        _("appointments, contacts and tasks"), choices=ActMethod, default=ActMethod.NONE
    )
    process_email_from = models.DateTimeField(
        _("process email from"),
        null=True,  # null: the profile's own moment alone
        blank=True,
        help_text=_("Email received earlier is left alone; the later of this and the profile's."),
    )
    delete_after_processing = models.BooleanField(
        _("delete email after processing"),
        default=False,
        help_text=_("Only of a queue or a forward mailbox."),
    )
    is_active = models.BooleanField(_("active"), default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    #: Whose it becomes in this transaction: the rules look at the mailbox before it is mapped.
    queue_to_be: Queue | None = None

    class Meta:
        verbose_name = _("mailbox")
        verbose_name_plural = _("mailboxes")
        constraints = [
            models.UniqueConstraint(
                Lower("email_address"),
                condition=~Q(email_address=""),
                name="one_mailbox_an_address",
            ),
            models.CheckConstraint(
                name="forward_mailbox_sends_nothing",
                condition=Q(is_forward=False) | Q(outgoing_method=0, act_method=2),
            ),
        ]
        # As `iexact` compares: else each look-up of an address reads all mailboxes.
        indexes = [models.Index(Upper("email_address"), name="mailboxes_by_address")]
        permissions = [
            ("approve_address", "Can approve or reject the addresses of mailboxes"),
            ("send_as_anyone", "Can send email in the name of every user and queue"),
        ]

    def __str__(self) -> str:
        return self.email_address or self.name

    def clean(self) -> None:
        """Refuse what the profile's server or the mailbox's kind can't do, with the reason."""
        from syncservice.mailboxes.rules import mailbox_problems

        if problems := mailbox_problems(self):
            raise ValidationError(problems)

    @property
    def email_since(self) -> datetime | None:
        """Email received before is left alone: the later of profile and mailbox (F044).

        Servers tell the second of receipt and no more, so what came in the same second counts.
        """
        of_profile = self.profile.process_email_from if self.profile else None
        moments = [moment for moment in (self.process_email_from, of_profile) if moment]
        return max(moments).replace(microsecond=0) if moments else None


class Direction(models.Model):
    """One of the three things a mailbox is kept in step for, with its own switch (F069, F075).

    Written by administration, tests and outcomes; an administrator's form never saves it.
    """

    class Kind(models.TextChoices):
        INCOMING = "incoming", _("incoming email")
        OUTGOING = "outgoing", _("outgoing email")
        ACT = "act", _("appointments, contacts and tasks")

    class Test(models.IntegerChoices):
        NOT_RUN = 0, _("not run")
        SUCCESS = 1, _("success")
        FAILURE = 2, _("failure")

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="directions")
    kind = models.CharField(_("direction"), max_length=10, choices=Kind)
    is_enabled = models.BooleanField(_("enabled"), default=False)
    #: Why the service switched it off: a fault's code. '': a person did, or it never was on.
    disabled_code = models.CharField(_("switched off by"), max_length=100, blank=True)
    disabled_text = models.TextField(blank=True)
    disabled_at = models.DateTimeField(null=True)
    #: Switched off, but a visit now and then looks whether it works again.
    is_probed = models.BooleanField(_("looked at now and then"), default=False)
    test_status = models.SmallIntegerField(_("test"), choices=Test, default=Test.NOT_RUN)
    test_code = models.CharField(max_length=100, blank=True)  # of the fault; '': none
    test_text = models.TextField(_("result of the test"), blank=True)
    tested_at = models.DateTimeField(_("tested at"), null=True)
    test_due_at = models.DateTimeField(null=True)  # null: nobody asked for one
    test_attempts = models.PositiveIntegerField(default=0)  # of the test that was asked for
    test_fence = models.BigIntegerField(default=0)  # rises with each attempt: the right to write
    #: A person said to take the mailbox over from another organisation (F072).
    overrides_stamp = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("direction")
        verbose_name_plural = _("directions")
        constraints = [models.UniqueConstraint("mailbox", "kind", name="one_direction_a_kind")]
        indexes = [
            models.Index("test_due_at", condition=~Q(test_due_at=None), name="tests_by_due_at"),
            models.Index("disabled_code", condition=~Q(disabled_code=""), name="disabled_by_code"),
        ]

    def __str__(self) -> str:
        return f"{self.mailbox} {self.kind}"


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
