-- plan.sql: make the schedule say what the records of some mailboxes say.
-- %(mailboxes)s: their ids; %(idle)s: what is said of a lane without email to send. A lane that
-- should run and has no due time is due now; one that should not run loses its due time, and its
-- fence rises: a visit in flight can't write any more. So does that of a lane whose profile changed:
-- it would go on with another server.
--
-- A lane that is switched off but probed runs too: its visits look whether it works again. That of
-- outgoing email is due when there is some to be sent, unless it rests after a failure.
WITH lanes AS (
  SELECT * FROM (VALUES ('incoming'), ('outgoing'), ('act')) AS lanes (lane)
), wanted AS (
  SELECT mailbox.id AS mailbox_id, lanes.lane, mailbox.profile_id,
         mailbox.is_active AND mailbox.email_address <> ''
         AND CASE lane WHEN 'incoming' THEN mailbox.incoming_method = 2
                       WHEN 'outgoing' THEN mailbox.outgoing_method = 2
                       ELSE mailbox.act_method = 1 AND profile.server_type = 0  -- F064
                            AND mapping.user_id IS NOT NULL END  -- F200
         AND coalesce(profile.is_active, false)
         AND coalesce(direction.is_enabled OR direction.is_probed, false)
         AND (mailbox.is_forward OR mapping.queue_id IS NOT NULL OR coalesce(owner.is_active, false))
         AND (mailbox.approval = 1 OR CASE  -- F066
                WHEN mapping.queue_id IS NOT NULL THEN NOT coalesce(organisation.approves_queues, true)
                WHEN mapping.user_id IS NOT NULL THEN NOT coalesce(organisation.approves_users, true)
                ELSE true END) AS runs
  FROM mailboxes_mailbox AS mailbox
  CROSS JOIN lanes
  LEFT JOIN mailboxes_emailserverprofile AS profile ON profile.id = mailbox.profile_id
  LEFT JOIN mailboxes_direction AS direction
    ON direction.mailbox_id = mailbox.id AND direction.kind = lanes.lane
  LEFT JOIN mailboxes_mailboxmapping AS mapping
    ON mapping.mailbox_id = mailbox.id AND mapping.ended_at IS NULL
  LEFT JOIN crm_user AS owner ON owner.id = mapping.user_id  -- F171
  LEFT JOIN mailboxes_organisation AS organisation ON organisation.id = 1
  WHERE mailbox.id = ANY(%(mailboxes)s)
), due AS (
  SELECT *, CASE WHEN NOT runs THEN NULL
                 WHEN lane = 'outgoing' THEN mailboxes_outgoing_due_at(mailbox_id, false)
                 ELSE statement_timestamp() END AS due_at
  FROM wanted
), health AS (
  INSERT INTO mailboxes_serverhealth (profile_id, server)
  SELECT DISTINCT profile.id, lane
  FROM wanted JOIN mailboxes_emailserverprofile AS profile ON profile.id = wanted.profile_id
  WHERE lane = 'incoming' OR lane = 'outgoing' AND profile.server_type <> 0  -- Exchange is one server
  ON CONFLICT DO NOTHING
)
INSERT INTO mailboxes_schedule AS schedule
  (mailbox_id, lane, profile_id, due_at, fence, crashes, recent_items, empty_visits, rest, reason,
   failures, fault_code, fault_text)
SELECT mailbox_id, lane, profile_id, due_at, 0, 0, 0, 0, interval '0',
       CASE WHEN NOT runs THEN 'not enabled' WHEN lane <> 'outgoing' THEN 'first visit'
            WHEN due_at IS NULL THEN %(idle)s ELSE 'email to send' END, 0, '', ''
FROM due
WHERE lane = 'incoming' OR runs  -- most mailboxes never send, many have no calendar here
   OR EXISTS (SELECT FROM mailboxes_schedule AS known
              WHERE known.mailbox_id = due.mailbox_id AND known.lane = due.lane)
ON CONFLICT (mailbox_id, lane) DO UPDATE
SET profile_id = excluded.profile_id,
    due_at = excluded.due_at,
    fence = schedule.fence + 1,
    claimed_at = NULL,
    started_at = NULL,
    push_due_at = NULL,
    crashes = 0,
    parked_at = NULL,
    rest = interval '0',
    failures = 0,
    fault_code = '',
    fault_text = '',
    reason = CASE WHEN excluded.reason = 'first visit' THEN 'enabled' ELSE excluded.reason END
WHERE (schedule.due_at IS NULL AND schedule.parked_at IS NULL) <> (excluded.due_at IS NULL)
   OR schedule.profile_id IS DISTINCT FROM excluded.profile_id
   OR schedule.lane = 'outgoing' AND schedule.claimed_at IS NULL AND schedule.rest = interval '0'
      AND excluded.due_at < schedule.due_at;
