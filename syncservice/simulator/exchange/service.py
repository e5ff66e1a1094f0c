"""A request's bytes to an answer's bytes: authentication, impersonation, faults, the operation.

Nothing here knows HTTP beyond status and headers, and nothing waits: an answer says what the server
is to do with it.
"""

import base64
import binascii
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from syncservice.simulator.exchange.context import Context
from syncservice.simulator.exchange.errors import EwsError, SoapFault
from syncservice.simulator.exchange.faults import Fault, FaultPlan
from syncservice.simulator.exchange.mailbox import Mailbox
from syncservice.simulator.exchange.operations import (
    attachments,
    configurations,
    creating,
    directory,
    finding,
    folders,
    moving,
    notifying,
    reading,
    syncing,
    updating,
)
from syncservice.simulator.exchange.soap import Request, envelope, fault, read_request
from syncservice.simulator.exchange.statistics import Statistics
from syncservice.simulator.exchange.store import Store
from syncservice.simulator.exchange.subscriptions import Stream

log = logging.getLogger(__name__)

OPERATIONS: dict[str, Callable[[Context], str]] = {
    "ConvertId": reading.convert_id,
    "GetItem": reading.get_item,
    "GetFolder": folders.get_folder,
    "FindFolder": folders.find_folder,
    "CreateFolder": folders.create_folder,
    "UpdateFolder": folders.update_folder,
    "MoveFolder": folders.move_folder,
    "DeleteFolder": folders.delete_folder,
    "EmptyFolder": folders.empty_folder,
    "MarkAllItemsAsRead": folders.mark_all_items_as_read,
    "SyncFolderItems": syncing.sync_folder_items,
    "SyncFolderHierarchy": syncing.sync_folder_hierarchy,
    "FindItem": finding.find_item,
    "CreateItem": creating.create_item,
    "UpdateItem": updating.update_item,
    "DeleteItem": moving.delete_item,
    "MoveItem": moving.move_item,
    "CopyItem": moving.copy_item,
    "SendItem": moving.send_item,
    "CreateAttachment": attachments.create_attachment,
    "GetAttachment": attachments.get_attachment,
    "DeleteAttachment": attachments.delete_attachment,
    "ResolveNames": directory.resolve_names,
    "GetServerTimeZones": directory.get_server_time_zones,
    "Subscribe": notifying.subscribe,
    "GetEvents": notifying.get_events,
    "GetStreamingEvents": notifying.get_streaming_events,
    "Unsubscribe": notifying.unsubscribe,
    "GetUserConfiguration": configurations.get_user_configuration,
    "CreateUserConfiguration": configurations.create_user_configuration,
    "UpdateUserConfiguration": configurations.update_user_configuration,
    "DeleteUserConfiguration": configurations.delete_user_configuration,
}
XML = "text/xml; charset=utf-8"
HTML = "text/html; charset=utf-8"
SORRY = (
    b"<!DOCTYPE html><html><body><h1>Sign in</h1><p>This is no Exchange answer.</p></body></html>"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back to the client, and how."""

    status: int
    body: bytes
    content_type: str = XML
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0  # seconds before it goes
    never: bool = False  # keep the client waiting
    reset: bool = False  # reset the connection instead
    stream: Stream | None = None  # what the body is only the beginning of


@dataclass(frozen=True, slots=True)
class Late:
    """A request whose client was cut off, and whose work is still to be done."""

    request: Request
    login: str
    due: float | None  # on the clock of time.monotonic; None: when somebody says so


UNAUTHORIZED = Answer(
    401, b"", "text/plain", {"WWW-Authenticate": 'Basic realm="Exchange simulator"'}
)


@dataclass(slots=True)
class Service:
    """The service over one store."""

    store: Store = field(default_factory=Store)
    plan: FaultPlan = field(default_factory=FaultPlan)
    statistics: Statistics = field(default_factory=Statistics)
    late: list[Late] = field(default_factory=list)

    def catch_up(self, *, with_all_late: bool = False) -> int:
        """Do what is due by now, or all that is late; return how many late requests were done."""
        moment = time.monotonic()
        late, self.late = self.late, []
        for one in late:
            if with_all_late or (one.due is not None and one.due <= moment):
                self._work(one.request, one.login, [])
            else:
                self.late.append(one)
        self.store.carry_mail()
        return len(late) - len(self.late)

    def answer(self, data: bytes, authorization: str | None) -> Answer:
        """Answer one POST; `authorization` is the header of that name."""
        login = self.login(authorization)
        if login is None:
            if authorization:
                self.statistics.authentication_failures += 1
            return UNAUTHORIZED
        started = time.perf_counter()
        self.catch_up()
        try:
            request = read_request(data)
        except SoapFault as error:
            return Answer(500, fault(error))
        answer = self._answer_request(request, login)
        self.statistics.handling_seconds += time.perf_counter() - started
        return answer

    def login(self, authorization: str | None) -> str | None:
        """Who logs in by Basic authentication; None: nobody."""
        scheme, _, encoded = (authorization or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            return None
        login, _, password = text.partition(":")
        return login.lower() if self.store.may_log_in(login, password) else None

    def _answer_request(self, request: Request, login: str) -> Answer:
        """Let the faults on demand have their way around the operation."""
        self.statistics.requests[request.operation] += 1
        whose = request.impersonated or login
        faults = self.plan.for_call(whose, request.operation)
        for one in faults:
            self.statistics.faults[one.kind] += 1
            if one.kind == "late":
                due = time.monotonic() + one.seconds if one.seconds else None
                self.late.append(Late(request, login, due))
        instead = next(filter(None, map(instead_of_work, faults)), None)
        answer = instead or self._work(request, login, faults)
        for one in faults:
            if one.kind == "slow":
                answer = replace(answer, delay=answer.delay + one.seconds)
            elif one.kind in ("hang", "reset_after"):
                answer = replace(answer, never=one.kind == "hang", reset=one.kind == "reset_after")
        return answer

    def _work(self, request: Request, login: str, faults: list[Fault]) -> Answer:
        """Carry the operation out."""
        operation = OPERATIONS.get(request.operation, unknown)
        try:
            actor = self._actor(request, login)
            context = Context(self.store, request, login, actor, faults)
            body = operation(context)
        except SoapFault as error:
            return Answer(500, fault(error))
        except EwsError as error:
            return Answer(500, fault(SoapFault(error.code, error.text, error.values)))
        except Exception:
            # A bug of ours: the client gets what Exchange says in such a case, the log the rest.
            log.exception("%s failed", request.operation)
            self.statistics.bugs += 1
            return Answer(500, fault(SoapFault("ErrorInternalServerError")))
        return Answer(200, envelope(body), stream=context.stream)

    def _actor(self, request: Request, login: str) -> Mailbox | None:
        """Whose mailbox the request acts in; None: a service account as itself."""
        if request.impersonated is None:
            return self.store.mailboxes.get(login)
        if login not in self.store.service_accounts:
            raise SoapFault("ErrorImpersonateUserDenied")
        mailbox = self.store.mailboxes.get(request.impersonated.lower())
        if mailbox is None:
            raise SoapFault("ErrorNonExistentMailbox")
        return mailbox


def unknown(context: Context) -> str:
    """The answer to an operation that is not simulated."""
    name = context.request.operation
    raise SoapFault("ErrorInvalidRequest", f"The simulator does not know the operation {name}.")


def instead_of_work(fault_: Fault) -> Answer | None:
    """What the fault answers before anything is done; None: the work is done first."""
    soap_fault = fault_.as_soap_fault()
    if soap_fault is not None:
        return Answer(500, fault(soap_fault))
    if fault_.kind == "html":
        return Answer(200, SORRY, HTML)
    if fault_.kind in ("reset_before", "late"):
        return Answer(0, b"", reset=True)
    if fault_.kind == "http":
        if fault_.status == 401:
            return UNAUTHORIZED
        wait = fault_.retry_after
        headers = {} if wait is None else {"Retry-After": str(wait)}
        return Answer(fault_.status, SORRY, HTML, headers)
    return None
