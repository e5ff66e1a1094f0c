-- claim_push.sql: claim the mailbox that waits longest for the CRM's changes, and begin with it.
-- %(lease)s  (interval) not renewed by then, a visit is due by itself, and it pushes too
-- Returns mailbox_id, fence, connections that the server bears, when the lane was due, and why then.
--
-- A lane that is being visited, or is about to be, is passed over: that visit pushes.
WITH due AS (
  SELECT schedule.id, schedule.due_at, room.connections
  FROM mailboxes_sending_room AS room
  CROSS JOIN LATERAL (
    SELECT id, due_at, push_due_at FROM mailboxes_schedule
    WHERE profile_id = room.profile_id AND lane = 'act' AND claimed_at IS NULL
      AND push_due_at <= statement_timestamp() AND due_at > statement_timestamp()
      AND failures = 0
    ORDER BY push_due_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
  ) AS schedule
  WHERE room.room > 0
  ORDER BY schedule.push_due_at
  LIMIT 1
)
UPDATE mailboxes_schedule AS schedule
SET fence = schedule.fence + 1,
    claimed_at = statement_timestamp(),
    started_at = statement_timestamp(),
    push_due_at = NULL,
    due_at = statement_timestamp() + %(lease)s
FROM due
WHERE schedule.id = due.id
RETURNING schedule.mailbox_id, schedule.fence, due.connections, due.due_at - statement_timestamp(),
  schedule.reason;
