"""Outgoing email leaves once, in its turn, whatever happens on the way (1I, DESIGN invariant 9)."""

import threading
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection
from django.db.models import F
from django.db.models.functions import Now

from syncservice.alerts.models import Alert
from syncservice.crm.models import Contact, Email, User
from syncservice.domain import faults
from syncservice.domain.faults import FaultError, Nature, Scope
from syncservice.domain.message import MessageAttachment, parse
from syncservice.domain.sending import Priority, State
from syncservice.mailboxes import administration, directions, schedule
from syncservice.mailboxes.models import (
    Direction,
    EmailServerProfile,
    Lane,
    Mailbox,
    Organisation,
    OutgoingEmail,
    OutgoingMethod,
    Schedule,
    ServerHealth,
    UnclearSending,
)
from syncservice.mailboxes.schedule import ClaimLost
from syncservice.sync import outcome, submission, writing
from syncservice.sync.outbox import Outbox, Patience
from syncservice.sync.sending import Budget, Sendings, send_pending
from syncservice.sync.why_waiting import why_waiting
from syncservice.sync.writing import Letter
from tests import factories
from tests.memory_gateway import Killed, MemoryOutgoing, MemoryPostOffice, Step, fault

pytestmark = pytest.mark.django_db

CUSTOMER, OTHER = "customer@contoso.test", "other@contoso.test"
PATIENCE = Patience(attempts=3, retry=timedelta(minutes=1))
LEASE = timedelta(minutes=5)


def sending_mailbox(**fields) -> Mailbox:
    box = factories.mailbox(outgoing_method=OutgoingMethod.SERVER_SIDE, **fields)
    directions.enable([box.pk], [Direction.Kind.OUTGOING], "tests")
    return box


@pytest.fixture
def ann() -> Mailbox:
    return sending_mailbox(email_address="ann@example.test")


@pytest.fixture
def office() -> MemoryPostOffice:
    return MemoryPostOffice()


def owner(box: Mailbox) -> User:
    found = administration.owner_of(box)
    assert isinstance(found, User)
    return found


def written(box: Mailbox, **letter) -> Email:
    """An email of a mailbox's owner that is a draft."""
    letter.setdefault("to", [CUSTOMER])
    letter.setdefault("subject", "Offer")
    letter.setdefault("text", "Dear customer.\n")
    return writing.draft(owner(box), Letter(**letter))


def submitted(box: Mailbox, **letter) -> Email:
    email = written(box, **letter)
    submission.submit(email, owner(box))
    email.refresh_from_db()
    return email


def send(
    office: MemoryPostOffice, *, budget: int = 100, gateway: type = MemoryOutgoing
) -> Sendings | None:
    """Do what a free worker does; None: nobody has email to send now."""
    begun = schedule.begin_sending(LEASE)
    if begun is None:
        return None
    outbox = Outbox(begun.claim, begun.mailbox, PATIENCE)
    ticks = count()
    way = gateway(office)
    done = send_pending(way, outbox, Budget(1000, budget), lambda: next(ticks) * 0.001)
    outcome.record_sending(begun.claim, done, begun.health, "here", faults.Patience())
    return done


def time_passes(minutes: float = 60 * 24) -> None:
    """Let all that waits for a moment have waited so long."""
    past = timedelta(minutes=minutes)
    for mail in OutgoingEmail.objects.filter(due_at__isnull=False):
        OutgoingEmail.objects.filter(pk=mail.pk).update(
            due_at=mail.due_at - past, turn_at=mail.turn_at - past
        )
    OutgoingEmail.objects.update(copy_due_at=F("copy_due_at") - past)
    for lane in Schedule.objects.filter(due_at__isnull=False):
        Schedule.objects.filter(pk=lane.pk).update(due_at=lane.due_at - past)
    ServerHealth.objects.update(not_before=F("not_before") - past)


def state(email: Email) -> State:
    return State(Email.objects.get(pk=email.pk).status)


def refusal(nature: Nature, text: str) -> faults.Fault:
    return replace(fault(nature, Scope.EMAIL), text=text)


# --- One email ------------------------------------------------------------------------------------


def test_an_email_leaves_with_its_message_id_and_its_token(ann, office):
    email = submitted(ann, cc=["Other <other@contoso.test>"], html="<p>Dear customer.</p>")
    assert state(email) is State.PENDING
    assert email.message_id.endswith("@example.test>")
    assert send(office).sent == 1
    assert state(email) is State.SENT
    message = parse(office.texts[email.message_id])
    assert message.subject == "Offer CRM:0001001"
    assert [party.address for party in message.parties] == ["ann@example.test", CUSTOMER, OTHER]
    assert office.recipients(email.message_id) == [CUSTOMER, OTHER]
    assert Email.objects.get(pk=email.pk).sent_at is not None


def test_an_answer_names_what_it_answers_and_is_about_the_same(ann, office):
    about = Contact.objects.create(last_name="Ash", email_address=CUSTOMER)
    question = Email.objects.create(
        direction=Email.Direction.INCOMING,
        status=Email.Status.RECEIVED,
        identity="question",
        message_id="<q@contoso.test>",
        references=["<root@contoso.test>"],
        regarding_contact=about,
    )
    answer = submitted(ann, answers=question)
    send(office)
    message = parse(office.texts[answer.message_id])
    assert message.in_reply_to == "<q@contoso.test>"
    assert message.references == ("<root@contoso.test>", "<q@contoso.test>")
    answer.refresh_from_db()
    assert (answer.parent, answer.regarding) == (question, about)


def test_a_blind_copy_is_on_the_envelope_alone(ann, office):
    email = submitted(ann, bcc=[OTHER])
    send(office)
    assert office.recipients(email.message_id) == [CUSTOMER, OTHER]
    assert OTHER.encode() not in office.texts[email.message_id]


def test_files_travel_as_they_are(ann, office):
    file = MessageAttachment("offer.pdf", "application/pdf", b"%PDF\r\n\0", "", False)
    email = submitted(ann, attachments=[file])
    send(office)
    assert parse(office.texts[email.message_id]).attachments == (file,)


def test_what_is_sent_can_never_be_sent_again(ann, office):
    email = submitted(ann)
    send(office)
    with pytest.raises(ValidationError):
        submission.submit(email, owner(ann))
    with pytest.raises(IntegrityError, match="can't be sent again"):
        Email.objects.filter(pk=email.pk).update(status=State.PENDING)


# --- Who may send, and to whom --------------------------------------------------------------------


@pytest.mark.parametrize(("allows", "has_privilege", "may"), [
    (True, False, True),
    (False, False, False),
    (False, True, True),
])  # fmt: skip
def test_a_user_sends_for_another_who_allows_it(ann, office, allows, has_privilege, may):
    bob = factories.user("bob@example.test", lets_others_send=allows)
    writer = owner(ann)
    if has_privilege:
        writer.is_superuser = True
    email = writing.draft(bob, Letter(to=[CUSTOMER], subject="For Bob"))
    if not may:
        with pytest.raises(ValidationError, match="lets nobody else send"):
            submission.submit(email, writer)
        assert state(email) is State.DRAFT
        return
    submission.submit(email, writer)
    send(office)
    email.refresh_from_db()
    head = office.texts[email.message_id].partition(b"\r\n\r\n")[0]
    assert b"From: " in head
    assert b"<bob@example.test>" in head or b"bob@example.test" in head
    assert b"\r\nSender: ann@example.test" in head  # whose mailbox it leaves by
    assert email.outgoing.mailbox == ann


def test_email_of_a_queue_leaves_by_its_mailbox(office):
    box = sending_mailbox(owner=factories.queue("support@example.test"))
    queue = administration.owner_of(box)
    email = writing.draft(queue, Letter(to=[CUSTOMER], subject="Case"))
    submission.submit(email, None)
    assert send(office).sent == 1
    email.refresh_from_db()
    assert b"support@example.test" in office.texts[email.message_id]
    assert email.outgoing.mailbox == box


@pytest.mark.parametrize(("to", "match"), [
    ([], "Nobody is named"),
    (["just words"], "no email address: just words"),
])  # fmt: skip
def test_what_can_not_be_sent_is_refused_with_the_reason(ann, to, match):
    with pytest.raises(ValidationError, match=match):
        submitted(ann, to=to)


def test_recipients_who_are_no_records_are_refused_where_the_organisation_says_so(ann, office):
    Organisation.current()
    Organisation.objects.update(sends_to_unresolved=False)
    Contact.objects.create(last_name="Ash", email_address=CUSTOMER)
    with pytest.raises(ValidationError, match=f"these are none: {OTHER}"):
        submitted(ann, to=[CUSTOMER, OTHER])
    assert submitted(ann, to=[CUSTOMER]).status == State.PENDING


def test_a_file_of_a_blocked_kind_is_not_written(ann):
    file = MessageAttachment("run.exe", "application/octet-stream", b"MZ", "", False)
    with pytest.raises(ValidationError, match=r"blocked: run\.exe"):
        written(ann, attachments=[file])


def test_bulk_email_is_one_email_for_each_recipient(ann, office):
    email = written(ann, to=[CUSTOMER], bcc=[OTHER])
    copies = submission.send_bulk(email, owner(ann))
    assert send(office).sent == 2
    assert state(email) is State.DRAFT
    for copy, path in zip(copies, [CUSTOMER, OTHER], strict=True):
        copy.refresh_from_db()
        assert office.recipients(copy.message_id) == [path]
        assert [one.address for one in parse(office.texts[copy.message_id]).parties] == [
            "ann@example.test", path,
        ]  # fmt: skip
    assert len({copy.tracking_token for copy in copies}) == 2


# --- The subject (F169) ---------------------------------------------------------------------------


def test_a_token_is_given_once_and_cut_subjects_have_it_too(ann, office):
    first = submitted(ann, subject="x" * 300)
    second = submitted(ann)
    send(office)
    assert parse(office.texts[first.message_id]).subject == "x" * 243 + " CRM:0001001"
    assert second.tracking_token == "CRM:0001002"


def test_what_failed_keeps_its_token_when_it_is_sent_anew(ann, office):
    office.refused[CUSTOMER] = fault(Nature.PERMANENT, Scope.EMAIL)
    email = submitted(ann)
    send(office)
    assert state(email) is State.FAILED
    office.refused.clear()
    before = email.message_id
    submission.submit(email, owner(ann))
    send(office)
    email.refresh_from_db()
    assert email.subject == "Offer CRM:0001001"
    assert email.message_id != before
    assert office.recipients(email.message_id) == [CUSTOMER]
    assert not Alert.objects.filter(email=email, ended_at=None).exists()


# --- Attempts that fail ---------------------------------------------------------------------------


def test_a_refused_email_is_open_again_and_says_why(ann, office):
    office.refused[CUSTOMER] = refusal(Nature.PERMANENT, "no such user")
    email = submitted(ann)
    assert send(office).failed == 1
    assert state(email) is State.FAILED
    email.refresh_from_db()
    assert email.outgoing.fault_text == "no such user"
    assert email.state is Email.State.OPEN
    assert Alert.objects.get(email=email).text == "no such user"
    assert send(office) is None


def test_what_fails_for_now_is_tried_so_often_and_ever_later(ann, office):
    office.refused[CUSTOMER] = fault(Nature.TRANSIENT, Scope.EMAIL)
    email = submitted(ann)
    waits = []
    while state(email) is not State.FAILED:
        assert send(office).sent == 0
        if state(email) is State.PENDING:
            mail = OutgoingEmail.objects.annotate(now=Now()).get()
            waits.append(round((mail.due_at - mail.now) / timedelta(minutes=1)))
            assert send(office) is None
            time_passes()
    assert waits == [1, 2]
    assert OutgoingEmail.objects.get().attempts == PATIENCE.attempts


def test_who_is_refused_keeps_nobody_else_from_getting_it(ann, office):
    office.refused[OTHER] = refusal(Nature.PERMANENT, "no such user")
    email = submitted(ann, to=[CUSTOMER, OTHER])
    assert send(office).sent == 1
    assert office.recipients(email.message_id) == [CUSTOMER]
    assert state(email) is State.SENT
    email.outgoing.refresh_from_db()
    assert email.outgoing.refused_paths == {OTHER: "no such user"}
    assert OTHER in Alert.objects.get(email=email).text


def test_who_is_refused_for_now_gets_it_later_and_the_others_once(ann, office):
    office.refused[OTHER] = fault(Nature.TRANSIENT, Scope.EMAIL)
    email = submitted(ann, to=[CUSTOMER, OTHER])
    assert send(office).put_off == 1
    assert state(email) is State.PENDING
    with pytest.raises(ValidationError, match="Some recipients have it"):
        submission.recall(email)
    office.refused.clear()
    time_passes()
    assert send(office).sent == 1
    assert office.recipients(email.message_id) == [CUSTOMER, OTHER]


def test_who_stays_refused_is_told_with_the_email_that_was_sent(ann, office):
    office.refused[OTHER] = refusal(Nature.TRANSIENT, "mailbox full")
    email = submitted(ann, to=[CUSTOMER, OTHER])
    while state(email) is not State.SENT:
        send(office)
        time_passes()
    assert OutgoingEmail.objects.get().refused_paths == {OTHER: "mailbox full"}
    assert office.recipients(email.message_id) == [CUSTOMER]


@pytest.mark.parametrize("nature", [Nature.TRANSIENT, Nature.PERMANENT, Nature.THROTTLED])
def test_trouble_of_the_mailbox_leaves_its_email_pending(ann, office, nature):
    office.fault = fault(nature, Scope.MAILBOX)
    email = submitted(ann)
    assert send(office).fault is not None
    assert state(email) is State.PENDING
    assert OutgoingEmail.objects.get().attempts == 0
    assert send(office) is None  # the mailbox rests
    is_on = Direction.objects.get(mailbox=ann, kind="outgoing").is_enabled
    assert is_on is (nature is not Nature.PERMANENT)
    office.fault = None
    time_passes()
    assert send(office).sent == 1
    assert Direction.objects.get(mailbox=ann, kind="outgoing").is_enabled


@pytest.mark.parametrize(("impersonates", "rests"), [(False, True), (True, False)])
def test_a_busy_answer_to_a_sender_is_everybodys_who_share_its_account(
    ann, office, impersonates, rests
):
    profile = ann.profile
    profile.same_settings_for_outgoing = False
    profile.outgoing_username, profile.outgoing_password = "sender", "pw"
    profile.outgoing_use_impersonation = impersonates
    profile.save()
    bob = sending_mailbox(email_address="bob@example.test", profile=profile)
    submitted(ann)
    submitted(bob)
    office.fault = fault(Nature.THROTTLED, Scope.MAILBOX)
    send(office)
    office.fault = None
    assert (send(office) is None) is rests


def test_a_server_in_trouble_is_left_alone_by_all_its_mailboxes(ann, office):
    bob = sending_mailbox(email_address="bob@example.test", profile=ann.profile)
    carl = sending_mailbox(email_address="carl@example.test")
    for box in (ann, bob, carl):
        submitted(box)
    office.fault = fault(Nature.TRANSIENT, Scope.PROFILE)
    send(office)
    office.fault = None
    assert schedule.sendings_due(10) == 1
    assert send(office).sent == 1  # Carl's
    assert send(office) is None
    assert schedule.sendings_due(10) == 0  # nobody is called in vain
    assert Direction.objects.filter(kind="outgoing", is_enabled=True).count() == 3


# --- Once -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut", "killed"])
@pytest.mark.parametrize("step", list(Step)[:4])
def test_wherever_an_attempt_ends_the_email_leaves_once(ann, office, step, how):
    email = submitted(ann)
    if how == "killed":
        office.killed_at = {step}
        with pytest.raises(Killed):
            send(office)
        assert state(email) is State.SENDING
        assert send(office) is None  # its claim lives on until the lease ends
    else:
        office.cut_at = {step}
        send(office)
    for _ in range(3):
        time_passes()
        send(office)
    assert state(email) is State.SENT
    assert office.recipients(email.message_id) == [CUSTOMER]
    assert office.drafts == []


@pytest.mark.parametrize(("choice", "end", "times"), [
    (UnclearSending.HOLD, State.UNKNOWN, 1),
    (UnclearSending.SEND_AGAIN, State.SENT, 2),
    (UnclearSending.TAKE_AS_SENT, State.SENT, 1),
])  # fmt: skip
def test_what_nobody_can_tell_is_what_the_administrator_chose(ann, office, choice, end, times):
    profile = ann.profile
    profile.unclear_sending = choice
    profile.save()
    office.sees_sent = False
    office.cut_at = {Step.TAKEN}
    email = submitted(ann)
    send(office)
    time_passes()
    send(office)
    assert state(email) is end
    assert office.recipients(email.message_id) == [CUSTOMER] * times


@pytest.mark.parametrize(("was_sent", "end"), [(True, 1), (False, 2)])
def test_a_person_decides_about_what_is_held(ann, office, was_sent, end):
    office.sees_sent = False
    office.cut_at = {Step.TAKEN}
    email = submitted(ann)
    send(office)
    assert state(email) is State.UNKNOWN
    assert send(office) is None
    assert "Nobody can tell" in why_waiting(Email.objects.get(pk=email.pk))
    assert Alert.objects.get(email=email, ended_at=None).code == "email.outcome_unknown"
    submission.decide(email, was_sent=was_sent)
    send(office)
    assert state(email) is State.SENT
    assert len(office.recipients(email.message_id)) == end
    assert not Alert.objects.filter(email=email, ended_at=None).exists()


def test_nobody_decides_while_an_attempt_is_under_way_or_the_server_is_asked(ann, office):
    office.sees_sent = False
    office.cut_at = {Step.TAKEN}
    email = submitted(ann)
    send(office)
    submission.decide(email, was_sent=False)
    with pytest.raises(ValidationError, match="too late"):
        submission.decide(email, was_sent=False)  # pressed twice
    begun = schedule.begin_sending(LEASE)
    outbox = Outbox(begun.claim, begun.mailbox, PATIENCE)
    with outbox.step():
        ready = outbox.begin_next()
    with pytest.raises(ValidationError, match="too late"):
        submission.decide(email, was_sent=True)
    with outbox.step():
        outbox.lose(ready, refusal(Nature.TRANSIENT, "lost"))
    with pytest.raises(ValidationError, match="server is asked"):
        submission.decide(email, was_sent=True)


@pytest.mark.parametrize(("sees_unsent", "choice", "end"), [
    pytest.param(True, UnclearSending.HOLD, State.FAILED, id="it says that it has nothing"),
    pytest.param(False, UnclearSending.SEND_AGAIN, State.UNKNOWN, id="it can't tell"),
])  # fmt: skip
def test_a_server_that_is_never_clear_is_not_asked_for_ever(ann, office, sees_unsent, choice, end):
    profile = ann.profile
    profile.unclear_sending = choice
    profile.save()
    office.sees_sent, office.sees_unsent = sees_unsent, sees_unsent
    email = submitted(ann)
    for _ in range(2 * PATIENCE.attempts):
        office.cut_at = {Step.ANNOUNCED}
        send(office)
        assert send(office) is None  # there is a pause after each
        office.cut_at.clear()
        time_passes()
        if state(email) is end:
            break
    assert state(email) is end
    assert OutgoingEmail.objects.get().attempts == PATIENCE.attempts
    assert Alert.objects.filter(email=email, ended_at=None).exists()


def test_an_email_over_which_workers_die_lets_the_others_go_first_and_is_given_up(ann, office):
    deadly, other = submitted(ann), submitted(ann)

    class Deadly(MemoryOutgoing):
        def send(self, mail, before_handover):
            if mail.message_id == deadly.message_id:
                raise Killed
            return super().send(mail, before_handover)

    deaths = 0
    while state(deadly) in (State.PENDING, State.SENDING):
        try:
            send(office, gateway=Deadly)
        except Killed:
            deaths += 1
            if deaths == 2:
                assert state(other) is State.PENDING
        time_passes(LEASE / timedelta(minutes=1))  # the claim is over
    assert deaths == PATIENCE.attempts
    assert (state(deadly), state(other)) == (State.FAILED, State.SENT)
    assert Alert.objects.get(email=deadly, ended_at=None).code == "sending.worker_died"


def test_what_others_got_before_proves_nothing_for_who_gets_it_now(ann, office):
    office.refused[OTHER] = fault(Nature.TRANSIENT, Scope.EMAIL)
    email = submitted(ann, to=[CUSTOMER, OTHER])
    send(office)
    office.refused.clear()
    time_passes()
    office.cut_at = {Step.ANNOUNCED}
    send(office)
    assert state(email) is State.UNKNOWN  # the server has the message, of the first attempt
    assert office.recipients(email.message_id) == [CUSTOMER]


def test_the_folder_of_sent_mail_stops_no_email_when_it_is_another_servers(office):
    profile = factories.profile(
        server_type=EmailServerProfile.ServerType.IMAP_SMTP, location="127.0.0.1",
        outgoing_location="127.0.0.1", use_impersonation=False,
    )  # fmt: skip
    ann = sending_mailbox(email_address="ann@example.test", profile=profile, act_method=2)
    bob = sending_mailbox(email_address="bob@example.test", profile=profile, act_method=2)

    class Broken(MemoryOutgoing):
        def keep_copy(self, mail):
            raise FaultError(fault(Nature.TRANSIENT, Scope.PROFILE))

        def look_up(self, mail):
            raise FaultError(fault(Nature.PERMANENT, Scope.MAILBOX))

    lost, fine = submitted(ann), submitted(bob)
    office.cut_at = {Step.TAKEN}
    for _ in range(2):
        assert send(office, gateway=Broken).fault is None
    assert (state(lost), state(fine)) == (State.UNKNOWN, State.SENT)
    assert Direction.objects.filter(kind="outgoing", is_enabled=True).count() == 2
    assert not ServerHealth.objects.exclude(failures=0).exists()
    for _ in range(PATIENCE.attempts):
        time_passes()
        for _ in range(2):
            send(office, gateway=Broken)
    assert OutgoingEmail.objects.get(email=lost).due_at is None  # held
    assert OutgoingEmail.objects.get(email=fine).copy_due_at is None  # given up
    assert Alert.objects.filter(email=fine, code="email.copy_not_kept").exists()


def test_copies_are_kept_once_each_however_many_fail(office):
    profile = factories.profile(
        server_type=EmailServerProfile.ServerType.IMAP_SMTP, location="127.0.0.1",
        outgoing_location="127.0.0.1", use_impersonation=False,
    )  # fmt: skip
    box = sending_mailbox(email_address="ann@example.test", profile=profile, act_method=2)
    emails = [submitted(box) for _ in range(3)]
    office.cut_at = {Step.COPYING}  # of one of them
    send(office)
    time_passes()
    send(office)
    emails = [Email.objects.get(pk=email.pk) for email in emails]
    assert sorted(office.sent_items) == sorted(email.message_id for email in emails)
    assert Schedule.objects.get(mailbox=box, lane=Lane.OUTGOING).due_at is None


def test_who_lost_the_claim_hands_nothing_over(ann, office):
    email = submitted(ann)
    begun = schedule.begin_sending(LEASE)
    outbox = Outbox(begun.claim, begun.mailbox, PATIENCE)
    with outbox.step():
        ready = outbox.begin_next()
    directions.disable([ann.pk], [Direction.Kind.OUTGOING], "tests")
    with pytest.raises(ClaimLost):
        MemoryOutgoing(office).send(outbox.mail_object(ready), lambda: outbox.hand_over(ready))
    assert office.delivered == []
    directions.enable([ann.pk], [Direction.Kind.OUTGOING], "tests")
    assert send(office).sent == 1
    assert office.recipients(email.message_id) == [CUSTOMER]


def test_a_copy_is_kept_or_not_as_the_profile_says(ann, office):
    profile = ann.profile
    profile.keeps_sent_copy = False
    profile.save()
    submitted(ann)
    send(office)
    assert OutgoingEmail.objects.get().copy_due_at is None  # it was looked at
    assert office.sent_items == []
    assert send(office) is None


# --- Taken back -----------------------------------------------------------------------------------


def test_what_waits_can_be_taken_back_and_changed(ann, office):
    email = submitted(ann)
    submission.recall(email)
    assert state(email) is State.DRAFT
    assert send(office) is None or office.delivered == []
    submission.submit(email, owner(ann))
    assert send(office).sent == 1


def test_a_draft_can_be_given_up(ann, office):
    email = written(ann)
    submission.cancel(email)
    assert state(email) is State.CANCELED
    with pytest.raises(ValidationError, match="too late"):
        submission.submit(email, owner(ann))


# --- Turns ----------------------------------------------------------------------------------------


def test_the_urgent_goes_first_and_what_is_not_gets_its_turn(ann, office):
    low = submitted(ann, priority=Priority.LOW)
    normal = submitted(ann)
    high = submitted(ann, priority=Priority.HIGH)
    OutgoingEmail.objects.filter(email=low).update(turn_at=Now() - timedelta(minutes=8))
    send(office)
    order = [message_id for message_id, _ in office.delivered]
    assert order == [high.message_id, low.message_id, normal.message_id]


def test_who_sends_much_lets_others_between(ann, office):
    bob = sending_mailbox(email_address="bob@example.test", profile=ann.profile)
    many = {submitted(ann).message_id for _ in range(4)}
    one = submitted(bob).message_id
    for _ in range(3):
        send(office, budget=2)
    order = [message_id for message_id, _ in office.delivered]
    assert one in order[2:3]
    assert set(order) == many | {one}


def test_an_email_is_sent_no_sooner_than_its_writer_wished(ann, office):
    later = Organisation.objects.annotate(now=Now()).values_list("now", flat=True)
    Organisation.current()
    email = submitted(ann, send_after=later.get() + timedelta(hours=1))
    assert send(office) is None
    assert "sent later" in why_waiting(email)
    time_passes()
    assert send(office).sent == 1


def switch_off(box: Mailbox, **fields) -> None:
    Mailbox.objects.filter(pk=box.pk).update(**fields)
    schedule.plan([box.pk])


@pytest.mark.parametrize(("off", "on", "reason"), [
    pytest.param({"is_active": False}, {"is_active": True}, "not active", id="inactive"),
    pytest.param({"approval": 2}, {"approval": 1}, "not approved", id="not approved"),
])  # fmt: skip
def test_email_of_a_mailbox_that_may_not_send_waits_and_says_why(ann, office, off, on, reason):
    switch_off(ann, **off)
    email = submitted(ann)
    assert send(office) is None
    assert reason in why_waiting(email)
    switch_off(ann, **on)
    assert send(office).sent == 1


def test_email_of_a_mailbox_that_is_not_enabled_waits_and_says_why(office):
    box = factories.mailbox(
        email_address="eve@example.test", outgoing_method=OutgoingMethod.SERVER_SIDE
    )
    email = submitted(box)
    assert send(office) is None
    assert "not enabled" in why_waiting(email)
    directions.enable([box.pk], [Direction.Kind.OUTGOING], "tests")
    assert send(office).sent == 1
    assert why_waiting(Email.objects.get(pk=email.pk)) == ""


def test_email_goes_with_its_sender_to_another_mailbox(ann, office):
    user = owner(ann)
    email = submitted(ann)
    other = sending_mailbox(email_address="new@example.test", profile=ann.profile)
    administration.map_mailbox(other, user, take_over=True)
    email.outgoing.refresh_from_db()
    assert email.outgoing.mailbox == other
    directions.enable([other.pk], [Direction.Kind.OUTGOING], "tests")
    assert send(office).sent == 1


def test_held_email_does_not_leave_by_the_mailbox_of_another(ann, office):
    office.sees_sent = False
    office.cut_at = {Step.TAKEN}
    email = submitted(ann)
    send(office)
    bob = User.objects.create(username="bob", email="bob@example.test")
    administration.map_mailbox(ann, bob, take_over=True)
    directions.enable([ann.pk], [Direction.Kind.OUTGOING], "tests")
    submission.decide(email, was_sent=False)
    assert send(office) is None
    assert len(office.recipients(email.message_id)) == 1


def test_email_of_a_user_who_was_disabled_waits_and_no_more_is_taken(ann, office):
    email = submitted(ann)
    user = owner(ann)
    user.is_active = False
    user.save()
    assert send(office) is None
    assert "no active user" in why_waiting(email)
    with pytest.raises(ValidationError, match="no active user"):
        submitted(ann)


def test_what_a_dead_worker_left_in_a_mailbox_that_is_off_can_be_taken_back(ann, office):
    email = submitted(ann)
    office.killed_at = {Step.BEGUN}
    with pytest.raises(Killed):
        send(office)
    with pytest.raises(ValidationError, match="too late"):
        submission.recall(email)  # somebody may send it just now
    directions.disable([ann.pk], [Direction.Kind.OUTGOING], "tests")
    assert "not enabled" in why_waiting(Email.objects.get(pk=email.pk))
    submission.recall(email)
    assert state(email) is State.DRAFT


def test_bulk_email_is_sent_once_and_never_from_what_was_sent(ann, office):
    email = written(ann, to=[CUSTOMER, OTHER])
    submission.send_bulk(email, owner(ann))
    with pytest.raises(ValidationError, match="sent before"):
        submission.send_bulk(email, owner(ann))
    single = submitted(ann)
    send(office)
    with pytest.raises(ValidationError, match="sent before"):
        submission.send_bulk(single, owner(ann))
    assert len(office.delivered) == 3


def test_a_lane_without_email_is_never_due(ann, office):
    lane = Schedule.objects.get(mailbox=ann, lane=Lane.OUTGOING)
    assert (lane.due_at, lane.reason) == (None, schedule.NOTHING_TO_SEND)
    submitted(ann)
    send(office)
    lane.refresh_from_db()
    assert (lane.due_at, lane.reason) == (None, schedule.NOTHING_TO_SEND)
    assert schedule.sendings_due(10) == 0


def test_email_that_waits_keeps_no_visit_from_the_only_connection(ann):
    Schedule.objects.filter(lane=Lane.INCOMING).update(due_at=Now())
    profile = ann.profile
    profile.maximum_concurrent_connections = 1
    profile.save()
    submitted(ann)
    assert schedule.sendings_due(10) == 1
    assert [lane for _, lane, _ in schedule.claim_due(10, LEASE).messages] == ["incoming"]


def test_email_that_waits_has_a_connection_left_to_it(ann):
    profile = ann.profile
    profile.maximum_concurrent_connections = 3
    profile.save()
    others = [factories.mailbox(profile=profile) for _ in range(4)]
    submitted(ann)
    assert len(others) + 1 > len(schedule.claim_due(10, LEASE).messages) == 2
    assert schedule.begin_sending(LEASE) is not None


@pytest.mark.django_db(transaction=True)
def test_a_first_token_and_a_take_over_at_once_wait_for_each_other_and_no_longer():
    """Whoever sends for the first time gets a number, while another's mailbox changes hands."""
    boxes = [sending_mailbox(email_address=f"user-{number}@example.test") for number in range(4)]
    letters = [(written(box), owner(box)) for box in boxes]
    heir = User.objects.create(username="heir", email="heir@example.test")
    failures = []

    def run(work) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 # whatever it is, the test tells
            failures.append(error)
        finally:
            connection.close()

    def take_over() -> None:
        for box in boxes:
            administration.map_mailbox(box, heir, take_over=True)

    works = [lambda email=email, by=by: submission.submit(email, by) for email, by in letters]
    threads = [threading.Thread(target=run, args=[work]) for work in (*works, take_over)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
