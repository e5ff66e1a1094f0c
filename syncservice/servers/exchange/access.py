"""What Test & Enable asks of Exchange: open the folders, and whose mailbox it is.

The organisation's stamp is a named property of the mailbox's Inbox folder: every organisation that
reaches the mailbox sees it, no person does, and it moves with the mailbox (F019).
"""

from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from exchangelib import ExtendedProperty
from exchangelib.folders import Folder

from syncservice.servers.exchange.conversation import Conversation, ExchangeServer
from syncservice.servers.exchange.faults import faults_translated
from syncservice.servers.gateway import Stamp


class _Organisation(ExtendedProperty):  # type: ignore[misc] # exchangelib has no types
    """`id;time`: which organisation keeps the mailbox in step, and when it last said so."""

    distinguished_property_set_id = "PublicStrings"
    property_name = "syncservice-organisation"
    property_type = "String"


Folder.register("organisation", _Organisation)


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


class ExchangeActivities(Access):
    """Activities of `servers.gateway` for one Exchange mailbox."""

    def open(self) -> None:
        account = self._conversation.account
        with faults_translated():
            for folder in (account.calendar, account.contacts, account.tasks):
                folder.refresh()

    def stamp(self) -> Stamp | None:
        text = self._inbox().organisation or ""
        organisation, _, moment = text.partition(";")
        try:
            return Stamp(organisation, datetime.fromisoformat(moment).astimezone(UTC))
        except ValueError:
            return None  # nobody's, or not written by this software

    def put_stamp(self, stamp: Stamp) -> None:
        inbox = self._inbox()
        inbox.organisation = f"{stamp.organisation};{stamp.at.isoformat()}"
        with faults_translated():
            inbox.save(update_fields=["organisation"])
