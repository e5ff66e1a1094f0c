"""A TCP relay that makes a server slow, mute or absent for those who reach it through it."""

import asyncio
import enum
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Mood(enum.Enum):
    RELAYS = enum.auto()
    MUTE = enum.auto()  # takes everything and answers nothing, as a host that hangs
    ABSENT = enum.auto()  # ends every connection at once, as a host whose server died


class Proxy:
    """A context manager; `delay` seconds pass before each piece of an answer goes on.

    With `lost_at`, a connection ends in the place of words of the client that begin so.
    """

    def __init__(self, url: str, lost_at: bytes | None = None) -> None:
        self._target = urlsplit(url)
        self._lost_at = lost_at
        self.mood = Mood.RELAYS
        self.delay = 0.0
        self._port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._listens = threading.Event()

    @property
    def url(self) -> str:
        """The target's URL, by way of this relay."""
        user, at, _ = self._target.netloc.rpartition("@")
        return self._target._replace(netloc=f"{user}{at}127.0.0.1:{self._port}").geturl()

    def cut(self) -> None:
        """End every connection that is open."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def __enter__(self) -> Self:
        self._thread.start()
        self._listens.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self._port = server.sockets[0].getsockname()[1]
        self._listens.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mood is Mood.ABSENT:
            writer.transport.abort()
            return
        host, port = self._target.hostname, self._target.port
        with suppress(OSError):
            there, back = await asyncio.open_connection(host, port)
            self._writers |= {writer, back}
            await asyncio.gather(
                self._relay(reader, back), self._relay(there, writer, answers=True)
            )
            self._writers -= {writer, back}

    async def _relay(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool = False
    ) -> None:
        with suppress(OSError):
            while piece := await source.read(65536):
                if not answers and self._lost_at and piece.startswith(self._lost_at):
                    break
                if answers and self.delay:
                    await asyncio.sleep(self.delay)
                while self.mood is Mood.MUTE:
                    await asyncio.sleep(0.05)
                sink.write(piece)
                await sink.drain()
        sink.transport.abort()
