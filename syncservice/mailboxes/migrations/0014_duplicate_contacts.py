"""Contacts that are like one of the CRM are asked about before a record is made of them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailboxes", "0013_who_decides"),
        ("crm", "0011_contacts_by_name"),
    ]

    operations = [
        migrations.AddField(
            model_name="itemlink",
            name="candidates",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="itemlink",
            name="chosen",
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name="organisation",
            name="checks_duplicate_contacts",
            field=models.BooleanField(
                default=True,
                verbose_name="ask before a contact is tracked that is like one of the CRM",
            ),
        ),
        migrations.AlterField(
            model_name="itemlink",
            name="question",
            field=models.CharField(
                blank=True,
                choices=[
                    ("scheduling_conflict", "it overlaps another appointment"),
                    ("mass_deletion", "it would be deleted with many others"),
                    ("duplicate_contact", "the CRM has contacts that are like it"),
                ],
                max_length=30,
            ),
        ),
    ]
