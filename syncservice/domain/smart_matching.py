"""Smart matching: two emails belong together when their subjects and addresses do (REFERENCE 3E).

Words and addresses are kept as hashes, as the re-created product keeps them.
"""

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

#: Addresses compared of one email.
MOST_ADDRESSES = 20
#: A pattern of an administrator's own is not let loose on more.
_LONGEST_SUBJECT = 1000


@dataclass(frozen=True, slots=True)
class Hashes:
    """What is compared of an email; each hash is a signed 32-bit number."""

    words: frozenset[int] = frozenset()
    addresses: frozenset[int] = frozenset()


NOTHING = Hashes()


@dataclass(frozen=True, slots=True)
class SmartMatching:
    """An organisation's settings (F318)."""

    noise: str = r"^[\s]*([\w]+\s?:[\s]*)+"  # regular expression; left out of a subject
    max_words: int = 20
    delta_words: int = 0  # so many words may be missing or more
    min_addresses: int = 2

    def hashes(self, subject: str, addresses: Iterable[str]) -> Hashes:
        """Return what is compared of an email with this subject and these addresses."""
        rest = self._stripped(subject[:_LONGEST_SUBJECT])
        # In their own order: both emails keep the same ones of very many.
        unique = sorted({address.lower() for address in addresses if address})
        return Hashes(
            frozenset(map(_hash, rest.lower().split()[: self.max_words])),
            frozenset(map(_hash, unique[:MOST_ADDRESSES])),
        )

    def _stripped(self, subject: str) -> str:
        """Leave out the noise; a pattern of an administrator's own that is none finds none."""
        try:
            return re.sub(self.noise, "", subject, flags=re.IGNORECASE)
        except re.error:
            return subject

    def score(self, one: Hashes, other: Hashes) -> str | None:
        """Say in words how well two emails match; None: they don't.

        With no words, or nobody to compare, every email would match.
        """
        words = len(one.words & other.words)
        more = max(len(one.words), len(other.words))
        people = len(one.addresses & other.addresses)
        if not words or more - words > self.delta_words or people < max(1, self.min_addresses):
            return None
        return f"{words} of {more} words, {people} addresses"


def _hash(text: str) -> int:
    return zlib.crc32(text.encode()) - 2**31
