"""The border of the Exchange adapter: exchangelib's, requests' and HTTP's errors become faults.

The natures of the response codes are EWS's own semantics; one that is in no list is transient,
because a wait is the only answer that never makes things worse.
"""

import contextlib
import dataclasses
import re
from collections.abc import Iterator
from datetime import timedelta

import requests
import structlog
from exchangelib.errors import EWSError, UnauthorizedError
from exchangelib.protocol import FailFast

from syncservice.domain.faults import Fault, FaultError, Nature, Provenance, Scope
from syncservice.servers.network_faults import chain, fault_of_network

log = structlog.get_logger()

_THROTTLED = {
    "ErrorServerBusy",
    "ErrorExceededConnectionCount",
    "ErrorExceededSubscriptionCount",
    "ErrorExceededFindCountLimit",
    "ErrorTooManyObjectsOpened",
    "ErrorSubmissionQuotaExceeded",
}
_RESYNC = {"ErrorInvalidSyncStateData", "ErrorSyncFolderNotFound", "ErrorFolderNotFound"}
_PERMANENT = {
    "ErrorAccessDenied": "the account may not read this mailbox; grant it access",
    "ErrorImpersonateUserDenied": "the account may not impersonate this mailbox's user; "
    "give it the role ApplicationImpersonation",
    "ErrorImpersonationFailed": "impersonation failed; check the mailbox's address",
    "ErrorImpersonationDenied": "the account may not impersonate; "
    "give it the role ApplicationImpersonation",
    "ErrorAccountDisabled": "the account is disabled",
    "ErrorPasswordExpired": "the account's password has expired; enter the new one",
    "ErrorPasswordChangeRequired": "the account's password must be changed; enter the new one",
    "ErrorSendAsDenied": "the account may not send as this mailbox; grant it the right",
    "ErrorNonExistentMailbox": "the server has no mailbox with this address; correct it",
    "ErrorMailboxConfiguration": "the mailbox is not configured on the server",
    "ErrorInvalidSmtpAddress": "the server refuses this address; correct it",
}
#: Codes that say the account itself is refused.
_LOGIN = {"ErrorAccountDisabled", "ErrorPasswordExpired", "ErrorPasswordChangeRequired"}
#: Codes that concern one item only; the rest of a batch is good.
_ITEM = {
    "ErrorMessageSizeExceeded",
    "ErrorDataSizeLimitExceeded",
    "ErrorCorruptData",
    "ErrorItemCorrupt",
    "ErrorContentConversionFailed",
    "ErrorMimeContentConversionFailed",
    "ErrorMimeContentInvalid",
    "ErrorMimeContentInvalidBase64String",
    "ErrorInvalidIdMalformed",
    "ErrorUnsupportedMimeConversion",
    "ErrorMissingArgument",
    "ErrorInvalidRecipients",
    "ErrorMissingRecipients",
}


#: Codes in an item's place that tell of the mailbox's store: the others would meet them too.
_STORE = {
    "exchange.mailbox_store_unavailable",
    "exchange.mailbox_move_in_progress",
    "exchange.mailbox_failover",
    "exchange.connection_failed",
    "exchange.a_d_unavailable",
    "exchange.insufficient_resources",
    "exchange.timeout_expired",
    "exchange.batch_processing_stopped",
    "exchange.internal_server_transient_error",
}


_INNER_CODE = re.compile(rb"""Name=["']InnerErrorResponseCode["'][^>]*>(Error\w+)<""")


class HttpBorder(FailFast):  # type: ignore[misc] # exchangelib has no types
    """Sees every HTTP answer before exchangelib does, which would lose its status.

    exchangelib reports a 503 as "busy" without Retry-After and a 429 as malformed.
    """

    def raise_response_errors(self, response: requests.Response) -> None:
        status = response.status_code
        if status == 500 and response.content[:64].lstrip().startswith((b"<?xml", b"<s:Env")):
            # A SOAP fault; exchangelib reads the code that is behind it in response messages only.
            if inner := _INNER_CODE.search(response.content):
                text = "the server met this behind an internal error"
                raise FaultError(fault_of_response_code(inner[1].decode(), text, None))
            return
        if status != 200:
            raise FaultError(fault_of_status(status, response.headers.get("Retry-After")))


def fault_of_status(status: int, retry_after: str | None) -> Fault:
    """Translate an HTTP status other than 200."""
    nature, text = Nature.TRANSIENT, f"the server answered with HTTP {status}"
    scope = Scope.PROFILE
    if status == 401:
        nature, scope = Nature.PERMANENT, Scope.MAILBOX
        text = "the server refused the user name or password; correct them"
    elif status == 403:
        nature, scope = Nature.PERMANENT, Scope.MAILBOX
        text = "the server forbids access to EWS for this account (HTTP 403); allow it there"
    elif status in (404, 405):
        nature = Nature.PERMANENT
        text = f"there is no EWS at the server location (HTTP {status}); correct the URL"
    elif 300 <= status < 400:
        nature = Nature.PERMANENT
        text = f"the server location redirects elsewhere (HTTP {status}); correct the URL"
    elif status in (429, 503):
        nature = Nature.THROTTLED
        text = f"the server is busy (HTTP {status})"
    return Fault(
        code=f"exchange.http_{status}",
        nature=nature,
        scope=scope,
        provenance=Provenance.HTTP,
        text=text,
        of_login=status == 401,
        retry_after=_wait(number_in(retry_after)),
    )


def number_in(text: str | None) -> int | None:
    """Read a number that a server gave; None: none, or one that no server means."""
    return int(text) if text and re.fullmatch(r"[0-9]{1,12}", text) else None


def _wait(seconds: float | None) -> timedelta | None:
    """Return a server's hint, a day at most; None: there is none."""
    return timedelta(seconds=min(seconds, 86400)) if seconds else None


def fault_of_response_code(code: str, text: str, back_off: float | None) -> Fault:
    """Translate an EWS ResponseCode; `back_off` is the server's BackOffMilliseconds in seconds."""
    nature, scope = Nature.TRANSIENT, Scope.MAILBOX
    if code in _THROTTLED:
        nature = Nature.THROTTLED
    elif code in _RESYNC:
        nature = Nature.RESYNC
    elif code in _PERMANENT:
        nature, text = Nature.PERMANENT, _PERMANENT[code]
    elif code in _ITEM:
        nature, scope = Nature.PERMANENT, Scope.EMAIL
    return Fault(
        code=f"exchange.{_snake(code)[:80]}",
        nature=nature,
        scope=scope,
        provenance=Provenance.EWS,
        text=text[:1000],
        of_login=code in _LOGIN,
        retry_after=_wait(back_off),
    )


def fault_of_item(fault: Fault, is_items_own: bool) -> Fault:
    """Say whose an error in an item's place is: the item's, or that of the whole mailbox.

    Exchange answers ErrorInternalServerError, and others, for one corrupt item; were that the
    mailbox's fault, its page would be read again for ever and all newer mail would wait.
    """
    if (
        not is_items_own
        or fault.nature in (Nature.THROTTLED, Nature.RESYNC)
        or fault.code in _STORE
    ):
        return fault
    if fault.scope is Scope.EMAIL:
        return fault
    return dataclasses.replace(fault, scope=Scope.EMAIL, nature=Nature.TRANSIENT)


def fault_of_ews_error(error: EWSError) -> Fault:
    """Translate what exchangelib raised or returned."""
    network = _network_cause(error)
    if network is not None:
        return fault_of_network(network, "exchange", by_url=True)
    if isinstance(error, UnauthorizedError):  # where our border was not asked: discovery
        return fault_of_status(401, None)
    name = error.code if isinstance(error, UnheardOf) else type(error).__name__
    if name.startswith("Error"):
        return fault_of_response_code(name, str(error), getattr(error, "back_off", None))
    return NOT_EWS


class UnheardOf(EWSError):  # type: ignore[misc] # exchangelib has no types
    """A response code that exchangelib has no exception for; newer servers have such."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


NOT_EWS = Fault(
    code="exchange.not_ews",
    nature=Nature.TRANSIENT,
    scope=Scope.PROFILE,
    provenance=Provenance.HTTP,
    text="the server answered with something that is not EWS; check the server location",
)
UNREADABLE = Fault(
    code="exchange.unreadable_answer",
    nature=Nature.TRANSIENT,
    scope=Scope.MAILBOX,
    provenance=Provenance.HTTP,
    text="the server's answer has not the form that EWS gives it; if it stays so, ask its "
    "administrator",
)

FOLDER_GONE = Fault(
    code="exchange.folder_gone",
    nature=Nature.PERMANENT,
    scope=Scope.MAILBOX,
    provenance=Provenance.EWS,
    text="a folder that was followed is no longer in the mailbox; choose another one",
)
#: What a server says of an id that is no folder's (any more). One of another server, where the
#: mailbox lived before, has not even the form.
NO_FOLDER = {
    "exchange.folder_not_found",
    "exchange.sync_folder_not_found",
    "exchange.item_not_found",
    "exchange.invalid_folder_id",
    "exchange.invalid_id_malformed",
}
STILL_LEAVING = Fault(
    code="exchange.still_in_outbox",
    nature=Nature.TRANSIENT,
    scope=Scope.EMAIL,
    provenance=Provenance.EWS,
    text="the message is still in the Outbox, so its copy can't be removed from Sent Items yet",
)
CATEGORIES_UNREADABLE = Fault(
    code="exchange.categories_unreadable",
    nature=Nature.TRANSIENT,
    scope=Scope.MAILBOX,
    provenance=Provenance.EWS,
    text="the mailbox's list of categories cannot be read; change one of its categories in "
    "Outlook, which writes the list anew",
)

#: What reading an answer raises that has not the form it should have; see `faults_translated`.
_NOT_THE_FORM = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@contextlib.contextmanager
def faults_translated() -> Iterator[None]:
    """Turn what exchangelib and the network raise inside the block into a FaultError.

    exchangelib takes the form of an answer for granted: where an element is missing, it stumbles.
    So might we, and it is told with the traceback; but a server must not end a worker's task.
    """
    try:
        yield
    except EWSError as error:
        raise FaultError(fault_of_ews_error(error)) from error
    except requests.exceptions.ContentDecodingError as error:
        raise FaultError(NOT_EWS) from error
    except (requests.exceptions.RequestException, OSError) as error:
        raise FaultError(fault_of_network(error, "exchange", by_url=True)) from error
    except _NOT_THE_FORM as error:
        log.exception("exchange.answer_not_understood")
        raise FaultError(UNREADABLE) from error


@contextlib.contextmanager
def faults_of_mailbox() -> Iterator[None]:
    """Do as `faults_translated` where no item was asked for: no fault is an email's own then."""
    try:
        with faults_translated():
            yield
    except FaultError as error:
        if error.fault.scope is Scope.EMAIL:
            raise FaultError(UNREADABLE) from error
        raise


def _network_cause(error: BaseException) -> BaseException | None:
    """Find the network's own error: exchangelib re-raises it as its ErrorTimeoutExpired."""
    for cause in chain(error):
        if isinstance(cause, requests.exceptions.RequestException | OSError):
            return cause
    return None


def _snake(code: str) -> str:
    """ErrorServerBusy -> server_busy."""
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in code.removeprefix("Error"))
    return words.lstrip("_")
