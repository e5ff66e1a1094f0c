"""Folders, categories and kept configurations, as exchangelib's ordinary work meets them."""

from collections.abc import Callable

import pytest
from exchangelib import Account
from exchangelib.errors import ErrorFolderExists, ErrorItemNotFound, ErrorItemSave
from exchangelib.folders import Messages
from exchangelib.properties import (
    DistinguishedFolderId,
    Mailbox,
    UserConfiguration,
    UserConfigurationName,
    UserConfigurationNameMNS,
)
from exchangelib.services import (
    CreateUserConfiguration,
    GetUserConfiguration,
    UpdateUserConfiguration,
)

from syncservice.simulator.exchange import ControlError, ExchangeSimulator

from .conftest import ALICE, Ask, mail, sync_request

Deliver = Callable[..., str]


def calendar() -> DistinguishedFolderId:
    return DistinguishedFolderId(id="calendar", mailbox=Mailbox(email_address=ALICE))


def kept(account: Account, name: str, properties: str = "All") -> UserConfiguration:
    named = UserConfigurationNameMNS(name=name, folder=calendar())
    service = GetUserConfiguration(account=account)
    return service.get(user_configuration_name=named, properties=properties)


def keep(account: Account, service: type, name: str, **parts: object) -> None:
    named = UserConfigurationName(name=name, folder=calendar())
    configuration = UserConfiguration(user_configuration_name=named, **parts)
    assert service(account=account).get(user_configuration=configuration) is True


def test_a_configuration_is_kept_under_its_name(alice: Account) -> None:
    with pytest.raises(ErrorItemNotFound):
        kept(alice, "Colours")
    keep(alice, CreateUserConfiguration, "Colours", xml_data=b"<a/>", dictionary={"k": "v"})
    found = kept(alice, "Colours")
    assert (found.xml_data, found.dictionary, found.binary_data) == (b"<a/>", {"k": "v"}, None)
    assert found.id
    assert found.user_configuration_name.name == "Colours"
    with pytest.raises(ErrorItemNotFound):
        kept(alice, "Sounds")


def test_an_update_replaces_the_parts_it_carries_and_leaves_the_others(alice: Account) -> None:
    keep(alice, CreateUserConfiguration, "Colours", xml_data=b"<a/>", binary_data=b"1")
    keep(alice, UpdateUserConfiguration, "Colours", xml_data=b"<b/>")
    found = kept(alice, "Colours")
    assert (found.xml_data, found.binary_data) == (b"<b/>", b"1")
    alone = kept(alice, "Colours", "XmlData")
    assert (alone.xml_data, alone.binary_data) == (b"<b/>", None)


def test_a_configuration_is_created_once_and_updated_when_it_exists(alice: Account) -> None:
    with pytest.raises(ErrorItemNotFound):
        keep(alice, UpdateUserConfiguration, "Colours", xml_data=b"<a/>")
    keep(alice, CreateUserConfiguration, "Colours", xml_data=b"<a/>")
    with pytest.raises(ErrorItemSave):
        keep(alice, CreateUserConfiguration, "Colours", xml_data=b"<b/>")


def test_a_configuration_can_be_forgotten(alice: Account, ask: Ask) -> None:
    keep(alice, CreateUserConfiguration, "Colours", xml_data=b"<a/>")
    request = (
        '<m:DeleteUserConfiguration><m:UserConfigurationName Name="Colours">'
        '<t:DistinguishedFolderId Id="calendar"/></m:UserConfigurationName>'
        "</m:DeleteUserConfiguration>"
    )
    assert ask(request).codes == ["NoError"]
    assert ask(request).codes == ["ErrorItemNotFound"]


def test_categories_are_listed_filtered_and_changed(
    alice: Account, deliver: Deliver, simulator: ExchangeSimulator
) -> None:
    plain, coloured = deliver("plain"), deliver("coloured")
    simulator.control.set_categories(coloured, ["Red", "Ärger"])
    listed = {one.subject: one.categories for one in alice.inbox.all()}
    assert listed == {"plain": None, "coloured": ["Red", "Ärger"]}
    assert [one.id for one in alice.inbox.filter(categories__contains=["Red"])] == [coloured]
    message = alice.inbox.get(subject="plain")
    message.categories = ["Blue"]
    message.save(update_fields=["categories"])
    by_id = {one.id: one.categories for one in simulator.control.items(ALICE)}
    assert by_id == {plain: ("Blue",), coloured: ("Red", "Ärger")}
    simulator.control.set_categories(coloured, [])
    assert alice.inbox.get(subject="coloured").categories is None


def test_a_category_is_told_as_a_change_of_the_item(
    ask: Ask, deliver: Deliver, simulator: ExchangeSimulator
) -> None:
    item = deliver("one")
    request = sync_request().replace("item:Subject", "item:Categories")
    state = ask(request).texts(".//m:SyncState")[0]
    simulator.control.set_categories(item, ["Red"])
    places = ("<m:MaxChangesReturned>", f"<m:SyncState>{state}</m:SyncState><m:MaxChangesReturned>")
    answer = ask(request.replace(*places))
    assert answer.ids(".//t:Update/t:Message/t:ItemId") == [item]
    assert answer.texts(".//t:Categories/t:String") == ["Red"]


def test_folders_are_walked_with_their_parents(
    alice: Account, simulator: ExchangeSimulator
) -> None:
    control = simulator.control
    sales = control.create_folder(ALICE, "Sales")
    north = control.create_folder(ALICE, "North", sales)
    control.create_folder(ALICE, "Elsewhere", "msgfolderroot")
    walked = {one.name: (one.id, one.parent_folder_id.id) for one in alice.inbox.walk()}
    assert walked == {"Sales": (sales, alice.inbox.id), "North": (north, sales)}
    found = alice.inbox / "Sales" / "North"
    assert isinstance(found, Messages)
    simulator.control.deliver(ALICE, mail("below"), north)
    assert [one.subject for one in found.all()] == ["below"]


def test_a_folder_keeps_its_id_whatever_it_is_called_and_wherever_it_goes(
    alice: Account, simulator: ExchangeSimulator
) -> None:
    control = simulator.control
    sales, archive = (control.create_folder(ALICE, name) for name in ("Sales", "Archive 2"))
    control.rename_folder(sales, "Deals")
    control.move_folder(sales, archive)
    assert (alice.inbox / "Archive 2" / "Deals").id == sales
    with pytest.raises(ControlError, match="ErrorFolderExists"):
        control.create_folder(ALICE, "deals", archive)
    control.delete_folder(archive)
    alice.root.clear_cache()  # exchangelib's own
    assert list(alice.inbox.walk()) == []


def test_a_folder_cannot_get_the_name_of_the_one_beside_it(
    alice: Account, simulator: ExchangeSimulator
) -> None:
    simulator.control.create_folder(ALICE, "Sales")
    simulator.control.create_folder(ALICE, "Deals")
    deals = alice.inbox / "Deals"
    deals.name = "sales"
    with pytest.raises(ErrorFolderExists):
        deals.save(update_fields=["name"])
