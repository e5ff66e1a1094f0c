from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_save


class CrmConfig(AppConfig):
    name = "syncservice.crm"
    verbose_name = "CRM"

    def ready(self) -> None:
        from syncservice.crm.models import User

        post_save.connect(_begin_with_filters, sender=User)


def _begin_with_filters(instance: Any, created: bool, raw: bool, **_: Any) -> None:
    """A new user has the filters of the default templates (F182)."""
    from syncservice.crm import templates

    if created and not raw:  # a fixture brings its own
        templates.instantiate(instance)
