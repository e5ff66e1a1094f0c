"""A client that is not exchangelib: ews-javascript-api on node.

Its packages are installed once into a cache outside the repository, by npm and from the registry
that npm is configured for.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from syncservice.simulator.exchange import ExchangeSimulator

from .conftest import ALICE, BOB, MAILBOXES, mail

HERE = Path(__file__).parent
CACHES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@pytest.fixture(scope="module")
def packages() -> Path:
    """The folder with the client's packages."""
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]
    [(name, version)] = wanted.items()
    folder = CACHES / "syncservice-tests" / f"{name}-{version}"
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "package.json", folder)
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.skip(f"npm could not install {name} {version}: {done.stderr[-300:]}")
        (folder / "installed").touch()
    return folder / "node_modules"


def test_ews_javascript_api_works_with_the_simulator(
    packages: Path, simulator: ExchangeSimulator
) -> None:
    for subject in ("first", "second", "third", "fourth", "fifth"):
        simulator.control.deliver(ALICE, mail(subject))
    done = subprocess.run(
        ["node", HERE / "client.js", simulator.ews_url, ALICE, MAILBOXES[ALICE], BOB],
        env={**os.environ, "NODE_PATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {
        "inbox": ["Inbox", 5, 5],
        "pages": [["first", "second"], ["third", "fourth"], ["fifth"]],
        "filtered": [["first"], ["third"]],
        "read": [
            ["fifth", "carol@elsewhere.test", "Good morning.", False],
            ["fourth", "carol@elsewhere.test", "Good morning.", False],
        ],
        "changed": [True, "High", ["Red"], ["fifth"]],
        "sent": [
            ["FW: fifth", "RE: fifth", "From a draft", "From node"],
            [["b.bin", "of the second"], ["a.bin", "of the first"]],
            0,
        ],
        "folders": [["Projects", "Spring"], ["fifth", "fifth"], 0, 0, "ErrorItemNotFound"],
        "synced": [[2, 2, 1], ["ReadFlagChange", "Update", "Delete"]],
        "calendar": [
            ["Meeting 2026-05-04T09:00:00.000Z", "Day 2026-05-06T00:00:00.000Z"],
            ["Meeting 2026-05-04T09:00:00.000Z"],
            "Room 1",
            "PT2H",
            ["Meeting 2026-05-05T09:00:00.000Z"],
            ["Meeting 2026-05-05T09:00:00.000Z"],
        ],
        "contacts": ["Nora Node", "Node, Nora", "Boss", "+1 556", "nora@elsewhere.test", 0],
        "tasks": [
            ["InProgress", 50, False],
            ["Completed", 100, True],
            "2026-05-04T00:00:00.000Z",
        ],
        "zones": ["W. Europe Standard Time"],
    }
    received = [one.subject for one in simulator.control.items(BOB, "inbox")]
    assert sorted(received) == ["FW: fifth", "From a draft", "From node"]
