"""A simulator for each test, whose every answer is checked."""

from collections.abc import Callable, Iterator

import pytest
import requests
from exchangelib import IMPERSONATION, Account, Configuration, Credentials, Version
from exchangelib.version import Build
from lxml import etree

from syncservice.simulator.exchange import ExchangeSimulator

from .answers import checked_simulator

ALICE, BOB = "alice@example.test", "bob@example.test"
MAILBOXES = {ALICE: "alice's password", BOB: "bob's password"}
SERVICE_ACCOUNT = ("svc", "service password")
NAMESPACES = {
    "s": "http://schemas.xmlsoap.org/soap/envelope/",
    "m": "http://schemas.microsoft.com/exchange/services/2006/messages",
    "t": "http://schemas.microsoft.com/exchange/services/2006/types",
    "e": "http://schemas.microsoft.com/exchange/services/2006/errors",
}


@pytest.fixture
def simulator() -> Iterator[ExchangeSimulator]:
    with checked_simulator(MAILBOXES, dict([SERVICE_ACCOUNT])) as running:
        yield running


@pytest.fixture
def account_of(simulator: ExchangeSimulator) -> Callable[[str], Account]:
    """exchangelib's account of a mailbox, impersonated by the service account."""
    configuration = Configuration(
        service_endpoint=simulator.ews_url,
        credentials=Credentials(*SERVICE_ACCOUNT),
        auth_type="basic",
        version=Version(Build(15, 1, 2507, 57)),
        max_connections=2,
    )

    def account(address: str) -> Account:
        return Account(
            address, config=configuration, access_type=IMPERSONATION, default_timezone=None
        )

    return account


@pytest.fixture
def alice(account_of: Callable[[str], Account]) -> Account:
    return account_of(ALICE)


@pytest.fixture
def bob(account_of: Callable[[str], Account]) -> Account:
    return account_of(BOB)


class Answer:
    """An answer to a request written by hand."""

    def __init__(self, response: requests.Response) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.content = response.content
        self.root = etree.fromstring(response.content) if response.content[:5] == b"<?xml" else None

    def all(self, path: str) -> list[etree._Element]:
        return [] if self.root is None else self.root.findall(path, NAMESPACES)

    def texts(self, path: str) -> list[str]:
        return [one.text or "" for one in self.all(path)]

    def ids(self, path: str) -> list[str]:
        return [one.get("Id") or "" for one in self.all(path)]

    @property
    def codes(self) -> list[str]:
        """The response codes in their order; of a fault its one."""
        return self.texts(".//m:ResponseCode") or self.texts(".//e:ResponseCode")

    @property
    def order(self) -> list[str]:
        """The names of the first item's properties."""
        items = self.all(".//m:Items/*")
        return [etree.QName(one).localname for one in items[0]] if items else []


Ask = Callable[..., Answer]


@pytest.fixture
def ask(simulator: ExchangeSimulator) -> Iterator[Ask]:
    """Send a request's body written by hand, as Alice unless told otherwise."""
    with requests.Session() as session:
        session.trust_env = False

        def send(body: str, login: str = ALICE, password: str = "", header: str = "") -> Answer:
            password = password or MAILBOXES.get(login) or SERVICE_ACCOUNT[1]
            spaces = " ".join(f'xmlns:{name}="{uri}"' for name, uri in NAMESPACES.items())
            data = (
                f"<?xml version='1.0' encoding='utf-8'?><s:Envelope {spaces}>"
                f"<s:Header>{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
            )
            return Answer(
                session.post(
                    simulator.ews_url,
                    data=data.encode(),
                    auth=(login, password),
                    headers={"Content-Type": "text/xml; charset=utf-8"},
                    timeout=10,
                )
            )

        yield send


def mail(subject: str, sender: str = "carol@elsewhere.test", to: str = ALICE) -> bytes:
    """A small message as RFC 5322 text."""
    return (
        f"From: Carol <{sender}>\r\nTo: {to}\r\nSubject: {subject}\r\n"
        f"Message-ID: <{subject.replace(' ', '.')}@elsewhere.test>\r\n"
        "Date: Mon, 5 Jan 2026 10:00:00 +0100\r\n\r\nGood morning.\r\n"
    ).encode()


@pytest.fixture
def deliver(simulator: ExchangeSimulator) -> Callable[..., str]:
    """Deliver a small message to Alice and return its id."""

    def one(subject: str, mailbox: str = ALICE, folder: str = "inbox") -> str:
        return simulator.control.deliver(mailbox, mail(subject), folder)

    return one


def sync_request(state: str = "", folder: str = "inbox", limit: int = 512) -> str:
    """A SyncFolderItems that asks for ids and subjects."""
    sync_state = f"<m:SyncState>{state}</m:SyncState>" if state else ""
    return (
        "<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>"
        '<t:AdditionalProperties><t:FieldURI FieldURI="item:Subject"/></t:AdditionalProperties>'
        f'</m:ItemShape><m:SyncFolderId><t:DistinguishedFolderId Id="{folder}"/></m:SyncFolderId>'
        f"{sync_state}<m:MaxChangesReturned>{limit}</m:MaxChangesReturned></m:SyncFolderItems>"
    )


def get_request(*ids: str, paths: str = "", mime: bool = False, base: str = "IdOnly") -> str:
    """A GetItem; `paths` are written path elements."""
    more = f"<t:AdditionalProperties>{paths}</t:AdditionalProperties>" if paths else ""
    listed = "".join(f'<t:ItemId Id="{one}"/>' for one in ids)
    with_mime = "<t:IncludeMimeContent>true</t:IncludeMimeContent>" if mime else ""
    return (
        f"<m:GetItem><m:ItemShape><t:BaseShape>{base}</t:BaseShape>{with_mime}{more}</m:ItemShape>"
        f"<m:ItemIds>{listed}</m:ItemIds></m:GetItem>"
    )
