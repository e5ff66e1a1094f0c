"""Opaque ids and change keys.

An id carries the simulator's run, so that an id of an earlier run is never mistaken for one of
ours: it names something that is gone. A checksum tells a gone id from a malformed one.
"""

import base64
import binascii
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from syncservice.simulator.exchange.errors import EwsError

# magic, kind, run, mailbox, number, part; and as many zeros as make an id as long as Exchange's:
# 152 characters, by which DavMail knows one.
LAYOUT = struct.Struct(">3sB4sIQI84x")
MAGIC = b"\x00\x09\x26"  # base64 of this begins with AAkm, much as Exchange's ids do
KEY_LAYOUT = struct.Struct(">4s4sQI")  # magic, run, number of the object, version
KEY_MAGIC = b"\x09\x00\x00\x00"


class Kind(IntEnum):
    """What an id names."""

    FOLDER = 1
    ITEM = 2
    ATTACHMENT = 3
    CONVERSATION = 4


@dataclass(frozen=True, slots=True)
class Name:
    """A decoded id. `part` is the attachment's number within its item."""

    kind: int
    run: bytes
    mailbox: int
    number: int
    part: int


def write_id(kind: Kind, run: bytes, mailbox: int, number: int, part: int = 0) -> str:
    """The opaque text of an id."""
    packed = LAYOUT.pack(MAGIC, kind, run, mailbox, number, part)
    return base64.b64encode(packed + struct.pack(">I", zlib.crc32(packed))).decode()


def read_id(text: str | None) -> Name:
    """Decode an id, or raise ErrorInvalidIdMalformed."""
    try:
        packed = base64.b64decode(text or "", validate=True)
        body, checksum = packed[:-4], packed[-4:]
        magic, kind, run, mailbox, number, part = LAYOUT.unpack(body)
    except (binascii.Error, ValueError, struct.error) as error:
        raise EwsError("ErrorInvalidIdMalformed") from error
    if magic != MAGIC or struct.pack(">I", zlib.crc32(body)) != checksum:
        raise EwsError("ErrorInvalidIdMalformed")
    return Name(kind, run, mailbox, number, part)


def write_change_key(run: bytes, number: int, version: int) -> str:
    """The change key of version `version` of an object."""
    return base64.b64encode(KEY_LAYOUT.pack(KEY_MAGIC, run, number, version)).decode()


def read_change_key(text: str) -> int:
    """The version a change key stands for, or raise ErrorInvalidChangeKey."""
    try:
        magic, _, _, version = KEY_LAYOUT.unpack(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, struct.error) as error:
        raise EwsError("ErrorInvalidChangeKey") from error
    if magic != KEY_MAGIC:
        raise EwsError("ErrorInvalidChangeKey")
    return int(version)
