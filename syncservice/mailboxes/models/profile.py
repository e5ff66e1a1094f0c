"""How to reach a mail server, and how it bears us (REFERENCE 1C)."""

from datetime import timedelta

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from syncservice.crm.models import User
from syncservice.mailboxes.encryption import EncryptedTextField


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
        """Which `Direction.Kind` has the trouble; '': all, for Exchange is one server."""
        return "outgoing" if self.server == self.Server.OUTGOING else ""
