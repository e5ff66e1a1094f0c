"""Years of history: what acts on few rows cost where tables hold many.

A line a size: a mailbox's messages, statistics of visits, alerts that are over, and messages that
failed, all of that size but the last, which are a twentieth. Milliseconds and statements of each
act, which should depend on what it shows or changes, not on what lies there.
"""

import argparse
import time

from bench.crowds import ROUNDS, Act, command, cost
from bench.environment import servers

#: Rows of what the biggest mailbox failed to store, of each row of the others.
FAILED_SHARE = 20

_FILL = """
INSERT INTO crm_user (username, email, is_staff, is_superuser, password, first_name, last_name,
                      is_active, date_joined)
SELECT 'u' || n, '', n = 1, n = 1, '', '', '', true, now() FROM generate_series(1, 100) AS n;
INSERT INTO mailboxes_mailbox (name, email_address, approval, is_forward, allow_credentials,
  username, password, incoming_method, outgoing_method, act_method, delete_after_processing,
  is_active, profile_id)
SELECT 'm' || n, 'm' || n || '@example.test', 1, false, false, '', '', 2, 0, 2, false, true,
  (SELECT min(id) FROM mailboxes_emailserverprofile) FROM generate_series(1, 100) AS n;
INSERT INTO mailboxes_mailboxmapping (mailbox_id, user_id, started_at)
SELECT n, n, now() FROM generate_series(1, 100) AS n;
INSERT INTO mailboxes_direction (mailbox_id, kind, is_enabled, disabled_code, disabled_text,
  is_probed, test_status, test_code, test_text, test_attempts, test_fence, overrides_stamp)
SELECT n, 'incoming', true, '', '', false, 0, '', '', 0, 0, false
FROM generate_series(1, 100) AS n;
INSERT INTO mailboxes_visitstatistics (mailbox_id, lane, fence, finished_at, seconds, requests,
  pages, stored, linked, failed, more_left, fault_code, rest, reason, machine)
SELECT 1 + n %% 100, 'incoming', n / 100, now() - interval '30 days' * n / %(rows)s, 1, 1, 1, 0, 0,
  0, false, '', interval '5 minutes', 'some mail', 'bench'
FROM generate_series(1, %(rows)s) AS n;
INSERT INTO alerts_alert (mailbox_id, owner_id, direction, code, severity, text, first_seen_at,
  last_seen_at, ended_at)
SELECT 1 + n %% 100, 1 + n %% 100, 'incoming', 'exchange.code_' || n %% 50, 2 + n %% 2, 'text',
  now(), now() - interval '60 days' * n / %(rows)s,
  CASE WHEN n > 1000 THEN now() - interval '60 days' * n / %(rows)s END
FROM generate_series(1, %(rows)s) AS n ON CONFLICT DO NOTHING;
INSERT INTO alerts_itemfailure (mailbox_id, item_id, subject, code, reason, state, size, attempts,
  first_seen_at, last_seen_at)
SELECT 1, 'item' || n, 'a subject', 'email.unreadable', 'reason', 'retrying', 1000, 1, now(),
  now() - n * interval '1 second'
FROM generate_series(1, %(failed)s) AS n;
INSERT INTO alerts_itemfailure (mailbox_id, item_id, subject, code, reason, state, size, attempts,
  first_seen_at, last_seen_at)
SELECT 2 + n %% 99, 'item' || n, 'a subject', 'email.unreadable', 'reason', 'resolved', 1000, 1,
  now(), now() - n * interval '1 second'
FROM generate_series(1, %(rows)s) AS n;
INSERT INTO crm_email (id, direction, status, identity, message_id, in_reply_to, "references",
  conversation_index, subject, text, html, received_at, repairs)
SELECT lpad(to_hex(n), 32, '0')::uuid, 0, 4, n, '', '', '{}', '', 'subject ' || n,
  repeat('a body of a message ', 20), '', now() - n * interval '1 minute', '{}'
FROM generate_series(1, %(rows)s) AS n;
INSERT INTO mailboxes_remoteitem (mailbox_id, item_id, email_id)
SELECT 1, 'item' || n, lpad(to_hex(n), 32, '0')::uuid FROM generate_series(1, %(rows)s) AS n;
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000])
    options = parser.parse_args()
    with servers():
        for rows in options.rows:
            _fill(rows)
            figures = [f"{name}={cost(act)}" for name, act in _acts().items()]
            print(
                f"history  rows={rows}  {'  '.join(figures)}  least_of={ROUNDS}  {_retention()}",
                flush=True,
            )


def _fill(rows: int) -> None:
    from django.db import connection

    from syncservice.mailboxes import schedule
    from syncservice.mailboxes.administration import save_profile
    from syncservice.mailboxes.models import Mailbox

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE mailboxes_mailbox, crm_email, crm_user RESTART IDENTITY CASCADE")
        save_profile(
            "bench",
            location="https://mail.example.test/EWS/Exchange.asmx",
            username="svc",
            password="bench",
        )
        cursor.execute(_FILL, {"rows": rows, "failed": rows // FAILED_SHARE})
        schedule.plan(Mailbox.objects.values_list("pk", flat=True))
        cursor.execute("VACUUM ANALYZE")


def _acts() -> dict[str, Act]:
    from django.contrib.auth.models import Permission
    from django.test import Client

    from syncservice.alerts import alerts, watch
    from syncservice.alerts.models import Severity
    from syncservice.crm.models import User
    from syncservice.domain.faults import Fault, Nature, Provenance, Scope
    from syncservice.mailboxes.models import Lane, Schedule
    from syncservice.mailboxes.schedule import Claim
    from syncservice.servers.gateway import NotFetched
    from syncservice.sync.inbox import Inbox
    from syncservice.sync.listing import to_retry
    from syncservice.sync.storing import store

    admin, reader = Client(SERVER_NAME="localhost"), Client(SERVER_NAME="localhost")
    admin.force_login(User.objects.get(username="u1"))
    User.objects.filter(username="u2").update(is_staff=True)
    user = User.objects.get(username="u2")
    user.user_permissions.set(Permission.objects.filter(codename="view_alert"))
    reader.force_login(user)

    def page(client: Client, address: str) -> None:
        assert client.get(address).status_code == 200

    Schedule.objects.filter(mailbox=1).update(claimed_at="2026-01-01T00:00Z")
    claim = Claim(1, Lane.INCOMING, Schedule.objects.get(mailbox=1).fence)
    inbox = Inbox(claim, 5)
    bad = Fault(
        code="email.test", nature=Nature.TRANSIENT, scope=Scope.EMAIL, provenance=Provenance.US,
        text="bad",
    )  # fmt: skip
    pages = {
        "page_mailboxes": (admin, "/"),
        "page_mailbox": (admin, "/mailboxes/1/"),
        "page_visits": (admin, "/admin/mailboxes/visitstatistics/"),
        "page_alerts": (admin, "/admin/alerts/alert/"),
        "page_own_alerts": (reader, "/admin/alerts/alert/"),
        "page_failures": (admin, "/admin/alerts/itemfailure/"),
    }
    return {
        "to_retry": (None, lambda: to_retry(inbox, 256)),
        "fail_50": (
            None,
            lambda: store(inbox, (NotFetched(f"item{n}", 1, bad, "") for n in range(1, 51))),
        ),
        "raise": (None, lambda: alerts.raise_for_mailbox(7, Severity.ERROR, "a.b")),
        "end": (None, lambda: alerts.end_for_mailbox(7, direction="incoming")),
        "watch": (None, watch.watch_profiles),
        "watch_online": (None, watch.warn_of_exchange_online),
        "end_outlived": (None, alerts.end_outlived),
        **{
            name: (None, lambda client=client, address=address: page(client, address))
            for name, (client, address) in pages.items()
        },
        "mailbox_list": (None, lambda: command("mailbox list")),
        "mailbox_explain": (None, lambda: command("mailbox explain m3@example.test")),
        "alerts": (None, lambda: command("alerts --ended --json")),
        "failures": (None, lambda: command("failures --json")),
    }


def _retention() -> str:
    """Delete what is too old: two thirds of the statistics, half of the alerts."""
    from syncservice.mailboxes.models import VisitStatistics
    from workers.async_operations import apply_retention

    before = VisitStatistics.objects.count()
    began = time.perf_counter()
    apply_retention()
    seconds = time.perf_counter() - began
    deleted = before - VisitStatistics.objects.count()
    return f"retention={seconds:.2f}s  visits_deleted={deleted}"


if __name__ == "__main__":
    main()
