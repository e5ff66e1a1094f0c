"""What the answers of an IMAP server mean: NO, BAD, BYE, their response codes, a lost connection.

The natures follow RFC 5530; a server without response codes is understood by the command that it
refused.
"""

import contextlib
import imaplib
import re
from collections.abc import Iterator

from syncservice.domain.faults import FaultError, Nature, Provenance, Scope
from syncservice.servers import mail_server
from syncservice.servers.mail_server import MailServer
from syncservice.servers.network_faults import chain, fault_of_network

_RESPONSE_CODE = re.compile(rb"\[([A-Z0-9-]+)", re.IGNORECASE)
_GONE_MEANWHILE = b"EXPUNGEISSUED"


class Meaning(mail_server.Meaning):
    """What it means when this server says no, and what helps."""

    protocol = Provenance.IMAP


GREETING = Meaning(
    "not_imap",
    Nature.TRANSIENT,
    Scope.PROFILE,
    "the server doesn't greet as IMAP servers do; check host, port and encryption",
)
PREAUTHENTICATED = Meaning(
    "preauthenticated",
    Nature.PERMANENT,
    Scope.PROFILE,
    "the server lets us in before we log in, so nobody knows whose mailbox it opens; "
    "let it ask for a login",
)
STARTTLS = Meaning(
    "no_starttls",
    Nature.PERMANENT,
    Scope.PROFILE,
    "the server refuses STARTTLS; choose TLS, usually on port 993",
)
LOGIN = Meaning(
    "login_refused",
    Nature.PERMANENT,
    Scope.MAILBOX,
    "the server refused the user name or password; correct them",
    of_login=True,
)
INBOX = Meaning(
    "inbox_refused",
    Nature.TRANSIENT,
    Scope.MAILBOX,
    "the server would not open the Inbox; if it stays so, ask its administrator",
)
NO_UIDS = Meaning(
    "no_uids",
    Nature.PERMANENT,
    Scope.PROFILE,
    "without lasting UIDs new mail can't be told from old; use another server",
)
RENUMBERED = Meaning(
    "uidvalidity_changed",
    Nature.RESYNC,
    Scope.MAILBOX,
    "the server gave all messages other numbers; the Inbox is listed once more",
)
LIST = Meaning(
    "not_listed",
    Nature.TRANSIENT,
    Scope.MAILBOX,
    "the server would not list the Inbox; if it stays so, ask its administrator",
)
MESSAGE = Meaning(
    "message_refused",
    Nature.TRANSIENT,
    Scope.EMAIL,
    "the server would not give this message; look whether it can be read there",
)
LARGER_THAN_LISTED = Meaning(
    "larger_than_listed",
    Nature.PERMANENT,
    Scope.EMAIL,
    "the server sends far more for this message than the size it lists; look at it there",
)
#: What can't be deleted is of scope EMAIL: it is no reason to read the mailbox no longer.
DELETE = Meaning(
    "not_deleted",
    Nature.TRANSIENT,
    Scope.EMAIL,
    "the server would not delete email; look whether this account may",
)
READ_ONLY = Meaning(
    "read_only",
    Nature.PERMANENT,
    Scope.EMAIL,
    "the server opens the Inbox for reading only; let this account delete there",
)
OTHERS_DELETED = Meaning(
    "others_deleted",
    Nature.TRANSIENT,
    Scope.EMAIL,
    "another program marked messages as deleted, and without UIDPLUS they would go with ours; "
    "let it expunge them",
)
SENT_ITEMS = Meaning(
    "sent_items_refused",
    Nature.TRANSIENT,
    Scope.EMAIL,
    "the server would not show the folder of sent email, or keep a copy there; "
    "look whether this account may",
)
UNREADABLE = Meaning(
    "unreadable_answer",
    Nature.TRANSIENT,
    Scope.MAILBOX,
    "the server's answer is not as RFC 3501 has it; if it stays so, ask its administrator",
)
_CLOSED = Meaning(
    "closed",
    Nature.TRANSIENT,
    Scope.PROFILE,
    "the server ended the conversation; it is tried again",
)
_TOO_MUCH = Meaning(
    "limit_reached",
    Nature.THROTTLED,
    Scope.MAILBOX,
    "the server wants fewer requests or connections; lengthen the minimum polling interval",
)

#: [ALERT] is missing: it asks that people read the words, and they are in every fault.
_BY_RESPONSE_CODE = {
    b"AUTHENTICATIONFAILED": LOGIN,
    b"AUTHORIZATIONFAILED": LOGIN,
    b"EXPIRED": Meaning(
        "password_expired",
        Nature.PERMANENT,
        Scope.MAILBOX,
        "the password has expired; choose another at the server, and enter it",
        of_login=True,
    ),
    b"PRIVACYREQUIRED": Meaning(
        "privacy_required",
        Nature.PERMANENT,
        Scope.PROFILE,
        "the server takes no password over this connection; choose TLS or STARTTLS",
    ),
    b"CONTACTADMIN": Meaning(
        "contact_admin",
        Nature.PERMANENT,
        Scope.MAILBOX,
        "the server can't serve this mailbox; ask its administrator",
    ),
    b"UNAVAILABLE": Meaning(
        "unavailable",
        Nature.TRANSIENT,
        Scope.PROFILE,
        "a part of the server is out of order, which should pass by itself",
    ),
    b"LIMIT": _TOO_MUCH,
    b"THROTTLED": _TOO_MUCH,  # of Gmail, in no RFC
    b"INUSE": Meaning(
        "mailbox_in_use",
        Nature.TRANSIENT,
        Scope.MAILBOX,
        "another program has the mailbox locked; let no other hold it for long",
    ),
    b"OVERQUOTA": Meaning(
        "over_quota",
        Nature.PERMANENT,
        Scope.MAILBOX,
        "the mailbox is full; make room in it",
    ),
    b"NOPERM": Meaning(
        "no_permission",
        Nature.PERMANENT,
        Scope.MAILBOX,
        "the account may not do this; let the server's administrator allow it",
    ),
}


class Said(imaplib.IMAP4.error):
    """A server's NO, BAD, BYE or PREAUTH, with its words; not as imaplib puts them together."""

    def __init__(self, status: str, text: bytes) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


class Refused(FaultError):
    """The server said NO or BAD: the connection lives on, and the next command may be given."""


class GoneMeanwhile(Refused):
    """Some messages were deleted by another program; what the answer has of others is good."""


#: What a server says with a response code is of itself or the mailbox, whatever it was asked.
CODED = frozenset(f"{Meaning.protocol}.{one.code}" for one in _BY_RESPONSE_CODE.values())
#: What a server does that hangs up, with a word or without.
LOST = {"imap.connection_lost", f"imap.{_CLOSED.code}"}
TOO_LARGE = "imap.answer_too_large"


@contextlib.contextmanager
def faults_translated(server: MailServer, meaning: Meaning) -> Iterator[None]:
    """Turn what imaplib and the network raise inside the block into a FaultError.

    `meaning`: that of NO there, unless a response code says more. NO itself raises Refused.
    """
    try:
        yield
    except Said as error:
        raise _fault_error(server, meaning, error) from error
    except (imaplib.IMAP4.error, OSError) as error:
        if any(isinstance(cause, OSError) for cause in chain(error)):
            raise FaultError(fault_of_network(error, "imap")) from error
        raise FaultError((meaning if meaning is GREETING else UNREADABLE).fault()) from error


def _fault_error(server: MailServer, meaning: Meaning, said: Said) -> FaultError:
    words = server.words(said.text)
    found = _RESPONSE_CODE.match(said.text)
    code = found[1].upper() if found else b""
    if said.status == "PREAUTH":
        return FaultError(PREAUTHENTICATED.fault(words))
    if said.status == "BYE":
        return FaultError(_BY_RESPONSE_CODE.get(code, _CLOSED).fault(words))
    if said.status not in ("NO", "BAD"):
        return FaultError(UNREADABLE.fault(words))
    fault = _BY_RESPONSE_CODE.get(code, meaning).fault(words)
    return GoneMeanwhile(fault) if code == _GONE_MEANWHILE else Refused(fault)
