"""Outgoing email by the command line: written, sent, taken back, decided about and looked at."""

import threading
import time
from datetime import UTC, datetime

import pytest
from click import ClickException
from django.core.exceptions import ValidationError
from django.db import connection

from syncservice.cli.output import PATIENCE_SECONDS
from syncservice.crm.models import ActivityParty, Contact, Email, User
from syncservice.domain.faults import Nature
from syncservice.domain.message import parse
from syncservice.domain.sending import State
from syncservice.mailboxes import administration
from syncservice.mailboxes.models import (
    ChangeRecord,
    EmailServerProfile,
    Mailbox,
    Organisation,
    OutgoingEmail,
    OutgoingMethod,
    UnclearSending,
)
from tests import factories
from tests.console.test_outgoing_email import failed, unknown
from tests.memory_gateway import MemoryPostOffice
from tests.sync.test_sending import (
    CUSTOMER,
    OTHER,
    owner,
    refusal,
    send,
    sending_mailbox,
    state,
    submitted,
    switch_off,
    written,
)
from tests.test_cli_administration import ANN, done, run, told

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> Mailbox:
    return sending_mailbox(email_address=ANN, profile=factories.profile(name="Exchange"))


@pytest.fixture
def office() -> MemoryPostOffice:
    return MemoryPostOffice()


def write(*options: str, stdin: str = "") -> Email:
    """Write an email as Ann; return it by the id that was printed."""
    return Email.objects.get(pk=done("email", "write", ANN, *options, stdin=stdin).strip())


def refused(*command: str) -> str:
    """Run a command that ends with exit status 1; return its one sentence."""
    result = run(*command)
    assert result.exit_code == 1
    if isinstance(result.exception, ValidationError):  # `main` prints it, see test_cli
        (sentence,) = result.exception.messages
        return sentence
    (line,) = result.stderr.splitlines()
    return line


# --- Written --------------------------------------------------------------------------------------


def test_what_is_written_leaves_as_it_was_written(ann, office, tmp_path):
    (tmp_path / "letter.html").write_text("<p>Grüße</p>", encoding="utf-8")
    (tmp_path / "offer.pdf").write_bytes(b"%PDF\r\n\0")
    (tmp_path / "data.qqq").write_bytes(b"?")
    email = write(
        *("--to", "Carla <customer@contoso.test>", "--to", "a@b.test", "--cc", "c@d.test"),
        *("--bcc", OTHER, "--subject", "Offer", "--text", "-"),
        *("--html-file", f"{tmp_path}/letter.html"),
        *("--attach", f"{tmp_path}/offer.pdf", "--attach", f"{tmp_path}/data.qqq"),
        stdin="Dear customer,\n",
    )
    assert state(email) is State.PENDING
    send(office)
    assert office.recipients(email.message_id) == [CUSTOMER, "a@b.test", "c@d.test", OTHER]
    message = parse(office.texts[email.message_id])
    assert (message.text, message.html.strip()) == ("Dear customer,\n", "<p>Grüße</p>")
    assert message.subject.startswith("Offer")
    assert [(one.filename, one.content_type, one.content) for one in message.attachments] == [
        ("offer.pdf", "application/pdf", b"%PDF\r\n\0"),
        ("data.qqq", "application/octet-stream", b"?"),
    ]


def test_all_that_can_be_asked_for_is_kept(ann):
    contact = Contact.objects.create(last_name="Ash")
    email = write(
        *("--to", CUSTOMER, "--about", f"contact:{contact.pk}", "--priority", "high"),
        *("--send-after", "2100-01-02T03:04:05", "--read-receipt", "--delivery-receipt"),
    )
    mail = email.outgoing
    assert (email.regarding, mail.priority) == (contact, OutgoingEmail.Priority.HIGH)
    assert mail.send_after == datetime(2100, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (mail.asks_read_receipt, mail.asks_delivery_receipt) == (True, True)
    plain = write("--to", CUSTOMER, "--delivery-receipt").outgoing
    assert (plain.priority, plain.send_after) == (OutgoingEmail.Priority.NORMAL, None)
    assert (plain.asks_read_receipt, plain.asks_delivery_receipt) == (False, True)


def test_an_answer_is_about_what_it_answers(ann):
    contact = Contact.objects.create(last_name="Ash")
    question = Email.objects.create(
        direction=0, status=4, identity="q", message_id="<q@x.test>", regarding_contact=contact
    )
    answer = write("--to", CUSTOMER, "--answers", str(question.pk))
    assert (answer.in_reply_to, answer.regarding) == ("<q@x.test>", contact)


def test_the_text_comes_from_a_file_or_the_line(ann, tmp_path):
    (tmp_path / "letter").write_text("Grüße\n", encoding="utf-8")
    assert write("--to", CUSTOMER, "--text-file", f"{tmp_path}/letter").text == "Grüße\n"
    assert write("--to", CUSTOMER, "--text", "Hello").text == "Hello"


def test_a_draft_is_sent_later(ann, office):
    email = write("--to", CUSTOMER, "--draft")
    assert state(email) is State.DRAFT
    done("email", "send", str(email.pk))
    assert state(email) is State.PENDING
    assert send(office).sent == 1


def test_a_queue_writes_by_its_address(office):
    box = sending_mailbox(owner=factories.queue("help@example.test"))
    done("email", "write", "HELP@example.test", "--to", CUSTOMER)
    assert OutgoingEmail.objects.get().mailbox == box


def test_a_user_without_a_mailbox_of_that_address_writes_too(ann):
    User.objects.filter(pk=owner(ann).pk).update(email="private@example.test")
    done("email", "write", "private@example.test", "--to", CUSTOMER)
    assert OutgoingEmail.objects.get().sender_user == owner(ann)


def test_a_user_writes_on_behalf_of_another_who_lets_others(ann, office):
    bob = factories.user("bob@example.test")
    command = ("email", "write", "bob@example.test", "--to", CUSTOMER, "--by", ANN)
    assert "lets nobody else send" in refused(*command)
    assert not Email.objects.exists()  # no draft is left behind
    done("mailbox", "set", "bob@example.test", "--others-may-send")
    done(*command)
    mail = OutgoingEmail.objects.get()
    assert (mail.submitted_by, mail.mailbox) == (owner(ann), ann)
    assert ActivityParty.objects.get(participation=1).user == bob


def test_a_draft_is_sent_on_behalf_too(ann):
    factories.user("bob@example.test", lets_others_send=True)
    email = done("email", "write", "bob@example.test", "--to", CUSTOMER, "--draft").strip()
    done("email", "send", email, "--by", ANN)
    assert OutgoingEmail.objects.get().submitted_by == owner(ann)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("write", "nobody@x.test"), "there is no user or queue with the address 'nobody@x.test'"),
        (("write", ANN), "Nobody is named who shall get it."),
        (("write", ANN, "--to", "just words"), "This is no email address: just words."),
        (("write", ANN, "--to", "a@b.test", "--by", "help@example.test"), "only a user sends on"),
        (("write", ANN, "--to", "a@b.test", "--text-file", "{tmp}/latin"), "is no text in UTF-8"),
        (("write", ANN, "--to", "a@b.test", "--attach", "{tmp}/run.exe"), "blocked: run.exe"),
        (("write", ANN, "--answers", "{nil}"), "there is no email 0000"),
        (("send", "{nil}"), "there is no email 0000"),
        (("recall", "{nil}"), "there is no email 0000"),
        (("show", "{nil}"), "see `syncservice email list`"),
        (("show", "{received}"), "was not written here"),
        (("cancel", "{received}"), "This email was not written here."),
        (("decide", "{pending}", "--sent"), "It is too late for that"),
        (("send", "{pending}"), "the email is in the state “pending send”"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_can_not_be_done_is_one_sentence(ann, tmp_path, command, sentence):
    factories.queue("help@example.test")
    (tmp_path / "latin").write_bytes(b"\xfc")
    (tmp_path / "run.exe").write_bytes(b"MZ")
    received = Email.objects.create(direction=0, status=4, identity="r")
    known = {
        "tmp": tmp_path, "nil": "00000000-0000-0000-0000-000000000000",
        "received": received.pk, "pending": submitted(ann).pk,
    }  # fmt: skip
    before = Email.objects.count()
    assert sentence in refused("email", *(word.format(**known) for word in command))
    assert Email.objects.count() == before


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("write", ANN, "--priority", "urgent"), "'urgent' is not one of"),
        (("write", ANN, "--text", "a", "--text-file", "/dev/null"), "give either --text or"),
        (("write", ANN, "--draft", "--wait"), "a draft is sent by nobody"),
        (("decide", "00000000-0000-0000-0000-000000000000"), "say --sent or --not-sent"),
        (("list", "--mailbox", "x@y.test"), "there is no mailbox 'x@y.test'"),
        (("list", "--state", "gone"), "'gone' is not one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_command_that_is_none_says_what_is_wrong_with_it(ann, command, sentence):
    result = run("email", *command)
    assert result.exit_code == 2
    assert sentence in result.output


# --- Bulk, taken back, given up, decided ----------------------------------------------------------


def test_bulk_prints_an_id_for_each_recipient(ann, office):
    email = write("--to", CUSTOMER, "--bcc", OTHER, "--draft")
    ids = done("email", "send-bulk", str(email.pk)).split()
    send(office)
    paths = [office.recipients(Email.objects.get(pk=one).message_id) for one in ids]
    assert paths == [[CUSTOMER], [OTHER]]


def test_what_waits_is_taken_back_and_given_up(ann, office):
    email = write("--to", CUSTOMER)
    done("email", "recall", str(email.pk))
    assert state(email) is State.DRAFT
    assert ChangeRecord.objects.get(action="email.taken_back").actor == "command line"
    done("email", "cancel", str(email.pk))
    assert state(email) is State.CANCELED


@pytest.mark.parametrize(("option", "end"), [
    ("--sent", State.SENT),
    ("--not-sent", State.PENDING),
])  # fmt: skip
def test_what_nobody_can_tell_is_decided(ann, office, option, end):
    email = unknown(ann, office)
    done("email", "decide", str(email.pk), option)
    assert state(email) is end
    note = ChangeRecord.objects.get(action="email.decided")
    assert (note.actor, note.facts["was_sent"]) == ("command line", option == "--sent")


# --- Waited for -----------------------------------------------------------------------------------


class Worker:
    """Sends in a thread, as a worker would, until nobody has asked for long."""

    def __init__(self, office: MemoryPostOffice) -> None:
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._work, args=(office,))

    def _work(self, office: MemoryPostOffice) -> None:
        while not self.is_over.wait(0.05):
            send(office)
        connection.close()

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.thread.join()


@pytest.mark.django_db(transaction=True)
def test_one_waits_until_an_email_is_sent(ann, office):
    office.refused = {OTHER: refusal(Nature.PERMANENT, "550 no such user")}
    with Worker(office):
        words = done("email", "write", ANN, "--to", CUSTOMER, "--wait").split("\n")
        assert words[1].startswith("Sent after ")
        partly = done("email", "write", ANN, "--to", CUSTOMER, "--cc", OTHER, "--wait")
    assert f"s, but not to {OTHER}" in partly
    assert state(Email.objects.get(pk=words[0])) is State.SENT


@pytest.mark.django_db(transaction=True)
def test_who_waits_for_an_email_that_fails_gets_the_reason_and_status_1(ann, office):
    office.refused = {CUSTOMER: refusal(Nature.PERMANENT, "550 no such user")}
    draft = written(ann)
    with Worker(office):
        sentence = refused("email", "send", str(draft.pk), "--wait")
    assert sentence == "Error: it is not sent (failed): 550 no such user"


def test_nobody_waits_for_what_can_not_leave(ann):
    switch_off(ann, is_active=False)
    email = written(ann)
    began = time.monotonic()
    sentence = refused("email", "send", str(email.pk), "--wait")
    assert time.monotonic() - began < PATIENCE_SECONDS / 2
    assert sentence.endswith("stays in the line: The mailbox of its sender is not active.")
    assert state(email) is State.PENDING


def test_nobody_waits_for_a_person_to_decide(ann, office):
    """A worker that had it before the wait began has left it unknown."""
    from syncservice.cli.email import _wait

    with pytest.raises(ClickException, match=r"not sent \(unknown\): Nobody can tell"):
        _wait(unknown(ann, office))


# --- Looked at ------------------------------------------------------------------------------------


def test_email_is_listed_the_newest_first_with_why_it_waits(ann, office):
    bad = failed(ann, office, subject="Bad")
    doubt = unknown(ann, office, subject="Doubt")
    draft = written(ann, subject="Draft")
    other = factories.mailbox(
        email_address="eve@example.test", outgoing_method=OutgoingMethod.SERVER_SIDE
    )
    waiting = submitted(other, subject="Waiting", to=["a@b.test", "c@d.test", "e@f.test", "g@h.i"])
    rows = told("email", "list")
    assert [row["email"] for row in rows] == [str(e.pk) for e in (waiting, draft, doubt, bad)]
    assert [row["state"] for row in rows] == ["pending", "draft", "unknown", "failed"]
    assert rows[0]["to"] == "a@b.test, c@d.test, e@f.test, …"
    assert "is not enabled; test and enable it" in rows[0]["why"]
    assert rows[1]["why"] == ""
    assert rows[2]["why"].startswith("Nobody can tell")
    assert rows[3]["why"] == "550 no such user"
    assert rows[3]["attempts"] == 1
    assert [row["state"] for row in told("email", "list", "--state", "unknown")] == ["unknown"]
    of_ann = told("email", "list", "--mailbox", ANN)
    assert [row["state"] for row in of_ann] == ["draft", "unknown", "failed"]
    cut = run("email", "list", "--limit", "1")
    assert "only the newest 1 are listed" in cut.stderr
    assert "Waiting" in cut.stdout
    assert "Doubt" not in cut.stdout


def test_a_long_list_asks_once_for_each_mailbox(ann, django_assert_max_num_queries):
    for _ in range(10):
        submitted(ann)
    with django_assert_max_num_queries(12):
        assert len(told("email", "list")) == 10


def test_an_email_is_shown_with_all_that_became_of_it(ann, office):
    office.refused = {OTHER: refusal(Nature.TRANSIENT, "452 mailbox full")}
    email = submitted(ann, to=["Carla <customer@contoso.test>"], cc=[OTHER], asks_read_receipt=True)
    send(office)
    shown = told("email", "show", str(email.pk))
    mail = OutgoingEmail.objects.get()
    assert shown["state"] == "pending"
    assert shown["why_waiting"] == "It waits for its turn."
    assert shown["recipients"] == ["to: Carla <customer@contoso.test>", f"cc: {OTHER}"]
    assert (shown["attempts"], shown["priority"], shown["mailbox"]) == (1, "normal", ANN)
    assert (shown["fault"], shown["fault_code"]) == ("452 mailbox full", "test.fault")
    assert (shown["accepted"], shown["refused"]) == ([CUSTOMER], [])
    assert shown["submitted"] == str(mail.submitted_at)
    assert shown["not_before"] == str(mail.due_at)
    assert (shown["sent"], shown["read_receipt"]) == (None, True)
    assert shown["submitted_by"] == owner(ann).username
    assert "452 mailbox full" in done("email", "show", str(email.pk))


def test_who_was_refused_for_good_is_shown_with_an_alert(ann, office):
    office.refused = {OTHER: refusal(Nature.PERMANENT, "550 no such user")}
    email = submitted(ann, to=[CUSTOMER, OTHER])
    send(office)
    shown = told("email", "show", str(email.pk))
    assert shown["refused"] == [f"{OTHER}: 550 no such user"]
    assert shown["alerts"] == ["An email was sent, but some of its recipients do not get it."]
    assert shown["sent"] == str(Email.objects.get(pk=email.pk).sent_at)
    assert told("mailbox", "show", ANN)["alerts"] == []  # it is the email's, not the mailbox's


# --- Settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("word", "choice"), [
    ("hold", UnclearSending.HOLD),
    ("send-again", UnclearSending.SEND_AGAIN),
    ("take-as-sent", UnclearSending.TAKE_AS_SENT),
])  # fmt: skip
def test_the_profile_says_what_becomes_of_sent_and_unclear_email(ann, word, choice):
    other = UnclearSending.HOLD if choice else UnclearSending.TAKE_AS_SENT
    EmailServerProfile.objects.update(unclear_sending=other)
    done("profile", "set", "Exchange", "--no-sent-copy", "--unclear-sending", word)
    profile = EmailServerProfile.objects.get()
    assert (profile.keeps_sent_copy, profile.unclear_sending) == (False, choice)
    assert told("profile", "show", "Exchange")["unclear_sending"] == choice.label
    done("profile", "set", "Exchange", "--sent-copy")
    assert EmailServerProfile.objects.get().keeps_sent_copy is True


def test_the_organisation_says_whether_strangers_get_email(ann):
    done("organisation", "set", "--no-send-to-unresolved")
    assert Organisation.current().sends_to_unresolved is False
    assert "these are none: a@b.test" in refused("email", "write", ANN, "--to", "a@b.test")


def test_a_mailbox_says_whether_others_send_for_its_user(ann):
    assert told("mailbox", "show", ANN)["others_may_send"] is False
    done("mailbox", "set", ANN, "--others-may-send")
    assert owner(ann).lets_others_send is True
    assert told("mailbox", "show", ANN)["others_may_send"] is True
    done("mailbox", "set", ANN, "--no-others-may-send")
    assert owner(ann).lets_others_send is False


def test_a_queue_lets_nobody_else_send(ann):
    queue = factories.queue("help@example.test")
    command = ("mailbox", "set", "help@example.test", "--others-may-send")
    assert refused(*command) == "Only a user lets others send; for a queue its owner does."
    assert administration.mailbox_of(queue) is not None
