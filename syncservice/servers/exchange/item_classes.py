"""The three classes of items: where Exchange keeps them, what is asked of them, how they are read.

What every item has besides its values: the record key of this software, categories, its last
change.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from syncservice.domain.item_values import VALUES, ItemKind, Values
from syncservice.servers.exchange.answers import categories_in
from syncservice.servers.exchange.calendar_fields import (
    CALENDAR_FACTS,
    CALENDAR_FIELDS,
    IS_CANCELLED,
    START,
    UID,
    is_organizer,
    own_response,
)
from syncservice.servers.exchange.contact_fields import CONTACT_FIELDS, DISPLAY_NAME, EMAILS
from syncservice.servers.exchange.fields import (
    SUBJECT,
    Field,
    date_at,
    is_true,
    moment_in,
    text_at,
    written_moment,
)
from syncservice.servers.exchange.properties import (
    Element,
    Parts,
    Plain,
    Property,
    Setting,
    named,
    ours,
    parts_of,
)
from syncservice.servers.exchange.task_fields import DUE, TASK_CONDITION, TASK_FIELDS, unsupported
from syncservice.servers.gateway import Item, ListedItem

RECORD_KEY = ours("syncservice-record")
CATEGORIES = Plain("item:Categories")
_CHANGED_AT = Plain("item:LastModifiedTime")
#: Of EWS's schema, those that are written.
_ORDER = (
    *("Subject", "Body", "Categories", "Importance", "ReminderDueBy", "ReminderIsSet"),
    *("ReminderMinutesBeforeStart", "ExtendedProperty"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemClass:
    """How items of a kind are kept."""

    kind: ItemKind
    tag: str  # of their element
    folder: str
    fields: tuple[Field, ...]
    order: tuple[str, ...]  # of the schema
    title: Property
    listed: tuple[Property, ...] = ()  # besides what all have
    starts_at: Callable[[Parts], str | None] = lambda _: None  # as items of a list say it
    read: tuple[Property, ...] = ()  # besides what the fields are read from
    unsupported: Callable[[Parts], str] = lambda _: ""

    @property
    def properties_listed(self) -> tuple[Property, ...]:
        return (RECORD_KEY, CATEGORIES, self.title, *self.listed)

    @property
    def properties_read(self) -> tuple[Property, ...]:
        of_fields = [source for field in self.fields for source in field.properties]
        every: list[Property] = [RECORD_KEY, CATEGORIES, _CHANGED_AT, *self.read, *of_fields]
        return tuple(dict.fromkeys(every))

    def settings(self, values: Values) -> Iterator[Setting]:
        """Return what is to be set for some values, in the order in which it is to be."""
        for field in self.fields:
            if field.name in values:
                yield from field.settings(values[field.name])

    def settings_of_new(self, values: Values) -> Iterator[Setting]:
        """Return what is to be set for the values of a new item.

        What Exchange has anyway is left out: of a task, even "0 %" would set a status. Reminders
        are not: it gives new items some of its own.
        """
        usual = VALUES[self.kind]
        yield from self.settings(
            {
                name: value
                for name, value in values.items()
                if name == "reminder" or value != usual.get(name)
            }
        )


CLASSES: Mapping[ItemKind, ItemClass] = {
    ItemKind.CONTACT: ItemClass(
        kind=ItemKind.CONTACT,
        tag="Contact",
        folder="contacts",
        fields=CONTACT_FIELDS,
        order=(
            *_ORDER,
            *("FileAs", "DisplayName", "GivenName", "MiddleName", "Nickname", "CompanyName"),
            *("EmailAddresses", "PhysicalAddresses", "PhoneNumbers", "AssistantName", "Birthday"),
            *("BusinessHomePage", "Children", "Department", "JobTitle", "Manager", "SpouseName"),
            *("Surname", "WeddingAnniversary"),
        ),
        title=DISPLAY_NAME,
        listed=EMAILS,
    ),
    ItemKind.TASK: ItemClass(
        kind=ItemKind.TASK,
        tag="Task",
        folder="tasks",
        fields=TASK_FIELDS,
        order=(*_ORDER, "CompleteDate", "DueDate", "PercentComplete", "StartDate", "Status"),
        title=SUBJECT.properties[0],
        listed=(DUE,),
        starts_at=lambda parts: date_at(parts, DUE),
        read=TASK_CONDITION,
        unsupported=unsupported,
    ),
    ItemKind.APPOINTMENT: ItemClass(
        kind=ItemKind.APPOINTMENT,
        tag="CalendarItem",
        folder="calendar",
        fields=CALENDAR_FIELDS,
        order=(
            *_ORDER,
            *("Start", "End", "IsAllDayEvent", "LegacyFreeBusyStatus", "Location"),
            *("RequiredAttendees", "OptionalAttendees", "Recurrence", "StartTimeZone"),
            "EndTimeZone",
        ),
        title=SUBJECT.properties[0],
        listed=(START, UID),
        starts_at=lambda parts: written_moment(text_at(parts, START)),
        read=CALENDAR_FACTS,
    ),
}


def listed_item(kind: ItemClass, element: Element) -> ListedItem:
    """Read an item's element of a list; it has no more than `properties_listed`."""
    item_id, change_key = ids_of(element)
    parts = parts_of(element)
    return ListedItem(
        item_id=item_id,
        change_key=change_key,
        record_key=text_at(parts, RECORD_KEY),
        categories=categories_in(element),
        subject=text_at(parts, kind.title),
        starts_at=kind.starts_at(parts),
        uid=text_at(parts, UID),
        addresses=tuple(filter(None, (text_at(parts, one).lower() for one in EMAILS))),
    )


def item(kind: ItemClass, element: Element, owner: str) -> Item:
    """Read an item's element that has `properties_read`; `owner` is the mailbox's address."""
    item_id, change_key = ids_of(element)
    parts = parts_of(element)
    values = {field.name: field.read(parts) for field in kind.fields}
    if owner in values.get("responses", ()) and not is_organizer(parts):
        values["responses"][owner] = own_response(parts)
    return Item(
        item_id=item_id,
        change_key=change_key,
        values=values,
        record_key=text_at(parts, RECORD_KEY),
        categories=categories_in(element),
        changed_at=moment_in(text_at(parts, _CHANGED_AT)),
        uid=text_at(parts, UID),
        is_organizer=is_organizer(parts),
        is_cancelled=is_true(parts, IS_CANCELLED),
        unsupported=kind.unsupported(parts),
    )


def ids_of(element: Element) -> tuple[str, str]:
    """Read an item's id and change key."""
    attributes = element.find(named("ItemId")).attrib
    return attributes["Id"], attributes["ChangeKey"]
