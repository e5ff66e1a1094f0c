"""What every implementation of `servers.gateway.Activities` owes to `sync`, on real mailboxes."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from syncservice.domain.faults import FaultError, Nature
from syncservice.domain.item_values import VALUES, ItemKind, Values
from syncservice.servers.gateway import (
    Activities,
    Deletion,
    Gone,
    Item,
    ItemChange,
    ListedItem,
    NotWritten,
    Stamp,
    Written,
)
from tests.contracts.activity_worlds import (
    APPOINTMENT,
    CONTACT,
    LEAST,
    TASK,
    WORLDS,
    World,
    change,
    new,
    read,
    said,
)


@pytest.fixture(params=WORLDS)
def world(request) -> Iterator[World]:
    with WORLDS[request.param]() as opened:
        yield opened


def everything(
    gateway: Activities, kind: ItemKind, cursor: str = "", limit: int = 3
) -> tuple[list[ListedItem], list[str], str]:
    """Page to the end; return what is listed, what is gone, and the last cursor."""
    items: list[ListedItem] = []
    removed: list[str] = []
    while True:
        page = gateway.changes(kind, cursor, limit)
        assert len(page.items) + len(page.removed) <= limit
        items += page.items
        removed += page.removed
        cursor = page.cursor
        if page.is_last:
            return items, removed, cursor


def named(first: str, last: str = "") -> Values:
    return {"first": first, "middle": "", "last": last}


#: A value of each name, other than what it is when there is nothing.
CONTACT_FULL: Values = {
    "full_name": {"first": "Ünal", "middle": "B.", "last": "Ash"},
    "nickname": "Ü",
    "company": "Contoso & Söhne <AG>",
    "job_title": "Buyer",
    "department": "Purchase",
    "email1": "unal@contoso.test",
    "email2": "u.ash@contoso.test",
    "email3": "private@home.test",
    "business_phone": "+49 221 1",
    "business_phone2": "+49 221 2",
    "home_phone": "+49 221 3",
    "home_phone2": "+49 221 4",
    "mobile": "+49 170 5",
    "company_phone": "+49 221 6",
    "callback": "+49 221 7",
    "other_phone": "+49 221 8",
    "pager": "9",
    "business_fax": "+49 221 10",
    "assistant": "Bo Birch",
    "assistant_phone": "+49 221 11",
    "manager": "Cy Cedar",
    "spouse": "Di Date",
    "children": "Ed, Flo",
    "birthday": "1935-12-31",
    "anniversary": "1999-02-28",
    "government_id": "123-45",
    "web_page": "https://contoso.test/?a=1&b=2",
    "ftp_site": "ftp://contoso.test",
    "yomi_first": "ウナル",
    "yomi_last": "アッシュ",
    "notes": "First line\n\n  Third line",
    "business_address": {
        "street": "Domplatz 1\nHaus 2", "city": "Köln", "state": "NRW",
        "postal_code": "50667", "country": "Germany",
    },
    "home_address": {
        "street": "", "city": "Bonn", "state": "", "postal_code": "", "country": "",
    },
    "other_address": {
        "street": "Elm St", "city": "Springfield", "state": "IL",
        "postal_code": "62701", "country": "USA",
    },
}  # fmt: skip
TASK_FULL: Values = {
    "subject": "Call Ünal",
    "notes": "About the offer\nand the price",
    "start": "2026-03-01",
    "due": "2026-03-31",
    "completed": None,
    "status": "in_progress",
    "percent_complete": 40,
    "importance": "high",
    "regarding": "contact:0b0f7c0e",
    "reminder": "2026-03-30T08:30:00Z",
}
APPOINTMENT_FULL: Values = {
    "subject": "Meet Ünal",
    "body": "About the offer\nand the price",
    "location": "Köln",
    "importance": "low",
    "time": {
        "start": "2026-06-01T08:00:00Z", "end": "2026-06-01T10:30:00Z",
        "all_day": False, "zone": "America/New_York",
    },
    "show_as": "elsewhere",
    "regarding": "contact:0b0f7c0e",
    "reminder": 0,
}  # fmt: skip
FULL = {CONTACT: CONTACT_FULL, TASK: TASK_FULL, APPOINTMENT: APPOINTMENT_FULL}
#: Those that only meetings have, or series; and attachments, which nobody can write.
OF_MEETINGS = {"organizer", "required", "optional", "responses", "recurrence", "attachments"}
#: A value whose change can be seen.
SIMPLE = {
    CONTACT: ("nickname", "A", "B"),
    TASK: ("subject", "A", "B"),
    APPOINTMENT: ("location", "A", "B"),
}
KINDS = pytest.mark.parametrize("kind", ItemKind)
EVERY_VALUE = pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, full in FULL.items() for name in full]
)


def test_every_value_has_a_sample():
    for kind, full in FULL.items():
        others = {"completed", *(OF_MEETINGS if kind is APPOINTMENT else ())}
        assert full.keys() | others >= VALUES[kind].keys()
        assert not {name for name in full if full[name] == LEAST[kind][name]} - others


# --- what it is -----------------------------------------------------------------------------------


@KINDS
def test_what_is_created_is_read_as_it_was_given(world, kind):
    with world.open() as gateway:
        given = new(kind, "key-1", ("Red", "Blue"), **FULL[kind])
        (written,) = gateway.create(kind, [given])
        item = read(gateway, kind, written.item_id)
    assert said(item) == given.values
    assert (item.record_key, set(item.categories)) == ("key-1", {"Red", "Blue"})
    assert (item.item_id, item.change_key) == (written.item_id, written.change_key)
    assert (item.is_organizer, item.is_cancelled, item.unsupported) == (True, False, "")
    assert item.changed_at is None or item.changed_at.tzinfo is not None


@KINDS
def test_what_is_created_of_nothing_has_every_value_and_none_of_them(world, kind):
    with world.open() as gateway:
        (written,) = gateway.create(kind, [new(kind)])
        item = read(gateway, kind, written.item_id)
    assert (said(item), item.record_key, item.categories) == (LEAST[kind], "", ())


@EVERY_VALUE
def test_a_value_is_set_and_taken_off_by_itself(world, kind, name):
    item_id = world.add(kind)
    with world.open() as gateway:
        before = read(gateway, kind, item_id)
        (written,) = gateway.update(kind, [change(before, **{name: FULL[kind][name]})])
        assert isinstance(written, Written)
        item = read(gateway, kind, item_id)
        assert item.values[name] == FULL[kind][name]
        assert item.change_key == written.change_key
        (written,) = gateway.update(kind, [change(item, **{name: LEAST[kind][name]})])
        assert isinstance(written, Written)
        assert read(gateway, kind, item_id).values[name] == LEAST[kind][name]


@KINDS
def test_what_is_not_changed_stays(world, kind):
    item_id = world.add(kind, categories=("Red",), **FULL[kind])
    name, _, text = SIMPLE[kind]
    with world.open() as gateway:
        item = read(gateway, kind, item_id)
        gateway.update(kind, [change(item, **{name: text})])
        after = read(gateway, kind, item_id)
    assert said(after) == {**LEAST[kind], **FULL[kind], name: text}
    assert after.categories == ("Red",)


def test_a_part_of_an_address_or_a_name_is_taken_off_by_itself(world):
    item_id = world.add(CONTACT, **CONTACT_FULL)
    name = {"first": "Ünal", "middle": "", "last": "Ash"}
    address = {**CONTACT_FULL["business_address"], "state": ""}
    with world.open() as gateway:
        item = read(gateway, CONTACT, item_id)
        gateway.update(CONTACT, [change(item, full_name=name, business_address=address)])
        after = read(gateway, CONTACT, item_id)
    assert (after.values["full_name"], after.values["business_address"]) == (name, address)


def test_a_task_that_is_completed_says_so_in_three_ways(world):
    item_id = world.add(TASK, status="in_progress", percent_complete=50)
    with world.open() as gateway:
        gateway.update(TASK, [change(read(gateway, TASK, item_id), status="completed")])
        item = read(gateway, TASK, item_id)
        done = {name: item.values[name] for name in ("status", "percent_complete", "completed")}
        assert done.pop("completed") is not None
        assert done == {"status": "completed", "percent_complete": 100}
        gateway.update(
            TASK, [change(item, status="in_progress", percent_complete=75, completed=None)]
        )
        values = read(gateway, TASK, item_id).values
    assert (values["status"], values["percent_complete"], values["completed"]) == (
        "in_progress", 75, None,
    )  # fmt: skip


@pytest.mark.parametrize("status", ["not_started", "in_progress", "waiting", "deferred"])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_task_has_the_status_that_it_is_given(world, status, is_new):
    item_id = world.add(TASK, **({"status": status} if is_new else {"status": "completed"}))
    with world.open() as gateway:
        if not is_new:
            gateway.update(TASK, [change(read(gateway, TASK, item_id), status=status)])
        assert read(gateway, TASK, item_id).values["status"] == status


@pytest.mark.parametrize("is_new", [True, False])
def test_a_task_that_starts_is_due_then_when_it_is_due_on_no_other_day(world, is_new):
    item_id = world.add(TASK, **({"start": "2026-03-01"} if is_new else {}))
    with world.open() as gateway:
        item = read(gateway, TASK, item_id)
        if not is_new:
            gateway.update(TASK, [change(item, start="2026-03-01")])
        assert read(gateway, TASK, item_id).values["due"] == "2026-03-01"


def test_the_day_on_which_a_task_was_completed_is_kept(world):
    given = {"status": "completed", "percent_complete": 100, "completed": "2026-02-27"}
    item_id = world.add(TASK, **given)
    with world.open() as gateway:
        assert given.items() <= read(gateway, TASK, item_id).values.items()


@KINDS
def test_what_a_client_can_hardly_say_stops_nobody(world, kind):
    name = SIMPLE[kind][0]
    odd = "a\x00b\x0bc\ufffe\ud800]]>&amp;<!-- \U0001f600"
    with world.open() as gateway:
        written = gateway.create(kind, [new(kind, **{name: odd}), new(kind, **{name: "fine"})])
        assert all(isinstance(one, Written) for one in written)
        assert read(gateway, kind, written[1].item_id).values[name] == "fine"
        assert read(gateway, kind, written[0].item_id).values[name].startswith("a")


# --- which ones there are -------------------------------------------------------------------------


@KINDS
def test_paging_gives_every_item_once(world, kind):
    added = [world.add(kind) for _ in range(8)]
    with world.open() as gateway:
        items, removed, _ = everything(gateway, kind)
    assert sorted(item.item_id for item in items) == sorted(added)
    assert removed == []


@KINDS
def test_nothing_new_is_an_empty_last_page_for_one_request(world, kind):
    world.add(kind)
    with world.open() as gateway:
        _, _, cursor = everything(gateway, kind)
        before = gateway.requests
        page = gateway.changes(kind, cursor, 3)
        assert (page.items, page.removed, page.is_last) == ((), (), True)
        assert gateway.requests - before == 1


@KINDS
def test_changes_are_what_came_what_was_changed_and_what_left_since(world, kind):
    name, before, after = SIMPLE[kind]
    world.add(kind)
    changed, left = (world.add(kind, **{name: before}) for _ in range(2))
    with world.open() as gateway:
        _, _, cursor = everything(gateway, kind)
    world.edit(kind, changed, **{name: after})
    world.remove(kind, left)
    came = world.add(kind)
    brief = world.add(kind)
    world.remove(kind, brief)
    with world.open() as gateway:
        items, removed, cursor = everything(gateway, kind, cursor)
        assert {item.item_id for item in items} == {changed, came}
        assert removed == [left]
        assert everything(gateway, kind, cursor)[:2] == ([], [])
        keys = {item.item_id: item.change_key for item in items}
        assert keys[changed] == read(gateway, kind, changed).change_key


@KINDS
def test_ones_own_changes_are_listed_with_the_key_that_writing_them_gave(world, kind):
    with world.open() as gateway:
        (written,) = gateway.create(kind, [new(kind, "key-1")])
        ((listed,), _, _) = everything(gateway, kind)
    assert (listed.item_id, listed.change_key) == (written.item_id, written.change_key)


def test_a_kind_has_changes_of_its_own_only(world):
    world.add(CONTACT)
    task = world.add(TASK)
    with world.open() as gateway:
        assert [one.item_id for one in everything(gateway, TASK)[0]] == [task]


def test_what_is_listed_of_a_contact_tells_which_one_it_is(world):
    item_id = world.add(
        CONTACT,
        categories=("Red",),
        full_name=named("Ann", "Ash"),
        email1="Ann@X.test",
        email3="a@y.test",
    )
    with world.open() as gateway:
        ((listed,), _, _) = everything(gateway, CONTACT)
    assert listed.item_id == item_id
    assert (listed.subject, listed.addresses) == ("Ann Ash", ("ann@x.test", "a@y.test"))
    assert (listed.record_key, listed.categories) == ("", ("Red",))
    assert (listed.starts_at, listed.uid) == (None, "")


@pytest.mark.parametrize("due", ["2026-03-05", None])
def test_what_is_listed_of_a_task_tells_which_one_it_is(world, due):
    world.add(TASK, subject="Call Ann", due=due)
    with world.open() as gateway:
        ((listed,), _, _) = everything(gateway, TASK)
    assert (listed.subject, listed.starts_at) == ("Call Ann", due)


def test_a_cursor_that_the_server_forgot_is_a_fault_that_asks_to_begin_again(world):
    world.add(TASK)
    with world.open() as gateway:
        _, _, cursor = everything(gateway, TASK)
    world.forget_cursors()
    with world.open() as gateway:
        with pytest.raises(FaultError) as caught:
            gateway.changes(TASK, cursor, 3)
        assert caught.value.fault.nature is Nature.RESYNC
        assert len(everything(gateway, TASK)[0]) == 1


@KINDS
def test_items_are_found_by_the_keys_of_our_records(world, kind):
    world.add(kind)
    with world.open() as gateway:
        one, two, three = gateway.create(kind, [new(kind, f"key-{number}") for number in "123"])
        found = gateway.find(kind, ["key-1", "key-3", "key-4"])
        assert {item.item_id for item in found} == {one.item_id, three.item_id}
        assert {item.record_key for item in found} == {"key-1", "key-3"}
        gateway.delete(kind, [Deletion(item_id=one.item_id)])
        assert gateway.find(kind, ["key-1"]) == ()
        many = [f"key-{number}" for number in range(2, 300)]
        found = gateway.find(kind, many)
        assert {item.item_id for item in found} == {two.item_id, three.item_id}


@KINDS
def test_the_key_of_our_record_is_put_on_and_taken_off(world, kind):
    item_id = world.add(kind)
    with world.open() as gateway:
        for key in ("key-1", ""):
            item = read(gateway, kind, item_id)
            marked = ItemChange(
                item_id=item_id, change_key=item.change_key, values={}, whole=item.values,
                record_key=key,
            )  # fmt: skip
            (written,) = gateway.update(kind, [marked])
            assert isinstance(written, Written)
            assert read(gateway, kind, item_id).record_key == key


@KINDS
@pytest.mark.parametrize("names", [("Red", "Blue", "Green"), ("Blue",), ()])
def test_the_categories_of_an_item_become_those_that_are_named(world, kind, names):
    item_id = world.add(kind, categories=("Red", "Blue"), **FULL[kind])
    with world.open() as gateway:
        item = read(gateway, kind, item_id)
        sorted_anew = ItemChange(
            item_id=item_id, change_key=item.change_key, values={}, whole=item.values,
            record_key="key-1", categories=names,
        )  # fmt: skip
        (written,) = gateway.update(kind, [sorted_anew])
        assert isinstance(written, Written)
        after = read(gateway, kind, item_id)
    assert after.change_key == written.change_key
    assert (after.record_key, set(after.categories)) == ("key-1", set(names))
    assert after.values == item.values


# --- one by one -----------------------------------------------------------------------------------


@KINDS
def test_what_is_gone_is_said_in_its_place(world, kind):
    first, gone, last = (world.add(kind) for _ in range(3))
    with world.open() as gateway:
        items = [read(gateway, kind, item_id) for item_id in (first, gone, last)]
    world.remove(kind, gone)
    name, _, text = SIMPLE[kind]
    with world.open() as gateway:
        read_again = list(gateway.read(kind, [first, gone, last]))
        assert [type(one) for one in read_again] == [Item, Gone, Item]
        written = gateway.update(kind, [change(item, **{name: text}) for item in items])
        assert [type(one) for one in written] == [Written, Gone, Written]
        ids = (first, gone, last)
        deleted = gateway.delete(kind, [Deletion(item_id=item_id) for item_id in ids])
        assert deleted == [Gone(first), Gone(gone), Gone(last)]
        assert everything(gateway, kind)[0] == []


@KINDS
def test_an_item_that_somebody_changed_meanwhile_is_left_alone(world, kind):
    first, second = (world.add(kind) for _ in range(2))
    name, theirs, ours = SIMPLE[kind]
    with world.open() as gateway:
        stale, fresh = (read(gateway, kind, item_id) for item_id in (first, second))
    world.edit(kind, first, **{name: theirs})
    with world.open() as gateway:
        refused, written = gateway.update(
            kind, [change(item, **{name: ours}) for item in (stale, fresh)]
        )
        assert isinstance(refused, NotWritten)
        assert refused.fault.nature is Nature.CONFLICT
        assert isinstance(written, Written)
        assert read(gateway, kind, first).values[name] == theirs
        assert read(gateway, kind, second).values[name] == ours


@KINDS
def test_more_than_a_request_takes_is_answered_in_order(world, kind):
    name = SIMPLE[kind][0]
    with world.open() as gateway:
        written = gateway.create(kind, [new(kind, **{name: f"{n}"}) for n in range(120)])
        ids = [one.item_id for one in written]
        items = list(gateway.read(kind, ids))
        assert [item.values[name] for item in items] == [f"{n}" for n in range(120)]
        changes = [change(item, **{name: f"new {n}"}) for n, item in enumerate(items)]
        assert [one.item_id for one in gateway.update(kind, changes)] == ids
        gone = gateway.delete(kind, [Deletion(item_id=item_id) for item_id in ids])
        assert gone == [Gone(item_id) for item_id in ids]


@KINDS
def test_asking_for_nothing_asks_nothing(world, kind):
    with world.open() as gateway:
        assert list(gateway.read(kind, [])) == []
        assert gateway.find(kind, []) == ()
        assert gateway.create(kind, []) == []
        assert gateway.update(kind, []) == []
        assert gateway.delete(kind, []) == []
        assert gateway.requests == 0


# --- the mailbox ----------------------------------------------------------------------------------


def test_a_mailbox_says_who_keeps_it_in_step(world):
    stamp = Stamp("organisation-1", datetime(2026, 3, 1, 12, tzinfo=UTC))
    with world.open() as gateway:
        gateway.open()
        assert gateway.stamp() is None
        gateway.put_stamp(stamp)
    with world.open() as gateway:
        assert gateway.stamp() == stamp
