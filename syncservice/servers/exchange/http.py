"""The HTTP border: what comes back to a request has an end, in time and in size.

requests reads answers of any length into memory, unpacks what a few bytes of gzip unfold to, and
waits for ever as long as a byte comes now and then.
"""

import http.client
import socket
from collections.abc import Callable
from io import BufferedReader
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from syncservice.servers.answers import Answers, AnswerTooLarge

_PIECE = 2**16


class BoundedHttp(HTTPAdapter):
    """requests' adapter, whose answers come whole within `seconds` and `most_bytes()`, or fail.

    The time bounds the status line and the headers, too; the size what is unpacked as well.
    """

    def __init__(self, seconds: float, most_bytes: Callable[[], int]) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0, pool_block=True)

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        super().init_poolmanager(*args, **more)
        pools: dict[str, Any] = {  # the manager calls them; it is typed as if they were classes
            "http": self._pool_of(HTTPConnectionPool),
            "https": self._pool_of(HTTPSConnectionPool),
        }
        self.poolmanager.pool_classes_by_scheme = pools

    def _pool_of(self, kind: type[HTTPConnectionPool]) -> Callable[..., HTTPConnectionPool]:
        class Connection(kind.ConnectionCls):  # type: ignore[name-defined,misc] # a value
            response_class = staticmethod(self._answer)

        def pool(*args: Any, **more: Any) -> HTTPConnectionPool:
            made = kind(*args, **more)
            made.ConnectionCls = Connection
            return made

        return pool

    def _answer(self, connection: socket.socket, **more: Any) -> http.client.HTTPResponse:
        answer = http.client.HTTPResponse(connection, **more)
        answer.fp.close()
        answer.fp = BufferedReader(Answers(connection, self._seconds, self._most_bytes()))
        return answer

    def send(self, *args: Any, **more: Any) -> requests.Response:
        """Send a request and read its answer; raise one of requests' exceptions."""
        response = super().send(*args, **more)
        content = bytearray()
        for piece in response.iter_content(_PIECE):
            content += piece
            if len(content) > self._most_bytes():
                response.close()
                raise requests.exceptions.ConnectionError(
                    AnswerTooLarge("the answer unfolds to more than it may be")
                )
        response._content = bytes(content)
        response._content_consumed = True  # so that nobody reads on
        return response
