"""How much of a server's answer is taken, and how long it is waited for, in every protocol.

A socket's time-out bounds the wait for the next byte: a server that sends one each minute is never
late, and one that sends for ever is never done. Here the answer as a whole has an end.
"""

import io
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Bytes a second. An answer may take as long as a silent one, and what came of it at this pace.
SLOWEST = 128 * 2**10


class AnswerTooLarge(OSError):
    """An answer is longer than it may be; its rest is still to come, so the connection is lost."""


class Answers(io.RawIOBase):
    """The bytes that come out of a socket, each answer within some seconds and bytes."""

    def __init__(self, connection: socket.socket, seconds: float, most_bytes: int) -> None:
        self._connection = connection
        self._raw = connection.makefile("rb", buffering=0)  # keeps the socket open until closed
        self.begin(seconds, most_bytes)

    def begin(self, seconds: float, most_bytes: int) -> None:
        """Expect another answer from here on."""
        self._seconds = seconds
        self._ends = time.monotonic() + seconds
        self._left = most_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        """Read what is there; raise TimeoutError or AnswerTooLarge when the answer has no end."""
        seconds = self._ends - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the answer did not come to its end in time")
        self._connection.settimeout(min(seconds, self._seconds))
        count: int | None = self._raw.readinto(buffer)
        self._connection.settimeout(self._seconds)  # for the next request
        if count:
            self._ends += count / SLOWEST
            self._left -= count
            if self._left < 0:
                raise AnswerTooLarge("the answer is longer than it may be")
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()
