"""Correspondence that comes in any order into several mailboxes at once ends in one state."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.functions import Now
from hypothesis import given, settings
from hypothesis import strategies as st

from syncservice.alerts.models import ItemFailure
from syncservice.crm.models import (
    Account,
    ActivityParty,
    Contact,
    Email,
    IncomingFilter,
    Queue,
    QueueItem,
    User,
)
from syncservice.domain.correlation import Letter, Method, Switches, conversation_base
from syncservice.domain.smart_matching import SmartMatching
from syncservice.mailboxes import administration, schedule
from syncservice.mailboxes.models import (
    DeclinedItem,
    Lane,
    Mailbox,
    Organisation,
    RemoteItem,
    Schedule,
)
from syncservice.mailboxes.schedule import Claim
from syncservice.servers.gateway import SENT_ITEMS
from syncservice.sync import correspondence
from syncservice.sync.inbox import Inbox
from syncservice.sync.visit import Budget, Outcome, visit
from tests import factories
from tests.memory_gateway import MemoryIncoming, MemoryOrganised, MemoryServer
from tests.sync.written_mail import (
    CUSTOMERS,
    QUEUES,
    USERS,
    WANT_ALL,
    Mail,
    Trace,
    Written,
    correspond,
    parents,
    trace_of,
)

BUDGET = Budget(
    duration=timedelta(minutes=5),
    messages=10_000,
    bytes=2**30,
    page_ids=5,
    batch_messages=3,
    batch_bytes=2**20,
    message_bytes=2**20,
)
LEASE = timedelta(minutes=5)
METHODS = {
    Trace.NONE: Method.NONE,
    Trace.HEADER: Method.IN_REPLY_TO,
    Trace.TOKEN: Method.TRACKING_TOKEN,
    Trace.INDEX: Method.CONVERSATION_INDEX,
}


@dataclass
class Post:
    """Mailboxes of users and queues, each with a server of its own, and what lies in them."""

    boxes: dict[str, Mailbox]
    servers: dict[str, MemoryServer]
    coming: dict[str, list[Mail]] = field(default_factory=lambda: defaultdict(list))
    items: dict[tuple[int, str], Mail] = field(default_factory=dict)  # by mailbox and item
    outcomes: list[Outcome] = field(default_factory=list)
    called_back: int = 0

    @classmethod
    def of(cls, written: Written) -> "Post":
        Organisation.current()
        wants = {
            one: IncomingFilter.ALL if one in WANT_ALL else IncomingFilter.IN_RESPONSE
            for one in (*USERS, *QUEUES)
        }
        owners: list[User | Queue] = [
            User.objects.create(username=one, email=one, incoming_filter=wants[one])
            for one in USERS
        ]
        owners += [
            Queue.objects.create(name=one, email_address=one, incoming_filter=wants[one])
            for one in QUEUES
        ]
        # One knows half of the customers, and of some of these both addresses.
        for number, (first, second) in enumerate(CUSTOMERS[:10]):
            Contact.objects.create(
                last_name=first, email_address=first, email_address2=second * (number % 2)
            )
        profile = factories.profile()
        boxes = [factories.mailbox(owner=owner, profile=profile) for owner in owners]
        for mail in written.ours:
            _write_in_crm(mail)
        return cls(
            {box.email_address: box for box in boxes},
            {box.email_address: MemoryServer() for box in boxes},
        )

    def will_come(self, mails: Sequence[Mail], order: random.Random) -> None:
        """Let each mail come into the mailboxes of all its receivers, in no order."""
        for mail in mails:
            for receiver in mail.receivers:
                self.coming[receiver].append(mail)
        for waiting in self.coming.values():
            order.shuffle(waiting)

    def come(self, *mails: Mail, only: str = "", organised: bool = False) -> None:
        """Let mails come, and visit one mailbox after the other, with its other folders or not."""
        for mail in mails:
            for receiver in [only] if only else mail.receivers:
                self.coming[receiver].append(mail)
        for address in self.boxes:
            self._deliver(address, len(mails))
        for claim in self._due():
            assert self._visit(claim, organised=organised).fault is None

    def visit_until_quiet(self, order: random.Random) -> None:
        """Let some more mail come and visit all mailboxes at once, until nothing happens."""
        with ThreadPoolExecutor(len(self.boxes)) as threads:
            while True:
                is_all = not any(self.coming.values())
                for address in self.boxes:
                    self._deliver(address, order.randint(3, 12))
                outcomes = list(threads.map(_in_thread(self._visit), self._due()))
                self.outcomes += outcomes
                wanted = DeclinedItem.objects.filter(is_wanted=True).count()
                self.called_back += wanted
                if is_all and not wanted and not any(one.handled for one in outcomes):
                    return

    def _deliver(self, address: str, number: int) -> None:
        waiting = self.coming[address]
        now, self.coming[address] = waiting[:number], waiting[number:]
        for mail in now:
            (item_id,) = self.servers[address].deliver(mail.mime(address))
            self.items[self.boxes[address].pk, item_id] = mail

    def _due(self) -> list[Claim]:
        Schedule.objects.update(due_at=Now(), claimed_at=None)
        found = schedule.claim_due(1000, LEASE).messages
        return [Claim(mailbox_id, Lane(lane), fence) for mailbox_id, lane, fence in found]

    def _visit(self, claim: Claim, *, organised: bool = False) -> Outcome:
        (address,) = (one for one, box in self.boxes.items() if box.pk == claim.mailbox_id)
        begun = schedule.begin(claim, LEASE).claim
        ticks = count()
        return visit(
            MemoryIncoming(self.servers[address]),
            Inbox(begun, item_attempts=3),
            BUDGET,
            lambda: next(ticks) * 0.01,
            organised=MemoryOrganised(self.servers[address]) if organised else None,
        )

    def links(self) -> dict[tuple[int, str], UUID]:
        rows = RemoteItem.objects.values_list("mailbox", "item_id", "email")
        return {(mailbox, item_id): email for mailbox, item_id, email in rows}


def _in_thread(work: Callable[[Claim], Outcome]) -> Callable[[Claim], Outcome]:
    def done(claim: Claim) -> Outcome:
        try:
            return work(claim)
        finally:
            connection.close()  # this thread's own

    return done


def _write_in_crm(mail: Mail) -> None:
    about = Account.objects.get_or_create(name=f"Account {mail.conversation}")[0]
    email = Email.objects.create(
        direction=Email.Direction.OUTGOING,
        status=Email.Status.SENT,
        identity=f"ours-{mail.number}",
        message_id=mail.message_id,
        conversation_index=mail.thread_index,
        conversation_base=conversation_base(mail.index),
        tracking_token=mail.token,
        subject=mail.subject,
        sent_at=mail.at,
        regarding_account=about,
    )
    mail.email_id = email.pk
    roles = [(1, mail.sender), *((2, one) for one in mail.to), *((3, one) for one in mail.cc)]
    for role, address in roles:
        ActivityParty.objects.create(email=email, participation=role, address=address)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(3, 13))]
)
def test_mail_in_any_order_and_in_many_mailboxes_at_once_ends_in_one_state(seed: int) -> None:
    written = correspond(seed)
    post = Post.of(written)
    order = random.Random(seed)
    post.will_come(written.mails, order)
    post.visit_until_quiet(order)

    assert [one.fault for one in post.outcomes if one.fault] == []
    assert not ItemFailure.objects.exists()
    known = written.in_crm()
    links = post.links()
    records = _records(post, links, known)
    found = _answers(written, records, known)
    print(
        f"correspondence  seed={seed}  mails={len(written.mails)}  items={len(post.items)}  "
        f"records={len(known) - len(written.ours)}  "
        f"declined={sum(one.declined for one in post.outcomes)}  "
        f"called_back={post.called_back}  {found}"
    )
    assert post.called_back
    assert not found.wrong
    _are_queued(records, known)
    _are_about_something()


def _records(post: Post, links: dict[tuple[int, str], UUID], known: set[Mail]) -> dict[Mail, UUID]:
    """Return each mail's one record, after a look at who has a link and who a refusal."""
    declined = set(DeclinedItem.objects.values_list("mailbox", "item_id"))
    assert links.keys() | declined == post.items.keys()
    assert not links.keys() & declined
    wanted = {item for item, mail in post.items.items() if mail in known}
    assert [post.items[item] for item in wanted - links.keys()] == []  # not in the CRM, or not here
    assert [post.items[item] for item in links.keys() - wanted] == []  # by mistake
    emails = defaultdict(set)
    for item, email in links.items():
        emails[post.items[item]].add(email)
    assert [mail for mail, ids in emails.items() if len(ids) > 1] == []  # doubled
    records = {mail: next(iter(ids)) for mail, ids in emails.items()}
    assert len(set(records.values())) == len(records)  # swallowed by another
    assert Email.objects.count() == len(known)
    return records | {mail: mail.email_id for mail in known if mail.is_ours}


@dataclass
class Answers:
    """How many mails were found to answer what they do, by method, and which were not."""

    right: Counter[str] = field(default_factory=Counter)
    clients: Counter[str] = field(default_factory=Counter)
    none: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        methods = "  ".join(f"{name}={number}" for name, number in sorted(self.right.items()))
        clients = ",".join(f"{name}:{number}" for name, number in sorted(self.clients.items()))
        return (
            f"answers={sum(self.right.values())}  none={self.none}  wrong={len(self.wrong)}  "
            f"{methods}  clients={clients}"
        )


def _answers(written: Written, records: dict[Mail, UUID], known: set[Mail]) -> Answers:
    mails = {email: mail for mail, email in records.items()}
    found = Answers()
    for email in Email.objects.filter(direction=Email.Direction.INCOMING):
        mail = mails[email.pk]
        trace, may_be = trace_of(mail, known), parents(mail, known)
        parent = mails[email.correlated_to_id] if email.correlated_to_id else None
        names_parent = trace in (Trace.HEADER, Trace.INDEX)
        is_right = (
            email.correlation == METHODS[trace]
            and email.parent_id == (email.correlated_to_id if names_parent else None)
            and (parent in may_be if may_be else parent is None)
        )
        if not is_right:
            method = Method(email.correlation).name
            found.wrong.append(f"{mail!r} should by {trace} {may_be}, is by {method} to {parent}")
        elif parent is None:
            found.none += 1
        else:
            found.right[trace] += 1
            found.clients[mail.client.name] += 1
    return found


def _are_queued(records: dict[Mail, UUID], known: set[Mail]) -> None:
    """Each mail waits once in every queue that takes it, in whatever order its answers came."""
    rows = QueueItem.objects.values_list("queue__email_address", "email")
    queued = Counter(rows)
    assert max(queued.values()) == 1
    due = {(one, mail) for mail in known for one in mail.receivers if one in QUEUES}
    answers = {mail for mail in known if trace_of(mail, known) is not Trace.NONE}
    print(f"queued={len(queued)}")
    assert set(queued) == {
        (one, records[mail]) for one, mail in due if one in WANT_ALL or mail in answers
    }


def _are_about_something() -> None:
    """An answer is about something when what it answers is."""
    emails = Email.objects.exclude(correlated_to=None)
    lost = emails.filter(regarding_account=None, correlated_to__regarding_account__isnull=False)
    print(f"about={emails.exclude(regarding_account=None).count()}")
    assert not lost.exists()


# --- What the many showed, one by one ------------------------------------------------------------


@pytest.fixture
def post(db) -> Post:
    return Post.of(Written())


def mail(number: int, sender: str, *to: str, **facts) -> Mail:
    facts = {"subject": f"mail {number}", "message_id": f"<{number}@x.test>", **facts}
    return Mail(number, 1, sender, to, **facts)


def parent_of(number: int) -> str:
    """Return the subject of the email that one answers; '': of none."""
    parent = Email.objects.get(message_id=f"<{number}@x.test>", text__contains=f"Mail {number} ")
    return parent.correlated_to.subject if parent.correlated_to else ""


def subjects() -> list[str]:
    return sorted(Email.objects.values_list("subject", flat=True))


ANN, BOB = CUSTOMERS[0][0], CUSTOMERS[1][0]
ASKS, ALL, QUEUE, BILLING = USERS[0], USERS[4], QUEUES[0], QUEUES[2]
BEGIN = bytes(range(22))


def test_a_colleagues_answer_that_came_before_its_question_is_called_back(post) -> None:
    post.come(mail(2, USERS[1], ASKS, in_reply_to="<1@x.test>"))
    assert subjects() == []
    post.come(mail(1, ANN, QUEUE))
    post.come()
    assert subjects() == ["mail 1", "mail 2"]


def test_an_answer_by_its_index_alone_is_called_back(post) -> None:
    post.come(mail(2, ANN, ASKS, index=BEGIN + b"later"))
    assert subjects() == []
    post.come(mail(1, ANN, QUEUE, index=BEGIN))
    post.come()
    assert subjects() == ["mail 1", "mail 2"]
    assert parent_of(2) == "mail 1"


def test_an_answer_moves_below_the_nearer_ancestor_of_its_index(post) -> None:
    post.come(mail(1, ANN, QUEUE, index=BEGIN))
    post.come(mail(3, ANN, QUEUE, index=BEGIN + b"2nd..3rd.."))
    assert parent_of(3) == "mail 1"
    post.come(mail(2, ANN, QUEUE, index=BEGIN + b"2nd.."))
    assert parent_of(3) == "mail 2"


def test_of_two_answers_with_an_index_neither_answers_the_other(post) -> None:
    post.come(mail(1, ANN, QUEUE, index=BEGIN))
    post.come(mail(2, ANN, QUEUE, index=BEGIN + b"one.."))
    post.come(mail(3, BOB, QUEUE, index=BEGIN + b"two.."))
    assert (parent_of(2), parent_of(3)) == ("mail 1", "mail 1")


def test_an_answer_moves_below_any_mail_that_it_refers_to(post) -> None:
    """What it answers by its In-Reply-To lies in no mailbox, as most of what users write."""
    references = ("<1@x.test>", "<2@x.test>", "<3@x.test>")
    post.come(mail(4, ANN, QUEUE, in_reply_to="<3@x.test>", references=references))
    assert parent_of(4) == ""
    for number in (1, 2):
        post.come(mail(number, ANN, QUEUE))
        assert parent_of(4) == f"mail {number}"


def test_a_borrowed_message_id_that_came_first_keeps_no_answer(post) -> None:
    borrowed = mail(2, "mallory@evil.test", QUEUE, message_id="<1@x.test>")
    post.come(borrowed)
    post.come(mail(3, ANN, ALL, in_reply_to="<1@x.test>"))
    assert parent_of(3) == "mail 2"
    post.come(mail(1, ANN, ALL))
    assert parent_of(3) == "mail 1"


def test_a_token_that_found_nothing_marks_no_mail_of_the_batch(post) -> None:
    post.come(
        mail(1, ANN, QUEUE, subject="one CRM:0001001"),
        mail(2, ANN, QUEUE, subject="two CRM:0001001"),
    )
    assert (parent_of(1), parent_of(2)) == ("", "")


def test_an_answer_from_a_third_address_is_one_though_the_second_answered(post) -> None:
    _write_in_crm(mail(1, ASKS, ANN, subject="ours CRM:0001001", token="CRM:0001001"))
    post.come(mail(2, "ann@home.test", ASKS, subject="Re: ours CRM:0001001"))
    post.come(mail(3, "ann@away.test", ASKS, subject="Re: ours CRM:0001001"))
    assert (parent_of(2), bool(parent_of(3))) == ("ours CRM:0001001", True)


def test_a_token_is_not_a_strangers_because_an_answer_went_to_the_same_queue(post) -> None:
    _write_in_crm(mail(1, ASKS, ANN, subject="ours CRM:0001001", token="CRM:0001001"))
    post.come(mail(2, ANN, QUEUE, ASKS, subject="Re: ours CRM:0001001"))
    post.come(mail(3, "mallory@evil.test", QUEUE, subject="yours CRM:0001001"))
    assert (parent_of(2), parent_of(3)) == ("ours CRM:0001001", "")


def test_our_own_answer_leaves_a_token_certain(post) -> None:
    """It was written in a mail program, and found in Sent Items."""
    _write_in_crm(mail(1, ASKS, ANN, subject="ours CRM:0001001", token="CRM:0001001"))
    administration.change_organisation("tests", tracks_sent_items=True)
    answer = mail(2, ASKS, ANN, subject="Re: ours CRM:0001001", in_reply_to="<1@x.test>")
    post.servers[ASKS].deliver(answer.mime(ANN), folder=SENT_ITEMS)
    post.come(organised=True)
    assert Email.objects.get(message_id="<2@x.test>").direction == Email.Direction.OUTGOING
    post.come(mail(3, "ann@away.test", ASKS, subject="Re: ours CRM:0001001"))
    assert parent_of(3) != ""


def test_what_answers_answers_is_about_what_the_first_is_about(post) -> None:
    """They come the last first."""
    post.come(mail(4, ANN, QUEUE, in_reply_to="<3@x.test>"))
    post.come(mail(3, ANN, QUEUE, in_reply_to="<2@x.test>"))
    post.come(mail(2, ANN, QUEUE, in_reply_to="<1@x.test>"))
    account = Account.objects.create(name="Contoso")
    about = Email.objects.filter(message_id="<2@x.test>")
    about.update(regarding_account=None)
    _write_in_crm(mail(0, ASKS, ANN, message_id="<0@x.test>"))
    Email.objects.filter(message_id="<0@x.test>").update(regarding_account=account)
    post.come(mail(1, ANN, QUEUE, in_reply_to="<0@x.test>"))
    assert set(Email.objects.values_list("regarding_account", flat=True)) == {account.pk}


def test_what_is_about_something_of_its_own_keeps_it_and_so_do_its_answers(post) -> None:
    post.come(mail(4, ANN, QUEUE, in_reply_to="<3@x.test>"))
    post.come(mail(3, ANN, QUEUE, in_reply_to="<2@x.test>"))
    own = Account.objects.create(name="its own")
    Email.objects.update(regarding_account=own)
    post.come(mail(2, ANN, QUEUE, in_reply_to="<1@x.test>"))
    _write_in_crm(mail(0, ASKS, ANN, message_id="<0@x.test>"))
    post.come(mail(1, ANN, QUEUE, in_reply_to="<0@x.test>"))
    about = dict(Email.objects.values_list("message_id", "regarding_account__name"))
    assert about == {
        "<0@x.test>": "Account 1", "<1@x.test>": "Account 1", "<2@x.test>": "Account 1",
        "<3@x.test>": "its own", "<4@x.test>": "its own",
    }  # fmt: skip


def test_an_answer_that_came_before_its_question_waits_in_the_queue_that_takes_answers(
    post,
) -> None:
    answer = mail(2, ANN, ALL, BILLING, in_reply_to="<1@x.test>")
    post.come(answer)
    assert not QueueItem.objects.exists()
    post.come(mail(1, BOB, QUEUE))
    item = QueueItem.objects.get(queue__email_address=BILLING)
    assert item.email.subject == "mail 2"


def test_an_answer_that_is_dated_before_its_question_waits_there_too(post) -> None:
    """Both come in one batch, and the clock of who answers is wrong."""
    post.come(mail(1, ANN, ALL, BILLING, in_reply_to="<2@x.test>"), mail(2, BOB, ALL), only=ALL)
    assert QueueItem.objects.get().email.subject == "mail 1"


@pytest.mark.parametrize(
    ("sender", "change"),
    [
        pytest.param(ANN, {"is_active": False}, id="its mailbox is switched off"),
        pytest.param(USERS[0], {}, id="nothing that one of us wrote"),
    ],
)
def test_a_queue_that_does_not_take_a_mail_gets_none_by_its_question(post, sender, change) -> None:
    administration.change_organisation("tests", internal_email_to_queues=False)
    Mailbox.objects.filter(email_address=BILLING).update(**change)
    _write_in_crm(mail(0, USERS[0], ANN, message_id="<0@x.test>"))
    early = mail(2, sender, ALL, BILLING, in_reply_to="<1@x.test>", references=("<0@x.test>",))
    post.come(early, only=ALL)
    assert not QueueItem.objects.exists()
    post.come(mail(1, BOB, ALL), only=ALL)
    assert parent_of(2) == "mail 1"
    assert not QueueItem.objects.exists()


@pytest.mark.parametrize("is_one_batch", [True, False])
def test_of_two_mails_that_name_each_other_one_answers_the_other(post, is_one_batch) -> None:
    two = [
        mail(1, ANN, QUEUE, in_reply_to="<2@x.test>"),
        mail(2, ANN, QUEUE, in_reply_to="<1@x.test>"),
    ]
    for mails in [two] if is_one_batch else [two[:1], two[1:]]:
        post.come(*mails)
    assert sorted([parent_of(1), parent_of(2)])[0] == ""
    assert [parent_of(1), parent_of(2)] != ["", ""]


@pytest.mark.django_db(transaction=True)
@settings(max_examples=25)
@given(st.data())
def test_no_mail_is_among_its_own_ancestors_whatever_order_they_come_in(data) -> None:
    """Clocks are wrong, indexes have gaps, headers lie, and two are of one second."""
    numbers = range(1, 7)
    steps = st.lists(st.sampled_from([b"one..", b"two.."]), min_size=1, max_size=3)
    mails = [
        Mail(
            data.draw(st.integers(1, 4), "minute"), 1, data.draw(st.sampled_from([ANN, BOB])),
            (QUEUE,), "offer", message_id=f"<{number}@x.test>",
            in_reply_to=data.draw(st.sampled_from(["", *(f"<{one}@x.test>" for one in numbers)])),
            index=BEGIN + b"".join(data.draw(steps)),
        )
        for number in numbers
    ]  # fmt: skip
    letters = data.draw(st.permutations(mails))
    try:
        post = Post.of(Written())
        administration.change_organisation("tests", uses_smart_matching=True)
        while letters:
            size = data.draw(st.integers(1, 3), "batch")
            post.come(*letters[:size])
            letters = letters[size:]
        answered = dict(Email.objects.values_list("pk", "correlated_to"))
        assert len(answered) == len(mails)
        for email in answered:
            above, seen = answered[email], {email}
            while above is not None:
                assert above not in seen
                seen.add(above)
                above = answered[above]
    finally:
        call_command("flush", verbosity=0, interactive=False)


@pytest.mark.parametrize("delta", [0, 1])
@pytest.mark.parametrize("others", ["Offer {} today", "Offer for pipes"], ids=["words", "people"])
def test_a_match_is_found_behind_many_newer_mails_that_share_a_word_and_an_address(
    db, delta: int, others: str
) -> None:
    smart = SmartMatching(delta_words=delta)
    people = frozenset({ANN, QUEUE})

    def email(subject: str, addresses: frozenset[str], hour: int) -> Email:
        hashes = smart.hashes(subject, addresses)
        return Email(
            direction=Email.Direction.INCOMING,
            status=Email.Status.RECEIVED,
            identity=f"{subject} {hour}",
            subject_hashes=sorted(hashes.words),
            address_hashes=sorted(hashes.addresses),
            created_at=Now() - timedelta(hours=hour),
        )

    match = email("Offer for pipes", people, 90)
    crowd = [
        email(
            others.format(f"of{n} and{n}"), people - {ANN} if "pipes" in others else people, n % 80
        )
        for n in range(300)
    ]
    for n, one in enumerate(crowd):
        one.identity = f"crowd {n}"
    Email.objects.bulk_create([match, *crowd])
    subject = "Re: Offer for pipes" if not delta else "Re: Offer for"
    letter = Letter(id=UUID(int=1), hashes=smart.hashes(subject, people))
    found = correspondence.known([letter], frozenset(), smart_matching=smart)
    answer = found.letters.answered_by(letter, Switches(smart_matching=smart))
    assert answer is not None
    assert answer.email_id == match.pk


def test_what_each_mail_of_a_large_batch_answers_directly_is_locked(db) -> None:
    letters = [
        (
            Letter(
                id=UUID(int=n),
                message_id=f"<{n}@x.test>",
                answers=tuple(f"<{n}.{far}@x.test>" for far in range(9)),
                conversation_index=n.to_bytes(22, "big"),
            ),
            "",
        )
        for n in range(100)
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        correspondence.lock(letters)
        cursor.execute(
            "SELECT name FROM unnest(%s::text[]) AS name WHERE NOT EXISTS (SELECT FROM pg_locks "
            "WHERE locktype = 'advisory' AND pid = pg_backend_pid() "
            "AND objid = (hashtext(name)::bigint & 4294967295)::oid)",
            [[letter.answers[0] for letter, _ in letters]],
        )
        assert cursor.fetchall() == []
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        )
        assert cursor.fetchone()[0] <= 300


def test_no_mail_is_its_own_answer(post) -> None:
    """A queue that takes answers looks at what another mailbox has brought in already."""
    begun = mail(1, ANN, ALL, BILLING, index=BEGIN + b"later")
    post.come(begun, only=ALL)
    post.come(begun, only=BILLING)
    assert RemoteItem.objects.count() == 2
    assert not QueueItem.objects.exists()


def test_an_id_too_long_to_be_looked_up_stops_no_mailbox(db) -> None:
    """An index of PostgreSQL holds 2,700 bytes, and random letters can't be made smaller."""
    user = User.objects.create(username="user", email=USERS[0])
    chance = random.Random(1)
    letters = "".join(chr(chance.randrange(0x4E00, 0x9000)) for _ in range(990))
    mail = Mail(1, 1, "ann@x.test", (USERS[0], QUEUES[0]), "long", message_id="<1@x.test>")
    mail.in_reply_to, mail.references = f"<{letters}>", (f"<{letters[::-1]}>",)
    server = MemoryServer()
    server.deliver(_raw(mail, USERS[0]))
    claim = factories.claim(factories.mailbox(owner=user))
    gateway = MemoryIncoming(server)
    assert visit(gateway, Inbox(claim, 3), BUDGET, lambda: 0.0).declined == 1
    factories.queue(QUEUES[0])
    DeclinedItem.objects.update(is_wanted=True)
    assert visit(gateway, Inbox(claim, 3), BUDGET, lambda: 0.0).stored == 1


def _raw(mail: Mail, receiver: str) -> bytes:
    """Return its bytes with an answered id in plain UTF-8, as RFC 6532 has it."""
    long, mail.in_reply_to = (mail.in_reply_to, mail.references), "@long@"
    mail.references = ("@longer@",)
    head = mail.mime(receiver).decode()
    return head.replace("@long@", long[0]).replace("@longer@", long[1][0]).encode()
