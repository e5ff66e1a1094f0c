"""Indexes for a claim that looks for the oldest lane of each profile.

Apart from 0002, whose UPDATE leaves trigger events that PostgreSQL won't build an index over.
"""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("mailboxes", "0002_lanes_and_server_health")]

    operations = [
        migrations.RemoveIndex("schedule", "schedule_by_due_at"),
        migrations.AddIndex(
            "schedule",
            models.Index("profile", "due_at", name="schedule_by_due_at"),
        ),
        migrations.AddIndex(
            "schedule",
            models.Index("profile", "due_at", condition=~Q(claimed_at=None), name="claims"),
        ),
    ]
