"""Test & Enable on real conversations: a simulated Exchange, a real SMTP server, scripted POP3.

`run` is what a worker does when it finds tests that are due.
"""

import socket
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert, Severity
from syncservice.crm.models import User
from syncservice.domain.faults import FaultError, Nature, Scope
from syncservice.mailboxes import administration, connection_tests, directions
from syncservice.mailboxes.models import (
    ConnectionTest,
    Direction,
    Discovery,
    EmailServerProfile,
    Mailbox,
    Organisation,
    Schedule,
)
from syncservice.servers import registry
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.discovery import detect
from syncservice.servers.gateway import Stamp
from syncservice.simulator.exchange import ExchangeSimulator
from syncservice.simulator.exchange import Fault as Disturbance
from syncservice.sync import enablement
from syncservice.sync.enablement import Retries
from tests import factories
from tests.memory_gateway import RECEIVED, fault
from tests.servers.certificates import certificate
from tests.servers.scripted_server import IMAP, POP3, scripted
from tests.servers.test_smtp import post
from tests.simulator.answers import checked_simulator
from workers.async_operations import run_due_tests

#: A task closes connections that are within a transaction, so there is none around these tests.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_client")]

INCOMING, OUTGOING, ACT = Direction.Kind
NOT_RUN, SUCCESS, FAILURE = Direction.Test
EVERYTHING = {"outgoing_method": 2, "act_method": 1}
ANN, BOB = "ann@example.test", "bob@example.test"
PASSWORD = "s3cret-word"
STRANGER = "5f0c7a3e-0000-4000-8000-000000000000"


@pytest.fixture
def simulator():
    with checked_simulator({ANN: PASSWORD, BOB: PASSWORD}, {"svc": PASSWORD}) as running:
        yield running


@pytest.fixture
def profile(simulator: ExchangeSimulator) -> EmailServerProfile:
    return factories.profile(location=simulator.ews_url, username="svc", password=PASSWORD)


@pytest.fixture
def ann(profile: EmailServerProfile) -> Mailbox:
    """A mailbox that wants everything and has nothing switched on."""
    return factories.mailbox(email_address=ANN, profile=profile, enabled=False, **EVERYTHING)


def ask(*boxes: Mailbox, **more: bool) -> None:
    directions.request_tests([box.pk for box in boxes], "anna", **more)


def run() -> None:
    """Do what a worker does, as if every postponed test's time had come."""
    Direction.objects.filter(test_due_at__gt=Now()).update(test_due_at=Now())
    run_due_tests()


def results(box: Mailbox) -> dict[str, tuple[int, bool]]:
    """Return of each direction what its test found, and whether it is switched on."""
    rows = box.directions.values_list("kind", "test_status", "is_enabled")
    return {kind: (status, enabled) for kind, status, enabled in rows}


def direction(box: Mailbox, kind: Direction.Kind) -> Direction:
    rows = Direction.objects.annotate(left=F("test_due_at") - Now())
    return rows.get(mailbox=box, kind=kind)


def open_alerts(box: Mailbox) -> list[tuple[str, str, int]]:
    told = Alert.objects.filter(mailbox=box, ended_at=None).order_by("code", "direction")
    return list(told.values_list("code", "direction", "severity"))


def stamp(box: Mailbox, organisation: str) -> None:
    with registry.activities(box, lambda: None) as gateway:
        gateway.put_stamp(Stamp(organisation, RECEIVED))


def stamped(box: Mailbox) -> str | None:
    with registry.activities(box, lambda: None) as gateway:
        found = gateway.stamp()
        return found.organisation if found else None


def test_each_direction_is_tested_and_enabled(ann, simulator):
    ask(ann)
    run_due_tests()
    on = (SUCCESS, True)
    assert results(ann) == {INCOMING: on, OUTGOING: on, ACT: on}
    assert Schedule.objects.get(mailbox=ann, lane="incoming").due_at is not None
    (letter,) = simulator.control.items(ANN, "inbox")
    assert letter.subject == "Your mailbox is now connected to the CRM"
    assert stamped(ann) == str(Organisation.current().identity)
    assert open_alerts(ann) == [
        (alerts.ENABLED, kind, Severity.INFORMATION) for kind in sorted(Direction.Kind)
    ]


def test_a_direction_that_fails_keeps_no_other_from_working(ann, simulator):
    for operation in ("CreateItem", "SendItem"):
        simulator.control.add_fault(
            Disturbance(kind="message", operation=operation, code="ErrorSendAsDenied")
        )
    ask(ann)
    for _ in range(5):
        run()
    assert results(ann) == {
        INCOMING: (SUCCESS, True), OUTGOING: (FAILURE, False), ACT: (SUCCESS, True)
    }  # fmt: skip
    assert (enablement.FAILED, OUTGOING, Severity.ERROR) in open_alerts(ann)
    assert simulator.control.items(ANN, "inbox") == []


def test_a_success_ends_what_was_told_before(ann):
    alerts.raise_for_mailbox(ann.pk, Severity.ERROR, enablement.FAILED, direction=INCOMING)
    ask(ann)
    run_due_tests()
    assert (enablement.FAILED, INCOMING, Severity.ERROR) not in open_alerts(ann)


def test_another_organisations_mailbox_is_a_question_and_stays_its_own(ann):
    stamp(ann, STRANGER)
    ask(ann)
    run_due_tests()
    assert results(ann)[ACT] == (FAILURE, False)
    assert results(ann)[INCOMING] == (SUCCESS, True)
    (question,) = Alert.objects.filter(is_question=True)
    assert (question.code, question.owner.email) == (alerts.OTHER_ORGANISATION, ANN)
    assert RECEIVED.strftime("%Y-%m-%d %H:%M") in question.text
    assert stamped(ann) == STRANGER


def test_answered_yes_the_next_test_takes_the_mailbox_over(ann):
    stamp(ann, STRANGER)
    ask(ann)
    run_due_tests()
    alerts.answer(Alert.objects.get(is_question=True).pk, yes=True, actor="ann")
    run_due_tests()
    assert results(ann)[ACT] == (SUCCESS, True)
    assert stamped(ann) == str(Organisation.current().identity)
    assert not Alert.objects.filter(code=alerts.OTHER_ORGANISATION, ended_at=None).exists()
    assert Alert.objects.get(is_question=True).answered_by == "ann"


def test_answered_no_nothing_is_taken_over_and_the_question_is_gone(ann):
    stamp(ann, STRANGER)
    ask(ann)
    run_due_tests()
    question = Alert.objects.get(is_question=True).pk
    alerts.answer(question, yes=False, actor="ann")
    run()
    assert results(ann)[ACT] == (FAILURE, False)
    assert stamped(ann) == STRANGER
    with pytest.raises(alerts.NoQuestion):
        alerts.answer(question, yes=True, actor="ann")


def test_our_own_stamp_is_no_question(ann):
    for _ in range(2):
        ask(ann)
        run_due_tests()
        assert results(ann)[ACT] == (SUCCESS, True)
    assert not Alert.objects.filter(is_question=True).exists()


@pytest.mark.parametrize(
    ("server_type", "replies"),
    [
        (EmailServerProfile.ServerType.POP3_SMTP, POP3),
        (EmailServerProfile.ServerType.IMAP_SMTP, IMAP),
    ],
)
def test_email_is_tested_over_pop3_or_imap_and_smtp(tmp_path, server_type, replies):
    with scripted(replies) as reading, post(tmp_path) as (sent, smtp):
        profile = pop3_smtp(reading.port, smtp.port, server_type=server_type)
        box = factories.mailbox(
            email_address=ANN, profile=profile, enabled=False, outgoing_method=2
        )
        ask(box)
        run_due_tests()
    on, off = (SUCCESS, True), (NOT_RUN, False)
    assert results(box) == {INCOMING: on, OUTGOING: on, ACT: off}
    (envelope,) = sent.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == (ANN, [ANN])
    assert b"Your mailbox is now connected" in envelope.content


def pop3_smtp(pop3: int, smtp: int, **fields) -> EmailServerProfile:
    """A profile of two servers on this machine; `post` knows ann with s3cret."""
    return factories.profile(
        **{
            "server_type": EmailServerProfile.ServerType.POP3_SMTP,
            "use_impersonation": False,
            "location": "127.0.0.1",
            "port": pop3,
            "security": EmailServerProfile.Security.NONE,
            "outgoing_location": "127.0.0.1",
            "outgoing_port": smtp,
            "verify_tls": False,
            "username": "ann",
            "password": "s3cret",
            **fields,
        }
    )


def test_one_mailboxs_own_account_for_sending_fails_nobody_elses_tests(tmp_path):
    """Reading is by one account for all, sending by each mailbox's own: one of these is wrong."""
    own = {"outgoing_method": 2, "allow_credentials": True, "username": "ann"}
    with scripted(POP3) as pop3, post(tmp_path) as (_, smtp):
        profile = pop3_smtp(
            pop3.port, smtp.port, same_settings_for_outgoing=False, outgoing_credentials=0
        )
        wrong = factories.mailbox(profile=profile, enabled=False, **own, password="wrong")
        right = factories.mailbox(profile=profile, enabled=False, **own, password="s3cret")
        for box in (wrong, right):
            ask(box)
        Direction.objects.filter(mailbox=wrong, kind=OUTGOING).update(
            test_due_at=Now() - timedelta(hours=1)  # it is tried first
        )
        run_due_tests()
    on = (SUCCESS, True)
    assert results(wrong) == {INCOMING: on, OUTGOING: (FAILURE, False), ACT: (NOT_RUN, False)}
    assert results(right) == {INCOMING: on, OUTGOING: on, ACT: (NOT_RUN, False)}
    assert not Alert.objects.filter(profile=profile, ended_at=None).exists()


def test_a_sending_account_that_all_share_fails_what_it_sends_and_not_what_is_read(tmp_path):
    with scripted(POP3) as pop3, post(tmp_path) as (_, smtp):
        profile = pop3_smtp(
            pop3.port, smtp.port, same_settings_for_outgoing=False,
            outgoing_username="ann", outgoing_password="wrong",
        )  # fmt: skip
        boxes = [factories.mailbox(profile=profile, enabled=False) for _ in range(3)]
        ask(*boxes)
        Direction.objects.filter(kind=OUTGOING).exclude(test_due_at=None).update(
            test_due_at=Now() - timedelta(hours=1)
        )
        run_due_tests()
    for box in boxes:
        assert results(box)[OUTGOING] == (FAILURE, False)
        assert results(box)[INCOMING] == (SUCCESS, True)


def test_a_shared_account_that_is_refused_is_tried_once_for_all(simulator):
    profile = factories.profile(location=simulator.ews_url, username="svc", password="wrong")
    boxes = [factories.mailbox(profile=profile, enabled=False, **EVERYTHING) for _ in range(4)]
    ask(*boxes)
    run_due_tests()
    assert simulator.control.statistics().authentication_failures <= 2  # one conversation
    for box in boxes:
        assert set(results(box).values()) == {(FAILURE, False)}
    told = Alert.objects.get(profile=profile, ended_at=None)
    assert told.code == alerts.LOGIN_REFUSED
    assert Alert.objects.filter(code=enablement.FAILED).count() == 1


def test_a_mailbox_without_address_or_profile_or_account_is_told_what_to_do(profile):
    nowhere = factories.mailbox(profile=profile, enabled=False)
    Mailbox.objects.filter(pk=nowhere.pk).update(profile=None)
    nameless = factories.mailbox(profile=profile, enabled=False)
    Mailbox.objects.filter(pk=nameless.pk).update(email_address="")
    each = factories.profile(credentials=0, username="", password="", use_impersonation=False)
    keyless = factories.mailbox(profile=each, enabled=False)
    ask(nowhere, nameless, keyless)
    run_due_tests()
    codes = [direction(box, INCOMING).test_code for box in (nowhere, nameless, keyless)]
    assert codes == ["mailbox.no_profile", "mailbox.no_address", "mailbox.no_credentials"]


def test_activities_of_a_profile_that_became_pop3_fail_in_words(profile, ann):
    """The profile was changed beneath its mailboxes."""
    EmailServerProfile.objects.filter(pk=profile.pk).update(server_type=1, location="127.0.0.1")
    Mailbox.objects.filter(pk=ann.pk).update(incoming_method=0, outgoing_method=0)
    ask(ann)
    run_due_tests()
    assert results(ann)[ACT] == (FAILURE, False)
    assert "POP3" in direction(ann, ACT).test_text


# What comes of an attempt, fault by fault.

RETRIES = Retries(3, timedelta(minutes=1))
T, TH, P, LIMITED = Nature.TRANSIENT, Nature.THROTTLED, Nature.PERMANENT, Nature.LIMITED


def attempts(box: Mailbox, fault_met, number: int) -> Direction:
    """Let `number` attempts at a mailbox's first test meet a fault; return where that leaves it."""
    ask(box)
    for _ in range(number):
        Direction.objects.filter(mailbox=box, test_due_at__gt=Now()).update(test_due_at=Now())
        test = directions.claim_due_test(timedelta(minutes=5))
        if test is None:
            break
        enablement.conclude(test, fault_met, RETRIES, box.profile_id)
    return direction(box, INCOMING)


def reader(**fields) -> Mailbox:
    return factories.mailbox(enabled=False, outgoing_method=0, **fields)


def is_close(found: timedelta, wanted: timedelta) -> bool:
    return timedelta(0) <= wanted - found < timedelta(seconds=5)


@pytest.mark.parametrize("number", [1, 2])
def test_a_passing_trouble_is_tried_again_later(number):
    row = attempts(reader(), fault(T), number)
    assert (row.test_status, row.test_attempts) == (NOT_RUN, number)
    assert is_close(row.left, RETRIES.wait)


def test_a_trouble_that_does_not_pass_fails_after_the_last_attempt():
    row = attempts(reader(), fault(T), 3)
    assert (row.test_status, row.test_due_at, row.test_code) == (FAILURE, None, "test.fault")


def test_what_needs_a_person_fails_at_once():
    row = attempts(reader(), fault(P), 1)
    assert (row.test_status, row.test_due_at) == (FAILURE, None)


@pytest.mark.parametrize("nature", [TH, LIMITED])
@pytest.mark.parametrize("hint", [timedelta(minutes=7), None])
def test_a_server_that_asks_for_a_pause_gets_it_and_no_attempt_is_counted(nature, hint):
    row = attempts(reader(), fault(nature, retry_after=hint), 9)
    assert (row.test_status, row.test_attempts) == (NOT_RUN, 0)
    assert is_close(row.left, hint or RETRIES.wait)


def test_a_server_in_trouble_holds_the_tests_of_all_its_mailboxes():
    box = reader()
    neighbour, stranger = reader(profile=box.profile), reader()
    ask(neighbour, stranger)
    Direction.objects.filter(mailbox=neighbour).exclude(test_due_at=None).update(
        test_due_at=Now() + timedelta(seconds=1)
    )
    Direction.objects.filter(mailbox=stranger).exclude(test_due_at=None).update(
        test_due_at=Now() + timedelta(seconds=1)
    )
    attempts(box, fault(T, Scope.PROFILE), 1)
    assert is_close(direction(neighbour, INCOMING).left, RETRIES.wait)
    assert direction(stranger, INCOMING).left < timedelta(seconds=2)


@pytest.mark.parametrize(
    ("met", "shared", "all_fail"),
    [
        (fault(P, Scope.PROFILE), False, True),
        (fault(P, of_login=True), True, True),
        (fault(P, of_login=True), False, False),
        (fault(P), True, False),
    ],
    ids=["the server's", "everybody's login", "one mailbox's login", "one mailbox's"],
)
def test_a_fault_fails_the_tests_of_those_it_concerns(met, shared, all_fail):
    credentials = {} if shared else {"credentials": 0, "use_impersonation": False}
    box = reader(profile=factories.profile(**credentials))
    neighbour = reader(profile=box.profile)
    ask(neighbour)
    Direction.objects.filter(mailbox=neighbour).exclude(test_due_at=None).update(
        test_due_at=Now() + timedelta(hours=1)
    )
    attempts(box, met, 1)
    row = direction(neighbour, INCOMING)
    assert row.test_status == (FAILURE if all_fail else NOT_RUN)
    assert Alert.objects.filter(profile=box.profile, ended_at=None).exists() is all_fail


def test_the_profiles_owner_sees_that_a_test_failed():
    owner, other = (User.objects.create(username=name) for name in ("olga", "otto"))
    box = reader(profile=factories.profile(owner=owner))
    attempts(box, fault(P), 1)
    failed = Alert.objects.filter(code=enablement.FAILED)
    people = (administration.owner_of(box), owner, other)
    assert [failed.filter(alerts.visible_to(one)).count() for one in people] == [1, 1, 0]


# The test of a profile's connection, and discovery.


def connection_test(profile: EmailServerProfile) -> ConnectionTest:
    connection_tests.request(profile.pk)
    run_due_tests()
    return ConnectionTest.objects.get(profile=profile)


@pytest.mark.parametrize("password", [PASSWORD, "wr0ng-word"])
def test_what_was_said_is_kept_without_the_login(simulator, password):
    profile = factories.profile(location=simulator.ews_url, username="svc", password=password)
    factories.mailbox(email_address=ANN, profile=profile)
    found = connection_test(profile)
    is_right = password == PASSWORD
    assert (found.status == ConnectionTest.Status.SUCCESS) is is_right
    assert "GetFolder" in found.request
    assert found.response.startswith("HTTP 200" if is_right else "HTTP 401")
    assert found.tested_at is not None
    kept = found.request + found.response + found.text
    assert password not in kept
    assert "Authorization" not in kept
    assert "Basic " not in found.request


def test_a_profile_nobody_uses_is_a_warning():
    found = connection_test(factories.profile())
    assert found.status == ConnectionTest.Status.WARNING
    assert "no mailbox uses this profile" in found.text


def test_a_connection_that_fails_says_why():
    profile = factories.profile()  # nothing listens there
    factories.mailbox(profile=profile)
    found = connection_test(profile)
    assert (found.status, found.due_at) == (ConnectionTest.Status.FAILURE, None)
    assert found.code
    assert "nothing listens" in found.text


def test_the_connection_of_pop3_is_tested_by_a_listing():
    with scripted(POP3) as pop3:
        profile = pop3_smtp(pop3.port, 9)
        factories.mailbox(email_address=ANN, profile=profile)
        assert connection_test(profile).status == ConnectionTest.Status.SUCCESS
    assert "UIDL" in pop3.commands


def test_the_connection_of_imap_is_tested_by_a_listing():
    with scripted(IMAP) as imap:
        profile = pop3_smtp(imap.port, 9, server_type=EmailServerProfile.ServerType.IMAP_SMTP)
        factories.mailbox(email_address=ANN, profile=profile)
        assert connection_test(profile).status == ConnectionTest.Status.SUCCESS
    assert "UID SEARCH UID 1:*" in imap.commands


def test_a_server_tells_how_it_wants_to_be_logged_in_to(simulator):
    found = detect(ExchangeServer(simulator.ews_url, "svc", PASSWORD, "", True))
    assert (found.endpoint, found.auth_type) == (simulator.ews_url, "basic")
    assert found.version.startswith("15.")


def test_a_server_that_is_asked_how_shows_its_certificate_first(tmp_path):
    with ExchangeSimulator({}, {"svc": PASSWORD}, tls_cert=certificate(tmp_path / "own")) as secure:
        server = ExchangeServer(secure.ews_url, "svc", PASSWORD, "", True)
        with pytest.raises(FaultError) as caught:
            detect(server)
        assert caught.value.fault.code == "exchange.certificate_refused"
        assert detect(replace(server, verify_tls=False)).auth_type == "basic"


def test_a_server_that_is_asked_how_and_says_nothing_ends_in_time():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/EWS/Exchange.asmx"
        with pytest.raises(FaultError) as caught:
            detect(ExchangeServer(url, "svc", PASSWORD, "", True, timeout_seconds=1))
    assert caught.value.fault.code == "exchange.timed_out"


def test_a_profile_that_detects_asks_once_and_remembers(simulator, ann, profile):
    EmailServerProfile.objects.filter(pk=profile.pk).update(authentication=0)
    ask(ann)
    run_due_tests()
    assert set(results(ann).values()) == {(SUCCESS, True)}
    found = Discovery.objects.get(profile=profile)
    basic = EmailServerProfile.Authentication.BASIC
    assert (found.endpoint, found.authentication) == (simulator.ews_url, basic)
    ask(ann)
    run_due_tests()
    assert Discovery.objects.get(profile=profile).found_at == found.found_at


def test_the_connection_test_detects_anew(simulator, ann, profile):
    EmailServerProfile.objects.filter(pk=profile.pk).update(authentication=0)
    stale = Discovery.objects.create(
        profile=profile, endpoint="https://gone.invalid/", authentication=2, version="15.0.1.1"
    )
    assert connection_test(profile).status == ConnectionTest.Status.SUCCESS
    found = Discovery.objects.get(profile=profile)
    assert found.endpoint == simulator.ews_url
    assert found.found_at > stale.found_at


def test_a_domain_without_autodiscover_is_one_sentence_with_the_remedy():
    profile = factories.profile(location="", use_autodiscover=True)
    box = factories.mailbox(email_address="ann@nowhere.invalid", profile=profile, enabled=False)
    with pytest.raises(FaultError) as caught:
        registry.discover_anew(box)
    assert caught.value.fault.code == "profile.autodiscover_failed"
    assert caught.value.fault.scope is Scope.PROFILE
    assert "enter the server location" in caught.value.fault.text
    found = connection_test(profile)
    assert (found.status, found.code) == (
        ConnectionTest.Status.FAILURE, "profile.autodiscover_failed"
    )  # fmt: skip
    assert not Discovery.objects.exists()
