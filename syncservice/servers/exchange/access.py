"""How a mailbox is reached, and what a test of the connection looks at."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from syncservice.servers.exchange.conversation import Conversation, ExchangeServer
from syncservice.servers.exchange.faults import faults_translated


class Access:
    """A conversation with one mailbox's server."""

    def __init__(
        self, server: ExchangeServer, address: str, admit: Callable[[], None] = lambda: None
    ) -> None:
        """`admit` is called before each request, and may raise FaultError in its place."""
        self._address = address
        self._conversation = Conversation(server, address, admit)

    @property
    def requests(self) -> int:
        return self._conversation.requests

    def __enter__(self) -> Self:
        self._conversation.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._conversation.__exit__(kind, error, traceback)

    def _inbox(self) -> Any:
        with faults_translated():
            return self._conversation.account.inbox


class ExchangeLook(Access):
    """The least that shows whether a mailbox can be reached, and what was said on the way."""

    request = response = ""  # the last ones

    def look(self) -> None:
        """Open the Inbox, or raise FaultError; `request` and `response` are kept either way."""
        self._conversation.show_to(self._keep)
        self._inbox()

    def _keep(self, request: str, response: str) -> None:
        self.request, self.response = request, response
