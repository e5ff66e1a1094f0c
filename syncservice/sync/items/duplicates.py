"""Ask before a tracked contact becomes a record that the CRM may have already (F213).

Adoption links for certain, when a mailbox begins; what is only likely, or comes later, is here. The
answer is kept with the link: that a record is made all the same, or which record it is. Until then
the contact stays in the mailbox only.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from syncservice.domain.adoption import Hint
from syncservice.domain.item_values import ItemKind, Values, subject_of
from syncservice.domain.likeness import Likeness, look_alikes
from syncservice.mailboxes.models import ItemLink
from syncservice.servers.gateway import Item
from syncservice.sync.items.book import Book
from syncservice.sync.items.steps import Step

State = ItemLink.State
DUPLICATE = ItemLink.Question.DUPLICATE_CONTACT
#: Links whose record may get another item of the mailbox.
ENDED = (State.UNLINKED, State.DELETED)
#: Nobody chooses among more.
MOST = 10

#: Records that a contact may be, the likeliest first.
Candidates: TypeAlias = Sequence[tuple[UUID, Likeness]]

# Each contact costs a look into an index for its name and for each of its addresses. A record that
# is in step with another item of this mailbox is none: the mailbox tells the two apart. Of a name
# or an address that very many bear, some are enough, first of all who bears both.
_IS_FREE = """contact.is_active AND NOT EXISTS (
  SELECT FROM mailboxes_itemlink AS link
  WHERE link.mailbox_id = %(mailbox)s AND link.kind = 'contact' AND link.key = contact.key
    AND link.state <> ALL(%(ended)s))"""
_FOLDED = "crm_folded_name(contact.first_name, contact.middle_name, contact.last_name)"
_COLUMNS = """contact.key, contact.first_name, contact.middle_name, contact.last_name,
  contact.email_address, contact.email_address2, contact.email_address3"""
_ALIKE = f"""
SELECT asked.place, found.*
FROM unnest(%(of_address)s::int[], %(addresses)s::text[], %(their_names)s::text[])
  AS asked (place, address, name)
CROSS JOIN LATERAL (
  SELECT {_COLUMNS} FROM crm_contact AS contact
  WHERE (upper(contact.email_address) = upper(asked.address)
      OR upper(contact.email_address2) = upper(asked.address)
      OR upper(contact.email_address3) = upper(asked.address)) AND {_IS_FREE}
  ORDER BY {_FOLDED} = crm_folded_name(asked.name, '', '') DESC, contact.id LIMIT %(most)s
) AS found
UNION ALL
SELECT asked.place, found.*
FROM unnest(%(of_name)s::int[], %(names)s::text[]) AS asked (place, name)
CROSS JOIN LATERAL (
  SELECT {_COLUMNS} FROM crm_contact AS contact
  WHERE {_FOLDED} = crm_folded_name(asked.name, '', '') AND {_IS_FREE}
  ORDER BY contact.id LIMIT %(most)s
) AS found
"""  # noqa: S608 - of texts of this module only
_FREE = f"""
SELECT contact.key FROM crm_contact AS contact WHERE contact.key = ANY(%(keys)s) AND {_IS_FREE}
"""  # noqa: S608 - the same


@dataclass(frozen=True, slots=True)
class Alike:
    """What the CRM has for some contacts that are to become records."""

    candidates: Mapping[str, Candidates] = field(default_factory=dict)  # by item id
    #: By link: the record that somebody chose for it, if it can still be had.
    chosen: Mapping[int, UUID] = field(default_factory=dict)
    selected: Collection[UUID] = ()  # of the chosen ones: by a filter


def look(book: Book, wanted: Iterable[tuple[ItemLink, Item]]) -> Alike:
    """Look for records that the contacts of some links may be: few statements for all of them."""
    if book.kind is not ItemKind.CONTACT:
        return Alike()
    undecided = [(link, item) for link, item in wanted if not _is_agreed(link)]
    chosen = _still_there(book, [link for link, _ in undecided if link.chosen])
    selected = book.records.keys_selected(book.user, chosen.values()) if chosen else ()
    asked = [item for link, item in undecided if link.pk not in chosen]
    if not asked or not book.organisation.checks_duplicate_contacts:
        return Alike(chosen=chosen, selected=selected)
    return Alike(_candidates(book, asked), chosen, selected)


def before_record(alike: Alike, link: ItemLink, item: Item) -> Step | None:
    """Return what comes before a record is made of a contact; None: nothing does."""
    if (key := alike.chosen.get(link.pk)) is not None:
        # Both are compared next, as any two that were found to be one.
        fields: dict[str, Any] = {"key": key, "state": State.LINKED, "due_at": Now()}
        fields["by_filter"] = key in alike.selected
        return Step(link=link, then=fields | _NOTHING_ASKED, takes_key=key)
    candidates = alike.candidates.get(item.item_id, ())
    if not candidates and (link.question != DUPLICATE or link.answer):
        return None
    # Also of a chosen one that is gone, when no other is left: it was not to be made anew.
    fields = _NOTHING_ASKED | {"question": DUPLICATE, "due_at": None}
    stored = [{"key": str(key), "likeness": likeness} for key, likeness in candidates]
    return Step(link=link, then=fields | {"candidates": stored})


def free_keys(book: Book, steps: Iterable[Step]) -> None:
    """Forget what became of records in this mailbox before they get another item of it."""
    if keys := [step.takes_key for step in steps if step.takes_key is not None]:
        book.links.filter(key__in=keys, state__in=ENDED).delete()


_NOTHING_ASKED: dict[str, Any] = {
    "question": "",
    "answer": None,
    "candidates": [],
    "chosen": None,
}


def _is_agreed(link: ItemLink) -> bool:
    """Whether somebody said that it becomes a record all the same."""
    return link.question == DUPLICATE and link.answer is True


def _still_there(book: Book, links: Iterable[ItemLink]) -> dict[int, UUID]:
    """Return the chosen records that can still be had, each of them for one link."""
    by_key = {link.chosen: link.pk for link in links if link.chosen is not None}
    if not by_key:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_FREE, {"keys": list(by_key), **_of(book)})
        return {by_key[key]: key for (key,) in cursor.fetchall()}


def _candidates(book: Book, items: Sequence[Item]) -> dict[str, Candidates]:
    hints = [hint_of(item.item_id, item.values) for item in items]
    addresses = [(n, address) for n, hint in enumerate(hints) for address in hint.addresses]
    names = [(n, hint.subject) for n, hint in enumerate(hints) if hint.subject.strip()]
    found: dict[int, list[Hint[UUID]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(
            _ALIKE,
            {
                "of_address": [place for place, _ in addresses],
                "addresses": [address for _, address in addresses],
                "their_names": [hints[place].subject for place, _ in addresses],
                "of_name": [place for place, _ in names],
                "names": [name for _, name in names],
                "most": MOST,
                **_of(book),
            },
        )
        for place, key, first, middle, last, *theirs in cursor.fetchall():
            name = {"first": first, "middle": middle, "last": last}
            subject = subject_of({"full_name": name})
            found[place].append(
                Hint(name=key, subject=subject, addresses=tuple(filter(None, theirs)))
            )
    return {
        hint.name: alike
        for place, hint in enumerate(hints)
        if (alike := look_alikes(hint, found[place], most=MOST))
    }


def hint_of(name: str, values: Values) -> Hint[str]:
    """Say of a contact what tells it from others."""
    addresses = (values.get(one) or "" for one in ("email1", "email2", "email3"))
    return Hint(
        name=name,
        subject=subject_of(values),
        addresses=tuple(filter(None, (address.strip() for address in addresses))),
    )


def _of(book: Book) -> dict[str, Any]:
    return {"mailbox": book.mailbox.pk, "ended": [str(state) for state in ENDED]}
