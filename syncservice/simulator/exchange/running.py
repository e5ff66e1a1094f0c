"""A simulator within this process, on a thread of its own."""

import asyncio
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from syncservice.simulator.exchange.control import SimulatorControl
from syncservice.simulator.exchange.server import Site, Witness
from syncservice.simulator.exchange.service import Service


class ExchangeSimulator:
    """A context manager around a simulator that listens on a free port of the loopback.

    `mailboxes` and `service_accounts` map logins to passwords. `witness` receives every EWS
    exchange (request bytes, status, response bytes), on the simulator's thread. Stopped and started
    again it keeps its mailboxes, and its port unless that was taken meanwhile.
    """

    def __init__(
        self,
        mailboxes: dict[str, str] | None = None,
        service_accounts: dict[str, str] | None = None,
        *,
        witness: Witness | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        tls_cert: str | Path | None = None,
        tls_key: str | Path | None = None,
    ) -> None:
        self.service = Service()
        self.url = ""
        self._host, self._port = host, port
        self._tls_cert, self._tls_key = tls_cert, tls_key
        self._site = Site(self.service, witness)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._control: SimulatorControl | None = None
        for address, password in (mailboxes or {}).items():
            self.service.store.add_mailbox(address, password)
        for login, password in (service_accounts or {}).items():
            self.service.store.add_service_account(login, password)

    @property
    def ews_url(self) -> str:
        """Where EWS listens."""
        return f"{self.url}/EWS/Exchange.asmx"

    @property
    def control(self) -> SimulatorControl:
        """A client of the control API."""
        if self._control is None or self._control.url != self.url:
            self._control = SimulatorControl(self.url, verify=self._tls_cert is None)
        return self._control

    def start(self) -> Self:
        """Listen; returns when it does."""
        tls = tls_context(self._tls_cert, self._tls_key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="exchange-simulator", daemon=True
        )
        self._thread.start()
        starting = self._site.start(self._host, self._port, tls)
        self.url = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        self._port = int(self.url.rpartition(":")[2])
        return self

    def stop(self) -> None:
        """Drop all connections and stop listening."""
        if self._loop is None or self._thread is None:
            return
        if self._control is not None:
            self._control.close()
            self._control = None
        asyncio.run_coroutine_threadsafe(self._site.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._loop = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def tls_context(cert: str | Path | None, key: str | Path | None) -> ssl.SSLContext | None:
    """The server's TLS settings; None without a certificate."""
    if cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context
