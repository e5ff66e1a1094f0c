"""Outgoing email of an Exchange mailbox: a draft is saved, then sent, and can be found afterwards.

EWS tells nobody what became of a SendItem whose answer was lost, nor the id of the sent copy. So a
draft bears the message's own id as a named property, which it keeps on its way from Drafts through
the Outbox to Sent Items; recipients don't see it, and a server that gives messages a Message-ID of
its own can't change it.

Nothing is sent again before the draft of the earlier attempt is deleted. That is what makes it
safe: a SendItem that the server has still to carry out finds nothing any more, and when there is no
draft to delete any more, it was carried out.
"""

import base64
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from exchangelib.items import (
    HARD_DELETE,
    ID_ONLY,
    SAVE_ONLY,
    SEND_TO_NONE,
    SHALLOW,
)
from exchangelib.properties import ItemId
from exchangelib.services import CreateItem, FindItem, SendItem
from exchangelib.util import MNS, TNS, add_xml_child, create_element

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.domain.message import Role, parse
from syncservice.servers.exchange.access import Access
from syncservice.servers.exchange.answers import Raising, can_be_sent, paths
from syncservice.servers.exchange.faults import (
    STILL_LEAVING,
    fault_of_item,
    fault_of_response_code,
    faults_of_mailbox,
    faults_translated,
)
from syncservice.servers.exchange.searching import delete_items
from syncservice.servers.gateway import (
    SENT_ITEMS,
    Accepted,
    MailObject,
    OutcomeUnknown,
    Whereabouts,
)

_DRAFTS, _OUTBOX, _DELETED_ITEMS = "drafts", "outbox", "deleteditems"
#: A message moves along them, never back: who looks into them in this order can't miss it.
_ON_THE_WAY = (_DRAFTS, _OUTBOX, SENT_ITEMS)

#: More copies of one message than there can be.
_MOST = 100
#: How often it is looked again for what was moved between a look and a deletion.
_LOOKS = 3

_TRACED = paths("is_draft", "is_submitted")
_ROLES = {"t:ToRecipients": Role.TO, "t:CcRecipients": Role.CC, "t:BccRecipients": Role.BCC}

_DENIED, _FULL = "exchange.send_as_denied", "exchange.quota_exceeded"
#: What says for certain that nothing was sent, besides what needs a person or a wait.
_NOT_TAKEN = {_FULL, "exchange.unknown_host", "exchange.connection_refused"}
#: What stands before a server says "busy" by this one after it waited for the server in vain, too.
_HTTP_BUSY = "exchange.http_503"
#: How a web server refuses a request for its length (IIS: 404.13), and others for other reasons.
_PERHAPS_TOO_LONG = {"exchange.http_404", "exchange.http_413"}


class _Once(Raising):
    """Asks once. exchangelib takes errors for "busy" that don't say that nothing was done."""

    def _get_elements(self, payload: Any) -> Iterator[Any]:
        found: Iterator[Any] = self._response_generator(payload)  # type: ignore[attr-defined]
        return found


@dataclass(frozen=True, slots=True)
class _HasKey:
    """The restriction that finds a message by our own name for it."""

    message_id: str

    def to_xml(self, version: Any) -> Any:
        restriction = create_element("m:Restriction")
        equal = create_element("t:IsEqualTo")
        equal.append(_key_path())
        operand = create_element("t:FieldURIOrConstant")
        operand.append(create_element("t:Constant", attrs={"Value": self.message_id}))
        equal.append(operand)
        restriction.append(equal)
        return restriction


@dataclass(frozen=True, slots=True)
class _Trace:
    """An item that an attempt left."""

    folder: str
    item: ItemId
    is_draft: bool
    is_submitted: bool  # the server is about to send it, whatever folder it is in

    @property
    def is_sent(self) -> bool:
        """A draft that somebody threw away is not: nothing sends it from there."""
        if self.folder == _DELETED_ITEMS:
            return self.is_submitted or not self.is_draft
        return self.is_submitted or self.folder != _DRAFTS


class ExchangeOutgoing(Access):
    """Outgoing of `servers.gateway` for one Exchange mailbox.

    A message costs two requests, a third with anything left of an earlier attempt to look for.
    """

    def send(self, mail: MailObject, before_handover: Callable[[], None]) -> Accepted:
        """As the gateway says. What turns out to be sent already is not handed over again."""
        if not mail.forward_paths:
            raise ValueError("a message without recipients")
        if not mail.is_first_attempt and self._is_sent_already(mail):
            return Accepted()
        draft = self._save(mail)
        try:
            before_handover()
        except Exception:
            self._put_away(draft)
            raise
        self._hand_over(draft)
        return Accepted()

    def look_up(self, mail: MailObject) -> Whereabouts:
        traces = self._traces(mail, _ON_THE_WAY) or self._traces(mail, (_DELETED_ITEMS,))
        if any(trace.is_sent for trace in traces):
            return Whereabouts.SENT
        # Sent, it would be here; unless a rule or a person has taken the copy away.
        return Whereabouts.NOT_SENT if traces else Whereabouts.UNKNOWN

    def keep_copy(self, mail: MailObject) -> None:
        """As the gateway says; raise STILL_LEAVING when the copy to be deleted is yet to come."""
        if mail.keeps_copy and mail.is_first_attempt:
            return
        traces = self._traces(mail, _ON_THE_WAY)
        copies = [] if mail.keeps_copy else [t for t in traces if t.folder == SENT_ITEMS]
        self._delete([*copies, *(trace for trace in traces if not trace.is_sent)])
        if not mail.keeps_copy and any(t.is_sent and t.folder != SENT_ITEMS for t in traces):
            raise FaultError(STILL_LEAVING)

    def _is_sent_already(self, mail: MailObject) -> bool:
        """Put away what earlier attempts left half done, unless one of them has succeeded."""
        for _ in range(_LOOKS):
            traces = self._traces(mail, _ON_THE_WAY)
            if any(trace.is_sent for trace in traces):
                return True
            if self._delete(traces) == len(traces):
                return False
            # What was seen and is gone may just have been sent.
        raise FaultError(_RESTLESS)

    def _traces(self, mail: MailObject, folders: Sequence[str]) -> list[_Trace]:
        service = self._service(FindItem)
        arguments = {
            "folders": [self._conversation.folder(name) for name in folders],
            "additional_fields": _TRACED,
            "restriction": _HasKey(mail.message_id),
            "order_fields": None,
            "query_string": None,
            "shape": ID_ONLY,
            "depth": SHALLOW,
            "calendar_view": None,
            "page_size": _MOST,
            "offset": 0,
        }
        with faults_of_mailbox():
            pages = service._get_pages(service.get_payload, arguments, len(folders))
            return [
                _trace(folder, item)
                for folder, (page, _) in zip(folders, pages, strict=True)
                if page is not None
                for item in service._get_elems_from_page(page, None, 0)
            ]

    def _delete(self, traces: Sequence[_Trace]) -> int:
        """Delete items for good; return how many of them were there."""
        if not traces:
            return 0
        return delete_items(self._conversation, [trace.item.id for trace in traces], HARD_DELETE)

    def _save(self, mail: MailObject) -> ItemId:
        """Save the message as a draft."""
        service = self._service(CreateItem)
        request = service.get_payload(
            [], self._conversation.folder(_DRAFTS), SAVE_ONLY, SEND_TO_NONE
        )
        request.find(f"{{{MNS}}}Items").append(_draft(mail))
        try:
            with _faults_of_mail():
                [saved] = service.ask(request)
                return _id_of(saved)
        except FaultError as error:
            if error.fault.code in _PERHAPS_TOO_LONG and self._answers_about(mail):
                raise FaultError(_TOO_LONG) from error
            raise

    def _answers_about(self, mail: MailObject) -> bool:
        """Whether the server answers a short request."""
        try:
            self._traces(mail, _ON_THE_WAY)
        except FaultError:
            return False
        return True

    def _hand_over(self, draft: ItemId) -> None:
        service = self._service(SendItem)
        request = service.get_payload([draft], self._conversation.folder(SENT_ITEMS))
        asked = self._conversation.requests
        try:
            with _faults_of_mail():
                [_] = service.ask(request)
        except FaultError as error:
            fault = error.fault
            was_asked = self._conversation.requests > asked
            if was_asked and not _says_not_taken(fault):
                raise OutcomeUnknown(fault) from error
            if fault.scope is Scope.EMAIL and fault.nature is Nature.PERMANENT:
                self._put_away(draft)  # nobody will come back to it
            raise

    def _put_away(self, draft: ItemId) -> None:
        """Delete a draft that won't be sent; if that fails, the next attempt does."""
        with suppress(FaultError):
            delete_items(self._conversation, [draft.id], HARD_DELETE)

    def _service(self, kind: type) -> Any:
        """Return exchangelib's service, with its answers read our way."""
        return type(kind.__name__, (_Once, kind), {})(account=self._conversation.account)


def _says_not_taken(fault: Fault) -> bool:
    """Whether a fault of the handover says for certain that nothing was sent."""
    if fault.code == _HTTP_BUSY:
        return False
    return fault.nature in (Nature.PERMANENT, Nature.THROTTLED) or fault.code in _NOT_TAKEN


def _draft(mail: MailObject) -> Any:
    """Compose the message's element; raise FaultError for addresses that no server takes."""
    if not all(map(can_be_sent, mail.forward_paths)):
        raise FaultError(_BAD_RECIPIENTS)
    mime = re.sub(rb"\r\n|\r|\n", b"\r\n", mail.mime)
    message, key = create_element("t:Message"), create_element("t:ExtendedProperty")
    add_xml_child(message, "t:MimeContent", base64.b64encode(mime).decode())
    key.append(_key_path())
    add_xml_child(key, "t:Value", mail.message_id)
    message.append(key)
    _add_recipients(message, mime.partition(b"\r\n\r\n")[0], mail.forward_paths)
    for tag, is_asked in (
        ("t:IsReadReceiptRequested", mail.asks_read_receipt),
        ("t:IsDeliveryReceiptRequested", mail.asks_delivery_receipt),
    ):
        add_xml_child(message, tag, "true" if is_asked else "false")
    return message


def _add_recipients(message: Any, header: bytes, forward_paths: Sequence[str]) -> None:
    """Say who gets the message: Exchange knows no envelope but the lists of recipients.

    Who is named in the header but is no forward-path doesn't get it, so he leaves the list.
    """
    waiting = {path.casefold(): path for path in forward_paths}
    parties = [party for party in parse(header).parties if party.role in _ROLES.values()]
    listed: dict[Role, list[tuple[str, str]]] = {}
    for party in parties:
        path = waiting.pop(party.address.casefold(), None)
        if path is not None:
            listed.setdefault(party.role, []).append((party.name, path))
    listed.setdefault(Role.BCC, []).extend(("", path) for path in waiting.values())
    named = {party.role for party in parties}
    for tag, role in _ROLES.items():
        if not listed.get(role) and role not in named:
            continue
        people = create_element(tag)
        for name, path in listed.get(role, ()):
            mailbox = create_element("t:Mailbox")
            if name and can_be_sent(name):
                add_xml_child(mailbox, "t:Name", name)
            add_xml_child(mailbox, "t:EmailAddress", path)
            people.append(mailbox)
        message.append(people)


def _key_path() -> Any:
    return create_element(
        "t:ExtendedFieldURI",
        attrs={
            "DistinguishedPropertySetId": "PublicStrings",
            "PropertyName": "syncservice-message",
            "PropertyType": "String",
        },
    )


def _trace(folder: str, item: Any) -> _Trace:
    def says(name: str) -> bool:
        return item.findtext(f"{{{TNS}}}{name}", "").strip() in ("true", "1")

    return _Trace(folder, _id_of(item), says("IsDraft"), says("IsSubmitted"))


def _id_of(item: Any) -> ItemId:
    attributes = item.find(f"{{{TNS}}}ItemId").attrib
    return ItemId(id=attributes["Id"], changekey=attributes["ChangeKey"])


@contextmanager
def _faults_of_mail() -> Iterator[None]:
    """Do as `faults_translated` where one message is asked about: an odd fault is its own."""
    try:
        with faults_translated():
            yield
    except FaultError as error:
        raise FaultError(_fault_of_mail(error.fault, str(error.__cause__ or ""))) from error


def _fault_of_mail(fault: Fault, said: str) -> Fault:
    """Say whose a fault is: one message that a server stumbles over must not stop the others."""
    if fault.code == _DENIED:
        text = "the server does not let the account send in this sender's name; grant it the right"
        return dataclasses.replace(fault, scope=Scope.EMAIL, text=f"{text} (it says: {said[:500]})")
    if fault.nature is Nature.RESYNC:  # nothing is listed here, so nothing can be listed anew
        return dataclasses.replace(fault, nature=Nature.TRANSIENT)
    is_odd = fault.nature is Nature.TRANSIENT and fault.provenance is Provenance.EWS
    return fault_of_item(fault, is_items_own=is_odd and fault.code != _FULL)


_TOO_LONG = fault_of_response_code(
    "ErrorMessageSizeExceeded", "the server takes no request as long as this message", None
)
_BAD_RECIPIENTS = fault_of_response_code(
    "ErrorInvalidRecipients", "an address holds characters that no address has; correct it", None
)
_RESTLESS = dataclasses.replace(
    fault_of_response_code(
        "ErrorItemNotFound", "earlier attempts to send this message are still going on", None
    ),
    scope=Scope.EMAIL,
)
