"""What becomes of items that another organisation had in step, somebody decides."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailboxes", "0014_duplicate_contacts"),
    ]

    operations = [
        migrations.AddField(
            model_name="itemprogress",
            name="elsewhere",
            field=models.CharField(
                choices=[
                    ("undecided", "left alone until somebody decides"),
                    ("left", "left alone"),
                    ("wanted", "to be taken over"),
                    ("taken", "taken over"),
                ],
                default="undecided",
                max_length=10,
            ),
        ),
    ]
