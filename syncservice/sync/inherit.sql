-- inherit.sql: let answers be about what the emails are about that they answer (F114).
-- %(answers)s  ids of emails that answer something since now, or may
-- Who is about something already keeps it. What one takes over, its own answers take over in turn.
WITH RECURSIVE heir (id, account, contact, lead) AS (
  SELECT answer.id, above.regarding_account_id, above.regarding_contact_id, above.regarding_lead_id
  FROM crm_email AS answer
  JOIN crm_email AS above ON above.id = answer.correlated_to_id
  WHERE answer.id = ANY (%(answers)s::uuid[])
    AND num_nonnulls(above.regarding_account_id, above.regarding_contact_id,
                     above.regarding_lead_id) > 0
    AND num_nonnulls(answer.regarding_account_id, answer.regarding_contact_id,
                     answer.regarding_lead_id) = 0
  UNION
  SELECT answer.id, heir.account, heir.contact, heir.lead
  FROM heir JOIN crm_email AS answer ON answer.correlated_to_id = heir.id
  WHERE num_nonnulls(answer.regarding_account_id, answer.regarding_contact_id,
                     answer.regarding_lead_id) = 0
)
UPDATE crm_email AS email
SET regarding_account_id = heir.account,
    regarding_contact_id = heir.contact,
    regarding_lead_id = heir.lead
FROM heir WHERE heir.id = email.id;
