"""What the replies of an SMTP server mean (RFC 5321, RFC 3207, RFC 4954; codes of RFC 3463).

A reply means different things to different commands: a refused sender is the mailbox's trouble, a
refused recipient that of one email. What nobody knows is the email's, and tried again for a 4yz.
Words about one recipient don't say what becomes of the others: `smtp` knows.
"""

import contextlib
import re
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from syncservice.domain.faults import FaultError, Nature, Provenance, Scope
from syncservice.servers import mail_server
from syncservice.servers.mail_server import MailServer
from syncservice.servers.network_faults import chain, fault_of_network

_ENHANCED_CODE = re.compile(rb"[245]\.(\d{1,3})\.(\d{1,3})\b")


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply: three digits and its words."""

    code: int  # -1: none was to be read
    text: bytes

    def __bytes__(self) -> bytes:
        return self.text if self.code < 0 else b"%d %s" % (self.code, self.text)

    @property
    def is_readable(self) -> bool:
        """One of RFC 5321: behind another one, nobody knows which command the next is for."""
        return 200 <= self.code < 600

    @property
    def is_done(self) -> bool:
        """2yz."""
        return 200 <= self.code < 300

    @property
    def is_refusal(self) -> bool:
        """4yz, not now; 5yz, not ever."""
        return 400 <= self.code < 600

    @property
    def is_permanent(self) -> bool:
        return 500 <= self.code < 600

    @property
    def is_goodbye(self) -> bool:
        """421 may come in place of any reply, and the server closes the connection behind it."""
        return self.code == 421

    @property
    def subject(self) -> str:
        """Subject and detail of the enhanced code, as "5.3" of 4.5.3; '' without one."""
        found = _ENHANCED_CODE.match(self.text)
        return f"{int(found[1])}.{int(found[2])}" if found else ""


class Meaning(mail_server.Meaning):
    """What it means when this server says no, and what helps."""

    protocol = Provenance.SMTP


NOT_SMTP = Meaning(
    "not_smtp",
    Nature.TRANSIENT,
    Scope.PROFILE,
    "the server doesn't answer as SMTP servers do; check host, port and encryption",
)
UNAVAILABLE = Meaning(
    "service_unavailable",
    Nature.THROTTLED,
    Scope.PROFILE,
    "the server takes no mail at the moment; it is left alone for a while",
)
NO_STARTTLS = Meaning(
    "no_starttls",
    Nature.PERMANENT,
    Scope.PROFILE,
    "the server doesn't offer STARTTLS; choose TLS, usually on port 465",
)
STARTTLS_FOR_NOW = Meaning(
    "no_starttls",
    Nature.TRANSIENT,
    Scope.PROFILE,
    "the server can't begin TLS at the moment; if it stays so, ask its administrator",
)
NO_AUTHENTICATION = Meaning(
    "no_authentication",
    Nature.PERMANENT,
    Scope.PROFILE,
    "the server offers no login with a password (AUTH PLAIN, LOGIN or CRAM-MD5); "
    "check port and encryption, or clear the user name",
)
LOGIN = Meaning(
    "login_refused",
    Nature.PERMANENT,
    Scope.MAILBOX,
    "the server refused the user name or password; correct them",
    of_login=True,
)
LOGIN_FOR_NOW = Meaning(
    "authentication_unavailable",
    Nature.TRANSIENT,
    Scope.PROFILE,
    "the server can't check logins at the moment; if it stays so, ask its administrator",
)
SENDER = Meaning(
    "sender_refused",
    Nature.PERMANENT,
    Scope.MAILBOX,
    "the server refuses the mailbox's address as sender; "
    "correct the address, or let this account send from it",
)
RECIPIENTS = Meaning(
    "recipients_refused",
    Nature.PERMANENT,
    Scope.EMAIL,
    "the server refuses the recipient; correct or remove the address",
)
NO_ADDRESS = Meaning(
    "recipients_refused",
    Nature.PERMANENT,
    Scope.EMAIL,
    "a recipient has no address that email can be sent to; correct or remove it",
)
NO_SMTPUTF8 = Meaning(
    "no_smtputf8",
    Nature.PERMANENT,
    Scope.EMAIL,
    "the server takes no addresses with letters beyond a-z (SMTPUTF8); use another address",
)
SENDER_NEEDS_SMTPUTF8 = Meaning(
    "no_smtputf8",
    Nature.PERMANENT,
    Scope.MAILBOX,
    "the server takes no addresses with letters beyond a-z (SMTPUTF8), and the mailbox's own is "
    "one; give it another, or send by another server",
)
TOO_MANY_RECIPIENTS = Meaning(
    "recipients_refused",
    Nature.PERMANENT,
    Scope.EMAIL,
    "the server refuses so many recipients; send to fewer",
)
MESSAGE = Meaning(
    "message_refused",
    Nature.PERMANENT,
    Scope.EMAIL,
    "the server refuses this message; change it and send it again",
)
TOO_LARGE = Meaning(
    "message_refused",
    Nature.PERMANENT,
    Scope.EMAIL,
    "the message is larger than the server takes; send it with smaller attachments",
)
QUOTA = Meaning(
    "quota_exceeded",
    Nature.TRANSIENT,
    Scope.MAILBOX,
    "the mailbox's quota on the server is used up; make room or raise it",
)
FOR_NOW = Meaning(
    "refused_for_now",
    Nature.TRANSIENT,
    Scope.EMAIL,
    "the server won't take this message yet; it is tried again",
)
UNKNOWN = Meaning(
    "outcome_unknown",
    Nature.TRANSIENT,
    Scope.EMAIL,
    "look whether the message was sent: the server took it whole and never said what became of it",
)


#: Of several refused recipients, the first of these is told: the others are met behind it.
GRAVEST = (
    RECIPIENTS, NO_ADDRESS, NO_SMTPUTF8, TOO_MANY_RECIPIENTS, TOO_LARGE, QUOTA, FOR_NOW
)  # fmt: skip
#: What is said, or done, by a server that has served a connection for long enough.
ENDED = {f"smtp.{UNAVAILABLE.code}", "smtp.connection_lost"}


def meaning_of_greeting(reply: Reply) -> Meaning:
    """Say what it means to be greeted with this, or refused EHLO and HELO."""
    return UNAVAILABLE if reply.is_goodbye else NOT_SMTP


def meaning_of_starttls(reply: Reply) -> Meaning:
    """Say what a refused STARTTLS means (RFC 3207 section 4)."""
    if reply.is_goodbye:
        return UNAVAILABLE
    return NO_STARTTLS if reply.is_permanent else STARTTLS_FOR_NOW


def meaning_of_login(reply: Reply) -> Meaning:
    """Say what a refused AUTH means (RFC 4954 section 6)."""
    if reply.is_goodbye or not reply.is_refusal:
        return meaning_of_greeting(reply)
    return LOGIN if reply.is_permanent else LOGIN_FOR_NOW


def meaning_of_sender(reply: Reply) -> Meaning:
    """Say what a refused MAIL means."""
    meaning = meaning_of_data(reply)
    return SENDER if meaning is MESSAGE else meaning


def meaning_of_recipient(reply: Reply) -> Meaning:
    """Say what a refused RCPT means; it's in `GRAVEST`, for a refusal that is no goodbye."""
    if reply.subject == "2.2":  # the recipient's mailbox is full: no reason to stop ours
        return RECIPIENTS if reply.is_permanent else FOR_NOW
    meaning = meaning_of_data(reply)
    return RECIPIENTS if meaning is MESSAGE else meaning


def meaning_of_data(reply: Reply) -> Meaning:
    """Say what a refused DATA means."""
    if reply.is_goodbye or not reply.is_refusal:
        return meaning_of_greeting(reply)
    if reply.subject == "5.3":  # 4yz: the rest is taken by itself (RFC 5321 section 4.5.3.1.10)
        return TOO_MANY_RECIPIENTS if reply.is_permanent else FOR_NOW
    if reply.subject == "3.4":
        return TOO_LARGE  # comes with the same 552 as a full mailbox
    if reply.code in (452, 552):
        return QUOTA
    return MESSAGE if reply.is_permanent else FOR_NOW


def meaning_of_text(reply: Reply) -> Meaning:
    """Say what it means when the text of a message isn't taken."""
    return meaning_of_data(reply) if reply.is_refusal else UNKNOWN


class Refused(FaultError):
    """The server said 4yz or 5yz: the connection lives on, and the next command may be given."""


@contextlib.contextmanager
def faults_translated(server: MailServer) -> Iterator[None]:
    """Turn what smtplib and the network raise inside the block into a FaultError."""
    try:
        yield
    except smtplib.SMTPResponseException as error:  # a reply that was no reply
        said = server.words(error.smtp_error if isinstance(error.smtp_error, bytes) else b"")
        raise FaultError(NOT_SMTP.fault(said)) from error
    except smtplib.SMTPServerDisconnected as error:
        # smtplib wraps what the network said, and raises the same for a mere end. That TLS was
        # not ended well says nothing of TLS: so does every connection that is cut.
        lost = ConnectionResetError()
        if not any(isinstance(cause, ssl.SSLEOFError) for cause in chain(error)):
            lost.__cause__ = error
        raise FaultError(fault_of_network(lost, "smtp")) from error
    except OSError as error:
        raise FaultError(fault_of_network(error, "smtp")) from error
