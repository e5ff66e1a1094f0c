"""Faults on demand: which request goes wrong, and how.

A `Fault` is plain data with a JSON form (its fields by name; those left out have their default):

    {"kind": "busy", "operation": "GetItem", "back_off_ms": 5000, "times": 3}

When: `mailbox` and `operation` (empty: any), `nth` (only the n-th such call, from 1; 0: each),
`probability`, `times` (0: until it is taken away). What, by `kind`:

- ``busy``: SOAP fault ErrorServerBusy; `back_off_ms` (null: absent), `back_off_first` or not.
- ``concurrency``: the same with the values of the policy MaxConcurrency.
- ``sync_concurrency``: a SyncFolderItems message ErrorServerBusy, the back-off in its MessageXml.
- ``inner_busy``: ErrorInternalServerError with an inner ErrorServerBusy.
- ``request``: SOAP fault with any `code` (and `text`).
- ``message``: `code` as a response message: of the item `item_id`, else of the `index`-th of the
  batch (from 0), else of all; `stop_batch` answers the rest with ErrorBatchProcessingStopped.
- ``http``: HTTP `status`, with `retry_after` (seconds) unless null.
- ``html``: a page of HTML with status 200.
- ``reset_before``, ``reset_after``: the connection is reset before or after the work is done.
- ``late``: the connection is reset, and the work is done later: `seconds` later, before whatever is
  asked then; 0: when the control API says so.
- ``slow``: the work is done, the answer comes `seconds` later. Goes together with others.
- ``hang``: the work is done, no answer ever comes.

`message` faults count the calls in which they could apply; `item_id` is no condition of `nth`.
"""

import random
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from syncservice.simulator.exchange.errors import SoapFault, Values, sentence

KINDS = (
    "busy",
    "concurrency",
    "sync_concurrency",
    "inner_busy",
    "request",
    "message",
    "http",
    "html",
    "reset_before",
    "reset_after",
    "late",
    "slow",
    "hang",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to go wrong, and when; see the module for what each field means."""

    kind: str
    mailbox: str = ""
    operation: str = ""
    nth: int = 0
    probability: float = 1.0
    times: int = 0
    code: str = "ErrorServerBusy"
    text: str = ""
    back_off_ms: int | None = None
    back_off_first: bool = True
    index: int | None = None
    item_id: str = ""
    stop_batch: bool = False
    status: int = 503
    retry_after: int | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"There is no fault of kind {self.kind!r}; there are {KINDS}.")

    def to_json(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Fault":
        """The inverse of to_json; unknown fields are refused with ValueError."""
        unknown = set(data) - {one.name for one in fields(cls)}
        if unknown or "kind" not in data:
            raise ValueError(f"A fault has a kind, and no {sorted(unknown)}.")
        return cls(**data)

    @property
    def back_off(self) -> Values:
        """The value that tells when to come back."""
        if self.back_off_ms is None:
            return ()
        return (("BackOffMilliseconds", str(self.back_off_ms)),)

    def as_soap_fault(self) -> SoapFault | None:
        """The SOAP fault this fault answers with; None: it answers otherwise."""
        if self.kind == "busy":
            others: Values = () if self.back_off_first else (("Policy", "EwsCost"),)
            return SoapFault("ErrorServerBusy", values=(*others, *self.back_off))
        if self.kind == "concurrency":
            facts: Values = (
                ("Policy", "MaxConcurrency"),
                ("MaxConcurrencyLimit", "27"),
                (
                    "ErrorMessage",
                    "This operation exceeds the throttling budget for policy part "
                    "'MaxConcurrency', policy value '27',  Budget type: 'Ews'.",
                ),
            )
            both = (*self.back_off, *facts) if self.back_off_first else (*facts, *self.back_off)
            return SoapFault("ErrorServerBusy", values=both)
        if self.kind == "inner_busy":
            inner: Values = (
                ("InnerErrorMessageText", sentence("ErrorServerBusy")),
                ("InnerErrorResponseCode", "ErrorServerBusy"),
                ("InnerErrorDescriptiveLinkKey", "0"),
            )
            return SoapFault("ErrorInternalServerError", values=inner)
        if self.kind == "request":
            return SoapFault(self.code, self.text or None, self.back_off)
        return None


@dataclass(slots=True)
class Armed:
    """A fault that is switched on, and what it has met so far."""

    fault: Fault
    met: int = 0  # calls it could apply to
    used: int = 0  # calls it did apply to


@dataclass(slots=True)
class FaultPlan:
    """The faults that are switched on, by number."""

    armed: dict[int, Armed] = field(default_factory=dict)
    chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311
    last_number: int = 0

    def add(self, fault: Fault) -> int:
        """Switch a fault on; its number takes it away again."""
        self.last_number += 1
        self.armed[self.last_number] = Armed(fault)
        return self.last_number

    def remove(self, numbers: Iterable[int]) -> None:
        """Switch faults off; unknown numbers do no harm."""
        for number in numbers:
            self.armed.pop(number, None)

    def for_call(self, mailbox: str, operation: str) -> list[Fault]:
        """The faults that befall this call, in the order they were switched on."""
        found: list[Fault] = []
        for armed in self.armed.values():
            fault = armed.fault
            if fault.mailbox and fault.mailbox.lower() != mailbox.lower():
                continue
            if fault.operation and fault.operation != operation:
                continue
            armed.met += 1
            if fault.nth and armed.met != fault.nth:
                continue
            if fault.times and armed.used >= fault.times:
                continue
            if fault.probability < 1 and self.chance.random() >= fault.probability:
                continue
            armed.used += 1
            found.append(fault)
        return found
