"""What an IMAP server answers."""

from django.utils.translation import gettext_lazy as _

from syncservice.alerts.entries.entry import ASK_SERVER, Entry

_BY_ITSELF = _("Nothing needs to be done: it is tried again by itself.")

ANY = Entry(
    meaning=_("The IMAP server answered with an error."),
    cause=_("The details of the alert give the server's own words."),
    remedy=ASK_SERVER,
)

ENTRIES = {
    "imap.login_refused": Entry(
        meaning=_("The mail server refuses the user name or the password for incoming email."),
        cause=_(
            "The password was changed or mistyped, the account is locked, or the server wants a "
            "password made for programs (an app password)."
        ),
        remedy=_(
            "Enter the right user name and password, and allow IMAP for the account on the server. "
            "Then test and enable the mailbox."
        ),
        reference="A08, A11",
    ),
    "imap.password_expired": Entry(
        meaning=_("The password for incoming email has expired."),
        cause=_("The mail server lets nobody in with it any more."),
        remedy=_(
            "Choose another password at the server and enter it here, then test and enable the "
            "mailbox."
        ),
        reference="A08, A11",
    ),
    "imap.privacy_required": Entry(
        meaning=_("The mail server takes no password over this connection."),
        cause=_("It wants a secure connection first, or it lets nobody log in by password."),
        remedy=_(
            "Choose TLS or STARTTLS as security in the server profile, or let the server allow "
            "passwords."
        ),
    ),
    "imap.preauthenticated": Entry(
        meaning=_("The mail server lets us in before we log in."),
        cause=_(
            "It takes this machine for one that it knows: nobody can tell whose mailbox it opens."
        ),
        remedy=_("Let the server's administrator ask this machine for a login."),
    ),
    "imap.no_permission": Entry(
        meaning=_("The account may not do with the mailbox what is needed."),
        cause=_("The rights on the mail server do not allow it."),
        remedy=_("Let the server's administrator allow it, then test and enable the mailbox."),
    ),
    "imap.contact_admin": Entry(
        meaning=_("The mail server cannot serve this mailbox."),
        cause=_("Something is wrong with the mailbox on the server, and time will not mend it."),
        remedy=_(
            "Let the server's administrator check the mailbox, then test and enable the mailbox."
        ),
    ),
    "imap.mailbox_in_use": Entry(
        meaning=_("Another program has the mailbox open."),
        cause=_("It holds a lock on the mailbox, and the mail server lets nobody else in."),
        remedy=_BY_ITSELF,
    ),
    "imap.unavailable": Entry(
        meaning=_("The mail server has a trouble that should pass by itself."),
        cause=_("A part of the server is out of order, such as the one that checks passwords."),
        remedy=ASK_SERVER,
    ),
    "imap.closed": Entry(
        meaning=_("The mail server ended the conversation."),
        cause=_(
            "It is being restarted, has too many connections, or closes those that take too long."
        ),
        remedy=ASK_SERVER,
    ),
    "imap.limit_reached": Entry(
        meaning=_("The mail server wants fewer requests or connections."),
        cause=_("It limits what one account or one machine may ask for."),
        remedy=_(
            "It is tried again after a pause. If it happens often, lengthen the minimum polling "
            "interval or lower the number of connections in the server profile."
        ),
    ),
    "imap.over_quota": Entry(
        meaning=_("The mailbox is full."),
        cause=_("The mail server does no more for it until there is room."),
        remedy=_("Make room in the mailbox, then test and enable it."),
    ),
    "imap.no_starttls": Entry(
        meaning=_("The mail server does not switch to a secure connection."),
        cause=_("It does not offer STARTTLS at this port, or cannot do it for the moment."),
        remedy=_("Choose TLS as security in the server profile, usually with port 993."),
    ),
    "imap.not_imap": Entry(
        meaning=_("What answers is not an IMAP server."),
        cause=_("Address, port or security in the server profile belong to another service."),
        remedy=_(
            "Correct address, port and security in the server profile: IMAP usually has port 993 "
            "with TLS, and 143 with STARTTLS."
        ),
    ),
    "imap.no_uids": Entry(
        meaning=_("The mail server does not tell which messages are new."),
        cause=_(
            "It gives its messages no lasting numbers (UIDs), without which every message would "
            "come again."
        ),
        remedy=_("Switch lasting UIDs on at the server, or use another server."),
    ),
    "imap.uidvalidity_changed": Entry(
        meaning=_("The mail server gave all messages of the mailbox other numbers."),
        cause=_("The mailbox was restored, moved or rebuilt on the server."),
        remedy=_(
            "Nothing needs to be done: the Inbox is listed once more, and what is known already is "
            "not stored again."
        ),
    ),
    "imap.inbox_refused": Entry(
        meaning=_("The mail server would not open the Inbox."),
        cause=_("The details of the alert give the server's own words."),
        remedy=ASK_SERVER,
    ),
    "imap.not_listed": Entry(
        meaning=_("The mail server would not list the messages of the mailbox."),
        cause=_("The details of the alert give the server's own words."),
        remedy=ASK_SERVER,
    ),
    "imap.unreadable_answer": Entry(
        meaning=_("The mail server's answer cannot be understood."),
        cause=_("It does not keep to the rules of IMAP."),
        remedy=ASK_SERVER,
    ),
    "imap.message_refused": Entry(
        meaning=_("The mail server would not hand out a message."),
        cause=_("The message is damaged, or was deleted meanwhile."),
        remedy=_(
            "Look whether the message can be read on the server, and delete it if not. All other "
            "email is processed."
        ),
    ),
    "imap.larger_than_listed": Entry(
        meaning=_("The mail server sends far more for a message than the size that it lists."),
        cause=_("The message is damaged on the server, or the server counts wrongly."),
        remedy=_(
            "Look at the message on the server, and delete it if it is of no use. All other email "
            "is processed."
        ),
    ),
    "imap.sent_items_refused": Entry(
        meaning=_("The mail server would not show the folder of sent email, or keep a copy there."),
        cause=_("The details of the alert give the server's own words."),
        remedy=_(
            "Look whether this account may read and write the folder on the server. Email is sent "
            "all the same."
        ),
    ),
    "imap.not_deleted": Entry(
        meaning=_("The mail server would not delete email that was processed."),
        cause=_("The details of the alert give the server's own words."),
        remedy=_("Look whether this account may delete email in the mailbox on the server."),
    ),
    "imap.read_only": Entry(
        meaning=_("Email that was processed cannot be deleted from the mailbox."),
        cause=_("The mail server opens the Inbox for reading only."),
        remedy=_(
            "Let this account delete email there, or switch off that processed email is deleted."
        ),
    ),
    "imap.others_deleted": Entry(
        meaning=_("Email that was processed was not deleted, for the sake of other email."),
        cause=_(
            "Another program marked messages as deleted, and this mail server can only delete all "
            "that is marked (it lacks UIDPLUS)."
        ),
        remedy=_("Let the program that marked them remove them for good, or take the marks off."),
    ),
}
