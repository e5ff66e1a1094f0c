"""Email that is written in the CRM has its way out, and SMTP servers a health of their own."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Now

#: Of schedule rows of a lane `outgoing`; `domain.sending` tells of places in the line.
_DUE_AT = """
CREATE FUNCTION mailboxes_outgoing_due_at(mailbox bigint, is_served boolean)
RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT least(coalesce(
    (SELECT CASE WHEN is_served THEN statement_timestamp() - (due_at - turn_at) ELSE turn_at END
     FROM mailboxes_outgoingemail AS mail
     WHERE mail.mailbox_id = mailbox AND due_at <= statement_timestamp()
     ORDER BY turn_at LIMIT 1),
    (SELECT min(due_at) FROM mailboxes_outgoingemail AS mail
     WHERE mail.mailbox_id = mailbox AND due_at IS NOT NULL)),
    (SELECT min(copy_due_at) FROM mailboxes_outgoingemail AS mail
     WHERE mail.mailbox_id = mailbox AND copy_due_at IS NOT NULL))
$$;
COMMENT ON FUNCTION mailboxes_outgoing_due_at IS
  'When a mailbox has email to send, or copies to look at; one that is served goes to the end of the line.';
"""

#: Of each profile whose server may be asked now: who sends, and how many more may begin to.
_ROOM = """
CREATE VIEW mailboxes_sending_room AS
SELECT profile.id AS profile_id, allowed.connections, flight.sending,
       -- Accounts of the mailboxes' own share no connections; nor is a sick server flooded.
       CASE WHEN health.failures = 0 AND 0 = CASE WHEN profile.same_settings_for_outgoing
                 THEN profile.credentials ELSE profile.outgoing_credentials END
            THEN 2147483647 ELSE allowed.connections - flight.conversations END AS room
FROM mailboxes_serverhealth AS health
JOIN mailboxes_emailserverprofile AS profile ON profile.id = health.profile_id
CROSS JOIN LATERAL (
  SELECT mailboxes_allowed_connections(
    profile.maximum_concurrent_connections, health.throttled_to, health.throttled_at,
    health.failures) AS connections
) AS allowed
CROSS JOIN LATERAL (
  SELECT count(*) AS conversations, count(*) FILTER (WHERE lane = 'outgoing') AS sending
  FROM (  -- in flight, counted no further than it matters
    SELECT lane FROM mailboxes_schedule
    WHERE profile_id = profile.id AND claimed_at IS NOT NULL AND due_at > statement_timestamp()
      -- Exchange is one server both ways; other profiles have an SMTP server besides.
      AND (lane = 'outgoing' OR profile.server_type = 0)
    ORDER BY due_at LIMIT profile.maximum_concurrent_connections
  ) AS claimed
) AS flight
WHERE health.server = CASE WHEN profile.server_type = 0 THEN 'incoming' ELSE 'outgoing' END
  AND health.not_before <= statement_timestamp();
COMMENT ON VIEW mailboxes_sending_room IS
  'Profiles whose server may be asked to take email: connections it bears, and room for more.';
"""

#: What is sent is sent, whatever our code thinks (DESIGN invariant 9).
_SENT_ONCE = """
CREATE FUNCTION crm_email_is_sent_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'email % was sent and can''t be sent again', OLD.id
    USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER email_is_sent_once BEFORE UPDATE OF status ON crm_email
FOR EACH ROW WHEN (OLD.direction = 1 AND OLD.status = 3 AND NEW.status <> 3)
EXECUTE FUNCTION crm_email_is_sent_once();
"""

_FILL = """
INSERT INTO mailboxes_serverhealth (profile_id, server)
SELECT id, 'incoming' FROM mailboxes_emailserverprofile
UNION ALL SELECT id, 'outgoing' FROM mailboxes_emailserverprofile WHERE server_type <> 0;
INSERT INTO mailboxes_schedule (mailbox_id, lane, profile_id, fence, crashes, recent_items,
  empty_visits, rest, reason, failures, fault_code, fault_text)
SELECT mailbox.id, 'outgoing', profile_id, 0, 0, 0, 0, interval '0', 'nothing to send', 0, '', ''
FROM mailboxes_mailbox AS mailbox
JOIN mailboxes_direction AS direction ON direction.mailbox_id = mailbox.id
WHERE direction.kind = 'outgoing' AND (direction.is_enabled OR direction.is_probed);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("crm", "0005_outgoing_email"),
        ("mailboxes", "0010_refused_deletions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="OutgoingEmail",
            fields=[
                (
                    "email",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="outgoing",
                        serialize=False,
                        to="crm.email",
                    ),
                ),
                (
                    "priority",
                    models.SmallIntegerField(
                        choices=[(0, "low"), (1, "normal"), (2, "high")],
                        default=1,
                        verbose_name="priority",
                    ),
                ),
                (
                    "send_after",
                    models.DateTimeField(blank=True, null=True, verbose_name="send later"),
                ),
                (
                    "asks_read_receipt",
                    models.BooleanField(default=False, verbose_name="ask for a read receipt"),
                ),
                (
                    "asks_delivery_receipt",
                    models.BooleanField(default=False, verbose_name="ask for a delivery receipt"),
                ),
                ("submitted_at", models.DateTimeField(null=True)),
                ("attempts", models.PositiveIntegerField(default=0, verbose_name="attempts")),
                ("due_at", models.DateTimeField(null=True)),
                ("turn_at", models.DateTimeField(null=True)),
                ("handed_over_at", models.DateTimeField(null=True)),
                (
                    "accepted_paths",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), blank=True, default=list, size=None
                    ),
                ),
                ("refused_paths", models.JSONField(blank=True, default=dict)),
                ("copy_due_at", models.DateTimeField(null=True)),
                ("copy_attempts", models.PositiveIntegerField(default=0)),
                ("sent_in_bulk_at", models.DateTimeField(null=True)),
                ("fault_code", models.CharField(blank=True, max_length=100)),
                ("fault_text", models.TextField(blank=True)),
            ],
            options={
                "verbose_name": "outgoing email",
                "verbose_name_plural": "outgoing emails",
            },
        ),
        migrations.AlterModelOptions(
            name="mailbox",
            options={
                "permissions": [
                    ("approve_address", "Can approve or reject the addresses of mailboxes"),
                    ("send_as_anyone", "Can send email in the name of every user and queue"),
                ],
                "verbose_name": "mailbox",
                "verbose_name_plural": "mailboxes",
            },
        ),
        migrations.RemoveIndex(
            model_name="schedule",
            name="schedule_by_due_at",
        ),
        migrations.AddField(
            model_name="emailserverprofile",
            name="keeps_sent_copy",
            field=models.BooleanField(
                default=True, verbose_name="keep a copy of sent email in Sent Items"
            ),
        ),
        migrations.AddField(
            model_name="emailserverprofile",
            name="unclear_sending",
            field=models.SmallIntegerField(
                choices=[
                    (0, "hold it for a person to decide"),
                    (1, "send it again; it may arrive twice"),
                    (2, "take it as sent; it may not have arrived"),
                ],
                default=0,
                verbose_name="when nobody can tell whether an email was sent",
            ),
        ),
        migrations.AddField(
            model_name="organisation",
            name="sends_to_unresolved",
            field=models.BooleanField(
                default=True, verbose_name="send email to recipients who are no records"
            ),
        ),
        # Its key changes, and what it holds is learnt again within minutes.
        migrations.DeleteModel("ServerHealth"),
        migrations.CreateModel(
            "ServerHealth",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "server",
                    models.CharField(
                        choices=[("incoming", "Incoming"), ("outgoing", "Outgoing")],
                        default="incoming",
                        max_length=10,
                    ),
                ),
                ("not_before", models.DateTimeField(db_default=Now())),
                ("failures", models.PositiveIntegerField(db_default=0)),
                ("failed_at", models.DateTimeField(null=True)),
                ("fault_code", models.CharField(db_default="", max_length=100)),
                ("fault_text", models.TextField(db_default="")),
                ("throttled_to", models.PositiveIntegerField(null=True)),
                ("throttled_at", models.DateTimeField(null=True)),
                ("attempts", models.PositiveIntegerField(db_default=0)),
                ("refused_mailbox", models.BigIntegerField(null=True)),
                ("let_in_at", models.DateTimeField(null=True)),
                (
                    "profile",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="healths",
                        to="mailboxes.emailserverprofile",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="visitstatistics",
            name="sent",
            field=models.PositiveIntegerField(db_default=0),
        ),
        migrations.AlterField(
            model_name="schedule",
            name="lane",
            field=models.CharField(
                choices=[
                    ("incoming", "incoming email"),
                    ("outgoing", "outgoing email"),
                    ("act", "appointments, contacts and tasks"),
                ],
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="visitstatistics",
            name="lane",
            field=models.CharField(
                choices=[
                    ("incoming", "incoming email"),
                    ("outgoing", "outgoing email"),
                    ("act", "appointments, contacts and tasks"),
                ],
                max_length=10,
            ),
        ),
        migrations.AddIndex(
            model_name="schedule",
            index=models.Index(
                models.F("profile"),
                models.F("due_at"),
                condition=models.Q(("lane", "outgoing"), _negated=True),
                name="schedule_by_due_at",
            ),
        ),
        migrations.AddIndex(
            model_name="schedule",
            index=models.Index(
                models.F("profile"),
                models.F("due_at"),
                condition=models.Q(("lane", "outgoing")),
                name="sendings_by_due_at",
            ),
        ),
        migrations.AddConstraint(
            model_name="serverhealth",
            constraint=models.UniqueConstraint(
                models.F("profile"), models.F("server"), name="one_health_a_server"
            ),
        ),
        migrations.AddField(
            model_name="outgoingemail",
            name="mailbox",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="outgoing_emails",
                to="mailboxes.mailbox",
            ),
        ),
        migrations.AddField(
            model_name="outgoingemail",
            name="sender_queue",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="crm.queue",
            ),
        ),
        migrations.AddField(
            model_name="outgoingemail",
            name="sender_user",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="outgoingemail",
            name="submitted_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="outgoingemail",
            index=models.Index(
                models.F("mailbox"),
                models.F("turn_at"),
                condition=models.Q(("due_at", None), _negated=True),
                name="mail_by_turn",
            ),
        ),
        migrations.AddIndex(
            model_name="outgoingemail",
            index=models.Index(
                models.F("mailbox"),
                models.F("due_at"),
                condition=models.Q(("due_at", None), _negated=True),
                name="mail_by_due_at",
            ),
        ),
        migrations.AddIndex(
            model_name="outgoingemail",
            index=models.Index(
                models.F("mailbox"),
                models.F("copy_due_at"),
                condition=models.Q(("copy_due_at", None), _negated=True),
                name="copies_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="outgoingemail",
            constraint=models.CheckConstraint(
                condition=models.Q(("sender_user", None), ("sender_queue", None), _connector="OR"),
                name="sent_by_a_user_or_a_queue",
            ),
        ),
        migrations.RunSQL(_DUE_AT, "DROP FUNCTION mailboxes_outgoing_due_at"),
        migrations.RunSQL(_ROOM, "DROP VIEW mailboxes_sending_room"),
        migrations.RunSQL(_SENT_ONCE, "DROP FUNCTION crm_email_is_sent_once CASCADE"),
        migrations.RunSQL(_FILL, migrations.RunSQL.noop),
    ]
