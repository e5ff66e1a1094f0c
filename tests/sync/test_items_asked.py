"""What is asked before a contact becomes a record that the CRM may have already (F213)."""

from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from syncservice.alerts import alerts, item_requests
from syncservice.alerts.models import Alert
from syncservice.crm.models import Contact, User
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes.item_questions import Question
from syncservice.mailboxes.models import ItemLink, Organisation
from syncservice.sync.items.duplicates import _ALIKE
from tests.memory_activities import MemoryExchange, When
from tests.memory_gateway import Killed
from tests.sync.synced_items import TRACKED, Person, person

pytestmark = pytest.mark.django_db
CONTACT = ItemKind.CONTACT
State = ItemLink.State
DUPLICATE = Question.DUPLICATE_CONTACT
KIM = "kim@customer.test"


@pytest.fixture
def ann() -> Person:
    return person(MemoryExchange(), "ann@example.test")


@pytest.fixture
def colleague() -> User:
    """Whose contacts no filter brings into Ann's mailbox."""
    return User.objects.create(username="bob", email="bob@example.test")


def known(owner: User, name: str = "Kim Karst", email_address: str = KIM, **fields: Any) -> Contact:
    first, last = name.split()
    fields = {"first_name": first, "last_name": last, "email_address": email_address, **fields}
    return Contact.objects.create(owner=owner, **fields)


def track(ann: Person, name: str = "Kim Karst", email1: str = KIM, **values: Any) -> str:
    first, last = name.split()
    full_name = {"first": first, "middle": "", "last": last}
    return ann.outlook.add(
        CONTACT, full_name=full_name, email1=email1, categories=(TRACKED,), **values
    )


def asked(ann: Person) -> list[list[str]]:
    """The records that each contact is asked about, in their order."""
    waiting = ann.links.filter(question=DUPLICATE, answer=None).order_by("pk")
    return [[one["key"] for one in link.candidates] for link in waiting]


def question() -> Alert:
    return Alert.objects.get(code=alerts.DUPLICATE_CONTACT, ended_at=None)


def decide(ann: Person, link: ItemLink, record: Contact | None) -> None:
    item_requests.decide_duplicate(ann.mailbox, link.pk, record and record.key, "ann")


# When it is asked


@pytest.mark.parametrize(("name", "address"), [
    ("Kim Karst", "kim@home.test"), ("KIM Kärst", ""), ("Kimberly Karst", KIM.upper()),
    ("Kim Karst", KIM),
])  # fmt: skip
def test_a_contact_that_is_like_one_of_the_crm_is_asked_about(ann, colleague, name, address):
    record = known(colleague)
    known(colleague, "Eve Elm", "eve@customer.test")
    track(ann, name, address)
    track(ann, "Lee Lind", "lee@customer.test")
    ann.visit()
    assert asked(ann) == [[str(record.key)]]
    assert sorted(Contact.objects.values_list("first_name", flat=True)) == ["Eve", "Kim", "Lee"]
    assert item_requests.asked(ann.mailbox) == {DUPLICATE: 1}
    assert question().text == "1 tracked contacts are like contacts of the CRM"
    ann.visit()
    ann.outlook.edit(ann.links.get(question=DUPLICATE).item_id, job_title="Baker")
    ann.visit()
    assert Contact.objects.count() == 3
    assert question().count == 1


def test_the_likeliest_record_is_named_first(ann, colleague):
    by_name = known(colleague, email_address="")
    by_address = known(colleague, "Eve Elm", "x@x.test", email_address3=KIM)
    both = known(colleague)
    track(ann)
    ann.visit()
    assert asked(ann) == [[str(one.key) for one in (both, by_address, by_name)]]
    likeness = [one["likeness"] for one in ann.links.get().candidates]
    assert likeness == ["address_and_name", "address", "name"]


def test_who_is_no_candidate(ann, colleague):
    known(ann.user)  # in the mailbox by its own item
    known(colleague, is_active=False)
    ann.visit()
    track(ann)
    track(ann, "Lee Lind", "")
    track(ann, "Lee Lind", "")  # the mailbox tells them apart
    ann.visit()
    assert not asked(ann)
    assert Contact.objects.count() == 5


def test_where_the_organisation_does_not_ask_a_record_is_made(ann, colleague):
    Organisation.objects.update_or_create(pk=1, defaults={"checks_duplicate_contacts": False})
    known(colleague)
    track(ann)
    ann.visit()
    assert (Contact.objects.count(), asked(ann)) == (2, [])


def test_what_is_found_for_certain_is_adopted_unasked(ann):
    known(ann.user)
    track(ann)
    ann.visit()
    assert not asked(ann)
    assert (Contact.objects.count(), len(ann.items(CONTACT))) == (1, 1)


def test_a_batch_is_looked_up_at_once(ann, colleague):
    ann.visit()
    for number in range(30):
        known(colleague, f"Kim{number} Karst", f"kim{number}@customer.test")
        track(ann, f"Kim{number} Karst", f"kim{number}@customer.test")
    with CaptureQueriesContext(connection) as queries:
        ann.visit()
    assert len(asked(ann)) == 30
    assert sum("crm_folded_name(asked" in query["sql"] for query in queries) == 1


def test_answers_are_carried_out_together(ann, colleague):
    ann.visit()
    statements = []
    for count in (3, 30):
        for number in range(count):
            name, address = f"Kim{count}x{number} Karst", f"kim{count}x{number}@customer.test"
            known(colleague, name, address)
            track(ann, name, address)
        ann.visit()
        alerts.answer(question().pk, False, "ann")
        with CaptureQueriesContext(connection) as queries:
            ann.visit()
        statements.append(len(queries))
    assert statements[1] <= statements[0] + 5
    assert ann.links.filter(state=State.LINKED, due_at=None).count() == 33


def test_contacts_are_found_by_indexes():
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN " + _ALIKE,
            {
                "of_address": [0], "addresses": [KIM], "their_names": ["Kim"], "of_name": [0],
                "names": ["Kim"], "most": 1, "mailbox": 1, "ended": ["deleted"],
            },
        )  # fmt: skip
        plan = "\n".join(line for (line,) in cursor.fetchall())
    by_address = ("email_address", "email_address2", "email_address3")
    for index in (*(f"contacts_by_{column}" for column in by_address), "contacts_by_name"):
        assert index in plan
    assert "Seq Scan on crm_contact" not in plan


@pytest.mark.parametrize(("name", "other"), [
    ("Zoë Brontë", "ZOE BRONTE"), ("José Nun\u0303ez", "jose nuñez"), ("Łukasz  Žák", "łukasz zak"),
    ("Юрий Ёлкин", "юрий елкин"),
])  # fmt: skip
def test_the_database_folds_names_as_the_rule_does(name, other):
    with connection.cursor() as cursor:
        folds = "crm_folded_name(%s, '', '') = crm_folded_name('', '', %s)"
        cursor.execute(f"SELECT {folds}", [name, other])
        assert cursor.fetchone() == (True,)


# What is answered


@pytest.fixture
def waiting(ann, colleague) -> tuple[ItemLink, Contact]:
    """A contact of Ann's that is like one of her colleague's."""
    record = known(colleague, job_title="Baker")
    track(ann, email1="kim@home.test", mobile="06-1")
    ann.visit()
    return ann.links.get(), record


def test_made_all_the_same_it_becomes_a_record(ann, waiting):
    link, record = waiting
    decide(ann, link, None)
    assert not Alert.objects.filter(ended_at=None).exists()
    ann.visit()
    ann.visit()
    made = Contact.objects.exclude(pk=record.pk).get()
    link.refresh_from_db()
    assert (link.key, link.state, link.question, link.answer) == (made.key, "linked", "", None)
    assert made.owner == ann.user


def test_linked_both_are_one_from_then_on(ann, waiting):
    link, record = waiting
    decide(ann, link, record)
    ann.visit()
    record.refresh_from_db()
    (item,) = ann.items(CONTACT)
    link.refresh_from_db()
    assert Contact.objects.get() == record
    assert (link.key, link.state, link.by_filter) == (record.key, "linked", False)
    assert (link.question, link.answer, link.candidates, link.chosen) == ("", None, [], None)
    assert item.record_key.endswith(str(record.key))
    assert (record.mobile_phone, item.values["job_title"]) == ("06-1", "Baker")
    ann.outlook.edit(item.item_id, job_title="Cook")
    ann.visit()
    record.refresh_from_db()
    assert record.job_title == "Cook"


@pytest.mark.parametrize("yes", [True, False])
def test_the_alert_answers_for_all_of_them(ann, waiting, yes):
    alerts.answer(question().pk, yes, "ann")
    ann.visit()
    assert Contact.objects.count() == 1 + yes
    assert not Alert.objects.filter(ended_at=None).exists()


def test_no_is_no_answer_where_several_are_alike(ann, colleague, waiting):
    twins = [known(colleague, "Lee Lind", f"lee{number}@customer.test") for number in range(2)]
    track(ann, "Lee Lind", "")
    ann.visit()
    first = question()
    assert first.text == "2 tracked contacts are like contacts of the CRM"
    alerts.answer(first.pk, False, "ann")
    ann.visit()
    assert asked(ann) == [[str(one.key) for one in twins]]
    assert question().text == "1 tracked contacts are like contacts of the CRM"
    decide(ann, ann.links.get(question=DUPLICATE), twins[1])
    ann.visit()
    assert Contact.objects.count() == 3
    assert ann.links.filter(key=twins[1].key, state=State.LINKED).exists()


def test_one_record_is_one_contact_of_a_mailbox(ann, colleague):
    record = known(colleague)
    for address in ("kim@home.test", "kim@work.test"):
        track(ann, email1=address)
    ann.visit()
    assert asked(ann) == [[str(record.key)]] * 2
    alerts.answer(question().pk, False, "ann")
    (other,) = ann.links.filter(question=DUPLICATE, answer=None)
    with pytest.raises(ValidationError, match="another contact of this mailbox"):
        decide(ann, other, record)
    ann.visit()
    with pytest.raises(ValidationError, match="another contact of this mailbox"):
        decide(ann, other, record)
    decide(ann, other, None)
    ann.visit()
    assert Contact.objects.count() == 2


def test_what_can_not_be_chosen_is_refused(ann, colleague, waiting):
    link, record = waiting
    stranger = known(colleague, "Eve Elm", "eve@customer.test")
    with pytest.raises(ValidationError, match="is not like"):
        decide(ann, link, stranger)
    with pytest.raises(ValidationError, match="Nothing is asked of contact"):
        item_requests.decide_duplicate(ann.mailbox, link.pk + 1, None, "ann")
    record.delete()
    with pytest.raises(ValidationError, match="gone"):
        decide(ann, link, record)
    assert question().count == 1


def test_who_chose_a_record_that_is_gone_by_then_is_asked_again(ann, waiting):
    link, record = waiting
    decide(ann, link, record)
    record.delete()
    ann.visit()
    assert asked(ann) == [[]]
    assert not Contact.objects.exists()
    assert question()
    decide(ann, link, None)
    ann.visit()
    assert Contact.objects.count() == 1


def test_a_record_that_had_another_item_here_gets_this_one(ann, waiting):
    """She had untracked and deleted him once."""
    link, record = waiting
    before = {"kind": CONTACT, "state": State.DELETED, "key": record.key}
    ItemLink.objects.create(mailbox=ann.mailbox, **before)
    decide(ann, link, record)
    ann.visit()
    assert ann.links.get().item_id == link.item_id


def test_an_item_that_is_deleted_meanwhile_is_asked_about_no_more(ann, waiting):
    link, _ = waiting
    ann.outlook.remove(link.item_id)
    ann.visit()
    assert item_requests.asked(ann.mailbox) == {}
    assert not Alert.objects.filter(ended_at=None).exists()


# What dies on the way


@pytest.mark.parametrize("when", [None, When.BEFORE, When.AFTER])
@pytest.mark.parametrize("is_linked", [True, False])
def test_an_answer_is_carried_out_once_whatever_dies(ann, waiting, is_linked, when):
    link, record = waiting
    decide(ann, link, record if is_linked else None)
    server = ann.outlook.exchange
    if when is not None:
        server.killed_at = {(server.writes + 1, when)}  # the record is there, the item is marked
        with pytest.raises(Killed):
            ann.visit()
    for _ in range(3):
        ann.visit()
    link.refresh_from_db()
    assert Contact.objects.count() == 2 - is_linked
    assert (link.state, link.question, link.due_at) == (State.LINKED, "", None)
    (item,) = ann.items(CONTACT)
    assert item.record_key.endswith(str(link.key))


def test_an_answer_that_comes_during_a_visit_waits_for_the_next(ann, waiting):
    link, record = waiting
    ann.visit(meanwhile=lambda: decide(ann, link, record))
    ann.visit()
    assert ann.links.get().key == record.key


def test_a_number_that_is_no_record_is_not_like_it(ann, waiting):
    with pytest.raises(ValidationError, match="is not like"):
        item_requests.decide_duplicate(ann.mailbox, waiting[0].pk, uuid4(), "ann")
