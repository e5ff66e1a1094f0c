-- forget.sql: what was read of some mailboxes says nothing any more: they are others on the server.
-- %(mailboxes)s: their ids. Their email records stay, and keep what is read again from doubling.
WITH links AS (
  DELETE FROM mailboxes_remoteitem WHERE mailbox_id = ANY(%(mailboxes)s)
), declined AS (
  DELETE FROM mailboxes_declineditem WHERE mailbox_id = ANY(%(mailboxes)s)
), folders AS (
  DELETE FROM mailboxes_trackingfolder WHERE mailbox_id = ANY(%(mailboxes)s)
), categories AS (
  DELETE FROM mailboxes_trackingcategory WHERE mailbox_id = ANY(%(mailboxes)s)
), hierarchy AS (
  DELETE FROM mailboxes_mailboxfolders WHERE mailbox_id = ANY(%(mailboxes)s)
), conflicts AS (
  DELETE FROM mailboxes_itemconflict AS conflict USING mailboxes_itemlink AS link
  WHERE link.id = conflict.link_id AND link.mailbox_id = ANY(%(mailboxes)s)
), items AS (  -- they bear our keys, and are found again by them
  DELETE FROM mailboxes_itemlink WHERE mailbox_id = ANY(%(mailboxes)s)
), sights AS (
  DELETE FROM mailboxes_seenappointment WHERE mailbox_id = ANY(%(mailboxes)s)
), progress AS (
  DELETE FROM mailboxes_itemprogress WHERE mailbox_id = ANY(%(mailboxes)s)
), failures AS (
  DELETE FROM alerts_itemfailure WHERE mailbox_id = ANY(%(mailboxes)s)
)
DELETE FROM mailboxes_foldercursor WHERE mailbox_id = ANY(%(mailboxes)s);
