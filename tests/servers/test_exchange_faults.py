"""Every fault a server can answer with, over a real connection -> our own fault."""

import socket
import ssl
from datetime import timedelta

import pytest

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.incoming import ExchangeIncoming
from syncservice.servers.gateway import Fetched, NotFetched
from syncservice.simulator.exchange import Fault as ServerFault
from tests.memory_gateway import mime
from tests.servers.certificates import certificate
from tests.simulator.answers import checked_simulator

ADDRESS = "user@example.test"
T, TH, P, R = Nature.TRANSIENT, Nature.THROTTLED, Nature.PERMANENT, Nature.RESYNC


@pytest.fixture(scope="module")
def simulator():
    with checked_simulator() as running:
        running.control.create_service_account("svc", "pw")
        running.control.create_mailbox(ADDRESS, "pw")
        yield running


@pytest.fixture(autouse=True)
def _no_faults(request):
    yield
    if "simulator" in request.fixturenames:
        request.getfixturevalue("simulator").control.clear_faults()


def ask(endpoint: str, **fields) -> Fault:
    """Ask for a page and return the fault."""
    server = ExchangeServer(
        endpoint, **{"username": "svc", "password": "pw", "auth_type": "basic",
                     "impersonate": True, **fields}
    )  # fmt: skip
    with ExchangeIncoming(server, ADDRESS) as gateway, pytest.raises(FaultError) as caught:
        gateway.page("", 10)
    return caught.value.fault


@pytest.mark.parametrize(
    ("server_fault", "code", "nature", "scope", "retry_after"),
    [
        ({"kind": "busy", "back_off_ms": 5500}, "server_busy", TH, "mailbox", 5.5),
        (
            {"kind": "busy", "back_off_ms": 7000, "back_off_first": False},
            *("server_busy", TH, "mailbox", 7),
        ),
        ({"kind": "busy"}, "server_busy", TH, "mailbox", None),
        (
            {"kind": "concurrency", "back_off_ms": 3000, "back_off_first": False},
            *("server_busy", TH, "mailbox", 3),
        ),
        ({"kind": "sync_concurrency", "back_off_ms": 4000}, "server_busy", TH, "mailbox", 4),
        ({"kind": "http", "status": 503, "retry_after": 20}, "http_503", TH, "profile", 20),
        ({"kind": "http", "status": 503}, "http_503", TH, "profile", None),
        ({"kind": "http", "status": 429, "retry_after": 9}, "http_429", TH, "profile", 9),
        ({"kind": "http", "status": 401}, "http_401", P, "mailbox", None),
        ({"kind": "http", "status": 403}, "http_403", P, "mailbox", None),
        ({"kind": "http", "status": 404}, "http_404", P, "profile", None),
        ({"kind": "http", "status": 502}, "http_502", T, "profile", None),
        ({"kind": "html"}, "not_ews", T, "profile", None),
        ({"kind": "reset_before"}, "connection_lost", T, "profile", None),
        ({"kind": "reset_after"}, "connection_lost", T, "profile", None),
        *(
            ({"kind": kind, "code": code}, expected, nature, "mailbox", None)
            for kind in ("request", "message")
            for code, expected, nature in [
                ("ErrorInvalidSyncStateData", "invalid_sync_state_data", R),
                ("ErrorAccessDenied", "access_denied", P),
                ("ErrorImpersonateUserDenied", "impersonate_user_denied", P),
                ("ErrorNonExistentMailbox", "non_existent_mailbox", P),
                ("ErrorPasswordExpired", "password_expired", P),
                ("ErrorMailboxStoreUnavailable", "mailbox_store_unavailable", T),
                ("ErrorMailboxMoveInProgress", "mailbox_move_in_progress", T),
                ("ErrorInternalServerError", "internal_server_error", T),
                ("ErrorTimeoutExpired", "timeout_expired", T),
            ]
        ),
    ],
)
def test_a_servers_fault_becomes_ours(simulator, server_fault, code, nature, scope, retry_after):
    simulator.control.add_fault(ServerFault(operation="SyncFolderItems", **server_fault))
    fault = ask(simulator.ews_url)
    assert (fault.code, fault.nature, fault.scope) == (f"exchange.{code}", nature, Scope(scope))
    assert fault.retry_after == (timedelta(seconds=retry_after) if retry_after else None)


def test_a_wrong_password_is_asked_once_and_told_as_such(simulator):
    simulator.control.reset_statistics()
    fault = ask(simulator.ews_url, password="wrong")
    assert (fault.code, fault.nature) == ("exchange.http_401", Nature.PERMANENT)
    assert simulator.control.statistics().authentication_failures == 1


def test_a_server_that_never_answers_ends_in_time(simulator):
    simulator.control.add_fault(ServerFault(kind="hang"))
    fault = ask(simulator.ews_url, timeout_seconds=1)
    assert (fault.code, fault.nature) == ("exchange.timed_out", Nature.TRANSIENT)


def test_a_port_where_nothing_listens_is_told_as_such():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    fault = ask(f"http://127.0.0.1:{port}/EWS/Exchange.asmx")
    assert (fault.code, fault.provenance) == ("exchange.connection_refused", Provenance.TCP)


def test_a_name_that_does_not_resolve_is_told_as_such():
    fault = ask("https://mail.invalid/EWS/Exchange.asmx")
    assert (fault.code, fault.provenance) == ("exchange.unknown_host", Provenance.DNS)


def test_a_certificate_nobody_vouches_for_is_refused_unless_the_profile_says_otherwise(tmp_path):
    with checked_simulator(tls_cert=certificate(tmp_path / "server.pem")) as secure:
        fault = ask(secure.ews_url)
        assert (fault.code, fault.nature) == ("exchange.certificate_refused", Nature.PERMANENT)

        secure.control.create_service_account("svc", "pw")
        secure.control.create_mailbox(ADDRESS, "pw")
        server = ExchangeServer(secure.ews_url, "svc", "pw", "basic", True, verify_tls=False)
        with ExchangeIncoming(server, ADDRESS) as gateway:
            assert gateway.page("", 10).is_last


def test_https_to_a_server_that_speaks_http_is_told_as_such(simulator):
    fault = ask(simulator.ews_url.replace("http:", "https:"))
    assert fault.provenance is Provenance.TLS
    assert issubclass(ssl.SSLError, OSError)


def test_one_corrupt_item_fails_in_its_place_and_the_others_come(simulator):
    ids = [simulator.control.deliver(ADDRESS, mime(f"mail {n}")) for n in range(3)]
    simulator.control.add_fault(
        ServerFault(kind="message", code="ErrorCorruptData", item_id=ids[1], operation="GetItem")
    )
    server = ExchangeServer(simulator.ews_url, "svc", "pw", "basic", impersonate=True)
    with ExchangeIncoming(server, ADDRESS) as gateway:
        items = gateway.page("", 10).items
        answers = {answer.item_id: answer for answer in gateway.fetch(items)}
    assert isinstance(answers[ids[0]], Fetched)
    assert isinstance(answers[ids[2]], Fetched)
    corrupt = answers[ids[1]]
    assert isinstance(corrupt, NotFetched)
    assert (corrupt.fault.code, corrupt.fault.scope) == ("exchange.corrupt_data", Scope.EMAIL)


@pytest.mark.parametrize("code", ["ErrorInternalServerError", "ErrorAccessDenied"])
def test_trouble_with_one_item_is_the_items_and_may_pass_when_others_come(simulator, code):
    ids = [simulator.control.deliver(ADDRESS, mime(f"{code} {n}")) for n in range(3)]
    simulator.control.add_fault(
        ServerFault(kind="message", code=code, item_id=ids[1], operation="GetItem")
    )
    server = ExchangeServer(simulator.ews_url, "svc", "pw", "basic", impersonate=True)
    with ExchangeIncoming(server, ADDRESS) as gateway:
        items = [item for item in gateway.page("", 500).items if item.item_id in ids]
        answers = {answer.item_id: answer for answer in gateway.fetch(items)}
    refused = answers[ids[1]]
    assert isinstance(refused, NotFetched)
    assert (refused.fault.scope, refused.fault.nature) == (Scope.EMAIL, Nature.TRANSIENT)
    assert isinstance(answers[ids[2]], Fetched)


def test_a_busy_answer_for_one_item_of_a_batch_is_the_whole_mailboxs_fault(simulator):
    simulator.control.deliver(ADDRESS, mime("one"))
    simulator.control.add_fault(
        ServerFault(kind="message", code="ErrorServerBusy", index=0, operation="GetItem")
    )
    server = ExchangeServer(simulator.ews_url, "svc", "pw", "basic", impersonate=True)
    with ExchangeIncoming(server, ADDRESS) as gateway:
        items = gateway.page("", 10).items
        with pytest.raises(FaultError) as caught:
            list(gateway.fetch(items))
    assert caught.value.fault.nature is Nature.THROTTLED


def test_when_a_conversation_ends_the_server_counts_no_connection_of_it(simulator):
    server = ExchangeServer(simulator.ews_url, "svc", "pw", "basic", impersonate=True)
    with ExchangeIncoming(server, ADDRESS) as gateway:
        gateway.page("", 1)
        assert simulator.control.statistics().open_connections == 1
    while simulator.control.statistics().open_connections:
        pass  # the simulator's loop sees the closed socket in its own time


def test_no_password_is_in_the_words_of_a_server_or_its_faults(simulator):
    server = ExchangeServer(simulator.ews_url, "svc", "s3cret", "basic", impersonate=True)
    assert "s3cret" not in repr(server)
    assert "s3cret" not in str(ask(simulator.ews_url, password="s3cret"))
