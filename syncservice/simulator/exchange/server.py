"""The HTTP server: one asyncio process that reads requests and does with answers what they say."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import Callable

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from syncservice.simulator.exchange import control_api
from syncservice.simulator.exchange.service import UNAUTHORIZED, Answer, Service
from syncservice.simulator.exchange.soap import envelope
from syncservice.simulator.exchange.subscriptions import Stream

EWS_PATH = "/ews/exchange.asmx"
NAME = "syncservice-exchange-simulator (not Microsoft Exchange)"
ABOUT = (
    "This is the Exchange simulator of syncservice: a program for tests, benches and demos that\n"
    "keeps everything in memory. It is not Microsoft Exchange.\n\n"
    "EWS: POST /EWS/Exchange.asmx    control: GET /simulator/\n"
)
LONGEST_SLEEP = 1.0  # seconds a stream waits without a look
LARGEST_REQUEST = 512 * 1024**2

#: Receives every EWS exchange: request bytes, status, response bytes.
Witness = Callable[[bytes, int, bytes], None]


class CountingServer(web.Server):
    """An aiohttp server that tells when a connection is lost."""

    def __init__(self, site: "Site") -> None:
        super().__init__(site.handle, request_factory=self.request, access_log=None)
        self.site = site

    def request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        """A request that may be as large as a big message."""
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=LARGEST_REQUEST
        )

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        self.site.service.statistics.connections.discard(handler)
        super().connection_lost(handler, exc)


class Site:
    """One listening simulator."""

    def __init__(self, service: Service, witness: Witness | None = None) -> None:
        self.service = service
        self.witness = witness
        self.url = ""
        self._listener: asyncio.Server | None = None
        self._server: CountingServer | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> str:
        """Listen, and return the URL."""
        self._server = CountingServer(self)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, host, port, ssl=tls, backlog=1024)
        port = self._listener.sockets[0].getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if tls else 'http'}://{shown}:{port}"
        return self.url

    async def stop(self) -> None:
        """Stop listening and drop every connection, also those kept waiting."""
        if self._listener is not None and self._server is not None:
            self._listener.close()
            await self._server.shutdown(0.1)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request."""
        path = request.path
        if path.lower() == EWS_PATH:
            return await self._ews(request)
        if path.startswith("/simulator"):
            body = await request.read()
            query = dict(request.query)
            status, facts = control_api.answer(self.service, request.method, path, query, body)
            return answered(status, json.dumps(facts).encode(), "application/json")
        if path == "/" and request.method in ("GET", "HEAD"):
            return answered(200, ABOUT.encode(), "text/plain; charset=utf-8")
        return answered(404, ABOUT.encode(), "text/plain; charset=utf-8")

    async def _ews(self, request: web.BaseRequest) -> web.StreamResponse:
        authorization = request.headers.get("Authorization")
        if request.method in ("GET", "HEAD"):
            # Clients probe so whether a service is there and wants a login.
            if self.service.login(authorization) is None:
                return written(UNAUTHORIZED)
            return answered(200, ABOUT.encode(), "text/plain; charset=utf-8")
        if request.method != "POST":
            return answered(405, ABOUT.encode(), "text/plain; charset=utf-8")
        self.service.statistics.seen(request.protocol)
        data = await request.read()
        answer = self.service.answer(data, authorization)
        if self.witness is not None and not answer.reset:
            self.witness(data, answer.status, answer.body)
        if answer.delay:
            await asyncio.sleep(answer.delay)
        if answer.never:
            await asyncio.Event().wait()
        if answer.reset:
            reset(request)
        if answer.stream is not None and not answer.reset:
            return await self._follow(request, data, answer, answer.stream)
        return written(answer)

    async def _follow(
        self, request: web.BaseRequest, data: bytes, answer: Answer, stream: Stream
    ) -> web.StreamResponse:
        """Write envelope after envelope until the stream, or the client, ends."""
        headers = {"Content-Type": answer.content_type, "Server": NAME}
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(answer.body)
        woken, loop, is_over = asyncio.Event(), asyncio.get_running_loop(), False

        def wake() -> None:
            loop.call_soon_threadsafe(woken.set)

        with stream.woken_by(wake):
            while not is_over and not stream.is_cut and request.transport is not None:
                woken.clear()
                body, is_over = stream.next_body()
                if body:
                    whole = envelope(body)
                    if self.witness is not None:
                        self.witness(data, 200, whole)
                    await response.write(whole)
                elif not is_over:
                    with contextlib.suppress(TimeoutError):
                        # Nobody tells when a client is gone: look now and then.
                        await asyncio.wait_for(woken.wait(), min(stream.left, LONGEST_SLEEP))
        if stream.is_cut:
            reset(request)
        return response


def answered(status: int, body: bytes, content_type: str) -> web.Response:
    """An answer with our name on it."""
    headers = {"Content-Type": content_type, "Server": NAME}
    return web.Response(status=status, body=body, headers=headers)


def written(answer: Answer) -> web.Response:
    """The HTTP form of an answer."""
    headers = {"Content-Type": answer.content_type, "Server": NAME, **answer.headers}
    return web.Response(status=answer.status or 500, body=answer.body, headers=headers)


def reset(request: web.BaseRequest) -> None:
    """Reset the connection: no FIN, so that the client sees "connection reset by peer"."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        linger = struct.pack("ii", 1, 0)  # on, 0 seconds: close() sends RST
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
