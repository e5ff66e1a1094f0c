"""A private Dovecot on 127.0.0.1: any user name is a mailbox, and its password is "pw"."""

import getpass
import grp
import imaplib
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import pytest

from syncservice.servers.mail_server import MailServer, Security
from tests.servers.certificates import certificate

PROGRAM = shutil.which("dovecot") or "/usr/sbin/dovecot"
_START_SECONDS = 20
HAS_IMAP = any(os.access(f"/usr/{name}/dovecot/imap", os.X_OK) for name in ("lib", "libexec"))
WITHOUT_IMAP = "Dovecot's IMAP is not installed (Debian's package dovecot-imapd)"
#: The uidl is the name of the message's file, so that a test knows it before it asks.
_CONFIGURATION = """
protocols = {protocols}
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
default_login_user = {login_user}
default_internal_user = {internal_user}
default_internal_group = {internal_group}
mail_uid = {mail_uid}
mail_gid = {mail_gid}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{folder}/mail/%u
pop3_uidl_format = %f
disable_plaintext_auth = no
auth_failure_delay = 0
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{certificate}
passdb {{
  driver = static
  args = password=pw
}}
userdb {{
  driver = static
  args = home={folder}/mail/%u
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = {tls_port}
    ssl = yes
  }}
}}
{imap}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""
_IMAP = """
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
"""


@dataclass
class Dovecot:
    """A running server; its certificate is valid for who trusts `certificate`."""

    folder: Path
    port: int
    tls_port: int
    certificate: Path
    imap_port: int
    imap_tls_port: int
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def server(self, user: str, security: Security = Security.NONE, **more) -> MailServer:
        port = self.tls_port if security is Security.TLS else self.port
        more = {"password": "pw", "timeout_seconds": 20, **more}
        return MailServer("127.0.0.1", port, security, user, **more)

    def imap_server(self, user: str, security: Security = Security.NONE, **more) -> MailServer:
        port = self.imap_tls_port if security is Security.TLS else self.imap_port
        return replace(self.server(user, security, **more), port=port)

    @contextmanager
    def imap(self, user: str) -> Iterator[imaplib.IMAP4]:
        """Let another program have the Inbox open; the test speaks for it."""
        with imaplib.IMAP4("127.0.0.1", self.imap_port, 20) as client:
            client.login(user, "pw")
            client.select()
            yield client

    def append(self, user: str, message: bytes) -> str:
        """Put a message into the Inbox over IMAP, and return UIDVALIDITY and UID: "7.1"."""
        with self.imap(user) as client:
            _, (said,) = client.append("INBOX", "", "", message)
        (numbers,) = re.findall(r"APPENDUID (\d+) (\d+)", said.decode())
        return ".".join(numbers)

    def expunge(self, user: str, item_id: str) -> None:
        """Let another program delete what `append` put there."""
        uid = item_id.partition(".")[2]
        with self.imap(user) as client:
            client.uid("STORE", uid, "+FLAGS.SILENT", r"(\Deleted)")
            client.uid("EXPUNGE", uid)

    def renumber(self, user: str) -> None:
        """Give the messages of the Inbox another UIDVALIDITY."""
        uidlist = self.folder / "mail" / user / "dovecot-uidlist"
        version, validity, *more = uidlist.read_text().split(" ")
        uidlist.write_text(" ".join([version, f"V{int(validity[1:]) + 1}", *more]))

    def deliver(self, user: str, message: bytes) -> str:
        """Put a message into a mailbox, as Maildir has it, and return its uidl."""
        box = self.folder / "mail" / user
        for name in ("tmp", "new", "cur"):
            (box / name).mkdir(parents=True, exist_ok=True)
        uidl = f"{next(self.numbers):09}.test"
        file = box / "tmp" / uidl
        file.write_bytes(message)
        _give_to_mail(box, *box.iterdir(), file)
        file.rename(box / "new" / uidl)
        return uidl

    def remove(self, user: str, uidl: str) -> None:
        (found,) = (self.folder / "mail" / user).glob(f"*/{uidl}*")
        found.unlink()


@contextmanager
def dovecot(imap: str = "") -> Iterator[Dovecot]:
    """Run one for the block, with `imap` in its settings; skip the test where none is installed.

    It speaks IMAP, too, if that is installed: a test that needs it asks `HAS_IMAP`.
    """
    if not os.access(PROGRAM, os.X_OK):
        pytest.skip("Dovecot is not installed (Debian's package dovecot-pop3d)")
    # Not pytest's folder: it is closed to the users that Dovecot becomes.
    folder = Path(tempfile.mkdtemp(prefix="syncservice-dovecot-"))
    folder.chmod(0o755)
    try:
        (folder / "mail").mkdir()
        _give_to_mail(folder / "mail")
        with _running(folder, imap) as running:
            yield running
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running(folder: Path, imap: str) -> Iterator[Dovecot]:
    ports = [_free_port() for _ in range(4)]
    server = Dovecot(folder, *ports[:2], certificate(folder / "server.pem"), *ports[2:])
    listens = _IMAP.format(port=server.imap_port, tls_port=server.imap_tls_port)
    mail = _mail_user()
    user, login_user = mail.pw_name, mail.pw_name
    if os.getuid() == 0:  # it insists on two users that own nothing, and its package makes them
        user, login_user = "dovecot", "dovenull"
    config = folder / "dovecot.conf"
    config.write_text(
        _CONFIGURATION.format(
            folder=folder,
            login_user=login_user,
            internal_user=user,
            internal_group=grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name,
            mail_uid=mail.pw_uid,
            mail_gid=mail.pw_gid,
            certificate=server.certificate,
            port=server.port,
            tls_port=server.tls_port,
            protocols="pop3 imap" if HAS_IMAP else "pop3",
            imap=listens + imap if HAS_IMAP else "",
        )
    )
    process = subprocess.Popen([PROGRAM, "-F", "-c", config])
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not (_greets(server.port) and (not HAS_IMAP or _greets(server.imap_port))):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
        yield server
    finally:
        process.terminate()
        process.wait()


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            return connection.recv(3) in (b"+OK", b"* O")
    except ConnectionError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _mail_user() -> pwd.struct_passwd:
    """Who owns the mail: never root, whose mail Dovecot won't open."""
    return pwd.getpwnam("nobody" if os.getuid() == 0 else getpass.getuser())


def _give_to_mail(*paths: Path) -> None:
    user = _mail_user()
    for path in paths:
        os.chown(path, user.pw_uid, user.pw_gid)
