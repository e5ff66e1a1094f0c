"""Tasks, phone calls, letters and faxes: all are tasks in Exchange (F204)."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from syncservice.crm.ids import activity_id
from syncservice.crm.models.activity import Priority, Regarding
from syncservice.crm.models.people import User
from syncservice.domain.activity_states import TASK_STATUSES
from syncservice.domain.field_map import RecordType


class Task(Regarding):
    """Something that is to be done."""

    class Kind(models.TextChoices):
        TASK = "task", _("task")
        PHONE_CALL = "phone_call", _("phone call")
        LETTER = "letter", _("letter")
        FAX = "fax", _("fax")

    class State(models.IntegerChoices):
        OPEN = 0, _("open")
        COMPLETED = 1, _("completed")
        CANCELED = 2, _("canceled")

    id = models.UUIDField(primary_key=True, default=activity_id, editable=False)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind, default=Kind.TASK)
    subject = models.CharField(_("subject"), max_length=255, blank=True)
    description = models.TextField(_("description"), blank=True)
    starts_at = models.DateTimeField(_("start"), null=True, blank=True)
    due_at = models.DateTimeField(_("due"), null=True, blank=True)
    actual_start = models.DateTimeField(_("actual start"), null=True, blank=True)
    actual_end = models.DateTimeField(_("actual end"), null=True, blank=True)
    #: Null: nobody said; it follows from the state then (3J).
    percent_complete = models.PositiveSmallIntegerField(
        _("percent complete"), null=True, blank=True
    )
    priority = models.SmallIntegerField(_("priority"), choices=Priority, default=Priority.NORMAL)
    #: A code of its kind, see `STATUSES`.
    status = models.SmallIntegerField(_("status"))
    owner = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    is_recurring = models.BooleanField(_("recurring"), default=False)  # never in Exchange (F193)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    changed_at = models.DateTimeField(db_default=Now(), editable=False)  # by a trigger

    class Meta:
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="task", status__in=(2, 3, 4, 5, 6, 7))
                | models.Q(kind="phone_call", status__in=(1, 2, 3, 4))
                | models.Q(kind__in=("letter", "fax"), status__in=(1, 2, 3, 4, 5)),
                name="task_has_status_of_its_kind",
                violation_error_message=_("Choose a status of its kind."),
            ),
            models.CheckConstraint(
                condition=models.Q(percent_complete=None) | models.Q(percent_complete__lte=100),
                name="task_is_complete_at_100",
                violation_error_message=_("Percent complete is 100 at most."),
            ),
        ]
        indexes = [
            models.Index("owner", "status", name="tasks_of_an_owner"),
            models.Index("due_at", name="tasks_by_due_date"),
        ]

    def __str__(self) -> str:
        return self.subject

    @property
    def state(self) -> State:
        """The state that the status belongs to."""
        return self.State[TASK_STATUSES[RecordType(self.kind)][self.status].state.name]


#: What the codes of each kind say to people; `domain.activity_states` has what they mean.
STATUSES = {
    Task.Kind.TASK: {
        2: _("not started"),
        3: _("in progress"),
        4: _("waiting for someone else"),
        7: _("deferred"),
        5: _("completed"),
        6: _("canceled"),
    },
    Task.Kind.PHONE_CALL: {
        1: _("open"),
        2: _("made"),
        4: _("received"),
        3: _("canceled"),
    },
    Task.Kind.LETTER: {
        1: _("open"),
        2: _("draft"),
        3: _("received"),
        4: _("sent"),
        5: _("canceled"),
    },
    Task.Kind.FAX: {
        1: _("open"),
        2: _("completed"),
        3: _("sent"),
        4: _("received"),
        5: _("canceled"),
    },
}
