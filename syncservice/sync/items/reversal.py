"""Reverse a conflict: the record gets the value that had lost, which then travels as any change."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from syncservice.crm.models import User
from syncservice.domain.item_values import ItemKind, Value, Values
from syncservice.domain.merge import ATTENDEE, ROLES, SERIES, Side
from syncservice.mailboxes import administration, audit, schedule
from syncservice.mailboxes.models import ItemConflict, ItemLink, Lane
from syncservice.sync.item_records import records_of

_NOTHING: Any = object()  # equal to no value


@transaction.atomic
def reverse(conflict_id: int, actor: str) -> None:
    """Write the losing value of a conflict to its record.

    Raise ValidationError when there is no such conflict, when it was reversed, or when somebody has
    changed the value, the record or the mailbox's owner since: then nothing is written.
    """
    found = ItemConflict.objects.filter(pk=conflict_id)
    schedule.lock(found.values_list("link__mailbox", flat=True))
    rows = found.select_related("link__mailbox").defer("link__mailbox__password")
    conflict = rows.select_for_update(of=["self"]).first()
    if conflict is None:
        raise ValidationError(_("There is no such conflict."))
    if conflict.reversed_at is not None:
        raise ValidationError(_("It was reversed already."))
    link = conflict.link
    owner = administration.owner_of(link.mailbox)
    if not isinstance(owner, User):
        raise ValidationError(_("The mailbox is no user's any more."))
    _write(conflict, link, owner)
    found.update(reversed_at=Now(), reversed_by=actor)
    schedule.wake([link.mailbox_id], Lane.ACT, "a conflict was reversed")
    audit.note(actor, "conflict.reversed", mailbox=link.mailbox, conflict=conflict.pk)


def _write(conflict: ItemConflict, link: ItemLink, owner: User) -> None:
    records = records_of(ItemKind(link.kind))
    record = records.load([link.key]).get(link.key)
    if record is not None:  # nobody changes it between the look and the writing
        type(record).objects.select_for_update().filter(pk=record.pk).first()
        record = records.load([link.key]).get(link.key)
    if record is None:
        raise ValidationError(_("The record is gone."))
    kept, lost = conflict.crm, conflict.exchange
    if conflict.winner == Side.EXCHANGE:
        kept, lost = lost, kept
    values = records.values(record, owner)
    if not _is_same(conflict.name, _said(conflict.name, values), kept):
        raise ValidationError(_("It was changed since; change the record itself."))
    records.apply(record, _told(conflict.name, lost, values), owner)


def _said(name: str, values: Values) -> Value:
    """Return what a record says of the name of a conflict, as `domain.merge` has it there."""
    if name == SERIES:
        return {part: values.get(part) for part in ("time", SERIES)}
    if not name.startswith(ATTENDEE):
        return values.get(name)
    address = name.removeprefix(ATTENDEE)
    roles = [
        role for role in ROLES for person in values.get(role, ()) if person["address"] == address
    ]
    return roles[0] if roles else None


def _is_same(name: str, one: Value, other: Value) -> bool:
    if name == "organizer":  # each side has its own names for people
        one, other = (person["address"] if person else None for person in (one, other))
    if name == SERIES:
        other = {part: (other or {}).get(part, _NOTHING) for part in ("time", SERIES)}
    return bool(one == other)


def _told(name: str, value: Value, values: Values) -> Values:
    """Return the values that the record gets."""
    if name == SERIES:
        return dict(value)
    if not name.startswith(ATTENDEE):
        return {name: value}
    address = name.removeprefix(ATTENDEE)
    people = [person for role in ROLES for person in values.get(role, ())]
    known = {person["address"]: person for person in people}
    told = {
        role: [person for person in values.get(role, ()) if person["address"] != address]
        for role in ROLES
    }
    if value is not None:
        told[value].append(known.get(address, {"address": address, "name": ""}))
        told[value].sort(key=lambda person: person["address"])
    return told
