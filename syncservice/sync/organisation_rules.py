"""What the organisation says about email, as the rules of `domain` take it."""

from dataclasses import dataclass

from syncservice.domain.acceptance import Alone, Internal
from syncservice.domain.attachments import Allowed
from syncservice.domain.correlation import Switches
from syncservice.domain.smart_matching import SmartMatching
from syncservice.domain.tracking_token import Scheme
from syncservice.mailboxes.models import Organisation


@dataclass(frozen=True, slots=True)
class Rules:
    """What the organisation says, as the rules of `domain` take it."""

    organisation: Organisation
    switches: Switches
    scheme: Scheme
    internal: Internal
    alone: Alone
    allowed: Allowed


def rules_of(organisation: Organisation) -> Rules:
    smart = SmartMatching(
        organisation.hash_filter,
        organisation.hash_max_count,
        organisation.hash_delta_subject_count,
        organisation.hash_min_address_count,
    )
    return Rules(
        organisation,
        Switches(
            organisation.correlates_conversations,
            organisation.uses_tracking_tokens,
            smart if organisation.uses_smart_matching else None,
        ),
        Scheme(
            organisation.token_prefix,
            tuple(organisation.token_prefixes),
            organisation.token_base,
            organisation.token_user_digits,
            organisation.token_counter_digits,
        ),
        Internal(
            organisation.internal_email_is_two_activities,
            organisation.internal_email_to_queues,
            organisation.internal_email_from_queues,
        ),
        Alone(organisation.mailbox_owner_decides_alone, organisation.user_decides_alone),
        organisation.allowed_files,
    )
