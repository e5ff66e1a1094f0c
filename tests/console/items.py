"""Links, conflicts and journals for the console's tests and those of the command line."""

from itertools import count
from uuid import uuid4

from django.utils import timezone

from syncservice.crm.models import Contact, Task, User
from syncservice.domain.item_values import ItemKind
from syncservice.mailboxes import directions, schedule
from syncservice.mailboxes.models import (
    ActMethod,
    Direction,
    ItemConflict,
    ItemLink,
    ItemProgress,
    JournalEntry,
    Lane,
    Mailbox,
    Schedule,
)
from tests import factories

_numbers = count(1)
FOREVER = timezone.datetime(2100, 1, 1, tzinfo=timezone.get_fixed_timezone(0))
PLAN = {
    "creates_in_exchange": 1234, "creates_in_crm": 5, "links": 6, "skips": 7, "invitations": 8,
    "reason": "1239 would be created",
}  # fmt: skip


def user_of(box: Mailbox) -> User:
    return User.objects.get(email=box.email_address)


def mailbox(address: str, **fields) -> Mailbox:
    """A mailbox whose appointments, contacts and tasks are kept in step; it rests."""
    box = factories.mailbox(
        email_address=address, act_method=ActMethod.SERVER_SIDE, enabled=False, **fields
    )
    directions.enable([box.pk], [Direction.Kind.ACT], "tests")
    schedule.plan([box.pk])
    Schedule.objects.filter(mailbox=box, lane=Lane.ACT).update(due_at=FOREVER)
    return box


def is_woken(box: Mailbox) -> bool:
    return Schedule.objects.get(mailbox=box, lane=Lane.ACT).due_at < timezone.now()


def task(box: Mailbox, **fields) -> Task:
    fields = {"subject": "Call Carla", "status": 2, "owner": user_of(box), **fields}
    return Task.objects.create(**fields)


def link(box: Mailbox, **fields) -> ItemLink:
    number = next(_numbers)
    return ItemLink.objects.create(
        **{
            "mailbox": box,
            "kind": ItemKind.TASK,
            "key": uuid4(),
            "state": ItemLink.State.LINKED,
            "item_id": f"item-{number}",
            "subject": "My illness",
            **fields,
        }
    )


def failed(box: Mailbox, **fields) -> ItemLink:
    given = {
        "fault_code": "exchange.schema_validation",
        "fault_text": "The server refuses the due date.",
        "attempts": 5,
    }
    return link(box, **given | fields)


def duplicate(box: Mailbox, *records: Contact, **fields) -> ItemLink:
    """A contact that is like some of the CRM; nobody has said yet which one it is."""
    candidates = [{"key": str(one.key), "likeness": "name"} for one in records]
    given = {"kind": ItemKind.CONTACT, "state": ItemLink.State.WANTED, "candidates": candidates}
    return link(box, question="duplicate_contact", subject="Secret Friend", **given | fields)


def conflict(box: Mailbox, record: Task, **fields) -> ItemConflict:
    """A subject that both sides had changed; the mailbox won."""
    return ItemConflict.objects.create(
        **{
            "link": link(box, key=record.pk),
            "name": "subject",
            "base": "Call",
            "crm": "Call Ash",
            "exchange": record.subject,
            "winner": ItemConflict.Side.EXCHANGE,
            **fields,
        }
    )


def entry(box: Mailbox, visit: int, action: str, **fields) -> JournalEntry:
    return JournalEntry.objects.create(
        **{
            "mailbox": box,
            "fence": visit,
            "kind": ItemKind.TASK,
            "key": uuid4(),
            "action": action,
            "subject": "My illness",
            **fields,
        }
    )


def progress(box: Mailbox, kind: ItemKind = ItemKind.TASK, **fields) -> ItemProgress:
    given = {"first": ItemProgress.First.ASKING, "plan": PLAN, "planned_at": timezone.now()}
    return ItemProgress.objects.create(mailbox=box, kind=kind, **given | fields)
