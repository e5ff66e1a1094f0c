"""Rights-managed email on real conversations: what each server tells of it is enough (F120)."""

from collections.abc import Iterator
from email.message import EmailMessage

import pytest
import requests

from syncservice.alerts import whereabouts
from syncservice.mailboxes.models import DeclinedItem, EmailServerProfile, Organisation
from syncservice.simulator.exchange import ExchangeSimulator
from tests.memory_gateway import mime
from tests.servers.dovecot import Dovecot, dovecot
from tests.servers.visited import Visited
from tests.simulator.answers import checked_simulator

pytestmark = pytest.mark.django_db

ADDRESS = "user@rights.test"


@pytest.fixture(autouse=True)
def switched_on() -> None:
    Organisation.current()
    Organisation.objects.update(leaves_out_rights_managed=True)


@pytest.fixture
def simulator() -> Iterator[ExchangeSimulator]:
    with checked_simulator({ADDRESS: "pw"}, {"svc": "pw"}) as running:
        yield running


@pytest.fixture(scope="module")
def post() -> Iterator[Dovecot]:
    with dovecot() as running:
        yield running


def protected(subject: str) -> bytes:
    """A message as Exchange protects it, without the header field that some servers drop."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ann@customer.test", ADDRESS, subject
    message["Message-ID"] = f"<{subject}@customer.test>"
    message.set_content("This message is protected.\n")
    message.add_attachment(
        b"\x76\xe8\x04\x60\xc4\x11\xe3\x86", maintype="application",
        subtype="x-microsoft-rpmsg-message", filename="message.rpmsg",
    )  # fmt: skip
    return message.as_bytes()


def keep_with_class(simulator: ExchangeSimulator, subject: str, item_class: str) -> None:
    """Put a message into the Inbox that nothing but its item class marks; exchangelib sets none."""
    kinds = "http://schemas.microsoft.com/exchange/services/2006"
    answer = requests.post(
        simulator.ews_url,
        auth=(ADDRESS, "pw"),
        timeout=10,
        headers={"Content-Type": "text/xml; charset=utf-8"},
        data='<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        f'xmlns:m="{kinds}/messages" xmlns:t="{kinds}/types"><s:Body>'
        '<m:CreateItem MessageDisposition="SaveOnly"><m:SavedItemFolderId>'
        '<t:DistinguishedFolderId Id="inbox"/></m:SavedItemFolderId><m:Items><t:Message>'
        f"<t:ItemClass>{item_class}</t:ItemClass><t:Subject>{subject}</t:Subject>"
        "</t:Message></m:Items></m:CreateItem></s:Body></s:Envelope>",
    )
    assert "NoError" in answer.text


def left_out() -> dict[str, str]:
    return dict(DeclinedItem.objects.values_list("subject", "reason"))


def test_exchange_tells_it_by_item_class_by_header_and_by_attachment(simulator) -> None:
    keep_with_class(simulator, "class", "IPM.Note.rpmsg.Microsoft.Voicemail.UM")
    header = b"Content-Class: rpmsg.message\r\n" + mime("header", to=ADDRESS)
    for message in (header, protected("attachment"), mime("open", to=ADDRESS)):
        simulator.control.deliver(ADDRESS, message)
    box = Visited(ADDRESS, location=simulator.ews_url, username="svc", password="pw")
    box.visit_until_done()
    assert box.stored == ["open"]
    reasons = dict.fromkeys(("class", "header", "attachment"), DeclinedItem.Why.RIGHTS_MANAGED)
    assert left_out() == reasons
    (found,) = whereabouts.find(box.box, whereabouts.Search(subject="header"), 5)
    assert (found.place, found.why) == (
        whereabouts.Place.DECLINED,
        "its rights are managed (IRM)",
    )


def test_pop3_tells_it_by_what_the_message_carries(post) -> None:
    post.deliver(ADDRESS, protected("secret"))
    post.deliver(ADDRESS, mime("open", to=ADDRESS))
    server = post.server(ADDRESS)
    box = Visited(
        ADDRESS, server_type=EmailServerProfile.ServerType.POP3_SMTP, location=server.host,
        port=server.port, security=EmailServerProfile.Security.NONE, outgoing_location=server.host,
        username=server.username, password=server.password, use_impersonation=False,
    )  # fmt: skip
    box.visit_until_done()
    assert box.stored == ["open"]
    assert left_out() == {"secret": DeclinedItem.Why.RIGHTS_MANAGED}
