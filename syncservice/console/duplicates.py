"""Contacts of a mailbox that the CRM may have already, as people see them to decide (F213).

The contact's own name is for the eyes of its mailbox's owner (F305), the records are the CRM's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from syncservice.crm.models import Contact
from syncservice.domain.likeness import Likeness
from syncservice.mailboxes import item_questions
from syncservice.mailboxes.models import ItemLink, Mailbox

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

WORDS: "dict[Likeness, _StrPromise]" = {
    Likeness.ADDRESS_AND_NAME: _("the same address and name"),
    Likeness.ADDRESS: _("the same address"),
    Likeness.NAME: _("the same name"),
}


@dataclass(frozen=True, slots=True)
class Record:
    """A contact of the CRM that a contact of the mailbox may be."""

    key: UUID
    name: str
    addresses: list[str]
    owner: str  # '': nobody's
    likeness: Likeness

    @property
    def words(self) -> str:
        return str(WORDS[self.likeness])


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A contact of the mailbox that waits for somebody to say who it is."""

    number: int  # of its link
    subject: str
    records: list[Record]  # those that are still there, the likeliest first


def waiting(mailbox: Mailbox) -> QuerySet[ItemLink]:
    """Return the links that wait, the newest first."""
    question = item_questions.Question.DUPLICATE_CONTACT
    return item_questions.waiting(mailbox.pk, question).order_by("-pk")


def named(links: Iterable[ItemLink]) -> list[Duplicate]:
    """Say which records these contacts may be; all records are read at once."""
    links = list(links)
    keys = {one["key"] for link in links for one in link.candidates}
    rows = Contact.objects.filter(key__in=keys).select_related("owner")
    contacts = {str(row.key): row for row in rows.defer("owner__password")}
    return [
        Duplicate(
            link.pk,
            link.subject,
            [
                _record(contacts[one["key"]], Likeness(one["likeness"]))
                for one in link.candidates
                if one["key"] in contacts
            ],
        )
        for link in links
    ]


def _record(contact: Contact, likeness: Likeness) -> Record:
    names = (contact.first_name, contact.middle_name, contact.last_name)
    addresses = (contact.email_address, contact.email_address2, contact.email_address3)
    return Record(
        key=contact.key,
        name=" ".join(filter(None, names)),
        addresses=[one for one in addresses if one],
        owner=contact.owner.get_username() if contact.owner else "",
        likeness=likeness,
    )
