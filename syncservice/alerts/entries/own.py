"""What this service says of its own: of visits, mailboxes, profiles, emails, sending and tests."""

from dataclasses import replace

from django.utils.translation import gettext_lazy as _

from syncservice.alerts.entries.entry import NOTHING, RETRIED, Entry

#: For a code of ours that is listed nowhere, by the part before the dot; '' is any other code.
ANY = {
    "visit": Entry(
        meaning=_("A visit to the mailbox did not end well."),
        cause=_("The details of the alert tell more."),
        remedy=_(
            "It is tried again by itself. If it lasts, an administrator finds more in the logs of "
            "the workers."
        ),
    ),
    "mailbox": Entry(
        meaning=_("Something about this mailbox needs attention."),
        cause=_("The details of the alert tell more."),
        remedy=_("Check the settings of the mailbox, then test and enable the mailbox."),
    ),
    "profile": Entry(
        meaning=_("Something about this server profile needs attention."),
        cause=_("The details of the alert tell more."),
        remedy=_("Check the settings of the server profile and test its connection."),
    ),
    "email": Entry(
        meaning=_("An email could not be processed."),
        cause=_("The details of the alert tell more."),
        remedy=_("Look at the email in the mailbox. All other email is processed."),
    ),
    "sending": Entry(
        meaning=_("Sending the email of a mailbox did not end well."),
        cause=_("The details of the alert tell more."),
        remedy=_(
            "It is tried again by itself. If it lasts, an administrator finds more in the logs of "
            "the workers."
        ),
    ),
    "test": Entry(
        meaning=_("A test did not end well."),
        cause=_("The details of the alert tell more."),
        remedy=_("Correct what the details name, then test and enable the mailbox."),
    ),
    "limit": Entry(
        meaning=_("A limit of this service made it wait."),
        cause=_("More was to be done at once than the settings allow."),
        remedy=RETRIED,
    ),
    "": Entry(
        meaning=_("Something went wrong that has no description yet."),
        cause=_("The details of the alert tell more."),
        remedy=_(
            "It is tried again by itself when time may help. If it lasts, ask an administrator, "
            "and give the code."
        ),
    ),
}

VISITS = {
    "visit.parked": Entry(
        meaning=_("This mailbox is no longer visited."),
        cause=_(
            "Its visits ended their worker process several times without getting further, for "
            "instance because a message took more memory than there is."
        ),
        remedy=_(
            "An administrator looks into the logs of the workers, then resumes the mailbox in the "
            "console or with “syncservice mailbox resume” and its address."
        ),
    ),
    "visit.timed_out": Entry(
        meaning=_("A visit to the mailbox took too long and was ended."),
        cause=_("The mail server or the database answers slowly. What was stored stays stored."),
        remedy=_(
            "Nothing needs to be done: the next visit goes on from there. If it lasts, an "
            "administrator raises MAILBOXES_SOFT_LIMIT_SECONDS."
        ),
    ),
}

_NOT_APPROVED = Entry(
    meaning=_("The address of this mailbox has not been approved, so its email waits."),
    cause=_("This organisation processes email only of addresses that somebody has approved."),
    remedy=_("Let an administrator approve the address, then test and enable the mailbox."),
    reference="A03, A04",
)

_KEY_LOST = Entry(
    meaning=_("The stored password cannot be read, so nobody can log in with it."),
    cause=_("The key that it was encrypted with is no longer among CREDENTIAL_KEYS."),
    remedy=_(
        "An administrator adds the key again to CREDENTIAL_KEYS and restarts the service, or "
        "enters the password again."
    ),
)

MAILBOXES = {
    "mailbox.enabled": Entry(
        name="ConfigurationTestSucceeded",
        meaning=_("The test succeeded, and the mailbox is kept in step in this direction."),
        cause=_("Somebody asked for a test, and all that was tried works."),
        remedy=NOTHING,
        reference="A46",
    ),
    "mailbox.recovered": Entry(
        meaning=_("The mailbox works again in this direction and was switched on again."),
        cause=_("A fault had switched it off, and is over."),
        remedy=NOTHING,
    ),
    "mailbox.disabled": Entry(
        name="MailboxDisabled",
        meaning=_("The mailbox is switched off in this direction, so its email waits."),
        cause=_("It is not active, was never enabled, or somebody or a fault switched it off."),
        remedy=_("Activate the mailbox, then test and enable it."),
        reference="A37",
    ),
    "mailbox.not_approved": _NOT_APPROVED,
    "mailbox.no_profile": Entry(
        meaning=_("The mailbox has no server profile, so no mail server is known for it."),
        cause=_("None was chosen, or it was taken away."),
        remedy=_("Choose a server profile for the mailbox, then test and enable it."),
        reference="A42",
    ),
    "mailbox.no_address": Entry(
        meaning=_("The mailbox has no email address."),
        cause=_("None was entered, or it was removed."),
        remedy=_("Enter the address, let it be approved, then test and enable the mailbox."),
    ),
    "mailbox.no_credentials": Entry(
        meaning=_("The mailbox has no user name and password that may be used."),
        cause=_("Its server profile leaves the account to each mailbox."),
        remedy=_(
            "Enter user name and password in the mailbox and allow their use, then test and enable "
            "it."
        ),
    ),
    "mailbox.key_lost": _KEY_LOST,
    "mailbox.no_activities": Entry(
        meaning=_("The mailbox's server holds no appointments, contacts and tasks."),
        cause=_("Its server profile is of POP3 or IMAP, and SMTP, which carry email only."),
        remedy=_("Set appointments, contacts and tasks of the mailbox to none."),
    ),
    "mailbox.taken_over": Entry(
        meaning=_(
            "This mailbox now belongs to somebody else, and its synchronization with the former "
            "owner has ended."
        ),
        cause=_("It was assigned to another user or queue."),
        remedy=_("Nothing needs to be done. If this comes as a surprise, ask an administrator."),
    ),
    "mailbox.other_organisation": Entry(
        meaning=_("Another organisation keeps this mailbox in step: should this one take it over?"),
        cause=_(
            "The mailbox bears the mark of the other one. If both kept its appointments, contacts "
            "and tasks in step, they would double."
        ),
        remedy=_(
            "Answer yes to keep the mailbox in step here; it then ends in the other organisation. "
            "Answer no to leave it there."
        ),
        reference="A14",
    ),
}

PROFILES = {
    "profile.login_refused": Entry(
        meaning=_(
            "The mail server refuses the account of the server profile, or many mailboxes at once."
        ),
        cause=_(
            "The account's password was changed or has expired, it lacks rights, or the server is "
            "in trouble and refuses everybody."
        ),
        remedy=_(
            "Check the account in the server profile, and the server. No mailbox was switched off: "
            "synchronization goes on by itself once the server lets somebody in."
        ),
        reference="A06",
    ),
    "profile.mailboxes_failing": Entry(
        meaning=_("More than half of the mailboxes of this server profile failed within an hour."),
        cause=_("The mail server, its network or the account of the server profile is in trouble."),
        remedy=_(
            "Test the connection of the server profile and correct what it names. The mailboxes "
            "tell what each of them met."
        ),
    ),
    "profile.key_lost": _KEY_LOST,
    "profile.autodiscover_failed": Entry(
        meaning=_("The mail server could not be found by the address of a mailbox."),
        cause=_("The domain of the address does not publish autodiscover, or not properly."),
        remedy=_(
            "Enter the server location in the server profile, or correct autodiscover for the "
            "domain."
        ),
        reference="A05",
    ),
    "profile.exchange_online_ends": Entry(
        meaning=_("Exchange Online ends Exchange Web Services on 2027-04-01."),
        cause=_(
            "Microsoft switches off, for all its customers, the way in which these mailboxes are "
            "kept in step."
        ),
        remedy=_(
            "Plan before that day how the mailboxes of this server profile are to go on. Exchange "
            "servers of one's own are not concerned."
        ),
    ),
}

EMAILS = {
    "email.unreadable": Entry(
        meaning=_("A message could not be read."),
        cause=_("It is damaged, or does not have the form of an email."),
        remedy=_(
            "Look at the message in the mailbox, and ask its sender to send it again if it "
            "matters. All other email is processed."
        ),
    ),
    "email.parser_failed": Entry(
        meaning=_("This service failed to read a message."),
        cause=_("The message holds something unexpected, and this service has an error there."),
        remedy=_(
            "Report it, if possible with the message, to those who maintain this service. The "
            "message stays in the mailbox, and all other email is processed."
        ),
    ),
    "email.not_storable": Entry(
        meaning=_("A message could not be stored."),
        cause=_("It holds something that the database does not accept."),
        remedy=_(
            "Report it to those who maintain this service. The message stays in the mailbox, and "
            "all other email is processed."
        ),
    ),
    "email.too_large": Entry(
        meaning=_("A message is larger than this service fetches."),
        cause=_("The setting MESSAGE_BYTES limits it, so that no worker runs out of memory."),
        remedy=_(
            "Read the message in the mailbox. For more such messages, an administrator raises "
            "MESSAGE_BYTES."
        ),
    ),
    "email.not_answered": Entry(
        meaning=_("The mail server gave no answer for a message that it was asked for."),
        cause=_("It answered for other messages of the same request."),
        remedy=RETRIED,
    ),
    "email.no_sender": Entry(
        name="InvalidSender",
        meaning=_("A message names no sender and was not stored."),
        cause=_("It is a draft, a report of a device, or was damaged on its way."),
        remedy=_("Nothing needs to be done. Track the message by hand to have it in the CRM."),
        reference="A28",
    ),
    "email.not_forwarded": Entry(
        name="InvalidForwardMailItem",
        meaning=_("A message in a forward mailbox holds no forwarded message."),
        cause=_(
            "A rule forwards messages as they are instead of as attachments, or somebody wrote to "
            "the forward mailbox itself."
        ),
        remedy=_("Let the rule of the user or queue forward messages as attachments."),
        reference="A29",
    ),
    "email.not_allowed_to_forward": Entry(
        name="InvalidForwardMailItem",
        meaning=_("A message was forwarded by a mailbox that does not use a forward mailbox."),
        cause=_(
            "The incoming email of the user or queue who forwarded it is not set to forward "
            "mailbox, or the address is nobody's."
        ),
        remedy=_("Set the incoming email of that mailbox to forward mailbox."),
        reference="A29",
    ),
    "email.outcome_unknown": Entry(
        meaning=_("Nobody can tell whether an email was sent, so it is held."),
        cause=_(
            "The connection ended after the mail server had the whole email, and the server could "
            "not tell afterwards what it did with it."
        ),
        remedy=_(
            "Ask a recipient, or look into the logs of the mail server. Then say on the email’s "
            "page, or with “syncservice email decide”, that it was sent, or have it sent once more."
        ),
    ),
    "email.copy_not_kept": Entry(
        meaning=_("An email was sent, but its copy in the folder of sent email is not as wished."),
        cause=_("The mail server refused to file the copy, or to delete it, again and again."),
        remedy=_("Look at the sentence of the server. The email itself was sent, once."),
    ),
    "email.recipients_refused": Entry(
        meaning=_("An email was sent, but some of its recipients do not get it."),
        cause=_(
            "The mail server refused their addresses: they are misspelt, no longer exist, or take "
            "no email now."
        ),
        remedy=_(
            "Look up in the email who was refused, and why. Then write to them anew, at addresses "
            "that are right."
        ),
        reference="A22",
    ),
    "email.not_composed": Entry(
        meaning=_("An email cannot be sent as it is written."),
        cause=_("Something that it cannot do without is missing or wrong, as its details tell."),
        remedy=_("Correct in the email what the details name, then send it again."),
    ),
    "email.id_too_long": Entry(
        meaning=_("The mail server's name for a message is too long to be kept."),
        cause=_("No mail server is known to give such names; it may be broken."),
        remedy=_("Read the message in the mailbox. All other email is processed."),
    ),
}

SENDINGS = {
    "sending.worker_died": Entry(
        meaning=_("An email was given up, for workers died while they prepared it."),
        cause=_("It is larger than a worker’s memory, or meets a mistake in this software."),
        remedy=_(
            "Make it smaller and send it anew. If that does not help, report it with the log of "
            "the worker."
        ),
    ),
    "sending.timed_out": Entry(
        meaning=_("Sending the email of a mailbox took too long and was ended."),
        cause=_(
            "The mail server or the database answers slowly. Email that was under way is looked "
            "for on the server before it is sent again."
        ),
        remedy=_(
            "Nothing needs to be done: the next attempt goes on from there. If it lasts, an "
            "administrator raises OUTGOING_ACTIVITIES_SOFT_LIMIT_SECONDS."
        ),
    ),
}

TESTS = {
    "test.failed": Entry(
        meaning=_("The test of the mailbox failed, so this direction was not switched on."),
        cause=_("The details of the alert tell what the mail server or this service found."),
        remedy=_("Correct what the details name, then test and enable the mailbox."),
        reference="A12",
    ),
    "test.timed_out": Entry(
        meaning=_("A test took too long and was ended."),
        cause=_("The mail server answers slowly."),
        remedy=_(
            "It is tried again by itself. If it lasts, an administrator raises "
            "ASYNC_OPERATIONS_SOFT_LIMIT_SECONDS."
        ),
    ),
}

_WAITS = ANY["limit"]

LIMITS = {
    "slots.taken": replace(
        _WAITS,
        meaning=_("All allowed connections to the mail server are in use."),
        cause=_("The server profile limits how many there are at once."),
    ),
    "rate.reached": replace(
        _WAITS,
        meaning=_("The mail server was asked as often as the server profile allows."),
        cause=_("The server profile limits the requests per second."),
    ),
    "redis.unavailable": Entry(
        meaning=_("This service cannot count its connections, so it opens none."),
        cause=_("Redis, which counts them for all workers, cannot be reached."),
        remedy=_("An administrator checks Redis and REDIS_URL. All goes on by itself afterwards."),
    ),
}
