"""Meetings between mailboxes, with exchangelib as everybody's client."""

from collections.abc import Callable

import pytest
from exchangelib import (
    Account,
    Attendee,
    CalendarItem,
    EWSDateTime,
    EWSTimeZone,
    Mailbox,
    Message,
)
from exchangelib.errors import (
    ErrorCalendarIsCancelledForAccept,
    ErrorCalendarIsNotOrganizer,
    ErrorCalendarIsOrganizerForAccept,
    ErrorCalendarMeetingRequestIsOutOfDate,
    ErrorInvalidPropertySet,
    ErrorInvalidRecipients,
)
from exchangelib.items import (
    MeetingCancellation,
    MeetingRequest,
    MeetingResponse,
    TentativelyAcceptItem,
)
from exchangelib.properties import ReferenceItemId

from syncservice.simulator.exchange import ControlError, ExchangeSimulator, MeetingMessage

from .conftest import ALICE, BOB, Ask

CAROL = "carol@elsewhere.test"
BERLIN = EWSTimeZone("Europe/Berlin")
AllOf = Callable[[], list[tuple[str, str]]]


def at(day: int, hour: int) -> EWSDateTime:
    return EWSDateTime(2026, 3, day, hour, tzinfo=BERLIN)


def invited(*addresses: str) -> list[Attendee]:
    return [Attendee(mailbox=Mailbox(email_address=one)) for one in addresses]


def meeting(alice: Account, *required: str, optional: tuple[str, ...] = ()) -> CalendarItem:
    return CalendarItem(
        account=alice,
        folder=alice.calendar,
        subject="Review",
        location="Room 1",
        body="Agenda",
        start=at(10, 14),
        end=at(10, 15),
        required_attendees=invited(*required) or None,
        optional_attendees=invited(*optional) or None,
    )


@pytest.fixture
def sent(simulator: ExchangeSimulator) -> AllOf:
    """Kind and recipient of the meeting messages since the last look."""

    def look() -> list[tuple[str, str]]:
        found = [(one.kind, one.recipient) for one in simulator.control.meeting_messages()]
        simulator.control.forget_meeting_messages()
        return found

    return look


def requested(alice: Account, *required: str) -> CalendarItem:
    item = meeting(alice, *(required or (BOB,)))
    item.save(send_meeting_invitations="SendToAllAndSaveCopy")
    return item


def answers(item: CalendarItem) -> dict[str, str]:
    item.refresh()
    listed = [*(item.required_attendees or []), *(item.optional_attendees or [])]
    return {one.mailbox.email_address: one.response_type for one in listed}


def test_an_invitation_reaches_inbox_and_calendar(alice: Account, bob: Account) -> None:
    item = requested(alice, BOB, CAROL)
    item.refresh()
    assert (item.is_meeting, item.meeting_request_was_sent) == (True, True)
    assert (item.my_response_type, item.type) == ("Organizer", "Single")
    assert answers(item) == {BOB: "Unknown", CAROL: "Unknown"}
    copy = bob.calendar.get()
    assert (copy.uid, copy.subject, copy.location, copy.body) == (
        item.uid,
        "Review",
        "Room 1",
        "Agenda",
    )
    assert (copy.start, copy.end) == (at(10, 14), at(10, 15))
    assert copy._start_timezone.ms_id == "W. Europe Standard Time"
    assert (copy.is_meeting, copy.meeting_request_was_sent) == (True, True)
    assert (copy.my_response_type, copy.legacy_free_busy_status) == (
        "NoResponseReceived",
        "Tentative",
    )
    assert copy.organizer.email_address == ALICE
    assert {one.mailbox.email_address for one in copy.required_attendees} == {BOB, CAROL}
    [request] = bob.inbox.all()
    assert isinstance(request, MeetingRequest)
    assert request.item_class == "IPM.Schedule.Meeting.Request"
    assert request.associated_calendar_item_id.id == copy.id
    assert (request.sender.email_address, request.is_read) == (ALICE, False)
    assert (request.meeting_request_type, request.start) == ("NewMeetingRequest", at(10, 14))
    assert bob.inbox.unread_count == 1
    assert [type(one) for one in alice.sent.all()] == [MeetingRequest]


def test_every_meeting_message_is_noted_also_one_that_leaves(
    alice: Account, simulator: ExchangeSimulator
) -> None:
    item = meeting(alice, BOB, optional=(CAROL,))
    item.save(send_meeting_invitations="SendOnlyToAll")
    item.refresh()
    assert simulator.control.meeting_messages(item.uid) == [
        MeetingMessage("request", ALICE, BOB, item.uid, "Review", "", False),
        MeetingMessage("request", ALICE, CAROL, item.uid, "Review", "", True),
    ]
    assert simulator.service.store.meeting_messages[0].recipient == BOB
    assert simulator.control.meeting_messages("another") == []
    assert alice.sent.all().count() == 0
    simulator.control.forget_meeting_messages()
    assert simulator.control.meeting_messages() == []


def test_an_address_that_is_none_is_refused(alice: Account, sent: AllOf) -> None:
    with pytest.raises(ErrorInvalidRecipients):
        meeting(alice, BOB, "nowhere").save(send_meeting_invitations="SendOnlyToAll")
    assert (sent(), alice.calendar.all().count()) == ([], 0)


def test_nothing_is_sent_when_nobody_is_to_be_told(
    alice: Account, bob: Account, sent: AllOf
) -> None:
    item = meeting(alice, BOB)
    item.save()
    item.refresh()
    assert (item.is_meeting, item.meeting_request_was_sent) == (True, False)
    item.start, item.end = at(11, 14), at(11, 15)
    item.save(update_fields=["start", "end"])
    item.delete()
    assert (sent(), bob.inbox.all().count(), bob.calendar.all().count()) == ([], 0, 0)


def test_an_appointment_without_attendees_is_no_meeting(alice: Account, sent: AllOf) -> None:
    item = meeting(alice)
    item.save(send_meeting_invitations="SendToAllAndSaveCopy")
    item.refresh()
    assert (item.is_meeting, item.meeting_request_was_sent) == (False, False)
    assert sent() == []


@pytest.mark.parametrize(
    ("answer", "response", "shown", "item_class", "prefix"),
    [
        ("accept", "Accept", "Busy", "Pos", "Accepted: "),
        ("tentatively_accept", "Tentative", "Tentative", "Tent", "Tentative: "),
    ],
)
@pytest.mark.parametrize("on", ["request", "appointment"])
def test_an_answer_reaches_the_organizer(
    alice: Account,
    bob: Account,
    simulator: ExchangeSimulator,
    on: str,
    answer: str,
    response: str,
    shown: str,
    item_class: str,
    prefix: str,
) -> None:
    item = requested(alice)
    item.refresh()
    key = item.changekey
    getattr(bob.inbox.get() if on == "request" else bob.calendar.get(), answer)()
    copy = bob.calendar.get()
    assert (copy.my_response_type, copy.legacy_free_busy_status) == (response, shown)
    assert copy.appointment_reply_time is not None
    assert bob.inbox.all().count() == 0
    assert [type(one) for one in bob.trash.all()] == [MeetingRequest]
    assert answers(item) == {BOB: response}
    assert item.required_attendees[0].last_response_time is not None
    assert item.changekey != key
    [told] = alice.inbox.all()
    assert isinstance(told, MeetingResponse)
    assert (told.item_class, told.subject, told.response_type) == (
        f"IPM.Schedule.Meeting.Resp.{item_class}",
        f"{prefix}Review",
        response,
    )
    assert told.sender.email_address == BOB
    [noted] = simulator.control.meeting_messages()[1:]
    assert (noted.kind, noted.sender, noted.recipient, noted.response) == (
        "response",
        BOB,
        ALICE,
        response,
    )


def test_a_declined_meeting_goes_to_deleted_items(alice: Account, bob: Account) -> None:
    item = requested(alice)
    bob.inbox.get().decline()
    assert bob.calendar.all().count() == 0
    assert {one.ELEMENT_NAME for one in bob.trash.all()} == {"CalendarItem", "MeetingRequest"}
    assert answers(item) == {BOB: "Decline"}


def test_an_answer_that_is_only_saved_is_not_told(
    alice: Account, bob: Account, sent: AllOf
) -> None:
    item = requested(alice)
    sent()
    reply = bob.inbox.get()
    created = reply.accept(message_disposition="SendOnly")
    assert [one.id for one in created][-1] == bob.calendar.get().id
    assert sent() == [("response", ALICE)]
    copy = bob.calendar.get()
    TentativelyAcceptItem(
        account=bob,
        folder=bob.drafts,
        reference_item_id=ReferenceItemId(id=copy.id, changekey=copy.changekey),
    ).send("SaveOnly")
    assert bob.calendar.get().my_response_type == "Tentative"
    assert (sent(), answers(item)) == ([], {BOB: "Accept"})


def test_an_update_changes_the_same_item_of_the_attendees(
    alice: Account, bob: Account, sent: AllOf
) -> None:
    item = requested(alice)
    bob.inbox.get().accept()
    sent()
    before = bob.calendar.get()
    item.refresh()
    item.location = "Room 2"
    item.save(update_fields=["location"], send_meeting_invitations="SendToAllAndSaveCopy")
    after = bob.calendar.get()
    assert (after.id, after.location) == (before.id, "Room 2")
    assert after.changekey != before.changekey
    assert (after.my_response_type, after.appointment_sequence_number) == ("Accept", 0)
    assert answers(item) == {BOB: "Accept"}
    assert bob.inbox.get().meeting_request_type == "InformationalUpdate"
    assert sent() == [("update", BOB)]


def test_a_new_time_must_be_answered_anew(alice: Account, bob: Account) -> None:
    item = requested(alice)
    first = bob.inbox.get()
    first.accept()
    item.refresh()
    item.start, item.end = at(11, 14), at(11, 15)
    item.save(update_fields=["start", "end"], send_meeting_invitations="SendOnlyToAll")
    assert answers(item) == {BOB: "Unknown"}
    assert item.appointment_sequence_number == 1
    copy = bob.calendar.get()
    assert (copy.start, copy.appointment_sequence_number) == (at(11, 14), 1)
    assert (copy.my_response_type, copy.legacy_free_busy_status) == (
        "NoResponseReceived",
        "Tentative",
    )
    assert bob.inbox.get().meeting_request_type == "FullUpdate"


def test_an_older_request_is_out_of_date(alice: Account, bob: Account) -> None:
    item = requested(alice)
    first = bob.inbox.get()
    item.refresh()
    item.start, item.end = at(11, 14), at(11, 15)
    item.save(update_fields=["start", "end"], send_meeting_invitations="SendOnlyToAll")
    assert sorted(one.is_out_of_date for one in bob.inbox.all()) == [False, True]
    with pytest.raises(ErrorCalendarMeetingRequestIsOutOfDate):
        first.accept()


def test_only_changed_attendees_are_told_of_a_change_of_the_list(
    alice: Account, bob: Account, sent: AllOf
) -> None:
    item = requested(alice, BOB, CAROL)
    sent()
    item.refresh()
    item.required_attendees = invited(CAROL, "dave@elsewhere.test")
    item.save(update_fields=["required_attendees"], send_meeting_invitations="SendOnlyToChanged")
    assert sent() == [("request", "dave@elsewhere.test"), ("cancellation", BOB)]
    copy = bob.calendar.get()
    assert (copy.is_cancelled, copy.subject, copy.legacy_free_busy_status) == (
        True,
        "Canceled: Review",
        "Free",
    )
    told = next(one for one in bob.inbox.all() if isinstance(one, MeetingCancellation))
    assert (told.item_class, told.subject) == (
        "IPM.Schedule.Meeting.Canceled",
        "Canceled: Review",
    )
    item.subject = "Another"
    item.save(update_fields=["subject"], send_meeting_invitations="SendToChangedAndSaveCopy")
    assert sent() == []
    item.save(update_fields=["subject"], send_meeting_invitations="SendToAllAndSaveCopy")
    assert sent() == [("update", CAROL), ("update", "dave@elsewhere.test")]


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_a_cancellation_marks_the_copies(
    alice: Account, bob: Account, sent: AllOf, how: str
) -> None:
    item = requested(alice, BOB, CAROL)
    sent()
    item.refresh()
    if how == "cancel":
        item.cancel(new_body="No time")
    else:
        item.delete(send_meeting_cancellations="SendOnlyToAll")
    assert sent() == [("cancellation", BOB), ("cancellation", CAROL)]
    copy = bob.calendar.get()
    assert (copy.is_cancelled, copy.subject, copy.legacy_free_busy_status) == (
        True,
        "Canceled: Review",
        "Free",
    )
    told = next(one for one in bob.inbox.all() if isinstance(one, MeetingCancellation))
    assert told.body == ("No time" if how == "cancel" else "Agenda")
    assert alice.calendar.all().count() == 0
    with pytest.raises(ErrorCalendarIsCancelledForAccept):
        copy.accept()


def test_only_the_organizer_cancels_and_only_attendees_answer(alice: Account, bob: Account) -> None:
    item = requested(alice)
    item.refresh()
    with pytest.raises(ErrorCalendarIsOrganizerForAccept):
        item.accept()
    copy = bob.calendar.get()
    with pytest.raises(ErrorCalendarIsNotOrganizer):
        copy.cancel()


def test_what_an_attendee_does_to_his_copy_is_told_to_nobody(
    alice: Account, bob: Account, sent: AllOf
) -> None:
    requested(alice)
    sent()
    copy = bob.calendar.get()
    copy.location = "At home"
    copy.save(update_fields=["location"], send_meeting_invitations="SendToAllAndSaveCopy")
    copy.delete(send_meeting_cancellations="SendToAllAndSaveCopy")
    assert sent() == []
    assert alice.calendar.get().location == "Room 1"


def test_a_request_puts_a_deleted_appointment_back_when_it_is_accepted(
    alice: Account, bob: Account
) -> None:
    item = requested(alice)
    bob.calendar.get().delete()
    bob.inbox.get().accept()
    copy = bob.calendar.get()
    item.refresh()
    assert (copy.uid, copy.my_response_type, copy.legacy_free_busy_status) == (
        item.uid,
        "Accept",
        "Busy",
    )


def test_somebody_outside_answers(alice: Account, simulator: ExchangeSimulator) -> None:
    item = requested(alice, CAROL)
    item.refresh()
    simulator.control.answer_meeting(ALICE, item.uid, CAROL, "Tentative")
    assert answers(item) == {CAROL: "Tentative"}
    assert alice.inbox.get().subject == "Tentative: Review"
    with pytest.raises(ControlError, match="ErrorItemNotFound"):
        simulator.control.answer_meeting(ALICE, "nobody's", CAROL, "Accept")


def test_an_outdated_answer_is_not_noted(
    alice: Account, bob: Account, simulator: ExchangeSimulator
) -> None:
    item = requested(alice)
    item.refresh()
    item.start, item.end = at(11, 14), at(11, 15)
    item.save(update_fields=["start", "end"])
    bob.inbox.get().accept()
    assert answers(item) == {BOB: "Unknown"}
    assert alice.inbox.get().subject == "Accepted: Review"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IsMeeting", "true"),
        ("MyResponseType", "Accept"),
        ("IsCancelled", "true"),
        ("MeetingRequestWasSent", "true"),
    ],
)
def test_what_makes_a_meeting_is_the_servers_own(
    ask: Ask, alice: Account, name: str, value: str
) -> None:
    item = meeting(alice)
    item.save()
    answer = ask(
        '<m:UpdateItem ConflictResolution="AlwaysOverwrite" MessageDisposition="SaveOnly" '
        'SendMeetingInvitationsOrCancellations="SendToNone"><m:ItemChanges><t:ItemChange>'
        f'<t:ItemId Id="{item.id}" ChangeKey="{item.changekey}"/><t:Updates><t:SetItemField>'
        f'<t:FieldURI FieldURI="calendar:{name}"/><t:CalendarItem><t:{name}>{value}</t:{name}>'
        "</t:CalendarItem></t:SetItemField></t:Updates></t:ItemChange></m:ItemChanges>"
        "</m:UpdateItem>"
    )
    assert answer.codes == [ErrorInvalidPropertySet.__name__]


def test_meeting_messages_are_read_like_mail(alice: Account, bob: Account) -> None:
    requested(alice)
    request = bob.inbox.get()
    found = list(bob.inbox.sync_items(only_fields=["subject", "is_read"]))
    assert [(kind, one.subject) for kind, one in found] == [("create", "Review")]
    request.move(bob.trash)
    assert [kind for kind, _ in bob.inbox.sync_items(only_fields=["subject"])] == ["delete"]
    assert not isinstance(request, Message)
