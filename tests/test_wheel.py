"""An installed wheel runs too: Lua, SQL, templates and translations are package data."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_an_installed_wheel_brings_everything_that_is_no_python(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    data = [
        path.relative_to(ROOT).as_posix()
        for folder in ("syncservice", "workers", "beat")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in {".sql", ".lua", ".html", ".css", ".js", ".mo"}
    ]
    assert any(name.endswith(".lua") for name in data)
    assert [name for name in data if name not in names] == []


def test_an_installed_wheel_migrates_and_answers(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)  # what pip does with a pure wheel
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "import syncservice; print(syncservice.__file__); "
            "from syncservice.cli import main; main()",
            "manage",
            "migrate",
            "--plan",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert str(site) in run.stdout
    assert "mailboxes.0001_initial" in run.stdout
    assert run.returncode == 0, run.stderr
