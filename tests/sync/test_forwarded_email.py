"""Forward mailboxes (F090-F093)."""

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest

from syncservice.alerts.models import Alert, Severity
from syncservice.crm.models import (
    Email,
    IncomingFilter,
    User,
)
from syncservice.domain.acceptance import Reason
from syncservice.mailboxes import directions, schedule
from syncservice.mailboxes.models import (
    Direction,
    IncomingMethod,
    Mailbox,
    RemoteItem,
)
from tests import factories
from tests.memory_gateway import mime
from tests.sync.received_mail import (
    ALL,
    ANN,
    BOB,
    FROM_PEOPLE,
    IN_RESPONSE,
    NONE,
    US,
    contact,
    declined,
    organisation,
    queues_of,
    read,
    stored,
    subjects,
)

pytestmark = pytest.mark.django_db

Method = Email.Correlation


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


def test_what_was_forwarded_is_left_out_by_its_own_rights(forward_box) -> None:
    organisation(leaves_out_rights_managed=True)
    forwarding()
    read(forward_box, forwarded(b"Content-Class: rpmsg.message\n" + mime("secret")))
    assert declined() == [("secret", Reason.RIGHTS_MANAGED)]
