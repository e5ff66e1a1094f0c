"""Who incoming email is from and to: records, strangers and what becomes of them (F106-F118)."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from syncservice.alerts.models import Alert, ItemFailure, Severity
from syncservice.crm.models import (
    ActivityParty,
    AutomaticRecord,
    Contact,
    Lead,
    User,
)
from syncservice.domain.acceptance import Reason
from syncservice.domain.resolution import Kind, Match
from syncservice.sync import directory
from tests.memory_gateway import mime
from tests.sync.received_mail import (
    ANN,
    BOB,
    NONE,
    US,
    contact,
    declined,
    mailbox,
    organisation,
    read,
    stored,
)

pytestmark = pytest.mark.django_db


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
