"""What people ask to have in the CRM: by folder, by category, by hand (F101, F119, F140-F157)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from syncservice.alerts.models import Alert, ItemFailure
from syncservice.crm.models import Account, Email, IncomingFilter, Queue
from syncservice.domain.faults import FaultError, Nature, Provenance, Scope
from syncservice.mailboxes import administration, directions, tracking
from syncservice.mailboxes.models import (
    DeclinedItem,
    Direction,
    MailboxFolders,
    RemoteItem,
    Schedule,
    TrackingCategory,
    TrackingFolder,
    TrackRequest,
)
from syncservice.servers.gateway import INBOX, SENT_ITEMS, MailFolder
from syncservice.sync.folder_tracking import apply_folder_rules
from syncservice.sync.inbox import Inbox
from syncservice.sync.organising import LOOKED_AT_EVERY, NAMES
from syncservice.sync.visit import Outcome, visit
from tests import factories
from tests.cluster.processes import wait_until
from tests.memory_gateway import MemoryIncoming, MemoryOrganised, MemoryServer, fault, mime
from tests.sync.test_visit import BUDGET, due_now

pytestmark = pytest.mark.django_db

TRACKED = NAMES[TrackingCategory.Kind.TRACKED]
UNDELIVERABLE = NAMES[TrackingCategory.Kind.UNDELIVERABLE]


@pytest.fixture(autouse=True)
def switched_on():
    administration.change_organisation("tests", uses_folder_tracking=True)


@pytest.fixture
def server() -> MemoryServer:
    return MemoryServer()


@pytest.fixture
def box():
    return factories.mailbox(profile=factories.profile(), incoming_filter=IncomingFilter.NONE)


def run(server, box, **options) -> Outcome:
    gateway = MemoryIncoming(server)
    inbox = Inbox(due_now(box), item_attempts=5)
    outcome = visit(
        gateway, inbox, BUDGET, lambda: 0.0, organised=MemoryOrganised(server), **options
    )
    assert outcome.fault is None
    return outcome


def subjects() -> list[str]:
    return sorted(Email.objects.values_list("subject", flat=True))


def later() -> None:
    """Let the time pass after which folders and categories are looked at again."""
    for model in (TrackingCategory, MailboxFolders):
        model.objects.update(looked_at=F("looked_at") - LOOKED_AT_EVERY - timedelta(seconds=1))


def track(box, folder_id: str, about=None) -> None:
    tracking.track_folder(box, folder_id, "Clients", {"regarding_account": about}, "tests")


# Folders


def test_email_of_a_tracked_folder_is_stored_old_and_new_and_that_of_others_is_not(server, box):
    tracked, other = server.add_folder("Clients"), server.add_folder("Private")
    server.deliver(mime("old"), folder=tracked)
    server.deliver(mime("private"), folder=other)
    track(box, tracked)
    run(server, box)
    server.deliver(mime("new"), folder=tracked)
    run(server, box)
    assert subjects() == ["new", "old"]
    links = RemoteItem.objects.values_list("tracking", "folder__folder_id")
    assert set(links) == {("folder", tracked)}


def test_a_quiet_visit_asks_once_for_each_folder_and_nothing_else(server, box):
    track(box, server.add_folder("Clients"))
    run(server, box)
    organised = MemoryOrganised(server)
    inbox = Inbox(due_now(box), 5)
    outcome = visit(MemoryIncoming(server), inbox, BUDGET, lambda: 0.0, organised=organised)
    assert (outcome.requests, organised.requests) == (2, 0)


def test_a_26th_folder_is_refused(server, box):
    for number in range(TrackingFolder.MOST):
        track(box, f"folder {number}")
    with pytest.raises(Exception, match="At most 25 folders"):
        track(box, "one more")
    track(box, "folder 3")  # to change what it is about


def test_folders_are_tracked_in_mailboxes_of_users_at_exchange_only(server):
    queue = factories.mailbox(owner=Queue.objects.create(name="Support"))
    pop3 = factories.mailbox(
        profile=factories.profile(server_type=1, use_impersonation=False), act_method=2
    )
    for box, words in ((queue, "of users only"), (pop3, "Only Exchange")):
        with pytest.raises(Exception, match=words):
            track(box, "folder")


def test_the_folders_record_is_what_its_email_is_about_whatever_somebody_said(server, box):
    """F143; and all of it when the record changes: F151."""
    first, second = (Account.objects.create(name=name) for name in ("first", "second"))
    folder = server.add_folder("Clients")
    server.deliver(mime("offer"), folder=folder)
    track(box, folder, first)
    run(server, box)
    assert Email.objects.get().regarding == first
    Email.objects.update(regarding_account=second)
    run(server, box)
    assert Email.objects.get().regarding == first
    track(box, folder, second)
    run(server, box)
    assert Email.objects.get().regarding == second


def test_without_its_record_a_folder_leaves_old_email_about_what_it_was(server, box):
    """F148."""
    account = Account.objects.create(name="Contoso")
    folder = server.add_folder("Clients")
    server.deliver(mime("old"), folder=folder)
    track(box, folder, account)
    run(server, box)
    track(box, folder)
    server.deliver(mime("new"), folder=folder)
    run(server, box)
    about = dict(Email.objects.values_list("subject", "regarding_account__name"))
    assert about == {"old": "Contoso", "new": None}


@pytest.mark.parametrize("target_has_record", [True, False])
def test_email_moved_between_tracked_folders(server, box, target_has_record):
    """F149: a target with a record says what it is about, one without leaves it."""
    first, second = (Account.objects.create(name=name) for name in ("first", "second"))
    source, target = server.add_folder("Clients"), server.add_folder("Others")
    (item,) = server.deliver(mime("offer"), folder=source)
    track(box, source, first)
    track(box, target, second if target_has_record else None)
    run(server, box)
    server.move(item, source, target)
    run(server, box)
    assert Email.objects.get().regarding == (second if target_has_record else first)


def test_email_moved_out_of_a_folder_may_be_about_something_else(server, box):
    first, second = (Account.objects.create(name=name) for name in ("first", "second"))
    folder = server.add_folder("Clients")
    (item,) = server.deliver(mime("offer"), folder=folder)
    track(box, folder, first)
    run(server, box)
    server.move(item, folder, INBOX)
    run(server, box)
    Email.objects.update(regarding_account=second)
    run(server, box)
    assert Email.objects.get().regarding == second


def test_of_two_users_who_file_one_email_the_first_says_what_it_is_about(server, box):
    """F150."""
    first, second = (Account.objects.create(name=name) for name in ("first", "second"))
    other_box, other_server = factories.mailbox(), MemoryServer()
    for one, at, account in ((box, server, first), (other_box, other_server, second)):
        folder = at.add_folder("Clients")
        at.deliver(mime("offer"), folder=folder)
        track(one, folder, account)
    for _ in range(2):
        run(server, box)
        run(other_server, other_box)
        assert Email.objects.get().regarding == first


def test_a_renamed_folder_stays_tracked_and_a_new_one_of_its_name_is_not(server, box):
    """F147."""
    folder = server.add_folder("Clients")
    track(box, folder)
    run(server, box)
    server.folders[folder] = MailFolder(folder, "", "Customers")
    namesake = server.add_folder("Clients")
    later()
    server.deliver(mime("kept"), folder=folder)
    server.deliver(mime("not"), folder=namesake)
    run(server, box)
    assert subjects() == ["kept"]
    assert TrackingFolder.objects.get().name == "Customers"


def test_a_folder_moved_out_of_the_inbox_is_tracked_no_more_until_it_is_back(server, box):
    """F146."""
    folder = server.add_folder("Clients")
    track(box, folder)
    run(server, box)
    moved = server.folders.pop(folder)
    later()
    server.deliver(mime("outside"), folder=folder)
    run(server, box)
    assert TrackingFolder.objects.get().state == TrackingFolder.State.GONE
    assert subjects() == []
    server.folders[folder] = moved
    later()
    run(server, box)
    assert subjects() == ["outside"]


def test_a_deleted_folder_stops_nothing_and_its_email_stays_in_the_crm(server, box):
    """F145."""
    folder = server.add_folder("Clients")
    server.deliver(mime("kept"), folder=folder)
    track(box, folder)
    run(server, box)
    del server.others[folder], server.folders[folder]
    run(server, box)
    assert subjects() == ["kept"]
    assert TrackingFolder.objects.get().state == TrackingFolder.State.GONE


def test_untracked_a_folder_keeps_what_it_brought_and_brings_nothing_new(server, box):
    """F144."""
    account = Account.objects.create(name="Contoso")
    folder = server.add_folder("Clients")
    server.deliver(mime("old"), folder=folder)
    track(box, folder, account)
    run(server, box)
    tracking.untrack_folder(TrackingFolder.objects.get(), "tests")
    server.deliver(mime("new"), folder=folder)
    run(server, box)
    assert subjects() == ["old"]
    assert Email.objects.get().regarding == account


@pytest.mark.django_db(transaction=True)
def test_folder_rules_wait_for_no_email_while_they_hold_a_later_one(server, box):
    """Others lock emails in the order of their ids: two would wait in a circle."""
    folder = server.add_folder("Clients")
    server.deliver(mime("one"), mime("two"), folder=folder)
    track(box, folder)
    run(server, box)
    first, last = Email.objects.order_by("pk")
    Email.objects.filter(pk=first.pk).update(text="so that it lies behind the last in the table")
    TrackingFolder.objects.update(regarding_account=Account.objects.create(name="Contoso"))
    inbox = Inbox(due_now(box), item_attempts=5)

    def apply() -> None:
        try:
            with connection.cursor() as cursor:  # as for many: in the order of the table
                cursor.execute("SET enable_nestloop = off; SET enable_mergejoin = off")
            apply_folder_rules(inbox)
        finally:
            connection.close()  # this thread's own

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            Email.objects.select_for_update().get(pk=first.pk)
            applied = thread.submit(apply)
            wait_until(_somebody_waits, what="the rules wait for the first")
            Email.objects.select_for_update(nowait=True).get(pk=last.pk)
        applied.result()
    assert not Email.objects.filter(regarding_account=None).exists()


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def test_email_that_came_another_way_is_about_what_its_folder_says_too(server, box):
    """F143, F151: it was asked for by hand, and its folder is tracked later."""
    account = Account.objects.create(name="Contoso")
    folder = server.add_folder("Clients")
    (item,) = server.deliver(mime("offer"), folder=folder)
    tracking.track_now(box, "tests", item_id=item)
    run(server, box)
    track(box, folder, account)
    run(server, box)
    assert Email.objects.get().regarding == account
    link = RemoteItem.objects.get()
    assert (link.tracking, link.folder.folder_id) == (RemoteItem.Tracking.HAND, folder)


def test_a_folder_outside_the_inbox_is_never_read(server, box):
    """F141: the list of folders that is known is still fresh."""
    run(server, box)
    outside = server.add_folder("Outside")
    del server.folders[outside]
    server.deliver(mime("private"), folder=outside)
    track(box, outside)
    run(server, box)
    assert subjects() == []
    assert TrackingFolder.objects.get().state == TrackingFolder.State.GONE


@pytest.mark.parametrize("asked", ["page", "fetch"])
def test_a_folder_that_is_untracked_while_it_is_read_ends_no_visit(server, box, asked):
    """Tracked again, it is read from its beginning."""
    folder = server.add_folder("Clients")
    server.deliver(mime("offer"), folder=folder)
    track(box, folder)

    class Untracked(MemoryIncoming):
        def page(self, *place):
            page = super().page(*place)
            if folder in place:
                self.untrack("page")
            return page

        def fetch(self, items):
            self.untrack("fetch")
            return super().fetch(items)

        def untrack(self, now: str) -> None:
            for rule in TrackingFolder.objects.all() if now == asked else ():
                tracking.untrack_folder(rule, "tests")

    inbox = Inbox(due_now(box), item_attempts=5)
    outcome = visit(
        Untracked(server), inbox, BUDGET, lambda: 0.0, organised=MemoryOrganised(server)
    )
    assert outcome.fault is None
    connection.check_constraints()
    assert subjects() == ([] if asked == "page" else ["offer"])
    server.deliver(mime("new"), folder=folder)
    track(box, folder)
    run(server, box)
    assert subjects() == ["new", "offer"]
    assert set(RemoteItem.objects.values_list("folder__folder_id", flat=True)) == {folder}


# Categories


def test_the_category_tracks_a_message_that_nobody_wanted(server, box):
    (item,) = server.deliver(mime("offer"))
    run(server, box)
    assert DeclinedItem.objects.get().reason == "none_wanted"
    server.mark(item, TRACKED, "Blue")
    run(server, box)
    assert subjects() == ["offer"]
    assert RemoteItem.objects.get().tracking == RemoteItem.Tracking.CATEGORY
    assert not DeclinedItem.objects.exists()


def test_the_category_taken_off_untracks_and_deletes_nothing(server, box):
    """F153; put on again, it is tracked again."""
    (item,) = server.deliver(mime("offer"))
    run(server, box)
    server.mark(item, TRACKED)
    run(server, box)
    server.mark(item)
    run(server, box)
    assert (subjects(), RemoteItem.objects.get().is_untracked) == (["offer"], True)
    server.mark(item, TRACKED)
    run(server, box)
    assert not RemoteItem.objects.get().is_untracked


def test_our_categories_are_made_and_known_by_their_ids(server, box):
    """F154: renamed they go on tracking; deleted they are made again in a quarter of an hour."""
    run(server, box)
    assert sorted(server.categories.values()) == sorted(NAMES.values())
    ours = TrackingCategory.objects.get(kind=TrackingCategory.Kind.TRACKED).category_id
    server.categories[ours] = "Ins CRM"
    later()
    run(server, box)
    (item,) = server.deliver(mime("offer"))
    server.mark(item, "Ins CRM")
    run(server, box)
    assert subjects() == ["offer"]
    del server.categories[ours]
    run(server, box)
    assert ours not in server.categories
    later()
    run(server, box)
    assert server.categories[ours] == TRACKED


@pytest.mark.parametrize("place", ["Inbox", "folder"])
def test_nothing_is_lost_between_a_new_name_of_the_category_and_our_look_at_it(server, box, place):
    """F153, F154: what carries the new name before it is known here."""
    folder = server.add_folder("Clients") if place == "folder" else INBOX
    if place == "folder":
        track(box, folder)
    old, other, kept = server.deliver(mime("old"), mime("other"), mime("kept"), folder=folder)
    for item in (old, other, kept):
        server.marks[item] = {TRACKED}
    run(server, box)
    RemoteItem.objects.update(tracking=RemoteItem.Tracking.CATEGORY)
    ours = TrackingCategory.objects.get(kind=TrackingCategory.Kind.TRACKED).category_id
    server.categories[ours] = "Ins CRM"
    (new,) = server.deliver(mime("new"))
    for item, name in ((new, "Ins CRM"), (old, "Ins CRM"), (other, "Blue")):
        server.marks[item] = {name}
        server.log_of(INBOX if item == new else folder).append(item)
    run(server, box)
    later()
    run(server, box)
    assert "new" in subjects()
    # Outlook gives what has the old name the new one, in its own time.
    untracked = RemoteItem.objects.filter(is_untracked=True)
    assert list(untracked.values_list("email__subject", flat=True)) == ["other"]


def test_switched_off_categories_are_taken_away_and_what_they_brought_stays(server, box):
    (item,) = server.deliver(mime("offer"))
    run(server, box)
    server.mark(item, TRACKED)
    run(server, box)
    administration.change_organisation("tests", uses_category_tracking=False)
    run(server, box)
    assert server.categories == {}
    assert subjects() == ["offer"]


def test_what_was_given_up_is_marked_as_undeliverable_and_comes_back_by_its_category(server, box):
    """F117, F157."""
    box.profile.move_failed_to_undeliverable = False
    run(server, box)
    (item,) = server.deliver(mime("offer"))
    server.bad = {item: fault(scope=Scope.EMAIL)}
    server.mark(item, TRACKED)
    for _ in range(5):
        assert UNDELIVERABLE not in server.marks[item]
        run(server, box)
    assert server.marks[item] == {TRACKED, UNDELIVERABLE}
    assert ItemFailure.objects.get().state == ItemFailure.State.GIVEN_UP
    server.bad = {}
    server.mark(item, TRACKED)
    run(server, box)
    assert subjects() == ["offer"]


def test_what_was_given_up_is_moved_where_the_profile_says_so(server, box):
    """F045."""
    (item,) = server.deliver(b"")
    server.items[item] = b"\r\n"
    run(server, box, undeliverable="Undeliverable")
    run(server, box, undeliverable="Undeliverable")
    assert server.undeliverable == [item]


@pytest.mark.parametrize("move_to", ["", "Undeliverable"])
@pytest.mark.parametrize(
    "refusal", [fault(Nature.PERMANENT, Scope.EMAIL), fault(Nature.TRANSIENT), fault(Nature.RESYNC)]
)
def test_a_message_that_can_not_even_be_marked_stops_nothing(server, box, refusal, move_to):
    """A corrupt message is refused whenever it is written to: that switched its mailbox off."""
    run(server, box)
    server.deliver(b"\r\n")
    server.unwritable = dict.fromkeys(("categorise", "move_to_undeliverable"), refusal)
    server.deliver(mime("good", message_id="<good@x.test>"))
    run(server, box, undeliverable=move_to)
    failure = ItemFailure.objects.get()
    assert (failure.state, failure.is_marked) == (ItemFailure.State.GIVEN_UP, True)
    assert Alert.objects.filter(code=refusal.code).exists()


@pytest.mark.parametrize("nature", [Nature.THROTTLED, Nature.TRANSIENT])
def test_a_server_in_trouble_is_asked_later_to_mark_what_was_given_up(server, box, nature):
    run(server, box)
    server.deliver(b"\r\n")
    run(server, box, undeliverable="")
    ItemFailure.objects.update(is_marked=False)
    server.unwritable = {"categorise": fault(nature)}

    class Down(MemoryIncoming):
        def check(self) -> None:
            raise FaultError(fault(nature))

    inbox = Inbox(due_now(box), item_attempts=5)
    outcome = visit(Down(server), inbox, BUDGET, lambda: 0.0, organised=MemoryOrganised(server))
    assert outcome.fault == fault(nature)
    assert not ItemFailure.objects.get().is_marked


def test_a_mailbox_too_full_for_our_categories_is_read_all_the_same(server):
    box = factories.mailbox()
    server.unwritable = {"save_category": fault()}
    server.deliver(mime("offer"))
    run(server, box)
    assert subjects() == ["offer"]
    assert Alert.objects.filter(code="test.fault").exists()
    server.unwritable = {}
    later()
    run(server, box)
    assert sorted(server.categories.values()) == sorted(NAMES.values())


def test_categories_that_can_not_be_taken_away_keep_no_mail(server):
    box = factories.mailbox()
    run(server, box)
    administration.change_organisation("tests", uses_category_tracking=False)
    server.unwritable = {"remove_category": fault()}
    server.deliver(mime("offer"))
    run(server, box)
    assert subjects() == ["offer"]
    assert TrackingCategory.objects.count() == 2  # the next visit tries again


# By hand


def request(box, **which) -> TrackRequest:
    return tracking.track_now(box, "tests", **which)


def test_a_message_asked_for_comes_in_at_once_and_alone(server, box):
    account = Account.objects.create(name="Contoso")
    server.deliver(mime("other"))
    (item,) = server.deliver(mime("offer"))
    wanted = request(box, item_id=item, about={"regarding_account": account})
    run(server, box, only_requests=True)
    wanted.refresh_from_db()
    assert (wanted.state, wanted.email.subject) == (TrackRequest.State.DONE, "offer")
    assert wanted.email.regarding == account
    assert subjects() == ["offer"]


def test_a_message_is_found_by_its_message_id(server, box):
    server.deliver(mime("offer", message_id="<a@b>"))
    wanted = request(box, message_id="a@b")
    run(server, box)
    wanted.refresh_from_db()
    assert wanted.email.subject == "offer"


def test_a_message_that_is_in_the_crm_already_is_linked_by_hand_from_now_on(server, box):
    (item,) = server.deliver(mime("offer"))
    request(box, item_id=item)
    run(server, box)
    account = Account.objects.create(name="Contoso")
    again = request(box, item_id=item, about={"regarding_account": account})
    run(server, box)
    again.refresh_from_db()
    assert (again.state, again.email.regarding) == (TrackRequest.State.DONE, account)
    assert Email.objects.count() == 1


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        ({"message_id": "<nobody@knows>"}, "the Inbox has no message with this Message-ID"),
        ({"item_id": "gone"}, "the message is no longer in the mailbox"),
        ({"item_id": "empty"}, "There is neither a header nor any text in it."),
    ],
)
def test_a_message_that_can_not_be_stored_says_why(server, box, which, reason):
    server.items["empty"] = b"\r\n"
    wanted = request(box, **which)
    run(server, box)
    wanted.refresh_from_db()
    assert (wanted.state, wanted.reason) == (TrackRequest.State.FAILED, reason)


def test_rights_managed_email_stays_out_however_it_is_tracked_and_says_why(server, box):
    """F120: by hand, by category, by folder."""
    administration.change_organisation("tests", leaves_out_rights_managed=True)
    folder = server.add_folder("Clients")
    track(box, folder)
    run(server, box)
    secret = [b"Content-Class: rpmsg.message\n" + mime(f"secret {number}") for number in range(3)]
    by_hand, by_category = server.deliver(*secret[:2])
    server.deliver(secret[2], folder=folder)
    server.mark(by_category, TRACKED)
    wanted = request(box, item_id=by_hand)
    run(server, box)
    wanted.refresh_from_db()
    assert subjects() == []
    assert (wanted.state, wanted.reason) == (
        TrackRequest.State.FAILED,
        "its rights are managed (IRM)",
    )
    reasons = DeclinedItem.objects.order_by("subject").values_list("subject", "reason")
    assert list(reasons) == [(f"secret {number}", "rights_managed") for number in range(3)]


def test_the_former_owners_request_reads_nothing_in_the_new_owners_mailbox(server, box):
    (item,) = server.deliver(mime("private"))
    request(box, item_id=item)
    new_owner = factories.user("new@example.test", incoming_filter=IncomingFilter.NONE)
    administration.map_mailbox(box, new_owner, take_over=True)
    directions.enable([box.pk], [Direction.Kind.INCOMING], "tests")
    run(server, box)
    assert subjects() == []


def test_a_message_too_large_is_not_fetched_because_somebody_asked_for_it(server, box):
    server.deliver(mime("offer", message_id="<a@b>", attached=b"x" * 2**16))
    wanted = request(box, message_id="<a@b>")
    gateway, inbox = MemoryIncoming(server), Inbox(due_now(box), item_attempts=5)
    visit(gateway, inbox, replace(BUDGET, message_bytes=2**10), lambda: 0.0)
    wanted.refresh_from_db()
    assert "MESSAGE_BYTES" in wanted.reason
    assert gateway.fetched == []


def test_a_server_that_refuses_to_look_for_a_message_keeps_no_other(server):
    box = factories.mailbox()
    server.deliver(mime("offer"))
    wanted = request(box, message_id="<a@b>")

    class Refusing(MemoryIncoming):
        def find(self, message_id):
            raise FaultError(replace(fault(), provenance=Provenance.EWS))

    inbox = Inbox(due_now(box), item_attempts=5)
    assert visit(Refusing(server), inbox, BUDGET, lambda: 0.0).fault is None
    wanted.refresh_from_db()
    assert (wanted.state, wanted.reason) == (TrackRequest.State.FAILED, "a fault")
    assert subjects() == ["offer"]


def test_a_visit_whose_time_is_over_leaves_requests_to_the_next(server, box):
    items = server.deliver(*(mime(f"mail {number}") for number in range(3)))
    for item in items:
        request(box, item_id=item)
    inbox = Inbox(due_now(box), item_attempts=5)
    outcome = visit(
        MemoryIncoming(server), inbox, BUDGET, lambda: 0.0, lambda: Email.objects.exists(),
        only_requests=True,
    )  # fmt: skip
    assert (outcome.stopped, outcome.more_left, subjects()) == (True, True, ["mail 0"])
    run(server, box, only_requests=True)
    assert len(subjects()) == 3


@pytest.mark.parametrize("which", ["item_id", "message_id"])
def test_an_id_longer_than_any_is_refused(box, which):
    with pytest.raises(ValidationError, match="at most 1000 characters"):
        request(box, **{which: "x" * (RemoteItem.LONGEST_ID + 1)})


def test_nothing_is_asked_for_in_a_mailbox_that_is_parked(box):
    Schedule.objects.filter(mailbox=box).update(due_at=None, parked_at=Now())
    with pytest.raises(ValidationError, match="resume it first"):
        request(box, item_id="wanted")
    Schedule.objects.filter(mailbox=box).update(parked_at=None)
    with pytest.raises(ValidationError, match="test and enable the mailbox first"):
        request(box, item_id="wanted")


def test_requests_of_a_mailbox_that_is_no_longer_visited_stand_before_no_others(box):
    other = factories.mailbox()
    for one in (box, other):
        request(one, item_id="wanted")
    directions.disable([box.pk], [Direction.Kind.INCOMING], "tests")
    assert tracking.requested(1) == [other.pk]


# Sent Items


def test_sent_items_are_tracked_by_the_option_of_who_sent_them(server):
    """F119."""
    administration.change_organisation("tests", tracks_sent_items=True)
    box = factories.mailbox(incoming_filter=IncomingFilter.FROM_PEOPLE)
    Account.objects.create(name="Contoso", email_address="info@contoso.test")
    me = {"sender": box.email_address}
    server.deliver(
        mime("to a customer", to="info@contoso.test", **me),
        mime("to a stranger", to="stranger@x.test", **me),
        folder=SENT_ITEMS,
    )
    run(server, box)
    email = Email.objects.get()
    assert (email.subject, email.direction) == ("to a customer", Email.Direction.OUTGOING)
    assert email.status == Email.Status.SENT
    assert DeclinedItem.objects.get().subject == "to a stranger"


# Delete after processing


@pytest.mark.parametrize(("is_queues", "left"), [(True, []), (False, ["offer"])])
def test_what_is_stored_is_deleted_in_mailboxes_of_queues_only(server, is_queues, left):
    """F085."""
    owner = Queue.objects.create(name="Support") if is_queues else None
    box = factories.mailbox(owner=owner)
    type(box).objects.filter(pk=box.pk).update(delete_after_processing=True)
    server.deliver(mime("offer"))
    run(server, box)
    assert subjects() == ["offer"]
    assert [
        content.split(b"Subject: ")[1][:5].decode() for content in server.items.values()
    ] == left
    assert not RemoteItem.objects.filter(is_to_delete=True).exists()


def test_what_is_not_in_the_crm_is_not_deleted(server):
    queue = Queue.objects.create(name="Support", incoming_filter=IncomingFilter.IN_RESPONSE)
    box = factories.mailbox(owner=queue, delete_after_processing=True)
    server.deliver(mime("unwanted"))
    run(server, box)
    assert len(server.items) == 1
