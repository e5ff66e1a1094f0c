"""One conversation with an Exchange server: credentials, one connection, and its certain end.

exchangelib keeps its protocols, each with an open connection, in a cache for ever; a server counts
every one of them. So a conversation has a protocol of its own with one session (its pool locks up
under throttling, PITFALLS X1), which is closed before the connection slot is given back.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from exchangelib import DELEGATE, IMPERSONATION, UTC, Account, Configuration, Credentials
from exchangelib.properties import DistinguishedFolderId, Mailbox
from exchangelib.protocol import Protocol
from exchangelib.version import Build, Version
from requests import Response, Session

from syncservice.servers.exchange.faults import HttpBorder
from syncservice.servers.exchange.http import BoundedHttp

#: Exchange 2016; exchangelib asks older servers again with the version they know.
_VERSION = Build(15, 1, 2507, 6)
#: More than any answer has that carries no messages: 512 changes, with 10 kB for each, have 5 MiB.
MOST_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class ExchangeServer:
    """Where an Exchange server is and how to log in."""

    endpoint: str  # https://mail.example.com/EWS/Exchange.asmx
    username: str
    password: str
    auth_type: str  # as exchangelib names them: basic, NTLM
    impersonate: bool
    verify_tls: bool = True
    timeout_seconds: int = 100
    version: str = ""  # as it told of itself, 15.1.2507.6; '': not asked

    def __repr__(self) -> str:
        return f"ExchangeServer({self.endpoint})"  # never the password


def _build(version: str) -> Build:
    parts = [int(part) for part in version.split(".") if part.isdecimal()]
    return Build(*parts) if len(parts) == 4 else _VERSION


class _OwnCredentials(Credentials):  # type: ignore[misc] # exchangelib has no types
    """Equal to itself alone: exchangelib's cache then gives no two conversations one protocol."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class BoundedProtocol(Protocol):  # type: ignore[misc] # exchangelib has no types
    """exchangelib's protocol with the profile's own time-out and certificate check.

    Of `server` it takes these alone; where and as whom to log in is in `config`.
    """

    USERAGENT = "syncservice"
    RETRY_WAIT = 0  # so that a busy answer without a hint has the hint 0, not an invented one

    def __init__(
        self,
        *,
        config: Configuration,
        server: ExchangeServer,
        admit: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config=config)
        self._admit = admit
        #: Sees each request's and answer's text; the login is in neither.
        self.witness: Callable[[str, str], None] | None = None
        self.TIMEOUT = server.timeout_seconds
        self.most_bytes = MOST_BYTES  # of an answer
        self.requests = 0
        self._verify_tls = server.verify_tls

    def raw_session(self, prefix: str, *arguments: Any, **named: Any) -> Session:
        session: Session = super().raw_session(prefix, *arguments, **named)
        session.verify = self._verify_tls
        # An environment's REQUESTS_CA_BUNDLE would beat `verify`, and ~/.netrc the credentials.
        session.trust_env = self._verify_tls
        session.mount(prefix, BoundedHttp(self.TIMEOUT, lambda: int(self.most_bytes)))
        session.hooks["response"].append(self._show)
        return session

    def _show(self, response: Response, **_: Any) -> None:
        if self.witness is not None:
            request = response.request.body
            text = request.decode(errors="replace") if isinstance(request, bytes) else str(request)
            self.witness(text, f"HTTP {response.status_code}\n{response.text}")

    def close_session(self, session: Session) -> None:
        # urllib3 closes a pool's connection when nobody refers to the pool any more, and the
        # traceback of an error does; the server would count us that long.
        for adapter in session.adapters.values():
            pools = adapter.poolmanager.pools  # type: ignore[attr-defined] # of HTTPAdapter
            for key in pools.keys():  # noqa: SIM118 # it is no dict
                pools[key].close()
        super().close_session(session)

    def get_session(self) -> Session:
        self._admit()
        self.requests += 1
        session: Session = super().get_session()
        return session


class Conversation:
    """A context manager around one mailbox's requests; `account` is what services need."""

    def __init__(self, server: ExchangeServer, address: str, admit: Callable[[], None]) -> None:
        self._config = Configuration(
            service_endpoint=server.endpoint,
            credentials=_OwnCredentials(server.username, server.password)
            if server.username
            else None,  # the process' own identity, by Kerberos
            auth_type=server.auth_type,
            version=Version(_build(server.version)),
            retry_policy=HttpBorder(),
            max_connections=1,
        )
        self._protocol = BoundedProtocol(config=self._config, server=server, admit=admit)
        self.account = Account(
            address,
            config=self._config,  # exchangelib finds our protocol in its cache by this
            access_type=IMPERSONATION if server.impersonate else DELEGATE,
            default_timezone=UTC,
        )

    @property
    def requests(self) -> int:
        return int(self._protocol.requests)

    def folder(self, name: str) -> Any:
        """Name one of the folders that every mailbox has, as EWS calls them: inbox, calendar."""
        owner = Mailbox(email_address=self.account.primary_smtp_address)
        return DistinguishedFolderId(id=name, mailbox=owner)

    @contextmanager
    def answers_up_to(self, most_bytes: int) -> Iterator[None]:
        """Take answers of another length inside the block."""
        self._protocol.most_bytes = most_bytes
        try:
            yield
        finally:
            self._protocol.most_bytes = MOST_BYTES

    def show_to(self, witness: Callable[[str, str], None]) -> None:
        """Let `witness` see the text of each request and answer from now on."""
        self._protocol.witness = witness

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self._protocol.close()
        del Protocol[self._config]
