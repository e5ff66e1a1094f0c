"""Autodiscover, once: where a domain's Exchange is, how it wants to be logged in to, its version.

exchangelib can ask at every start, and keeps a cache in a file that all processes share (PITFALLS
X12, X13). Here a task asks once, the answer is a row, and every conversation begins with it.
"""

from dataclasses import dataclass
from typing import Any

from exchangelib import Configuration, Credentials
from exchangelib.autodiscover import Autodiscovery, clear_cache
from exchangelib.autodiscover.protocol import AutodiscoverProtocol
from exchangelib.errors import AutoDiscoverError
from exchangelib.protocol import FailFast, Protocol

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.servers.exchange.conversation import MOST_BYTES, BoundedProtocol, ExchangeServer
from syncservice.servers.exchange.faults import faults_translated
from syncservice.servers.exchange.http import BoundedHttp

#: Each host that may know the server has so long.
_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Discovered:
    """What a server told of itself."""

    endpoint: str
    auth_type: str  # as exchangelib names them
    version: str  # 15.1.2507.6


class _Bounded(BoundedHttp):
    """The adapter of exchangelib's own sessions: autodiscover asks hosts that nobody chose."""

    def __init__(self, **_: Any) -> None:
        super().__init__(_SECONDS, lambda: MOST_BYTES)


AutodiscoverProtocol.HTTP_ADAPTER_CLS = _Bounded


def discover(address: str, username: str, password: str) -> Discovered:
    """Find the server of an address's domain; raise FaultError when there is none to be found."""
    try:
        with faults_translated():
            try:
                answer, protocol = Autodiscovery(
                    email=address, credentials=Credentials(username, password)
                ).discover()
            except AutoDiscoverError as error:
                raise FaultError(_not_found(address, str(error))) from error
            return _told_by(protocol, str(answer.ews_url))
    finally:
        clear_cache()  # asked again, it is to ask again


def detect(server: ExchangeServer) -> Discovered:
    """Ask a known server how it wants to be logged in to; raise FaultError."""
    config = Configuration(
        service_endpoint=server.endpoint,
        credentials=Credentials(server.username, server.password),
        retry_policy=FailFast(),
        max_connections=1,
    )
    protocol = BoundedProtocol(config=config, server=server)
    try:
        with faults_translated():
            return _told_by(protocol, server.endpoint)
    finally:
        protocol.close()
        del Protocol[config]


def _told_by(protocol: Protocol, endpoint: str) -> Discovered:
    auth_type = str(protocol.auth_type)
    build = protocol.version.build
    version = ".".join(
        str(part)
        for part in (
            build.major_version,
            build.minor_version,
            build.major_build,
            build.minor_build,
        )
    )
    return Discovered(endpoint, auth_type, version)


def _not_found(address: str, reason: str) -> Fault:
    return Fault(
        code="profile.autodiscover_failed",
        nature=Nature.PERMANENT,
        scope=Scope.PROFILE,
        provenance=Provenance.DNS,
        text=f"autodiscover found no Exchange for {address.rpartition('@')[2]}; enter the server "
        f"location, or publish autodiscover there. {reason[:200]}",
    )
