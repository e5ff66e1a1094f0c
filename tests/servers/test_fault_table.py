"""The table of faults: what happens at a server -> code, nature, scope, effect, audience.

Every row is provoked at a server: the Exchange simulator, Dovecot, one that says what Dovecot and
aiosmtpd can't be made to say, or one with a certificate that nobody should accept. The fault takes
the way of any visit: gateway, `visit`, `outcome.record`; then it is met nine times more.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db.models.functions import Now

from syncservice.alerts import alerts, catalogue
from syncservice.alerts.models import Alert, ItemFailure, Severity
from syncservice.crm.models import User
from syncservice.domain.faults import Fault, FaultError, Nature, Patience, Provenance, Scope
from syncservice.domain.polling import Pace
from syncservice.mailboxes import administration, directions
from syncservice.mailboxes.models import (
    Direction,
    EmailServerProfile,
    Lane,
    Mailbox,
    Schedule,
    ServerHealth,
)
from syncservice.mailboxes.schedule import Claim, server_of
from syncservice.servers import registry
from syncservice.servers.exchange.faults import fault_of_response_code
from syncservice.simulator.exchange import ExchangeSimulator
from syncservice.simulator.exchange import Fault as ServerFault
from syncservice.sync import enablement
from syncservice.sync import outcome as outcomes
from syncservice.sync.enablement import Retries, Ways
from syncservice.sync.inbox import Inbox
from syncservice.sync.visit import Budget, Outcome, visit
from tests import factories
from tests.memory_gateway import mime
from tests.servers.certificates import certificate
from tests.servers.dovecot import Dovecot, dovecot
from tests.servers.scripted_server import CLOSE, IMAP, POP3, SILENCE, SMTP, scripted
from tests.simulator.answers import checked_simulator

pytestmark = pytest.mark.django_db

Security, Type = EmailServerProfile.Security, EmailServerProfile.ServerType
OF_MAILBOX = EmailServerProfile.Credentials.MAILBOX
T, TH, P, R = Nature.TRANSIENT, Nature.THROTTLED, Nature.PERMANENT, Nature.RESYNC
EMAIL, MAILBOX, PROFILE = Scope

# What it does to the direction of the mailbox.
NOTHING, WARNS, PROBED, OFF = "nothing", "warns", "off, probed", "off"
# Who sees the alert; administrators always do.
NOBODY: set[str] = set()
OWNER = {"mailbox's owner"}
SERVER = {"profile's owner", "mailbox's owner", "neighbour"}

BUDGET = Budget(
    duration=timedelta(minutes=1), messages=100, bytes=10**6, page_ids=10, batch_messages=10,
    batch_bytes=10**6, message_bytes=10**6,
)  # fmt: skip


# --- what happens at a server: fields of a profile that meets it ----------------------------------

Settings = dict[str, Any]
Trouble = Callable[[pytest.FixtureRequest], AbstractContextManager[Settings]]


def exchange(*, own_account: bool = False, password: str = "pw", **fault: Any) -> Trouble:
    """The simulator, which answers SyncFolderItems with a fault."""

    @contextmanager
    def happens(request: pytest.FixtureRequest) -> Iterator[Settings]:
        simulator: ExchangeSimulator = request.getfixturevalue("simulator")
        if fault:
            simulator.control.add_fault(ServerFault(**{"operation": "SyncFolderItems", **fault}))
        account = {"credentials": OF_MAILBOX, "use_impersonation": False} if own_account else {}
        yield {"location": simulator.ews_url, "username": "svc", "password": password, **account}
        simulator.control.clear_faults()

    return happens


def at(location: str) -> Trouble:
    """An Exchange profile with this location; {port} is one where nobody listens."""

    @contextmanager
    def happens(request: pytest.FixtureRequest) -> Iterator[Settings]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        simulator: ExchangeSimulator = request.getfixturevalue("simulator")
        yield {
            "location": location.format(port=port, simulator=simulator.url.partition("//")[2]),
            "username": "svc", "password": "pw",
        }  # fmt: skip

    return happens


def tls(trusted: bool = False, address: str = "127.0.0.1", *, expired: bool = False) -> Trouble:
    """A simulator with a certificate; `trusted`: this machine takes it for good otherwise."""

    @contextmanager
    def happens(request: pytest.FixtureRequest) -> Iterator[Settings]:
        file = certificate(
            request.getfixturevalue("tmp_path") / "server.pem", address, expired=expired
        )
        if trusted:
            for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
                request.getfixturevalue("monkeypatch").setenv(name, str(file))
        with ExchangeSimulator(tls_cert=file) as secure:
            yield {"location": secure.ews_url, "username": "svc", "password": "pw"}

    return happens


def pop3(password: str = "pw", **more: Any) -> Trouble:
    """Dovecot."""

    @contextmanager
    def happens(request: pytest.FixtureRequest) -> Iterator[Settings]:
        post: Dovecot = request.getfixturevalue("post")
        yield {
            **POP3_SMTP, "location": "127.0.0.1", "port": post.port,
            "security": Security.NONE, "username": "ann", "password": password, **more,
        }  # fmt: skip

    return happens


def pop3_saying(replies: dict[str, bytes]) -> Trouble:
    @contextmanager
    def happens(request: pytest.FixtureRequest) -> Iterator[Settings]:
        with scripted(POP3, replies) as running:
            yield {
                **POP3_SMTP, "location": "127.0.0.1", "port": running.port,
                "security": Security.NONE, "username": "ann", "timeout_seconds": 1,
            }  # fmt: skip

    return happens


def imap_saying(replies: dict[str, bytes]) -> Trouble:
    @contextmanager
    def happens(request: pytest.FixtureRequest) -> Iterator[Settings]:
        with scripted(IMAP, replies) as running:
            yield {
                **POP3_SMTP, "server_type": Type.IMAP_SMTP, "location": "127.0.0.1",
                "port": running.port, "security": Security.NONE, "username": "ann",
                "timeout_seconds": 1,
            }  # fmt: skip

    return happens


POP3_SMTP: Settings = {
    "server_type": Type.POP3_SMTP,
    "use_impersonation": False,
    "outgoing_location": "127.0.0.1",
    "password": "pw",
}


# --- who is there ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulator():
    with checked_simulator() as running:
        running.control.create_service_account("svc", "pw")
        running.control.create_mailbox("ann@example.test", "pw")
        running.control.deliver("ann@example.test", mime("one"))
        running.control.deliver("ann@example.test", mime("two"))
        yield running


@pytest.fixture(scope="module")
def post() -> Iterator[Dovecot]:
    with dovecot() as running:
        yield running


class World:
    """A mailbox at the server in trouble, a neighbour there, and the people."""

    def __init__(self, settings: Settings) -> None:
        self.profiles_owner = User.objects.create_user("postmaster", "postmaster@example.test")
        profile = factories.profile(owner=self.profiles_owner, **settings)
        own = {"username": "ann@example.test", "password": settings["password"]}
        account = {**own, "allow_credentials": True} if not profile.login_is_shared else {}
        self.box = factories.mailbox(email_address="ann@example.test", profile=profile, **account)
        self.neighbour = factories.mailbox(profile=profile, **account)
        self.people = {
            "profile's owner": self.profiles_owner,
            "mailbox's owner": administration.owner_of(self.box),
            "neighbour": administration.owner_of(self.neighbour),
            "stranger": administration.owner_of(factories.mailbox()),
            "administrator": User.objects.create_user("admin", "admin@example.test"),
        }
        every = Permission.objects.get(codename="view_every_alert")
        self.people["administrator"].user_permissions.add(every)

    def meet(self) -> Fault | None:
        """Make a visit, and record what came of it."""
        claim = self.claim(self.box)
        mailbox = Mailbox.objects.select_related("profile").get(pk=self.box.pk)
        try:
            with registry.incoming(mailbox, lambda: None) as gateway:
                outcome = visit(gateway, Inbox(claim, 5), BUDGET, lambda: 0.0)
        except FaultError as error:
            outcome = Outcome(fault=error.fault)
        self.record(claim, outcome)
        return outcome.fault

    def record_again(self, fault: Fault, box: Mailbox | None = None) -> None:
        claim = self.claim(box or self.box)
        self.record(claim, Outcome(fault=fault))

    def claim(self, box: Mailbox) -> Claim:
        """Claim it now, however long it and its server were to be left alone."""
        lanes = Schedule.objects.exclude(due_at=None)
        lanes.exclude(mailbox=box).update(due_at=Now() + timedelta(hours=1))
        lanes.filter(mailbox=box, lane=Lane.INCOMING).update(due_at=Now())
        ServerHealth.objects.update(not_before=Now())
        return factories.claim(box)

    def record(self, claim: Claim, outcome: Outcome) -> None:
        profile = EmailServerProfile.objects.get(pk=self.box.profile_id)
        outcomes.record(claim, outcome, server_of(profile, claim.lane), Pace(), "here", Patience())

    def effect(self) -> str:
        row = Direction.objects.get(mailbox=self.box, kind="incoming")
        if not row.is_enabled:
            return PROBED if row.is_probed else OFF
        told = Alert.objects.filter(mailbox=self.box, ended_at=None, severity=Severity.WARNING)
        return WARNS if told.exists() else NOTHING

    def audience(self) -> set[str]:
        """Who sees anything; and each alert is described."""
        for code in Alert.objects.values_list("code", flat=True):
            assert code in catalogue.ENTRIES or code == "exchange.unheard_of", code
        seeing = {
            who
            for who, user in self.people.items()
            if Alert.objects.filter(alerts.visible_to(user), ended_at=None).exists()
        }
        assert ("administrator" in seeing) == bool(seeing)
        return seeing - {"administrator"}


# --- the table ------------------------------------------------------------------------------------

X, V3, V4 = "exchange", "pop3", "imap"
HTTP, EWS, TCP, TLS, DNS = (
    Provenance.HTTP, Provenance.EWS, Provenance.TCP, Provenance.TLS, Provenance.DNS
)  # fmt: skip
OF_POP3, OF_IMAP = Provenance.POP3, Provenance.IMAP


def ews(code: str, **more: Any) -> Trouble:
    return exchange(kind="message", code=code, **more)


# ruff: noqa: E501 # a row of the table is a line
# what happens, code, nature, scope, said by, effect at once, at the tenth time, who is told at last
TABLE: list[tuple[Trouble, str, Nature, Scope, Provenance, str, str, set[str]]] = [
    # Below every protocol: it is the server's, no mailbox is switched off, ever.
    (at("http://127.0.0.1:{port}/EWS"), f"{X}.connection_refused", T, PROFILE, TCP, NOTHING, NOTHING, SERVER),
    (at("https://mail.invalid/EWS"), f"{X}.unknown_host", T, PROFILE, DNS, NOTHING, NOTHING, SERVER),
    (at("https://{simulator}/EWS"), f"{X}.tls_failed", T, PROFILE, TLS, NOTHING, NOTHING, SERVER),
    (tls(), f"{X}.certificate_refused", P, PROFILE, TLS, NOTHING, NOTHING, SERVER),
    (tls(True, expired=True), f"{X}.certificate_refused", P, PROFILE, TLS, NOTHING, NOTHING, SERVER),
    (tls(True, "127.0.0.2"), f"{X}.certificate_refused", P, PROFILE, TLS, NOTHING, NOTHING, SERVER),
    (exchange(kind="reset_before"), f"{X}.connection_lost", T, PROFILE, TCP, NOTHING, NOTHING, SERVER),
    (exchange(kind="reset_after"), f"{X}.connection_lost", T, PROFILE, TCP, NOTHING, NOTHING, SERVER),
    # HTTP.
    (exchange(kind="http", status=302), f"{X}.http_302", P, PROFILE, HTTP, NOTHING, NOTHING, SERVER),
    (at("http://{simulator}/elsewhere"), f"{X}.http_404", P, PROFILE, HTTP, NOTHING, NOTHING, SERVER),
    (exchange(kind="http", status=403), f"{X}.http_403", P, MAILBOX, HTTP, PROBED, PROBED, OWNER),
    (exchange(kind="http", status=429), f"{X}.http_429", TH, PROFILE, HTTP, NOTHING, NOTHING, SERVER),
    (exchange(kind="http", status=500), f"{X}.http_500", T, PROFILE, HTTP, NOTHING, NOTHING, SERVER),
    (exchange(kind="http", status=502), f"{X}.http_502", T, PROFILE, HTTP, NOTHING, NOTHING, SERVER),
    (exchange(kind="http", status=503), f"{X}.http_503", TH, PROFILE, HTTP, NOTHING, NOTHING, SERVER),
    (exchange(kind="html"), f"{X}.not_ews", T, PROFILE, HTTP, NOTHING, NOTHING, SERVER),
    # A refused login is suspect: it switches nobody off as long as nobody else was let in.
    (exchange(password="wrong"), f"{X}.http_401", P, MAILBOX, HTTP, NOTHING, NOTHING, SERVER),
    (exchange(password="wrong", own_account=True), f"{X}.http_401", P, MAILBOX, HTTP, WARNS, WARNS, OWNER),
    # EWS: busy is nobody's failure.
    (exchange(kind="busy", back_off_ms=5000), f"{X}.server_busy", TH, MAILBOX, EWS, NOTHING, NOTHING, NOBODY),
    (exchange(kind="concurrency"), f"{X}.server_busy", TH, MAILBOX, EWS, NOTHING, NOTHING, NOBODY),
    (exchange(kind="inner_busy"), f"{X}.server_busy", TH, MAILBOX, EWS, NOTHING, NOTHING, NOBODY),
    (ews("ErrorExceededConnectionCount"), f"{X}.exceeded_connection_count", TH, MAILBOX, EWS, NOTHING, NOTHING, NOBODY),
    (ews("ErrorExceededFindCountLimit"), f"{X}.exceeded_find_count_limit", TH, MAILBOX, EWS, NOTHING, NOTHING, NOBODY),
    # exchangelib reads these two as busy; so would we.
    (ews("ErrorTooManyObjectsOpened"), f"{X}.server_busy", TH, MAILBOX, EWS, NOTHING, NOTHING, NOBODY),
    (ews("ErrorInternalServerTransientError"), f"{X}.server_busy", TH, MAILBOX, EWS, NOTHING, NOTHING, NOBODY),
    # EWS: what may pass.
    (ews("ErrorMailboxStoreUnavailable"), f"{X}.mailbox_store_unavailable", T, MAILBOX, EWS, WARNS, PROBED, OWNER),
    (ews("ErrorMailboxMoveInProgress"), f"{X}.mailbox_move_in_progress", T, MAILBOX, EWS, WARNS, PROBED, OWNER),
    (ews("ErrorMailboxFailover"), f"{X}.mailbox_failover", T, MAILBOX, EWS, WARNS, PROBED, OWNER),
    (ews("ErrorConnectionFailed"), f"{X}.connection_failed", T, MAILBOX, EWS, WARNS, PROBED, OWNER),
    (ews("ErrorADUnavailable"), f"{X}.a_d_unavailable", T, MAILBOX, EWS, WARNS, PROBED, OWNER),
    (ews("ErrorInsufficientResources"), f"{X}.insufficient_resources", T, MAILBOX, EWS, WARNS, PROBED, OWNER),
    (ews("ErrorTimeoutExpired"), f"{X}.timeout_expired", T, MAILBOX, EWS, WARNS, PROBED, OWNER),
    (ews("ErrorInternalServerError"), f"{X}.internal_server_error", T, MAILBOX, EWS, WARNS, PROBED, OWNER),
    # EWS: the folder is listed anew; that it lasts is strange enough to be told.
    (ews("ErrorInvalidSyncStateData"), f"{X}.invalid_sync_state_data", R, MAILBOX, EWS, NOTHING, PROBED, OWNER),
    (ews("ErrorSyncFolderNotFound"), f"{X}.sync_folder_not_found", R, MAILBOX, EWS, NOTHING, PROBED, OWNER),
    (ews("ErrorFolderNotFound"), f"{X}.folder_not_found", R, MAILBOX, EWS, NOTHING, PROBED, OWNER),
    # EWS: what needs a person.
    *(
        (ews(code), f"{X}.{ours}", P, MAILBOX, EWS, PROBED, PROBED, OWNER)
        for code, ours in {
            "ErrorAccessDenied": "access_denied",
            "ErrorImpersonateUserDenied": "impersonate_user_denied",
            "ErrorImpersonationFailed": "impersonation_failed",
            "ErrorImpersonationDenied": "impersonation_denied",
            "ErrorNonExistentMailbox": "non_existent_mailbox",
            "ErrorMailboxConfiguration": "mailbox_configuration",
            "ErrorInvalidSmtpAddress": "invalid_smtp_address",
        }.items()
    ),
    # EWS: the account is refused, by another word than 401.
    *(
        (ews(code, own_account=own), f"{X}.{ours}", P, MAILBOX, EWS, effect, effect, who)
        for code, ours in {
            "ErrorAccountDisabled": "account_disabled",
            "ErrorPasswordExpired": "password_expired",
            "ErrorPasswordChangeRequired": "password_change_required",
        }.items()
        for own, effect, who in ((False, NOTHING, SERVER), (True, WARNS, OWNER))
    ),
    # POP3, by a real Dovecot.
    (pop3("wrong"), f"{V3}.login_refused", P, MAILBOX, OF_POP3, NOTHING, NOTHING, SERVER),
    (pop3("wrong", credentials=OF_MAILBOX), f"{V3}.login_refused", P, MAILBOX, OF_POP3, WARNS, WARNS, OWNER),
    (pop3(security=Security.STARTTLS), f"{V3}.certificate_refused", P, PROFILE, TLS, NOTHING, NOTHING, SERVER),
    (pop3(security=Security.TLS), f"{V3}.tls_failed", T, PROFILE, TLS, NOTHING, NOTHING, SERVER),
    # POP3, by a server that says what Dovecot doesn't.
    (pop3_saying({"": b"220 SMTP"}), f"{V3}.not_pop3", T, PROFILE, OF_POP3, NOTHING, NOTHING, SERVER),
    (pop3_saying({"CAPA": b"+OK\r\nTOP\r\n.", "UIDL": b"-ERR no"}), f"{V3}.no_uidl", P, PROFILE, OF_POP3, NOTHING, NOTHING, SERVER),
    (pop3_saying({"PASS": b"-ERR [IN-USE] locked"}), f"{V3}.mailbox_in_use", T, MAILBOX, OF_POP3, WARNS, PROBED, OWNER),
    (pop3_saying({"PASS": b"-ERR [LOGIN-DELAY] wait"}), f"{V3}.login_delay", TH, MAILBOX, OF_POP3, NOTHING, NOTHING, SERVER),
    (pop3_saying({"": b"-ERR [SYS/TEMP] later"}), f"{V3}.system_temporary", T, PROFILE, OF_POP3, NOTHING, NOTHING, SERVER),
    (pop3_saying({"PASS": b"-ERR [SYS/TEMP] later"}), f"{V3}.system_temporary", T, MAILBOX, OF_POP3, WARNS, PROBED, OWNER),
    (pop3_saying({"PASS": b"-ERR [SYS/PERM] gone"}), f"{V3}.system_permanent", P, MAILBOX, OF_POP3, PROBED, PROBED, OWNER),
    (pop3_saying({"LIST": b"-ERR no"}), f"{V3}.not_listed", T, MAILBOX, OF_POP3, WARNS, PROBED, OWNER),
    (pop3_saying({"UIDL": b"+OK\r\nnot numbers\r\n."}), f"{V3}.unreadable_answer", T, MAILBOX, OF_POP3, WARNS, PROBED, OWNER),
    (pop3_saying({"": SILENCE}), f"{V3}.timed_out", T, PROFILE, TCP, NOTHING, NOTHING, SERVER),
    (pop3_saying({"UIDL": CLOSE}), f"{V3}.connection_lost", T, PROFILE, TCP, NOTHING, NOTHING, SERVER),
    # IMAP, by a server that says anything.
    (imap_saying({"": b"220 SMTP"}), f"{V4}.not_imap", T, PROFILE, OF_IMAP, NOTHING, NOTHING, SERVER),
    (imap_saying({"": b"* PREAUTH x"}), f"{V4}.preauthenticated", P, PROFILE, OF_IMAP, NOTHING, NOTHING, SERVER),
    (imap_saying({"": b"* BYE x"}), f"{V4}.closed", T, PROFILE, OF_IMAP, NOTHING, NOTHING, SERVER),
    (imap_saying({".": b"<tag> NO x"}), f"{V4}.login_refused", P, MAILBOX, OF_IMAP, NOTHING, NOTHING, SERVER),
    (imap_saying({".": b"<tag> NO [EXPIRED] x"}), f"{V4}.password_expired", P, MAILBOX, OF_IMAP, NOTHING, NOTHING, SERVER),
    (imap_saying({".": b"<tag> NO [PRIVACYREQUIRED] x"}), f"{V4}.privacy_required", P, PROFILE, OF_IMAP, NOTHING, NOTHING, SERVER),
    (imap_saying({".": b"<tag> NO [UNAVAILABLE] x"}), f"{V4}.unavailable", T, PROFILE, OF_IMAP, NOTHING, NOTHING, SERVER),
    (imap_saying({".": b"<tag> NO [LIMIT] x"}), f"{V4}.limit_reached", TH, MAILBOX, OF_IMAP, NOTHING, NOTHING, SERVER),
    (imap_saying({"EXAMINE": b"<tag> NO x"}), f"{V4}.inbox_refused", T, MAILBOX, OF_IMAP, WARNS, PROBED, OWNER),
    (imap_saying({"EXAMINE": b"<tag> NO [INUSE] x"}), f"{V4}.mailbox_in_use", T, MAILBOX, OF_IMAP, WARNS, PROBED, OWNER),
    (imap_saying({"EXAMINE": b"<tag> NO [CONTACTADMIN] x"}), f"{V4}.contact_admin", P, MAILBOX, OF_IMAP, PROBED, PROBED, OWNER),
    (imap_saying({"EXAMINE": b"<tag> NO [NOPERM] x"}), f"{V4}.no_permission", P, MAILBOX, OF_IMAP, PROBED, PROBED, OWNER),
    (imap_saying({"EXAMINE": b"<tag> NO [OVERQUOTA] x"}), f"{V4}.over_quota", P, MAILBOX, OF_IMAP, PROBED, PROBED, OWNER),
    (imap_saying({"EXAMINE": b"<tag> OK x"}), f"{V4}.no_uids", P, PROFILE, OF_IMAP, NOTHING, NOTHING, SERVER),
    (imap_saying({"UID SEARCH": b"<tag> NO x"}), f"{V4}.not_listed", T, MAILBOX, OF_IMAP, WARNS, PROBED, OWNER),
    (imap_saying({"UID SEARCH": b"what?"}), f"{V4}.unreadable_answer", T, MAILBOX, OF_IMAP, WARNS, PROBED, OWNER),
    (imap_saying({"": SILENCE}), f"{V4}.timed_out", T, PROFILE, TCP, NOTHING, NOTHING, SERVER),
    (imap_saying({"UID SEARCH": CLOSE}), f"{V4}.connection_lost", T, PROFILE, TCP, NOTHING, NOTHING, SERVER),
]  # fmt: skip


@pytest.mark.parametrize(
    ("happens", "code", "nature", "scope", "said_by", "at_once", "at_last", "told"),
    [pytest.param(*row, id=f"{number} {row[1]}") for number, row in enumerate(TABLE)],
)
def test_what_a_fault_is_and_does_and_who_is_told(
    request, happens, code, nature, scope, said_by, at_once, at_last, told
):
    with happens(request) as settings:
        world = World(settings)
        fault = world.meet()
    assert fault is not None
    assert (fault.code, fault.nature, fault.scope, fault.provenance) == (
        *(code, nature, scope, said_by),
    )
    assert world.effect() == at_once
    for _ in range(9):
        world.record_again(fault)
    assert world.effect() == at_last
    assert world.audience() == told
    neighbour = Direction.objects.get(mailbox=world.neighbour, kind="incoming")
    assert neighbour.is_enabled


def test_a_refused_login_switches_off_for_good_once_the_neighbour_was_let_in(request):
    with exchange(password="wrong", own_account=True)(request) as settings:
        world = World(settings)
        fault = world.meet()
    world.record(world.claim(world.neighbour), Outcome(requests=1))
    world.record_again(fault)
    assert (world.effect(), world.audience()) == (OFF, OWNER)


def test_a_code_nobody_has_heard_of_may_pass():
    fault = fault_of_response_code("ErrorUnheardOf", "so it said", None)
    world = World({"password": "pw"})
    world.record_again(fault)
    assert (world.effect(), world.audience()) == (WARNS, OWNER)


# --- what concerns one message: the others come, and its mailbox is well --------------------------

GIVEN_UP, RETRYING = ItemFailure.State.GIVEN_UP, ItemFailure.State.RETRYING


@pytest.mark.parametrize(
    ("code", "ours", "state"),
    [
        ("ErrorMessageSizeExceeded", "message_size_exceeded", GIVEN_UP),
        ("ErrorCorruptData", "corrupt_data", GIVEN_UP),
        ("ErrorItemCorrupt", "item_corrupt", GIVEN_UP),
        ("ErrorContentConversionFailed", "content_conversion_failed", GIVEN_UP),
        ("ErrorMimeContentConversionFailed", "mime_content_conversion_failed", GIVEN_UP),
        ("ErrorMimeContentInvalid", "mime_content_invalid", GIVEN_UP),
        ("ErrorUnsupportedMimeConversion", "unsupported_mime_conversion", GIVEN_UP),
        ("ErrorAccessDenied", "access_denied", RETRYING),
        ("ErrorInternalServerError", "internal_server_error", RETRYING),
    ],
)
def test_a_fault_of_one_message_is_an_item_failure_and_nothing_else(request, code, ours, state):
    with exchange(operation="GetItem", kind="message", code=code, index=0)(request) as settings:
        world = World(settings)
        assert world.meet() is None
    failure = ItemFailure.objects.get()
    assert (failure.code, failure.state) == (f"exchange.{ours}", state)
    assert failure.code in catalogue.ENTRIES
    assert (world.effect(), world.audience()) == (WARNS, OWNER)


# --- outgoing: the fault is met by a test ---------------------------------------------------------

FAILS, AGAIN, LATER = "fails", "is tried again", "is postponed"


@pytest.mark.parametrize(
    ("replies", "code", "nature", "scope", "result", "told"),
    [
        ({"": b"554 no"}, "not_smtp", T, PROFILE, AGAIN, NOBODY),
        ({"": b"421 busy"}, "service_unavailable", TH, PROFILE, LATER, NOBODY),
        ({"EHLO": b"250 here"}, "no_authentication", P, PROFILE, FAILS, SERVER),
        ({"AUTH": b"535 no"}, "login_refused", P, MAILBOX, FAILS, SERVER),
        ({"AUTH": b"454 later"}, "authentication_unavailable", T, PROFILE, AGAIN, NOBODY),
        (
            {"MAIL": b"550 5.7.1 not yours"},
            *("sender_refused", P, MAILBOX, FAILS, {"mailbox's owner", "profile's owner"}),
        ),
        ({"MAIL": b"452 4.3.1 full"}, "quota_exceeded", T, MAILBOX, AGAIN, NOBODY),
        (
            {"RCPT": b"550 5.1.1 unknown"},
            *("recipients_refused", P, EMAIL, FAILS, {"mailbox's owner", "profile's owner"}),
        ),
        ({"RCPT": b"450 4.2.0 greylisted"}, "refused_for_now", T, EMAIL, AGAIN, NOBODY),
        ({"DATA": CLOSE}, "connection_lost", T, PROFILE, AGAIN, NOBODY),
    ],
)
def test_what_an_smtp_server_says_to_a_test(replies, code, nature, scope, result, told):
    with scripted(SMTP, replies) as running:
        world = World(
            {
                **POP3_SMTP, "location": "127.0.0.1", "outgoing_port": running.port,
                "outgoing_security": Security.NONE, "username": "ann", "timeout_seconds": 5,
            }
        )  # fmt: skip
        Mailbox.objects.filter(pk=world.box.pk).update(outgoing_method=2, incoming_method=0)
        directions.request_tests([world.box.pk], "tests")
        test = directions.claim_due_test(timedelta(minutes=5))
        box = Mailbox.objects.select_related("profile").get(pk=world.box.pk)
        ways = Ways(*[lambda: registry.outgoing(box, lambda: None)] * 3)
        fault = enablement.attempt(test, ways, box.email_address, "us", datetime.now(UTC))
    assert (fault.code, fault.nature, fault.scope) == (f"smtp.{code}", nature, scope)
    enablement.conclude(test, fault, Retries(3, timedelta(minutes=5)), box.profile_id)

    row = Direction.objects.get(mailbox=box, kind="outgoing")
    assert not row.is_enabled
    found = FAILS if row.test_due_at is None else AGAIN if row.test_attempts else LATER
    assert (found, world.audience()) == (result, told)
