"""The three queues, and what a worker on each may use (REFERENCE F015).

`celery -A workers.app worker -Q mailboxes` gets the settings of its queue without more options;
a worker that serves several queues gets processes for all of them. Options on the command line win.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

ASYNC_OPERATIONS = "async_operations"
OUTGOING_ACTIVITIES = "outgoing_activities"
MAILBOXES = "mailboxes"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """What one queue's workers may use; limits are of one task."""

    name: str
    concurrency: int
    soft_limit_s: float
    hard_limit_s: float
    child_tasks: int  # a process is replaced after so many
    child_memory_kib: int  # … or when it holds more than this after one

    def limits(self) -> dict[str, float]:
        """Return the options of a task on this queue; prefork enforces them."""
        return {"soft_time_limit": self.soft_limit_s, "time_limit": self.hard_limit_s}


QUEUES = {
    queue.name: queue
    for queue in (
        QueueSettings(
            name=ASYNC_OPERATIONS,
            concurrency=settings.ASYNC_OPERATIONS_CONCURRENCY,
            soft_limit_s=settings.ASYNC_OPERATIONS_SOFT_LIMIT.total_seconds(),
            hard_limit_s=settings.ASYNC_OPERATIONS_HARD_LIMIT.total_seconds(),
            child_tasks=settings.ASYNC_OPERATIONS_CHILD_TASKS,
            child_memory_kib=settings.ASYNC_OPERATIONS_CHILD_MEMORY_KIB,
        ),
        QueueSettings(
            name=OUTGOING_ACTIVITIES,
            concurrency=settings.OUTGOING_ACTIVITIES_CONCURRENCY,
            soft_limit_s=settings.OUTGOING_ACTIVITIES_SOFT_LIMIT.total_seconds(),
            hard_limit_s=settings.OUTGOING_ACTIVITIES_HARD_LIMIT.total_seconds(),
            child_tasks=settings.OUTGOING_ACTIVITIES_CHILD_TASKS,
            child_memory_kib=settings.OUTGOING_ACTIVITIES_CHILD_MEMORY_KIB,
        ),
        QueueSettings(
            name=MAILBOXES,
            concurrency=settings.MAILBOXES_CONCURRENCY,
            soft_limit_s=settings.MAILBOXES_SOFT_LIMIT.total_seconds(),
            hard_limit_s=settings.MAILBOXES_HARD_LIMIT.total_seconds(),
            child_tasks=settings.MAILBOXES_CHILD_TASKS,
            child_memory_kib=settings.MAILBOXES_CHILD_MEMORY_KIB,
        ),
    )
}


class Limits:
    """A Celery annotation: every task has the time limits of the queue that it is named after."""

    def annotate(self, task: Any) -> dict[str, float] | None:
        queue = QUEUES.get(task.name.partition(".")[0])
        return queue.limits() if queue else None


def worker_settings(selected: Iterable[str]) -> dict[str, Any]:
    """Return Celery settings for a worker on the `selected` queues; none selected means all."""
    served = [QUEUES[name] for name in selected if name in QUEUES] or list(QUEUES.values())
    return {
        "worker_concurrency": sum(queue.concurrency for queue in served),
        "worker_max_tasks_per_child": min(queue.child_tasks for queue in served),
        "worker_max_memory_per_child": min(queue.child_memory_kib for queue in served),
    }
