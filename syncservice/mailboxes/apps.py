from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_save
from django.utils.translation import gettext_lazy


class MailboxesConfig(AppConfig):
    name = "syncservice.mailboxes"
    verbose_name = gettext_lazy("Mailboxes")

    def ready(self) -> None:
        from syncservice.crm.models import Queue, User

        for owners in (User, Queue):
            post_save.connect(_follow_owner, sender=owners)


def _follow_owner(instance: Any, created: bool, raw: bool, **_: Any) -> None:
    """Every user and queue has a mailbox, which follows its address (F060, F061)."""
    from syncservice.mailboxes import administration

    if not raw:  # a fixture brings its own
        administration.owner_saved(instance, None if created else instance.stored_address)
        instance.stored_address = administration.address_of(instance)
