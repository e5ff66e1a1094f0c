"""A private Postfix on 127.0.0.1: it takes mail for everybody, and keeps it in one maildir."""

import os
import pwd
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from syncservice.servers.mail_server import MailServer, Security

PROGRAM = shutil.which("postfix") or "/usr/sbin/postfix"
_START_SECONDS = 20
_DELIVERY_SECONDS = 60
#: Nothing is sent on: every domain is one of `virtual`, which needs no account of the system.
_MAIN = """
compatibility_level = 2
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mail.example.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
local_header_rewrite_clients =
default_transport = virtual
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:all/
virtual_mailbox_limit = 0
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_relay_restrictions = permit_mynetworks, reject
smtputf8_enable = yes
message_size_limit = {size}
smtpd_peername_lookup = no
in_flow_delay = 0
{more}
"""
_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix n - n 60   1 pickup
cleanup   unix n - n -    0 cleanup
qmgr      unix n - n 300  1 qmgr
tlsmgr    unix - - n 1000 1 tlsmgr
rewrite   unix - - n -    - trivial-rewrite
bounce    unix - - n -    0 bounce
defer     unix - - n -    0 bounce
trace     unix - - n -    0 bounce
verify    unix - - n -    1 verify
proxymap  unix - - n -    - proxymap
error     unix - - n -    - error
retry     unix - - n -    - error
discard   unix - - n -    - discard
virtual   unix - n n -    - virtual
anvil     unix - - n -    1 anvil
showq     unix n - n -    - showq
postlog   unix-dgram n - n - 1 postlogd
"""


@dataclass
class Postfix:
    """A running server: no login, no TLS; SIZE, 8BITMIME, SMTPUTF8 and DSN."""

    folder: Path
    port: int

    def server(self, **more) -> MailServer:
        more = {"username": "", "password": "", "timeout_seconds": 20, **more}
        return MailServer("127.0.0.1", self.port, Security.NONE, **more)

    def delivered(self, message_id: str = "") -> list[bytes]:
        """Return what arrived, or what has this id: a message for each recipient, LF at line ends.

        Above the message stand the fields of its delivery: Return-Path, X-Original-To,
        Delivered-To, Received. The oldest is the first.
        """
        files = (self.folder / "mail/all/new").glob("*")
        in_order = sorted(files, key=lambda file: file.stat().st_mtime_ns)
        found = [file.read_bytes() for file in in_order]
        return [message for message in found if message_id.encode() in message]

    def wait_for(self, number: int, message_id: str = "") -> list[bytes]:
        """Return what arrived, once there are `number` messages of it."""
        deadline = time.monotonic() + _DELIVERY_SECONDS
        while len(found := self.delivered(message_id)) < number:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)
        return found


@contextmanager
def postfix(more: str = "", *, size: int = 50_000_000) -> Iterator[Postfix]:
    """Run one for the block, with `more` in its settings; skip the test where that can't be."""
    if not os.access(PROGRAM, os.X_OK):
        pytest.skip("Postfix is not installed (Debian's package postfix)")
    if os.getuid() != 0:
        pytest.skip("Postfix can be started by root alone")
    # Not pytest's folder: it is closed to the users that Postfix becomes.
    folder = Path(tempfile.mkdtemp(prefix="syncservice-postfix-"))
    folder.chmod(0o755)
    try:
        with _running(folder, more, size) as running:
            yield running
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(folder: Path, more: str, size: int) -> Iterator[Postfix]:
    server = Postfix(folder, _free_port())
    owner, mail = pwd.getpwnam("postfix"), pwd.getpwnam("nobody")
    for name, user in (("queue", pwd.getpwnam("root")), ("data", owner), ("mail", mail)):
        (folder / name).mkdir()
        os.chown(folder / name, user.pw_uid, user.pw_gid)
    config = folder / "config"
    config.mkdir()
    (config / "main.cf").write_text(
        _MAIN.format(folder=folder, uid=mail.pw_uid, gid=mail.pw_gid, size=size, more=more)
    )
    (config / "master.cf").write_text(_MASTER.format(port=server.port))
    started = _postfix(config, "start")
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _greets(server.port):
            log = folder / "log"
            said = started.stderr + (log.read_text() if log.exists() else "")
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        yield server
    finally:
        _postfix(config, "stop")


def _postfix(config: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, "-c", config, command], capture_output=True, text=True)


def _greets(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, "test", 5) as client:
            return client.noop()[0] == 250
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
