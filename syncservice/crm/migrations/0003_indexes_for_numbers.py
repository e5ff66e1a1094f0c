"""Users are looked up by their address, whatever its case; emails are listed by time."""

import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("crm", "0002_names_for_people"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="email",
            index=models.Index(models.F("received_at"), models.F("id"), name="email_by_time"),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(
                django.db.models.functions.text.Upper("email"), name="users_by_address"
            ),
        ),
    ]
