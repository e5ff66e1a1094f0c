"""Mail to the owners of server profiles on major events, by a server of the operator's own (F048).

One mail an alert, however often it repeats. A process that dies between the server's acceptance and
our note of it sends the mail again, under the same Message-ID.
"""

import smtplib

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert
from syncservice.mailboxes.models import Organisation

log = structlog.get_logger()


def unsent() -> list[int]:
    """Return the alerts whose profile's owner wants a mail and has not had it."""
    if not settings.ALERT_MAIL_URL:
        return []
    wanted = Alert.objects.filter(
        code=alerts.MAILBOXES_FAILING,
        ended_at=None,
        mailed_at=None,
        profile__send_alert_mail=True,
    )
    return list(wanted.exclude(profile__owner__email="").values_list("pk", flat=True))


@transaction.atomic
def send(alert_id: int) -> bool:
    """Send an alert's mail; False when another task does, or the server refuses for now."""
    alert = (
        Alert.objects.select_for_update(of=["self"], skip_locked=True)
        .select_related("profile__owner")
        .defer("profile__password", "profile__outgoing_password")
        .filter(pk=alert_id, mailed_at=None)
        .first()
    )
    if alert is None or alert.profile is None or alert.profile.owner is None:
        return False
    try:
        _letter(alert, alert.profile.name, alert.profile.owner.email).send()
    except (smtplib.SMTPException, OSError) as error:
        log.warning("alert_mail.not_sent", alert_id=alert_id, error=type(error).__name__)
        return False
    Alert.objects.filter(pk=alert_id).update(mailed_at=Now())
    log.info("alert_mail.sent", alert_id=alert_id)
    return True


def _letter(alert: Alert, profile: str, address: str) -> EmailMessage:
    entry = alert.entry
    domain = settings.ALERT_MAIL_FROM.rpartition("@")[2] or "localhost"
    return EmailMessage(
        subject=f"{profile}: {entry.meaning}",
        body=f"{entry.meaning}\n{alert.text}\n\n{entry.cause}\n{entry.remedy}\n\n"
        f"Since {alert.first_seen_at:%Y-%m-%d %H:%M} UTC. Nothing is lost: mail that waits on the "
        "server is fetched when it works again.\n",
        from_email=settings.ALERT_MAIL_FROM,
        to=[address],
        headers={
            "Message-ID": f"<alert.{alert.pk}.{Organisation.current().identity}@{domain}>",
            "Auto-Submitted": "auto-generated",
        },
    )
