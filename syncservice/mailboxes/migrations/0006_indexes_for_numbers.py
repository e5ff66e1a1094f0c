"""Indexes for look-ups by address and for the last visits of one mailbox, among millions."""

import django.db.models.deletion
import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailboxes", "0005_names_for_people"),
    ]

    operations = [
        migrations.AlterField(
            model_name="visitstatistics",
            name="mailbox",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="visits",
                to="mailboxes.mailbox",
            ),
        ),
        migrations.AddIndex(
            model_name="mailbox",
            index=models.Index(
                django.db.models.functions.text.Upper("email_address"), name="mailboxes_by_address"
            ),
        ),
        migrations.AddIndex(
            model_name="visitstatistics",
            index=models.Index(
                models.F("mailbox"), models.F("finished_at"), name="visits_of_a_mailbox"
            ),
        ),
    ]
