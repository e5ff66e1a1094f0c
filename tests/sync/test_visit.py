"""Visits against the in-memory server, real rules and real PostgreSQL."""

from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from django.db import connection
from django.db.models import Count, F
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import ActivityParty, AttachmentContent, Email, Queue, QueueItem
from syncservice.domain.faults import Nature, Patience, Scope
from syncservice.domain.message import parse
from syncservice.domain.polling import Pace, Rest
from syncservice.mailboxes.models import (
    FolderCursor,
    Mailbox,
    RemoteItem,
    Schedule,
    VisitStatistics,
)
from syncservice.mailboxes.schedule import Claim, ClaimLost, server_of
from syncservice.servers.gateway import Fetched, Listed
from syncservice.sync import outcome as outcomes
from syncservice.sync import reading
from syncservice.sync.inbox import Inbox
from syncservice.sync.listing import new_items
from syncservice.sync.storing import store
from syncservice.sync.visit import Budget, Outcome, batches, visit
from tests import factories
from tests.memory_gateway import RECEIVED, MemoryIncoming, MemoryServer, fault, mime

BUDGET = Budget(
    duration=timedelta(minutes=2),
    messages=10_000,
    bytes=2**30,
    page_ids=10,
    batch_messages=4,
    batch_bytes=2**20,
    message_bytes=2**20,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
def box():
    return factories.mailbox()


def run(server, claim: Claim, budget: Budget = BUDGET) -> Outcome:
    inbox = Inbox(claim, item_attempts=3)
    ticks = count()
    return visit(MemoryIncoming(server), inbox, budget, lambda: next(ticks) * 0.01)


def record(claim: Claim, outcome: Outcome, pace: Pace = Pace()) -> Rest:  # noqa: B008 # frozen
    profile = Mailbox.objects.select_related("profile").get(pk=claim.mailbox_id).profile
    return outcomes.record(claim, outcome, server_of(profile, claim.lane), pace, "here", Patience())


def subjects() -> list[str]:
    return sorted(Email.objects.values_list("subject", flat=True))


def due_now(box) -> Claim:
    Schedule.objects.filter(mailbox=box).update(due_at=Now(), claimed_at=None)
    return factories.claim(box)


def test_every_message_of_the_inbox_is_stored_over_several_pages(server, box):
    server.deliver(*(mime(f"mail {number:02}") for number in range(25)))
    outcome = run(server, factories.claim(box))
    assert subjects() == [f"mail {number:02}" for number in range(25)]
    assert (outcome.stored, outcome.pages, outcome.more_left) == (25, 3, False)


def test_a_record_holds_what_the_message_said(server, box):
    server.deliver(
        mime("Offer", to="user@example.test, Bob <bob@example.test>", In_Reply_To="<first@x.test>")
    )
    run(server, factories.claim(box))
    email = Email.objects.get()
    assert (email.status, email.state) == (Email.Status.RECEIVED, Email.State.COMPLETED)
    assert email.text.strip() == "The body of Offer."
    assert email.in_reply_to == "<first@x.test>"
    parties = set(email.parties.values_list("participation", "address", "name"))
    part = ActivityParty.Participation
    assert parties == {
        (part.SENDER, "ann@customer.test", "Ann Ash"),
        (part.TO, "user@example.test", ""),
        (part.TO, "bob@example.test", "Bob"),
    }


def test_a_quiet_visit_asks_once_and_stores_nothing(server, box):
    server.deliver(mime("one"))
    run(server, factories.claim(box))
    outcome = run(server, due_now(box))
    assert (outcome.requests, outcome.stored) == (1, 0)


def test_a_message_that_changed_on_the_server_stays_one_record(server, box):
    (item,) = server.deliver(mime("one"))
    run(server, factories.claim(box))
    server.touch(item)
    run(server, due_now(box))
    assert subjects() == ["one"]


def test_the_same_message_in_two_mailboxes_is_one_record_with_two_links(server, box):
    other_box, other_server = factories.mailbox(), MemoryServer()
    for inbox in (server, other_server):
        inbox.deliver(mime("to both", Received=f"by {id(inbox)}"))
    run(server, factories.claim(box))
    outcome = run(other_server, due_now(other_box))
    assert subjects() == ["to both"]
    assert (outcome.stored, outcome.linked) == (0, 1)
    assert RemoteItem.objects.count() == 2
    assert ActivityParty.objects.count() == 2


def test_another_message_that_borrows_a_message_id_is_stored_too(server, box):
    server.deliver(
        mime("invoice", message_id="<same@x.test>"),
        mime("not the invoice", message_id="<same@x.test>", sender="mallory@evil.test"),
    )
    run(server, factories.claim(box))
    assert subjects() == ["invoice", "not the invoice"]


@pytest.mark.parametrize(
    ("came_at", "emails"),
    [
        pytest.param([RECEIVED, RECEIVED + timedelta(seconds=1)], 2, id="at two moments"),
        pytest.param([None, None], 2, id="nobody knows when"),
        pytest.param([RECEIVED, RECEIVED], 1, id="at one moment: its item got another id"),
    ],
)
def test_two_equal_notes_without_id_and_date_are_two_messages_unless_they_came_at_once(
    box, came_at, emails
):
    note = b"From: ann@customer.test\nSubject: note\n\ntext\n"
    inbox = Inbox(factories.claim(box), 5)
    for number, moment in enumerate(came_at):
        store(inbox, [Fetched(str(number), note, moment)])
    assert (Email.objects.count(), RemoteItem.objects.count()) == (emails, 2)


def test_mail_from_before_the_watermark_is_left_alone(box):
    """Mail whose receipt the server doesn't tell is read (F044)."""
    since = RECEIVED
    inbox = Inbox(factories.claim(box), 3, since)
    second = timedelta(seconds=1)
    items = [
        Listed("before", 1, since - second),
        Listed("then", 1, since),
        Listed("after", 1, since + second),
        Listed("untold", 1),
    ]
    new, failed = new_items(inbox, items)
    assert ([item.item_id for item in new], failed) == (["then", "after", "untold"], [])


@pytest.mark.parametrize("bug", [KeyError, RecursionError, AssertionError, ZeroDivisionError])
def test_a_bug_of_ours_in_reading_one_message_stops_no_other(server, box, monkeypatch, bug):
    def stumbling(message: bytes):
        if b"Subject: stumble" in message:
            raise bug
        return parse(message)

    monkeypatch.setattr(reading, "parse", stumbling)
    server.deliver(mime("one"), mime("stumble"), mime("two"))
    assert run(server, factories.claim(box)).fault is None
    assert subjects() == ["one", "two"]
    failure = ItemFailure.objects.get()
    assert (failure.code, failure.state) == ("email.parser_failed", ItemFailure.State.GIVEN_UP)
    assert bug.__name__ in failure.reason


def test_one_bad_item_is_a_failure_with_its_reason_and_the_others_are_stored(server, box):
    server.deliver(mime("before"))
    server.deliver(b"")
    (refused,) = server.deliver(mime("refused"))
    server.bad[refused] = fault(Nature.PERMANENT, Scope.EMAIL)
    server.deliver(mime("after"))
    outcome = run(server, factories.claim(box))
    assert subjects() == ["after", "before"]
    assert outcome.failed == 2
    assert sorted(ItemFailure.objects.values_list("code", "state")) == [
        ("email.unreadable", "given_up"),
        ("test.fault", "given_up"),
    ]


def test_what_the_database_cannot_hold_fails_alone(server, box, settings):
    server.deliver(mime("before"), mime("impossible"), mime("impossible"), mime("after"))
    with connection.cursor() as cursor:  # PostgreSQL itself refuses one of the batch
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN IF NEW.subject = 'impossible' THEN "
            "RAISE SQLSTATE '22021' USING MESSAGE = 'invalid byte sequence'; END IF; "
            "RETURN NEW; END $$; "
            "CREATE TRIGGER refuse BEFORE INSERT ON crm_email "
            "FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    outcome = run(server, factories.claim(box))
    assert subjects() == ["after", "before"]
    assert (outcome.stored, outcome.failed) == (2, 2)  # either copy has its reason
    codes = ItemFailure.objects.values_list("code", flat=True)
    assert list(codes) == ["email.not_storable"] * 2


def test_an_item_whose_trouble_may_pass_is_tried_again_and_then_stored(server, box):
    (item,) = server.deliver(mime("late"))
    server.bad[item] = fault(Nature.TRANSIENT, Scope.EMAIL)
    run(server, factories.claim(box))
    assert ItemFailure.objects.get().state == ItemFailure.State.RETRYING
    server.bad.clear()
    run(server, due_now(box))
    assert subjects() == ["late"]
    assert ItemFailure.objects.get().state == ItemFailure.State.RESOLVED


def test_an_item_that_keeps_failing_is_given_up_after_its_attempts(server, box):
    (item,) = server.deliver(mime("never"))
    server.bad[item] = fault(Nature.TRANSIENT, Scope.EMAIL)
    run(server, factories.claim(box))
    for _ in range(4):
        run(server, due_now(box))
    failure = ItemFailure.objects.get()
    assert (failure.state, failure.attempts) == (ItemFailure.State.GIVEN_UP, 3)


def test_an_item_moved_away_since_it_failed_is_told_as_gone(server, box):
    (item,) = server.deliver(mime("moved"))
    server.bad[item] = fault(Nature.TRANSIENT, Scope.EMAIL)
    run(server, factories.claim(box))
    server.bad.clear()
    del server.items[item]
    assert run(server, due_now(box)).gone == 1
    assert ItemFailure.objects.get().state == ItemFailure.State.GONE


def test_what_was_given_up_is_not_tried_again_because_it_is_listed_again(server, box):
    """As POP3 does at each visit, and Exchange after it forgot the cursor."""
    (item,) = server.deliver(mime("bad"))
    server.bad[item] = fault(Nature.PERMANENT, Scope.EMAIL)
    run(server, factories.claim(box))
    FolderCursor.objects.update(position="")
    gateway = MemoryIncoming(server)
    visit(gateway, Inbox(due_now(box), 3), BUDGET, lambda: 0.0)
    assert (gateway.fetched, ItemFailure.objects.get().attempts) == ([], 1)


def test_a_message_too_large_for_a_worker_is_never_fetched(server, box):
    server.deliver(mime("small"))
    (large,) = server.deliver(mime("large") + b"x" * 2**20)
    gateway = MemoryIncoming(server)
    claim = factories.claim(box)
    visit(gateway, Inbox(claim, 3), BUDGET, lambda: 0.0)
    assert large not in gateway.fetched
    assert ItemFailure.objects.get().code == "email.too_large"
    assert subjects() == ["small"]


@pytest.mark.parametrize(
    "limit",
    [{"messages": 8}, {"duration": timedelta(seconds=0.05)}, {"bytes": 2000}],
    ids=lambda limit: next(iter(limit)),
)
def test_a_visit_out_of_budget_leaves_the_rest_to_the_next_ones(server, box, limit):
    server.deliver(*(mime(f"mail {number:02}") for number in range(50)))
    first = run(server, factories.claim(box), replace(BUDGET, **limit))
    assert 0 < first.stored < 50
    assert first.more_left
    while run(server, due_now(box), replace(BUDGET, **limit)).more_left:
        pass
    assert subjects() == [f"mail {number:02}" for number in range(50)]


def test_a_cursor_that_the_server_forgot_is_no_loss_and_doubles_nothing(server, box):
    server.deliver(mime("old"))
    run(server, factories.claim(box))
    server.epoch += 1
    server.deliver(mime("new"))
    outcome = run(server, due_now(box))
    assert outcome.fault is not None
    assert FolderCursor.objects.get().position == ""
    run(server, due_now(box))
    assert subjects() == ["new", "old"]


@pytest.mark.parametrize("nature", [Nature.TRANSIENT, Nature.LIMITED])
def test_what_ends_a_visit_in_the_middle_keeps_what_was_committed(server, box, nature):
    server.deliver(*(mime(f"mail {number:02}") for number in range(15)))
    gateway = MemoryIncoming(server)
    real_page = gateway.page

    def second_page_fails(cursor, limit, folder):
        if cursor.endswith(":10"):
            server.fault = fault(nature)
        return real_page(cursor, limit, folder)

    gateway.page = second_page_fails
    claim = factories.claim(box)
    outcome = visit(gateway, Inbox(claim, 3), BUDGET, lambda: 0.0)
    is_ours = nature is Nature.LIMITED  # nothing is wrong then, and the rest is waiting
    assert (outcome.stored, outcome.limit or outcome.fault) == (10, fault(nature))
    assert (outcome.fault is None, outcome.more_left) == (is_ours, is_ours)
    server.fault = None
    run(server, due_now(box))
    assert len(subjects()) == 15


def test_a_visit_that_lost_its_claim_writes_nothing_more(server, box):
    server.deliver(mime("late"))
    old = factories.claim(box)
    due_now(box)
    with pytest.raises(ClaimLost):
        run(server, old)
    assert subjects() == []


def test_mail_of_a_queues_mailbox_becomes_an_item_of_the_queue(server):
    queue = Queue.objects.create(name="Support")
    box = factories.mailbox(owner=queue)
    server.deliver(mime("help"))
    run(server, factories.claim(box))
    assert QueueItem.objects.get().email.subject == "help"


def test_a_file_sent_twice_is_kept_once(server, box):
    with_file = (
        b"Message-ID: <%d@x>\nFrom: ann@x.test\nSubject: %d\nDate: Sun, 1 Mar 2026 12:00:00 +0000\n"
        b'Content-Type: application/pdf; name="a.pdf"\n'
        b"Content-Disposition: attachment\n\n%%PDF\n"
    )
    server.deliver(with_file % (1, 1), with_file % (2, 2))
    run(server, factories.claim(box))
    assert [list(email.attachments.values_list("filename")) for email in Email.objects.all()] == [
        [("a.pdf",)],
        [("a.pdf",)],
    ]
    assert AttachmentContent.objects.count() == 1


# --- What becomes of the schedule ---------------------------------------------------------------


def rest_left(box) -> timedelta:
    row = Schedule.objects.annotate(left=F("due_at") - Now()).get(mailbox=box)
    return timedelta(seconds=round(row.left.total_seconds()))


def test_the_outcome_ends_the_claim_and_says_when_and_why_the_next_visit_is(server, box):
    server.deliver(mime("one"))
    claim = factories.claim(box)
    record(claim, run(server, claim))
    row = Schedule.objects.get(mailbox=box)
    assert timedelta(minutes=3.9) < rest_left(box) <= timedelta(minutes=5)
    assert (row.reason, row.claimed_at) == ("1 new message in the last visit", None)
    assert VisitStatistics.objects.values_list("stored", "machine").get() == (1, "here")


def test_faults_are_tried_again_each_five_minutes_and_a_good_visit_forgets_them(server, box):
    server.fault = fault()
    waits = []
    for _ in range(3):
        claim = due_now(box)
        record(claim, run(server, claim))
        waits.append(rest_left(box))
    minutes = [wait / timedelta(minutes=1) for wait in waits]
    for wait, most in zip(minutes, (5, 5, 5), strict=True):
        assert 0.8 * most - 0.02 <= wait <= most
    server.fault = None
    claim = due_now(box)
    record(claim, run(server, claim))
    assert Schedule.objects.values_list("failures", "fault_code").get(mailbox=box) == (0, "")


def test_a_redelivered_message_records_no_second_outcome(server, box):
    claim = factories.claim(box)
    outcome = run(server, claim)
    record(claim, outcome)
    with pytest.raises(ClaimLost):
        record(claim, outcome)
    assert VisitStatistics.objects.count() == 1


def test_batches_are_bounded_by_count_and_by_bytes_and_a_giant_goes_alone():
    items = [Listed(str(number), size) for number, size in enumerate([1, 1, 1, 9, 1, 5, 5])]
    budget = replace(BUDGET, batch_messages=2, batch_bytes=6)
    assert [[item.size for item in batch] for batch in batches(items, budget)] == [
        [1, 1],
        [1],
        [9],
        [1, 5],
        [5],
    ]


def test_more_failures_than_a_page_are_all_tried_again_each_once_a_visit(server, box):
    items = server.deliver(*(mime(f"mail {number:02}") for number in range(25)))
    server.bad = dict.fromkeys(items, fault(scope=Scope.EMAIL))
    assert run(server, factories.claim(box)).failed == 25
    assert run(server, due_now(box)).failed == 25
    assert set(ItemFailure.objects.values_list("attempts", flat=True)) == {2}
    server.bad = {}
    assert run(server, due_now(box)).stored == 25
    assert not ItemFailure.objects.exclude(state=ItemFailure.State.RESOLVED).exists()


def test_what_a_visit_could_not_try_again_comes_first_in_the_next(server, box):
    items = server.deliver(*(mime(f"mail {number:02}") for number in range(25)))
    server.bad = dict.fromkeys(items, fault(scope=Scope.EMAIL))
    run(server, factories.claim(box))
    few = replace(BUDGET, messages=10)
    assert run(server, due_now(box), few).failed == 10
    assert run(server, due_now(box), few).failed == 10
    counted = ItemFailure.objects.values_list("attempts").annotate(Count("pk"))
    assert dict(counted.order_by()) == {2: 20, 1: 5}


def test_a_batch_of_failures_takes_as_many_statements_as_one(server, box):
    items = server.deliver(*(mime(f"mail {number:02}") for number in range(21)))
    server.bad = dict.fromkeys(items, fault(scope=Scope.EMAIL))
    inbox = Inbox(factories.claim(box), item_attempts=3)
    store(inbox, [])  # what a visit reads once
    statements = []
    for some in (items[:1], items[1:]):
        answers = list(MemoryIncoming(server).fetch([Listed(item, 1) for item in some]))
        with CaptureQueriesContext(connection) as executed:
            assert store(inbox, answers).failed == len(some)
        statements.append(len(executed))
    assert statements[0] == statements[1]
    assert ItemFailure.objects.count() == 21
