"""What the records of all kinds have in common as sides of a synchronization."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from django.db import models

from syncservice.crm import filtering
from syncservice.crm.models import Account, Contact, Lead, Priority, Regarding, User
from syncservice.domain.item_values import ItemKind, Value, Values, text_of

Row = TypeVar("Row", bound=models.Model)

_ABOUT: dict[str, type[models.Model]] = {"account": Account, "contact": Contact, "lead": Lead}
_IMPORTANCE = {Priority.LOW: "low", Priority.NORMAL: "normal", Priority.HIGH: "high"}
_PRIORITIES = {importance: priority for priority, importance in _IMPORTANCE.items()}


class KindRecords(ABC, Generic[Row]):
    """The records of one kind; what they say is said in the values of `domain.item_values`."""

    kind: ClassVar[ItemKind]
    KEY: ClassVar[str] = "pk"

    def keys_selected(self, user: User, among: Collection[UUID] | None = None) -> set[UUID]:
        """Return the keys of the records that the user's filters select; `among`: of these."""
        return filtering.keys_selected(self.kind, user, self.KEY, among)

    def filters_digest(self, user: User) -> str:
        return filtering.digest(self.kind, user)

    def load(self, keys: Iterable[UUID]) -> dict[UUID, Row]:
        """Return these records, with all that their values are made of; some may be gone."""
        rows = self._rows().filter(**{f"{self.KEY}__in": list(keys)})
        return {getattr(row, self.KEY): row for row in rows}

    def existing(self, keys: Iterable[UUID]) -> set[UUID]:
        """Tell which of these records are there."""
        rows = self._rows().filter(**{f"{self.KEY}__in": list(keys)})
        return set(rows.values_list(self.KEY, flat=True))

    def locked(self, records: Iterable[Row]) -> set[UUID]:
        """Lock records until the transaction ends; return the keys of those still as they were.

        Always in one order, so that two visits don't wait for each other.
        """
        known = {getattr(row, self.KEY): self.changed_at(row) for row in records}
        rows = self._rows().prefetch_related(None).filter(**{f"{self.KEY}__in": list(known)})
        there = rows.order_by(self.KEY).select_for_update(no_key=True, of=["self"])
        found = there.values_list(self.KEY, "changed_at")
        return {key for key, changed_at in found if known[key] == changed_at}

    def delete(self, record: Row) -> None:
        record.delete()

    def changed_at(self, record: Row) -> datetime:
        """Say when it changed, by the database's clock; of a record that was loaded."""
        found: datetime = record.changed_at  # type: ignore[attr-defined]
        return found

    def prepare(self, values: Iterable[Values]) -> None:
        """Look up at once what many values name, before they are written one by one."""

    def create(self, values: Values, user: User, key: UUID) -> Row:
        """Make one record of an item, owned by the user; see `create_all`."""
        return self.create_all([(values, key)], user)[0]

    @abstractmethod
    def create_all(self, items: Sequence[tuple[Values, UUID]], user: User) -> list[Row]:
        """Make records of items, owned by the user, in their order."""

    @abstractmethod
    def _rows(self) -> "models.QuerySet[Row]":
        """Return the records with all that their values are made of."""


def fitting(model: type[models.Model], column: str, value: Value) -> str:
    """Return text as a column can hold it: Exchange keeps longer ones than the CRM."""
    longest: int | None = model._meta.get_field(column).max_length  # type: ignore[union-attr]
    return text_of(value)[:longest]


def moment_of(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def importance_of(priority: int) -> str:
    return _IMPORTANCE[Priority(priority)]


def priority_of(importance: str) -> Priority:
    return _PRIORITIES[importance]


def regarding_of(record: Regarding) -> str:
    """Say what a record is about: "account:7"; '': nothing."""
    for kind in _ABOUT:
        number = getattr(record, f"regarding_{kind}_id")
        if number is not None:
            return f"{kind}:{number}"
    return ""


def regarding_columns(about: str) -> dict[str, Any]:
    """Return the columns of what a record is about; nothing, if that is gone."""
    columns: dict[str, Any] = dict.fromkeys(Regarding.REGARDING_IDS)
    kind, _, number = about.partition(":")
    model = _ABOUT.get(kind)
    if model is None or not number.isdecimal():
        return columns
    if model._default_manager.filter(pk=int(number)).exists():
        columns[f"regarding_{kind}_id"] = int(number)
    return columns
