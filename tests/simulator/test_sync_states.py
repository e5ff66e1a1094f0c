"""Sync states: the rules, first as laws of the change log, then over the wire."""

from collections.abc import Callable

import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from syncservice.simulator.exchange import ExchangeSimulator
from syncservice.simulator.exchange.change_log import START, Change, ChangeLog, Position
from syncservice.simulator.exchange.item import Item

from .conftest import ALICE, BOB, Answer, Ask, get_request, sync_request

Deliver = Callable[..., str]


class Client:
    """A client that pages through a log and remembers what it was told."""

    def __init__(self, log: ChangeLog[Item]) -> None:
        self.log = log
        self.position: Position = START
        self.known: dict[int, tuple[str, str]] = {}  # uid -> text and read flag as last told

    def turn_page(self, limit: int) -> bool:
        """Read one page; False: that was the last one. Fails when a change is no net change."""
        page = self.log.page(self.position, limit)
        assert len(page.changes) <= limit
        assert not page.changes or page.position != self.position, "the state did not move"
        for change, item in page.changes:
            now = (str(item.values["text"]), str(item.values["read"]))
            if change is Change.CREATE:
                assert item.uid not in self.known, "told twice that it was created"
            else:
                assert item.uid in self.known, f"{change} of an item never told of"
            if change is Change.UPDATE:
                assert self.known[item.uid] != now, "an update that changed nothing"
            if change is Change.READ_FLAG:
                assert self.known[item.uid][0] == now[0], "a change passed off as a read flag's"
            if change is Change.DELETE:
                del self.known[item.uid]
            else:
                self.known[item.uid] = now
        self.position = page.position
        return not page.is_last


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["page"]), st.integers(1, 3)),
        st.tuples(st.sampled_from(["create", "change", "read", "delete"]), st.integers(0, 5)),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(STEPS)
def test_a_client_that_pages_while_the_folder_changes_ends_up_with_the_folder(
    steps: list[tuple[str, int]],
) -> None:
    log: ChangeLog[Item] = ChangeLog()
    client = Client(log)
    live: list[Item] = []
    for count, (step, which) in enumerate(steps):
        if step == "page":
            client.turn_page(which)
        elif step == "create":
            item = Item("Message", {"text": str(count), "read": "false"}, uid=count)
            live.append(item)
            log.born(item)
        elif live and step == "change":
            item = live[which % len(live)]
            item.values["text"] = str(count)
            log.changed(item)
        elif live and step == "read":
            item = live[which % len(live)]
            item.values["read"] = "true" if item.values["read"] == "false" else "false"
            log.read_changed(item)
        elif live:
            log.died(live.pop(which % len(live)))
    while client.turn_page(2):
        pass
    assert client.known == {
        item.uid: (str(item.values["text"]), str(item.values["read"])) for item in live
    }


def state_of(answer: Answer) -> str:
    return answer.texts(".//m:SyncState")[0]


def changes_of(answer: Answer) -> list[tuple[str, str]]:
    """Pairs of the kind of a change and the id of its item."""
    return [
        (str(one.tag).rpartition("}")[2], one.find(".//{*}ItemId").get("Id"))
        for one in answer.all(".//m:Changes/*")
    ]


def test_the_first_pass_lists_everything_newest_first_in_pages(ask: Ask, deliver: Deliver) -> None:
    ids = [deliver(str(n)) for n in range(5)]
    first = ask(sync_request(limit=3))
    assert changes_of(first) == [("Create", one) for one in reversed(ids[2:])]
    assert first.texts(".//m:IncludesLastItemInRange") == ["false"]
    second = ask(sync_request(state_of(first), limit=3))
    assert changes_of(second) == [("Create", ids[1]), ("Create", ids[0])]
    assert second.texts(".//m:IncludesLastItemInRange") == ["true"]
    third = ask(sync_request(state_of(second)))
    assert changes_of(third) == []
    assert len(third.all(".//m:Changes")) == 1


def test_only_the_net_change_is_told(
    ask: Ask, deliver: Deliver, simulator: ExchangeSimulator
) -> None:
    control = simulator.control
    kept, removed = deliver("kept"), deliver("removed")
    state = state_of(ask(sync_request()))
    control.mark_read(kept)
    new = deliver("new")
    control.mark_read(new)
    control.delete(deliver("short-lived"))
    control.mark_read(removed)
    control.delete(removed)
    answer = ask(sync_request(state))
    assert changes_of(answer) == [
        ("ReadFlagChange", kept),
        ("Create", new),
        ("Delete", removed),
    ]
    assert answer.texts(".//t:ReadFlagChange/t:IsRead") == ["true"]


def test_a_move_is_a_delete_here_and_a_create_there(
    ask: Ask, deliver: Deliver, simulator: ExchangeSimulator
) -> None:
    old = deliver("x")
    inbox = state_of(ask(sync_request()))
    trash = state_of(ask(sync_request(folder="deleteditems")))
    new = simulator.control.move(old, "deleteditems")
    assert changes_of(ask(sync_request(inbox))) == [("Delete", old)]
    assert changes_of(ask(sync_request(trash, folder="deleteditems"))) == [("Create", new)]
    assert new != old


def test_a_state_is_good_for_its_own_folder_and_operation_only(ask: Ask, deliver: Deliver) -> None:
    deliver("x")
    state = state_of(ask(sync_request()))
    hierarchy = (
        "<m:SyncFolderHierarchy><m:FolderShape><t:BaseShape>IdOnly</t:BaseShape></m:FolderShape>"
        '<m:SyncFolderId><t:DistinguishedFolderId Id="inbox"/></m:SyncFolderId>'
        f"<m:SyncState>{state}</m:SyncState></m:SyncFolderHierarchy>"
    )
    refused = [
        ask(sync_request(state, folder="drafts")),
        ask(sync_request(state, folder="inbox"), login=BOB),
        ask(sync_request(state[:-8])),
        ask(sync_request("garbage")),
        ask(sync_request("H4sIAAAA")),
        ask(hierarchy),
    ]
    assert [one.codes for one in refused] == [["ErrorInvalidSyncStateData"]] * 6
    # exchangelib dies without these two.
    assert all(one.texts(".//m:SyncState") == [""] for one in refused)
    assert refused[0].texts(".//m:IncludesLastItemInRange") == ["true"]


def test_states_and_ids_of_an_earlier_run_are_strange_to_the_next(
    ask: Ask, deliver: Deliver, simulator: ExchangeSimulator
) -> None:
    earlier = ExchangeSimulator({ALICE: "alice's password"})
    with earlier:
        item_id = earlier.control.deliver(ALICE, b"Subject: x\r\n\r\n")
        body = sync_request()
        envelope = (
            '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages" '
            'xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types">'
            f"<s:Body>{body}</s:Body></s:Envelope>"
        )
        password = (ALICE, "alice's password")
        answered = requests.post(earlier.ews_url, envelope, auth=password, timeout=10)
    state = answered.text.partition("<m:SyncState>")[2].partition("<")[0]
    deliver("x")
    assert ask(sync_request(state)).codes == ["ErrorInvalidSyncStateData"]
    assert ask(get_request(item_id)).codes == ["ErrorItemNotFound"]


def test_an_old_state_may_be_used_again(ask: Ask, deliver: Deliver) -> None:
    state = state_of(ask(sync_request()))
    one = deliver("x")
    assert changes_of(ask(sync_request(state))) == [("Create", one)]
    assert changes_of(ask(sync_request(state))) == [("Create", one)]


def test_bodies_and_recipients_are_not_synced_even_if_asked_for(ask: Ask, deliver: Deliver) -> None:
    deliver("x")
    paths = "".join(
        f'<t:FieldURI FieldURI="{one}"/>'
        for one in ("item:Body", "message:ToRecipients", "item:MimeContent", "message:From")
    )
    request = sync_request().replace('<t:FieldURI FieldURI="item:Subject"/>', paths)
    created = ask(request).all(".//t:Create/t:Message/*")
    assert [str(one.tag).rpartition("}")[2] for one in created] == ["ItemId", "From"]


def test_a_missing_folder_has_an_error_of_its_own(ask: Ask) -> None:
    assert ask(sync_request(folder="archiveinbox")).codes == ["ErrorSyncFolderNotFound"]
    assert ask(sync_request(limit=513)).codes == ["ErrorSchemaValidation"]
    assert ask(sync_request(folder="nonsense")).codes == ["ErrorSchemaValidation"]


def test_ignored_items_are_left_out(ask: Ask, deliver: Deliver) -> None:
    one, two = deliver("1"), deliver("2")
    ignore = f'<m:Ignore><t:ItemId Id="{two}"/></m:Ignore><m:MaxChangesReturned>'
    answer = ask(sync_request().replace("<m:MaxChangesReturned>", ignore))
    assert changes_of(answer) == [("Create", one)]
