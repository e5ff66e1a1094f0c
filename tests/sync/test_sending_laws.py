"""Whatever happens, an email leaves once: people write, servers fail, workers die at any step."""

from contextlib import suppress

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from syncservice.crm.models import Email
from syncservice.domain.faults import Nature, Scope
from syncservice.domain.sending import State
from syncservice.mailboxes import directions
from syncservice.mailboxes.models import Direction, OutgoingEmail
from syncservice.sync import submission
from tests.memory_gateway import Killed, MemoryPostOffice, Step, fault
from tests.sync.test_sending import owner, send, sending_mailbox, time_passes, written

EMAILS = st.integers(0, 5)
OUTSIDE = {State.DRAFT, State.FAILED, State.CANCELED}


class Sending(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.undone = transaction.atomic()  # at the end of the example
        self.undone.__enter__()
        self.office = MemoryPostOffice()
        self.box = sending_mailbox()
        self.emails: list[Email] = []
        self.were_sent: set[Email] = set()

    def chosen(self, number: int) -> Email | None:
        return self.emails[number % len(self.emails)] if self.emails else None

    def state(self, email: Email) -> State:
        return State(Email.objects.get(pk=email.pk).status)

    @rule(bcc=st.booleans())
    def somebody_writes(self, bcc: bool) -> None:
        people = {"bcc": ["other@contoso.test"]} if bcc else {}
        self.emails.append(written(self.box, **people))

    @rule(number=EMAILS, verb=st.sampled_from(["submit", "recall", "cancel"]))
    def somebody_changes_their_mind(self, number: int, verb: str) -> None:
        email = self.chosen(number)
        if email is None:
            return
        try:
            if verb == "submit":
                submission.submit(email, owner(self.box))
            else:
                getattr(submission, verb)(email)
        except ValidationError:
            assert (
                self.state(email)
                not in {
                    "submit": {State.DRAFT, State.FAILED},
                    "recall": set(),
                    "cancel": {State.DRAFT, State.FAILED},
                }[verb]
            )

    @rule(step=st.none() | st.sampled_from(Step), killed=st.booleans())
    def a_worker_sends(self, step: Step | None, killed: bool) -> None:
        if step is not None:
            (self.office.killed_at if killed else self.office.cut_at).add(step)
        with suppress(Killed):
            send(self.office)
        self.office.cut_at.clear()
        self.office.killed_at.clear()

    @rule(
        nature=st.sampled_from([Nature.TRANSIENT, Nature.THROTTLED]), scope=st.sampled_from(Scope)
    )
    def a_worker_meets_a_fault(self, nature: Nature, scope: Scope) -> None:
        self.office.fault = fault(nature, scope)
        send(self.office)
        self.office.fault = None

    @rule(is_final=st.booleans())
    def a_recipient_is_refused(self, is_final: bool) -> None:
        nature = Nature.PERMANENT if is_final else Nature.TRANSIENT
        self.office.refused["customer@contoso.test"] = fault(nature, Scope.EMAIL)
        send(self.office)
        self.office.refused.clear()

    @rule()
    def the_mailbox_is_switched_off_and_on(self) -> None:
        directions.disable([self.box.pk], [Direction.Kind.OUTGOING], "tests")
        assert send(self.office) is None
        directions.enable([self.box.pk], [Direction.Kind.OUTGOING], "tests")

    @rule(minutes=st.sampled_from([3, 30, 600]))
    def time_goes_on(self, minutes: float) -> None:
        time_passes(minutes)

    @rule(number=EMAILS)
    def a_person_decides(self, number: int) -> None:
        email = self.chosen(number)
        if email is not None:
            self.decide(email)

    def decide(self, email: Email) -> None:
        """Who decides has looked who got it."""
        mail = OutgoingEmail.objects.select_related("email").get(pk=email.pk)
        done = {*mail.accepted_paths, *mail.refused_paths}
        rest = set(self.recipients(email)) - done
        has_it = rest <= set(self.office.recipients(mail.email.message_id))
        is_held = mail.email.status == State.UNKNOWN and mail.due_at is None
        try:
            submission.decide(email, was_sent=has_it)
        except ValidationError:
            assert not is_held
        else:
            assert is_held

    def recipients(self, email: Email) -> list[str]:
        parties = email.parties.order_by("pk").values_list("address", flat=True)
        return list(parties)[1:]

    @rule()
    def the_server_forgets_or_remembers_what_it_sent(self) -> None:
        self.office.sees_sent = not self.office.sees_sent

    @invariant()
    def nobody_gets_a_message_twice(self) -> None:
        assert len(self.office.delivered) == len(set(self.office.delivered))

    @invariant()
    def what_was_sent_stays_sent(self) -> None:
        sent = {email for email in self.emails if self.state(email) is State.SENT}
        assert sent >= self.were_sent
        self.were_sent = sent

    @invariant()
    def what_is_open_is_due_and_nothing_else_is(self) -> None:
        for mail in OutgoingEmail.objects.select_related("email"):
            is_open = mail.email.status in (State.PENDING, State.SENDING)
            is_asked = mail.email.status == State.UNKNOWN and mail.due_at is not None
            assert (is_open or is_asked) == (mail.due_at is not None)

    def teardown(self) -> None:
        try:
            self.end_well()
        finally:
            transaction.set_rollback(True)
            self.undone.__exit__(None, None, None)

    def end_well(self) -> None:
        """When the trouble is over, everything submitted is sent, failed or taken back."""
        for _ in range(60):
            time_passes(60 * 24)
            held = Email.objects.filter(status=State.UNKNOWN, outgoing__due_at=None)
            for email in held:
                self.decide(email)
            if send(self.office) is None and not held:
                break
        for email in self.emails:
            state = self.state(email)
            assert state in OUTSIDE | {State.SENT}, state
            email.refresh_from_db()
            got = self.office.recipients(email.message_id) if email.message_id else []
            refused = email.outgoing.refused_paths
            if state is State.SENT:
                assert sorted([*got, *refused]) == sorted(self.recipients(email))
            else:
                assert got == [] or state is State.DRAFT


@pytest.mark.django_db
def test_every_email_leaves_once_or_is_shown_not_to_have():
    run_state_machine_as_test(
        Sending,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            # A smaller example takes minutes to find; the blob that is printed repeats this one.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
        ),
    )
