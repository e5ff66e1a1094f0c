"""Appointments, contacts and tasks: their links, their journal, and the lane `act`."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

#: Changes from here on are routed; a lane that was enabled before it could be visited begins.
_FILL = """
INSERT INTO mailboxes_changerouting (id, position)
VALUES (1, pg_snapshot_xmin(pg_current_snapshot())::text::bigint);
INSERT INTO mailboxes_schedule (mailbox_id, lane, profile_id, due_at, fence, crashes, recent_items,
  empty_visits, rest, reason, failures, fault_code, fault_text)
SELECT mailbox.id, 'act', profile_id, statement_timestamp(), 0, 0, 0, 0, interval '0',
       'first visit', 0, '', ''
FROM mailboxes_mailbox AS mailbox
JOIN mailboxes_emailserverprofile AS profile ON profile.id = mailbox.profile_id
JOIN mailboxes_direction AS direction ON direction.mailbox_id = mailbox.id
JOIN mailboxes_mailboxmapping AS mapping
  ON mapping.mailbox_id = mailbox.id AND mapping.ended_at IS NULL
JOIN crm_user AS owner ON owner.id = mapping.user_id AND owner.is_active
WHERE direction.kind = 'act' AND direction.is_enabled AND mailbox.is_active
  AND mailbox.act_method = 1 AND mailbox.approval = 1 AND mailbox.email_address <> ''
  AND profile.is_active AND profile.server_type = 0;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("mailboxes", "0011_outgoing_email"),
    ]

    operations = [
        migrations.CreateModel(
            name="ChangeRouting",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("position", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="FieldSetting",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("mapping", models.CharField(max_length=60, unique=True)),
                ("direction", models.CharField(blank=True, max_length=12)),
                (
                    "policy",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("later", "the later change"),
                            ("crm", "the CRM"),
                            ("exchange", "the mailbox"),
                        ],
                        max_length=10,
                    ),
                ),
            ],
            options={
                "verbose_name": "field mapping",
                "verbose_name_plural": "field mappings",
            },
        ),
        migrations.CreateModel(
            name="ItemConflict",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.TextField()),
                ("base", models.JSONField(null=True)),
                ("crm", models.JSONField(null=True)),
                ("exchange", models.JSONField(null=True)),
                (
                    "winner",
                    models.CharField(
                        choices=[("crm", "the CRM"), ("exchange", "the mailbox")], max_length=10
                    ),
                ),
                (
                    "found_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                ("reversed_at", models.DateTimeField(null=True)),
                ("reversed_by", models.CharField(blank=True, max_length=150)),
            ],
            options={
                "verbose_name": "conflict",
                "verbose_name_plural": "conflicts",
            },
        ),
        migrations.CreateModel(
            name="ItemLink",
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
                            ("appointment", "appointments"),
                            ("contact", "contacts"),
                            ("task", "tasks"),
                        ],
                        max_length=12,
                        verbose_name="kind",
                    ),
                ),
                ("key", models.UUIDField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("wanted", "the item is tracked and becomes a record"),
                            ("creating", "the record becomes an item"),
                            ("waiting", "the item comes with its organizer's invitation"),
                            ("linked", "both are kept in step"),
                            ("unlinked", "both stay, and go their own ways"),
                            ("deleted", "the item was deleted, and does not come back"),
                            ("refused", "it can't be kept in step"),
                        ],
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("item_id", models.TextField(blank=True)),
                ("uid", models.TextField(blank=True)),
                ("change_key", models.TextField(blank=True)),
                ("seen_key", models.TextField(blank=True)),
                ("base", models.JSONField(null=True)),
                ("by_filter", models.BooleanField(default=False)),
                ("is_marked", models.BooleanField(default=False)),
                ("has_category", models.BooleanField(default=False)),
                ("is_organizers", models.BooleanField(null=True)),
                ("is_removed", models.BooleanField(default=False)),
                ("is_unlisted", models.BooleanField(default=False)),
                ("is_leaving", models.BooleanField(default=False)),
                ("is_undone", models.BooleanField(default=False)),
                ("deleted_record", models.JSONField(null=True)),
                ("attempted_at", models.DateTimeField(null=True)),
                ("due_at", models.DateTimeField(null=True)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("fault_code", models.CharField(blank=True, max_length=100)),
                ("fault_text", models.TextField(blank=True)),
                ("subject", models.TextField(blank=True)),
                (
                    "question",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("scheduling_conflict", "it overlaps another appointment"),
                            ("mass_deletion", "it would be deleted with many others"),
                        ],
                        max_length=30,
                    ),
                ),
                ("answer", models.BooleanField(null=True)),
                (
                    "linked_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
            options={
                "verbose_name": "link of a record and an item",
                "verbose_name_plural": "links of records and items",
            },
        ),
        migrations.CreateModel(
            name="ItemProgress",
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
                            ("appointment", "appointments"),
                            ("contact", "contacts"),
                            ("task", "tasks"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "first",
                    models.CharField(
                        choices=[
                            ("new", "not yet looked at"),
                            ("asking", "somebody has to agree to it"),
                            ("agreed", "agreed to"),
                            ("declined", "declined"),
                            ("done", "begun"),
                        ],
                        default="new",
                        max_length=10,
                    ),
                ),
                ("plan", models.JSONField(default=dict)),
                ("planned_at", models.DateTimeField(null=True)),
                ("answered_by", models.CharField(blank=True, max_length=150)),
                ("position", models.TextField(blank=True)),
                ("filters", models.CharField(blank=True, max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name="JournalEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("fence", models.BigIntegerField()),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("appointment", "appointments"),
                            ("contact", "contacts"),
                            ("task", "tasks"),
                        ],
                        max_length=12,
                    ),
                ),
                ("key", models.UUIDField()),
                ("item_id", models.TextField(blank=True)),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("created_record", "record created"),
                            ("changed_record", "record changed"),
                            ("deleted_record", "record deleted"),
                            ("created_item", "item created"),
                            ("changed_item", "item changed"),
                            ("deleted_item", "item deleted"),
                            ("linked", "linked"),
                            ("unlinked", "unlinked"),
                        ],
                        max_length=20,
                    ),
                ),
                ("before", models.JSONField(null=True)),
                ("after", models.JSONField(null=True)),
                ("subject", models.TextField(blank=True)),
                ("undo_asked_at", models.DateTimeField(null=True)),
                ("undone_at", models.DateTimeField(null=True)),
                ("undo_text", models.TextField(blank=True)),
            ],
            options={
                "verbose_name": "entry of the journal",
                "verbose_name_plural": "journal",
            },
        ),
        migrations.CreateModel(
            name="SeenAppointment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("item_id", models.TextField()),
                ("uid", models.TextField()),
            ],
        ),
        migrations.AddField(
            model_name="organisation",
            name="asks_above_creations",
            field=models.PositiveIntegerField(
                default=500, verbose_name="ask before more than this are created at once"
            ),
        ),
        migrations.AddField(
            model_name="organisation",
            name="asks_above_deletions",
            field=models.PositiveIntegerField(
                default=10, verbose_name="ask before more than this are deleted at once"
            ),
        ),
        migrations.AddField(
            model_name="organisation",
            name="checks_scheduling_conflicts",
            field=models.BooleanField(
                default=True,
                verbose_name="ask before an appointment is tracked that overlaps another",
            ),
        ),
        migrations.AddField(
            model_name="organisation",
            name="ignores_copied_items",
            field=models.BooleanField(default=True, verbose_name="make no record of a copied item"),
        ),
        migrations.AddField(
            model_name="organisation",
            name="propagates_cancellations",
            field=models.BooleanField(
                default=False,
                verbose_name="cancel meetings in Exchange that are canceled in the CRM",
            ),
        ),
        migrations.AddField(
            model_name="organisation",
            name="synchronizes_attachments",
            field=models.BooleanField(
                default=False, verbose_name="synchronize attachments of appointments"
            ),
        ),
        migrations.AddField(
            model_name="organisation",
            name="three_contact_addresses",
            field=models.BooleanField(
                default=False,
                help_text="Business, home and other; else the business address alone.",
                verbose_name="synchronize three addresses of a contact",
            ),
        ),
        migrations.AddField(
            model_name="organisation",
            name="tracks_from_non_organizer",
            field=models.BooleanField(default=True, verbose_name="let attendees track a meeting"),
        ),
        migrations.AddField(
            model_name="schedule",
            name="push_due_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="visitstatistics",
            name="written",
            field=models.PositiveIntegerField(db_default=0),
        ),
        migrations.AddIndex(
            model_name="schedule",
            index=models.Index(
                models.F("profile"),
                models.F("push_due_at"),
                condition=models.Q(("push_due_at", None), _negated=True),
                name="pushes_by_due_at",
            ),
        ),
        migrations.AddConstraint(
            model_name="changerouting",
            constraint=models.CheckConstraint(condition=models.Q(("pk", 1)), name="one_routing"),
        ),
        migrations.AddField(
            model_name="itemlink",
            name="mailbox",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="item_links",
                to="mailboxes.mailbox",
            ),
        ),
        migrations.AddField(
            model_name="itemconflict",
            name="link",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="conflicts",
                to="mailboxes.itemlink",
            ),
        ),
        migrations.AddField(
            model_name="itemprogress",
            name="mailbox",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="item_progress",
                to="mailboxes.mailbox",
            ),
        ),
        migrations.AddField(
            model_name="journalentry",
            name="mailbox",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="journal",
                to="mailboxes.mailbox",
            ),
        ),
        migrations.AddField(
            model_name="seenappointment",
            name="mailbox",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="mailboxes.mailbox",
            ),
        ),
        migrations.AddIndex(
            model_name="itemlink",
            index=models.Index(
                models.F("mailbox"),
                models.F("due_at"),
                condition=models.Q(("due_at", None), _negated=True),
                name="links_due",
            ),
        ),
        migrations.AddIndex(
            model_name="itemlink",
            index=models.Index(models.F("kind"), models.F("key"), name="links_of_a_record"),
        ),
        migrations.AddIndex(
            model_name="itemlink",
            index=models.Index(
                models.F("mailbox"),
                models.F("uid"),
                condition=models.Q(("uid", ""), _negated=True),
                name="links_by_uid",
            ),
        ),
        migrations.AddConstraint(
            model_name="itemlink",
            constraint=models.UniqueConstraint(
                models.F("mailbox"), models.F("kind"), models.F("key"), name="one_link_a_record"
            ),
        ),
        migrations.AddConstraint(
            model_name="itemlink",
            constraint=models.UniqueConstraint(
                models.F("mailbox"),
                models.F("item_id"),
                condition=models.Q(("item_id", ""), _negated=True),
                name="one_record_an_item",
            ),
        ),
        migrations.AddIndex(
            model_name="itemconflict",
            index=models.Index(models.F("found_at"), name="conflicts_by_time"),
        ),
        migrations.AddConstraint(
            model_name="itemprogress",
            constraint=models.UniqueConstraint(
                models.F("mailbox"), models.F("kind"), name="one_progress_a_kind"
            ),
        ),
        migrations.AddIndex(
            model_name="journalentry",
            index=models.Index(models.F("mailbox"), models.F("fence"), name="journal_of_a_visit"),
        ),
        migrations.AddIndex(
            model_name="journalentry",
            index=models.Index(models.F("at"), name="journal_by_time"),
        ),
        migrations.AddIndex(
            model_name="journalentry",
            index=models.Index(
                models.F("mailbox"),
                condition=models.Q(
                    models.Q(("undo_asked_at", None), _negated=True), ("undone_at", None)
                ),
                name="entries_to_undo",
            ),
        ),
        migrations.AddIndex(
            model_name="seenappointment",
            index=models.Index(models.F("mailbox"), models.F("uid"), name="sights_by_uid"),
        ),
        migrations.AddConstraint(
            model_name="seenappointment",
            constraint=models.UniqueConstraint(
                models.F("mailbox"), models.F("item_id"), name="one_sight_an_item"
            ),
        ),
        migrations.RunSQL(_FILL, migrations.RunSQL.noop),
    ]
