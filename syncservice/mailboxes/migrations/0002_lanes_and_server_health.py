"""Each profile's server gets a health of its own, and each lane the counters of a claim."""

import datetime

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Now

_ALLOWED_CONNECTIONS = """
CREATE FUNCTION mailboxes_allowed_connections(
  maximum integer, throttled_to integer, throttled_at timestamptz, failures integer
) RETURNS integer LANGUAGE sql STABLE AS $$
  SELECT CASE
    WHEN failures > 0 THEN 1  -- one asks whether the server is back
    ELSE least(maximum, coalesce(  -- each quiet minute gives one back
      throttled_to + floor(extract(epoch FROM statement_timestamp() - throttled_at) / 60)::integer,
      maximum))
  END
$$;
COMMENT ON FUNCTION mailboxes_allowed_connections IS
  'Connections that a server bears now; the claim of due lanes and the connection slots ask it.';
"""

_FILL = """
INSERT INTO mailboxes_serverhealth (profile_id) SELECT id FROM mailboxes_emailserverprofile;
UPDATE mailboxes_schedule AS schedule SET profile_id = mailbox.profile_id
FROM mailboxes_mailbox AS mailbox WHERE mailbox.id = schedule.mailbox_id;
"""


class Migration(migrations.Migration):
    dependencies = [("mailboxes", "0001_initial")]

    operations = [
        migrations.AddField(
            "emailserverprofile",
            "maximum_requests_per_second",
            models.PositiveIntegerField(
                default=0,
                help_text="Of all workers together; 0 is no limit.",
                validators=[django.core.validators.MaxValueValidator(10000)],
                verbose_name="maximum requests per second",
            ),
        ),
        migrations.CreateModel(
            "ServerHealth",
            [
                (
                    "profile",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="health",
                        serialize=False,
                        to="mailboxes.emailserverprofile",
                    ),
                ),
                ("not_before", models.DateTimeField(db_default=Now())),
                ("failures", models.PositiveIntegerField(db_default=0)),
                ("failed_at", models.DateTimeField(null=True)),
                ("fault_code", models.CharField(db_default="", max_length=100)),
                ("fault_text", models.TextField(db_default="")),
                ("throttled_to", models.PositiveIntegerField(null=True)),
                ("throttled_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddField(
            "schedule",
            "profile",
            models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="mailboxes.emailserverprofile",
            ),
        ),
        migrations.AddField("schedule", "started_at", models.DateTimeField(null=True)),
        migrations.AddField("schedule", "crashes", models.PositiveIntegerField(default=0)),
        migrations.AddField("schedule", "parked_at", models.DateTimeField(null=True)),
        migrations.AddField("schedule", "recent_items", models.PositiveIntegerField(default=0)),
        migrations.AddField(
            "visitstatistics",
            "rest",
            models.DurationField(default=datetime.timedelta(0)),
            preserve_default=False,
        ),
        migrations.AddField(
            "visitstatistics", "reason", models.TextField(default=""), preserve_default=False
        ),
        migrations.AlterField(
            "schedule",
            "lane",
            models.CharField(
                choices=[
                    ("incoming", "incoming email"),
                    ("act", "appointments, contacts and tasks"),
                ],
                max_length=10,
            ),
        ),
        migrations.AlterField(
            "visitstatistics",
            "lane",
            models.CharField(
                choices=[
                    ("incoming", "incoming email"),
                    ("act", "appointments, contacts and tasks"),
                ],
                max_length=10,
            ),
        ),
        migrations.RunSQL(_FILL, migrations.RunSQL.noop),
        migrations.RunSQL(_ALLOWED_CONNECTIONS, "DROP FUNCTION mailboxes_allowed_connections"),
    ]
