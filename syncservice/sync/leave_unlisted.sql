-- leave_unlisted.sql: take note of what a mailbox doesn't list any more: an id may come again, and
-- mean another message then (POP3).
-- %(mailbox)s  its id
-- %(listed)s   ids of all that it lists
WITH listed AS MATERIALIZED (
  SELECT unnest(%(listed)s::text[]) AS item_id
), links AS (
  UPDATE mailboxes_remoteitem AS item SET left_at = now(), is_to_delete = false
  WHERE mailbox_id = %(mailbox)s AND left_at IS NULL
    AND NOT EXISTS (SELECT FROM listed WHERE listed.item_id = item.item_id)
), declined AS (
  UPDATE mailboxes_declineditem AS item SET left_at = now(), is_wanted = false
  WHERE mailbox_id = %(mailbox)s AND left_at IS NULL
    AND NOT EXISTS (SELECT FROM listed WHERE listed.item_id = item.item_id)
)
UPDATE alerts_itemfailure AS item SET state = 'gone'
WHERE mailbox_id = %(mailbox)s AND state NOT IN ('resolved', 'gone')
  AND NOT EXISTS (SELECT FROM listed WHERE listed.item_id = item.item_id);
