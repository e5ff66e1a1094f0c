-- claim_due.sql: claim the schedules that are due, the longest overdue first.
-- %(limit)s rows at most; %(lease)s (interval): not released by then, the row is due again by itself.
-- Returns the messages to publish. Rows that another beat is claiming are skipped: no leader needed.
WITH due AS (
  SELECT id FROM mailboxes_schedule WHERE due_at <= statement_timestamp()
  ORDER BY due_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE mailboxes_schedule AS schedule
SET fence = fence + 1, claimed_at = statement_timestamp(), due_at = statement_timestamp() + %(lease)s
FROM due WHERE schedule.id = due.id
RETURNING mailbox_id, lane, fence;
