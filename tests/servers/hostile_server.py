"""A mail server that turns evil: it stands before a good one and spoils what that one answers.

When it is good again, all that was held back is there to be stored. So every test can ask both:
what did the evil do, and what was lost by it.
"""

import http.client
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

#: From the good answer's text to what is sent in its place, with status line and headers.
Evil = Callable[[bytes], Iterable[bytes]]

#: Among the pieces of an answer: nothing is sent until the client goes, or for a moment.
SILENCE = b"<silence>"
PAUSE = b"<pause>"


def http_answer(body: bytes, *, status: str = "200 OK", length: int | None = None, **headers: str):
    """Compose a whole answer; `length` is what it says of itself."""
    lines = [
        f"HTTP/1.1 {status}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        f"Content-Length: {len(body) if length is None else length}",
    ]
    if "Content_Type" not in headers:
        lines.append("Content-Type: text/xml; charset=utf-8")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class HostileServer:
    """A running one. `evil` is by operation; `taken` counts the bytes that clients took."""

    target: str
    port: int
    certificate: Path | None = None
    evil: dict[str, Evil] = field(default_factory=dict)
    spared: Callable[[bytes], bool] = lambda request: False  # the requests that are answered well
    asked: list[str] = field(default_factory=list)  # operations, in order
    taken: int = 0

    @property
    def url(self) -> str:
        scheme = "https" if self.certificate else "http"
        return f"{scheme}://127.0.0.1:{self.port}/EWS/Exchange.asmx"

    def converse(self, connection: socket.socket) -> None:
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            connection = context.wrap_socket(connection, server_side=True)
        with connection:
            while (request := _request(connection)) is not None:
                headers, body = request
                found = re.search(rb"Body><(?:\w+:)?(\w+)", body)
                operation = found[1].decode() if found else ""
                self.asked.append(operation)
                evil = None if self.spared(body) else self.evil.get(operation)
                good = self._good(headers, body)
                for piece in [http_answer(good)] if evil is None else evil(good):
                    if not self._send(connection, piece):
                        return

    def _send(self, connection: socket.socket, piece: bytes) -> bool:
        """Send a piece; False when the client has gone."""
        if piece in (SILENCE, PAUSE):
            connection.settimeout(None if piece == SILENCE else 0.02)
            try:
                return bool(connection.recv(1))
            except TimeoutError:
                return True
            finally:
                connection.settimeout(None)
        connection.sendall(piece)
        self.taken += len(piece)
        return True

    def _good(self, headers: dict[str, str], body: bytes) -> bytes:
        target = urlsplit(self.target)
        behind = http.client.HTTPConnection(target.hostname, target.port)
        kept = {name: headers[name] for name in ("authorization", "content-type")}
        behind.request("POST", target.path, body, kept)
        good = behind.getresponse().read()
        behind.close()
        return good


def _request(connection: socket.socket) -> tuple[dict[str, str], bytes] | None:
    """Read a request; None: the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")[1:]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return headers, body


@contextmanager
def hostile(target: str, certificate: Path | None = None) -> Iterator[HostileServer]:
    """Run a server before the one whose EWS URL is `target`."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = HostileServer(target, listener.getsockname()[1], certificate)

    def converse(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client may go at any time
            server.converse(connection)

    def accept() -> None:
        with suppress(OSError):  # the listener is closed at the end
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=converse, args=[connection], daemon=True).start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
