"""Workers as operators start them: their processes and limits, and Celery's own tools on them."""

import os
import socket
from collections.abc import Callable
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from celery import Celery
from django.db import connection

from tests.cluster.processes import WorkerProcess, wait_until


def test_celery_setup_runs_our_app_on_our_redis(celery_setup):
    assert celery_setup.ready(control=True)
    assert celery_setup.broker.config()["url"] == os.environ["REDIS_URL"]
    name = celery_setup.worker.hostname()
    inspect = celery_setup.app.control.inspect([name], timeout=5, limit=1)
    assert wait_until(inspect.ping, what="the worker answers") == {name: {"ok": "pong"}}


def test_a_worker_on_one_queue_serves_it_with_the_processes_of_that_queue(
    start_worker, celery_setup_app
):
    worker = start_worker("mailboxes", env={"MAILBOXES_CONCURRENCY": "3"})
    assert len(worker.children()) == 3
    assert queues_of(worker, celery_setup_app) == {"mailboxes"}


def test_the_time_limits_of_a_task_are_those_of_its_queue(start_worker, celery_setup_app):
    worker = start_worker(
        "mailboxes",
        env={"MAILBOXES_SOFT_LIMIT_SECONDS": "7", "MAILBOXES_HARD_LIMIT_SECONDS": "9"},
    )
    answers = answered(
        lambda inspect: inspect.registered("soft_time_limit", "time_limit"),
        worker,
        celery_setup_app,
    )
    tasks = answers[worker.hostname()]
    assert "mailboxes.visit [soft_time_limit=7.0 time_limit=9.0]" in tasks
    assert "async_operations.apply_retention [soft_time_limit=240.0 time_limit=300.0]" in tasks


def test_a_worker_without_a_queue_serves_all_three_with_processes_for_each(
    start_worker, celery_setup_app
):
    worker = start_worker(
        env={
            "MAILBOXES_CONCURRENCY": "2",
            "OUTGOING_ACTIVITIES_CONCURRENCY": "1",
            "ASYNC_OPERATIONS_CONCURRENCY": "1",
        }
    )
    assert len(worker.children()) == 2 + 1 + 1
    assert queues_of(worker, celery_setup_app) == {
        "mailboxes",
        "outgoing_activities",
        "async_operations",
    }


def test_a_process_keeps_its_connection_to_postgresql_from_task_to_task(
    start_worker, celery_setup_app, redis_client
):
    def visit_nobody(times: int) -> set[int]:
        for _ in range(times):
            celery_setup_app.send_task("mailboxes.visit", (0, "incoming", 1), queue="mailboxes")
        wait_until(lambda: not redis_client.llen("mailboxes"), what="all messages are taken")
        return wait_until(connections_of_others, what="a connection is open")

    start_worker("mailboxes", env={"MAILBOXES_CONCURRENCY": "1"})
    first = visit_nobody(1)
    assert visit_nobody(20) == first


def connections_of_others() -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return {pid for (pid,) in cursor.fetchall()}


def test_an_option_on_the_command_line_wins_and_a_terminated_worker_ends_well(start_worker):
    worker = start_worker(
        "mailboxes", env={"MAILBOXES_CONCURRENCY": "3"}, options=("--concurrency", "1")
    )
    assert len(worker.children()) == 1
    worker.terminate()
    assert (worker.exit_code, worker.children()) == (0, [])


def test_a_wrong_setting_stops_a_worker_with_one_sentence_that_names_it(run_celery):
    ended = run_celery("worker", "-Q", "mailboxes", env={"MAILBOXES_CONCURRENCY": "abc"})
    assert ended.returncode != 0
    (sentence,) = (ended.stdout + ended.stderr).splitlines()
    assert sentence == (
        "Error: MAILBOXES_CONCURRENCY: "
        "expected a whole number of processes from 1 to 512, got 'abc'"
    )


def test_celery_inspect_answers_on_the_command_line(start_worker, run_celery, celery_setup_app):
    worker = start_worker("mailboxes", env={"MAILBOXES_CONCURRENCY": "1"})
    queues_of(worker, celery_setup_app)  # it listens
    answer = run_celery("inspect", "active", "--destination", worker.hostname())
    assert answer.returncode == 0, answer.stderr
    assert f"{worker.hostname()}: OK" in answer.stdout


def test_flower_starts_on_the_app_and_answers(start_celery):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start_celery("flower", f"--port={port}", "--address=127.0.0.1")

    def answer():
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthcheck", timeout=5) as response:
                return response.read()
        except URLError:
            return None

    assert wait_until(answer, what="Flower answers") == b"OK"


def queues_of(worker: WorkerProcess, app: Celery) -> set[str]:
    answers = answered(lambda inspect: inspect.active_queues(), worker, app)
    return {queue["name"] for queue in answers[worker.hostname()]}


def answered(ask: Callable[[Any], Any], worker: WorkerProcess, app: Celery) -> Any:
    """Ask a worker until it answers.

    It is ready a moment before it listens (Redis hands a broadcast to who is subscribed, to nobody
    else), so what is asked in between is never heard.
    """
    inspect = app.control.inspect([worker.hostname()], timeout=5, limit=1)
    return wait_until(lambda: ask(inspect), what="the worker answers")
