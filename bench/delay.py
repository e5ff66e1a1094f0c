"""A TCP proxy that holds back every byte for so long, as a long way to the server does.

`python -m bench.delay PORT MILLISECONDS` prints the port that it listens on. In a process of its
own, so that its work isn't counted as that of whoever is measured.
"""

import asyncio
import sys
import time
from contextlib import suppress

_READ_BYTES = 2**16


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Hand on what comes, each piece `seconds` after it came: pieces under way hold up no other."""
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def hand_on() -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not data:
                writer.close()
                return
            writer.write(data)
            await writer.drain()

    handing = asyncio.create_task(hand_on())
    with suppress(ConnectionError):
        while data := await reader.read(_READ_BYTES):
            under_way.put_nowait((time.monotonic() + seconds, data))
    under_way.put_nowait((time.monotonic() + seconds, b""))
    with suppress(ConnectionError):
        await handing


async def main(port: int, seconds: float) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(
            _pump(reader, server_writer, seconds), _pump(server_reader, writer, seconds)
        )

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]) / 1000))
