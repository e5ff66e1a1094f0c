"""A reader of mail that is not ours: postal-mime on node, of no code in common with Python's.

It is installed once into a cache outside the repository, by npm and from the registry that npm is
configured for.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CACHES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def read(mails: Sequence[bytes], folder: Path) -> list[dict[str, Any]]:
    """Return what postal_mime.js tells of each of `mails`; they are written into `folder`."""
    packages = _packages()
    files = [folder / f"{number}.eml" for number in range(len(mails))]
    for file, mail in zip(files, mails, strict=True):
        file.write_bytes(mail)
    done = subprocess.run(
        ["node", HERE / "postal_mime.js", *files],
        env={**os.environ, "NODE_PATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _packages() -> Path:
    """Return the folder with the reader; skip the test where it can't be had."""
    [(name, version)] = json.loads((HERE / "package.json").read_text())["dependencies"].items()
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
