"""What this service says of appointments, contacts and tasks: questions, and single items."""

from django.utils.translation import gettext_lazy as _

from syncservice.alerts.entries.entry import RETRIED, Entry

ANY = Entry(
    meaning=_("An appointment, a contact or a task could not be kept in step."),
    cause=_("The details of the alert tell more."),
    remedy=_(
        "It is tried again by itself when time may help. The page of the mailbox's items and "
        "“syncservice items list” tell how it stands."
    ),
)

QUESTIONS = {
    "items.first_synchronization": Entry(
        meaning=_("Much would be created when this mailbox is first synchronized: begin with it?"),
        cause=_(
            "Nothing has been written yet: both sides were looked at, and what would be done is on "
            "the page of the mailbox's items."
        ),
        remedy=_(
            "Answer yes to begin. Answer no to leave both sides as they are, change filters or "
            "categories, and have it looked at anew."
        ),
    ),
    "items.linked_elsewhere": Entry(
        meaning=_(
            "Items of this mailbox are, or were, kept in step by another organisation: take them "
            "over?"
        ),
        cause=_("They bear its mark. Until somebody decides, they are left as they are."),
        remedy=_(
            "Answer yes when the other organisation no longer keeps them in step, or is not to any "
            "more: they are then joined with records that they are, or become records where they "
            "are tracked. Answer no to leave them alone."
        ),
        reference="A32",
    ),
    "items.mass_deletion": Entry(
        meaning=_("Many records or items would be deleted at once: delete them?"),
        cause=_(
            "As many as this are gone from the other side, where somebody emptied a folder, or "
            "something went wrong."
        ),
        remedy=_(
            "Answer yes to delete them here, too. Answer no to keep them, which then are no longer "
            "kept in step."
        ),
        reference="A32",
    ),
    "items.scheduling_conflict": Entry(
        name="ExchangeSyncSchedulingConflictsError",
        meaning=_("A tracked appointment overlaps another one: store it in the CRM all the same?"),
        cause=_("In the CRM, its owner has another appointment at that time."),
        remedy=_(
            "Answer yes to store all such appointments of the mailbox, or no to leave them in the "
            "mailbox only."
        ),
        reference="A30",
    ),
    "items.duplicate_contact": Entry(
        meaning=_(
            "Tracked contacts are like contacts that the CRM has: make new records of them all the "
            "same?"
        ),
        cause=_("They have an email address or a full name in common."),
        remedy=_(
            "Answer yes to make a new record of each, or no to join each with the record that it "
            "is like. Where several are like it, choose one on the page of the mailbox's items, or "
            "with “syncservice items answer”."
        ),
        reference="A31",
    ),
}

ITEMS = {
    "item.no_organizer": Entry(
        meaning=_("An appointment has no organizer, so it does not come to the calendar."),
        cause=_("None was entered: the owner of an appointment is not its organizer by that."),
        remedy=_("Enter the organizer of the appointment; it then comes to the calendar."),
        reference="A13",
    ),
    "item.record_refused": Entry(
        meaning=_("The CRM does not accept what an item says."),
        cause=_("A rule of the database forbids it, for instance an end before the start."),
        remedy=_("Correct the item in the mailbox; the details tell what is refused."),
        reference="A15",
    ),
    "item.not_answered": Entry(
        meaning=_("The mail server gave no answer for an item that it was asked for."),
        cause=_("It answered for other items of the same request."),
        remedy=RETRIED,
    ),
    "item.recurring_task": Entry(
        meaning=_("A recurring task is not kept in step."),
        cause=_("The CRM has no recurring tasks."),
        remedy=_("Make single tasks of it, and track those that belong in the CRM."),
    ),
    "item.assigned_task": Entry(
        meaning=_("A task that is assigned to somebody else is not kept in step."),
        cause=_("It is kept in the mailbox of the one whom it was assigned to."),
        remedy=_("Let that person track the task, or make one of your own."),
    ),
    "item.cancelled": Entry(
        meaning=_(
            "A tracked meeting was called off by its organizer and does not become a record."
        ),
        cause=_("The organizer sent a cancellation before the meeting came to the CRM."),
        remedy=_(
            "Nothing needs to be done. Remove the meeting from the mailbox if it is in the way."
        ),
    ),
    "item.handed_over": Entry(
        meaning=_("A meeting got another organizer in the CRM, and its changes do not travel."),
        cause=_("Exchange knows no way to hand a meeting over to another organizer."),
        remedy=_(
            "Name the former organizer again; or cancel the meeting, and let the new organizer "
            "call another one."
        ),
    ),
    "item.not_organizer": Entry(
        meaning=_("An attendee tracked a meeting, and it does not become a record."),
        cause=_("The organisation lets only the organizer of a meeting track it."),
        remedy=_(
            "Let the organizer track it, or let attendees track meetings in the settings of the "
            "organisation."
        ),
    ),
    "item.scheduling_conflict": Entry(
        meaning=_("An appointment overlaps another one and stays in the mailbox only."),
        cause=_("The question whether to store it all the same was answered no."),
        remedy=_("Move one of the two appointments; it is then looked at again by itself."),
        reference="A30",
    ),
}
