"""A worker told to stop tells its children, so that they finish their batch and leave.

The word travels through a page of memory that the children inherit: a signal would end them.
"""

import mmap
import struct
import time
from typing import Any

from celery import signals

_MOMENT = struct.Struct("d")
_page = mmap.mmap(-1, _MOMENT.size)  # shared; zero: nobody said so yet


def is_stopping() -> bool:
    return stopping_for() > 0


def stopping_for() -> float:
    """Give the seconds since the worker was told to stop; 0: it was not."""
    (moment,) = _MOMENT.unpack(_page[:])
    return time.monotonic() - moment if moment else 0.0


@signals.worker_shutting_down.connect
def tell_children(**_: Any) -> None:
    _page[:] = _MOMENT.pack(time.monotonic())
