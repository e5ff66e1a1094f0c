"""What a POP3 server answers."""

from django.utils.translation import gettext_lazy as _

from syncservice.alerts.entries.entry import ASK_SERVER, Entry

ANY = Entry(
    meaning=_("The POP3 server answered with an error."),
    cause=_("The details of the alert give the server's own words."),
    remedy=ASK_SERVER,
)

ENTRIES = {
    "pop3.login_refused": Entry(
        meaning=_("The mail server refuses the user name or the password for incoming email."),
        cause=_(
            "The password was changed or mistyped, the account is locked, or the server wants a "
            "password made for programs (an app password)."
        ),
        remedy=_(
            "Enter the right user name and password, and allow POP3 for the account on the server. "
            "Then test and enable the mailbox."
        ),
        reference="A08, A11",
    ),
    "pop3.mailbox_in_use": Entry(
        meaning=_("Another program has the mailbox open."),
        cause=_("A POP3 server lets only one program at a time read a mailbox."),
        remedy=_(
            "It is tried again by itself. If it lasts, let no other program read this mailbox over "
            "POP3."
        ),
    ),
    "pop3.login_delay": Entry(
        meaning=_("The mail server wants more time between two logins."),
        cause=_("It limits how often a mailbox may be looked at."),
        remedy=_(
            "It is tried again after a pause. If it happens often, lengthen the minimum polling "
            "interval in the server profile."
        ),
    ),
    "pop3.system_temporary": Entry(
        meaning=_("The mail server has a trouble that should pass by itself."),
        cause=_("Something failed on the server, and it expects that a later attempt will work."),
        remedy=ASK_SERVER,
    ),
    "pop3.system_permanent": Entry(
        meaning=_("The mail server cannot serve this mailbox."),
        cause=_("Something is wrong with the mailbox on the server, and time will not mend it."),
        remedy=_(
            "Let the server's administrator check the mailbox, then test and enable the mailbox."
        ),
    ),
    "pop3.no_starttls": Entry(
        meaning=_("The mail server does not switch to a secure connection."),
        cause=_("It does not offer STARTTLS at this port, or cannot do it for the moment."),
        remedy=_("Choose TLS as security in the server profile, usually with port 995."),
    ),
    "pop3.not_pop3": Entry(
        meaning=_("What answers is not a POP3 server."),
        cause=_("Address, port or security in the server profile belong to another service."),
        remedy=_(
            "Correct address, port and security in the server profile: POP3 usually has port 995 "
            "with TLS, and 110 with STARTTLS."
        ),
    ),
    "pop3.no_uidl": Entry(
        meaning=_("The mail server does not tell which messages are new."),
        cause=_("It lacks the command UIDL, without which every message would come again."),
        remedy=_("Switch UIDL on at the server, or use another server."),
    ),
    "pop3.not_listed": Entry(
        meaning=_("The mail server would not list the messages of the mailbox."),
        cause=_("The details of the alert give the server's own words."),
        remedy=ASK_SERVER,
    ),
    "pop3.unreadable_answer": Entry(
        meaning=_("The mail server's answer cannot be understood."),
        cause=_("It does not keep to the rules of POP3."),
        remedy=ASK_SERVER,
    ),
    "pop3.message_refused": Entry(
        meaning=_("The mail server would not hand out a message."),
        cause=_("The message is damaged, or was deleted meanwhile."),
        remedy=_(
            "Look whether the message can be read on the server, and delete it if not. All other "
            "email is processed."
        ),
    ),
    "pop3.no_top": Entry(
        meaning=_("The mail server cannot look for a message by its Message-ID."),
        cause=_("It lacks the command TOP."),
        remedy=_("Name the message by the id that the server lists (UIDL)."),
    ),
    "pop3.not_deleted": Entry(
        meaning=_("The mail server did not delete messages that are in the CRM."),
        cause=_("The details of the alert give the server's own words."),
        remedy=_("Look whether the mailbox may be written to, and delete the messages there."),
    ),
    "pop3.larger_than_listed": Entry(
        meaning=_("The mail server sends far more for a message than the size that it lists."),
        cause=_("The message is damaged on the server, or the server counts wrongly."),
        remedy=_(
            "Look at the message on the server, and delete it if it is of no use. All other email "
            "is processed."
        ),
    ),
}
