"""The mail corpus beside the repository gives the same records over POP3 and over Exchange.

One mail lies in the mailboxes of two colleagues, and one of them may be read over POP3: it has to
be one record, so nothing in it may depend on the way. Real Dovecot, the Exchange simulator.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import Email, IncomingFilter, User
from syncservice.domain.message import parse
from syncservice.mailboxes.models import (
    DeclinedItem,
    FolderCursor,
    Lane,
    Mailbox,
    RemoteItem,
    Schedule,
)
from syncservice.servers.exchange.conversation import ExchangeServer
from syncservice.servers.exchange.incoming import ExchangeIncoming
from syncservice.servers.gateway import Incoming
from syncservice.servers.pop3 import Pop3Incoming
from syncservice.sync.inbox import Inbox
from syncservice.sync.visit import Budget, visit
from tests import factories
from tests.servers.dovecot import dovecot
from tests.simulator.answers import checked_simulator

CORPUS = Path(__file__).parents[3] / "shared" / "mail-corpus"
FILES = sorted(CORPUS.glob("*/*.eml"))
BUDGET = Budget(
    duration=timedelta(minutes=5), messages=1000, bytes=2**28, page_ids=40, batch_messages=15,
    batch_bytes=2**24, message_bytes=2**26,
)  # fmt: skip
COLUMNS = (
    *("message_id", "subject", "text", "html", "sent_at", "references", "in_reply_to"),
    *("conversation_index", "conversation_base", "tracking_token", "subject_hashes", "repairs"),
    *("blocked_attachments", "notice", "correlation", "correlated_to__message_id"),
)
pytestmark = [
    pytest.mark.skipif(not FILES, reason=f"no mail corpus in {CORPUS}"),
    pytest.mark.django_db,
]

Record = dict[str, Any]


@dataclass
class Way:
    """Mailboxes on some server."""

    open: Callable[[str], Incoming]
    deliver: Callable[[str, bytes], str]


@pytest.fixture
def ways() -> Iterator[tuple[Way, Way]]:
    with dovecot() as post, checked_simulator() as simulator:
        control = simulator.control
        control.create_service_account("svc", "pw")
        control.create_mailboxes({address_of(number): None for number in range(len(FILES))})
        server = ExchangeServer(simulator.ews_url, "svc", "pw", "basic", impersonate=True)
        yield (
            Way(lambda address: Pop3Incoming(post.server(address)), post.deliver),
            Way(lambda address: ExchangeIncoming(server, address), control.deliver),
        )


def address_of(number: int) -> str:
    return f"user{number}@example.test"


def shelves() -> list[list[Path]]:
    """Return the files so that no shelf has two that are one message: it would be one record.

    The corpus has many variants of a few messages, and the first to come makes the record.
    """
    known: Counter[tuple[str, str]] = Counter()
    found: list[list[Path]] = []
    for path in FILES:
        message = parse(path.read_bytes())
        place = known[message.message_id, message.fingerprint]
        known[message.message_id, message.fingerprint] += 1
        if place == len(found):
            found.append([])
        found[place].append(path)
    return found


def read(way: Way, box: Mailbox, paths: list[Path]) -> dict[str, Record]:
    """Visit a mailbox with some files in it; return what each became, and empty the CRM."""
    address = box.email_address
    files = {
        way.deliver(address, path.read_bytes()): f"{path.parent.name}/{path.stem}" for path in paths
    }
    with way.open(address) as gateway:
        outcome = visit(gateway, Inbox(factories.claim(box), 1), BUDGET, lambda: 0.0)
    assert outcome.fault is None
    found = {files[item]: record for item, record in records(box)}
    assert found.keys() == set(files.values())
    Email.objects.all().delete()
    RemoteItem.objects.all().delete()
    DeclinedItem.objects.all().delete()
    ItemFailure.objects.all().delete()
    return found


def records(box: Mailbox) -> Iterator[tuple[str, Record]]:
    for link in RemoteItem.objects.filter(mailbox=box).select_related("email"):
        yield link.item_id, {"became": "email"} | of_email(link.email)
    # Not its size and receipt: a server counts line ends as it sends them, and POP3 tells no time.
    declined = ("reason", "message_id", "answers", "sender", "subject")
    for one in DeclinedItem.objects.filter(mailbox=box).values("item_id", *declined):
        yield one.pop("item_id"), {"became": f"declined: {one['reason']}"} | one
    failed = ("code", "reason", "state", "attempts", "subject")
    for one in ItemFailure.objects.filter(mailbox=box).values("item_id", *failed):
        yield one.pop("item_id"), {"became": f"failed: {one['code']}"} | one


def of_email(email: Email) -> Record:
    facts = Email.objects.values(*COLUMNS).get(pk=email.pk)
    parties = email.parties.order_by("pk").values_list("participation", "address", "name")
    facts["parties"] = list(parties)
    facts["attachments"] = [
        (
            one.position, one.filename, one.content_type, one.content_id, one.is_inline,
            bytes(one.body.content),
        )
        for one in email.attachments.select_related("body")
    ]  # fmt: skip
    # Two notes without id and date may be two messages, so then the server's item counts.
    facts["identity"] = email.identity if email.message_id or email.sent_at else ""
    return facts


def ended(value: Any) -> Any:
    """Return text without its last line's end: POP3 gives that to who sent none (RFC 1939).

    The Exchange simulator gives back the bytes that it was given.
    """
    return value.removesuffix("\n") if isinstance(value, str) else value


@pytest.mark.parametrize("wanted", [IncomingFilter.ALL, IncomingFilter.IN_RESPONSE])
def test_the_corpus_becomes_the_same_over_pop3_and_over_exchange(ways, wanted) -> None:
    found: list[dict[str, Record]] = [{}, {}]
    for number, paths in enumerate(shelves()):
        address = address_of(number)
        owner = User.objects.create(username=address, email=address, incoming_filter=wanted)
        box = factories.mailbox(owner=owner)
        for way, became in zip(ways, found, strict=True):
            Schedule.objects.update(due_at=None, claimed_at=None)
            Schedule.objects.filter(mailbox=box, lane=Lane.INCOMING).update(due_at=Now())
            became |= read(way, box, paths)
            FolderCursor.objects.all().delete()
    pop3, exchange = found
    both = {
        f"{file}: {name}": (pop3[file].get(name), exchange[file].get(name))
        for file in pop3
        for name in pop3[file].keys() | exchange[file].keys()
    }
    differing = {what: pair for what, pair in both.items() if pair[0] != pair[1]}
    wrong = {what: pair for what, pair in differing.items() if ended(pair[0]) != ended(pair[1])}
    kinds = Counter(record["became"] for record in pop3.values())
    files = sum(len(record.get("attachments", ())) for record in pop3.values())
    print(
        f"corpus_both_ways  wanted={wanted.name}  messages={len(pop3)}  values={len(both)}  "
        f"attachments={files}  wrong={len(wrong)}  differing={sorted(differing)}  {dict(kinds)}"
    )
    assert len(pop3) == len(FILES)
    assert wrong == {}
    assert all(what.endswith(": text") for what in differing)
