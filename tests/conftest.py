"""Real PostgreSQL and Redis for every test, started once for each of pytest's processes.

They share none: what PostgreSQL says of its transactions, which the CRM's changes are read by, is
said of all its databases.
"""

import os
import tempfile
from pathlib import Path

import django
import environ
import hypothesis
import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connection

from syncservice.embedded import EmbeddedServers

_folder = tempfile.TemporaryDirectory(prefix="syncservice-tests-")
Path(_folder.name).chmod(0o755)
_servers = EmbeddedServers(Path(_folder.name), durable=False)
_servers.start()
is_worker = "PYTEST_XDIST_WORKER" in os.environ
os.environ |= {
    "ENV_FILE": os.devnull,
    "DATA_FOLDER": _folder.name,
    "DATABASE_URL": _servers.database_url,
    "REDIS_URL": _servers.redis_url,
    "SECRET_KEY": "tests",
    "DJANGO_SETTINGS_MODULE": "syncservice.settings",
}
os.environ.setdefault("CREDENTIAL_KEYS", Fernet.generate_key().decode())
if is_worker:  # pytest-django has read the settings of its parent already
    settings.REDIS_URL = os.environ["REDIS_URL"]
    settings.DATA_FOLDER = Path(_folder.name)
    settings.DATABASES["default"] |= environ.Env.db_url_config(os.environ["DATABASE_URL"])

# People's passwords are hashed as slowly as they should be; tests need not wait for it.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
django.setup()


def _emptied(_: object, tables: list[str], **__: object) -> list[str]:
    """Empty tables between tests: TRUNCATE takes a tenth of a second for ours, this two ms."""
    deletions = [f'DELETE FROM "{table}"' for table in tables]
    free = "SET session_replication_role = {}"  # of the order that foreign keys ask for
    return [free.format("replica"), *deletions, free.format("DEFAULT")]


connection.ops.sql_flush = _emptied

# A loaded machine is slow, and that says nothing of the code.
hypothesis.settings.register_profile(
    "steady",
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("steady")


def pytest_unconfigure() -> None:
    _servers.stop()
    _folder.cleanup()


@pytest.fixture
def redis_client():
    """This process' Redis database, empty before and after."""
    import redis

    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    client.flushdb()
    yield client
    client.flushdb()
    client.close()
