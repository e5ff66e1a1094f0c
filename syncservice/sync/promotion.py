"""What becomes of messages that were read: who accepts them, what they answer, whose they are.

The rules are those of `domain`; here they are given what they ask for, for a whole batch at once
(REFERENCE 3B). Nothing is written.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from syncservice.crm.models import AutomaticRecord, Email
from syncservice.domain.acceptance import (
    Candidate,
    Evidence,
    Reason,
    Verdict,
    deciders_of,
    judge,
    owner_of,
)
from syncservice.domain.correlation import (
    Answer,
    Letter,
)
from syncservice.domain.message import Party
from syncservice.domain.resolution import Kind, Match, recipients_of, sender_of, takers_of
from syncservice.sync import correspondence, directory
from syncservice.sync.copies import copies_of
from syncservice.sync.correspondence import Known
from syncservice.sync.directory import Receiver, Wants
from syncservice.sync.drafts import Draft
from syncservice.sync.organisation_rules import Rules

_LONGEST_CONTACT = 254  # characters of a contact's or a lead's address


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one draft."""

    draft: Draft
    verdict: Verdict
    answer: Answer | None = None
    sender: Match | None = None
    resolved: dict[Party, tuple[Match, ...]] = field(default_factory=dict)
    takers: tuple[Match, ...] = ()  # users and queues to whom it is: To, Cc, Bcc, else envelope
    owner_id: int | None = None
    receiving_owner_id: int | None = None  # who owns it when no recipient can
    regarding: dict[str, Any] = field(default_factory=dict)
    automatic: AutomaticRecord = AutomaticRecord.NOTHING  # what its sender becomes
    automatic_owner: int | None = None
    copy_of: UUID | None = None  # the email of the other side, which it is one with (F111)
    is_double: bool = False  # another copy of the batch was accepted, and becomes the record

    @property
    def becomes_record(self) -> bool:
        return bool(self.verdict.accepted) and not self.is_double


@dataclass(slots=True)
class Promotion:
    """Decides about batches of one mailbox."""

    receiver: Receiver
    rules: Rules

    def decide(self, drafts: Sequence[Draft]) -> list[Decision]:
        """Decide about each draft, in their order.

        Answers may come in one batch with what they answer, in any order: each round finds the
        answers to what the round before accepted.

        Copies of one message have one letter. Each is judged for itself, as others may want it or
        somebody asked for it; the first that is accepted becomes the record.
        """
        if not drafts:
            return []
        matches = directory.look_up(
            {party.address for draft in drafts for party in draft.message.parties}
            | {address for draft in drafts for address in draft.message.delivered_to}
            | {draft.forwarder for draft in drafts}
        )
        receiving = self.receiver.owner  # a list or a blind copy doesn't name it
        wants = directory.who_want(
            [
                *(match for found in matches.values() for match in found),
                *([Match(receiving.kind, receiving.id, True, None, None)] if receiving else []),
            ],
            self.rules.organisation,
        )
        own = frozenset(
            address
            for address, found in matches.items()
            if any(match.kind in (Kind.USER, Kind.QUEUE) for match in found)
        )
        known = correspondence.known(
            [draft.letter for draft in drafts],
            own,
            smart_matching=self.rules.switches.smart_matching,
        )
        copies = copies_of(drafts, self.rules)
        decisions: dict[str, Decision] = {}
        accepted: set[UUID] = set()
        # An answer is younger than what it answers, unless a clock is wrong: see `_settle`.
        waiting = sorted(drafts, key=lambda draft: _moment(draft.letter))
        while True:
            for draft in waiting:
                copy = copies.get(draft.identity)
                decision = self._decide(draft, matches, wants, known, copy)
                if decision.verdict.accepted and draft.letter.id in accepted:
                    decision = replace(decision, is_double=True)
                if decision.becomes_record:
                    accepted.add(draft.letter.id)
                    known.add(_as_stored(decision), _facts(decision))
                decisions[draft.source.item_id] = decision
            declined = [
                draft for draft in waiting if not decisions[draft.source.item_id].verdict.accepted
            ]
            if len(declined) == len(waiting):
                break
            waiting = declined
        self._settle(decisions, known)
        return [decisions[draft.source.item_id] for draft in drafts]

    def _decide(
        self,
        draft: Draft,
        matches: dict[str, list[Match]],
        wants: dict[tuple[Kind, int], Wants],
        known: Known,
        copy: UUID | None,
    ) -> Decision:
        message, organisation = draft.message, self.rules.organisation
        author = message.sender
        sender = sender_of(
            matches.get(author.address.lower(), ()) if author else (),
            unresolves_several=organisation.unresolves_several_senders,
        )
        resolved = {
            party: recipients_of(
                matches.get(party.address.lower(), ()),
                unresolves_several=organisation.unresolves_several_recipients,
            )
            for party in message.recipients
        }
        if author and sender:
            resolved[author] = (sender,)
        named = [party.address for party in message.recipients]
        takers = _takers(named, matches) or _takers(message.delivered_to, matches)
        answer = known.letters.answered_by(draft.letter, self.rules.switches)
        is_copy = copy is not None and (
            draft.is_sent or self.rules.internal.is_one_activity(sender.kind if sender else None)
        )
        receiving = self._receiving(draft, matches, wants)
        if draft.forwarder and receiving is None:
            return Decision(draft, Verdict(reason=Reason.NOT_ALLOWED_TO_FORWARD))  # F093
        candidates = deciders_of(
            self._candidates(draft, receiving, takers, wants), self.rules.alone
        )
        if is_copy:  # to a queue it is work all the same (F112)
            candidates = [one for one in candidates if one.kind is Kind.QUEUE]
        if draft.is_tracked and receiving is not None and not is_copy:
            verdict = Verdict((receiving,))
        else:
            verdict = judge(
                candidates,
                Evidence(
                    author is not None,
                    _correspondent(draft, sender, matches),
                    answer is not None,
                ),
                self.rules.internal,
            )
        if is_copy and (draft.is_sent or not verdict.accepted):
            return Decision(draft, Verdict(reason=Reason.INTERNAL), copy_of=copy)
        stranger = _stranger(draft, matches)
        automatic, automatic_owner = self._automatic(verdict, stranger, wants)
        decision = Decision(
            draft,
            verdict,
            sender=sender,
            resolved=resolved,
            takers=takers,
            receiving_owner_id=receiving.owner_id if receiving else None,
            automatic=automatic,
            automatic_owner=automatic_owner,
        )
        return _answering(decision, answer, known)

    def _receiving(
        self,
        draft: Draft,
        matches: dict[str, list[Match]],
        wants: dict[tuple[Kind, int], Wants],
    ) -> Candidate | None:
        """Return to whom a message came: the mailbox's owner, or who forwarded it."""
        receiving = self.receiver.owner
        if draft.forwarder:
            named = matches.get(draft.forwarder, ())
            found = (wants.get((match.kind, match.id)) for match in named)
            receiving = next((want.candidate for want in found if want and want.forwards), None)
        return replace(receiving, is_receiving=True) if receiving else None

    def _candidates(
        self,
        draft: Draft,
        receiving: Candidate | None,
        takers: Iterable[Match],
        wants: dict[tuple[Kind, int], Wants],
    ) -> list[Candidate]:
        """Return who may want a message, the one to whom it came first."""
        if draft.is_sent:
            return [receiving] if receiving else []  # F119: by the option of who sent it
        named = {
            (match.kind, match.id): wants[match.kind, match.id].candidate
            for match in takers
            if (match.kind, match.id) in wants
        }
        if receiving is None:
            return list(named.values())
        message = draft.message
        addresses = frozenset([draft.forwarder]) if draft.forwarder else self.receiver.addresses
        to = (*(party.address for party in message.recipients), *message.delivered_to)
        is_named = named.pop(
            (receiving.kind, receiving.id), None
        ) is not None or not addresses.isdisjoint(map(str.lower, to))
        first = replace(receiving, is_named=is_named)
        return [first, *named.values()]

    def _automatic(
        self,
        verdict: Verdict,
        stranger: Party | None,
        wants: dict[tuple[Kind, int], Wants],
    ) -> tuple[AutomaticRecord, int | None]:
        """Say what the `stranger` who wrote an accepted message becomes, and whose (F118)."""
        is_usable = stranger is not None and 0 < len(stranger.address) <= _LONGEST_CONTACT
        if is_usable and self.rules.organisation.creates_records:
            for candidate in verdict.accepted:
                want = wants.get((candidate.kind, candidate.id))
                if want and want.automatic_record != AutomaticRecord.NOTHING:
                    return want.automatic_record, candidate.owner_id
        return AutomaticRecord.NOTHING, None

    def _settle(self, decisions: dict[str, Decision], known: Known) -> None:
        """Look again for what accepted messages answer: a nearer one may have come behind them.

        What one inherits by that, its own answers inherit in turn.
        """
        for _ in decisions:
            is_settled = True
            for item_id, before in decisions.items():
                if not before.becomes_record:
                    continue
                letter = before.draft.letter
                answer = known.letters.answered_by(letter, self.rules.switches)
                if answer and known.leads_to(answer.email_id, letter.id):
                    answer = before.answer  # else they would answer each other
                decisions[item_id] = now = _answering(before, answer, known)
                known.facts[letter.id] = _facts(now)
                is_settled = is_settled and now == before
            if is_settled:
                return


def _takers(addresses: Iterable[str], matches: Mapping[str, list[Match]]) -> tuple[Match, ...]:
    return tuple(
        match for address in addresses for match in takers_of(matches.get(address.lower(), ()))
    )


def _correspondent(
    draft: Draft, sender: Match | None, matches: Mapping[str, list[Match]]
) -> Kind | None:
    """Return the kind of record that an owner's email came from, or that it went to (F119).

    It went to a user when it went to our own users and queues alone: a stranger is none of them.
    """
    if not draft.is_sent:
        return sender.kind if sender else None
    to = [matches.get(party.address.lower(), ()) for party in draft.message.recipients]
    outside = [found for found in to if not takers_of(found)]
    if to and not outside:
        return Kind.USER
    return next((match.kind for found in outside for match in found if match.is_active), None)


def _stranger(draft: Draft, matches: Mapping[str, list[Match]]) -> Party | None:
    """Return the author when nobody is known by the address, None when somebody is.

    The owner of the mailbox wrote sent mail, by whatever alias; and a user who left is no customer.
    """
    author = draft.message.sender
    if author is None or draft.is_sent:
        return None
    found = matches.get(author.address.lower(), ())
    is_known = any(match.is_active or match.kind in (Kind.USER, Kind.QUEUE) for match in found)
    return None if is_known else author


def _answering(decision: Decision, answer: Answer | None, known: Known) -> Decision:
    """Let a message answer an email: what that is about, and whose it is, counts (F113, F114)."""
    facts = known.facts.get(answer.email_id, {}) if answer else {}
    takers = () if decision.draft.is_sent else decision.takers  # else it is its sender's
    return replace(
        decision,
        answer=answer,
        owner_id=owner_of(
            takers, facts.get("owner_id"), decision.sender, decision.receiving_owner_id
        ),
        regarding=decision.draft.regarding
        or {name: facts.get(name) for name in Email.REGARDING_IDS},
    )


def _as_stored(decision: Decision) -> Letter:
    """Return what is known of a message as an email: a token that found nothing marks none."""
    letter = decision.draft.letter
    tokens = letter.tokens[:1] if decision.answer else ()
    return replace(letter, tokens=tokens, is_marked=True)


def _moment(letter: Letter) -> float:
    return letter.at.timestamp() if letter.at else 0.0


def _facts(decision: Decision) -> dict[str, Any]:
    answered = decision.answer.email_id if decision.answer else None
    return {"owner_id": decision.owner_id, "correlated_to_id": answered, **decision.regarding}
