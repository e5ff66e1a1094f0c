"""What the simulator counts about itself."""

import time
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Statistics:
    """Counters since the start or the last reset; a connection counts once it has asked for EWS."""

    requests: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)  # on demand, by kind
    connections: set[Hashable] = field(default_factory=set)
    peak_connections: int = 0
    total_connections: int = 0
    authentication_failures: int = 0
    bugs: int = 0  # requests the simulator itself failed at
    cpu_at_start: float = field(default_factory=time.process_time)
    handling_seconds: float = 0.0  # spent in operations

    def seen(self, connection: Hashable) -> None:
        """Note that a connection asked for EWS."""
        if connection not in self.connections:
            self.connections.add(connection)
            self.total_connections += 1
            self.peak_connections = max(self.peak_connections, len(self.connections))

    def reset(self) -> None:
        """Start anew; open connections stay open."""
        self.requests.clear()
        self.faults.clear()
        self.peak_connections = self.total_connections = len(self.connections)
        self.authentication_failures = self.bugs = 0
        self.cpu_at_start = time.process_time()
        self.handling_seconds = 0.0

    def to_json(self) -> dict[str, Any]:
        """As the control API tells it."""
        return {
            "requests": dict(self.requests),
            "faults": dict(self.faults),
            "open_connections": len(self.connections),
            "peak_connections": self.peak_connections,
            "total_connections": self.total_connections,
            "authentication_failures": self.authentication_failures,
            "bugs": self.bugs,
            "cpu_seconds": time.process_time() - self.cpu_at_start,
            "handling_seconds": self.handling_seconds,
        }
