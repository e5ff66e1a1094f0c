"""The CRM records that accepted messages become, inserted a batch at a time.

To be called inside the transaction of a claim, with the locks of `correspondence` held: nobody else
stores the same messages meanwhile.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import UUID

from syncservice.crm.models import (
    ActivityParty,
    AutomaticRecord,
    Contact,
    Email,
    Lead,
    QueueItem,
    User,
)
from syncservice.domain.acceptance import queues_of
from syncservice.domain.attachments import Allowed
from syncservice.domain.correlation import Method, conversation_base
from syncservice.domain.message import Message, Party, Role
from syncservice.domain.resolution import Kind, Match, sender_of
from syncservice.sync import attachments, correspondence, directory
from syncservice.sync.organisation_rules import Rules
from syncservice.sync.promotion import Decision

_LONGEST_NAME = 50  # of a contact's or a lead's first or last name


def insert(decisions: Sequence[Decision], rules: Rules) -> dict[str, UUID]:
    """Insert the emails of accepted messages, each with another identity; return their ids by it.

    What answers them, and was here before or was declined, learns of them.
    """
    # In the order of identity: two visits that store the same mails never wait in a circle.
    ordered = sorted(decisions, key=lambda decision: decision.draft.identity)
    made = _automatic_records(ordered, rules)
    emails = [_email(decision, rules) for decision in ordered]
    Email.objects.bulk_create(emails)
    ActivityParty.objects.bulk_create(
        party
        for decision in ordered
        for party in _parties(decision, made, is_alike=rules.organisation.resolves_alike)
    )
    attachments.keep(
        {one.draft.letter.id: _kept(one.draft.message, rules.allowed) for one in ordered}
    )
    routes = _default_queues(ordered) if rules.organisation.routes_to_owner_queue else {}
    QueueItem.objects.bulk_create(
        QueueItem(queue_id=queue, email_id=decision.draft.letter.id)
        for decision in ordered
        for queue in queues_of(
            decision.verdict.accepted,
            None if decision.draft.is_sent else routes.get(decision.owner_id),
        )
    )
    letters = [decision.draft.letter for decision in ordered]
    if rules.switches.conversations:
        correspondence.adopt(letters)
    correspondence.call_back(letters)
    return {email.identity: email.pk for email in emails}


def _email(decision: Decision, rules: Rules) -> Email:
    draft, answer = decision.draft, decision.answer
    message, letter = draft.message, draft.letter
    first = decision.verdict.accepted[0]
    blocked = [
        attachment.filename
        for attachment in message.attachments
        if not rules.allowed.keeps(attachment.filename, len(attachment.content))
    ]
    usable = frozenset(letter.answers)
    asks_nobody = not (
        rules.switches.conversations or rules.switches.tokens or rules.switches.smart_matching
    )
    return Email(
        id=letter.id,
        direction=Email.Direction.OUTGOING if draft.is_sent else Email.Direction.INCOMING,
        status=Email.Status.SENT if draft.is_sent else Email.Status.RECEIVED,
        identity=draft.identity,
        message_id=message.message_id,
        in_reply_to=letter.answers[0] if letter.answers else "",
        references=[one for one in message.references if one in usable],
        conversation_index=message.conversation_index,
        conversation_base=conversation_base(letter.conversation_index),
        subject_hashes=sorted(letter.hashes.words) or None,
        address_hashes=sorted(letter.hashes.addresses) or None,
        # A token that found something marks this email too: the next answer finds the nearest.
        tracking_token=letter.tokens[0] if answer and letter.tokens else "",
        subject=message.subject,
        text=message.text,
        html=message.html,
        sent_at=message.sent_at,
        received_at=None if draft.is_sent else draft.source.received_at,
        owner_id=decision.owner_id,
        accepting_user_id=first.id if first.kind is Kind.USER else None,
        accepting_queue_id=first.id if first.kind is Kind.QUEUE else None,
        correlation=answer.method if answer else Method.SKIPPED if asks_nobody else Method.NONE,
        correlation_score=answer.score if answer else "",
        correlated_to_id=answer.email_id if answer else None,
        parent_id=answer.email_id if answer and answer.names_parent else None,
        notice=Email.Notice.ATTACHMENTS_BLOCKED if blocked else Email.Notice.NONE,
        blocked_attachments=blocked,
        repairs=list(message.warnings),
        **decision.regarding,
    )


def _default_queues(decisions: Iterable[Decision]) -> dict[int | None, int]:
    """Return the default queues of those who will own the emails, by owner (F131)."""
    owners = {one.owner_id for one in decisions if one.owner_id is not None}
    routed = User.objects.filter(pk__in=owners, default_queue__isnull=False)
    return dict(routed.values_list("pk", "default_queue"))


def _parties(
    decision: Decision, made: Mapping[str, Match], *, is_alike: bool
) -> Iterator[ActivityParty]:
    """Yield a row for each record a party stands for, and one for a party that nobody knows."""
    for party in decision.draft.message.parties:
        matches: Iterable[Match | None] = decision.resolved.get(party, ())
        if not matches and (party.role is Role.SENDER or is_alike):
            matches = filter(None, [made.get(party.address.lower())])
        for match in list(matches) or [None]:
            yield ActivityParty(
                email_id=decision.draft.letter.id,
                participation=int(party.role),
                address=party.address,
                name=party.name,
                **({f"{match.kind}_id": match.id} if match else {}),
            )


def _automatic_records(decisions: Sequence[Decision], rules: Rules) -> dict[str, Match]:
    """Make the contacts and leads that unknown senders become; return them by address (F118).

    Two visits may meet one stranger at the same time: the second finds the first's record.
    """
    strangers: dict[str, Decision] = {}
    for decision in decisions:
        author = decision.draft.message.sender
        if author is not None and decision.automatic != AutomaticRecord.NOTHING:
            strangers.setdefault(author.address.lower(), decision)
    if not strangers:
        return {}
    correspondence.lock_addresses(strangers)
    known: dict[str, Match] = {}
    for address, matches in directory.look_up(strangers).items():
        if sender := sender_of(
            matches, unresolves_several=rules.organisation.unresolves_several_senders
        ):
            known[address] = sender
    new: dict[str, Contact | Lead] = {
        address: _automatic_record(address, decision)
        for address, decision in strangers.items()
        if address not in known
    }
    Contact.objects.bulk_create(one for one in new.values() if isinstance(one, Contact))
    Lead.objects.bulk_create(one for one in new.values() if isinstance(one, Lead))
    made = {
        address: Match(
            Kind.CONTACT if isinstance(record, Contact) else Kind.LEAD,
            record.pk, True, record.owner_id, None,
        )
        for address, record in new.items()
    }  # fmt: skip
    if rules.organisation.resolves_alike:
        directory.resolve_all(made)
    return known | made


def _automatic_record(address: str, decision: Decision) -> Contact | Lead:
    author = decision.draft.message.sender
    assert author is not None, "only who has an address becomes a record"
    model = Contact if decision.automatic == AutomaticRecord.CONTACT else Lead
    first, last = _name_of(author)
    return model(
        first_name=first, last_name=last, email_address=address, owner_id=decision.automatic_owner
    )


def _name_of(author: Party) -> tuple[str, str]:
    """Cut a name into first and last; without one, the address stands in."""
    name = " ".join(author.name.split()) or author.address.partition("@")[0]
    last, _, first = name.partition(", ")  # Ash, Ann
    if not (last and first):
        first, _, last = name.rpartition(" ")
    return first[:_LONGEST_NAME], last[:_LONGEST_NAME]


def _kept(message: Message, allowed: Allowed) -> attachments.Files:
    """Return the files of a message that are let in (F121)."""
    return [
        (position, one)
        for position, one in enumerate(message.attachments)
        if allowed.keeps(one.filename, len(one.content))
    ]
