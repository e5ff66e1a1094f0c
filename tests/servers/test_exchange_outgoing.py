"""Sending over Exchange, cut off before and after every request: each mail arrives once.

A simulator is the server. What was sent to whom is its own count, not what our side believes.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import count, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.incoming import ExchangeIncoming
from syncservice.servers.exchange.outgoing import ExchangeOutgoing
from syncservice.servers.gateway import Accepted, Fetched, MailObject, OutcomeUnknown, Whereabouts
from syncservice.simulator.exchange import ExchangeSimulator
from syncservice.simulator.exchange import Fault as ServerFault
from syncservice.simulator.exchange.values import Address
from tests.servers.hostile_server import Evil, hostile, http_answer
from tests.simulator.answers import checked_simulator

ANN, BOB, EVE = "ann@partner.test", "bob@sales.test", "eve@elsewhere.test"
CREATE, SEND, FIND, DELETE = "CreateItem", "SendItem", "FindItem", "DeleteItem"
SENT, NOT_SENT, UNKNOWN = Whereabouts.SENT, Whereabouts.NOT_SENT, Whereabouts.UNKNOWN
_numbers = count(1)


@pytest.fixture(scope="module")
def simulator() -> Iterator[ExchangeSimulator]:
    with checked_simulator() as running:
        running.control.create_service_account("svc", "pw")
        running.control.create_mailbox(BOB, "pw")
        yield running


@pytest.fixture(autouse=True)
def _as_new(request):
    yield
    if "simulator" in request.fixturenames:
        control = request.getfixturevalue("simulator").control
        control.clear_faults()
        control.keep_in_outbox(0)
        control.empty_outboxes()
        control.do_late()


@dataclass
class Sender:
    """A mailbox of its own, and the mail that it sends."""

    simulator: ExchangeSimulator
    url: str = ""
    address: str = field(default_factory=lambda: f"user{next(_numbers)}@example.test")
    asked: int = 0  # requests, those that were cut off too
    at_request: dict[int, Callable[[], object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.simulator.control.create_mailbox(self.address, "pw")
        self.mail = self.letter()

    def letter(
        self, *, to: str = ANN, sender: str = "", attached: bytes = b"", **more
    ) -> MailObject:
        message = EmailMessage()
        message["From"], message["To"] = sender or self.address, to
        for name in ("Cc", "Subject"):
            if name in more:
                message[name] = more.pop(name)
        message["Message-ID"] = message_id = f"<{next(_numbers)}.{self.address}>"
        message.set_content("Good morning.\n")
        if attached:
            message.add_attachment(attached, maintype="image", subtype="png", filename="big.png")
        return MailObject(
            message_id=message_id,
            mime=message.as_bytes(),
            **{"forward_paths": (ANN, BOB), "is_first_attempt": True, **more},
        )

    def gateway(self, **more) -> ExchangeOutgoing:
        server = ExchangeServer(
            self.url or self.simulator.ews_url, "svc", "pw", "basic", impersonate=True, **more
        )
        return ExchangeOutgoing(server, self.address, self._admit)

    def _admit(self) -> None:
        self.asked += 1
        self.at_request.pop(self.asked, lambda: None)()

    def fault(self, operation: str, kind: str, *, nth: int = 1, **more) -> None:
        self.simulator.control.add_fault(
            ServerFault(kind=kind, operation=operation, mailbox=self.address, nth=nth, **more)
        )

    def folder(self, name: str) -> list[str]:
        return [one.message_id for one in self.simulator.control.items(self.address, name)]

    def recipients(self, mail: MailObject | None = None) -> list[str]:
        wanted = (mail or self.mail).message_id
        return sorted(one.recipient for one in self.simulator.control.deliveries(wanted))

    def received(self, mail: MailObject | None = None) -> list[str]:
        """The ids of the items with this message in Bob's Inbox."""
        items = self.simulator.control.items(BOB, "inbox")
        return [one.id for one in items if one.message_id == (mail or self.mail).message_id]


@pytest.fixture
def sender(simulator) -> Sender:
    return Sender(simulator)


@dataclass
class Courier:
    """Sends a mail as whoever uses the gateway must: look up what was handed over, else send.

    Each step is a conversation of its own, as if the one before had been killed.
    """

    sender: Sender
    steps: list[str] = field(default_factory=list)  # what came of each
    is_handed_over: bool = False  # what is written down, and outlives a worker
    where: list[Whereabouts] = field(default_factory=list)

    def step(self) -> bool:
        """Take the next step; return whether the mail is known to be sent."""
        mail = replace(self.sender.mail, is_first_attempt=not self.steps)
        is_looking = self.is_handed_over
        try:
            with self.sender.gateway(timeout_seconds=1) as gateway:
                if is_looking:
                    self.where.append(gateway.look_up(mail))
                    self.steps.append(f"look-up: {self.where[-1].name}")
                    self.is_handed_over = self.where[-1] is not NOT_SENT
                    return self.where[-1] is SENT
                assert gateway.send(mail, self._hand_over) == Accepted()
        except OutcomeUnknown as error:
            assert self.is_handed_over
            self.steps.append(f"unknown ({error.fault.code.removeprefix('exchange.')})")
            return False
        except FaultError as error:
            self.is_handed_over = is_looking  # nobody got it; a look that failed changes nothing
            self.steps.append(f"fault ({error.fault.code.removeprefix('exchange.')})")
            return False
        self.steps.append("accepted")
        return True

    def _hand_over(self) -> None:
        assert not self.is_handed_over
        self.is_handed_over = True

    def deliver(self) -> None:
        for _ in range(12):
            if self.step():
                return
        raise AssertionError(self.steps)


# --- the table of cuts ----------------------------------------------------------------------------

#: What happens to a request, in the simulator's words.
CUTS: dict[str, dict[str, object]] = {
    "cut before it": {"kind": "reset_before"},
    "cut after it": {"kind": "reset_after"},
    "busy": {"kind": "busy", "back_off_ms": 1000},
    "busy (HTTP 503)": {"kind": "http", "status": 503},
    "HTTP 500": {"kind": "http", "status": 500},
    "a page of HTML": {"kind": "html"},
    "timed out inside": {"kind": "message", "code": "ErrorTimeoutExpired"},
    "internal error": {"kind": "request", "code": "ErrorInternalServerError"},
    "passing error": {"kind": "message", "code": "ErrorInternalServerTransientError"},
    "item not found": {"kind": "message", "code": "ErrorItemNotFound"},
    "mailbox full": {"kind": "message", "code": "ErrorQuotaExceeded"},
}
SURE = ("busy", "mailbox full")
#: Answers that a SendItem may bear although it did nothing, or although it did all: same to us.
UNSURE = tuple(cut for cut in CUTS if cut not in SURE)

#: Where it happens: before the mail was ever handed over, then; the steps up to the good end.
Row = tuple[str, str, list[str]]
TABLE: list[Row] = [
    *((CREATE, cut, ["fault", "accepted"]) for cut in CUTS),
    *((SEND, cut, ["fault", "accepted"]) for cut in SURE),
    *(
        (SEND, cut, ["unknown", "look-up: NOT_SENT", "accepted"])
        for cut in UNSURE
        if cut != "cut after it"
    ),
    (SEND, "cut after it", ["unknown", "look-up: SENT"]),
]
printed: list[str] = []


@pytest.fixture(scope="module", autouse=True)
def _table():
    yield
    print(f"\n{'request':<12}{'what happens to it':<49}{'what our side says, step by step'}")
    for line in printed:
        print(line)


def tell(operation: str, cut: str, courier: Courier) -> None:
    printed.append(f"{operation:<12}{cut:<49}{' | '.join(courier.steps)}")


def assert_arrived_once(sender: Sender) -> None:
    assert sender.recipients() == sorted([ANN, BOB])
    assert len(sender.received()) == 1
    assert sender.folder("sentitems") == [sender.mail.message_id]
    assert sender.folder("drafts") == sender.folder("outbox") == []


@pytest.mark.parametrize(("operation", "cut", "steps"), TABLE)
def test_a_first_attempt_that_is_cut_off_ends_in_one_delivery(sender, operation, cut, steps):
    sender.fault(operation, **CUTS[cut])
    courier = Courier(sender)
    courier.deliver()
    tell(operation, cut, courier)
    assert [step.partition(" (")[0] for step in courier.steps] == steps
    assert_arrived_once(sender)


@pytest.mark.parametrize("cut", ["cut before it", "cut after it", "busy", "HTTP 500"])
@pytest.mark.parametrize("operation", [FIND, DELETE])
def test_putting_away_what_is_left_can_be_cut_off_as_well(sender, operation, cut):
    """A draft is left, and the request that finds or deletes it fails."""
    sender.fault(CREATE, "reset_after")
    sender.fault(operation, **CUTS[cut])
    courier = Courier(sender)
    courier.deliver()
    tell(operation, f"{cut}, in another attempt", courier)
    assert [step.partition(" (")[0] for step in courier.steps] == ["fault", "fault", "accepted"]
    assert_arrived_once(sender)


@pytest.mark.parametrize("cut", ["cut before it", "cut after it", "busy", "HTTP 500"])
@pytest.mark.parametrize("was_sent", [True, False])
def test_a_look_up_that_is_cut_off_is_made_again(sender, cut, was_sent):
    sender.fault(SEND, "reset_after" if was_sent else "reset_before")
    sender.fault(FIND, **CUTS[cut])
    courier = Courier(sender)
    courier.deliver()
    tell(FIND, f"{cut}, looking up what was {'' if was_sent else 'not '}sent", courier)
    assert courier.where == [SENT if was_sent else NOT_SENT]
    assert_arrived_once(sender)


@pytest.mark.parametrize("operation", [CREATE, SEND])
def test_a_server_that_never_answers_ends_in_one_delivery(sender, operation):
    sender.fault(operation, "hang")  # the work is done
    courier = Courier(sender)
    courier.deliver()
    tell(operation, "done, and never answered", courier)
    assert courier.steps[0] == (
        "fault (timed_out)" if operation == CREATE else "unknown (timed_out)"
    )
    assert_arrived_once(sender)


#: When the server carries out a SendItem that was cut off, counted in requests since: 3 is the
#: look-up, 4 to 7 are the next attempt's FindItem, DeleteItem, CreateItem and SendItem.
LATE = {
    3: "before our look-up",
    4: "after our look-up",
    5: "between the next FindItem and DeleteItem",
    6: "after the draft was deleted",
    7: "after the next draft was saved",
    8: "after all",
}


@pytest.mark.parametrize("request_number", LATE)
def test_a_send_that_takes_effect_late_is_not_made_twice(sender, request_number):
    sender.fault(SEND, "late")
    sender.at_request[request_number] = sender.simulator.control.do_late
    courier = Courier(sender)
    courier.deliver()
    sender.simulator.control.do_late()
    tell(SEND, f"done {LATE[request_number]}", courier)
    assert courier.where == [SENT if request_number == 3 else NOT_SENT]
    assert_arrived_once(sender)


@pytest.mark.parametrize("request_number", LATE)
def test_a_draft_saved_late_is_never_sent(sender, request_number):
    """The CreateItem of an attempt that was given up; nobody hands its draft over."""
    sender.fault(CREATE, "late")
    sender.at_request[request_number] = sender.simulator.control.do_late
    courier = Courier(sender)
    courier.deliver()
    sender.simulator.control.do_late()
    assert courier.steps[-1] == "accepted"
    assert sender.recipients() == [ANN, BOB]
    with sender.gateway() as gateway:
        gateway.keep_copy(replace(sender.mail, is_first_attempt=False))
    assert_arrived_once(sender)


@pytest.mark.parametrize(
    ("first", "second"), list(product(product([CREATE, SEND], list(CUTS)[:4]), repeat=2))
)
def test_two_attempts_in_a_row_that_are_cut_off_end_in_one_delivery(sender, first, second):
    sender.fault(first[0], **CUTS[first[1]])
    sender.fault(second[0], **CUTS[second[1]], nth=2 if first[0] == second[0] else 1)
    Courier(sender).deliver()
    assert_arrived_once(sender)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cuts=st.lists(
        st.tuples(
            st.sampled_from([CREATE, SEND, FIND, DELETE]),
            st.integers(1, 3),
            st.sampled_from(["reset_before", "reset_after", "busy", "late"]),
        ),
        max_size=5,
    ),
    late_at=st.sets(st.integers(2, 25), max_size=3),
    outbox=st.booleans(),
)
def test_whatever_is_cut_off_and_takes_effect_whenever_the_mail_arrives_once(
    simulator, cuts, late_at, outbox
):
    control = simulator.control
    sender = Sender(simulator)
    control.keep_in_outbox(3600 if outbox else 0)
    for operation, nth, kind in cuts:
        sender.fault(operation, kind, nth=nth)
    sender.at_request.update(dict.fromkeys(late_at, control.do_late))
    Courier(sender).deliver()
    control.clear_faults()
    control.do_late()
    control.empty_outboxes()
    assert sender.recipients() == [ANN, BOB]
    assert len(sender.received()) == 1
    with sender.gateway() as gateway:
        gateway.keep_copy(replace(sender.mail, is_first_attempt=False))
    assert_arrived_once(sender)


#: A whole answer becomes one that doesn't say what was done.
SPOILT: dict[str, Evil] = {
    "HTTP 502": lambda good: [http_answer(b"Bad gateway", status="502 Bad Gateway")],
    "HTTP 503": lambda good: [http_answer(b"Busy", status="503 Unavailable", Retry_After="30")],
    "half of it": lambda good: [http_answer(good)[: len(good) // 2]],
    "without a message": lambda good: [
        http_answer(re.sub(rb"(?s)<m:SendItemResponseMessage.*ResponseMessage>", b"", good))
    ],
    "no XML": lambda good: [http_answer(b"Good morning")],
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_an_answer_that_is_spoilt_after_the_mail_was_sent_leaves_it_open(simulator, spoilt):
    with hostile(simulator.ews_url) as evil:
        evil.evil[SEND] = SPOILT[spoilt]
        sender = Sender(simulator, url=evil.url)
        courier = Courier(sender)
        courier.deliver()
    tell(SEND, f"done, and its answer spoilt: {spoilt}", courier)
    assert [step.partition(" (")[0] for step in courier.steps] == ["unknown", "look-up: SENT"]
    assert_arrived_once(sender)


# --- what it costs, and what is left --------------------------------------------------------------


def nothing() -> None:
    """Nobody has to be told of the handover."""


def test_a_mail_costs_two_requests_and_the_copy_that_stays_none(sender):
    with sender.gateway() as gateway:
        gateway.send(sender.mail, nothing)
        gateway.keep_copy(sender.mail)
        assert gateway.requests == 2
    assert_arrived_once(sender)


def test_the_handover_is_told_when_the_draft_is_saved_and_nothing_sent(sender):
    seen = []

    def before_handover() -> None:
        seen.append((sender.asked, sender.folder("drafts"), sender.recipients()))

    with sender.gateway() as gateway:
        gateway.send(sender.mail, before_handover)
    assert seen == [(1, [sender.mail.message_id], [])]


def test_who_is_stopped_before_the_handover_has_sent_nothing_and_leaves_no_draft(sender):
    def before_handover() -> None:
        raise RuntimeError("the claim is lost")

    with sender.gateway() as gateway, pytest.raises(RuntimeError, match="the claim is lost"):
        gateway.send(sender.mail, before_handover)
    assert sender.recipients() == sender.folder("drafts") == []


def test_a_limit_of_our_own_before_the_handover_is_no_unknown_outcome(sender):
    limit = Fault(
        code="rate.limited", nature=Nature.LIMITED, scope=Scope.PROFILE, provenance=Provenance.US,
        text="not now",
    )  # fmt: skip

    def refuse() -> None:
        raise FaultError(limit)

    sender.at_request[2] = refuse
    with sender.gateway() as gateway, pytest.raises(FaultError) as caught:
        gateway.send(sender.mail, nothing)
    assert (caught.value.fault, isinstance(caught.value, OutcomeUnknown)) == (limit, False)
    Courier(sender, steps=["fault"]).deliver()
    assert_arrived_once(sender)


# --- who gets it, and what ------------------------------------------------------------------------


def read(simulator: ExchangeSimulator, address: str, subject: str) -> EmailMessage:
    """Fetch the message with this subject from an Inbox."""
    server = ExchangeServer(simulator.ews_url, "svc", "pw", "basic", impersonate=True)
    with ExchangeIncoming(server, address) as gateway:
        [item] = [one for one in gateway.page("", 500).items if one.subject == subject]
        [fetched] = gateway.fetch([item])
    assert isinstance(fetched, Fetched)
    return message_from_bytes(fetched.mime, policy=policy.default)


def test_a_blind_copy_arrives_and_nobody_is_told(sender):
    sender.mail = sender.letter(to=f"Ann Ash <{ANN}>", Cc="cc@partner.test", Subject="blind",
                                forward_paths=(ANN, "cc@partner.test", BOB, EVE))  # fmt: skip
    with sender.gateway() as gateway:
        gateway.send(sender.mail, nothing)
    assert sender.recipients() == sorted([ANN, "cc@partner.test", BOB, EVE])
    outside = {one.recipient for one in sender.simulator.control.deliveries() if one.is_outside}
    assert {ANN, EVE} <= outside
    assert BOB not in outside
    received = read(sender.simulator, BOB, "blind")
    assert received["To"] == f"Ann Ash <{ANN}>"
    assert not {BOB, EVE} & {*str(received).split()}
    assert received["Bcc"] is None


def test_who_is_named_but_is_no_forward_path_gets_nothing(sender):
    """After a server refused some recipients, another attempt goes to the others alone."""
    sender.mail = sender.letter(to=f"{ANN}, {EVE}", forward_paths=(ANN.upper(),))
    with sender.gateway() as gateway:
        gateway.send(sender.mail, nothing)
    assert sender.recipients() == [ANN]


def test_a_mail_of_blind_copies_alone_names_nobody(sender):
    sender.mail = sender.letter(to=EVE, Subject="newsletter", forward_paths=(BOB,))
    with sender.gateway() as gateway:
        gateway.send(sender.mail, nothing)
    assert sender.recipients() == [BOB]


def test_addresses_and_names_of_the_whole_world_arrive(sender):
    path = "jörg@bücher.example"
    mime = f"From: {sender.address}\nTo: Jörg Müller <{path}>\nSubject: Grüße\n\nHallo\n"
    sender.mail = replace(sender.mail, mime=mime.encode(), forward_paths=(path, BOB))
    with sender.gateway() as gateway:
        gateway.send(sender.mail, nothing)
    assert [one.recipient for one in sender.simulator.control.deliveries()][-2:] == [path, BOB]
    [copy] = sender.simulator.service.store.mailbox(sender.address).folder_named("sentitems").items
    kept = sender.simulator.service.store.mailbox(sender.address).items[copy]
    assert kept.people("ToRecipients") == [Address("Jörg Müller", path)]
    assert kept.people("BccRecipients") == [Address("", BOB)]


@pytest.mark.parametrize(("reads", "delivers"), [(True, False), (False, True), (False, False)])
def test_receipts_are_asked_for_as_the_mail_says(sender, reads, delivers):
    sender.mail = sender.letter(
        Subject=f"receipt {reads} {delivers}", asks_read_receipt=reads,
        asks_delivery_receipt=delivers,
    )  # fmt: skip
    with sender.gateway() as gateway:
        gateway.send(sender.mail, nothing)
    received = read(sender.simulator, BOB, f"receipt {reads} {delivers}")
    assert received["Disposition-Notification-To"] == (sender.address if reads else None)
    assert received["Return-Receipt-To"] == (sender.address if delivers else None)


def test_an_attachment_of_a_megabyte_arrives_as_it_was(sender):
    attached = bytes(range(256)) * 4096
    sender.mail = sender.letter(Subject="large", attached=attached)
    with sender.gateway() as gateway:
        gateway.send(sender.mail, nothing)
    [file] = read(sender.simulator, BOB, "large").iter_attachments()
    assert file.get_content() == attached


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_lines_may_end_in_any_way(sender, ending):
    name = f"lines {ending!r}"
    sender.mail = sender.letter(Subject=name)
    sender.mail = replace(sender.mail, mime=sender.mail.mime.replace(b"\n", ending))
    with sender.gateway() as gateway:
        gateway.send(sender.mail, nothing)
    assert read(sender.simulator, BOB, name).get_content() == "Good morning.\r\n"
    assert sender.recipients() == [ANN, BOB]


# --- where it is ----------------------------------------------------------------------------------


def where_is(sender: Sender) -> Whereabouts:
    with sender.gateway() as gateway:
        return gateway.look_up(sender.mail)


def test_what_waits_in_the_outbox_is_sent(sender):
    control = sender.simulator.control
    control.keep_in_outbox(3600)
    with sender.gateway() as gateway:
        gateway.send(sender.mail, nothing)
        assert (sender.folder("outbox"), sender.recipients()) == ([sender.mail.message_id], [])
        assert where_is(sender) is SENT
        assert gateway.send(replace(sender.mail, is_first_attempt=False), nothing) == Accepted()
    control.empty_outboxes()
    assert where_is(sender) is SENT
    assert_arrived_once(sender)


def test_a_sent_mail_is_found_where_its_sender_threw_its_copy(sender):
    control = sender.simulator.control
    with sender.gateway() as gateway:
        gateway.send(sender.mail, nothing)
    [copy] = control.items(sender.address, "sentitems")
    control.move(copy.id, "deleteditems")
    assert where_is(sender) is SENT


def test_a_draft_that_its_owner_threw_away_was_not_sent(sender):
    control = sender.simulator.control
    sender.fault(SEND, "reset_before")
    with sender.gateway() as gateway, pytest.raises(OutcomeUnknown):
        gateway.send(sender.mail, nothing)
    [draft] = control.items(sender.address, "drafts")
    control.move(draft.id, "deleteditems")
    assert where_is(sender) is NOT_SENT


def test_of_a_mail_that_is_nowhere_the_server_can_tell_nothing(sender):
    with sender.gateway() as gateway:
        gateway.send(sender.mail, nothing)
    [copy] = sender.simulator.control.items(sender.address, "sentitems")
    sender.simulator.control.delete(copy.id)
    assert where_is(sender) is UNKNOWN


def test_another_mail_is_not_taken_for_it(sender):
    with sender.gateway() as gateway:
        gateway.send(sender.letter(), nothing)
    assert where_is(sender) is UNKNOWN


def test_looking_up_deletes_nothing(sender):
    sender.fault(SEND, "reset_before")
    with sender.gateway() as gateway, pytest.raises(OutcomeUnknown):
        gateway.send(sender.mail, nothing)
    assert where_is(sender) is NOT_SENT
    assert sender.folder("drafts") == [sender.mail.message_id]


# --- the copy in Sent Items -----------------------------------------------------------------------


@pytest.mark.parametrize("keeps", [True, False])
def test_the_copy_stays_or_goes_and_a_second_time_changes_nothing(sender, keeps):
    sender.fault(CREATE, "reset_after")
    other = sender.letter()
    sender.mail = replace(sender.mail, keeps_copy=keeps)
    with sender.gateway() as gateway:
        with pytest.raises(FaultError):
            gateway.send(sender.mail, nothing)
        gateway.send(other, nothing)
        gateway.send(sender.mail, nothing)  # as a first attempt, which leaves that draft
        assert sender.folder("drafts") == [sender.mail.message_id]
        for _ in range(2):
            gateway.keep_copy(replace(sender.mail, is_first_attempt=False))
            assert sender.folder("drafts") == []
            kept = [sender.mail.message_id] if keeps else []
            assert sorted(sender.folder("sentitems")) == sorted([other.message_id, *kept])
    assert sender.folder("deleteditems") == []
    assert sender.recipients() == [ANN, BOB]


@pytest.mark.parametrize("cut", ["cut before it", "cut after it", "busy", "HTTP 500"])
@pytest.mark.parametrize("operation", [FIND, DELETE])
def test_taking_the_copy_away_can_be_cut_off_and_done_again(sender, operation, cut):
    sender.mail = replace(sender.mail, keeps_copy=False)
    sender.fault(operation, **CUTS[cut])
    with sender.gateway() as gateway:
        gateway.send(sender.mail, nothing)
    with sender.gateway() as gateway, pytest.raises(FaultError) as caught:
        gateway.keep_copy(sender.mail)
    assert not isinstance(caught.value, OutcomeUnknown)
    with sender.gateway() as gateway:
        gateway.keep_copy(sender.mail)
    said = f"fault ({caught.value.fault.code.removeprefix('exchange.')}) | no copy"
    printed.append(f"{operation:<12}{cut + ', taking the copy away':<49}{said}")
    assert sender.folder("sentitems") == sender.folder("deleteditems") == []
    assert sender.recipients() == [ANN, BOB]


def test_a_copy_that_is_still_in_the_outbox_is_taken_away_later(sender):
    sender.mail = replace(sender.mail, keeps_copy=False)
    sender.simulator.control.keep_in_outbox(3600)
    with sender.gateway() as gateway:
        gateway.send(sender.mail, nothing)
        with pytest.raises(FaultError) as caught:
            gateway.keep_copy(sender.mail)
        fault = caught.value.fault
        assert (fault.code, fault.nature) == ("exchange.still_in_outbox", Nature.TRANSIENT)
        sender.simulator.control.empty_outboxes()
        gateway.keep_copy(sender.mail)
    assert sender.folder("sentitems") == sender.folder("outbox") == []
    assert sender.recipients() == [ANN, BOB]


# --- what a server refuses ------------------------------------------------------------------------


def refusal(sender: Sender) -> Fault:
    with sender.gateway() as gateway, pytest.raises(FaultError) as caught:
        gateway.send(sender.mail, nothing)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert sender.recipients() == []
    return caught.value.fault


T, TH, P = Nature.TRANSIENT, Nature.THROTTLED, Nature.PERMANENT


@pytest.mark.parametrize("how", ["message", "request"])
@pytest.mark.parametrize("operation", [CREATE, SEND])
@pytest.mark.parametrize(
    ("code", "nature", "scope", "drafts"),
    [
        ("ErrorSendAsDenied", P, Scope.EMAIL, 0),
        ("ErrorMessageSizeExceeded", P, Scope.EMAIL, 0),
        ("ErrorInvalidRecipients", P, Scope.EMAIL, 0),
        ("ErrorMissingRecipients", P, Scope.EMAIL, 0),
        ("ErrorMimeContentInvalid", P, Scope.EMAIL, 0),
        ("ErrorQuotaExceeded", T, Scope.MAILBOX, 1),
        ("ErrorSubmissionQuotaExceeded", TH, Scope.MAILBOX, 1),
        ("ErrorServerBusy", TH, Scope.MAILBOX, 1),
        ("ErrorExceededConnectionCount", TH, Scope.MAILBOX, 1),
        ("ErrorAccessDenied", P, Scope.MAILBOX, 1),
        ("ErrorImpersonateUserDenied", P, Scope.MAILBOX, 1),
    ],
)
def test_a_clear_refusal_says_whose_it_is_and_that_nothing_was_sent(
    sender, how, operation, code, nature, scope, drafts
):
    sender.fault(operation, how, code=code, text="No, says the server.")
    fault = refusal(sender)
    assert (fault.nature, fault.scope) == (nature, scope)
    # What is not sent for good leaves no draft; else the next attempt puts it away.
    assert len(sender.folder("drafts")) == (drafts if operation == SEND else 0)
    Courier(sender, steps=["fault"]).deliver()
    assert_arrived_once(sender)


@pytest.mark.parametrize("code", ["ErrorInternalServerError", "ErrorMailTipsDisabled"])
def test_a_message_that_a_server_stumbles_over_stops_no_other(sender, code):
    sender.fault(CREATE, "message", code=code)
    fault = refusal(sender)
    assert (fault.nature, fault.scope) == (T, Scope.EMAIL)


@pytest.mark.parametrize("code", ["ErrorMailboxStoreUnavailable", "ErrorFolderNotFound"])
def test_a_trouble_of_the_mailbox_is_not_the_messages(sender, code):
    sender.fault(CREATE, "message", code=code)
    fault = refusal(sender)
    assert (fault.nature, fault.scope) == (T, Scope.MAILBOX)


@pytest.mark.parametrize("status", [404, 413])
def test_a_web_server_that_refuses_long_requests_alone_minds_the_message(sender, status):
    sender.fault(CREATE, "http", status=status)
    fault = refusal(sender)
    assert (fault.code, fault.scope) == ("exchange.message_size_exceeded", Scope.EMAIL)


def test_a_location_without_ews_is_not_the_messages_fault(sender):
    sender.fault("", "http", status=404, nth=0)
    fault = refusal(sender)
    assert (fault.code, fault.scope) == ("exchange.http_404", Scope.PROFILE)


@pytest.mark.parametrize("operation", [CREATE, SEND])
def test_a_refused_login_is_not_tried_again(sender, operation):
    sender.fault(operation, "http", status=401, nth=0)
    assert refusal(sender).of_login
    assert sender.asked == (1 if operation == CREATE else 2)


def test_sending_on_behalf_of_another_is_refused_in_the_servers_words_until_it_is_allowed(sender):
    boss = f"boss{next(_numbers)}@example.test"
    sender.mail = sender.letter(sender=boss)
    fault = refusal(sender)
    assert (fault.code, fault.scope) == ("exchange.send_as_denied", Scope.EMAIL)
    assert "does not have the right to send as this sender" in fault.text
    assert sender.folder("drafts") == []

    sender.simulator.control.allow_send_as(sender.address, boss)
    Courier(sender, steps=["fault"]).deliver()
    assert_arrived_once(sender)


def test_an_address_that_no_xml_can_carry_is_the_messages_fault(sender):
    sender.mail = replace(sender.mail, forward_paths=(ANN, "b\x01b@sales.test"))
    fault = refusal(sender)
    assert (fault.code, fault.scope) == ("exchange.invalid_recipients", Scope.EMAIL)
