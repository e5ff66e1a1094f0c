"""Settings of the whole organisation, and who changed what (REFERENCE 1L)."""

import re
from uuid import uuid4

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from syncservice.domain.attachments import Allowed
from syncservice.mailboxes.models.mailbox import ActMethod, IncomingMethod, Mailbox, OutgoingMethod
from syncservice.mailboxes.models.profile import EmailServerProfile

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
    internal_email_from_queues = models.BooleanField(
        _("accept email from queues to users"),
        default=True,  # F258
        help_text=_("Else what a queue sent is not stored once more for a user who gets it."),
    )
    mailbox_owner_decides_alone = models.BooleanField(
        _("let the owner of a mailbox decide alone about its email"),
        default=False,  # F253
        help_text=_("Else what any of its recipients wants is stored."),
    )
    user_decides_alone = models.BooleanField(
        _("let users decide alone about the email of their mailboxes"),
        default=False,  # F254
        help_text=_("In mailboxes of queues, all recipients go on deciding."),
    )
    routes_to_owner_queue = models.BooleanField(
        _("put new email in the default queue of its owner too"),
        default=False,  # F131
    )
    leaves_out_rights_managed = models.BooleanField(
        _("leave out email whose rights are managed (IRM)"),
        default=False,  # F120, F247
        help_text=_("By hand, by category and by folder, too."),
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
    three_contact_addresses = models.BooleanField(
        _("synchronize three addresses of a contact"),
        default=False,  # F192
        help_text=_("Business, home and other; else the business address alone."),
    )
    synchronizes_attachments = models.BooleanField(
        _("synchronize attachments of appointments"),
        default=False,  # F191
    )
    propagates_cancellations = models.BooleanField(
        _("cancel meetings in Exchange that are canceled in the CRM"),
        default=False,  # F255
    )
    ignores_copied_items = models.BooleanField(
        _("make no record of a copied item"),
        default=True,  # F205, F259
    )
    tracks_from_non_organizer = models.BooleanField(
        _("let attendees track a meeting"),
        default=True,  # F207, F256
    )
    checks_scheduling_conflicts = models.BooleanField(
        _("ask before an appointment is tracked that overlaps another"),
        default=True,  # 3H
    )
    checks_duplicate_contacts = models.BooleanField(
        _("ask before a contact is tracked that is like one of the CRM"),
        default=True,  # F213
    )
    asks_above_creations = models.PositiveIntegerField(
        _("ask before more than this are created at once"), default=500
    )
    asks_above_deletions = models.PositiveIntegerField(
        _("ask before more than this are deleted at once"), default=10
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

    @property
    def allowed_files(self) -> Allowed:
        """Which files are let in (F121)."""
        blocked = frozenset(name.strip(" .").lower() for name in self.blocked_extensions)
        return Allowed(self.attachment_kilobytes * 1024, blocked)

    @property
    def allowed_item_files(self) -> Allowed | None:
        """Which files of appointments are kept in step; None: none are (F191)."""
        return self.allowed_files if self.synchronizes_attachments else None

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
