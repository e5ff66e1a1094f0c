"""What an implementation of `servers.gateway` with folders and categories owes to `sync`."""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import pytest
from lxml import etree

from syncservice.domain.faults import FaultError, Nature, Scope
from syncservice.servers import registry
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.incoming import ExchangeIncoming
from syncservice.servers.gateway import (
    SENT_ITEMS,
    Category,
    Fetched,
    Incoming,
    MailFolder,
    NotDeleted,
    Organised,
    Page,
)
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.pop3 import Pop3Incoming
from syncservice.simulator.exchange import ExchangeSimulator, Fault, SimulatorControl
from tests.memory_gateway import mime
from tests.servers.hostile_server import Evil, HostileServer, hostile, http_answer
from tests.simulator.answers import checked_simulator

ADDRESS = "user@example.test"
RED, BLUE = (f"2b7fd58c-0000-4000-8000-00000000000{number}" for number in (1, 2))
#: A list as Outlook writes it, with something in it that nobody here knows.
OUTLOOKS = f"""\ufeff<?xml version="1.0"?>
<categories default="Red Category" lastSavedSession="5" lastSavedTime="2026-01-28T03:01:50.429"
 xmlns="CategoryList.xsd"><category name="Red Category" color="0" keyboardShortcut="1"
 usageCount="7" lastTimeUsedMail="2026-01-28T03:01:50.429" lastSessionUsed="3"
 guid="{{{RED.upper()}}}" renameOnFirstUse="1"/><future xmlns="urn:more">x</future></categories>
""".encode()


@dataclass
class World:
    """A mailbox with folders and categories, and what people do to it."""

    simulator: ExchangeSimulator
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def people(self) -> SimulatorControl:
        return self.simulator.control

    def open(self) -> ExchangeIncoming:
        url = self.simulator.ews_url
        server = ExchangeServer(url, "svc", "pw", "basic", impersonate=True)
        return ExchangeIncoming(server, ADDRESS)

    def deliver(self, folder: str = "inbox", message_id: str | None = None) -> str:
        message = mime(f"mail {next(self.numbers)}", message_id=message_id)
        return self.people.deliver(ADDRESS, message, folder)

    def folder(self, name: str, parent: str = "inbox") -> str:
        return self.people.create_folder(ADDRESS, name, parent)

    def categories_of(self, item_id: str) -> tuple[str, ...]:
        return {one.id: one.categories for one in self.people.items(ADDRESS)}[item_id]

    def subjects_in(self, folder: str) -> list[str]:
        return [one.subject for one in self.people.items(ADDRESS, folder)]

    def asked(self, operation: str) -> int:
        return self.people.statistics().requests.get(operation, 0)

    @property
    def category_list(self) -> bytes:
        """The mailbox's list as it is stored."""
        calendar = self.simulator.service.store.mailbox(ADDRESS).well_known["calendar"]
        return b64decode(calendar.configurations["CategoryList"].xml_data)

    def store_list(self, xml_data: bytes) -> None:
        """Let some program have written the mailbox's list."""
        mailbox = self.simulator.service.store.mailbox(ADDRESS)
        configuration = mailbox.configure(mailbox.well_known["calendar"], "CategoryList")
        configuration.xml_data = b64encode(xml_data).decode()


@pytest.fixture
def world() -> Iterator[World]:
    with checked_simulator() as simulator:
        simulator.control.create_service_account("svc", "pw")
        simulator.control.create_mailbox(ADDRESS, "pw")
        yield World(simulator)


@pytest.fixture
def gateway(world: World) -> Iterator[ExchangeIncoming]:
    with world.open() as gateway:
        yield gateway


@pytest.fixture
def organised(gateway: Incoming) -> Organised:
    organised = registry.organised(gateway)
    assert organised is not None
    return organised


def ids(page: Page) -> list[str]:
    return [item.item_id for item in page.items]


# --- pages of folders -----------------------------------------------------------------------------


def test_every_folder_is_paged_by_its_own_cursor(world, gateway):
    sales = world.folder("Sales")
    received, sent, sold = (world.deliver(where) for where in ("inbox", "sentitems", "Sales"))
    pages = {folder: gateway.page("", 10, folder) for folder in ("inbox", SENT_ITEMS, sales)}
    assert [ids(page) for page in pages.values()] == [[received], [sent], [sold]]
    later = world.deliver("Sales")
    following = {name: gateway.page(page.cursor, 10, name) for name, page in pages.items()}
    assert [ids(page) for page in following.values()] == [[], [], [later]]
    assert isinstance(next(gateway.fetch(following[sales].items)), Fetched)


def test_a_moved_message_leaves_one_folder_and_comes_to_another_with_a_new_id(world, gateway):
    sales = world.folder("Sales")
    item, kept = world.deliver(), world.deliver()
    inbox, followed = gateway.page("", 10), gateway.page("", 10, sales)
    moved = world.people.move(item, "Sales")
    left, came = gateway.page(inbox.cursor, 10), gateway.page(followed.cursor, 10, sales)
    assert (left.items, left.removed) == ((), (item,))
    assert (ids(came), came.removed) == ([moved], ())
    assert moved not in (item, kept)


def test_a_page_of_nothing_but_removals_moves_the_cursor(world, gateway):
    items = [world.deliver() for _ in range(5)]
    cursor = gateway.page("", 10).cursor
    for item in items:
        world.people.delete(item)
    first = gateway.page(cursor, 3)
    second = gateway.page(first.cursor, 3)
    assert (first.items, first.is_last, len(first.removed)) == ((), False, 3)
    assert (second.items, second.is_last) == ((), True)
    assert sorted(first.removed + second.removed) == sorted(items)
    assert gateway.page(second.cursor, 3).removed == ()


def test_an_item_is_listed_with_its_categories_and_again_when_they_change(world, gateway):
    plain, red = world.deliver(), world.deliver()
    world.people.set_categories(red, ["Red", "Ärger"])
    page = gateway.page("", 10)
    assert {item.item_id: item.categories for item in page.items} == {
        plain: (),
        red: ("Red", "Ärger"),
    }
    world.people.set_categories(red, [])
    [changed] = gateway.page(page.cursor, 10).items
    assert (changed.item_id, changed.categories) == (red, ())


def test_a_folder_that_is_gone_has_a_fault_of_its_own_and_the_inbox_goes_on(world, gateway):
    sales = world.folder("Sales")
    cursor = gateway.page("", 10, sales).cursor
    world.people.delete_folder(sales)
    for place in (cursor, ""):
        with pytest.raises(FaultError) as caught:
            gateway.page(place, 10, sales)
        fault = caught.value.fault
        assert (fault.code, fault.nature) == ("exchange.folder_gone", Nature.PERMANENT)
        assert fault.scope is Scope.MAILBOX
    gateway.check()
    assert gateway.page("", 10).is_last


def test_an_id_of_another_servers_folder_is_that_of_one_that_is_gone(gateway):
    with pytest.raises(FaultError) as caught:
        gateway.page("", 10, "AAMkAD=")
    assert caught.value.fault.code == "exchange.folder_gone"


def test_a_followed_folder_whose_cursor_the_server_forgot_is_listed_anew(world, gateway):
    sales = world.folder("Sales")
    cursor = gateway.page("", 10, sales).cursor
    world.people.expire_sync_states()
    with pytest.raises(FaultError) as caught:
        gateway.page(cursor, 10, sales)
    assert caught.value.fault.nature is Nature.RESYNC


def test_a_look_at_the_server_asks_for_the_inbox_even_between_pages_of_a_folder(world, gateway):
    sales = world.folder("Sales")
    gateway.page(gateway.page("", 10).cursor, 10)
    gateway.page("", 10, sales)
    world.people.delete_folder(sales)
    gateway.check()


# --- find and delete ------------------------------------------------------------------------------


def test_messages_of_the_inbox_are_found_by_their_message_id(world, gateway):
    first, second = (world.deliver(message_id="<one@x.test>") for _ in range(2))
    world.deliver(message_id="<other@x.test>")
    world.deliver("sentitems", message_id="<one@x.test>")
    world.people.set_categories(first, ["Red"])
    found = {item.item_id: item for item in gateway.find("<one@x.test>")}
    assert found.keys() == {first, second}
    assert (found[first].categories, found[second].categories) == (("Red",), ())
    assert found[first].size > 0
    assert found[first].received_at is not None
    assert gateway.find("<none@x.test>") == gateway.find("<\x00@x.test>") == ()


def test_more_of_one_message_id_than_a_page_holds_are_all_found(world, gateway):
    message = mime("again", message_id="<one@x.test>")
    delivered = world.people.deliver_many((ADDRESS, message) for _ in range(260))
    assert {item.item_id for item in gateway.find("<one@x.test>")} == {*delivered}


def test_deleted_messages_are_where_a_person_can_take_them_back(world, gateway):
    doomed, kept = world.deliver(), world.deliver()
    page = gateway.page("", 10)
    gateway.delete([doomed])
    assert gateway.page(page.cursor, 10).removed == (doomed,)
    assert [one.id for one in world.people.items(ADDRESS, "inbox")] == [kept]
    assert world.subjects_in("deleteditems") == ["mail 1"]


def test_deleting_what_is_gone_is_no_fault_and_the_others_go(world, gateway):
    gone, doomed = world.deliver(), world.deliver()
    world.people.delete(gone)
    gateway.delete([gone, doomed])
    gateway.delete([gone, doomed])
    assert world.subjects_in("inbox") == []


def test_deleting_nothing_asks_nothing_and_many_go_by_the_hundred(world, gateway):
    gateway.delete([])
    assert gateway.requests == 0
    delivered = world.people.deliver_many((ADDRESS, mime("one")) for _ in range(201))
    gateway.delete(delivered)
    assert (gateway.requests, world.subjects_in("inbox")) == (3, [])


def test_one_message_that_cannot_be_deleted_keeps_no_other(world, gateway):
    stuck, *others = world.people.deliver_many((ADDRESS, mime("one")) for _ in range(102))
    world.people.add_fault(Fault(kind="message", code="ErrorCannotDeleteObject", item_id=stuck))
    with pytest.raises(NotDeleted) as caught:
        gateway.delete([stuck, *others])
    assert (caught.value.fault.scope, caught.value.item_ids) == (Scope.EMAIL, {stuck})
    assert [one.id for one in world.people.items(ADDRESS, "inbox")] == [stuck]


def test_a_busy_server_ends_deleting_at_once(world, gateway):
    delivered = world.people.deliver_many((ADDRESS, mime("one")) for _ in range(101))
    world.people.add_fault(Fault(kind="message", code="ErrorServerBusy", operation="DeleteItem"))
    with pytest.raises(FaultError) as caught:
        gateway.delete(delivered)
    assert caught.value.fault.nature is Nature.THROTTLED
    assert gateway.requests == 1


# --- folders --------------------------------------------------------------------------------------


def test_all_folders_below_the_inbox_are_told_with_their_parents(world, organised):
    assert organised.folders() == ()
    sales = world.folder("Sales")
    north = world.folder("North", sales)
    world.folder("Beside", "msgfolderroot")
    told = {MailFolder(sales, "", "Sales"), MailFolder(north, sales, "North")}
    assert {*organised.folders()} == told


def test_a_folder_keeps_its_id_when_it_is_renamed_and_moved(world, organised):
    sales, archive = world.folder("Sales"), world.folder("Old")
    world.people.rename_folder(sales, "Deals")
    world.people.move_folder(sales, archive)
    told = {MailFolder(archive, "", "Old"), MailFolder(sales, archive, "Deals")}
    assert {*organised.folders()} == told
    world.people.move_folder(sales, "msgfolderroot")
    assert organised.folders() == (MailFolder(archive, "", "Old"),)


def test_a_calendar_below_the_inbox_is_no_folder_for_mail(world, organised):
    mailbox = world.simulator.service.store.mailbox(ADDRESS)
    dates = mailbox.add_folder(mailbox.well_known["inbox"], "Dates", "IPF.Appointment")
    below = world.folder("Mail", dates.id)
    assert organised.folders() == (MailFolder(below, "", "Mail"),)


def test_more_folders_than_a_page_holds_are_all_told(world, organised):
    mailbox = world.simulator.service.store.mailbox(ADDRESS)
    for number in range(260):
        mailbox.add_folder(mailbox.well_known["inbox"], f"Folder {number}", "IPF.Note")
    assert len(organised.folders()) == 260


def test_undeliverable_mail_goes_to_a_folder_that_is_made_once(world, organised):
    for _ in range(2):
        organised.move_to_undeliverable(world.deliver(), "Undeliverable")
    assert (world.subjects_in("inbox"), world.subjects_in("Undeliverable")) == (
        [],
        ["mail 1", "mail 2"],
    )
    assert world.asked("CreateFolder") == 1
    assert organised.folders() == ()  # it is beside the Inbox


def test_undeliverable_mail_that_is_gone_is_no_fault(world, organised):
    item = world.deliver()
    world.people.delete(item)
    organised.move_to_undeliverable(item, "Undeliverable")
    assert world.subjects_in("Undeliverable") == []


# --- categories of items --------------------------------------------------------------------------


def test_a_category_is_put_on_and_taken_off_and_the_others_stay(world, organised):
    item = world.deliver()
    world.people.set_categories(item, ["Red", "Blue"])
    organised.categorise(item, add="Tracked")
    assert world.categories_of(item) == ("Red", "Blue", "Tracked")
    organised.categorise(item, add="Sold", remove="Tracked")
    assert world.categories_of(item) == ("Red", "Blue", "Sold")
    organised.categorise(item, remove="red")
    assert world.categories_of(item) == ("Blue", "Sold")


def test_the_last_category_is_taken_off_too(world, organised):
    item = world.deliver()
    organised.categorise(item, add="Tracked")
    organised.categorise(item, remove="Tracked")
    assert world.categories_of(item) == ()


def test_what_is_so_already_is_not_written(world, organised):
    item = world.deliver()
    world.people.set_categories(item, ["tracked"])
    organised.categorise(item, add="Tracked")
    organised.categorise(item, remove="Red")
    organised.categorise(item, add="not\x00for XML")
    assert (world.asked("UpdateItem"), world.categories_of(item)) == (0, ("tracked",))


def test_categorising_what_is_gone_is_no_fault(world, organised):
    item = world.deliver()
    world.people.delete(item)
    organised.categorise(item, add="Tracked")


def test_a_category_does_not_mark_a_message_as_read(world, organised):
    item = world.deliver()
    organised.categorise(item, add="Tracked")
    [listed] = world.people.items(ADDRESS, "inbox")
    assert (listed.id, listed.is_read) == (item, False)


# --- the mailbox's own list of categories ---------------------------------------------------------


def test_a_mailbox_without_a_list_has_no_categories(world, organised):
    assert organised.categories() == ()
    organised.remove_category(RED)
    assert world.asked("CreateUserConfiguration") == world.asked("UpdateUserConfiguration") == 0


def test_categories_are_added_renamed_and_removed(world, organised):
    organised.save_category(Category(RED, "Red"))
    organised.save_category(Category(BLUE, "Blau & <grün>"))
    assert organised.categories() == (Category(RED, "Red"), Category(BLUE, "Blau & <grün>"))
    organised.save_category(Category(RED, "Crimson"))
    assert organised.categories() == (Category(RED, "Crimson"), Category(BLUE, "Blau & <grün>"))
    organised.remove_category(RED)
    assert organised.categories() == (Category(BLUE, "Blau & <grün>"),)
    assert world.asked("CreateUserConfiguration") == 1


def test_a_category_that_is_there_already_is_not_written_again(world, organised):
    for _ in range(2):
        organised.save_category(Category(RED, "Red"))
    organised.save_category(Category(BLUE, "RED"))
    organised.save_category(Category(BLUE, "not\x00for XML"))
    assert organised.categories() == (Category(RED, "Red"),)
    assert world.asked("UpdateUserConfiguration") == 0


def test_what_outlook_keeps_in_the_list_is_kept(world, organised):
    world.store_list(OUTLOOKS)
    assert organised.categories() == (Category(RED, "Red Category"),)
    organised.save_category(Category(RED, "Red"))
    organised.save_category(Category(BLUE, "Blue"))
    root, before = etree.fromstring(world.category_list), etree.fromstring(OUTLOOKS)
    red, unknown, blue = root
    assert dict(red.attrib) == {**before[0].attrib, "name": "Red"}
    assert etree.tostring(unknown, with_tail=False) == etree.tostring(before[1], with_tail=False)
    assert blue.get("guid") == f"{{{BLUE.upper()}}}"
    saved_at = root.attrib.pop("lastSavedTime")
    assert saved_at > before.attrib.pop("lastSavedTime")
    assert dict(root.attrib) == dict(before.attrib)


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(b"Red;Blue", id="no XML"),
        pytest.param(b"<categories xmlns='CategoryList.xsd'>", id="cut off"),
        pytest.param(b"<categories/>", id="another namespace"),
        pytest.param(
            b"<!DOCTYPE categories [<!ENTITY a 'Red'>]><categories xmlns='CategoryList.xsd'>"
            b"<category name='&a;' guid='{2b7fd58c-0000-4000-8000-000000000001}'/></categories>",
            id="a DTD with entities",
        ),
        pytest.param(
            "<!DOCTYPE categories SYSTEM 'file:///etc/passwd'>"
            "<categories xmlns='CategoryList.xsd'/>".encode("utf-16"),
            id="a DTD in another encoding",
        ),
        pytest.param(
            b"<categories xmlns='CategoryList.xsd'><category name='Red'/></categories>",
            id="no guid",
        ),
        pytest.param(
            b"<categories xmlns='CategoryList.xsd'><category name='Red' guid='1'/></categories>",
            id="a guid that is none",
        ),
    ],
)
def test_a_list_that_cannot_be_read_is_left_alone_and_the_visit_goes_on(
    world, gateway, organised, stored
):
    world.store_list(stored)
    for work in (
        organised.categories,
        lambda: organised.save_category(Category(RED, "Red")),
        lambda: organised.remove_category(RED),
    ):
        with pytest.raises(FaultError) as caught:
            work()
        fault = caught.value.fault
        assert (fault.code, fault.scope) == ("exchange.categories_unreadable", Scope.MAILBOX)
        assert fault.nature is not Nature.PERMANENT  # which would switch the mailbox off
        assert "Outlook" in fault.text
    assert world.category_list == stored
    assert ids(gateway.page("", 10)) == []


def test_an_empty_configuration_is_an_empty_list(world, organised):
    world.store_list(b"")
    organised.save_category(Category(RED, "Red"))
    assert organised.categories() == (Category(RED, "Red"),)


# --- who has it, and what it costs ----------------------------------------------------------------


def test_what_is_asked_beside_incoming_email_is_one_conversation_with_it(world, gateway, organised):
    gateway.page("", 10)
    organised.folders()
    organised.categories()
    assert gateway.requests == 3
    assert world.people.statistics().total_connections == 1


def test_pop3_has_neither_folders_nor_categories():
    nowhere = MailServer("127.0.0.1", 1, Security.NONE, "ann", "pw", timeout_seconds=1)
    assert registry.organised(Pop3Incoming(nowhere)) is None


# --- answers that no Exchange gives ---------------------------------------------------------------


@pytest.fixture
def evil(world) -> Iterator[HostileServer]:
    with hostile(world.simulator.ews_url) as running:
        yield running


@pytest.fixture
def misled(evil) -> Iterator[Organised]:
    server = ExchangeServer(evil.url, "svc", "pw", "basic", impersonate=True)
    with ExchangeIncoming(server, ADDRESS) as gateway:
        yield gateway.organised


def rewritten(pattern: bytes, by: bytes) -> Evil:
    """Answer well but for what matches."""

    def answer(good: bytes) -> list[bytes]:
        changed, times = re.subn(pattern, by, good)
        assert times, good
        return [http_answer(changed)]

    return answer


def test_a_list_of_categories_that_is_no_base64_cannot_be_read(world, evil, misled):
    world.store_list(OUTLOOKS)
    evil.evil["GetUserConfiguration"] = rewritten(rb"<t:XmlData>[^<]+", b"<t:XmlData>%%%")
    with pytest.raises(FaultError) as caught:
        misled.categories()
    assert caught.value.fault.code == "exchange.categories_unreadable"


@pytest.mark.parametrize(
    ("operation", "pattern", "by"),
    [
        ("FindFolder", rb'<t:FolderId Id="[^"]+"', b"<t:FolderId"),
        ("FindFolder", rb"<t:Folders>.*</t:Folders>", b""),
        ("FindFolder", rb'TotalItemsInView="\d+"', b'TotalItemsInView="many"'),
        ("GetItem", rb"<m:Items>.*</m:Items>", b"<m:Items/>"),
        ("MoveItem", rb"NoError", b"ErrorMoveCopyFailed"),
        ("CreateFolder", rb"<m:Folders>.*</m:Folders>", b"<m:Folders/>"),
    ],
)
def test_an_answer_without_its_form_is_a_fault_of_the_mailbox(
    world, evil, misled, operation, pattern, by
):
    world.folder("Sales")
    item = world.deliver()
    evil.evil[operation] = rewritten(pattern, by)
    work = {"GetItem": lambda: misled.categorise(item, add="Red"), "FindFolder": misled.folders}
    with pytest.raises(FaultError) as caught:
        work.get(operation, lambda: misled.move_to_undeliverable(item, "Undeliverable"))()
    assert (caught.value.fault.scope, caught.value.fault.nature) in (
        (Scope.MAILBOX, Nature.TRANSIENT),
        (Scope.PROFILE, Nature.TRANSIENT),
    )


def test_pages_that_lead_nowhere_end(world, evil, misled):
    sales = world.folder("Sales")
    last = b'IndexedPagingOffset="1" TotalItemsInView="1" IncludesLastItemInRange="true"'
    back = b'IndexedPagingOffset="1" TotalItemsInView="9" IncludesLastItemInRange="false"'
    evil.evil["FindFolder"] = rewritten(last, back)
    misled.folders()
    assert len(evil.asked) == 2
    offsets = count(1)

    def on_and_on(good: bytes) -> list[bytes]:
        return rewritten(last, back.replace(b'"1"', b'"%d"' % next(offsets)))(good)

    evil.evil["FindFolder"] = on_and_on
    with pytest.raises(FaultError):
        misled.folders()
    evil.evil.clear()
    assert misled.folders() == (MailFolder(sales, "", "Sales"),)
