"""What goes wrong below every protocol: names, connections, TLS and time-outs become faults.

All of these concern the whole server profile, but an answer without end, which is the mailbox's
own. What a server says in its own protocol is not translated here: that is the business of its
adapter.
"""

import socket
import ssl
from collections.abc import Iterator

import requests
import urllib3.exceptions

from syncservice.domain.faults import Fault, Nature, Provenance, Scope
from syncservice.servers.answers import AnswerTooLarge

_BY_URL = {
    "tls_failed": "no TLS connection could be made; check that the server speaks HTTPS there",
    "unknown_host": "the server's name can't be resolved; check it in the server location",
    "connection_refused": "nothing listens at the server location; check host and port",
}
_BY_PORT = {
    "tls_failed": "no TLS connection could be made; "
    "check that the server speaks TLS at this host and port",
    "unknown_host": "the server's name can't be resolved; check the host",
    "connection_refused": "nothing listens at this host and port; check both",
}


def fault_of_network(error: BaseException, prefix: str, *, by_url: bool = False) -> Fault:
    """Translate what went wrong below the protocol that `prefix` names, as in "pop3.timed_out".

    `by_url`: the profile says where the server is by a URL, else by host and port; the remedies
    name what the administrator filled in.
    """
    places = _BY_URL if by_url else _BY_PORT
    code, provenance, nature = "unreachable", Provenance.TCP, Nature.TRANSIENT
    scope = Scope.PROFILE
    text = "the server can't be reached; check its address and the network"
    causes = [type(cause) for cause in chain(error)]
    if AnswerTooLarge in causes:
        code, scope = "answer_too_large", Scope.MAILBOX
        text = "the server sends more than any such answer has; see what it is that it sends"
    elif any(issubclass(kind, ssl.SSLError | requests.exceptions.SSLError) for kind in causes):
        code, provenance, nature = "certificate_refused", Provenance.TLS, Nature.PERMANENT
        text = (
            "the server's TLS certificate is refused; install a trusted one, "
            "or add its authority to this machine"
        )
        if not any(issubclass(kind, ssl.SSLCertVerificationError) for kind in causes):
            code, nature = "tls_failed", Nature.TRANSIENT
            text = places[code]
    elif urllib3.exceptions.NameResolutionError in causes or socket.gaierror in causes:
        code, provenance = "unknown_host", Provenance.DNS
        text = places[code]
    elif ConnectionRefusedError in causes:
        code = "connection_refused"
        text = places[code]
    elif any(issubclass(kind, requests.exceptions.Timeout | TimeoutError) for kind in causes):
        code, text = "timed_out", "the server did not answer in time"
    elif any(
        issubclass(kind, ConnectionError | urllib3.exceptions.ProtocolError) for kind in causes
    ):
        code, text = "connection_lost", "the server closed the connection before it answered"
    return Fault(
        code=f"{prefix}.{code}",
        nature=nature,
        scope=scope,
        provenance=provenance,
        text=text,
    )


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that led to it, through `from`, context and urllib3's `reason`."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop(0)
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [cause.__cause__, cause.__context__, getattr(cause, "reason", None)]
            waiting += cause.args
