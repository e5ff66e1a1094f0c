"""Whose mailbox is kept in step, with which server, and when (REFERENCE 1C, 1D, 2A, 2L).

The schedule is here too: PostgreSQL is the truth about what is due (DESIGN invariants 1 and 2).
"""

import re
from datetime import datetime, timedelta
from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now, Upper
from django.utils.translation import gettext_lazy as _

from syncservice.crm.models import Email, Queue, Regarding, User
from syncservice.domain.acceptance import Reason
from syncservice.mailboxes.encryption import EncryptedTextField


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


class UnclearSending(models.IntegerChoices):
    """What is done when an attempt came to no clear end and the server can't tell either."""

    HOLD = 0, _("hold it for a person to decide")
    SEND_AGAIN = 1, _("send it again; it may arrive twice")
    TAKE_AS_SENT = 2, _("take it as sent; it may not have arrived")


class EmailServerProfile(models.Model):
    """How to reach a mail server, and what it is asked for (F030-F055).

    Settings of incoming email hold for outgoing email too, unless `same_settings_for_outgoing` is
    off; a POP3 or IMAP server never is its SMTP server, so that has an address of its own always.
    """

    class ServerType(models.IntegerChoices):
        EXCHANGE = 0, "Exchange Server"
        POP3_SMTP = 1, _("other (POP3/SMTP)")
        IMAP_SMTP = 4, _("other (IMAP/SMTP)")

    class Security(models.IntegerChoices):
        NONE = 0, _("none")
        TLS = 1, "TLS"
        STARTTLS = 2, "STARTTLS"

    class Authentication(models.IntegerChoices):
        AUTO = 0, _("detect")
        NEGOTIATE = 1, "Negotiate (Kerberos)"
        NTLM = 2, "NTLM"
        BASIC = 3, "Basic"

    class Credentials(models.IntegerChoices):
        MAILBOX = 0, _("specified by each user or queue")
        PROFILE = 1, _("specified in this profile")
        INTEGRATED = 3, _("the identity that the workers run as")
        NONE = 4, _("none")

    name = models.CharField(_("name"), max_length=100, unique=True)
    description = models.TextField(_("description"), max_length=2000, blank=True)
    owner = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,  # null: alerts of the profile concern administrators only
        blank=True,
        related_name="+",
        verbose_name=_("owner"),
    )
    server_type = models.SmallIntegerField(
        _("server type"), choices=ServerType, default=ServerType.EXCHANGE
    )
    use_autodiscover = models.BooleanField(_("find the server by autodiscover"), default=False)
    location = models.CharField(
        _("server location"),
        max_length=2084,
        blank=True,
        help_text=_(
            "Exchange: https://mail.example.com/EWS/Exchange.asmx; POP3 and IMAP: a host name."
        ),
    )
    port = models.PositiveIntegerField(
        _("port"),
        null=True,  # null: the one that POP3 or IMAP with this security has
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(65535)],
    )
    security = models.SmallIntegerField(_("security"), choices=Security, default=Security.TLS)
    outgoing_location = models.CharField(_("outgoing server location"), max_length=2084, blank=True)
    outgoing_port = models.PositiveIntegerField(
        _("outgoing port"),
        null=True,  # null: the one that SMTP with this security has
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(65535)],
    )
    outgoing_security = models.SmallIntegerField(
        _("outgoing security"), choices=Security, default=Security.STARTTLS
    )
    verify_tls = models.BooleanField(_("verify the server's certificate"), default=True)
    authentication = models.SmallIntegerField(
        _("authentication"), choices=Authentication, default=Authentication.BASIC
    )
    credentials = models.SmallIntegerField(
        _("authenticate using credentials"), choices=Credentials, default=Credentials.PROFILE
    )
    username = models.CharField(_("user name"), max_length=250, blank=True)
    password = EncryptedTextField(_("password"), blank=True)
    use_impersonation = models.BooleanField(_("use impersonation"), default=False)
    same_settings_for_outgoing = models.BooleanField(
        _("use the same settings for outgoing email"), default=True
    )
    outgoing_authentication = models.SmallIntegerField(
        _("outgoing authentication"), choices=Authentication, default=Authentication.BASIC
    )
    outgoing_credentials = models.SmallIntegerField(
        _("outgoing credentials"), choices=Credentials, default=Credentials.PROFILE
    )
    outgoing_username = models.CharField(_("outgoing user name"), max_length=250, blank=True)
    outgoing_password = EncryptedTextField(_("outgoing password"), blank=True)
    outgoing_use_impersonation = models.BooleanField(
        _("use impersonation for outgoing email"), default=False
    )
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
    process_email_from = models.DateTimeField(
        _("process email from"),
        null=True,  # null: whatever is there
        blank=True,
        help_text=_("Email received earlier is left alone."),
    )
    move_failed_to_undeliverable = models.BooleanField(
        _("move failed email to the folder Undeliverable"), default=False
    )
    grant_delegate_access = models.BooleanField(
        _("grant delegate access for outgoing email"), default=False
    )
    keeps_sent_copy = models.BooleanField(
        _("keep a copy of sent email in Sent Items"),
        default=True,  # F163, F266
    )
    unclear_sending = models.SmallIntegerField(
        _("when nobody can tell whether an email was sent"),
        choices=UnclearSending,
        default=UnclearSending.HOLD,
    )
    encoding = models.CharField(
        _("encoding of outgoing email"), max_length=100, blank=True, help_text=_("Empty: UTF-8.")
    )
    send_alert_mail = models.BooleanField(
        _("send the owner an email on major events"), default=False
    )
    is_active = models.BooleanField(_("active"), default=True)

    class Meta:
        verbose_name = _("email server profile")
        verbose_name_plural = _("email server profiles")
        permissions = [("view_profile_alerts", "Can see alerts of every profile and mailbox")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse what no server can be asked for, field by field with the reason."""
        from syncservice.mailboxes.rules import profile_problems

        if problems := profile_problems(self):
            raise ValidationError(problems)

    @property
    def is_exchange(self) -> bool:
        return self.server_type == self.ServerType.EXCHANGE

    @property
    def minimum_polling_interval(self) -> timedelta:
        """Floor of the rest that a visit to one of the profile's mailboxes earns (F043)."""
        return timedelta(minutes=self.minimum_polling_interval_minutes)

    @property
    def account_is_shared(self) -> bool:
        """Whether the server counts all mailboxes' requests against one budget."""
        return self.account_is_shared_for(outgoing=False)

    def account_is_shared_for(self, *, outgoing: bool) -> bool:
        """Whether the server counts all mailboxes' requests in this direction together."""
        own = outgoing and not self.same_settings_for_outgoing
        impersonates = self.outgoing_use_impersonation if own else self.use_impersonation
        return self.login_is_shared_for(outgoing=outgoing) and not impersonates

    @property
    def login_is_shared(self) -> bool:
        """Whether one account logs in for all mailboxes: if it is refused, all are."""
        return self.login_is_shared_for(outgoing=False)

    def login_is_shared_for(self, *, outgoing: bool) -> bool:
        """Whether one account logs in for all mailboxes in this direction."""
        own = outgoing and not self.same_settings_for_outgoing
        credentials = self.outgoing_credentials if own else self.credentials
        return credentials != self.Credentials.MAILBOX


class Discovery(models.Model):
    """What autodiscover found of a profile's server; written by a task only (PITFALLS X12)."""

    profile = models.OneToOneField(
        EmailServerProfile, models.CASCADE, primary_key=True, related_name="discovery"
    )
    endpoint = models.CharField(max_length=2084)
    authentication = models.SmallIntegerField(choices=EmailServerProfile.Authentication)
    version = models.CharField(max_length=100)  # as Exchange tells: 15.1.2507.6
    found_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.endpoint


class ConnectionTest(models.Model):
    """The last test of a profile's connection, with what was said to the server (F054)."""

    class Status(models.IntegerChoices):
        FAILURE = 0, _("failure")
        SUCCESS = 1, _("success")
        WARNING = 2, _("warning")

    profile = models.OneToOneField(
        EmailServerProfile, models.CASCADE, primary_key=True, related_name="connection_test"
    )
    due_at = models.DateTimeField(null=True)  # null: nobody asked for another
    fence = models.BigIntegerField(default=0)  # rises with each attempt: the right to write
    status = models.SmallIntegerField(choices=Status, null=True)  # null: never tested
    code = models.CharField(max_length=100, blank=True)  # of the fault; '': none
    text = models.TextField(blank=True)
    request = models.TextField(blank=True)  # as sent, without credentials
    response = models.TextField(blank=True)
    milliseconds = models.PositiveIntegerField(default=0)
    tested_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"connection test of {self.profile}"


class ServerHealth(models.Model):
    """How one of a profile's servers bears us: when it may be asked again, and by how many at once.

    Exchange is one server both ways; a POP3 or IMAP profile has an SMTP server of its own.

    Written by visits only, so an administrator who saves the profile overwrites nothing.
    """

    class Server(models.TextChoices):
        INCOMING = "incoming"  # and everything else of an Exchange profile
        OUTGOING = "outgoing"

    profile = models.ForeignKey(EmailServerProfile, models.CASCADE, related_name="healths")
    server = models.CharField(max_length=10, choices=Server, default=Server.INCOMING)
    not_before = models.DateTimeField(db_default=Now())  # no conversation begins earlier
    failures = models.PositiveIntegerField(db_default=0)  # faults of the server in a row
    failed_at = models.DateTimeField(null=True)  # the last one that was counted
    fault_code = models.CharField(max_length=100, db_default="")  # '': none since the last success
    fault_text = models.TextField(db_default="")
    throttled_to = models.PositiveIntegerField(null=True)  # connections after the last busy answer
    throttled_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(db_default=0)  # of `failures`, no busy answers
    #: A mailbox whose login was refused with nobody let in since; null: there is none.
    refused_mailbox = models.BigIntegerField(null=True)
    let_in_at = models.DateTimeField(null=True)  # the last login that was accepted after trouble

    class Meta:
        constraints = [models.UniqueConstraint("profile", "server", name="one_health_a_server")]

    def __str__(self) -> str:
        return f"health of {self.profile}"

    @property
    def direction(self) -> str:
        """Which direction's trouble it is; '': of all, for Exchange is one server."""
        return Direction.Kind.OUTGOING if self.server == self.Server.OUTGOING else ""


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


#: Files of these the re-created product blocks unless told otherwise (F121).
_BLOCKED = """
ade adp app asa ashx asmx asp bas bat cdx cer chm class cmd com config cpl crt csh dll exe
fxp hlp hta htr htw ida idc idq inf ins isp its jar js jse ksh lnk mad maf mag mam maq mar
mas mat mau mav maw mda mdb mde mdt mdw mdz msc msh msh1 msh1xml msh2 msh2xml mshxml msi
msp mst ops pcd pif prf prg printer pst reg rem scf scr sct shb shs shtm shtml soap stm
svc tmp url vb vbe vbs vsmacros vss vst vsw ws wsc wsf wsh
"""


def blocked_extensions() -> list[str]:
    return _BLOCKED.split()


class Organisation(models.Model):
    """Settings of the whole organisation (F220-F232); there is one row."""

    ONLY = 1
    #: A stranger's mailbox is told by this whose it is (F019).
    identity = models.UUIDField(default=uuid4, editable=False)
    default_profile = models.ForeignKey(
        EmailServerProfile,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("email server profile of new mailboxes"),
    )
    default_incoming = models.SmallIntegerField(
        _("incoming email of new mailboxes"),
        choices=IncomingMethod,
        default=IncomingMethod.SERVER_SIDE,
    )
    default_outgoing = models.SmallIntegerField(
        _("outgoing email of new mailboxes"),
        choices=OutgoingMethod,
        default=OutgoingMethod.SERVER_SIDE,
    )
    default_act = models.SmallIntegerField(
        _("appointments, contacts and tasks of new mailboxes"),
        choices=ActMethod,
        default=ActMethod.NONE,
    )
    approves_users = models.BooleanField(_("process email only for approved users"), default=True)
    approves_queues = models.BooleanField(_("process email only for approved queues"), default=True)
    correlates_conversations = models.BooleanField(
        _("use correlation to track email conversations"),
        default=True,  # F224, F307
    )
    uses_tracking_tokens = models.BooleanField(_("use tracking tokens"), default=True)  # F225
    token_prefix = models.CharField(_("prefix of tracking tokens"), max_length=20, default="CRM:")
    #: Earlier prefixes: answers to old email have them still (3D).
    token_prefixes = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    token_base = models.PositiveIntegerField(_("base number of tracking tokens"), default=0)
    token_user_digits = models.PositiveSmallIntegerField(
        _("digits for users"), default=3, validators=[MinValueValidator(1), MaxValueValidator(10)]
    )
    token_counter_digits = models.PositiveSmallIntegerField(
        _("digits for the counter"),
        default=3,
        validators=[MinValueValidator(1), MaxValueValidator(9)],
    )
    uses_smart_matching = models.BooleanField(_("use smart matching"), default=False)  # F226
    hash_filter = models.CharField(
        _("what smart matching leaves out of a subject"),
        max_length=200,
        default=r"^[\s]*([\w]+\s?:[\s]*)+",
    )
    hash_max_count = models.PositiveSmallIntegerField(_("words compared"), default=20)
    hash_delta_subject_count = models.PositiveSmallIntegerField(
        _("words that may differ"), default=0
    )
    hash_min_address_count = models.PositiveSmallIntegerField(
        _("addresses that have to match"), default=2
    )
    internal_email_is_two_activities = models.BooleanField(
        _("track email sent between two users as two activities"),
        default=False,  # F111, F227
    )
    internal_email_to_queues = models.BooleanField(
        _("accept email from users to queues"),
        default=True,  # F112, F242
    )
    unresolves_several_recipients = models.BooleanField(
        _("leave a recipient unresolved that several records match"),
        default=False,  # F107
    )
    unresolves_several_senders = models.BooleanField(
        _("leave a sender unresolved whom several records match"),
        default=False,  # F267
    )
    resolves_alike = models.BooleanField(
        _("resolve an address everywhere once it is resolved"),
        default=True,  # F108
    )
    creates_records = models.BooleanField(
        _("let users have contacts or leads made of unknown senders"),
        default=True,  # F240
    )
    uses_folder_tracking = models.BooleanField(
        _("track email by its folder"),
        default=False,  # F140, F223
    )
    uses_category_tracking = models.BooleanField(
        _("track email by its category"),
        default=True,  # F153, F249
    )
    tracks_sent_items = models.BooleanField(
        _("track sent items"),
        default=False,  # F119, F246
    )
    sends_to_unresolved = models.BooleanField(
        _("send email to recipients who are no records"),
        default=True,  # F109
    )
    attachment_kilobytes = models.PositiveIntegerField(
        _("largest attachment in kilobytes"),
        default=5120,
        validators=[MinValueValidator(1), MaxValueValidator(32768)],  # F121
    )
    blocked_extensions = ArrayField(
        models.CharField(max_length=20),
        verbose_name=_("extensions of files that are blocked"),
        default=blocked_extensions,
        blank=True,
    )
    alerts_errors = models.BooleanField(_("generate alerts for errors"), default=True)
    alerts_warnings = models.BooleanField(_("generate alerts for warnings"), default=True)
    alerts_information = models.BooleanField(_("generate alerts for information"), default=True)
    notifies_mailbox_owners = models.BooleanField(
        _("show alerts of a server profile to the owners of its mailboxes"), default=True
    )

    class Meta:
        verbose_name = _("organisation")
        verbose_name_plural = _("organisation")
        constraints = [models.CheckConstraint(name="one_organisation", condition=Q(pk=1))]

    def __str__(self) -> str:
        return str(_("organisation"))

    def clean(self) -> None:
        try:
            re.compile(self.hash_filter)
        except re.error as error:
            text = _("It is no regular expression: %(error)s.") % {"error": error}
            raise ValidationError({"hash_filter": text}) from error

    @classmethod
    def current(cls) -> "Organisation":
        """Return the settings, with their defaults when nobody has changed any."""
        return cls.objects.get_or_create(pk=cls.ONLY)[0]


class ChangeRecord(models.Model):
    """Who changed what about mailboxes and profiles; rows are only added."""

    made_at = models.DateTimeField(db_default=Now(), editable=False)
    actor = models.CharField(max_length=150)  # a CRM user's name, "command line" or "service"
    action = models.CharField(max_length=50)  # mailbox.taken_over
    mailbox = models.ForeignKey(Mailbox, models.SET_NULL, null=True, related_name="changes")
    profile = models.ForeignKey(EmailServerProfile, models.SET_NULL, null=True, related_name="+")
    facts = models.JSONField(default=dict)  # never a secret

    class Meta:
        verbose_name = _("change")
        verbose_name_plural = _("changes")
        indexes = [models.Index("made_at", name="changes_by_time")]

    def __str__(self) -> str:
        return f"{self.made_at:%Y-%m-%d %H:%M} {self.actor}: {self.action}"


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


class TrackingFolder(Regarding):
    """A folder below a user's Inbox whose email becomes records, about one record or none (F142).

    Known by the server's id: it stays when the folder is renamed or moved.
    """

    class State(models.TextChoices):
        ACTIVE = "active", _("email in it is tracked")
        GONE = "gone", _("it is no longer below the Inbox")

    #: Of one mailbox (F141).
    MOST = 25

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="tracking_folders")
    folder_id = models.CharField(max_length=400)
    name = models.CharField(_("name"), max_length=256, blank=True)  # as it was when last seen
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.ACTIVE)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("tracked folder")
        verbose_name_plural = _("tracked folders")
        constraints = [models.UniqueConstraint("mailbox", "folder_id", name="one_rule_a_folder")]

    def __str__(self) -> str:
        return self.name or self.folder_id


class MailboxFolders(models.Model):
    """The folders below a mailbox's Inbox, as they were when last seen (F081)."""

    mailbox = models.OneToOneField(
        Mailbox, models.CASCADE, primary_key=True, related_name="folders"
    )
    folders = models.JSONField(default=list)  # of {"id", "parent", "name"}; parent '': the Inbox
    looked_at = models.DateTimeField(db_default=Now())


class TrackingCategory(models.Model):
    """A category of ours on a mailbox's list: known by its id, so it may be renamed (F154)."""

    class Kind(models.TextChoices):
        TRACKED = "tracked"
        UNDELIVERABLE = "undeliverable"

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="tracking_categories")
    kind = models.CharField(max_length=20, choices=Kind)
    category_id = models.CharField(max_length=64)
    name = models.CharField(max_length=255)  # as it was when last seen: items carry that
    looked_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint("mailbox", "kind", name="one_category_a_kind")]


class RemoteItem(models.Model):
    """Which item in which mailbox an email came from, and what brought it in."""

    #: Characters of an item's id. A B-tree holds 2,700 bytes; Exchange's ids have 512, others 70.
    LONGEST_ID = 1000

    class Tracking(models.TextChoices):
        FILTER = "filter", _("what its recipients want")
        HAND = "hand", _("by hand")
        CATEGORY = "category", _("its category")
        FOLDER = "folder", _("its folder")
        SENT = "sent", _("sent by the owner of the mailbox")

    mailbox = models.ForeignKey(
        Mailbox, models.CASCADE, related_name="remote_items", db_index=False
    )  # see the constraint
    item_id = models.TextField()  # case-sensitive; a moved item has another
    email = models.ForeignKey(  # null: it was deleted, and does not come back
        Email, models.SET_NULL, null=True, related_name="remote_items"
    )
    tracking = models.CharField(max_length=10, choices=Tracking, default=Tracking.FILTER)
    #: The category was taken off again: the record stays, and is linked no more (F153).
    is_untracked = models.BooleanField(default=False)
    folder = models.ForeignKey(  # null: it is in none that is tracked
        TrackingFolder, models.SET_NULL, null=True, related_name="items"
    )
    #: It is stored, and has to be deleted on the server (F085).
    is_to_delete = models.BooleanField(default=False)
    #: In so many visits. Not for ever: then it is no longer to be deleted.
    deletions_refused = models.PositiveSmallIntegerField(db_default=0)
    linked_at = models.DateTimeField(db_default=Now(), editable=False)
    #: It is no longer in the mailbox: POP3 may give its id to another message then (RFC 1939).
    left_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint("mailbox", "item_id", name="one_link_an_item")]
        indexes = [
            models.Index("mailbox", name="items_to_delete", condition=Q(is_to_delete=True)),
            models.Index("mailbox", name="items_still_there", condition=Q(left_at=None)),
            models.Index("mailbox", name="emails_of_a_mailbox", include=["email"]),  # are counted
        ]


class TrackRequest(Regarding):
    """Somebody wants one message in the CRM, at once and whatever the filters say (F101)."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waits")
        DONE = "done", _("in the CRM")
        FAILED = "failed", _("could not be stored")

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="track_requests")
    #: Whose mailbox it was: after a take-over nobody reads the new owner's mail for the old one.
    mapping = models.ForeignKey(MailboxMapping, models.CASCADE)
    item_id = models.TextField(blank=True)  # the server's; '': to be found by `message_id`
    message_id = models.TextField(blank=True)
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField(db_default=Now(), editable=False)
    #: The server was asked, and could not answer; the next visit asks again. null: not yet.
    tried_at = models.DateTimeField(null=True)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    reason = models.TextField(blank=True)  # why it failed
    email = models.ForeignKey(Email, models.SET_NULL, null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("message to be tracked")
        verbose_name_plural = _("messages to be tracked")
        indexes = [
            models.Index("mailbox", name="waiting_requests", condition=Q(state="waiting")),
        ]


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


class DeclinedItem(models.Model):
    """An item that was looked at and does not belong in the CRM, and why: it can be looked up.

    What it answers is kept, so that it is looked at again when that comes.
    """

    class Why(models.TextChoices):
        NO_RECIPIENT = Reason.NO_RECIPIENT, _("it names no user or queue that takes email")
        NO_ANSWER = Reason.NO_ANSWER, _("only answers are wanted, and it answers no known email")
        NOT_FROM_PEOPLE = (
            Reason.NOT_FROM_PEOPLE,
            _("only email of leads, contacts and accounts is wanted, and its sender is none"),
        )
        NOT_FROM_RECORD = Reason.NOT_FROM_RECORD, _("only email of known senders is wanted")
        NONE_WANTED = Reason.NONE_WANTED, _("no email is wanted")
        INTERNAL = Reason.INTERNAL, _("one user wrote it to another")
        NO_SENDER = Reason.NO_SENDER, _("it names no sender")
        NOT_FORWARDED = Reason.NOT_FORWARDED, _("it was not forwarded as an attachment")
        NOT_ALLOWED_TO_FORWARD = (
            Reason.NOT_ALLOWED_TO_FORWARD,
            _("the mailbox that forwarded it does not use a forward mailbox"),
        )

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="declined_items")
    item_id = models.TextField()
    folder = models.CharField(max_length=400, default="inbox")  # as `FolderCursor` names it
    reason = models.CharField(_("reason"), max_length=40, choices=Why)
    message_id = models.TextField(blank=True)
    #: Names of what it may answer: message ids, and its conversation (`domain/correlation.py`).
    answers = ArrayField(models.TextField(), default=list, blank=True)
    sender = models.TextField(_("sender"), blank=True)
    subject = models.TextField(_("subject"), blank=True)
    size = models.PositiveBigIntegerField(default=0)  # bytes
    received_at = models.DateTimeField(_("received"), null=True)  # null: not told
    declined_at = models.DateTimeField(_("looked at"), db_default=Now())
    #: Asked for again: what it answers has come, or a person wants it.
    is_wanted = models.BooleanField(default=False)
    left_at = models.DateTimeField(null=True)  # as that of a link

    class Meta:
        verbose_name = _("message that was not stored")
        verbose_name_plural = _("messages that were not stored")
        constraints = [models.UniqueConstraint("mailbox", "item_id", name="one_decision_an_item")]
        indexes = [
            models.Index("mailbox", name="wanted_items", condition=Q(is_wanted=True)),
            models.Index("declined_at", name="declined_by_time"),
            GinIndex(fields=["answers"], name="declined_by_answers"),
        ]


class VisitStatistics(models.Model):
    """What one visit did (REFERENCE 2L)."""

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="visits", db_index=False)
    lane = models.CharField(max_length=10, choices=Lane)
    fence = models.BigIntegerField()
    finished_at = models.DateTimeField(db_default=Now(), editable=False)
    seconds = models.FloatField()
    requests = models.PositiveIntegerField()  # to the mail server
    pages = models.PositiveIntegerField()
    stored = models.PositiveIntegerField()  # new email records
    linked = models.PositiveIntegerField()  # items of email records that another item brought
    failed = models.PositiveIntegerField()  # item failures
    declined = models.PositiveIntegerField(db_default=0)  # they don't belong in the CRM
    sent = models.PositiveIntegerField(db_default=0)  # outgoing email that a server took
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
