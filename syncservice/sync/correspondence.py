"""The emails that messages may answer, and those that wait for what they answer.

Mail comes in any order and into several mailboxes at once. Who stores a message holds the locks of
its Message-ID, of those that it answers and of its conversation: of an email and its answer that
come together, one sees the other.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib.resources import files
from itertools import zip_longest
from typing import Any
from uuid import UUID

from django.contrib.postgres.aggregates import ArrayAgg
from django.contrib.postgres.fields import ArrayField
from django.db import connection
from django.db.models import F, Func, IntegerField, QuerySet, Value
from django.db.models.functions import Greatest, Lower, Now
from django.db.models.lookups import GreaterThanOrEqual, LessThanOrEqual

from syncservice.crm.models import ActivityParty, Email, IncomingFilter, QueueItem
from syncservice.domain.acceptance import Reason
from syncservice.domain.correlation import (
    Answer,
    Correspondence,
    Letter,
    Method,
    Switches,
    answered_ids,
    conversation_base,
    index_bytes,
)
from syncservice.domain.resolution import Kind, Match
from syncservice.domain.smart_matching import Hashes, SmartMatching
from syncservice.mailboxes.models import DeclinedItem, Organisation
from syncservice.sync import directory

#: The first numbers of PostgreSQL's advisory locks say what they are for.
_MESSAGES, _ADDRESSES = 0x5E1F, 0x5E20
#: Names that a batch locks, unless its own and the nearest that each message answers are more:
#: PostgreSQL has room for 6,400 locks of all transactions together.
_MOST_LOCKS = 256
#: Emails with one token or of one conversation that are compared; the newest.
_MOST_KNOWN = 200
#: Smart matching looks no further back (3E).
_SMART_MATCHING = timedelta(days=90)

#: Why messages are declined that are accepted as answers: those of colleagues are too (F257).
_WAITING = (Reason.NO_ANSWER, Reason.INTERNAL)

_FACTS = ("owner_id", "correlated_to_id", *Email.REGARDING_IDS)


def lock(letters: Iterable[tuple[Letter, str]]) -> None:
    """Lock what messages say of each other until the transaction ends: the nearest, if it is much.

    Each comes with its identity: that is its name when it has no other. The name of what a message
    answers directly is always locked. (Locks of a few thousand hashes would need no limit, but two
    batches would always have one in common.)
    """
    known = list(letters)
    names = {name for letter, identity in known for name in letter.names or (identity,)}
    names.update(name for letter, _ in known for name in letter.answers[:1])
    by_distance = zip_longest(*(letter.answers[1:] for letter, _ in known), fillvalue="")
    further = dict.fromkeys(name for each in by_distance for name in each if name not in names)
    further.pop("", None)
    room = max(0, _MOST_LOCKS - len(names))
    _lock(_MESSAGES, names | set(list(further)[:room]))


def lock_addresses(addresses: Iterable[str]) -> None:
    """Lock addresses until the transaction ends; to be called behind `lock`, never before."""
    _lock(_ADDRESSES, {address.lower() for address in addresses})


def _lock(kind: int, names: Collection[str]) -> None:
    """Take locks in one order, so that two who store mail never wait in a circle."""
    if names:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_advisory_xact_lock(%s, key) FROM ("
                "SELECT DISTINCT hashtext(name) AS key FROM unnest(%s::text[]) AS name ORDER BY key"
                ") AS keys",
                [kind, sorted(names)],
            )


@dataclass(slots=True)
class Known:
    """Emails of the CRM that some messages may answer, with what answers inherit from them."""

    letters: Correspondence
    #: What it answers, its owner and what it is about, by email.
    facts: dict[UUID, dict[str, Any]] = field(default_factory=dict)

    def add(self, letter: Letter, facts: dict[str, Any]) -> None:
        self.letters.add(letter)
        self.facts[letter.id] = facts

    def leads_to(self, email: UUID, other: UUID) -> bool:
        """Whether an email answers `other`, or what it answers does, and so on."""
        return _leads_to(email, other, lambda pk: self.facts.get(pk, {}).get("correlated_to_id"))


def _leads_to(email: UUID, other: UUID, answered: Callable[[UUID], UUID | None]) -> bool:
    seen: set[UUID] = set()
    while email != other:
        seen.add(email)
        above = answered(email)
        if above is None or above in seen:
            return False
        email = above
    return True


def known(
    letters: Sequence[Letter], own: frozenset[str], *, smart_matching: SmartMatching | None
) -> Known:
    """Look up what any of `letters` may answer; `own` are addresses of users and queues."""
    emails: dict[UUID, Email] = {}
    for found in _queries(letters, smart_matching):
        emails |= {email.pk: email for email in found}
    addresses = _addresses(emails)
    result = Known(Correspondence(own))
    for pk, email in emails.items():
        letter = Letter(
            id=pk,
            message_id=email.message_id,
            tokens=(email.tracking_token,) if email.tracking_token else (),
            conversation_index=index_bytes(email.conversation_index),
            addresses=addresses.get(pk, frozenset()),
            hashes=Hashes(
                frozenset(email.subject_hashes or ()), frozenset(email.address_hashes or ())
            ),
            at=_moment(email),
            is_marked=email.direction == Email.Direction.INCOMING
            or email.correlation == Method.TRACKING_TOKEN
            or email.accepting_user_id is not None,  # read in Sent Items
        )
        result.add(letter, {name: getattr(email, name) for name in _FACTS})
    return result


def _queries(
    letters: Sequence[Letter], smart_matching: SmartMatching | None
) -> Iterable[QuerySet[Email]]:
    emails = Email.objects.only(
        *("message_id", "tracking_token", "conversation_index", "sent_at", "received_at"),
        *("created_at", "direction", "correlation", "accepting_user_id"),
        *("subject_hashes", "address_hashes", *_FACTS),
    )
    if ids := {id for letter in letters for id in letter.answers}:
        yield emails.filter(message_id__in=ids)
    newest = emails.order_by(F("created_at").desc())
    if tokens := {token for letter in letters for token in letter.tokens}:
        yield _all_of(newest.filter(tracking_token=token)[:_MOST_KNOWN] for token in tokens)
    if bases := {conversation_base(letter.conversation_index) for letter in letters} - {None}:
        yield _all_of(newest.filter(conversation_base=base)[:_MOST_KNOWN] for base in bases)
    if smart_matching and (worded := [letter.hashes for letter in letters if letter.hashes.words]):
        recent = newest.filter(created_at__gte=Now() - _SMART_MATCHING)
        yield _all_of(_alike(recent, hashes, smart_matching)[:_MOST_KNOWN] for hashes in worded)


def _alike(emails: QuerySet[Email], hashes: Hashes, settings: SmartMatching) -> QuerySet[Email]:
    """Return those that match by `settings.score`: others that share a word may be far more."""
    words, addresses = sorted(hashes.words), sorted(hashes.addresses)
    found = emails.filter(
        GreaterThanOrEqual(_common("address_hashes", addresses), settings.min_addresses),
        address_hashes__overlap=addresses,
    )
    if settings.delta_words <= 0:
        return found.filter(subject_hashes=words)  # they are kept sorted
    size = Func(F("subject_hashes"), function="cardinality", output_field=IntegerField())
    missing = Greatest(size, len(words)) - _common("subject_hashes", words)
    return found.filter(
        LessThanOrEqual(missing, settings.delta_words), subject_hashes__overlap=words
    )


def _common(column: str, hashes: list[int]) -> Func:
    """Count the hashes that a column has in common with others."""
    return Func(
        F(column),
        Value(hashes, ArrayField(IntegerField())),
        template="cardinality(ARRAY(SELECT unnest(%(expressions)s)))",
        arg_joiner=") INTERSECT SELECT unnest(",
        output_field=IntegerField(),
    )


def _all_of(found: Iterable[QuerySet[Email]]) -> QuerySet[Email]:
    """Ask one statement for what each of these would find: a batch is a round trip."""
    first, *others = found
    return first.union(*others, all=True) if others else first


def _addresses(emails: Collection[UUID]) -> dict[UUID, frozenset[str]]:
    if not emails:
        return {}
    parties = ActivityParty.objects.filter(email__in=emails).exclude(address="")
    rows = parties.values("email").annotate(all=ArrayAgg(Lower("address")))
    return {row["email"]: frozenset(row["all"]) for row in rows.values("email", "all")}


_ADOPT = files(__package__).joinpath("adopt.sql").read_text()
_INHERIT = files(__package__).joinpath("inherit.sql").read_text()
_LOCK_THREADS = files(__package__).joinpath("lock_threads.sql").read_text()


def adopt(letters: Collection[Letter]) -> int:
    """Give new emails the answers that came before them; return how many.

    An answer may have gone to another email meanwhile, further up or with a borrowed Message-ID. It
    is judged once more, as if it came now: so are the queues that take answers alone. What an email
    is about by that, its own answers are about too, however many there are below each other.
    """
    new, candidates = [letter.id for letter in letters], _answers_to(letters)
    with connection.cursor() as cursor:
        # Whoever stores another email that they may answer waits here, and sees this one then.
        cursor.execute(_LOCK_THREADS, {"answers": list(candidates), "new": new})
        if not cursor.fetchall():
            return 0
    moved = _moved(candidates)
    with connection.cursor() as cursor:
        if moved:
            found: dict[str, Any] = {
                "answers": list(moved),
                "parents": [answer.email_id for answer in moved.values()],
                "methods": [answer.method for answer in moved.values()],
            }
            cursor.execute(_ADOPT, found)
        cursor.execute(_INHERIT, {"answers": [*moved, *new]})
    _queue([*moved, *new])
    return len(moved)


def _moved(candidates: Collection[UUID]) -> dict[UUID, Answer]:
    """Judge answers once more, and return what those answer that answered something else."""
    if not candidates:
        return {}
    answers = list(
        Email.objects.filter(pk__in=candidates)
        .only(
            *("message_id", "in_reply_to", "references", "conversation_index", "correlation"),
            *("correlated_to", "sent_at", "received_at", "created_at"),
        )
        .order_by("pk")
    )
    addresses = _addresses(candidates)
    again = [_letter_again(email, addresses) for email in answers]
    now = known(again, frozenset(), smart_matching=None).letters
    found: dict[UUID, Answer] = {}
    for email, letter in zip(answers, again, strict=True):
        answer = now.answered_by(letter, Switches(tokens=False))
        if answer is not None and answer.email_id != email.correlated_to_id:
            found[email.pk] = answer
    answered = _answered(answer.email_id for answer in found.values())
    moved: dict[UUID, Answer] = {}
    for pk, answer in found.items():
        if not _leads_to(answer.email_id, pk, answered.get):  # else they would answer each other
            moved[pk] = answer
            answered[pk] = answer.email_id
    return moved


def _answered(emails: Iterable[UUID]) -> dict[UUID, UUID | None]:
    """Return what these emails answer, and what that answers, and so on."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE above (id, answered) AS ("
            "SELECT id, correlated_to_id FROM crm_email WHERE id = ANY (%s::uuid[]) "
            "UNION SELECT email.id, email.correlated_to_id "
            "FROM above JOIN crm_email AS email ON email.id = above.answered"
            ") SELECT id, answered FROM above",
            [list(emails)],
        )
        return dict(cursor.fetchall())


def _queue(emails: Collection[UUID]) -> None:
    """Let those emails that answer something wait in the queues that take answers alone (F131)."""
    Participation = ActivityParty.Participation
    parties = ActivityParty.objects.filter(
        email__in=emails,
        email__direction=Email.Direction.INCOMING,
        email__correlated_to__isnull=False,
    )
    named = parties.filter(queue__incoming_filter=IncomingFilter.IN_RESPONSE)
    rows = set(named.exclude(participation=Participation.SENDER).values_list("queue", "email"))
    if not rows:
        return
    organisation = Organisation.current()
    senders = parties.filter(participation=Participation.SENDER)
    if not organisation.internal_email_to_queues:
        senders = senders.filter(user=None)  # F112
    by_somebody = set(senders.values_list("email", flat=True))
    queues = [Match(Kind.QUEUE, queue, True, None, None) for queue, _ in rows]
    want = directory.who_want(queues, organisation)
    QueueItem.objects.bulk_create(
        (
            QueueItem(queue_id=queue, email_id=email)
            for queue, email in sorted(rows)
            if email in by_somebody and (Kind.QUEUE, queue) in want
        ),
        ignore_conflicts=True,
    )


def _answers_to(letters: Collection[Letter]) -> set[UUID]:
    """Return the emails that may answer any of `letters` by their own word."""
    found: set[UUID] = set()
    if ids := [letter.message_id for letter in letters if letter.message_id]:
        found.update(Email.objects.filter(in_reply_to__in=ids).values_list("pk", flat=True))
        found.update(Email.objects.filter(references__overlap=ids).values_list("pk", flat=True))
    weaker = Email.objects.filter(
        direction=Email.Direction.INCOMING,
        correlation__in=(Method.NONE, Method.CONVERSATION_INDEX, Method.SMART_MATCHING),
    )
    if bases := {conversation_base(letter.conversation_index) for letter in letters} - {None}:
        newest = weaker.order_by(F("created_at").desc())
        same = _all_of(newest.filter(conversation_base=base)[:_MOST_KNOWN] for base in bases)
        found.update(same.values_list("pk", flat=True))
    return found


def _letter_again(email: Email, addresses: Mapping[UUID, frozenset[str]]) -> Letter:
    return Letter(
        id=email.pk,
        message_id=email.message_id,
        answers=answered_ids(email.in_reply_to, email.references),
        conversation_index=b""
        if email.correlation == Method.TRACKING_TOKEN  # which is the stronger
        else index_bytes(email.conversation_index),
        addresses=addresses.get(email.pk, frozenset()),
        at=_moment(email),
    )


def _moment(email: Email) -> datetime:
    return email.sent_at or email.received_at or email.created_at


def call_back(letters: Collection[Letter]) -> int:
    """Have answers looked at again that were declined because these emails weren't there yet."""
    names = [name for letter in letters for name in letter.names]
    if not names:
        return 0
    waiting = DeclinedItem.objects.filter(
        reason__in=_WAITING, is_wanted=False, answers__overlap=names
    )
    locked = waiting.order_by("pk").select_for_update().values_list("pk", flat=True)
    return DeclinedItem.objects.filter(pk__in=list(locked)).update(is_wanted=True)
