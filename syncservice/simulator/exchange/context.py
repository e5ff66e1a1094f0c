"""One request on its way through an operation: who asks, as whom, and what goes wrong on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from syncservice.simulator.exchange.errors import EwsError, SoapFault, schema_violation
from syncservice.simulator.exchange.faults import Fault
from syncservice.simulator.exchange.folder import WELL_KNOWN, Folder
from syncservice.simulator.exchange.ids import read_change_key
from syncservice.simulator.exchange.item import Item
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.markup import Element, T, child_text, children, line_of, local
from syncservice.simulator.exchange.occurrences import occurrence
from syncservice.simulator.exchange.soap import Request, failure, response, success
from syncservice.simulator.exchange.store import Store
from syncservice.simulator.exchange.subscriptions import Stream

#: Well-known names of the schema for folders that no mailbox of ours has.
ABSENT = frozenset(
    [
        "publicfoldersroot", "archiveroot", "archivemsgfolderroot", "archivedeleteditems",
        "archiveinbox", "archiverecoverableitemsroot", "archiverecoverableitemsdeletions",
        "archiverecoverableitemsversions", "archiverecoverableitemspurges",
        "archiverecoverableitemsdiscoveryholds", "recoverableitemsdiscoveryholds", "adminauditlogs",
        "todosearch", "mycontacts", "directory", "peopleconnect", "favorites", "mecontact",
        "personmetadata", "teamspaceactivity", "teamspacemessaging", "teamspaceworkitems",
        "scheduled", "orionnotes", "tagitems", "alltaggeditems", "externalcontacts", "teamchat",
        "teamchathistory", "yammerroot", "yammerinbound", "yammeroutbound", "yammerfeeds",
        "onedriveroot", "onedriverecylebin", "onedrivesystem", "onedrivevolume", "important",
        "starred",
    ]
)  # fmt: skip
#: Element that names an item -> its attribute that holds the id.
ID_ATTRIBUTES = {
    "OccurrenceItemId": "RecurringMasterId",
    "RecurringMasterItemId": "OccurrenceId",
}
NAMES = frozenset(name for name, *_ in WELL_KNOWN) | ABSENT


@dataclass(slots=True)
class Context:
    """What an operation works with."""

    store: Store
    request: Request
    caller: str  # the login
    actor: Mailbox | None  # whose mailbox the caller acts in; None: a service account as itself
    faults: list[Fault] = field(default_factory=list)  # of the kinds that are response messages
    stream: Stream | None = None  # what the answer goes on with; None: it ends

    @property
    def element(self) -> Element:
        """The operation's element."""
        return self.request.element

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone of moments without an offset."""
        return self.request.zone

    @property
    def own(self) -> Mailbox:
        """The mailbox acted in, or ErrorNonExistentMailbox."""
        if self.actor is None:
            raise EwsError("ErrorNonExistentMailbox")
        return self.actor

    def allowed(self, mailbox: Mailbox) -> None:
        """Raise ErrorAccessDenied unless this is the mailbox acted in."""
        if mailbox is not self.actor:
            raise EwsError("ErrorAccessDenied")

    def folder(self, element: Element) -> tuple[Mailbox, Folder]:
        """The folder a FolderId or DistinguishedFolderId names."""
        if local(element) == "FolderId":
            mailbox, folder = self.store.folder(element.get("Id"))
            self.allowed(mailbox)
            return mailbox, folder
        name = element.get("Id") or ""
        if local(element) != "DistinguishedFolderId" or name not in NAMES:
            raise schema_violation(
                f"The 'Id' attribute is invalid - The value '{name}' is invalid according to its "
                "datatype 'DistinguishedFolderIdNameType'.",
                line_of(element),
            )
        address = child_text(element.find(T + "Mailbox"), T + "EmailAddress")
        mailbox = self.store.mailbox(address) if address else self.own
        self.allowed(mailbox)
        if name not in mailbox.well_known:
            raise EwsError("ErrorFolderNotFound")
        return mailbox, mailbox.well_known[name]

    def target_folder(self, tag: str) -> tuple[Mailbox, Folder] | None:
        """The folder that the operation's child `tag` names; None: it is missing."""
        named = children(self.element.find(tag))
        return self.folder(named[0]) if named else None

    def item(self, element: Element) -> tuple[Mailbox, Item]:
        """The item an ItemId, OccurrenceItemId or RecurringMasterItemId names."""
        kind = local(element)
        mailbox, item = self.store.item(element.get(ID_ATTRIBUTES.get(kind, "Id")))
        self.allowed(mailbox)
        if kind == "RecurringMasterItemId":
            if item.master is None:
                raise EwsError("ErrorCalendarCannotUseIdForRecurringMasterId")
            return mailbox, item.master
        if kind == "OccurrenceItemId":
            return mailbox, occurrence(item, read_index(element))
        return mailbox, item

    def version_of(self, element: Element) -> int | None:
        """The version the change key of an ItemId stands for; None: there is none."""
        key = element.get("ChangeKey")
        return None if not key else read_change_key(key)

    def each(
        self,
        operation: str,
        elements: Iterable[Element],
        work: Callable[[Element], str],
        empty: str = "",
    ) -> str:
        """Answer with one response message for each element, in order.

        `work` returns what stands behind the response code; `empty` stands there in an error.
        """
        messages: list[str] = []
        stopped = False
        for index, element in enumerate(elements):
            if stopped:
                code = "ErrorBatchProcessingStopped"
                messages.append(failure(operation, code, empty, response_class="Warning"))
                continue
            fault = self.fault_for(index, element)
            if fault is not None:
                stopped = fault.stop_batch
                text = fault.text or None
                messages.append(
                    failure(operation, fault.code, empty, text=text, values=fault.back_off)
                )
                continue
            try:
                messages.append(success(operation, work(element)))
            except EwsError as error:
                messages.append(
                    failure(operation, error.code, empty, text=error.text, values=error.values)
                )
        if not messages:
            raise schema_violation(f"{operation} names nothing to work on.")
        return response(operation, messages)

    def fault_for(self, index: int, element: Element | None = None) -> Fault | None:
        """The fault to answer with instead of the `index`-th message."""
        for fault in self.faults:
            if fault.kind != "message":
                continue
            if fault.item_id:
                named = [] if element is None else [one.get("Id") for one in element.iter()]
                if fault.item_id in named:
                    return fault
            elif fault.index is None or fault.index == index:
                return fault
        return None


def one_child(element: Element, tag: str) -> Element:
    """A child that the schema requires."""
    found = element.find(tag)
    if found is None:
        name = tag.rpartition("}")[2]
        raise schema_violation(
            f"The element '{local(element)}' has incomplete content: '{name}' is missing.",
            line_of(element),
        )
    return found


def required_children(element: Element, tag: str) -> list[Element]:
    """The children of a child that must not be empty."""
    found = children(one_child(element, tag))
    if not found:
        name = tag.rpartition("}")[2]
        raise schema_violation(f"The element '{name}' is empty.", line_of(element))
    return found


def read_index(element: Element) -> int:
    """The InstanceIndex of an OccurrenceItemId."""
    text = (element.get("InstanceIndex") or "").strip()
    if not text.lstrip("-").isdigit():
        raise schema_violation("The 'InstanceIndex' attribute is invalid.", line_of(element))
    return int(text)


def attribute(element: Element, name: str, choices: tuple[str, ...], code: str = "") -> str:
    """An attribute that must be one of `choices`; missing: `code`, or a schema violation."""
    value = element.get(name)
    if value is None and code:
        raise SoapFault(code)
    if value not in choices:
        what = f"The '{name}' attribute is invalid - The value '{value}' is not allowed."
        raise schema_violation(what, line_of(element))
    return value
