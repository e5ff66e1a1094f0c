"""The demonstration, from the command to its summary, with every process real."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from syncservice.demo import SERVICE_PASSWORD
from tests.memory_gateway import mime

ROOT = Path(__file__).parent.parent
CORPUS = ROOT.parent / "shared" / "mail-corpus"
SETTINGS = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "CREDENTIAL_KEYS", "DATA_FOLDER"}


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demonstration in `folder`, with servers of its own."""
    environment = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    result = subprocess.run(
        [sys.executable, "-m", "syncservice", "demo", *arguments],
        env={**environment, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
        timeout=180,
    )
    assert "Traceback" not in result.stderr, result.stderr
    return result


def summary(output: str) -> dict[str, int]:
    """Read the numbers of the summary by the first words of their lines."""
    table = output.partition("Summary")[2].rpartition("in all")[0]
    numbers = re.findall(r"^ *([\d,]+) +(\w+ \w+,? \w+)", table, re.MULTILINE)
    return {words: int(number.replace(",", "")) for number, words in numbers}


def test_a_folder_of_mail_is_accounted_for_to_the_last_message(tmp_path):
    mail = tmp_path / "mail"
    for box in ("ann", "bob"):
        (mail / box).mkdir(parents=True)
        for number in range(5):
            (mail / box / f"{number}.eml").write_bytes(mime(f"{box} {number}"))
    (mail / "bob" / "copy.eml").write_bytes(mime("ann 0"))
    (mail / "bob" / "empty.eml").write_bytes(b"\r\n\r\n")

    result = demo(tmp_path, "--mail-dir", "mail", "--once")

    assert result.returncode == 0, result.stdout
    assert summary(result.stdout) == {
        "messages were in": 12,
        "email records in": 10,
        "copies of a": 1,
        "item failures, each": 1,
        "arrived since the": 0,
    }
    assert "minute takes a second" in result.stdout
    assert "The first mail was in the CRM" in result.stdout
    the_secrets_are_nowhere_in(tmp_path / ".demo", result.stdout)


def the_secrets_are_nowhere_in(folder: Path, shown: str) -> None:
    """Look through everything that was written: logs, configuration, PostgreSQL's own files."""
    written = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert any(b"ann@demo.example" in text for text in written.values())
    assert [file for file, text in written.items() if SERVICE_PASSWORD.encode() in text] == []
    assert SERVICE_PASSWORD not in shown

    private = [folder / name for name in ("password", "credential_keys", "secret_key")]
    secrets = re.findall(r"log in as admin with the password (\S+)", shown)
    for file in private:
        assert file.stat().st_mode & 0o077 == 0, file
        secrets += file.read_text().split()
    assert len(secrets) == 4
    told = {file: text for file, text in written.items() if file not in private}
    for secret in secrets:
        assert [file for file, text in told.items() if secret.encode() in text] == []


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the mail corpus is not beside the project")
def test_every_message_of_the_corpus_is_a_record_or_a_failure_with_its_reason(tmp_path):
    result = demo(tmp_path, "--mail-dir", str(CORPUS), "--once")
    counts = summary(result.stdout)
    assert result.returncode == 0, result.stdout
    assert counts["messages were in"] == len(list(CORPUS.rglob("*.eml")))
    assert counts["arrived since the"] == 0
