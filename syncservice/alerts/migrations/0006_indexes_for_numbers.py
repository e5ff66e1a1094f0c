"""Indexes for what still fails and for what is over, among a million rows."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("alerts", "0005_names_for_people"),
        ("crm", "0003_indexes_for_numbers"),
        ("mailboxes", "0006_indexes_for_numbers"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="itemfailure",
            name="failures_to_retry",
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(models.F("last_seen_at"), name="alerts_by_time"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                models.F("ended_at"),
                condition=models.Q(("ended_at", None), _negated=True),
                name="alerts_over",
            ),
        ),
        migrations.AddIndex(
            model_name="itemfailure",
            index=models.Index(
                models.F("mailbox"),
                models.F("state"),
                models.F("last_seen_at"),
                condition=models.Q(("state__in", ["resolved", "dismissed"]), _negated=True),
                name="open_failures",
            ),
        ),
        migrations.AddIndex(
            model_name="itemfailure",
            index=models.Index(models.F("last_seen_at"), name="failures_by_time"),
        ),
    ]
