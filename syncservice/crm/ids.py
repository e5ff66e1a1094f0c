"""Ids of CRM activities."""

import secrets
import time
from uuid import UUID


def activity_id() -> UUID:
    """Make a UUID version 7 (RFC 9562 section 5.7): ids made later sort later.

    An activity's id is known before its row is written, so a batch can be built whole; and new
    rows meet at one end of the index, where random ids would touch a page each.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)
