"""Changes of records are noted by triggers, whoever makes them and however many at once."""

import django.db.models.functions.datetime
from django.db import migrations, models

import syncservice.crm.models.changes

#: When a record really changed, by the database's clock; 'infinity' says that something else did
#: which belongs to it.
_CHANGED_AT = """
CREATE FUNCTION crm_set_changed_at() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  is_touched boolean := NEW.changed_at = 'infinity';
BEGIN
  NEW.changed_at := OLD.changed_at;
  IF is_touched OR NEW IS DISTINCT FROM OLD THEN
    NEW.changed_at := greatest(clock_timestamp(), OLD.changed_at + interval '1 microsecond');
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER set_changed_at BEFORE UPDATE ON crm_contact
FOR EACH ROW EXECUTE FUNCTION crm_set_changed_at();
CREATE TRIGGER set_changed_at BEFORE UPDATE ON crm_appointment
FOR EACH ROW EXECUTE FUNCTION crm_set_changed_at();
CREATE TRIGGER set_changed_at BEFORE UPDATE ON crm_task
FOR EACH ROW EXECUTE FUNCTION crm_set_changed_at();
"""

_NOTE = """
CREATE FUNCTION crm_note_contacts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO crm_recordchange (kind, key, owner_id)
    SELECT 'contact', key, owner_id FROM come;
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO crm_recordchange (kind, key, owner_id)
    SELECT 'contact', come.key, come.owner_id FROM come JOIN gone USING (id)
    WHERE come.changed_at <> gone.changed_at;
  ELSE
    INSERT INTO crm_recordchange (kind, key, owner_id, is_deletion)
    SELECT 'contact', key, owner_id, true FROM gone;
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION crm_note_tasks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO crm_recordchange (kind, key, owner_id) SELECT 'task', id, owner_id FROM come;
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO crm_recordchange (kind, key, owner_id)
    SELECT 'task', id, come.owner_id FROM come JOIN gone USING (id)
    WHERE come.changed_at <> gone.changed_at;
  ELSE
    INSERT INTO crm_recordchange (kind, key, owner_id, is_deletion, facts)
    SELECT 'task', id, owner_id, true, jsonb_build_object(
      'kind', kind, 'status', status, 'is_recurring', is_recurring)
    FROM gone;
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION crm_note_appointments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO crm_recordchange (kind, key, owner_id)
    SELECT 'appointment', id, owner_id FROM come;
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO crm_recordchange (kind, key, owner_id)
    SELECT 'appointment', id, come.owner_id FROM come JOIN gone USING (id)
    WHERE come.changed_at <> gone.changed_at;
  ELSE
    INSERT INTO crm_recordchange (kind, key, owner_id, is_deletion, facts)
    SELECT 'appointment', id, owner_id, true, jsonb_build_object(
      'kind', kind, 'status', status, 'uid', uid, 'is_recurring', recurrence IS NOT NULL,
      'starts_at', to_char(starts_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
      'ends_at', to_char(ends_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
      'organizer', left_by.organizer, 'users', coalesce(left_by.users, '[]'))
    FROM gone LEFT JOIN (
      -- Its parties went before it, in this transaction; see `crm_note_parties`.
      SELECT key, max((facts ->> 'organizer')::bigint) AS organizer,
        jsonb_agg(DISTINCT party) AS users
      FROM crm_recordchange CROSS JOIN LATERAL jsonb_array_elements(facts -> 'users') AS party
      WHERE kind = 'appointment' AND xid = pg_current_xact_id() AND facts ? 'users'
      GROUP BY key
    ) AS left_by ON left_by.key = gone.id;
  END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION crm_touch_appointments(ids uuid[]) RETURNS void LANGUAGE sql AS $$
  UPDATE crm_appointment AS appointment SET changed_at = 'infinity'
  FROM (  -- in one order, so that two don't wait for each other
    SELECT id FROM crm_appointment WHERE id = ANY (ids) ORDER BY id FOR NO KEY UPDATE
  ) AS touched
  WHERE appointment.id = touched.id
$$;

CREATE FUNCTION crm_note_parties() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    PERFORM crm_touch_appointments(ARRAY(SELECT DISTINCT appointment_id FROM come));
  ELSIF TG_OP = 'UPDATE' THEN
    PERFORM crm_touch_appointments(ARRAY(
      SELECT unnest(ARRAY[come.appointment_id, gone.appointment_id])
      FROM come JOIN gone USING (id) WHERE come IS DISTINCT FROM gone));
  ELSE
    PERFORM crm_touch_appointments(ARRAY(SELECT DISTINCT appointment_id FROM gone));
    IF TG_TABLE_NAME = 'crm_appointmentparty' THEN
      INSERT INTO crm_recordchange (kind, key, owner_id, facts)
      SELECT 'appointment', appointment_id, owner_id, jsonb_build_object(
        'users', jsonb_agg(DISTINCT user_id),
        'organizer', max(user_id) FILTER (WHERE participation = 7))
      FROM gone JOIN crm_appointment AS appointment ON appointment.id = appointment_id
      WHERE user_id IS NOT NULL
      GROUP BY appointment_id, owner_id;
    END IF;
  END IF;
  RETURN NULL;
END $$;

-- Somewhere it is the company of the account's contacts (F194).
CREATE FUNCTION crm_note_accounts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM crm_user WHERE company_from_account) THEN
    UPDATE crm_contact AS contact SET changed_at = 'infinity'
    FROM (
      SELECT id FROM crm_contact WHERE account_id IN (
        SELECT id FROM come JOIN gone USING (id) WHERE come.name <> gone.name)
      ORDER BY id FOR NO KEY UPDATE
    ) AS touched
    WHERE contact.id = touched.id;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER note_update AFTER UPDATE ON crm_account
REFERENCING OLD TABLE AS gone NEW TABLE AS come
FOR EACH STATEMENT EXECUTE FUNCTION crm_note_accounts();
"""

#: One trigger a kind of statement: only so may it see the rows.
_TRIGGERS = "".join(
    f"""
CREATE TRIGGER note_insert AFTER INSERT ON {table} REFERENCING NEW TABLE AS come
FOR EACH STATEMENT EXECUTE FUNCTION {function}();
CREATE TRIGGER note_update AFTER UPDATE ON {table}
REFERENCING OLD TABLE AS gone NEW TABLE AS come
FOR EACH STATEMENT EXECUTE FUNCTION {function}();
CREATE TRIGGER note_delete AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION {function}();
"""
    for table, function in (
        ("crm_contact", "crm_note_contacts"),
        ("crm_task", "crm_note_tasks"),
        ("crm_appointment", "crm_note_appointments"),
        ("crm_appointmentparty", "crm_note_parties"),
        ("crm_appointmentattachment", "crm_note_parties"),
    )
)

_UNDO = """
DROP FUNCTION crm_set_changed_at, crm_note_contacts, crm_note_tasks, crm_note_appointments,
  crm_note_parties, crm_note_accounts CASCADE;
DROP FUNCTION crm_touch_appointments;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("crm", "0007_appointments_and_tasks"),
    ]

    operations = [
        migrations.CreateModel(
            name="RecordChange",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.TextField(
                        choices=[
                            ("appointment", "appointment"),
                            ("contact", "contact"),
                            ("task", "task"),
                            ("forgotten", "forgotten"),
                        ]
                    ),
                ),
                ("key", models.UUIDField(null=True)),
                ("is_deletion", models.BooleanField(db_default=False)),
                ("owner_id", models.BigIntegerField(null=True)),
                ("facts", models.JSONField(db_default=models.Value({}, models.JSONField()))),
                (
                    "xid",
                    syncservice.crm.models.changes.TransactionId(
                        db_default=models.Func(
                            function="pg_current_xact_id",
                            output_field=syncservice.crm.models.changes.TransactionId(),
                        )
                    ),
                ),
                (
                    "noted_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        models.F("xid"),
                        models.F("id"),
                        name="changes_by_transaction",
                    )
                ],
            },
        ),
        migrations.RunSQL(_CHANGED_AT + _NOTE + _TRIGGERS, _UNDO),
    ]
