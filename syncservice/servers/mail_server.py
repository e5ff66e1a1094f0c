"""Where a POP3, IMAP or SMTP server is, how to log in, how TLS is checked, and what a no means.

Nothing here connects: `pop3`, `imap` and `smtp` do, each in its own protocol.
"""

import enum
import re
import ssl
from dataclasses import dataclass
from typing import ClassVar

from syncservice.domain.faults import Fault, Nature, Provenance, Scope

#: Of what a server said, this many characters are shown.
_WORDS = 300


class Security(enum.StrEnum):
    """How the connection is encrypted."""

    TLS = "tls"  # from the first byte: ports 995, 993 and 465 (RFC 8314)
    STARTTLS = "starttls"  # begins in clear, and no login is tried before it is encrypted
    NONE = "none"  # the password travels in clear; only because a person chose it


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where a mail server is and how to log in."""

    host: str
    port: int
    security: Security
    username: str  # '': no login (SMTP only)
    password: str
    verify_tls: bool = True
    timeout_seconds: int = 100

    def __repr__(self) -> str:
        return f"MailServer({self.host}:{self.port}, {self.security})"  # never the password

    def tls_context(self) -> ssl.SSLContext:
        """Return how TLS is spoken: certificate and host name are checked by default."""
        context = ssl.create_default_context()
        if not self.verify_tls:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def words(self, reply: bytes, *secrets: str) -> str:
        """Return what a server said as one line for people, 300 characters at most.

        A reply that repeats the password, or one of `secrets`, is withheld: this text is stored.
        """
        text = reply.decode("utf-8", "replace")
        if any(secret and secret in text for secret in (self.password, *secrets)):
            return "(an answer that repeats the login)"
        return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text).split())[:_WORDS]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What it means when a server says no, and what helps."""

    protocol: ClassVar[Provenance]

    code: str  # behind the protocol's name
    nature: Nature
    scope: Scope
    remedy: str
    of_login: bool = False

    def fault(self, said: str = "", provenance: Provenance | None = None) -> Fault:
        """Return it as a fault; `said`: the server's words, `provenance`: None is the server."""
        return Fault(
            code=f"{self.protocol}.{self.code}",
            nature=self.nature,
            scope=self.scope,
            provenance=provenance or self.protocol,
            text=f"{self.remedy}; the server said: {said}" if said else self.remedy,
            of_login=self.of_login,
        )
