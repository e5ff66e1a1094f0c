-- count_sendings.sql: count the mailboxes that could send email now.
-- %(most)s  it is not counted further
SELECT coalesce(sum(least(profile.room, waiting.mailboxes)), 0)::int
FROM mailboxes_sending_room AS profile
CROSS JOIN LATERAL (
  SELECT count(*) AS mailboxes FROM (
    SELECT FROM mailboxes_schedule
    WHERE profile_id = profile.profile_id AND lane = 'outgoing'
      AND due_at <= statement_timestamp()
    ORDER BY due_at LIMIT least(profile.room, %(most)s)
  ) AS due
) AS waiting
WHERE profile.room > 0;
