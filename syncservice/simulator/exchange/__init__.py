"""An Exchange that speaks EWS over HTTP and keeps everything in memory.

For tests, benches and the demo: `ExchangeSimulator` runs it within a process, `python -m
syncservice.simulator.exchange` as one of its own, and `SimulatorControl` tells either what to do.
It says on `GET /` and in its Server header that it is no Exchange.

A request goes `server` -> `service` -> one of `operations` -> `mailbox` and `store`; `control_api`
is the other door to the store. `meetings` carries appointments between mailboxes, `occurrences`
tells what a series consists of, `subscriptions` who hears of what happens.
"""

from syncservice.simulator.exchange.control import (
    ArmedFault,
    ControlError,
    Counters,
    Delivery,
    ListedItem,
    MeetingMessage,
    SimulatorControl,
)
from syncservice.simulator.exchange.faults import Fault
from syncservice.simulator.exchange.running import ExchangeSimulator

__all__ = [
    "ArmedFault",
    "ControlError",
    "Counters",
    "Delivery",
    "ExchangeSimulator",
    "Fault",
    "ListedItem",
    "MeetingMessage",
    "SimulatorControl",
]
