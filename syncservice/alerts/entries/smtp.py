"""What an SMTP server answers."""

from django.utils.translation import gettext_lazy as _

from syncservice.alerts.entries.entry import ASK_SERVER, RETRIED, Entry

ANY = Entry(
    meaning=_("The SMTP server answered with an error."),
    cause=_("The details of the alert give the server's own words."),
    remedy=ASK_SERVER,
)

ENTRIES = {
    "smtp.login_refused": Entry(
        name="OutgoingEmailAuthenticationError",
        meaning=_("The mail server refuses the user name or the password for outgoing email."),
        cause=_(
            "The password was changed or mistyped, the account is locked, or the server wants a "
            "password made for programs (an app password)."
        ),
        remedy=_(
            "Enter the right user name and password for outgoing email, then test and enable the "
            "mailbox."
        ),
        reference="A07, A36",
    ),
    "smtp.authentication_unavailable": Entry(
        meaning=_("The mail server cannot check passwords for the moment."),
        cause=_("What it asks about passwords is not available."),
        remedy=ASK_SERVER,
    ),
    "smtp.no_authentication": Entry(
        meaning=_("The mail server offers no login with a password."),
        cause=_("It lets nobody log in at this port, or only over a secure connection."),
        remedy=_(
            "Check port and security in the server profile, or clear the user name for outgoing "
            "email if the server wants no login."
        ),
    ),
    "smtp.service_unavailable": Entry(
        meaning=_("The mail server takes no email for the moment."),
        cause=_("It is busy, being restarted or under maintenance."),
        remedy=ASK_SERVER,
    ),
    "smtp.sender_refused": Entry(
        meaning=_("The mail server does not accept this mailbox's address as the sender."),
        cause=_("The address is unknown there, or the account may not send in its name."),
        remedy=_(
            "Correct the address of the mailbox, or allow the account to send from it on the "
            "server. Then test and enable the mailbox."
        ),
    ),
    "smtp.recipients_refused": Entry(
        meaning=_("The mail server does not accept recipients of an email: they do not get it."),
        cause=_("An address is misspelt or no longer exists, or there are too many recipients."),
        remedy=_("Correct the addresses or send to fewer, then send the email again."),
        reference="A22",
    ),
    "smtp.no_smtputf8": Entry(
        meaning=_("The mail server takes no addresses with letters beyond a to z."),
        cause=_("It does not know SMTPUTF8, the way to send email to and from such addresses."),
        remedy=_(
            "Use another address of the recipient, or of the mailbox if it is the sender's. Or "
            "send by a mail server that takes such addresses."
        ),
    ),
    "smtp.quota_exceeded": Entry(
        meaning=_("The mailbox has used up its quota on the server."),
        cause=_("Its storage is full, or it has sent as much as the server allows for now."),
        remedy=_(
            "Make room in the mailbox, or raise its quota on the server. Email to be sent waits "
            "until then."
        ),
        reference="A38",
    ),
    "smtp.refused_for_now": Entry(
        meaning=_("The mail server does not take an email yet."),
        cause=_("Many servers make unknown senders wait, or the recipient's mailbox is full."),
        remedy=RETRIED,
    ),
    "smtp.message_refused": Entry(
        meaning=_("The mail server does not accept an email; it was not sent."),
        cause=_("It is too large, looks like spam, or is against a rule of the server."),
        remedy=_(
            "Read the server's words in the details of the alert, change the email and send it "
            "again."
        ),
    ),
    "smtp.no_starttls": Entry(
        meaning=_("The mail server does not switch to a secure connection."),
        cause=_("It does not offer STARTTLS at this port, or cannot do it for the moment."),
        remedy=_("Choose TLS as outgoing security in the server profile, usually with port 465."),
    ),
    "smtp.not_smtp": Entry(
        meaning=_("What answers is not an SMTP server."),
        cause=_("Address, port or security in the server profile belong to another service."),
        remedy=_(
            "Correct outgoing address, port and security in the server profile: SMTP usually has "
            "port 587 with STARTTLS, and 465 with TLS."
        ),
    ),
    "smtp.outcome_unknown": Entry(
        meaning=_("It is not known whether an email was sent."),
        cause=_(
            "The connection ended after the mail server had the whole email, and before it said "
            "what it did with it."
        ),
        remedy=_(
            "Ask a recipient, or look into the logs of the mail server, before the email is sent "
            "again."
        ),
    ),
}
