"""Random histories of two sides that are kept in step, and what must hold once it is quiet.

A history is made by its seed alone: `History(seed).run()` does the same again. People work in the
CRM and in Outlook, visits are made and are killed between any two writes, connections are lost,
cursors expire, calls are delivered twice and clocks go on; then it is quiet, and visits go on until
nothing more is to be done.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from django.db import connection
from django.db.models.functions import Now

from syncservice.crm.models import (
    Appointment,
    AppointmentParty,
    Contact,
    SyncFilter,
    Task,
    User,
)
from syncservice.domain.faults import Nature
from syncservice.domain.item_values import DELETED, OCCURRENCE, ItemKind, Values
from syncservice.domain.recurrence import Recurrence
from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import (
    ItemConflict,
    ItemLink,
    ItemProgress,
)
from syncservice.mailboxes.schedule import ClaimLost
from syncservice.sync.item_records import records_of
from tests.memory_activities import MemoryExchange, MemoryItem, What, When
from tests.memory_gateway import Killed, fault
from tests.sync.synced_items import TRACKED, Person, person

CONTACT, APPOINTMENT, TASK = ItemKind.CONTACT, ItemKind.APPOINTMENT, ItemKind.TASK
Party = AppointmentParty.Participation
#: Visits of everybody before something is wrong that does not become quiet.
MOST_ROUNDS = 12
STRANGER = "stranger@elsewhere.test"
#: What is edited: of each kind, the value's name and the record's column.
EDITED = {
    CONTACT: {"job_title": "job_title", "mobile": "mobile_phone", "notes": "description"},
    TASK: {"subject": "subject", "notes": "description"},
    APPOINTMENT: {"location": "location", "body": "description"},
}


@dataclass
class Edit:
    """Somebody gave a value of a thing, on one side."""

    thing: str
    name: str
    value: str
    side: str  # "crm", or the address of the mailbox


@dataclass
class Thing:
    """A contact, task or appointment, known by a word in it that nothing else has."""

    word: str
    kind: ItemKind
    organizer: str = ""
    attendees: tuple[str, ...] = ()
    is_past: bool = False
    #: Somebody deleted it, on whatever side, or took its tracking away: edits may be lost with it.
    is_touched: bool = False
    crm_deleted: bool = False
    outlook_deleted: bool = False
    attendees_changed: int = 0
    crm_edits: int = 0


@dataclass
class History:
    seed: int
    random: Random = field(init=False)
    exchange: MemoryExchange = field(default_factory=MemoryExchange)
    people: list[Person] = field(default_factory=list)
    things: dict[str, Thing] = field(default_factory=dict)
    edits: list[Edit] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)  # what was done, for whoever reads a failure
    kills: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def run(self) -> None:
        self._tick(timedelta(0))
        for name in ("ann", "bob"):
            self.people.append(person(self.exchange, f"{name}{self.seed}@example.test"))
        for _ in range(self.random.randint(15, 40)):
            action = self.random.choice(self._actions())
            self.steps.append(action.__name__.strip("_"))
            action()
        self.steps.append("quiet")
        self.become_quiet()
        self.check()

    def _actions(self) -> list[Callable[[], None]]:
        often = [self._visit] * 6 + [self._kill_visit] * 6 + [self._push] * 2
        often += [self._visit_meanwhile] * 4
        return [
            *often,
            *[self._add_record] * 4,
            *[self._add_item] * 4,
            *[self._edit_record] * 5,
            *[self._edit_item] * 5,
            self._delete_record,
            self._delete_item,
            self._track,
            self._untrack,
            self._switch_filter,
            self._answer,
            self._change_attendees,
            *[self._move] * 2,
            *[self._add_series] * 2,
            *[self._change_occurrence] * 4,
            self._complete,
            self._reassign,
            self._copy_item,
            self._lose_connection,
            self._lose_database_connection,
            self._expire_cursor,
            self._deliver_twice,
            self._busy,
            self._lose_progress,
        ]

    # What people do in the CRM

    def _add_record(self) -> None:
        kind, owner = self.random.choice(list(ItemKind)), self._person()
        thing = self._thing(kind)
        if kind is CONTACT:
            Contact.objects.create(first_name="C", last_name=thing.word, owner=owner.user)
        elif kind is TASK:
            Task.objects.create(subject=thing.word, status=2, owner=owner.user)
        else:
            self._add_appointment(thing, owner)

    def _add_appointment(self, thing: Thing, owner: Person) -> None:
        thing.is_past = self.random.random() < 0.3
        days = -5 if thing.is_past else self.random.randint(2, 20)
        starts_at = self.exchange.now.replace(minute=0, second=0, microsecond=0)
        starts_at += timedelta(days=days)
        record = Appointment.objects.create(
            subject=thing.word,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(hours=1),
            time_zone="Europe/Berlin",
            owner=owner.user,
        )
        thing.organizer = owner.user.email
        self._party(record, Party.ORGANIZER, owner.user.email)
        others = [one.user.email for one in self.people if one is not owner] + [STRANGER]
        for address in self.random.sample(others, self.random.randint(0, 2)):
            self._party(record, Party.REQUIRED, address)
            thing.attendees += (address,)

    def _party(self, record: Appointment, role: Party, address: str) -> None:
        user = User.objects.filter(email=address).first()
        record.parties.create(participation=role, address=address, user=user)

    def _edit_record(self) -> None:
        record = self._record()
        if record is None:
            return
        thing = self._thing_of(record)
        if thing is None:
            return
        name, column = self.random.choice(list(EDITED[thing.kind].items()))
        value = self._value(thing, name)
        setattr(record, column, value)
        record.save(update_fields=[column])
        self.edits.append(Edit(thing.word, name, value, "crm"))
        thing.crm_edits += 1

    def _delete_record(self) -> None:
        record = self._record()
        if record is not None and (thing := self._thing_of(record)):
            record.delete()
            thing.crm_deleted = thing.is_touched = True

    def _switch_filter(self) -> None:
        owner = self._person()
        filters = SyncFilter.objects.filter(user=owner.user)
        one = self.random.choice(list(filters))
        one.is_active = not one.is_active
        one.save()
        for thing in self.things.values():
            thing.is_touched = True

    def _change_attendees(self) -> None:
        """Take somebody off a meeting, or put somebody on it."""
        record = self._record(Appointment)
        if record is None or (thing := self._thing_of(record)) is None:
            return
        attending = list(record.parties.filter(participation=Party.REQUIRED))
        if attending and self.random.random() < 0.5:
            self.random.choice(attending).delete()
        elif STRANGER not in [party.address for party in attending]:
            self._party(record, Party.REQUIRED, STRANGER)
        thing.attendees_changed += 1

    def _move(self) -> None:
        """Give an appointment another time, on one side."""
        if self.random.random() < 0.5:
            record = self._record(Appointment)
            if record is None or (thing := self._thing_of(record)) is None or thing.is_past:
                return
            later = timedelta(days=self.random.randint(0, 3), hours=self.random.randint(1, 5))
            record.starts_at += later
            record.ends_at += later
            record.occurrences = {}
            record.save(update_fields=["starts_at", "ends_at", "occurrences"])
            thing.crm_edits += 1
            return
        owner, item = self._item(APPOINTMENT)
        if item is not None and self._may_edit(owner, item) and not item.values["recurrence"]:
            start = datetime.fromisoformat(item.values["time"]["start"])
            later = timedelta(days=self.random.randint(1, 3))
            owner.outlook.edit(item.item_id, time=_time(start + later))

    def _add_series(self) -> None:
        owner, thing = self._person(), self._thing(APPOINTMENT)
        start = self.exchange.now.replace(hour=9, minute=0, second=0, microsecond=0)
        start += timedelta(days=self.random.randint(10, 200))
        series = {
            "pattern": "daily",
            "interval": self.random.randint(1, 3),
            "starts_on": start.date().isoformat(),
            "count": 5,
        }
        series = Recurrence.of_value(series).as_value()
        thing.organizer = owner.user.email
        if self.random.random() < 0.5:
            record = Appointment.objects.create(
                subject=thing.word,
                starts_at=start,
                ends_at=start + timedelta(hours=1),
                time_zone="UTC",
                owner=owner.user,
                recurrence=series,
            )
            self._party(record, Party.ORGANIZER, owner.user.email)
        else:
            time = _time(start) | {"zone": "UTC"}
            owner.outlook.add(
                APPOINTMENT,
                categories=(TRACKED,),
                subject=thing.word,
                time=time,
                recurrence=series,
            )

    def _change_occurrence(self) -> None:
        """Let one of a series have a place of its own, or leave it out, on one side."""
        leaves_out = self.random.random() < 0.3
        if self.random.random() < 0.5:
            record = self._record(Appointment)
            if record is None or record.recurrence is None:
                return
            day = self._day_of(record.recurrence)
            if record.occurrences.get(day) == DELETED:
                return
            value = DELETED if leaves_out else {"location": f"place {self.random.random()}"}
            record.occurrences = record.occurrences | {day: value}
            record.save(update_fields=["occurrences"])
            return
        owner, item = self._item(APPOINTMENT)
        if item is None or item.values["recurrence"] is None or not self._may_edit(owner, item):
            return
        name = OCCURRENCE + self._day_of(item.values["recurrence"])
        value = DELETED if leaves_out else {"location": f"place {self.random.random()}"}
        owner.outlook.edit(item.item_id, **{name: value})

    def _day_of(self, series: dict[str, Any]) -> str:
        found = Recurrence.of_value(series).date_of(self.random.randint(1, 5))
        assert found is not None
        return found.isoformat()

    def _complete(self) -> None:
        """Mark a task as done; in the CRM, it falls out of the filter with that."""
        if self.random.random() < 0.5:
            record = self._record(Task)
            if record is not None and (thing := self._thing_of(record)):
                record.status = 5
                record.save(update_fields=["status"])
                thing.is_touched = True
            return
        owner, item = self._item(TASK)
        if item is not None and (thing := self._thing_of_item(item)):
            owner.outlook.edit(item.item_id, status="completed")
            thing.is_touched = True

    def _reassign(self) -> None:
        record = self._record(self.random.choice([Task, Contact]))
        if record is not None and (thing := self._thing_of(record)):
            record.owner = self._person().user
            record.save(update_fields=["owner"])
            thing.is_touched = True

    # What people do in Outlook

    def _copy_item(self) -> None:
        """Copy an item, and take the copy's mark away as the word that it is known by."""
        owner, item = self._item(TASK)
        if item is not None and item.record_key:
            thing = self._thing(TASK)
            thing.is_touched = True
            values = item.values | {"subject": thing.word}
            owner.outlook.store(
                TASK, values, record_key=item.record_key, categories=item.categories
            )

    def _may_edit(self, owner: Person, item: MemoryItem) -> bool:
        """Whether the person's own copy is the one that counts."""
        thing = self._thing_of_item(item)
        return thing is not None and item.is_organizer and thing.organizer == owner.user.email

    def _add_item(self) -> None:
        kind, owner = self.random.choice(list(ItemKind)), self._person()
        thing = self._thing(kind)
        is_tracked = self.random.random() < 0.6
        categories = (TRACKED,) if is_tracked else ()
        if kind is CONTACT:
            name = {"first": "O", "middle": "", "last": thing.word}
            owner.outlook.add(kind, categories=categories, full_name=name)
        elif kind is TASK:
            owner.outlook.add(kind, categories=categories, subject=thing.word)
        else:
            start = self.exchange.now.replace(minute=0, second=0, microsecond=0)
            start += timedelta(days=self.random.randint(30, 300), hours=self.random.randint(0, 9))
            attendees = [one.user.email for one in self.people if one is not owner]
            thing.organizer = owner.user.email
            thing.attendees = tuple(attendees) if self.random.random() < 0.5 else ()
            owner.outlook.add(
                kind,
                categories=categories,
                subject=thing.word,
                time=_time(start),
                required=[{"address": one, "name": ""} for one in sorted(thing.attendees)],
            )

    def _edit_item(self) -> None:
        owner, item = self._item()
        thing = item and self._thing_of_item(item)
        if item is None or thing is None or not item.is_organizer:
            return
        if thing.kind is APPOINTMENT and thing.organizer != owner.user.email:
            return  # a plain copy of somebody else's
        name = self.random.choice(list(EDITED[thing.kind]))
        value = self._value(thing, name)
        owner.outlook.edit(item.item_id, **{name: value})
        if item.record_key or TRACKED in item.categories:
            self.edits.append(Edit(thing.word, name, value, owner.user.email))

    def _delete_item(self) -> None:
        owner, item = self._item()
        if item is not None and (thing := self._thing_of_item(item)):
            owner.outlook.remove(item.item_id)
            thing.outlook_deleted = thing.is_touched = True

    def _track(self) -> None:
        owner, item = self._item()
        if item is not None and TRACKED not in item.categories:
            owner.outlook.categorise(item.item_id, *item.categories, TRACKED)

    def _untrack(self) -> None:
        owner, item = self._item()
        if item is not None and TRACKED in item.categories and (thing := self._thing_of_item(item)):
            owner.outlook.categorise(item.item_id)
            thing.is_touched = True

    def _answer(self) -> None:
        owner = self._person()
        invited = [one for one in owner.outlook.items.values() if not one.is_organizer]
        if invited:
            answer = self.random.choice(["accepted", "tentative", "declined"])
            item = self.random.choice(invited)
            if answer == "declined" and (thing := self._thing_of_item(item)):
                thing.is_touched = True
            owner.outlook.answer(item.item_id, answer)

    # What machines do

    def _visit(self) -> None:
        self._tick()
        self._person().visit()

    def _visit_meanwhile(self) -> None:
        """Somebody works on while a visit is between two requests."""
        self._tick()
        works = [self._edit_record, self._edit_item, self._delete_item, self._delete_record]
        self._person().visit(
            meanwhile=self.random.choice([*works[:2] * 3, *works]),
            at_request=self.random.randint(1, 6),
        )

    def _push(self) -> None:
        schedule.route_changes()
        self._person().visit(only_push=True)

    def _kill_visit(self) -> None:
        """Kill a visit around one of its writes to the mailbox, or before one to the database."""
        self._tick()
        owner = self._person()
        if self.random.random() < 0.5:
            place = self.exchange.writes + self.random.choice([1, 1, 2, 3])
            self.exchange.killed_at.add((place, self.random.choice(list(When))))
            with self._killed():
                owner.visit()
            self.exchange.killed_at.clear()
        else:
            with self._killed(), killed_at_write(self.random.randint(1, 25)):
                owner.visit()

    @contextmanager
    def _killed(self) -> Iterator[None]:
        try:
            yield
        except Killed:
            self.kills += 1

    def _lose_connection(self) -> None:
        place = self.exchange.writes + self.random.randint(1, 3)
        self.exchange.fail_at.add((place, self.random.choice(list(When))))
        self._person().visit()
        self.exchange.fail_at.clear()

    def _lose_database_connection(self) -> None:
        with self._killed(), killed_at_write(self.random.randint(1, 40)):
            self._person().visit(only_push=True)

    def _busy(self) -> None:
        owner = self._person()
        owner.outlook.fault = fault()
        owner.visit()
        owner.outlook.fault = None

    def _expire_cursor(self) -> None:
        self._person().outlook.epoch += 1

    def _lose_progress(self) -> None:
        """A position that nobody knows any more, as after a backup was restored."""
        ItemProgress.objects.filter(mailbox=self._person().mailbox).update(position="")

    def _deliver_twice(self) -> None:
        """A worker that was thought dead goes on beside its successor, and may write nothing."""
        owner = self._person()
        stale = owner.claim()
        owner.visit()
        try:
            with schedule.fenced(stale):
                raise AssertionError("a fence that is over lets nobody in")
        except ClaimLost:
            pass

    def _tick(self, longer: timedelta = timedelta(seconds=1)) -> None:
        self.exchange.now = max(datetime.now(UTC), self.exchange.now) + longer

    # Quiet

    def become_quiet(self) -> None:
        for _ in range(MOST_ROUNDS):
            ItemLink.objects.filter(mailbox__in=self._boxes(), due_at__isnull=False).update(
                due_at=Now()
            )
            outcomes = [owner.visit() for owner in self.people]
            faults = [one.fault for one in outcomes if one.fault]
            assert all(one.nature is Nature.RESYNC for one in faults), faults
            changed = sum(one.stored + one.written + one.failed for one in outcomes)
            if not changed and not faults and not self._due().exists():
                return
        raise AssertionError(f"it never becomes quiet: {list(self._due().values())}")

    def _due(self) -> Any:
        return ItemLink.objects.filter(mailbox__in=self._boxes(), due_at__isnull=False)

    def _boxes(self) -> list[Any]:
        return [owner.mailbox for owner in self.people]

    # What must hold

    def check(self) -> None:
        self._check_no_doubles()
        self._check_agreement()
        self._check_edits()
        self._check_mail()
        self._check_deletions()

    def _check_no_doubles(self) -> None:
        for thing in self.things.values():
            records = [one for one in self._records(thing.kind) if self._word_of(one) == thing.word]
            assert len(records) <= 1, f"{thing.word} is {len(records)} records"
            for owner in self.people:
                items = [
                    item
                    for item in owner.outlook.items.values()
                    if item.kind is thing.kind and _word_in(item) == thing.word
                ]
                assert len(items) <= 1, f"{thing.word} is {len(items)} items of {owner.user}"

    def _check_agreement(self) -> None:
        """Of what is linked, both sides say the same."""
        for owner in self.people:
            links = ItemLink.objects.filter(mailbox=owner.mailbox)
            for link in links.filter(state=ItemLink.State.LINKED):
                item = owner.outlook.items.get(link.item_id)
                record = self._load(link)
                assert item is not None, f"{link.subject} is linked to an item that is gone"
                assert record is not None, f"{link.subject} is linked to a record that is gone"
                thing = self._thing_of(record)
                if thing is None or not item.is_organizer:
                    continue
                organizes = thing.kind is not APPOINTMENT or thing.organizer == owner.user.email
                crm = comparable(link.kind, record_values(link, owner), organizes)
                outlook = comparable(link.kind, item.values, organizes)
                for name in sorted({*crm, *outlook}):
                    says = crm.get(name), outlook.get(name)
                    assert says[0] == says[1], f"{thing.word}: {name} is {says}"

    def _check_edits(self) -> None:
        """The last edit of each value is what it is, or a conflict tells that it lost."""
        last: dict[tuple[str, str], Edit] = {}
        for edit in self.edits:
            last[edit.thing, edit.name] = edit
        lost = defaultdict(set)
        for one in ItemConflict.objects.filter(link__mailbox__in=self._boxes()):
            lost[one.name] |= {str(one.crm), str(one.exchange)}
        for edit in last.values():
            thing = self.things[edit.thing]
            if thing.is_touched:
                continue
            found = self._said(thing, edit.name)
            if not found or (edit.side != "crm" and not self._is_linked(thing)):
                continue
            is_kept = edit.value in found or edit.value in lost[edit.name]
            assert is_kept, f"{thing.word}: {edit.name} was {edit.value}, and is {found}"

    def _check_mail(self) -> None:
        """Nobody was told of a meeting but by its organizer, and of nothing that is over."""
        by_uid = {item.uid: item for owner in self.people for item in owner.outlook.items.values()}
        told: dict[str, int] = defaultdict(int)
        for message in self.exchange.messages:
            if message.by_person:
                continue
            item = by_uid.get(message.uid)
            thing = item and self._thing_of_item(item)
            if thing is None:
                continue
            assert message.sender == thing.organizer, message
            assert thing.attendees or thing.attendees_changed, message
            assert not thing.is_past, message
            if message.what is What.CANCELLATION:
                assert thing.crm_deleted or thing.attendees_changed, message
            told[thing.word] += message.what is What.INVITATION
        for word, times in told.items():
            thing = self.things[word]
            most = 1 + thing.crm_edits + thing.attendees_changed
            assert times <= most, f"{word}: {times} invitations, {most} reasons"

    def _check_deletions(self) -> None:
        """Nothing went that nobody had deleted."""
        for thing in self.things.values():
            if thing.crm_deleted or thing.outlook_deleted:
                continue
            there = self._said(thing, next(iter(EDITED[thing.kind])), of_all=True)
            assert there, f"{thing.word} is nowhere any more"

    # Finding one's way

    def _person(self) -> Person:
        return self.random.choice(self.people)

    def _thing(self, kind: ItemKind) -> Thing:
        word = f"{kind}-{self.seed}-{len(self.things)}"
        self.things[word] = Thing(word, kind)
        return self.things[word]

    def _value(self, thing: Thing, name: str) -> str:
        number = len(self.edits)
        return f"{thing.word} edit{number}" if name == "subject" else f"edit{number} {thing.word}"

    def _records(self, kind: ItemKind) -> list[Any]:
        users = [owner.user for owner in self.people]
        model = {CONTACT: Contact, APPOINTMENT: Appointment, TASK: Task}[kind]
        return list(model._default_manager.filter(owner__in=users))

    def _record(self, model: type | None = None) -> Any:
        found = [one for kind in ItemKind for one in self._records(kind)]
        found = [one for one in found if model is None or isinstance(one, model)]
        found.sort(key=self._word_of)
        return self.random.choice(found) if found else None

    def _item(self, kind: ItemKind | None = None) -> tuple[Person, MemoryItem | None]:
        owner = self._person()
        items = [one for one in owner.outlook.items.values() if kind in (None, one.kind)]
        return owner, self.random.choice(items) if items else None

    @staticmethod
    def _word_of(record: Any) -> str:
        text = record.last_name if isinstance(record, Contact) else record.subject
        return str(text).split(" ")[0]

    def _thing_of(self, record: Any) -> Thing | None:
        return self.things.get(self._word_of(record))

    def _thing_of_item(self, item: MemoryItem) -> Thing | None:
        return self.things.get(_word_in(item))

    def _load(self, link: ItemLink) -> Any:
        if link.kind == CONTACT:
            return Contact.objects.filter(key=link.key).first()
        model = Task if link.kind == TASK else Appointment
        return model.objects.filter(pk=link.key).first()

    def _is_linked(self, thing: Thing) -> bool:
        return any(self._word_of(one) == thing.word for one in self._records(thing.kind))

    def _said(self, thing: Thing, name: str, *, of_all: bool = False) -> set[str]:
        """What the record, and the item of who organizes it, say."""
        column = EDITED[thing.kind][name]
        said = {
            getattr(one, column)
            for one in self._records(thing.kind)
            if self._word_of(one) == thing.word
        }
        for owner in self.people:
            for item in owner.outlook.items.values():
                if _word_in(item) == thing.word and (of_all or item.is_organizer):
                    said.add(item.values[name])
        return said


#: What each side has of its own, or the field map leaves there.
_OWN = {"reminder", "responses", "organizer", "attachments", "home_address", "other_address"}
_PEOPLE = {"required", "optional"}


def record_values(link: ItemLink, owner: Person) -> Values:
    records = records_of(ItemKind(link.kind))
    return records.values(records.load([link.key])[link.key], owner.user)


def comparable(kind: str, values: Values, organizes: bool) -> dict[str, Any]:
    """Leave of values what both sides have to agree about; of people, who they are."""
    found = {name: value for name, value in values.items() if name not in _OWN}
    for name in _PEOPLE & found.keys():
        found[name] = sorted(one["address"] for one in found[name]) if organizes else None
    return found


@contextmanager
def killed_at_write(number: int) -> Iterator[None]:
    """Kill whoever runs in the block before its write of this number."""
    left = number

    def count(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        nonlocal left
        if sql.lstrip().split(" ", 1)[0] in ("INSERT", "UPDATE", "DELETE", "WITH"):
            left -= 1
            if left == 0:
                raise Killed(number)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(count):
        yield


def _word_in(item: MemoryItem) -> str:
    values = item.values
    text = values["full_name"]["last"] if values.get("full_name") else values.get("subject", "")
    return str(text).removeprefix("Canceled: ").split(" ")[0]


def _time(start: datetime) -> dict[str, Any]:
    def text(moment: datetime) -> str:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    end = text(start + timedelta(hours=1))
    return {"start": text(start), "end": end, "all_day": False, "zone": "Europe/Berlin"}
