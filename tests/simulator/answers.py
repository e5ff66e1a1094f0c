"""Every answer of the simulator is checked against Microsoft's schema as soon as its test ends.

The checker and the schema lie beside the project and are not part of it; where they are missing,
nothing is checked, and `test_schema.py` says so.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from syncservice.simulator.exchange import ExchangeSimulator

CHECKER = Path(__file__).parents[2].parent / "shared" / "ews-schema" / "validate_ews.py"


@cache
def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("validate_ews", CHECKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def problems(answer: bytes) -> tuple[str, ...]:
    """What is wrong with an answer; nothing with a 401 or a page of HTML on demand."""
    if not CHECKER.exists() or not answer.startswith(b"<?xml"):
        return ()
    return tuple(checker().validate_bytes(answer))


@contextmanager
def checked_simulator(*accounts: dict[str, str], **options: Any) -> Iterator[ExchangeSimulator]:
    """Run a simulator; at its end every answer it gave is valid, and it met no bug of its own."""
    given: list[bytes] = []

    def witness(asked: bytes, status: int, answered: bytes) -> None:
        given.append(answered)

    with ExchangeSimulator(*accounts, witness=witness, **options) as running:
        yield running
    assert running.service.statistics.bugs == 0, "the simulator has a bug; see the log"
    wrong = [(problems(answer)[:3], answer[:3000]) for answer in given if problems(answer)]
    assert wrong == []
