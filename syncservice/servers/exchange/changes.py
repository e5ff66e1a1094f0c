"""SyncFolderItems, page by page: exchangelib shows the new state after the last one (X14)."""

from typing import Any

from exchangelib.services import SyncFolderItems
from exchangelib.util import MNS

from syncservice.servers.exchange.answers import Answers


class Changes(Answers, SyncFolderItems):  # type: ignore[misc] # exchangelib has no types
    """One page: `sync_state` and `includes_last_item_in_range` are there when it was read."""

    #: exchangelib would hand some out as if they were changes, and the page would be an empty one.
    ERRORS_TO_CATCH_IN_RESPONSE = WARNINGS_TO_CATCH_IN_RESPONSE = ()
    is_answered = False  # there was an answer in the answer

    def _get_element_container(self, message: Any, name: str | None = None) -> Any:
        self.is_answered = True
        if message.find(f"{{{MNS}}}SyncState") is None:  # some servers omit it in errors
            return super(SyncFolderItems, self)._get_element_container(message, name)
        return super()._get_element_container(message, name)
