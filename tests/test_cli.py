"""The command line: bad input gets one clear sentence and an exit status, never a traceback."""

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.db.models.functions import Now

from syncservice.alerts import alerts
from syncservice.mailboxes.models import (
    EmailServerProfile,
    Mailbox,
    Schedule,
    ServerHealth,
    VisitStatistics,
)
from tests import factories
from tests.servers.certificates import certificate
from tests.simulator.answers import checked_simulator

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def run(transactional_db, redis_client):
    """Run `syncservice …` on this test's database."""
    url = urlsplit(os.environ["DATABASE_URL"])
    ours = url._replace(path=f"/{connection.settings_dict['NAME']}").geturl()

    def run(*arguments: str, stdin: str = "", **environment: str):
        result = subprocess.run(
            [sys.executable, "-m", "syncservice", *arguments],
            env={**os.environ, "DATABASE_URL": ours, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert "Traceback" not in result.stderr + result.stdout, result.stderr
        return result

    return run


@pytest.fixture
def simulator():
    with checked_simulator({"ann@example.test": "pw"}, {"svc": "pw"}) as running:
        yield running


def configure(run, url: str, password: str = "pw") -> None:
    run(
        *("profile", "set", "Exchange", "--url", url, "--username", "svc", "--impersonation"),
        "--ask-password",
        stdin=f"{password}\n",
    )
    run("mailbox", "add", "ann@example.test", "--profile", "Exchange")


def test_a_service_in_order_is_told_as_such(run, simulator):
    configure(run, simulator.ews_url)
    result = run("check")
    assert result.returncode == 0
    assert "let us read the Inbox of ann@example.test" in result.stdout


def test_a_wrong_password_is_one_line_with_the_remedy(run, simulator):
    configure(run, simulator.ews_url, password="wrong")
    result = run("check")
    assert result.returncode == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("FAIL")]
    assert "refused the user name or password; correct them" in line


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        ("http://127.0.0.1:{port}/EWS/Exchange.asmx", "nothing listens at the server location"),
        ("https://mail.invalid/EWS/Exchange.asmx", "the server's name can't be resolved"),
        ("{simulator}/wrong/path", "there is no EWS at the server location (HTTP 404)"),
    ],
)
def test_a_wrong_or_unreachable_server_is_one_line(run, simulator, location, sentence):
    configure(run, location.format(port=free_port(), simulator=simulator.url.rstrip("/")))
    result = run("check")
    assert result.returncode == 1
    assert sentence in result.stdout


def test_a_refused_certificate_is_one_line(run, tmp_path):
    with checked_simulator(tls_cert=certificate(tmp_path / "self-signed.pem")) as secure:
        configure(run, secure.ews_url)
        result = run("check")
    assert result.returncode == 1
    assert "TLS certificate is refused" in result.stdout


def test_no_database_is_one_line(run):
    nowhere = f"postgresql://nobody@127.0.0.1:{free_port()}/none"
    for command in (("check",), ("mailbox", "list"), ("failures",)):
        result = run(*command, DATABASE_URL=nowhere)
        assert result.returncode == 1
        assert "Connection refused" in result.stdout + result.stderr
        assert "DATABASE_URL" in result.stdout + result.stderr


def test_a_wrong_database_password_is_one_line(run):
    url = urlsplit(os.environ["DATABASE_URL"])
    wrong = url._replace(netloc=f"{url.username}:wrong@{url.hostname}:{url.port}").geturl()
    result = run("mailbox", "list", DATABASE_URL=wrong)
    assert result.returncode == 1
    assert "refuses the user or password in DATABASE_URL" in result.stderr


def test_no_redis_is_one_line(run):
    result = run("check", REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    assert result.returncode == 1
    assert "see that Redis runs and that REDIS_URL is right" in result.stdout


def test_no_servers_at_all_says_how_to_start_them(run, tmp_path):
    result = run("check", DATABASE_URL="", REDIS_URL="", DATA_FOLDER=str(tmp_path))
    assert result.returncode == 1
    assert "start them with `syncservice up`" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("profile", "set", "X", "--url", "mail.example.test"), "Expected a URL"),
        (("mailbox", "add", "a@b.test", "--profile", "None such"), "no profile 'None such'"),
        (("demo", "--for", "soon"), "'soon' is no duration; write 60s, 2m or 1h"),
        (("demo", "--mail-dir", "/no/such/folder"), "does not exist"),
        (("mailbx",), "No such command"),
    ],
)
def test_bad_input_is_one_sentence(run, arguments, sentence):
    result = run(*arguments)
    assert result.returncode in (1, 2)
    assert sentence in result.stderr


def test_a_mailbox_can_be_added_for_a_queue_and_is_listed_for_machines(run, simulator):
    configure(run, simulator.ews_url)
    run("mailbox", "add", "help@example.test", "--profile", "Exchange", "--queue", "Support")
    rows = json.loads(run("mailbox", "list", "--json").stdout)
    assert [(row["address"], row["owner"], row["state"]) for row in rows] == [
        ("ann@example.test", "ann@example.test", "new"),
        ("help@example.test", "Support", "new"),
    ]
    assert json.loads(run("failures", "--json").stdout) == []
    assert Mailbox.objects.count() == 2


def test_a_password_is_never_an_argument_nor_printed(run, simulator):
    result = run("profile", "set", "--help")
    assert "--password " not in result.stdout
    configure(run, simulator.ews_url, password="s3cret-word")
    assert EmailServerProfile.objects.get().password == "s3cret-word"
    assert "s3cret-word" not in run("profile", "list", "--json").stdout


def test_why_a_mailbox_is_due_is_told_with_the_decisions_before(run):
    box = factories.mailbox(email_address="ann@example.test")
    due = datetime(2100, 1, 1, 14, 7, tzinfo=UTC)
    Schedule.objects.update(due_at=due, reason="2 empty visits in a row")
    ServerHealth.objects.update(
        not_before=Now() + timedelta(hours=1), fault_text="the server is busy"
    )
    VisitStatistics.objects.create(
        mailbox=box, lane="incoming", fence=1, seconds=1, requests=1, pages=1, stored=0, linked=0,
        failed=0, more_left=False, machine="m", rest=timedelta(minutes=7), reason="quiet",
    )  # fmt: skip
    told = run("mailbox", "explain", "ann@example.test").stdout
    assert "due at 14:07:00: 2 empty visits in a row" in told
    assert "its server is left alone: the server is busy" in told
    assert "rest 420 s: quiet" in told
    (lane,) = json.loads(run("mailbox", "explain", "ann@example.test", "--json").stdout)
    assert (lane["lane"], lane["server_connections"]) == ("incoming", 10)


def test_a_parked_mailbox_is_listed_and_can_be_resumed_once(run):
    box = factories.mailbox(email_address="ann@example.test")
    Schedule.objects.update(due_at=None, parked_at=Now(), crashes=3)
    alerts.raise_parked([(box.pk, "incoming")])
    (alert,) = json.loads(run("alerts", "--json").stdout)
    assert (alert["mailbox"], alert["code"]) == ("ann@example.test", "visit.parked")
    assert run("mailbox", "resume", "ann@example.test").returncode == 0
    assert Schedule.objects.get().due_at is not None
    assert json.loads(run("alerts", "--json").stdout) == []
    again = run("mailbox", "resume", "ann@example.test")
    assert again.returncode == 2
    assert "is not parked" in again.stderr


def test_the_limits_of_a_profile_can_be_set(run, simulator):
    configure(run, simulator.ews_url)
    run("profile", "set", "Exchange", "--requests-per-second", "20", "--minimum-interval", "30")
    profile = EmailServerProfile.objects.get()
    assert profile.maximum_requests_per_second == 20
    assert profile.minimum_polling_interval == timedelta(minutes=30)
