-- lock_threads.sql: lock the emails that `adopt` looks at and may change, in their one order.
-- %(answers)s  ids of emails that may answer another one by now; %(new)s of those just inserted
-- Returns their ids: the answers, what answers these and is about nothing yet, and what the new
-- ones answer: an answer that comes while another visit says what that is about waits for it.
WITH RECURSIVE below (id) AS (
  SELECT unnest(%(answers)s::uuid[])
  UNION
  SELECT answer.id
  FROM below JOIN crm_email AS answer ON answer.correlated_to_id = below.id
  WHERE num_nonnulls(answer.regarding_account_id, answer.regarding_contact_id,
                     answer.regarding_lead_id) = 0
), above (id) AS (
  SELECT correlated_to_id FROM crm_email WHERE id = ANY (%(new)s::uuid[])
)
SELECT id FROM crm_email
WHERE id IN (SELECT id FROM below UNION SELECT id FROM above)
ORDER BY id FOR NO KEY UPDATE;
