"""Single messages by the command line: where they are, why, and how they come in."""

import pytest
from django.core.exceptions import ValidationError

from syncservice.crm.models import (
    Account,
    ActivityParty,
    AutomaticRecord,
    Email,
    IncomingFilter,
    User,
)
from syncservice.mailboxes.models import (
    DeclinedItem,
    Mailbox,
    MailboxFolders,
    Organisation,
    TrackingFolder,
    TrackRequest,
)
from syncservice.servers.gateway import SENT_ITEMS
from syncservice.sync.inbox import Inbox
from syncservice.sync.visit import visit
from tests import factories
from tests.memory_gateway import (
    RECEIVED,
    MemoryIncoming,
    MemoryOrganised,
    MemoryServer,
    fault,
    mime,
)
from tests.sync.test_visit import BUDGET, due_now
from tests.test_cli_administration import ANN, done, run, told

pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
def ann() -> Mailbox:
    return factories.mailbox(
        owner=User.objects.create(
            username="ann", email=ANN, incoming_filter=IncomingFilter.FROM_PEOPLE
        ),
        profile=factories.profile(name="Exchange"),
        outgoing_method=0,
    )


def see(server, box) -> None:
    visit(MemoryIncoming(server), Inbox(due_now(box), 1), BUDGET, lambda: 0.0)


@pytest.fixture
def three(server, ann) -> Mailbox:
    """A mailbox with a message that was stored, one that was declined and one that failed."""
    Account.objects.create(name="Contoso", email_address="info@contoso.test")
    server.deliver(
        mime("Offer", to=ANN, sender="Info <info@contoso.test>", message_id="<offer@contoso>"),
        mime("Spam", to=ANN, sender="spam@x.test", message_id="<spam@x>"),
    )
    (bad,) = server.deliver(mime("Secret"))
    server.bad = {bad: fault(scope="email")}
    see(server, ann)
    return ann


@pytest.mark.parametrize(
    ("known", "place", "why"),
    [
        (("--from", "INFO@contoso.test"), "in the CRM", "Accepted for ann."),
        (("--message-id", "offer@contoso"), "in the CRM", "Accepted for ann."),
        (("--subject", "offer"), "in the CRM", "Accepted for ann."),
        (("--from", "spam@x.test"), "not wanted", "and its sender is none"),
        (("--message-id", "<spam@x>"), "not wanted", "and its sender is none"),
    ],
)
def test_a_message_is_found_with_the_reason_why_it_is_in_the_crm_or_not(three, known, place, why):
    (row,) = [
        row for row in told("mail", "find", ANN, *known) if row["place"] != "could not be stored"
    ]
    assert row["place"] == place
    assert why in row["why"]


def test_what_is_not_in_the_crm_hides_its_subject(three):
    subjects = {row["place"]: row["subject"] for row in told("mail", "find", ANN)}
    assert subjects == {"in the CRM": "Offer", "not wanted": "***", "could not be stored": "***"}


def test_a_message_is_looked_for_a_day_around_its_time(three):
    near = f"{RECEIVED:%Y-%m-%d}T23:00:00"
    assert {row["place"] for row in told("mail", "find", ANN, "--at", near)} >= {"not wanted"}
    far = told("mail", "find", ANN, "--at", "2020-01-01")
    assert {row["place"] for row in far} <= {"could not be stored"}  # nobody knows its time


def test_sent_mail_is_looked_for_around_its_time_too(server, ann):
    """It was received by nobody."""
    Organisation.current()
    Organisation.objects.update(tracks_sent_items=True)
    Account.objects.create(name="Contoso", email_address="info@contoso.test")
    server.deliver(mime("Offer", sender=ANN, to="info@contoso.test"), folder=SENT_ITEMS)
    visit(
        MemoryIncoming(server), Inbox(due_now(ann), 1), BUDGET, lambda: 0.0,
        organised=MemoryOrganised(server),
    )  # fmt: skip
    (row,) = told("mail", "find", ANN, "--at", f"{RECEIVED:%Y-%m-%d}")
    assert (row["place"], row["subject"]) == ("in the CRM", "Offer")
    assert row["received"] == str(RECEIVED)
    assert told("mail", "find", ANN, "--at", "2020-01-01") == []


@pytest.mark.parametrize(
    ("sender", "place"),
    [("spam@x.test", "in the CRM"), ("eve@evil.test", "not wanted")],
    ids=["the message", "another with its Message-ID"],
)
def test_what_another_mailbox_brought_is_in_the_crm(three, sender, place):
    """Though this one declined it before."""
    bob = factories.mailbox(email_address="bob@example.test")
    other = MemoryServer()
    message = mime("Spam", to=f"{ANN}, bob@example.test", sender=sender, message_id="<spam@x>")
    other.deliver(message)
    see(other, bob)
    found = told("mail", "find", ANN, "--message-id", "spam@x")
    (row,) = [row for row in found if row["place"] != "could not be stored"]
    assert row["place"] == place
    assert "and its sender is none" in row["why"]
    assert ("It came in by another mailbox" in row["why"]) == (place == "in the CRM")


def test_nothing_found_says_what_is_left_alone(ann):
    Mailbox.objects.update(process_email_from=RECEIVED)
    result = run("mail", "find", ANN)
    assert "email received before 2026-03-01 12:00 is left alone" in result.output


def test_an_email_tells_why_it_is_here(three):
    email = Email.objects.get()
    sheet = told("mail", "why", str(email.pk))
    assert sheet["accepted_for"] == "ann"
    assert sheet["received_by"] == [ANN]
    assert sheet["correlation"] == "none"


def test_a_message_is_asked_for(ann):
    Account.objects.create(pk=7, name="Contoso")
    done("mail", "track", ANN, "--message-id", "a@b", "--about", "account:7", "--no-wait")
    request = TrackRequest.objects.get()
    assert (request.message_id, request.regarding.name) == ("<a@b>", "Contoso")
    assert request.requested_by == "command line"


def test_a_message_of_a_mailbox_that_is_not_read_is_refused():
    factories.mailbox(email_address=ANN, enabled=False)
    result = run("mail", "track", ANN, "--message-id", "a@b")
    assert isinstance(result.exception, ValidationError)
    assert "test and enable the mailbox first" in result.exception.messages[0]


def test_an_address_is_resolved_wherever_nobody_stands_for_it(server):
    box = factories.mailbox(email_address=ANN)
    server.deliver(*(mime(f"mail {n}", to=ANN, sender="bob@contoso.test") for n in range(3)))
    see(server, box)
    account = Account.objects.create(name="Contoso")
    assert "in 3 places" in done("mail", "resolve", "BOB@contoso.test", f"account:{account.pk}")
    senders = ActivityParty.objects.filter(participation=1).values_list("account", flat=True)
    assert set(senders) == {account.pk}


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("mail", "find", "x@y.test"), "there is no mailbox 'x@y.test'"),
        (("mail", "why", "00000000-0000-0000-0000-000000000000"), "there is no email 0000"),
        (("mail", "track", ANN, "--item-id", "1", "--about", "contact"), "is no record; write"),
        (("mail", "resolve", "a@b.test", "lead:99"), "there is no lead 99"),
        (("folder", "untrack", ANN, "Clients"), "Clients is not tracked"),
        (("mailbox", "set", ANN, "--track", "some"), "'some' is not one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_sentence(ann, command, sentence):
    MailboxFolders.objects.create(
        mailbox=ann, folders=[{"id": "f1", "parent": "", "name": "Clients"}]
    )
    result = run(*command)
    assert result.exit_code == 2
    assert sentence in result.output


def test_folders_are_listed_tracked_and_untracked(ann):
    done("organisation", "set", "--folder-tracking")
    MailboxFolders.objects.create(
        mailbox=ann,
        folders=[
            {"id": "f1", "parent": "", "name": "Clients"},
            {"id": "f2", "parent": "f1", "name": "Contoso"},
        ],
    )
    account = Account.objects.create(name="Contoso")
    about = ("--about", f"account:{account.pk}")
    done("folder", "track", ANN, "clients/contoso", *about)
    listed = told("folder", "list", ANN)
    assert listed == [
        {"folder": "Clients", "tracked": "", "about": ""},
        {"folder": "Clients/Contoso", "tracked": "email in it is tracked", "about": "Contoso"},
    ]
    done("folder", "untrack", ANN, "Clients/Contoso")
    assert not TrackingFolder.objects.exists()
    refused = run("folder", "track", ANN, "Nowhere")
    assert "There is no folder Nowhere below the Inbox" in str(refused.exception)


def test_what_an_owner_wants_is_said_by_the_mailbox(ann):
    done("mailbox", "set", ANN, "--track", "all", "--unknown-sender", "lead")
    user = User.objects.get(username="ann")
    assert user.incoming_filter == IncomingFilter.ALL
    assert user.automatic_record == AutomaticRecord.LEAD


def test_the_default_queue_of_a_user_is_said_by_the_mailbox(ann):
    queue = factories.queue("desk@example.test")
    done("mailbox", "set", ANN, "--default-queue", queue.name)
    assert User.objects.get(username="ann").default_queue == queue
    done("mailbox", "set", ANN, "--default-queue", "")
    assert User.objects.get(username="ann").default_queue is None
    factories.mailbox(owner=queue)
    refused = run("mailbox", "set", queue.email_address, "--default-queue", queue.name)
    assert "Only a user has a default queue" in str(refused.exception)


def test_a_queue_makes_no_records_of_unknown_senders():
    factories.profile(name="Exchange")
    done("mailbox", "add", "help@example.test", "--profile", "Exchange", "--queue", "Support")
    refused = run("mailbox", "set", "help@example.test", "--unknown-sender", "lead")
    assert "Only a user can have records made" in str(refused.exception)


def test_the_organisations_rules_are_set_and_earlier_prefixes_kept():
    done("organisation", "set", "--token-prefix", "D365:", "--smart-matching", "--sent-items")
    done("organisation", "set", "--user-decides-alone", "--no-internal-from-queues")
    done("organisation", "set", "--route-to-owner-queue", "--leave-out-rights-managed")
    organisation = Organisation.current()
    assert (organisation.token_prefix, organisation.token_prefixes) == ("D365:", ["CRM:"])
    assert organisation.uses_smart_matching
    assert organisation.tracks_sent_items
    assert (organisation.user_decides_alone, organisation.mailbox_owner_decides_alone) == (1, 0)
    assert not organisation.internal_email_from_queues
    assert organisation.routes_to_owner_queue
    assert organisation.leaves_out_rights_managed
    refused = run("organisation", "set", "--smart-matching-noise", "(")
    assert "no regular expression" in str(refused.exception)


def test_declined_items_go_when_the_mailbox_changes_hands(three):
    done(
        "mailbox", "map", ANN, "--user", User.objects.create(username="eve").username, "--take-over"
    )
    assert not DeclinedItem.objects.exists()
