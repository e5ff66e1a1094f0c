"""A visit that carries out what people answered, killed by SIGKILL at every point.

Whatever it had done by then, the answer is carried out once: no record is made twice, and none is
made of what was joined with one that was there (F213).
"""

import pytest

from syncservice.alerts import item_requests
from syncservice.crm.models import Contact, User
from syncservice.domain.item_values import VALUES, ItemKind
from syncservice.mailboxes.models import ItemLink, Lane
from syncservice.servers.gateway import NewItem
from tests.interleavings.stage import END
from tests.interleavings.visits import claim, numbered, visit
from tests.sync.exchange_people import Colleague, world_of
from tests.sync.synced_items import TRACKED

CONTACT = ItemKind.CONTACT
JOINED, MADE = "Joined", "Made"

VISIT = [
    "update mailboxes_schedule",  # the claim begins
    "redis evalsha slots",
    "request SyncFolderItems",
    *("update mailboxes_itemprogress", "commit"),
    "request GetItem",
    *("insert crm_contact", "insert mailboxes_journalentry"),
    *("update mailboxes_itemlink",) * 2,  # one is joined, the other made
    "commit",
    *("request UpdateItem", "update mailboxes_itemlink", "commit"),  # its item is marked
    "request GetItem",  # of the joined one, both are compared
    *("update crm_contact", "insert mailboxes_journalentry", "commit"),
    *("request UpdateItem", "insert mailboxes_journalentry", "update mailboxes_itemlink", "commit"),
    "request SyncFolderItems",
    *("update mailboxes_itemlink", "update mailboxes_itemprogress", "commit"),
    "request SyncFolderItems",
    *("update mailboxes_itemprogress", "commit"),
    "redis zrem slots",
    *("update mailboxes_schedule", "insert mailboxes_visitstatistics", "commit"),  # the outcome
    END,
]


@pytest.fixture
def ann(stage, simulator) -> Colleague:
    """Two of her contacts were like a colleague's: one is joined, of one another record is made."""
    world = world_of(simulator)
    world.kinds = tuple(ItemKind)
    ann = world.colleague("ann")
    ann.visit()
    bob = User.objects.create(username="bob", email="bob@elsewhere.test")
    with ann.open() as gateway:
        for name in (JOINED, MADE):
            Contact.objects.create(first_name="Kim", last_name=name, job_title="Cook", owner=bob)
            full_name = {"first": "Kim", "middle": "", "last": name}
            values = {**VALUES[CONTACT], "full_name": full_name, "mobile": "06-1"}
            gateway.create(CONTACT, [NewItem(record_key="", values=values, categories=(TRACKED,))])
    ann.visit()
    ann.visit()
    for link in ann.links.filter(question=ItemLink.Question.DUPLICATE_CONTACT):
        theirs = Contact.objects.get(key=link.candidates[0]["key"])
        record = theirs.key if theirs.last_name == JOINED else None
        item_requests.decide_duplicate(ann.mailbox, link.pk, record, "ann")
    return ann


def check(ann: Colleague) -> None:
    contacts = Contact.objects.order_by("last_name", "pk")
    rows = contacts.values_list("last_name", "job_title", "mobile_phone")
    assert list(rows) == [(JOINED, "Cook", "06-1"), (MADE, "Cook", ""), (MADE, "", "06-1")]
    links = {link.item_id: link for link in ann.links}
    items = {item.item_id: item for item in ann.items(CONTACT)}
    assert links.keys() == items.keys()
    for item_id, link in links.items():
        assert items[item_id].record_key.endswith(str(link.key))
        assert (link.state, link.question, link.answer, link.due_at) == ("linked", "", None, None)


def test_a_visit_has_these_points(stage, ann):
    assert stage.points("visit", *claim(ann.mailbox, Lane.ACT)) == VISIT
    visit(stage, ann.mailbox, Lane.ACT)
    check(ann)


@pytest.mark.parametrize("number", **numbered(VISIT))
def test_an_answer_is_carried_out_once_wherever_a_visit_is_killed(stage, ann, number):
    assert stage.kill_at(number, "visit", *claim(ann.mailbox, Lane.ACT)) == VISIT[number]
    visit(stage, ann.mailbox, Lane.ACT)
    visit(stage, ann.mailbox, Lane.ACT)
    check(ann)
