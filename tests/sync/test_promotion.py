"""Who wants incoming email, in which queues it waits, and why it is declined (1F, 3B)."""

import base64
from email.message import EmailMessage

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from syncservice.alerts.models import Alert
from syncservice.crm.models import (
    AttachmentContent,
    AutomaticRecord,
    Contact,
    Email,
    IncomingFilter,
    Queue,
    User,
)
from syncservice.domain.acceptance import Reason
from syncservice.domain.resolution import MOST_MATCHES
from syncservice.mailboxes.models import (
    DeclinedItem,
    IncomingMethod,
    Mailbox,
    TrackingCategory,
)
from syncservice.servers.gateway import Listed
from syncservice.sync.inbox import Inbox
from syncservice.sync.organising import NAMES
from syncservice.sync.storing import store
from tests import factories
from tests.memory_gateway import MemoryIncoming, MemoryServer, mime
from tests.sync.received_mail import (
    ALL,
    ANN,
    BOB,
    FROM_PEOPLE,
    FROM_RECORDS,
    IN_RESPONSE,
    NONE,
    US,
    answers,
    contact,
    declined,
    mailbox,
    organisation,
    queues_of,
    read,
    stored,
    subjects,
    visit_again,
)

pytestmark = pytest.mark.django_db

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
