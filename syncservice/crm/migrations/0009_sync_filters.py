"""Filters, the templates of a new organisation, and copies for the users that are there."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from syncservice.crm import templates


def _begin(apps, schema_editor):
    model = apps.get_model("crm", "SyncFilter")
    made = model.objects.bulk_create(templates.defaults(model))
    users = apps.get_model("crm", "User").objects.values_list("pk", flat=True)
    model.objects.bulk_create(
        (
            model(
                kind="user",
                user_id=user,
                entity=template.entity,
                name=template.name,
                criteria=template.criteria,
                template=template,
            )
            for user in users.iterator()
            for template in made
        ),
        batch_size=1000,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("crm", "0008_record_changes"),
    ]

    operations = [
        migrations.CreateModel(
            name="SyncFilter",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("user", "of a user"),
                            ("system", "of everybody"),
                            ("template", "template"),
                        ],
                        default="user",
                        max_length=10,
                        verbose_name="kind",
                    ),
                ),
                (
                    "entity",
                    models.CharField(
                        choices=[
                            ("appointment", "appointments"),
                            ("service_activity", "service activities"),
                            ("contact", "contacts"),
                            ("task", "tasks"),
                            ("phone_call", "phone calls"),
                            ("letter", "letters"),
                            ("fax", "faxes"),
                        ],
                        max_length=20,
                        verbose_name="records",
                    ),
                ),
                ("name", models.CharField(max_length=200, verbose_name="name")),
                ("criteria", models.JSONField(verbose_name="criteria")),
                ("is_active", models.BooleanField(default=True, verbose_name="active")),
                ("is_default", models.BooleanField(default=False, verbose_name="for new users")),
                (
                    "template",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="crm.syncfilter",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sync_filters",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "synchronization filter",
                "verbose_name_plural": "synchronization filters",
                "permissions": [
                    ("manage_sync_filters", "Can manage the synchronization filters of others")
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "user"), ("user__isnull", False)),
                            models.Q(models.Q(("kind", "user"), _negated=True), ("user", None)),
                            _connector="OR",
                        ),
                        name="user_filter_has_a_user",
                        violation_error_message="A filter of a user needs a user, others have none.",
                    ),
                    models.UniqueConstraint(
                        models.F("entity"),
                        condition=models.Q(("is_default", True), ("kind", "template")),
                        name="one_default_template_an_entity",
                        violation_error_message="There is a template for new users already.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("kind", "template"), ("is_default", False), _connector="OR"
                        ),
                        name="only_templates_are_default",
                        violation_error_message="Only a template can be for new users.",
                    ),
                ],
            },
        ),
        migrations.RunPython(_begin, migrations.RunPython.noop),
    ]
