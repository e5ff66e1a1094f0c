"""What activities have in common: what they are about, and people with a part in them."""

from django.db import models
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy as _

from syncservice.crm.models.people import Account, Contact, Lead, Queue, User

#: The relations of `Regarding`.
REGARDING = ("regarding_account", "regarding_contact", "regarding_lead")


class Regarding(models.Model):
    """Which record something is about; at most one is set."""

    regarding_account = models.ForeignKey(
        Account, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    regarding_contact = models.ForeignKey(
        Contact, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    regarding_lead = models.ForeignKey(
        Lead, models.SET_NULL, null=True, blank=True, related_name="+"
    )

    REGARDING_IDS = tuple(f"{name}_id" for name in REGARDING)

    class Meta:
        abstract = True

    @property
    def regarding(self) -> Account | Contact | Lead | None:
        return self.regarding_account or self.regarding_contact or self.regarding_lead


class Priority(models.IntegerChoices):
    LOW = 0, _("low")
    NORMAL = 1, _("normal")
    HIGH = 2, _("high")


class Party(models.Model):
    """Somebody's part in an activity (2J).

    At most one of the records is set; none means that the address is not resolved (yet).
    """

    address = models.TextField(blank=True)  # '': none that is usable
    name = models.TextField(blank=True)
    user = models.ForeignKey(User, models.PROTECT, null=True, blank=True)
    queue = models.ForeignKey(Queue, models.PROTECT, null=True, blank=True)
    account = models.ForeignKey(Account, models.PROTECT, null=True, blank=True)
    contact = models.ForeignKey(Contact, models.PROTECT, null=True, blank=True)
    lead = models.ForeignKey(Lead, models.PROTECT, null=True, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


def one_record_at_most(name: str) -> models.CheckConstraint:
    return models.CheckConstraint(
        name=name,
        condition=models.Q(
            models.lookups.LessThanOrEqual(
                models.Func(
                    "user", "queue", "account", "contact", "lead",
                    function="num_nonnulls",
                    output_field=models.IntegerField(),
                ),
                1,
            )
        ),
    )  # fmt: skip


def unresolved(name: str) -> models.Index:
    """Index the addresses that stand for nobody yet, as `iexact` compares."""
    nobody = models.Q(user=None, queue=None, account=None, contact=None, lead=None)
    return models.Index(Upper("address"), name=name, condition=nobody)
