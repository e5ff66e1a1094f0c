"""The embedded servers: they keep their data, know their own processes and touch no others."""

import importlib.util
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from importlib.machinery import ModuleSpec
from pathlib import Path

import environ  # type: ignore[import-untyped]
import psutil  # type: ignore[import-untyped]
import psycopg2
import pytest
import redis

from syncservice import embedded
from syncservice.embedded import EmbeddedServers, EmbeddedServersError, running_urls
from tests.disks import full, small_disk

REPOSITORY = Path(__file__).parent.parent
OWNER = """
import encodings.idna, os, sys, redis
from pathlib import Path
from syncservice.embedded import EmbeddedServers
if len(sys.argv) > 2:
    redis.Redis()  # imports late, perhaps what lies out of that user's reach
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
with EmbeddedServers(Path(sys.argv[1]), durable=False) as servers:
    print(servers.database_url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[EmbeddedServers]:
    with EmbeddedServers(tmp_path, durable=False) as servers:
        yield servers


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    """One pair of servers for the tests that only look."""
    with EmbeddedServers(tmp_path_factory.mktemp("running"), durable=False) as servers:
        yield servers


def ask(url: str, query: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(query)
        return cursor.fetchall() if cursor.description else []


def server_processes(folder: Path) -> dict[str, psutil.Process]:
    state = json.loads((folder / "servers.json").read_text())
    return {name: psutil.Process(state[name]["pid"]) for name in ("postgresql", "valkey")}


def lives(process: psutil.Process) -> bool:
    """Say whether it runs; a container's first process may never bury the dead."""
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def owner_process(folder: Path, *user: str, within: Sequence[str] = ()) -> "subprocess.Popen[str]":
    """Start servers in another process, which stops them when its stdin closes."""
    owner = subprocess.Popen(
        [*within, sys.executable, "-c", OWNER, str(folder), *user],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        text=True,
    )
    assert owner.stdout is not None
    assert owner.stdout.readline().startswith("postgresql://")
    return owner


def test_a_second_start_finds_the_data_and_an_empty_redis(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, durable=False) as servers:
        ask(servers.database_url, "CREATE TABLE kept AS SELECT 7 AS number")
        redis.Redis.from_url(servers.redis_url).set("lost", 1)
        first = server_processes(tmp_path)
    assert not any(map(lives, first.values()))
    assert not (tmp_path / "servers.json").exists()
    servers.stop()  # once more does no harm

    servers.start()
    assert ask(servers.database_url, "SELECT number FROM kept") == [(7,)]
    assert redis.Redis.from_url(servers.redis_url).dbsize() == 0
    servers.stop()


def test_a_killed_owner_leaves_nothing_that_hinders_the_next(tmp_path: Path) -> None:
    owner = owner_process(tmp_path)
    left_over = server_processes(tmp_path)
    owner.kill()
    owner.communicate()
    assert all(map(lives, left_over.values()))

    with EmbeddedServers(tmp_path, durable=False) as servers:
        assert not any(map(lives, left_over.values()))
        assert ask(servers.database_url, "SELECT 1") == [(1,)]


def test_left_overs_are_found_without_the_state_file_too(tmp_path: Path) -> None:
    owner = owner_process(tmp_path)
    left_over = server_processes(tmp_path)
    owner.kill()
    owner.communicate()
    (tmp_path / "servers.json").unlink()

    with EmbeddedServers(tmp_path, durable=False):
        assert not any(map(lives, left_over.values()))


def test_a_second_owner_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    owner = owner_process(tmp_path)
    second = EmbeddedServers(tmp_path)
    with pytest.raises(EmbeddedServersError, match=f"Process {owner.pid} already runs .* stop it"):
        second.start()
    second.stop()
    assert all(map(lives, server_processes(tmp_path).values()))
    owner.communicate()
    assert owner.returncode == 0


def test_a_strangers_process_with_an_old_pid_neither_blocks_nor_dies(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, durable=False):
        lines = (tmp_path / "postgresql/postmaster.pid").read_text().splitlines()
    # PostgreSQL takes only processes of its own user for a postmaster.
    account = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    stranger = subprocess.Popen(["sleep", "60"], user=account)
    try:
        lines[0] = str(stranger.pid)
        (tmp_path / "postgresql/postmaster.pid").write_text("\n".join(lines) + "\n")
        identity = {"pid": stranger.pid, "created": 1.0, "port": 1}
        names = ("owner", "postgresql", "valkey")
        (tmp_path / "servers.json").write_text(json.dumps(dict.fromkeys(names, identity)))
        with EmbeddedServers(tmp_path, durable=False) as servers:
            assert ask(servers.database_url, "SELECT 1") == [(1,)]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_fork_of_the_owner_stops_nothing(servers: EmbeddedServers) -> None:
    child = os.fork()
    if child == 0:
        servers.stop()
        os._exit(0)
    os.waitpid(child, 0)
    assert ask(servers.database_url, "SELECT 1") == [(1,)]


def test_redis_comes_back_empty_on_its_port(servers: EmbeddedServers) -> None:
    redis.Redis.from_url(servers.redis_url).set("lost", 1)
    before = server_processes(servers.folder)
    servers.restart_redis()
    after = server_processes(servers.folder)
    assert redis.Redis.from_url(servers.redis_url).dbsize() == 0
    assert before["valkey"] != after["valkey"]
    assert before["postgresql"] == after["postgresql"]


@pytest.mark.parametrize("crashed", [False, True])
def test_postgresql_comes_back_with_its_data_on_its_port(tmp_path: Path, crashed: bool) -> None:
    with EmbeddedServers(tmp_path) as servers:
        ask(servers.database_url, "CREATE TABLE kept AS SELECT 7 AS number")
        with closing(psycopg2.connect(servers.database_url)):  # an open connection delays nothing
            if crashed:
                server_processes(tmp_path)["postgresql"].kill()
            servers.restart_postgresql()
        assert ask(servers.database_url, "SELECT number FROM kept") == [(7,)]


def test_a_port_that_somebody_took_meanwhile_is_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        taken = somebody.getsockname()[1]
        answers = iter([taken, embedded._free_port(), taken, embedded._free_port()])
        monkeypatch.setattr(embedded, "_free_port", lambda: next(answers))
        with EmbeddedServers(tmp_path, durable=False) as servers:
            assert ask(servers.database_url, "SELECT 1") == [(1,)]
            assert redis.Redis.from_url(servers.redis_url).ping()


def test_the_servers_listen_on_loopback_only(running: EmbeddedServers) -> None:
    for process in server_processes(running.folder).values():
        try:
            sockets = process.net_connections("inet")
        except psutil.AccessDenied:
            pytest.skip("root in a container may not look into another user's process")
        listening = [each for each in sockets if each.status == psutil.CONN_LISTEN]
        assert [connection.laddr.ip for connection in listening] == ["127.0.0.1"]
        assert process.net_connections("unix") == []


def test_both_servers_want_the_password(running: EmbeddedServers) -> None:
    file = running.folder / "password"
    password = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(running.database_url.replace(password, "guess"))
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(running.redis_url.replace(f":{password}@", "")).ping()
    shown = (running.folder / "servers.json").read_text()
    for process in server_processes(running.folder).values():
        shown += " ".join(process.cmdline())
    assert password not in shown


def test_a_ctrl_c_in_the_owners_terminal_does_not_reach_the_servers(
    running: EmbeddedServers,
) -> None:
    for process in server_processes(running.folder).values():
        assert os.getsid(process.pid) == process.pid


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("SHOW server_encoding", "UTF8"),
        ("SHOW timezone", "UTC"),
        ("SHOW max_connections", "200"),
        ("SHOW fsync", "off"),
        ("SELECT datlocale FROM pg_database WHERE datname = 'syncservice'", "C.UTF-8"),
        ("SELECT lower('ÉÄ')", "éä"),
    ],
)
def test_postgresql_is_set_up_for_us(running: EmbeddedServers, query: str, answer: str) -> None:
    assert ask(running.database_url, query) == [(answer,)]


def test_redis_refuses_to_drop_messages_and_saves_nothing(running: EmbeddedServers) -> None:
    client = redis.Redis.from_url(running.redis_url, decode_responses=True)
    settings = client.config_get("maxmemory-policy", "save", "appendonly")
    assert settings == {"maxmemory-policy": "noeviction", "save": "", "appendonly": "no"}


def test_durable_is_the_default(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path) as servers:
        assert ask(servers.database_url, "SHOW fsync") == [("on",)]
        assert ask(servers.database_url, "SHOW synchronous_commit") == [("on",)]


def test_the_url_is_one_that_django_environ_reads(running: EmbeddedServers) -> None:
    config = environ.Env.db_url_config(running.database_url)
    assert config["ENGINE"] == "django.db.backends.postgresql"
    assert (config["HOST"], config["NAME"]) == ("127.0.0.1", "syncservice")


def test_another_process_finds_the_running_servers(running: EmbeddedServers) -> None:
    urls = running_urls(running.folder)
    assert (urls.database_url, urls.redis_url) == (running.database_url, running.redis_url)


def test_what_a_failed_statement_says_of_a_person_is_not_logged(running: EmbeddedServers) -> None:
    ask(running.database_url, "CREATE TABLE people (address text UNIQUE)")
    insert = "INSERT INTO people VALUES ('ann@example.com')"
    ask(running.database_url, insert)
    with pytest.raises(psycopg2.IntegrityError):
        ask(running.database_url, insert)
    log = (running.folder / "logs/postgresql.log").read_text()
    assert "duplicate key" in log
    assert "ann@example.com" not in log


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_ordinary_user_can_run_the_servers() -> None:
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        owner = owner_process(Path(folder), str(nobody.pw_uid))
        assert server_processes(Path(folder))["postgresql"].uids().effective == nobody.pw_uid
        owner.communicate()
        assert owner.returncode == 0


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root")
def test_root_in_docker_stops_servers_that_it_may_not_look_into(tmp_path: Path) -> None:
    left = ["chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"]
    powers = ",".join(["-all", *(f"+{power}" for power in left)])
    docker = ["setpriv", "--bounding-set", powers, "--inh-caps", "-all"]
    killed = owner_process(tmp_path, within=docker)
    left_over = server_processes(tmp_path)
    killed.kill()
    killed.communicate()
    owner = owner_process(tmp_path, within=docker)
    assert not any(map(lives, left_over.values()))
    started = server_processes(tmp_path)
    owner.communicate()
    assert owner.returncode == 0
    assert not any(map(lives, started.values()))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as another user")
def test_in_an_open_folder_the_servers_keep_none_of_roots_powers() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with EmbeddedServers(Path(folder), durable=False):
            for process in server_processes(Path(folder)).values():
                status = Path(f"/proc/{process.pid}/status").read_text()
                assert "CapEff:\t0000000000000000" in status
                assert process.uids().effective == pwd.getpwnam("nobody").pw_uid


def no_wheel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", find)


def no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write_text("a file is where the folder should be")


def no_password(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "postgresql").mkdir(parents=True)


def no_setpriv(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "")
    folder.mkdir(mode=0o700)


def broken_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedServers(folder, durable=False):
        pass
    (folder / "postgresql/PG_VERSION").write_text("9\n")


def other_password(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with EmbeddedServers(folder, durable=False):
        pass
    (folder / "password").write_text("guess\n")


@pytest.mark.parametrize(
    ("trouble", "remedy"),
    [
        (no_wheel, r"run `pip install 'syncservice\[embedded\]'`"),
        (no_folder, "or choose another folder"),
        (no_password, "restore that file, or delete the folder"),
        (no_setpriv, "install setpriv"),
        (broken_data, r"the end of .*/logs/postgresql\.log says why"),
        (other_password, "restore that file, or delete the folder"),
    ],
)
def test_trouble_is_told_in_one_sentence_with_its_remedy(
    trouble: object, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(trouble)
    folder = tmp_path / "servers"
    trouble(folder, monkeypatch)
    with pytest.raises(EmbeddedServersError, match=remedy) as raised:
        EmbeddedServers(folder, durable=False).start()
    assert "\n" not in str(raised.value)
    in_folder = [p for p in psutil.process_iter() if str(folder) in _cwd(p)]
    assert in_folder == []


def _cwd(process: psutil.Process) -> str:
    try:
        return str(process.cwd())
    except psutil.Error:
        return ""


def test_where_nothing_runs_nothing_is_found(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServersError, match="start them with `syncservice up`"):
        running_urls(tmp_path)


def test_what_ended_by_itself_is_started_again_on_its_port_with_its_data(
    servers: EmbeddedServers,
) -> None:
    ask(servers.database_url, "CREATE TABLE kept (n int)")
    ask(servers.database_url, "CHECKPOINT")
    assert servers.revive() == []
    for name in ("postgresql", "valkey"):
        process = process_of(servers, name)
        process.kill()
        process.wait()
        assert servers.revive() == [name]
    assert ask(servers.database_url, "SELECT count(*) FROM kept") == [(0,)]
    assert redis.Redis.from_url(servers.redis_url).ping()


def test_postgresql_that_a_full_disk_ended_comes_back_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path, 150) as disk, EmbeddedServers(disk / "data") as servers:
        ask(servers.database_url, "CREATE TABLE kept (n int)")
        process = process_of(servers, "postgresql")
        with full(disk), suppress(psutil.NoSuchProcess):
            while process.status() != psutil.STATUS_ZOMBIE:
                with suppress(psycopg2.Error):  # its log needs a new file, and finds no room
                    text = "SELECT pg_logical_emit_message(true, 'x', repeat('y', 1000000))"
                    ask(servers.database_url, text)
        assert servers.revive() == ["postgresql"]
        assert ask(servers.database_url, "SELECT count(*) FROM kept") == [(0,)]


def process_of(servers: EmbeddedServers, name: str) -> psutil.Process:
    state = json.loads((servers.folder / "servers.json").read_text())
    return psutil.Process(state[name]["pid"])
