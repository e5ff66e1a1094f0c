"""What becomes of mail that a user sent: by Sent Items, by its category, by hand (F111, F119)."""

import pytest

from syncservice.crm.models import AutomaticRecord, Contact, Email, IncomingFilter, Queue, User
from syncservice.domain.acceptance import Reason
from syncservice.mailboxes import tracking
from syncservice.mailboxes.models import (
    DeclinedItem,
    Mailbox,
    RemoteItem,
    TrackingCategory,
    TrackRequest,
)
from syncservice.servers.gateway import SENT_ITEMS
from syncservice.sync.organising import NAMES
from tests import factories
from tests.memory_gateway import MemoryIncoming, MemoryServer, mime
from tests.sync.received_mail import (
    ALL,
    FROM_PEOPLE,
    FROM_RECORDS,
    NONE,
    contact,
    declined,
    mailbox,
    organisation,
    read,
    sent,
    visit_again,
)

pytestmark = pytest.mark.django_db

ANN, BOB, SUPPORT = "ann@example.test", "bob@example.test", "support@example.test"
CUSTOMER, EVE = "info@customer.test", "eve@stranger.test"
RECEIVED, SENT = Email.Status.RECEIVED, Email.Status.SENT


@pytest.fixture(autouse=True)
def switched_on() -> None:
    organisation(tracks_sent_items=True)


def put(box: Mailbox, *messages: bytes) -> list[str]:
    """Let messages lie in Sent Items."""
    server: MemoryServer = box.__dict__.setdefault("server", MemoryServer())
    return server.deliver(*messages, folder=SENT_ITEMS)


def send(box: Mailbox, *messages: bytes) -> list[str]:
    """Let messages lie in Sent Items, and visit the mailbox."""
    items = put(box, *messages)
    visit_again(box, box.server)
    return items


def categorise(box: Mailbox, item: str) -> None:
    box.server.marks[item] = {NAMES[TrackingCategory.Kind.TRACKED]}
    box.server.others[SENT_ITEMS].append(item)
    visit_again(box, box.server)


def queue_mailbox() -> Mailbox:
    return factories.mailbox(owner=Queue.objects.create(name="support", email_address=SUPPORT))


def emails(subject: str) -> list[tuple[Email.Direction, Email.Status]]:
    found = Email.objects.filter(subject=subject).order_by("direction")
    return list(found.values_list("direction", "status"))


IN, OUT = (Email.Direction.INCOMING, RECEIVED), (Email.Direction.OUTGOING, SENT)


# By the owner's option


@pytest.mark.parametrize(
    ("to", "option", "reason"),
    [
        pytest.param(BOB, ALL, Reason.INTERNAL, id="to a colleague"),
        pytest.param(f"{BOB}, {SUPPORT}", ALL, Reason.INTERNAL, id="to a colleague and a queue"),
        pytest.param(f"{BOB}, {EVE}", ALL, None, id="to a stranger too"),
        pytest.param(f"{BOB}, {EVE}", FROM_RECORDS, Reason.NOT_FROM_RECORD, id="who is no record"),
        pytest.param(f"{BOB}, {CUSTOMER}", FROM_PEOPLE, None, id="to a customer too"),
        pytest.param(CUSTOMER, FROM_PEOPLE, None, id="to an address of two customers"),
        pytest.param(
            f"{BOB}, {CUSTOMER}, {EVE}", FROM_PEOPLE, None, id="to a customer and a stranger"
        ),
        pytest.param("other@example.test", ALL, Reason.INTERNAL, id="to a colleague and contact"),
    ],
)
def test_sent_mail_is_internal_when_all_whom_it_went_to_are_ours(
    to: str, option: IncomingFilter, reason: Reason | None
) -> None:
    organisation(unresolves_several_recipients=True)
    factories.queue(SUPPORT)
    for colleague in (BOB, "other@example.test"):
        factories.user(colleague)
    for address in (CUSTOMER, CUSTOMER, "other@example.test"):
        contact(address)
    send(mailbox(ANN, option), mime("mail", sender=ANN, to=to))
    assert emails("mail") == ([] if reason else [OUT])
    assert declined() == ([("mail", reason)] if reason else [])


def test_sent_mail_belongs_to_who_sent_it() -> None:
    factories.user(BOB)
    send(mailbox(ANN), mime("offer", sender=ANN, to=f"{BOB}, {CUSTOMER}"))
    assert Email.objects.get().owner == User.objects.get(email=ANN)


def test_no_sender_of_sent_mail_becomes_a_contact() -> None:
    """It is an alias of the owner's."""
    box = mailbox(ANN, automatic_record=AutomaticRecord.CONTACT)
    send(box, mime("offer", sender="sales@example.test", to=CUSTOMER))
    assert emails("offer") == [OUT]
    assert not Contact.objects.exists()


@pytest.mark.parametrize("sent_first", [True, False])
@pytest.mark.parametrize(
    ("to", "is_two", "expected"),
    [
        pytest.param(BOB, False, 1, id="one activity"),
        pytest.param(BOB, True, 2, id="two, when the organisation wants it"),
        pytest.param(f"{BOB}, {SUPPORT}", False, 2, id="and one more for a queue"),
    ],
)
def test_mail_between_users_is_as_many_activities_in_whatever_order_it_comes(
    to: str, is_two: bool, expected: int, sent_first: bool
) -> None:
    """F111, F112; an answer is accepted by who got it (F257)."""
    organisation(internal_email_is_two_activities=is_two)
    ann, bob = mailbox(ANN), mailbox(BOB)
    factories.queue(SUPPORT)
    sent("lunch", BOB, ANN)
    message = mime("Re: lunch", sender=ANN, to=to, In_Reply_To="<lunch@example.test>")
    if sent_first:
        send(ann, message, message)
        read(bob, message)
    else:
        read(bob, message)
        send(ann, message, message)
    assert Email.objects.filter(subject="Re: lunch").count() == expected
    assert RemoteItem.objects.count() == 3
    assert declined() == []


def test_mail_that_waits_in_its_owners_queue_alone_is_one_with_what_was_sent() -> None:
    """F131."""
    organisation(routes_to_owner_queue=True)
    ann, bob = mailbox(ANN), mailbox(BOB, default_queue=factories.queue(SUPPORT))
    sent("lunch", BOB, ANN)
    message = mime("Re: lunch", sender=ANN, to=BOB, In_Reply_To="<lunch@example.test>")
    read(bob, message)
    assert Email.objects.get(subject="Re: lunch").queue_items.count() == 1
    send(ann, message)
    assert emails("Re: lunch") == [IN]


def test_sent_mail_waits_in_no_queue() -> None:
    organisation(routes_to_owner_queue=True)
    send(
        mailbox(ANN, default_queue=factories.queue(SUPPORT)), mime("offer", sender=ANN, to=CUSTOMER)
    )
    assert not Email.objects.get().queue_items.exists()


# Asked for: it was sent all the same


def test_the_category_on_sent_mail_tracks_it_though_a_queue_received_it() -> None:
    ann, support = mailbox(ANN, NONE), queue_mailbox()
    message = mime("help", sender=ANN, to=SUPPORT)
    read(support, message)
    (item,) = send(ann, message)
    assert emails("help") == [IN]
    categorise(ann, item)
    assert emails("help") == [IN, OUT]
    assert DeclinedItem.objects.count() == 0


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        pytest.param(ANN, OUT, id="the owner's was sent"),
        pytest.param(f"Ann <{ANN.upper()}>", OUT, id="however it is written"),
        pytest.param("boss@example.test", OUT, id="from the mailbox's own address too"),
        pytest.param("bob@customer.test", IN, id="a customer's was received"),
    ],
)
def test_mail_asked_for_by_hand_was_sent_when_its_owner_wrote_it(sender: str, expected) -> None:
    ann = mailbox(ANN, NONE)
    Mailbox.objects.filter(pk=ann.pk).update(email_address="boss@example.test")
    (item,) = send(ann, mime("offer", sender=sender, to="info@customer.test"))
    wanted = tracking.track_now(ann, "tests", item_id=item)
    visit_again(ann, ann.server)
    wanted.refresh_from_db()
    assert wanted.state == TrackRequest.State.DONE
    assert emails("offer") == [expected]


def test_what_is_asked_for_while_sent_items_are_read_is_no_sent_mail() -> None:
    """Requests are answered between the batches of any folder, and are of none."""
    ann = mailbox(ANN, NONE)
    (asked,) = read(ann, mime("offer", sender=CUSTOMER, to=ANN)).log
    put(ann, mime("one", sender=ANN, to=CUSTOMER), mime("two", sender=ANN, to=CUSTOMER))

    class Asked(MemoryIncoming):
        def fetch(self, items):
            if not TrackRequest.objects.exists():
                tracking.track_now(ann, "tests", item_id=asked)
            return super().fetch(items)

    visit_again(ann, ann.server, gateway=Asked(ann.server))
    assert TrackRequest.objects.get().state == TrackRequest.State.DONE
    assert emails("offer") == [IN]
