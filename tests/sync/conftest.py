"""Two users whose mailboxes, in memory, are kept in step."""

from datetime import UTC, datetime

import pytest

from tests.memory_activities import MemoryExchange
from tests.sync.synced_items import Person, person


@pytest.fixture
def exchange() -> MemoryExchange:
    return MemoryExchange(now=datetime.now(UTC))


@pytest.fixture
def ann(exchange: MemoryExchange) -> Person:
    return person(exchange, "ann@example.test")


@pytest.fixture
def bob(exchange: MemoryExchange) -> Person:
    return person(exchange, "bob@example.test")
