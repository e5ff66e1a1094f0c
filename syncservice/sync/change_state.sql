-- change_state.sql: let an outgoing email go from one state to another, with what is known of it.
-- %(email)s, %(message_id)s  which; a draft that was submitted anew has another Message-ID
-- %(before)s, %(after)s      the status it has, and gets
-- %(rest)s   (interval) it has its turn again after so long; null: its place in the line stays
-- %(start)s  (interval) its head start in the line
-- %(is_open)s  whether anything is left to be done by itself; the others are columns
-- Changes one row; none when the email is in another state by now.
WITH changed AS (
  UPDATE crm_email
  SET status = %(after)s,
      sent_at = CASE WHEN %(after)s = 3 THEN statement_timestamp() ELSE sent_at END
  WHERE id = %(email)s AND status = %(before)s AND message_id = %(message_id)s
  RETURNING id
)
UPDATE mailboxes_outgoingemail AS mail
SET attempts = %(attempts)s,
    accepted_paths = %(accepted_paths)s,
    refused_paths = %(refused_paths)s,
    fault_code = %(fault_code)s,
    fault_text = %(fault_text)s,
    copy_due_at = CASE WHEN %(copy_is_due)s THEN statement_timestamp() END,
    handed_over_at = CASE WHEN %(after)s IN (3, 100) THEN handed_over_at END,
    due_at = CASE WHEN NOT %(is_open)s THEN NULL
                  WHEN %(rest)s::interval IS NULL THEN due_at
                  ELSE statement_timestamp() + %(rest)s::interval END,
    turn_at = CASE WHEN NOT %(is_open)s THEN NULL
                   WHEN %(rest)s::interval > interval '0'
                   THEN statement_timestamp() + %(rest)s::interval - %(start)s::interval
                   ELSE turn_at END
FROM changed WHERE mail.email_id = changed.id;
