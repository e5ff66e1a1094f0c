"""Email of our own users and queues to each other (F111, F112, F258)."""

from datetime import timedelta

import pytest

from syncservice.crm.models import (
    Email,
    Queue,
    QueueItem,
)
from syncservice.domain.acceptance import Reason
from syncservice.mailboxes.models import (
    RemoteItem,
)
from tests import factories
from tests.memory_gateway import RECEIVED, mime
from tests.sync.received_mail import (
    BOB,
    US,
    declined,
    mailbox,
    organisation,
    read,
    sent,
    stored,
    subjects,
)

pytestmark = pytest.mark.django_db


# Mail of our own users (F111, F112)


def test_mail_between_users_is_the_activity_that_its_sender_has_already() -> None:
    box, _ = mailbox(), factories.user(BOB)
    email = sent("lunch", BOB, US, message_id="<lunch@example.test>")
    read(box, mime("lunch", sender=BOB, message_id="<lunch@example.test>"))
    assert Email.objects.get() == email
    assert RemoteItem.objects.get().email == email
    assert declined() == []


def test_mail_between_users_is_two_activities_when_the_organisation_wants_it() -> None:
    organisation(internal_email_is_two_activities=True)
    box, _ = mailbox(), factories.user(BOB)
    email = sent("lunch", BOB, US, message_id="<lunch@example.test>")
    read(box, mime("lunch", sender=BOB, message_id="<lunch@example.test>"))
    assert stored("lunch") != email
    assert RemoteItem.objects.get().email == stored("lunch")


def test_mail_between_users_that_nobody_tracked_is_declined() -> None:
    box, _ = mailbox(), factories.user(BOB)
    read(box, mime("lunch", sender=BOB))
    assert declined() == [("lunch", Reason.INTERNAL)]


@pytest.mark.parametrize("from_queues", [False, True])
@pytest.mark.parametrize("is_tracked", [False, True])
def test_mail_of_a_queue_to_a_user_is_one_with_what_was_sent(
    from_queues: bool, is_tracked: bool
) -> None:
    """Where the organisation does not accept it as a stranger's (F258)."""
    organisation(internal_email_from_queues=from_queues)
    factories.queue("support@example.test")
    message = mime("news", sender="support@example.test", message_id="<news@example.test>")
    box = mailbox()
    if is_tracked:
        email = sent("news", "support@example.test", US, message_id="<news@example.test>")
    read(box, message)
    assert subjects() == (["news"] if from_queues else [])
    assert declined() == ([] if from_queues or is_tracked else [("news", Reason.INTERNAL)])
    if is_tracked and not from_queues:
        assert RemoteItem.objects.get().email == email


def test_a_stranger_that_borrows_the_id_of_a_users_email_is_not_taken_for_it() -> None:
    box, _ = mailbox(), factories.user(BOB)
    sent("lunch", BOB, US, message_id="<lunch@example.test>")
    read(box, mime("invoice", sender="eve@evil.test", message_id="<lunch@example.test>"))
    assert subjects() == ["invoice"]


@pytest.mark.parametrize(
    ("subject", "days", "is_one"),
    [
        pytest.param("lunch", 0, True, id="the very mail"),
        pytest.param("Lunch  CRM:0001001", 0, True, id="with the token that it was sent with"),
        pytest.param("lunch", 1, True, id="sent again after an outage"),
        pytest.param("lunch", 3, False, id="another day"),
        pytest.param("invoice", 0, False, id="another subject"),
    ],
)
def test_another_mail_with_the_id_and_the_sender_of_sent_mail_is_not_taken_for_it(
    subject: str, days: int, is_one: bool
) -> None:
    """Anybody can write a colleague's name into From."""
    box, _ = mailbox(), factories.user(BOB)
    sent("lunch", BOB, US, message_id="<lunch@example.test>")
    Email.objects.update(sent_at=RECEIVED - timedelta(days=days))
    read(box, mime(subject, sender=BOB, message_id="<lunch@example.test>"))
    assert RemoteItem.objects.count() == int(is_one)
    assert declined() == ([] if is_one else [(subject, Reason.INTERNAL)])


def test_the_copy_of_sent_mail_is_not_deleted_on_the_server() -> None:
    """The CRM's is like it, but need not be the same in every word."""
    organisation(internal_email_to_queues=False)
    queue = Queue.objects.create(name="support", email_address="support@example.test")
    factories.user(BOB)
    sent("help", BOB, "support@example.test", message_id="<help@example.test>")
    message = mime("help", sender=BOB, to="support@example.test", message_id="<help@example.test>")
    server = read(factories.mailbox(owner=queue, delete_after_processing=True), message)
    assert RemoteItem.objects.count() == 1
    assert list(server.items.values()) == [message]


@pytest.mark.parametrize("is_tracked", [False, True])
@pytest.mark.parametrize("to_queues", [False, True])
def test_mail_of_a_user_to_a_queue_is_its_work(to_queues: bool, is_tracked: bool) -> None:
    """Whether it is in the CRM as sent or not (F112)."""
    organisation(internal_email_to_queues=to_queues)
    queue = Queue.objects.create(name="support", email_address="support@example.test")
    box, _ = factories.mailbox(owner=queue), factories.user(BOB)
    if is_tracked:
        sent("help", BOB, "support@example.test", message_id="<help@example.test>")
    message = mime("help", sender=BOB, to="support@example.test", message_id="<help@example.test>")
    read(box, message)
    assert QueueItem.objects.count() == int(to_queues)
    assert subjects() == (["help"] if to_queues else [])
    assert RemoteItem.objects.count() == int(to_queues or is_tracked)
