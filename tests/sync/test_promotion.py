"""What becomes of incoming email: rules, records and PostgreSQL together (REFERENCE 1F, 3B)."""

import base64
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from itertools import count

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from syncservice.alerts.models import Alert, ItemFailure, Severity
from syncservice.crm.models import (
    Account,
    ActivityParty,
    AttachmentContent,
    AutomaticRecord,
    Contact,
    Email,
    IncomingFilter,
    Lead,
    Queue,
    QueueItem,
    User,
)
from syncservice.domain.acceptance import Reason
from syncservice.domain.resolution import MOST_MATCHES, Kind, Match
from syncservice.mailboxes import directions, schedule
from syncservice.mailboxes.models import (
    DeclinedItem,
    Direction,
    IncomingMethod,
    Mailbox,
    Organisation,
    RemoteItem,
    Schedule,
    TrackingCategory,
)
from syncservice.servers.gateway import Listed
from syncservice.sync import directory
from syncservice.sync.inbox import Inbox
from syncservice.sync.organising import NAMES
from syncservice.sync.storing import store
from syncservice.sync.visit import Budget, Outcome, visit
from tests import factories
from tests.memory_gateway import RECEIVED, MemoryIncoming, MemoryOrganised, MemoryServer, mime

pytestmark = pytest.mark.django_db

BUDGET = Budget(
    duration=timedelta(minutes=2), messages=1000, bytes=2**30, page_ids=100, batch_messages=50,
    batch_bytes=2**25, message_bytes=2**25,
)  # fmt: skip
ALL, IN_RESPONSE, FROM_PEOPLE, FROM_RECORDS, NONE = IncomingFilter
US, BOB, ANN = "user@example.test", "bob@example.test", "ann@customer.test"


def mailbox(address: str = US, option: IncomingFilter = ALL, **fields) -> Mailbox:
    """The mailbox of a user with this option."""
    owner = User.objects.create(username=address, email=address, incoming_filter=option, **fields)
    return factories.mailbox(owner=owner)


def visit_again(
    box: Mailbox, server: MemoryServer, gateway: MemoryIncoming | None = None
) -> Outcome:
    Schedule.objects.exclude(mailbox=box).update(due_at=None)
    Schedule.objects.filter(mailbox=box).update(due_at=Now(), claimed_at=None)
    inbox = Inbox(factories.claim(box), item_attempts=3)
    gateway, organised = gateway or MemoryIncoming(server), MemoryOrganised(server)
    outcome = visit(gateway, inbox, BUDGET, count().__next__, organised=organised)
    assert outcome.fault is None
    return outcome


def read(box: Mailbox, *messages: bytes) -> MemoryServer:
    """Let messages come into a mailbox, all at once, and visit it."""
    server: MemoryServer = box.__dict__.setdefault("server", MemoryServer())
    server.deliver(*messages)
    visit_again(box, server)
    return server


def organisation(**settings) -> None:
    Organisation.current()
    Organisation.objects.update(**settings)


def stored(subject: str) -> Email:
    return Email.objects.get(subject=subject, direction=Email.Direction.INCOMING)


def subjects() -> list[str]:
    incoming = Email.objects.filter(direction=Email.Direction.INCOMING)
    return sorted(incoming.values_list("subject", flat=True))


def declined() -> list[tuple[str, str]]:
    return sorted(DeclinedItem.objects.values_list("subject", "reason"))


def sent(subject: str, sender: str, to: str, **fields) -> Email:
    """An email that was sent out of the CRM."""
    fields.setdefault("message_id", f"<{subject}@example.test>")
    status, direction = Email.Status.SENT, Email.Direction.OUTGOING
    email = Email.objects.create(
        subject=subject, direction=direction, status=status, sent_at=RECEIVED - timedelta(days=1),
        **{"identity": f"sent {subject}", **fields},
    )  # fmt: skip
    for participation, address in ((1, sender), (2, to)):
        ActivityParty.objects.create(email=email, participation=participation, address=address)
    return email


def answers(email: Email) -> tuple[Email.Correlation, Email | None, Email | None]:
    return Email.Correlation(email.correlation), email.correlated_to, email.parent


def queues_of(email: Email) -> list[str]:
    return sorted(email.queue_items.values_list("queue__name", flat=True))


def contact(address: str, **fields) -> Contact:
    return Contact.objects.create(last_name=address, email_address=address, **fields)


Method = Email.Correlation


# Who accepts it (F100-F105, F131)


def test_recipients_with_other_options_share_one_record_that_names_who_wanted_it() -> None:
    box = mailbox(option=NONE)
    bob = factories.user("bob@example.test", incoming_filter=FROM_RECORDS)
    eve = factories.user("eve@example.test")
    support, sales = factories.queue("support@example.test"), factories.queue("sales@example.test")
    Queue.objects.create(name="unread", email_address="unread@example.test")
    deaf = factories.queue("deaf@example.test", incoming_filter=NONE)
    read(box, mime("help", to=f"{US}, {bob.email}, deaf@example.test", cc="support@example.test, "
                   "unread@example.test, sales@example.test, eve@example.test"))  # fmt: skip
    email = stored("help")
    assert (email.accepting_user, email.accepting_queue) == (None, support)
    assert queues_of(email) == ["sales@example.test", "support@example.test"]
    assert sales.items.count() == 1
    assert not deaf.items.exists()
    assert email.owner == User.objects.get(email=US)
    assert eve.pk in email.parties.values_list("user", flat=True)


def test_a_mailbox_that_is_not_left_to_us_wants_nothing() -> None:
    box = mailbox(option=NONE)
    factories.user("elsewhere@example.test")
    Mailbox.objects.filter(email_address="elsewhere@example.test").update(
        incoming_method=IncomingMethod.NONE
    )
    factories.user("unapproved@example.test")
    Mailbox.objects.filter(email_address="unapproved@example.test").update(
        approval=Mailbox.Approval.EMPTY
    )
    read(box, mime("mail", to=f"{US}, elsewhere@example.test, unapproved@example.test"))
    assert declined() == [("mail", Reason.NONE_WANTED)]


@pytest.mark.parametrize(
    ("option", "delivered_to", "is_stored"),
    [
        pytest.param(ALL, "", True, id="who wants all email gets a blind copy"),
        pytest.param(FROM_PEOPLE, "", False, id="who wants less gets none"),
        pytest.param(FROM_PEOPLE, US.upper(), True, id="unless the envelope names them"),
        pytest.param(FROM_PEOPLE, "other@example.test", False, id="and nobody else"),
    ],
)
def test_a_blind_copy_or_a_list(option: IncomingFilter, delivered_to: str, is_stored: bool) -> None:
    contact(ANN)
    headers = {"Delivered_To": delivered_to} if delivered_to else {}
    read(mailbox(option=option), mime("news", to="list@customer.test", **headers))
    assert subjects() == (["news"] if is_stored else [])
    assert declined() == ([] if is_stored else [("news", Reason.NO_RECIPIENT)])


@pytest.mark.parametrize(
    ("to", "taker"),
    [
        pytest.param("list@customer.test", "sales", id="a list or a blind copy names none of us"),
        pytest.param(BOB, "bob", id="whom it names counts more than its envelope"),
    ],
)
def test_the_envelope_says_to_whom_it_is_when_it_names_none_of_us(to: str, taker: str) -> None:
    sales, bob = factories.queue("sales@example.test"), factories.user(BOB)
    headers = {"Delivered_To": US, "X_Original_To": "Sales@example.test"}
    read(mailbox(option=NONE), mime("news", to=to, **headers))
    email = stored("news")
    accepted = {"sales": (None, sales), "bob": (bob, None)}[taker]
    assert (email.accepting_user, email.accepting_queue) == accepted


def test_who_wrote_a_mail_is_not_named_by_it() -> None:
    organisation(internal_email_is_two_activities=True)
    read(mailbox(option=FROM_RECORDS), mime("news", sender=US, to="list@customer.test"))
    assert declined() == [("news", Reason.NO_RECIPIENT)]


@pytest.mark.parametrize(
    ("others", "unresolves"),
    [
        pytest.param(1, True, id="the organisation leaves several records open"),
        pytest.param(MOST_MATCHES, False, id="more than a hundred records have it"),
    ],
)
def test_a_user_gets_mail_though_the_address_is_left_open(others: int, unresolves: bool) -> None:
    organisation(unresolves_several_recipients=unresolves)
    bob = factories.user(BOB)
    Contact.objects.bulk_create(
        Contact(last_name=f"{number}", email_address=BOB) for number in range(others)
    )
    read(mailbox(option=NONE), mime("offer", to=BOB))
    email = stored("offer")
    assert (email.accepting_user, email.owner) == (bob, bob)
    to = email.parties.get(address=BOB)
    assert (to.user, to.contact) == (None, None)


def test_a_blind_copy_to_a_queue_is_an_item_of_it_though_another_mailbox_had_it_first() -> None:
    """F132."""
    queue = Queue.objects.create(name="support", email_address="support@example.test")
    box, message = factories.mailbox(owner=queue), mime("help")
    read(mailbox(), message)
    read(box, message)
    assert queues_of(stored("help")) == ["support"]


def test_a_message_that_another_mailbox_brought_is_no_answer_to_itself() -> None:
    """The copy in the queue's mailbox looks like it in every word."""
    organisation(uses_smart_matching=True)
    queue = Queue.objects.create(
        name="support", email_address="support@example.test", incoming_filter=IN_RESPONSE
    )
    box = factories.mailbox(owner=queue)
    message = mime("help", to=f"{US}, support@example.test")
    nameless = message.replace(b"Message-ID: <help@customer.test>\n", b"")
    read(mailbox(), nameless)
    read(box, nameless)
    assert stored("help").message_id == ""
    assert queues_of(stored("help")) == []


@pytest.mark.parametrize("option", [ALL, NONE])
@pytest.mark.parametrize(
    ("setting", "is_of_queue", "are_both_asked"),
    [
        pytest.param({}, False, True, id="every recipient decides"),
        pytest.param({"user_decides_alone": True}, False, False, id="a user in the own mailbox"),
        pytest.param({"user_decides_alone": True}, True, True, id="no queue in its own"),
        pytest.param({"mailbox_owner_decides_alone": True}, True, False, id="it does in all"),
    ],
)
def test_who_decides_about_what_lies_in_a_mailbox(
    option: IncomingFilter, setting: dict, is_of_queue: bool, are_both_asked: bool
) -> None:
    """F253, F254: the other one, BOB, wants all email."""
    organisation(**setting)
    bob = factories.user(BOB)
    address = "support@example.test"
    queue = Queue.objects.create(name=address, email_address=address, incoming_filter=option)
    box = factories.mailbox(owner=queue) if is_of_queue else mailbox(option=option)
    read(box, mime("help", to=f"{BOB}, {box.email_address}"))
    if option == ALL or are_both_asked:
        assert (stored("help").accepting_user == bob) == (option == NONE)
    else:
        assert declined() == [("help", Reason.NONE_WANTED)]


def test_a_queue_gets_its_item_from_its_own_mailbox_when_users_decide_alone() -> None:
    organisation(user_decides_alone=True)
    box = factories.mailbox(
        owner=Queue.objects.create(name="support", email_address="support@example.test")
    )
    message = mime("help", to=f"{US}, support@example.test")
    read(mailbox(), message)
    assert queues_of(stored("help")) == []
    read(box, message)
    assert queues_of(stored("help")) == ["support"]


# In which queues it waits besides (F131)


@pytest.fixture
def routed() -> Queue:
    organisation(routes_to_owner_queue=True)
    return factories.queue("desk@example.test")


def test_new_email_waits_in_the_default_queue_of_its_owner(routed: Queue) -> None:
    factories.user(BOB, default_queue=factories.queue("bobs@example.test"))
    box = mailbox(default_queue=routed)
    read(box, mime("help"), mime("more", to=f"{US}, {BOB}"))
    assert queues_of(stored("help")) == queues_of(stored("more")) == ["desk@example.test"]


def test_a_default_queue_that_is_a_recipient_gets_one_item(routed: Queue) -> None:
    message = mime("help", to=f"{US}, {routed.email_address}")
    read(mailbox(default_queue=routed), message, message)
    read(factories.mailbox(owner=routed), message)
    assert queues_of(stored("help")) == ["desk@example.test"]


def test_email_stays_out_of_default_queues_unless_the_organisation_says_so() -> None:
    read(mailbox(default_queue=factories.queue("desk@example.test")), mime("help"))
    assert queues_of(stored("help")) == []


def test_who_has_no_default_queue_gets_email_all_the_same(routed: Queue) -> None:
    read(mailbox(), mime("help"))
    assert queues_of(stored("help")) == []


# Rights-managed email (F120)


SECRET = b"Content-Class: rpmsg.message\n" + mime("secret")


@pytest.mark.parametrize("is_left_out", [False, True])
def test_rights_managed_email_is_left_out_where_the_organisation_says_so(is_left_out) -> None:
    organisation(leaves_out_rights_managed=is_left_out)
    read(mailbox(), SECRET, mime("open"))
    assert subjects() == (["open"] if is_left_out else ["open", "secret"])
    assert declined() == ([("secret", Reason.RIGHTS_MANAGED)] if is_left_out else [])
    assert not Alert.objects.exists()


def test_what_was_forwarded_is_left_out_by_its_own_rights(forward_box) -> None:
    organisation(leaves_out_rights_managed=True)
    forwarding()
    read(forward_box, forwarded(SECRET))
    assert declined() == [("secret", Reason.RIGHTS_MANAGED)]


# Who it is (F106-F108, F116, F118)


def test_parties_that_nobody_knows_are_kept_and_resolved_all_at_once() -> None:
    read(mailbox(), mime("one"), mime("two", sender="bob@customer.test", cc="Ann@Customer.Test"))
    ann = contact(ANN)
    assert ActivityParty.objects.filter(contact=None, user=None).count() == 3
    with CaptureQueriesContext(connection) as statements:
        assert directory.resolve("ANN@customer.test", Match(Kind.CONTACT, ann.pk, True, None, None))
        assert len(statements) == 3  # however many places, of emails and of appointments
    assert sorted(ann.activityparty_set.values_list("email__subject", "participation")) == [
        ("one", 1),
        ("two", 3),
    ]


def test_resolving_leaves_what_somebody_stands_for_already() -> None:
    lead = Lead.objects.create(last_name="Ash", email_address=ANN)
    read(mailbox(), mime("one"))
    ann = contact(ANN)
    assert directory.resolve(ANN, Match(Kind.CONTACT, ann.pk, True, None, None)) == 0
    assert lead.activityparty_set.count() == 1


@pytest.mark.parametrize("address", ["straße@customer.test", "jürgen@müller.test", "ıi@x.test"])
def test_letters_of_other_languages_in_addresses_are_known_again(address: str) -> None:
    record = contact(address)
    message = mime("one").replace(b"ann@customer.test", address.encode())
    read(mailbox(automatic_record=AutomaticRecord.CONTACT), message)
    assert stored("one").parties.get(participation=1).contact == record
    assert Contact.objects.count() == 1


def test_every_record_of_a_recipient_is_a_party_unless_several_are_left_open() -> None:
    box = mailbox()
    records = {contact("bob@customer.test"), contact("bob@customer.test")}
    read(box, mime("all", to=f"{US}, bob@customer.test"))
    organisation(unresolves_several_recipients=True)
    read(box, mime("none", to=f"{US}, bob@customer.test"))
    of_bob = ActivityParty.objects.filter(address="bob@customer.test")
    assert {party.contact for party in of_bob.filter(email__subject="all")} == records
    assert [party.contact for party in of_bob.filter(email__subject="none")] == [None]


@pytest.mark.parametrize(
    ("author", "first_name", "last_name"),
    [
        pytest.param("Ann Ash <ann@customer.test>", "Ann", "Ash", id="first and last"),
        pytest.param("Ann Maria Ash <ann@customer.test>", "Ann Maria", "Ash", id="the last word"),
        pytest.param('"Ash, Ann" <ann@customer.test>', "Ann", "Ash", id="the last name first"),
        pytest.param('"Ash," <ann@customer.test>', "", "Ash,", id="a comma and nothing behind it"),
        pytest.param('", Ann" <ann@customer.test>', ",", "Ann", id="a comma and nothing before it"),
        pytest.param("Ann <ann@customer.test>", "", "Ann", id="one word"),
        pytest.param("ann@customer.test", "", "ann", id="no name"),
        pytest.param(f"{'A' * 60} {'B' * 60} <{ANN}>", "A" * 50, "B" * 50, id="a very long name"),
    ],
)
def test_an_unknown_sender_becomes_a_contact(author: str, first_name: str, last_name: str) -> None:
    box = mailbox(automatic_record=AutomaticRecord.CONTACT)
    read(box, mime("one", sender=author))
    made = Contact.objects.get()
    assert (made.first_name, made.last_name) == (first_name, last_name)
    assert (made.email_address, made.owner) == (ANN, User.objects.get(email=US))
    assert stored("one").parties.get(participation=1).contact == made


@pytest.mark.parametrize(
    ("fields", "settings", "address", "made"),
    [
        pytest.param({"automatic_record": AutomaticRecord.LEAD}, {}, ANN, Lead, id="or a lead"),
        pytest.param({}, {}, ANN, None, id="or nothing, by the user's own option"),
        pytest.param(
            {"automatic_record": AutomaticRecord.LEAD}, {"creates_records": False}, ANN, None,
            id="or nothing, by that of the organisation",
        ),
        pytest.param(
            {"automatic_record": AutomaticRecord.LEAD, "option": NONE}, {}, ANN, None,
            id="or nothing, when the email is declined",
        ),
        pytest.param(
            {"automatic_record": AutomaticRecord.LEAD}, {}, f"{'a' * 250}@customer.test", None,
            id="or nothing, when no record can have the address",
        ),
    ],
)  # fmt: skip
def test_what_an_unknown_sender_becomes(fields, settings, address, made) -> None:
    organisation(**settings)
    read(mailbox(**fields), mime("one", sender=address))
    assert [Contact.objects.count(), Lead.objects.count()] == [0, int(made is Lead)]
    assert not ItemFailure.objects.exists()


def test_a_stranger_becomes_a_contact_by_a_blind_copy_too() -> None:
    read(mailbox(automatic_record=AutomaticRecord.CONTACT), mime("one", to="list@customer.test"))
    assert Contact.objects.get().email_address == ANN


def test_a_stranger_of_two_batches_and_two_mailboxes_is_one_contact() -> None:
    box = mailbox(automatic_record=AutomaticRecord.CONTACT)
    other = mailbox("bob@example.test", automatic_record=AutomaticRecord.LEAD)
    read(box, mime("one"), mime("two", sender="ANN@Customer.test"))
    read(box, mime("three"))
    read(other, mime("four", to="bob@example.test"))
    made = Contact.objects.get()
    assert not Lead.objects.exists()
    assert made.activityparty_set.filter(participation=1).count() == 4


def test_a_new_contact_stands_for_its_address_wherever_nobody_did() -> None:
    """F108: in earlier email, and in another of the same batch."""
    box = mailbox(automatic_record=AutomaticRecord.CONTACT)
    colleague = f"bob@customer.test, {ANN}"
    read(mailbox("eve@example.test"), mime("before", sender="eve2@x.test", to=f"{US}, {ANN}"))
    read(box, mime("from"), mime("to", sender="bob@customer.test", to=f"{US}, {colleague}"))
    ann = Contact.objects.get(email_address=ANN)
    mails = set(ann.activityparty_set.values_list("email__subject", "participation"))
    assert mails == {("before", 2), ("from", 1), ("to", 2)}


def test_several_records_of_a_sender_are_no_stranger() -> None:
    """A new contact would make it one more, and the choice that was left to people is made."""
    organisation(unresolves_several_senders=True)
    contact(ANN)
    Lead.objects.create(last_name="Ash", email_address=ANN)
    read(mailbox(automatic_record=AutomaticRecord.CONTACT), mime("one"))
    assert Contact.objects.count() == 1
    sender = stored("one").parties.get(participation=1)
    assert (sender.contact, sender.lead) == (None, None)


def test_a_contact_that_is_not_active_is_not_written_to_again() -> None:
    """Email of somebody whose record was retired makes a new one, and isn't hung on the old."""
    retired = contact(ANN, is_active=False)
    read(mailbox(automatic_record=AutomaticRecord.CONTACT), mime("one"))
    assert stored("one").parties.get(participation=1).contact != retired
    assert Contact.objects.filter(is_active=True).count() == 1


def test_the_address_of_a_user_who_left_is_no_stranger() -> None:
    User.objects.create(username=BOB, email=BOB, is_active=False)
    read(mailbox(automatic_record=AutomaticRecord.CONTACT), mime("one", sender=BOB))
    assert stored("one").parties.get(participation=1).user is None
    assert not Contact.objects.exists()


def test_mail_of_nobody_is_declined_and_told() -> None:
    box = mailbox()
    read(box, b"To: user@example.test\nSubject: anonymous\nMessage-ID: <a@x>\n\nHi\n")
    assert declined() == [("anonymous", Reason.NO_SENDER)]
    alert = Alert.objects.get(code="email.no_sender")
    assert (alert.severity, alert.mailbox) == (Severity.INFORMATION, box)


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


# What it is about, whose it is, and why it is here (F113-F115)


def test_an_answer_takes_over_what_it_answers_is_about_and_belongs_to_its_owner() -> None:
    box, bob = mailbox(option=IN_RESPONSE), factories.user(BOB)
    account = Account.objects.create(name="Customer")
    offer = sent("offer", BOB, ANN, owner=bob, regarding_account=account)
    read(box, mime("Re: offer", to=f"{US}, {BOB}", In_Reply_To=offer.message_id))
    email = stored("Re: offer")
    assert email.regarding == account
    assert email.owner == bob
    assert answers(email) == (Method.IN_REPLY_TO, offer, offer)
    assert email.accepting_user == User.objects.get(email=US)


def test_a_customers_email_belongs_to_their_owner_when_they_got_it_too() -> None:
    box, bob = mailbox(), factories.user(BOB)
    contact(ANN, owner=bob)
    read(box, mime("to both", to=US, cc=BOB), mime("to us", to=US))
    assert stored("to both").owner == bob
    assert stored("to us").owner == User.objects.get(email=US)


# What it answers


def test_an_answer_that_came_first_is_given_to_its_parent_when_that_comes() -> None:
    box = mailbox()
    read(box, mime("Re: offer", In_Reply_To="<offer@customer.test>"))
    assert answers(stored("Re: offer")) == (Method.NONE, None, None)
    read(box, mime("offer"))
    parent = stored("offer")
    assert answers(stored("Re: offer")) == (Method.IN_REPLY_TO, parent, parent)


def test_an_answer_moves_from_its_grandparent_to_its_parent() -> None:
    box = mailbox()
    chain = {"In_Reply_To": "<two@customer.test>", "References": "<one@customer.test>"}
    read(box, mime("one"))
    read(box, mime("three", **chain))
    assert answers(stored("three")) == (Method.IN_REPLY_TO, stored("one"), stored("one"))
    read(box, mime("two", In_Reply_To="<one@customer.test>"))
    assert answers(stored("three")) == (Method.IN_REPLY_TO, stored("two"), stored("two"))


@pytest.mark.parametrize("order", ["123", "321", "213", "312", "231", "132"])
@pytest.mark.parametrize("option", [ALL, IN_RESPONSE])
def test_a_conversation_in_one_batch_is_one_in_whatever_order(order: str, option) -> None:
    """All have one date: no clock helps."""
    box, bob = mailbox(option=option), factories.user(BOB)
    account = Account.objects.create(name="Customer")
    sent("0", BOB, ANN, owner=bob, regarding_account=account)
    ids = ["<0@example.test>", *(f"<{number}@customer.test>" for number in "123")]
    read(box, *(mime(one, to=f"{US}, {BOB}", In_Reply_To=ids[int(one) - 1]) for one in order))
    parent = Email.objects.get(subject="0")
    for number in "123":
        email = stored(number)
        assert answers(email) == (Method.IN_REPLY_TO, parent, parent)
        assert (email.regarding, email.owner) == (account, bob)
        parent = email


def test_what_was_declined_as_no_answer_comes_in_when_its_parent_does() -> None:
    box = mailbox(option=IN_RESPONSE)
    factories.queue("support@example.test")
    server = read(box, mime("Re: offer", In_Reply_To="<offer@customer.test>"))
    assert declined() == [("Re: offer", Reason.NO_ANSWER)]
    other = mailbox(BOB)
    read(other, mime("offer", to=BOB))
    assert subjects() == ["offer"]
    visit_again(box, server)
    assert answers(stored("Re: offer")) == (Method.IN_REPLY_TO, stored("offer"), stored("offer"))
    assert declined() == []


def test_two_mails_that_answer_each_other_end() -> None:
    box = mailbox(option=ALL)
    read(box, mime("one", In_Reply_To="<two@customer.test>"),
         mime("two", In_Reply_To="<one@customer.test>"))  # fmt: skip
    assert subjects() == ["one", "two"]


def test_an_answer_to_a_borrowed_id_goes_to_those_who_talk_to_each_other() -> None:
    box = mailbox()
    read(box, mime("phish", sender="eve@evil.test", message_id="<offer@customer.test>"))
    read(box, mime("offer", message_id="<offer@customer.test>"))
    read(box, mime("Re: offer", In_Reply_To="<offer@customer.test>"))
    assert subjects() == ["Re: offer", "offer", "phish"]
    assert stored("Re: offer").parent == stored("offer")


def test_correlation_that_is_switched_off_finds_nothing_and_says_so() -> None:
    organisation(correlates_conversations=False, uses_tracking_tokens=False)
    box = mailbox()
    read(box, mime("Re: offer CRM:0001001", In_Reply_To="<offer@customer.test>"))
    read(box, mime("offer"))
    assert answers(stored("Re: offer CRM:0001001")) == (Method.SKIPPED, None, None)


def test_a_token_finds_its_email_and_is_no_parent() -> None:
    offer = sent("offer CRM:0001001", US, ANN, tracking_token="CRM:0001001")
    read(mailbox(option=IN_RESPONSE), mime("AW: offer crm:0001001"))
    email = stored("AW: offer crm:0001001")
    assert answers(email) == (Method.TRACKING_TOKEN, offer, None)
    assert email.tracking_token == "CRM:0001001"


@pytest.mark.parametrize("at_once", [False, True])
def test_a_token_that_nobody_gave_out_marks_nothing(at_once: bool) -> None:
    """In one batch as in two."""
    box = mailbox()
    first, second = mime("spam CRM:0001001"), mime("more spam CRM:0001001")
    if at_once:
        read(box, first, second)
    else:
        read(box, first)
        read(box, second)
    for subject in ("spam CRM:0001001", "more spam CRM:0001001"):
        assert answers(stored(subject)) == (Method.NONE, None, None)
        assert stored(subject).tracking_token == ""


def thread(*steps: bytes) -> str:
    return base64.b64encode(bytes(range(22)) + b"".join(steps)).decode()


def test_a_conversation_index_finds_the_nearest_email() -> None:
    box = mailbox()
    read(box, mime("offer", Thread_Index=thread()), mime("other", Thread_Index="AAAA"))
    read(box, mime("first", Thread_Index=thread(b"11111")))
    read(box, mime("sibling", Thread_Index=thread(b"22222")))
    read(box, mime("answer", Thread_Index=thread(b"11111", b"33333")))
    first = stored("first")
    assert answers(first) == (Method.CONVERSATION_INDEX, stored("offer"), stored("offer"))
    assert answers(stored("answer")) == (Method.CONVERSATION_INDEX, first, first)
    assert answers(stored("other")) == (Method.NONE, None, None)


def test_smart_matching_tells_how_well_it_matched() -> None:
    organisation(uses_smart_matching=True, hash_delta_subject_count=1)
    box = mailbox(option=ALL)
    read(box, mime("Offer for new chairs"))
    read(box, mime("Re: Offer for new chairs please"))
    email = stored("Re: Offer for new chairs please")
    assert answers(email) == (Method.SMART_MATCHING, stored("Offer for new chairs"), None)
    assert email.correlation_score == "4 of 5 words, 2 addresses"


def test_smart_matching_looks_back_ninety_days() -> None:
    organisation(uses_smart_matching=True)
    box = mailbox()
    read(box, mime("Offer"))
    Email.objects.update(created_at=Now() - timedelta(days=91))
    read(box, mime("Re: Offer"))
    assert answers(stored("Re: Offer")) == (Method.NONE, None, None)


# Attachments (F121, F122)


def with_files(subject: str, **files: bytes) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = ANN, US, subject
    message["Message-ID"] = f"<{subject}@customer.test>"
    message.set_content("Hi\n")
    for name, content in files.items():
        message.add_attachment(
            content, maintype="application", subtype="octet-stream", filename=name.replace("_", ".")
        )
    return message.as_bytes()


def test_blocked_and_large_files_are_left_out_and_named() -> None:
    organisation(attachment_kilobytes=1, blocked_extensions=["exe", ".JS"])
    files = {"a_exe": b"MZ", "b_pdf": b"x" * 1025, "c_pdf": b"x" * 1024, "d_js": b"1", "e": b""}
    read(mailbox(), with_files("files", **files))
    email = stored("files")
    assert email.notice == Email.Notice.ATTACHMENTS_BLOCKED
    assert email.blocked_attachments == ["a.exe", "b.pdf", "d.js"]
    kept = list(email.attachments.values_list("filename", "size"))
    assert kept == [("c.pdf", 1024), ("e", 0)]
    assert {body.digest for body in AttachmentContent.objects.all()} == {
        attachment.body_id for attachment in email.attachments.all()
    }


def test_a_file_of_many_emails_is_stored_once() -> None:
    box = mailbox()
    read(box, with_files("one", a_pdf=b"same", b_pdf=b"same"), with_files("two", c_pdf=b"same"))
    read(box, with_files("three", d_pdf=b"same"))
    assert AttachmentContent.objects.count() == 1
    assert [stored(subject).attachments.count() for subject in ("one", "two", "three")] == [2, 1, 1]
    assert stored("one").notice == Email.Notice.NONE


# Declined


@pytest.mark.parametrize(
    ("reason", "option", "message"),
    [
        (Reason.NO_RECIPIENT, FROM_PEOPLE, mime("m", to="list@customer.test")),
        (Reason.NO_ANSWER, IN_RESPONSE, mime("m")),
        (Reason.NOT_FROM_PEOPLE, FROM_PEOPLE, mime("m")),
        (Reason.NOT_FROM_RECORD, FROM_RECORDS, mime("m")),
        (Reason.NONE_WANTED, NONE, mime("m")),
        (Reason.INTERNAL, ALL, mime("m", sender=BOB)),
        (Reason.NO_SENDER, ALL, mime("m").replace(b"From: Ann Ash <ann@customer.test>\n", b"")),
    ],
)
def test_every_declined_message_says_why(reason: Reason, option, message: bytes) -> None:
    factories.user(BOB)
    box = mailbox(option=option)
    server = read(box, message)
    item = DeclinedItem.objects.get()
    assert (item.reason, item.mailbox, item.item_id) == (reason, box, "item-1")
    assert (item.subject, item.message_id, item.size) == ("m", "<m@customer.test>", len(message))
    assert subjects() == []
    server.touch(item.item_id)
    assert visit_again(box, server).declined == 0  # it is not looked at again


# Forward mailboxes (F090-F093)


def forwarded(*originals: bytes, by: str = US) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = by, "forward@example.test", "Fwd: mail"
    message["Message-ID"] = "<forward@example.test>"
    message.set_content("See below\n")
    for original in originals:
        message.add_attachment(message_from_bytes(original, policy=default))
    return message.as_bytes()


@pytest.fixture
def forward_box() -> Mailbox:
    fields = {"profile": factories.profile(), "outgoing_method": 0, "approval": 1}
    box = Mailbox.objects.create(
        name="forward", email_address="forward@example.test", is_forward=True,
        process_email_from=None, **fields,
    )  # fmt: skip
    directions.enable([box.pk], [Direction.Kind.INCOMING], "tests")
    schedule.plan([box.pk])
    return box


def forwarding(address: str = US, option: IncomingFilter = ALL) -> User:
    user = factories.user(address, incoming_filter=option)
    Mailbox.objects.filter(email_address=address).update(incoming_method=IncomingMethod.FORWARD)
    return user


def test_forwarded_mail_is_the_original_and_that_of_who_forwarded_it(forward_box) -> None:
    user = forwarding()
    read(forward_box, forwarded(mime("offer")))
    email = stored("offer")
    assert (email.message_id, email.owner, email.accepting_user) == (
        *("<offer@customer.test>", user, user),
    )
    assert email.text == "The body of offer.\n"


@pytest.mark.parametrize(
    ("option", "is_stored"), [(ALL, True), (FROM_PEOPLE, False), (NONE, False)]
)
def test_a_forwarded_blind_copy_is_that_of_who_forwarded_it(
    forward_box, option: IncomingFilter, is_stored: bool
) -> None:
    user, bob = forwarding(option=option), forwarding(BOB, option=NONE)
    contact(ANN)
    read(forward_box, forwarded(mime("secret", to=BOB)))
    assert bob not in [email.accepting_user for email in Email.objects.all()]
    assert [email.accepting_user for email in Email.objects.all()] == [user] * is_stored
    reason = Reason.NONE_WANTED if option is NONE else Reason.NO_RECIPIENT
    assert declined() == ([] if is_stored else [("secret", reason)])


def test_mail_that_two_users_forward_is_one_record(forward_box) -> None:
    forwarding(), forwarding(BOB)
    original = mime("offer", to=f"{US}, {BOB}")
    read(forward_box, forwarded(original), forwarded(original, by=BOB))
    assert subjects() == ["offer"]
    assert RemoteItem.objects.count() == 2


@pytest.mark.parametrize("order", [1, -1], ids=["the other first", "the other last"])
@pytest.mark.parametrize("may_forward", [False, True], ids=["may not forward", "wants answers"])
def test_of_two_who_forward_a_mail_at_once_one_is_enough(forward_box, may_forward, order) -> None:
    """Each by its own option: the mail names neither, it came through a list."""
    forwarding()
    if may_forward:
        forwarding(BOB, option=IN_RESPONSE)
    else:
        factories.user(BOB)
    original = mime("offer", to="list@customer.test")
    read(forward_box, *[forwarded(original, by=BOB), forwarded(original)][::order])
    assert stored("offer").accepting_user == User.objects.get(email=US)
    assert stored("offer").remote_items.count() == 2
    assert declined() == []


@pytest.mark.parametrize("at_once", [False, True])
def test_a_mail_that_a_queue_forwards_is_an_item_of_it_though_it_is_known(
    forward_box, at_once: bool
) -> None:
    """F132."""
    forwarding()
    factories.queue("support@example.test")
    Mailbox.objects.filter(email_address="support@example.test").update(
        incoming_method=IncomingMethod.FORWARD
    )
    by_us, by_queue = (
        forwarded(mime("help"), by=address) for address in (US, "support@example.test")
    )
    if not at_once:
        read(forward_box, by_us)
        assert queues_of(stored("help")) == []
    read(forward_box, *([by_us] if at_once else []), by_queue)
    assert queues_of(stored("help")) == ["support@example.test"]


def test_of_two_who_forward_a_mail_in_vain_each_is_told_its_own_reason(forward_box) -> None:
    forwarding(option=NONE)
    read(forward_box, forwarded(mime("offer")), forwarded(mime("offer"), by="stranger@x.test"))
    reasons = [Reason.NONE_WANTED, Reason.NOT_ALLOWED_TO_FORWARD]
    assert declined() == [("offer", reason) for reason in reasons]


def test_what_holds_more_originals_than_the_one_that_is_stored_stays_on_the_server(
    forward_box,
) -> None:
    """F093 knows one; what has several is not deleted (F085)."""
    Mailbox.objects.filter(pk=forward_box.pk).update(delete_after_processing=True)
    forwarding()
    several = forwarded(mime("one"), mime("two"))
    server = read(forward_box, several, forwarded(mime("three")))
    assert subjects() == ["one", "three"]
    assert list(server.items.values()) == [several]


@pytest.mark.parametrize(
    ("message", "reason", "subject", "alert"),
    [
        pytest.param(
            forwarded(), Reason.NOT_FORWARDED, "Fwd: mail", "email.not_forwarded",
            id="not forwarded as an attachment",
        ),
        pytest.param(
            forwarded(mime("offer"), by="stranger@x.test"), Reason.NOT_ALLOWED_TO_FORWARD, "offer",
            "email.not_allowed_to_forward", id="by a stranger",
        ),
        pytest.param(
            forwarded(mime("offer"), by=BOB), Reason.NOT_ALLOWED_TO_FORWARD, "offer",
            "email.not_allowed_to_forward", id="by a user whose mailbox doesn't forward",
        ),
    ],
)  # fmt: skip
def test_what_a_forward_mailbox_declines(forward_box, message, reason, subject, alert) -> None:
    forwarding()
    factories.user(BOB)
    read(forward_box, message)
    assert declined() == [(subject, reason)]
    assert Alert.objects.get(mailbox=forward_box).code == alert
    assert Alert.objects.get(mailbox=forward_box).severity == Severity.INFORMATION


# A batch


def test_of_two_copies_in_a_mailbox_the_category_on_one_is_enough() -> None:
    box = mailbox(option=NONE)
    server = read(box)  # makes the category
    message = mime("offer")
    _, second = server.deliver(message, message)
    server.mark(second, NAMES[TrackingCategory.Kind.TRACKED])
    visit_again(box, server)
    assert subjects() == ["offer"]
    assert declined() == []


def test_what_answers_a_mail_that_came_in_two_copies_takes_over_from_the_stored_one() -> None:
    box = mailbox()
    read(box, mime("Re: offer", In_Reply_To="<offer@customer.test>"), mime("offer"), mime("offer"))
    parent = stored("offer")
    assert answers(stored("Re: offer")) == (Method.IN_REPLY_TO, parent, parent)
    assert parent.remote_items.count() == 2


def test_a_batch_takes_as_many_statements_as_one_message() -> None:
    """With strangers, tokens, conversations and words in it."""
    organisation(uses_smart_matching=True, routes_to_owner_queue=True)
    queue = factories.queue("desk@example.test")
    box = mailbox(automatic_record=AutomaticRecord.CONTACT, default_queue=queue)
    server = MemoryServer()
    items = server.deliver(
        *(
            mime(
                f"mail {number} CRM:{number:07}", sender=f"stranger{number}@customer.test",
                Thread_Index=base64.b64encode(bytes([number]) * 27).decode(), attached=b"same",
            )
            for number in range(22)
        )
    )  # fmt: skip
    inbox = Inbox(factories.claim(box), item_attempts=3)
    statements = []
    for some in (items[:1], items[1:2], items[2:]):  # the first reads what a visit reads once
        answers = list(MemoryIncoming(server).fetch([Listed(item, 1) for item in some]))
        with CaptureQueriesContext(connection) as executed:
            assert store(inbox, answers).stored == len(some)
        statements.append(len(executed))
    assert statements[1] == statements[2]
    assert Contact.objects.count() == queue.items.count() == 22
