"""Many mailboxes on one server, many servers: what each act costs, in milliseconds and statements.

A line a crowd; the sizes of one kind stand below each other, so that what grows shows. Acts on all
mailboxes may grow with them, in time; their statements, and acts on one mailbox, should not.
"""

import argparse
import io
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import timedelta

import psutil

from bench.environment import servers

LEASE = timedelta(minutes=5)
#: Repeated, and the quickest counts: what disturbs only ever adds.
ROUNDS = 3
#: What is done untimed before each round (None: nothing), and what is measured.
Act = tuple[Callable[[], object] | None, Callable[[], object]]

# Copies of the first of each, with names of their own, so the bench needs to know few columns.
_FILL = """
INSERT INTO mailboxes_emailserverprofile
SELECT copy.* FROM mailboxes_emailserverprofile AS first, generate_series(1, %(profiles)s - 1) AS n,
  jsonb_populate_record(first, jsonb_build_object('id', first.id + n, 'name', 'p' || n)) AS copy;
INSERT INTO crm_user
SELECT copy.* FROM crm_user AS first, generate_series(1, %(mailboxes)s - 1) AS n,
  jsonb_populate_record(first, jsonb_build_object('id', first.id + n, 'username', 'm' || n,
    'email', 'm' || n || '@example.test')) AS copy WHERE first.username = 'm0';
INSERT INTO mailboxes_mailbox
SELECT copy.* FROM mailboxes_mailbox AS first, generate_series(1, %(mailboxes)s - 1) AS n,
  jsonb_populate_record(first, jsonb_build_object('id', first.id + n, 'name', 'm' || n,
    'email_address', 'm' || n || '@example.test',
    'profile_id', first.profile_id + n %% %(profiles)s)) AS copy;
INSERT INTO mailboxes_mailboxmapping (mailbox_id, user_id, started_at)
SELECT mailbox.id, crm_user.id, now() FROM mailboxes_mailbox AS mailbox
JOIN crm_user ON crm_user.username = mailbox.name WHERE mailbox.name <> 'm0';
INSERT INTO mailboxes_direction
SELECT copy.* FROM mailboxes_direction AS first
JOIN mailboxes_mailbox AS mailbox ON mailbox.id <> first.mailbox_id,
  jsonb_populate_record(first, jsonb_build_object('mailbox_id', mailbox.id,
    'id', first.id + 3 * (mailbox.id - first.mailbox_id))) AS copy;
SELECT setval(pg_get_serial_sequence('mailboxes_direction', 'id'), max(id))
FROM mailboxes_direction;
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on-one", type=int, nargs="*", default=[200, 2_000])
    parser.add_argument("--profiles", type=int, nargs="*", default=[20, 200], help="of 20 each")
    options = parser.parse_args()
    with servers():
        for mailboxes in options.on_one:
            _measure(1, mailboxes)
        for profiles in options.profiles:
            _measure(profiles, 20 * profiles)


def _measure(profiles: int, mailboxes: int) -> None:
    _fill(profiles, mailboxes)
    process = psutil.Process()
    before = process.memory_info().rss
    figures = [f"{name}={cost(act)}" for name, act in _acts().items()]
    grown = (process.memory_info().rss - before) / 2**20
    print(
        f"crowd  profiles={profiles}  mailboxes={mailboxes}  {'  '.join(figures)}  "
        f"memory_grows={grown:.0f}MB  least_of={ROUNDS}",
        flush=True,
    )


def _fill(profiles: int, mailboxes: int) -> None:
    from django.db import connection

    from syncservice.crm.models import User
    from syncservice.mailboxes import schedule
    from syncservice.mailboxes.administration import add_mailbox, save_profile
    from syncservice.mailboxes.models import Mailbox

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE mailboxes_mailbox, mailboxes_emailserverprofile, crm_user RESTART IDENTITY "
            "CASCADE"
        )
        profile = save_profile(
            "p0",
            location="https://mail.example.test/EWS/Exchange.asmx",
            username="svc",
            password="bench",
            use_impersonation=True,
            maximum_concurrent_connections=100,
        )
        user = User.objects.create_user("m0", "m0@example.test", is_staff=True, is_superuser=True)
        add_mailbox("m0@example.test", profile, user=user)
        cursor.execute(_FILL, {"profiles": profiles, "mailboxes": mailboxes})
        schedule.plan(Mailbox.objects.values_list("pk", flat=True))
        cursor.execute("ANALYZE")


def _acts() -> dict[str, Act]:
    """Give what is measured, by name."""
    from django.db.models.functions import Now
    from django.test import Client

    from syncservice.alerts import watch
    from syncservice.crm.models import User
    from syncservice.domain.faults import Fault, Nature, Provenance, Scope
    from syncservice.mailboxes import schedule
    from syncservice.mailboxes.administration import save_profile
    from syncservice.mailboxes.models import Direction, Lane, Mailbox, Schedule, ServerHealth
    from syncservice.mailboxes.schedule import Claim
    from syncservice.sync import outcome
    from syncservice.sync.visit import Outcome
    from workers.mailboxes import PATIENCE, _pace

    lost = Fault(
        code="exchange.connection_refused", nature=Nature.TRANSIENT, scope=Scope.PROFILE,
        provenance=Provenance.TCP, text="refused",
    )  # fmt: skip
    claims: list[Claim] = []
    begun: list[tuple[Claim, object]] = []
    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.get(username="m0"))

    def free() -> None:
        Schedule.objects.update(due_at=Now(), claimed_at=None, started_at=None)
        ServerHealth.objects.update(not_before=Now(), failures=0, attempts=0)

    def claim() -> None:
        found = schedule.claim_due(1000, LEASE, share=50).messages
        claims.extend(Claim(box, Lane(lane), fence) for box, lane, fence in found)

    def begin() -> None:
        claims[-1], one = claims[0], claims.pop()
        begun.append((one, schedule.begin(one, LEASE).health))

    def record(fault: Fault | None) -> None:
        one, server = begun.pop()
        done = Outcome(requests=1, fault=fault)
        outcome.record(one, done, server, _pace(server.profile), "bench", PATIENCE)

    def claimed() -> None:
        free()
        claims.clear()
        claim()
        claims.append(claims[0])

    def visiting() -> None:
        claimed()
        begin()

    def page(address: str) -> None:
        assert client.get(address).status_code == 200

    def failing() -> None:
        free()
        ServerHealth.objects.update(failures=1)

    def switched_on() -> None:
        Direction.objects.filter(kind=Direction.Kind.INCOMING).update(is_enabled=True)

    def switched_off() -> None:
        Direction.objects.update(is_enabled=False)

    def approved() -> None:
        Mailbox.objects.update(approval=Mailbox.Approval.APPROVED)

    return {
        "claim": (free, claim),
        "begin": (claimed, begin),
        "record": (visiting, lambda: record(None)),
        "server_fault": (visiting, lambda: record(lost)),
        "watch": (free, watch.watch_profiles),
        "watch_outage": (failing, watch.watch_profiles),
        "watch_online": (None, watch.warn_of_exchange_online),
        "page_mailboxes": (None, lambda: page("/")),
        "page_admin": (None, lambda: page("/admin/mailboxes/mailbox/")),
        "page_form": (None, lambda: page("/admin/mailboxes/mailbox/1/change/")),
        "save_profile": (None, lambda: save_profile("p0", timeout_seconds=50)),
        **{
            words.replace(" --", "_").replace(" ", "_"): (
                prepare,
                lambda words=words: command(words),
            )
            for words, prepare in {
                "mailbox list": None,
                "profile list": None,
                "alerts": None,
                "mailbox show m1@example.test": None,
                "mailbox disable --all": switched_on,
                "mailbox enable --all": switched_off,
                "mailbox test --all": None,
                "mailbox reject --all": approved,
                "mailbox sync-now --all": free,
            }.items()
        },
    }


def command(words: str) -> None:
    from syncservice.cli import cli

    with redirect_stdout(io.StringIO()):
        cli.main(words.split(), standalone_mode=False)


def cost(act: Act) -> str:
    """Give the milliseconds of the quickest round, and the statements of the last."""
    from django.db import connection

    prepare, work = act
    seconds, statements = [], 0

    def count(execute, *arguments):
        nonlocal statements
        statements += 1
        return execute(*arguments)

    for _ in range(ROUNDS):
        if prepare:
            prepare()
        statements = 0
        with connection.execute_wrapper(count):
            began = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - began)
    return f"{1000 * min(seconds):.1f}ms/{statements}"


if __name__ == "__main__":
    main()
