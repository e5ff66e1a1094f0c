"""The filters that users begin with: templates, of which each user has copies (F182, F183).

What becomes of a template later touches nobody's copies, until they are made again.
"""

from typing import Any

from django.db import transaction

from syncservice.crm.models import SyncFilter, User
from syncservice.domain.filters import Entity

_MINE = {"field": "owner", "operator": "eq", "value": "me"}
_OPEN = {"field": "state", "operator": "eq", "value": "open"}
_PARTY = {"field": "party", "operator": "eq", "value": "me"}  # not merely its owner (F186)
_ACTIVE = {"field": "state", "operator": "eq", "value": "active"}
#: The reference's (F186, F187).
DEFAULTS: list[tuple[Entity, str, dict[str, Any]]] = [
    (Entity.APPOINTMENT, "My Appointments", {"all": [_PARTY]}),
    (Entity.SERVICE_ACTIVITY, "My Service Activities", {"all": [_PARTY]}),
    (Entity.CONTACT, "My Outlook Contacts", {"all": [_MINE, _ACTIVE]}),
    (Entity.TASK, "My Tasks", {"all": [_MINE, _OPEN]}),
    (Entity.PHONE_CALL, "My Phone Calls", {"all": [_MINE, _OPEN]}),
    (Entity.LETTER, "My Letters", {"all": [_MINE, _OPEN]}),
    (Entity.FAX, "My Faxes", {"all": [_MINE, _OPEN]}),
]


def defaults(model: type[Any] = SyncFilter) -> list[Any]:
    """Return the templates of a new organisation, not saved; of a migration's `model` too."""
    return [
        model(kind="template", is_default=True, entity=entity.value, name=name, criteria=criteria)
        for entity, name, criteria in DEFAULTS
    ]


def instantiate(user: User, *templates: SyncFilter) -> None:
    """Give a user copies of templates, of the default ones if none are named.

    Copies that the user has already, and may have changed, are made anew.
    """
    chosen = templates or tuple(_default_templates())
    with transaction.atomic():
        SyncFilter.objects.filter(user=user, template__in=chosen).delete()
        SyncFilter.objects.bulk_create(
            SyncFilter(
                kind=SyncFilter.Kind.USER,
                user=user,
                entity=template.entity,
                name=template.name,
                criteria=template.criteria,
                template=template,
            )
            for template in chosen
        )


def reset(user: User) -> None:
    """Give a user the default filters in the place of all own ones."""
    with transaction.atomic():
        SyncFilter.objects.filter(user=user).delete()
        instantiate(user)


def _default_templates() -> Any:
    return SyncFilter.objects.filter(kind=SyncFilter.Kind.TEMPLATE, is_default=True)
