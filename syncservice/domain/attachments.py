"""Which files of an email are kept (F121)."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an organisation lets in."""

    most_bytes: int
    blocked_extensions: Collection[str]  # without their dots, in small letters

    def keeps(self, filename: str, size: int) -> bool:
        """Whether a file is kept. Windows ignores dots and spaces at the end of a name.

        It also runs a file that is called `.exe` and nothing else.
        """
        _, dot, extension = PurePosixPath(filename.rstrip(". ")).name.rpartition(".")
        is_blocked = bool(dot) and extension.lower() in self.blocked_extensions
        return size <= self.most_bytes and not is_blocked
