"""What email is about, whose it is, and what it answers (F113-F115, 3C)."""

import base64
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from syncservice.crm.models import (
    Account,
    Email,
    User,
)
from syncservice.domain.acceptance import Reason
from tests import factories
from tests.memory_gateway import mime
from tests.sync.received_mail import (
    ALL,
    ANN,
    BOB,
    IN_RESPONSE,
    US,
    answers,
    contact,
    declined,
    mailbox,
    organisation,
    read,
    sent,
    stored,
    subjects,
    visit_again,
)

pytestmark = pytest.mark.django_db

Method = Email.Correlation


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
