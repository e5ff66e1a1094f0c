from typing import Any

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class AlertsConfig(AppConfig):
    name = "syncservice.alerts"
    verbose_name = gettext_lazy("Alerts")

    def ready(self) -> None:
        from syncservice.mailboxes.signals import mailbox_taken_over

        mailbox_taken_over.connect(_tell_taken_over)


def _tell_taken_over(mailbox: Any, former: Any, **_: Any) -> None:
    from syncservice.alerts import alerts

    alerts.tell_taken_over(mailbox, former)
