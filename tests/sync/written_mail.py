"""A correspondence as real clients write it, of which the truth is known: who answers what.

`correspond(seed)` invents it. What has to be in the CRM when all has arrived, and what each mail
answers then, is worked out here from the truth, by none of the code under test.
"""

import base64
import enum
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from uuid import UUID

BEGAN = datetime(2026, 3, 2, 8, tzinfo=UTC)
USERS = tuple(f"user{number}@example.test" for number in range(1, 6))
QUEUES = ("support@example.test", "sales@example.test", "billing@example.test")
#: These take all mail, the others only answers.
WANT_ALL = frozenset({USERS[4], *QUEUES[:2]})
OWN = frozenset({*USERS, *QUEUES})
#: Each customer writes from the first address, now and then from the second.
CUSTOMERS = tuple(
    (f"customer{number}@company{number % 7}.test", f"c{number}@private.test")
    for number in range(1, 21)
)
SECOND = dict(CUSTOMERS)
STRANGER = "mallory@evil.test"
BORROWED = 8

PREFIXES = ("Re: ", "AW: ", "RE: ", "Antw: ", "Re: AW: ")
MATTERS = ("Offer", "Invoice", "Delivery", "Complaint", "Visit", "Samples", "Contract", "Prices")


class Client(enum.StrEnum):
    """Which traces of what it answers a client leaves."""

    GMAIL = "In-Reply-To and References"
    IN_REPLY_TO = "In-Reply-To alone"
    REFERENCES = "References alone"
    OUTLOOK = "In-Reply-To, References and Thread-Index"
    EXCHANGE = "Thread-Index alone"
    WEB = "the token in the subject alone"


@dataclass(eq=False)
class Mail:
    """One mail; `parent` is what it answers in truth, whatever of that it says."""

    number: int
    conversation: int
    sender: str
    to: tuple[str, ...]
    subject: str
    cc: tuple[str, ...] = ()
    parent: "Mail | None" = None
    client: Client = Client.GMAIL
    message_id: str = ""
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    index: bytes = b""
    token: str = ""  # in its subject
    is_ours: bool = False  # written in the CRM: it is a record, and lies in nobody's mailbox
    email_id: UUID | None = None  # of that record

    @property
    def at(self) -> datetime:
        return BEGAN + timedelta(minutes=self.number)

    @property
    def thread_index(self) -> str:
        return base64.b64encode(self.index).decode()

    @property
    def people(self) -> frozenset[str]:
        return frozenset({self.sender, *self.to, *self.cc})

    @property
    def receivers(self) -> tuple[str, ...]:
        """Our addresses in whose mailboxes it lies."""
        if self.is_ours:
            return ()
        return tuple(one for one in (*self.to, *self.cc) if one in OWN and one != self.sender)

    @property
    def ancestors(self) -> "Iterator[Mail]":
        """What it goes on with, the nearest first."""
        one = self.parent
        while one is not None:
            yield one
            one = one.parent

    def mime(self, receiver: str) -> bytes:
        """Return its bytes in one mailbox: each server on the way adds something of its own."""
        message = EmailMessage()
        message["Received"] = f"from out.test by in.test for <{receiver}>"
        message["Delivered-To"] = receiver
        message["From"] = self.sender
        message["To"] = ", ".join(self.to)
        if self.cc:
            message["Cc"] = ", ".join(self.cc)
        message["Subject"] = self.subject
        message["Date"] = format_datetime(self.at)
        message["Message-ID"] = self.message_id
        if self.in_reply_to:
            message["In-Reply-To"] = self.in_reply_to
        if self.references:
            message["References"] = " ".join(self.references)
        if self.index:
            message["Thread-Index"] = self.thread_index
        message.set_content(f"Mail {self.number} about {self.subject}.\n")
        return message.as_bytes()

    def __repr__(self) -> str:
        return (
            f"Mail({self.number} of {self.conversation}, {self.client.name}, {self.sender} -> "
            f"{', '.join((*self.to, *self.cc))}, answers {self.parent and self.parent.number})"
        )


class Trace(enum.StrEnum):
    """By which trace a mail's parent is found."""

    NONE = "none"
    HEADER = "header"
    TOKEN = "token"  # a mark in a subject
    INDEX = "index"


@dataclass
class Written:
    """All mails, and what has to come of them."""

    ours: list[Mail] = field(default_factory=list)  # written in the CRM
    mails: list[Mail] = field(default_factory=list)  # that lie in some mailbox

    def in_crm(self) -> set[Mail]:
        """Return the mails that belong in the CRM: some receiver accepts them, now that all came.

        One that is accepted makes its answers answers: so again and again, until nothing changes.
        """
        known = set(self.ours)
        while True:
            more = {one for one in self.mails if one not in known and _is_wanted(one, known)}
            if not more:
                return known
            known |= more


def _is_wanted(mail: Mail, known: set[Mail]) -> bool:
    is_answer = trace_of(mail, known) is not Trace.NONE
    is_internal = mail.sender in USERS
    return any(
        is_answer or (receiver in WANT_ALL and (receiver in QUEUES or not is_internal))
        for receiver in mail.receivers
    )


def trace_of(mail: Mail, known: Iterable[Mail]) -> Trace:
    """Say by which trace it is known, in the end, what a mail answers."""
    if _named(mail, known):
        return Trace.HEADER
    if mail.token and any(one.token == mail.token and one.is_ours for one in mail.ancestors):
        return Trace.TOKEN
    return Trace.INDEX if _of_conversation(mail, known) else Trace.NONE


def parents(mail: Mail, known: set[Mail]) -> set[Mail]:
    """Return which of the `known` a mail may be said to answer, in the end.

    A header, or an index, names the nearest ancestor that there is. A token, and an index none of
    whose ancestors are known, name no more than the conversation.
    """
    match trace_of(mail, known):
        case Trace.HEADER:
            return {_named(mail, known)[0]}
        case Trace.TOKEN:
            return {one for one in known if one.conversation == mail.conversation} - {mail}
        case Trace.INDEX:
            ancestors = [one for one in _index_ancestors(mail) if one in known]
            return set(ancestors[:1]) or set(_of_conversation(mail, known))
    return set()


def _named(mail: Mail, known: Iterable[Mail]) -> list[Mail]:
    names = {mail.in_reply_to, *mail.references}
    return [one for one in mail.ancestors if one.message_id in names and one in known]


def _index_ancestors(mail: Mail) -> list[Mail]:
    return [one for one in mail.ancestors if one.index and mail.index.startswith(one.index)]


def _of_conversation(mail: Mail, known: Iterable[Mail]) -> list[Mail]:
    """Return those of the same conversation that were written before, by their index or Date."""
    if len(mail.index) <= 22:
        return []
    return [
        one
        for one in known
        if one is not mail
        and one.index[:22] == mail.index[:22]
        and (one.at < mail.at or (one.index != mail.index and mail.index.startswith(one.index)))
    ]


# --- Inventing one ------------------------------------------------------------------------------


def correspond(seed: int, mails: int = 200) -> Written:
    """Invent a correspondence with so many mails that lie in some mailbox."""
    writer = _Writer(random.Random(seed))
    while len(writer.written.mails) < mails - BORROWED:
        writer.write_conversation()
    del writer.written.mails[mails - BORROWED :]
    writer.borrow(BORROWED)
    return writer.written


class _Writer:
    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.written = Written()
        self.numbers = 0
        self.conversations = 0

    def write_conversation(self) -> None:
        self.conversations += 1
        thread = [self._root()]
        self._keep(thread[0])
        for _ in range(self.chance.choice((1, 3, 8, 15, 20))):
            # Mostly the last is answered, now and then an earlier one: threads are trees.
            parent = thread[-1] if self.chance.random() < 0.6 else self.chance.choice(thread)
            thread.append(self._answer(parent, thread[0]))
            self._keep(thread[-1])
        if self.chance.random() < 0.4:
            self._keep(self._lie(thread[0].token or "CRM:0999999"))

    def _keep(self, mail: Mail) -> None:
        if mail.is_ours:
            self.written.ours.append(mail)
        elif mail.receivers:  # a user's mail to customers lies nowhere: a gap in the thread
            self.written.mails.append(mail)

    def _mail(self, **facts) -> Mail:
        self.numbers += 1
        host = facts["sender"].partition("@")[2]
        facts.setdefault("message_id", f"<{self.numbers}.{self.chance.randrange(10**9)}@{host}>")
        return Mail(self.numbers, self.conversations, **facts)

    def _root(self) -> Mail:
        user, queue = self.chance.choice(USERS), self.chance.choice(QUEUES)
        customer, other = (first for first, _ in self.chance.sample(CUSTOMERS, 2))
        subject = f"{self.chance.choice(MATTERS)} {self.conversations}"
        index = self._bytes(22) if self.chance.random() < 0.8 else b""
        match self.chance.choice(("crm", "crm", "queue", "queue", "user", "user", "internal")):
            case "crm":
                # The counter has wrapped: each token was given twice, in the end.
                token = f"CRM:0001{self.conversations % 12:03}"
                facts = {"sender": user, "to": (customer, other)[: self.chance.choice((1, 2))]}
                return self._mail(
                    **facts, subject=f"{subject} {token}", token=token, is_ours=True, index=index
                )
            case "queue":
                return self._mail(
                    sender=customer, to=(queue,), cc=(other,), subject=subject, index=index
                )
            case "user":
                return self._mail(sender=customer, to=(user,), subject=subject, index=index)
            case _:
                return self._mail(sender=user, to=(queue,), subject=subject, index=index)

    def _answer(self, parent: Mail, root: Mail) -> Mail:
        sender, to, cc = self._addressed(parent)
        subject, token = self._subject(parent)
        people = {sender, *to, *cc}
        others = [one for one in self.written.ours if one.token == root.token and one is not root]
        shared = people & root.people - (OWN if others else frozenset())
        if token and (not shared or any((people - OWN) & one.people for one in others)):
            subject, token = f"Now about {self.chance.choice(MATTERS)} {self.numbers}", ""
        clients = [Client.GMAIL, Client.IN_REPLY_TO, Client.REFERENCES]
        clients += [Client.OUTLOOK, *[Client.EXCHANGE] * 5] if parent.index else []
        clients += [Client.WEB] * 3 if token else []
        client = self.chance.choice(clients)
        ids = [*(one.message_id for one in reversed(list(parent.ancestors))), parent.message_id]
        references = ids if self.chance.random() < 0.7 else [ids[0], *ids[-2:]]  # some cut them
        names_all = client in (Client.GMAIL, Client.REFERENCES, Client.OUTLOOK)
        names_one = client in (Client.GMAIL, Client.IN_REPLY_TO, Client.OUTLOOK)
        has_index = client in (Client.OUTLOOK, Client.EXCHANGE)
        return self._mail(
            sender=sender,
            to=to,
            cc=cc,
            subject=subject,
            parent=parent,
            client=client,
            in_reply_to=parent.message_id if names_one else "",
            references=tuple(dict.fromkeys(references)) if names_all else (),
            index=parent.index + self._bytes(5) if has_index else b"",
            token=token,
        )

    def _addressed(self, parent: Mail) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """Say who answers a mail, to whom, and with whom in copy."""
        chance = self.chance
        others = sorted(parent.people - {parent.sender} - set(QUEUES)) or [parent.sender]
        sender = chance.choice(others) if chance.random() < 0.9 else parent.sender
        if set(parent.to) & set(QUEUES) and chance.random() < 0.5:
            sender = chance.choice(USERS)  # who works on the queue
        if sender == parent.sender or chance.random() < 0.2:  # again, or passed on
            to = {chance.choice(USERS)}
        else:
            to = {parent.sender}
        copies = set(parent.people) if chance.random() < 0.5 else set()
        if chance.random() < 0.25:
            copies.add(chance.choice(QUEUES))
        if chance.random() < 0.2:
            copies.add(chance.choice(USERS))
        to -= {sender}
        copies -= {sender, *to}
        if not to:
            to, copies = {chance.choice(sorted(set(USERS) - {sender}))}, copies
        copies -= to
        if sender in SECOND and chance.random() < 0.25:
            sender = SECOND[sender]
        return sender, tuple(sorted(to)), tuple(sorted(copies))

    def _subject(self, parent: Mail) -> tuple[str, str]:
        plain = parent.subject
        while ": " in plain and not plain.startswith("CRM:"):
            plain = plain.partition(": ")[2]
        chance = self.chance.random()
        if chance < 0.15:
            return f"Now about {self.chance.choice(MATTERS)} {self.numbers}", ""
        prefix = "Fwd: " if chance < 0.3 else self.chance.choice(PREFIXES)
        return prefix + plain, parent.token

    def borrow(self, count: int) -> None:
        """Let a stranger send mails under Message-IDs of mails in the CRM that were answered."""
        known = self.written.in_crm()
        answered = {one.parent for one in self.written.mails} & known
        self.conversations += 1
        for victim in self.chance.sample(sorted(answered, key=lambda one: one.number), count):
            self._keep(
                self._mail(
                    sender=STRANGER,
                    to=(self.chance.choice(QUEUES[:2]),),
                    subject=f"You have won {self.numbers}",
                    message_id=victim.message_id,
                )
            )

    def _lie(self, token: str) -> Mail:
        """A stranger's mail with a token that was never his."""
        return self._mail(
            sender=f"{self.numbers}.{STRANGER}",
            to=(self.chance.choice(QUEUES[:2]),),
            subject=f"Your order {token}",
        )

    def _bytes(self, size: int) -> bytes:
        return self.chance.randbytes(size)
