"""Filters: which records of a user go to Exchange (F180-F189), as criteria that people make.

Criteria are JSON: a condition {"field", "operator", "value"}, or a group of them {"all": […]} or
{"any": […]}, in which groups may stand. What a field may be asked depends on its type.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from syncservice.domain.item_values import ItemKind

MOST_CONDITIONS = 50
DEEPEST_GROUP = 5
LONGEST_TEXT = 255
MOST_DAYS = 3650
YEARS = range(1601, 4501)  # Exchange's
#: In place of a user's id: whoever the filter is applied for.
ME = "me"


class Entity(enum.StrEnum):
    """What has filters of its own; several of them are tasks in Exchange (F204)."""

    APPOINTMENT = "appointment"
    SERVICE_ACTIVITY = "service_activity"
    CONTACT = "contact"
    TASK = "task"
    PHONE_CALL = "phone_call"
    LETTER = "letter"
    FAX = "fax"

    @property
    def kind(self) -> ItemKind:
        return _KINDS.get(self, ItemKind.TASK)


_KINDS = {
    Entity.APPOINTMENT: ItemKind.APPOINTMENT,
    Entity.SERVICE_ACTIVITY: ItemKind.APPOINTMENT,
    Entity.CONTACT: ItemKind.CONTACT,
}


class FieldType(enum.Enum):
    TEXT = enum.auto()
    DATE = enum.auto()  # of a day, or of a moment: then the days are the user's
    CHOICE = enum.auto()
    USER = enum.auto()  # a user's id, or ME
    PARTY = enum.auto()  # the same, of whom there may be several
    RECORD = enum.auto()  # a record's id


class Operator(enum.StrEnum):
    EQ = "eq"
    NE = "ne"
    CONTAINS = "contains"
    NOT_CONTAINS = "not_contains"
    BEGINS = "begins"
    ENDS = "ends"
    IN = "in"
    ON = "on"
    ON_OR_AFTER = "on_or_after"
    ON_OR_BEFORE = "on_or_before"
    TODAY = "today"
    LAST_DAYS = "last_days"  # today, and so many days before
    NEXT_DAYS = "next_days"  # today, and so many days after
    IS_EMPTY = "is_empty"
    NOT_EMPTY = "not_empty"


_EMPTY = frozenset({Operator.IS_EMPTY, Operator.NOT_EMPTY})
_SAME = frozenset({Operator.EQ, Operator.NE})
_TEXT_PARTS = frozenset({Operator.CONTAINS, Operator.NOT_CONTAINS, Operator.BEGINS, Operator.ENDS})
_DAYS = frozenset({Operator.ON, Operator.ON_OR_AFTER, Operator.ON_OR_BEFORE})
_SPANS = frozenset({Operator.LAST_DAYS, Operator.NEXT_DAYS})
#: They select other records tomorrow, though nothing changes.
RELATIVE = _SPANS | {Operator.TODAY}
WITHOUT_VALUE = _EMPTY | {Operator.TODAY}
OPERATORS: Mapping[FieldType, frozenset[Operator]] = {
    FieldType.TEXT: _SAME | _TEXT_PARTS | _EMPTY,
    FieldType.DATE: _DAYS | RELATIVE | _EMPTY,
    FieldType.CHOICE: _SAME | {Operator.IN},
    FieldType.USER: _SAME | _EMPTY,
    FieldType.PARTY: _SAME,
    FieldType.RECORD: _SAME | _EMPTY,
}


@dataclass(frozen=True, slots=True)
class Field:
    type: FieldType
    choices: tuple[str, ...] = ()


def _fields(
    *, texts: str = "", dates: str = "", parties: str = "", records: str = "", **choices: str
) -> dict[str, Field]:
    return {
        "owner": Field(FieldType.USER),
        "created_at": Field(FieldType.DATE),
        "changed_at": Field(FieldType.DATE),
        **dict.fromkeys(texts.split(), Field(FieldType.TEXT)),
        **dict.fromkeys(dates.split(), Field(FieldType.DATE)),
        **dict.fromkeys(parties.split(), Field(FieldType.PARTY)),
        **dict.fromkeys(records.split(), Field(FieldType.RECORD)),
        **{name: Field(FieldType.CHOICE, tuple(said.split())) for name, said in choices.items()},
    }


_REGARDING = "regarding_account regarding_contact regarding_lead"
_APPOINTMENT = _fields(
    texts="subject location description",
    dates="starts_at ends_at",
    # `party`: in whatever way; a resource counts for service activities only (F186).
    parties="party organizer required optional resource",
    records=_REGARDING,
    state="open completed canceled scheduled",
    status="free tentative completed canceled busy out_of_office",
    priority="low normal high",
)
_TASK = _fields(
    texts="subject description",
    dates="starts_at due_at actual_end",
    records=_REGARDING,
    state="open completed canceled",
    priority="low normal high",
)
FIELDS: Mapping[Entity, Mapping[str, Field]] = {
    Entity.APPOINTMENT: _APPOINTMENT,
    Entity.SERVICE_ACTIVITY: _APPOINTMENT,
    Entity.CONTACT: _fields(
        texts="first_name last_name company_name job_title department email_address"
        " address1_city address1_state address1_postal_code address1_country",
        dates="birthday anniversary",
        records="account",
        state="active inactive",
    ),
    Entity.TASK: _TASK,
    Entity.PHONE_CALL: _TASK,
    Entity.LETTER: _TASK,
    Entity.FAX: _TASK,
}


@dataclass(frozen=True, slots=True)
class Condition:
    field: str
    operator: Operator
    #: Text; a `date`; a number of days; a choice, or several of them; an id or ME. None: the
    #: operator has none.
    value: str | int | date | tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    is_any: bool  # one of its members is enough
    members: "tuple[Criteria, ...]"


Criteria = Condition | Group


class BadCriteriaError(ValueError):
    """Criteria that can't be applied; `problems` are sentences for whoever made them."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = problems


def parse(entity: Entity, data: object) -> Criteria:
    """Read criteria for records of `entity`, or raise BadCriteriaError."""
    reader = _Reader(FIELDS[entity])
    criteria = reader.read(data, 1)
    if reader.count > MOST_CONDITIONS:
        reader.problems = [f"There are more than {MOST_CONDITIONS} conditions."]
    if criteria is None or reader.problems:
        raise BadCriteriaError(reader.problems)
    return criteria


def conditions_of(criteria: Criteria) -> Iterator[Condition]:
    if isinstance(criteria, Condition):
        yield criteria
    else:
        for member in criteria.members:
            yield from conditions_of(member)


def is_relative(criteria: Criteria) -> bool:
    """Say whether another day selects other records."""
    return any(condition.operator in RELATIVE for condition in conditions_of(criteria))


class _Reader:
    def __init__(self, fields: Mapping[str, Field]) -> None:
        self.fields = fields
        self.problems: list[str] = []
        self.count = 0

    def read(self, data: object, depth: int) -> Criteria | None:
        """Read a condition or a group; None: there is a problem, or there were too many already."""
        if self.count > MOST_CONDITIONS:
            return None
        try:
            return self._read(data, depth)
        except ValueError as error:
            self.problems.append(str(error))
            return None

    def _read(self, data: object, depth: int) -> Criteria:
        if isinstance(data, dict) and len(data) == 1 and data.keys() <= {"all", "any"}:
            if depth > DEEPEST_GROUP:
                raise ValueError(f"Groups stand in each other {DEEPEST_GROUP} deep at most.")
            ((name, members),) = data.items()
            if not isinstance(members, list) or not members:
                raise ValueError(f"“{name}” is a list with at least one condition.")
            read = [self.read(member, depth + 1) for member in members]
            return Group(name == "any", tuple(member for member in read if member is not None))
        self.count += 1
        if not isinstance(data, dict):
            raise ValueError("A condition or a group is an object.")  # noqa: TRY004
        unknown = data.keys() - {"field", "operator", "value"}
        if unknown:
            raise ValueError(f"A condition has no “{_said(min(unknown, key=str))}”.")
        return self._condition(data.get("field"), data.get("operator"), data.get("value"))

    def _condition(self, name: object, said: object, value: object) -> Condition:
        if not isinstance(name, str) or name not in self.fields:
            known = ", ".join(sorted(self.fields))
            raise ValueError(f"There is no field “{_said(name)}”; there are {known}.")
        field = self.fields[name]
        allowed = OPERATORS[field.type]
        if not isinstance(said, str) or said not in allowed:
            choice = ", ".join(sorted(allowed))
            raise ValueError(f"{name} can't be asked “{_said(said)}”, but {choice}.")
        operator = Operator(said)
        if operator not in WITHOUT_VALUE:
            return Condition(name, operator, _value(name, operator, field, value))
        if value is not None:
            raise ValueError(f"{name}: “{operator}” takes no value.")
        return Condition(name, operator)


def _value(
    name: str, operator: Operator, field: Field, value: Any
) -> str | int | date | tuple[str, ...]:
    match field.type:
        case FieldType.TEXT:
            if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT:
                raise ValueError(f"{name}: the value is a text of 1 to {LONGEST_TEXT} characters.")
            return value
        case FieldType.DATE if operator in _SPANS:
            if type(value) is not int or not 0 < value <= MOST_DAYS:
                raise ValueError(f"{name}: the value is a number of days, from 1 to {MOST_DAYS}.")
            return value
        case FieldType.DATE:
            return _date(name, value)
        case FieldType.CHOICE if operator is Operator.IN:
            if not isinstance(value, list) or not 0 < len(value) <= len(field.choices):
                raise ValueError(f"{name}: the value is a list of choices.")
            return tuple(_choice(name, field, one) for one in value)
        case FieldType.CHOICE:
            return _choice(name, field, value)
        case FieldType.USER | FieldType.PARTY if value == ME:
            return ME
        case _:
            if type(value) is not int or not 0 < value < 2**63:
                raise ValueError(f"{name}: the value is the number of a record.")
            return value


def _date(name: str, value: Any) -> date:
    try:
        day = date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: the value is a date, as “2026-03-31”.") from None
    if day.year not in YEARS:
        raise ValueError(f"{name}: the date lies from {YEARS.start} to {YEARS.stop - 1}.")
    return day


def _choice(name: str, field: Field, value: object) -> str:
    if not isinstance(value, str) or value not in field.choices:
        raise ValueError(f"{name}: the value is one of {', '.join(field.choices)}.")
    return value


def _said(text: object) -> str:
    return str(text)[:50]
