"""The Celery application, for `celery -A workers.app worker|beat|flower|inspect …` as they stand.

Messages hold ids and a fence only. The schedule row, not the message, is the state of the work:
a message may be lost, doubled or late, so there is no result backend, no retry, no ETA, and tasks
are acknowledged when they start.
"""

import os
import sys
from typing import Any

import django
from celery import Celery, signals
from django.core.exceptions import ImproperlyConfigured
from kombu import Exchange, Queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "syncservice.settings")
try:
    django.setup()
except ImproperlyConfigured as error:
    sys.exit(f"Error: {error}")  # Celery would print a traceback

from django.conf import settings
from django.db import connections

from syncservice import logs
from workers import queues

# Without Celery's own care for Django, which opens a connection to PostgreSQL anew for each task:
# `RowTask` ends those too old or broken.
app = Celery("syncservice", task_cls="workers.task:RowTask", fixups=[])
app.conf.update(
    broker_url=settings.REDIS_URL,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # for ever: Redis may be away for long
    broker_transport_options={
        # Longer than any task, so that nothing running is delivered again (PITFALLS C1).
        "visibility_timeout": 1800,
        "socket_keepalive": True,
        "socket_connect_timeout": 5,
        "socket_timeout": 30,
        "health_check_interval": 25,
        # No retry_on_timeout: kombu then gives up publishing in batches.
    },
    visibility_timeout=1800,
    broker_pool_limit=4,
    task_queues=[
        # An exchange each: Celery's default one would show, and bind, all three as one.
        Queue(name, Exchange(name, type="direct"), routing_key=name)
        for name in queues.QUEUES
    ],
    task_default_queue=queues.ASYNC_OPERATIONS,
    task_create_missing_queues=False,
    task_routes={f"{name}.*": {"queue": name} for name in queues.QUEUES},
    task_annotations=[queues.Limits()],
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    task_serializer="json",
    accept_content=["json"],
    result_accept_content=["json"],
    event_serializer="json",
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,  # a message waits in Redis, where the next free worker sees it
    worker_send_task_events=True,
    task_send_sent_event=False,
    worker_soft_shutdown_timeout=settings.WORKER_SOFT_SHUTDOWN.total_seconds(),
    worker_hijack_root_logger=False,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    enable_utc=True,
    timezone="UTC",
    imports=[
        "workers.mailboxes",
        "workers.outgoing_activities",
        "workers.async_operations",
        "workers.capacity",
    ],
    beat_scheduler="beat.scheduler:MailboxScheduler",
    beat_max_loop_interval=settings.DISPATCH_INTERVAL.total_seconds(),
    beat_schedule={
        "apply-retention": {"task": "async_operations.apply_retention", "schedule": 3600.0},
        # Rows say what is to be done: a message that waited too long has a successor.
        "run-due-tests": {
            "task": "async_operations.run_due_tests",
            "schedule": 2.0,
            "options": {"expires": 10},
        },
        "track-requested": {
            "task": "async_operations.track_requested",
            "schedule": 1.0,
            "options": {"expires": 10},
        },
        "watch-profiles": {
            "task": "async_operations.watch_profiles",
            "schedule": 60.0,
            "options": {"expires": 120},
        },
    },
)


@signals.celeryd_init.connect
def use_queue_settings(conf: Any, options: dict[str, Any], **_: Any) -> None:
    """Give the worker the settings of the queues it was started on."""
    selected = options.get("queues") or ()
    if isinstance(selected, str):
        selected = selected.split(",")
    conf.update(queues.worker_settings(selected))


@signals.setup_logging.connect
def set_up_logging(**_: Any) -> None:
    logs.set_up(settings.LOG_LEVEL, settings.LOG_FORMAT)


@signals.worker_process_init.connect
def forget_inherited_connections(**_: Any) -> None:
    """A forked child must not share its parent's connection to PostgreSQL (PITFALLS C28)."""
    for connection in connections.all(initialized_only=True):
        connection.connection = None
