-- apply_folder_rules.sql: let email in a mailbox's tracked folders be about what their rules say.
-- %(mailbox)s  its id
-- An email that lies in several tracked folders, of several mailboxes, is about what the one says
-- that brought it in first. Rules without a record change nothing.
WITH ruled AS (
  SELECT DISTINCT ON (link.email_id) link.email_id, rule.regarding_account_id AS account,
         rule.regarding_contact_id AS contact, rule.regarding_lead_id AS lead
  FROM mailboxes_remoteitem AS ours
  JOIN mailboxes_trackingfolder AS our_rule ON our_rule.id = ours.folder_id
  JOIN mailboxes_remoteitem AS link ON link.email_id = ours.email_id
  JOIN mailboxes_trackingfolder AS rule ON rule.id = link.folder_id
  WHERE our_rule.mailbox_id = %(mailbox)s AND our_rule.state = 'active' AND rule.state = 'active'
    AND num_nonnulls(rule.regarding_account_id, rule.regarding_contact_id,
                     rule.regarding_lead_id) > 0
  ORDER BY link.email_id, link.id
), changed AS (  -- locked in the order in which everybody locks emails, see lock_threads.sql
  SELECT ruled.*
  FROM ruled JOIN crm_email AS email ON email.id = ruled.email_id
  WHERE (email.regarding_account_id, email.regarding_contact_id, email.regarding_lead_id)
        IS DISTINCT FROM (ruled.account, ruled.contact, ruled.lead)
  ORDER BY email.id FOR NO KEY UPDATE OF email
)
UPDATE crm_email AS email
SET regarding_account_id = changed.account,
    regarding_contact_id = changed.contact,
    regarding_lead_id = changed.lead
FROM changed WHERE email.id = changed.email_id;
