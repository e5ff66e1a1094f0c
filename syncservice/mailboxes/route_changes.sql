-- route_changes.sql: find the mailboxes that the CRM's latest changes concern, and let them be
-- pushed to. Returns how many.
--
-- Concerned is whoever has a link to the record, owns it or takes part in it. Whom some other
-- filter gives it, the next visit tells: it asks its filters itself.
--
-- Numbers of a sequence become visible out of order, so what counts is the transaction: those below
-- the snapshot's xmin have all ended. Who waits for the row routes nothing twice.
WITH routing AS (
  -- A backup brings a position of another server's transactions: then it begins from here.
  SELECT id, least(position, pg_snapshot_xmin(pg_current_snapshot())::text::bigint) AS position,
         pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS ended
  FROM mailboxes_changerouting WHERE id = 1 FOR UPDATE
), changed AS (
  SELECT DISTINCT kind, key, owner_id FROM crm_recordchange, routing
  WHERE xid >= routing.position::text::xid8 AND xid < routing.ended::text::xid8
), concerned AS (
  SELECT link.mailbox_id FROM changed
  JOIN mailboxes_itemlink AS link USING (kind, key)
  WHERE link.state IN ('creating', 'waiting', 'linked')
  UNION
  SELECT mapping.mailbox_id FROM (
    SELECT owner_id AS user_id FROM changed
    UNION
    SELECT party.user_id FROM changed
    JOIN crm_appointmentparty AS party
      ON changed.kind = 'appointment' AND party.appointment_id = changed.key
  ) AS people
  JOIN mailboxes_mailboxmapping AS mapping USING (user_id)
  WHERE mapping.ended_at IS NULL
), moved AS (
  UPDATE mailboxes_changerouting AS routing SET position = before.ended
  FROM routing AS before WHERE routing.id = before.id
), woken AS (
  UPDATE mailboxes_schedule AS schedule SET push_due_at = statement_timestamp()
  WHERE lane = 'act' AND due_at IS NOT NULL AND push_due_at IS NULL
    AND mailbox_id IN (SELECT mailbox_id FROM concerned)
  RETURNING 1
)
SELECT count(*) FROM woken;
