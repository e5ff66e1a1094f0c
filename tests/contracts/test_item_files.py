"""What every implementation of `servers.gateway.Activities` owes to `sync` of files (F191)."""

from collections.abc import Iterator
from datetime import date

import pytest

from syncservice.domain.attachments import Allowed
from syncservice.domain.faults import Nature
from syncservice.domain.item_values import Values
from syncservice.domain.recurrence import Pattern, Recurrence
from syncservice.servers.gateway import (
    Activities,
    Gone,
    Invitations,
    ItemFile,
    NotWritten,
    Written,
)
from tests.contracts.activity_worlds import (
    APPOINTMENT,
    OTHERS,
    WORLDS,
    World,
    change,
    new,
    read,
)

ALLOWED = Allowed(1000, frozenset({"exe"}))
PLAN = ItemFile("plan.txt", "text/plain", b"one\r\ntwo\x00")
MAP = ItemFile("map of Köln <1>.png", "image/png", bytes(range(256)))
FULL = ItemFile("full.bin", "application/octet-stream", b"x" * 1000)


@pytest.fixture(params=WORLDS)
def world(request) -> Iterator[World]:
    with WORLDS[request.param]() as opened:
        yield opened


def put(gateway: Activities, item_id: str, *add: ItemFile, remove=()) -> Written:
    """Give an appointment files as it is now."""
    item = read(gateway, APPOINTMENT, item_id)
    written = gateway.put_files(item_id, item.change_key, add, [one.value for one in remove])
    assert isinstance(written, Written), written
    assert written.item_id == item_id
    assert read(gateway, APPOINTMENT, item_id).change_key == written.change_key
    return written


def files(gateway: Activities, item_id: str) -> list[tuple[str, bytes]]:
    return sorted((one.name, one.content) for one in gateway.files(item_id))


def told(gateway: Activities, item_id: str) -> list[Values]:
    return read(gateway, APPOINTMENT, item_id).values["attachments"]


def values(*files: ItemFile) -> list[Values]:
    return sorted((one.value for one in files), key=lambda one: one["name"])


def test_the_files_that_a_person_attaches_are_told_by_their_contents(world):
    item_id = world.add(APPOINTMENT)
    for file in (PLAN, MAP, FULL):
        world.attach(item_id, file.name, file.content)
    with world.open(allowed_files=ALLOWED) as gateway:
        assert told(gateway, item_id) == values(PLAN, MAP, FULL)
        assert files(gateway, item_id) == sorted((f.name, f.content) for f in (PLAN, MAP, FULL))


def test_an_attached_file_is_a_change_of_the_item(world):
    item_id = world.add(APPOINTMENT)
    with world.open(allowed_files=ALLOWED) as gateway:
        page = gateway.changes(APPOINTMENT, "", 10)
        world.attach(item_id, PLAN.name, PLAN.content)
        (listed,) = gateway.changes(APPOINTMENT, page.cursor, 10).items
        assert listed.change_key == read(gateway, APPOINTMENT, item_id).change_key


def test_files_come_and_go(world):
    item_id = world.add(APPOINTMENT, subject="Plan")
    with world.open(allowed_files=ALLOWED) as gateway:
        put(gateway, item_id, PLAN, MAP)
        assert told(gateway, item_id) == values(PLAN, MAP)
        put(gateway, item_id, FULL, remove=[PLAN])
        assert told(gateway, item_id) == values(FULL, MAP)
        item = read(gateway, APPOINTMENT, item_id)
        gateway.update(APPOINTMENT, [change(item, subject="Plan B", attachments=[])])
        after = read(gateway, APPOINTMENT, item_id)
    assert after.values == {**item.values, "subject": "Plan B"}


def test_what_is_there_is_not_added_again_and_what_is_not_is_not_missed(world):
    item_id = world.add(APPOINTMENT)
    with world.open(allowed_files=ALLOWED) as gateway:
        for _ in range(2):
            put(gateway, item_id, PLAN, MAP, PLAN, remove=[FULL])
            assert told(gateway, item_id) == values(PLAN, MAP)


def test_another_content_of_the_same_name_is_another_file(world):
    item_id = world.add(APPOINTMENT)
    later = ItemFile(PLAN.name, PLAN.content_type, b"three")
    with world.open(allowed_files=ALLOWED) as gateway:
        put(gateway, item_id, PLAN)
        put(gateway, item_id, later, remove=[PLAN])
        assert told(gateway, item_id) == values(later)


@pytest.mark.parametrize(
    "kept_out",
    [ItemFile("big.bin", "", b"x" * 1001), ItemFile("virus.EXE", "", b"x")],
    ids=lambda file: file.name,
)
def test_what_is_kept_out_is_not_told_not_added_and_left_alone(world, kept_out):
    item_id = world.add(APPOINTMENT)
    world.attach(item_id, kept_out.name, kept_out.content)
    with world.open(allowed_files=ALLOWED) as gateway:
        assert (told(gateway, item_id), files(gateway, item_id)) == ([], [])
        put(gateway, item_id, PLAN, ItemFile("other.exe", "", b"x"), remove=[kept_out])
        assert told(gateway, item_id) == values(PLAN)
    with world.open(allowed_files=Allowed(5000, ())) as gateway:
        assert told(gateway, item_id) == values(PLAN, kept_out)


def test_nobody_looks_at_files_that_are_not_asked_for(world):
    item_id = world.add(APPOINTMENT)
    world.attach(item_id, PLAN.name, PLAN.content)
    with world.open() as gateway:
        before = gateway.requests
        assert told(gateway, item_id) == []
        assert gateway.requests - before == 1
        assert files(gateway, item_id) == []


def test_a_series_tells_of_no_files(world):
    daily = Recurrence(pattern=Pattern.DAILY, starts_on=date(2026, 3, 2), count=9).as_value()
    item_id = world.add(APPOINTMENT, recurrence=daily)
    world.attach(item_id, PLAN.name, PLAN.content)
    with world.open(allowed_files=ALLOWED) as gateway:
        assert told(gateway, item_id) == []


def test_an_item_that_somebody_changed_meanwhile_gets_no_files(world):
    item_id = world.add(APPOINTMENT)
    with world.open(allowed_files=ALLOWED) as gateway:
        stale = read(gateway, APPOINTMENT, item_id).change_key
        world.edit(APPOINTMENT, item_id, location="elsewhere")
        refused = gateway.put_files(item_id, stale, [PLAN], [])
        assert isinstance(refused, NotWritten)
        assert refused.fault.nature is Nature.CONFLICT
        assert told(gateway, item_id) == []


def test_what_is_gone_has_no_files(world):
    item_id = world.add(APPOINTMENT)
    with world.open(allowed_files=ALLOWED) as gateway:
        key = read(gateway, APPOINTMENT, item_id).change_key
        world.remove(APPOINTMENT, item_id)
        assert gateway.files(item_id) == ()
        assert gateway.put_files(item_id, key, [PLAN], []) == Gone(item_id)


def test_nobody_gets_mail_of_the_files_of_a_meeting(world):
    ann = OTHERS[0]
    called = new(
        APPOINTMENT, invitations=Invitations.ALL, required=[{"address": ann, "name": "Ann"}]
    )
    with world.open(allowed_files=ALLOWED) as gateway:
        (written,) = gateway.create(APPOINTMENT, [called])
        put(gateway, written.item_id, PLAN)
        put(gateway, written.item_id, remove=[PLAN])
    assert world.post(ann) == ["invitation"]
