"""Sending over SMTP, cut off at every step: a message is sent, or not, or said to be unknown.

aiosmtpd is the server and counts what it took; the steps of the protocol are its own, behind TLS.
`pytest -s` prints the table of cut points and what came of each.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from syncservice.domain.faults import FaultError
from syncservice.servers.gateway import Accepted, MailObject, OutcomeUnknown, Whereabouts
from syncservice.servers.mail_server import MailServer, Security
from syncservice.servers.smtp import SmtpOutgoing
from tests.servers.any_port import AnyPort
from tests.servers.certificates import certificate

ANN, BOB = "ann@customer.test", "bob@customer.test"
#: More than the buffers of both sides take: who is cut off in it can't have come to its end.
LONG = b"Subject: long\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 998 + b"\r\n") * 2**14
#: Beside that the text is half done, where a connection may end.
STEPS = (
    "greeting", "EHLO", "STARTTLS", "EHLO in TLS", "AUTH", "MAIL", "RCPT ann", "RCPT bob", "DATA",
    "the dot", "QUIT",
)  # fmt: skip


@dataclass
class Office:
    """What the server knows, and where it ends the next connection: "MAIL, on its way", for one.

    On its way a step is lost before it is done; done, it is its answer that is lost.
    """

    pipelines: bool
    cut_at: str = ""
    connections: int = 0
    delivered: list[tuple[bytes, list[str]]] = field(default_factory=list)
    is_cut: threading.Event = field(default_factory=threading.Event)
    conversation: "Conversation | None" = None

    async def handle_EHLO(self, server, session, envelope, hostname, responses) -> list[str]:
        session.host_name = hostname
        if self.pipelines:
            responses.insert(1, "250-PIPELINING")
        return responses

    async def handle_DATA(self, server, session, envelope) -> str:
        self.delivered.append((envelope.content, envelope.rcpt_tos))
        return "250 taken"

    def cut_now(self) -> None:
        """End the connection as it is, and return when the server knows no more of it."""
        conversation = self.conversation
        conversation.loop.call_soon_threadsafe(conversation.transport.abort)
        assert self.is_cut.wait(20)


class Conversation(SMTP):
    """aiosmtpd's, which ends where its office says."""

    step = "greeting"
    lines = 0  # of the text

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        office = self.event_handler
        if self._original_transport is None:
            office.connections += 1
            office.conversation = self
            self._read = self._reader.readuntil
            self._reader.readuntil = self._read_on

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.event_handler.is_cut.set()

    async def _read_on(self, separator: bytes = b"\n") -> bytes:
        line: bytes = await self._read(separator)
        if self.step == "DATA" and line != b".\r\n":
            self.lines += 1
            if self.lines == 3:
                await self._cut("half of the text")
            return line
        self.step = self._name(line)
        await self._cut(f"{self.step}, on its way")
        return line

    def _name(self, line: bytes) -> str:
        if line == b".\r\n":
            return "the dot"
        word = line[:8].decode().split()[0].upper()
        if word == "EHLO" and self.session.ssl is not None:
            return "EHLO in TLS"
        return f"RCPT {line[9:12].decode()}" if word == "RCPT" else word

    async def push(self, status: str) -> None:
        if self.step == "greeting":
            await self._cut("greeting, on its way")
            await super().push(status)
            await self._cut("greeting, done")
            return
        await self._cut(f"{self.step}, done")
        await super().push(status)
        if self.step == "the dot":
            await self._cut("the dot's answer, done")

    async def _cut(self, point: str) -> None:
        if self.event_handler.cut_at == point:
            self.event_handler.cut_at = ""
            self.transport.abort()
            await self.loop.create_future()  # until the end of the connection ends this


class Listener(AnyPort):
    def factory(self) -> Conversation:
        return Conversation(self.handler, **self.SMTP_kwargs)


@pytest.fixture(params=[False, True], ids=["one by one", "at once"])
def office(request) -> Office:
    return Office(pipelines=request.param)


@pytest.fixture
def server(office, tmp_path) -> Iterator[MailServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path / "server.pem"))
    controller = Listener(
        office,
        hostname="127.0.0.1",
        port=0,
        ready_timeout=20,
        authenticator=lambda *_: AuthResult(success=True),
        auth_required=True,
        tls_context=context,
        require_starttls=True,
    )
    controller.start()
    assert office.is_cut.wait(20)  # the controller's own connection, to see whether it listens
    office.is_cut.clear()
    office.connections = 0
    try:
        yield MailServer(
            "127.0.0.1", controller.port, Security.STARTTLS, "ann", "pw", verify_tls=False
        )
    finally:
        controller.stop()


def letter(text: bytes = b"Subject: short\r\n\r\nshort\r\n") -> MailObject:
    return MailObject(message_id="<1@example.test>", mime=text, forward_paths=(ANN, BOB))


@dataclass
class Attempt:
    """What came of sending."""

    error: FaultError | None
    is_announced: bool
    delivered: int

    @property
    def fault(self) -> str:
        return "none" if self.error is None else self.error.fault.code


def attempt(
    gateway: SmtpOutgoing, office: Office, mail: MailObject, then: Callable[[], None] | None = None
) -> Attempt:
    """Send; `then`: what is done when the handover is announced."""
    before = len(office.delivered)
    announced = []

    def announce() -> None:
        announced.append(1)
        if then is not None:
            then()

    error = None
    try:
        assert gateway.send(mail, announce) == Accepted()
    except FaultError as caught:
        error = caught
    assert len(announced) <= 1
    return Attempt(error, bool(announced), len(office.delivered) - before)


def show(office: Office, cut: str, came: Attempt) -> None:
    way = "at once" if office.pipelines else "one by one"
    handover = "announced" if came.is_announced else "not announced"
    print(f"\n{way:11} {cut:26} {came.fault:21} {handover:14} delivered={came.delivered}", end="")


BEFORE = [f"{step}, {side}" for step in STEPS[:-2] for side in ("on its way", "done")]


@pytest.mark.parametrize("cut", [*BEFORE, "half of the text"])
def test_cut_before_the_handover_nothing_is_sent_and_the_next_attempt_sends_it(office, server, cut):
    mail = letter(LONG if cut == "half of the text" else letter().mime)
    with SmtpOutgoing(server, "user@example.test") as gateway:
        office.cut_at = cut
        came = attempt(gateway, office, mail)
        show(office, cut, came)
        assert (came.fault, came.is_announced, came.delivered) == ("smtp.connection_lost", False, 0)
        assert not isinstance(came.error, OutcomeUnknown)
        assert office.cut_at == ""

        again = attempt(gateway, office, letter())
        assert (again.error, again.delivered) == (None, 1)
    assert office.delivered == [(letter().mime, [ANN, BOB])]


@pytest.mark.parametrize(
    ("cut", "delivered"),
    [("the whole text", 0), ("the dot, on its way", 0), ("the dot, done", 1)],
)
def test_cut_in_the_handover_nobody_knows_what_became_of_it(office, server, cut, delivered):
    with SmtpOutgoing(server, "user@example.test") as gateway:
        office.cut_at = cut
        came = attempt(
            gateway, office, letter(), office.cut_now if cut == "the whole text" else None
        )
        show(office, cut, came)
        assert (came.fault, came.delivered) == ("smtp.outcome_unknown", delivered)
        assert isinstance(came.error, OutcomeUnknown)
        assert came.is_announced
        assert gateway.look_up(letter()) is Whereabouts.UNKNOWN


@pytest.mark.parametrize("cut", ["the dot's answer, done", "QUIT, on its way", "QUIT, done"])
def test_cut_when_the_answer_is_there_the_message_is_sent(office, server, cut):
    with SmtpOutgoing(server, "user@example.test") as gateway:
        office.cut_at = cut
        came = attempt(gateway, office, letter())
    show(office, cut, came)
    assert (came.fault, came.is_announced, came.delivered) == ("none", True, 1)
    assert office.cut_at == ""


@pytest.mark.parametrize("cut", [one for one in BEFORE if one[:4] in ("MAIL", "RCPT", "DATA")])
def test_cut_before_a_later_message_it_is_sent_over_another_connection(office, server, cut):
    with SmtpOutgoing(server, "user@example.test") as gateway:
        assert attempt(gateway, office, letter()).delivered == 1
        office.cut_at = cut
        came = attempt(gateway, office, letter())
        show(office, f"2nd: {cut}", came)
        assert (came.fault, came.is_announced, came.delivered) == ("none", True, 1)
    assert (office.connections, office.cut_at) == (2, "")


def test_a_server_that_closed_its_side_when_the_answer_was_there_gets_the_next_message_anew(
    office, server
):
    with SmtpOutgoing(server, "user@example.test") as gateway:
        office.cut_at = "the dot's answer, done"
        assert attempt(gateway, office, letter()).delivered == 1
        assert office.is_cut.wait(20)  # the server knows no more of it
        assert attempt(gateway, office, letter()).delivered == 1
    assert (office.connections, len(office.delivered)) == (2, 2)
