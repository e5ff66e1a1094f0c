"""Administration by the command line: what a command changes and tells, and what it refuses."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result
from cryptography.fernet import Fernet
from django.core.exceptions import ValidationError

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert, ItemFailure, Severity
from syncservice.cli import cli
from syncservice.crm.models import Queue, User
from syncservice.mailboxes import administration, connection_tests, directions
from syncservice.mailboxes.models import (
    Direction,
    EmailServerProfile,
    Mailbox,
    Organisation,
)
from tests import factories
from tests.memory_gateway import fault

pytestmark = pytest.mark.django_db
ANN = "ann@example.test"


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(cli, arguments, input=stdin)


def done(*arguments: str, stdin: str = "") -> str:
    """Run a command that succeeds; return what it printed."""
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    return result.output


def told(*arguments: str):
    return json.loads(done(*arguments, "--json"))


@pytest.fixture
def ann() -> Mailbox:
    profile = factories.profile(name="Exchange")
    return factories.mailbox(email_address=ANN, profile=profile, outgoing_method=0)


def test_a_profile_is_set_shown_and_listed():
    done(
        *("profile", "set", "Post", "--type", "pop3-smtp", "--url", "pop.example.test"),
        *("--outgoing-location", "smtp.example.test", "--username", "svc", "--ask-password"),
        stdin="s3cret-word\n",
    )
    shown = told("profile", "show", "Post")
    assert (shown["location"], shown["password_is_set"]) == ("pop.example.test", True)
    assert shown["server"] == "never asked"
    done("profile", "set", "Post", "--inactive")
    (listed,) = told("profile", "list")
    assert (listed["name"], listed["active"], listed["mailboxes"]) == ("Post", False, 0)
    assert EmailServerProfile.objects.get().password == "s3cret-word"
    done("profile", "set", "Post", "--type", "imap-smtp", "--url", "imap.example.test")
    assert told("profile", "show", "Post")["server_type"] == "other (IMAP/SMTP)"


def test_a_profile_is_warned_of_at_once():
    url = "https://outlook.office365.com/EWS/Exchange.asmx"
    words = done(
        *("profile", "set", "Cloud", "--url", url, "--username", "svc", "--ask-password"),
        stdin="pw\n",
    )
    assert "Warning: Exchange Online switches EWS off" in words


def test_a_connection_test_is_asked_for(ann):
    assert "is being tested" in done("profile", "test", "Exchange")
    assert connection_tests.claim_due(factories.LEASE).profile_id == ann.profile_id


def test_the_organisations_settings_are_changed_one_by_one(ann):
    done("organisation", "set", "--default-profile", "Exchange", "--default-act", "server-side")
    done("organisation", "set", "--no-approve-queues")
    shown = told("organisation", "show")
    assert (shown["default_profile"], shown["approves_queues"]) == ("Exchange", False)
    assert (shown["approves_users"], Organisation.current().default_act) == (True, 1)


def test_alerts_are_listed_answered_and_dismissed(ann):
    alerts.ask(ann.pk, alerts.OTHER_ORGANISATION, "another", direction="act")
    alerts.raise_for_mailbox(ann.pk, Severity.ERROR, "test.failed", "it failed")
    listed = told("alerts")
    assert {one["code"]: one["question"] for one in listed} == {
        alerts.OTHER_ORGANISATION: True, "test.failed": False
    }  # fmt: skip
    assert all(one["meaning"] and one["remedy"] and one["mailbox"] == ANN for one in listed)
    ids = {one["code"]: str(one["id"]) for one in listed}
    question, trouble = ids[alerts.OTHER_ORGANISATION], ids["test.failed"]
    assert "0 alerts" in done("alerts", "dismiss", question)  # a question wants an answer
    done("alerts", "answer", question, "yes")
    done("alerts", "dismiss", trouble)
    assert told("alerts") == []
    assert Direction.objects.filter(mailbox=ann, overrides_stamp=True).exists()
    again = run("alerts", "answer", question, "no")
    assert (again.exit_code, Alert.objects.get(pk=question).answer) == (2, True)
    assert "asks nothing, or is answered" in again.output


@pytest.mark.parametrize(("verb", "state"), [("retry", "retrying"), ("dismiss", "dismissed")])
def test_failures_are_tried_again_or_dismissed_and_keep_their_subject(ann, verb, state):
    failure = ItemFailure.objects.create(
        mailbox=ann, item_id="x", code="email.unreadable", reason="no", state="given_up",
        subject="My illness",
    )  # fmt: skip
    assert "illness" not in done("failures", "--json")
    assert done("failures", verb, str(failure.pk)).startswith("1 messages")
    failure.refresh_from_db()
    assert failure.state == state


def test_a_new_key_can_be_used():
    assert Fernet(done("keys", "new").strip())


def test_a_mailbox_changes_hands_only_when_that_is_said(ann):
    bert = User.objects.create(username="bert")
    asked = run("mailbox", "map", ANN, "--user", "bert")
    assert asked.exit_code == 2
    assert "is the mailbox of" in asked.output
    assert "repeat the command with --take-over" in asked.output
    assert administration.owner_of(ann) != bert
    done("mailbox", "map", ANN, "--user", "bert", "--take-over")
    assert told("mailbox", "show", ANN)["owner"] == "bert"
    assert directions.claim_due_test(factories.LEASE) is not None


def test_directions_are_tested_and_switched(ann):
    assert "1 tests of 1 mailboxes" in done("mailbox", "test", ANN)
    done("mailbox", "disable", ANN)
    assert not any(one["enabled"] for one in told("mailbox", "show", ANN)["directions"])
    assert done("mailbox", "enable", ANN).startswith("1 directions")
    assert done("mailbox", "enable", ANN, "--direction", "act").startswith("1 directions")
    shown = {one["direction"]: one["enabled"] for one in told("mailbox", "show", ANN)["directions"]}
    assert shown == {"incoming": True, "outgoing": False, "act": True}


def test_what_one_fault_switched_off_is_switched_on_together(ann):
    other = factories.mailbox()
    by_hand = factories.mailbox()
    for box in (ann, other):
        directions.disable_by_fault(box.pk, Direction.Kind.INCOMING, fault(), is_probed=False)
    directions.disable([by_hand.pk], [Direction.Kind.INCOMING], "anna")
    command = ("mailbox", "enable", "--disabled-by", "test.fault", "--direction", "incoming")
    assert done(*command).startswith("2 directions")
    enabled = Direction.objects.filter(kind="incoming", is_enabled=True)
    assert sorted(enabled.values_list("mailbox", flat=True)) == sorted([ann.pk, other.pk])


def test_addresses_are_approved_and_rejected(ann):
    assert done("mailbox", "reject", "--profile", "Exchange").startswith("1 mailboxes")
    assert done("mailbox", "approve", "--all").startswith("1 mailboxes")
    assert told("mailbox", "show", ANN)["approval"] == "approved"


def test_defaults_are_applied(ann):
    done("organisation", "set", "--default-profile", "Exchange", "--default-outgoing", "none")
    assert done("mailbox", "apply-defaults", ANN).startswith("1 mailboxes")


def test_mailboxes_are_listed(ann):
    assert [row["address"] for row in told("mailbox", "list")] == [ANN]
    assert ANN in done("mailbox", "list")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("profile", "show", "None such"), "there is no profile 'None such'"),
        (("profile", "test", "None such"), "there is no profile 'None such'"),
        (("profile", "set", "X", "--port", "70000"), "1<=x<=65535"),
        (("organisation", "set", "--default-profile", "Y"), "there is no profile 'Y'"),
        (("organisation", "set", "--default-act", "maybe"), "'maybe' is not one of"),
        (("mailbox", "show", "x@y.test"), "there is no mailbox 'x@y.test'"),
        (("mailbox", "test"), "name addresses, or give one of"),
        (("mailbox", "enable", ANN, "--all"), "name addresses, or give one of"),
        (("mailbox", "map", ANN, "--user", "nobody"), "there is no CRM user 'nobody'"),
        (("mailbox", "map", ANN, "--queue", "none"), "there is no CRM queue 'none'"),
        (("mailbox", "map", ANN), "give either --user or --queue"),
        (("mailbox", "disable", ANN, "--direction", "up"), "'up' is not one of"),
        (("alerts", "answer", "1", "perhaps"), "'perhaps' is not one of"),
        (("alerts", "answer", "999999", "yes"), "asks nothing"),
        (("failures", "retry", "first"), "'first' is not a valid integer"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_sentence(ann, command, sentence):
    result = run(*command)
    assert result.exit_code == 2
    assert sentence in result.output


def test_what_the_records_refuse_is_told_field_by_field(ann):
    """`main` prints it as one sentence; see test_cli."""
    result = run("mailbox", "set", ANN, "--delete-after-processing")
    assert isinstance(result.exception, ValidationError)
    assert list(result.exception.message_dict) == ["delete_after_processing"]


def test_a_refused_mailbox_leaves_no_queue_behind():
    refused = run("mailbox", "add", "a@b.test", "--profile", "None such", "--queue", "Support")
    assert refused.exit_code == 2
    assert not Queue.objects.exists()


def test_a_thousand_mailboxes_and_one_are_all_listed():
    profile = factories.profile()
    Mailbox.objects.bulk_create(
        Mailbox(name="x", email_address=f"user{number}@example.test", profile=profile)
        for number in range(1001)
    )
    assert len(told("mailbox", "list")) == 1001


def test_profiles_are_listed_by_one_statement(django_assert_num_queries):
    for number in range(3):
        factories.mailbox(profile=factories.profile(name=f"p{number}"))
    with django_assert_num_queries(1):
        assert [row["mailboxes"] for row in told("profile", "list")] == [1, 1, 1]


@pytest.mark.parametrize("command", ["alerts", "failures"])
def test_a_long_list_is_cut_and_says_so(command):
    box = factories.mailbox()
    for number in range(3):
        alerts.raise_for_mailbox(box.pk, Severity.ERROR, f"test.{number}")
        ItemFailure.objects.create(mailbox=box, item_id=str(number), state="retrying")
    result = run(command, "--json", "--limit", "2")
    assert len(json.loads(result.stdout)) == 2
    assert result.stderr == "only the newest 2 are listed; --limit lists more\n"
    assert run(command, "--json", "--limit", "3").stderr == ""


def test_help_explains_each_setting_as_the_admin_does():
    text = " ".join(done("organisation", "set", "--help").split())
    assert "Ask before a contact is tracked that is like one of the CRM." in text
    assert "By hand, by category and by folder, too." in text


def test_help_needs_no_configuration():
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": os.devnull}
    command = [sys.executable, "-m", "syncservice", "organisation", "set", "--help"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "--check-duplicate-contacts" in result.stdout
