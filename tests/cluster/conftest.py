"""Fixtures that run real workers and beats on the test's database and Redis.

Whoever asks for one gets a transactional test database and an empty Redis: a process can't see
what a test has not committed. Processes end before either is cleared.
"""

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
import redis
from celery import Celery
from django.db import connection
from pytest_celery import (
    CeleryBrokerCluster,
    CeleryTestBroker,
    CeleryTestSetup,
    CeleryWorkerCluster,
)

from tests.cluster.processes import (
    CELERY,
    REPOSITORY,
    BeatProcess,
    CeleryProcess,
    LocalProcess,
    WorkerProcess,
)

NOTHING: Mapping[str, str] = MappingProxyType({})


@pytest.fixture(params=[15, pytest.param(50, marks=pytest.mark.nightly)])
def kills(request: pytest.FixtureRequest) -> int:
    """How often processes are killed: at night as often as was promised, else a sample of that."""
    return request.param


@pytest.fixture
def environment(transactional_db: None, redis_client: redis.Redis) -> dict[str, str]:
    """What a process needs to work on this test's stores; it dispatches ten times a second."""
    url = urlsplit(os.environ["DATABASE_URL"])
    return os.environ | {
        "DATABASE_URL": url._replace(path=f"/{connection.settings_dict['NAME']}").geturl(),
        "DISPATCH_INTERVAL_SECONDS": "0.1",
    }


@pytest.fixture
def start_celery(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable]:
    """`celery -A workers.app …` in the background; its log is shown when the test fails."""
    started: list[CeleryProcess] = []

    def start(
        *arguments: str,
        name: str = "",
        kind: type[CeleryProcess] = CeleryProcess,
        env: Mapping[str, str] = NOTHING,
    ) -> CeleryProcess:
        log = tmp_path / f"{name or arguments[0]}.log"
        process = kind(LocalProcess([*CELERY, *arguments], environment | env, log))
        started.append(process)
        return process

    yield start
    for process in started:
        process.teardown()
    for process in started:
        print(f"--- {process.name()}\n{process.logs()}")


@pytest.fixture
def start_worker(start_celery: Callable) -> Callable[..., WorkerProcess]:
    """Start a worker on `queues` (none: all of them) and return it when it is ready."""
    names = (f"worker{number}" for number in count(1))

    def start(
        *queues: str, env: Mapping[str, str] = NOTHING, options: Iterable[str] = ()
    ) -> WorkerProcess:
        name = next(names)
        served = ("-Q", ",".join(queues)) if queues else ()
        arguments = ("worker", *served, "-n", f"{name}@tests", *options)
        worker = start_celery(*arguments, name=name, kind=WorkerProcess, env=env)
        worker.ready()
        return worker

    return start


@pytest.fixture
def start_beat(start_celery: Callable) -> Callable[..., BeatProcess]:
    """Start a beat and return it when it has begun; any number may run."""
    names = (f"beat{number}" for number in count(1))

    def start(env: Mapping[str, str] = NOTHING) -> BeatProcess:
        beat = start_celery("beat", name=next(names), kind=BeatProcess, env=env)
        beat.ready()
        return beat

    return start


@pytest.fixture
def run_celery(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`celery -A workers.app …` to its end, with its output."""

    def run(*arguments: str, env: Mapping[str, str] = NOTHING) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CELERY, *arguments],
            cwd=REPOSITORY,
            env=environment | env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


class RunningRedis:
    """The tests' Redis as a container of pytest-celery's; tests/conftest.py starts and stops it."""

    name = id = "redis"
    status = "running"
    celeryconfig: ClassVar = {"url": os.environ["REDIS_URL"], "host_url": os.environ["REDIS_URL"]}

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def ready(self) -> bool:
        return bool(self._client.ping())


class OurSetup(CeleryTestSetup):
    """A setup whose `app` is the service's own, not one made for tests."""

    @classmethod
    def create_setup_app(cls, celery_setup_config: dict, celery_setup_app_name: str) -> Celery:
        from workers.app import app

        assert app.conf.broker_url == celery_setup_config["broker_url"]
        return app


@pytest.fixture
def celery_setup_cls() -> type[CeleryTestSetup]:
    return OurSetup


@pytest.fixture
def celery_broker_cluster(redis_client: redis.Redis) -> CeleryBrokerCluster:
    return CeleryBrokerCluster(CeleryTestBroker(RunningRedis(redis_client)))


@pytest.fixture
def celery_backend_cluster() -> None:
    """There is none: nobody asks for a task's result."""


@pytest.fixture
def celery_worker_cluster(start_worker: Callable[..., WorkerProcess]) -> CeleryWorkerCluster:
    return CeleryWorkerCluster(start_worker("mailboxes", env={"MAILBOXES_CONCURRENCY": "1"}))
