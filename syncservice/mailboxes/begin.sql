-- begin.sql: begin the visit of a lane that is claimed and not begun, and say what it has to know.
-- %(mailbox)s, %(lane)s  the lane
-- %(fence)s     of the claim whose message brings us here; a newer one that nobody has begun is
--               begun in its place: its own message may wait far behind this one
-- %(lease)s     (interval) begins now: a visit does not pay for the queue's wait
-- Returns fence, crashes, connections that the server bears, how long it wants to be left alone.
UPDATE mailboxes_schedule AS schedule
SET started_at = statement_timestamp(), push_due_at = NULL,
    due_at = statement_timestamp() + %(lease)s
FROM mailboxes_emailserverprofile AS profile
JOIN mailboxes_serverhealth AS health ON health.profile_id = profile.id AND health.server = 'incoming'
WHERE profile.id = schedule.profile_id
  AND mailbox_id = %(mailbox)s AND lane = %(lane)s AND fence >= %(fence)s
  AND claimed_at IS NOT NULL AND started_at IS NULL
RETURNING fence, crashes,
  mailboxes_allowed_connections(profile.maximum_concurrent_connections, health.throttled_to,
                                health.throttled_at, health.failures),
  health.not_before - statement_timestamp();
