"""Sync states: a position in a change log, sealed for one run, operation and folder.

The text is opaque to clients and bound to what it was given for; anything else, also a state of an
earlier run or of before "expire all states", is refused with ErrorInvalidSyncStateData.
"""

import base64
import binascii
import json
import zlib

from syncservice.simulator.exchange.change_log import START, Position
from syncservice.simulator.exchange.errors import EwsError


def write_state(position: Position, bound_to: str) -> str:
    """Seal `position`; `bound_to` names run, operation and folder."""
    facts = [
        position.told,
        position.floor,
        runs_of(position.unborn),
        runs_of(position.seen),
    ]
    packed = zlib.compress(json.dumps(facts, separators=(",", ":")).encode(), 1)
    return base64.b64encode(seal(packed, bound_to) + packed).decode()


def read_state(text: str | None, bound_to: str) -> Position:
    """Open a state; None or empty text is the start. Raises ErrorInvalidSyncStateData."""
    if not text:
        return START
    try:
        data = base64.b64decode(text, validate=True)
        if data[:8] != seal(data[8:], bound_to):
            raise EwsError("ErrorInvalidSyncStateData")
        told, floor, unborn, seen = json.loads(zlib.decompress(data[8:]))
    except (binascii.Error, zlib.error, ValueError) as error:
        raise EwsError("ErrorInvalidSyncStateData") from error
    return Position(told, floor, numbers_of(unborn), numbers_of(seen))


def seal(packed: bytes, bound_to: str) -> bytes:
    """A checksum over the state and what it is bound to; no secret, it guards against mix-ups."""
    first = zlib.crc32(bound_to.encode())
    return first.to_bytes(4, "big") + zlib.crc32(packed, first).to_bytes(4, "big")


def runs_of(numbers: frozenset[int]) -> list[list[int]]:
    """Write a set of numbers as [first, last] runs, since they come in long ones."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return runs


def numbers_of(runs: list[list[int]]) -> frozenset[int]:
    """The inverse of runs_of."""
    return frozenset(n for first, last in runs for n in range(first, last + 1))
