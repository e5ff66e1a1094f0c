"""Requests about many items: in batches, asked once, and each answer read by itself.

exchangelib raises the first error that it does not expect, and what the server had done to the
items before it is lost; and it asks again when a server was busy half-way through a batch.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from exchangelib.errors import ErrorItemNotFound, EWSError

from syncservice.domain.faults import Fault, FaultError, Nature, Scope
from syncservice.servers.exchange.answers import Answers
from syncservice.servers.exchange.conversation import MOST_BYTES, Conversation
from syncservice.servers.exchange.faults import (
    UNREADABLE,
    fault_of_ews_error,
    fault_of_item,
    fault_of_response_code,
    faults_translated,
)
from syncservice.servers.exchange.properties import Element

#: Bodies are read and written: more would run into the server's time limit.
BATCH = 50
#: Of an answer with bodies; a text of more is no note that a person wrote.
_BYTES_OF_ITEM = 4 * 2**20

T = TypeVar("T")
#: Of one item: what its response message holds, or what was wrong.
Answer: TypeAlias = Element | Fault

ITEM_GONE = "exchange.item_not_found"
#: What a server says of an item that is no longer as it was when its change key was given.
_CONFLICTS = {
    "exchange.irresolvable_conflict",
    "exchange.stale_object",
    "exchange.invalid_change_key",
    "exchange.change_key_required",
    "exchange.change_key_required_for_write_operations",
}
#: What it says of values that it never takes.
_REFUSALS = (
    "exchange.schema_validation",
    "exchange.calendar_",
    "exchange.invalid_property",
    "exchange.invalid_extended_property",
    "exchange.invalid_value_for_property",
    "exchange.invalid_complete_date",
    "exchange.invalid_percent_complete_value",
    "exchange.required_property_missing",
    "exchange.property_validation_failure",
    "exchange.occurrence_",
    "exchange.recurrence_",
    "exchange.time_zone",
    "exchange.http_400",
    "exchange.http_413",
)
#: What it says of a whole request when it has not looked at a single item: nothing is done then.
_NOT_BEGUN = {"exchange.schema_validation", "exchange.http_400", "exchange.http_413"}


class _OneByOne(Answers):
    """Yields what each response message holds, or its error."""

    ERRORS_TO_CATCH_IN_RESPONSE = WARNINGS_TO_CATCH_IN_RESPONSE = (EWSError,)

    def ask(self, payload: Element) -> list[Any]:
        return list(self._response_generator(payload))  # type: ignore[attr-defined] # of the service

    @classmethod
    def _get_elements_in_container(cls, container: Element) -> list[Element]:
        return [container]


class ItemRequests:
    """Asks within a conversation that somebody else opens and ends."""

    def __init__(
        self,
        conversation: Conversation,
        at_once: int = BATCH,
        bytes_of_item: int = _BYTES_OF_ITEM,
    ) -> None:
        self._conversation = conversation
        self._at_once, self._bytes_of_item = at_once, bytes_of_item

    def ask(
        self, service: type, compose: Callable[[Sequence[T]], Element], items: Sequence[T]
    ) -> list[Answer]:
        """Return an answer for each of `items`, or raise FaultError.

        Raised is what nobody can tell the outcome of, and what concerns the whole mailbox while
        nothing is done. Once something is, such a fault stands in the place of all that are left.
        """
        answers: list[Answer] = []
        for start in range(0, len(items), self._at_once):
            batch = items[start : start + self._at_once]
            answers += self._batch(service, compose, batch)
            stopping = next(filter(_is_mailboxes, answers), None)
            if stopping is not None:
                if all(isinstance(answer, Fault) for answer in answers):
                    raise FaultError(stopping)
                return answers + [stopping] * (len(items) - len(answers))
        return answers

    def _batch(
        self, service: type, compose: Callable[[Sequence[T]], Element], batch: Sequence[T]
    ) -> list[Answer]:
        try:
            return self._asked(service, compose(batch), len(batch))
        except FaultError as error:
            if error.fault.code not in _NOT_BEGUN:
                raise
            if len(batch) == 1:
                return [as_items_own(error.fault)]
        # One that the server can't take at all stops no other.
        return [answer for one in batch for answer in self._batch(service, compose, [one])]

    def _asked(self, service: type, payload: Element, number: int) -> list[Answer]:
        asking = type(service.__name__, (_OneByOne, service), {})
        with (
            faults_translated(),
            self._conversation.answers_up_to(MOST_BYTES + number * self._bytes_of_item),
        ):
            answers = asking(account=self._conversation.account).ask(payload)
        if len(answers) != number:
            raise FaultError(UNREADABLE)
        # One item's trouble is its own when another had none; nobody else to ask when it is alone.
        is_items_own = number == 1 or not all(map(_is_trouble, answers))
        return [
            as_items_own(fault_of_ews_error(answer), is_items_own)
            if isinstance(answer, EWSError)
            else answer
            for answer in answers
        ]


def is_gone(answer: Answer) -> bool:
    return isinstance(answer, Fault) and answer.code == ITEM_GONE


def _is_trouble(answer: Element | EWSError) -> bool:
    return isinstance(answer, EWSError) and not isinstance(answer, ErrorItemNotFound)


def _is_mailboxes(answer: Answer) -> bool:
    return isinstance(answer, Fault) and answer.scope is not Scope.EMAIL


def as_items_own(fault: Fault, is_items_own: bool = True) -> Fault:
    """Say whose an error in an item's place is, and what helps."""
    if fault.code in _CONFLICTS:
        return dataclasses.replace(fault, nature=Nature.CONFLICT, scope=Scope.EMAIL)
    if fault.code.startswith(_REFUSALS):
        return dataclasses.replace(fault, nature=Nature.PERMANENT, scope=Scope.EMAIL)
    return fault_of_item(fault, is_items_own or fault.code == ITEM_GONE)


CHANGED_MEANWHILE = as_items_own(
    fault_of_response_code("ErrorIrresolvableConflict", "it was changed meanwhile", None)
)
