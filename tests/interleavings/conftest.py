"""A stage on the test's database and Redis, with short leases."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

from syncservice.servers.slots import Slots
from syncservice.simulator.exchange import ExchangeSimulator
from tests.interleavings.stage import Stage

LEASE = timedelta(seconds=0.5)
#: What a dead or stopped process holds is free again soon; batches and pages are small.
ENVIRONMENT = {
    "CLAIM_LEASE_SECONDS": str(LEASE.total_seconds()),
    "DATABASE_LOCK_TIMEOUT_SECONDS": "10",
    "DATABASE_IDLE_TIMEOUT_SECONDS": "1",
    "SLOT_RETRY_SECONDS": "0.1",
    "BATCH_MESSAGES": "2",
    "PAGE_IDS": "3",
    "MESSAGE_BYTES": "20000",
}


@pytest.fixture(scope="session")
def stages(django_db_setup, tmp_path_factory):
    """One stage for all tests: it keeps nothing between two actions."""
    url = urlsplit(os.environ["DATABASE_URL"])
    name = connection.settings_dict["NAME"]
    store = {"DATABASE_URL": url._replace(path=f"/{name}").geturl()}
    stage = Stage(
        os.environ | ENVIRONMENT | store, Path(tmp_path_factory.mktemp("stage")) / "stage.log"
    )
    yield stage
    stage.close()


@pytest.fixture
def stage(stages, transactional_db, redis_client):
    Slots(redis_client, LEASE, LEASE).take({"any": 1}, "tests")  # Redis knows the script from here
    return stages


@pytest.fixture(scope="module")
def simulator() -> Iterator[ExchangeSimulator]:
    with ExchangeSimulator() as running:
        running.control.create_service_account("svc", "pw")
        yield running
