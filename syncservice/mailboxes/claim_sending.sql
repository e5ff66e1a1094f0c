-- claim_sending.sql: claim the mailbox whose outgoing email has its turn, and begin with it.
-- %(lease)s  (interval) not renewed by then, it is due again by itself
-- Returns mailbox_id, fence, connections that the server bears, whether an earlier claim had died.
--
-- The turn goes to the profile with the fewest mailboxes sending, and there to the mailbox that
-- waits longest: `due_at` is that of its email with the largest head start.
WITH due AS (
  SELECT waiting.id, profile.connections
  FROM mailboxes_sending_room AS profile
  CROSS JOIN LATERAL (
    SELECT id, due_at FROM mailboxes_schedule
    WHERE profile_id = profile.profile_id AND lane = 'outgoing'
      AND due_at <= statement_timestamp()
    ORDER BY due_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
  ) AS waiting
  WHERE profile.room > 0
  ORDER BY profile.sending, waiting.due_at
  LIMIT 1
)
UPDATE mailboxes_schedule AS schedule
SET fence = schedule.fence + 1,
    claimed_at = statement_timestamp(),
    started_at = statement_timestamp(),
    due_at = statement_timestamp() + %(lease)s
FROM due, mailboxes_schedule AS before
WHERE schedule.id = due.id AND before.id = due.id
RETURNING schedule.mailbox_id, schedule.fence, due.connections, before.claimed_at IS NOT NULL;
