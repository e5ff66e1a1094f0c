"""What goes wrong below every protocol; the codes are the same behind each prefix."""

from django.utils.translation import gettext_lazy as _

from syncservice.alerts.entries.entry import ASK_SERVER, Entry

_BY_NAME = {
    "unreachable": Entry(
        meaning=_("The mail server cannot be reached."),
        cause=_(
            "It is switched off, or the network between it and this service is interrupted or "
            "blocks the connection."
        ),
        remedy=_(
            "Check that the server is running and that firewalls let this service through. "
            "Synchronization then goes on by itself."
        ),
    ),
    "unknown_host": Entry(
        name="InvalidIncomingEmailServerProfileConfiguration HostNotFound",
        meaning=_("No machine is known under the mail server's name."),
        cause=_(
            "The name in the server profile is misspelt, or the name service (DNS) that this "
            "service asks does not know it."
        ),
        remedy=_(
            "Correct the name in the server profile, or add it to DNS. Synchronization then goes "
            "on by itself."
        ),
        reference="A34",
    ),
    "connection_refused": Entry(
        name="Web server returned ConnectFailure",
        meaning=_("The mail server's machine is there, but refuses the connection."),
        cause=_(
            "The port is wrong, the mail service on that machine is not running, or a firewall "
            "refuses connections to it."
        ),
        remedy=_(
            "Check address and port in the server profile, and that the mail service is running. "
            "Synchronization then goes on by itself."
        ),
        reference="A35",
    ),
    "timed_out": Entry(
        name="Socket returned exception TimedOut",
        meaning=_("The mail server did not answer in time."),
        cause=_(
            "It is overloaded or the network is slow; behind a wrong port or a firewall there may "
            "also be nobody who answers."
        ),
        remedy=_(
            "It is tried again by itself. If it lasts, check port and firewall, or allow more time "
            "for a request in the server profile."
        ),
        reference="A33",
    ),
    "connection_lost": Entry(
        meaning=_("The mail server ended the connection before it had answered."),
        cause=_(
            "The server, or something in front of it such as a load balancer, was restarted or "
            "closed the connection."
        ),
        remedy=_(
            "It is tried again by itself. If it lasts, look into the logs of the server and of "
            "what stands in front of it."
        ),
    ),
    "certificate_refused": Entry(
        meaning=_("The mail server's certificate is not trusted, so nothing was sent to it."),
        cause=_(
            "The certificate has expired, belongs to another name, or was issued by an authority "
            "that this service's machine does not know."
        ),
        remedy=_(
            "Install a valid certificate on the server, or add the authority that issued it to "
            "those that this service's machine trusts."
        ),
        reference="A01, A02, A36",
    ),
    "tls_failed": Entry(
        meaning=_("No secure connection to the mail server could be made."),
        cause=_(
            "The server does not speak TLS at this port, or only in versions that are no longer "
            "safe."
        ),
        remedy=_(
            "Check address, port and security in the server profile, and that the server offers "
            "TLS 1.2 or newer."
        ),
        reference="A01, A02",
    ),
    "answer_too_large": Entry(
        meaning=_(
            "The mail server sends more than any answer needs, so it was not read to its end."
        ),
        cause=_(
            "A message is far larger than the size that the server lists for it, or the server, "
            "or what stands in front of it, is broken."
        ),
        remedy=ASK_SERVER,
    ),
}

ENTRIES = {
    f"{protocol}.{name}": entry
    for name, entry in _BY_NAME.items()
    for protocol in ("exchange", "pop3", "imap", "smtp")
}
