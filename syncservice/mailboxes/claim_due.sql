-- claim_due.sql: claim lanes to be visited that are due, the longest overdue first and fairly
-- between profiles. Outgoing email has its own claim, claim_sending.sql.
-- %(limit)s     rows at most
-- %(share)s     visits at most of one profile, when there are several; null: no limit
-- %(lease)s     (interval) not started or renewed by then, the row is due again by itself
-- %(crashes)s   a visit that died so often without progress is parked instead
-- Returns mailbox_id, lane, fence, whether it was parked, whether a lease had ended.
--
-- A profile gets no more claims than it has free connections; while its server asks for a pause it
-- gets none. One beat at a time looks after a profile, the others pass it over: no leader needed.
WITH room AS (
  SELECT health.profile_id,
         least(
           %(limit)s,
           -- Accounts of the mailboxes' own share no connections; nor is a sick server flooded.
           CASE WHEN profile.credentials = 1 OR health.failures > 0
                THEN greatest(1, mailboxes_allowed_connections(
                  profile.maximum_concurrent_connections, health.throttled_to,
                  health.throttled_at, health.failures) - wishes.count) - flight.visits END,
           CASE WHEN (SELECT count(*) FROM mailboxes_serverhealth WHERE server = 'incoming') > 1
                THEN %(share)s - flight.visits END
         ) AS visits
  FROM mailboxes_serverhealth AS health
  JOIN mailboxes_emailserverprofile AS profile ON profile.id = health.profile_id
  CROSS JOIN LATERAL (
    SELECT count(*)::int AS visits FROM (  -- in flight, counted no further than it matters
      SELECT FROM mailboxes_schedule
      WHERE profile_id = health.profile_id AND claimed_at IS NOT NULL
        AND due_at > statement_timestamp() AND (lane <> 'outgoing' OR profile.server_type = 0)
      ORDER BY due_at  -- so that the index gives them one by one
      LIMIT greatest(profile.maximum_concurrent_connections, %(share)s)
    ) AS claimed
  ) AS flight
  CROSS JOIN LATERAL (  -- connections are left, not the only one, for what people just asked for
    SELECT EXISTS (
      SELECT FROM mailboxes_trackrequest AS request
      JOIN mailboxes_mailboxmapping AS mapping
        ON mapping.id = request.mapping_id AND mapping.ended_at IS NULL
      JOIN mailboxes_schedule AS schedule
        ON schedule.mailbox_id = request.mailbox_id AND schedule.lane = 'incoming'
       AND schedule.due_at IS NOT NULL
      WHERE request.state = 'waiting' AND request.tried_at IS NULL
        AND request.requested_at > statement_timestamp() - interval '10 seconds'
        AND schedule.profile_id = health.profile_id
    )::int + (profile.server_type = 0 AND EXISTS (  -- … and for email that they sent
      SELECT FROM mailboxes_schedule
      WHERE profile_id = health.profile_id AND lane = 'outgoing'
        AND due_at <= statement_timestamp()
        AND due_at > statement_timestamp() - interval '20 minutes'
    ))::int AS count
  ) AS wishes
  WHERE health.server = 'incoming' AND health.not_before <= statement_timestamp()
  FOR NO KEY UPDATE OF health SKIP LOCKED
), ready AS (  -- what one may take this time: no more is read than can be claimed
  SELECT profile_id, least(visits, ceil(%(limit)s / count(*) OVER ()::numeric)) AS visits
  FROM room
  WHERE visits > 0 AND EXISTS (
    SELECT FROM mailboxes_schedule
    WHERE profile_id = room.profile_id AND lane <> 'outgoing' AND due_at <= statement_timestamp()
  )
), due AS (
  SELECT waiting.id, waiting.due_at,
         row_number() OVER (PARTITION BY ready.profile_id ORDER BY waiting.due_at) AS turn
  FROM ready
  CROSS JOIN LATERAL (
    SELECT id, due_at FROM mailboxes_schedule
    WHERE profile_id = ready.profile_id AND lane <> 'outgoing' AND due_at <= statement_timestamp()
    ORDER BY due_at LIMIT ready.visits
  ) AS waiting
), chosen AS (
  SELECT id FROM due ORDER BY turn, due_at LIMIT %(limit)s
), taken AS (
  SELECT id, claimed_at IS NOT NULL AS lease_ended,
         started_at IS NOT NULL AND crashes + 1 >= %(crashes)s AS parks
  FROM mailboxes_schedule
  WHERE id IN (SELECT id FROM chosen) AND due_at <= statement_timestamp()
  FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE mailboxes_schedule AS schedule
SET fence = fence + 1,
    crashes = crashes + (started_at IS NOT NULL)::int,
    started_at = NULL,
    claimed_at = CASE WHEN NOT parks THEN statement_timestamp() END,
    due_at = CASE WHEN NOT parks THEN statement_timestamp() + %(lease)s END,
    parked_at = CASE WHEN parks THEN statement_timestamp() END
FROM taken WHERE schedule.id = taken.id
RETURNING mailbox_id, lane, fence, parks, lease_ended;
