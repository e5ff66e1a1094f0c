"""The simulator as a process of its own, and over TLS."""

import datetime
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from syncservice.simulator.exchange import ExchangeSimulator, SimulatorControl

from .conftest import ALICE, mail

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_says_where_it_listens_and_stops_cleanly(
    tmp_path: Path, number: signal.Signals
) -> None:
    ready = tmp_path / "ready"
    command = [sys.executable, "-m", "syncservice.simulator.exchange", "--port", "0"]
    command += ["--service-account", "svc:password", "--mailbox", f"{ALICE}:a:b"]
    command += ["--ready-file", str(ready)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        assert ready.read_text().strip() == url
        with SimulatorControl(url) as control:
            assert control.mailboxes() == [ALICE]
            control.deliver(ALICE, mail("hello"))
            assert [one.subject for one in control.items(ALICE, "inbox")] == ["hello"]
        process.send_signal(number)
        _, errors = process.communicate(timeout=5)
        assert (process.returncode, errors) == (0, "")
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    path = tmp_path / "server.pem"
    path.write_bytes(
        signed.public_bytes(pem) + key.private_bytes(pem, form, serialization.NoEncryption())
    )
    return path


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_self_signed_certificate_is_refused_by_a_client_that_checks(certificate: Path) -> None:
    with ExchangeSimulator({ALICE: "a"}, tls_cert=certificate) as simulator:
        assert simulator.url.startswith("https://")
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(simulator.url, timeout=5)
        assert simulator.control.mailboxes() == [ALICE]


def test_a_stopped_simulator_refuses_and_a_restarted_one_remembers() -> None:
    simulator = ExchangeSimulator({ALICE: "a"})
    with simulator:
        url = simulator.url
        item = simulator.control.deliver(ALICE, mail("kept"))
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)
    with simulator:
        assert simulator.url == url
        assert [one.id for one in simulator.control.items(ALICE)] == [item]
