"""What the answers of a POP3 server mean: -ERR, its response codes, and the end of a connection.

The natures follow RFC 2449 section 8 and RFC 3206; a server without response codes is understood by
the command that it refused.
"""

import contextlib
import dataclasses
import poplib
import re
from collections.abc import Iterator

from syncservice.domain.faults import FaultError, Nature, Provenance, Scope
from syncservice.servers import mail_server
from syncservice.servers.mail_server import MailServer
from syncservice.servers.network_faults import fault_of_network

_RESPONSE_CODE = re.compile(rb"-ERR[ \t]+\[([A-Z0-9/-]+)\]", re.IGNORECASE)
#: Servers without response codes say so in words, which RFC 1939 itself has at PASS: "maildrop
#: already locked". An account that is locked is another matter: nobody is let in.
_IN_USE = re.compile(
    rb"in use|\bbusy\b|another (?:\w+ )?(?:session|client)"
    rb"|\A(?!.*(?:account|user|locked out)).*\block(?:ed)?\b",
    re.IGNORECASE,
)


class Meaning(mail_server.Meaning):
    """What it means when this server says no, and what helps."""

    protocol = Provenance.POP3


GREETING = Meaning(
    "not_pop3",
    Nature.TRANSIENT,
    Scope.PROFILE,
    "the server doesn't greet as POP3 servers do; check host, port and encryption",
)
STLS = Meaning(
    "no_starttls",
    Nature.PERMANENT,
    Scope.PROFILE,
    "the server refuses STARTTLS; choose TLS, usually on port 995",
)
LOGIN = Meaning(
    "login_refused",
    Nature.PERMANENT,
    Scope.MAILBOX,
    "the server refused the user name or password; correct them",
    of_login=True,
)
UIDL = Meaning(
    "no_uidl",
    Nature.PERMANENT,
    Scope.PROFILE,
    "without the command UIDL new mail can't be told from old; switch it on, or use another server",
)
LIST = Meaning(
    "not_listed",
    Nature.TRANSIENT,
    Scope.MAILBOX,
    "the server would not list the mailbox; if it stays so, ask its administrator",
)
MESSAGE = Meaning(
    "message_refused",
    Nature.TRANSIENT,
    Scope.EMAIL,
    "the server would not give this message; look whether it can be read there",
)
TOP = Meaning(
    "no_top",
    Nature.PERMANENT,
    Scope.EMAIL,
    "without the command TOP a message can't be found by its Message-ID; give its uidl",
)
DELETION = Meaning(
    "not_deleted",
    Nature.TRANSIENT,
    Scope.EMAIL,
    "the server did not delete what is in the CRM; look at it there",
)
LARGER_THAN_LISTED = Meaning(
    "larger_than_listed",
    Nature.PERMANENT,
    Scope.EMAIL,
    "the server sends far more for this message than the size it lists; look at it there",
)
UNREADABLE = Meaning(
    "unreadable_answer",
    Nature.TRANSIENT,
    Scope.MAILBOX,
    "the server's answer is not as RFC 1939 has it; if it stays so, ask its administrator",
)

#: Whose trouble it is, depends on whether the server knows by then whose mailbox is wanted: a
#: broken mailbox ends in the same words (Dovecot).
_SYSTEM_TEMPORARY = Meaning(
    "system_temporary",
    Nature.TRANSIENT,
    Scope.MAILBOX,
    "the server has a trouble that should pass by itself",
)
_MAILBOX_IN_USE = Meaning(
    "mailbox_in_use",
    Nature.TRANSIENT,
    Scope.MAILBOX,
    "another program has the mailbox open; let no other read it over POP3",
)
#: [AUTH] is missing: it says no more than the refused login does.
_BY_RESPONSE_CODE = {
    b"IN-USE": _MAILBOX_IN_USE,
    b"LOGIN-DELAY": Meaning(
        "login_delay",
        Nature.THROTTLED,
        Scope.MAILBOX,
        "the server wants more time between logins; lengthen the minimum polling interval",
    ),
    b"SYS/TEMP": _SYSTEM_TEMPORARY,
    b"SYS/PERM": Meaning(
        "system_permanent",
        Nature.PERMANENT,
        Scope.MAILBOX,
        "the server can't serve this mailbox; ask its administrator",
    ),
}


#: What a server says with a response code is of itself or the mailbox, whatever it was asked.
CODED = frozenset(f"{Meaning.protocol}.{one.code}" for one in _BY_RESPONSE_CODE.values())


class Refused(FaultError):
    """The server said -ERR: the connection lives on, and the next command may be given."""


@contextlib.contextmanager
def faults_translated(server: MailServer, meaning: Meaning) -> Iterator[None]:
    """Turn what poplib and the network raise inside the block into a FaultError.

    `meaning`: that of -ERR there, unless a response code says more. -ERR itself raises Refused.
    """
    try:
        yield
    except poplib.error_proto as error:
        raise _fault_error(server, meaning, error.args[0]) from error
    except OSError as error:
        raise FaultError(fault_of_network(error, "pop3")) from error


def _fault_error(server: MailServer, meaning: Meaning, reply: bytes | str) -> FaultError:
    if reply == "-ERR EOF":  # poplib's own words, not the server's
        return FaultError(fault_of_network(ConnectionResetError(), "pop3"))
    said = server.words(reply) if isinstance(reply, bytes) else ""
    if not isinstance(reply, bytes) or not reply.upper().startswith(b"-ERR"):
        return FaultError((meaning if meaning is GREETING else UNREADABLE).fault(said))
    found = _RESPONSE_CODE.match(reply)
    told = _BY_RESPONSE_CODE.get(found[1].upper(), meaning) if found else meaning
    if meaning is GREETING and told is _SYSTEM_TEMPORARY:
        told = dataclasses.replace(told, scope=Scope.PROFILE)
    elif meaning is LOGIN and not found and _IN_USE.search(reply):
        told = _MAILBOX_IN_USE
    return Refused(told.fault(said))
