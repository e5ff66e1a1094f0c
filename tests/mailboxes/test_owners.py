"""Whose mailbox it is: it comes with its owner, follows the address, and changes hands asked."""

from datetime import UTC, datetime
from threading import Barrier, Thread

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from syncservice.alerts import alerts
from syncservice.alerts.models import Alert
from syncservice.crm.models import Queue, User
from syncservice.mailboxes import administration, directions
from syncservice.mailboxes.administration import TakeOverQuestion, map_mailbox
from syncservice.mailboxes.models import (
    ChangeRecord,
    Direction,
    FolderCursor,
    Mailbox,
    MailboxMapping,
    Organisation,
    Schedule,
)
from syncservice.mailboxes.rules import mailbox_problems
from syncservice.mailboxes.signals import mailbox_taken_over
from tests import factories

pytestmark = pytest.mark.django_db

EMPTY, APPROVED, PENDING, REJECTED = Mailbox.Approval
HELP = "help@example.test"


def a_user(name: str, address: str | None = None) -> User:
    return User.objects.create_user(name, f"{name}@example.test" if address is None else address)


def a_queue(name: str = "Support", address: str = HELP, **fields) -> Queue:
    return Queue.objects.create(name=name, email_address=address, **fields)


OWNERS = pytest.mark.parametrize("make", [a_user, a_queue], ids=["user", "queue"])


def box_of(owner: User | Queue) -> Mailbox:
    box = administration.mailbox_of(owner)
    assert box is not None
    return box


def running(owner: User | Queue, **fields) -> Mailbox:
    """Return an owner's mailbox, approved and switched on in every direction."""
    box = box_of(owner)
    fields = {"profile": factories.profile(), "approval": APPROVED, **fields}
    Mailbox.objects.filter(pk=box.pk).update(**fields)
    directions.enable([box.pk], Direction.Kind, "tests")
    return Mailbox.objects.get(pk=box.pk)


def is_due(box: Mailbox) -> bool:
    return Schedule.objects.get(mailbox=box, lane="incoming").due_at is not None


def everything() -> list[list[dict]]:
    """What the database holds of mailboxes, owners, and what is told of them."""
    models = (User, Queue, Mailbox, MailboxMapping, Direction, Schedule, ChangeRecord, Alert)
    return [list(model.objects.order_by("pk").values()) for model in models]


# A mailbox comes with its owner.


@OWNERS
def test_an_owner_has_a_mailbox_from_the_start(make):
    owner = make("one", "one@example.test")
    box = box_of(owner)
    assert (box.email_address, box.approval, box.name) == ("one@example.test", PENDING, "one")
    assert administration.owner_of(box) == owner
    assert not box.directions.filter(is_enabled=True).exists()
    assert not is_due(box)
    assert box.email_since is not None  # old mail comes only when a person says so


@OWNERS
def test_an_owner_without_an_address_has_a_mailbox_without(make):
    box = box_of(make("one", ""))
    assert (box.email_address, box.approval) == ("", EMPTY)


def test_a_new_mailbox_has_the_organisations_defaults():
    profile = factories.profile()
    administration.change_organisation(
        "anna", default_profile=profile, default_incoming=3, default_outgoing=0, default_act=1
    )
    box = box_of(a_user("ann"))
    assert (box.profile, box.incoming_method, box.outgoing_method, box.act_method) == (
        profile, 3, 0, 1
    )  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [{"server_type": 1}, {"use_impersonation": False}],
    ids=["POP3 has no calendar", "ACT needs impersonation"],
)
def test_defaults_that_the_default_profile_cannot_serve_are_left_out(fields):
    administration.change_organisation(
        "anna", default_profile=factories.profile(**fields), default_act=1
    )
    box = box_of(a_user("ann"))
    assert box.act_method == 2
    assert mailbox_problems(box) == {}


def test_an_address_that_is_taken_is_left_to_a_person():
    box = box_of(a_user("ann"))
    queue = a_queue(address="Ann@Example.test")
    assert (box_of(queue).email_address, box_of(queue).approval) == ("", EMPTY)
    assert administration.owner_of(box).username == "ann"


def test_a_mailbox_that_waits_for_its_owner_is_taken():
    waiting = Mailbox.objects.create(name="x", email_address="ann@example.test")
    assert box_of(a_user("ann")) == waiting


def test_a_forward_mailbox_becomes_nobodys():
    Mailbox.objects.create(
        name="x", email_address="ann@example.test", is_forward=True, outgoing_method=0
    )
    assert box_of(a_user("ann")).email_address == ""


def test_owners_who_came_without_a_mailbox_are_given_one():
    User.objects.bulk_create([User(username="ann", email="ann@example.test")])
    Queue.objects.bulk_create([Queue(name="Support", email_address=HELP)])
    a_user("bert")
    assert administration.provide_missing(10) == 2
    assert administration.provide_missing(10) == 0
    assert box_of(Queue.objects.get()).email_address == HELP
    assert box_of(User.objects.get(username="ann")).email_address == "ann@example.test"


# The address: the owner's and the mailbox's are one.


@OWNERS
def test_a_mailbox_follows_its_owners_address_and_needs_approval_anew(make):
    owner = make("one", "one@example.test")
    box = running(owner)
    FolderCursor.objects.create(mailbox=box, folder="inbox", position="far")
    assert is_due(box)
    fence = Schedule.objects.get(mailbox=box, lane="incoming").fence
    owner = type(owner).objects.get(pk=owner.pk)
    setattr(owner, owner.ADDRESS, "new@example.test")
    owner.save()
    box.refresh_from_db()
    assert (box.email_address, box.approval) == ("new@example.test", PENDING)
    assert not is_due(box)
    assert Schedule.objects.get(mailbox=box, lane="incoming").fence > fence
    assert not box.cursors.exists()


@OWNERS
def test_an_owner_follows_the_mailboxs_address(make):
    owner = make("one", "one@example.test")
    administration.change_address(box_of(owner), "new@example.test", "anna")
    owner.refresh_from_db()
    assert administration.address_of(owner) == "new@example.test"
    assert box_of(owner).approval == PENDING
    assert ChangeRecord.objects.filter(actor="anna", action="mailbox.address_changed").exists()


def test_saving_an_owner_twice_follows_each_address():
    ann = a_user("ann")
    for address in ("b@example.test", "c@example.test"):
        ann.email = address
        ann.save()
        assert box_of(ann).email_address == address


def test_a_change_of_something_else_asks_for_no_approval():
    box = running(ann := a_user("ann"))
    ann = User.objects.get(pk=ann.pk)
    ann.first_name = "Ann"
    ann.save()
    box.refresh_from_db()
    assert box.approval == APPROVED


def test_an_address_that_is_another_mailboxs_is_not_followed():
    a_user("bert")
    ann = a_user("ann")
    ann.email = "bert@example.test"
    ann.save()
    assert box_of(ann).email_address == "ann@example.test"
    with pytest.raises(ValidationError):
        administration.change_address(box_of(ann), "BERT@example.test", "anna")


def test_a_mailbox_with_another_address_than_its_owner_keeps_it():
    ann = a_user("ann")
    Mailbox.objects.filter(pk=box_of(ann).pk).update(email_address=HELP)
    ann.email = "new@example.test"
    ann.save()
    assert box_of(ann).email_address == HELP


def test_an_address_that_goes_leaves_an_empty_mailbox():
    ann = a_user("ann")
    ann.email = ""
    ann.save()
    assert (box_of(ann).email_address, box_of(ann).approval) == ("", EMPTY)


def test_a_user_can_be_given_an_address_while_the_mailbox_wants_a_password():
    """Saving the user failed with a complaint about the mailbox's missing account."""
    each = factories.profile(credentials=0, username="", password="", use_impersonation=False)
    administration.change_organisation("anna", default_profile=each)
    ann = a_user("ann")
    ann.email = "new@example.test"
    ann.save()
    assert box_of(ann).email_address == "new@example.test"


# Approval.


@pytest.mark.parametrize("approval", [EMPTY, APPROVED, PENDING, REJECTED])
@pytest.mark.parametrize("wanted", [True, False])
@OWNERS
def test_unapproved_addresses_are_processed_only_where_approval_is_not_wanted(
    make, wanted, approval
):
    box = running(make("one", "one@example.test"), approval=approval)
    of = "approves_users" if make is a_user else "approves_queues"
    administration.change_organisation("anna", **{of: wanted})
    assert is_due(box) is (approval == APPROVED or not wanted)


def test_a_decision_is_planned_counted_and_written_down():
    boxes = [running(a_user(name), approval=PENDING) for name in ("ann", "bert")]
    ids = [box.pk for box in boxes]
    assert administration.decide_approval(ids, "anna", approved=True) == 2
    assert all(map(is_due, boxes))
    assert administration.decide_approval(ids, "anna", approved=True) == 0
    assert administration.decide_approval(ids[:1], "anna", approved=False) == 1
    assert [is_due(box) for box in boxes] == [False, True]
    made = ChangeRecord.objects.filter(actor="anna").order_by("pk")
    assert [one.action for one in made] == ["mailbox.approved"] * 2 + ["mailbox.rejected"]


def test_a_mailbox_without_an_address_cannot_be_approved():
    box = box_of(a_user("ann", ""))
    assert administration.decide_approval([box.pk], "anna", approved=True) == 0
    box.refresh_from_db()
    assert box.approval == EMPTY


# A mailbox changes hands.


def test_an_empty_mailbox_is_left_without_a_question():
    free = Mailbox.objects.create(name="x", email_address="free@example.test")
    ann = a_user("ann", "")
    empty = box_of(ann)
    map_mailbox(free, ann)
    assert box_of(ann) == free
    assert not Mailbox.objects.filter(pk=empty.pk).exists()


def question(kind: str) -> tuple[Mailbox, User | Queue, str]:
    """Make one of the situations in which somebody loses a mailbox."""
    if kind == "a user's goes to a user":
        return running(a_user("ann")), a_user("bert", ""), "is the mailbox of ann."
    if kind == "a user's goes to a queue":
        return running(a_user("ann")), a_queue(address=""), "is the mailbox of ann."
    if kind == "a queue's goes to a user":
        return running(a_queue()), a_user("bert", ""), "is the mailbox of Support."
    free = Mailbox.objects.create(name="x", email_address="free@example.test")
    return free, a_user("bert"), "bert has the mailbox bert@example.test."


QUESTIONS = pytest.mark.parametrize(
    "kind",
    [
        "a user's goes to a user",
        "a user's goes to a queue",
        "a queue's goes to a user",
        "its new owner leaves another",
    ],
)


@QUESTIONS
def test_without_an_answer_nothing_changes(kind):
    box, owner, words = question(kind)
    before = everything()
    with pytest.raises(TakeOverQuestion) as asked:
        map_mailbox(box, owner)
    assert words in str(asked.value)
    assert f"Map {box} to {owner}? That ends the former mapping" in str(asked.value)
    assert everything() == before


@QUESTIONS
def test_answered_yes_it_has_its_new_owner_and_a_record_says_so(kind):
    box, owner, _ = question(kind)
    map_mailbox(box, owner, take_over=True, actor="anna")
    assert administration.owner_of(box) == owner
    record = ChangeRecord.objects.get(action="mailbox.taken_over")
    assert (record.actor, record.mailbox, record.facts["owner"]) == ("anna", box, str(owner))


def test_a_take_over_ends_all_that_was_kept_in_step_for_the_former_owner():
    ann, bert = a_user("ann"), a_user("bert", "")
    box = running(ann, allow_credentials=True, username="ann", password="s3cret")
    claim = factories.claim(box)
    directions.request_tests([box.pk], "ann")
    map_mailbox(box, bert, take_over=True)
    box.refresh_from_db()
    assert not box.directions.filter(is_enabled=True).exists()
    assert not box.directions.filter(test_due_at__isnull=False).exists()
    assert not is_due(box)
    assert Schedule.objects.get(mailbox=box, lane="incoming").fence > claim.fence
    assert (box.allow_credentials, box.username, box.password) == (False, "", "")
    ended = MailboxMapping.objects.get(mailbox=box, user=ann)
    started = MailboxMapping.objects.get(mailbox=box, user=bert)
    assert ended.ended_at < box.process_email_from  # what came before stays the former owner's
    assert started.ended_at is None


def test_the_former_owner_is_told_and_has_a_mailbox_again():
    ann = a_user("ann")
    box = running(ann)
    alerts.raise_for_mailbox(box.pk, 3, "test.failed", direction="incoming")
    map_mailbox(box, a_user("bert", ""), take_over=True)
    told = Alert.objects.get(ended_at=None)
    assert (told.code, told.owner, told.mailbox) == (alerts.TAKEN_OVER, ann, box)
    assert box_of(ann) != box
    assert (box_of(ann).email_address, box_of(ann).approval) == ("", EMPTY)


def test_the_owner_of_a_queue_is_told_what_became_of_its_mailbox():
    ann = a_user("ann")
    box = running(a_queue(owner=ann))
    map_mailbox(box, a_user("bert", ""), take_over=True)
    assert Alert.objects.get(code=alerts.TAKEN_OVER).owner == ann


def test_the_mailbox_that_is_left_rests_and_its_next_owner_gets_no_account():
    """What its owner had entered there was still there for whoever got the mailbox later."""
    ann, bert = a_user("ann"), a_user("bert", "")
    left = running(ann, allow_credentials=True, username="ann", password="s3cret")
    map_mailbox(running(a_queue()), ann, take_over=True)
    assert administration.owner_of(left) is None
    assert not is_due(left)
    map_mailbox(left, bert)
    left.refresh_from_db()
    assert (left.allow_credentials, left.username, left.password) == (False, "", "")
    assert left.process_email_from > MailboxMapping.objects.get(mailbox=left, user=ann).ended_at


def test_nothing_is_deleted_from_a_mailbox_that_becomes_a_users():
    box = running(a_queue(), delete_after_processing=True)
    map_mailbox(box, a_user("ann", ""), take_over=True)
    box.refresh_from_db()
    assert not box.delete_after_processing


def test_what_is_given_with_a_take_over_outlives_it():
    each = factories.profile(credentials=0, username="", password="", use_impersonation=False)
    running(a_user("ann"), allow_credentials=True, username="ann", password="s3cret")
    box = administration.add_mailbox(
        "ann@example.test", each, queue=a_queue(address=""), take_over=True,
        delete_after_processing=True, allow_credentials=True, username="help", password="other",
    )  # fmt: skip
    box.refresh_from_db()
    assert (box.username, box.password, box.delete_after_processing) == ("help", "other", True)
    assert box.email_since is not None  # the former owner's email stays where it was
    assert is_due(box)


def test_mapping_to_the_same_owner_changes_nothing():
    box = running(ann := a_user("ann"))
    before = everything()
    map_mailbox(box, ann, take_over=True)
    assert everything() == before


def test_two_owners_can_exchange_their_mailboxes():
    ann, bert = a_user("ann"), a_user("bert")
    hers, his = running(ann), running(bert)
    map_mailbox(hers, bert, take_over=True)
    map_mailbox(his, ann, take_over=True)
    assert (box_of(ann), box_of(bert)) == (his, hers)
    assert Mailbox.objects.count() == 2  # the empty one in between is gone


def test_a_take_over_that_fails_halfway_leaves_everything_as_it_was():
    box, bert = running(a_user("ann")), a_user("bert", "")
    before = everything()

    def fail(**_) -> None:
        raise RuntimeError("the power went")

    mailbox_taken_over.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            map_mailbox(box, bert, take_over=True)
    finally:
        mailbox_taken_over.disconnect(fail)
    assert everything() == before


def at_once(*actions) -> list[Exception]:
    """Do several things at the same moment; return what was raised."""
    start, raised = Barrier(len(actions)), []

    def act(action) -> None:
        start.wait(20)
        try:
            action()
        except Exception as error:  # noqa: BLE001 # the test shows it
            raised.append(error)
        finally:
            connection.close()

    threads = [Thread(target=act, args=[action]) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return raised


def take(box: Mailbox, owner: User | Queue):
    return lambda: map_mailbox(Mailbox.objects.get(pk=box.pk), owner, take_over=True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "kind", ["one mailbox to two owners", "two mailboxes to one owner", "an exchange"]
)
def test_take_overs_at_once_end_as_if_one_had_come_after_the_other(kind):
    for number in range(5):
        ann, bert = a_user(f"ann{number}"), a_user(f"bert{number}")
        hers, his, free = running(ann), running(bert), running(a_user(f"carl{number}"))
        pairs = {
            "one mailbox to two owners": [(free, ann), (free, bert)],
            "two mailboxes to one owner": [(free, ann), (his, ann)],
            "an exchange": [(hers, bert), (his, ann)],
        }[kind]
        assert at_once(*(take(box, owner) for box, owner in pairs)) == []
        for owner in (ann, bert):
            assert MailboxMapping.objects.filter(user=owner, ended_at=None).count() == 1
        for box, _ in pairs:
            assert MailboxMapping.objects.filter(mailbox=box, ended_at=None).count() <= 1


# From when on, what may be deleted, and the defaults for many.

EARLY, LATE = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 6))


@pytest.mark.parametrize(
    ("of_profile", "of_mailbox", "since"),
    [
        (None, None, None),
        (EARLY, None, EARLY),
        (None, EARLY, EARLY),
        (EARLY, LATE, LATE),
        (LATE, EARLY, LATE),
    ],
)
def test_email_is_read_from_the_later_of_the_two_moments(of_profile, of_mailbox, since):
    profile = factories.profile(process_email_from=of_profile)
    box = factories.mailbox(profile=profile, process_email_from=of_mailbox)
    assert box.email_since == since


@pytest.mark.parametrize(("make", "may"), [(a_user, False), (a_queue, True)])
def test_only_email_of_queues_is_deleted_after_processing(make, may):
    box = running(make("one", "one@example.test"))
    if may:
        administration.change_mailbox(box, "anna", delete_after_processing=True)
        return
    with pytest.raises(ValidationError, match="deleted only from the mailboxes of queues"):
        administration.change_mailbox(box, "anna", delete_after_processing=True)


def test_defaults_are_applied_to_many_and_tested():
    boxes = [running(a_user(name)) for name in ("ann", "bert")]
    other = running(a_user("carl"))
    forward = Mailbox.objects.create(
        name="f", email_address="f@example.test", is_forward=True, outgoing_method=0
    )
    profile = factories.profile()
    administration.change_organisation("anna", default_profile=profile, default_act=1)
    ids = [box.pk for box in (*boxes, forward)]
    assert administration.apply_defaults(ids, "anna") == 3
    for box in (*boxes, forward, other):
        box.refresh_from_db()
    methods = [(box.profile, box.outgoing_method, box.act_method) for box in (*boxes, forward)]
    assert methods == [(profile, 2, 1), (profile, 2, 1), (profile, 0, 2)]
    assert other.profile != profile
    waiting = Direction.objects.exclude(test_due_at=None).values_list("mailbox", "kind")
    assert sorted(waiting) == sorted(
        [(box.pk, kind) for box in boxes for kind in Direction.Kind] + [(forward.pk, "incoming")]
    )


def test_defaults_without_a_profile_take_no_mailboxs_profile_away():
    """The mailboxes of a whole organisation stopped, because nobody had chosen a default."""
    box = running(a_user("ann"), act_method=1)
    profile = box.profile
    assert Organisation.current().default_profile is None
    with pytest.raises(ValidationError, match="no default server profile"):
        administration.apply_defaults([box.pk], "anna")
    box.refresh_from_db()
    assert (box.profile, box.act_method) == (profile, 1)
    assert is_due(box)
