"""`syncservice up`: the whole service on one machine, pointed at an Exchange by `.env`."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import requests

from syncservice.simulator.exchange import ExchangeSimulator
from tests.cluster.processes import wait_until
from tests.memory_gateway import mime

ROOT = Path(__file__).parent.parent
OF_THE_TESTS = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "CREDENTIAL_KEYS", "DATA_FOLDER"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processes_in(folder: Path) -> list[psutil.Process]:
    """Every living process that was told of this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            told = [*process.cmdline(), process.environ().get("DATA_FOLDER", "")]
            if any(str(folder) in word for word in told):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_up_fetches_mail_of_the_exchange_that_env_names_and_stops_in_order(tmp_path):
    port = free_port()
    environment = {key: value for key, value in os.environ.items() if key not in OF_THE_TESTS}
    environment |= {"PYTHONPATH": str(ROOT), "ENV_FILE": ".env"}
    command = [sys.executable, "-m", "syncservice"]

    def listed() -> list[dict]:
        """What an operator's shell beside the running service sees, without any setting."""
        run = subprocess.run(
            [*command, "mailbox", "list", "--json"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(run.stdout) if run.returncode == 0 else []

    with ExchangeSimulator({"ann@example.test": "x"}, {"svc": "pass-word-1"}) as simulator:
        for number in range(3):
            simulator.control.deliver("ann@example.test", mime(f"mail {number}"))
        (tmp_path / ".env").write_text(
            f"EXCHANGE_URL={simulator.ews_url}\nEXCHANGE_USERNAME=svc\n"
            "EXCHANGE_PASSWORD=pass-word-1\nEXCHANGE_MAILBOXES=ann@example.test\n"
            "EXCHANGE_TRACK=all\n"
            f"WEB_BIND=127.0.0.1:{port}\nMAILBOXES_CONCURRENCY=1\n"
        )
        log = tmp_path / "up.log"
        with log.open("w") as output:
            service = subprocess.Popen(
                [*command, "up"], cwd=tmp_path, env=environment, stdout=output, stderr=output
            )
        try:
            wait_until(
                lambda: [row["emails"] for row in listed()] == [3] or service.poll() is not None,
                timeout=180,
            )
            assert service.poll() is None, log.read_text()
            page = wait_until(
                lambda: requests.get(f"http://127.0.0.1:{port}/", timeout=5), timeout=20
            )
            assert "Content-Security-Policy" in page.headers
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(60)
    assert service.returncode == 0, log.read_text()
    assert processes_in(tmp_path) == []
    written = [log, *(tmp_path / ".syncservice" / "logs").iterdir()]
    assert not [file for file in written if "pass-word-1" in file.read_text(errors="replace")]
