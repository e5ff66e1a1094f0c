import django.db.models.deletion
from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [
        ("alerts", "0002_initial"),
        ("mailboxes", "0003_schedule_indexes"),
    ]

    operations = [
        migrations.AddField("itemfailure", "size", models.PositiveBigIntegerField(default=0)),
        migrations.CreateModel(
            "Alert",
            [
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("code", models.CharField(max_length=100)),
                ("text", models.TextField()),
                ("raised_at", models.DateTimeField(db_default=Now(), editable=False)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "mailbox",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alerts",
                        to="mailboxes.mailbox",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        models.F("mailbox"),
                        models.F("code"),
                        condition=models.Q(ended_at=None),
                        name="one_alert_a_trouble",
                    )
                ]
            },
        ),
    ]
