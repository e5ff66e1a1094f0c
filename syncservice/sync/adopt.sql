-- adopt.sql: give answers the emails that they were found to answer.
-- %(answers)s  ids of emails; %(parents)s what each answers, %(methods)s the codes of how it was found
-- An answer takes over what its parent is about unless it is about something already (F114).
UPDATE crm_email AS answer
SET parent_id = parent.id,
    correlated_to_id = parent.id,
    correlation = found.method,
    correlation_score = '',
    regarding_account_id = CASE WHEN is_open THEN parent.regarding_account_id
                                ELSE answer.regarding_account_id END,
    regarding_contact_id = CASE WHEN is_open THEN parent.regarding_contact_id
                                ELSE answer.regarding_contact_id END,
    regarding_lead_id = CASE WHEN is_open THEN parent.regarding_lead_id
                             ELSE answer.regarding_lead_id END
FROM unnest(%(answers)s::uuid[], %(parents)s::uuid[], %(methods)s::smallint[])
         AS found (answer, parent, method)
JOIN crm_email AS parent ON parent.id = found.parent
JOIN crm_email AS before ON before.id = found.answer
CROSS JOIN LATERAL (
  SELECT num_nonnulls(before.regarding_account_id, before.regarding_contact_id,
                      before.regarding_lead_id) = 0 AS is_open
) AS of_answer
WHERE answer.id = found.answer;
