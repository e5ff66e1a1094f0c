"""Makes things of the service happen in processes that stop exactly where they are told to.

Every statement that writes, every commit, every command that writes to Redis and every request to
a mail server is a *point*. `Stage.points` names those of an action, in order; `kill_at` ends a
process right before one of them, by SIGKILL; `pause_at` stops it there, by SIGSTOP, until
`resume`. The points are found by looking, not written into the product.

The stage itself is a process without threads or connections: it forks one for each action.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
_WRITES = re.compile(r'^\s*(INSERT INTO|UPDATE|DELETE FROM) "?(\w+)', re.MULTILINE)
_READS = {"LLEN", "ZRANGEBYSCORE", "PING", "HELLO", "CLIENT", "INFO", "SMEMBERS"}
END = "end"


class Stage:
    """The tests' end of the pipe to a stage that runs; each method awaits its answer."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.interleavings.stage"],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._log = log

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def log(self) -> str:
        return self._log.read_text()

    def points(self, action: str, *arguments: Any) -> list[str]:
        """Carry an action out, and return the points that it passed; the last is its end."""
        points, how = self._do(action, arguments)
        assert how == "exited 0", (how, self.log())
        return points

    def kill_at(self, number: int, action: str, *arguments: Any) -> str:
        """Carry an action out up to a point, and end its process there; return the point."""
        points, how = self._do(action, arguments, stop_at=number, by="SIGKILL")
        assert how == "killed 9", (points, how, self.log())
        return points[-1]

    def pause_at(self, number: int, action: str, *arguments: Any) -> str:
        """Carry an action out up to a point, and let its process stand still there."""
        points, how = self._do(action, arguments, stop_at=number, by="SIGSTOP")
        assert how == "stopped", (points, how, self.log())
        return points[-1]

    def resume(self) -> str:
        """Let the process that stands still go on to its end; return how it ended."""
        return self._ask({"resume": True})[1]

    def _do(self, action: str, arguments: tuple[Any, ...], **where: Any) -> tuple[list[str], str]:
        return self._ask({"action": action, "arguments": arguments, **where})

    def _ask(self, command: dict[str, Any]) -> tuple[list[str], str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(command), file=self._process.stdin, flush=True)
        points = []
        for line in self._process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word != "point":
                return points, line.strip()
            points.append(rest)
        raise AssertionError(f"the stage ended:\n{self.log()}")


# --- In the stage ----------------------------------------------------------------------------


_answers = -1


def main() -> None:
    """Answer commands until the pipe is closed."""
    global _answers
    _answers = os.dup(1)
    os.dup2(2, 1)  # what the service prints is no answer
    actions = _actions()
    paused = 0
    for line in sys.stdin:
        command = json.loads(line)
        if "resume" in command:
            os.kill(paused, signal.SIGCONT)
            _tell(paused)
            continue
        child = os.fork()
        if child == 0:
            _play(actions[command["action"]], command)
        if _tell(child) == "stopped":
            paused = child


def _tell(child: int) -> str:
    """Wait until a process ends or stands still, and say which."""
    _, status = os.waitpid(child, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        how = "stopped"
    elif os.WIFSIGNALED(status):
        how = f"killed {os.WTERMSIG(status)}"
    else:
        how = f"exited {os.WEXITSTATUS(status)}"
    os.write(_answers, f"{how}\n".encode())
    return how


def _play(action: Callable[..., object], command: dict[str, Any]) -> NoReturn:
    reach = _breakpoints(command.get("stop_at"), command.get("by", "SIGKILL"))
    try:
        _watch(reach)
        action(*command["arguments"])
        reach(END)
    except BaseException:  # noqa: BLE001 # the process' outermost frame
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _breakpoints(stop_at: int | None, by: str) -> Callable[[str], None]:
    passed = 0

    def reach(point: str) -> None:
        nonlocal passed
        if threading.current_thread() is not threading.main_thread():
            return  # the heartbeat's: it stands still with the process
        os.write(_answers, f"point {point}\n".encode())
        passed += 1
        if passed - 1 == stop_at:
            os.kill(os.getpid(), signal.Signals[by])

    return reach


def _watch(reach: Callable[[str], None]) -> None:
    """Let `reach` know of every write before it is made."""
    import redis
    from django.db import connection
    from requests.adapters import HTTPAdapter

    def execute(go: Callable[..., object], sql: str, *rest: Any) -> object:
        if written := _WRITES.findall(str(sql)):
            verb, table = written[-1]
            reach(f"{verb.split()[0].lower()} {table}")
        return go(sql, *rest)

    connection.execute_wrappers.append(execute)
    _before(connection, "_commit", lambda *_, **__: reach("commit"))

    def command(client: Any, *words: Any, **_: Any) -> None:
        if words[0] not in _READS:
            keys = words[3:] if words[0] == "EVALSHA" else words[1:]
            reach(f"redis {words[0].lower()} {_family(keys)}")

    def pipeline(client: Any, *_: Any, **__: Any) -> None:
        names = [command[0][0] for command in client.command_stack]
        if not _READS.issuperset(names):
            reach(f"redis {names[0].lower()} {_family(client.command_stack[0][0][1:])}")

    _before(redis.Redis, "execute_command", command)
    _before(redis.client.Pipeline, "execute", pipeline)

    def request(_: Any, request: Any, **__: Any) -> None:
        operation = re.search(rb"<s:Body>\s*<m:(\w+)", request.body or b"")
        reach(f"request {operation[1].decode() if operation else request.method}")

    _before(HTTPAdapter, "send", request)


def _before(owner: Any, name: str, call: Callable[..., None]) -> None:
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        call(*arguments, **named)
        return original(*arguments, **named)

    setattr(owner, name, wrapped)


def _family(keys: tuple[Any, ...]) -> str:
    return str(keys[0]).partition(":")[0] if keys else ""


def _actions() -> dict[str, Callable[..., object]]:
    """What may happen on the stage; loaded once, before the first fork."""
    import django

    django.setup()
    from beat.scheduler import dispatch
    from syncservice.crm.models import Queue
    from syncservice.mailboxes import administration, directions, schedule
    from syncservice.mailboxes.models import Direction, Mailbox
    from workers.app import app
    from workers.async_operations import run_due_tests
    from workers.mailboxes import visit

    def do_dispatch() -> None:
        with app.producer_or_acquire() as producer:
            dispatch(app, producer)

    def take_over(mailbox: int, queue: int) -> None:
        box, heir = Mailbox.objects.get(pk=mailbox), Queue.objects.get(pk=queue)
        administration.map_mailbox(box, heir, take_over=True)

    def change_address(mailbox: int, address: str) -> None:
        administration.change_address(Mailbox.objects.get(pk=mailbox), address, "tests")

    def approve(mailbox: int, approved: bool) -> None:
        administration.decide_approval([mailbox], "tests", approved=approved)

    def move_profile(name: str, location: str) -> None:
        administration.save_profile(name, location=location)

    def ask_approval(of_users: bool) -> None:
        administration.change_organisation("tests", approves_users=of_users)

    return {
        "visit": visit,
        "dispatch": do_dispatch,
        "take_over": take_over,
        "change_address": change_address,
        "approve": approve,
        "disable": lambda mailbox: directions.disable([mailbox], Direction.Kind, "tests"),
        "enable": lambda mailbox: directions.enable([mailbox], ["incoming"], "tests"),
        "request_tests": lambda mailbox: directions.request_tests([mailbox], "tests"),
        "move_profile": move_profile,
        "ask_approval": ask_approval,
        "run_due_tests": run_due_tests,
        "wake": schedule.wake,
    }


if __name__ == "__main__":
    main()
