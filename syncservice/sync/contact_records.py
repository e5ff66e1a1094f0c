"""Contacts as values, and values as contacts (3F, 3I)."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

from django.db import models

from syncservice.crm.models import Contact, User
from syncservice.domain.field_map import RecordType
from syncservice.domain.item_values import CONTACT_VALUES, ItemKind, Value, Values, text_of
from syncservice.sync.kind_records import KindRecords, fitting

#: Values that are the text of one column.
_TEXTS = {
    "nickname": "nickname",
    "company": "company_name",
    "job_title": "job_title",
    "department": "department",
    "business_phone": "business_phone",
    "business_phone2": "business_phone2",
    "home_phone": "home_phone",
    "home_phone2": "home_phone2",
    "mobile": "mobile_phone",
    "company_phone": "company_phone",
    "callback": "callback_phone",
    "other_phone": "other_phone",
    "pager": "pager",
    "business_fax": "fax",
    "assistant": "assistant",
    "assistant_phone": "assistant_phone",
    "manager": "manager",
    "spouse": "spouse",
    "children": "children",
    "government_id": "government_id",
    "web_page": "web_site",
    "ftp_site": "ftp_site",
    "yomi_first": "yomi_first_name",
    "yomi_last": "yomi_last_name",
    "notes": "description",
}
_EMAILS = {"email1": "email_address", "email2": "email_address2", "email3": "email_address3"}
_DATES = ("birthday", "anniversary")
_NAMES = {"first": "first_name", "middle": "middle_name", "last": "last_name"}
_ADDRESSES = {
    "business_address": "address1",
    "home_address": "address2",
    "other_address": "address3",
}
_PARTS = ("street", "city", "state", "postal_code", "country")


class ContactRecords(KindRecords[Contact]):
    kind = ItemKind.CONTACT
    KEY = "key"

    def record_type(self, record: Contact) -> RecordType:
        return RecordType.CONTACT

    def values(self, record: Contact, user: User) -> Values:
        columns = {**_TEXTS, **_EMAILS}
        found = {name: text_of(getattr(record, column)) for name, column in columns.items()}
        if user.company_from_account and record.account is not None:
            found["company"] = text_of(record.account.name)  # F194
        dates = {name: getattr(record, name) for name in _DATES}
        return {
            **CONTACT_VALUES,
            **found,
            **{name: day.isoformat() if day else None for name, day in dates.items()},
            "full_name": _together(record, _NAMES),
            **{name: _together(record, _columns(prefix)) for name, prefix in _ADDRESSES.items()},
        }

    def apply(self, record: Contact, values: Values, user: User) -> None:
        """Write some values; a company is kept even where the account's name is told instead."""
        columns = _written(values)
        for column, value in columns.items():
            setattr(record, column, value)
        if columns:
            record.save(update_fields=columns)

    def create_all(self, items: Sequence[tuple[Values, UUID]], user: User) -> list[Contact]:
        return Contact.objects.bulk_create(
            Contact(key=key, owner=user, **_written(values)) for values, key in items
        )

    def _rows(self) -> "models.QuerySet[Contact]":
        return Contact.objects.select_related("account")


def _columns(prefix: str) -> dict[str, str]:
    return {part: f"{prefix}_{part}" for part in _PARTS}


def _together(record: Contact, columns: dict[str, str]) -> dict[str, str] | None:
    found = {part: text_of(getattr(record, column)) for part, column in columns.items()}
    return found if any(found.values()) else None


def _written(values: Values) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for name, value in values.items():
        written |= _columns_of(name, value)
    return written


def _columns_of(name: str, value: Value) -> dict[str, Any]:
    if name in _TEXTS:
        return {_TEXTS[name]: fitting(Contact, _TEXTS[name], value)}
    if name in _EMAILS:
        column = _EMAILS[name]
        whole = text_of(value)
        # A part of an address is somebody else's.
        return {column: whole if whole == fitting(Contact, column, whole) else ""}
    if name in _DATES:
        return {name: date.fromisoformat(value) if value else None}
    columns = _NAMES if name == "full_name" else _columns(_ADDRESSES[name])
    parts = value or {}
    return {
        column: fitting(Contact, column, parts.get(part, "")) for part, column in columns.items()
    }
