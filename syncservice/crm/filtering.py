"""Applies filters: which records are a user's to have in Exchange (F180-F189)."""

import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import date, datetime, time, timedelta
from functools import reduce
from operator import and_, or_
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.utils import timezone

from syncservice.crm.models import (
    Appointment,
    AppointmentParty,
    Contact,
    Priority,
    SyncFilter,
    Task,
    User,
)
from syncservice.domain.activity_states import APPOINTMENT_STATUSES, TASK_STATUSES, State
from syncservice.domain.field_map import RecordType
from syncservice.domain.filters import (
    FIELDS,
    ME,
    Condition,
    Criteria,
    Entity,
    FieldType,
    Operator,
    is_relative,
    parse,
)
from syncservice.domain.item_values import ItemKind
from syncservice.domain.time_zones import clock_of

MODELS: Mapping[ItemKind, type[models.Model]] = {
    ItemKind.APPOINTMENT: Appointment,
    ItemKind.CONTACT: Contact,
    ItemKind.TASK: Task,
}
_ROLES = AppointmentParty.Participation
_PARTICIPATIONS = {
    "party": {_ROLES.REQUIRED, _ROLES.OPTIONAL, _ROLES.ORGANIZER},
    "organizer": {_ROLES.ORGANIZER},
    "required": {_ROLES.REQUIRED},
    "optional": {_ROLES.OPTIONAL},
    "resource": {_ROLES.RESOURCE},
}
_LOOKUPS = {
    Operator.EQ: "iexact",
    Operator.NE: "iexact",
    Operator.CONTAINS: "icontains",
    Operator.NOT_CONTAINS: "icontains",
    Operator.BEGINS: "istartswith",
    Operator.ENDS: "iendswith",
}
_NEGATED = frozenset({Operator.NE, Operator.NOT_CONTAINS, Operator.NOT_EMPTY})


def selected(kind: ItemKind, user: User) -> "models.QuerySet[Any]":
    """Return the records that any of the user's filters selects; without filters none (F185).

    Recurring tasks are never among them: Exchange has no place for them (F193).
    """
    return reduce(or_, _selections(kind, user), MODELS[kind]._default_manager.none())


def keys_selected(
    kind: ItemKind, user: User, column: str, among: Collection[UUID] | None = None
) -> set[UUID]:
    """Return the keys of these records, in `column`; `among`: of those only.

    Each filter finds its own by an index; a condition that joins them would read the whole table.
    """
    found = [rows.values_list(column, flat=True) for rows in _selections(kind, user)]
    if among is not None:
        found = [rows.filter(**{f"{column}__in": among}) for rows in found]
    return set(found[0].union(*found[1:])) if found else set()


def _selections(kind: ItemKind, user: User) -> "list[models.QuerySet[Any]]":
    rows = MODELS[kind]._default_manager.all()
    if kind is ItemKind.TASK:
        rows = rows.filter(is_recurring=False)
    return [rows.filter(_rows_of(*one, user)) for one in _filters_of(kind, user)]


def digest(kind: ItemKind, user: User) -> str:
    """Return another text when the user's filters may select other records than before.

    So it does when the same records have come to say something else to this user; and on another
    day, of filters that ask for the last or next days.
    """
    filters = _filters_of(kind, user)
    facts: list[Any] = [sorted(repr(one) for one in filters)]
    facts += [user.email, user.time_zone, user.company_from_account]
    if any(is_relative(criteria) for _entity, criteria in filters):
        facts.append(_today(user).isoformat())
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _filters_of(kind: ItemKind, user: User) -> list[tuple[Entity, Criteria]]:
    entities = [entity for entity in Entity if entity.kind is kind]
    rows = SyncFilter.objects.filter(
        Q(kind=SyncFilter.Kind.USER, user=user) | Q(kind=SyncFilter.Kind.SYSTEM),
        entity__in=entities,
        is_active=True,
    )
    found = rows.values_list("entity", "criteria")
    return [(Entity(name), parse(Entity(name), criteria)) for name, criteria in found]


def _rows_of(entity: Entity, criteria: Criteria, user: User) -> Q:
    condition = _compiled(entity, criteria, user)
    return condition if entity is Entity.CONTACT else Q(kind=entity) & condition


def _compiled(entity: Entity, criteria: Criteria, user: User) -> Q:
    if not isinstance(criteria, Condition):
        members = (_compiled(entity, member, user) for member in criteria.members)
        return reduce(or_ if criteria.is_any else and_, members)
    condition = _asked(entity, criteria, user)
    return ~condition if criteria.operator in _NEGATED else condition


def _asked(entity: Entity, condition: Condition, user: User) -> Q:
    """Return what a condition asks, or the contrary where its operator says no."""
    name, operator, value = condition.field, condition.operator, condition.value
    is_about_emptiness = operator in (Operator.IS_EMPTY, Operator.NOT_EMPTY)
    match FIELDS[entity][name].type:
        case FieldType.TEXT:
            return Q(
                **{name: ""} if is_about_emptiness else {f"{name}__{_LOOKUPS[operator]}": value}
            )
        case FieldType.CHOICE:
            choices = value if isinstance(value, tuple) else (str(value),)
            return reduce(or_, (_choice(entity, name, choice) for choice in choices))
        case _ if is_about_emptiness:
            return Q(**{f"{name}__isnull": True})
        case FieldType.DATE:
            return _within(entity, condition, user)
        case FieldType.PARTY:
            participations = _PARTICIPATIONS[name]
            if name == "party" and entity is Entity.SERVICE_ACTIVITY:
                participations = {*participations, _ROLES.RESOURCE}
            who: Any = user.pk if value == ME else value
            parties = AppointmentParty.objects.filter(user=who, participation__in=participations)
            return Q(pk__in=parties.values("appointment"))
        case _:
            return Q(**{name: user.pk if value == ME else value})


def _choice(entity: Entity, name: str, choice: str) -> Q:
    if entity is Entity.CONTACT:
        return Q(is_active=choice == "active")
    if name == "priority":
        return Q(priority=Priority[choice.upper()])
    if name == "status":
        return Q(status=Appointment.Status[choice.upper()])
    is_appointment = entity.kind is ItemKind.APPOINTMENT
    statuses = APPOINTMENT_STATUSES if is_appointment else TASK_STATUSES[RecordType(entity)]
    state = State[choice.upper()]
    return Q(status__in=[code for code, status in statuses.items() if status.state is state])


def _within(entity: Entity, condition: Condition, user: User) -> Q:
    """Ask for days: of a moment, the days of the user's clock."""
    first, last = _days(condition, _today(user))
    name = condition.field
    is_day = not isinstance(MODELS[entity.kind]._meta.get_field(name), models.DateTimeField)
    found = Q(**{f"{name}__isnull": False})
    if first is not None:
        found &= Q(**{f"{name}__gte": first if is_day else _midnight(first, user)})
    if last is not None:
        end = last + timedelta(days=1)
        found &= Q(**{f"{name}__lt": end if is_day else _midnight(end, user)})
    return found


def _days(condition: Condition, today: date) -> tuple[date | None, date | None]:
    """Return the first and the last day that are asked for; None: no bound."""
    value = condition.value
    match condition.operator:
        case Operator.TODAY:
            return today, today
        case Operator.LAST_DAYS if isinstance(value, int):
            return today - timedelta(days=value), today
        case Operator.NEXT_DAYS if isinstance(value, int):
            return today, today + timedelta(days=value)
    assert isinstance(value, date)
    return (
        None if condition.operator is Operator.ON_OR_BEFORE else value,
        None if condition.operator is Operator.ON_OR_AFTER else value,
    )


def _today(user: User) -> date:
    return timezone.now().astimezone(clock_of(user.time_zone)).date()


def _midnight(day: date, user: User) -> datetime:
    return datetime.combine(day, time(), clock_of(user.time_zone))
