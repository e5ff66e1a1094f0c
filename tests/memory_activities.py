"""Exchange mailboxes in memory, with calendars, contacts and tasks; no mock: they work.

Mailboxes of one `MemoryExchange` send each other meeting messages, and answers travel back. What a
person does in Outlook is a method of `MemoryMailbox`; what is asked over the gateway goes through
`MemoryActivities`, and may be cut off before or after any single write.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from uuid import uuid4

from syncservice.domain.attachments import Allowed
from syncservice.domain.faults import Fault, FaultError, Nature, Scope
from syncservice.domain.item_values import DELETED, OCCURRENCE, VALUES, ItemKind, Value, Values
from syncservice.domain.time_zones import canonical
from syncservice.servers.gateway import (
    Deletion,
    Gone,
    Invitations,
    Item,
    ItemChange,
    ItemFile,
    ItemPage,
    ListedItem,
    NewItem,
    NotRead,
    NotWritten,
    Stamp,
    Written,
)
from tests.memory_gateway import Killed, fault

#: Of these, an attendee's copy has what the organizer's has.
_OF_MEETING = (
    "subject", "body", "location", "importance", "time", "organizer", "required", "optional",
    "recurrence",
)  # fmt: skip


#: Of a series: written, they leave nothing of its occurrences.
_MOVING = {"time", "recurrence"}


class When(enum.Enum):
    """Where a write may be cut off."""

    BEFORE = enum.auto()  # nothing is done yet
    AFTER = enum.auto()  # it is done, and nobody has heard so


class What(enum.StrEnum):
    """What a meeting message says."""

    INVITATION = "invitation"  # or what has changed since
    CANCELLATION = "cancellation"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class MeetingMessage:
    what: What
    uid: str
    sender: str
    recipients: tuple[str, ...]  # sorted
    by_person: bool = False  # sent by somebody's Outlook, not over the gateway


@dataclass
class MemoryItem:
    item_id: str
    kind: ItemKind
    values: dict[str, Value]
    change_key: str
    changed_at: datetime
    record_key: str = ""
    categories: tuple[str, ...] = ()
    uid: str = ""
    is_organizer: bool = True
    is_cancelled: bool = False
    unsupported: str = ""
    files: list[ItemFile] = field(default_factory=list)

    @property
    def attendees(self) -> set[str]:
        return _addresses(self.values) if self.kind is ItemKind.APPOINTMENT else set()

    @property
    def listed(self) -> ListedItem:
        time, values = self.values.get("time"), self.values
        name = values.get("full_name") or {}
        return ListedItem(
            item_id=self.item_id,
            change_key=self.change_key,
            record_key=self.record_key,
            categories=self.categories,
            subject=values["subject"]
            if "subject" in values
            else " ".join(filter(None, (name.get("first"), name.get("last")))),
            starts_at=time["start"] if time else values.get("due"),
            uid=self.uid,
            addresses=tuple(
                values[one].lower() for one in ("email1", "email2", "email3") if values.get(one)
            ),
        )

    def files_within(self, allowed: Allowed | None) -> list[ItemFile]:
        return [
            file for file in self.files if allowed and allowed.keeps(file.name, len(file.content))
        ]

    def as_read(self, allowed: Allowed | None) -> Item:
        values = deepcopy(self.values)
        if self.kind is ItemKind.APPOINTMENT and values["recurrence"] is None:
            files = [file.value for file in self.files_within(allowed)]
            values["attachments"] = sorted(files, key=lambda one: (one["name"], one["digest"]))
        return Item(
            item_id=self.item_id,
            change_key=self.change_key,
            values=values,
            record_key=self.record_key,
            categories=self.categories,
            changed_at=self.changed_at,
            uid=self.uid,
            is_organizer=self.is_organizer,
            is_cancelled=self.is_cancelled,
            unsupported=self.unsupported,
        )


@dataclass
class MemoryExchange:
    """A server: its mailboxes by address, and what may go wrong with it."""

    mailboxes: dict[str, "MemoryMailbox"] = field(default_factory=dict)
    messages: list[MeetingMessage] = field(default_factory=list)
    now: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)
    writes: int = 0  # of single items over the gateway, begun so far
    killed_at: set[tuple[int, When]] = field(default_factory=set)  # write, counted from 1
    fail_at: set[tuple[int, When]] = field(default_factory=set)  # the connection is lost there
    name: str = field(default_factory=lambda: uuid4().hex)  # in UIDs: they are the world's
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def mailbox(self, address: str) -> "MemoryMailbox":
        return self.mailboxes.setdefault(address, MemoryMailbox(address, self))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Do one write in the block, unless it is cut off."""
        self.writes += 1
        self._reach(When.BEFORE)
        yield
        self._reach(When.AFTER)

    def _reach(self, when: When) -> None:
        """Go on, or end here; once each."""
        place = self.writes, when
        if place in self.killed_at:
            self.killed_at.remove(place)
            raise Killed(place)
        if place in self.fail_at:
            self.fail_at.remove(place)
            raise FaultError(fault())

    def tell(self, message: MeetingMessage) -> None:
        if message.recipients:
            self.messages.append(message)


@dataclass
class MemoryMailbox:
    """One mailbox; a cursor is an epoch and a place in the log of what came, changed and left."""

    address: str
    exchange: MemoryExchange = field(repr=False)
    items: dict[str, MemoryItem] = field(default_factory=dict)
    log: list[tuple[ItemKind, str]] = field(default_factory=list)
    stamp: Stamp | None = None
    epoch: int = 0  # a cursor of another epoch is refused
    fault: Fault | None = None  # raised by every request
    bad: dict[str, Fault] = field(
        default_factory=dict
    )  # by item id: it is neither read nor written

    # What a person does in Outlook.

    def add(
        self, kind: ItemKind, *, invites: bool = True, categories: tuple[str, ...] = (), **values
    ) -> str:
        """Make an item; a meeting's attendees are invited."""
        item = self.store(kind, VALUES[kind] | values, categories=categories)
        self.tell(item, set(), Invitations.ALL if invites else Invitations.NOBODY, by_person=True)
        return item.item_id

    def edit(self, item_id: str, *, invites: bool = True, **values) -> None:
        """Change values; a meeting's attendees are told, when it is this mailbox's meeting."""
        item = self.items[item_id]
        before = item.attendees
        self.change(item, values)
        self.tell(item, before, Invitations.ALL if invites else Invitations.NOBODY, by_person=True)

    def attach(self, item_id: str, name: str, content: bytes) -> None:
        item = self.items[item_id]
        item.files.append(ItemFile(name, "", content))
        self.touch(item)

    def detach(self, item_id: str, name: str) -> None:
        item = self.items[item_id]
        item.files = [file for file in item.files if file.name != name]
        self.touch(item)

    def categorise(self, item_id: str, *names: str) -> None:
        self.items[item_id].categories = names
        self.touch(self.items[item_id])

    def remove(self, item_id: str, *, cancels: bool = True) -> None:
        self.drop(self.items[item_id], cancels=cancels, by_person=True)

    def answer(self, item_id: str, response: str) -> None:
        """Say "accepted", "tentative" or "declined" to a meeting that somebody else called."""
        copy = self.items[item_id]
        if response == "declined":
            self.drop(copy, cancels=False, by_person=True)
        else:
            show_as = "busy" if response == "accepted" else "tentative"
            responses = copy.values["responses"] | {self.address: response}
            self.change(copy, {"responses": responses, "show_as": show_as})
        caller = self.exchange.mailboxes.get(copy.values["organizer"]["address"])
        original = caller and caller.of_uid(copy.uid)
        if original:
            responses = original.values["responses"] | {self.address: response}
            original.values["responses"] = responses
            caller.touch(original)
        recipients = (copy.values["organizer"]["address"],)
        self.exchange.tell(MeetingMessage(What.ANSWER, copy.uid, self.address, recipients, True))

    # What the server does.

    def of_uid(self, uid: str) -> MemoryItem | None:
        return next((item for item in self.items.values() if item.uid == uid), None)

    def store(self, kind: ItemKind, values: Values, **more) -> MemoryItem:
        number = next(self.exchange.numbers)
        item = MemoryItem(f"item-{number}", kind, {}, "", self.exchange.now, **more)
        item.values = deepcopy(dict(VALUES[kind]))
        if kind is ItemKind.APPOINTMENT and not item.uid:
            item.uid = f"{self.exchange.name}-{number}"
        self.items[item.item_id] = item
        self.change(item, values)
        return item

    def change(self, item: MemoryItem, values: Values) -> None:
        had_time = item.values.get("time"), item.values.get("recurrence")
        _put(item.values, deepcopy({n: v for n, v in values.items() if n != "attachments"}))
        for name in {"required", "optional"} & values.keys():
            people = {one["address"].lower(): one["name"] for one in values[name]}
            item.values[name] = [{"address": one, "name": people[one]} for one in sorted(people)]
        if item.kind is ItemKind.TASK:
            _complete(item.values, values, self.exchange.now)
            item.values["due"] = item.values["due"] or item.values["start"]
        if item.values.get("time"):
            item.values["time"]["zone"] = canonical(item.values["time"]["zone"])
        if item.kind is ItemKind.APPOINTMENT and item.is_organizer:
            is_moved = had_time != (item.values["time"], item.values["recurrence"])
            before = {} if is_moved else item.values["responses"]
            item.values["responses"] = {
                one: before.get(one, "none") for one in sorted(item.attendees)
            }
            item.values["organizer"] = {"address": self.address, "name": ""}
        self.touch(item)

    def touch(self, item: MemoryItem) -> None:
        item.change_key = f"key-{next(self.exchange.numbers)}"
        item.changed_at = self.exchange.now
        self.log.append((item.kind, item.item_id))

    def drop(self, item: MemoryItem, *, cancels: bool, by_person: bool = False) -> None:
        if cancels and item.is_organizer:
            self._cancel(item, item.attendees, by_person)
        del self.items[item.item_id]
        self.log.append((item.kind, item.item_id))

    def tell(
        self, item: MemoryItem, before: set[str], invitations: Invitations, *, by_person: bool
    ) -> None:
        """Send what an item's change asks for; `before` are the attendees that it had."""
        if not item.is_organizer or invitations is Invitations.NOBODY:
            return
        invited = item.attendees
        if invitations is Invitations.CHANGED:
            invited = invited - before
        message = MeetingMessage(
            What.INVITATION, item.uid, self.address, tuple(sorted(invited)), by_person
        )
        self.exchange.tell(message)
        for mailbox in self._mailboxes(invited):
            mailbox.receive(item)
        self._cancel(item, before - item.attendees, by_person)

    def receive(self, original: MemoryItem) -> None:
        """Put an invitation into the calendar, as Exchange does before its recipient sees it."""
        names = [*_OF_MEETING, *(name for name in original.values if name.startswith(OCCURRENCE))]
        values = {name: original.values[name] for name in names}
        unanswered = dict.fromkeys(sorted(original.attendees), "none")
        copy = self.of_uid(original.uid)
        if copy is None:
            values |= {"show_as": "tentative", "responses": unanswered}
            self.store(ItemKind.APPOINTMENT, values, uid=original.uid, is_organizer=False)
            return
        if copy.values["time"] != values["time"]:
            values |= {"show_as": "tentative", "responses": unanswered}
        copy.is_cancelled = False
        self.change(copy, values)

    def _cancel(self, item: MemoryItem, recipients: set[str], by_person: bool) -> None:
        names = tuple(sorted(recipients))
        message = MeetingMessage(What.CANCELLATION, item.uid, self.address, names, by_person)
        self.exchange.tell(message)
        for mailbox in self._mailboxes(recipients):
            copy = mailbox.of_uid(item.uid)
            if copy is not None:
                copy.is_cancelled = True
                mailbox.change(copy, {"show_as": "free"})

    def _mailboxes(self, addresses: Iterable[str]) -> list["MemoryMailbox"]:
        others = set(addresses) - {self.address}
        return [self.exchange.mailboxes[one] for one in others & self.exchange.mailboxes.keys()]


@dataclass
class MemoryActivities:
    """`servers.gateway.Activities` over one mailbox."""

    mailbox: MemoryMailbox
    allowed_files: Allowed | None = None  # None: none are kept in step
    requests: int = 0

    def open(self) -> None:
        self._ask()

    def stamp(self) -> Stamp | None:
        self._ask()
        return self.mailbox.stamp

    def put_stamp(self, stamp: Stamp) -> None:
        self._ask()
        self.mailbox.stamp = stamp

    def changes(self, kind: ItemKind, cursor: str, limit: int) -> ItemPage:
        self._ask()
        mailbox = self.mailbox
        epoch, place = (int(part) for part in (cursor or f"{mailbox.epoch}:0").split(":"))
        if epoch != mailbox.epoch:
            raise FaultError(fault(Nature.RESYNC))
        behind, listed = place, dict[str, None]()
        for of, item_id in mailbox.log[place:]:
            if of is kind and item_id not in listed and len(listed) == limit:
                break
            listed |= {item_id: None} if of is kind else {}
            behind += 1
        known = {item_id for _, item_id in mailbox.log[:place]}
        here = [mailbox.items[one].listed for one in listed if one in mailbox.items]
        gone = tuple(one for one in listed if one in known and one not in mailbox.items)
        is_last = behind == len(mailbox.log)
        return ItemPage(tuple(here), gone, f"{epoch}:{behind}", is_last)

    def read(self, kind: ItemKind, item_ids: Sequence[str]) -> Iterator[Item | NotRead | Gone]:
        self._ask(bool(item_ids))
        for item_id in item_ids:
            if item_id in self.mailbox.bad:
                yield NotRead(item_id, self.mailbox.bad[item_id])
            elif item := self.mailbox.items.get(item_id):
                yield item.as_read(self.allowed_files)
            else:
                yield Gone(item_id)

    def find(self, kind: ItemKind, record_keys: Sequence[str]) -> tuple[ListedItem, ...]:
        self._ask(bool(record_keys))
        items = self.mailbox.items.values()
        return tuple(
            one.listed for one in items if one.kind is kind and one.record_key in set(record_keys)
        )

    def create(self, kind: ItemKind, items: Sequence[NewItem]) -> list[Written | NotWritten]:
        self._ask(bool(items))
        return [self._create(kind, new) for new in items]

    def update(
        self, kind: ItemKind, changes: Sequence[ItemChange]
    ) -> list[Written | NotWritten | Gone]:
        self._ask(bool(changes))
        return [self._update(one) for one in changes]

    def files(self, item_id: str) -> tuple[ItemFile, ...]:
        self._ask()
        item = self.mailbox.items.get(item_id)
        if item_id in self.mailbox.bad:
            raise FaultError(self.mailbox.bad[item_id])
        return tuple(item.files_within(self.allowed_files)) if item else ()

    def put_files(
        self, item_id: str, change_key: str, add: Sequence[ItemFile], remove: Sequence[Values]
    ) -> Written | NotWritten | Gone:
        self._ask()
        with self.mailbox.exchange.writing():
            item = self.mailbox.items.get(item_id)
            if item is None:
                return Gone(item_id)
            if item_id in self.mailbox.bad:
                return NotWritten(self.mailbox.bad[item_id])
            if item.change_key != change_key:
                return NotWritten(fault(Nature.CONFLICT, Scope.EMAIL))
            kept = item.files_within(self.allowed_files)
            gone = [file for file in kept if file.value in remove]
            item.files = [file for file in item.files if file not in gone]
            for file in add:
                is_kept = self.allowed_files and self.allowed_files.keeps(
                    file.name, len(file.content)
                )
                if is_kept and file.value not in [one.value for one in item.files]:
                    item.files.append(file)
            self.mailbox.touch(item)
            return Written(item_id, item.change_key)

    def delete(self, kind: ItemKind, items: Sequence[Deletion]) -> list[Gone | NotWritten]:
        self._ask(bool(items))
        return [self._delete(one) for one in items]

    def _create(self, kind: ItemKind, new: NewItem) -> Written:
        with self.mailbox.exchange.writing():
            item = self.mailbox.store(
                kind, new.values, record_key=new.record_key, categories=new.categories
            )
            self.mailbox.tell(item, set(), new.invitations, by_person=False)
            return Written(item.item_id, item.change_key)

    def _update(self, change: ItemChange) -> Written | NotWritten | Gone:
        with self.mailbox.exchange.writing():
            item = self.mailbox.items.get(change.item_id)
            if item is None:
                return Gone(change.item_id)
            if item.item_id in self.mailbox.bad:
                return NotWritten(self.mailbox.bad[item.item_id])
            if item.change_key != change.change_key:
                return NotWritten(fault(Nature.CONFLICT, Scope.EMAIL))
            before = item.attendees
            values = dict(change.values)
            if _MOVING & values.keys():  # a series that is moved has what is written anew
                values |= _occurrences(change.whole)
            if change.record_key is not None:
                item.record_key = change.record_key
            if change.categories is not None:
                item.categories = change.categories
            self.mailbox.change(item, values)
            self.mailbox.tell(item, before, change.invitations, by_person=False)
            return Written(item.item_id, item.change_key)

    def _delete(self, deletion: Deletion) -> Gone | NotWritten:
        with self.mailbox.exchange.writing():
            item = self.mailbox.items.get(deletion.item_id)
            if item is not None and item.item_id in self.mailbox.bad:
                return NotWritten(self.mailbox.bad[item.item_id])
            if item is not None:
                self.mailbox.drop(item, cancels=deletion.cancels)
            return Gone(deletion.item_id)

    def _ask(self, is_needed: bool = True) -> None:
        self.requests += is_needed
        if self.mailbox.fault and is_needed:
            raise FaultError(self.mailbox.fault)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def _addresses(values: Values) -> set[str]:
    return {one["address"] for one in (*values["required"], *values["optional"])}


def _occurrences(values: Values) -> dict[str, Value]:
    return {name: value for name, value in values.items() if name.startswith(OCCURRENCE)}


def _put(values: dict[str, Value], changed: Mapping[str, Value]) -> None:
    """Put values in; what happens once, at other times or in a pattern written anew has no
    occurrences of before."""
    if "recurrence" in changed or changed.get("time", values.get("time")) != values.get("time"):
        for name in _occurrences(values):
            del values[name]
    for name, value in changed.items():
        if name.startswith(OCCURRENCE):
            if values.get(name) == DELETED:
                continue  # nothing brings one back but its series' pattern
            if not value:
                values.pop(name, None)  # as the series has it
                continue
        values[name] = value


def _complete(values: dict[str, Value], changed: Values, now: datetime) -> None:
    """Keep what says that a task is done in step, as Exchange does: one of three implies all."""
    said = [
        changed[name] == done
        for name, done in (("status", "completed"), ("percent_complete", 100))
        if name in changed
    ]
    if changed.get("completed") or (said[0] if said else values["status"] == "completed"):
        today = now.date().isoformat()
        values |= {
            "status": "completed", "percent_complete": 100,
            "completed": values["completed"] or today,
        }  # fmt: skip
    else:
        values["completed"] = None
        if values["percent_complete"] == 100:
            values["percent_complete"] = 0
