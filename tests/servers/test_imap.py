"""An Inbox over IMAP: in a real Dovecot, and in servers that say what it doesn't."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pytest

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.servers.gateway import (
    SENT_ITEMS,
    Fetched,
    Gone,
    Listed,
    NotDeleted,
    NotFetched,
    Page,
)
from syncservice.servers.imap import ImapIncoming
from syncservice.servers.mail_server import MailServer, Security
from tests.memory_gateway import fault as some_fault
from tests.memory_gateway import mime
from tests.servers.certificates import certificate
from tests.servers.dovecot import HAS_IMAP, WITHOUT_IMAP, Dovecot, dovecot
from tests.servers.scripted_server import CLOSE, IMAP, SILENCE, Reply, giving, scripted

T, TH, P, R = Nature.TRANSIENT, Nature.THROTTLED, Nature.PERMANENT, Nature.RESYNC
EMAIL, MAILBOX, PROFILE = Scope.EMAIL, Scope.MAILBOX, Scope.PROFILE
PLAIN_IMAP = "imap_capability = IMAP4rev1"
READ_ONLY = b"* OK [UIDVALIDITY 7] x\r\n<tag> OK [READ-ONLY] x"
needs_dovecot = pytest.mark.skipif(not HAS_IMAP, reason=WITHOUT_IMAP)


@pytest.fixture(scope="module")
def post() -> Iterator[Dovecot]:
    with dovecot() as running:
        yield running


@pytest.fixture(scope="module")
def plain_post() -> Iterator[Dovecot]:
    """One that says it has no extensions."""
    with dovecot(imap=PLAIN_IMAP) as running:
        yield running


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """A certificate for 127.0.0.1 that this machine trusts."""
    file = certificate(tmp_path / "trusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return file


def ask(server: MailServer) -> Fault:
    """Ask for a page and return the fault."""
    with ImapIncoming(server) as gateway, pytest.raises(FaultError) as caught:
        gateway.page("", 10)
    return caught.value.fault


def fetch(server: MailServer) -> dict[str, Fetched | NotFetched | Gone]:
    """Fetch all that is listed."""
    with ImapIncoming(server) as gateway:
        items = gateway.page("", 10).items
        return {answer.item_id: answer for answer in gateway.fetch(items)}


def listed(server: MailServer) -> list[str]:
    with ImapIncoming(server) as gateway:
        return [item.item_id for item in gateway.page("", 100).items]


def flags(post: Dovecot, user: str) -> list[bytes]:
    """The flags of every message, but \\Recent, which tells only of the conversation that asks."""
    with post.imap(user) as client:
        told = client.fetch("1:*", "(FLAGS)")[1]
    return [re.sub(rb".*FLAGS \(| ?\\Recent|\)+$", b"", line) for line in told]


# --- a real server --------------------------------------------------------------------------------


@needs_dovecot
@pytest.mark.parametrize("security", Security)
def test_mail_is_read_over_any_encryption(post, security, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(post.certificate))
    user = f"imap-{security}"
    item_id = post.append(user, mime("hello"))
    answer = fetch(post.imap_server(user, security))[item_id]
    assert isinstance(answer, Fetched)
    assert answer.mime == mime("hello").replace(b"\n", b"\r\n")


@needs_dovecot
def test_a_wrong_password_is_asked_once_and_told_as_the_logins_fault(post):
    fault = ask(post.imap_server("ann", password="wr0ng-one"))
    assert (fault.code, fault.nature, fault.scope) == ("imap.login_refused", P, MAILBOX)
    assert fault.of_login
    assert "wr0ng-one" not in fault.text


@needs_dovecot
def test_one_broken_mailbox_is_no_trouble_of_its_server(post):
    (post.folder / "mail" / "imap-broken").write_text("where a folder should be")
    assert ask(post.imap_server("imap-broken")).scope is MAILBOX


@needs_dovecot
def test_reading_leaves_no_trace(post):
    """Another program of the owner still shows the message as new."""
    post.append("trace", mime("unread"))
    with ImapIncoming(post.imap_server("trace")) as gateway:
        items = gateway.page("", 10).items
        list(gateway.fetch(items))
        gateway.find("<none@x.test>")
        gateway.check()
    assert flags(post, "trace") == [b""]


@needs_dovecot
def test_the_moment_of_receipt_is_told_in_utc(post):
    with post.imap("moment") as client:
        client.append("INBOX", "", '"17-Jul-2024 02:44:25 -0700"', mime("then"))
    then = datetime(2024, 7, 17, 9, 44, 25, tzinfo=UTC)
    with ImapIncoming(post.imap_server("moment")) as gateway:
        items = gateway.page("", 10).items
        (answer,) = gateway.fetch(items)
    assert isinstance(answer, Fetched)
    assert (items[0].received_at, answer.received_at) == (then, then)


@needs_dovecot
def test_pages_go_on_over_gaps_and_end_where_the_inbox_does(post):
    ids = [post.append("gaps", mime(f"mail {number}")) for number in range(9)]
    for gone in (ids[0], ids[3], ids[4], ids[8]):
        post.expunge("gaps", gone)
    kept = [ids[number] for number in (1, 2, 5, 6, 7)]
    with ImapIncoming(post.imap_server("gaps")) as gateway:
        first = gateway.page("", 2)
        second = gateway.page(first.cursor, 2)
        last = gateway.page(second.cursor, 2)
        found = [item.item_id for page in (first, second, last) for item in page.items]
        assert (found, last.is_last, second.is_last) == (kept, True, False)
        assert gateway.page(last.cursor, 2) == Page((), last.cursor, is_last=True)
        assert [item.item_id for item in gateway.page("", 2).items] == kept[:2]


@needs_dovecot
def test_what_comes_within_the_conversation_is_behind_the_cursor(post):
    post.append("within", mime("one"))
    with ImapIncoming(post.imap_server("within")) as gateway:
        cursor = gateway.page("", 10).cursor
        later = post.append("within", mime("two"))
        gateway.check()  # when servers look for what is new
        assert [item.item_id for item in gateway.page(cursor, 10).items] == [later]


@needs_dovecot
def test_items_of_a_former_numbering_are_gone_and_the_cursor_asks_to_begin_again(post):
    post.append("anew", mime("one"))
    with ImapIncoming(post.imap_server("anew")) as gateway:
        page = gateway.page("", 10)
    post.renumber("anew")
    with ImapIncoming(post.imap_server("anew")) as gateway:
        with pytest.raises(FaultError) as caught:
            gateway.page(page.cursor, 10)
        assert (caught.value.fault.code, caught.value.fault.nature) == (
            "imap.uidvalidity_changed", R
        )  # fmt: skip
        assert list(gateway.fetch(page.items)) == [Gone(page.items[0].item_id)]
        gateway.delete([page.items[0].item_id])
        (again,) = gateway.page("", 10).items
    assert again.item_id != page.items[0].item_id


@needs_dovecot
def test_other_folders_than_the_inbox_are_not_read(post):
    post.append("folders", mime("one"))
    with ImapIncoming(post.imap_server("folders")) as gateway:
        assert gateway.page("", 10, SENT_ITEMS) == Page((), "", is_last=True)


@needs_dovecot
def test_mail_is_found_by_its_message_id(post):
    for number in (1, 2, 3):
        post.append("found", mime("it", message_id=f"<{number}@x.test>"))
    twin = post.append("found", mime("its twin", message_id="<2@x.test>"))
    odd = post.append("found", mime("odd", message_id='<"a\\\\b c"@x.test>'))
    with ImapIncoming(post.imap_server("found")) as gateway:
        one, other = gateway.find("<2@x.test>")
        assert (other.item_id, bool(one.size)) == (twin, True)
        assert [item.item_id for item in gateway.find('<"a\\\\b c"@x.test>')] == [odd]
        assert gateway.find("<@x.test>") == ()
        assert gateway.find("<2@X.test>") == ()  # a search finds it
        assert [gateway.find(part) for part in ("<2@x", "2@x.test", "<", "", "<>")] == [()] * 5
        assert gateway.find("<2@x.test>\r\nx NOOP") == ()
        assert gateway.find("<ü@x.test>") == ()


@needs_dovecot
@pytest.mark.parametrize("server", ["post", "plain_post"])
def test_what_is_deleted_is_gone_and_the_rest_stays(request, server):
    post: Dovecot = request.getfixturevalue(server)
    ids = [post.append("delete", mime(f"mail {number}")) for number in range(4)]
    with ImapIncoming(post.imap_server("delete")) as gateway:
        gateway.page("", 10)
        gateway.delete([ids[1], ids[3]])
        gateway.delete([ids[1]])  # gone already
        gateway.delete([])
        assert [item.item_id for item in gateway.page("", 10).items] == [ids[0], ids[2]]
    assert listed(post.imap_server("delete")) == [ids[0], ids[2]]
    assert flags(post, "delete") == [b"", b""]


@needs_dovecot
def test_what_another_program_marked_as_deleted_is_not_deleted_with_ours(post):
    marked, ours = (post.append("marked", mime(f"mail {number}")) for number in range(2))
    with post.imap("marked") as client:
        client.store("1", "+FLAGS", r"(\Deleted)")
    with ImapIncoming(post.imap_server("marked")) as gateway:
        gateway.delete([ours])
    assert listed(post.imap_server("marked")) == [marked]


@needs_dovecot
def test_without_uidplus_nothing_is_deleted_beside_what_another_program_marked(plain_post):
    marked, ours = (plain_post.append("marked", mime(f"mail {number}")) for number in range(2))
    with plain_post.imap("marked") as client:
        client.store("1", "+FLAGS", r"(\Deleted)")
    with ImapIncoming(plain_post.imap_server("marked")) as gateway:
        with pytest.raises(FaultError) as caught:
            gateway.delete([ours])
        assert [item.item_id for item in gateway.page("", 10).items] == [marked, ours]
    fault = caught.value.fault
    assert (fault.code, fault.nature, fault.scope) == ("imap.others_deleted", T, EMAIL)
    assert flags(plain_post, "marked") == [rb"\Deleted", b""]


# --- what is asked of a server --------------------------------------------------------------------


def test_no_request_is_made_that_is_not_admitted():
    def admit() -> None:
        raise FaultError(some_fault(Nature.LIMITED))

    with scripted(IMAP) as running:
        gateway = ImapIncoming(running.server(), admit)
        with gateway, pytest.raises(FaultError) as caught:
            gateway.page("", 10)
    assert (caught.value.fault.nature, gateway.requests) == (Nature.LIMITED, 0)
    assert running.connections == 0


def test_an_inbox_of_200_000_messages_is_asked_for_once_and_listed_page_by_page():
    numbers = b" ".join(b"%d" % uid for uid in range(1, 200_001))

    def facts(command: str) -> bytes:
        first, last = command.split(" ")[2].split(":")
        rows = [
            b"* %d FETCH (UID %d RFC822.SIZE 9)\r\n" % (uid, uid)
            for uid in range(int(first), int(last) + 1)
        ]
        return b"".join(rows) + b"<tag> OK done"

    large = {"UID SEARCH": b"* SEARCH " + numbers + b"\r\n<tag> OK done", "UID FETCH": facts}
    with scripted(IMAP, large) as running, ImapIncoming(running.server()) as gateway:
        page = gateway.page("", 600)
        page = gateway.page(page.cursor, 600)
        assert (len(page.items), page.items[0].item_id, page.is_last) == (600, "7.601", False)
        sent = [command for command in running.commands if command.startswith("UID")]
    assert [command.split(" (")[0] for command in sent] == [
        "UID SEARCH UID 1:*", "UID FETCH 1:500", "UID FETCH 501:600",
        "UID FETCH 601:1100", "UID FETCH 1101:1200",
    ]  # fmt: skip


def test_the_highest_number_there_is_has_nothing_behind_it():
    with scripted(IMAP, {"UID SEARCH": b"* SEARCH 4294967295\r\n<tag> OK done"}) as running:
        with ImapIncoming(running.server()) as gateway:
            assert gateway.page("7:4294967295", 10).items == ()
        assert "UID SEARCH UID 4294967295:*" in running.commands


def test_the_inbox_is_opened_for_writing_only_to_delete():
    with scripted(IMAP) as running, ImapIncoming(running.server()) as gateway:
        gateway.page("", 10)
        gateway.delete(["7.1", "6.2", "not-ours"])
        gateway.page("", 10)
        sent = running.commands
        opened = [command for command in sent if command in ("SELECT INBOX", "EXAMINE INBOX")]
        assert opened == ["EXAMINE INBOX", "SELECT INBOX", "EXAMINE INBOX"]
        assert [command for command in sent if "EXPUNGE" in command] == ["UID EXPUNGE 1"]
        assert not [command for command in sent if command == "CLOSE"]


@pytest.mark.parametrize(
    ("changes", "code", "nature", "scope"),
    [
        ({"SELECT": READ_ONLY}, "read_only", P, EMAIL),
        ({"SELECT": b"<tag> NO no"}, "inbox_refused", T, MAILBOX),
        ({"SELECT": b"<tag> NO [NOPERM] no"}, "no_permission", P, EMAIL),
        ({"UID STORE": b"<tag> NO no"}, "not_deleted", T, EMAIL),
        ({"UID STORE": b"<tag> NO [OVERQUOTA] full"}, "over_quota", P, EMAIL),
        ({"UID STORE": b"<tag> NO [UNAVAILABLE] later"}, "unavailable", T, PROFILE),
        ({"UID EXPUNGE": b"<tag> NO [NOPERM] no"}, "no_permission", P, EMAIL),
        ({"SELECT": b"* OK [UIDVALIDITY 8] x\r\n<tag> OK x"}, "uidvalidity_changed", R, MAILBOX),
    ],
)
def test_what_cannot_be_deleted_is_a_fault_and_no_reason_not_to_read(changes, code, nature, scope):
    with scripted(IMAP, changes) as running, ImapIncoming(running.server()) as gateway:
        gateway.page("", 10)
        with pytest.raises(FaultError) as caught:
            gateway.delete(["7.1"])
        fault = caught.value.fault
        assert (fault.code, fault.nature, fault.scope) == (f"imap.{code}", nature, scope)
        if scope is EMAIL:
            assert isinstance(caught.value, NotDeleted)
            assert caught.value.item_ids == {"7.1"}
        if nature is not R:
            assert gateway.page("", 10).items


# --- logging in -----------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["username", "password"])
def test_a_login_that_would_end_its_command_is_never_sent(field):
    with scripted(IMAP) as running:
        fault = ask(running.server(**{field: "x\r\nA1 DELETE INBOX"}))
    assert (fault.code, running.connections) == ("imap.login_refused", 0)


def test_a_server_without_the_mechanism_plain_is_told_the_account_in_quotes():
    bare = {"CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n<tag> OK done"}
    with scripted(IMAP, bare) as running:
        listed(running.server(username="a n", password='"\\ü'))
    assert running.commands[1].encode("latin-1").decode() == 'LOGIN "a n" "\\"\\\\ü"'


@pytest.mark.parametrize("security", [Security.NONE, Security.STARTTLS])
def test_a_server_that_takes_no_password_never_sees_it(security, trusted):
    disabled = {"CAPABILITY": b"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n<tag> OK done"}
    with scripted(IMAP, disabled, certificate=trusted) as running:
        fault = ask(running.server(security))
    assert (fault.code, fault.nature, fault.scope) == ("imap.privacy_required", P, PROFILE)
    assert {"LOGIN", "AUTHENTICATE"}.isdisjoint(one.split(" ")[0] for one in running.commands)


def test_a_server_without_starttls_never_sees_the_password():
    with scripted(IMAP, {"STARTTLS": b"<tag> BAD what?"}) as running:
        fault = ask(running.server(Security.STARTTLS))
    assert (fault.code, fault.nature, fault.scope) == ("imap.no_starttls", P, PROFILE)
    assert running.commands == ["CAPABILITY", "STARTTLS", "LOGOUT"]


def test_a_connection_lost_over_starttls_is_no_missing_starttls():
    with scripted(IMAP, {"STARTTLS": CLOSE}) as running:
        assert ask(running.server(Security.STARTTLS)).code == "imap.connection_lost"


def test_what_came_in_clear_behind_the_answer_to_starttls_is_never_read(trusted):
    injected = b"<tag> OK begin\r\n* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n* BYE injected"
    with scripted(IMAP, {"STARTTLS": injected}, certificate=trusted) as running:
        assert listed(running.server(Security.STARTTLS)) == ["7.1"]


@pytest.mark.parametrize("security", [Security.NONE, Security.STARTTLS])
def test_a_server_that_lets_anybody_in_is_no_mailbox_of_ours(security):
    """Before STARTTLS it would also be a way around the encryption."""
    with scripted(IMAP, {"": b"* PREAUTH welcome"}) as running:
        fault = ask(running.server(security))
    assert (fault.code, fault.nature, fault.scope) == ("imap.preauthenticated", P, PROFILE)
    assert running.commands == []


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
    with scripted(IMAP, certificate=bad, is_tls_first=first) as running:
        fault = ask(running.server(security))
        assert (fault.code, fault.nature, fault.scope) == ("imap.certificate_refused", P, PROFILE)
        assert {*running.commands} <= {"CAPABILITY", "STARTTLS"}
        assert listed(running.server(security, verify_tls=False)) == ["7.1"]


def test_no_password_is_in_the_words_of_a_server():
    with scripted(IMAP, {".": b"<tag> NO the password s3cret is wrong"}) as running:
        assert "s3cret" not in ask(running.server()).text


def test_tls_to_a_server_that_speaks_none_is_told_as_such():
    with scripted(IMAP) as running:
        fault = ask(running.server(Security.TLS))
    assert (fault.code, fault.nature, fault.provenance) == ("imap.tls_failed", T, Provenance.TLS)


# --- what servers say -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "reply", "code", "nature", "scope"),
    [
        ("", b"SSH-2.0-OpenSSH_9.2", "not_imap", T, PROFILE),
        ("", b"+OK POP3 ready", "not_imap", T, PROFILE),
        ("", b"* BYE going down", "closed", T, PROFILE),
        ("", b"* BYE [UNAVAILABLE] later", "unavailable", T, PROFILE),
        ("", b"* BYE [ALERT] too many connections", "closed", T, PROFILE),
        ("CAPABILITY", b"* CAPABILITY IMAP2\r\n<tag> OK done", "not_imap", T, PROFILE),
        ("CAPABILITY", b"* CAPABILITY \xff\xfe\r\n<tag> OK done", "not_imap", T, PROFILE),
        ("AUTHENTICATE", b"<tag> NO no", "login_refused", P, MAILBOX),
        ("AUTHENTICATE", b"<tag> BAD no", "login_refused", P, MAILBOX),
        (".", b"<tag> NO no", "login_refused", P, MAILBOX),
        (".", b"<tag> NO [AUTHENTICATIONFAILED] no", "login_refused", P, MAILBOX),
        (".", b"<tag> NO [AUTHORIZATIONFAILED] no", "login_refused", P, MAILBOX),
        (".", b"<tag> NO [ALERT] log in by the web", "login_refused", P, MAILBOX),
        (".", b"<tag> NO [expired] old", "password_expired", P, MAILBOX),
        (".", b"<tag> NO [PRIVACYREQUIRED] no", "privacy_required", P, PROFILE),
        (".", b"<tag> NO [UNAVAILABLE] later", "unavailable", T, PROFILE),
        (".", b"<tag> NO [CONTACTADMIN] ask", "contact_admin", P, MAILBOX),
        (".", b"<tag> NO [LIMIT] too often", "limit_reached", TH, MAILBOX),
        (".", b"<tag> MAYBE so", "unreadable_answer", T, MAILBOX),
        (".", b"what?", "unreadable_answer", T, MAILBOX),
        ("EXAMINE", b"<tag> NO [INUSE] locked", "mailbox_in_use", T, MAILBOX),
        ("EXAMINE", b"<tag> NO no", "inbox_refused", T, MAILBOX),
        ("EXAMINE", b"<tag> OK no numbers", "no_uids", P, PROFILE),
        (
            "EXAMINE",
            b"* OK [UIDVALIDITY 7] x\r\n* NO [UIDNOTSTICKY] x\r\n<tag> OK done",
            "no_uids", P, PROFILE,
        ),
        ("EXAMINE", b"* OK [UIDVALIDITY x] x\r\n<tag> OK done", "unreadable_answer", T, MAILBOX),
        ("EXAMINE", b"* BYE bye\r\n" + CLOSE, "closed", T, PROFILE),
        ("UID SEARCH", b"<tag> NO no", "not_listed", T, MAILBOX),
        ("UID SEARCH", b"* SEARCH one\r\n<tag> OK done", "unreadable_answer", T, MAILBOX),
        ("UID SEARCH", b"* SEARCH 0\r\n<tag> OK done", "unreadable_answer", T, MAILBOX),
        ("UID FETCH", b"<tag> BAD no", "not_listed", T, MAILBOX),
        ("UID FETCH", b"* 1 FETCH nonsense\r\n<tag> OK done", "unreadable_answer", T, MAILBOX),
        ("UID FETCH", b"* OK [UIDVALIDITY 8] x\r\n<tag> OK so", "uidvalidity_changed", R, MAILBOX),
        ("", CLOSE, "connection_lost", T, PROFILE),
        (".", CLOSE, "connection_lost", T, PROFILE),
        ("UID SEARCH", b"* SEARCH 1" + CLOSE, "connection_lost", T, PROFILE),
        ("", SILENCE, "timed_out", T, PROFILE),
        ("UID SEARCH", SILENCE, "timed_out", T, PROFILE),
    ],
)  # fmt: skip
def test_a_servers_answer_becomes_our_fault(command, reply, code, nature, scope):
    with scripted(IMAP, {command: reply}) as running:
        fault = ask(running.server(timeout_seconds=1))
    assert (fault.code, fault.nature, fault.scope) == (f"imap.{code}", nature, scope)
    assert fault.of_login == (code in ("login_refused", "password_expired"))
    said_by_server = code not in ("connection_lost", "timed_out")
    assert fault.provenance is (Provenance.IMAP if said_by_server else Provenance.TCP)


THREE = dict.fromkeys((1, 2, 3), b"X: 000000")


def three(odd: Mapping[int, bytes] | None = None, **more: bytes) -> dict[str, Reply]:
    """What a server with three messages says; see `giving`."""
    search = b"* SEARCH 1 2 3\r\n<tag> OK done"
    return {"UID SEARCH": search, "UID FETCH": giving(THREE, odd, **more)}


def test_a_batch_is_one_request():
    with scripted(IMAP, three()) as running, ImapIncoming(running.server()) as gateway:
        items = gateway.page("", 10).items
        before = gateway.requests
        answers = list(gateway.fetch(items))
        assert (len(answers), gateway.requests - before) == (3, 1)
        assert running.commands[-1] == "UID FETCH 1:3 (UID INTERNALDATE BODY.PEEK[])"


@pytest.mark.parametrize(
    ("odd", "code"),
    [
        (b"<tag> NO [SERVERBUG] corrupt", "message_refused"),
        (b"<tag> NO [UNAVAILABLE] later", "unavailable"),
        (CLOSE, "connection_lost"),
        (b"* BYE over this one\r\n" + CLOSE, "closed"),
        (b"* 2 FETCH (UID 2 BODY[] {9}\r\nX: 0" + CLOSE, "connection_lost"),
        (b"* 2 FETCH (UID 2 BODY[] {4000000}\r\nX: 0" + CLOSE, "larger_than_listed"),
        (b"* 2 FETCH (UID 2 BODY[] {%s}\r\n" % (b"9" * 5000) + SILENCE, "larger_than_listed"),
        (b"what?", "unreadable_answer"),
        (b"* 2 FETCH (UID 2 BODY[] {9}\r\nX: 000002 \r\n<tag> OK done", "unreadable_answer"),
        (b"* 2 FETCH (UID 2 BODY[] {9} FLAGS ())\r\n<tag> OK done", "unreadable_answer"),
    ],
)
def test_one_bad_message_fails_in_its_place_and_the_others_come(odd, code):
    with scripted(IMAP, three({2: odd})) as running:
        answers = fetch(running.server())
    refused = answers["7.2"]
    assert isinstance(refused, NotFetched)
    scope = PROFILE if code == "unavailable" else EMAIL  # not the message's doing
    assert (refused.fault.code, refused.fault.scope) == (f"imap.{code}", scope)
    assert isinstance(answers["7.1"], Fetched)
    assert isinstance(answers["7.3"], Fetched)


def test_a_message_without_an_answer_is_gone_or_refused_as_a_search_tells():
    def search(command: str) -> bytes:
        return (
            b"* SEARCH 1 2 3\r\n<tag> OK done" if "*" in command else b"* SEARCH 3\r\n<tag> OK done"
        )

    silent = {**three({2: b"", 3: b""}), "UID SEARCH": search}
    with scripted(IMAP, silent) as running:
        answers = fetch(running.server())
    refused = answers["7.3"]
    assert isinstance(answers["7.1"], Fetched)
    assert answers["7.2"] == Gone("7.2")
    assert isinstance(refused, NotFetched)
    assert refused.fault.code == "imap.message_refused"


def test_a_message_that_another_program_deleted_meanwhile_ends_no_batch():
    gone = three({2: b""}, end=b"<tag> NO [EXPUNGEISSUED] some are gone")
    gone["UID SEARCH UID 2"] = b"* SEARCH\r\n<tag> OK done"
    with scripted(IMAP, gone) as running:
        answers = fetch(running.server())
    assert answers["7.2"] == Gone("7.2")
    assert [*map(type, answers.values())].count(Fetched) == 2


def test_a_server_that_gives_no_message_at_all_is_the_servers_fault():
    down = three(dict.fromkeys(THREE, b"<tag> NO [UNAVAILABLE] down"))
    with scripted(IMAP, down) as running, pytest.raises(FaultError) as caught:
        fetch(running.server())
    assert (caught.value.fault.code, caught.value.fault.scope) == ("imap.unavailable", PROFILE)


def test_a_plain_refusal_is_the_messages_even_when_all_are_refused():
    with scripted(IMAP, three(dict.fromkeys(THREE, b"<tag> NO no"))) as running:
        answers = fetch(running.server()).values()
    codes = [answer.fault.code for answer in answers if isinstance(answer, NotFetched)]
    assert codes == ["imap.message_refused"] * 3


def test_a_server_that_hangs_up_over_every_message_is_soon_left_alone():
    with scripted(IMAP, three(dict.fromkeys(THREE, CLOSE))) as running:
        with pytest.raises(FaultError) as caught:
            fetch(running.server())
        assert (caught.value.fault.code, caught.value.fault.scope) == (
            "imap.connection_lost", PROFILE
        )  # fmt: skip
        assert running.connections == 3


@pytest.mark.parametrize(
    "told",
    [
        b"* 5 EXISTS\r\n* 1 RECENT\r\n",
        b"* 3 EXPUNGE\r\n",
        b"* 1 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH (UID 1 FLAGS (\\Seen $Forwarded))\r\n",
        b"* OK [ALERT] the disk is full {9}x\r\n* NO [NOT-HEARD-OF] x\r\n",
        b"* FLAGS (\\Seen)\r\n* LIST () \"/\" INBOX\r\n",
        b"* 9 FETCH (UID 9 BODY[] {3}\r\nabc)\r\n",
    ],
)  # fmt: skip
def test_what_a_server_tells_of_its_own_accord_changes_nothing(told):
    changes = {
        "UID SEARCH": told + b"* SEARCH 1\r\n" + told + b"<tag> OK done",
        "UID FETCH": lambda command: (
            told + giving(THREE)(command).replace(b"<tag>", told + b"<tag>")
        ),
    }
    if b"BODY" in told:
        changes["UID SEARCH"] = b"* SEARCH 1\r\n<tag> OK done"
        changes["UID FETCH 1 (UID RFC822.SIZE INTERNALDATE)"] = giving(THREE)("UID FETCH 1")
    with scripted(IMAP, changes) as running:
        (answer,) = fetch(running.server()).values()
    assert (answer.item_id, isinstance(answer, Fetched)) == ("7.1", True)


@pytest.mark.parametrize(
    ("body", "mime_text"),
    [
        (b'UID 1 BODY[] "X: \\"\\\\ y"', b'X: "\\ y'),
        (b"BODY[] {4}\r\nX: 1 UID 1", b"X: 1"),
        (b'UID 1 FLAGS (\\Seen a) X-GM-LABELS ("a)b" c) BODY[] {4}\r\nX: 1', b"X: 1"),
        (b'uid 1 body[] {4}\r\nX: 1 internaldate "32-Foo-1996 02:44:25 -0700"', b"X: 1"),
    ],
)
def test_a_message_is_read_however_the_server_writes_it(body, mime_text):
    item = "UID FETCH 1 (UID INTERNALDATE BODY.PEEK[])"
    with scripted(IMAP, {item: b"* 1 FETCH (" + body + b")\r\n<tag> OK done"}) as running:
        (answer,) = fetch(running.server()).values()
    assert answer == Fetched("7.1", mime_text, None)


def test_a_numbering_that_changes_in_mid_conversation_gives_no_message_a_wrong_name():
    anew = giving(THREE, end=b"* OK [UIDVALIDITY 8] anew\r\n<tag> OK done")
    with scripted(IMAP) as running, ImapIncoming(running.server()) as gateway:
        items = gateway.page("", 10).items
        running.replies = {**IMAP, "UID FETCH": anew}
        with pytest.raises(FaultError) as caught:
            list(gateway.fetch(items))
    assert caught.value.fault.nature is R


def test_a_numbering_that_changes_while_the_connection_was_lost_is_seen():
    with scripted(IMAP) as running, ImapIncoming(running.server()) as gateway:
        items = gateway.page("", 10).items
        anew = b"* OK [UIDVALIDITY 8] anew\r\n<tag> OK done"
        running.replies = {**IMAP, "UID FETCH": CLOSE, "EXAMINE": anew}
        with pytest.raises(FaultError) as caught:
            list(gateway.fetch(items))
        assert caught.value.fault.nature is R
        running.replies = {**IMAP, "EXAMINE": anew}
        assert list(gateway.fetch(items)) == [Gone("7.1")]
        assert [item.item_id for item in gateway.page("", 10).items] == ["8.1"]


def test_what_has_no_facts_is_listed_all_the_same():
    bare = {"UID FETCH": b"<tag> OK done"}
    with scripted(IMAP, bare) as running, ImapIncoming(running.server()) as gateway:
        assert gateway.page("", 10).items == (Listed("7.1", 0),)


def test_when_a_conversation_ends_in_an_error_the_server_counts_no_connection_of_it():
    def read_and_fail(server: MailServer) -> None:
        with ImapIncoming(server) as gateway:
            gateway.page("", 10)
            raise ZeroDivisionError

    with scripted(IMAP) as running:
        with pytest.raises(ZeroDivisionError):
            read_and_fail(running.server())
        assert running.commands[-1] == "LOGOUT"
        running.wait_until_left()


def test_a_server_that_does_not_answer_logout_is_left_all_the_same():
    with scripted(IMAP, {"LOGOUT": SILENCE}) as running:
        with ImapIncoming(running.server(timeout_seconds=1)) as gateway:
            gateway.page("", 10)
        running.wait_until_left()
