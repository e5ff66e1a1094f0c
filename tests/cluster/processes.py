"""Celery processes on this machine, in the place of pytest-celery's containers.

pytest-celery's nodes and clusters ask little of a container: a configuration, logs, a signal. A
local process can give all of that, so its `celery_setup` works where no Docker engine runs.

A process is started as an operator would, in a session of its own. Only that session is ever
killed: its leader is reaped last, so nobody else can have got the number of its group by then.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from pytest_celery import CeleryTestNode

REPOSITORY = Path(__file__).resolve().parents[2]
CELERY = (sys.executable, "-m", "celery", "-A", "workers.app")


def wait_until(condition: Callable[[], Any], timeout: float = 120, what: str = "") -> Any:
    """Return the first true value of `condition`; fail the test when none comes in time."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {timeout} s: {what or condition}"
        time.sleep(0.02)
    return value


class LocalProcess:
    """A process and all it starts; what pytest-celery's nodes ask of a container, it answers."""

    def __init__(self, command: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        self.name = self.id = log.stem
        self.celeryconfig: dict[str, str] = {}
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._child.pid

    @property
    def exit_code(self) -> int | None:
        """What the main process ended with, minus a signal's number; None: it runs."""
        if self._child.returncode is not None:
            return self._child.returncode
        # WNOWAIT leaves it a zombie that holds its number, see the head of this module.
        end = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if end is None:
            return None
        return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status

    @property
    def status(self) -> str:
        return "running" if self.exit_code is None else "exited"

    def children(self) -> list[psutil.Process]:
        """The living descendants of the main process: for a worker, those of its pool."""
        with suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.pid).children(recursive=True)
            return [child for child in found if _lives(child)]
        return []

    def logs(self) -> str:
        return self._log.read_text(errors="replace")

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """End the whole tree at once, with nobody left to clean up; or send another signal."""
        if signal not in ("SIGKILL", 9):
            os.kill(self.pid, _number(signal))
            return
        if self._child.returncode is not None:
            return  # reaped: the number may be another's
        family = [psutil.Process(self.pid), *self.children()]
        os.killpg(self.pid, _number(signal))
        wait_until(lambda: not any(map(_lives, family)), what=f"{self.name} dies of SIGKILL")

    def terminate(self, timeout: float) -> None:
        """Ask the main process to stop, as a service manager does, and wait until it has."""
        self.kill("SIGTERM")
        wait_until(lambda: self.exit_code is not None, timeout, f"{self.name} stops on SIGTERM")

    def reload(self) -> None:
        """Nothing is cached: a node asks for this after a kill."""

    def teardown(self) -> None:
        self.kill()
        self._child.wait()


class CeleryProcess(CeleryTestNode):
    """One `celery …` command that runs: a node of pytest-celery over a LocalProcess."""

    container: LocalProcess
    #: It logs this when it can do its work.
    ready_log = ""

    @property
    def pid(self) -> int:
        return self.container.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.container.exit_code

    def children(self) -> list[psutil.Process]:
        return self.container.children()

    def ready(self) -> bool:
        self.wait_for_log(self.ready_log)
        return True

    def wait_for_log(self, log: str, message: str = "", timeout: float = 120) -> None:
        """Wait as the base does, but not by the second, and not for what has ended."""
        what = message or f"{self.name()} logs {log!r}"
        wait_until(lambda: log in self.logs() or self.exit_code is not None, timeout, what)
        assert log in self.logs(), f"{self.name()} ended with {self.exit_code}:\n{self.logs()}"

    def terminate(self, timeout: float = 30) -> None:
        """SIGTERM to the main process; return when it has ended."""
        self.container.terminate(timeout)


class WorkerProcess(CeleryProcess):
    """`celery worker`; kill() is SIGKILL to it and its pool."""

    @property
    def ready_log(self) -> str:
        return f"{self.hostname()} ready."

    def hostname(self) -> str:
        """Name it for `inspect(destination=[…])`."""
        return f"{self.name()}@tests"


class BeatProcess(CeleryProcess):
    """`celery beat`, with the scheduler of the settings."""

    ready_log = "beat: Starting..."


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _number(name: str | int) -> int:
    return signal.Signals[name] if isinstance(name, str) else name
