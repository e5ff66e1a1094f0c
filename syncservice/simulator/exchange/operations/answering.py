"""What CreateItem does with answers to a meeting, and with its cancellation."""

from syncservice.simulator.exchange import derived
from syncservice.simulator.exchange.answers import answer
from syncservice.simulator.exchange.attendance import canceled, copy_in, put_into_calendar
from syncservice.simulator.exchange.context import Context, one_child
from syncservice.simulator.exchange.errors import EwsError
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.markup import Element, M, T, local
from syncservice.simulator.exchange.meeting_mail import Sending
from syncservice.simulator.exchange.meetings import cancel_for_all, is_organizer
from syncservice.simulator.exchange.values import Body

#: MessageDisposition -> what a SendMeetingInvitations attribute would say.
SENDINGS = {
    "SaveOnly": Sending("SendToNone"),
    "SendOnly": Sending("SendOnlyToAll"),
    "SendAndSaveCopy": Sending("SendToAllAndSaveCopy"),
}


def respond(context: Context, element: Element, disposition: str) -> str:
    """Carry out an AcceptItem, TentativelyAcceptItem or DeclineItem."""
    if not disposition:
        raise EwsError("ErrorMessageDispositionRequired")
    mailbox, item = meeting_of(context, element)
    named = context.target_folder(M + "SavedItemFolderId")
    folder = named[1] if named else None
    body = body_in(element, "Body")
    sending = SENDINGS[disposition]
    left = answer(context.store, mailbox, item, local(element), body, sending, folder)
    listed = "".join(f"<t:{one.element}>{derived.item_id(one)}</t:{one.element}>" for one in left)
    return f"<m:Items>{listed}</m:Items>"


def meeting_of(context: Context, element: Element) -> tuple[Mailbox, Item]:
    """The appointment that an answer is about; a request puts it back into the calendar."""
    mailbox, named = context.item(one_child(element, T + "ReferenceItemId"))
    if named.element == "CalendarItem":
        return mailbox, named
    if named.element != "MeetingRequest":
        raise EwsError("ErrorInvalidOperation", "Only meetings are answered.")
    if named.is_set("IsOutOfDate"):
        raise EwsError("ErrorCalendarMeetingRequestIsOutOfDate")
    if copy_in(mailbox, named) is None:
        put_into_calendar(mailbox, named)
    found = copy_in(mailbox, named)
    if found is None:
        raise EwsError("ErrorItemNotFound")
    return mailbox, found


def cancel_meeting(context: Context, element: Element, disposition: str) -> str:
    """Carry out a CancelCalendarItem: everybody is told, and the meeting is thrown away."""
    mailbox, item = context.item(one_child(element, T + "ReferenceItemId"))
    if item.element != "CalendarItem":
        raise EwsError("ErrorInvalidOperation", "Only meetings are cancelled.")
    if not is_organizer(mailbox, item):
        raise EwsError("ErrorCalendarIsNotOrganizer")
    body = body_in(element, "NewBodyContent")
    cancel_for_all(context.store, mailbox, item, SENDINGS[disposition or "SendOnly"], body)
    subject = canceled(item.text("Subject"))
    mailbox.set(item, {"IsCancelled": "true", "LegacyFreeBusyStatus": "Free", "Subject": subject})
    mailbox.delete(item, "MoveToDeletedItems")
    return "<m:Items/>"


def body_in(element: Element, name: str) -> Body | None:
    """What an answer says; None: nothing."""
    found = element.find(T + name)
    return None if found is None else Body(found.text or "", found.get("BodyType") == "HTML")
