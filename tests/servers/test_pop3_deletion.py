"""Deleting over POP3, and finding by Message-ID: only what was asked, and for good only at QUIT."""

from collections.abc import Iterator

import pytest

from syncservice.domain.faults import FaultError, Scope
from syncservice.servers.gateway import SENT_ITEMS, Fetched, NotDeleted
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.pop3 import Pop3Incoming, login_name
from tests.memory_gateway import mime
from tests.proxy import Proxy
from tests.servers.dovecot import Dovecot, dovecot
from tests.servers.scripted_server import CLOSE, PIPELINING, POP3, SILENCE, scripted

THREE = {
    **POP3,
    "UIDL": b"+OK\r\n1 a\r\n2 b\r\n3 c\r\n.",
    "LIST": b"+OK\r\n1 9\r\n2 9\r\n3 9\r\n.",
    "DELE": b"+OK",
    **{f"TOP {number} 0": b"+OK\r\nMessage-ID: <%d@x>\r\n\r\n." % number for number in (1, 2, 3)},
}
both_ways = pytest.mark.parametrize("capa", [{}, PIPELINING], ids=["plain", "pipelining"])


@pytest.fixture(scope="module")
def post() -> Iterator[Dovecot]:
    with dovecot() as running:
        yield running


def listed(server: MailServer) -> list[str]:
    with Pop3Incoming(server) as gateway:
        return [item.item_id for item in gateway.page("", 100).items]


def deleted(commands: list[str]) -> list[str]:
    return [command for command in commands if command.startswith("DELE")]


# --- deleting -------------------------------------------------------------------------------------


def test_what_was_deleted_is_gone_when_delete_returns(post):
    uidls = [post.deliver("tidy", mime(f"mail {number}")) for number in range(100)]
    server = post.server("tidy")
    with Pop3Incoming(server) as gateway:
        gateway.delete(uidls[10:90])
        assert listed(server) == uidls[:10] + uidls[90:]  # while the conversation goes on


def test_after_a_deletion_the_conversation_goes_on_over_another_connection(post):
    doomed, kept = (post.deliver("on", mime(f"mail {number}")) for number in range(2))
    with Pop3Incoming(post.server("on")) as gateway:
        items = gateway.page("", 10).items
        gateway.delete([doomed])
        gateway.check()
        answers = {answer.item_id: type(answer) for answer in gateway.fetch(items)}
        assert answers[kept] is Fetched
        gateway.delete([doomed])  # gone already
        gateway.delete([kept])
    assert listed(post.server("on")) == []


@pytest.mark.parametrize("count", [1, 3])
def test_a_connection_lost_before_quit_deletes_nothing(post, count):
    user = f"cut-{count}"
    uidls = [post.deliver(user, mime(f"mail {number}")) for number in range(3)]
    with Proxy(f"pop3://127.0.0.1:{post.port}", lost_at=b"QUIT") as proxy:
        port = int(proxy.url.rpartition(":")[2])
        through = MailServer("127.0.0.1", port, Security.NONE, user, "pw", timeout_seconds=20)
        with Pop3Incoming(through) as gateway, pytest.raises(FaultError) as caught:
            gateway.delete(uidls[:count])
    assert caught.value.fault.code == "pop3.connection_lost"
    assert listed(post.server(user)) == uidls


def test_numbers_are_those_of_the_connection_that_deletes(post):
    uidls = [post.deliver("numbers", mime(f"mail {number}")) for number in range(4)]
    with Pop3Incoming(post.server("numbers")) as gateway:
        gateway.page("", 10)
        gateway.delete([uidls[0]])  # what follows moves up by one
        gateway.delete([uidls[2]])
    assert listed(post.server("numbers")) == [uidls[1], uidls[3]]


@both_ways
def test_only_what_was_asked_for_is_deleted(capa):
    with scripted(THREE, capa) as running:
        with Pop3Incoming(running.server()) as gateway:
            gateway.delete(["c", "never heard of", "a", "c"])
        assert deleted(running.commands) == ["DELE 3", "DELE 1"]
        assert running.commands.count("QUIT") == 1


@pytest.mark.parametrize("item_ids", [[], ["never heard of"]])
def test_nothing_to_delete_ends_nothing(item_ids):
    with scripted(THREE) as running, Pop3Incoming(running.server()) as gateway:
        gateway.page("", 10)
        gateway.delete(item_ids)
        gateway.page("", 10)
        assert (deleted(running.commands), running.connections) == ([], 1)
        assert "QUIT" not in running.commands


def test_deleting_nothing_makes_no_request():
    with scripted(THREE) as running, Pop3Incoming(running.server()) as gateway:
        gateway.delete([])
        assert (gateway.requests, running.connections) == (0, 0)


@both_ways
@pytest.mark.parametrize(
    ("changes", "code", "quits"),
    [
        ({"QUIT": b"-ERR some deleted messages not removed"}, "not_deleted", 1),
        ({"QUIT": CLOSE}, "connection_lost", 1),
        ({"QUIT": SILENCE}, "timed_out", 1),
        ({"QUIT": b"what?"}, "unreadable_answer", 1),
        ({"DELE 1": b"-ERR read only"}, "not_deleted", 1),
        ({"DELE 1": CLOSE}, "connection_lost", 0),
        ({"DELE 1": b"what?"}, "unreadable_answer", 0),
        ({"DELE 1": SILENCE}, "timed_out", 0),
    ],
)
def test_a_deletion_that_is_not_confirmed_is_a_fault(capa, changes, code, quits):
    with scripted(THREE, {**capa, **changes}) as running:
        with Pop3Incoming(running.server(timeout_seconds=1)) as gateway:
            with pytest.raises(FaultError) as caught:
                gateway.delete(["a", "b"])
            assert running.commands.count("QUIT") == quits
        assert caught.value.fault.code == f"pop3.{code}"
        assert running.commands.count("QUIT") == quits  # not by the end of the conversation either


@both_ways
def test_a_message_that_may_not_be_deleted_keeps_no_other(capa):
    with (
        scripted(THREE, {**capa, "DELE 1": b"-ERR read only"}) as running,
        Pop3Incoming(running.server()) as gateway,
        pytest.raises(NotDeleted) as caught,
    ):
        gateway.delete(["a", "b"])
    assert running.commands[-2:] == ["DELE 2", "QUIT"]
    assert caught.value.item_ids == {"a"}
    assert (caught.value.fault.scope, "read only" in caught.value.fault.text) == (Scope.EMAIL, True)


class LosesOnce(dict[str, bytes]):
    """What a server says that hangs up at the first "DELE 2"."""

    def get(self, command, default=None):
        if command == "DELE 2":
            return self.pop(command, self["DELE"])
        return super().get(command, default)


def test_a_server_that_does_not_take_deletions_ahead_gets_them_one_by_one():
    with scripted(THREE) as running:
        running.replies = LosesOnce({**THREE, **PIPELINING, "DELE 2": CLOSE})
        with Pop3Incoming(running.server()) as gateway:
            gateway.delete(["a", "b"])
        assert running.connections == 2
        assert running.commands[-3:] == ["DELE 1", "DELE 2", "QUIT"]


# --- equal names ----------------------------------------------------------------------------------

TWINS = {
    **THREE,
    "UIDL": b"+OK\r\n1 a\r\n2 b\r\n3 a\r\n.",
    "LIST": b"+OK\r\n1 9\r\n2 9\r\n3 9\r\n.",
}


def test_a_copy_with_the_same_name_does_not_outlive_its_twin():
    with scripted(TWINS) as running:
        with Pop3Incoming(running.server()) as gateway:
            gateway.delete(["a"])
        assert deleted(running.commands) == ["DELE 1", "DELE 3"]


def test_a_copy_that_may_not_be_deleted_keeps_its_twin_listed():
    with (
        scripted(TWINS, {"DELE 3": b"-ERR no"}) as running,
        Pop3Incoming(running.server()) as gateway,
        pytest.raises(NotDeleted) as caught,
    ):
        gateway.delete(["a", "b"])
    assert caught.value.item_ids == {"a"}


@pytest.mark.parametrize("other", [b"+OK\r\nSubject: two\r\n\r\n2\r\n.", b"-ERR no"])
def test_messages_with_one_name_that_differ_are_not_deleted(other):
    """Only one of them was ever stored."""
    with scripted(TWINS, {"RETR 3": other}) as running:
        with Pop3Incoming(running.server()) as gateway:
            gateway.delete(["a", "b"])
        assert deleted(running.commands) == ["DELE 2"]


def test_of_different_sizes_under_one_name_each_is_deleted_by_itself():
    sizes = {"LIST": b"+OK\r\n1 9\r\n2 9\r\n3 10\r\n."}
    with scripted(TWINS, sizes) as running:
        with Pop3Incoming(running.server()) as gateway:
            assert [item.item_id for item in gateway.page("", 9).items] == ["a 9", "b", "a 10"]
            gateway.delete(["a"])  # stored when there was one: which of these, nobody knows
            gateway.delete(["a 10"])
        assert deleted(running.commands) == ["DELE 3"]


@pytest.mark.parametrize("uidls", [b"1 a\r\n1 b\r\n", b"1 a\r\n2 a\r\n2 b\r\n"])
def test_a_number_with_two_names_is_nobodys_to_delete(uidls):
    with scripted(THREE, {"UIDL": b"+OK\r\n" + uidls + b"."}) as running:
        with Pop3Incoming(running.server()) as gateway:
            gateway.delete(["a"])
        assert deleted(running.commands) == []


# --- finding --------------------------------------------------------------------------------------


def test_a_message_is_found_by_its_id_wherever_it_lies(post):
    uidls = [
        post.deliver("seek", mime(f"mail {number}", message_id=f"<{number % 70}@x>"))
        for number in range(100)
    ]
    with Pop3Incoming(post.server("seek")) as gateway:
        assert [item.item_id for item in gateway.find("<5@x>")] == [uidls[75], uidls[5]]
        assert [item.item_id for item in gateway.find("<50@x>")] == [uidls[50]]
        assert gateway.find("<absent@x>") == gateway.find("") == ()
        assert [item.size > 100 for item in gateway.find("<0@x>")] == [True, True]


@both_ways
def test_it_is_looked_for_among_the_newest_thousand(capa):
    count = 1_001
    numbers = range(1, count + 1)
    many = {
        "UIDL": b"+OK\r\n" + b"".join(b"%d id-%d\r\n" % (n, n) for n in numbers) + b".",
        "LIST": b"+OK\r\n" + b"".join(b"%d 9\r\n" % n for n in numbers) + b".",
        **{f"TOP {n} 0": b"+OK\r\nMessage-Id: <%d@x>\r\n\r\n." % n for n in numbers},
    }
    with scripted(THREE, {**many, **capa}) as running:
        with Pop3Incoming(running.server()) as gateway:
            assert gateway.find("<1@x>") == ()
            assert [item.item_id for item in gateway.find("<2@x>")] == ["id-2"]
        asked = [command for command in running.commands if command.startswith("TOP")]
        assert (asked[0], asked[999], len(asked)) == ("TOP 1001 0", "TOP 2 0", 2000)


@both_ways
@pytest.mark.parametrize("count", [1, 3])
def test_a_server_without_top_says_so_and_is_not_taken_for_one_that_has_no_such_mail(capa, count):
    rows = {"UIDL": b"+OK\r\n1 a\r\n."} if count == 1 else {}
    refuses = {f"TOP {number} 0": b"-ERR unknown command" for number in (1, 2, 3)}
    with (
        scripted(THREE, {**rows, **refuses, **capa}) as running,
        Pop3Incoming(running.server()) as gateway,
        pytest.raises(FaultError) as caught,
    ):
        gateway.find("<1@x>")
    assert caught.value.fault.code == "pop3.no_top"
    assert "TOP" in caught.value.fault.text


@both_ways
@pytest.mark.parametrize("reply", [b"-ERR no", CLOSE, b"what?", b"+OK\r\nnonsense\r\n."])
def test_a_message_without_a_header_to_give_hides_no_other(capa, reply):
    with (
        scripted(THREE, {**capa, "TOP 2 0": reply}) as running,
        Pop3Incoming(running.server()) as gateway,
    ):
        assert [item.item_id for item in gateway.find("<1@x>")] == ["a"]
        gateway.delete(["a"])
    assert deleted(running.commands) == ["DELE 1"]


def test_an_empty_mailbox_has_no_such_mail(post):
    with Pop3Incoming(post.server("empty")) as gateway:
        assert gateway.find("<1@x>") == ()


def test_there_is_no_folder_but_the_inbox(post):
    post.deliver("folders", mime("one"))
    with Pop3Incoming(post.server("folders")) as gateway:
        page = gateway.page("", 10, SENT_ITEMS)
        assert (page.items, page.is_last, gateway.requests) == ((), True, 0)


# --- Gmail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "username", "sent"),
    [
        ("pop.gmail.com", "ann@gmail.com", "recent:ann@gmail.com"),
        ("POP.GoogleMail.com.", "ann@gmail.com", "recent:ann@gmail.com"),
        ("pop.gmail.com", "recent:ann@gmail.com", "recent:ann@gmail.com"),
        ("pop.example.com", "ann@gmail.com", "ann@gmail.com"),
        ("pop.gmail.com.example.com", "ann@gmail.com", "ann@gmail.com"),
    ],
)
def test_gmail_shows_what_another_client_has_fetched(host, username, sent):
    assert login_name(host, username) == sent
