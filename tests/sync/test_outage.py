"""An hour's outage for 200 mailboxes of one server, on a clock that the test moves.

The database's clock decides what is due, so time passes by moving the stored moments back. Claims,
visits, their outcomes, the watch over servers and the mail to the owner are the service's own; the
mail server is in memory, and aiosmtpd takes the owner's mail.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.core.mail import get_connection
from django.db import connection
from django.db.models import Count, Q

from syncservice.alerts import alert_mail, alerts, watch
from syncservice.alerts.models import Alert, Severity
from syncservice.crm.models import User
from syncservice.domain.faults import Fault, Nature, Patience, Provenance, Scope
from syncservice.domain.polling import Pace
from syncservice.mailboxes import schedule
from syncservice.mailboxes.models import (
    Direction,
    EmailServerProfile,
    Lane,
    Mailbox,
    Schedule,
    ServerHealth,
    VisitStatistics,
)
from syncservice.mailboxes.schedule import Claim, server_of
from syncservice.sync import outcome as outcomes
from syncservice.sync.inbox import Inbox
from syncservice.sync.visit import Budget, visit
from tests import factories
from tests.memory_gateway import MemoryIncoming, MemoryServer
from tests.servers.any_port import AnyPort

pytestmark = pytest.mark.django_db(transaction=True)  # in one, PostgreSQL could not tidy up

MAILBOXES = 200
TICK = timedelta(minutes=1)
WORKERS = 10
LEASE = timedelta(minutes=5)
BUDGET = Budget(
    duration=timedelta(minutes=1), messages=100, bytes=10**6, page_ids=10, batch_messages=10,
    batch_bytes=10**6, message_bytes=10**6,
)  # fmt: skip
OWNER = "postmaster@example.test"


def fault(code: str, scope: Scope, **more) -> Fault:
    return Fault(
        code=code, nature=Nature.TRANSIENT, scope=scope, provenance=Provenance.TCP,
        text="the server is out", **more,
    )  # fmt: skip


UNREACHABLE = fault("exchange.connection_refused", Scope.PROFILE)
EACH_STORE = fault("exchange.mailbox_store_unavailable", Scope.MAILBOX)
REFUSED = fault("exchange.http_401", Scope.MAILBOX, of_login=True)


class Post:
    """Takes every mail."""

    def __init__(self) -> None:
        self.letters: list[tuple[list[str], bytes]] = []

    async def handle_DATA(self, server, session, envelope) -> str:
        self.letters.append((envelope.rcpt_tos, envelope.content))
        return "250 taken"


@pytest.fixture
def post(settings):
    taken = Post()
    controller = AnyPort(taken, hostname="127.0.0.1", port=0)
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = controller.hostname, controller.port
    settings.ALERT_MAIL_URL = f"smtp://{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    assert get_connection().port == settings.EMAIL_PORT
    yield taken
    controller.stop()


@dataclass
class World:
    """Two servers with their mailboxes, and a clock."""

    hit: EmailServerProfile
    spared: EmailServerProfile
    servers: dict[int, MemoryServer] = field(default_factory=dict)  # by mailbox
    conversations: Counter = field(default_factory=Counter)  # of each mailbox
    columns: dict[str, list[str]] = field(default_factory=dict)  # moments, by table

    def live(self, duration: timedelta) -> None:
        for _ in range(duration // TICK):
            self._tick()
            self._pass_time()

    def _tick(self) -> None:
        while messages := schedule.claim_due(WORKERS, LEASE).messages:
            claims = [Claim(mailbox, Lane(lane), fence) for mailbox, lane, fence in messages]
            begun = [(claim, schedule.begin(claim, LEASE)) for claim in claims]
            for claim, start in begun:
                if start.wait is not None:
                    outcomes.postpone(claim, start.wait, start.wait_reason)
                    continue
                self.conversations[claim.mailbox_id] += 1
                gateway = MemoryIncoming(self.servers[claim.mailbox_id])
                outcome = visit(gateway, Inbox(claim, 5), BUDGET, lambda: 0.0)
                profile = EmailServerProfile.objects.get(pk=start.profile.pk)
                outcomes.record(
                    claim, outcome, server_of(profile, claim.lane), Pace(), "here", Patience()
                )
        watch.watch_profiles()
        for alert in alert_mail.unsent():
            alert_mail.send(alert)

    def _pass_time(self) -> None:
        with connection.cursor() as cursor:
            for table, columns in self.columns.items():
                moved = ", ".join(f"{column} = {column} - %(tick)s" for column in columns)
                cursor.execute(f"UPDATE {table} SET {moved}", {"tick": TICK})

    def fail(self, what: Fault | None) -> None:
        for mailbox in Mailbox.objects.filter(profile=self.hit):
            self.servers[mailbox.pk].fault = what

    def conversations_of(self, profile: EmailServerProfile) -> list[int]:
        return [self.conversations[box.pk] for box in Mailbox.objects.filter(profile=profile)]


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("postmaster", OWNER)


def world(owner: User, mailboxes: int = MAILBOXES, **fields) -> World:
    hit = factories.profile(owner=owner, send_alert_mail=True, **fields)
    spared = factories.profile(owner=owner, send_alert_mail=True)
    made = World(hit, spared)
    for profile, count in ((hit, mailboxes), (spared, 3)):
        for _ in range(count):
            own = {} if profile.login_is_shared else {"username": "own", "password": "own"}
            box = factories.mailbox(profile=profile, **own)
            made.servers[box.pk] = MemoryServer()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE data_type = 'timestamp with time zone' AND table_name = ANY(%s)",
            [[model._meta.db_table for model in (Schedule, ServerHealth, Direction, Alert)]],
        )
        for table, column in cursor.fetchall():
            made.columns.setdefault(table, []).append(column)
    made.live(timedelta(minutes=10))
    assert set(Schedule.objects.values_list("fault_code", flat=True)) == {""}
    return made


def directions_off(profile: EmailServerProfile) -> int:
    return Direction.objects.filter(
        mailbox__profile=profile, kind="incoming", is_enabled=False
    ).count()


def open_alerts(**of) -> set[tuple[str, Severity]]:
    rows = Alert.objects.filter(ended_at=None, **of).exclude(severity=Severity.INFORMATION)
    return {(code, Severity(severity)) for code, severity in rows.values_list("code", "severity")}


def all_is_well(profile: EmailServerProfile) -> bool:
    lanes = Schedule.objects.filter(profile=profile)
    ill = lanes.filter(Q(due_at=None) | ~Q(fault_code="") | Q(failures__gt=0))
    return not ill.exists() and directions_off(profile) == 0


def the_spared_noticed_nothing(world: World) -> bool:
    visits = VisitStatistics.objects.filter(mailbox__profile=world.spared)
    told = Alert.objects.filter(Q(profile=world.spared) | Q(mailbox__profile=world.spared))
    return (
        not visits.exclude(fault_code="").exists()
        and not told.exists()
        and min(world.conversations_of(world.spared)) >= 6  # 70 minutes, 12 apart at most
    )


def test_an_unreachable_server_switches_nobody_off_and_all_come_back(owner, post):
    here = world(owner)
    here.fail(UNREACHABLE)
    here.live(timedelta(minutes=5))
    unreachable = {
        level for code, level in open_alerts(profile=here.hit) if code == UNREACHABLE.code
    }
    assert unreachable == {Severity.WARNING}

    here.live(timedelta(minutes=55))
    # Ten attempts, and the same code is an error. The server was asked by few at a time.
    assert open_alerts(profile=here.hit) == {
        ("exchange.connection_refused", Severity.WARNING),
        ("exchange.connection_refused", Severity.ERROR),
        (alerts.MAILBOXES_FAILING, Severity.ERROR),
    }
    assert directions_off(here.hit) == 0
    assert not Alert.objects.filter(mailbox__profile=here.hit).exists()
    asked = VisitStatistics.objects.filter(mailbox__profile=here.hit).exclude(fault_code="")
    assert 10 <= asked.count() <= 13 * WORKERS
    assert the_spared_noticed_nothing(here)

    here.fail(None)
    here.live(timedelta(minutes=30))
    assert all_is_well(here.hit)
    assert open_alerts() == set()
    assert [recipients for recipients, _ in post.letters] == [[OWNER]]
    assert b"More than half of the mailboxes" in post.letters[0][1]


def test_each_mailbox_that_fails_on_its_own_escalates_and_heals_by_itself(owner, post):
    here = world(owner, 100)
    here.fail(EACH_STORE)
    here.live(timedelta(minutes=20))
    failing = Alert.objects.filter(mailbox__profile=here.hit, ended_at=None)
    assert set(failing.values_list("code", "severity")) == {
        ("exchange.mailbox_store_unavailable", Severity.WARNING)
    }
    assert failing.count() == 100  # a repeat counts, it is no new alert
    assert failing.filter(count__gt=1).exists()

    here.live(timedelta(minutes=40))
    assert directions_off(here.hit) == 100
    assert set(failing.values_list("code", "severity")) == {
        ("exchange.mailbox_store_unavailable", Severity.ERROR)
    }
    probed = Direction.objects.filter(mailbox__profile=here.hit, is_probed=True)
    assert probed.count() == 100
    assert the_spared_noticed_nothing(here)

    here.fail(None)
    here.live(timedelta(minutes=75))  # the longest between two looks is an hour
    assert all_is_well(here.hit)
    assert open_alerts() == set()
    recovered = Alert.objects.filter(code=alerts.RECOVERED, mailbox__profile=here.hit)
    assert recovered.count() == 100
    assert [recipients for recipients, _ in post.letters] == [[OWNER]]


@pytest.mark.parametrize(
    ("fields", "most_attempts_an_account"),
    [
        pytest.param({}, 12, id="one account for all"),
        pytest.param(
            {"credentials": EmailServerProfile.Credentials.MAILBOX, "use_impersonation": False},
            5,
            id="an account of each mailbox",
        ),
    ],
)
def test_a_server_that_refuses_every_login_locks_no_account_and_switches_nobody_off(
    owner, post, fields, most_attempts_an_account
):
    here = world(owner, 60, **fields)
    before = Counter(here.conversations)
    here.fail(REFUSED)
    here.live(timedelta(minutes=60))
    refused = VisitStatistics.objects.filter(fault_code="exchange.http_401")
    counted = refused.values("mailbox").annotate(attempts=Count("pk"))
    of_each = counted.values_list("attempts", flat=True)
    attempts = refused.count() if here.hit.login_is_shared else max(of_each)
    print(f"{attempts} attempts at most with an account, {refused.count()} of all mailboxes")
    assert attempts <= most_attempts_an_account
    assert sum((here.conversations - before).values()) >= refused.count()
    assert directions_off(here.hit) == 0
    assert (alerts.LOGIN_REFUSED, Severity.ERROR) in open_alerts(profile=here.hit)
    assert the_spared_noticed_nothing(here)

    here.fail(None)
    here.live(timedelta(minutes=75))
    assert all_is_well(here.hit)
    assert open_alerts() == set()
    assert [recipients for recipients, _ in post.letters] == [[OWNER]]
