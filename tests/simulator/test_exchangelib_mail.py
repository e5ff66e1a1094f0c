"""exchangelib's ordinary work on messages."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from exchangelib import (
    UTC,
    Account,
    EWSDateTime,
    ExtendedProperty,
    FileAttachment,
    HTMLBody,
    ItemAttachment,
    Message,
    Q,
)
from exchangelib.errors import ErrorItemNotFound, ErrorNonExistentMailbox, UnauthorizedError
from exchangelib.queryset import DoesNotExist

from syncservice.simulator.exchange import ExchangeSimulator

from .conftest import ALICE, BOB

Deliver = Callable[..., str]


class CrmKey(ExtendedProperty):
    property_set_id = "00020329-0000-0000-C000-000000000046"
    property_name = "CrmKey"
    property_type = "String"


@pytest.fixture
def crm_key() -> object:
    Message.register("crm_key", CrmKey)
    yield
    Message.deregister("crm_key")


def test_the_inbox_lists_mail_newest_first(alice: Account, deliver: Deliver) -> None:
    for subject in ("one", "two", "three"):
        deliver(subject)
    assert [message.subject for message in alice.inbox.all()] == ["three", "two", "one"]


def test_mail_is_read_with_all_that_is_in_it(alice: Account, simulator: ExchangeSimulator) -> None:
    simulator.control.deliver(
        ALICE,
        "From: =?utf-8?q?Caf=C3=A9?= <cafe@elsewhere.test>\r\n"
        f"To: Alice <{ALICE}>\r\nCc: dan@elsewhere.test\r\n"
        "Subject: =?utf-8?b?w5xiZXI=?=\r\nMessage-ID: <1@elsewhere.test>\r\n"
        "Date: Mon, 5 Jan 2026 10:00:00 +0100\r\nX-Ticket: 42\r\n"
        'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n'
        "Content-Type: text/html\r\n\r\n<p>Hi</p>\r\n--b\r\n"
        "Content-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv\r\n\r\n"
        "1,2\r\n--b--\r\n".encode(),
    )
    message = alice.inbox.get()
    assert message.subject == "Über"
    assert message.sender.name == "Café"
    assert [one.email_address for one in message.to_recipients] == [ALICE]
    assert [one.email_address for one in message.cc_recipients] == ["dan@elsewhere.test"]
    assert message.message_id == "<1@elsewhere.test>"
    assert message.body.strip() == "<p>Hi</p>"
    assert message.text_body == "Hi"
    assert message.datetime_sent.hour == 9
    assert [(one.name, one.content.strip()) for one in message.attachments] == [("a.csv", b"1,2")]
    assert ("X-Ticket", "42") in [(one.name, one.value) for one in message.headers]
    assert b"X-Ticket: 42" in message.mime_content


def test_filters_find_what_they_say(alice: Account, deliver: Deliver) -> None:
    for subject in ("red apple", "green apple", "Red pear"):
        deliver(subject)

    def subjects(*filters: object, **lookups: object) -> set[str]:
        return {message.subject for message in alice.inbox.filter(*filters, **lookups)}

    assert subjects(subject="red apple") == {"red apple"}
    assert subjects(subject__contains="apple") == {"red apple", "green apple"}
    assert subjects(subject__istartswith="RED") == {"red apple", "Red pear"}
    assert subjects(is_read=True) == set()
    assert subjects("subject:pear") == {"Red pear"}
    assert subjects(categories__contains=["x"]) == set()
    assert alice.inbox.filter(subject__contains="apple").count() == 2
    assert [m.subject for m in alice.inbox.all().order_by("subject")[1:3]] == [
        "red apple",
        "Red pear",
    ]


def test_filters_combine(alice: Account, simulator: ExchangeSimulator) -> None:
    for year, subject in ((2020, "old pear"), (2024, "new pear"), (2025, "new apple")):
        received = f"{year}-06-01T12:00:00Z"
        simulator.control.deliver(ALICE, f"Subject: {subject}\r\n\r\n".encode(), received=received)
    threshold = EWSDateTime(2023, 1, 1, tzinfo=UTC)

    def subjects(query: Q) -> set[str]:
        return {message.subject for message in alice.inbox.filter(query)}

    pear, recent = Q(subject__contains="pear"), Q(datetime_received__gte=threshold)
    assert subjects(pear & recent) == {"new pear"}
    assert subjects(pear | recent) == {"old pear", "new pear", "new apple"}
    assert subjects(~pear) == {"new apple"}
    assert subjects(Q(size__gt=10**6)) == set()
    assert subjects(Q(message_id__exists=True)) == set()
    assert subjects(Q(subject__in=["old pear", "x"])) == {"old pear"}
    assert subjects(Q(datetime_received__range=(threshold, threshold + timedelta(days=700)))) == {
        "new pear"
    }


def test_a_restriction_on_an_extended_property_finds_the_item(
    alice: Account, crm_key: object
) -> None:
    Message(account=alice, folder=alice.drafts, subject="x", crm_key="K-1").save()
    Message(account=alice, folder=alice.drafts, subject="y", crm_key="K-2").save()
    assert [one.subject for one in alice.drafts.filter(crm_key="K-2")] == ["y"]
    assert alice.drafts.get(subject="x").crm_key == "K-1"


def test_a_long_folder_comes_in_pages(alice: Account, simulator: ExchangeSimulator) -> None:
    simulator.control.deliver_many((ALICE, b"Subject: %d\r\n\r\n" % n) for n in range(120))
    query = alice.inbox.all().only("subject")
    query.page_size = 50
    assert [one.subject for one in query] == [str(n) for n in range(119, -1, -1)]


def test_a_draft_keeps_what_was_saved(alice: Account) -> None:
    draft = Message(
        account=alice,
        folder=alice.drafts,
        subject="Offer",
        body=HTMLBody("<b>dear</b>"),
        to_recipients=[BOB],
        categories=["Sales", "Q1"],
        importance="High",
    )
    draft.save()
    draft.subject = "Better offer"
    draft.save(update_fields=["subject"])
    found = alice.drafts.get(subject="Better offer")
    assert found.is_draft
    assert found.body == "<b>dear</b>"
    assert found.categories == ["Sales", "Q1"]
    assert found.importance == "High"
    assert found.to_recipients[0].email_address == BOB
    found.refresh()
    assert found.changekey == draft.changekey


def test_a_sent_message_reaches_its_recipients_unread(alice: Account, bob: Account) -> None:
    Message(account=alice, subject="Hello", body="there", to_recipients=[BOB]).send_and_save()
    received = bob.inbox.get()
    assert (received.subject, received.is_read, received.is_draft) == ("Hello", False, False)
    assert received.sender.email_address == ALICE
    sent = alice.sent.get()
    assert (sent.is_read, sent.is_draft) == (True, False)
    assert sent.message_id == received.message_id
    assert received.body.strip() == "there"


def test_a_message_sent_without_a_copy_leaves_none(alice: Account, bob: Account) -> None:
    Message(account=alice, subject="Hello", to_recipients=[BOB]).send(save_copy=False)
    assert bob.inbox.all().count() == 1
    assert alice.sent.all().count() == 0


def test_bcc_recipients_get_mail_that_does_not_name_them(alice: Account, bob: Account) -> None:
    to = ["carol@elsewhere.test"]
    Message(account=alice, subject="s", to_recipients=to, bcc_recipients=[BOB]).send()
    assert b"bob@" not in bob.inbox.get().mime_content


def test_sending_a_draft_moves_it_to_sent_items_under_a_new_id(
    alice: Account, bob: Account
) -> None:
    draft = Message(account=alice, folder=alice.drafts, subject="Draft", to_recipients=[BOB])
    draft.save()
    old_id = draft.id
    draft.send()
    assert alice.drafts.all().count() == 0
    assert alice.sent.get().id != old_id
    assert bob.inbox.get().subject == "Draft"


def test_a_message_created_from_mime_is_sent_as_it_is(alice: Account, bob: Account) -> None:
    mime = f"From: {ALICE}\r\nTo: {BOB}\r\nSubject: Raw\r\nX-Mine: 1\r\n\r\nbody\r\n".encode()
    Message(account=alice, mime_content=mime).send_and_save()
    received = bob.inbox.get()
    assert received.subject == "Raw"
    assert b"X-Mine: 1" in received.mime_content


def test_attachments_are_kept_and_taken_away(alice: Account) -> None:
    draft = Message(account=alice, folder=alice.drafts, subject="With files")
    draft.attach(FileAttachment(name="a.txt", content=b"first"))
    draft.save()
    second = FileAttachment(name="b.bin", content=bytes(range(256)))
    draft.attach(second)
    inner = Message(account=alice, folder=alice.drafts, subject="Inner", body="in")
    draft.attach(ItemAttachment(name="inner", item=inner))
    found = alice.drafts.get(subject="With files")
    attached = {one.name: one for one in found.attachments}
    assert attached.keys() == {"a.txt", "b.bin", "inner"}
    assert attached["b.bin"].content == bytes(range(256))
    assert attached["inner"].item.subject == "Inner"
    assert found.has_attachments
    draft.detach(second)
    found.refresh()
    assert {one.name for one in found.attachments} == {"a.txt", "inner"}


def test_a_move_gives_a_new_id_and_a_copy_leaves_the_original(
    alice: Account, deliver: Deliver
) -> None:
    deliver("wanderer")
    message = alice.inbox.get()
    old = message.id
    message.copy(alice.junk)
    message.move(alice.trash)
    assert message.id != old
    assert (alice.inbox.all().count(), alice.junk.all().count()) == (0, 1)
    assert alice.trash.get().subject == "wanderer"


def test_a_deleted_item_is_gone_and_a_trashed_one_is_not(alice: Account, deliver: Deliver) -> None:
    deliver("gone")
    deliver("trashed")
    alice.inbox.get(subject="trashed").move_to_trash()
    gone = alice.inbox.get(subject="gone")
    gone_id = gone.id
    gone.delete()
    assert [one.subject for one in alice.trash.all()] == ["trashed"]
    assert isinstance(next(alice.fetch([(gone_id, None)])), ErrorItemNotFound)
    with pytest.raises(DoesNotExist):
        alice.inbox.get(subject="gone")


def test_fetch_answers_in_order_with_the_missing_ones_in_place(
    alice: Account, deliver: Deliver, simulator: ExchangeSimulator
) -> None:
    ids = [deliver(str(n)) for n in range(3)]
    simulator.control.delete(ids[1])
    found = list(alice.fetch([(one, None) for one in ids], only_fields=["subject"]))
    assert found[0].subject == "0"
    assert isinstance(found[1], ErrorItemNotFound)
    assert found[2].subject == "2"


def test_replies_and_forwards_quote_the_original(alice: Account, bob: Account) -> None:
    Message(account=alice, subject="Ask", body="Why?", to_recipients=[BOB]).send_and_save()
    question = bob.inbox.get()
    question.reply(subject="RE: Ask", body="Because.")
    answer = alice.inbox.get()
    assert answer.subject == "RE: Ask"
    assert answer.in_reply_to == question.message_id
    assert "Because." in answer.body
    assert "Why?" in answer.body
    assert answer.conversation_id == alice.sent.get().conversation_id
    question.forward(subject="FW: Ask", body="See", to_recipients=[ALICE])
    assert {one.subject for one in alice.inbox.all()} == {"RE: Ask", "FW: Ask"}


def test_text_that_xml_forbids_does_not_break_an_answer(
    alice: Account, simulator: ExchangeSimulator
) -> None:
    simulator.control.deliver(ALICE, b"Subject: bell\x07 & <b> \xff\r\n\r\n\x00\x1b[31m]]>\r\n")
    found = alice.inbox.get()
    assert found.subject.startswith("bell")
    assert "& <b>" in found.subject
    assert "]]>" in found.body


@pytest.mark.parametrize(
    "mime",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x00\x01\xff" * 50, id="binary"),
        pytest.param(b"From: <<<>>\r\nTo: group:;\r\nDate: foo\r\n\r\nx", id="no addresses"),
        pytest.param(b"Content-Type: multipart/mixed\r\n\r\nx", id="no boundary"),
        pytest.param(b"Content-Type: text/plain; charset=nope\r\n\r\n\xfc", id="no charset"),
        pytest.param(b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nx", id="nested"),
        pytest.param(b"Date: Mon, 31 Dec 9999 23:00:00 -1400\r\n\r\nx", id="end of time"),
        pytest.param(
            "From: J\u00f6rg <j\u00f6rg@b\u00fccher.test>\r\n\r\n".encode(), id="RFC 6532"
        ),
    ],
)
def test_mail_that_is_hardly_mail_is_still_read_and_changed(
    alice: Account, simulator: ExchangeSimulator, mime: bytes
) -> None:
    simulator.control.deliver(ALICE, mime)
    message = alice.inbox.get()
    assert message.mime_content == (mime or None)
    message.subject = "changed"
    message.save(update_fields=["subject"])
    message.refresh()
    assert message.subject == "changed"
    assert b"Subject: changed" in message.mime_content


def test_a_mailbox_that_does_not_exist_says_so(account_of: Callable[[str], Account]) -> None:
    with pytest.raises(ErrorNonExistentMailbox):
        account_of("nobody@example.test").inbox.refresh()


def test_a_wrong_password_is_refused_and_counted(
    simulator: ExchangeSimulator, alice: Account
) -> None:
    simulator.service.store.passwords["svc"] = "changed"
    with pytest.raises(UnauthorizedError):
        alice.inbox.refresh()
    assert simulator.control.statistics().authentication_failures > 0


def test_names_are_resolved(alice: Account) -> None:
    found = alice.protocol.resolve_names(["bob", "nobody", "example"])
    assert [one.email_address for one in found if hasattr(one, "email_address")] == [BOB]


def test_time_zones_are_listed(alice: Account) -> None:
    zones = {one.id for one in alice.protocol.get_timezones()}
    assert {"UTC", "W. Europe Standard Time"} <= zones
