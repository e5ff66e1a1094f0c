"""What the organisation chooses of the field map: directions, and who wins (F190, 3F, 3K)."""

from django.core.exceptions import ValidationError
from django.db import transaction

from syncservice.domain import field_map
from syncservice.domain.field_map import Direction
from syncservice.domain.merge import Policy
from syncservice.mailboxes import audit
from syncservice.mailboxes.models import FieldSetting


@transaction.atomic
def choose(
    mapping: str,
    actor: str,
    *,
    direction: Direction | None = None,
    policy: Policy | None = None,
    resets_direction: bool = False,
    resets_policy: bool = False,
) -> None:
    """Change what is chosen for a mapping; None leaves it, and a reset brings the default back.

    Raise ValidationError where the reference allows no such choice. Visits obey from the next on.
    """
    asked = {mapping: direction} if direction is not None else {}
    if problems := field_map.problems(asked):
        raise ValidationError(problems)
    if mapping not in field_map.BY_NAME:
        raise ValidationError(field_map.problems({mapping: Direction.BOTH}))
    FieldSetting.objects.get_or_create(mapping=mapping)
    row = FieldSetting.objects.select_for_update().get(mapping=mapping)
    if direction is not None or resets_direction:
        row.direction = direction.name or "" if direction is not None else ""
    if policy is not None or resets_policy:
        row.policy = policy.value if policy is not None else ""
    row.save()
    facts = {"mapping": mapping, "direction": row.direction, "policy": row.policy}
    audit.note(actor, "field.changed", **facts)
