"""The records of each kind, as `sync.items` reads and writes them."""

from typing import Any

from syncservice.domain.item_values import ItemKind
from syncservice.sync.appointment_records import AppointmentRecords
from syncservice.sync.contact_records import ContactRecords
from syncservice.sync.kind_records import KindRecords
from syncservice.sync.task_records import TaskRecords

_KINDS: dict[ItemKind, type[KindRecords[Any]]] = {
    ItemKind.APPOINTMENT: AppointmentRecords,
    ItemKind.CONTACT: ContactRecords,
    ItemKind.TASK: TaskRecords,
}


def records_of(kind: ItemKind) -> Any:
    """Return the records of a kind, for one visit: what it learns of addresses it remembers."""
    return _KINDS[kind]()
