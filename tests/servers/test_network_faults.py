"""What goes wrong below every protocol -> a fault whose remedy names what was filled in."""

import socket
import ssl

import pytest

from syncservice.domain.faults import Nature, Provenance, Scope
from syncservice.servers.network_faults import fault_of_network

TROUBLES = [
    (OSError(101, "Network is unreachable"), "unreachable", Nature.TRANSIENT, Provenance.TCP),
    (TimeoutError(), "timed_out", Nature.TRANSIENT, Provenance.TCP),
    (ConnectionRefusedError(), "connection_refused", Nature.TRANSIENT, Provenance.TCP),
    (ConnectionResetError(), "connection_lost", Nature.TRANSIENT, Provenance.TCP),
    (socket.gaierror(), "unknown_host", Nature.TRANSIENT, Provenance.DNS),
    (ssl.SSLError(), "tls_failed", Nature.TRANSIENT, Provenance.TLS),
    (ssl.SSLCertVerificationError(), "certificate_refused", Nature.PERMANENT, Provenance.TLS),
]


@pytest.mark.parametrize("prefix", ["exchange", "pop3", "smtp"])
@pytest.mark.parametrize(("error", "code", "nature", "provenance"), TROUBLES)
def test_every_trouble_of_the_network_concerns_the_profile(prefix, error, code, nature, provenance):
    fault = fault_of_network(error, prefix)
    assert (fault.code, fault.nature, fault.provenance, fault.scope) == (
        *(f"{prefix}.{code}", nature, provenance),
        Scope.PROFILE,
    )


@pytest.mark.parametrize("error", [trouble[0] for trouble in TROUBLES])
def test_a_remedy_names_no_url_where_none_was_filled_in(error):
    text = fault_of_network(error, "pop3").text
    assert "location" not in text
    assert "HTTPS" not in text


def test_what_led_to_an_error_is_found_behind_it():
    error = RuntimeError()
    error.__context__ = OSError()
    error.__context__.__cause__ = TimeoutError()
    assert fault_of_network(error, "smtp").code == "smtp.timed_out"
