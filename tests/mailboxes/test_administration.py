"""Profiles and mailboxes: who may have which, and what is stored of a password."""

import contextlib
from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import Email, Queue, User
from syncservice.mailboxes import administration, schedule
from syncservice.mailboxes.administration import TakeOverQuestion, add_mailbox, save_profile
from syncservice.mailboxes.models import (
    ChangeRecord,
    EmailServerProfile,
    FolderCursor,
    Mailbox,
    MailboxMapping,
    RemoteItem,
    Schedule,
)
from syncservice.mailboxes.schedule import ClaimLost
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def profile() -> EmailServerProfile:
    return save_profile(
        "Exchange",
        location="https://mail.example.test/EWS/Exchange.asmx",
        username="svc",
        password="secret",
        use_impersonation=True,
    )


def in_force(box: Mailbox) -> MailboxMapping:
    return MailboxMapping.objects.get(mailbox=box, ended_at=None)


def test_a_new_mailbox_has_an_owner_and_is_due(profile):
    box = add_mailbox("ann@example.test", profile)
    assert MailboxMapping.objects.get(mailbox=box).user.email == "ann@example.test"
    assert Schedule.objects.get(mailbox=box).due_at is not None


def test_adding_the_same_mailbox_again_changes_nothing(profile):
    add_mailbox("ann@example.test", profile)
    add_mailbox("ANN@example.test", profile)
    assert (Mailbox.objects.count(), MailboxMapping.objects.count()) == (1, 1)


def test_a_second_mailbox_of_a_user_is_a_question(profile):
    ann = User.objects.create_user("ann", "ann@example.test")
    add_mailbox("ann@example.test", profile)
    with pytest.raises(TakeOverQuestion, match=r"ann has the mailbox ann@example\.test"):
        add_mailbox("second@example.test", profile, user=ann)
    assert not Mailbox.objects.filter(email_address="second@example.test").exists()


def test_a_mailbox_of_somebody_else_is_not_taken_silently(profile):
    add_mailbox("ann@example.test", profile)
    with pytest.raises(TakeOverQuestion, match=r"is the mailbox of ann@example\.test"):
        add_mailbox("ann@example.test", profile, queue=Queue.objects.create(name="Support"))


def test_adding_a_mailbox_again_keeps_the_owner_it_was_given_since(profile):
    support = Queue.objects.create(name="Support")
    add_mailbox("help@example.test", profile, queue=support)
    add_mailbox("help@example.test", profile)  # what `up` does at every start
    assert in_force(Mailbox.objects.get(email_address="help@example.test")).queue == support


def test_a_wrong_url_is_refused_in_words():
    with pytest.raises(ValidationError, match="URL"):
        save_profile("Exchange", location="mail.example.test")


@pytest.mark.parametrize("owner", ["user", "queue"])
def test_the_database_itself_forbids_a_second_mapping_in_force(profile, owner):
    """Whatever our code does: one owner a mailbox, one mailbox an owner."""
    holder = (
        User.objects.create_user("ann") if owner == "user" else Queue.objects.create(name="Support")
    )
    bob = User.objects.create_user("bob")
    free = Mailbox.objects.create(name="x", email_address="free@example.test", profile=profile)
    taken = administration.mailbox_of(holder)
    with pytest.raises(IntegrityError), transaction.atomic():
        MailboxMapping.objects.create(mailbox=free, **{owner: holder})
    with pytest.raises(IntegrityError), transaction.atomic():
        MailboxMapping.objects.create(mailbox=taken, user=bob)
    with pytest.raises(IntegrityError), transaction.atomic():
        MailboxMapping.objects.create(mailbox=free)


def test_two_mailboxes_cannot_have_one_address_in_different_case(profile):
    factories.mailbox(email_address="ann@example.test")
    with pytest.raises(IntegrityError):
        Mailbox.objects.create(name="x", email_address="Ann@Example.test")


def test_the_database_never_sees_a_password(profile):
    save_profile("Exchange", password="correct horse")
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM mailboxes_emailserverprofile")
        (stored,) = cursor.fetchone()
    assert "correct horse" not in stored
    assert EmailServerProfile.objects.get().password == "correct horse"


def test_saving_a_profile_as_it_is_changes_nothing(profile):
    """Which `up` does at every start."""
    before = ChangeRecord.objects.count()
    save_profile("Exchange", location=profile.location, password="secret")
    assert ChangeRecord.objects.count() == before


def pop3(**fields):
    server_type = EmailServerProfile.ServerType.POP3_SMTP
    fields |= {"location": "pop.example.test", "outgoing_location": "smtp.example.test"}
    return factories.profile(server_type=server_type, use_impersonation=False, **fields)


def exchange():
    return factories.profile(location="https://mail.example.test/EWS/Exchange.asmx")


INCOMING = {"direction": Email.Direction.INCOMING, "status": Email.Status.RECEIVED}


def what_was_read(box) -> tuple[int, int, int]:
    kinds = (FolderCursor, RemoteItem, ItemFailure)
    return tuple(kind.objects.filter(mailbox=box).count() for kind in kinds)


def change_profile(box):
    administration.change_mailbox(box, "tests", profile=factories.profile())


def change_address(box):
    administration.change_address(box, "another@example.test", "tests")


def change_server(box):
    save_profile(box.profile.name, location="another.example.test")


def change_protocol(box):
    save_profile(box.profile.name, server_type=EmailServerProfile.ServerType.IMAP_SMTP)


def change_name(box):
    save_profile(box.profile.name, location="https://another.example.test/EWS/Exchange.asmx")


def change_password(box):
    save_profile(box.profile.name, password="another")


def change_watermark(box):
    administration.change_mailbox(box, "tests", process_email_from=None)


def change_watermark_of_all(box):
    save_profile(box.profile.name, process_email_from=datetime.now(UTC))


@pytest.mark.parametrize("change", [change_watermark, change_watermark_of_all])
def test_what_was_passed_over_for_its_date_is_listed_again_when_the_date_changes(change):
    """And what is stored is not fetched again (F103)."""
    box = factories.mailbox(profile=exchange(), process_email_from=datetime.now(UTC))
    email = Email.objects.create(**INCOMING, identity="one")
    RemoteItem.objects.create(mailbox=box, item_id="1", email=email)
    FolderCursor.objects.create(mailbox=box, folder="inbox", position="far")
    claim = factories.claim(box)
    change(box)
    assert what_was_read(box) == (0, 1, 0)
    with pytest.raises(ClaimLost), schedule.fenced(claim):
        pass


@pytest.mark.parametrize(
    ("change", "of", "reads_anew"),
    [
        (change_profile, factories.profile, True),
        (change_address, factories.profile, True),
        (change_server, pop3, True),
        (change_protocol, pop3, True),
        (change_name, exchange, False),
        (change_password, pop3, False),
    ],
    ids=[
        "another profile",
        "another address",
        "another POP3",
        "IMAP",
        "Exchange's name",
        "a password",
    ],
)
def test_what_is_another_mailbox_on_the_server_is_read_from_its_beginning(change, of, reads_anew):
    """A POP3 server may call another message by the same id: it would be taken for read."""
    box, other = factories.mailbox(profile=of()), factories.mailbox()
    for one in (box, other):
        email = Email.objects.create(**INCOMING, identity=str(one))
        RemoteItem.objects.create(mailbox=one, item_id="1", email=email)
        FolderCursor.objects.create(mailbox=one, folder="inbox", position="far")
        ItemFailure.objects.create(mailbox=one, item_id="2", state=ItemFailure.State.GIVEN_UP)
    Schedule.objects.filter(mailbox=other).update(due_at=None)
    claim = factories.claim(box)
    change(box)
    assert what_was_read(box) == ((0, 0, 0) if reads_anew else (1, 1, 1))
    assert what_was_read(other) == (1, 1, 1)
    assert Email.objects.count() == 2
    ends = pytest.raises(ClaimLost) if reads_anew else contextlib.nullcontext()
    with ends, schedule.fenced(claim):
        pass
