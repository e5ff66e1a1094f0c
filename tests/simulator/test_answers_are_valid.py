"""Every answer of the run against Microsoft's schema, where the check lies beside the project."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import RECORD

CHECKER = Path(__file__).parents[2].parent / "shared" / "ews-schema" / "validate_ews.py"


def checker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("validate_ews", CHECKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not CHECKER.exists(), reason=f"Microsoft's schema is not at {CHECKER}")
def test_every_answer_of_this_run_is_valid() -> None:
    validate = checker().validate_bytes
    checked: dict[bytes, list[str]] = {}
    wrong = []
    for test, _, _, answer in RECORD:
        if not answer.startswith(b"<?xml"):
            continue  # 401, or a page of HTML on demand
        if answer not in checked:
            checked[answer] = validate(answer)
        if checked[answer]:
            wrong.append((test, checked[answer][:3], answer[:3000]))
    assert wrong == []
    if not checked:
        pytest.skip("no other test of the simulator ran before this one")
