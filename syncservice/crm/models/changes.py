"""What changed of the records that are kept in step with Exchange."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class TransactionId(models.Field):  # type: ignore[type-arg]
    """A transaction's number, which is never used twice (PostgreSQL's xid8)."""

    def db_type(self, connection: object) -> str:
        return "xid8"


class RecordChange(models.Model):
    """A record came, changed or went; triggers write it, `crm.changes` reads it.

    The transaction's number says when a change can be seen: numbers of a sequence are given out
    in one order and committed in another.
    """

    class Kind(models.TextChoices):
        APPOINTMENT = "appointment", _("appointment")
        CONTACT = "contact", _("contact")
        TASK = "task", _("task")
        #: No change: those up to this transaction are gone from here.
        FORGOTTEN = "forgotten", _("forgotten")

    id = models.BigAutoField(primary_key=True)
    kind = models.TextField(choices=Kind)
    key = models.UUIDField(null=True)  # null: of no record
    is_deletion = models.BooleanField(db_default=False)
    owner_id = models.BigIntegerField(null=True)
    #: Of a deleted record, what rules ask for afterwards; see `crm.changes.Change`.
    facts = models.JSONField(db_default=models.Value({}, models.JSONField()))
    xid = TransactionId(
        db_default=models.Func(function="pg_current_xact_id", output_field=TransactionId())
    )
    noted_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index("xid", "id", name="changes_by_transaction")]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"
