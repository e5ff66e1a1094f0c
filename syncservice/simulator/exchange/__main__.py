"""The simulator as a process: `python -m syncservice.simulator.exchange`."""

import argparse
import asyncio
import signal
from pathlib import Path

from syncservice.simulator.exchange.running import tls_context
from syncservice.simulator.exchange.server import Site
from syncservice.simulator.exchange.service import Service


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m syncservice.simulator.exchange",
        description="An Exchange simulator (EWS) that keeps everything in memory.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (loopback)")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    account = "LOGIN:PASSWORD, as often as you like"
    parser.add_argument("--mailbox", action="append", default=[], metavar=account)
    parser.add_argument("--service-account", action="append", default=[], metavar=account)
    parser.add_argument("--ready-file", type=Path, help="gets the URL once the simulator listens")
    parser.add_argument("--tls-cert", type=Path, help="PEM file; speaks https then")
    parser.add_argument("--tls-key", type=Path, help="PEM file, unless the certificate holds it")
    return parser.parse_args()


async def serve(arguments: argparse.Namespace) -> None:
    """Listen until told to stop."""
    service = Service()
    for account in arguments.mailbox:
        address, _, password = account.partition(":")
        service.store.add_mailbox(address, password or None)
    for account in arguments.service_account:
        login, _, password = account.partition(":")
        service.store.add_service_account(login, password)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    site = Site(service)
    tls = tls_context(arguments.tls_cert, arguments.tls_key)
    url = await site.start(arguments.host, arguments.port, tls)
    if arguments.ready_file:
        # Written beside and renamed, so that nobody reads half an URL.
        partial = arguments.ready_file.with_suffix(".partial")
        partial.write_text(url + "\n")
        partial.replace(arguments.ready_file)
    print(url, flush=True)
    await stopped.wait()
    await site.stop()


if __name__ == "__main__":
    asyncio.run(serve(parse_arguments()))
