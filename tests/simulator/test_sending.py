"""Mail on its way out: through the Outbox, late, in another's name, and counted when it arrives."""

import pytest
from exchangelib import Account, Message
from exchangelib.errors import ErrorSendAsDenied

from syncservice.simulator.exchange import Delivery, ExchangeSimulator, Fault

from .conftest import ALICE, BOB

CAROL = "carol@elsewhere.test"
FLAGS = """<m:FindItem Traversal="Shallow">
  <m:ItemShape><t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>
    <t:FieldURI FieldURI="item:IsDraft"/><t:FieldURI FieldURI="item:IsSubmitted"/>
    <t:ExtendedFieldURI PropertyTag="0x0E07" PropertyType="Integer"/>
  </t:AdditionalProperties></m:ItemShape>
  <m:ParentFolderIds>
    <t:DistinguishedFolderId Id="drafts"/><t:DistinguishedFolderId Id="outbox"/>
    <t:DistinguishedFolderId Id="sentitems"/>
  </m:ParentFolderIds>
</m:FindItem>"""


def draft_of(alice: Account, **more: object) -> Message:
    draft = Message(account=alice, folder=alice.drafts, subject="Hello", **more)
    draft.save()
    return draft


def folders(simulator: ExchangeSimulator) -> list[str]:
    return [one.folder for one in simulator.control.items(ALICE)]


def test_a_message_stays_in_the_outbox_as_long_as_it_is_told_to(simulator, alice, bob, ask):
    simulator.control.keep_in_outbox(3600)
    draft_of(alice, to_recipients=[BOB]).send()
    assert folders(simulator) == ["outbox"]
    assert bob.inbox.all().count() == 0
    answer = ask(FLAGS)
    assert (answer.texts(".//t:IsSubmitted"), answer.texts(".//t:Value")) == (["true"], ["12"])
    simulator.control.empty_outboxes()
    assert folders(simulator) == ["sentitems"]
    assert bob.inbox.get().subject == "Hello"
    assert ask(FLAGS).texts(".//t:IsSubmitted") == ["false"]


def test_a_message_leaves_the_outbox_by_itself_when_its_time_has_come(simulator, alice):
    simulator.control.keep_in_outbox(0.01)
    draft_of(alice, to_recipients=[BOB]).send()
    while folders(simulator) != ["sentitems"]:
        pass  # each look lets the simulator see what is due
    assert len(simulator.control.deliveries()) == 1


def test_a_message_that_is_taken_out_of_the_outbox_is_not_sent(simulator, alice):
    simulator.control.keep_in_outbox(3600)
    draft_of(alice, to_recipients=[BOB]).send()
    [waiting] = simulator.control.items(ALICE, "outbox")
    simulator.control.move(waiting.id, "deleteditems")
    simulator.control.empty_outboxes()
    assert simulator.control.deliveries() == []
    assert folders(simulator) == ["deleteditems"]


def test_what_was_sent_is_counted_for_each_recipient_inside_and_outside(simulator, alice):
    draft_of(
        alice, to_recipients=[BOB, CAROL], cc_recipients=[CAROL], bcc_recipients=["d@x.test"]
    ).send()
    [sent] = simulator.control.items(ALICE, "sentitems")
    assert simulator.control.deliveries(sent.message_id) == [
        Delivery(sent.message_id, ALICE, recipient, is_outside)
        for recipient, is_outside in [(BOB, False), (CAROL, True), ("d@x.test", True)]
    ]
    assert simulator.control.deliveries("<another@x.test>") == []
    simulator.control.forget_deliveries()
    assert simulator.control.deliveries() == []


def test_nobody_sends_in_anothers_name_without_leave(simulator, alice, bob):
    draft = draft_of(alice, author=CAROL, to_recipients=[BOB])
    with pytest.raises(ErrorSendAsDenied):
        draft.send()
    assert folders(simulator) == ["drafts"]
    simulator.control.allow_send_as(ALICE, CAROL)
    draft.send()
    assert bob.inbox.get().author.email_address == CAROL


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_a_late_request_is_cut_off_and_takes_effect_when_it_is_told_to(simulator, alice, seconds):
    draft = draft_of(alice, to_recipients=[BOB])
    simulator.control.add_fault(Fault(kind="late", operation="SendItem", times=1, seconds=seconds))
    with pytest.raises(Exception, match=r"Connection (reset|aborted)"):
        draft.send()
    if not seconds:
        assert folders(simulator) == ["drafts"]
        assert simulator.control.do_late() == 1
    while folders(simulator) != ["sentitems"]:
        pass  # each look lets the simulator see what is due
    assert len(simulator.control.deliveries()) == 1
    assert simulator.control.do_late() == 0
