"""Reading a mailbox over POP3: from a real Dovecot, and from servers that say what it doesn't."""

import socket
from collections.abc import Iterator

import pytest

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.servers.gateway import Fetched, Gone, Listed, NotFetched
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.pop3 import Pop3Incoming
from tests.memory_gateway import fault as some_fault
from tests.memory_gateway import mime
from tests.servers.certificates import certificate
from tests.servers.dovecot import Dovecot, dovecot
from tests.servers.scripted_server import CLOSE, POP3, SILENCE, scripted

T, TH, P = Nature.TRANSIENT, Nature.THROTTLED, Nature.PERMANENT
MAILBOX, PROFILE = Scope.MAILBOX, Scope.PROFILE
THREE = {"UIDL": b"+OK\r\n1 a\r\n2 b\r\n3 c\r\n.", "LIST": b"+OK\r\n1 9\r\n2 9\r\n3 9\r\n."}


@pytest.fixture(scope="module")
def post() -> Iterator[Dovecot]:
    with dovecot() as running:
        yield running


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """A certificate for 127.0.0.1 that this machine trusts."""
    file = certificate(tmp_path / "trusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return file


def ask(server: MailServer) -> Fault:
    """Ask for a page and return the fault."""
    with Pop3Incoming(server) as gateway, pytest.raises(FaultError) as caught:
        gateway.page("", 10)
    return caught.value.fault


def fetch(server: MailServer) -> dict[str, Fetched | NotFetched | Gone]:
    """Fetch all that is listed."""
    with Pop3Incoming(server) as gateway:
        items = gateway.page("", 10).items
        return {answer.item_id: answer for answer in gateway.fetch(items)}


@pytest.mark.parametrize("security", Security)
def test_mail_is_read_over_any_encryption(post, security, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(post.certificate))
    user = f"reader-{security}"
    uidl = post.deliver(user, mime("hello"))
    answer = fetch(post.server(user, security))[uidl]
    assert isinstance(answer, Fetched)
    assert answer.mime == mime("hello").replace(b"\n", b"\r\n")


def test_dots_and_lines_of_any_length_come_as_they_were_sent(post):
    message = b"Subject: odd\n\n.\n..two\n.\r\nx\ry\n" + b"long" * 50_000 + b"\n"
    uidl = post.deliver("odd", message)
    answer = fetch(post.server("odd"))[uidl]
    assert isinstance(answer, Fetched)
    assert answer.mime.replace(b"\r\n", b"\n") == message.replace(b"\r\n", b"\n")


def test_a_wrong_password_is_asked_once_and_told_as_the_logins_fault(post):
    fault = ask(post.server("ann", password="wr0ng-one"))
    assert (fault.code, fault.nature, fault.scope) == ("pop3.login_refused", P, MAILBOX)
    assert fault.of_login
    assert "wr0ng-one" not in fault.text


def test_reading_deletes_nothing(post):
    uidl = post.deliver("kept", mime("kept"))
    assert list(fetch(post.server("kept"))) == [uidl]
    assert list(fetch(post.server("kept"))) == [uidl]


def test_another_conversation_begins_anew_whatever_cursor_it_is_given(post):
    uidls = [post.deliver("anew", mime(f"mail {number}")) for number in range(5)]
    with Pop3Incoming(post.server("anew")) as gateway:
        cursor = gateway.page("", 2).cursor
        assert [item.item_id for item in gateway.page(cursor, 2).items] == uidls[2:4]
    with Pop3Incoming(post.server("anew")) as gateway:
        assert [item.item_id for item in gateway.page(cursor, 2).items] == uidls[:2]


def test_all_pages_of_a_conversation_cost_one_listing(post):
    for number in range(6):
        post.deliver("paged", mime(f"mail {number}"))
    with Pop3Incoming(post.server("paged")) as gateway:
        page = gateway.page("", 2)
        before = gateway.requests
        while not page.is_last:
            page = gateway.page(page.cursor, 2)
        assert (before, gateway.requests) == (2, 2)  # a login and a listing


def test_a_message_removed_within_the_conversation_is_not_fetched_and_the_others_come(post):
    doomed, kept = (post.deliver("doomed", mime(f"mail {number}")) for number in range(2))
    with Pop3Incoming(post.server("doomed")) as gateway:
        items = gateway.page("", 10).items
        post.remove("doomed", doomed)
        answers = {answer.item_id: answer for answer in gateway.fetch(items)}
    assert isinstance(answers[doomed], NotFetched | Gone)
    assert isinstance(answers[kept], Fetched)


def test_no_request_is_made_that_is_not_admitted(post):
    def admit() -> None:
        raise FaultError(some_fault(Nature.LIMITED))

    gateway = Pop3Incoming(post.server("ann"), admit)
    with gateway, pytest.raises(FaultError) as caught:
        gateway.page("", 10)
    assert (caught.value.fault.nature, gateway.requests) == (Nature.LIMITED, 0)


@pytest.mark.parametrize(
    ("command", "reply", "code", "nature", "scope"),
    [
        ("", b"SSH-2.0-OpenSSH_9.2", "not_pop3", T, PROFILE),
        ("", b"-ERR come back later", "not_pop3", T, PROFILE),
        ("", b"-ERR [SYS/TEMP] full", "system_temporary", T, PROFILE),
        ("", b"+OK " + b"x" * 3000, "not_pop3", T, PROFILE),
        ("USER", b"-ERR no such user", "login_refused", P, MAILBOX),
        ("PASS", b"-ERR no", "login_refused", P, MAILBOX),
        ("PASS", b"-ERR [AUTH] no", "login_refused", P, MAILBOX),
        ("PASS", b"-ERR [in-use] locked", "mailbox_in_use", T, MAILBOX),
        ("PASS", b"-ERR maildrop already locked", "mailbox_in_use", T, MAILBOX),  # RFC 1939
        ("PASS", b"-ERR Unable to lock maildrop", "mailbox_in_use", T, MAILBOX),
        ("PASS", b"-ERR mailbox in use", "mailbox_in_use", T, MAILBOX),
        ("PASS", b"-ERR maildrop busy, try later", "mailbox_in_use", T, MAILBOX),
        ("PASS", b"-ERR there is another session", "mailbox_in_use", T, MAILBOX),
        ("PASS", b"-ERR [AUTH] in use", "login_refused", P, MAILBOX),
        ("PASS", b"-ERR account locked out", "login_refused", P, MAILBOX),
        ("PASS", b"-ERR user is blocked", "login_refused", P, MAILBOX),
        ("PASS", b"-ERR [LOGIN-DELAY] too soon", "login_delay", TH, MAILBOX),
        ("PASS", b"-ERR [SYS/TEMP] down", "system_temporary", T, MAILBOX),
        ("PASS", b"-ERR [SYS/PERM] broken", "system_permanent", P, MAILBOX),
        ("PASS", b"what?", "unreadable_answer", T, MAILBOX),
        ("UIDL", b"-ERR unknown command", "not_listed", T, MAILBOX),
        ("UIDL", b"-ERR [SYS/TEMP] down", "system_temporary", T, MAILBOX),
        ("UIDL", b"+OK\r\nnonsense\r\n.", "unreadable_answer", T, MAILBOX),
        ("LIST", b"-ERR no", "not_listed", T, MAILBOX),
        ("LIST", b"+OK\r\n1 many\r\n.", "unreadable_answer", T, MAILBOX),
        ("", CLOSE, "connection_lost", T, PROFILE),
        ("PASS", CLOSE, "connection_lost", T, PROFILE),
        ("UIDL", b"+OK\r\n1 a\r\n" + CLOSE, "connection_lost", T, PROFILE),
        ("", SILENCE, "timed_out", T, PROFILE),
        ("LIST", SILENCE, "timed_out", T, PROFILE),
    ],
)
def test_a_servers_answer_becomes_our_fault(command, reply, code, nature, scope):
    with scripted(POP3, {command: reply}) as running:
        fault = ask(running.server(timeout_seconds=1))
    assert (fault.code, fault.nature, fault.scope) == (f"pop3.{code}", nature, scope)
    assert fault.of_login == (code == "login_refused")
    said_by_server = code not in ("connection_lost", "timed_out")
    assert fault.provenance is (Provenance.POP3 if said_by_server else Provenance.TCP)


@pytest.mark.parametrize(
    ("capa", "code", "nature", "scope"),
    [
        (b"+OK\r\nTOP\r\n.", "no_uidl", P, PROFILE),
        (b"+OK\r\nUIDL\r\n.", "not_listed", T, MAILBOX),
        (b"-ERR what?", "not_listed", T, MAILBOX),
    ],
)
def test_a_refused_listing_is_the_servers_only_when_it_says_that_it_has_none(
    capa, code, nature, scope
):
    with scripted(POP3, {"CAPA": capa, "UIDL": b"-ERR no"}) as running:
        fault = ask(running.server())
    assert (fault.code, fault.nature, fault.scope) == (f"pop3.{code}", nature, scope)


def test_one_broken_mailbox_is_no_trouble_of_its_server(post):
    (post.folder / "mail" / "broken").write_text("where a folder should be")
    assert ask(post.server("broken")).scope is MAILBOX


def test_a_server_without_starttls_never_sees_the_password():
    with scripted(POP3, {"STLS": b"-ERR unknown command"}) as running:
        fault = ask(running.server(Security.STARTTLS))
    assert (fault.code, fault.nature, fault.scope) == ("pop3.no_starttls", P, PROFILE)
    assert running.commands == ["STLS", "QUIT"]


def test_a_connection_lost_over_starttls_is_no_missing_starttls():
    with scripted(POP3, {"STLS": CLOSE}) as running:
        assert ask(running.server(Security.STARTTLS)).code == "pop3.connection_lost"


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
@pytest.mark.parametrize("trouble", ["unknown", "expired", "of_another_host"])
def test_a_bad_certificate_is_refused_unless_the_profile_says_otherwise(
    tmp_path, monkeypatch, security, trouble
):
    address = "127.0.0.2" if trouble == "of_another_host" else "127.0.0.1"
    bad = certificate(tmp_path / "bad.pem", address, expired=trouble == "expired")
    if trouble != "unknown":
        monkeypatch.setenv("SSL_CERT_FILE", str(bad))
    first = security is Security.TLS
    with scripted(POP3, certificate=bad, is_tls_first=first) as running:
        fault = ask(running.server(security))
        assert (fault.code, fault.nature, fault.scope) == ("pop3.certificate_refused", P, PROFILE)
        assert not [command for command in running.commands if command != "STLS"]

        with Pop3Incoming(running.server(security, verify_tls=False)) as gateway:
            assert gateway.page("", 10).items == (Listed("a", 20),)


def test_what_came_in_clear_behind_the_answer_to_starttls_is_never_read(trusted):
    injected = {"STLS": b"+OK begin\r\n+OK\r\n+OK\r\n+OK\r\n9 injected\r\n."}
    with (
        scripted(POP3, injected, certificate=trusted) as running,
        Pop3Incoming(running.server(Security.STARTTLS)) as gateway,
    ):
        assert gateway.page("", 10).items == (Listed("a", 20),)


def test_tls_to_a_server_that_speaks_none_is_told_as_such():
    with scripted(POP3) as running:
        fault = ask(running.server(Security.TLS))
    assert (fault.code, fault.nature, fault.provenance) == ("pop3.tls_failed", T, Provenance.TLS)
    assert "HTTPS" not in fault.text


def test_a_port_where_nothing_listens_is_told_as_such():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        fault = ask(MailServer("127.0.0.1", probe.getsockname()[1], Security.NONE, "ann", "pw"))
    assert (fault.code, fault.scope) == ("pop3.connection_refused", PROFILE)
    assert "location" not in fault.text


def test_a_name_that_does_not_resolve_is_told_as_such():
    fault = ask(MailServer("mail.invalid", 110, Security.NONE, "ann", "pw"))
    assert (fault.code, fault.provenance) == ("pop3.unknown_host", Provenance.DNS)


def test_an_address_without_a_way_to_it_is_told_as_such(monkeypatch):
    def no_way(*_) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", no_way)
    assert ask(MailServer("192.0.2.1", 110, Security.NONE, "ann", "pw")).code == "pop3.unreachable"


@pytest.mark.parametrize(("code", "scope"), [("[SYS/TEMP]", MAILBOX), ("", Scope.EMAIL)])
def test_one_refused_message_fails_in_its_place_and_the_others_come(code, scope):
    """What the server says of itself is not the message's doing."""
    with scripted(POP3, {**THREE, "RETR 2": b"-ERR %s corrupt" % code.encode()}) as running:
        answers = fetch(running.server())
    refused = answers["b"]
    assert isinstance(refused, NotFetched)
    assert (refused.fault.scope, refused.fault.nature) == (scope, T)
    assert isinstance(answers["a"], Fetched)
    assert isinstance(answers["c"], Fetched)


def test_a_server_that_gives_no_message_at_all_is_the_servers_fault():
    down = {**THREE, "RETR": b"-ERR [SYS/TEMP] down"}
    with scripted(POP3, down) as running, pytest.raises(FaultError) as caught:
        fetch(running.server())
    assert (caught.value.fault.code, caught.value.fault.scope) == ("pop3.system_temporary", MAILBOX)


def test_a_plain_refusal_is_the_messages_even_when_all_are_refused():
    with scripted(POP3, {**THREE, "RETR": b"-ERR no"}) as running:
        answers = fetch(running.server()).values()
    codes = [answer.fault.code for answer in answers if isinstance(answer, NotFetched)]
    assert codes == ["pop3.message_refused"] * 3


def test_a_message_over_which_the_server_hangs_up_does_not_stop_the_others():
    with scripted(POP3, {**THREE, "RETR 1": CLOSE}) as running:
        answers = fetch(running.server())
    hung_up = answers["a"]
    assert isinstance(hung_up, NotFetched)
    assert (hung_up.fault.code, hung_up.fault.scope) == ("pop3.connection_lost", Scope.EMAIL)
    assert isinstance(answers["b"], Fetched)
    assert isinstance(answers["c"], Fetched)


def test_a_server_that_hangs_up_over_every_message_is_soon_left_alone():
    with scripted(POP3, {**THREE, "RETR": CLOSE}) as running, pytest.raises(FaultError) as caught:
        fetch(running.server())
    assert (caught.value.fault.code, caught.value.fault.scope) == ("pop3.connection_lost", PROFILE)
    assert running.connections == 4


def test_a_message_without_end_is_not_read_to_it():
    endless = b"+OK\r\n" + b"x" * (3 * 2**20) + b"\r\n."
    with scripted(POP3, {**THREE, "RETR 2": endless}) as running:
        answers = fetch(running.server())
    refused = answers["b"]
    assert isinstance(refused, NotFetched)
    assert (refused.fault.code, refused.fault.nature) == ("pop3.larger_than_listed", P)
    assert isinstance(answers["c"], Fetched)


def test_two_equal_messages_with_one_uidl_are_listed_once():
    twins = {"UIDL": b"+OK\r\n1 a\r\n2 a\r\n.", "LIST": b"+OK\r\n1 9\r\n2 9\r\n."}
    with scripted(POP3, twins) as running:
        assert list(fetch(running.server())) == ["a"]


def test_what_is_not_in_the_mailbox_any_more_is_gone():
    with scripted(POP3) as running, Pop3Incoming(running.server()) as gateway:
        assert list(gateway.fetch([Listed("moved", 10)])) == [Gone("moved")]


@pytest.mark.parametrize("field", ["username", "password"])
def test_a_login_that_would_end_its_command_is_never_sent(field):
    with scripted(POP3) as running:
        fault = ask(running.server(**{field: "x\r\nDELE 1"}))
    assert (fault.code, running.connections) == ("pop3.login_refused", 0)


def test_when_a_conversation_ends_in_an_error_it_ends_without_quit():
    """At QUIT some servers delete what was fetched (EXPIRE 0, RFC 2449): it may not be stored."""

    def read_and_fail(server: MailServer) -> None:
        with Pop3Incoming(server) as gateway:
            list(gateway.fetch(gateway.page("", 10).items))
            raise ZeroDivisionError

    with scripted(POP3) as running:
        with pytest.raises(ZeroDivisionError):
            read_and_fail(running.server())
        running.wait_until_left()
        assert running.commands[-1] == "RETR 1"


def test_a_server_that_does_not_answer_quit_is_left_all_the_same():
    with scripted(POP3, {"QUIT": SILENCE}) as running:
        with Pop3Incoming(running.server(timeout_seconds=1)) as gateway:
            gateway.page("", 10)
        running.wait_until_left()


def test_no_password_is_in_the_words_of_a_server_or_its_faults():
    with scripted(POP3, {"PASS": b"-ERR the password s3cret is wrong"}) as running:
        server = running.server()
        assert "s3cret" not in repr(server)
        assert "s3cret" not in ask(server).text
