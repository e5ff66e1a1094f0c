"""Who has an address, and which users and queues want email: for many messages at once.

One statement a table, however many addresses: a batch of messages names hundreds (F104, F106).
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from django.db import connection
from django.db.models import Case, Q, QuerySet, Value, When
from django.db.models.functions import Upper

from syncservice.crm.models import (
    Account,
    ActivityParty,
    AppointmentParty,
    AutomaticRecord,
    Contact,
    EmailEnabled,
    Lead,
    Queue,
    User,
)
from syncservice.domain.acceptance import Candidate, Filter
from syncservice.domain.resolution import Kind, Match
from syncservice.mailboxes import administration
from syncservice.mailboxes.models import IncomingMethod, Mailbox, MailboxMapping, Organisation

PEOPLE: dict[Kind, type[EmailEnabled]] = {
    Kind.CONTACT: Contact,
    Kind.ACCOUNT: Account,
    Kind.LEAD: Lead,
}
_COLUMNS = ("email_address", "email_address2", "email_address3")
_Key = tuple[Kind, int]


def look_up(addresses: Collection[str]) -> dict[str, list[Match]]:
    """Return who has each of `addresses`, by the address in small letters; nobody is left out."""
    wanted = {address.lower() for address in addresses if address}
    found: dict[str, list[Match]] = defaultdict(list)
    if wanted:
        upper = set(_in_capitals(wanted).values())
        for address, match in (*_users(upper), *_queues(upper), *_people(upper)):
            if address.lower() in wanted:
                found[address.lower()].append(match)
    return found


def _users(upper: set[str]) -> Iterator[tuple[str, Match]]:
    rows = User.objects.annotate(upper=Upper("email")).filter(upper__in=upper)
    for pk, address, is_active, created_at in rows.values_list(
        "pk", "email", "is_active", "date_joined"
    ):
        yield address, Match(Kind.USER, pk, is_active, pk, created_at)


def _queues(upper: set[str]) -> Iterator[tuple[str, Match]]:
    rows = Queue.objects.annotate(upper=Upper("email_address")).filter(upper__in=upper)
    for pk, address, owner in rows.values_list("pk", "email_address", "owner"):
        yield address, Match(Kind.QUEUE, pk, True, owner, None)


def _people(upper: set[str]) -> Iterator[tuple[str, Match]]:
    for kind, model in PEOPLE.items():
        columns = {f"upper_{column}": Upper(column) for column in _COLUMNS}
        is_wanted = Q()
        for name in columns:
            is_wanted |= Q(**{f"{name}__in": upper})
        rows = model._default_manager.annotate(**columns).filter(is_wanted)
        for pk, is_active, owner, created_at, *addresses in rows.values_list(
            "pk", "is_active", "owner", "created_at", *_COLUMNS
        ):
            for address in dict.fromkeys(filter(None, addresses)):
                yield address, Match(kind, pk, is_active, owner, created_at)


def _in_capitals(addresses: Collection[str]) -> dict[str, str]:
    """Return addresses in capitals as PostgreSQL's indexes have them: Python's ß is SS."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT address, upper(address) FROM unnest(%s::text[]) AS address", [list(addresses)]
        )
        return dict(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class Receiver:
    """Whose mailbox is read, as the email in it sees it."""

    mailbox_id: int
    addresses: frozenset[str]  # the mailbox's and its owner's, in small letters
    owner: Candidate | None  # None: a forward mailbox is nobody's
    deletes: bool  # what is stored is deleted on the server (F085)


@dataclass(frozen=True, slots=True)
class Wants:
    """A user or queue that takes email."""

    candidate: Candidate
    automatic_record: AutomaticRecord  # what an unknown sender becomes (F118)
    forwards: bool  # by way of a forward mailbox (F092)


def receiver_of(mailbox_id: int) -> Receiver:
    """Return whose mailbox it is; who holds its claim may rely on it."""
    mapping = _in_force().filter(mailbox=mailbox_id).first()
    mailbox = mapping.mailbox if mapping else Mailbox.objects.get(pk=mailbox_id)
    owner = (mapping.user or mapping.queue) if mapping else None
    addresses = {mailbox.email_address, administration.address_of(owner) if owner else ""}
    return Receiver(
        mailbox_id,
        frozenset(address.lower() for address in addresses if address),
        _candidate(mapping) if mapping else None,
        # The rules allow no other to ask for it; a mailbox may have changed hands since.
        mailbox.delete_after_processing
        and (mailbox.is_forward or (mapping is not None and mapping.queue_id is not None)),
    )


def who_want(matches: Collection[Match], organisation: Organisation) -> dict[_Key, Wants]:
    """Return those users and queues among `matches` that take email, by kind and id.

    They have a mailbox whose incoming email is left to this service, and that may be read (F014).
    """
    users = {match.id for match in matches if match.kind is Kind.USER}
    queues = {match.id for match in matches if match.kind is Kind.QUEUE}
    if not users and not queues:
        return {}
    mappings = _in_force().filter(
        Q(user__in=users, user__is_active=True) | Q(queue__in=queues), mailbox__is_active=True
    )
    found = {}
    for mapping in mappings.exclude(mailbox__incoming_method=IncomingMethod.NONE):
        needs_approval = (
            organisation.approves_users if mapping.user_id else organisation.approves_queues
        )
        if needs_approval and mapping.mailbox.approval != Mailbox.Approval.APPROVED:
            continue
        candidate = _candidate(mapping)
        user = mapping.user
        found[candidate.kind, candidate.id] = Wants(
            candidate,
            AutomaticRecord(user.automatic_record if user else AutomaticRecord.NOTHING),
            mapping.mailbox.incoming_method == IncomingMethod.FORWARD,
        )
    return found


def _in_force() -> QuerySet[MailboxMapping]:
    return MailboxMapping.objects.filter(ended_at=None).select_related("mailbox", "user", "queue")


def _candidate(mapping: MailboxMapping) -> Candidate:
    if mapping.user is not None:
        user = mapping.user
        return Candidate(Kind.USER, user.pk, Filter(user.incoming_filter), user.pk)
    queue = mapping.queue
    assert queue is not None, "a mapping is to a user or a queue"
    return Candidate(Kind.QUEUE, queue.pk, Filter(queue.incoming_filter), queue.owner_id)


def resolve(address: str, match: Match) -> int:
    """Let a record stand for an address where nobody did yet; return in how many places (F108)."""
    return resolve_all({address: match})


def resolve_all(records: Mapping[str, Match]) -> int:
    """Let each record stand for its address, as `resolve` does."""
    places, capitals = 0, _in_capitals(records)
    for kind in {match.kind for match in records.values()}:
        ids = {
            capitals[address]: match.id for address, match in records.items() if match.kind is kind
        }
        known = [When(upper=address, then=Value(pk)) for address, pk in ids.items()]
        for parties in (ActivityParty.objects, AppointmentParty.objects):
            unresolved = parties.annotate(upper=Upper("address")).filter(
                upper__in=ids,
                user=None, queue=None, account=None, contact=None, lead=None,
            )  # fmt: skip
            places += unresolved.update(**{kind: Case(*known)})
    return places
