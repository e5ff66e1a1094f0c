"""What every task of the service has in common: rows say what is to be done, and may be away."""

from typing import Any

import celery
import structlog
from django.db import InterfaceError, OperationalError, close_old_connections, connection

log = structlog.get_logger()

#: PostgreSQL is away, full or restarted, or somebody held a lock, or this process, for too long.
DATABASE_FAILED = (OperationalError, InterfaceError)


class RowTask(celery.Task):  # type: ignore[type-arg] # not generic when it runs
    """A task that a database's failure ends with one line in the log: its row brings it round."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        close_old_connections()
        try:
            return super().__call__(*arguments, **named)
        except DATABASE_FAILED as error:
            log.error("task.database_unavailable", task=self.name, error=first_line(error))
            connection.close()
            return None


def first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
