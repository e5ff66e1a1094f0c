-- plan.sql: make the schedule say what the records of some mailboxes say.
-- %(mailboxes)s: their ids. A lane that should run and has no due time is due now; one that should
-- not run loses its due time, and its fence rises: a visit in flight can't write any more. So does
-- that of a lane whose profile changed: it would go on with another server.
--
-- A lane that is switched off but probed runs too: its visits look whether it works again.
WITH wanted AS (
  SELECT mailbox.id AS mailbox_id, 'incoming' AS lane, mailbox.profile_id,
         mailbox.is_active AND mailbox.incoming_method = 2 AND mailbox.email_address <> ''
         AND coalesce(profile.is_active, false)
         AND coalesce(direction.is_enabled OR direction.is_probed, false)
         AND (mailbox.is_forward OR mapping.id IS NOT NULL)
         AND (mailbox.approval = 1 OR CASE  -- F066
                WHEN mapping.queue_id IS NOT NULL THEN NOT coalesce(organisation.approves_queues, true)
                WHEN mapping.user_id IS NOT NULL THEN NOT coalesce(organisation.approves_users, true)
                ELSE true END) AS runs
  FROM mailboxes_mailbox AS mailbox
  LEFT JOIN mailboxes_emailserverprofile AS profile ON profile.id = mailbox.profile_id
  LEFT JOIN mailboxes_direction AS direction
    ON direction.mailbox_id = mailbox.id AND direction.kind = 'incoming'
  LEFT JOIN mailboxes_mailboxmapping AS mapping
    ON mapping.mailbox_id = mailbox.id AND mapping.ended_at IS NULL
  LEFT JOIN mailboxes_organisation AS organisation ON organisation.id = 1
  WHERE mailbox.id = ANY(%(mailboxes)s)
), health AS (
  INSERT INTO mailboxes_serverhealth (profile_id)
  SELECT DISTINCT profile_id FROM wanted WHERE profile_id IS NOT NULL
  ON CONFLICT DO NOTHING
)
INSERT INTO mailboxes_schedule AS schedule
  (mailbox_id, lane, profile_id, due_at, fence, crashes, recent_items, empty_visits, rest, reason,
   failures, fault_code, fault_text)
SELECT mailbox_id, lane, profile_id, CASE WHEN runs THEN statement_timestamp() END, 0, 0, 0, 0,
       interval '0', CASE WHEN runs THEN 'first visit' ELSE 'not enabled' END, 0, '', ''
FROM wanted
ON CONFLICT (mailbox_id, lane) DO UPDATE
SET profile_id = excluded.profile_id,
    due_at = excluded.due_at,
    fence = schedule.fence + 1,
    claimed_at = NULL,
    started_at = NULL,
    crashes = 0,
    parked_at = NULL,
    failures = 0,
    fault_code = '',
    fault_text = '',
    reason = CASE WHEN excluded.due_at IS NULL THEN 'not enabled' ELSE 'enabled' END
WHERE (schedule.due_at IS NULL AND schedule.parked_at IS NULL) <> (excluded.due_at IS NULL)
   OR schedule.profile_id IS DISTINCT FROM excluded.profile_id;
