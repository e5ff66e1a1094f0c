"""What people want to see of every mailbox: its state, its last visit, the next one and why."""

import enum
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.utils.translation import gettext_lazy as _


class State(enum.Enum):
    """The one word for a mailbox."""

    DISABLED = _("disabled")
    PARKED = _("parked")
    STOPPED = _("switched off by a fault")
    NEW = _("first visit to come")
    VISITING = _("visiting")
    FAILING = _("failing")
    RESTING = _("up to date")


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """One mailbox at a glance; moments are UTC, None: not yet or never."""

    mailbox_id: int
    address: str
    owner: str
    state: State
    visited_at: datetime | None
    due_at: datetime | None
    reason: str
    fault_code: str  # of the last visit, or what a direction was switched off for; '': none
    fault_text: str
    emails: int
    failures: int  # item failures that are not resolved


# Counts are of the page's mailboxes only: an OFFSET would reckon those of the pages before, too.
_OVERVIEW = """
WITH page AS (
  SELECT * FROM mailboxes_mailbox WHERE profile_id IS NOT NULL OR %(every)s
  ORDER BY email_address, id LIMIT %(limit)s OFFSET %(offset)s
)
SELECT mailbox.id, mailbox.email_address,
       coalesce(nullif(trim(owner.first_name || ' ' || owner.last_name), ''), owner.username,
                queue.name, ''),
       schedule.due_at, schedule.parked_at, schedule.claimed_at, schedule.visited_at,
       coalesce(schedule.reason, ''), coalesce(schedule.fault_code, ''),
       coalesce(nullif(schedule.fault_text, ''), direction.disabled_text, ''),
       coalesce(direction.disabled_code, ''),
       (SELECT count(email_id) FROM mailboxes_remoteitem AS item
        WHERE item.mailbox_id = mailbox.id),
       (SELECT count(*) FROM alerts_itemfailure AS failure
        WHERE failure.mailbox_id = mailbox.id
           AND failure.state NOT IN ('resolved', 'gone', 'dismissed'))
FROM page AS mailbox
LEFT JOIN mailboxes_schedule AS schedule
  ON schedule.mailbox_id = mailbox.id AND schedule.lane = 'incoming'
LEFT JOIN mailboxes_direction AS direction
  ON direction.mailbox_id = mailbox.id AND direction.kind = 'incoming'
LEFT JOIN mailboxes_mailboxmapping AS mapping
  ON mapping.mailbox_id = mailbox.id AND mapping.ended_at IS NULL
LEFT JOIN crm_user AS owner ON owner.id = mapping.user_id
LEFT JOIN crm_queue AS queue ON queue.id = mapping.queue_id
ORDER BY mailbox.email_address, mailbox.id
"""


def overview(
    limit: int | None = None, offset: int = 0, *, every: bool = False
) -> list[MailboxStatus]:
    """Return the mailboxes by address, at most `limit` (None: all) of them from `offset` on.

    Those without a server profile are no part of the service (F086); `every` returns them too.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OVERVIEW, {"limit": limit, "offset": offset, "every": every})
        return [_status(*row) for row in cursor.fetchall()]


def _status(
    mailbox_id: int,
    address: str,
    owner: str,
    due_at: datetime | None,
    parked_at: datetime | None,
    claimed_at: datetime | None,
    visited_at: datetime | None,
    reason: str,
    fault_code: str,
    fault_text: str,
    disabled_code: str,
    emails: int,
    failures: int,
) -> MailboxStatus:
    if parked_at is not None:
        state = State.PARKED
    elif disabled_code:
        state = State.STOPPED
    elif due_at is None:
        state = State.DISABLED
    elif claimed_at is not None:
        state = State.VISITING
    elif fault_code:
        state = State.FAILING
    elif visited_at is None:
        state = State.NEW
    else:
        state = State.RESTING
    return MailboxStatus(
        mailbox_id,
        address,
        owner,
        state,
        visited_at,
        due_at,
        reason,
        fault_code or disabled_code,
        fault_text,
        emails,
        failures,
    )
