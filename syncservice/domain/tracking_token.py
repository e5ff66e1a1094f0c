"""Tracking tokens: a mark at the end of a subject that answers bring back (REFERENCE 3D).

`CRM:0001001` is the prefix, the digit 0, the number of the user and that user's counter. A counter
wraps, so tokens repeat: `correlation` looks at ages and addresses too.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: Characters of a subject that servers keep (F169), and of a token (2H).
LONGEST_SUBJECT = 255
LONGEST_TOKEN = 50
_ONLINE = "0"
_LONGEST_NUMBER = 21  # the digit, and ten each for users and counters
#: Tokens read of one subject; each is looked for.
MOST_TOKENS = 5


@dataclass(frozen=True, slots=True)
class Scheme:
    """How an organisation makes tokens, and which it made before."""

    prefix: str = "CRM:"
    earlier_prefixes: tuple[str, ...] = ()  # answers to old email have them still
    base: int = 0  # added to the users' numbers
    user_digits: int = 3
    counter_digits: int = 3

    def token(self, user_number: int, count: int) -> str:
        """Return the token of the `count`th email of a user; both count from 1.

        A counter begins again at 0 behind its last digit; a user's number may take more digits.
        """
        user = str(self.base + user_number).zfill(self.user_digits)
        counter = str(count % 10**self.counter_digits).zfill(self.counter_digits)
        return f"{self.prefix}{_ONLINE}{user}{counter}"[:LONGEST_TOKEN]

    def tokens_in(self, subject: str) -> tuple[str, ...]:
        """Return the last tokens in a subject as they were written, the last first: the newest."""
        longest_first = self._prefixes()
        tokens = []
        for match in self._pattern().finditer(subject):
            groups = zip(longest_first, match.groups(), strict=False)
            found = next(prefix.lower() for prefix, group in groups if group is not None)
            alike = [prefix for prefix in longest_first if prefix.lower() == found]
            tokens += [prefix + match["number"] for prefix in alike]
        return tuple(dict.fromkeys(reversed(tokens)))[:MOST_TOKENS]

    def bare(self, subject: str) -> str:
        """Return what two copies of an email have in common of their subjects, in small letters.

        One may have no token yet, and more of the words that a token left no room for.
        """
        words = self._pattern().sub(" ", subject).casefold().split()
        return " ".join(words)[: LONGEST_SUBJECT - LONGEST_TOKEN - 1]

    def _pattern(self) -> re.Pattern[str]:
        words = "|".join(f"({re.escape(prefix)})" for prefix in self._prefixes()) or r"(?!)"
        pattern = rf"(?<!\w)(?:{words})(?P<number>[0-9]{{3,{_LONGEST_NUMBER}}})(?![0-9])"
        return re.compile(pattern, re.IGNORECASE)

    def _prefixes(self) -> Sequence[str]:
        """Return the prefixes, the longest first: it is read before one that it begins with."""
        prefixes = filter(None, (*self.earlier_prefixes, self.prefix))
        return sorted(prefixes, key=len, reverse=True)


def with_token(subject: str, token: str) -> str:
    """Append a token to a subject, and cut the subject so that both fit (F169).

    A token that is there already is not added again.
    """
    cut = subject[:LONGEST_SUBJECT]
    if re.search(rf"(?<!\w){re.escape(token)}(?![0-9])", cut):
        return cut
    room = LONGEST_SUBJECT - len(token) - 1
    return f"{subject[:room].rstrip()} {token}".strip()
