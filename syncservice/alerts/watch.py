"""Watches over servers: what their owners should know before they ask.

Most mailboxes of a profile failing is news (F048), and so is a server that will end EWS.
"""

from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert, Severity
from syncservice.mailboxes import rules
from syncservice.mailboxes.models import EmailServerProfile

# A mailbox fails when its last visit did, within the hour; when a fault switched it off within the
# hour; or when it is due and its server is being left alone.
_FAILING = """
SELECT lane.profile_id, count(*) AS mailboxes,
       count(*) FILTER (WHERE
         lane.fault_code <> '' AND lane.visited_at > statement_timestamp() - interval '1 hour'
         OR direction.disabled_at > statement_timestamp() - interval '1 hour'
         OR health.failures > 0 AND lane.due_at <= statement_timestamp()) AS failing
FROM mailboxes_schedule AS lane
JOIN mailboxes_serverhealth AS health ON health.profile_id = lane.profile_id
LEFT JOIN mailboxes_direction AS direction
  ON direction.mailbox_id = lane.mailbox_id AND direction.kind = lane.lane
 AND direction.disabled_code <> ''
WHERE lane.due_at IS NOT NULL OR direction.disabled_at IS NOT NULL
GROUP BY lane.profile_id
"""


#: Whoever has dismissed a warning is reminded after so long.
REMINDER = timedelta(days=30)


@transaction.atomic
def warn_of_exchange_online() -> None:
    """Warn, once and again every month, of profiles whose server will end EWS."""
    told = Alert.objects.filter(code=alerts.EXCHANGE_ONLINE)
    lately = told.filter(Q(ended_at=None) | Q(last_seen_at__gt=Now() - REMINDER))
    active = EmailServerProfile.objects.filter(is_active=True)
    others = active.exclude(pk__in=lately.values("profile"))
    for profile in others.defer("password", "outgoing_password"):
        if rules.is_exchange_online(profile):
            alerts.raise_for_profile(profile, Severity.WARNING, alerts.EXCHANGE_ONLINE)


@transaction.atomic
def watch_profiles() -> None:
    """Raise an alert for each profile more than half of whose mailboxes fail, and end it after."""
    with connection.cursor() as cursor:
        cursor.execute(_FAILING)
        counted = {profile: (mailboxes, failing) for profile, mailboxes, failing in cursor}
    failing = {profile for profile, (all_, bad) in counted.items() if bad * 2 > all_}
    for profile in EmailServerProfile.objects.filter(pk__in=failing).defer(
        "password", "outgoing_password"
    ):
        all_, bad = counted[profile.pk]
        text = f"{bad} of {all_} mailboxes failed within an hour"
        alerts.raise_for_profile(profile, Severity.ERROR, alerts.MAILBOXES_FAILING, text)
    told = Alert.objects.filter(code=alerts.MAILBOXES_FAILING, ended_at=None)
    told.exclude(profile__in=failing).update(ended_at=Now())
