"""Which records of a user go to Exchange (F180-F189)."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from syncservice.crm.models.people import User
from syncservice.domain.filters import BadCriteriaError, Entity, parse


class SyncFilter(models.Model):
    """Criteria for records of one entity; what any of a user's filters selects, goes (F184)."""

    class Kind(models.TextChoices):
        USER = "user", _("of a user")  # F180
        SYSTEM = "system", _("of everybody")  # F181
        TEMPLATE = "template", _("template")  # F182: of what a new user gets; selects nothing

    ENTITIES = [
        (Entity.APPOINTMENT.value, _("appointments")),
        (Entity.SERVICE_ACTIVITY.value, _("service activities")),
        (Entity.CONTACT.value, _("contacts")),
        (Entity.TASK.value, _("tasks")),
        (Entity.PHONE_CALL.value, _("phone calls")),
        (Entity.LETTER.value, _("letters")),
        (Entity.FAX.value, _("faxes")),
    ]

    kind = models.CharField(_("kind"), max_length=10, choices=Kind, default=Kind.USER)
    entity = models.CharField(_("records"), max_length=20, choices=ENTITIES)
    name = models.CharField(_("name"), max_length=200)
    criteria = models.JSONField(_("criteria"))  # as `domain.filters` reads them
    user = models.ForeignKey(
        User, models.CASCADE, null=True, blank=True, related_name="sync_filters"
    )
    is_active = models.BooleanField(_("active"), default=True)
    #: Of templates: new users get it.
    is_default = models.BooleanField(_("for new users"), default=False)
    #: What it was made of; null: of nothing, or of a template that is gone.
    template = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )

    class Meta:
        verbose_name = _("synchronization filter")
        verbose_name_plural = _("synchronization filters")
        permissions = [("manage_sync_filters", "Can manage the synchronization filters of others")]
        constraints = [
            models.CheckConstraint(
                name="user_filter_has_a_user",
                condition=models.Q(kind="user", user__isnull=False)
                | (~models.Q(kind="user") & models.Q(user=None)),
                violation_error_message=_("A filter of a user needs a user, others have none."),
            ),
            models.UniqueConstraint(
                "entity",
                condition=models.Q(kind="template", is_default=True),
                name="one_default_template_an_entity",
                violation_error_message=_("There is a template for new users already."),
            ),
            models.CheckConstraint(
                name="only_templates_are_default",
                condition=models.Q(kind="template") | models.Q(is_default=False),
                violation_error_message=_("Only a template can be for new users."),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        try:
            parse(Entity(self.entity), self.criteria)
        except BadCriteriaError as error:
            raise ValidationError({"criteria": error.problems}) from error
        except ValueError:
            pass  # not an entity: its own field says so

    def save(self, **options: Any) -> None:
        parse(Entity(self.entity), self.criteria)  # nobody stores what can't be applied
        super().save(**options)
