"""Which email does this one answer: by header, token, conversation index or words (REFERENCE 3C).

The first method that finds one wins. A method that finds several weighs who takes part and when:
Message-IDs are borrowed and tokens wrap around.
"""

import base64
import binascii
import enum
import math
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from syncservice.domain.smart_matching import NOTHING, Hashes, SmartMatching

#: A line of a header has no more bytes (RFC 5322 section 2.1.1); what has is no real id. An index
#: of PostgreSQL holds 2,700.
LONGEST_ID = 998
#: Bytes of a conversation index that all its emails share, and that each answer adds (MS-OXOMSG).
_ROOT, _STEP = 22, 5


class Method(enum.IntEnum):
    """How the answered email was found; the codes are the reference's (2H)."""

    NONE = 0
    SKIPPED = 1
    IN_REPLY_TO = 3
    TRACKING_TOKEN = 4
    CONVERSATION_INDEX = 5
    SMART_MATCHING = 6


@dataclass(frozen=True, slots=True)
class Switches:
    """Which methods an organisation uses (F224-F226)."""

    conversations: bool = True  # headers and conversation index
    tokens: bool = True
    smart_matching: SmartMatching | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What correlation looks at, of an email of the CRM and of a message that may answer it."""

    id: UUID
    message_id: str = ""
    answers: tuple[str, ...] = ()  # message ids, the nearest first: see `answered_ids`
    tokens: tuple[str, ...] = ()  # an email's own; those in a message's subject
    conversation_index: bytes = b""
    addresses: frozenset[str] = frozenset()  # of all parties, in small letters
    hashes: Hashes = NOTHING
    at: datetime | None = None  # sent, else received; None: nobody knows
    is_marked: bool = False  # it has its token from the email that it answers

    @property
    def names(self) -> tuple[str, ...]:
        """By what others name it, or name what it is part of: its id and its conversation."""
        return tuple(filter(None, (self.message_id, self._conversation)))

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Names of what it may answer, the nearest first."""
        goes_on = len(self.conversation_index) >= _ROOT + _STEP
        return (*self.answers, self._conversation) if goes_on else self.answers

    @property
    def _conversation(self) -> str:
        root = self.conversation_index[:_ROOT]
        return f"conversation:{root.hex()}" if root else ""  # message ids begin with a bracket


@dataclass(frozen=True, slots=True)
class Answer:
    """The email that a message answers, and how it was found."""

    email_id: UUID
    method: Method
    score: str = ""  # of smart matching, in words

    @property
    def names_parent(self) -> bool:
        """Whether the message itself says what it answers (F115)."""
        return self.method in (Method.IN_REPLY_TO, Method.CONVERSATION_INDEX)


def answered_ids(in_reply_to: str, references: Iterable[str]) -> tuple[str, ...]:
    """Return the message ids that a message answers, the nearest first (RFC 5322 section 3.6.4)."""
    nearest_first = [in_reply_to, *reversed(list(references))]
    usable = (one for one in nearest_first if 0 < len(one.encode()) <= LONGEST_ID)
    return tuple(dict.fromkeys(usable))


def index_bytes(conversation_index: str) -> bytes:
    """Read a Thread-Index header, '' and nonsense as b''."""
    try:
        index = base64.b64decode(conversation_index, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return index if len(index) >= _ROOT else b""


def conversation_base(index: bytes) -> int | None:
    """Return a signed 32-bit hash of what all emails of a conversation share; None: it has none."""
    return zlib.crc32(index[:_ROOT]) - 2**31 if index else None


@dataclass(slots=True)
class Correspondence:
    """The emails that messages are compared with; `own` are addresses of users and queues."""

    own: frozenset[str] = frozenset()
    _by_message_id: dict[str, list[Letter]] = field(default_factory=lambda: defaultdict(list))
    _by_token: dict[str, list[Letter]] = field(default_factory=lambda: defaultdict(list))
    _by_base: dict[bytes, list[Letter]] = field(default_factory=lambda: defaultdict(list))
    _by_word: dict[int, dict[UUID, Letter]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, letter: Letter) -> None:
        if letter.message_id:
            self._by_message_id[letter.message_id].append(letter)
        for token in letter.tokens:
            self._by_token[token].append(letter)
        if letter.conversation_index:
            self._by_base[letter.conversation_index[:_ROOT]].append(letter)
        for word in letter.hashes.words:
            self._by_word[word][letter.id] = letter

    def answered_by(self, message: Letter, switches: Switches) -> Answer | None:
        """Return which of the emails `message` answers, None when it answers none."""
        if switches.conversations and (found := self._by_header(message)):
            return Answer(found.id, Method.IN_REPLY_TO)
        if switches.tokens and (found := self._by_its_token(message)):
            return Answer(found.id, Method.TRACKING_TOKEN)
        if switches.conversations and (found := self._by_index(message)):
            return Answer(found.id, Method.CONVERSATION_INDEX)
        if switches.smart_matching:
            return self._by_words(message, switches.smart_matching)
        return None

    def _by_header(self, message: Letter) -> Letter | None:
        """Find the nearest id; of several emails that have it, the one that shares most people.

        Anybody can borrow a Message-ID. Of equals the first stays the parent: the later borrowed.
        """
        for message_id in message.answers:
            known = _others(self._by_message_id.get(message_id, ()), message)
            if known:
                return max(known, key=lambda one: (_shared(one, message), -_moment(one)))
        return None

    def _by_its_token(self, message: Letter) -> Letter | None:
        """Find the email whose token it was, though counters wrap and subjects lie.

        It is older than its answer and shares somebody outside; of several the newest. When one
        email alone was given the token, sharing its own side is enough, for it and for those that
        have the token from it: customers answer from other addresses.
        """
        for token in message.tokens:
            older = [
                one
                for one in _others(self._by_token.get(token, ()), message)
                if not _is_later(one, message)
            ]
            known = [one for one in older if _shared(one, message)]
            given = [one for one in older if not one.is_marked]
            shares_outside = [
                one for one in known if (one.addresses & message.addresses) - self.own
            ]
            is_certain = len(given) == 1 and given[0] in known
            chosen = shares_outside or (known if is_certain else [])
            if chosen:
                return max(chosen, key=_moment)
        return None

    def _by_index(self, message: Letter) -> Letter | None:
        """Find the email whose index the message's own goes on from: each answer adds to it.

        A parent that is missing leaves a grandparent, the nearest; without any, the email that
        shares most of the way with it, then the newest. What it goes on from is believed against a
        wrong clock; any other has to be earlier, or two answers would answer each other.
        """
        index = message.conversation_index
        if len(index) < _ROOT + _STEP:
            return None  # it begins the conversation
        known = [
            one
            for one in _others(self._by_base.get(index[:_ROOT], ()), message)
            if _goes_on_from(index, one.conversation_index)
            or (_place(one) < _place(message) and not _goes_on_from(one.conversation_index, index))
        ]
        return max(
            known,
            key=lambda one: (
                _goes_on_from(index, one.conversation_index),
                *_nearness(one, index),
                _moment(one),
            ),
            default=None,
        )

    def _by_words(self, message: Letter, settings: SmartMatching) -> Answer | None:
        scored = [
            (one, score)
            for one in _others(self._share_words(message, settings), message)
            if not _is_later(one, message)
            and (score := settings.score(one.hashes, message.hashes)) is not None
        ]
        if not scored:
            return None
        newest, score = max(scored, key=lambda pair: _moment(pair[0]))
        return Answer(newest.id, Method.SMART_MATCHING, score)

    def _share_words(self, message: Letter, settings: SmartMatching) -> Iterable[Letter]:
        """Return the emails that may match by their words: a match lacks `delta_words` at most.

        So it has one of any that are one more; the rarest are had by fewest.
        """
        by_word = [self._by_word.get(word, {}) for word in message.hashes.words]
        rarest = sorted(by_word, key=len)[: settings.delta_words + 1]
        found: dict[UUID, Letter] = {}
        for letters in rarest:
            found |= letters
        return found.values()


def _others(letters: Iterable[Letter], message: Letter) -> list[Letter]:
    """Leave out the message itself: it may be known from another mailbox already."""
    return [
        one
        for one in letters
        if one.id != message.id and not (one.message_id and one.message_id == message.message_id)
    ]


def _shared(one: Letter, other: Letter) -> int:
    return len(one.addresses & other.addresses)


def _moment(letter: Letter) -> float:
    return letter.at.timestamp() if letter.at else 0.0


def _is_later(one: Letter, other: Letter) -> bool:
    return one.at is not None and other.at is not None and one.at > other.at


def _place(letter: Letter) -> tuple[float, str, UUID]:
    """Return its place in one order of all letters; one without a date comes now."""
    at = letter.at.timestamp() if letter.at else math.inf
    return at, letter.message_id, letter.id


def _goes_on_from(one: bytes, other: bytes) -> bool:
    return len(one) > len(other) and one.startswith(other)


def _nearness(letter: Letter, index: bytes) -> tuple[int, int]:
    """Return how many answers an email has in common with an index, and how few besides.

    An email that has others besides answers the same one as the message: it is its sibling.
    """
    common = 0
    one = letter.conversation_index
    for place in range(_ROOT, min(len(one), len(index)), _STEP):
        if one[place : place + _STEP] != index[place : place + _STEP]:
            break
        common += 1
    return common, -len(one)
