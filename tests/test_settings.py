"""Settings: typed, checked, and all of them in .env.example."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETTINGS = (ROOT / "syncservice" / "settings.py").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()


def load(**environment: str) -> subprocess.CompletedProcess[str]:
    """Load the settings in a process of their own, and print one of them."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import django; django.setup(); from django.conf import settings; "
            "print(settings.POLL_NORMAL)",
        ],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


def test_every_setting_is_in_the_example_and_nothing_else():
    read = set(re.findall(r'read\.\w+\(\s*"([A-Z_]+)"', SETTINGS)) - {"ENV_FILE"}
    assert read == set(re.findall(r"^([A-Z_]+)=", EXAMPLE, re.MULTILINE))


def test_the_example_holds_the_defaults(tmp_path):
    lines = [line for line in EXAMPLE.splitlines() if re.match(r"[A-Z_]+=.", line)]
    keep = [line for line in lines if not line.startswith("DATA_FOLDER")]
    show = (
        "import django; django.setup(); from django.conf import settings as s; "
        "print({n: getattr(s, n) for n in sorted(dir(s)) if n.isupper() and 'LOCALE' not in n})"
    )
    bare = {k: v for k, v in os.environ.items() if k not in EXAMPLE or k in NEEDED}
    results = []
    for content in ("", "\n".join(keep)):
        file = tmp_path / "env"
        file.write_text(content)
        run = subprocess.run(
            [sys.executable, "-c", show],
            env={**bare, "ENV_FILE": str(file)},
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        results.append(re.sub(r" at 0x\w+", "", run.stdout))
    assert results[0] == results[1]


NEEDED = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "CREDENTIAL_KEYS", "DATA_FOLDER"}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("POLL_NORMAL_SECONDS", "soon", "a number of seconds from 0.1 to 86400, got 'soon'"),
        ("MAILBOXES_CONCURRENCY", "0", "a whole number of processes from 1 to 512, got '0'"),
        ("VISIT_MESSAGES", "many", "a whole number of messages from 1 to 1000000, got 'many'"),
        ("EXCHANGE_VERIFY_TLS", "maybe", "true or false, got 'maybe'"),
        ("LOG_FORMAT", "xml", "one of text, json, got 'xml'"),
        ("DATABASE_URL", "mysql://u:secret@h/d", "a URL that begins with postgresql://"),
        ("REDIS_URL", "localhost:6379", "a URL that begins with redis://"),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_what_was_expected(name, value, expected):
    result = load(**{name: value})
    assert result.returncode != 0
    assert f"{name}: expected {expected}" in result.stderr
    assert "secret" not in result.stderr


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_one_store_alone_is_refused(name):
    result = load(**{name: ""})
    assert "set both, or neither for the embedded servers" in result.stderr


def test_a_database_elsewhere_needs_keys_that_every_process_shares(tmp_path):
    result = load(SECRET_KEY="", CREDENTIAL_KEYS="", DATA_FOLDER=str(tmp_path))
    assert "SECRET_KEY: not set" in result.stderr
    assert not list(tmp_path.iterdir())
