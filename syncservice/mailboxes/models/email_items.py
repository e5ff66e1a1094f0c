"""Messages of a mailbox: which are records, which are wanted, which were declined, and why."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from syncservice.crm.models import Email, Regarding
from syncservice.domain.acceptance import Reason
from syncservice.mailboxes.models.mailbox import Mailbox, MailboxMapping


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
        INTERNAL = Reason.INTERNAL, _("a user or queue of ours wrote it to another")
        NO_SENDER = Reason.NO_SENDER, _("it names no sender")
        NOT_FORWARDED = Reason.NOT_FORWARDED, _("it was not forwarded as an attachment")
        NOT_ALLOWED_TO_FORWARD = (
            Reason.NOT_ALLOWED_TO_FORWARD,
            _("the mailbox that forwarded it does not use a forward mailbox"),
        )
        RIGHTS_MANAGED = Reason.RIGHTS_MANAGED, _("its rights are managed (IRM)")

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
