"""DavMail, a gateway that serves an Exchange as IMAP, SMTP, CalDAV and CardDAV, as one process.

It is not ours and does not know the simulator: what it trips over, others would trip over too.
"""

import http.client
import imaplib
import os
import re
import shutil
import smtplib
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAM = shutil.which("davmail")
JAVA = shutil.which("java")
START_SECONDS = 30
ANSWER_SECONDS = 30
CONFIGURATION = """\
davmail.server=true
davmail.mode=EWS
davmail.url={url}
davmail.bindAddress=127.0.0.1
davmail.imapPort={imap}
davmail.smtpPort={smtp}
davmail.caldavPort={dav}
davmail.popPort=
davmail.ldapPort=
davmail.allowRemote=false
davmail.disableUpdateCheck=true
davmail.enableKeepAlive=false
davmail.timezoneId=W. Europe Standard Time
davmail.logFilePath={folder}/davmail.log
log4j.rootLogger=WARN
log4j.logger.davmail=DEBUG
"""


@dataclass(frozen=True)
class DavMail:
    """The running gateway; each login is one of the mailbox behind it."""

    imap_port: int
    smtp_port: int
    dav_port: int

    @contextmanager
    def imap(self, login: str, password: str, folder: str = "INBOX") -> Iterator[imaplib.IMAP4]:
        """An IMAP session with a folder open."""
        with imaplib.IMAP4("127.0.0.1", self.imap_port, ANSWER_SECONDS) as session:
            session.login(login, password)
            session.select(folder)
            yield session

    @contextmanager
    def smtp(self, login: str, password: str) -> Iterator[smtplib.SMTP]:
        """An SMTP session."""
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=ANSWER_SECONDS) as session:
            session.login(login, password)
            yield session

    def dav(self, login: str, password: str) -> "Dav":
        """The calendar and the contacts."""
        return Dav(self.dav_port, login, password)


@dataclass(frozen=True)
class Dav:
    """A plain client of CalDAV and CardDAV."""

    port: int
    login: str
    password: str

    def ask(
        self, method: str, path: str, body: str = "", kind: str = "text/xml"
    ) -> tuple[int, str]:
        """Send one request; the path is below the user's own. Returns status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        token = b64encode(f"{self.login}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": kind, "Depth": "1"}
        whole = path if path.startswith("/") else f"/users/{self.login}/{path}"
        try:
            connection.request(method, whole, body.encode(), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def listed(self, folder: str) -> list[str]:
        """The hrefs of what is in a folder."""
        asked = '<D:propfind xmlns:D="DAV:"><D:prop><D:getetag/></D:prop></D:propfind>'
        status, answer = self.ask("PROPFIND", f"{folder}/", asked)
        assert status == 207, answer
        return [href for href in re.findall("<D:href>(.*?)</D:href>", answer) if href[-1] != "/"]


@contextmanager
def running(url: str, folder: Path) -> Iterator[DavMail]:
    """Run the gateway in front of the EWS at `url`."""
    assert PROGRAM is not None
    davmail = DavMail(free_port(), free_port(), free_port())
    configuration = folder / "davmail.properties"
    configuration.write_text(
        CONFIGURATION.format(
            url=url,
            folder=folder,
            imap=davmail.imap_port,
            smtp=davmail.smtp_port,
            dav=davmail.dav_port,
        )
    )
    environment = {**os.environ, "HOME": str(folder)}
    environment["JAVA_TOOL_OPTIONS"] = f"-Xmx256m -Djava.awt.headless=true -Duser.home={folder}"
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [PROGRAM, "-server", str(configuration)],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        end = time.monotonic() + START_SECONDS
        while not all(map(listens, (davmail.imap_port, davmail.smtp_port, davmail.dav_port))):
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
            said = (folder / "output").read_text()
            assert process.poll() is None, said
            assert time.monotonic() < end, said
        yield davmail
    finally:
        process.terminate()
        process.wait()


def listens(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
