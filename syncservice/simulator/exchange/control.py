"""A client of the control API, for tests, benches and the demo."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import requests

from syncservice.simulator.exchange.faults import Fault


@dataclass(frozen=True, slots=True)
class ListedItem:
    """An item as the control API lists it."""

    id: str
    change_key: str
    folder: str  # well-known name, else display name
    item_class: str
    subject: str
    is_read: bool
    is_draft: bool
    message_id: str
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was sent, as one of its recipients got it."""

    message_id: str
    sender: str  # the mailbox
    recipient: str  # lower case
    is_outside: bool  # no mailbox of the simulator has the address


@dataclass(frozen=True, slots=True)
class MeetingMessage:
    """A meeting message that was sent, as one of its recipients got it."""

    kind: str  # request, update, cancellation or response
    sender: str
    recipient: str  # lower case
    uid: str  # of the appointment
    subject: str
    response: str  # of a response: Accept, Tentative or Decline
    is_outside: bool  # no mailbox of the simulator has the address


@dataclass(frozen=True, slots=True)
class ArmedFault:
    """A fault that is switched on: how many calls it could apply to, and to how many it did."""

    number: int
    fault: Fault
    met: int
    used: int


@dataclass(frozen=True, slots=True)
class Counters:
    """What the simulator counted since its start or the last reset."""

    requests: dict[str, int]  # by operation
    faults: dict[str, int]  # by kind
    open_connections: int
    peak_connections: int
    total_connections: int
    authentication_failures: int
    bugs: int  # requests the simulator itself failed at: look at its log
    cpu_seconds: float  # of the simulator's process
    handling_seconds: float  # within operations


class ControlError(Exception):
    """The simulator refused what it was told; the text says why."""


class SimulatorControl:
    """Tells a running simulator what to do; `url` is the one it printed."""

    def __init__(self, url: str, *, verify: bool | str = True, timeout: float = 60) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        self._session.verify = verify
        self._session.trust_env = False  # a proxy has no business on loopback

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        url = f"{self.url}/simulator/{path}"
        answer = self._session.request(method, url, timeout=self._timeout, **arguments)
        facts: dict[str, Any] = answer.json()
        if answer.status_code != 200:
            raise ControlError(facts.get("error") or answer.text)
        return facts

    def create_mailboxes(self, passwords: dict[str, str | None]) -> None:
        """Create mailboxes by address; without a password only service accounts reach one."""
        mailboxes = [{"address": one, "password": word} for one, word in passwords.items()]
        self._ask("POST", "mailboxes", json={"mailboxes": mailboxes})

    def create_mailbox(self, address: str, password: str | None = None, name: str = "") -> None:
        """Create one mailbox; `name` is its owner's."""
        one = {"address": address, "password": password, "name": name}
        self._ask("POST", "mailboxes", json={"mailboxes": [one]})

    def mailboxes(self) -> list[str]:
        """The addresses of all mailboxes."""
        return list(self._ask("GET", "mailboxes")["mailboxes"])

    def create_service_account(self, login: str, password: str) -> None:
        """Create an account that may impersonate every mailbox."""
        self._ask("POST", "service-accounts", json={"login": login, "password": password})

    def deliver(self, mailbox: str, mime: bytes, folder: str = "inbox", received: str = "") -> str:
        """Deliver RFC 5322 text and return the item's id; `received` is an ISO 8601 moment."""
        query = {"mailbox": mailbox, "folder": folder, "received": received}
        return str(self._ask("POST", "deliver", params=query, data=mime)["id"])

    def deliver_many(
        self, messages: Iterable[tuple[str, bytes]], folder: str = "inbox"
    ) -> list[str]:
        """Deliver pairs of mailbox and RFC 5322 text; return the items' ids in that order."""
        packed = [
            {"mailbox": mailbox, "mime": base64.b64encode(mime).decode(), "folder": folder}
            for mailbox, mime in messages
        ]
        return list(self._ask("POST", "deliver-many", json={"messages": packed})["ids"])

    def items(self, mailbox: str, folder: str | None = None) -> list[ListedItem]:
        """The items of a mailbox, or of one folder (well-known or display name, or id)."""
        query = {"mailbox": mailbox, **({"folder": folder} if folder else {})}
        return [
            ListedItem(**{**one, "categories": tuple(one["categories"])})
            for one in self._ask("GET", "items", params=query)["items"]
        ]

    def mime(self, item_id: str) -> bytes:
        """An item's RFC 5322 text."""
        return base64.b64decode(self._ask("GET", "items/mime", params={"id": item_id})["mime"])

    def move(self, item_id: str, folder: str) -> str:
        """Move an item and return its new id."""
        return str(self._ask("POST", "items/move", json={"id": item_id, "folder": folder})["id"])

    def delete(self, item_id: str, disposal: str = "HardDelete") -> None:
        """Delete an item: HardDelete, SoftDelete or MoveToDeletedItems."""
        self._ask("POST", "items/delete", json={"id": item_id, "disposal": disposal})

    def mark_read(self, item_id: str, is_read: bool = True) -> None:
        """Set an item's read flag."""
        self._ask("POST", "items/read", json={"id": item_id, "is_read": is_read})

    def set_categories(self, item_id: str, names: Iterable[str]) -> None:
        """Give an item these categories; none takes all of them off."""
        facts = {"id": item_id, "categories": list(names)}
        self._ask("POST", "items/categories", json=facts)

    def set_time_zone(self, item_id: str, zone: str) -> None:
        """Give an appointment a zone that need not exist, as only a mailbox of old could hold."""
        self._ask("POST", "items/time-zone", json={"id": item_id, "zone": zone})

    def create_folder(self, mailbox: str, name: str, parent: str = "inbox") -> str:
        """Create a mail folder and return its id; `parent`: well-known or display name, or id."""
        facts = {"mailbox": mailbox, "name": name, "parent": parent}
        return str(self._ask("POST", "folders", json=facts)["id"])

    def rename_folder(self, folder_id: str, name: str) -> None:
        """Give a folder another name; its id stays."""
        self._ask("POST", "folders/rename", json={"id": folder_id, "name": name})

    def move_folder(self, folder_id: str, parent: str) -> None:
        """Put a folder below another one; its id stays."""
        self._ask("POST", "folders/move", json={"id": folder_id, "parent": parent})

    def delete_folder(self, folder_id: str, disposal: str = "HardDelete") -> None:
        """Delete a folder with all that is in it, as `delete` does an item."""
        self._ask("POST", "folders/delete", json={"id": folder_id, "disposal": disposal})

    def add_fault(self, fault: Fault) -> int:
        """Switch a fault on and return its number."""
        return int(self._ask("POST", "faults", json=fault.to_json())["number"])

    def faults(self) -> list[ArmedFault]:
        """The faults that are on."""
        return [
            ArmedFault(one["number"], Fault.from_json(one["fault"]), one["met"], one["used"])
            for one in self._ask("GET", "faults")["faults"]
        ]

    def remove_fault(self, number: int) -> None:
        """Switch a fault off."""
        self._ask("DELETE", "faults", params={"number": number})

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self._ask("DELETE", "faults")

    def do_late(self) -> int:
        """Do the work of requests that a `late` fault cut off; return how many there were."""
        return int(self._ask("POST", "late")["done"])

    def deliveries(self, message_id: str = "") -> list[Delivery]:
        """What was sent to whom, inside and outside; of all messages, or of one."""
        query = {"message_id": message_id} if message_id else {}
        found = self._ask("GET", "deliveries", params=query)["deliveries"]
        return [Delivery(**one) for one in found]

    def forget_deliveries(self) -> None:
        """Start counting deliveries anew."""
        self._ask("DELETE", "deliveries")

    def meeting_messages(self, uid: str = "") -> list[MeetingMessage]:
        """Which meeting messages were sent, inside and outside; about all meetings, or one."""
        query = {"uid": uid} if uid else {}
        found = self._ask("GET", "meeting-messages", params=query)["messages"]
        return [MeetingMessage(**one) for one in found]

    def forget_meeting_messages(self) -> None:
        """Start counting meeting messages anew."""
        self._ask("DELETE", "meeting-messages")

    def answer_meeting(self, mailbox: str, uid: str, attendee: str, response: str) -> None:
        """Let an attendee who has no mailbox here answer: Accept, Tentative or Decline."""
        facts = {"mailbox": mailbox, "uid": uid, "attendee": attendee, "response": response}
        self._ask("POST", "meeting-answers", json=facts)

    def subscribed(self) -> list[str]:
        """The mailboxes of all subscriptions, one for each."""
        return list(self._ask("GET", "subscriptions")["mailboxes"])

    def open_streams(self) -> int:
        """How many streams are open."""
        return int(self._ask("GET", "subscriptions")["open_streams"])

    def shorten_minutes(self, seconds: float) -> None:
        """Let a minute of a subscription or stream that begins from now on last so long."""
        self._ask("POST", "subscriptions", json={"minute_seconds": seconds})

    def lose_subscriptions(self) -> None:
        """Forget all subscriptions, as a server that fails over does; open streams are told."""
        self._ask("POST", "subscriptions", json={"lose": True})

    def expire_subscriptions(self) -> None:
        """Let all subscriptions be too old when they are used again."""
        self._ask("POST", "subscriptions", json={"expire": True})

    def cut_streams(self) -> None:
        """Reset the connections of open streams, which so end without being closed."""
        self._ask("POST", "subscriptions", json={"cut": True})

    def keep_in_outbox(self, seconds: float) -> None:
        """Let messages that are sent from now on stay in the Outbox so long."""
        self._ask("POST", "outbox", json={"seconds": seconds})

    def empty_outboxes(self) -> None:
        """Send all that is in an Outbox, at once."""
        self._ask("POST", "outbox", json={})

    def allow_send_as(self, mailbox: str, address: str) -> None:
        """Let a mailbox send in the name of another address."""
        self._ask("POST", "send-as", json={"mailbox": mailbox, "address": address})

    def expire_sync_states(self) -> None:
        """Refuse every sync state handed out so far."""
        self._ask("POST", "expire-sync-states")

    def set_strict_conflicts(self, strict: bool) -> None:
        """Let AutoResolve refuse an update of a property that changed on both sides."""
        self._ask("POST", "options", json={"strict_conflicts": strict})

    def statistics(self) -> Counters:
        """The counters."""
        return Counters(**self._ask("GET", "statistics"))

    def reset_statistics(self) -> None:
        """Start counting anew."""
        self._ask("DELETE", "statistics")
