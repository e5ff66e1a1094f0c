"""A message that was read and is not stored yet."""

from dataclasses import dataclass, field, replace
from typing import Any

from syncservice.crm.ids import activity_id
from syncservice.domain.correlation import Letter, answered_ids, index_bytes
from syncservice.domain.message import Message
from syncservice.mailboxes.models import RemoteItem
from syncservice.servers.gateway import Fetched
from syncservice.sync.organisation_rules import Rules

Tracking = RemoteItem.Tracking


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that was read and is not stored yet."""

    source: Fetched
    message: Message
    identity: str
    letter: Letter
    tracking: Tracking = Tracking.FILTER
    is_sent: bool = False  # by the owner of the mailbox, whatever it is wanted for
    forwarder: str = ""  # the address of who forwarded it into a forward mailbox; '': nobody
    holds_more: bool = False  # other mails were forwarded with it, and are not stored
    #: Columns of what a person or a folder says it is about; none: what it answers says so.
    regarding: dict[str, Any] = field(default_factory=dict)

    @property
    def is_tracked(self) -> bool:
        """Whether somebody asked for this very message, past all filters (F101)."""
        return self.tracking not in (Tracking.FILTER, Tracking.SENT)


def letter_of(message: Message, source: Fetched, rules: Rules) -> Letter:
    """Return what correlation looks at, with the id that the email will have."""
    addresses = frozenset(party.address.lower() for party in message.parties if party.address)
    smart = rules.switches.smart_matching
    letter = Letter(
        id=activity_id(),
        message_id=message.message_id,
        answers=answered_ids(message.in_reply_to, message.references),
        tokens=rules.scheme.tokens_in(message.subject) if rules.switches.tokens else (),
        conversation_index=index_bytes(message.conversation_index),
        addresses=addresses,
        at=message.sent_at or source.received_at,
    )
    return replace(letter, hashes=smart.hashes(message.subject, addresses)) if smart else letter
