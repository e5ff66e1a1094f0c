"""The field map: which value of a record travels which way, and what an organisation may change.

Its rows are those of REFERENCE 3F; how both sides say a value is in `item_values`.
"""

import enum
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from typing import TypeVar

from syncservice.domain.item_values import VALUES, ItemKind

T = TypeVar("T")


class Direction(enum.Flag):
    """Which way a value may travel; the numbers are those of the metadata (2F)."""

    NONE = 0
    TO_EXCHANGE = 1
    TO_CRM = 2
    BOTH = 3


class RecordType(enum.StrEnum):
    """What the CRM keeps apart and Exchange doesn't (F204)."""

    APPOINTMENT = "appointment"
    RECURRING_APPOINTMENT = "recurring_appointment"
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
    RecordType.APPOINTMENT: ItemKind.APPOINTMENT,
    RecordType.RECURRING_APPOINTMENT: ItemKind.APPOINTMENT,
    RecordType.SERVICE_ACTIVITY: ItemKind.APPOINTMENT,
    RecordType.CONTACT: ItemKind.CONTACT,
}


class Switch(enum.Enum):
    """A setting of the organisation without which a mapping is off, whatever its direction."""

    ATTACHMENTS = enum.auto()  # F191
    THREE_ADDRESSES = enum.auto()  # F192


#: What "any" stands for.
ANY = frozenset({Direction.BOTH, Direction.TO_EXCHANGE, Direction.TO_CRM, Direction.NONE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """A row of the field map."""

    name: str  # unique: "task.due"; what overrides go by
    record_type: RecordType
    values: tuple[str, ...]  # names of the values that it consists of
    exchange_name: str
    crm_name: str
    default: Direction  # while its switch, if it has one, is off: Direction.NONE
    allowed: frozenset[Direction]  # that an organisation may choose
    switch: Switch | None = None
    is_computed: bool = False  # of several fields

    @property
    def kind(self) -> ItemKind:
        return self.record_type.kind

    @property
    def is_fixed(self) -> bool:
        return len(self.allowed) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldSettings:
    """An organisation's choice (F190)."""

    directions: MappingOf[str, Direction] = field(default_factory=dict)  # by a mapping's name
    attachments: bool = False  # F191
    three_addresses: bool = False  # F192

    def has(self, switch: Switch | None) -> bool:
        """Say whether what `switch` stands for is on."""
        if switch is Switch.ATTACHMENTS:
            return self.attachments
        return self.three_addresses if switch is Switch.THREE_ADDRESSES else True


def directions(record_type: RecordType, settings: FieldSettings) -> dict[str, Direction]:
    """Return for every name of the kind's values which way it may travel.

    Those of occurrences are not listed: they go the way of "recurrence". A reminder goes to
    Exchange only (3F), what attendees answered to the CRM only; of a service activity, nothing
    comes back (3G).
    """
    found = dict.fromkeys(VALUES[record_type.kind], Direction.NONE)
    if "reminder" in found:
        found["reminder"] = Direction.TO_EXCHANGE
    if "responses" in found and record_type is not RecordType.SERVICE_ACTIVITY:
        found["responses"] = Direction.TO_CRM
    for mapping in MAPPINGS[record_type]:
        found |= dict.fromkeys(mapping.values, _direction(mapping, settings))
    return found


def _direction(mapping: Mapping, settings: FieldSettings) -> Direction:
    if not settings.has(mapping.switch):
        return Direction.NONE
    chosen = settings.directions.get(mapping.name)
    if chosen is not None and chosen in mapping.allowed:
        return chosen
    return mapping.default if mapping.switch is None else Direction.BOTH


def by_value(record_type: RecordType, by_mapping: MappingOf[str, T]) -> dict[str, T]:
    """Return what is said of mappings, by their names, by the names of their values."""
    return {
        value: by_mapping[mapping.name]
        for mapping in MAPPINGS[record_type]
        if mapping.name in by_mapping
        for value in mapping.values
    }


def problems(overrides: MappingOf[str, Direction]) -> list[str]:
    """Say of each direction that can't be chosen why, in a sentence."""
    found = []
    for name, direction in overrides.items():
        mapping = BY_NAME.get(name)
        if mapping is None:
            found.append(f"There is no mapping {name}.")
        elif direction not in mapping.allowed and mapping.switch is Switch.ATTACHMENTS:
            found.append(f"{mapping.crm_name}: the setting for attachments decides.")
        elif direction not in mapping.allowed and mapping.is_fixed:
            found.append(f"{mapping.crm_name} ({name}): its direction can't be changed.")
        elif direction not in mapping.allowed:
            found.append(f"{mapping.crm_name} ({name}) can't go that way.")
    return found


#: Of a mapping: the rest of its name, and what it is called in Exchange and in the CRM.
_Row = tuple[str, str, str]

_APPOINTMENT_ANY: tuple[_Row, ...] = (
    ("body", "Body", "Description"),
    ("location", "Location", "Location"),
    ("subject", "Subject", "Subject"),
)
_APPOINTMENT_FIXED: tuple[_Row, ...] = (
    ("importance", "Importance", "Priority"),
    ("optional", "Optional attendees", "Optional attendees"),
    ("organizer", "Organizer", "Organizer"),
    ("regarding", "Regarding", "Regarding"),
    ("required", "Required attendees", "Required attendees"),
    ("show_as", "Show time as", "Appointment status"),
)
_TIME: _Row = ("time", "Appointment time", "Appointment time")
_ATTACHMENTS: _Row = ("attachments", "Attachments", "Attachments")
_RECURRENCE: _Row = ("recurrence", "Recurrence pattern", "Recurrence pattern")
_CONTACT_ANY: tuple[_Row, ...] = (
    ("anniversary", "Anniversary", "Anniversary"),
    ("assistant", "Assistant's name", "Assistant"),
    ("assistant_phone", "Assistant's phone", "Assistant phone"),
    ("birthday", "Birthday", "Birthday"),
    ("business_fax", "Business fax", "Fax"),
    ("business_phone", "Business phone", "Business phone"),
    ("business_phone2", "Business phone 2", "Business phone 2"),
    ("callback", "Callback", "Callback number"),
    ("children", "Children", "Children's names"),
    ("company_phone", "Company main phone", "Company phone"),
    ("department", "Department", "Department"),
    ("email1", "E-mail", "Email"),
    ("email2", "E-mail 2", "Email address 2"),
    ("email3", "E-mail 3", "Email address 3"),
    ("ftp_site", "FTP site", "FTP site"),
    ("government_id", "Government ID number", "Government"),
    ("home_phone", "Home phone", "Home phone"),
    ("home_phone2", "Home phone 2", "Home phone 2"),
    ("job_title", "Job title", "Job title"),
    ("business_address", "Mailing or business address", "Address 1"),
    ("manager", "Manager's name", "Manager"),
    ("mobile", "Mobile phone", "Mobile phone"),
    ("nickname", "Nickname", "Nickname"),
    ("notes", "Notes", "Description"),
    ("other_phone", "Other phone", "Telephone 3"),
    ("pager", "Pager", "Pager"),
    ("spouse", "Spouse/partner", "Spouse/partner name"),
    ("web_page", "Web page", "Website"),
    ("yomi_first", "Yomi first name", "Yomi first name"),
    ("yomi_last", "Yomi last name", "Yomi last name"),
)
_CONTACT_FIXED: tuple[_Row, ...] = (
    ("full_name", "Full name", "Full name"),
    ("company", "Company", "Company name"),
)
_CONTACT_THREE: tuple[_Row, ...] = (
    ("home_address", "Home address", "Address 2"),
    ("other_address", "Other address", "Address 3"),
)
_TASK_ANY: tuple[_Row, ...] = (
    ("completed", "Date completed", "Actual end"),
    ("due", "Due date", "Due date"),
    ("notes", "Notes", "Description"),
    ("start", "Start date", "Start date"),
    ("subject", "Subject", "Subject"),
)
_TASK_FIXED: tuple[_Row, ...] = (
    ("importance", "Importance", "Priority"),
    ("regarding", "Regarding", "Regarding"),
    ("status", "Status", "Status"),
)
_PERCENT: _Row = ("percent_complete", "% complete", "Percent complete")
_COMPUTED = frozenset(
    {"time", "attachments", "recurrence", "show_as", "status", "full_name"}
    | {"business_address", "home_address", "other_address"}
)


def _mappings(
    record_type: RecordType,
    *rows: _Row,
    default: Direction = Direction.BOTH,
    allowed: frozenset[Direction] = ANY,
    switch: Switch | None = None,
) -> tuple[Mapping, ...]:
    return tuple(
        Mapping(
            name=f"{record_type}.{name}",
            record_type=record_type,
            # Of a series, the time is its first occurrence's: the one is nothing without the other.
            values=("time", "recurrence") if name == "recurrence" else (name,),
            exchange_name=exchange_name,
            crm_name=crm_name,
            default=default,
            allowed=allowed,
            switch=switch,
            is_computed=name in _COMPUTED,
        )
        for name, exchange_name, crm_name in rows
    )


def _fixed(record_type: RecordType, *rows: _Row, way: Direction) -> tuple[Mapping, ...]:
    return _mappings(record_type, *rows, default=way, allowed=frozenset({way}))


def _all(record_type: RecordType) -> tuple[Mapping, ...]:
    both = Direction.BOTH
    match record_type:
        case RecordType.SERVICE_ACTIVITY:
            rows = (_TIME, *_APPOINTMENT_FIXED, *_APPOINTMENT_ANY)
            return _fixed(record_type, *rows, way=Direction.TO_EXCHANGE)
        case RecordType.APPOINTMENT:
            return (
                *_mappings(record_type, *_APPOINTMENT_ANY),
                *_fixed(record_type, _TIME, *_APPOINTMENT_FIXED, way=both),
                *_mappings(
                    record_type,
                    _ATTACHMENTS,
                    default=Direction.NONE,
                    allowed=frozenset({Direction.NONE}),
                    switch=Switch.ATTACHMENTS,
                ),
            )
        case RecordType.RECURRING_APPOINTMENT:
            return (
                *_mappings(record_type, *_APPOINTMENT_ANY),
                *_fixed(record_type, _RECURRENCE, *_APPOINTMENT_FIXED, way=both),
            )
        case RecordType.CONTACT:
            return (
                *_mappings(record_type, *_CONTACT_ANY),
                *_fixed(record_type, *_CONTACT_FIXED, way=both),
                *_mappings(
                    record_type,
                    *_CONTACT_THREE,
                    default=Direction.NONE,
                    switch=Switch.THREE_ADDRESSES,
                ),
            )
    rows = (*_TASK_ANY, _PERCENT) if record_type is RecordType.TASK else _TASK_ANY
    return (*_mappings(record_type, *rows), *_fixed(record_type, *_TASK_FIXED, way=both))


MAPPINGS: MappingOf[RecordType, tuple[Mapping, ...]] = {
    record_type: _all(record_type) for record_type in RecordType
}
BY_NAME: MappingOf[str, Mapping] = {
    mapping.name: mapping for mappings in MAPPINGS.values() for mapping in mappings
}
