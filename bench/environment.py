"""Servers and settings of a bench: private ones in a temporary folder, gone afterwards.

Import and enter it before anything that loads the settings.
"""

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from syncservice.embedded import EmbeddedServers


@contextmanager
def servers() -> Iterator[EmbeddedServers]:
    """Run durable servers (as `syncservice up` does) and migrate an empty database."""
    with tempfile.TemporaryDirectory(prefix="syncservice-bench-") as folder:
        Path(folder).chmod(0o755)
        with EmbeddedServers(Path(folder)) as running:
            os.environ |= {
                "ENV_FILE": os.devnull,
                "DATA_FOLDER": folder,
                "DATABASE_URL": running.database_url,
                "REDIS_URL": running.redis_url,
                "SECRET_KEY": "bench",
                "CREDENTIAL_KEYS": Fernet.generate_key().decode(),
                "DJANGO_SETTINGS_MODULE": "syncservice.settings",
                "LOG_LEVEL": "error",
            }
            import django

            django.setup()

            from syncservice import logs

            logs.set_up("error", "text")
            from django.core.management import call_command
            from django.db import connections

            call_command("migrate", verbosity=0)
            yield running
            connections.close_all()


def spread(values: list[float]) -> str:
    """Say how far the runs lie apart, in percent of their median."""
    return f"{100 * (max(values) - min(values)) / statistics.median(values):.0f}%"
