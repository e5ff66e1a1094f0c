-- adopt.sql: give answers the emails that they were found to answer.
-- %(answers)s  ids of emails; %(parents)s what each answers, %(methods)s the codes of how it was found
UPDATE crm_email AS answer
SET parent_id = found.parent,
    correlated_to_id = found.parent,
    correlation = found.method,
    correlation_score = ''
FROM unnest(%(answers)s::uuid[], %(parents)s::uuid[], %(methods)s::smallint[])
         AS found (answer, parent, method)
WHERE answer.id = found.answer;
