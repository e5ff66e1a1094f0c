-- hand_over.sql: note that from here on a server may have an email, if the claim is still ours.
-- %(mailbox)s, %(fence)s  the claim on its outgoing email; %(email)s  the email
-- Changes one row; none when the claim is lost, or no attempt is under way: then nothing may be
-- handed over. The schedule's row is locked until the statement ends, so no newer claim slips in.
WITH held AS (
  SELECT FROM mailboxes_schedule
  WHERE mailbox_id = %(mailbox)s AND lane = 'outgoing' AND fence = %(fence)s
    AND claimed_at IS NOT NULL
  FOR NO KEY UPDATE
)
UPDATE mailboxes_outgoingemail AS mail SET handed_over_at = statement_timestamp()
FROM held, crm_email AS email
WHERE mail.email_id = %(email)s AND email.id = mail.email_id AND email.status = 7;
