"""Which appointments, contacts and tasks of a mailbox are which records, and what was done to them.

The reference keeps one table for links and failures (2C); so do we: a link is a piece of work as
long as it has a `due_at`.
"""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes.models.mailbox import Mailbox

KINDS = [
    (ItemKind.APPOINTMENT.value, _("appointments")),
    (ItemKind.CONTACT.value, _("contacts")),
    (ItemKind.TASK.value, _("tasks")),
]


class ItemLink(models.Model):
    """A record and an item of a mailbox that are one, were one, or are about to be.

    There is one row for each record that a mailbox has to do with. What has to be done about it is
    found by comparing both sides, whenever `due_at` has come; so doing it twice changes nothing.
    """

    class State(models.TextChoices):
        WANTED = "wanted", _("the item is tracked and becomes a record")
        CREATING = "creating", _("the record becomes an item")
        WAITING = "waiting", _("the item comes with its organizer's invitation")
        LINKED = "linked", _("both are kept in step")
        UNLINKED = "unlinked", _("both stay, and go their own ways")
        DELETED = "deleted", _("the item was deleted, and does not come back")
        REFUSED = "refused", _("it can't be kept in step")

    class Question(models.TextChoices):
        SCHEDULING_CONFLICT = "scheduling_conflict", _("it overlaps another appointment")
        MASS_DELETION = "mass_deletion", _("it would be deleted with many others")
        DUPLICATE_CONTACT = "duplicate_contact", _("the CRM has contacts that are like it")

    mailbox = models.ForeignKey(
        Mailbox, models.CASCADE, related_name="item_links", db_index=False
    )  # see the constraint
    kind = models.CharField(_("kind"), max_length=12, choices=KINDS)
    key = models.UUIDField()  # the record's; of a WANTED one: that which it will have
    state = models.CharField(_("state"), max_length=10, choices=State)
    item_id = models.TextField(blank=True)  # '': none yet, or nobody knows (CREATING)
    uid = models.TextField(blank=True)  # of an appointment; '': not known
    change_key = models.TextField(blank=True)  # the item as it was last brought in step
    seen_key = models.TextField(blank=True)  # the item as it was last listed; '': to be read
    base = models.JSONField(null=True)  # as `domain.merge` keeps it; null: never agreed
    #: It is here because a filter selects it: it is unlinked when none does any more.
    by_filter = models.BooleanField(default=False)
    #: The item bears our record key and, where the organisation tracks by it, our category.
    is_marked = models.BooleanField(default=False)
    #: It had our category when it was last seen: taking that off unlinks, putting it on links.
    has_category = models.BooleanField(default=False)
    #: Of a meeting: the mailbox called it, its server says; null: there is no item, or none says.
    is_organizers = models.BooleanField(null=True)
    is_removed = models.BooleanField(default=False)  # the item left its folder
    #: A listing that ends without it is news: it was just made, or all is listed once more.
    is_unlisted = models.BooleanField(default=False)
    #: No filter selects the record any more: its last change still travels, then it is unlinked.
    is_leaving = models.BooleanField(default=False)
    is_undone = models.BooleanField(default=False)  # somebody wants the item taken back
    #: What is left of a deleted record, as `crm_recordchange` keeps it; null: it is there.
    deleted_record = models.JSONField(null=True)
    #: An item may have been made for it: it is looked for before another is.
    attempted_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)  # null: nothing is to be done
    attempts = models.PositiveIntegerField(default=0)  # in a row, that failed
    fault_code = models.CharField(max_length=100, blank=True)  # of the last attempt; '': none
    fault_text = models.TextField(blank=True)
    subject = models.TextField(blank=True)  # for its owner's eyes only; '': not known
    question = models.CharField(max_length=30, choices=Question, blank=True)  # '': none
    answer = models.BooleanField(null=True)  # null: not answered
    #: Of DUPLICATE_CONTACT: {"key", "likeness"} of the records that it may be, the likeliest first;
    #: `answer` False says that it is the chosen one.
    candidates = models.JSONField(default=list)
    chosen = models.UUIDField(null=True)  # null: none of them was chosen
    linked_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("link of a record and an item")
        verbose_name_plural = _("links of records and items")
        constraints = [
            models.UniqueConstraint("mailbox", "kind", "key", name="one_link_a_record"),
            models.UniqueConstraint(
                "mailbox", "item_id", condition=~Q(item_id=""), name="one_record_an_item"
            ),
        ]
        indexes = [
            models.Index("mailbox", "due_at", condition=~Q(due_at=None), name="links_due"),
            models.Index("kind", "key", name="links_of_a_record"),
            models.Index("mailbox", "uid", condition=~Q(uid=""), name="links_by_uid"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"  # the subject is for its owner's eyes only


class SeenAppointment(models.Model):
    """An appointment of a mailbox that is no record's: it may become one's when its UID is known.

    An invitation may come before the organizer's own copy has told us its UID.
    """

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="+", db_index=False)
    item_id = models.TextField()
    uid = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint("mailbox", "item_id", name="one_sight_an_item")]
        indexes = [models.Index("mailbox", "uid", name="sights_by_uid")]


class ItemProgress(models.Model):
    """How far the CRM's changes of one kind were carried into a mailbox, and how it began."""

    class First(models.TextChoices):
        """The first synchronization: nothing is written before it is known what would be."""

        NEW = "new", _("not yet looked at")
        ASKING = "asking", _("somebody has to agree to it")
        AGREED = "agreed", _("agreed to")
        DECLINED = "declined", _("declined")
        DONE = "done", _("begun")

    class Elsewhere(models.TextChoices):
        """What becomes of items that another organisation has, or had, in step (F214)."""

        UNDECIDED = "undecided", _("left alone until somebody decides")
        LEFT = "left", _("left alone")
        WANTED = "wanted", _("to be taken over")
        TAKEN = "taken", _("taken over")

    mailbox = models.ForeignKey(
        Mailbox, models.CASCADE, related_name="item_progress", db_index=False
    )
    kind = models.CharField(max_length=12, choices=KINDS)
    first = models.CharField(max_length=10, choices=First, default=First.NEW)
    #: What the first synchronization would do: numbers by what it is, and why it asks.
    plan = models.JSONField(default=dict)
    planned_at = models.DateTimeField(null=True)
    elsewhere = models.CharField(max_length=10, choices=Elsewhere, default=Elsewhere.UNDECIDED)
    answered_by = models.CharField(max_length=150, blank=True)  # '': nobody was asked
    #: In the CRM's changes, as `crm.changes` says it; '': everything has to be compared.
    position = models.TextField(blank=True)
    #: Of the filters that `position` holds for.
    filters = models.CharField(max_length=64, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint("mailbox", "kind", name="one_progress_a_kind")]


class ItemConflict(models.Model):
    """A value that both sides had changed: which one won, and what the other one was (3K)."""

    class Side(models.TextChoices):
        CRM = "crm", _("the CRM")
        EXCHANGE = "exchange", _("the mailbox")

    link = models.ForeignKey(ItemLink, models.CASCADE, related_name="conflicts")
    name = models.TextField()  # of the value, as `domain.merge` calls it
    base = models.JSONField(null=True)
    crm = models.JSONField(null=True)
    exchange = models.JSONField(null=True)
    winner = models.CharField(max_length=10, choices=Side)
    found_at = models.DateTimeField(db_default=Now(), editable=False)
    reversed_at = models.DateTimeField(null=True)
    reversed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        verbose_name = _("conflict")
        verbose_name_plural = _("conflicts")
        indexes = [models.Index("found_at", name="conflicts_by_time")]


class JournalEntry(models.Model):
    """One thing that a visit did to a record or an item, with what is needed to undo it."""

    class Action(models.TextChoices):
        CREATED_RECORD = "created_record", _("record created")
        CHANGED_RECORD = "changed_record", _("record changed")
        DELETED_RECORD = "deleted_record", _("record deleted")
        CREATED_ITEM = "created_item", _("item created")
        CHANGED_ITEM = "changed_item", _("item changed")
        DELETED_ITEM = "deleted_item", _("item deleted")
        LINKED = "linked", _("linked")
        UNLINKED = "unlinked", _("unlinked")

    mailbox = models.ForeignKey(Mailbox, models.CASCADE, related_name="journal", db_index=False)
    fence = models.BigIntegerField()  # of the visit: its number
    at = models.DateTimeField(db_default=Now(), editable=False)
    kind = models.CharField(max_length=12, choices=KINDS)
    key = models.UUIDField()
    item_id = models.TextField(blank=True)
    action = models.CharField(max_length=20, choices=Action)
    before = models.JSONField(null=True)  # the values that were changed, or of what was deleted
    after = models.JSONField(null=True)
    subject = models.TextField(blank=True)  # for its owner's eyes only
    #: Somebody wants it undone: the next visit does.
    undo_asked_at = models.DateTimeField(null=True)
    undone_at = models.DateTimeField(null=True)
    undo_text = models.TextField(blank=True)  # why it could not be undone; '': it was, or will be

    class Meta:
        verbose_name = _("entry of the journal")
        verbose_name_plural = _("journal")
        indexes = [
            models.Index("mailbox", "fence", name="journal_of_a_visit"),
            models.Index("at", name="journal_by_time"),
            models.Index(
                "mailbox",
                condition=~Q(undo_asked_at=None) & Q(undone_at=None),
                name="entries_to_undo",
            ),
        ]


class FieldSetting(models.Model):
    """What the organisation wants of one mapping: its direction, and who wins (F190, 3F, 3K)."""

    class Policy(models.TextChoices):
        """Who wins when both sides changed a value; the names are those of `domain.merge`."""

        LATER = "later", _("the later change")
        CRM = "crm", _("the CRM")
        EXCHANGE = "exchange", _("the mailbox")

    mapping = models.CharField(max_length=60, unique=True)  # as `domain.field_map` names it
    direction = models.CharField(max_length=12, blank=True)  # '': the default
    policy = models.CharField(max_length=10, choices=Policy, blank=True)  # '': the default

    class Meta:
        verbose_name = _("field mapping")
        verbose_name_plural = _("field mappings")

    def __str__(self) -> str:
        return self.mapping


class ChangeRouting(models.Model):
    """How far the sequence of the CRM's changes was followed to wake mailboxes; one row."""

    ONLY = 1
    position = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.CheckConstraint(name="one_routing", condition=Q(pk=1))]
