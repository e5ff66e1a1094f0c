"""The service's processes on one machine, run and watched by supervisord.

supervisord restarts what dies and, unlike other process managers, sends TERM to a worker's main
process alone, so that its children finish their tasks.
"""

import os
import shlex
import subprocess
import sys
import xmlrpc.client
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from supervisor.xmlrpc import SupervisorTransport

#: Seconds a worker may take to finish its page after TERM.
STOP_SECONDS = 60

_SOURCE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Program:
    """One process: its name and its command, without a shell."""

    name: str
    command: tuple[str, ...]


def service_programs(web_bind: str) -> list[Program]:
    """Name the processes of the whole service: beat, a worker for each queue, the web pages."""
    celery = (sys.executable, "-m", "celery", "-A", "workers.app")
    worker = (*celery, "worker", "--without-gossip", "--without-mingle", "--loglevel", "INFO")
    return [
        Program("beat", (*celery, "beat", "--schedule", os.devnull)),
        *(
            Program(f"worker-{queue}", (*worker, "-Q", queue, "-n", f"{queue}@%h"))
            for queue in ("mailboxes", "outgoing_activities", "async_operations")
        ),
        Program(
            "web",
            (
                *(sys.executable, "-m", "gunicorn", "syncservice.console.wsgi"),
                *("--bind", web_bind, "--workers", "1", "--threads", "4", "--log-level", "warning"),
            ),
        ),
    ]


class Processes:
    """Runs programs until `stop`; their output goes to `<folder>/logs/<name>.log`."""

    def __init__(self, folder: Path, programs: list[Program], environment: dict[str, str]) -> None:
        self._folder = folder.resolve()
        self._config = self._folder / "supervisord.conf"
        # A Unix socket's path may have 107 bytes at most, so it is named from within its folder.
        self._socket = Path("supervisor.sock")
        self._programs = programs
        self._environment = environment
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start supervisord, and with it every program."""
        (self._folder / "logs").mkdir(parents=True, exist_ok=True)
        self._stop_leftover()
        self._config.write_text(self._configuration())
        with (self._folder / "logs" / "supervisord.log").open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603 # our own interpreter
                [sys.executable, *self._arguments()],
                cwd=self._folder,
                env={**os.environ, **self._environment, "PYTHONPATH": str(_SOURCE)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; we stop it in order
            )

    def _arguments(self) -> list[str]:
        return ["-m", "supervisor.supervisord", "-n", "-c", str(self._config)]

    def states(self) -> dict[str, str]:
        """Say of each program what supervisord says: RUNNING, STARTING, BACKOFF, FATAL…"""
        socket = os.path.relpath(self._folder / self._socket)
        server = xmlrpc.client.ServerProxy(
            "http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{socket}")
        )
        with suppress(OSError, xmlrpc.client.Error):
            infos = server.supervisor.getAllProcessInfo()
            return {info["name"]: info["statename"] for info in infos}  # type: ignore[union-attr,index,call-overload]
        return {program.name: "STARTING" for program in self._programs}

    def stop(self) -> None:
        """Ask every program to finish, and return when none is left."""
        if self._child is not None:
            self._child.terminate()
            self._child.wait()
            self._child = None

    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def _stop_leftover(self) -> None:
        """End the supervisord of a run that was killed; ours is the one with our configuration."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.cmdline()[1:] == self._arguments():
                    process.terminate()
                    process.wait(STOP_SECONDS)

    def _configuration(self) -> str:
        sections = [
            "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
            f"pidfile={self._folder}/supervisord.pid\nchildlogdir={self._folder}/logs\n",
            f"[unix_http_server]\nfile={self._socket}\nchmod=0600\n",
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
        ]
        for program in self._programs:
            command = shlex.join(program.command).replace("%", "%%")  # its own syntax
            sections.append(
                f"[program:{program.name}]\ncommand={command}\n"
                f"stdout_logfile={self._folder}/logs/{program.name}.log\nredirect_stderr=true\n"
                f"stdout_logfile_maxbytes=20MB\nstdout_logfile_backups=3\n"
                f"directory={Path.cwd()}\nautorestart=true\nstartsecs=2\nstopwaitsecs={STOP_SECONDS}\n"
            )
        return "\n".join(sections)
