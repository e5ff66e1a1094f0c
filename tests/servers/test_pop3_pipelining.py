"""Asking a POP3 server for messages ahead: what it saves, and that it loses and mixes nothing."""

import poplib
import socket
from collections.abc import Iterator, Mapping

import pytest

from syncservice.domain.faults import FaultError
from syncservice.servers.gateway import Fetched, Gone, Listed, NotFetched
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.pop3 import Pop3Incoming
from tests.memory_gateway import mime
from tests.proxy import Proxy
from tests.servers.certificates import certificate
from tests.servers.dovecot import Dovecot, dovecot
from tests.servers.scripted_server import CLOSE, PIPELINING, POP3, scripted


@pytest.fixture(scope="module")
def post() -> Iterator[Dovecot]:
    with dovecot() as running:
        yield running


def many(count: int, size: int = 20) -> dict[str, bytes]:
    """Say what a server with so many messages does; the text of each is its uidl."""
    rows = range(1, count + 1)
    return {
        **POP3,
        **PIPELINING,
        "NOOP": b"+OK",
        "UIDL": b"+OK\r\n" + b"".join(b"%d id-%d\r\n" % (row, row) for row in rows) + b".",
        "LIST": b"+OK\r\n" + b"".join(b"%d %d\r\n" % (row, size) for row in rows) + b".",
        **{f"RETR {row}": b"+OK\r\n" + text_of(row) + b"." for row in rows},
    }


def text_of(row: int) -> bytes:
    return b"Subject: id-%d\r\n\r\n" % row


def fetch_all(server: MailServer) -> list[Fetched | NotFetched | Gone]:
    with Pop3Incoming(server) as gateway:
        return list(gateway.fetch(gateway.page("", 10_000).items))


def assert_each_has_its_own(answers: list[Fetched | NotFetched | Gone], count: int) -> None:
    texts = {answer.item_id: answer.mime for answer in answers if isinstance(answer, Fetched)}
    assert texts == {f"id-{row}": text_of(row) for row in range(1, count + 1)}


def test_fifty_messages_cost_few_round_trips():
    with scripted(many(50)) as running:
        assert_each_has_its_own(fetch_all(running.server()), 50)
    assert running.commands[:2] == ["CAPA", "USER ann"]
    assert running.rounds <= 8  # CAPA, USER, PASS, UIDL and LIST, RETR in two, QUIT; one spare


def test_commands_go_ahead_also_where_poplib_refuses_line_ends_in_a_command(monkeypatch):
    """As newer versions of Python do."""
    send_one = poplib.POP3._putcmd  # type: ignore[attr-defined]

    def refuse(connection: poplib.POP3, line: str) -> None:
        if not line.isprintable():
            raise ValueError("control characters")
        send_one(connection, line)

    monkeypatch.setattr(poplib.POP3, "_putcmd", refuse)
    with scripted(many(9)) as running:
        assert_each_has_its_own(fetch_all(running.server()), 9)


def test_a_server_that_does_not_offer_it_gets_one_command_at_a_time():
    with scripted(many(50), {"CAPA": b"-ERR what?"}) as running:
        assert_each_has_its_own(fetch_all(running.server()), 50)
    assert running.rounds == len(running.commands)


def test_what_was_offered_before_tls_counts_for_nothing(tmp_path, monkeypatch):
    file = certificate(tmp_path / "trusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    in_clear = {"STLS": b"+OK begin\r\n" + PIPELINING["CAPA"], "CAPA": b"-ERR what?"}
    with scripted(many(9), in_clear, certificate=file) as running:
        assert_each_has_its_own(fetch_all(running.server(Security.STARTTLS)), 9)
    assert running.commands[:3] == ["STLS", "CAPA", "USER ann"]
    assert running.rounds == len(running.commands)


def test_neither_side_locks_up_over_a_thousand_large_messages(monkeypatch):
    """Their commands together don't fit into the buffers here, nor do some of the answers."""
    connect = socket.create_connection

    def with_small_buffer(*address) -> socket.socket:
        connection = connect(*address)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the system takes its least
        return connection

    monkeypatch.setattr(socket, "create_connection", with_small_buffer)
    large = b"+OK\r\n" + (b"x" * 998 + b"\r\n") * 100 + b"."
    # The sizes it tells are wrong, so that as many are asked for ahead as ever are.
    replies = {**many(1000, size=10), **{f"RETR {row}": large for row in range(1, 1001)}}
    with (
        scripted(replies, receive_buffer=1) as running,
        Pop3Incoming(running.server()) as gateway,
    ):
        answers = gateway.fetch(gateway.page("", 1000).items)
        assert sum(len(answer.mime) for answer in answers if isinstance(answer, Fetched)) == 10**8
    assert running.connections == 1


def test_large_messages_are_not_all_under_way_at_once():
    """What was sent in vain when a connection is lost has an end."""
    with (
        scripted(many(50, size=2**19), {"RETR 3": CLOSE}) as running,
        Pop3Incoming(running.server()) as gateway,
    ):
        next(gateway.fetch(gateway.page("", 50).items))
    asked = [command for command in running.commands if command.startswith("RETR")]
    assert asked in (["RETR 1"], ["RETR 1", "RETR 2"])


@pytest.mark.parametrize("bad", [1, 20, 50])
@pytest.mark.parametrize("reply", [CLOSE, b"+OK\r\nSubj" + CLOSE, b"what?"])
def test_a_message_that_ends_the_connection_fails_alone(bad, reply):
    with scripted(many(50), {f"RETR {bad}": reply}) as running:
        answers = fetch_all(running.server())
    (failed,) = (answer for answer in answers if not isinstance(answer, Fetched))
    assert isinstance(failed, NotFetched)
    assert failed.item_id == f"id-{bad}"
    assert len(answers) == 50
    assert all(
        f"Subject: {answer.item_id}\r\n".encode() in answer.mime
        for answer in answers
        if isinstance(answer, Fetched)
    )


both_ways = pytest.mark.parametrize(
    "changes", [{}, {"CAPA": b"-ERR what?"}], ids=["ahead", "plain"]
)


@both_ways
def test_a_mail_with_bare_line_feeds_ends_no_answer_and_forges_no_mail(changes):
    """RFC 1939 section 3: only CRLF ends a line, so a dot between line feeds is text."""
    forged = b"+OK\r\nSubject: forged\r\n\r\n"
    evil = text_of(1) + b"x\n.\n" + forged + b"\n..\r\n"
    with scripted(many(3), {"RETR 1": b"+OK\r\n" + evil + b".", **changes}) as running:
        answers = fetch_all(running.server())
    assert answers == [
        Fetched("id-1", evil, None), *(Fetched(f"id-{n}", text_of(n), None) for n in (2, 3))
    ]  # fmt: skip


def test_a_line_end_that_comes_in_two_pieces_is_one():
    """The reader takes a long line in pieces of 65,536 bytes."""
    long = b"x" * 65_535 + b"\r\n"
    with scripted(many(2), {"RETR 1": b"+OK\r\n" + long + b"..dot\r\n."}) as running:
        first, second = fetch_all(running.server())
    assert first == Fetched("id-1", long + b".dot\r\n", None)
    assert isinstance(second, Fetched)


@both_ways
def test_what_comes_behind_an_answer_that_nobody_waits_for_spoils_that_message_alone(changes):
    """A server that doesn't mark the dots of a mail ends it early; what follows is no answer."""
    unmarked = {"DELE": b"+OK", "RETR 3": b"+OK\r\nx\r\n.\r\n+OK\r\nSubject: forged\r\n."}
    with scripted(many(3), {**unmarked, **changes}) as running:
        with Pop3Incoming(running.server()) as gateway:
            answers = [*gateway.fetch(gateway.page("", 9).items)]
            gateway.delete(["id-1"])
        assert running.commands[-2:] == ["DELE 1", "QUIT"]
    assert [type(answer) for answer in answers] == [Fetched, Fetched, NotFetched]
    spoilt = answers[2]
    assert isinstance(spoilt, NotFetched)
    assert (spoilt.item_id, spoilt.fault.code) == ("id-3", "pop3.unreadable_answer")


def test_messages_that_are_refused_or_gone_leave_the_others_their_answers():
    refused: Mapping[str, bytes] = {"RETR 2": b"-ERR no", "RETR 7": b"-ERR [SYS/TEMP] no"}
    with scripted(many(9), refused) as running, Pop3Incoming(running.server()) as gateway:
        items = [*gateway.page("", 9).items]
        answers = [*gateway.fetch([Listed("moved", 1), *items[:4], Listed("away", 1), *items[4:]])]
    kinds = {answer.item_id: type(answer) for answer in answers}
    assert (kinds.pop("moved"), kinds.pop("away")) == (Gone, Gone)
    assert (kinds.pop("id-2"), kinds.pop("id-7")) == (NotFetched, NotFetched)
    assert set(kinds.values()) == {Fetched}
    assert len(kinds) == 7
    assert running.connections == 1


def test_a_server_that_gives_no_message_at_all_is_soon_left_alone():
    hangs_up = {f"RETR {row}": CLOSE for row in range(1, 51)}
    with scripted(many(50), hangs_up) as running, pytest.raises(FaultError) as caught:
        fetch_all(running.server())
    assert caught.value.fault.code == "pop3.connection_lost"
    assert running.connections == 5  # one more than without asking ahead


def test_answers_that_nobody_read_are_not_taken_for_those_of_the_next_request():
    with scripted(many(50)) as running, Pop3Incoming(running.server()) as gateway:
        items = gateway.page("", 50).items
        first, second = gateway.fetch(items), gateway.fetch(items)
        assert next(first) == Fetched("id-1", text_of(1), None)
        assert_each_has_its_own([*second], 50)
        gateway.check()
        assert_each_has_its_own([Fetched("id-1", text_of(1), None), *first], 50)


def test_two_requests_in_turn_get_each_their_own_answers():
    """Large messages are asked for one at a time: between two of them nothing is on its way."""
    sizes = {"LIST": b"+OK\r\n" + b"".join(b"%d 1048576\r\n" % row for row in range(1, 7)) + b"."}
    small = [Listed(f"id-{row}", 20) for row in (4, 5, 6)]
    with scripted(many(6), sizes) as running, Pop3Incoming(running.server()) as gateway:
        large = gateway.page("", 3).items
        first, second = gateway.fetch(large), gateway.fetch(small)
        answers = [next(first), next(second), next(first), next(second), *first, *second]
    assert_each_has_its_own(answers, 6)


def test_a_connection_cut_among_answers_loses_no_message(post):
    texts = {post.deliver("cut", mime(f"{row}") + b"x" * 50_000): f"{row}" for row in range(100)}
    server = post.server("cut")
    with Proxy(f"pop3://127.0.0.1:{post.port}") as proxy:
        port = int(proxy.url.rpartition(":")[2])
        through = MailServer("127.0.0.1", port, Security.NONE, "cut", server.password)
        with Pop3Incoming(through) as gateway:
            fetching = gateway.fetch(gateway.page("", 100).items)
            answers = [next(fetching) for _ in range(10)]
            proxy.cut()
            answers += fetching
            assert gateway.requests == 5  # two logins, two listings, and the messages
    assert [answer.item_id for answer in answers] == [*texts]
    for answer in answers:
        assert isinstance(answer, Fetched)
        assert f"The body of {texts[answer.item_id]}.".encode() in answer.mime
