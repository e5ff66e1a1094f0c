"""Who has subscribed to what, and the streams that are open for it."""

from __future__ import annotations

import base64
import binascii
import struct
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.events import Event, EventLog
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.soap import failure, response, success

WATERMARK = struct.Struct(">4s4sQ")  # magic, run, number of the event
MAGIC = b"\x05\x00\x00\x00"
STREAMING = "GetStreamingEvents"


def write_watermark(run: bytes, number: int) -> str:
    """The opaque text that stands for an event."""
    return base64.b64encode(WATERMARK.pack(MAGIC, run, number)).decode()


def read_watermark(text: str, run: bytes) -> int:
    """The number of the event a watermark stands for, or ErrorInvalidWatermark."""
    try:
        magic, of_run, number = WATERMARK.unpack(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, struct.error) as error:
        raise EwsError("ErrorInvalidWatermark") from error
    if (magic, of_run) != (MAGIC, run):
        raise EwsError("ErrorInvalidWatermark")
    return int(number)


@dataclass(slots=True, eq=False)
class Subscription:
    """What one client wants to hear of a mailbox."""

    id: str
    mailbox: Mailbox
    log: EventLog
    folders: frozenset[int] | None  # by uid; None: all
    kinds: frozenset[str]
    minutes: int | None  # how long a pull subscription lives unasked; None: it streams
    told: int  # the number of the last event a stream has told
    asked: float = field(default_factory=time.monotonic)
    is_expired: bool = False

    def wants(self, event: Event) -> bool:
        """Whether the client asked for events like this one."""
        is_here = self.folders is None or bool(self.folders & event.folders)
        return is_here and event.kind in self.kinds


@dataclass(slots=True)
class Subscriptions:
    """All subscriptions by id."""

    by_id: dict[str, Subscription] = field(default_factory=dict)
    most: int = 20  # of one mailbox
    minute: float = 60.0  # seconds; tests shorten it
    streams: set[Stream] = field(default_factory=set)

    def add(
        self,
        mailbox: Mailbox,
        folders: frozenset[int] | None,
        kinds: frozenset[str],
        minutes: int | None,
    ) -> Subscription:
        """Subscribe, or ErrorExceededSubscriptionCount."""
        if sum(one.mailbox is mailbox for one in self.by_id.values()) >= self.most:
            raise EwsError("ErrorExceededSubscriptionCount")
        if mailbox.events is None:
            mailbox.events = EventLog()
        identity = base64.b64encode(uuid.uuid4().bytes).decode()
        log = mailbox.events
        found = Subscription(identity, mailbox, log, folders, kinds, minutes, log.last)
        self.by_id[identity] = found
        return found

    def find(self, identity: str) -> Subscription:
        """The subscription, ErrorSubscriptionNotFound, or once ErrorExpiredSubscription."""
        found = self.by_id.get(identity)
        if found is None:
            raise EwsError("ErrorSubscriptionNotFound")
        moment = time.monotonic()
        lived = moment - found.asked
        if found.is_expired or (found.minutes is not None and lived > found.minutes * self.minute):
            del self.by_id[identity]
            raise EwsError("ErrorExpiredSubscription")
        found.asked = moment
        return found

    def lose(self) -> None:
        """Forget all of them, as a server that fails over does."""
        self.by_id.clear()
        self.wake_streams()

    def wake_streams(self) -> None:
        """Let the open streams look what has happened."""
        for stream in self.streams:
            stream.wake()


@dataclass(slots=True, eq=False)
class Stream:
    """An open answer that tells what happens until its time is over."""

    subscriptions: Subscriptions
    followed: list[Subscription]
    run: bytes
    ends: float  # on the clock of time.monotonic
    is_cut: bool = False
    wake: Callable[[], None] = field(default=lambda: None)

    @property
    def left(self) -> float:
        """Seconds until it is over."""
        return max(self.ends - time.monotonic(), 0.0)

    @contextmanager
    def woken_by(self, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` whenever there may be something to tell."""
        self.wake = wake
        self.subscriptions.streams.add(self)
        for one in self.followed:
            one.log.listeners.add(wake)
        try:
            yield
        finally:
            self.subscriptions.streams.discard(self)
            for one in self.followed:
                one.log.listeners.discard(wake)

    def next_body(self) -> tuple[str, bool]:
        """What is to be told now (empty: nothing), and whether that is the end."""
        lost = [one.id for one in self.followed if one.id not in self.subscriptions.by_id]
        if lost:
            return refused("ErrorSubscriptionNotFound", lost), True
        told = "".join(map(self._notification, self.followed))
        if told:
            payload = f"<m:Notifications>{told}</m:Notifications>"
            return response(STREAMING, [success(STREAMING, payload)]), False
        if not self.left:
            return response(STREAMING, [success(STREAMING, status("Closed"))]), True
        return "", False

    def _notification(self, one: Subscription) -> str:
        """What a subscription has not been told yet; empty: nothing."""
        events = one.log.after(one.told) or []
        one.told = one.log.last
        written = "".join(
            event.xml(write_watermark(self.run, event.number))
            for event in events
            if one.wants(event)
        )
        if not written:
            return ""
        return (
            f"<t:Notification><t:SubscriptionId>{one.id}</t:SubscriptionId>{written}"
            "</t:Notification>"
        )


def status(text: str) -> str:
    """An m:ConnectionStatus."""
    return f"<m:ConnectionStatus>{text}</m:ConnectionStatus>"


def refused(code: str, ids: list[str], text: str | None = None) -> str:
    """The last body of a stream whose subscriptions are of no use."""
    listed = "".join(f"<t:SubscriptionId>{one}</t:SubscriptionId>" for one in ids)
    payload = f"<m:ErrorSubscriptionIds>{listed}</m:ErrorSubscriptionIds>{status('Closed')}"
    return response(STREAMING, [failure(STREAMING, code, payload, text=text)])
